"""What the program does in a process, by its own doors: a run is begun, resumed, taken back, verified, ended.

It follows the session of the command line step by step (`run --yes`, `resume`, `undo --yes`, `verify`, `close`),
which the lab cannot import; engine, jobs, journal and client are the product's.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field

import msgspec

from billing.api.client import BillingClient, ClientSettings
from billing.profile import UNKNOWN, Fact, StornoEffect, TypeEight
from checkpoints.errors import BillingHeld
from checkpoints.journal import Journal
from checkpoints.records import NewRun, NewRunner, RowFigures, Run, Stage
from checkpoints.sentences import NOT_SHOWN
from checkpoints.states import State
from checkpoints.transitions import Purge
from engine.job import Job, Row, RowPage, Source
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Intake
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.access.payload import emptied
from jobs.catalogue.catalogue import JOBS, Catalogue
from jobs.job import build
from jobs.rows.input import REPEAT, Input, how_often, since_of
from jobs.runs import (
    RunRefused,
    half_done_undos,
    in_doubt,
    refuse_half_undone,
    refuse_overtaken,
    require_complete,
    require_undoable,
    unfinished,
)
from jobs.spec.spec import parameters_of
from jobs.spec.words import RUN, SINCE, UNDO
from jobs.undo import build_undo
from lab.simulation.journal import Disk, MemoryStore
from lab.simulation.loads import Load
from lab.simulation.loop import Process, SeededLoop
from texts.said import kind_of

BY_MANY = msgspec.structs.replace(
    UNKNOWN,
    in_filters=Fact(
        dict.fromkeys(
            ("Abonents.id", "Abonents.contract_number", "FinanceOperations.abonent_id", "UsersUsluga.abonent_id"), 60
        )
    ),
)
TARGET = "http://10.0.0.1:8082"


class Table(Source):
    """The rows of an input, by default numbered from 1."""

    name = "rows.csv"
    header: tuple[str, ...] = ()

    def __init__(
        self,
        header: tuple[str, ...],
        cells: Sequence[tuple[str, ...]],
        name: str = "rows.csv",
        numbers: Sequence[int] = (),
        page: int = 11,
    ) -> None:
        self.header, self.cells, self.name, self.page = header, cells, name, page
        self.numbers = numbers or range(1, len(cells) + 1)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        for begin in range(int(after or 0), len(self.cells), self.page):
            part = slice(begin, begin + self.page)
            rows = tuple(
                Row(1 + number, cells) for number, cells in zip(self.numbers[part], self.cells[part], strict=True)
            )
            yield RowPage(rows, (), str(begin + len(rows)))


@dataclass(slots=True)
class Machines:
    """Which journals send from which machine: the machine's lock of a billing."""

    sending: dict[Process, str] = field(default_factory=dict)

    @contextmanager
    def only(self, process: Process, journal: str) -> Iterator[None]:
        """Send for one journal. Raises `BillingHeld` where another one sends from the same machine."""
        for other, theirs in self.sending.items():
            if other.is_alive and other.machine == process.machine and theirs != journal:
                raise BillingHeld("another journal sends to this billing", "other")
        self.sending[process] = journal
        try:
            yield
        finally:
            self.sending.pop(process, None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command has ended; `open` rows are left to a `resume`."""

    run: str
    open: int
    why: str = ""


@dataclass(slots=True)
class Program:
    """The program in one process, with the journal on a disk."""

    loop: SeededLoop
    process: Process
    disk: Disk
    machines: Machines
    table: Table
    policy: Policy
    load: Load
    takes_up: Callable[[str, int], None]
    """Hears of each run that a process takes up, with its epoch."""
    skips_bad: bool = True
    streams: bool = False
    """Whether the run is agreed to before its list is whole."""
    by_many: bool = False
    """Whether a probe has seen that the billing tells of many values by one question."""
    notes_gone: bool = False
    """Whether what an undo has found gone counts as taken back at its end, as it does since `campaign.SECONDS`."""
    gone: Sequence[int] = ()
    """The refused rows that the billing does not show any more: to be entered on top."""
    live: LivePolicy | None = None
    was_stopped: bool = False
    call_seconds: float = 120.0
    """Seconds after which a call ends."""
    is_alone: bool = True
    """Whether a run begins only where none of its job is under way."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Journal, Gateway]]:
        journal = Journal(MemoryStore(self.disk, self.process, self.loop))
        async with BillingClient(ClientSettings(TARGET)) as client:
            profile = BY_MANY if self.by_many else UNKNOWN
            if self.load.adds:
                # A probe has seen that an operation of type 8 adds to the balance.
                profile = msgspec.structs.replace(
                    profile, type_8=Fact(TypeEight.ADDS), storno_type_8=Fact(StornoEffect.SUBTRACTS)
                )
            yield journal, Gateway(client, profile=profile)

    @asynccontextmanager
    async def beside(self, run: Run, journal: Journal, live: LivePolicy) -> AsyncIterator[None]:
        """What works beside the sending."""
        yield

    # ---- commands ----

    async def run(self, table: Table | None = None, more: Mapping[str, str] = {}) -> Outcome:
        """Begin a run of the table, or of another one; `more` are parameters. Raises `RunRefused`."""
        self.table = table or self.table
        async with self.opened() as (journal, gateway):
            job = await self._job(gateway, journal)
            for run in await journal.runs() if self.is_alone else ():
                if run.job == job.name and await unfinished(run, journal):
                    raise RunRefused("the run is under way")
            if SINCE in more:
                await require_complete(await journal.run(more[SINCE]), journal)
            parameters = {**self.load.given, **more}
            run = await journal.create_run(self.new_run(job, parameters))
            return await self._work(run, job, journal, fresh=True)

    async def resume(self, name: str) -> Outcome:
        """Go on with a run. Raises `RunRefused`."""
        async with self.opened() as (journal, gateway):
            run = await journal.run(name)
            return await self._work(run, await self._job(gateway, journal, run), journal, fresh=False)

    async def undo(self, name: str, way: Mapping[str, str]) -> Outcome:
        """Take a run back. Raises `RunRefused`."""
        async with self.opened() as (journal, gateway):
            run = await journal.run(name)
            await require_undoable(run, journal)
            if not await journal.in_effect(run, size=1):
                return Outcome(name, 0, "nothing to take back")
            parameters = {RUN: name, **way}
            job = await build_undo(gateway, journal, parameters, Catalogue())
            new = await journal.create_run(self.new_run(job, parameters))
            return await self._work(new, job, journal, fresh=True)

    async def verify(self, name: str) -> RowFigures:
        """Read back what the billing says of a run."""
        async with self.opened() as (journal, gateway):
            run = await journal.run(name)
            job = await self._job(gateway, journal, run)
            async with journal.taken_up(run, NewRunner("verify")) as ours:
                return await verify(ours, job, journal, lambda _item, _read: None)

    async def close(self, name: str) -> None:
        """End a run for good. Raises `RunRefused`."""
        async with (
            self.opened() as (journal, _),
            journal.taken_up(await journal.run(name), NewRunner("close")) as ours,
        ):
            if not await unfinished(ours, journal):
                raise RunRefused("there is nothing to close")
            if doubtful := (await journal.totals(ours)).count_where(open=True, counts_money=True):
                raise RunRefused(in_doubt(ours, doubtful))
            if ours.approved_at is None:
                await journal.discard(ours)
            else:
                await journal.end(ours, "somebody", "closed")

    async def purge(self, name: str) -> None:
        """Remove what a finished run holds of people; its rows and sums stay."""
        async with self.opened() as (journal, _):
            run = await journal.run(name)
            kept = {
                key: value for key, value in run.parameters.items() if key in {RUN, REPEAT, SINCE, *self.load.given}
            }
            await journal.purge(run, Purge(kept, emptied, keep_totals=True))
            await journal.clean()

    # ---- the course of a run ----

    async def _job(self, gateway: Gateway, journal: Journal, run: Run | None = None) -> Job:
        """The job of a run, by default of a new one of the table."""
        if run is not None and run.job == UNDO:
            return await build_undo(gateway, journal, run.parameters, Catalogue())
        kind, given, file = JOBS[self.load.job], self.load.given, self.table.name
        if run is not None:
            kind, file = JOBS[run.job], run.source or file
            given = {name: value for name, value in run.parameters.items() if name not in {REPEAT, SINCE}}
        return build(kind, gateway, parameters_of(kind, given), Input(file=file))

    def new_run(self, job: Job, parameters: Mapping[str, str]) -> NewRun:
        paced = {"settle": f"{self.policy.settle:g}"}
        return NewRun(job.name, parameters, TARGET, job.source.name, "", job.source.header, paced)

    async def _work(self, run: Run, job: Job, journal: Journal, *, fresh: bool) -> Outcome:
        runner = NewRunner("run" if fresh else "resume", call_seconds=self.call_seconds)
        with self.machines.only(self.process, self.disk.name):
            async with journal.taken_up(run, runner) as ours:
                self.takes_up(ours.name, ours.epoch)
                if ours.ended_at or ours.discarded_at:
                    raise RunRefused("the run has ended")
                if not ours.approved_at:
                    undone = await journal.run(run.parameters[RUN]) if run.job == UNDO else None
                    async with journal.taken_up(undone, NewRunner("undo")) if undone else nullcontext():
                        await self._approve(ours, job, journal, undone)
                known = 0 if fresh else await journal.last_number(ours)
                return await self._send(await journal.again(ours), job, journal, known=known)

    async def _approve(self, run: Run, job: Job, journal: Journal, undone: Run | None) -> None:
        """Make the list, and agree to it. Raises `RunRefused`."""
        # Read beside the loop, so that a schedule without an undo has no step more.
        has_undos = any(one["job"] == UNDO for one in self.disk.runs())
        half_done = await half_done_undos(run, journal) if has_undos and self.streams else []
        if undone is not None:
            await require_undoable(undone, journal, run)
        elif self.streams and not run.frozen_at and not half_done:
            await journal.approve(run)
            return
        if not run.frozen_at:
            progress = Progress(has_steps=job.effect.has_steps)
            progress.take_up(await journal.totals(run), intake_ended=False)
            load = run.parameters.get(SINCE)
            since = None if load is None else since_of(load, await journal.runs())
            await Intake(run, job, journal, progress, enter=how_often(run), since=since).freeze_all()
        why = ""
        if undone is not None and await journal.is_out_of_date(run, undone):
            why = "the list of the undo is out of date"
        elif (await journal.totals(run)).refused and not self.skips_bad:
            why = "some rows are refused"
            refused = [one for _, one in await journal.refusals(run) if NOT_SHOWN in kind_of(one.reason)]
            self.gone = [(one.line or 1) - 1 for one in refused]
        elif any(item.message for item in await journal.items(run, {State.PENDING})):
            # Who enters on top what is not there any more looks at the preview, which says what is there again.
            why = "--yes answers no doubt"
        if why:
            await journal.discard(run)
            raise RunRefused(why)
        try:
            await refuse_overtaken(run, journal)
            if has_undos:
                await refuse_half_undone(run, journal, journal)
        except RunRefused:
            await journal.discard(run)
            raise
        await journal.approve(run)

    async def _send(self, run: Run, job: Job, journal: Journal, *, known: int) -> Outcome:
        stop = Stop()
        self.live = live = LivePolicy(self.policy, Progress(has_steps=job.effect.has_steps), stop)
        async with self.beside(run, journal, live):
            await Pipeline(run, job, journal, live, known=known, enter=how_often(run)).migrate()
        left = await _left(run, journal)
        if self.notes_gone and run.job == UNDO and not left:
            await journal.note_gone(run)
        return Outcome(run.name, left, stop.reason)


async def _left(run: Run, journal: Journal) -> int:
    """The rows that a resume has to work on."""
    if run.stage in {Stage.INTAKE, Stage.FROZEN}:
        return 1
    return (await journal.totals(run)).count_where(open=True)
