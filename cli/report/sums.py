"""The sums in a report, of one run or over several: what became of the rows, and the control sums.

The figures are those of `jobs/sums.py`; here they become lines. What an undo takes back and what was only read stands
in tables of its own, and is added to nothing that was entered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias

from checkpoints.records import Decision, LookUps, Run, Runner, Verification
from checkpoints.sentences import decided
from checkpoints.states import State
from cli.report.facts import ExceptionRow, ReportedRun
from cli.report.tables import FileBeside, ReportTable, Section, TableWriter, shown
from cli.session.stages import PLACE
from cli.terminal.names import OUTCOMES
from engine.pacing.policy import ALL, Policy, describe_policy, policy_with
from jobs.access.vault import mask_secrets
from jobs.rows.input import is_input, job_parameters
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST
from jobs.spec.undo_words import UNDO
from jobs.sums import Effect, RunSums, Subtotal, sum_over
from texts.remedies import PROGRAM
from texts.said import Quantity, Said, Value, counted, in_lines, said

STATES: Final = (
    State.APPLIED,
    State.ACCEPTED,
    State.REJECTED,
    State.SKIPPED,
    State.UNKNOWN,
    State.UNCONFIRMED,
    State.MANUAL,
    State.SENDING,
    State.PENDING,
)
"""The states in the order of a report; a replaced row counts as the one that replaced it."""
REFUSED: Final = said("refused before sending")
LEFT_OUT: Final = said("left out of the run")
UNREADABLE: Final = said("amount unreadable")
MERGED: Final = said("merged into another row")

_ALWAYS: Final = frozenset(
    {State.APPLIED, State.ACCEPTED, State.REJECTED, State.SKIPPED, State.UNKNOWN, State.MANUAL}
)
"""States that stand in a report also where they have no rows: that there are none is what is signed."""

Line: TypeAlias = tuple[Said, int, Decimal | None]
"""A line of sums: its name, a number of rows, and an amount."""


_READ: Final = said("read back from the billing")
_GAP: Final = said("difference from what was accepted")


@dataclass(frozen=True, slots=True)
class _Words:
    """What the sums of runs with one effect are called; `sign` is that of their amounts in a report."""

    outcome: Said
    all: Said
    sum: Said
    asked: Said
    done: Said
    missing: Said
    read: Said = _READ
    gap: Said = _GAP
    sign: int = 1


_WORDS: Final[Mapping[Effect, _Words]] = MappingProxyType(
    {
        Effect.ENTERS: _Words(
            outcome=said("Outcome"),
            all=said("all rows of the input"),
            sum=said("Sum"),
            asked=said("asked for by the input"),
            done=said("accepted by the billing"),
            missing=said("asked for, and not accepted"),
        ),
        Effect.TAKES_BACK: _Words(
            outcome=said("Outcome of the undo"),
            all=said("all rows that were to be taken back"),
            sum=said("Sum of the undo"),
            asked=said("to be taken back"),
            done=said("taken back by this undo"),
            missing=said("not taken back"),
            read=said("operations that took it back, as the billing has them"),
            gap=said("difference from these operations as sent"),
            sign=-1,
        ),
        Effect.RESTORES: _Words(
            outcome=said("Outcome of the undo of an undo"),
            all=said("all rows that were to be restored"),
            sum=said("Sum of the undo of an undo"),
            asked=said("to be restored"),
            done=said("restored by this undo"),
            missing=said("not restored"),
            read=said("operations that restored it, as the billing has them"),
            gap=said("difference from these operations as sent"),
        ),
        Effect.READS: _Words(
            outcome=said("Outcome of the reading"),
            all=said("all rows that were to be read"),
            sum=said("Sum of the reading"),
            asked=said("to be read"),
            done=said("read from the billing"),
            missing=said("not read"),
        ),
    }
)


def outcomes(title: Said, runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    """What became of all rows, a line an outcome, which add up: a table for each effect that the runs have.

    Imports have tables of their own, see `import_tables`.
    """
    tables: list[ReportTable] = []
    notes: list[Said] = []
    for words, group in _by_effect([one.sums for one in runs if one.subscribers is None]):
        money = any(one.has_money for one in group)
        asked = sum_over(group, lambda one: one.whole)
        lines = [*_outcomes(group), (words.all, asked.rows, asked.amount)]
        tables.append(write.sums(words.outcome, _signed(lines, words), money=money, has_sum=True))
        notes += _notes(group, money=money)
        if words.sign < 0 and any(one.subscribers for one in group):
            notes.append(said("The rows of the undo of an import are its steps."))
    return Section(write.text(title), tuple(tables), after=" ".join(map(write.text, notes)))


def _by_effect(runs: Sequence[RunSums]) -> Iterator[tuple[_Words, list[RunSums]]]:
    for effect, words in _WORDS.items():
        if group := [one for one in runs if one.effect is effect]:
            yield words, group


def _signed(lines: Sequence[Line], words: _Words) -> list[Line]:
    # A zero has no sign.
    return [(name, rows, amount and words.sign * amount) for name, rows, amount in lines]


def _outcomes(runs: Sequence[RunSums]) -> Iterator[Line]:
    for state in STATES:
        found = sum_over(runs, lambda one, state=state: one.of(state))  # type: ignore[misc]
        if found.rows or state in _ALWAYS:
            yield OUTCOMES[state], found.rows, found.amount
        if state is State.SKIPPED:
            if (merged := sum_over(runs, lambda one: one.merged)).rows:
                name = said("{merged}: {sum} is part of its amount", merged=MERGED, sum=merged.amount)
                yield name, merged.rows, None
            yield refused_line(sum_over(runs, lambda one: one.refused))
    if left_out := sum(one.left_out for one in runs):
        yield LEFT_OUT, left_out, None


def refused_line(refused: Subtotal) -> Line:
    """The line of refused rows; of no amount if none of them can be read."""
    is_known = refused.unreadable < refused.rows or not refused.rows
    return REFUSED, refused.rows, refused.amount if is_known else None


def _notes(runs: Sequence[RunSums], *, money: bool) -> Iterator[Said]:
    if money:
        yield from at_least(sum_over(runs, lambda one: one.whole), sum(one.left_out for one in runs))
    if corrected := sum(one.corrected for one in runs):
        yield counted(
            "{n} rejected row was corrected and taken in again: it counts once.",
            "{n} rejected rows were corrected and taken in again: they count once.",
            corrected,
        )


def at_least(whole: Subtotal, left_out: int = 0) -> Iterator[Said]:
    """What keeps the sum of an input from being that of the file: amounts that nobody can read, or has read."""
    if whole.unreadable:
        yield counted(
            "The amount of {n} refused row cannot be read, and is in no sum.",
            "The amounts of {n} refused rows cannot be read, and are in no sum.",
            whole.unreadable,
        )
    if left_out:
        yield counted(
            "The amount of {n} row that was left out was not read, and is in no sum.",
            "The amounts of {n} rows that were left out were not read, and are in no sum.",
            left_out,
        )
    if whole.unreadable or left_out:
        yield said("The amount of the whole file is {sum} and what these rows ask for.", sum=whole.amount)


# ---- control sums -----------------------------------------------------------------------------------------------


def control_sums(runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    """What the input asks for, what was accepted, what was read back, and the balances of accounts."""
    tables: list[ReportTable] = []
    for words, group in _by_effect([one.sums for one in runs]):
        asked, done = sum_over(group, lambda one: one.asked), sum_over(group, lambda one: one.done)
        missing = asked - done
        mine = [one for one in runs if _WORDS[one.sums.effect] is words]
        lines: list[Line] = [
            (words.asked, asked.rows, asked.amount),
            (words.done, done.rows, done.amount),
            (words.missing, missing.rows, missing.amount),
        ]
        read = [one.verification for one in mine if one.verification]
        lines = [*_signed(lines, words), *_read_back(read, words)]
        tables.append(write.sums(words.sum, lines, money=any(one.has_money for one in group)))
    return Section(
        write.text(said("Control sums")), tuple(tables), after=" ".join(map(write.text, _when_read(runs, write)))
    )


def _when_read(runs: Sequence[ReportedRun], write: TableWriter) -> Iterator[Said]:
    """When the runs were read back, and by whom."""
    if any(one.is_undo and one.verification and one.sums.has_money for one in runs):
        yield said("An operation that restores a balance has that balance as its sum, and not what it takes back.")
    for one in runs:
        if one.verification is not None:
            values = {"date": write.moment(one.verification.verified_at), "who": shown(one.verification.who)}
            if len(runs) == 1:
                yield said("Read back on {date} by {who}.", **values)
            else:
                yield said("Run {run} was read back on {date} by {who}.", run=one.run.name, **values)
    if unread := [one.run.name for one in runs if one.verification is None and one.writes]:
        yield said(
            "Not read back from the billing yet: {runs}; the command is {command}.",
            runs=tuple(unread),
            command=f"{PROGRAM} verify {unread[0] if len(unread) == 1 else 'RUN'}",
        )


def _read_back(found: Sequence[Verification], words: _Words) -> Iterator[Line]:
    if not found:
        return

    def rows(name: str) -> int:
        return sum(int(one.result.get(name, 0)) for one in found)

    def amount(name: str) -> Decimal:
        return sum((Decimal(one.result.get(name, 0)) for one in found), Decimal(0))

    yield words.read, rows("as_wanted") + rows("different"), amount("found")
    yield words.gap, rows("different"), amount("found") - amount("expected")
    if unreadable := rows("unreadable"):
        yield said("accepted, and cannot be read back"), unreadable, None
    if any("accounts" in one.result for one in found):
        gap = amount("accounts_found") - amount("accounts_expected")
        yield said("balances of accounts, expected"), rows("accounts"), amount("accounts_expected")
        yield said("balances of accounts, in the billing"), rows("accounts"), amount("accounts_found")
        yield said("difference of the balances"), rows("accounts_different"), gap
    if moved := rows("accounts_moved"):
        yield said("accounts with later operations, not compared"), moved, None
    if untold := rows("accounts_untold"):
        yield said("accounts that cannot be compared"), untold, None


# ---- the course of one run in a report ----------------------------------------------------------------------------


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
    told = [shown(write.text(reason_of_row(row)))]
    if row.decision is not None:
        told.append(write.text(_decided(row.decision, write)))
    return (row.place, shown(row.label), *amount, outcome, "\n".join(filter(None, told)))


def reason_of_row(row: ExceptionRow) -> str:
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
