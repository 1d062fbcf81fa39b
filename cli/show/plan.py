"""The screen of a plan: counts and sums of each kind, the duration, and the first requests."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from billing.api.calls import version
from billing.directory.values import AMOUNTS
from checkpoints.journal import Journal
from checkpoints.list_differences import ListDifference, ListDifferences, changes_between_plans
from checkpoints.records import Run
from checkpoints.states import State
from cli.show.closing import states_object
from cli.show.preview import (
    PreviewFacts,
    Target,
    add_what_is_not_sent,
    assumed_line,
    assumed_question,
    bad_rows,
    billing_line,
    columns_line,
    differences,
    job_line,
    look_alike_line,
    look_alike_rows,
    number_and_sum,
    plan_of,
    to_send_line,
)
from cli.show.steps import steps_object, steps_table
from cli.terminal.exits import Exit
from cli.terminal.layout import Facts, Hanging, add_badge, one_line, render, steps_list
from cli.terminal.names import REFUSED, place_of
from cli.terminal.texts import WHOLE, duration, moment, money, printable
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, in_one_spelling
from jobs.access.vault import mask_secrets
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.spec.chain_kind import CREATE, DELETE, SET
from jobs.spec.spec import JobSpec
from jobs.sums import sums_of
from jobs.value_changes import BalanceSums, ChangeKind, FieldChange, RowChange, row_changes
from texts.remedies import command_line
from texts.said import Quantity, Said, counted, said

# ---- what a plan changes, old → new -------------------------------------------------------------------------------


MAX_CHANGES_SHOWN: Final = 20
"""Rows that are shown over all groups; the rest is counted."""

_NOTHING: Final = said("nothing")
_ISSUED: Final = said("a new one from the billing")


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
        model, number = printable(self.model), self.rows
        if self.step:
            return self._title_of_step(STEP_NAMES[Step(self.step)])
        match self.kind:
            case ChangeKind.CHANGED:
                return counted(
                    "changed, {fields} of {model}: {n} row",
                    "changed, {fields} of {model}: {n} rows",
                    number,
                    fields=self.fields,
                    model=model,
                )
            case ChangeKind.NEW:
                return counted("new, {model}: {n} row", "new, {model}: {n} rows", number, model=model)
            case ChangeKind.REMOVED:
                return counted("removed, {model}: {n} row", "removed, {model}: {n} rows", number, model=model)

    def _title_of_step(self, step: Said) -> Said:
        number = Quantity(self.rows)
        match self.kind:
            case ChangeKind.CHANGED:
                return said("changed, {fields} of {step}: {n}", fields=self.fields, step=step, n=number)
            case ChangeKind.NEW:
                return said("new, {step}: {n}", step=step, n=number)
            case ChangeKind.REMOVED:
                return said("removed, {step}: {n}", step=step, n=number)


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


def balances_line(changes: ValueChanges) -> Said | None:
    """The sums of the balances before and after; None where the rows set or add to none."""
    sums = changes.balances
    if not sums.accounts:
        return said("not known what they are now: no database is read") if sums.unread else None
    return counted(
        "{before} before, {after} after, on {n} account",
        "{before} before, {after} after, on {n} accounts",
        sums.accounts,
        before=sums.before,
        after=sums.after,
    )


def changes_list(changes: ValueChanges, all_of_them: str) -> RenderableType:
    """The first rows of each group, old → new; `all_of_them` says where all are."""
    parts: list[RenderableType] = []
    for group, first in changes.shown:
        parts += [Text(""), render(group.title, "bold")]
        parts += [_row(change) for change in first]
        if group.rows > len(first):
            more = Quantity(group.rows - len(first))
            parts.append(render(said("… and {n} more; {all}", n=more, all=all_of_them), "dim"))
    return Group(*parts)


def changes_object(changes: ValueChanges) -> Mapping[str, object]:
    """What is changed, for `--json`."""
    sums = changes.balances
    return {
        "groups": [
            {"kind": group.kind, "model": group.model, "fields": list(group.fields), "rows": group.rows}
            | ({"step": group.step} if group.step else {})
            for group in changes.groups.values()
        ],
        "first": [_object(change) for _, first in changes.shown for change in first],
        "rows_not_known": changes.unknown,
        "balances": {
            "accounts": sums.accounts,
            "before": format(sums.before, "f"),
            "after": format(sums.after, "f"),
        }
        if sums.accounts
        else None,
    }


def _row(change: RowChange) -> Hanging:
    item = change.item
    line = Text(f"({printable(item.label, 60)})", "dim").append(f": {', '.join(_told(change))}", "not dim")
    return Hanging(Text(f"  {printable(place_of(item))} "), line, indent=4)


def _told(change: RowChange) -> Iterator[str]:
    alone = change.kind is ChangeKind.CHANGED and len(change.fields) == 1
    for one in change.fields:
        old, new = _value(one, one.old), printable(_ISSUED) if one.issued else _value(one, one.new)
        name = "" if alone else f"{printable(one.name)} "
        match change.kind:
            case ChangeKind.CHANGED:
                yield f"{name}{old} → {new}"
            case ChangeKind.NEW:
                yield f"{name}{new}"
            case ChangeKind.REMOVED:
                yield f"{name}{old}"


def _value(one: FieldChange, value: str | None) -> str:
    if value is None:
        return printable(_NOTHING)
    return money(Decimal(value)) if one.name in AMOUNTS else printable(value)


def _object(change: RowChange) -> Mapping[str, object]:
    item = change.item
    return {
        "row": item.number,
        "line": item.line,
        "label": item.label,
        "kind": change.kind,
        "model": change.model,
        "fields": [
            {"field": one.name, "old": one.old, "new": one.new, "issued": one.issued} for one in change.fields
        ],
    }


# ---- the facts of a plan ------------------------------------------------------------------------------------------


SHOWN: Final = 3
"""Requests that are shown in full."""

MAX_GROUPS_SHOWN: Final = 20
"""Rows of each kind that are shown; the rest is counted."""

_DONE: Final = {CREATE: said("new"), SET: said("to be changed"), DELETE: said("to be deleted")}
"""The effect of a call that contains a step of this method."""

_CALLED: Final = said("to be called")

_ASKED: Final = 16
"""Reading calls that are timed to measure the billing's pace."""


@dataclass(frozen=True, slots=True)
class ReadingPace:
    """The pace of reading calls: calls a second, with `at_once` in flight."""

    per_second: float
    at_once: int

    def seconds_for(self, rows: int) -> float:
        """Seconds that this many calls take."""
        return rows / self.per_second


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """A group of rows to be sent: what is done to them, their number and their sum."""

    word: str
    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """The number of refused rows whose amount can be read, and their sum."""

    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The facts of a plan. `before` is the previous plan of the same input, `changes` the differences from it."""

    plan: PreviewFacts
    kinds: Sequence[PlannedGroup]
    values: ValueChanges
    refused: Known
    requests: Sequence[str]
    pace: ReadingPace
    before: Run | None
    refused_before: int
    changes: ListDifferences | None


async def plan_facts(run: Run, job: Job, gateway: Gateway, journal: Journal, spec: JobSpec | None) -> PlanFacts:
    """Collect the facts of a saved list; `spec` is the kind of its job. Raises `LookUpFailed`."""
    plan = await plan_of(run, job, journal)
    first = await journal.items(run, {State.PENDING}, size=SHOWN)
    before = await _plan_before(run, journal)
    kinds, values = await _planned(run, gateway, journal)
    refused = (await sums_of(run, journal, spec)).refused
    return PlanFacts(
        plan=plan,
        kinds=kinds,
        values=values,
        refused=Known(refused.rows - refused.unreadable, refused.amount),
        requests=[job.effect.describe(run.name, item) for item in first],
        pace=await _pace(gateway),
        before=before,
        refused_before=(await journal.totals(before)).refused if before else 0,
        changes=await changes_between_plans(journal.path, before, run, size=MAX_GROUPS_SHOWN, plain=_plain)
        if before
        else None,
    )


def _plain(payload: str) -> str:
    """A payload in comparable form: secrets masked, each value normalised."""
    return in_one_spelling(mask_secrets(payload))


async def _planned(run: Run, gateway: Gateway, journal: Journal) -> tuple[list[PlannedGroup], ValueChanges]:
    """What is done to all rows to be sent, by kind and by value; they are read once for both."""
    rows, sums = Counter[str](), defaultdict[str, Decimal](Decimal)
    values = ValueChanges()
    async for page in row_changes(run, journal, gateway.profile):
        for change in page:
            values.add(change)
            word = _kind_of(change.payload)
            rows[word] += 1
            sums[word] += change.item.amount or 0
    return [PlannedGroup(word, number, sums[word]) for word, number in rows.items()], values


def _kind_of(payload: Payload) -> str:
    methods = dict(payload.steps)
    for method, word in _DONE.items():
        if method in methods:
            return word
    return _CALLED


async def _plan_before(run: Run, journal: Journal) -> Run | None:
    same = [one for one in await journal.runs() if is_kept(one) and same_input(one, run) and one.run_id < run.run_id]
    return same[-1] if same else None


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
    return ReadingPace(at_once / max(statistics.median(rounds), 1e-6), at_once)


# ---- the screen of a plan -----------------------------------------------------------------------------------------


WORKER = 5.5
"""Records a second that the billing's worker takes from its stacks [D]."""


def plan_screen(facts: PlanFacts, target: Target, journal: str, all_of_them: str) -> RenderableType:
    """The screen of a plan; `all_of_them` is the command that saves its rows."""
    plan, run = facts.plan, facts.plan.run
    table = Facts()
    table.add(said("plan"), run.name)
    table.add(said("job"), job_line(run))
    table.add(said("rows from"), render(run.source))
    if columns := columns_line(plan.columns):
        table.add(said("columns"), columns)
    _add_counts(table, facts)
    table.add(said("takes"), _time(facts, with_stacks=target.database is not None))
    add_badge(table, run.parameters)
    table.add(said("billing"), billing_line(run, target))
    if plan.assumptions:
        table.add(said("assumed"), assumed_line(plan))
    parts: list[RenderableType] = [Text(""), table]
    if plan.steps is not None:
        parts += [Text(""), steps_table(plan.steps, begun=False)]
    parts.append(assumed_question(plan))
    parts.append(changes_list(facts.values, _saved_by("-o FILE.xlsx")))
    if facts.requests:
        parts += [
            Text(""),
            render(said("The first requests:"), "dim"),
            *(one_line("  ", printable(line, WHOLE)) for line in facts.requests),
        ]
    parts += [
        look_alike_rows(plan, _saved_by("-o DIR")),
        differences(plan, _saved_by("-o DIR")),
        bad_rows(plan, all_of_them),
        _changes(facts),
    ]
    end = said("Nothing was sent; the journal {path} was only read.", path=journal)
    parts += [Text(""), Hanging(Text(""), render(end, "dim"))]
    return Group(*parts)


def _saved_by(option: str) -> Said:
    return said("{option} saves all of them", option=option)


def _add_counts(table: Facts, facts: PlanFacts) -> None:
    """What becomes of the rows, with their sums."""
    plan = facts.plan
    table.add(said("read"), number_and_sum(plan.rows_read))
    table.add(said("would send"), render(to_send_line(plan), "bold"))
    for kind in facts.kinds if plan.steps is None else ():
        table.add("", _kind(kind, has_amounts=plan.has_amounts))
    if balances := balances_line(facts.values):
        table.add(said("balances"), balances)
    add_what_is_not_sent(table, plan)
    if plan.totals.refused:
        table.add(REFUSED, render(_refused(facts), "bold red"))
    if plan.shared.lanes and plan.steps is None:
        table.add(said("accounts"), _shared(facts))
    if plan.look_alike_rows:
        table.add(said("caution"), render(look_alike_line(plan), "bold yellow"))


def next_step(run: Run, *, skips_bad: bool) -> RenderableType:
    """The command that sends the plan unchanged."""
    command = command_line("run", "--plan", run.name, *(("--skip-bad",) if skips_bad else ()))
    return steps_list([(command, said("send this, or nothing if it has changed"))])


def nothing_to_send(*, bad: bool) -> Said:
    """The sentence in its place where no row of the plan would be sent."""
    return (
        said("There is nothing to send: mend the input, and plan again.")
        if bad
        else said("There is nothing to send.")
    )


def plan_object(facts: PlanFacts, code: Exit) -> Mapping[str, object]:
    """The object of `--json`."""
    plan = facts.plan
    return {
        "job": plan.run.job,
        "plan": plan.run.name,
        "columns": {name: column.name for name, column in plan.columns.taken.items()},
        "columns_not_used": list(plan.columns.unused),
        **states_object(plan.totals),
        "refused_with_amount": facts.refused.rows,
        "refused_amount": format(facts.refused.sum, "f"),
        "skipped": {reason.kind: reason.items for reason in plan.skipped},
        "skipped_amounts": {reason.kind: format(reason.amount, "f") for reason in plan.skipped},
        "kinds": {str(kind.word): kind.rows for kind in facts.kinds},
        "kind_amounts": {str(kind.word): format(kind.sum, "f") for kind in facts.kinds},
        "duplicates": plan.duplicates,
        "duplicates_amount": format(plan.duplicates_sum, "f"),
        "shared_accounts": plan.shared.lanes,
        "shared_accounts_rows": plan.shared.items,
        "shared_accounts_amount": format(plan.shared.amount, "f"),
        "look_alikes": plan.look_alike_rows,
        "look_alikes_amount": format(plan.look_alike_sum, "f"),
        "seconds": round(facts.pace.seconds_for(plan.to_send), 1),
        "requests": list(facts.requests),
        "assumptions": list(plan.assumptions),
        "value_changes": changes_object(facts.values),
        "changes": None
        if facts.changes is None
        else {str(kind): number for kind, number in facts.changes.counts.items()},
        "exit": int(code),
        "error": None,
        **steps_object(plan.steps),
    }


def _kind(kind: PlannedGroup, *, has_amounts: bool) -> Said:
    number = Quantity(kind.rows)
    if has_amounts:
        return said("{n} {what}, {sum} in total", n=number, what=kind.word, sum=kind.sum)
    return said("{n} {what}", n=number, what=kind.word)


def _refused(facts: PlanFacts) -> Said:
    number, known = facts.plan.totals.refused, facts.refused
    if not known.rows:
        return number_and_sum(number)
    if known.rows == number:
        return number_and_sum(number, known.sum)
    return counted(
        "{n} row, {sum} in the {known} whose amount can be read",
        "{n} rows, {sum} in the {known} whose amount can be read",
        number,
        sum=known.sum,
        known=Quantity(known.rows),
    )


def _shared(facts: PlanFacts) -> Said:
    shared = facts.plan.shared
    return said(
        "{n} reached by several rows, one after the other: {rows}",
        n=Quantity(shared.lanes),
        rows=number_and_sum(shared.items, shared.amount if facts.plan.has_amounts else None),
    )


def _time(facts: PlanFacts, *, with_stacks: bool) -> Said:
    number, pace = facts.plan.to_send, facts.pace
    if not number:
        return said("no time: there is nothing to send")
    seconds = pace.seconds_for(number)
    time = said(
        "about {time} at {rate} a second, the pace of reading calls, {calls} at once",
        time=duration(seconds),
        rate=f"{pace.per_second:.0f}",
        calls=pace.at_once,
    )
    if not with_stacks or number <= WORKER * seconds:
        return time
    more = duration(number / WORKER - seconds)
    return said("{time}; the billing may need {more} more to apply them", time=time, more=more)


def _change(changed: ListDifference) -> str:
    """What has changed in a row, with its amount in both lists, or in the one that has it."""
    before, now = changed.amounts
    if before is not None and now is not None and before != now:
        return said("{change}, {before} before, {now} now", change=changed.kind, before=before, now=now)
    only = now if before is None else before
    if only is None:
        return changed.kind
    return said("{change}, {sum}", change=changed.kind, sum=only)


def _changes(facts: PlanFacts) -> RenderableType:
    before, changes = facts.before, facts.changes
    if before is None or changes is None:
        return Group()
    date, refused = moment(before.created_at), facts.plan.totals.refused
    if not changes.counts and refused == facts.refused_before:
        return Group(Text(""), render(said("Since the plan of {date}: nothing has changed.", date=date), "dim"))
    kinds = [said("{n} × {change}", n=Quantity(number), change=kind) for kind, number in changes.counts.items()]
    if refused != facts.refused_before:
        was, now = Quantity(facts.refused_before), Quantity(refused)
        kinds.append(said("{before} refused before, {now} now", before=was, now=now))
    lines = [
        Text("  ").append(printable(changed.label, 60), "bold").append(": ").append_text(render(_change(changed)))
        for changed in changes.examples
    ]
    since = said("Since the plan of {date}: {changes}", date=date, changes=tuple(kinds))
    return Group(Text(""), render(since, "yellow"), *lines)
