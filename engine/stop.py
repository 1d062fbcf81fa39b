"""Asking a run to stop, and knowing why it did."""

from enum import StrEnum

import anyio


class StopKind(StrEnum):
    """Who or what stopped a run; each leaves it resumable."""

    INTERRUPTED = "interrupted"
    """A person or the system asked for it."""
    SYSTEM = "system"
    """The billing as a whole will not or cannot, or what the run rests on has failed."""
    BUDGET = "budget"
    """Too many rows went wrong to go on without somebody looking."""


class Stop:
    """One wish to stop, shared by all that works on a run; the first reason is the one that is kept."""

    def __init__(self) -> None:
        self.kind: StopKind | None = None
        self.reason = ""
        self._event = anyio.Event()

    @property
    def requested(self) -> bool:
        """Whether to begin nothing new."""
        return self.kind is not None

    def request(self, kind: StopKind, reason: str) -> None:
        """Begin nothing new; finish what is in flight."""
        if self.kind is None:
            self.kind, self.reason = kind, reason
            self._event.set()

    async def wait(self) -> None:
        """Wait for the wish."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, less when a stop is asked for."""
        if seconds > 0:
            with anyio.move_on_after(seconds):
                await self._event.wait()
