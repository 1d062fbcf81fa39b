"""`purge`: removes what finished runs hold of people, and rewrites the journal without it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.errors import JournalNotCleaned, NoSuchRun, RunHeld, RunTakenOver, RunUnfinished
from checkpoints.journal import Journal, open_journal
from checkpoints.own_files import kept_copies
from checkpoints.purge import Purge
from checkpoints.records import Purged, Run, Stage, Totals
from cli.commands.execution import execute
from cli.output.answer_files import ANSWER_FILE_PARAMETER
from cli.session.journal import open_existing, unfinished
from cli.session.order import PLAN
from cli.session.plans import plans_beside
from cli.session.stages import PLACE, mark_of
from cli.session.vaults import wipe_secrets
from cli.settings.flags import JournalFlags, RunNameOrNone, flag, grouped
from cli.settings.settings import Settings
from cli.show.preview import same_input
from cli.terminal.drawing import drawn
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import reader
from cli.terminal.screen import BriefVoice, Screen, is_unattended
from cli.terminal.texts import count, markup_safe, moment, money, printable, reason_of
from cli.terminal.waiting import waiting
from jobs.access.payload import emptied
from jobs.catalogue.catalogue import Catalogue
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST
from jobs.spec.words import RUN, UNDO
from texts.remedies import PROGRAM, command_line, setting
from texts.said import Quantity, counted, said, text_of

log = structlog.get_logger(__name__)

MAX_RUNS_SHOWN: Final = 20
"""Runs of each kind that are listed; the rest is counted."""
_ALWAYS_KEPT: Final = frozenset({REPEAT, SHARED_ACCOUNTS, PLAN, DECLARATION, DECLARATION_DIGEST})
"""Parameters without anything of people: how often rows may be entered, what shares an account, the plan's name,
the declaration of the job."""
_OP_TYPE: Final = "op_type"
"""The kind of operation that a run has entered, which an accountant needs."""
_AGE: Final = re.compile(r"([0-9]{1,5})d")
_OLDEST: Final = 36_500
"""Days; older than any journal."""
_MEGABYTE: Final = 1_000_000

app: Final = typer.Typer(add_completion=False)


@app.command("purge")
@grouped
def _purge(
    name: RunNameOrNone = None,
    *,
    older_than: Annotated[
        str | None,
        flag("--older-than", "DAYS", "All runs without a change for so long, as 90d."),
    ] = None,
    keep_totals: Annotated[
        bool,
        flag("--keep-totals", None, "Keep number, sum, state and times of each row, which prove the totals."),
    ] = False,
    yes: Annotated[bool, flag("--yes -y", None, "Purge without asking.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Remove what finished runs hold of people; totals can be kept.

    Names, phones, cells, calls and answers go. A purged run cannot be undone, verified, exported or corrected. What
    it has entered is still known, so that nothing is entered twice.
    """
    execute(
        lambda settings, screen: purge(_which(name, older_than), settings, screen, keep_totals=keep_totals, yes=yes),
        flags,
        voice.whole(),
    )


def _which(name: str | None, age: str | None) -> str | datetime:
    """The name of a run, or the time before which runs are old. Raises `CommandRefused`."""
    if name is not None and age is None:
        return name
    if name is not None or age is None:
        raise CommandRefused(
            "name a run, or an age: {of_run}, {of_age}",
            of_run=f"{PROGRAM} purge RUN",
            of_age=f"{PROGRAM} purge --older-than 90d",
        )
    found = _AGE.fullmatch(age.strip())
    if found is None or int(found[1]) > _OLDEST:
        raise CommandRefused(
            "{flag}: write a number of days, as {example}", flag=setting("older-than", age), example="90d"
        )
    return datetime.now(UTC) - timedelta(days=int(found[1]))


async def purge(which: str | datetime, settings: Settings, screen: Screen, *, keep_totals: bool, yes: bool) -> Exit:
    """Purge the run of a name, or all runs without a change since a time.

    Raises `CommandRefused`, `NoSuchRun` and `JournalError`; a run is purged as a whole or not at all.
    """
    catalogue = settings.catalogue
    async with open_existing(settings.journal.value) as journal:
        for run in await journal.runs():
            if holder := await journal.holder(run):
                raise CommandRefused(
                    "{holder} works on run {run}: rewriting the journal would hold it up. Purge when it has ended",
                    holder=holder.sentence,
                    run=run.name,
                )
        chosen = await select(which, journal, catalogue, keep_totals=keep_totals)
        if isinstance(which, str) and chosen.left_alone:
            (left,) = chosen.left_alone
            raise CommandRefused("run {run} is not purged: {why}", run=left.run, why=left.why)
        result = PurgeResult(journal.name, left_alone=list(chosen.left_alone), bytes_before=await journal.size())
        if not chosen.is_empty:
            screen.say(_preview(chosen, keep_totals=keep_totals))
            if not yes:
                await _ask(chosen, screen)
        for one in chosen.runs:
            run = one.run
            kept = Purge(kept_parameters(run, catalogue), emptied, keep_totals=keep_totals)
            try:
                with waiting(said("purging run {run}", run=run.name)):
                    removed = await journal.purge(run, kept)
                    await wipe_secrets(run, journal)
            except (RunHeld, RunTakenOver, RunUnfinished) as error:
                # Somebody has begun to work on it since it was looked at.
                result.left_alone.append(RunLeftAlone(run.name, text_of(error)))
                continue
            log.info("purged", purged=run.name, keep_totals=keep_totals, rows=one.totals.frozen)
            result.purged.append(PurgedRun(run.name, run.job, one.ended, removed))
            result.files += one.files
        rows_of_plans = await _clean(chosen, journal, result, screen)
        result.bytes_after = await journal.size()
    if screen.voice.as_json:
        screen.emit(result)
    screen.result(_closing(result, rows_of_plans), good=result.exit is Exit.DONE)
    return result.exit


async def _ask(chosen: "Selection", screen: Screen) -> None:
    runs = counted("{n} run", "{n} runs", len(chosen.runs))
    what = plans = counted("{n} plan", "{n} plans", len(chosen.plans))
    if chosen.runs:
        what = said("{runs} and {plans}", runs=runs, plans=plans) if chosen.plans else runs
    elif not chosen.plans:
        what = counted("{n} kept copy of the journal", "{n} kept copies of the journal", len(chosen.copies))
    question = said("Purge {what}? This cannot be taken back.", what=what)
    with screen.keyboard("") as keyboard:
        if keyboard is None:
            raise CommandRefused("{unattended}\nNothing was removed.", unattended=is_unattended(question, ""))
        if not await screen.agrees(f"\n[bold]{markup_safe(question)}[/]", keyboard):
            raise CommandRefused(said("the answer was no\nNothing was removed."))


async def _clean(chosen: "Selection", journal: Journal, result: "PurgeResult", screen: Screen) -> int:
    """Rewrite the journal without what was purged, and remove plans and copies; returns the rows of the plans."""
    rows = 0
    why: str | None = None
    try:
        if not await journal.is_cleaned():
            with waiting(said("rewriting the journal without what was purged")):
                await journal.clean()
        rows = await _purge_plans(journal, chosen.plans)
        result.plans = len(chosen.plans)
        for copy in chosen.copies:
            copy.unlink(missing_ok=True)
            log.info("removed", copy=str(copy))
            result.copies.append(copy)
    except OSError as error:
        copy_left, reason = printable(str(error.filename)), reason_of(error)
        why = said("{copy} cannot be removed, and holds what is purged: {why}", copy=copy_left, why=reason)
    except JournalNotCleaned as error:
        why = text_of(error)
    if why is not None:
        screen.complain(said("{error}\nThe same command once more tries it again", error=why))
        result.exit = Exit.STOPPED
    return rows


async def _purge_plans(journal: Journal, plans: Sequence[Run]) -> int:
    """Remove the lists of these plans, which were never sent, and rewrite their file; returns their rows."""
    path, rows = plans_beside(journal.path), 0
    if not path.exists():
        return rows
    async with open_journal(path) as lists:
        for plan in plans:
            rows += (await lists.totals(plan)).frozen
            await lists.discard(plan)
            rows += (await lists.purge(plan, Purge({}, emptied, keep_totals=False))).refusals
        if not await lists.is_cleaned():
            await lists.clean()
    return rows


def kept_parameters(run: Run, catalogue: Catalogue) -> dict[str, str]:
    """The parameters that a purged run keeps: none that may hold something of a person.

    Values that are chosen from a list are kept, and those without which the journal does not know what a run is: the
    run that an undo takes back, the place in a job file.
    """
    spec = catalogue.get(run.job)
    own = {one.name: one for one in spec.parameters} if spec and run.job != UNDO else {}

    def is_kept(name: str, value: str) -> bool:
        if name in _ALWAYS_KEPT or name.startswith(PLACE) or (run.job == UNDO and name == RUN):
            return True
        return name in own and (name == _OP_TYPE or value in own[name].choices)

    return {name: value for name, value in run.parameters.items() if is_kept(name, value)}


# ---- what of a journal is purged ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunToPurge:
    """A run that can be purged, the time of its last change, its totals, and files of it that are not."""

    run: Run
    ended: datetime
    totals: Totals
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RunLeftAlone:
    """A run that is not purged, and why."""

    run: str
    why: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What is purged: runs, plans and kept copies of the journal; and the runs that are left alone."""

    runs: Sequence[RunToPurge]
    left_alone: Sequence[RunLeftAlone]
    plans: Sequence[Run]
    copies: Sequence[Path]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to purge."""
        return not (self.runs or self.plans or self.copies)


async def select(which: str | datetime, journal: Journal, catalogue: Catalogue, *, keep_totals: bool) -> Selection:
    """The run of a name with the plans of its input, or the plan of that name; or what had no change since a time.

    Kept copies go with the runs and plans that they hold, and by their age. Raises `NoSuchRun`.
    """
    runs, plans = await journal.runs(), await _plans(journal)
    needed = await _needed(runs, journal)
    before: datetime | None = None
    if isinstance(which, datetime):
        before, plans = which, [plan for plan in plans if plan.created_at < which]
    else:
        try:
            run = await journal.run(which)
        except NoSuchRun:
            runs, plans = [], [plan for plan in plans if plan.name == which]
            if not plans:
                raise
        else:
            runs = [run]
            plans = [one for one in plans if same_input(one, run) or one.name == run.parameters.get(PLAN)]
    chosen: list[RunToPurge] = []
    left_alone: list[RunLeftAlone] = []
    for run in runs:
        if run.has_only_totals or (keep_totals and run.purged_at is not None):
            if before is None:
                plans = []
            continue
        ended = await journal.history.last_change(run)
        if before is not None and ended >= before:
            continue
        if why := await _reason_to_keep(run, needed, journal):
            left_alone.append(RunLeftAlone(run.name, why))
            continue
        spec = catalogue.get(run.job)
        made = [one.name for one in spec.parameters if one.makes_file] if spec else []
        named = [run.parameters.get(name) for name in (ANSWER_FILE_PARAMETER, *made)]
        files = tuple(path for name in named if name and (path := Path(name)).exists())
        chosen.append(RunToPurge(run, ended, await journal.totals(run), files))
    held = runs if before is None else [one.run for one in chosen]
    copies = [
        copy
        for path, listed in ((journal.path, held), (plans_beside(journal.path), plans))
        for copy in kept_copies(path)
        if (made_at := datetime.fromtimestamp(copy.stat().st_mtime, UTC)) < (before or made_at)
        or any(_was_in(run, made_at) for run in listed)
    ]
    return Selection(chosen, left_alone, plans, copies)


def _was_in(run: Run, made: datetime) -> bool:
    """Whether a copy of that time can hold rows of the run."""
    return run.created_at <= made and not (run.has_only_totals and run.purged_at and run.purged_at <= made)


async def _plans(journal: Journal) -> list[Run]:
    """The plans beside the journal with anything left; a list that is being made is left alone."""
    path = plans_beside(journal.path)
    if not path.exists():
        return []
    async with open_journal(path) as lists:
        complete = [plan for plan in await lists.runs() if plan.frozen_at or plan.discarded_at]
    return [plan for plan in complete if plan.purged_at is None]


async def _reason_to_keep(run: Run, needed: Mapping[int, str], journal: Journal) -> str | None:
    """Why the rows of a run are still needed, None if they are not."""
    if holder := await journal.holder(run):
        return said("{holder} works on it", holder=holder.sentence)
    if await unfinished(run, journal):
        resume = command_line("resume", run.name)
        if run.approved_at is None:
            return said("it was read and never approved: {command} goes on with it, or gives it up", command=resume)
        return said("it is not at its end: {command} goes on with it", command=resume)
    undecided = (await journal.totals(run)).count_where(settled=False)
    if undecided and run.stage is not Stage.DISCARDED:
        return counted(
            "{n} row of it waits for a decision: {command} shows it",
            "{n} rows of it wait for a decision: {command} shows them",
            undecided,
            command=command_line("reconcile", run.name),
        )
    return needed.get(run.run_id)


async def _needed(runs: Sequence[Run], journal: Journal) -> dict[int, str]:
    """The runs whose rows are needed by others, with the reason."""
    needed: dict[int, str] = {}
    # The steps of the newest round of each job file, as long as its last step has not come to its end.
    rounds: dict[tuple[str, str], tuple[int, list[Run]]] = {}
    for run in runs:
        mark = mark_of(run)
        if mark is None or run.stage is Stage.DISCARDED:
            continue
        number, steps = rounds.get((mark.file, run.target), (0, []))
        if mark.round >= number:
            steps = [run] if mark.round > number else [*steps, run]
            rounds[mark.file, run.target] = mark.round, steps
    for (file, _), (_, steps) in rounds.items():
        last = next((run for run in reversed(steps) if (mark := mark_of(run)) and mark.is_last), None)
        if last is None or (await journal.totals(last)).count_where(settled=False) or last.frozen_at is None:
            why = said(
                "its job file {file} has steps left in this round, and would begin this one anew",
                file=printable(file),
            )
            needed.update(dict.fromkeys((run.run_id for run in steps), why))
    by_name = {run.name: run for run in runs}
    for undo in runs:
        if undo.job != UNDO or not await unfinished(undo, journal):
            continue
        taken = by_name.get(undo.parameters[RUN])
        while taken is not None:
            needed[taken.run_id] = said("run {undo} takes it back and is not at its end", undo=undo.name)
            taken = by_name.get(taken.parameters[RUN]) if taken.job == UNDO else None
    return needed


# ---- the screen -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PurgedRun:
    """What was removed of a run."""

    run: str
    job: str
    last_change: datetime
    removed: Purged


@dataclass(slots=True)
class PurgeResult:
    """What a purge has done, as `--json` shows it; `files` were written for people by the runs, and stay."""

    journal: str
    purged: list[PurgedRun] = field(default_factory=list)
    plans: int = 0
    copies: list[Path] = field(default_factory=list)
    left_alone: list[RunLeftAlone] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0
    exit: Exit = Exit.DONE


def _preview(chosen: Selection, *, keep_totals: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    whole, of_several = (
        (said("run"), said("last change")),
        (said("job"), said("rows from"), said("rows"), said("sum")),
    )
    for column in (whole[0], *of_several, whole[1]):
        table.add_column(printable(column), overflow="fold", no_wrap=column in whole)
    for one in chosen.runs[:MAX_RUNS_SHOWN]:
        table.add_row(
            Text(one.run.name, "bold"),
            one.run.job,
            Text(printable(one.run.source, 40) or "–"),
            count(one.totals.frozen + one.totals.refused),
            money(one.totals.amount),
            moment(one.ended),
        )
    return drawn(
        "purge_ahead.j2", {"runs": table}, chosen=chosen, keep_totals=keep_totals, most=MAX_RUNS_SHOWN, result=None
    )


def _closing(result: PurgeResult, rows_of_plans: int) -> RenderableType:
    names = [one.name for one in fields(Purged)]
    removed = {name: Quantity(sum(getattr(one.removed, name) for one in result.purged)) for name in names}
    before, after = (reader().decimal(size / _MEGABYTE) for size in (result.bytes_before, result.bytes_after))
    return drawn(
        "purge.j2",
        result=result,
        removed={**removed, "refused": removed["refusals"]},
        rows_of_plans=rows_of_plans,
        before=before,
        after=after,
        most=MAX_RUNS_SHOWN,
    )
