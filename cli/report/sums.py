"""The sums of a report, of one run or over several: what became of the rows, and the control sums."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from checkpoints.records import Verification
from checkpoints.states import State
from cli.report.facts import ReportedRun, Subtotal
from cli.report.tables import Section, TableWriter, shown
from cli.terminal.names import OUTCOMES
from texts.remedies import PROGRAM
from texts.said import Said, counted, said

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

_ALWAYS: Final = frozenset(
    {State.APPLIED, State.ACCEPTED, State.REJECTED, State.SKIPPED, State.UNKNOWN, State.MANUAL}
)
"""States that stand in a report also where they have no rows: that there are none is what is signed."""

Line: TypeAlias = tuple[Said, int, Decimal | None]
"""A line of sums: its name, a number of rows, and an amount."""


def sum_over(runs: Sequence[ReportedRun], part: Callable[[ReportedRun], Subtotal]) -> Subtotal:
    """The sum of a part over all runs; of no amount if no run has one."""
    parts = [part(one) for one in runs]
    amounts = [one.amount for one in parts if one.amount is not None]
    return Subtotal(sum(one.rows for one in parts), sum(amounts, Decimal(0)) if amounts else None)


def outcomes(title: Said, runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    """What became of all rows of the input, a line an outcome, which add up."""
    money = any(one.has_money for one in runs)
    asked = sum_over(runs, lambda one: one.asked)
    lines = [*_outcomes(runs), (said("all rows of the input"), asked.rows, asked.amount)]
    table = write.sums(said("Outcome"), lines, money=money, has_sum=True)
    notes = " ".join(map(write.text, _notes(runs, money=money)))
    return Section(write.text(title), (table,), after=notes)


def _outcomes(runs: Sequence[ReportedRun]) -> Iterator[Line]:
    for state in STATES:
        found = sum_over(runs, lambda one, state=state: one.of_states(state))  # type: ignore[misc]
        if found.rows or state in _ALWAYS:
            yield OUTCOMES[state], found.rows, found.amount
        if state is State.SKIPPED:
            refused = sum_over(runs, lambda one: one.refused)
            yield REFUSED, refused.rows, refused.amount if refused.rows else Decimal(0)
    if left_out := sum(one.left_out for one in runs):
        yield LEFT_OUT, left_out, None


def _notes(runs: Sequence[ReportedRun], *, money: bool) -> Iterator[Said]:
    unread = sum(one.totals.refused - one.exceptions.refused_with_amount for one in runs)
    if money and unread:
        yield counted(
            "The amount of {n} refused row cannot be read, and is in no sum.",
            "The amounts of {n} refused rows cannot be read, and are in no sum.",
            unread,
        )
    if corrected := sum(one.totals.count(State.REPLACED) for one in runs):
        yield counted(
            "{n} rejected row was corrected and taken in again: it counts once.",
            "{n} rejected rows were corrected and taken in again: they count once.",
            corrected,
        )


# ---- control sums -----------------------------------------------------------------------------------------------


def control_sums(runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    """What the input asks for, what was accepted, what was read back, and the balances of accounts."""
    asked, entered = sum_over(runs, lambda one: one.asked), sum_over(runs, lambda one: one.in_effect)
    missing = (asked.amount or Decimal(0)) - (entered.amount or Decimal(0))
    read = [one for one in runs if one.verification]
    lines = [
        (said("asked for by the input"), asked.rows, asked.amount),
        (said("accepted by the billing"), entered.rows, entered.amount),
        (said("asked for, and not accepted"), asked.rows - entered.rows, missing),
        *_read_back([one.verification for one in read if one.verification]),
    ]
    table = write.sums(said("Sum"), lines, money=any(one.has_money for one in runs))
    return Section(
        write.text(said("Control sums")), (table,), after=" ".join(map(write.text, _when_read(runs, write)))
    )


def _when_read(runs: Sequence[ReportedRun], write: TableWriter) -> Iterator[Said]:
    """When the runs were read back, and by whom."""
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


def _read_back(found: Sequence[Verification]) -> Iterator[Line]:
    if not found:
        return

    def rows(name: str) -> int:
        return sum(int(one.result.get(name, 0)) for one in found)

    def amount(name: str) -> Decimal:
        return sum((Decimal(one.result.get(name, 0)) for one in found), Decimal(0))

    yield said("read back from the billing"), rows("as_wanted") + rows("different"), amount("found")
    yield said("difference from what was accepted"), rows("different"), amount("found") - amount("expected")
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
