"""`python -m tests.lab.crash.fleet_saboteur HOW,… machine NAME PYTHON -m MODULE …`: a machine with a promise broken.

Each way is made before the module is run, so what it replaces is replaced in all processes of the machine.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from billing.api.wire import Wire
from checkpoints import journal, lease, transitions
from checkpoints.journal import Journal
from checkpoints.queries import blocks
from checkpoints.records import Change, Item, Run
from engine.pipeline.gate import Ownership
from lab.crash import launch

GAP = 0.6
"""Seconds between the last question whose the run is and the look at the lease before a write."""


def widens_the_gap() -> None:
    """Breaks nothing: a call takes some time to get its connection, so a process is often frozen just before a write.

    Without that, only chance would stop a process between two lines.
    """
    connection: Callable[..., Any] = Wire._connection

    async def late(self: Wire, post: object, *, shared: bool) -> object:
        # Only before writes, whose answers name their row. Not once the connection is there: nothing is awaited then.
        await asyncio.sleep(GAP if shared else 0.0)
        return await connection(self, post, shared=shared)

    _replace(Wire, "_connection", late)


def never_looks_at_the_lease() -> None:
    """Every call may leave."""
    _replace(Wire, "may_leave", property(lambda _: lambda: True, lambda *_: None))


def steps_the_clock() -> None:
    """Breaks nothing: the wall clock is set back by as long as the process was frozen, as by a time server."""
    now = time.time
    behind, last = 0.0, now()

    def stepped() -> float:
        nonlocal behind, last
        moment = now()
        if moment - last > _FROZEN:
            behind += moment - last
        last = moment
        return moment - behind

    _replace(time, "time", stepped)


def counts_the_lease_by_the_wall_clock() -> None:
    """The lease is not counted by CLOCK_BOOTTIME, and nothing else keeps the last call of a frozen process back."""
    steps_the_clock()
    _replace(Ownership, "may_leave", lambda self: self.lease.is_valid())
    clock = time.time
    _replace(lease, "boot_time", clock)
    _replace(journal, "boot_time", clock)
    defaults = tuple(clock if one is _BOOT_TIME else one for one in lease.Lease.__init__.__defaults__ or ())
    assert clock in defaults
    lease.Lease.__init__.__defaults__ = defaults


def sends_again_at_takeover() -> None:
    """What the owner before was sending becomes pending, and is not unknown."""
    known = blocks("postgres")["doubt"]
    twisted = known.replace("state = 'unknown'", "state = 'pending'")
    assert twisted != known
    blocks("postgres")["doubt"] = twisted


def leaves_the_epoch_out_of_outcomes() -> None:
    """Outcomes are written whoever has the run by now."""

    async def unfenced(self: Journal, run: Run, changes: Sequence[Change]) -> list[Item]:
        await self._store.write(lambda db: transitions.record_changes(db, run, changes))
        return []

    _replace(Journal, "record", unfenced)


_FROZEN = 0.9
_BOOT_TIME = lease.boot_time


def _replace(owner: object, name: str, new: object) -> None:
    """Replace what is there; a name that has moved would break no promise, and nobody would see it."""
    assert name == "may_leave" or hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, new)


WAYS = {
    way.__name__: way
    for way in (
        widens_the_gap,
        never_looks_at_the_lease,
        steps_the_clock,
        counts_the_lease_by_the_wall_clock,
        sends_again_at_takeover,
        leaves_the_epoch_out_of_outcomes,
    )
}

if __name__ == "__main__":
    for how in sys.argv.pop(1).split(","):
        WAYS[how]()
    launch.main()
