"""`purge`: removes what finished runs hold of people, and rewrites the journal without it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.console import Group, RenderableType
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
from cli.settings.flags import JournalFlags, RunNameOrNone, grouped
from cli.settings.settings import Settings
from cli.show.plan import same_input
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import reader
from cli.terminal.screen import BriefVoice, Screen, is_unattended
from cli.terminal.texts import WHOLE, count, markup_safe, moment, money, printable, reason_of
from cli.terminal.waiting import waiting
from jobs.access.payload import emptied
from jobs.catalogue.catalogue import Catalogue
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, JobSpec
from jobs.spec.undo_words import RUN, UNDO
from texts.remedies import PROGRAM, command_line, setting
from texts.said import Quantity, counted, said, text_of

# ---- what of a journal is purged ----------------------------------------------------------------------------------


_ALWAYS_KEPT: Final = frozenset({REPEAT, SHARED_ACCOUNTS, PLAN, DECLARATION, DECLARATION_DIGEST})
"""Parameters without anything of people: how often rows may be entered, what shares an account, the plan's name,
the declaration of the job."""

_OP_TYPE: Final = "op_type"
"""The kind of operation that a run has entered, which an accountant needs."""


@dataclass(frozen=True, slots=True)
class RunToPurge:
    """A run that can be purged, the time of its last change, its totals, and files of it that are not."""

    run: Run
    ended: datetime
    totals: Totals
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RunLeftAlone:
    """A run that cannot be purged now, and why."""

    run: Run
    why: str


@dataclass(frozen=True, slots=True)
class PurgeSelection:
    """The runs and plans of a purge, the runs that are left alone, and kept copies of the journal that go as well."""

    runs: tuple[RunToPurge, ...] = ()
    left_alone: tuple[RunLeftAlone, ...] = ()
    plans: tuple[Run, ...] = ()
    copies: tuple[Path, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to purge."""
        return not (self.runs or self.plans or self.copies)


async def select_old(
    journal: Journal, before: datetime, catalogue: Catalogue, *, keep_totals: bool
) -> PurgeSelection:
    """All runs whose last change was before a time, and the plans of that age; kept copies, too."""
    runs = await journal.runs()
    chosen: list[RunToPurge] = []
    left_alone: list[RunLeftAlone] = []
    needed = await _needed(runs, journal)
    for run in runs:
        if _is_purged(run, keep_totals=keep_totals) or (ended := await journal.history.last_change(run)) >= before:
            continue
        if why := await _reason_to_keep(run, needed, journal):
            left_alone.append(RunLeftAlone(run, why))
        else:
            chosen.append(await _to_purge(run, ended, journal, catalogue))
    plans = [plan for plan in await _plans(journal) if plan.created_at < before]
    copies = _copies_with(journal, [one.run for one in chosen], plans, before)
    return PurgeSelection(tuple(chosen), tuple(left_alone), tuple(plans), copies)


async def select_run(journal: Journal, name: str, catalogue: Catalogue, *, keep_totals: bool) -> PurgeSelection:
    """The run of that name, with the plans of its input; or the plan of that name. Raises `NoSuchRun`."""
    plans = await _plans(journal)
    try:
        run = await journal.run(name)
    except NoSuchRun:
        named = tuple(plan for plan in plans if plan.name == name)
        if not named:
            raise
        return PurgeSelection(plans=named, copies=_copies_with(journal, (), named))
    if _is_purged(run, keep_totals=keep_totals):
        return PurgeSelection(copies=_copies_with(journal, [run], ()))
    if why := await _reason_to_keep(run, await _needed(await journal.runs(), journal), journal):
        return PurgeSelection(left_alone=(RunLeftAlone(run, why),))
    chosen = await _to_purge(run, await journal.history.last_change(run), journal, catalogue)
    own = tuple(plan for plan in plans if same_input(plan, run) or plan.name == run.parameters.get(PLAN))
    return PurgeSelection((chosen,), (), own, _copies_with(journal, [run], own))


def _copies_with(
    journal: Journal, runs: Sequence[Run], plans: Sequence[Run], before: datetime | None = None
) -> tuple[Path, ...]:
    """The kept copies that hold rows of these runs or plans, and all that were made before a time."""
    beside = ((journal.path, runs), (plans_beside(journal.path), plans))
    return tuple(
        copy
        for path, listed in beside
        for copy in kept_copies(path)
        if (made := datetime.fromtimestamp(copy.stat().st_mtime, UTC)) < (before or made)
        or any(_was_in(run, made) for run in listed)
    )


def _was_in(run: Run, made: datetime) -> bool:
    """Whether a copy of that time can hold rows of the run."""
    return run.created_at <= made and not (run.has_only_totals and run.purged_at and run.purged_at <= made)


async def purge_run(run: Run, journal: Journal, catalogue: Catalogue, *, keep_totals: bool) -> Purged:
    """Purge a run. Raises `RunHeld`, `RunTakenOver` and `RunUnfinished`, and removes nothing then."""
    purged = await journal.purge(run, Purge(kept_parameters(run, catalogue), emptied, keep_totals=keep_totals))
    await wipe_secrets(run, journal)
    return purged


async def purge_plans(journal: Journal, plans: Sequence[Run]) -> Purged:
    """Remove the lists of these plans, which were never sent, and rewrite their file. Raises `JournalNotCleaned`."""
    path = plans_beside(journal.path)
    if not path.exists():
        return Purged()
    removed = refusals = 0
    async with open_journal(path) as lists:
        for plan in plans:
            removed += (await lists.totals(plan)).frozen
            await lists.discard(plan)
            refusals += (await lists.purge(plan, Purge({}, emptied, keep_totals=False))).refusals
        if not await lists.is_cleaned():
            await lists.clean()
    return Purged(removed=removed, refusals=refusals)


def kept_parameters(run: Run, catalogue: Catalogue) -> dict[str, str]:
    """The parameters that a purged run keeps: none that may hold something of a person.

    Values that are chosen from a list are kept, and those without which the journal does not know what a run is: the
    run that an undo takes back, the place in a job file.
    """
    spec = catalogue.get(run.job)
    return {name: value for name, value in run.parameters.items() if _is_kept(run, spec, name, value)}


def _is_kept(run: Run, spec: JobSpec | None, name: str, value: str) -> bool:
    if name in _ALWAYS_KEPT or name.startswith(PLACE):
        return True
    if run.job == UNDO:
        return name == RUN
    if spec is None:
        return False
    own = [one for one in spec.parameters if one.name == name]
    return any(name == _OP_TYPE or value in one.choices for one in own)


async def _plans(journal: Journal) -> list[Run]:
    """The plans beside the journal with anything left; a list that is being made is left alone."""
    path = plans_beside(journal.path)
    if not path.exists():
        return []
    async with open_journal(path) as lists:
        complete = [plan for plan in await lists.runs() if plan.frozen_at or plan.discarded_at]
    return [plan for plan in complete if plan.purged_at is None]


async def _to_purge(run: Run, ended: datetime, journal: Journal, catalogue: Catalogue) -> RunToPurge:
    return RunToPurge(run, ended, await journal.totals(run), tuple(files_of(run, catalogue)))


def files_of(run: Run, catalogue: Catalogue) -> list[Path]:
    """The files that a run has written for people, as far as they are still there."""
    spec = catalogue.get(run.job)
    made = [one.name for one in spec.parameters if one.makes_file] if spec else []
    named = [run.parameters[name] for name in (ANSWER_FILE_PARAMETER, *made) if run.parameters.get(name)]
    return [path for path in map(Path, named) if path.exists()]


def _is_purged(run: Run, *, keep_totals: bool) -> bool:
    return run.has_only_totals or (keep_totals and run.purged_at is not None)


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
    by_name = {run.name: run for run in runs}
    needed = await _steps_of_open_rounds(runs, journal)
    for undo in runs:
        if undo.job != UNDO or not await unfinished(undo, journal):
            continue
        taken = by_name.get(undo.parameters[RUN])
        while taken is not None:
            needed[taken.run_id] = said("run {undo} takes it back and is not at its end", undo=undo.name)
            taken = by_name.get(taken.parameters[RUN]) if taken.job == UNDO else None
    return needed


async def _steps_of_open_rounds(runs: Sequence[Run], journal: Journal) -> dict[int, str]:
    """The runs of job files whose newest round has not come to the end of its last step."""
    rounds: dict[tuple[str, str], tuple[int, list[Run]]] = {}
    for run in runs:
        mark = mark_of(run)
        if mark is None or run.stage is Stage.DISCARDED:
            continue
        number, steps = rounds.get((mark.file, run.target), (0, []))
        if mark.round >= number:
            steps = [run] if mark.round > number else [*steps, run]
            rounds[mark.file, run.target] = mark.round, steps
    needed: dict[int, str] = {}
    for (file, _), (_, steps) in rounds.items():
        last = next((run for run in reversed(steps) if (mark := mark_of(run)) and mark.is_last), None)
        if last is None or (await journal.totals(last)).count_where(settled=False) or last.frozen_at is None:
            why = said(
                "its job file {file} has steps left in this round, and would begin this one anew",
                file=printable(file),
            )
            needed.update(dict.fromkeys((run.run_id for run in steps), why))
    return needed


# ---- `purge` ------------------------------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

MAX_RUNS_SHOWN: Final = 20
"""Runs of each kind that are listed; the rest is counted."""

_REMOVED: Final = said(
    "removed: names, phones, keys, cells, calls, answers, messages, refused rows, reasons of decisions"
)
_AFTERWARDS: Final = said("after that these runs cannot be undone, verified, exported or corrected")
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
        typer.Option("--older-than", metavar="DAYS", help="All runs without a change for so long, as 90d."),
    ] = None,
    keep_totals: Annotated[
        bool,
        typer.Option("--keep-totals", help="Keep number, sum, state and times of each row, which prove the totals."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Purge without asking.")] = False,
    flags: JournalFlags,
    voice: BriefVoice,
) -> None:
    """Remove what finished runs hold of people; totals can be kept.

    Names, phones, cells, calls and answers go. A purged run cannot be undone, verified, exported or corrected. What
    it has entered is still known, so that nothing is entered twice.
    """

    async def work(settings: Settings, screen: Screen) -> Exit:
        return await purge(parse_which(name, older_than), settings, screen, keep_totals=keep_totals, yes=yes)

    execute(work, flags.whole(), voice.whole())


def parse_which(name: str | None, age: str | None) -> str | datetime:
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


@dataclass(slots=True)
class PurgeResult:
    """What a purge has done: by run what was removed, of plans, kept copies, and the bytes of the journal."""

    runs: list[tuple[RunToPurge, Purged]] = field(default_factory=list)
    left_alone: list[RunLeftAlone] = field(default_factory=list)
    plans: int = 0
    of_plans: Purged = field(default_factory=Purged)
    copies: list[Path] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0

    @property
    def total(self) -> Purged:
        """What was removed from all runs."""
        return Purged(*map(sum, zip(*(astuple(purged) for _, purged in self.runs), strict=True)))

    @property
    def files(self) -> list[Path]:
        """Files that the runs have written for people, which stay."""
        return [file for one, _ in self.runs for file in one.files]


async def purge(which: str | datetime, settings: Settings, screen: Screen, *, keep_totals: bool, yes: bool) -> Exit:
    """Purge the run of a name, or all runs without a change since a time.

    Raises `CommandRefused`, `NoSuchRun` and `JournalError`; a run is purged as a whole or not at all.
    """
    async with open_existing(settings.journal.value) as journal:
        await _check_idle(journal)
        if isinstance(which, str):
            selection = await select_run(journal, which, settings.catalogue, keep_totals=keep_totals)
            if selection.left_alone:
                (left,) = selection.left_alone
                raise CommandRefused("run {run} is not purged: {why}", run=left.run.name, why=left.why)
        else:
            selection = await select_old(journal, which, settings.catalogue, keep_totals=keep_totals)
        result = PurgeResult(left_alone=list(selection.left_alone), bytes_before=await journal.size())
        if not selection.is_empty:
            screen.say(_preview(selection, keep_totals=keep_totals))
            await _ask(selection, screen, yes=yes)
        code = await _purge_all(selection, journal, result, settings, screen, keep_totals=keep_totals)
        result.bytes_after = await journal.size()
    if screen.voice.as_json:
        screen.emit(_object(result, journal.name, code))
    screen.result(_closing(result), good=code is Exit.DONE)
    return code


async def _check_idle(journal: Journal) -> None:
    """Refuse while a run of the journal is worked on: rewriting the file would keep it from writing."""
    for run in await journal.runs():
        if holder := await journal.holder(run):
            raise CommandRefused(
                "{holder} works on run {run}: rewriting the journal would hold it up. Purge when it has ended",
                holder=holder.sentence,
                run=run.name,
            )


async def _ask(selection: PurgeSelection, screen: Screen, *, yes: bool) -> None:
    if yes:
        return
    question = said("Purge {what}? This cannot be taken back.", what=_named(selection))
    with screen.keyboard("") as keyboard:
        if keyboard is None:
            unattended = is_unattended(question, "")
            raise CommandRefused("{unattended}\nNothing was removed.", unattended=unattended)
        if not await screen.agrees(f"\n[bold]{markup_safe(question)}[/]", keyboard):
            raise CommandRefused(said("the answer was no\nNothing was removed."))


def _named(selection: PurgeSelection) -> str:
    runs = counted("{n} run", "{n} runs", len(selection.runs))
    plans = counted("{n} plan", "{n} plans", len(selection.plans))
    if not (selection.runs or selection.plans):
        return counted("{n} kept copy of the journal", "{n} kept copies of the journal", len(selection.copies))
    if not selection.plans:
        return runs
    return said("{runs} and {plans}", runs=runs, plans=plans) if selection.runs else plans


async def _purge_all(
    selection: PurgeSelection,
    journal: Journal,
    result: PurgeResult,
    settings: Settings,
    screen: Screen,
    *,
    keep_totals: bool,
) -> Exit:
    for one in selection.runs:
        run = one.run
        try:
            with waiting(said("purging run {run}", run=run.name)):
                purged = await purge_run(run, journal, settings.catalogue, keep_totals=keep_totals)
        except (RunHeld, RunTakenOver, RunUnfinished) as error:
            # Somebody has begun to work on it since it was looked at.
            result.left_alone.append(RunLeftAlone(run, text_of(error)))
            continue
        log.info("purged", purged=run.name, keep_totals=keep_totals, rows=one.totals.frozen)
        result.runs.append((one, purged))
    try:
        if not await journal.is_cleaned():
            with waiting(said("rewriting the journal without what was purged")):
                await journal.clean()
        result.of_plans = await purge_plans(journal, selection.plans)
        result.plans = len(selection.plans)
        for copy in selection.copies:
            copy.unlink(missing_ok=True)
            log.info("removed", copy=str(copy))
            result.copies.append(copy)
    except OSError as error:
        screen.complain(
            said(
                "{copy} cannot be removed, and holds what is purged: {why}\nThe same command once more tries it "
                "again",
                copy=printable(str(error.filename)),
                why=reason_of(error),
            )
        )
        return Exit.STOPPED
    except JournalNotCleaned as error:
        screen.complain(said("{error}\nThe same command once more tries it again", error=error))
        return Exit.STOPPED
    return Exit.DONE


# ---- the screen -------------------------------------------------------------------------------------------------


def _preview(selection: PurgeSelection, *, keep_totals: bool) -> RenderableType:
    parts: list[RenderableType] = []
    if selection.runs:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column, is_whole in (
            (said("run"), True),
            (said("job"), False),
            (said("rows from"), False),
            (said("rows"), False),
            (said("sum"), False),
            (said("last change"), True),
        ):
            table.add_column(printable(column), overflow="fold", no_wrap=is_whole)
        for one in selection.runs[:MAX_RUNS_SHOWN]:
            table.add_row(
                Text(one.run.name, "bold"),
                one.run.job,
                Text(printable(one.run.source, 40) or "–"),
                count(one.totals.frozen + one.totals.refused),
                money(one.totals.amount),
                moment(one.ended),
            )
        parts += [table, *_more(len(selection.runs))]
        kept = (
            said(
                "kept:    number, line, sum, state, times and the operation's id of each row; digests by which the "
                "same rows are not entered again"
            )
            if keep_totals
            else said("kept:    the totals of each run; digests by which the same rows are not entered again")
        )
        parts += [
            Text(""),
            Text(printable(_REMOVED)),
            Text(printable(kept)),
            Text(printable(_AFTERWARDS), "yellow"),
        ]
    if selection.plans:
        plans = counted(
            "the list of {n} plan is removed: nothing of it was sent",
            "the lists of {n} plans are removed: nothing of it was sent",
            len(selection.plans),
        )
        parts.append(Text(printable(plans)))
    parts += [
        Text(printable(said("{copy} is removed: it was kept for going back to the program before", copy=copy)))
        for copy in selection.copies
    ]
    return Group(*parts, *_left_alone(selection.left_alone))


def _more(number: int) -> list[Text]:
    if number <= MAX_RUNS_SHOWN:
        return []
    return [Text(printable(said("… and {n} more", n=Quantity(number - MAX_RUNS_SHOWN))), "dim")]


def _left_alone(left_alone: Sequence[RunLeftAlone]) -> list[Text]:
    lines = [
        Text(printable(said("– run {run} is left alone: {why}", run=one.run.name, why=one.why)))
        for one in left_alone[:MAX_RUNS_SHOWN]
    ]
    return [*lines, *_more(len(left_alone))]


def _closing(result: PurgeResult) -> RenderableType:
    if not (result.runs or result.plans or result.copies):
        return Group(Text(printable(said("There is nothing to purge."))), *_left_alone(result.left_alone))
    parts: list[RenderableType] = []
    if result.runs:
        told = result.total
        parts += [
            Text(
                printable(said("✓ purged: {runs}", runs=tuple(one.run.name for one, _ in result.runs)), WHOLE),
                "bold green",
            ),
            _indented(
                said(
                    "rows emptied: {emptied}, removed: {removed}, refused: {refused}; with them calls: {calls}, "
                    "answers: {answers}, messages: {messages}",
                    emptied=Quantity(told.emptied),
                    removed=Quantity(told.removed),
                    refused=Quantity(told.refusals),
                    calls=Quantity(told.calls),
                    answers=Quantity(told.answers),
                    messages=Quantity(told.messages),
                )
            ),
        ]
    if result.plans:
        removed = result.of_plans.removed + result.of_plans.refusals
        lists = counted(
            "✓ the list of {n} plan is removed, rows: {rows}",
            "✓ the lists of {n} plans are removed, rows: {rows}",
            result.plans,
            rows=Quantity(removed),
        )
        parts.append(Text(printable(lists)))
    parts += [Text(printable(said("✓ removed: {copy}", copy=copy))) for copy in result.copies]
    if result.runs or result.plans:
        before, after = (reader().decimal(size / _MEGABYTE) for size in (result.bytes_before, result.bytes_after))
        rewritten = said("the journal is rewritten: {before} MB before, {after} MB now", before=before, after=after)
        parts.append(_indented(rewritten, "dim"))
    if result.files:
        parts.append(_indented(said("files of these runs that stay, delete them by hand:")))
        parts += [Text(f"    {printable(file)}") for file in result.files]
    parts.append(_indented(said("recordings, exports, saved plans and logs are files of their own, and stay"), "dim"))
    return Group(*parts, *_left_alone(result.left_alone))


def _indented(sentence: str, style: str = "") -> Text:
    return Text(f"  {printable(sentence)}", style)


def _object(result: PurgeResult, journal: str, code: Exit) -> Mapping[str, object]:
    """The object of `--json`."""
    return {
        "journal": journal,
        "purged": [
            {"run": one.run.name, "job": one.run.job, "last_change": one.ended, "removed": purged}
            for one, purged in result.runs
        ],
        "plans": result.plans,
        "copies": [str(copy) for copy in result.copies],
        "left_alone": [{"run": one.run.name, "why": one.why} for one in result.left_alone],
        "files": [str(file) for file in result.files],
        "bytes_before": result.bytes_before,
        "bytes_after": result.bytes_after,
        "exit": int(code),
    }
