"""What the owner of a billing leaves to the next one: what is taken of it, and what is not."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from checkpoints.address import JournalAddress, journal_in_postgres
from checkpoints.journal import Journal, open_journal
from checkpoints.pace import LONGEST_KEPT, BillingPace, BreakerPace, WindowPace, encode_pace, found_pace
from checkpoints.records import NewRunner, Run
from lab.crash.loops import loops
from tests.checkpoints.samples import frozen_run, new_item
from tests.checkpoints.shells import shell
from tests.postgres_server import PostgresServer

WINDOW = WindowPace(size=17.5, answers=40, seconds=0.2, spread=0.3, troubles=0.02)
OPEN = BreakerPace(failures=5, is_open=True, wait=12, gap=8, asked=40)


def stored(pace: BillingPace, at: float = 1000.0) -> str:
    return f'{{"at": {at}, "pace": {encode_pace(pace)}}}'


def test_durations_go_on_by_the_servers_clock() -> None:
    found = found_pace(stored(BillingPace(WINDOW, OPEN, 3.0)), 1010.0, None)
    assert found == BillingPace(WINDOW, msgspec.structs.replace(OPEN, wait=2, asked=30), 13.0)
    assert found.after(25.0).breaker == msgspec.structs.replace(OPEN, wait=0, asked=5)


@pytest.mark.parametrize(
    ("since_call", "quiet", "now", "expected"),
    [
        # Ended in order: as it says. Nothing is known of when the others ended: just now.
        (3.0, None, 1010.0, 13.0),
        (None, None, 1010.0, 0.0),
        # Killed since, or before it was written.
        (3.0, 4.0, 1010.0, 4.0),
        (3.0, 90.0, 1010.0, 13.0),
        (None, -4.0, 1010.0, 0.0),
        (None, 8.0, 1010.0, 8.0),
        # A server whose clock was set back.
        (3.0, None, 900.0, 3.0),
    ],
)
def test_the_last_call_is_no_earlier_than_it_can_have_been(
    since_call: float | None, quiet: float | None, now: float, expected: float
) -> None:
    found = found_pace(stored(BillingPace(since_call=since_call)), now, quiet)
    assert found is not None
    assert found.since_call == expected


def test_after_ten_minutes_all_begins_anew() -> None:
    text = stored(BillingPace(WINDOW, OPEN, 3.0))
    assert found_pace(text, 1000.0 + LONGEST_KEPT, None) is not None
    assert found_pace(text, 1001.0 + LONGEST_KEPT, None) is None
    # The rate has nothing to do with it: somebody may have been killed since.
    assert found_pace(text, 1001.0 + LONGEST_KEPT, 2.0) == BillingPace(since_call=2.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "nonsense",
        '{"at": 1000, "pace": 7}',
        '{"at": "noon", "pace": {}}',
        '{"at": 1000, "pace": {"window": {"size": -3, "answers": 1, "seconds": 1, "spread": 0}}}',
        '{"at": 1000, "pace": {"window": {"size": 1e9, "answers": 1, "seconds": 1, "spread": 0}}}',
        '{"at": 1000, "pace": {"window": {"size": 4, "answers": 0, "seconds": 0, "spread": 0}}}',
        '{"at": 1000, "pace": {"window": {"size": NaN, "answers": 1, "seconds": 1, "spread": 0}}}',
        '{"at": 1000, "pace": {"breaker": {"wait": 1e99}}}',
        '{"at": 1000, "pace": {"since_call": -5}}',
        '{"at": 1000, "pace": {"of_a_later_version": 1}}',
    ],
)
def test_of_nonsense_nothing_is_taken(text: str) -> None:
    assert found_pace(text, 1000.0, None) is None
    assert found_pace(text, 1000.0, 5.0) == BillingPace(since_call=5.0)


@pytest.fixture
def address(postgres_server: PostgresServer, tmp_path: Path) -> JournalAddress:
    return journal_in_postgres(f"{postgres_server.new_journal()}&lease={loops(5):.1f}", tmp_path)


def carried(address: JournalAddress) -> str:
    with shell(address) as server:
        ((text,),) = server.execute("select carried from billings")
    return str(text)


async def taken(journal: Journal, run: Run) -> BillingPace | None:
    """What the next owner finds, which is killed at once."""
    return journal.lease_of(await journal.take_up(run, NewRunner("run"))).carried


async def test_who_ends_in_order_leaves_its_pace_to_any_run_of_the_billing(address: JournalAddress) -> None:
    async with open_journal(address) as journal, open_journal(address) as other:
        first, second = [await frozen_run(journal, new_item(key)) for key in "ab"]
        async with journal.taken_up(first) as ours:
            assert journal.lease_of(ours).carried is None
            journal.lease_of(ours).pace = lambda: BillingPace(WINDOW, OPEN, 3.0)
        # One that has nothing to send leaves it as it is.
        async with other.taken_up(second):
            pass
        found = await taken(other, second)
        assert found is not None
        assert (found.window, found.breaker.is_open, found.breaker.failures) == (WINDOW, True, 5)
        assert found.since_call is not None
        assert 3 < found.since_call < 12
        assert 12 - found.breaker.wait == pytest.approx(found.since_call - 3)
        # That one was killed, for all that anybody knows: it may have sent until now.
        again = await taken(journal, first)
        assert again is not None
        assert again.window == WINDOW
        assert again.since_call is not None
        assert again.since_call < 1


async def until(address: JournalAddress, sql: str, parameters: Sequence[object] = ()) -> None:
    with anyio.fail_after(loops(30)), shell(address) as server:
        while not next(iter(server.execute(sql, parameters)))[0]:  # noqa: ASYNC110 - the server's row
            await anyio.sleep(0.02)


async def test_a_renewal_leaves_it_too_and_never_waits_for_who_takes_over(address: JournalAddress) -> None:
    async with open_journal(address) as journal:
        run = await frozen_run(journal, new_item("a"))
        async with journal.taken_up(run) as ours:
            with shell(address) as frozen:
                ((began,),) = frozen.execute("select renewed_at from runners")
                frozen.execute("begin")
                frozen.execute("select 1 from billings for update")
                journal.lease_of(ours).pace = lambda: BillingPace(WINDOW, since_call=3.0)
                await until(address, "select renewed_at > ? from runners", (began,))
                assert carried(address) == "{}"
                frozen.execute("rollback")
            await until(address, "select carried <> '{}' from billings")
            assert '"since_call":null' in carried(address).replace(" ", "")
