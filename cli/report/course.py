"""The course of one run in a report: its exceptions, and how it was driven."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from checkpoints.records import Decision, LookUps, Run, Runner
from checkpoints.sentences import decided
from checkpoints.states import State
from cli.report.facts import ExceptionRow, ReportedRun
from cli.report.sums import MERGED, REFUSED, UNREADABLE
from cli.report.tables import FileBeside, ReportTable, Section, TableWriter, shown
from cli.session.step_mark import PLACE
from cli.terminal.names import OUTCOMES
from engine.pacing.policy import ALL, Policy, describe_policy, policy_with
from jobs.access.vault import mask_secrets
from jobs.rows.input import is_input, job_parameters
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST
from jobs.spec.undo_words import UNDO
from texts.said import Quantity, Said, Value, counted, in_lines, said

_APART: Final = "; "
_INPUT: Final = "input_"
_FILE: Final = f"{_INPUT}file"

_DECIDED: Final[Mapping[State, Said]] = MappingProxyType(
    {State.ACCEPTED: said("it is in the billing"), State.PENDING: said("it is to be sent")}
)
"""What a person can decide of a row."""


# ---- exceptions -------------------------------------------------------------------------------------------------


def exceptions_of(one: ReportedRun, file: FileBeside | None, write: TableWriter) -> Section:
    """The rows that are not in the billing as the input asks, and those that a person decided on."""
    title, exceptions = write.text(said("Exceptions")), one.exceptions
    if not exceptions.number:
        return Section(title, before=write.text(_none_of(one)))
    before = [_number_of(one)]
    if file is not None:
        before.append(
            said(
                "The first {shown} stand here; all of them are in the file {file}, SHA-256 {digest}.",
                shown=Quantity(len(exceptions.first)),
                file=file.name,
                digest=file.digest,
            )
        )
    rows = (_exception(row, write, money=one.sums.has_money) for row in exceptions.first)
    amount = (said("Amount"),) if one.sums.has_money else ()
    head = (said("Line"), said("Contract"), *amount, said("Outcome"), said("Reason, decision"))
    widths = (9, 19, 17, 20, 35) if one.sums.has_money else (9, 24, 24, 43)
    table = write.table(head, rows, widths=widths, numbers={0, 2} if one.sums.has_money else {0})
    return Section(title, (table,), before=" ".join(map(write.text, before)))


def _number_of(one: ReportedRun) -> Said:
    """How many exceptions there are; those of an import are steps."""
    if one.subscribers is not None:
        return counted(
            "{n} step or row of the file is not in the billing as the file asks, or was decided on by a person.",
            "{n} steps or rows of the file are not in the billing as the file asks, or were decided on by a person.",
            one.exceptions.number,
        )
    return counted(
        "{n} row is not in the billing as the input asks, or was decided on by a person.",
        "{n} rows are not in the billing as the input asks, or were decided on by a person.",
        one.exceptions.number,
    )


def _none_of(one: ReportedRun) -> Said:
    """That there are no exceptions, as far as that can be said."""
    if one.is_unfinished or not one.writes:
        return said("None.")
    if one.is_undo:
        return said("None: every row is taken back.")
    return said("None: every row of the input is in the billing.")


def _exception(row: ExceptionRow, write: TableWriter, *, money: bool) -> Sequence[Value | None]:
    # Of a refused row the amount may be what is wrong with it.
    is_unreadable = row.amount is None and row.state is None
    amount: tuple[Value | None, ...] = (UNREADABLE if is_unreadable else row.amount,) if money else ()
    outcome = REFUSED if row.state is None else OUTCOMES[row.state]
    if row.merged_into is not None:
        outcome = MERGED
    told = [shown(write.text(reason_of(row)))]
    if row.decision is not None:
        told.append(write.text(_decided(row.decision, write)))
    return (row.place, shown(row.label), *amount, outcome, "\n".join(filter(None, told)))


def reason_of(row: ExceptionRow) -> str:
    """Why a row is where it is; "" where that is only the decision, which stands beside it."""
    decision = row.decision
    if decision is not None and row.reason == decided(decision.who, decision.why):
        return ""
    return row.reason


def _decided(decision: Decision, write: TableWriter) -> Said:
    return said(
        "Decided on {date} by {who}: {state}. {why}",
        state=_DECIDED[decision.state],
        date=write.moment(datetime.fromisoformat(decision.decided_at)),
        who=shown(decision.who),
        why=shown(decision.why),
    )


# ---- what it rests on -------------------------------------------------------------------------------------------


def assumptions_of(one: ReportedRun, write: TableWriter) -> Section | None:
    """What the sums of a run rest on and no probe has confirmed; None for a run that sent nothing."""
    assumptions = one.history.assumptions
    if assumptions is None:
        return None
    title = write.text(said("What it rests on"))
    if not assumptions:
        return Section(title, before=write.text(said("On nothing that a probe of the billing has not confirmed.")))
    before = said("No probe of this billing has confirmed it when the run began to send:")
    rows = ((line,) for line in write.text(assumptions).splitlines())
    return Section(title, (write.table((before,), rows, widths=(100,)),))


# ---- how it was driven ------------------------------------------------------------------------------------------


def course_of(one: ReportedRun, write: TableWriter) -> Section:
    """Parameters, limits and input of a run, the processes that worked on it, and the commands that it was given."""
    tables = [_settings(one.run, write), _processes(one, write)]
    if one.commands:
        tables.append(
            write.table(
                (said("Command given"), said("When"), said("By"), said("Answer")),
                (
                    (shown(it.command), it.given_at, shown(it.who), shown(write.text(it.answer)))
                    for it in one.commands
                ),
                widths=(18, 20, 26, 36),
            )
        )
    return Section(write.text(said("How it was done")), tuple(tables))


def _settings(run: Run, write: TableWriter) -> ReportTable:
    pairs: list[tuple[Said, Value]] = [
        *_declared(run),
        (said("Parameters"), _APART.join(_given(job_parameters(run.parameters))) or said("none given")),
        (said("Limits"), describe_policy(policy_with(Policy(), run.policy, ALL))),
    ]
    if run.job != UNDO:
        pairs.append((said("Input"), shown(run.source)))
    if reading := _APART.join(_given({n: v for n, v in run.parameters.items() if is_input(n)})):
        pairs.append((said("How it is read"), reading))
    if run.job != UNDO:
        pairs.append((said("SHA-256 of the input"), run.source_digest or said("none: the rows come from a query")))
    if run.paused_at is not None:
        paused = said("since {date}, by {who}", date=write.moment(run.paused_at), who=shown(run.paused_by or ""))
        pairs.append((said("Paused"), paused))
    return write.pairs(*pairs)


def _given(parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(parameters.items()):
        if value and name != _FILE and not name.startswith(PLACE):
            yield f"{name.removeprefix(_INPUT)}={shown(mask_secrets(value))}"


def _processes(one: ReportedRun, write: TableWriter) -> ReportTable:
    """The processes that took the run up; one without an end was killed, or the last one may be at work."""
    head = (said("Command"), said("Began"), said("Ended"), said("User and host"), said("Version"), said("Looked up"))
    last = one.runners[-1] if one.runners else None
    rows = (
        (it.purpose, it.began_at, _end(it, last), shown(it.who), it.version, _looked_up(it.look_ups))
        for it in one.runners
    )
    return write.table(head, rows, widths=(12, 19, 21, 17, 9, 22))


def _looked_up(look_ups: LookUps) -> Value | None:
    """What the look-ups of rows in doubt have come to."""
    parts: list[str] = []
    if look_ups.found:
        parts.append(said("found: {n}", n=Quantity(look_ups.found)))
    if look_ups.absent:
        parts.append(said("not found: {n}", n=Quantity(look_ups.absent)))
    if look_ups.left:
        parts.append(said("left to a person: {n}", n=Quantity(look_ups.left)))
    return in_lines(parts) if parts else None


def _end(runner: Runner, last: Runner | None) -> Value:
    if runner.ended_at is not None:
        return runner.ended_at
    if runner is last:
        return said("without an end: killed, or at work when this was made")
    return said("killed, or the machine failed")


def _declared(run: Run) -> list[tuple[Said, Value]]:
    """The declaration of a job of one's own, as it was when the run was begun."""
    if DECLARATION not in run.parameters:
        return []
    return [
        (said("Declaration of the job"), run.parameters[DECLARATION]),
        (said("SHA-256 of the declaration"), run.parameters[DECLARATION_DIGEST]),
    ]
