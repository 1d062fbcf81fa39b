"""What a run will do, shown before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Reason, Refusal, Run, Totals
from checkpoints.states import State
from cli.report import refused_export
from cli.sessions import FILE, Billing
from cli.texts import count, money, plain, rows
from engine.policy import Policy

LISTED = 20
"""Refused rows that are shown; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a run before its first call."""

    run: Run
    totals: Totals
    has_amounts: bool
    skipped: Sequence[Reason]
    refusals: Sequence[Refusal]
    shared_accounts: int

    @property
    def to_send(self) -> int:
        """Rows that will be sent."""
        return self.totals.count(State.PENDING)

    @property
    def sum(self) -> Decimal:
        """What they add up to."""
        return self.totals.amounts.get(State.PENDING, Decimal(0))

    @property
    def question(self) -> str:
        """What the operator is asked, as markup-free text."""
        total = f", {money(self.sum)} in total," if self.has_amounts else ""
        one = "this" if self.to_send == 1 else "these"
        return f"Send {one} {rows(self.to_send)}{total} to {plain(self.run.target)}?"


async def plan_of(run: Run, journal: Journal) -> Plan:
    """What the journal says of a run whose list is frozen."""
    first = await journal.items(run, {State.PENDING, State.SKIPPED}, size=1)
    return Plan(
        run=run,
        totals=await journal.totals(run),
        has_amounts=bool(first) and first[0].amount is not None,
        skipped=await journal.reasons(run, State.SKIPPED),
        refusals=await first_refusals(run, journal),
        shared_accounts=await journal.shared_lanes(run),
    )


async def first_refusals(run: Run, journal: Journal) -> list[Refusal]:
    """The first refused rows, by line: those that contradict each other were refused last and stand anywhere."""
    found = [refusal for _, refusal in await journal.refusals(run, size=LISTED)]
    return sorted(found, key=lambda refusal: refusal.line or 0)


def preview(plan: Plan, billing: Billing, journal: Journal, policy: Policy) -> RenderableType:
    """The screen."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column(overflow="fold")
    run, totals = plan.run, plan.totals
    parameters = " ".join(f"{name}={value}" for name, value in run.parameters.items() if name != FILE and value)
    table.add_row("job", Text(run.job, "bold").append(f"  {plain(parameters)}", "dim"))
    table.add_row("rows from", plain(run.source, 200))
    table.add_row("read", _amount(totals.frozen + totals.refused, None))
    table.add_row(
        "to send",
        Text("").append(_amount(plan.to_send, plan.sum if plan.has_amounts and plan.to_send else None), "bold"),
    )
    for reason in plan.skipped:
        where = f", first in line {reason.line}" if reason.line else ""
        table.add_row("skipped", f"{count(reason.items)} × {plain(reason.kind)}{where}")
    if totals.refused:
        table.add_row("refused", Text(rows(totals.refused), "bold red"))
    if plan.shared_accounts:
        table.add_row("note", _shared(plan.shared_accounts))
    table.add_row("billing", f"{plain(run.target)}, version {plain(billing.health.version)}")
    dsn = billing.services.database.dsn if billing.services.database else None
    table.add_row("database", plain(dsn) if dsn else "none: all is asked through the API, a call a row")
    table.add_row("journal", f"{plain(journal.path)}, run {run.name}")
    table.add_row("pacing", _pacing(policy))
    return Group(Text(""), table, *([refused_rows(plan.refusals, totals.refused, run)] if totals.refused else []))


def refused_rows(refusals: Sequence[Refusal], total: int, run: Run) -> RenderableType:
    """The first refused rows, each with its line, its column and the reason."""
    lines = [refusal_line(refusal) for refusal in refusals]
    if total > len(refusals):
        lines.append(Text(f"… and {count(total - len(refusals))} more: ", "dim").append(refused_export(run), "bold"))
    return Group(Text(""), *lines)


def refusal_line(refusal: Refusal) -> Text:
    """One refused row, in words."""
    line = Text("✗ ", "red")
    place = [f"line {refusal.line}"] if refusal.line else []
    place += [f"column {plain(refusal.column, 60)}"] if refusal.column else []
    line.append(", ".join(place) or "a row", "bold")
    if refusal.label:
        line.append(f" ({plain(refusal.label, 60)})", "dim")
    return line.append(f": {plain(refusal.reason)}")


def _amount(number: int, amount: Decimal | None) -> str:
    return rows(number) if amount is None else f"{rows(number)}, {money(amount)} in total"


def _shared(number: int) -> str:
    one = "account is" if number == 1 else "accounts are"
    return f"{count(number)} {one} reached by several rows; their calls go one after the other"


def _pacing(policy: Policy) -> str:
    rate = f", at most {policy.rate:g} a second" if policy.rate else ""
    errors = policy.stop_after_errors
    stops = f"stops after {count(errors)} errors" if errors else "never stops for errors"
    return f"{policy.in_flight} in flight{rate}; {stops}"
