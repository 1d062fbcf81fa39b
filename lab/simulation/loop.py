"""A loop with a seed: the seed chooses which task runs next, and time jumps to the next timer.

At each step the seed draws one of the tasks that are ready: at random, or by priorities that change at a few steps
(PCT), which finds the orders in which one task is slow for long. Callbacks that are no task's, as those of transports
and futures, keep their order, which asyncio promises. A task is known by a number of its own, because a set of tasks
has no order that a seed repeats.

Each callback belongs to a *process*, by its context. A process can be killed: nothing of it runs any more, not even
what would clean up. It can be frozen, so that it sleeps while time goes on. And it has a clock of its own.
"""

import asyncio
import gc
import heapq
import os
import random
import secrets
import socket
import sys
import time
import warnings
from array import array
from bisect import insort
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import structlog
from anyio._backends._asyncio import _task_states as task_states  # it has no door
from anyio._core import _eventloop as anyio_loop

from checkpoints import lease, rows

Result = TypeVar("Result")

START: Final = 1_000_000.0
"""Where the clock stands at first: not at zero, which a wrong comparison might take for "never"."""
WALL: Final = 1_790_000_000.0 - START
"""By how much the wall clock is ahead of that one, until somebody sets it."""
STEP: Final = 0.00001
"""Seconds that a step takes."""
MOST_STEPS: Final = 300_000
"""Steps of a schedule, after which it counts as one without an end."""
CHANGES: Final = 4
"""Steps at which the priority of a task changes."""
SPAN: Final = 4_000
"""Steps within which they lie."""
MOST_WAITS: Final = 99
"""Times that what is abandoned may wait while it cleans up."""
FAIR: Final = 32
"""Of so many steps one is drawn without regard to priorities, or a task that waits for another could run for ever."""


class NoEnd(Exception):
    """Raised where all tasks wait for each other, or go on for ever."""


class Waits(BaseException):
    """Raised by what a thread does where it has to wait: so many seconds later it is done from its start."""


class Process:
    """A process on a machine. Its clock is `ahead` of the simulation's and runs `rate` times as fast.

    Its monotonic clock stands still while the machine sleeps (`slept` seconds so far), and that since the start of
    the machine does not. `wall` is how far its wall clock was set.
    """

    def __init__(
        self, name: str, number: int = 0, machine: str = "one", ahead: float = 0.0, rate: float = 1.0
    ) -> None:
        self.name, self.number, self.machine, self.ahead, self.rate = name, number, machine, ahead, rate
        self.boot = machine
        """What names the machine since it was started."""
        self.is_alive, self.was_killed, self.lost_power = True, False, False
        self.fuse = 0
        """Steps after which it is killed; 0 for never."""
        self.frozen_until = self.slept = self.wall = self.died = 0.0
        self.at_death: list[Callable[[], None]] = []
        """What the kernel does at its end, as releasing locks and resetting connections."""
        self.ended: asyncio.Future[object]


OUTSIDE: Final = Process("outside")
"""What belongs to no process: the story, the network, the billing."""
PROCESS: Final[ContextVar[Process]] = ContextVar("process", default=OUTSIDE)


class Killed(BaseException):
    """Raised to whoever waits for a process that was killed."""


class _Task(asyncio.Task[Any]):
    """A task of a process, with a number and a priority, both given at its birth."""

    def __init__(self, birth: tuple[int, float], coro: Any, context: Context | None, **given: Any) -> None:  # noqa: ANN401
        self.number, self.priority = birth
        self.process = PROCESS.get() if context is None else context.get(PROCESS, OUTSIDE)
        super().__init__(coro, context=context, **given)


class _Handle(asyncio.TimerHandle):
    """A callback that is ready or waits for its time."""

    __slots__ = ("arguments", "context", "is_cancelled", "work")

    def __init__(self, work: Any, arguments: tuple[Any, ...], context: Context | None) -> None:  # noqa: ANN401
        self.work, self.arguments, self.is_cancelled = work, arguments, False
        self.context = copy_context() if context is None else context

    def cancel(self) -> None:
        """Do not run it; a timer is passed over when it is due."""
        self.is_cancelled, self.work, self.arguments = True, None, ()

    def cancelled(self) -> bool:
        return self.is_cancelled


class _Outside:
    """While it is entered, what is called belongs to no process."""

    __slots__ = ("_before", "_loop", "_token")

    def __init__(self, loop: "SeededLoop") -> None:
        self._loop, self._before = loop, loop.process

    def __enter__(self) -> None:
        self._loop.process, self._token = OUTSIDE, PROCESS.set(OUTSIDE)

    def __exit__(self, *_: object) -> None:
        PROCESS.reset(self._token)
        self._loop.process = self._before


class SeededLoop(asyncio.BaseEventLoop):
    """The loop of one schedule; `happened` writes its story, and `digest` covers each step and all of the story."""

    def __init__(self, seed: int | str) -> None:
        super().__init__()
        self.draw = random.Random(f"{seed} steps")
        self.now, self.wall = START, WALL
        self.process = OUTSIDE
        self.story: list[tuple[float, str, str]] = []
        self.errors: list[BaseException] = []
        self.is_in_thread = False
        self.answer_in: Callable[[], float | None] | None = None
        """Set by what a thread does, if it answers later: in how many seconds, None for never, 0 for now."""
        self.connect: Callable[[Any], Any]
        """Makes the transport of a new connection for a protocol; raises where it is refused."""
        self.steps = array("l")
        self._tasks: list[_Task] = []
        self._works: list[Coroutine[Any, Any, Any]] = []
        self._able: list[tuple[int, int, _Handle, _Task]] = []
        self._others: deque[_Handle] = deque()
        self._frozen: list[_Handle] = []
        self._timers: list[tuple[float, int, _Handle, Process, float]] = []
        self._count = 0
        self._by_priority = self.draw.random() < 0.5  # noqa: PLR2004
        self._changes = {self.draw.randrange(SPAN) for _ in range(CHANGES)} if self._by_priority else set()
        self._lowest = 0.0

    # ---- processes ----

    def start(self, process: Process, work: Coroutine[Any, Any, Result]) -> "asyncio.Future[Result]":
        """Run `work` in a process; its result, its error, or `Killed`."""
        # A process inherits nothing of the task in whose call it begins.
        context = Context()
        context.run(PROCESS.set, process)
        self._works.append(work)
        ended: asyncio.Future[Result] = self.create_future()
        process.ended = ended  # type: ignore[assignment]

        async def main() -> None:
            try:
                result = await work
            except BaseException as error:  # noqa: BLE001 - whatever ends a process
                self._end(process)
                ended.set_exception(error)
            else:
                self._end(process)
                ended.set_result(result)

        self.create_task(main(), context=context)
        return ended

    def kill(self, process: Process) -> None:
        if process.is_alive:
            self.happened("killed", process)
            process.was_killed = True
            self._end(process)
            process.ended.set_exception(Killed())

    def freeze(self, process: Process, seconds: float) -> None:
        """Let the process sleep while time goes on."""
        self.happened(f"frozen for {seconds:g} s", process)
        process.frozen_until = self.now + seconds
        with self.outside():
            self.call_later(seconds, self._thaw)

    def happened(self, what: str, process: Process | None = None) -> None:
        self.story.append((self.now - START, (process or self.process).name, what))

    def outside(self) -> _Outside:
        """What is called in here belongs to no process."""
        return _Outside(self)

    def digest(self) -> str:
        found = blake2b(self.steps.tobytes(), digest_size=8)
        found.update(repr(self.story).encode())
        return found.hexdigest()

    def _end(self, process: Process) -> None:
        if not process.is_alive:
            return
        process.is_alive, process.died = False, self.now
        with self.outside():
            for work in process.at_death:
                work()

    def sleep(self, process: Process, seconds: float) -> None:
        """Let the process freeze, and its monotonic clock with it, as where its machine sleeps."""
        self.freeze(process, seconds)
        process.slept += seconds * process.rate

    def _thaw(self) -> None:
        frozen, self._frozen = self._frozen, []
        for handle in frozen:
            self._put(handle)

    # ---- what asyncio asks of a loop ----

    def time(self) -> float:
        """The clock of the process that runs."""
        process = self.process
        return self.now if process is OUTSIDE else self.now * process.rate + process.ahead - process.slept

    def since_boot(self) -> float:
        """The clock of its machine that runs on while the machine sleeps."""
        return self.time() + self.process.slept

    def call_soon(  # type: ignore[override]
        self,
        callback: Any,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, context)
        self._put(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Any,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop: `when` is by the clock of the process that asks."""
        return self._at(when, _Handle(callback, args, context))

    def _at(self, when: float, timer: _Handle) -> _Handle:
        process = self.process
        if process is not OUTSIDE:
            when = (when - process.ahead + process.slept) / process.rate
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer, process, process.slept))
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Any,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self._at(self.time() + delay, _Handle(callback, args, context))

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> Any:  # noqa: ANN401
        birth = len(self._tasks), self.draw.random() if self._by_priority else 0.0
        self._tasks.append(task := _Task(birth, coro, context, loop=self, name=str(name or "task")))
        return task

    def run_in_executor(  # type: ignore[override]
        self,
        executor: object,
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return self.create_task(in_a_step(func, *args))

    async def sock_connect(self, sock: object, address: object) -> None:
        """A connection is made, or refused, with its protocol."""
        await asyncio.sleep(0)

    async def create_connection(self, protocol_factory: Any, *, sock: Any = None, **_: object) -> Any:  # type: ignore[override]  # noqa: ANN401
        """A simulated connection in place of a socket."""
        sock.close()
        await asyncio.sleep(0)
        protocol = protocol_factory()
        return self.connect(protocol), protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error that nobody waits for, unless whoever has waited was killed.

        Of a future without a task nobody knows whose it was: the answer to a write comes after its asker was killed.
        """
        error, owner = context.get("exception"), context.get("future")
        process = owner.process if isinstance(owner, _Task) else self.process
        is_ours = owner is None or isinstance(owner, _Task)
        if is_ours and not process.was_killed and isinstance(error, Exception):
            self.errors.append(error)

    # ---- the steps ----

    def _put(self, handle: _Handle) -> None:
        owner = getattr(handle.work, "__self__", None)
        if type(owner) is _Task:
            self._count += 1
            insort(self._able, (owner.number, self._count, handle, owner))
        else:
            self._others.append(handle)

    def _run_once(self) -> None:
        """Run one step after the other, until the loop is told to stop."""
        steps, timers, able, others, draw = self.steps, self._timers, self._able, self._others, self.draw.random
        while not self._stopping:  # type: ignore[attr-defined] # asyncio has no door
            if not (able or others) or (timers and timers[0][0] <= self.now):
                self._come_due()
            if len(steps) > MOST_STEPS:
                raise NoEnd(f"no end after {MOST_STEPS} steps")
            if others and not (able and draw() < 0.5):  # noqa: PLR2004
                handle = others.popleft()
                steps.append(-1)
            elif able:
                number, _, handle, _ = able.pop(self._place() if len(able) > 1 else 0)
                steps.append(number)
            else:
                continue
            if handle.is_cancelled:
                continue
            process = handle.context.get(PROCESS, OUTSIDE)
            if process is not OUTSIDE and not self._may_run(process, handle):
                continue
            self.now += STEP
            self.process = process
            try:
                handle.context.run(handle.work, *handle.arguments)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - of a callback, that nobody waits for
                self.call_exception_handler({"exception": error})
            self.process = OUTSIDE

    def _come_due(self) -> None:
        """Make ready what is due; where nothing is ready, it is the time of the next timer at once."""
        timers = self._timers
        if not (self._able or self._others):
            while timers and timers[0][2].is_cancelled:
                heapq.heappop(timers)
            if not timers:
                raise NoEnd("all tasks wait for each other")
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            when, count, timer, process, slept = heapq.heappop(timers)
            if timer.is_cancelled:
                continue
            if slept < process.slept:
                when += (process.slept - slept) / process.rate
                heapq.heappush(timers, (when, count, timer, process, process.slept))
            else:
                self._put(timer)

    def _place(self) -> int:
        """Which of the tasks that are ready runs next."""
        able, step = self._able, len(self.steps)
        if not self._by_priority or not step % FAIR:
            return int(self.draw.random() * len(able))
        place = max(range(len(able)), key=lambda at: able[at][3].priority)
        if step in self._changes:
            self._lowest -= 1
            able[place][3].priority = self._lowest
        return place

    def _may_run(self, process: Process, handle: _Handle) -> bool:
        if not process.is_alive:
            return False
        if process.frozen_until > self.now:
            self._frozen.append(handle)
            return False
        if process.fuse:
            process.fuse -= 1
            if not process.fuse:
                self.kill(process)
                return False
        return True

    def abandon(self) -> None:
        """End all tasks that are left, without a word of what they would still do."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - what cleans up asks for loop and task
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for task in self._tasks:
                    self._end_task(task)
                for work in self._works:
                    work.close()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
        self._tasks.clear()
        self._works.clear()

    def _end_task(self, task: _Task) -> None:
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no door
            coroutine: Any = task.get_coro()
            asyncio.tasks._enter_task(self, task)  # noqa: SLF001
            # What cleans up may wait once more. Not by `close`, which leaves asynchronous generators as they are.
            for _ in range(MOST_WAITS):
                with suppress(BaseException):
                    coroutine.throw(Killed())
                # The closing of an asynchronous generator has no frame, and does not wait.
                if getattr(coroutine, "cr_frame", None) is None:
                    break
            asyncio.tasks._leave_task(self, task)  # noqa: SLF001
        # A scope that is never left would keep its task, and with it all of the schedule.
        task_states.pop(task, None)


async def in_a_step(work: Callable[..., Result], *arguments: Any, **_: object) -> Result:  # noqa: ANN401
    """What a thread would do, at some later step."""
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SeededLoop)  # noqa: S101
    while True:
        before, loop.is_in_thread = loop.is_in_thread, True
        try:
            result = work(*arguments)
        except Waits as wait:
            seconds: float | None = wait.args[0]
        else:
            answer_in, loop.answer_in = loop.answer_in, None
            seconds = 0.0 if answer_in is None else answer_in()
            # A thread is waited for, also by who is cancelled.
            with anyio.CancelScope(shield=True):
                while seconds and answer_in:
                    await asyncio.sleep(seconds)
                    seconds = answer_in()
            if seconds is not None:
                return result
        finally:
            loop.is_in_thread = before
        # Without an answer it is asked anew, over what is broken by now.
        if seconds:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(seconds)


def at_once(work: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:  # noqa: ANN401
    """What a thread asks of the loop, which is asked within its step: nothing of it may wait."""
    coroutine = work(*arguments)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a thread of the simulation waits for the loop")


def run(seed: int | str, story: Callable[[SeededLoop], Coroutine[Any, Any, Result]]) -> tuple[Result, SeededLoop]:
    """Run a story to its end on a loop of its own. Raises what it raises, and `NoEnd`.

    For that time clocks, random numbers and threads are the loop's; nothing of it is left behind.
    """
    loop = SeededLoop(seed)
    with _simulated(loop, f"{seed} random"):
        try:
            return loop.run_until_complete(story(loop)), loop
        finally:
            loop.abandon()
            loop.close()


@contextmanager
def _simulated(loop: SeededLoop, seed: str) -> Iterator[None]:
    drawn = random.Random(seed)

    def wall() -> float:
        return loop.now + loop.wall + loop.process.wall

    doors: Sequence[tuple[Any, str, object]] = (
        (anyio.to_thread, "run_sync", in_a_step),
        (anyio.from_thread, "run", at_once),
        (time, "monotonic", loop.time),
        (time, "perf_counter", loop.time),
        (time, "clock_gettime", lambda clock: loop.since_boot() if clock == time.CLOCK_BOOTTIME else loop.time()),
        (time, "time", wall),
        (anyio, "current_time", loop.time),
        # Each object of anyio asks which library runs: always this loop.
        (anyio_loop, "current_async_library", lambda: "asyncio"),
        (rows, "now", lambda: datetime.fromtimestamp(wall(), UTC).isoformat(timespec="milliseconds")),
        (lease, "machine", lambda: loop.process.boot),
        (os, "getpid", lambda: loop.process.number),
        (socket, "gethostname", lambda: loop.process.machine),
        (secrets, "choice", drawn.choice),
        (secrets, "token_hex", lambda size: drawn.randbytes(size).hex()),
        (sys, "unraisablehook", lambda _: None),
    )
    state, collects, logging = random.getstate(), gc.isenabled(), structlog.get_config()
    random.seed(drawn.random())
    # What is collected at a moment of its own would run its end in the middle of another step.
    gc.disable()
    configure: Any = structlog.configure
    configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with replaced(doors):
            yield
    finally:
        configure(**logging)
        if collects:
            gc.enable()
        random.setstate(state)


@contextmanager
def replaced(doors: Sequence[tuple[Any, str, object]]) -> Iterator[None]:
    """Put something in the place of names of modules, and put back what was there."""
    before = [getattr(module, name) for module, name, _ in doors]
    for module, name, value in doors:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(doors, before, strict=True):
            setattr(module, name, value)
