"""The events of a run, and who reads them beside it: hooks, metrics, systemd's status. No reader changes the run.

RunBegan ──▶ Held ──▶ HoldEnded ──▶ … ──▶ NeedsPerson ──▶ RunEnded ──▶ the readers have some seconds to finish

`RunBegan` is told when the first call may leave, so a run that is refused before that has a `RunEnded` alone.
Between two steps of a job file readers hear of the holds there, and of the file's end by `FileEnded`.
"""

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias

import anyio
import structlog
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.show.closing import Closing, next_steps
from cli.terminal.exits import OPERATOR_ERRORS, Exit, code_of
from cli.terminal.names import STATE_NAMES
from cli.terminal.signals import Interrupts, run_alongside
from cli.terminal.waiting import waiting
from engine.pacing.holds import Stop, StopKind
from engine.pipeline.progress import Progress, Status
from texts.said import Quantity, Said, counted, said, text_of

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
    rows = tuple(
        said("{state} {n}", state=STATE_NAMES[state], n=Quantity(number))
        for state in State
        if (number := closing.totals.count(state))
    )
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
            code = code_of(error) if isinstance(error, OPERATOR_ERRORS) else Exit.FAULT
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
            why = counted("{n} row waits for your decision", "{n} rows wait for your decision", manual)
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
