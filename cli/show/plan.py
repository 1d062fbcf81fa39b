"""The screen of a plan: counts and sums of each kind, the duration, and the first requests."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.list_differences import ListDifference
from checkpoints.records import Run
from cli.show.closing import states_object
from cli.show.plan_facts import PlanFacts, PlannedGroup
from cli.show.preview import (
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
    to_send_line,
)
from cli.show.steps import steps_object, steps_table
from cli.show.value_changes import balances_line, changes_list, changes_object
from cli.terminal.badge import add_badge
from cli.terminal.exits import Exit
from cli.terminal.layout import Facts, Hanging, one_line, render, steps_list
from cli.terminal.names import REFUSED
from cli.terminal.texts import WHOLE, duration, moment, printable
from texts.remedies import command_line
from texts.said import Quantity, Said, counted, said

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
