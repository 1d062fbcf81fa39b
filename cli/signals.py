"""Interrupted: the first signal lets what is in flight finish, the second stops at once."""

import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

import anyio

from cli.screen import Screen
from engine.stop import Stop, StopKind

_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal has gone"}


class Interrupts:
    """What signals do to a run: `in_flight` says how many calls the first one has to wait for.

    While nothing can have been sent yet, the work goes on in a scope made by `before_sending`, and the first signal
    ends it at once.
    """

    def __init__(self, stop: Stop, screen: Screen) -> None:
        self.in_flight: Callable[[], int] = lambda: 0
        self._stop = stop
        self._screen = screen
        self._preparing: anyio.CancelScope | None = None
        self._sending: anyio.CancelScope | None = None

    def before_sending(self) -> anyio.CancelScope:
        """A scope that the first signal cancels."""
        self._preparing = anyio.CancelScope()
        if self._stop.requested:
            self._preparing.cancel()
        return self._preparing

    def while_sending(self) -> anyio.CancelScope:
        """A scope that the second signal cancels."""
        self._preparing = None
        self._sending = anyio.CancelScope()
        return self._sending

    @asynccontextmanager
    async def heeded(self) -> AsyncIterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP for as long as the context lasts."""
        wanted = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup it is meant to be ignored.
            wanted.append(signal.SIGHUP)
        with anyio.open_signal_receiver(*wanted) as signals:

            async def watch() -> None:
                async for number in signals:
                    self._heed(number)

            async with beside(watch):
                yield

    def _heed(self, number: signal.Signals) -> None:
        why = _NAMES[number]
        if not self._stop.requested:
            self._stop.request(StopKind.INTERRUPTED, f"interrupted ({why})")
            if self._preparing:
                self._preparing.cancel()
            else:
                waiting = self.in_flight()
                # Of what is being looked up, nothing need be finished.
                told = f"finishing {waiting} in flight" if waiting else "nothing is in flight, stopping"
                self._screen.insist(f"[yellow]{why}: {told}; press again to stop at once[/]")
        elif self._preparing or self._sending:
            scope = self._preparing or self._sending
            if scope:
                self._screen.insist(f"[yellow]{why}: stopping at once; what was in flight is looked up on resume[/]")
                scope.cancel()


@asynccontextmanager
async def beside(*tasks: Callable[[], Coroutine[object, object, None]]) -> AsyncIterator[None]:
    """Run tasks while the body runs, and end them with it; an error of either comes out as it is, in no group."""
    try:
        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(task)
            yield
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
