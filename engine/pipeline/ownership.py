"""Ownership: whether the run still belongs to this process.

Each write to the journal names this process's epoch, so a successful write proves the ownership. A claim can wait at
the gate for a long time after the last write, and another process may have taken the run up meanwhile. So the journal
is asked before such a call leaves.
"""

from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.lease import machine
from checkpoints.records import Run
from engine.pacing.holds import Stop, StopKind
from engine.pipeline.gate import Gate
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import count_down
from texts.remedies import Remedy
from texts.said import Quantity, said

TRUSTED: Final = 1.0
"""Seconds for which a confirmation is valid: far less than the settle delay, after which a process that takes the run
up treats calls in flight here as absent."""


class Ownership:
    """Confirms that this process owns `run`, and asks the journal again when the last confirmation is old."""

    def __init__(self, run: Run, journal: Journal) -> None:
        self._run = run
        self._journal = journal
        self.lease = journal.lease_of(run)
        self._confirmed_at = anyio.current_time() - 2 * TRUSTED
        self._one_at_a_time = anyio.Lock()

    def told(self, moment: float) -> None:
        """Note a successful write under this process's epoch that began at `moment`."""
        self._confirmed_at = max(self._confirmed_at, moment)

    async def wait_for_earlier(self, progress: Progress, stop: Stop) -> None:
        """Wait until no earlier owner of the billing can send any more: one that was frozen or cut off."""
        if not self.lease.until_free:
            return

        def left(seconds: int) -> str:
            return said(
                "the process that worked on this billing before was not ended in order and may still send: going on "
                "in {seconds} s",
                seconds=Quantity(seconds),
            )

        try:
            await count_down(anyio.current_time() + self.lease.until_free, progress, stop, left)
        finally:
            progress.hold(None)
        if not self.lease.until_free:
            await self._journal.history.note_free(self._run, machine())

    def carry_on(self, gate: Gate) -> None:
        """Go on at the billing's pace as its owner before has left it, and leave it to the next one."""
        if (pace := self.lease.carried) is not None:
            gate.go_on(pace)
        self.lease.pace = gate.pace

    async def stop_when_lost(self, stop: Stop) -> None:
        """Stop the run when the lease is lost; it can be resumed."""
        await self.lease.lost.wait()
        resume = Remedy("resume", self._run.name)
        stop.request(StopKind.SYSTEM, said("{why}; {resume} goes on", why=self.lease.why, resume=resume))

    async def confirm(self) -> None:
        """Check the ownership before a call leaves. Raises `RunTakenOver`."""
        if anyio.current_time() - self._confirmed_at <= TRUSTED:
            return
        async with self._one_at_a_time:
            # Another worker may have confirmed it meanwhile.
            if (now := anyio.current_time()) - self._confirmed_at > TRUSTED:
                await self._journal.confirm(self._run)
                self.told(now)
