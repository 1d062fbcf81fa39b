"""What is left to do when nothing of a run is left to send: files are completed, secrets are wiped.

Done when the run comes to its end, and again when it is taken up there: a kill may have come in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
from rich.console import RenderableType

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.output import answer_files as answers
from cli.output.answer_files import ANSWERS
from cli.output.item_files import OutputFile
from cli.session.session import vault_of
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import PROGRAM, markup_safe, rows
from engine.errors import EngineError
from jobs.access.vault import BATCH
from jobs.catalogue.catalogue import JOBS
from jobs.spec.errors import VaultFailed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What there is to be shown, and what could not be done."""

    shown: RenderableType | None = None
    trouble: str | None = None


async def finish_run(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    """Do what a run at its end leaves to do; `anew` writes its file of answers also where there is one already.

    Raises `JournalError`.
    """
    ending = await _finished(run) if _finish_of(run) else await _answered(run, journal, anew=anew)
    if not (await journal.totals(run)).count_where(settled=False):
        await wipe_secrets(run, journal)
    return ending


async def wipe_secrets(run: Run, journal: Journal) -> None:
    """Wipe the secrets of a run that will send nothing more; that it cannot be done is told in the log."""
    if BATCH not in run.parameters:
        return
    vault = vault_of(run, journal)
    needed = [other.parameters[BATCH] for other in await journal.runs() if await _may_need(other, run, journal)]
    try:
        await anyio.to_thread.run_sync(vault.forget, needed)
    except VaultFailed as error:
        log.error("the secrets of the run are not wiped: delete the file", why=str(error))  # noqa: TRY400 - it says all


async def _may_need(other: Run, run: Run, journal: Journal) -> bool:
    if BATCH not in other.parameters or other.run_id == run.run_id or other.discarded_at:
        return False
    unfinished = other.frozen_at is None or other.approved_at is None
    return unfinished or (await journal.totals(other)).count_where(settled=False) > 0


def _finish_of(run: Run) -> Callable[[Run], str] | None:
    return JOBS[run.job].finish if run.job in JOBS else None


async def _finished(run: Run) -> FinishedRun:
    """What the kind of job has to do in the end."""
    finish = _finish_of(run)
    if finish is None:
        return FinishedRun()
    try:
        told = await anyio.to_thread.run_sync(finish, run)
    except EngineError as error:
        return FinishedRun(trouble=f"{error}. All rows are done; {PROGRAM} resume {run.name} completes the file")
    return FinishedRun(markup_safe(told)) if told else FinishedRun()


async def _answered(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    """The answers: in the file that was named, else the first of them on the screen."""
    if not answers.reads(run.job, run.parameters):
        return FinishedRun()
    named = run.parameters.get(answers.ANSWER_FILE_PARAMETER)
    if named is None:
        return FinishedRun(await answers.first_rows(run, journal))
    if not anew and await anyio.Path(named).exists():
        return FinishedRun(f"The answers are in {markup_safe(named)}")
    try:
        # There was no such file when the run began: it is the run's own, should it be there.
        written = await answers.write_answers(run, journal, OutputFile(Path(named), force=True))
    except CommandRefused as error:
        command = f"{PROGRAM} export {run.name} --state {ANSWERS} -o FILE"
        return FinishedRun(trouble=f"{error}. The answers are in the journal: {command} writes them elsewhere")
    return FinishedRun(f"{rows(written)} of answers: {markup_safe(named)}")
