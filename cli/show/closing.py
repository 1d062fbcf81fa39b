"""The outcome of a run: the closing screen for people, the closing object for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Reason, Refusal, Run, Totals
from checkpoints.states import State
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, command, steps_list
from cli.terminal.texts import JOINT, count, duration, money, number_of, printable, rate, rows
from jobs.spec.undo_words import LIST, OPPOSITE, RUN, STORNO, UNDO, WAY
from texts.remedies import PROGRAM

EXPLAINED: Final = tuple(sorted((state for state in State if state.explained), key=lambda state: state.explained))
"""States whose reasons are shown, including states of success that a person should know about."""


TRUSTED: Final = (
    "the billing was not asked for rows that another copy of this journal may have sent (--trust-journal)"
)


@dataclass(frozen=True, slots=True)
class Closing:
    """The closing of a command. `seconds` and `calls` are of this process alone.

    `held` gives, by cause, the seconds in which nothing could be sent; two causes at one time both count. For a job
    file they cover its last step and the waiting between its steps.
    `run` is None when none was begun. `stopped` is why it stopped early, `error` why it was refused or failed.
    """

    exit: Exit
    run: str | None = None
    job: str | None = None
    totals: Totals = field(default_factory=Totals)
    calls: int = 0
    seconds: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    stopped: str | None = None
    error: str | None = None
    trusted_journal: bool = False
    """Whether the look-up for rows sent from another copy of the journal was switched off."""
    steps: "tuple[StepOutcome, ...]" = ()
    """All steps of a job file, in their order."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """A step of a job file and its closing, None where it was not begun; `output` is the file that it writes."""

    number: int
    job: str
    closing: Closing | None = None
    output: str | None = None
    done_before: bool = False
    """Whether an earlier start of the round has done it."""


def closing_object(closing: Closing) -> Mapping[str, object]:
    """The object of `--json`; that of a job file has the objects of its steps as well."""
    steps = {"steps": [_step_object(step) for step in closing.steps]} if closing.steps else {}
    return {**_own_object(closing), **steps}


def _step_object(step: StepOutcome) -> Mapping[str, object]:
    facts = {"step": step.number, "job": step.job, "output": step.output, "done_before": step.done_before}
    return facts | (_own_object(step.closing) if step.closing else {"run": None, "exit": None})


def _own_object(closing: Closing) -> dict[str, object]:
    return {
        "run": closing.run,
        "job": closing.job,
        **states_object(closing.totals),
        "calls": closing.calls,
        "seconds": round(closing.seconds, 3),
        "held": {who: round(seconds, 3) for who, seconds in closing.held.items()},
        "trusted_journal": closing.trusted_journal,
        "exit": int(closing.exit),
        "stopped": closing.stopped,
        "error": closing.error,
    }


def states_object(totals: Totals) -> Mapping[str, object]:
    """Counts and sums for scripts: the states that have items, sums as plain decimals."""
    return {
        "states": {str(state): totals.counts[state] for state in State if totals.counts.get(state)},
        "amounts": {
            str(state): format(totals.amounts.get(state, Decimal(0)), "f")
            for state in State
            if totals.counts.get(state)
        },
        "refused": totals.refused,
        "left_out": dict(totals.left_out),
    }


def states_table(totals: Totals) -> Table:
    """Counts and sums by state, and their total."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    with_money = any(totals.amounts.values())
    for state in State:
        if number := totals.counts.get(state):
            amount = money(totals.amounts.get(state, Decimal(0))) if with_money else ""
            table.add_row(Text(str(state), state.style), count(number), amount)
    if len(totals.counts) != 1:
        # A replaced row is counted as the row that replaced it.
        frozen = totals.frozen - totals.count(State.REPLACED)
        sums = totals.amount - totals.amounts.get(State.REPLACED, Decimal(0))
        table.add_row("[dim]all[/]", f"[dim]{count(frozen)}[/]", f"[dim]{money(sums)}[/]" if with_money else "")
    if totals.refused:
        table.add_row("[red]refused[/]", count(totals.refused), "[dim]not part of the run[/]")
    for flag, number in totals.left_out.items():
        table.add_row("[dim]left out[/]", count(number), f"[dim]by {flag}[/]")
    return table


async def show_closing(closing: Closing, run: Run, journal: Journal) -> RenderableType:
    """The outcome of the run, its reasons, and what to do next."""
    head = headline(closing)
    if closing.exit is Exit.DONE and accountants_list(run, closing.totals):
        head = _only_listed(run)
    parts: list[RenderableType] = [Hanging(Text(""), head), states_table(closing.totals)]
    if closing.calls:
        parts.append(Text(_pace(closing.calls, closing.seconds), "dim"))
    if any(round(seconds) for seconds in closing.held.values()):
        parts.append(Hanging(Text(""), Text(_held(closing.held), "dim")))
    if closing.trusted_journal:
        parts.append(Hanging(Text(""), Text(TRUSTED, "yellow")))
    parts += await reasons_lists(run, closing.totals, journal)
    if steps := next_steps(run, closing.totals):
        parts.append(steps_list(steps))
    return Group(*parts)


def _pace(calls: int, seconds: float) -> str:
    told = f"{number_of(calls, 'call')} in {duration(seconds)}"
    # Below a second a rate has no meaning.
    return f"{told}, {rate(calls / seconds)} a second" if seconds > 1 else told


def _held(held: Mapping[str, float]) -> str:
    longest_first = sorted(held.items(), key=lambda one: -one[1])
    return "held: " + ", ".join(
        f"{printable(who)} {duration(seconds)}" for who, seconds in longest_first if round(seconds)
    )


def steps_of_file(steps: Sequence[StepOutcome]) -> Table:
    """The steps of a job file as a table: each with its run, its rows and its outcome."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("step", "job", "run", "rows", "outcome"):
        table.add_column(column, overflow="fold", justify="right" if column in {"step", "rows"} else "left")
    for step in steps:
        closing = step.closing
        table.add_row(
            str(step.number),
            Text(step.job, "bold"),
            (closing and closing.run) or "–",
            count(closing.totals.frozen) if closing and closing.run else "–",
            _outcome(step),
        )
    return table


def _outcome(step: StepOutcome) -> Text:
    """The outcome of a step, in some words."""
    closing = step.closing
    if closing is None:
        return Text("not begun", "dim")
    done = "done before" if step.done_before else "done"
    match closing.exit:
        case Exit.DONE:
            told = Text(done, "green")
        case Exit.REJECTED:
            told = Text(f"{done}; {_not_entered(closing.totals)}", "yellow")
        case Exit.UNDECIDED:
            told = Text("rows are left to be decided on", "yellow")
        case Exit.INTERRUPTED | Exit.STOPPED if closing.run is not None:
            told = Text(f"stopped: {printable(closing.stopped or 'not at its end', 160)}", "yellow")
        case _:
            told = Text(f"not begun: {printable(closing.error or 'refused', 160)}", "red")
    return told.append(f"; {printable(step.output)}", "dim") if step.output and closing.run else told


def headline(closing: Closing) -> Text:
    """The outcome in one sentence."""
    name = f"run {closing.run}"
    match closing.exit:
        case Exit.DONE:
            return Text(f"✓ {name} is done", "bold green")
        case Exit.REJECTED:
            return Text(f"! {name} is done; {_not_entered(closing.totals)}", "bold yellow")
        case Exit.UNDECIDED:
            return Text(f"! {name}: rows are left that a look-up or a person has to decide on", "bold yellow")
        case Exit.INTERRUPTED | Exit.STOPPED:
            why = printable(closing.stopped or closing.error or "it has not come to its end", 600)
            return Text(f"■ {name} stopped: {why}", "bold yellow")
        case _:
            return Text(f"✗ {name}: {printable(closing.error or 'refused', 600)}", "bold red")


def _only_listed(run: Run) -> Text:
    """The outcome of an undo that sends nothing: what it is to take back stands as before."""
    return Text(
        f"! run {run.name} has sent nothing: to take run {run.parameters[RUN]} back, the accountant has to enter "
        "what is on the list",
        "bold yellow",
    )


def _not_entered(totals: Totals) -> str:
    number = totals.count(State.REJECTED) + totals.refused
    return f"{rows(number)} {'was' if number == 1 else 'were'} not entered"


async def reasons_lists(run: Run, totals: Totals, journal: Journal) -> list[Group]:
    """Why items are in the states that are explained, a list for each state that has items."""
    return [_reasons_list(state, await journal.reasons(run, state)) for state in EXPLAINED if totals.count(state)]


def _reasons_list(state: State, reasons: Sequence[Reason]) -> Group:
    """Why items are in a state: the kinds of reasons, the most frequent first, each with its first row."""
    lines: list[Hanging] = []
    for reason in reasons:
        where = f"line {reason.line}, " if reason.line else ""
        first = f"first: {where}" if reason.items > 1 else where
        # A text of one row, or that all rows share, is told once.
        of_all = reason.items == 1 or reason.example == reason.kind
        line = Text().append(f"{count(reason.items)} × ".replace(" ", JOINT), "bold")
        line.append(printable((reason.example if of_all else reason.kind) or "no reason given"))
        example = "" if of_all else f": {printable(reason.example)}"
        line.append(f" ({first}{printable(reason.label, 60)}{example})", "dim")
        lines.append(Hanging(Text(f"{state} ", state.style), line, indent=2))
    return Group(*lines)


def next_steps(run: Run, totals: Totals) -> list[tuple[str, str]]:
    """The commands to type next, each with its purpose."""
    intake_ended = run.frozen_at is not None
    unfinished = totals.count_where(open=True) or not intake_ended
    steps = [(f"{PROGRAM} resume {run.name}", "go on where it stopped")] if unfinished else []
    steps += [
        (f"{PROGRAM} export {run.name} --state {state} -o {run.name}-{state}.csv", f"{what} the {rows(number)}")
        for state, what in ((State.REJECTED, "look at"), (State.MANUAL, "decide on"))
        if (number := totals.count(state))
    ]
    if totals.count(State.MANUAL):
        steps.append((f"{PROGRAM} reconcile {run.name}", "see both sides of what a person has to decide"))
    if totals.refused:
        left_out = number_of(totals.refused, "row that was", "rows that were")
        steps.append((refused_export(run), f"mend the {left_out} left out"))
    if intake_ended and run.job != UNDO and (totals.count(State.REJECTED) or totals.refused):
        word = State.REJECTED if totals.count(State.REJECTED) else "refused"
        back = f"{PROGRAM} run {run.job} {run.name}-{word}.csv --continue {run.name}"
        steps.append((back, "take that file in again, once it is corrected"))
    if list_ := accountants_list(run, totals):
        steps.append((list_, "write the accountant's list: operation, sum, subscriber, and what is to be done"))
        by_itself = f"{PROGRAM} undo {run.parameters[RUN]} --set {WAY}={OPPOSITE}"
        storno = f"--set {WAY}={STORNO}"
        steps.append((by_itself, f"or send it: opposite sums are entered, with {storno} each operation is reversed"))
    if totals.count(State.ACCEPTED) and not totals.count_where(open=True):
        steps.append((f"{PROGRAM} verify {run.name}", "read back what the billing now says"))
    return steps


def refused_export(run: Run) -> str:
    """The command that writes the refused rows to a file."""
    return f"{PROGRAM} export {run.name} --state refused -o {run.name}-refused.csv"


def accountants_list(run: Run, totals: Totals) -> str | None:
    """The command that writes the accountant's list of an undo; None where the list is empty."""
    if run.job != UNDO or run.parameters.get(WAY) != LIST or not totals.count(State.SKIPPED):
        return None
    return f"{PROGRAM} export {run.name} --state {State.SKIPPED} -o {run.name}-for-the-accountant.csv"


MAX_REFUSALS_SHOWN = 20
"""Refused rows that are shown; the rest is counted."""


async def first_refusals(run: Run, journal: Journal) -> list[Refusal]:
    """The first refused rows, sorted by line: contradicting rows are refused last, out of order."""
    found = [refusal for _, refusal in await journal.refusals(run, size=MAX_REFUSALS_SHOWN)]
    return sorted(found, key=lambda refusal: refusal.line or 0)


def refused_rows(refusals: Sequence[Refusal], total: int, all_of_them: str) -> RenderableType:
    """The first refused rows, each with line, column and reason; `all_of_them` is the command that shows all."""
    lines: list[RenderableType] = [_refusal_line(refusal) for refusal in refusals]
    if total > len(refusals):
        lines += [Text(f"… and {count(total - len(refusals))} more; all of them with:", "dim"), command(all_of_them)]
    return Group(Text(""), *lines)


def _refusal_line(refusal: Refusal) -> Hanging:
    """One refused row in words."""
    line = Text()
    place = [f"line {refusal.line}"] if refusal.line else []
    place += [f"column {printable(refusal.column, 60)}"] if refusal.column else []
    line.append(", ".join(place) or "a row", "bold")
    if refusal.label:
        line.append(f" ({printable(refusal.label, 60)})", "dim")
    return Hanging(Text("✗ ", "red"), line.append(f": {printable(refusal.reason)}"))
