"""What happens of a run is told to readers beside it, and none of them changes how it comes out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.records import NewRun, Run, Totals
from checkpoints.states import State
from cli.session.events import (
    LAST_WORDS,
    Held,
    HoldEnded,
    LiveRun,
    NeedsPerson,
    OpenReader,
    RunBegan,
    RunEnded,
    RunEvent,
    RunReader,
    RunReaders,
)
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen, Voice
from cli.terminal.signals import Interrupts
from engine.pacing.holds import PAUSED, Stop, StopKind
from engine.pipeline.progress import Progress
from lab.crash.loops import loops
from tests.virtual_clock import run as on_virtual_clock


class Listener(RunReader):
    """Keeps what it hears, and ends when it has heard the end."""

    def __init__(self) -> None:
        self.heard: list[RunEvent] = []
        self.over = anyio.Event()

    def hear(self, event: RunEvent) -> None:
        self.heard.append(event)
        if isinstance(event, RunEnded):
            self.over.set()

    async def follow(self) -> None:
        await self.over.wait()


class Hanging(Listener):
    async def follow(self) -> None:
        await anyio.sleep_forever()


class Failing(Listener):
    def hear(self, event: RunEvent) -> None:
        raise ZeroDivisionError

    async def follow(self) -> None:
        raise ZeroDivisionError


def unmakeable(_: LiveRun) -> RunReader:
    raise ZeroDivisionError


@dataclass
class Told:
    """The readers of a run, and what the run tells them by."""

    run: Run
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)

    @asynccontextmanager
    async def to(self, journal: Journal, *opens: OpenReader) -> AsyncIterator[RunReaders]:
        interrupts = Interrupts(self.stop, Screen(Voice()))
        readers = RunReaders(self.run, journal, self.progress, interrupts)
        async with readers.following(opens):
            yield readers

    def closing(self, code: Exit = Exit.DONE, totals: Totals | None = None) -> Closing:
        return Closing(code, self.run.name, self.run.job, totals or Totals())


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "told.journal") as opened:
        yield opened


@pytest.fixture
async def told(journal: Journal) -> Told:
    return Told(await journal.create_run(NewRun("balances", {}, "http://billing", "rows.csv")))


def kinds(heard: Sequence[RunEvent]) -> list[type]:
    return [type(event) for event in heard]


async def test_a_run_is_told_in_the_order_in_which_it_happens(told: Told, journal: Journal) -> None:
    listener = Listener()
    async with told.to(journal, lambda _: listener) as readers:
        await readers.begin(told.run, taken_up=True)
        holds = told.progress.holds
        holds.put(PAUSED, "paused by olga")
        holds.put(PAUSED, "paused by olga and ivan")
        holds.put("rate", "the rate of the night")
        holds.lift(PAUSED)
        readers.close(told.closing(), told.run, told.stop)
        holds.lift("rate")
    began, *holds_told, ended = listener.heard
    assert isinstance(began, RunBegan)
    assert began.taken_up
    assert [(type(one), one.who) for one in holds_told if isinstance(one, Held | HoldEnded)] == [
        (Held, PAUSED),
        (Held, "rate"),
        (HoldEnded, PAUSED),
    ]
    assert isinstance(ended, RunEnded)
    assert ended.closing.exit is Exit.DONE


async def test_a_limit_that_was_reached_and_rows_to_decide_on_need_a_person(told: Told, journal: Journal) -> None:
    listener = Listener()
    manual = Totals(counts={State.MANUAL: 2, State.ACCEPTED: 5})
    async with told.to(journal, lambda _: listener) as readers:
        readers.close(told.closing(Exit.UNDECIDED, manual), told.run, told.stop)
    need, _ = listener.heard
    assert isinstance(need, NeedsPerson)
    assert need.rows == 2
    assert any(f"reconcile {told.run.name}" in command for command in need.commands)

    stopped = Listener()
    told.stop.request(StopKind.BUDGET, "20 of 100 rows were rejected")
    left = Totals(counts={State.PENDING: 80, State.REJECTED: 20})
    async with told.to(journal, lambda _: stopped) as readers:
        readers.close(told.closing(Exit.STOPPED, left), told.run, told.stop)
    limit, _ = stopped.heard
    assert isinstance(limit, NeedsPerson)
    assert (limit.rows, limit.why) == (80, "20 of 100 rows were rejected")
    assert any(f"resume {told.run.name}" in command for command in limit.commands)

    # Reached with the last row, it needs nobody, and says so by nothing.
    quiet = Listener()
    async with told.to(journal, lambda _: quiet) as readers:
        readers.close(told.closing(Exit.REJECTED), told.run, told.stop)
    assert kinds(quiet.heard) == [RunEnded]


@pytest.mark.parametrize(
    ("error", "code"), [(CommandRefused("the answer was no"), Exit.REFUSED), (ZeroDivisionError("oh"), Exit.FAULT)]
)
async def test_an_error_that_ends_a_run_is_told_with_its_exit_code(
    told: Told, journal: Journal, error: Exception, code: Exit
) -> None:
    listener = Listener()
    with pytest.raises(type(error)):
        async with told.to(journal, lambda _: listener) as readers, readers.working(told.run):
            raise error
    (ended,) = listener.heard
    assert isinstance(ended, RunEnded)
    assert (ended.closing.exit, ended.closing.error) == (code, str(error))


async def test_of_a_run_that_another_process_holds_nothing_is_told_or_waited_for(
    told: Told, journal: Journal
) -> None:
    hanging = Hanging()
    with anyio.fail_after(loops(5)), pytest.raises(CommandRefused):
        async with told.to(journal, lambda _: hanging):
            raise CommandRefused("another process works on it")
    assert hanging.heard == []


async def test_the_fault_of_one_reader_is_no_matter_for_the_run_or_the_others(told: Told, journal: Journal) -> None:
    listener = Listener()
    async with told.to(journal, unmakeable, lambda _: Failing(), lambda _: listener) as readers:
        await readers.begin(told.run, taken_up=False)
        readers.close(told.closing(), told.run, told.stop)
    assert kinds(listener.heard) == [RunBegan, RunEnded]


def test_a_reader_that_hangs_is_given_its_time_and_no_more(told: Told, journal: Journal) -> None:
    async def ended_after() -> float:
        began = anyio.current_time()
        async with Told(told.run).to(journal, lambda _: Hanging(), lambda _: Hanging()) as readers:
            readers.close(told.closing(), told.run, told.stop)
        return anyio.current_time() - began

    assert on_virtual_clock(ended_after()) == pytest.approx(LAST_WORDS)
