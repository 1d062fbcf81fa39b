"""The barrier after a run: the next step waits until the billing has processed what the run has sent.

The wait is a gauge, read by the throttle and shown like the gauges of a sending run; a pause holds here too.
"""

from math import ceil
from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import states_where
from engine.errors import cause_of
from engine.job import Job
from engine.pacing.holds import BARRIER
from engine.pacing.throttle import Gauge, GaugeReading, Throttle
from engine.pipeline.progress import LivePolicy
from texts.said import Quantity, said

ONCE_MORE: Final = said("start the same command again")
"""The remedy after a stop: the run itself has ended and cannot be resumed."""


async def wait_at_barrier(gauge: Gauge, steering: LivePolicy) -> None:
    """Wait after a finished run until the gauge was read and nothing holds, or a stop. Raises `JournalError`."""
    stop, holds, bell = steering.stopping, steering.progress.holds, anyio.Event()
    throttle = Throttle([gauge], holds, stop, lambda: 0, steering.policy.away_patience, ONCE_MORE)

    def ring() -> None:
        nonlocal bell
        bell.set()
        bell = anyio.Event()

    async def heed_stop() -> None:
        await stop.wait()
        ring()

    holds.listen(ring)
    throttle.listen(ring)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(throttle.watch)
            tasks.start_soon(heed_stop)
            while not stop.requested and (holds or not throttle.has_room):
                await bell.wait()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise cause_of(group) from group


def is_worked_off(run: Run, job: Job, journal: Journal, patience: float) -> Gauge:
    """A gauge that holds while the billing has unfinished work of the run, and stops after `patience` seconds."""
    began = anyio.current_time()
    after = 0

    async def measure() -> GaugeReading | None:
        nonlocal after
        while page := await journal.items(run, states_where(in_effect=True), after=after):
            left = await job.effect.unfinished_work(page)
            if left is not None and anyio.current_time() - began <= patience:
                return GaugeReading(1.0, 0.0, 0.0, text=said("the next step waits: {left}", left=left))
            if left is not None:
                why = said(
                    "after {seconds} s the billing has not worked off what was sent: {left}",
                    seconds=Quantity(round(patience)),
                    left=left,
                )
                return GaugeReading(1.0, 0.0, 0.0, text=why, end=0.0)
            # Nothing is sent any more, so a page that is processed needs no second query.
            after = page[-1].number
        return None

    return Gauge(BARRIER, measure)


def settled(seconds: float, why: str) -> Gauge:
    """A gauge that holds for `seconds`, for a billing whose unfinished work cannot be read; `why` is the reason."""
    ends = anyio.current_time() + seconds

    async def measure() -> GaugeReading | None:
        left = ends - anyio.current_time()
        if left <= 0:
            return None
        text = said("the next step waits {seconds} s: {why}", seconds=ceil(left), why=why)
        return GaugeReading(left, 0.0, 0.0, text=text)

    return Gauge(BARRIER, measure)
