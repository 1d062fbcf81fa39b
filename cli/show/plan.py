"""The screen of a plan: counts and sums of each kind, the duration, and the first requests."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.list_differences import ListDifference
from checkpoints.records import Run
from cli.show.closing import states_object
from cli.show.plan_facts import PlanFacts
from cli.show.preview import (
    Target,
    assumed_line,
    assumed_question,
    bad_rows,
    columns_line,
    left_out_lines,
    look_alike_line,
    look_alike_rows,
    parameters_of,
    skipped_lines,
)
from cli.show.value_changes import balances_line, changes_list, changes_object
from cli.terminal.exits import Exit
from cli.terminal.layout import Facts, Hanging, one_line, steps_list
from cli.terminal.texts import WHOLE, count, duration, markup_safe, moment, money, printable, rows
from texts.remedies import PROGRAM

WORKER = 5.5
"""Records a second that the billing's worker takes from its stacks [D]."""


def plan_screen(facts: PlanFacts, target: Target, journal: Path) -> RenderableType:
    """The screen of a plan."""
    plan, run = facts.plan, facts.plan.run
    table = Facts()
    table.add("plan", run.name)
    table.add("job", Text(run.job, "bold").append(f"  {printable(parameters_of(run), WHOLE)}", "dim"))
    table.add("rows from", markup_safe(run.source, WHOLE))
    if columns := columns_line(plan.columns):
        table.add("columns", columns)
    _add_counts(table, facts)
    table.add("takes", _time(facts, with_stacks=target.database is not None))
    table.add("billing", f"{markup_safe(run.target)}, version {markup_safe(target.version)}")
    if plan.assumptions:
        table.add("assumed", assumed_line(plan))
    parts: list[RenderableType] = [Text(""), table, assumed_question(plan)]
    parts.append(changes_list(facts.values, "-o FILE.xlsx saves all of them"))
    if facts.requests:
        parts += [
            Text("\nThe first requests:", "dim"),
            *(one_line("  ", printable(line, WHOLE)) for line in facts.requests),
        ]
    parts += [
        look_alike_rows(plan, "-o DIR saves all of them"),
        bad_rows(plan, "-o DIR"),
        _changes(facts),
    ]
    end = f"Nothing was sent; the journal {printable(journal, WHOLE)} was only read."
    parts += [Text(""), Hanging(Text(""), Text(end, "dim"))]
    return Group(*parts)


def _add_counts(table: Facts, facts: PlanFacts) -> None:
    """What becomes of the rows, with their sums."""
    plan = facts.plan
    table.add("read", rows(plan.totals.read))
    table.add("would send", Text(_to_send(facts), "bold"))
    for kind in facts.kinds:
        total = f", {money(kind.sum)} in total" if plan.has_amounts else ""
        table.add("", f"{count(kind.rows)} {kind.word}{total}")
    if balances := balances_line(facts.values):
        table.add("balances", balances)
    for line in skipped_lines(plan):
        table.add("skipped", line)
    for line in left_out_lines(plan.totals):
        table.add("left out", line)
    if plan.totals.refused:
        table.add("refused", Text(_refused(facts), "bold red"))
    if plan.shared.lanes:
        table.add("accounts", _shared(facts))
    if plan.look_alike_rows:
        table.add("caution", Text(look_alike_line(plan), "bold yellow"))


def next_step(run: Run, *, skips_bad: bool) -> RenderableType:
    """The command that sends the plan unchanged."""
    command = f"{PROGRAM} run --plan {run.name}" + (" --skip-bad" if skips_bad else "")
    return steps_list([(command, "send this, or nothing if it has changed")])


def nothing_to_send(*, bad: bool) -> str:
    """The sentence in its place where no row of the plan would be sent."""
    return "There is nothing to send" + (": mend the input, and plan again." if bad else ".")


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
        "kinds": {kind.word: kind.rows for kind in facts.kinds},
        "kind_amounts": {kind.word: format(kind.sum, "f") for kind in facts.kinds},
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
        "changes": None if facts.changes is None else dict(facts.changes.counts),
        "exit": int(code),
        "error": None,
    }


def _to_send(facts: PlanFacts) -> str:
    plan = facts.plan
    return rows(plan.to_send) + (f", {money(plan.sum)} in total" if plan.has_amounts and plan.to_send else "")


def _refused(facts: PlanFacts) -> str:
    number, known = facts.plan.totals.refused, facts.refused
    if not known.rows:
        return rows(number)
    whose = "in total" if known.rows == number else f"in the {count(known.rows)} whose amount can be read"
    return f"{rows(number)}, {money(known.sum)} {whose}"


def _shared(facts: PlanFacts) -> str:
    shared = facts.plan.shared
    total = f", {money(shared.amount)} in total" if facts.plan.has_amounts else ""
    return f"{count(shared.lanes)} reached by several rows, one after the other: {rows(shared.items)}{total}"


def _time(facts: PlanFacts, *, with_stacks: bool) -> str:
    number, pace = facts.plan.to_send, facts.pace
    if not number:
        return "no time: there is nothing to send"
    told = (
        f"about {duration(pace.seconds_for(number))} at {pace.per_second:.0f} a second, the pace of reading calls, "
        f"{pace.at_once} at once"
    )
    if with_stacks and number > WORKER * pace.seconds_for(number):
        told += f"; the billing may need {duration(number / WORKER - pace.seconds_for(number))} more to apply them"
    return told


def _amounts(changed: ListDifference) -> str:
    """The amount of a row in both lists, or in the one that has it."""
    before, now = changed.amounts
    if before is None or now is None or before == now:
        only = now if before is None else before
        return "" if only is None else f", {money(only)}"
    return f", {money(before)} before, {money(now)} now"


def _changes(facts: PlanFacts) -> RenderableType:
    before, changes = facts.before, facts.changes
    if before is None or changes is None:
        return Group()
    since = f"\nSince the plan of {moment(before.created_at)}: "
    refused = facts.plan.totals.refused
    if not changes.counts and refused == facts.refused_before:
        return Text(f"{since}nothing has changed.", "dim")
    kinds = [f"{count(number)} × {kind}" for kind, number in changes.counts.items()]
    if refused != facts.refused_before:
        kinds.append(f"{count(facts.refused_before)} refused before, {count(refused)} now")
    told = ", ".join(kinds)
    lines = [
        Text("  ").append(printable(changed.label, 60), "bold").append(f": {changed.kind}{_amounts(changed)}")
        for changed in changes.examples
    ]
    return Group(Text(f"{since}{told}", "yellow"), *lines)
