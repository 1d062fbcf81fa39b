"""`purge`: removes what finished runs hold of people, and rewrites the journal without it."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from rich.table import Column
from rich.text import Text

from checkpoints.errors import JournalNotCleaned, NoSuchRun, RunHeld, RunTakenOver, RunUnfinished
from checkpoints.journal import Journal, open_journal
from checkpoints.own_files import kept_copies
from checkpoints.records import Purged, Run, Stage, Totals
from checkpoints.transitions import Purge
from cli.commands.execution import with_settings
from cli.session.order import PLAN, plans_beside, wipe_secrets
from cli.session.run_view import mark_of
from cli.settings.flags import RUN_NAME_OR_NONE, JournalFlags
from cli.settings.settings import Settings
from cli.show.preview import same_input
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import bare_table, drawn
from cli.terminal.options import option, switch
from cli.terminal.screen import BriefVoice, Screen, is_unattended
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, count, moment, money, printable
from jobs.access.payload import emptied
from jobs.catalogue.catalogue import Catalogue
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS
from jobs.runs import unfinished
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST
from jobs.spec.words import ANSWER_FILE_PARAMETER, PLACE, RUN, UNDO, source_of
from texts.said import Quantity, command_line, counted, reason_of, said, setting, text_of

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


@with_settings("purge", JournalFlags, BriefVoice)
async def _purge(
    journal: Journal,
    settings: Settings,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    older_than: str | None = option("DAYS", "All runs without a change for so long, as 90d."),
    keep_totals: bool = switch("Keep number, sum, state and times of each row, which prove the totals."),
    yes: bool = switch("Purge without asking.", "--yes", "-y"),
) -> Exit:
    """Remove what finished runs hold of people; totals can be kept.

    Names, phones, cells, calls and answers go. A purged run cannot be undone, verified, exported, corrected or
    reported. What it has entered is still known, so that nothing is entered twice.
    """
    which, catalogue = _which(name, older_than), settings.catalogue
    for run in await journal.runs():
        if holder := await journal.holder(run):
            raise CommandRefused(
                "{holder} works on run {run}: rewriting the journal would hold it up. Purge when it has ended",
                holder=holder.sentence,
                run=run.name,
            )
    chosen = await select(which, journal, catalogue, keep_totals=keep_totals)
    if isinstance(which, str) and chosen.left_alone:
        raise CommandRefused("run {run} is not purged: {why}", **chosen.left_alone[0])
    result = PurgeResult(journal.name, left_alone=[*chosen.left_alone], bytes_before=await journal.size())
    if chosen.runs or chosen.plans or chosen.copies:
        whole = said("run"), said("last change")
        columns = whole[0], said("job"), said("rows from"), said("rows"), said("sum"), whole[1]
        table = bare_table(*(Column(printable(name), overflow="fold", no_wrap=name in whole) for name in columns))
        for run, ended, totals, _ in chosen.runs[:MAX_RUNS_SHOWN]:
            source = Text(printable(source_of(run), WHOLE).rpartition("/")[2] or "–")
            rows = count(totals.frozen + totals.refused)
            table.add_row(Text(run.name, "bold"), run.job, source, rows, money(totals.amount), moment(ended))
        told = {"chosen": chosen, "keep_totals": keep_totals, "most": MAX_RUNS_SHOWN, "result": None}
        screen.say(drawn("purge_ahead.j2", {"runs": table}, **told))
        if not yes:
            await _ask(chosen, screen)
    for run, ended, totals, files in chosen.runs:
        kept = Purge(kept_parameters(run, catalogue), emptied, keep_totals=keep_totals)
        try:
            with waiting(said("purging run {run}", run=run.name)):
                removed = await journal.purge(run, kept)
                await wipe_secrets(run, journal)
        except (RunHeld, RunTakenOver, RunUnfinished) as error:
            # Somebody has begun to work on it since it was looked at.
            result.left_alone.append({"run": run.name, "why": text_of(error)})
            continue
        log.info("purged", purged=run.name, keep_totals=keep_totals, rows=totals.frozen)
        result.purged.append({"run": run.name, "job": run.job, "last_change": ended, "removed": removed})
        result.files += files
    rows_of_plans = await _clean(chosen, journal, result, screen)
    result.bytes_after = await journal.size()
    if screen.voice.as_json:
        screen.emit(result)
    removed_of = {
        one.name: Quantity(sum(getattr(run["removed"], one.name) for run in result.purged)) for one in fields(Purged)
    }
    closing = drawn(
        "purge.j2",
        result=result,
        removed={**removed_of, "refused": removed_of["refusals"]},
        rows_of_plans=rows_of_plans,
        before=round(result.bytes_before / _MEGABYTE, 1),
        after=round(result.bytes_after / _MEGABYTE, 1),
        most=MAX_RUNS_SHOWN,
    )
    screen.result(closing, good=result.exit is Exit.DONE)
    return result.exit


def _which(name: str | None, age: str | None) -> str | datetime:
    """The name of a run, or the time before which runs are old. Raises `CommandRefused`."""
    if name is not None and age is None:
        return name
    if name is not None or age is None:
        raise CommandRefused(
            said("name a run, or an age: carbon-migrate purge RUN, carbon-migrate purge --older-than 90d")
        )
    found = _AGE.fullmatch(age.strip())
    if found is None or int(found[1]) > _OLDEST:
        raise CommandRefused("{flag}: write a number of days, as 90d", flag=setting("older-than", age))
    return datetime.now(UTC) - timedelta(days=int(found[1]))


class Selection(NamedTuple):
    """What is purged: runs, plans and kept copies of the journal; and why other runs are left alone.

    A run stands with the time of its last change, its totals, and files of it that are not purged.
    """

    runs: Sequence[tuple[Run, datetime, Totals, Sequence[Path]]]
    left_alone: Sequence[Mapping[str, str]]
    plans: Sequence[Run]
    copies: Sequence[Path]


@dataclass(slots=True)
class PurgeResult:
    """What a purge has done, as `--json` shows it; `files` were written for people by the runs, and stay."""

    journal: str
    purged: list[dict[str, Any]] = field(default_factory=list)
    plans: int = 0
    copies: list[Path] = field(default_factory=list)
    left_alone: list[Mapping[str, str]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    bytes_before: int = 0
    bytes_after: int = 0
    exit: Exit = Exit.DONE


async def _ask(chosen: Selection, screen: Screen) -> None:
    runs = counted("{n} run[s]", len(chosen.runs))
    what = plans = counted("{n} plan[s]", len(chosen.plans))
    if chosen.runs:
        what = said("{runs} and {plans}", runs=runs, plans=plans) if chosen.plans else runs
    elif not chosen.plans:
        what = counted("{n} kept [copy|copies] of the journal", len(chosen.copies))
    question = said("Purge {what}? This cannot be taken back.", what=what)
    unasked = CommandRefused("{unattended}\nNothing was removed.", unattended=is_unattended(question, ""))
    if not await screen.agrees(question, unasked):
        raise CommandRefused(said("the answer was no\nNothing was removed."))


async def _clean(chosen: Selection, journal: Journal, result: PurgeResult, screen: Screen) -> int:
    """Rewrite the journal without what was purged, and remove plans and copies; returns the rows of the plans.

    Plans were never sent; their file is rewritten as well.
    """
    rows, path = 0, plans_beside(journal.path)
    why: str | None = None
    try:
        if not await journal.is_cleaned():
            with waiting(said("rewriting the journal without what was purged")):
                await journal.clean()
        if path.exists():
            async with open_journal(path) as lists:
                for plan in chosen.plans:
                    rows += (await lists.totals(plan)).frozen
                    await lists.discard(plan)
                    rows += (await lists.purge(plan, Purge({}, emptied, keep_totals=False))).refusals
                if not await lists.is_cleaned():
                    await lists.clean()
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


def kept_parameters(run: Run, catalogue: Catalogue) -> dict[str, str]:
    """The parameters that a purged run keeps: none that may hold something of a person.

    Values that are chosen from a list are kept, and those without which the journal does not know what a run is: the
    run that an undo takes back, the place in a job file.
    """
    is_undo, spec = run.job == UNDO, catalogue.get(run.job)
    own = {one.name: one for one in spec.parameters} if spec and not is_undo else {}
    return {
        name: value
        for name, value in run.parameters.items()
        if (name in _ALWAYS_KEPT or name.startswith(PLACE) or (is_undo and name == RUN))
        or (name in own and (name == _OP_TYPE or value in own[name].choices))
    }


# ---- what of a journal is purged ----------------------------------------------------------------------------------


async def select(which: str | datetime, journal: Journal, catalogue: Catalogue, *, keep_totals: bool) -> Selection:
    """The run of a name with the plans of its input, or the plan of that name; or what had no change since a time.

    Kept copies go with the runs and plans that they hold, and by their age. Raises `NoSuchRun`.
    """
    runs, plans, lists = await journal.runs(), list[Run](), plans_beside(journal.path)
    if lists.exists():
        # A list that is being made is left alone.
        async with open_journal(lists) as planned:
            there = await planned.runs()
        plans = [one for one in there if (one.frozen_at or one.discarded_at) and one.purged_at is None]
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
    chosen: list[tuple[Run, datetime, Totals, Sequence[Path]]] = []
    left_alone: list[Mapping[str, str]] = []
    for run in runs:
        if run.has_only_totals or (keep_totals and run.purged_at is not None):
            if before is None:
                plans = []
            continue
        ended = await journal.history.last_change(run)
        if before is not None and ended >= before:
            continue
        if why := await _reason_to_keep(run, needed, journal):
            left_alone.append({"run": run.name, "why": why})
            continue
        spec = catalogue.get(run.job)
        made = [one.name for one in spec.parameters if one.makes_file] if spec else []
        named = [run.parameters.get(name) for name in (ANSWER_FILE_PARAMETER, *made)]
        files = tuple(path for name in named if name and (path := Path(name)).exists())
        chosen.append((run, ended, await journal.totals(run), files))

    def was_in(run: Run, made_at: datetime) -> bool:
        return run.created_at <= made_at and not (run.has_only_totals and run.purged_at and run.purged_at <= made_at)

    held = runs if before is None else [run for run, *_ in chosen]
    copies = [
        copy
        for file, listed in ((journal.path, held), (lists, plans))
        for copy in kept_copies(file)
        if (made_at := datetime.fromtimestamp(copy.stat().st_mtime, UTC)) < (before or made_at)
        or any(was_in(run, made_at) for run in listed)
    ]
    return Selection(chosen, left_alone, plans, copies)


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
            "{n} row[s] of it [waits|wait] for a decision: {command} shows [it|them]",
            undecided,
            command=command_line("reconcile", run.name),
        )
    return needed.get(run.run_id)


async def _needed(runs: Sequence[Run], journal: Journal) -> dict[int, str]:
    needed: dict[int, str] = {}
    # The steps of the newest round of each job file, as long as its last step has not come to its end.
    steps = [(mark, run) for run in runs if (mark := mark_of(run)) and run.stage is not Stage.DISCARDED]
    newest = defaultdict[tuple[str, str], int](int)
    for mark, run in steps:
        newest[mark.file, run.target] = max(mark.round, newest[mark.file, run.target])
    for (file, target), number in newest.items():
        of_round = [one for one in steps if (one[0].file, one[1].target, one[0].round) == (file, target, number)]
        last = next((run for mark, run in reversed(of_round) if mark.is_last), None)
        if last is None or (await journal.totals(last)).count_where(settled=False) or last.frozen_at is None:
            why = said(
                "its job file {file} has steps left in this round, and would begin this one anew",
                file=printable(file),
            )
            needed.update(dict.fromkeys((run.run_id for _, run in of_round), why))
    by_name = {run.name: run for run in runs}
    for undo in runs:
        if undo.job != UNDO or not await unfinished(undo, journal):
            continue
        taken = by_name.get(undo.parameters[RUN])
        while taken is not None:
            needed[taken.run_id] = said("run {undo} takes it back and is not at its end", undo=undo.name)
            taken = by_name.get(taken.parameters[RUN]) if taken.job == UNDO else None
    return needed
