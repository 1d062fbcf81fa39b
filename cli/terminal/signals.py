"""Signals: every command ends in order, and a run finishes its calls in flight.

SIGINT, SIGTERM and SIGHUP are handled during the whole command. The handler installed last is called: a sending run
replaces the command's handler. Once the run has closed, its exit code stands: one more signal changes nothing, and
the one after it ends the process.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.util import find_spec
from types import FrameType
from typing import Any, Final, TypeVar

import anyio
from anyio.abc import TaskGroup

from cli.terminal.layout import render
from cli.terminal.screen import Screen
from engine.pacing.holds import Stop, StopKind
from texts.said import Quantity, Said, said, wording

Result = TypeVar("Result")

Heed = Callable[[signal.Signals], None]

_heeding: Final[ContextVar[list[Heed] | None]] = ContextVar("heeding", default=None)
"""The stack of signal handlers of this command, the last one active; None before handling begins."""

_NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: said("the terminal has gone")}


class Interrupted(Exception):
    """Raised when a signal has ended a command; everything it had open is closed. The text names the signal."""


def run_command(
    work: Callable[[], Coroutine[Any, Any, Result]], *, calls: bool = True, hear: Heed | None = None
) -> Result:
    """Run a command in an event loop of its own. Raises `Interrupted`, and what `work` raises.

    A command that `calls` the billing uses uvloop where available: it is faster, but takes longer to start. `hear` is
    told each signal, whoever handles it.
    """
    fast = calls and find_spec("uvloop") is not None
    return anyio.run(_interruptible, work, hear, backend_options={"use_uvloop": fast})


async def _interruptible(work: Callable[[], Coroutine[Any, Any, Result]], hear: Heed | None) -> Result:
    """Cancel the command at a signal.

    The task itself is cancelled, not a scope in it: a scope would wait for a thread that reads a table without end;
    the thread ends when its source is closed.
    """
    task = asyncio.current_task()
    heard: list[signal.Signals] = []

    def cancel(number: signal.Signals) -> None:
        heard.append(number)
        if task is not None:
            task.cancel()

    try:
        async with heeding(cancel, hear, then=_leave):
            return await work()
    except asyncio.CancelledError:
        if not heard:
            raise
        raise Interrupted(_NAMES[heard[0]]) from None


@asynccontextmanager
async def heeding(
    heed: Heed, hear: Heed | None = None, *, then: Callable[[int, FrameType | None], None] | None = None
) -> AsyncIterator[None]:
    """Call `heed` at SIGINT, SIGTERM and SIGHUP while the context lasts, in place of all other handlers.

    The outermost context has a `hear` that is called before, whichever handler it is, and the handler that is
    installed `then`. Once the work of an inner context is done, and no other is left, the command heeds only the
    second signal.
    """
    others = _heeding.get()
    if others is not None:
        others.append(heed)
        try:
            yield
        finally:
            others.pop()
        if len(others) == 1:
            # The first signal comes too late, for the work is done and its outcome stands.
            first, late = others[0], iter([True])
            others[0] = lambda number: None if next(late, False) else first(number)
        return
    heeds = [heed]
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # nohup sets SIGHUP to be ignored, and that is kept.
        wanted.append(signal.SIGHUP)
    begun = _heeding.set(heeds)
    try:
        with anyio.open_signal_receiver(*wanted) as signals:

            async def watch() -> None:
                async for number in signals:
                    if hear is not None:
                        hear(number)
                    heeds[-1](number)

            async with run_alongside(watch):
                yield
    finally:
        for number in wanted if then else ():
            signal.signal(number, then)
        _heeding.reset(begun)


def heeding_between() -> AbstractAsyncContextManager[None]:
    """Heed signals between the pieces of work in the context as before the first one: the command is cancelled."""
    heeds = _heeding.get()
    return heeding(heeds[0]) if heeds else nullcontext()


def _leave(number: int, _frame: FrameType | None) -> None:
    """At a signal while the command ends, let it end; the next one ends the process, in case something hangs."""
    signal.signal(number, signal.SIG_DFL)


class Interrupts:
    """Signals of a run: `in_flight` gives the number of calls that the first signal waits for.

    Before anything is sent, the work runs in a scope made by `before_sending`, and the first signal ends it at once.
    """

    def __init__(self, stop: Stop, screen: Screen) -> None:
        self.in_flight: Callable[[], int] = lambda: 0
        self._stop = stop
        self._screen = screen
        self._preparing: anyio.CancelScope | None = None
        self._sending: anyio.CancelScope | None = None
        self._ended: anyio.CancelScope | None = None

    def before_sending(self) -> anyio.CancelScope:
        """A scope that the first signal cancels."""
        self._preparing = anyio.CancelScope()
        if self._stop.requested:
            self._preparing.cancel()
        return self._preparing

    @contextmanager
    def while_sending(self) -> Iterator[None]:
        """Until the context ends, the second signal cancels it."""
        self._preparing = None
        with anyio.CancelScope() as self._sending:
            yield
        self._sending = None

    def after_the_end(self) -> anyio.CancelScope:
        """A scope that the next signal cancels: the run is closed, and its exit code stays what it is."""
        self._ended = anyio.CancelScope()
        return self._ended

    def listening(self) -> AbstractAsyncContextManager[None]:
        return heeding(self._heed)

    def _heed(self, number: signal.Signals) -> None:
        why = _NAMES[number]
        if self._ended:
            # What comes after the run, as the next step of a job file, hears of it too.
            self._stop.request(StopKind.INTERRUPTED, said("interrupted ({signal})", signal=why))
            self._say(said("{signal}: the run is closed; what was to be told of it is given up", signal=why))
            self._ended.cancel()
        elif not self._stop.requested:
            self._stop.request(StopKind.INTERRUPTED, said("interrupted ({signal})", signal=why))
            if self._preparing:
                self._preparing.cancel()
            else:
                # Look-ups need not be finished.
                waits = wording("{signal}: finishing {calls} in flight; press again to stop at once")
                none = wording("{signal}: nothing is in flight, stopping; press again to stop at once")
                calls = Quantity(self.in_flight())
                self._say(said(waits, signal=why, calls=calls) if calls else said(none, signal=why))
        elif scope := self._preparing or self._sending:
            self._say(said("{signal}: stopping at once; what was in flight is looked up on resume", signal=why))
            scope.cancel()

    def _say(self, sentence: Said) -> None:
        self._screen.say_always(render(sentence, "yellow"))


@asynccontextmanager
async def run_alongside(*tasks: Callable[[], Coroutine[object, object, None]]) -> AsyncIterator[TaskGroup]:
    """Run tasks while the body runs, which may start more, and end them with it; errors come without a group."""
    try:
        async with anyio.create_task_group() as group:
            for task in tasks:
                group.start_soon(task)
            yield group
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
