"""Waiting between two steps of a job file, until the billing has applied the earlier step.

The earlier run sends nothing more, but it stays locked, and is controlled, interrupted and shown like a working run.
`status` shows what the file waits for. A pause keeps the next step from beginning, even after a kill and a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from checkpoints.records import Run
from cli.session.control_server import serve_control
from cli.session.events import RunReaders
from cli.session.journal import locked
from cli.session.session import Session
from cli.show.closing import Closing
from cli.show.progress import show_sending
from cli.terminal.exits import Exit
from cli.terminal.signals import Interrupts
from engine.pacing.holds import Stop, StopKind
from engine.pacing.throttle import Gauge
from engine.pipeline.barrier import Barrier, is_worked_off, settled
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.progress import Progress
from texts.said import said

log = structlog.get_logger(__name__)

BLIND: Final = said("without a database nobody can see what the billing has still to do")
"""Why a fixed time is waited instead of waiting for the billing."""


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The result of waiting between steps: its duration, how much of it by cause, and the stop that ended it."""

    seconds: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)

    def and_then(self, later: "WaitResult") -> "WaitResult":
        """The sum of two results, in order."""
        return WaitResult(self.seconds + later.seconds, _sum(self.held, later.held), later.stop)

    def counted_in(self, closing: Closing) -> Closing:
        """The closing of the file's last step with this waiting added."""
        whole = replace(closing, seconds=closing.seconds + self.seconds, held=_sum(self.held, closing.held))
        if not self.stop.requested:
            return whole
        code = Exit.INTERRUPTED if self.stop.kind is StopKind.INTERRUPTED else Exit.STOPPED
        return replace(whole, exit=code, stopped=self.stop.reason)


async def wait(run: Run, session: Session) -> WaitResult:
    """Wait after a finished run until the next step may begin, or a stop is requested.

    Raises `CommandRefused` when another process works on the run, `JournalError`, and what `rebuild` raises.
    """
    structlog.contextvars.bind_contextvars(run=run.name)
    return await _Waiting(run, session).wait()


async def tell_end(run: Run, closing: Closing, session: Session) -> None:
    """Tell the readers of a run that its job file ends after it; a signal ends the waiting for them."""
    interrupts = Interrupts(Stop(), session.screen)
    readers = RunReaders(run, session.journal, Progress(), interrupts, ended=True)
    async with interrupts.listening(), readers.following(session.readers):
        readers.end_file(closing)


class _Waiting:
    """One wait after one run."""

    def __init__(self, run: Run, session: Session) -> None:
        self._run = run
        self._session = session
        self._journal = session.journal
        # An interrupt that came when the step had nothing left to stop applies to the file; other stops are over.
        self._stop = session.stop if session.stop.kind is StopKind.INTERRUPTED else Stop()
        self._live_policy = LivePolicy(session.policy_of(run), Progress(), self._stop)
        self._interrupts = Interrupts(self._stop, session.screen)

    async def wait(self) -> WaitResult:
        progress = self._live_policy.progress
        readers = RunReaders(self._run, self._journal, progress, self._interrupts, ended=True)
        async with (
            locked(self._run, self._journal, "run") as self._run,
            self._interrupts.listening(),
            readers.following(self._session.readers),
        ):
            progress.take_up(await self._journal.totals(self._run), intake_ended=True)
            with self._interrupts.before_sending():
                await self._until_open(Barrier(await self._gauge(), self._live_policy))
        if self._stop.requested:
            log.info("the next step does not begin", why=self._stop.reason)
        return WaitResult(progress.seconds, progress.holds.seconds, self._stop)

    async def _until_open(self, barrier: Barrier) -> None:
        paused = True
        while paused and not self._stop.requested:
            async with (
                serve_control(self._run, self._journal, self._live_policy, self._session.screen),
                show_sending(self._live_policy.progress, self._session.screen, self._run.name),
            ):
                await barrier.wait()
            # A pause may have been confirmed just as the waiting ended, and must hold.
            paused = (await self._journal.run(self._run.name)).paused_at is not None

    async def _gauge(self) -> Gauge:
        policy = self._live_policy.policy
        if self._session.gateway.database is None:
            return settled(policy.settle, BLIND)
        job = await self._session.for_run(self._run).rebuild(self._run)
        return is_worked_off(self._run, job, self._journal, policy.drain_patience)


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    return {who: one.get(who, 0.0) + other.get(who, 0.0) for who in {**one, **other}}
