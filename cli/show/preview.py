"""What a run will do, shown before anything is sent: the preview of a run, and the plan, which has each value."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from billing.api.calls import version
from billing.directory.models import AMOUNTS
from billing.profile import Profile
from checkpoints.journal import Journal
from checkpoints.list_differences import ListDifferences, changes_between_plans
from checkpoints.records import Item, Reason, Refusal, Run, Shared, Totals
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from checkpoints.tally import Subtotal
from cli.show.closing import (
    MAX_REFUSALS_SHOWN,
    accountants_list,
    first_refusals,
    refused_export,
    refused_rows,
    states_object,
)
from cli.show.parts import first_of, row_line, section, stack
from cli.show.steps import StepsFacts, steps_object, steps_of, steps_table, to_send_of
from cli.terminal.drawing import drawn
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, badge_of, one_line, render, steps_list
from cli.terminal.texts import WHOLE, money, printable
from engine.job import Job
from engine.pacing.policy import Policy, describe_policy
from engine.sources.exported import is_of_export
from jobs.access.gateway import Gateway
from jobs.access.payload import in_one_spelling
from jobs.access.vault import mask_secrets
from jobs.imports.subscriber import DIFFERENT, STEP_NAMES, Step
from jobs.job import assigned_of
from jobs.rows.input import is_input
from jobs.shared_accounts import Question, in_sentences
from jobs.spec.columns import Assigned
from jobs.spec.parameters import DIGEST
from jobs.spec.spec import CREATE, DELETE, SET, JobSpec
from jobs.spec.words import source_of
from jobs.sums import sums_of
from jobs.value_changes import BalanceSums, ChangeKind, FieldChange, RowChange, row_changes
from texts.remedies import command_line, setting
from texts.said import Quantity, Said, counted, kind_of, said

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
LOOKED_AT: Final = 200
"""Rows to be sent that are checked for assumptions; the rows of a job are alike."""
_NAME: Final = 40
"""Characters of a column's name that are shown."""
_DIGITS: Final = 12
"""Digits of a digest that are shown; a report has all of them."""
_NAMES: Final = 12
"""Columns that are listed; the rest is counted."""

ZERO: Final = Decimal(0)
NO_COLUMNS: Final = Assigned({}, ())


@dataclass(frozen=True, slots=True)
class Target:
    """The billing of a run, for screens: its version, and the address of its database, if one is read."""

    version: str
    database: str | None


@dataclass(frozen=True, slots=True)
class RowsFound:
    """Rows of one kind: their number, their sum, and the first of them."""

    rows: int = 0
    sum: Decimal = ZERO
    first: Sequence[Item] = ()


NONE_FOUND: Final = RowsFound()


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """The facts of a run before its first call.

    `repeated` rows repeat an earlier row of the input and are never sent; `look_alikes` are to be sent and resemble
    entries in the billing; `different` are steps of an import whose object is there and differs. `assumptions` are
    the unconfirmed ones about the run's money, a sentence each.
    """

    run: Run
    totals: Totals
    has_amounts: bool
    skipped: Sequence[Reason] = ()
    refusals: Sequence[Refusal] = ()
    repeated: RowsFound = NONE_FOUND
    look_alikes: RowsFound = NONE_FOUND
    different: RowsFound = NONE_FOUND
    shared: Shared = field(default_factory=Shared)
    columns: Assigned = NO_COLUMNS
    assumptions: Sequence[str] = ()
    steps: StepsFacts | None = None

    @property
    def to_send(self) -> int:
        """The number of rows to be sent."""
        return self.totals.count(State.PENDING)

    @property
    def sum(self) -> Decimal:
        """The sum of the rows to be sent."""
        return self.totals.amounts.get(State.PENDING, ZERO)

    @property
    def bad(self) -> int:
        """The number of rows without which alone it is sent: refused ones and repeated ones."""
        return self.totals.refused + self.repeated.rows

    @property
    def rows_read(self) -> int:
        """The number of rows of the input."""
        if self.steps is None or self.steps.is_undo:
            return self.totals.read
        return self.steps.subscribers.all + self.totals.refused + sum(self.totals.left_out.values())

    @property
    def question(self) -> Said:
        """The question to the operator."""
        target = printable(self.run.target)
        if self.steps is not None:
            return said("Send {steps}, to {target}?", steps=to_send_line(self), target=target)
        if self.has_amounts:
            return counted(
                "Send this {n} row, {sum} in total, to {target}?",
                "Send these {n} rows, {sum} in total, to {target}?",
                self.to_send,
                sum=self.sum,
                target=target,
            )
        return counted(
            "Send this {n} row to {target}?", "Send these {n} rows to {target}?", self.to_send, target=target
        )


async def plan_of(run: Run, job: Job, journal: Journal) -> PreviewFacts:
    """The facts of a run of `job` whose list is saved, from the journal. Raises `InputRefused`."""
    to_send = await journal.items(run, {State.PENDING}, size=LOOKED_AT)
    assumptions = job.assumptions(to_send) if to_send else ()
    return replace(await facts_of(run, journal), columns=assigned_of(job, run.header), assumptions=assumptions)


async def facts_of(run: Run, journal: Journal) -> PreviewFacts:
    """The same without what only the job knows: the use of the columns, and its assumptions."""
    first = await journal.items(run, {State.PENDING, State.SKIPPED}, size=1)
    skipped = await journal.reasons(run, State.SKIPPED)
    noted = await journal.reasons(run, State.PENDING) if run.approved_at is None else []
    steps = await steps_of(run, journal)
    repeated = await _skipped(DUPLICATE, run, skipped, journal)
    if steps is not None:
        repeated = replace(repeated, rows=repeated.rows - steps.folders_asked_again)
    return PreviewFacts(
        run=run,
        totals=await journal.totals(run),
        has_amounts=bool(first) and first[0].amount is not None,
        skipped=skipped,
        refusals=await first_refusals(run, journal),
        repeated=repeated,
        look_alikes=await _found([one for one in noted if one.kind], look_alikes(run, journal)),
        different=await _skipped(DIFFERENT, run, skipped, journal),
        shared=await journal.shared_lanes(run),
        steps=steps,
    )


async def look_alikes(run: Run, journal: Journal) -> AsyncIterator[list[Item]]:
    """The rows to be sent that resemble existing entries, page by page, each with its message."""
    async for page in journal.each_page(run, {State.PENDING}):
        yield [item for item in page if item.message]


async def _skipped(kind: str, run: Run, skipped: Sequence[Reason], journal: Journal) -> RowsFound:
    """The rows that are skipped for a kind of reason."""
    pages = ([item for item in page if item.kind == kind] async for page in journal.each_page(run, {State.SKIPPED}))
    return await _found([reason for reason in skipped if reason.kind == kind], pages)


async def _found(reasons: Sequence[Reason], pages: AsyncIterator[list[Item]]) -> RowsFound:
    """The rows of these reasons; pages are read for the first of them alone, and only if there are any."""
    first: list[Item] = []
    if reasons:
        async for page in pages:
            first += page
            if len(first) >= MAX_REFUSALS_SHOWN:
                break
    rows, amount = sum(one.items for one in reasons), sum((one.amount for one in reasons), ZERO)
    return RowsFound(rows, amount, first[:MAX_REFUSALS_SHOWN])


def preview(plan: PreviewFacts, target: Target, journal: str, policy: Policy) -> RenderableType:
    """The screen of the preview."""
    all_of_them = said("{command} lists them", command=command_line("plan"))
    return _drawn(
        "preview.j2",
        plan,
        target,
        doubts=_doubts(plan, all_of_them, refused_export(plan.run)),
        source=source_of(plan.run),
        journal=journal,
        pacing=describe_policy(policy),
        accountants_list=accountants_list(plan.run, plan.totals),
    )


def _drawn(
    template: str, plan: PreviewFacts, target: Target, *, doubts: Mapping[str, RenderableType], **values: object
) -> Group:
    """A screen with what preview and plan both show; `values` are its own."""
    given = given_parameters(plan.run).items()
    assumed = {kind_of(one) for one in plan.assumptions}
    settings = (
        *(("--set", "storno_call=NAME") if assumed & {"storno_call", "storno_works", "storno_type_8"} else ()),
        *(("--create-in", "FOLDER") if "create_fields" in assumed else ()),
    )
    return drawn(
        template,
        {"steps": steps_table(plan.steps, begun=False), **doubts} if plan.steps else doubts,
        plan=plan,
        run=plan.run,
        target=target,
        badge=badge_of(plan.run.parameters),
        # Of a digest its beginning.
        given=" ".join(f"{name}={value[:_DIGITS] if name.endswith(DIGEST) else value}" for name, value in given),
        columns=columns_line(plan.columns).plain,
        probe=command_line("probe", "--abonent", "ID", *settings),
        to_send=to_send_line(plan),
        number_and_sum=number_and_sum,
        look_alike_line=look_alike_line,
        **values,
    )


def _doubts(plan: PreviewFacts, all_of_them: str, bad: str) -> dict[str, RenderableType]:
    """The rows that are to be looked at; `bad` is the command that shows all bad ones."""
    return {
        "look_alikes": look_alike_rows(plan, all_of_them),
        "differences": first_of("≠", plan.different.first, plan.different.rows, all_of_them),
        "bad": bad_rows(plan, bad),
    }


def look_alike_rows(plan: PreviewFacts, all_of_them: str) -> RenderableType:
    """The first rows that resemble entries, each with its entry; `all_of_them` says where all are."""
    return first_of("?", plan.look_alikes.first, plan.look_alikes.rows, all_of_them)


def number_and_sum(number: int, amount: Decimal | None = None) -> Said:
    """A number of rows, and their sum where they have one."""
    if amount is None:
        return counted("{n} row", "{n} rows", number)
    return counted("{n} row, {sum} in total", "{n} rows, {sum} in total", number, sum=amount)


def to_send_line(plan: PreviewFacts) -> Said:
    """The number and the sum of the rows to be sent."""
    if plan.steps is not None:
        steps = to_send_of(plan.steps, plan.to_send)
        return said("{steps}; {sum} in total", steps=steps, sum=plan.sum) if plan.sum else steps
    return number_and_sum(plan.to_send, plan.sum if plan.has_amounts and plan.to_send else None)


def look_alike_line(plan: PreviewFacts) -> Said:
    """The number and the sum of rows that resemble existing entries."""
    found = plan.look_alikes
    if plan.has_amounts:
        return counted(
            "{n} row, {sum} in total, looks as if entered already",
            "{n} rows, {sum} in total, look as if entered already",
            found.rows,
            sum=found.sum,
        )
    return counted("{n} row looks as if entered already", "{n} rows look as if entered already", found.rows)


def unanswered(plan: PreviewFacts) -> Said:
    """Why these rows are not sent where nobody is asked, and what to do."""
    return said(
        "{rows}, and {yes} answers no doubt. Type the command without it and look at them, or enter them on top with "
        "{again}",
        rows=look_alike_line(plan),
        yes=setting("yes"),
        again=setting("again"),
    )


def shared_accounts(question: Question, profile: Profile) -> RenderableType:
    """The choice for accounts with several opening balances, and the first of them."""
    left = question.accounts - len(question.first)
    return section(
        *(Hanging(Text("? ", "yellow"), Text(printable(str(group), 400))) for group in question.first),
        render(said("… and {n} more accounts", n=Quantity(left)), "dim") if left > 0 else None,
        render(in_sentences(question, profile), "bold yellow"),
    )


def columns_line(columns: Assigned) -> Text:
    """The use of each column, and the unused columns; empty where the rows have no columns.

    Columns that an export has added are left out.
    """
    taken = [
        printable(name, _NAME)
        if name == column.name
        else f"{printable(name, _NAME)} = {printable(column.name, _NAME)}"
        for name, column in columns.taken.items()
    ]
    unused = [printable(title, _NAME) for title in columns.unused if not is_of_export(title)]
    uses = [render(_some_of(taken))] if taken else []
    uses += [render(said("not used: {columns}", columns=_some_of(unused)))] if unused else []
    return Text("; ").join(uses)


def _some_of(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    if len(names) <= _NAMES:
        return ", ".join(names)
    return said("{names} and {n} more", names=tuple(names[:_NAMES]), n=Quantity(len(names) - _NAMES))


def given_parameters(run: Run) -> dict[str, str]:
    """The parameters of the run's job, without empty ones and with masked secrets."""
    return {name: mask_secrets(value) for name, value in run.parameters.items() if value and not is_input(name)}


def bad_rows(plan: PreviewFacts, all_of_them: str) -> Group:
    """The first refused rows and the first duplicates, each with its line; `all_of_them` is the command for all."""
    refused, repeated = plan.totals.refused, plan.repeated
    shown = repeated.first if repeated.rows else ()
    left = repeated.rows - len(shown)
    return stack(
        refused_rows(plan.refusals, refused, all_of_them) if refused else None,
        *(row_line("=", item) for item in shown),
        render(said("… and {n} more duplicates", n=Quantity(left)), "dim") if left > 0 else None,
    )


def why_refused(plan: PreviewFacts, all_of_them: str) -> Said:
    """Why an input with bad rows is not sent, and the ways out; `all_of_them` is the command that shows them."""
    refused = counted(
        "{n} row of the input cannot be taken", "{n} rows of the input cannot be taken", plan.totals.refused
    )
    faults = duplicates = counted("{n} row is a duplicate", "{n} rows are duplicates", plan.repeated.rows)
    if plan.totals.refused:
        both = said("{refused}; {duplicates}", refused=refused, duplicates=duplicates)
        faults = both if plan.repeated.rows else refused
    if not plan.to_send:
        advice = said("Mend the input and run it again")
    elif plan.steps is not None:
        advice = said(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {steps}",
            flag=setting("skip-bad"),
            steps=to_send_line(plan),
        )
    else:
        advice = counted(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} row",
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} rows",
            plan.to_send,
            flag=setting("skip-bad"),
        )
    if not plan.totals.refused:
        return said("{faults}.\n{advice}.", faults=faults, advice=advice)
    return said(
        "{faults}.\n{advice}.\nThe refused rows as a file:\n{command}",
        faults=faults,
        advice=advice,
        command=all_of_them,
    )


# ---- what a plan changes, old → new -------------------------------------------------------------------------------


@dataclass(slots=True)
class ChangeGroup:
    """The rows that do the same to the same fields of a model: their number, and the first of them.

    Of an import they are rows of one step.
    """

    model: str
    kind: ChangeKind
    fields: tuple[str, ...]
    step: str = ""
    rows: int = 0
    first: list[RowChange] = field(default_factory=list)

    @property
    def title(self) -> Said:
        """What is changed, and in how many rows."""
        what = STEP_NAMES[Step(self.step)] if self.step else printable(self.model)
        change = {
            ChangeKind.CHANGED: said("changed, {fields} of {what}", fields=self.fields, what=what),
            ChangeKind.NEW: said("new, {what}", what=what),
            ChangeKind.REMOVED: said("removed, {what}", what=what),
        }[self.kind]
        return said("{change}: {n}", change=change, n=Quantity(self.rows) if self.step else number_and_sum(self.rows))


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
        """Take a row into account."""
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
        """The groups, each with the rows of it that are shown: no group hides another."""
        left = MAX_CHANGES_SHOWN
        chosen: dict[tuple[str, ...], list[RowChange]] = {}
        # The small groups first: what they leave of their share goes to the others.
        small_first = sorted(self.groups.items(), key=lambda one: one[1].rows)
        for place, (key, group) in enumerate(small_first):
            chosen[key] = group.first[: -(-left // (len(small_first) - place))]
            left -= len(chosen[key])
        return [(group, chosen[key]) for key, group in self.groups.items()]


def _values(change: RowChange) -> Iterator[str]:
    alone = change.kind is ChangeKind.CHANGED and len(change.fields) == 1
    for one in change.fields:
        old, new = _value(one, one.old), _value(one, one.new)
        if one.issued:
            new = printable(said("a new one from the billing"))
        both = {ChangeKind.CHANGED: f"{old} → {new}", ChangeKind.NEW: new, ChangeKind.REMOVED: old}
        yield both[change.kind] if alone else f"{printable(one.name)} {both[change.kind]}"


def _value(one: FieldChange, value: str | None) -> str:
    if value is None:
        return printable(said("nothing"))
    return money(Decimal(value)) if one.name in AMOUNTS else printable(value)


def changes_object(changes: ValueChanges) -> Mapping[str, object]:
    """What is changed, for `--json`."""
    sums = changes.balances
    balances = {"accounts": sums.accounts, "before": format(sums.before, "f"), "after": format(sums.after, "f")}
    return {
        "groups": [
            {"kind": group.kind, "model": group.model, "fields": list(group.fields), "rows": group.rows}
            | ({"step": group.step} if group.step else {})
            for group in changes.groups.values()
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
            for _, first in changes.shown
            for change in first
        ],
        "rows_not_known": changes.unknown,
        "balances": balances if sums.accounts else None,
    }


# ---- the facts of a plan ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadingPace:
    """The pace of reading calls: calls a second, with `at_once` in flight."""

    per_second: float
    at_once: int

    def seconds_for(self, rows: int) -> float:
        """Seconds that this many calls take."""
        return rows / self.per_second


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The facts of a plan. `before` is the previous plan of the same input, `changes` the differences from it.

    `kinds` are the rows to be sent by what is done to them, `refused` those that cannot be taken, with the amounts
    of those that can be read.
    """

    plan: PreviewFacts
    kinds: Mapping[str, Subtotal]
    values: ValueChanges
    refused: Subtotal
    requests: Sequence[str]
    pace: ReadingPace
    before: Run | None = None
    refused_before: int = 0
    changes: ListDifferences | None = None


async def plan_facts(run: Run, job: Job, gateway: Gateway, journal: Journal, spec: JobSpec | None) -> PlanFacts:
    """Collect the facts of a saved list; `spec` is the kind of its job. Raises `LookUpFailed`."""
    plan = await plan_of(run, job, journal)
    first = await journal.items(run, {State.PENDING}, size=SHOWN)
    same = [one for one in await journal.runs() if is_kept(one) and same_input(one, run) and one.run_id < run.run_id]
    before = same[-1] if same else None
    changes = None
    if before is not None:
        changes = await changes_between_plans(journal.path, before, run, size=MAX_GROUPS_SHOWN, plain=_plain)
    # All rows are read once, for what is done to them and for the values that it changes.
    rows, sums, values = Counter[str](), defaultdict[str, Decimal](Decimal), ValueChanges()
    async for page in row_changes(run, journal, gateway.profile):
        for change in page:
            values.add(change)
            methods = dict(change.payload.steps)
            word = next((word for method, word in _DONE.items() if method in methods), said("to be called"))
            rows[word] += 1
            sums[word] += change.item.amount or 0
    return PlanFacts(
        plan=plan,
        kinds={word: Subtotal(number, sums[word]) for word, number in rows.items()},
        values=values,
        refused=(await sums_of(run, journal, spec)).refused,
        requests=[job.effect.describe(run.name, item) for item in first],
        pace=await _pace(gateway),
        before=before,
        refused_before=(await journal.totals(before)).refused if before else 0,
        changes=changes,
    )


def _plain(payload: str) -> str:
    """A payload in comparable form: secrets masked, each value normalised."""
    return in_one_spelling(mask_secrets(payload))


def is_kept(plan: Run) -> bool:
    """Whether the plan's list is complete and was not deleted."""
    return plan.frozen_at is not None and plan.discarded_at is None


def same_input(one: Run, other: Run) -> bool:
    """Whether two plans have the same job and input; the file may have been edited between them."""
    return (one.job, one.target, one.source) == (other.job, other.target, other.source)


async def _pace(gateway: Gateway) -> ReadingPace:
    """The pace of calls that change nothing; the median of several rounds, to ignore a single slow answer."""
    rounds: list[float] = []
    at_once = gateway.asked_at_once
    for _ in range(_ASKED // at_once):
        begun = time.monotonic()
        await gateway.ask([version()] * at_once)
        rounds.append(time.monotonic() - begun)
    return ReadingPace(at_once / max(sorted(rounds)[len(rounds) // 2], 1e-6), at_once)


def plan_object(facts: PlanFacts, code: Exit) -> Mapping[str, object]:
    """The object of `--json`."""
    plan = facts.plan
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
        "seconds": round(facts.pace.seconds_for(plan.to_send), 1),
        "requests": list(facts.requests),
        "assumptions": list(plan.assumptions),
        "value_changes": changes_object(facts.values),
        "changes": facts.changes and {str(kind): number for kind, number in facts.changes.counts.items()},
        "exit": int(code),
        "error": None,
        **steps_object(plan.steps),
    }


# ---- the screen of a plan -----------------------------------------------------------------------------------------


def plan_screen(planned: PlanFacts, target: Target, journal: str, all_of_them: str) -> RenderableType:
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
    requests = Group(*(one_line("  ", printable(line, WHOLE)) for line in planned.requests))
    return _drawn(
        "plan.j2",
        plan,
        target,
        doubts={"requests": requests, **_doubts(plan, in_folder, all_of_them)},
        planned=planned,
        since=since,
        values=_values,
        as_table=as_table,
        worker=WORKER,
        journal=journal,
    )


def next_step(plan: PreviewFacts, *, bad: bool) -> RenderableType:
    """The command that sends the plan unchanged, or that it sends nothing."""
    if plan.to_send:
        words = command_line("run", "--plan", plan.run.name, *(("--skip-bad",) if bad else ()))
        return steps_list([(words, said("send this, or nothing if it has changed"))])
    if bad:
        return render(said("There is nothing to send: mend the input, and plan again."))
    return render(said("There is nothing to send."))
