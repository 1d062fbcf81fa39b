"""Ownership: whether the run still belongs to this process.

Each write to the journal names this process's epoch, so a successful write proves the ownership. A claim can wait at
the gate for a long time after the last write, and another process may have taken the run up meanwhile. So the journal
is asked before such a call leaves.
"""

from typing import Final

import anyio

from checkpoints.journal import Journal
from checkpoints.records import Run

TRUSTED: Final = 1.0
"""Seconds for which a confirmation is valid: far less than the settle delay, after which a process that takes the run
up treats calls in flight here as absent."""


class Ownership:
    """Confirms that this process owns `run`, and asks the journal again when the last confirmation is old."""

    def __init__(self, run: Run, journal: Journal) -> None:
        self._run = run
        self._journal = journal
        self._confirmed_at = anyio.current_time() - 2 * TRUSTED
        self._one_at_a_time = anyio.Lock()

    def told(self, moment: float) -> None:
        """Note a successful write under this process's epoch that began at `moment`."""
        self._confirmed_at = max(self._confirmed_at, moment)

    async def confirm(self) -> None:
        """Check the ownership before a call leaves. Raises `RunTakenOver`."""
        if self._is_known:
            return
        async with self._one_at_a_time:
            # Another worker may have confirmed it meanwhile.
            if not self._is_known:
                now = anyio.current_time()
                await self._journal.confirm(self._run)
                self.told(now)

    @property
    def _is_known(self) -> bool:
        return anyio.current_time() - self._confirmed_at <= TRUSTED
