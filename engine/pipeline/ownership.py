"""Ownership: whether the run still belongs to this process.

Each write to the journal names our epoch, so a write that succeeds proves it. A claim can wait at the gate for a long
time after the last write, and another process may have taken the run up meanwhile. Before such a call leaves, the
journal is asked.
"""

from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Run

TRUSTED: Final = 1.0
"""Seconds for which the journal's word counts. Far less than the settle delay, which a process that takes the run up
waits before it believes that what was in flight here is absent."""


class Ownership:
    """Knows when the journal has last told that `run` is ours, and asks it where that is long ago."""

    def __init__(self, run: Run, journal: Journal) -> None:
        self._run = run
        self._journal = journal
        self._told_at = anyio.current_time() - 2 * TRUSTED
        self._one_at_a_time = anyio.Lock()

    def told(self, moment: float) -> None:
        """The journal has taken a write under our epoch that was handed over at `moment`."""
        self._told_at = max(self._told_at, moment)

    async def confirm(self) -> None:
        """See that the run is ours before a call leaves. Raises `RunTakenOver`."""
        if self._is_known:
            return
        async with self._one_at_a_time:
            # Another worker may have asked meanwhile.
            if not self._is_known:
                now = anyio.current_time()
                await self._journal.confirm(self._run)
                self.told(now)

    @property
    def _is_known(self) -> bool:
        return anyio.current_time() - self._told_at <= TRUSTED
