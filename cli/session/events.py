"""The events of a run, and who reads them beside it: hooks, metrics, systemd's status. No reader changes the run.

RunBegan ──▶ Held ──▶ HoldEnded ──▶ … ──▶ NeedsPerson ──▶ RunEnded ──▶ the readers have some seconds to finish

`RunBegan` is told when the first call may leave, so a run that is refused before that has a `RunEnded` alone.
Between two steps of a job file readers hear of the holds there, and of the file's end by `FileEnded`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias

import anyio
import structlog

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


@contextmanager
def _harmless() -> Iterator[None]:
    """Log an error of a reader, which is no reason to end the run."""
    try:
        yield
    except Exception:
        log.exception("a reader of the run has failed: a fault of ours, please report it")


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
class FileEnded(RunEvent):
    """The job file of an ended run ends before its next step begins: no run ends with it. `closing` is the file's."""

    closing: Closing


def describe_outcome(closing: Closing) -> Said:
    """How a run came out, in a line: its exit code, why it stopped, and its rows by state."""
    rows = tuple(
        said("{state} {n}", state=STATE_NAMES[state], n=Quantity(number))
        for state in State
        if (number := closing.totals.count(state))
    )
    code = describe_exit(closing)
    return said("{code}; {rows}", code=code, rows=rows) if rows else code


def describe_exit(closing: Closing) -> Said:
    """The exit code, and why it stopped."""
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


class RunReader(ABC):
    """Reads the events of one run.

    `follow` does the work, beside the run; it returns by itself once it has heard `RunEnded` or `FileEnded`, or is
    cancelled.
    """

    @abstractmethod
    def hear(self, event: RunEvent) -> None:
        """Take an event when it happens, and return at once. `RunEnded` or `FileEnded` is the last one."""

    @abstractmethod
    async def follow(self) -> None:
        """Work beside the run until it has ended."""


OpenReader: TypeAlias = Callable[[LiveRun], RunReader | None]
"""Makes the reader of a run, None where nobody wants to read it."""


class RunReaders:
    """The readers of one run: what happens is told to all of them, and the fault of one is logged."""

    def __init__(
        self, run: Run, journal: Journal, progress: Progress, interrupts: Interrupts, *, ended: bool = False
    ) -> None:
        self._live = LiveRun(run, journal, progress.status, ended)
        self._holds = progress.holds
        self._interrupts = interrupts
        self._readers: dict[RunReader, anyio.Event] = {}
        """Each with what is set when it has ended, in whatever way."""
        self._held: frozenset[str] = frozenset()
        self._last_words: anyio.CancelScope | None = None
        """The time of the readers once the run has ended, which a signal cuts short; None until then."""

    @asynccontextmanager
    async def following(self, opens: Sequence[OpenReader]) -> AsyncIterator[None]:
        """Let the readers work while the context lasts; at its end they have `LAST_WORDS` seconds to finish.

        A signal ends that waiting at once.
        """
        for open_reader in opens:
            with _harmless():
                if reader := open_reader(self._live):
                    self._readers[reader] = anyio.Event()
        self._holds.listen(self._compare_holds)
        async with run_alongside(*(partial(self._follow, reader) for reader in self._readers)):
            try:
                yield
            except Exception:
                await self._hear_out()
                raise
            await self._hear_out()

    async def _follow(self, reader: RunReader) -> None:
        try:
            with _harmless():
                await reader.follow()
        finally:
            self._readers[reader].set()

    async def _hear_out(self) -> None:
        """Wait for the readers of a run that has ended; one that was never begun here has nothing to say."""
        if self._last_words is None:
            return
        telling = waiting(said("telling the hooks how the run came out"), most=LAST_WORDS)
        with self._last_words, anyio.move_on_after(LAST_WORDS), telling:
            for done in self._readers.values():
                await done.wait()

    @asynccontextmanager
    async def working(self, run: Run) -> AsyncIterator[None]:
        """Tell of an error that ends the work on the run in the context."""
        try:
            yield
        except Exception as error:
            code = code_of(error) if isinstance(error, OPERATOR_ERRORS) else Exit.FAULT
            totals = Totals()
            with suppress(JournalError):
                totals = await self._live.journal.totals(run)
            self._end(RunEnded(Closing(code, run.name, run.job, totals, error=text_of(error))))
            raise

    async def begin(self, run: Run, *, taken_up: bool) -> None:
        """Tell that sending begins. Raises `JournalError`."""
        if self._readers:
            self._tell(RunBegan(await self._live.journal.totals(run), taken_up))

    def close(self, closing: Closing, run: Run, stop: Stop) -> None:
        """Tell how the run came out, and first whether a person is needed for it."""
        totals = closing.totals
        commands = [command for command, _ in next_steps(run, totals)]
        if closing.exit is Exit.STOPPED and stop.kind is StopKind.BUDGET:
            self._tell(NeedsPerson(totals.count_where(open=True), stop.reason, commands))
        elif manual := totals.count(State.MANUAL):
            why = counted("{n} row waits for your decision", "{n} rows wait for your decision", manual)
            self._tell(NeedsPerson(manual, why, commands))
        self._end(RunEnded(closing))

    def end_file(self, closing: Closing) -> None:
        """Tell that the job file of the run ends after it."""
        self._end(FileEnded(closing))

    def _end(self, event: RunEnded | FileEnded) -> None:
        if self._readers:
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
        for reader in self._readers:
            with _harmless():
                reader.hear(event)
