"""The lease of a billing: how long this process may send to it without hearing from the journal.

    take_up ──▶ renewed every third of its length ──▶ ended in order, or lost for good
                                                      (ran out, taken over, no connection)

The journal of several machines cannot stop a process that is frozen or cut off, so each process stops itself. Its
lease counts from the moment before the renewal was sent, on a clock that runs on while the machine sleeps, and it is
a little shorter here than others think. Who takes the billing over waits a whole lease by a clock of its own: no two
clocks are compared. A lease that ran out is not renewed: the run stops, and can be resumed.

With the billing its owner hands over the pace: what it has learned in memory of how fast the billing is. A pace holds
durations alone. The journal's server notes when it was written, and says how long ago that was when it is read. What
is read is judged like input, and a pace that is too old is not taken.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import anyio
import msgspec
from msgspec import Meta
from msgspec.structs import replace

from checkpoints import rows
from checkpoints.errors import BillingHeld, JournalError, JournalUnreadable, RunGivenUp
from checkpoints.queries import Queries, Value
from checkpoints.records import NewRunner, Run
from checkpoints.store import Store
from checkpoints.transitions import check_epoch, refuse_purged
from texts.said import said, text_of

# ---- the pace, which the next owner goes on with ------------------------------------------------------------------


LONGEST_KEPT: Final = 600.0
"""Seconds after which a pace is not taken any more: the billing may be another one by then."""

_Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class WindowPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window: its size, the share of `troubles`, and the server's own latency.

    That is `seconds`, the mean of so many `answers`, with the standard deviation `spread` relative to it.
    """

    size: Annotated[float, Meta(ge=1, le=10_000)]
    answers: Annotated[float, Meta(gt=0, le=1e6)]
    seconds: Annotated[float, Meta(gt=0, le=3600)]
    spread: Annotated[float, Meta(ge=0, le=1000)]
    troubles: Annotated[float, Meta(ge=0, le=1)] = 0.0


class BreakerPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breaker: failures in a row, whether it is open, and how long until it asks again, at which gaps.

    The billing has asked for a pause of `asked` seconds from now.
    """

    failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    is_open: bool = False
    wait: _Seconds = 0.0
    gap: _Seconds = 0.0
    asked: _Seconds = 0.0


class BillingPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A billing's pace at a moment; `since_call` is None where calls go on leaving after it."""

    window: WindowPace | None = None
    breaker: BreakerPace = BreakerPace()
    since_call: Annotated[float, Meta(ge=0)] | None = None

    def after(self, seconds: float) -> "BillingPace":
        """The same pace so many seconds later, nobody having sent."""
        breaker = msgspec.structs.replace(
            self.breaker,
            wait=max(self.breaker.wait - seconds, 0.0),
            asked=max(self.breaker.asked - seconds, 0.0),
        )
        since_call = None if self.since_call is None else self.since_call + seconds
        return BillingPace(self.window, breaker, since_call)


class _Written(msgspec.Struct, frozen=True):
    """A pace as it is stored, with the moment at which it was written by the server's clock, in seconds."""

    at: float
    pace: BillingPace


def encode_pace(pace: BillingPace) -> str:
    return msgspec.json.encode(pace).decode()


def found_pace(text: str, now: float, quiet: float | None) -> BillingPace | None:
    """The pace that is stored as `text`, as it is at `now` by the server's clock; None for nothing to go on with.

    Owners that were not ended in order have sent nothing for `quiet` seconds, None where there are none. Nothing is
    taken of what makes no sense.
    """
    try:
        written = msgspec.json.decode(text, type=_Written)
    except msgspec.DecodeError:
        written = None
    age = 0.0 if written is None else max(now - written.at, 0.0)
    pace = written.pace.after(age) if written is not None and age <= LONGEST_KEPT else None
    silences = [] if quiet is None else [max(quiet, 0.0)]
    if pace is not None and (pace.since_call is not None or not silences):
        silences.append(pace.since_call or 0.0)
    if not silences:
        return None
    return msgspec.structs.replace(pace or BillingPace(), since_call=min(silences))


# ---- the lease ----------------------------------------------------------------------------------------------------


MARGIN: Final = 0.1
"""The share of a lease that its owner does not use, for the line between its look and the write, and for clocks."""

_RENEWALS: Final = 3
"""Renewals in the time of a lease: two may fail to come in time."""

_GONE: Final = frozenset("ZX")
"""States of a process that does nothing any more (proc(5), stat)."""


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class EarlierOwners:
    """What earlier owners of a billing, not ended in order, may do after a take-over, in seconds.

    They may send for `lease`, and what they have sent for the run may be under way until `calls`. `pace` is what the
    last owner, whichever way it ended, has left to go on with. Where `are_all`, no call of the run has left but by
    them: the journal was not restored since, nor copied.
    """

    lease: float = 0.0
    calls: float = 0.0
    pace: BillingPace | None = None
    are_all: bool = False


class Lease:
    """The lease of one taking up; `seconds` of 0 is one without an end, where a lock stands by itself."""

    def __init__(
        self,
        seconds: float = 0.0,
        began: float = 0.0,
        earlier: EarlierOwners = EarlierOwners(),
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self.seconds = seconds
        self.why = ""
        """Why it is lost, and what to do next; "" while it is not."""
        self.lost = asyncio.Event()
        self.pace: Callable[[], BillingPace] | None = None
        """Gives the pace of the billing at this moment, once somebody sends."""
        self._clock = clock
        self._taken = clock()
        self._earlier = earlier
        self.renewed(began)

    def is_valid(self) -> bool:
        """Whether a call may leave at this moment."""
        if not self.seconds:
            return True
        if not self.why and self._clock() >= self._until:
            self.lose(
                said(
                    "the lease of the billing ran out after {seconds} s without a renewal: this process was stopped, "
                    "or the journal did not answer. Nothing more is sent, for another machine may have taken over",
                    seconds=self.seconds,
                )
            )
        return not self.why

    def renewed(self, began: float) -> None:
        """Note a renewal that was sent at the moment `began`, or later."""
        self._until = began + self.seconds * (1 - MARGIN)

    def lose(self, why: str) -> None:
        """Let nothing more leave; the first reason is kept."""
        self.why = self.why or why
        self.lost.set()

    @property
    def until_free(self) -> float:
        """Seconds until no earlier owner of the billing sends any more."""
        return max(self._taken + self._earlier.lease - self._clock(), 0.0)

    @property
    def until_calls_end(self) -> float:
        """Seconds until no call of an earlier owner of the run is under way any more."""
        return max(self._taken + self._earlier.calls - self._clock(), 0.0)

    @property
    def knows_all_calls(self) -> bool:
        """Whether the journal knows each call that has left for the run."""
        return self._earlier.are_all

    @property
    def carried(self) -> BillingPace | None:
        """The pace that the owner before has left, as it is by now; None for nothing to go on with."""
        pace = self._earlier.pace
        return None if pace is None else pace.after(self._clock() - self._taken)

    async def keep(self, renew: Callable[[], Awaitable[None]], cut: Callable[[], None]) -> None:
        """Renew the lease until it is lost; `cut` ends a connection over which nothing comes."""
        while self.seconds:
            await asyncio.sleep(self.seconds / _RENEWALS)
            if not self.is_valid():
                return
            began = self._clock()
            renewal = asyncio.ensure_future(renew())
            # A renewal that no answer comes to is left to its thread, and its error to nobody.
            renewal.add_done_callback(lambda done: done.cancelled() or done.exception())
            while not renewal.done() and self.is_valid():
                await asyncio.wait({renewal}, timeout=max(self._until - self._clock(), 0.0))
            if not renewal.done():
                # What came back of the calls in flight may be written yet, if the journal answers late.
                await asyncio.wait({renewal}, timeout=self.seconds)
                if not renewal.done():
                    cut()
                return
            if error := renewal.exception():
                self.lose(said("the lease of the billing could not be renewed: {error}", error=text_of(error)))
                return
            self.renewed(began)


@asynccontextmanager
async def keep_lease(lease: Lease, run: Run, store: Store) -> AsyncIterator[None]:
    """Renew the lease of a run for the time of the context, after which nothing leaves under it.

    Each renewal leaves the billing's pace to the next owner, and so does the end.
    """

    async def renew() -> None:
        # Calls go on leaving after this moment.
        pace = None if lease.pace is None else encode_pace(replace(lease.pace(), since_call=None))
        if not await store.renew(run.run_id, run.epoch, pace):
            await store.read(lambda db: check_epoch(db, run))
            raise JournalUnreadable(said("the journal does not know this process"))

    keeping = asyncio.create_task(lease.keep(renew, store.cut))
    try:
        yield
    finally:
        keeping.cancel()
        lease.lose(said("this process has ended its work on the run"))
        if lease.seconds and lease.pace is not None:
            # Where the lease was lost as well: the next owner has to know when the last call left.
            pace = encode_pace(lease.pace())
            # The run is given back in any case.
            with anyio.CancelScope(shield=True), suppress(JournalError):
                await store.write(lambda db: db.write("carry", run_id=run.run_id, epoch=run.epoch, pace=pace))


def take_up_run(db: Queries, run: Run, runner: NewRunner, seconds: float) -> tuple[Run, EarlierOwners]:
    """Take a run and its billing up, in the caller's transaction; the run, and what earlier owners may still do.

    A runner that sends nothing takes the run alone. Raises `RunPurged`, `RunGivenUp`, and `BillingHeld` while
    another machine works on the billing.
    """
    refuse_purged(db, run.run_id)
    earlier = EarlierOwners()
    if seconds:
        db.write("lock_billing", run_id=run.run_id)
        owner = db.first("other_machine", run_id=run.run_id, machine=machine())
        if owner is not None and runner.call_seconds:
            raise BillingHeld(
                said(
                    "another machine works on this billing, with run {run}: {holder}. Two machines would send to it "
                    "at twice its rate",
                    run=owner["run"],
                    holder=rows.to_holder(owner).sentence,
                ),
                owner["run"],
            )
        lease = calls = 0.0
        for row in db.each("earlier_leases", run_id=run.run_id):
            is_here = row["machine"] == machine()
            # What ended on this machine sends nothing more, and its connections were reset. Another run of this
            # machine goes on beside this one.
            if is_here and (not row["is_own"] or not _is_alive(row["process"])):
                continue
            lease = max(lease, row["lease_ms"] / 1000)
            if row["is_own"]:
                calls = max(calls, (row["lease_ms"] + row["call_ms"]) / 1000)
        left = db.one("carried", run_id=run.run_id)
        pace = found_pace(left["carried"], left["now"], left["quiet"])
        earlier = EarlierOwners(lease, calls, pace, bool(db.one("knows_all_calls", run_id=run.run_id)["knows"]))
    of_owner: dict[str, Value] = {
        "run_id": run.run_id,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "machine": machine(),
        "purpose": runner.purpose,
        "now": rows.now(),
    }
    db.write("take_up" if runner.call_seconds else "take_up_to_prepare", **of_owner)
    db.write(
        "begin_runner",
        who=runner.who,
        version=runner.version,
        billing=runner.billing,
        lease_ms=round(seconds * 1000),
        call_ms=round(runner.call_seconds * 1000),
        **of_owner,
    )
    taken = rows.to_run(db.one("run_by_name", name=run.name))
    if taken.discarded_at:
        # Who has just created a run holds no lock on it yet.
        raise RunGivenUp(run.name)
    return taken, earlier


def _is_alive(process: int) -> bool:
    """Whether a process of this machine may run on; this one has ended what it did before."""
    if process == os.getpid():
        return False
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in _GONE
    return False


@cache
def machine() -> str:
    """What names this machine since it was started, and the processes that see each other on it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
