"""The lease: the clock it goes by, the moment it counts from, and who is refused and waited for."""

import time
from pathlib import Path

import pytest

from checkpoints import lease as leases
from checkpoints.address import JournalAddress, journal_in_postgres
from checkpoints.errors import JournalError, RunHeld, RunTakenOver
from checkpoints.journal import open_journal
from checkpoints.lease import EarlierOwners, Lease
from checkpoints.records import Change, NewRunner
from checkpoints.states import State
from tests.checkpoints.samples import all_items, frozen_run, new_item
from tests.checkpoints.shells import shell
from tests.postgres_server import PostgresServer

LEASE = 15.0
SENDS = NewRunner("run", call_seconds=120)


class Clocks:
    """The clocks of a machine, each of which a person or a sleep of the machine moves by itself."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.boot = 1000.0
        self.wall = self.standing = 5000.0

    def clock_gettime(self, clock: int) -> float:
        return self.boot if clock == time.CLOCK_BOOTTIME else self.standing

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.standing


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(leases, "time", made)
    return made


async def test_the_time_for_which_the_machine_slept_counts_and_the_wall_clock_does_not(clocks: Clocks) -> None:
    lease = Lease(LEASE, leases.boot_time())
    clocks.wall += 86_400
    assert lease.is_valid()
    clocks.wall -= 2 * 86_400
    clocks.boot += LEASE * 0.89
    assert lease.is_valid()
    clocks.boot += LEASE * 0.02
    assert not lease.is_valid()
    assert "ran out after 15 s without a renewal" in lease.why
    # Somebody may have taken over by then: it does not come back.
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
        assert 14 < lease.until_free <= 15
        assert lease.until_calls_end == 0
        with pytest.raises(RunTakenOver, match="was taken over by process"):
            await journal.record(first, [Change(item.item_id, State.ACCEPTED)])
        again = await other.take_up(first)
        assert 134 < other.lease_of(again).until_calls_end <= 135
        await other.history.note_free(again, leases.machine())
        await other.history.note_calls_ended(again)
        once_more = other.lease_of(await other.take_up(again))
        assert (once_more.until_free, once_more.until_calls_end) == (0.0, 0.0)


async def test_another_machine_is_refused_while_the_owner_renews_its_lease(address: JournalAddress) -> None:
    async with open_journal(address) as journal, open_journal(address) as other:
        first, second = [await frozen_run(journal, new_item(key)) for key in "ab"]
        async with journal.taken_up(first, SENDS) as owned:
            async with other.taken_up(second, SENDS):
                pass
            with shell(address) as server:
                server.execute("update runners set machine = 'another one' where run_id = ?", (first.run_id,))
            with pytest.raises(RunHeld, match=f"another machine works on this billing, with run {first.name}"):
                await other.take_up(second, SENDS)
            # What sends nothing keeps nobody out, and is kept out by nobody.
            async with other.taken_up(second) as ours:
                await journal.confirm(owned)
                await other.confirm(ours)
        # Ended in order: nobody is waited for.
        taken = await other.take_up(second, SENDS)
        assert other.lease_of(taken).until_free == 0


@pytest.mark.parametrize("text", ["0", "0.1", "soon", "nan", "9999"])
def test_a_lease_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"give seconds from 0\.5 to 3600"):
        journal_in_postgres(f"postgresql://db/billing?lease={text}", tmp_path)
