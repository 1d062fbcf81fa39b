"""The outcome of a run: the closing screen for people, the closing object for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Reason, Refusal, Run, Stage, Totals
from checkpoints.states import State
from cli.show.steps import (
    STATES_OF_STEPS,
    StepsFacts,
    entered_line,
    import_again,
    licence_hint,
    next_steps_of_import,
    reasons_of_steps,
    steps_object,
    steps_of,
    steps_table,
    subscribers_line,
)
from cli.terminal.drawing import drawn
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, labelled, render
from cli.terminal.names import LEFT_OUT, REFUSED, STATE_NAMES
from cli.terminal.texts import WHOLE, count, money, printable
from engine.pacing.holds import StopKind
from jobs.spec.words import IMPORT, LEAVE, LIST, OPPOSITE, RUN, STORNO, TAKE, UNDO, UNPROVEN, WAY
from texts.remedies import command_line, setting
from texts.said import Said, counted, said

if TYPE_CHECKING:
    from jobs.value_changes import Overwritten

EXPLAINED: Final = tuple(sorted((state for state in State if state.explained), key=lambda state: state.explained))
"""States whose reasons are shown, including states of success that a person should know about."""

_REFUSED: Final = "refused"
"""The word for refused rows in `export --state`."""

_SHORT: Final = 180
"""Characters of the reason for a stop in the table of steps."""


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
    imported: StepsFacts | None = None
    """Of an import, what became of its steps and subscribers."""
    stopped_by: StopKind | None = None
    """What stopped it: a person, the system, or a limit that a person has to look at."""
    again_in: float | None = None
    """Seconds after which what stopped it passes by itself, None where nobody knows."""
    unproven: int = 0
    """Rows whose effect was found without a mark, and may be somebody else's; of an undo those that it has left."""
    overwritten: "Overwritten | None" = None
    """What its calls have overwritten that somebody had changed since the list was made."""

    @property
    def not_entered(self) -> int:
        """The rows that were not entered."""
        return self.totals.count(State.REJECTED) + self.totals.refused + self.totals.entered_before


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
    found: dict[str, object] = {
        "run": closing.run,
        "job": closing.job,
        **states_object(closing.totals),
        "calls": closing.calls,
        "seconds": round(closing.seconds, 3),
        "held": {who: round(seconds, 3) for who, seconds in closing.held.items()},
        "trusted_journal": closing.trusted_journal,
        "unproven": closing.unproven,
        "overwritten": closing.overwritten.rows if closing.overwritten else 0,
        "exit": int(closing.exit),
        "stopped": closing.stopped,
        "stopped_by": closing.stopped_by,
        "again_in": None if closing.again_in is None else round(closing.again_in),
        "error": closing.error,
        **steps_object(closing.imported),
    }
    if closing.steps:
        found["steps"] = [
            {
                "step": one.number,
                "job": one.job,
                "output": one.output,
                "done_before": one.done_before,
                **(closing_object(one.closing) if one.closing else {"run": None, "exit": None}),
            }
            for one in closing.steps
        ]
    return found


def states_object(totals: Totals) -> Mapping[str, object]:
    """Counts and sums for scripts: the states that have items, sums as plain decimals."""
    there = [state for state in State if totals.counts.get(state)]
    return {
        "states": {str(state): totals.counts[state] for state in there},
        "amounts": {str(state): format(totals.amounts.get(state, Decimal(0)), "f") for state in there},
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
        # The money of a merged row is part of the amount of the row that carries it.
        merged = totals.merged if state is State.SKIPPED else 0
        if number := totals.counts.get(state, 0) - merged:
            amount = money(totals.amounts.get(state, Decimal(0))) if with_money else ""
            table.add_row(render(STATE_NAMES[state], state.style), count(number), amount)
        if merged:
            within = render(said("in another row"), "dim")
            table.add_row(render(said("merged"), State.SKIPPED.style), count(merged), within)
    if len(totals.counts) != 1:
        # A replaced row is counted as the row that replaced it.
        frozen = totals.frozen - totals.count(State.REPLACED)
        sums = totals.amount - totals.amounts.get(State.REPLACED, Decimal(0))
        table.add_row(render(said("all")), count(frozen), money(sums) if with_money else "", style="dim")
    if totals.refused:
        table.add_row(render(REFUSED, "red"), count(totals.refused), render(said("not part of the run"), "dim"))
    for flag, number in totals.left_out.items():
        table.add_row(render(LEFT_OUT, "dim"), count(number), render(said("by {flag}", flag=flag), "dim"))
    return table


def outcome_table(totals: Totals, imported: StepsFacts | None) -> RenderableType:
    """Counts and sums by state; of an import by its steps, and its subscribers."""
    if imported is None:
        return states_table(totals)
    parts: list[RenderableType] = [steps_table(imported, begun=True)]
    parts.append(Hanging(Text(""), render(subscribers_line(imported))))
    if entered := entered_line(imported):
        parts.append(render(entered))
    if totals.refused:
        refused = counted(
            "{n} row of the table, not part of the run", "{n} rows of the table, not part of the run", totals.refused
        )
        parts.append(labelled(said("refused:"), refused, "red"))
    for flag, number in totals.left_out.items():
        left_out = counted("{n} row by {flag}", "{n} rows by {flag}", number, flag=flag)
        parts.append(labelled(said("left out:"), left_out))
    return Group(*parts)


async def show_closing(closing: Closing, run: Run, journal: Journal) -> RenderableType:
    """The outcome of the run, its reasons, and what to do next."""
    totals, imported = closing.totals, closing.imported or await steps_of(run, journal)
    # What an undo is to take back stands as before where the accountant has to enter it.
    only_listed = closing.exit is Exit.DONE and accountants_list(run, totals)
    return drawn(
        "closing.j2",
        {"outcome": outcome_table(totals, imported)},
        closing=replace(closing, imported=imported),
        taken=run.parameters[RUN] if only_listed else "",
        is_discarded=run.stage is Stage.DISCARDED,
        hint=licence_hint(closing.stopped or "") if imported is not None else None,
        found=await reasons_of(run, totals, journal),
        steps=next_steps(run, totals),
    )


def headline(closing: Closing) -> RenderableType:
    """The outcome in one sentence."""
    return drawn("headline.j2", closing=closing, taken="")


def steps_of_file(steps: Sequence[StepOutcome]) -> Table:
    """The steps of a job file as a table: each with its run, its rows and its outcome."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(render(said("step")), overflow="fold", justify="right")
    table.add_column(render(said("job")), overflow="fold")
    table.add_column(render(said("run")), overflow="fold")
    table.add_column(render(said("rows")), overflow="fold", justify="right")
    table.add_column(render(said("outcome")), overflow="fold")
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
    closing, missing = step.closing, step.closing.not_entered if step.closing else 0
    if closing is None:
        return render(said("not begun"), "dim")
    match closing.exit:
        case Exit.DONE:
            outcome = render(said("done before") if step.done_before else said("done"), "green")
        case Exit.REJECTED:
            in_part = (
                counted("done before; {n} row was not entered", "done before; {n} rows were not entered", missing)
                if step.done_before
                else counted("done; {n} row was not entered", "done; {n} rows were not entered", missing)
            )
            outcome = render(in_part, "yellow")
        case Exit.UNDECIDED:
            outcome = render(said("rows are left to be decided on"), "yellow")
        case Exit.INTERRUPTED | Exit.STOPPED if closing.run is not None:
            why = closing.stopped or said("not at its end")
            outcome = render(said("stopped: {why}", why=why), "yellow", _SHORT)
        case _:
            refused = said("not begun: {why}", why=closing.error) if closing.error else said("not begun: refused")
            outcome = render(refused, "red", _SHORT)
    return outcome.append(f"; {printable(step.output)}", "dim") if step.output and closing.run else outcome


def describe_end(run: Run) -> Said | None:
    """How a run has ended for good: who has taken it back or closed it, and when; None for one that has not."""
    if run.ended_at is None:
        return None
    who = run.ended_by or said("somebody")
    if run.undone_by:
        return said("taken back by run {undo} ({who}, {when})", undo=run.undone_by, who=who, when=run.ended_at)
    return said("closed by {who}, {when}: {why}", who=who, when=run.ended_at, why=run.ended_why or "–")


def perhaps_in_effect(totals: Totals) -> Said | None:
    """That rows may have had an effect which no answer has told of; None where there are none."""
    if not totals.unanswered:
        return None
    return counted(
        "{n} row may have had its effect, though no answer says so",
        "{n} rows may have had their effect, though no answer says so",
        totals.unanswered,
    )


def run_again(run: Run) -> str:
    """The command that enters what a run that has ended did not send; "" where its rows were of no file."""
    if run.job == UNDO:
        return command_line("undo", run.parameters[RUN])
    if not run.source_digest:
        return ""
    file = printable(run.source, WHOLE)
    return import_again(run, file) if run.job == IMPORT else command_line("run", run.job, file)


async def reasons_of(run: Run, totals: Totals, journal: Journal) -> list[tuple[Said, str, Sequence[Reason]]]:
    """Why items are in the states that are explained: the name and style of each state, and its reasons."""
    found = [(state, await journal.reasons(run, state)) for state in EXPLAINED if totals.count(state)]
    if run.job == IMPORT:
        # Their number is in the table of steps, and nothing is to be done about them.
        found = [(state, reasons_of_steps(reasons)) for state, reasons in found]
    names = STATES_OF_STEPS if run.job == IMPORT else STATE_NAMES
    return [(names[state], state.style, reasons) for state, reasons in found]


def next_steps(run: Run, totals: Totals) -> list[tuple[str, str]]:
    """The commands to type next, each with its purpose."""
    intake_ended = run.frozen_at is not None
    unfinished = not run.ended_at and (totals.count_where(open=True) or not intake_ended)
    steps: list[tuple[str, str]] = []
    if run.ended_at:
        steps += _steps_of_ended(run, totals)
    if unfinished:
        steps.append((command_line("resume", run.name), said("go on where it stopped")))
    rejected = totals.count(State.REJECTED)
    if run.job == IMPORT:
        steps += next_steps_of_import(run, totals)
    elif rejected:
        look = counted("look at the {n} row", "look at the {n} rows", rejected)
        steps.append((_export(run, State.REJECTED), look))
    if manual := totals.count(State.MANUAL):
        decide = counted("decide on the {n} row", "decide on the {n} rows", manual)
        steps.append((_export(run, State.MANUAL), decide))
        both = said("see both sides of what a person has to decide")
        steps.append((command_line("reconcile", run.name), both))
    if totals.refused and run.job != IMPORT:
        mend = counted("mend the {n} row that was left out", "mend the {n} rows that were left out", totals.refused)
        steps.append((refused_export(run), mend))
    if intake_ended and not run.ended_at and run.job not in {UNDO, IMPORT} and (rejected or totals.refused):
        file = f"{run.name}-{State.REJECTED if rejected else _REFUSED}.csv"
        again = said("take that file in again, once it is corrected")
        steps.append((command_line("run", run.job, file, "--continue", run.name), again))
    steps += _steps_of_undo(run, totals)
    if totals.count(State.ACCEPTED) and not totals.count_where(open=True):
        steps.append((command_line("verify", run.name), said("read back what the billing now says")))
    return steps


def _steps_of_undo(run: Run, totals: Totals) -> list[tuple[str, str]]:
    """What can be done about the rows that an undo has left alone."""
    steps: list[tuple[str, str]] = []
    if list_ := accountants_list(run, totals):
        write = said("write the accountant's list: operation, sum, subscriber, and what is to be done")
        send = said(
            "or send it: opposite sums are entered, with {storno} each operation is reversed",
            storno=setting("set", f"{WAY}={STORNO}"),
        )
        by_itself = command_line("undo", run.parameters[RUN], "--set", f"{WAY}={OPPOSITE}")
        steps += [(list_, write), (by_itself, send)]
    if leaves_unproven(run) and totals.count(State.SKIPPED):
        take = command_line("undo", run.parameters[RUN], "--set", f"{UNPROVEN}={TAKE}")
        steps.append((take, said("take back as well what may be somebody else's, once you know that it is not")))
    return steps


def leaves_unproven(run: Run) -> bool:
    """Whether it is an undo that leaves alone what may be somebody else's."""
    return run.job == UNDO and run.parameters.get(UNPROVEN) == LEAVE


def _steps_of_ended(run: Run, totals: Totals) -> list[tuple[str, str]]:
    """What can be done of a run that has ended for good."""
    steps: list[tuple[str, str]] = []
    if (totals.unsent or totals.taken_back) and (again := run_again(run)):
        steps.append((again, said("enter the corrected file; what stands is left out by itself")))
    if run.undone_by and totals.taken_back:
        steps.append((command_line("undo", run.undone_by), said("restore what was taken back, where it is possible")))
    return steps


def refused_export(run: Run) -> str:
    """The command that writes the refused rows to a file."""
    return _export(run, _REFUSED)


def _export(run: Run, state: str, name: str = "") -> str:
    """The command that writes the rows of a state to a file, which is named by the state unless a `name` is given."""
    return command_line("export", run.name, "--state", state, "-o", f"{run.name}-{name or state}.csv")


def accountants_list(run: Run, totals: Totals) -> str | None:
    """The command that writes the accountant's list of an undo; None where the list is empty."""
    if run.job != UNDO or run.parameters.get(WAY) != LIST or not totals.count(State.SKIPPED):
        return None
    return _export(run, State.SKIPPED, "for-the-accountant")


MAX_REFUSALS_SHOWN = 20
"""Refused rows that are shown; the rest is counted."""


async def first_refusals(run: Run, journal: Journal) -> list[Refusal]:
    """The first refused rows, sorted by line: contradicting rows are refused last, out of order."""
    found = [refusal for _, refusal in await journal.refusals(run, size=MAX_REFUSALS_SHOWN)]
    return sorted(found, key=lambda refusal: refusal.line or 0)


def refused_rows(refusals: Sequence[Refusal], total: int, all_of_them: str) -> RenderableType:
    """The first refused rows, each with line, column and reason; `all_of_them` is the command that shows all."""
    return drawn("refusals.j2", found=refusals, total=total, all_of_them=all_of_them)
