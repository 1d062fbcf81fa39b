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
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, command, labelled, render, steps_list
from cli.terminal.names import LEFT_OUT, REFUSED, STATE_NAMES, heading_of, name_of_holder
from cli.terminal.texts import JOINT, SENTENCE, WHOLE, count, duration, money, printable, rate
from engine.pacing.holds import StopKind
from jobs.spec.import_words import IMPORT
from jobs.spec.undo_words import LEAVE, LIST, OPPOSITE, RUN, STORNO, TAKE, UNDO, UNPROVEN, WAY
from texts.remedies import command_line, setting
from texts.said import Quantity, Said, counted, said

if TYPE_CHECKING:
    from jobs.value_changes import Overwritten

EXPLAINED: Final = tuple(sorted((state for state in State if state.explained), key=lambda state: state.explained))
"""States whose reasons are shown, including states of success that a person should know about."""

TRUSTED: Final = said(
    "the billing was not asked for rows that another copy of this journal may have sent ({flag})",
    flag=setting("trust-journal"),
)

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
        "unproven": closing.unproven,
        "overwritten": closing.overwritten.rows if closing.overwritten else 0,
        "exit": int(closing.exit),
        "stopped": closing.stopped,
        "stopped_by": closing.stopped_by,
        "again_in": None if closing.again_in is None else round(closing.again_in),
        "error": closing.error,
        **steps_object(closing.imported),
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
    imported = closing.imported or await steps_of(run, journal)
    head = headline(replace(closing, imported=imported))
    if closing.exit is Exit.DONE and accountants_list(run, closing.totals):
        head = _only_listed(run)
    if run.stage is Stage.DISCARDED:
        return Hanging(Text(""), head)
    parts: list[RenderableType] = [Hanging(Text(""), head), outcome_table(closing.totals, imported)]
    if closing.calls:
        parts.append(render(_pace(closing.calls, closing.seconds), "dim"))
    if imported is not None and (hint := licence_hint(closing.stopped or "")):
        parts.append(Hanging(Text(""), render(hint, "yellow")))
    if any(round(seconds) for seconds in closing.held.values()):
        parts.append(Hanging(Text(""), render(_held(closing.held), "dim")))
    if closing.trusted_journal:
        parts.append(Hanging(Text(""), render(TRUSTED, "yellow")))
    if closing.overwritten and closing.overwritten.rows:
        parts.append(Hanging(Text(""), render(_overwritten(closing.overwritten), "yellow")))
    parts += await reasons_lists(run, closing.totals, journal)
    if steps := next_steps(run, closing.totals):
        parts.append(steps_list(steps))
    return Group(*parts)


def _overwritten(found: "Overwritten") -> Said:
    if not found.amount:
        return counted(
            "{n} row has overwritten what somebody had changed since the list was made",
            "{n} rows have overwritten what somebody had changed since the list was made",
            found.rows,
        )
    return counted(
        "{n} row has overwritten what somebody had changed since the list was made, {amount} in all",
        "{n} rows have overwritten what somebody had changed since the list was made, {amount} in all",
        found.rows,
        amount=found.amount,
    )


def _pace(calls: int, seconds: float) -> Said:
    time = duration(seconds)
    if seconds <= 1:
        # Below a second a rate has no meaning.
        return counted("{n} call in {time}", "{n} calls in {time}", calls, time=time)
    return counted(
        "{n} call in {time}, {rate} a second",
        "{n} calls in {time}, {rate} a second",
        calls,
        time=time,
        rate=rate(calls / seconds),
    )


def _held(held: Mapping[str, float]) -> Said:
    longest_first = sorted(held.items(), key=lambda one: -one[1])
    holds = (
        said("{who} {time}", who=name_of_holder(who), time=duration(seconds))
        for who, seconds in longest_first
        if round(seconds)
    )
    return said("held: {holds}", holds=tuple(holds))


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
    closing = step.closing
    if closing is None:
        return render(said("not begun"), "dim")
    match closing.exit:
        case Exit.DONE:
            outcome = render(said("done before") if step.done_before else said("done"), "green")
        case Exit.REJECTED:
            outcome = render(_done_in_part(step, _not_entered(closing.totals)), "yellow")
        case Exit.UNDECIDED:
            outcome = render(said("rows are left to be decided on"), "yellow")
        case Exit.INTERRUPTED | Exit.STOPPED if closing.run is not None:
            why = closing.stopped or said("not at its end")
            outcome = render(said("stopped: {why}", why=why), "yellow", _SHORT)
        case _:
            refused = said("not begun: {why}", why=closing.error) if closing.error else said("not begun: refused")
            outcome = render(refused, "red", _SHORT)
    return outcome.append(f"; {printable(step.output)}", "dim") if step.output and closing.run else outcome


def _done_in_part(step: StepOutcome, missing: int) -> Said:
    if step.done_before:
        return counted("done before; {n} row was not entered", "done before; {n} rows were not entered", missing)
    return counted("done; {n} row was not entered", "done; {n} rows were not entered", missing)


def headline(closing: Closing) -> Text:
    """The outcome in one sentence."""
    run = str(closing.run)
    match closing.exit:
        case Exit.DONE:
            return _headline("✓", said("run {run} is done", run=run), "bold green")
        case Exit.REJECTED:
            sentence = _with_losses(closing)
            return _headline("!", sentence, "bold yellow")
        case Exit.UNDECIDED:
            sentence = said("run {run}: rows are left that a look-up or a person has to decide on", run=run)
            return _headline("!", sentence, "bold yellow")
        case Exit.INTERRUPTED | Exit.STOPPED:
            why = closing.stopped or closing.error or said("it has not come to its end")
            return _headline("■", said("run {run} stopped: {why}", run=run, why=why), "bold yellow")
        case _:
            sentence = (
                said("run {run}: {why}", run=run, why=closing.error)
                if closing.error
                else said("run {run} is refused", run=run)
            )
            return _headline("✗", sentence, "bold red")


def _with_losses(closing: Closing) -> Said:
    """The run is done, and how much of it was not entered."""
    run, imported = str(closing.run), closing.imported
    if closing.error and not _not_entered(closing.totals):
        return said("run {run} is done: {why}", run=run, why=closing.error)
    if closing.job == UNDO and not _not_entered(closing.totals):
        return counted(
            "run {run} is done; {n} row was left alone that may be somebody else's",
            "run {run} is done; {n} rows were left alone that may be somebody else's",
            closing.unproven,
            run=run,
        )
    if imported is None or imported.is_undo:
        return counted(
            "run {run} is done; {n} row was not entered",
            "run {run} is done; {n} rows were not entered",
            _not_entered(closing.totals),
            run=run,
        )
    return counted(
        "run {run} is done; {n} subscriber was not entered, or not with all that belongs to it",
        "run {run} is done; {n} subscribers were not entered, or not with all that belongs to them",
        imported.subscribers.rejected + closing.totals.refused,
        run=run,
    )


def _headline(sign: str, sentence: Said, style: str) -> Text:
    return Text(f"{sign} {printable(sentence, SENTENCE)}", style)


def _only_listed(run: Run) -> Text:
    """The outcome of an undo that sends nothing: what it is to take back stands as before."""
    sentence = said(
        "run {run} has sent nothing: to take run {taken} back, the accountant has to enter what is on the list",
        run=run.name,
        taken=run.parameters[RUN],
    )
    return _headline("!", sentence, "bold yellow")


def _not_entered(totals: Totals) -> int:
    return totals.count(State.REJECTED) + totals.refused + totals.entered_before


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


async def reasons_lists(run: Run, totals: Totals, journal: Journal) -> list[Group]:
    """Why items are in the states that are explained, a list for each state that has items."""
    found = [(state, await journal.reasons(run, state)) for state in EXPLAINED if totals.count(state)]
    if run.job == IMPORT:
        # Their number is in the table of steps, and nothing is to be done about them.
        found = [(state, reasons_of_steps(reasons)) for state, reasons in found]
    names = STATES_OF_STEPS if run.job == IMPORT else STATE_NAMES
    return [_reasons_list(names[state], state.style, reasons) for state, reasons in found if reasons]


def _reasons_list(name: Said, style: str, reasons: Sequence[Reason]) -> Group:
    """Why items are in a state: the kinds of reasons, the most frequent first, each with its first row."""
    lines: list[Hanging] = []
    for reason in reasons:
        # A text of one row, or that all rows share, is told once.
        of_all = reason.items == 1 or reason.example == reason.kind
        line = Text().append(f"{count(reason.items)} × ".replace(" ", JOINT), "bold")
        why = printable(reason.example) if of_all else heading_of(reason)
        line.append(why or printable(said("no reason given")))
        example = "" if of_all else f": {printable(reason.example)}"
        line.append(f" ({_row_of(reason)}{example})", "dim")
        lines.append(Hanging(render(name, style).append(" "), line, indent=2))
    return Group(*lines)


def _row_of(reason: Reason) -> str:
    """Line and label of the row that a reason is shown with, the first one of several."""
    label = printable(reason.label, 60)
    row = (said("line {line}", line=reason.line), label) if reason.line else (label,)
    return printable(said("first: {row}", row=row)) if reason.items > 1 else ", ".join(map(printable, row))


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
    lines: list[RenderableType] = [_refusal_line(refusal) for refusal in refusals]
    if total > len(refusals):
        more = said("… and {n} more; all of them with:", n=Quantity(total - len(refusals)))
        lines += [render(more, "dim"), command(all_of_them)]
    return Group(Text(""), *lines)


def _refusal_line(refusal: Refusal) -> Hanging:
    """One refused row in words."""
    line = Text()
    place = [said("line {line}", line=refusal.line)] if refusal.line else []
    place += [said("column {column}", column=printable(refusal.column, 60))] if refusal.column else []
    line.append(", ".join(map(printable, place)) or printable(said("a row")), "bold")
    if refusal.label:
        line.append(f" ({printable(refusal.label, 60)})", "dim")
    return Hanging(Text("✗ ", "red"), line.append(f": {printable(refusal.reason)}"))
