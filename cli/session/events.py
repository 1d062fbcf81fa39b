"""The events of a run, and who reads them beside it: hooks, metrics, systemd's status. No reader changes the run.

RunBegan ──▶ Held ──▶ HoldEnded ──▶ … ──▶ NeedsPerson ──▶ RunEnded ──▶ the readers have some seconds to finish

`RunBegan` is told when the first call may leave, so a run that is refused before that has a `RunEnded` alone.
Between two steps of a job file readers hear of the holds there, and of the file's end by `FileEnded`.
"""

import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Final, Self, TypeAlias

import anyio
import structlog
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.show.closing import Closing, next_steps
from cli.terminal.exits import Exit, code_of
from cli.terminal.names import LEFT_OUT, REFUSED, outcomes_of
from cli.terminal.signals import Interrupts, run_alongside
from cli.terminal.streams import waiting
from cli.terminal.texts import JOINT, printable, rendered
from engine.pacing.holds import Stop, StopKind
from engine.pipeline.progress import Progress, Status
from texts.said import Quantity, Said, SaidError, counted, reason_of, said, text_of

LAST_WORDS: Final = 12.0
"""Seconds that the end of a run waits for its readers: what they do at the end has its own limit, of ten."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """What happens to a run, and when."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class RunBegan(RunEvent):
    """Sending begins: of a new run, or of one that is resumed. `totals` are those of the journal."""

    totals: Totals
    taken_up: bool


@dataclass(frozen=True, slots=True)
class Held(RunEvent):
    """No call may leave because of `who`, a short fixed word; `why` is for people."""

    who: str
    why: str


@dataclass(frozen=True, slots=True)
class HoldEnded(RunEvent):
    """The hold of `who` is over."""

    who: str


@dataclass(frozen=True, slots=True)
class NeedsPerson(RunEvent):
    """A person has to look: `rows` rows wait for that, `why` says for what, and `commands` are to be typed next."""

    rows: int
    why: str
    commands: Sequence[str]


@dataclass(frozen=True, slots=True)
class RunEnded(RunEvent):
    """The process works on the run no longer; `closing` has the exit code and the totals."""

    closing: Closing


@dataclass(frozen=True, slots=True)
class FileEnded(RunEnded):
    """The job file of an ended run ends before its next step begins: no run ends with it. `closing` is the file's."""


def describe_outcome(closing: Closing) -> Said:
    totals = closing.totals
    numbers = {name: found.rows for name, found in outcomes_of(totals).items()}
    numbers |= {REFUSED: totals.refused, LEFT_OUT: sum(totals.left_out.values())}
    rows = tuple(said("{state} {n}", state=name, n=Quantity(number)) for name, number in numbers.items() if number)
    code = describe_exit(closing)
    return said("{code}; {rows}", code=code, rows=rows) if rows else code


def describe_exit(closing: Closing) -> Said:
    code = said("exit code {code}", code=int(closing.exit))
    why = closing.stopped or closing.error
    return said("{code}, {why}", code=code, why=why) if why else code


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that this process works on. `look` is what it says of itself at a moment, without asking the journal.

    `ended` is set between two steps of a job file, whose first one it was.
    """

    run: Run
    journal: Journal
    look: Callable[[], Status]
    ended: bool = False


Events: TypeAlias = ObjectReceiveStream[RunEvent]

RunReader: TypeAlias = Callable[[LiveRun, Events], Coroutine[object, object, None]]
"""Works beside one run and reads its events, the last of which is a `RunEnded` or `FileEnded`: then it returns.

One that returns before hears no more.
"""


class RunReaders:
    """The readers of one run: what happens is told to all of them, and the fault of one is logged."""

    def __init__(
        self, run: Run, journal: Journal, progress: Progress, interrupts: Interrupts, *, ended: bool = False
    ) -> None:
        self._live = LiveRun(run, journal, progress.status, ended)
        self._holds = progress.holds
        self._interrupts = interrupts
        self._told: list[MemoryObjectSendStream[RunEvent]] = []
        self._held: frozenset[str] = frozenset()
        self._last_words: anyio.CancelScope | None = None
        """The time of the readers once the run has ended, which a signal cuts short; None until then."""

    @asynccontextmanager
    async def following(self, readers: Sequence[RunReader]) -> AsyncIterator[None]:
        """Let the readers work while the context lasts; at its end they have `LAST_WORDS` seconds to finish.

        A signal ends that waiting at once.
        """
        over = [anyio.Event() for _ in readers]

        async def follow(reader: RunReader, events: Events, done: anyio.Event) -> None:
            try:
                async with events:
                    await reader(self._live, events)
            except Exception:
                # No reason to end the run.
                log.exception("a reader of the run has failed: a fault of ours, please report it")
            finally:
                done.set()

        async def hear_out() -> None:
            # The readers of a run that was never begun here have nothing to say.
            if self._last_words is not None:
                telling = waiting(said("telling the hooks how the run came out"), most=LAST_WORDS)
                with self._last_words, anyio.move_on_after(LAST_WORDS), telling:
                    for done in over:
                        await done.wait()

        with ExitStack() as streams:
            works = []
            for reader, done in zip(readers, over, strict=True):
                told, events = anyio.create_memory_object_stream[RunEvent](math.inf)
                self._told.append(streams.enter_context(told))
                works.append(partial(follow, reader, streams.enter_context(events), done))
            self._holds.listen(self._compare_holds)
            async with run_alongside(*works):
                try:
                    yield
                except Exception:
                    await hear_out()
                    raise
                await hear_out()

    @asynccontextmanager
    async def working(self, run: Run) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            code = code_of(error) if isinstance(error, SaidError) else Exit.FAULT
            totals = Totals()
            with suppress(JournalError):
                totals = await self._live.journal.totals(run)
            self.end(RunEnded(Closing(code, run.name, run.job, totals, error=text_of(error))))
            raise

    async def begin(self, run: Run, *, taken_up: bool) -> None:
        """Tell that sending begins. Raises `JournalError`."""
        if self._told:
            self._tell(RunBegan(await self._live.journal.totals(run), taken_up))

    def close(self, closing: Closing, run: Run, stop: Stop) -> None:
        totals = closing.totals
        commands = [command for command, _ in next_steps(run, totals)]
        if closing.exit is Exit.STOPPED and stop.kind is StopKind.BUDGET:
            self._tell(NeedsPerson(totals.count_where(open=True), stop.reason, commands))
        elif manual := totals.count(State.MANUAL):
            why = counted("{n} row[s] [waits|wait] for your decision", manual)
            self._tell(NeedsPerson(manual, why, commands))
        self.end(RunEnded(closing))

    def end(self, event: RunEnded) -> None:
        if self._told:
            self._last_words = self._interrupts.after_the_end()
        self._tell(event)

    def _compare_holds(self) -> None:
        present, before = self._holds.present, self._held
        self._held = frozenset(present)
        if self._last_words is not None:
            return
        for who, why in present.items():
            if who not in before:
                self._tell(Held(who, why))
        for who in sorted(before - present.keys()):
            self._tell(HoldEnded(who))

    def _tell(self, event: RunEvent) -> None:
        for told in self._told:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                told.send_nowait(event)


# ---- systemd, where it has started this process -------------------------------------------------------------------
# started ──▶ READY when a run is worked on ──▶ WATCHDOG and STATUS as time goes by ──▶ STOPPING ──▶ the outcome
#
# All of it comes from the event loop, so a loop that hangs says nothing more, and systemd kills it. Nothing of it
# changes the work: a fault is logged, and the work goes on.


Facts: TypeAlias = Mapping[str, str | int]
"""What is told, by name, as sd_notify(3) has it."""

ADDRESS: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_ABSTRACT: Final = "@"

EVERY: Final = 5.0
"""Seconds between two status lines, where the watchdog wants no more."""

_MORE: Final = MappingProxyType({"EXTEND_TIMEOUT_USEC": 60_000_000})
"""The minute that each beat asks for while the process starts or ends, which takes as long as the billing does."""

PATIENCE: Final = 1.0
"""Seconds for the last words, when nothing else is left to do."""

LONGEST: Final = 300
"""Characters of a status line."""

_manager: Final[ContextVar["ServiceManager | None"]] = ContextVar("manager", default=None)


def service_manager() -> "ServiceManager | None":
    """The service manager of the command that is carried out, None for one that a person or cron has started."""
    return _manager.get()


class ServiceManager:
    """Tells systemd of this process on the socket at `address`, "" for none. `hide` takes secrets out of a text."""

    def __init__(self, address: str, hide: Callable[[str], str] = str, watchdog: float | None = None) -> None:
        self.every = EVERY if watchdog is None else min(EVERY, watchdog / 2)
        """Seconds between two beats: at most half of the time after which systemd takes the process for hung."""
        self._address = f"\0{address[1:]}" if address.startswith(_ABSTRACT) else address
        self._hide = hide
        self._look: Callable[[], str] | None = None
        self._kept: Facts = {}
        """What a full queue has not taken: it goes with what is told next."""
        self._ready = False
        self._ending = False
        self._failed = set[str]()
        """What cannot be done is logged once, and again only after it could."""

    @classmethod
    def of(cls, environment: MutableMapping[str, str], hide: Callable[[str], str]) -> Self:
        """The one that has started this process; where none has, nobody is told anything.

        The variables are taken away: what this process starts is no service.
        """
        address = environment.pop(ADDRESS, "")
        watchdog, watched = environment.pop(_WATCHDOG, ""), environment.pop(_WATCHED, "")
        is_watched = watchdog.isdecimal() and int(watchdog) > 0 and watched in {"", str(os.getpid())}
        manager = cls(address, hide, int(watchdog) / 1_000_000 if is_watched else None)
        _manager.set(manager if address else None)
        return manager

    def tell(self, facts: Facts, patience: float = 0.0) -> None:
        """Send the facts; no error gets out. For a queue that is full it waits so many seconds, and blocks."""
        facts, self._kept = {**self._kept, **facts}, {}
        if not self._address or not facts:
            return
        lines = (f"{name}={' '.join(str(value).splitlines())}" for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(patience)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except (BlockingIOError, TimeoutError):
            # The queue holds ten datagrams on some machines, and a busy systemd empties it late.
            self._kept = facts
        except (OSError, ValueError) as error:
            if "tell" not in self._failed:
                why = reason_of(error) if isinstance(error, OSError) else str(error)
                log.warning("systemd cannot be told of the run: it goes on without that", why=why)
            self._failed.add("tell")
        else:
            self._failed.discard("tell")

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Say again and again that the event loop goes round, and how far the work is, while the context lasts."""

        async def beat() -> None:
            while True:
                more = _MORE if not self._ready or self._ending else {}
                self.tell({"WATCHDOG": 1, **more, **self._status()})
                await anyio.sleep(self.every)

        async with run_alongside(*[beat] * bool(self._address)):
            yield

    def show(self, look: Callable[[], str]) -> None:
        """Take `look` for the status line from now on, and tell it at once."""
        self._look = look
        self.tell(self._status())

    def work(self) -> None:
        if not self._ready:
            self._ready = True
            self.tell({"READY": 1})

    def hear(self, _number: signal.Signals) -> None:
        """A signal asks the process to end, which takes as long as what is in flight."""
        if not self._ending:
            self._ending = True
            self.tell({"STOPPING": 1, **_MORE})

    def end(self, code: Exit, outcome: str | None = None) -> None:
        """The process ends with this code; the outcome remains as the status line, or what was shown last."""
        if outcome is not None:
            self._look = lambda: outcome
        started = {} if self._ready or code not in {Exit.DONE, Exit.INTERRUPTED} else {"READY": 1}
        # A service that ends well without having been started is a failure to systemd, and begun again. Of two such
        # words in a datagram it takes the last one alone.
        self.tell(started, PATIENCE)
        self.tell({**({} if self._ending else {"STOPPING": 1}), **self._status()}, PATIENCE)

    def _status(self) -> Facts:
        if self._look is None:
            return {}
        try:
            line = self._hide(rendered(self._look()).replace(JOINT, " "))
            return {"STATUS": printable(line, LONGEST)}
        except Exception:
            if "status" not in self._failed:
                log.exception("the status line has failed: a fault of ours, please report it")
            self._failed.add("status")
            return {}


# ---- the reader of a run that shows in systemd's status line how far it is ----------------------------------------


def show_to(manager: ServiceManager) -> RunReader:
    """Makes a reader that shows a run. The first one starts the service: billing and journal are at hand then.

    Rows are read and saved only afterwards, which may take as long as it takes.
    """

    async def read(live: LiveRun, events: Events) -> None:
        from cli.show.progress import line  # noqa: PLC0415 - for a service alone

        if live.ended:
            return
        manager.work()
        manager.show(lambda: said("run {run} ({job}): reading its rows", run=live.run.name, job=live.run.job))
        async for event in events:
            match event:
                case RunBegan():
                    manager.show(lambda: line(live.look(), live.run.name).plain)
                case RunEnded(closing=closing):
                    manager.show(lambda: outcome_of(closing))
                    return

    return read


def outcome_of(closing: Closing) -> Said:
    outcome = describe_outcome(closing)
    return said("{run}: {outcome}", run=closing.run, outcome=outcome) if closing.run else outcome
