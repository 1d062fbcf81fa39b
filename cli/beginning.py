"""How a run begins: its identity, whether it was begun before, and what has to give way to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
import structlog

from checkpoints.errors import RunHeld
from checkpoints.journal import Journal
from checkpoints.records import NewRun, Run, Stage
from checkpoints.states import OPEN, State
from cli.errors import CommandRefused
from cli.names import PROGRAM
from cli.sessions import AGAIN, FILE, build
from cli.texts import plain, rows
from engine.job import Job
from jobs.catalogue import kind
from jobs.kinds import JobKind, parameters_of
from jobs.services import Services

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What `run` was told to do: a job, its checked parameters, and its file as an absolute path."""

    kind: JobKind
    parameters: Mapping[str, str]
    file: Path | None
    again: bool

    @property
    def recorded(self) -> dict[str, str]:
        """What the journal keeps, enough to build the job anew."""
        file = {FILE: str(self.file)} if self.file else {}
        return {**self.parameters, **file, **({AGAIN: "yes"} if self.again else {})}


def order_of(job: str, file: Path | None, settings: Sequence[str], *, again: bool) -> Order:
    """The order that a command line gives; nothing is read yet. Raises `ParameterRefused` and `CommandRefused`."""
    wanted = kind(job)
    parameters = parameters_of(wanted, _pairs(settings))
    if file is not None and not wanted.takes_file:
        raise CommandRefused(
            f"{wanted.name} takes no file, its rows come from the billing's database: leave {plain(file)} out.\n"
            f"An example: {wanted.example}"
        )
    if file is None and wanted.takes_file:
        raise CommandRefused(f"{wanted.name} reads a file: name it.\nAn example: {wanted.example}")
    return Order(wanted, parameters, None if file is None else Path.cwd() / file, again)


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = name.strip()
        if not equals or not name:
            raise CommandRefused(f"--set {plain(setting)}: write it as --set name=value")
        if name in pairs:
            raise CommandRefused(f"--set {name}=… is given twice: which is meant?")
        pairs[name] = value
    return pairs


async def begin(order: Order, target: str, services: Services, journal: Journal) -> tuple[Run, Job]:
    """Enter a new run into the journal, unless it would be one that is already under way.

    Raises `CommandRefused` when it would, `InputRefused` when the input cannot be read at all.
    """
    job = build(order.kind, order.parameters, order.file, services)
    new = await anyio.to_thread.run_sync(lambda: _new_run(order, job, target))
    for run in await journal.runs():
        if run.job == new.job and run.target == new.target and run.source == new.source:
            await _give_way(run, new, journal)
    return await journal.create_run(new), job


def _new_run(order: Order, job: Job, target: str) -> NewRun:
    source = job.source
    return NewRun(
        job=job.name,
        parameters=order.recorded,
        target=target,
        source=source.name,
        source_digest=source.digest,
        header=source.header,
    )


async def _give_way(run: Run, new: NewRun, journal: Journal) -> None:
    """Refuse to begin beside the same run; give one up that never began and whose file has been mended since."""
    if not await unfinished(run, journal):
        return
    same = _identity(run.parameters) == _identity(new.parameters) and run.source_digest == new.source_digest
    begun = run.approved_at or journal.holder(run) or (await journal.totals(run)).count(*OPEN)
    if same and begun:
        raise CommandRefused(await _under_way(run, journal))
    if run.approved_at is None and journal.holder(run) is None:
        await give_up(run, journal)
        log.info("gave up an earlier run that had sent nothing", given_up=run.name)


def _identity(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if name != AGAIN}


async def _under_way(run: Run, journal: Journal) -> str:
    totals = await journal.totals(run)
    left = rows(totals.count(*OPEN))
    if holder := journal.holder(run):
        return f"run {run.name} is doing just this at this moment ({holder}): {left} left"
    if run.approved_at is None:
        return (
            f"run {run.name} has read just this and was never approved: nothing of it was sent.\n"
            f"Go on with it: {PROGRAM} resume {run.name} (answer no there to give it up)"
        )
    return (
        f"run {run.name} has begun just this and is not at its end: {left} left.\n"
        f"Go on with it: {PROGRAM} resume {run.name}"
    )


async def unfinished(run: Run, journal: Journal) -> bool:
    """Whether `resume` has something to do for the run."""
    if run.stage is Stage.DISCARDED:
        return False
    return run.frozen_at is None or run.approved_at is None or (await journal.totals(run)).count(*OPEN) > 0


async def give_up(run: Run, journal: Journal) -> None:
    """Discard a run that has sent nothing; its refusals are kept. One that somebody holds is left alone."""
    try:
        with journal.lock(run):
            await journal.discard(run)
    except RunHeld as error:
        log.info("left alone", left_alone=run.name, why=str(error))


async def held(run: Run, journal: Journal, why: object) -> CommandRefused:
    """Why a second process may not work on a run: who does, and how much it has in flight."""
    in_flight = (await journal.totals(run)).count(State.SENDING)
    return CommandRefused(
        f"run {run.name}: {why}; {rows(in_flight)} in flight.\n"
        f"Wait for it, or stop it there; {PROGRAM} status {run.name} shows where it stands"
    )
