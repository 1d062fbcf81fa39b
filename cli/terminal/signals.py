"""Signals: every command ends in an orderly way, and a run lets what is in flight finish.

SIGINT, SIGTERM and SIGHUP are heard from the first moment of a command to its last. Whoever heeds them is whoever has
begun to last: a run that sends, in place of the command that it is a part of, and that again once the run has closed.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import anyio

from cli.terminal.screen import Screen
from engine.pacing.holds import Stop, StopKind

Result = TypeVar("Result")

Heed = Callable[[signal.Signals], None]

_heeding: Final[ContextVar[list[Heed] | None]] = ContextVar("heeding", default=None)
"""Who heeds the signals of this command, the last of them; None before it has begun to hear them."""

_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal has gone"}


class Interrupted(Exception):
    """Raised when a signal has ended a command; all that it had open is closed. The text names the signal."""


def run_command(work: Callable[[], Coroutine[Any, Any, Result]], *, calls: bool = True) -> Result:
    """Run a command in an event loop of its own. Raises `Interrupted`, and what `work` raises.

    Where it `calls` the billing that is uvloop's, as long as it is there: sooner fast, and later begun.
    """
    fast = calls and find_spec("uvloop") is not None
    return anyio.run(_interruptible, work, backend_options={"use_uvloop": fast})


async def _interruptible(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Cancel the command at a signal, whatever it does then.

    The task itself is cancelled, and not a scope in it: a thread that reads a table without end is not waited for
    then, but left to whatever closes what it reads.
    """
    task = asyncio.current_task()
    heard: list[signal.Signals] = []

    def cancel(number: signal.Signals) -> None:
        heard.append(number)
        if task is not None:
            task.cancel()

    try:
        async with heeding(cancel):
            return await work()
    except asyncio.CancelledError:
        if not heard:
            raise
        raise Interrupted(_NAMES[heard[0]]) from None


@asynccontextmanager
async def heeding(heed: Heed) -> AsyncIterator[None]:
    """Have `heed` called at SIGINT, SIGTERM and SIGHUP for as long as the context lasts, in place of all others."""
    others = _heeding.get()
    if others is not None:
        others.append(heed)
        try:
            yield
        finally:
            others.remove(heed)
        return
    heeds = [heed]
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Under nohup it is meant to be ignored.
        wanted.append(signal.SIGHUP)
    begun = _heeding.set(heeds)
    try:
        with anyio.open_signal_receiver(*wanted) as signals:

            async def watch() -> None:
                async for number in signals:
                    heeds[-1](number)

            async with run_alongside(watch):
                yield
    finally:
        _heeding.reset(begun)


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
    async def listening(self) -> AsyncIterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP for as long as the context lasts."""
        async with heeding(self._heed):
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
                self._screen.say_always(f"[yellow]{why}: {told}; press again to stop at once[/]")
        elif self._preparing or self._sending:
            scope = self._preparing or self._sending
            if scope:
                self._screen.say_always(
                    f"[yellow]{why}: stopping at once; what was in flight is looked up on resume[/]"
                )
                scope.cancel()


@asynccontextmanager
async def run_alongside(*tasks: Callable[[], Coroutine[object, object, None]]) -> AsyncIterator[None]:
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
