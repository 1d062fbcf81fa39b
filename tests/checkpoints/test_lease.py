"""The lease: the clock it goes by, the moment it counts from, and who is refused and waited for."""

import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
import pytest

from checkpoints import lease as leases
from checkpoints.errors import JournalError, JournalUnreadable, RunTakenOver
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.lease import (
    LONGEST_KEPT,
    BillingPace,
    BreakerPace,
    EarlierOwners,
    Lease,
    WindowPace,
    encode_pace,
    found_pace,
)
from checkpoints.records import Change, NewRunner, Run
from checkpoints.states import State
from lab.crash.loops import loops
from tests.checkpoints.samples import all_items, frozen_run, new_item
from tests.checkpoints.shells import shell
from tests.postgres_server import PostgresServer

LEASE = 15.0
SENDS = NewRunner("run", call_seconds=120)


class Clocks:
    """The clock of a machine that counts while it sleeps."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.boot = 1000.0

    def clock_gettime(self, _: int) -> float:
        return self.boot


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(leases, "time", made)
    return made


async def test_a_lease_that_ran_out_does_not_come_back(clocks: Clocks) -> None:
    lease = Lease(LEASE, leases.boot_time())
    clocks.boot += LEASE * 0.89
    assert lease.is_valid()
    clocks.boot += LEASE * 0.02
    assert not lease.is_valid()
    assert "ran out after 15 s without a renewal" in lease.why
    # Somebody may have taken over by then.
    lease.renewed(leases.boot_time())
    assert not lease.is_valid()
    assert lease.lost.is_set()


async def test_it_counts_from_before_its_renewal_was_sent(clocks: Clocks) -> None:
    lease = Lease(0.03, leases.boot_time())
    sent = 0

    async def renew() -> None:
        nonlocal sent
        sent += 1
        # It arrives at once, and its answer a day later.
        clocks.boot += 86_400

    await lease.keep(renew, lambda: None)
    assert (sent, lease.is_valid()) == (1, False)


async def test_a_renewal_that_fails_or_that_nobody_answers_ends_the_lease() -> None:
    lease, cut = Lease(0.5, leases.boot_time()), anyio.Event()
    await lease.keep(cut.wait, cut.set)
    assert (cut.is_set(), lease.is_valid()) == (True, False)

    async def renew() -> None:
        raise JournalUnreadable("server closed the connection")

    lease = Lease(0.5, leases.boot_time())
    await lease.keep(renew, lambda: None)
    assert lease.why == "the lease of the billing could not be renewed: server closed the connection"


async def test_who_takes_over_waits_by_its_own_clock(clocks: Clocks) -> None:
    lease = Lease(LEASE, leases.boot_time(), EarlierOwners(lease=15.0, calls=135.0))
    assert (lease.until_free, lease.until_calls_end) == (15.0, 135.0)
    clocks.boot += 20
    assert (lease.until_free, lease.until_calls_end) == (0.0, 115.0)


@pytest.fixture
def address(postgres_server: PostgresServer, tmp_path: Path) -> JournalAddress:
    return journal_in_postgres(postgres_server.new_journal(), tmp_path)


async def test_what_another_machine_takes_over_is_fenced_in_every_run_of_the_billing(address: JournalAddress) -> None:
    async with open_journal(address) as journal, open_journal(address) as other:
        first, second = [await frozen_run(journal, new_item(key)) for key in "ab"]
        first = await journal.take_up(first, SENDS)
        (item,) = await all_items(journal, first)
        await journal.claim(first, [item.item_id])
        with shell(address) as server:
            # It holds no lock any more: it was cut off.
            server.execute("update runners set machine = 'another one'")
        second = await other.take_up(second, SENDS)
        lease = other.lease_of(second)
        assert 9 < lease.until_free <= 10
        assert lease.until_calls_end == 0
        with pytest.raises(RunTakenOver, match="was taken over by process"):
            await journal.record(first, [Change(item.item_id, State.ACCEPTED)])
        again = await other.take_up(first)
        assert 129 < other.lease_of(again).until_calls_end <= 130
        await other.history.note_free(again, leases.machine())
        await other.history.note_calls_ended(again)
        once_more = other.lease_of(await other.take_up(again))
        assert (once_more.until_free, once_more.until_calls_end) == (0.0, 0.0)


async def test_a_journal_that_is_restored_or_copied_is_seen_not_to_know_all_calls(address: JournalAddress) -> None:
    async with open_journal(address) as journal:
        run = await frozen_run(journal, new_item("a"))
        for _ in range(2):
            async with journal.taken_up(run, SENDS) as ours:
                assert journal.lease_of(ours).knows_all_calls
        with shell(address) as server:
            # As pg_restore puts them back: the rows are those of before, the table is another one.
            server.execute("truncate items cascade")
        async with journal.taken_up(run, SENDS) as ours:
            assert not journal.lease_of(ours).knows_all_calls


async def test_who_sends_nothing_keeps_its_run_when_the_billing_is_taken_elsewhere(address: JournalAddress) -> None:
    """As `run … --detach` while it reads its rows."""
    async with open_journal(address) as journal, open_journal(address) as other:
        first, second = [await frozen_run(journal, new_item(key)) for key in "ab"]
        async with journal.taken_up(first) as reads:
            with shell(address) as server:
                server.execute("update runners set machine = 'another one'")
            async with other.taken_up(second, SENDS):
                await journal.approve(reads)
                assert journal.lease_of(reads).is_valid()
            assert (await journal.again(reads)).approved_at is not None


@pytest.mark.parametrize("text", ["0", "0.1", "soon", "nan", "9999"])
def test_a_lease_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"give seconds from 0\.5 to 3600"):
        journal_in_postgres(f"postgresql://db/billing?lease={text}", tmp_path)


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
def short(postgres_server: PostgresServer, tmp_path: Path) -> JournalAddress:
    return journal_in_postgres(f"{postgres_server.new_journal()}&lease={loops(5):.1f}", tmp_path)


def carried(short: JournalAddress) -> str:
    with shell(short) as server:
        ((text,),) = server.execute("select carried from billings")
    return str(text)


async def taken(journal: Journal, run: Run) -> BillingPace | None:
    """What the next owner finds, which is killed at once."""
    return journal.lease_of(await journal.take_up(run, NewRunner("run"))).carried


async def test_who_ends_in_order_leaves_its_pace_to_any_run_of_the_billing(short: JournalAddress) -> None:
    async with open_journal(short) as journal, open_journal(short) as other:
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


async def until(short: JournalAddress, sql: str, parameters: Sequence[object] = ()) -> None:
    with anyio.fail_after(loops(30)), shell(short) as server:
        while not next(iter(server.execute(sql, parameters)))[0]:  # noqa: ASYNC110 - the server's row
            await anyio.sleep(0.02)


async def test_a_renewal_leaves_it_too_and_never_waits_for_who_takes_over(short: JournalAddress) -> None:
    async with open_journal(short) as journal:
        run = await frozen_run(journal, new_item("a"))
        async with journal.taken_up(run) as ours:
            with shell(short) as frozen:
                ((began,),) = frozen.execute("select renewed_at from runners")
                frozen.execute("begin")
                frozen.execute("select 1 from billings for update")
                journal.lease_of(ours).pace = lambda: BillingPace(WINDOW, since_call=3.0)
                await until(short, "select renewed_at > ? from runners", (began,))
                assert carried(short) == "{}"
                frozen.execute("rollback")
            await until(short, "select carried <> '{}' from billings")
            assert '"since_call":null' in carried(short).replace(" ", "")


async def test_a_journal_in_a_file_has_no_lease(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db") as journal:
        run = await frozen_run(journal, new_item("a"))
        async with journal.taken_up(run) as ours:
            lease = journal.lease_of(ours)
            assert (lease.is_valid(), lease.until_free, lease.until_calls_end) == (True, 0.0, 0.0)


async def test_who_was_taken_over_leaves_nothing(address: JournalAddress) -> None:
    async with open_journal(address) as journal, open_journal(address) as other:
        run = await frozen_run(journal, new_item("a"))
        async with journal.taken_up(run) as ours:
            await other.take_up(run)
            journal.lease_of(ours).pace = lambda: BillingPace(WINDOW)
        assert carried(address) == "{}"
