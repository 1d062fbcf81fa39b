"""`plan`: shows what a run would do, by reading the billing only; nothing is sent and no real run is changed.

The rows are saved in a journal of plans beside the real one, which is opened for reading only. The previous plan of
the same input is kept there, so that a new plan can show what has changed.
"""

import shlex
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread
from rich.console import Group, RenderableType

from billing.api.calls import version
from billing.directory.models import AMOUNTS
from billing.profile import Profile
from checkpoints.comparison import ListDifferences, changes_between_plans
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from checkpoints.states import State
from checkpoints.tally import Subtotal
from cli.commands.execution import JobCommand, with_settings
from cli.session.job_file import TOML, JobFileStep, files_made, is_to_be_made, read_file
from cli.session.journal import remembered
from cli.session.order import Order, in_billing, plans_beside, remembered_by_plan, typed_order
from cli.session.run_session import caution_unended, new_run, plan_of, rehearse
from cli.session.session import Invocation, open_session
from cli.settings.flags import CallFlags, Flags, ImportFlags, OrderFlags, ReadingPacing, RowFlags, with_file
from cli.show import preview
from cli.show.closing import states_object, steps_object
from cli.show.files import (
    KINDS,
    NO_CSV,
    OutputFile,
    TableRow,
    header_of,
    make_folder,
    of_item,
    refuse_present,
    suffix_of,
    write_items,
    written_to,
)
from cli.terminal.exits import CommandRefused, Exit, NothingSent
from cli.terminal.layout import labelled, one_line, render, steps_list
from cli.terminal.options import argument, option, switch
from cli.terminal.screen import Voice
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, money, printable, rendered
from engine.job import Job
from engine.pacing.policy import ALL, Policy, policy_with
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.payload import in_one_spelling
from jobs.access.vault import mask_secrets
from jobs.accounts import in_sentences, settle
from jobs.imports.subscriber import STEP_NAMES
from jobs.job import build
from jobs.rows.input import since_of
from jobs.runs import RunRefused, refuse_half_undone
from jobs.spec.spec import CREATE, DELETE, SET, JobSpec
from jobs.sums import sums_of
from jobs.value_changes import BalanceSums, ChangeKind, FieldChange, RowChange, row_changes
from texts.said import PROGRAM, Quantity, Said, command_line, counted, said, text_of

SHOWN: Final = 3
"""Requests that are shown in full."""
MAX_CHANGES_SHOWN: Final = 20
"""Rows with their values that are shown over all groups; the rest is counted."""
MAX_GROUPS_SHOWN: Final = 20
"""Rows of each kind of difference that are shown; the rest is counted."""
WORKER: Final = 5.5
"""Records a second that the billing's worker takes from its stacks [D]."""
_ASKED: Final = 16
"""Reading calls that are timed to measure the billing's pace."""
_DONE: Final = {CREATE: said("new"), SET: said("to be changed"), DELETE: said("to be deleted")}
"""The effect of a call that contains a step of this method."""


@with_settings("plan", ReadingPacing, Flags, Voice, cls=JobCommand, about=lambda given: {"job": given["job"]})
async def _plan(  # noqa: PLR0913 - each is a flag or a group of them
    told: Invocation,
    job: str = argument("JOB", f"What to do, of `{PROGRAM} jobs`; or a job file, FILE.toml."),
    file: str | None = argument("FILE", "The rows; - for standard input.", required=False),
    *,
    order_flags: OrderFlags,
    out: Path | None = option(
        "DIR|FILE",
        "Save the rows of each kind into this folder; or old and new values alone: .csv, .xlsx or .jsonl.",
        "-o",
        "--output",
    ),
    overwrite: bool = switch("Overwrite the files there.", "--force"),
    rows: RowFlags,
    importing: ImportFlags,
    calling: CallFlags,
) -> Exit:
    """Show what a run would do; nothing is sent.

    It reads the billing, and touches no real run.
    """
    folder = None if out is None else OutputFile(out, force=overwrite)
    if job.endswith(TOML):
        return await plan_file(job, folder, told)
    order = await typed_order(job, file, order_flags, rows, calling, importing, told)
    code, planned = await plan(order, folder, told)
    if told.screen.voice.as_json:
        told.screen.emit(planned)
    return code


async def plan(
    order: Order, out: OutputFile | None, told: Invocation, *, step: str = "", moving: list[Run] | None = None
) -> tuple[Exit, Mapping[str, object]]:
    """Show what `run` would do with this order; with `out`, save the rows there: in a folder, or as a table.

    `step` is the order's step of a job file, and `moving` are the plans of the steps before it that move balances, to
    which it is added where it does so. The plan is kept under its name until the next plan of the same input: `run
    --plan` sends it.

    Returns the exit code and the object of `--json`. The exit code is 1 where `run` would send nothing: rows are
    refused or duplicates, or several rows set the balance of one account and no rule for them was given.
    Raises `CommandRefused`, `InputRefused`, `LookUpFailed`, `BillingError` and `JournalError`.
    """
    settings, screen = told.settings, told.screen
    files = _files_of(out, scripted=screen.voice.as_json) if out else {}
    for one in files.values():
        refuse_present(one, is_in_folder=one != out)
    async with (
        open_session(told, reads=True) as session,
        open_journal(plans_beside(session.journal.path)) as journal,
    ):
        billing, earlier = session.billing, session.journal
        billing.gateway.rate.per_second = policy_with(Policy(), told.pacing.given, ALL).rate
        job = build(order.kind, billing.gateway, order.parameters, order.rows)
        await job.check()
        await job.try_out()
        order, target = await in_billing(order, session)
        since = since_of(order.since, await earlier.runs()) if order.since else None
        known = {**remembered_by_plan(billing, step), **remembered(settings, billing.one.identity)}
        new = await new_run(job, {**order.to_parameters(), **known}, target)
        again, load = order.enter is Repeat.AGAIN, since.runs if since else ()
        foreign = ForeignEntries(job, earlier, target, again=again, load=load)
        run = await rehearse(foreign, job, new, journal, screen, order.enter, since)
        try:
            await refuse_half_undone(run, journal, earlier)
        except RunRefused as refused:
            await journal.discard(run)
            raise NothingSent(text_of(refused)) from refused
        profile = billing.gateway.profile
        with waiting(said("adding up what a run would do")):
            question = await settle(run, journal, profile, order.shared_accounts, earlier)
            made = await plan_of(run, job, journal, earlier, question.rows)
            facts = await plan_facts(made, job, billing.gateway, journal, settings.catalogue.known(run))
        over = 0 if moving is None or again else await _set_over(run, job, journal, moving)
        bad = bool(facts.plan.bad or question.accounts or over)
        code = Exit.REJECTED if bad else Exit.DONE
        saving = " ".join((PROGRAM, shlex.join(sys.argv[1:]), "-o DIR"))
        screen.result(plan_screen(facts, billing.target, earlier.name, saving))
        if question.accounts:
            screen.result(preview.shared_accounts(question), good=False)
            screen.result(render(in_sentences(question, profile), "bold yellow"), good=False)
        if over:
            why = counted(
                "Behind the earlier steps of this file {n} row[s] [is|are] refused: [it sets|they set] a balance "
                "over money that those enter. Let this step come first; or, where its sums have that money already, "
                "write again = true into it",
                over,
            )
            screen.result(render(why, "bold yellow"), good=False)
        for caution in job.cautions:
            screen.result(labelled(said("caution:"), caution, "yellow"))
        await caution_unended(job, screen)
        if out is not None:
            with waiting(said("writing {file}", file=out.path)):
                await write_plan(files, run, facts.values.lines, journal, profile)
            screen.say(said("The rows are saved in {file}", file=out.path))
        if question.accounts:
            # Sent as it is, the plan would be refused for the same question.
            screen.result(said("Plan again with one of these; as it is, this plan cannot be sent."), good=False)
        elif not step:
            screen.result(next_step(facts.plan, bad=bad))
        if facts.before is not None:
            # The next plan of this input is compared with this one.
            await journal.discard(facts.before)
        return code, {**plan_object(facts, code), "shared_accounts_to_be_said": question.accounts}


async def _set_over(run: Run, job: Job, journal: Journal, moving: list[Run]) -> int:
    """The rows of a plan that set a balance over what those `moving` it enter; the plan becomes one of them."""
    rows, moves = 0, job.effect.adds_up
    async for page in journal.each_page(run, {State.PENDING}):
        set_by = Counter(item.lane for item in page if job.replaces and job.replaces(item.payload))
        moves = moves and not set_by
        lanes = {lane for one in moving if set_by for lane in await journal.first_in_lanes(one, set_by.keys())}
        rows += sum(set_by[lane] for lane in lanes)
    if moves:
        moving.append(run)
    return rows


async def plan_file(name: str, out: OutputFile | None, told: Invocation) -> Exit:
    """Show what each step of a new round would do; of the earlier ones it knows only which balances they move."""
    screen = told.screen
    if out is not None and is_table(out):
        raise CommandRefused(
            "-o {file}: a job file has a table for each of its steps: name a folder for them",
            file=printable(out.path),
        )
    file = (await read_file(name, told)).at(datetime.now().astimezone())
    told = replace(told, pacing=with_file(told.pacing, file.pacing))
    worst = Exit.DONE
    steps: list[Mapping[str, object]] = []
    makers: dict[Path, JobFileStep] = {}
    moving: list[Run] = []
    for step in file.steps:
        step_of = said("Step {number} of {steps}:", number=step.number, steps=len(file.steps))
        screen.result("")
        screen.result(labelled(step_of, step.order.kind.name, "bold"))
        if await anyio.to_thread.run_sync(is_to_be_made, step, makers):
            made = said("Its rows are what an earlier step will write: {file}", file=step.order.rows.file)
            screen.result(made)
            steps.append({"step": step.number, "job": step.order.kind.name, "plan": None, "exit": None})
        else:
            folder = replace(out, path=out.path / f"step-{step.number}") if out else None
            place = said("step {number} of {file}", number=step.number, file=file.path)
            code, planned = await plan(step.order, folder, told, step=place, moving=moving)
            worst = max(worst, code)
            steps.append({"step": step.number, **planned})
        makers |= dict.fromkeys(files_made(step), step)
    if screen.voice.as_json:
        screen.emit({"job": name, "steps": steps, "exit": int(worst), "error": None})
    return worst


# ---- what a plan changes, old → new -------------------------------------------------------------------------------


@dataclass(slots=True)
class ChangeGroup:
    """The rows that do the same to the same fields of a model, of an import in one step."""

    model: str
    kind: ChangeKind
    fields: tuple[str, ...]
    step: str = ""
    rows: int = 0
    first: list[RowChange] = field(default_factory=list)


@dataclass(slots=True)
class ValueChanges:
    """What all rows to be sent change.

    `lines` is the number of changed fields over all rows, `unknown` the rows of calls whose effect is not known.
    """

    groups: dict[tuple[str, ...], ChangeGroup] = field(default_factory=dict)
    balances: BalanceSums = field(default_factory=BalanceSums)
    lines: int = 0
    unknown: int = 0

    def add(self, change: RowChange) -> None:
        self.lines += len(change.fields)
        self.balances.add(change)
        if not change.fields:
            self.unknown += 1
            return
        # A new or a removed object has its fields filled or not; that makes no group.
        step = change.payload.step
        named = tuple([one.name for one in change.fields]) if change.kind is ChangeKind.CHANGED else ()
        group = self.groups.setdefault(
            (change.kind, change.model, step, *named), ChangeGroup(change.model, change.kind, named, step)
        )
        group.rows += 1
        if len(group.first) < MAX_CHANGES_SHOWN:
            group.first.append(change)

    @property
    def shown(self) -> list[tuple[ChangeGroup, list[RowChange]]]:
        left = MAX_CHANGES_SHOWN
        chosen: dict[tuple[str, ...], list[RowChange]] = {}
        # The small groups first: what they leave of their share goes to the others.
        small_first = sorted(self.groups.items(), key=lambda one: one[1].rows)
        for place, (key, group) in enumerate(small_first):
            chosen[key] = group.first[: -(-left // (len(small_first) - place))]
            left -= len(chosen[key])
        return [(group, chosen[key]) for key, group in self.groups.items()]


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The facts of a plan. `before` is the previous plan of the same input, `changes` the differences from it.

    `kinds` are the rows to be sent by what is done to them, `refused` those that cannot be taken, with the amounts
    of those that can be read. Reading calls go at `per_second`, with `at_once` in flight.
    """

    plan: preview.PreviewFacts
    kinds: Mapping[str, Subtotal]
    values: ValueChanges
    refused: Subtotal
    requests: Sequence[str]
    per_second: float
    at_once: int
    before: Run | None = None
    refused_before: int = 0
    changes: ListDifferences | None = None


async def plan_facts(
    plan: preview.PreviewFacts, job: Job, gateway: Gateway, journal: Journal, spec: JobSpec | None
) -> PlanFacts:
    run = plan.run
    first = await journal.items(run, {State.PENDING}, size=SHOWN)
    same = [
        one
        for one in await journal.runs()
        if preview.is_kept(one) and preview.same_input(one, run) and one.run_id < run.run_id
    ]
    before, changes = same[-1] if same else None, None
    if before is not None:
        changes = await changes_between_plans(
            journal.path, before, run, size=MAX_GROUPS_SHOWN, plain=lambda text: in_one_spelling(mask_secrets(text))
        )
    # All rows are read once, for what is done to them and for the values that it changes.
    rows, sums, values = Counter[str](), defaultdict[str, Decimal](Decimal), ValueChanges()
    async for page in row_changes(run, journal, gateway.profile):
        for change in page:
            values.add(change)
            methods = change.payload.methods
            word = next((word for method, word in _DONE.items() if method in methods), said("to be called"))
            rows[word] += 1
            sums[word] += change.item.amount or 0
    # The pace of calls that change nothing; the median of several rounds, to ignore a single slow answer.
    rounds: list[float] = []
    for _ in range(_ASKED // gateway.asked_at_once):
        begun = time.monotonic()
        await gateway.ask([version()] * gateway.asked_at_once)
        rounds.append(time.monotonic() - begun)
    return PlanFacts(
        plan=plan,
        kinds={word: Subtotal(number, sums[word]) for word, number in rows.items()},
        values=values,
        refused=(await sums_of(run, journal, spec)).refused,
        requests=[job.effect.describe(run.name, item) for item in first],
        per_second=gateway.asked_at_once / max(sorted(rounds)[len(rounds) // 2], 1e-6),
        at_once=gateway.asked_at_once,
        before=before,
        refused_before=(await journal.totals(before)).refused if before else 0,
        changes=changes,
    )


def plan_object(facts: PlanFacts, code: Exit) -> Mapping[str, object]:
    plan, sums = facts.plan, facts.values.balances
    balances = {"accounts": sums.accounts, "before": format(sums.before, "f"), "after": format(sums.after, "f")}
    changes = {
        "groups": [
            {"kind": group.kind, "model": group.model, "fields": list(group.fields), "rows": group.rows}
            | ({"step": group.step} if group.step else {})
            for group in facts.values.groups.values()
        ],
        "first": [
            {
                "row": change.item.number,
                "line": change.item.line,
                "label": change.item.label,
                "kind": change.kind,
                "model": change.model,
                "fields": [
                    {"field": one.name, "old": one.old, "new": one.new, "issued": one.issued} for one in change.fields
                ],
            }
            for _, first in facts.values.shown
            for change in first
        ],
        "rows_not_known": facts.values.unknown,
        "balances": balances if sums.accounts else None,
    }
    return {
        "job": plan.run.job,
        "plan": plan.run.name,
        "columns": {name: column.name for name, column in plan.columns.taken.items()},
        "columns_not_used": list(plan.columns.unused),
        **states_object(plan.totals),
        "refused_with_amount": facts.refused.rows - facts.refused.unreadable,
        "refused_amount": format(facts.refused.amount, "f"),
        "skipped": {reason.kind: reason.items for reason in plan.skipped},
        "skipped_amounts": {reason.kind: format(reason.amount, "f") for reason in plan.skipped},
        "kinds": {str(word): kind.rows for word, kind in facts.kinds.items()},
        "kind_amounts": {str(word): format(kind.amount, "f") for word, kind in facts.kinds.items()},
        "duplicates": plan.repeated.rows,
        "duplicates_amount": format(plan.repeated.sum, "f"),
        "shared_accounts": plan.shared.lanes,
        "shared_accounts_rows": plan.shared.items,
        "shared_accounts_amount": format(plan.shared.amount, "f"),
        "look_alikes": plan.look_alikes.rows,
        "look_alikes_amount": format(plan.look_alikes.sum, "f"),
        "seconds": round(plan.to_send / facts.per_second, 1),
        "requests": list(facts.requests),
        "assumptions": list(plan.assumptions),
        "value_changes": changes,
        "changes": facts.changes and {str(kind): number for kind, number in facts.changes.counts.items()},
        "exit": int(code),
        "error": None,
        **steps_object(plan.steps),
    }


def plan_screen(planned: PlanFacts, target: preview.Target, journal: str, all_of_them: str) -> RenderableType:
    """The screen of a plan; `all_of_them` is the command that saves its rows."""
    plan, changes = planned.plan, planned.changes
    as_table, in_folder = (said("{option} saves all of them", option=one) for one in ("-o FILE.xlsx", "-o DIR"))
    since: tuple[Said, ...] | None = None
    if changes is not None:
        since = tuple(
            said("{n} × {change}", n=Quantity(number), change=kind) for kind, number in changes.counts.items()
        )
        if plan.totals.refused != planned.refused_before:
            was, now = Quantity(planned.refused_before), Quantity(plan.totals.refused)
            since = (*since, said("{before} refused before, {now} now", before=was, now=now))
    return preview.drawn_before(
        plan,
        target,
        journal,
        {"requests": Group(*(one_line("  ", printable(line, WHOLE)) for line in planned.requests))},
        listed=in_folder,
        all_bad=all_of_them,
        planned=planned,
        since=since,
        values=_values,
        as_table=as_table,
        worker=WORKER,
        source=plan.run.source,
        accountants_list=None,
        STEP_NAMES=STEP_NAMES,
    )


def _values(change: RowChange) -> Iterator[str]:
    def text(one: FieldChange, value: str | None) -> str:
        if value is None:
            return printable(said("nothing"))
        return money(Decimal(value)) if one.name in AMOUNTS else printable(value)

    alone = change.kind is ChangeKind.CHANGED and len(change.fields) == 1
    for one in change.fields:
        old = text(one, one.old)
        new = printable(said("a new one from the billing")) if one.issued else text(one, one.new)
        both = {ChangeKind.CHANGED: f"{old} → {new}", ChangeKind.NEW: new, ChangeKind.REMOVED: old}[change.kind]
        yield both if alone else f"{printable(one.name)} {both}"


def next_step(plan: preview.PreviewFacts, *, bad: bool) -> RenderableType:
    """The command that sends the plan unchanged, or that it sends nothing."""
    if plan.to_send:
        words = command_line("run", "--plan", plan.run.name, *(("--skip-bad",) if bad else ()))
        return steps_list([(words, said("send this, or nothing if it has changed"))])
    nothing = said("There is nothing to send: mend the input, and plan again.") if bad else None
    return render(nothing or said("There is nothing to send."))


# ---- the files of a plan: a folder with the rows of each kind, or one table of what changes, old and new -----------

COLUMNS_OF_CHANGES: Final = (
    *(said("line"), said("row"), said("label"), said("model"), said("object")),
    *(said("change"), said("field"), said("old"), said("new")),
)
"""`line` is that of the input, `row` the number in the plan; `object` is the key by which the billing finds it."""
_CHANGES: Final = {
    ChangeKind.CHANGED: said("changed"),
    ChangeKind.NEW: said("new"),
    ChangeKind.REMOVED: said("removed"),
}
SAVED: Final[Mapping[str, State | None]] = MappingProxyType(
    {said("to-send.csv"): State.PENDING, said("skipped.csv"): State.SKIPPED, said("refused.csv"): None}
)
"""The files of rows, each with the state of its rows; None stands for refused rows."""
LOOK_ALIKES: Final = said("look-alikes.csv")
VALUE_CHANGES: Final = said("value-changes.csv")


def is_table(out: OutputFile) -> bool:
    """Whether the path is that of one table, not of a folder. Raises `CommandRefused` for that of another format."""
    known = NO_CSV | KINDS.keys()
    return out.path.suffix.casefold() in known and not out.path.is_dir() and bool(suffix_of(out.path))


def _files_of(out: OutputFile, *, scripted: bool) -> Mapping[str, OutputFile]:
    """The files of a plan by what they have: those of a folder, or the table of old and new values alone.

    Scripts find the same names in every language.
    """
    if is_table(out):
        return {VALUE_CHANGES: out}
    names = (*SAVED, LOOK_ALIKES, VALUE_CHANGES)
    return {name: replace(out, path=out.path / (str(name) if scripted else rendered(name))) for name in names}


async def write_plan(
    files: Mapping[str, OutputFile], run: Run, lines: int, journal: Journal, profile: Profile
) -> None:
    """Write a plan into its files; `lines` are the rows of the table."""
    if LOOK_ALIKES in files:
        await make_folder(files[LOOK_ALIKES].path.parent)
        for name, state in SAVED.items():
            await write_items(files[name], run, (state,), journal)
        async with written_to(files[LOOK_ALIKES], header_of(run), of_rows=True) as put:
            async for page in preview.look_alikes(run, journal):
                await put([of_item(item, run) for item in page])
    async with written_to(files[VALUE_CHANGES], COLUMNS_OF_CHANGES, lines) as put:
        async for changes in row_changes(run, journal, profile):
            await put([line for change in changes for line in _lines(change)])


def _lines(change: RowChange) -> Iterator[TableRow]:
    """Old and new value of each field: money is a number, anything else, also an id, a text."""
    item = change.item
    for one in change.fields:
        old, new = (Decimal(value) if value and one.name in AMOUNTS else value for value in (one.old, one.new))
        if one.issued:
            new = said("(issued by the billing)")
        of_row = (item.line, item.number, item.label, change.model, change.key)
        yield (*of_row, _CHANGES[change.kind], one.name, old, new)
