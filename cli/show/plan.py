"""What a plan shows: counts and sums of each kind, old and new values, the duration, and the first requests."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from billing.api.calls import version
from billing.directory.values import AMOUNTS
from checkpoints.journal import Journal
from checkpoints.list_differences import ListDifference, ListDifferences, changes_between_plans
from checkpoints.records import Run
from checkpoints.states import State
from cli.show.closing import states_object
from cli.show.parts import Part, and_more, facts, section, stack
from cli.show.preview import (
    PreviewFacts,
    Target,
    assumed_line,
    assumed_question,
    bad_rows,
    badge_line,
    billing_line,
    caution_line,
    columns_line,
    differences,
    job_line,
    look_alike_rows,
    not_sent,
    number_and_sum,
    plan_of,
    steps_part,
    to_send_line,
)
from cli.show.steps import steps_object
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, one_line, render, steps_list
from cli.terminal.names import REFUSED, place_of
from cli.terminal.texts import WHOLE, duration, moment, money, printable
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.access.payload import in_one_spelling
from jobs.access.vault import mask_secrets
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.spec.chain_kind import CREATE, DELETE, SET
from jobs.spec.spec import JobSpec
from jobs.sums import Subtotal, sums_of
from jobs.value_changes import BalanceSums, ChangeKind, FieldChange, RowChange, row_changes
from texts.remedies import command_line
from texts.said import Quantity, Said, counted, said

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


def changes_list(changes: ValueChanges, all_of_them: str) -> RenderableType:
    """The first rows of each group, old → new; `all_of_them` says where all are."""
    return stack(
        *(
            section(
                render(group.title, "bold"),
                *map(_row, first),
                and_more(group.rows - len(first), all_of_them),
            )
            for group, first in changes.shown
        )
    )


def _row(change: RowChange) -> Hanging:
    item = change.item
    line = Text(f"({printable(item.label, 60)})", "dim").append(f": {', '.join(_values(change))}", "not dim")
    return Hanging(Text(f"  {printable(place_of(item))} "), line, indent=4)


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
    return ReadingPace(at_once / max(statistics.median(rounds), 1e-6), at_once)


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
    plan, run, shared = planned.plan, planned.plan.run, planned.plan.shared
    as_table, in_folder = (said("{option} saves all of them", option=one) for one in ("-o FILE.xlsx", "-o DIR"))
    accounts = said(
        "{n} reached by several rows, one after the other: {rows}",
        n=Quantity(shared.lanes),
        rows=number_and_sum(shared.items, shared.amount if plan.has_amounts else None),
    )
    requests = [one_line("  ", printable(line, WHOLE)) for line in planned.requests]
    read_only = said("Nothing was sent; the journal {path} was only read.", path=journal)
    return stack(
        "",
        facts(
            (said("plan"), run.name),
            (said("job"), job_line(run)),
            (said("rows from"), render(run.source)),
            (said("columns"), columns_line(plan.columns)),
            (said("read"), number_and_sum(plan.rows_read)),
            (said("would send"), render(to_send_line(plan), "bold")),
            *(("", _kind(word, kind, plan)) for word, kind in planned.kinds.items() if plan.steps is None),
            (said("balances"), _balances(planned.values.balances)),
            *not_sent(plan),
            (REFUSED, _refused(planned)),
            (said("accounts"), accounts if shared.lanes and plan.steps is None else None),
            (said("caution"), caution_line(plan)),
            (said("takes"), _time(planned, with_stacks=target.database is not None)),
            (said("settings"), badge_line(run)),
            (said("billing"), billing_line(run, target)),
            (said("assumed"), assumed_line(plan)),
        ),
        steps_part(plan),
        assumed_question(plan),
        changes_list(planned.values, as_table),
        section(render(said("The first requests:"), "dim"), *requests) if requests else None,
        look_alike_rows(plan, in_folder),
        differences(plan, in_folder),
        bad_rows(plan, all_of_them),
        _since(planned),
        "",
        Hanging(Text(""), render(read_only, "dim")),
    )


def _kind(word: str, kind: Subtotal, plan: PreviewFacts) -> Said:
    number = Quantity(kind.rows)
    if plan.has_amounts:
        return said("{n} {what}, {sum} in total", n=number, what=word, sum=kind.amount)
    return said("{n} {what}", n=number, what=word)


def _balances(sums: BalanceSums) -> Said | None:
    """The sums of the balances before and after; None where the rows set or add to none."""
    if not sums.accounts:
        return said("not known what they are now: no database is read") if sums.unread else None
    return counted(
        "{before} before, {after} after, on {n} account",
        "{before} before, {after} after, on {n} accounts",
        sums.accounts,
        before=sums.before,
        after=sums.after,
    )


def _refused(planned: PlanFacts) -> Text | None:
    number, known = planned.plan.totals.refused, planned.refused.rows - planned.refused.unreadable
    if not number:
        return None
    sentence = number_and_sum(number, planned.refused.amount if known else None)
    if 0 < known < number:
        sentence = counted(
            "{n} row, {sum} in the {known} whose amount can be read",
            "{n} rows, {sum} in the {known} whose amount can be read",
            number,
            sum=planned.refused.amount,
            known=Quantity(known),
        )
    return render(sentence, "bold red")


def _time(planned: PlanFacts, *, with_stacks: bool) -> Said:
    number, pace = planned.plan.to_send, planned.pace
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


def _since(planned: PlanFacts) -> Part:
    """What has changed since the previous plan."""
    before, changes, refused = planned.before, planned.changes, planned.plan.totals.refused
    if before is None or changes is None:
        return None
    date = moment(before.created_at)
    kinds = [said("{n} × {change}", n=Quantity(number), change=kind) for kind, number in changes.counts.items()]
    if refused != planned.refused_before:
        was, now = Quantity(planned.refused_before), Quantity(refused)
        kinds.append(said("{before} refused before, {now} now", before=was, now=now))
    if not kinds:
        return section(render(said("Since the plan of {date}: nothing has changed.", date=date), "dim"))
    return section(
        render(said("Since the plan of {date}: {changes}", date=date, changes=tuple(kinds)), "yellow"),
        *(
            Text("  ").append(printable(one.label, 60), "bold").append(": ").append_text(render(_change(one)))
            for one in changes.examples
        ),
    )


def _change(changed: ListDifference) -> str:
    """What has changed in a row, with its amount in both lists, or in the one that has it."""
    before, now = changed.amounts
    if before is not None and now is not None and before != now:
        return said("{change}, {before} before, {now} now", change=changed.kind, before=before, now=now)
    only = now if before is None else before
    return changed.kind if only is None else said("{change}, {sum}", change=changed.kind, sum=only)


def next_step(plan: PreviewFacts, *, bad: bool) -> RenderableType:
    """The command that sends the plan unchanged, or that it sends nothing."""
    if plan.to_send:
        words = command_line("run", "--plan", plan.run.name, *(("--skip-bad",) if bad else ()))
        return steps_list([(words, said("send this, or nothing if it has changed"))])
    if bad:
        return render(said("There is nothing to send: mend the input, and plan again."))
    return render(said("There is nothing to send."))
