"""The report as a page of HTML that prints on A4: one file, which asks nothing of any network."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from checkpoints.states import State
from cli.report.facts import ReportFacts
from cli.report.names import LEFT_OUT, REFUSED, STATES
from cli.report.stamp import Stamp, stamp_text
from cli.settings.settings import Letterhead
from cli.terminal.texts import printable
from texts.said import Language, Quantity, Said, counted, said

_LONGEST: Final = 500
"""Characters of a text of file or billing that are shown."""


@dataclass(frozen=True, slots=True)
class ExceptionsFile:
    """The file beside the report with all exceptions: its name and its SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class ReportLine:
    """A line of a table of sums; None where there is nothing to count or to add up."""

    name: Said
    rows: Quantity | None
    amount: Decimal | None = None


def render_report(
    facts: ReportFacts, language: Language, letterhead: Letterhead, file: ExceptionsFile | None = None
) -> Iterator[str]:
    """The parts of the page, in their order. The same facts in the same language give the same page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: _written(value, language),
        trim_blocks=True,
    )
    return environment.get_template("report.html").generate(
        counted=counted,
        digests=base64.b64encode(facts.evidence.digests).decode(),
        facts=facts,
        language=language.name,
        letterhead=letterhead,
        limits=sorted(facts.run.policy.items()),
        list=file,
        moment=datetime.fromisoformat,
        outcomes=_outcomes(facts),
        parameters=sorted((name, value) for name, value in facts.run.parameters.items() if value),
        quantity=Quantity,
        said=said,
        shown=_shown,
        signatures=_signatures(letterhead),
        stamp=stamp_text(Stamp(facts.run.name, facts.evidence.size, facts.evidence.root)),
        state_name=_state_name,
        sums=_sums(facts),
        title=said("Report of a load into the billing system Carbon Billing"),
        verdict=list(verdict_of(facts)),
    )


def verdict_of(facts: ReportFacts) -> Iterator[Said]:
    """What became of the run, in a sentence or two."""
    if facts.is_discarded:
        yield said("The run was given up before anything was sent.")
        return
    asked, in_effect = facts.totals.read, facts.in_effect
    of_sum = said(", {sum} in total", sum=facts.sum_in_effect) if facts.has_money else ""
    if in_effect == asked:
        yield counted(
            "{n} row was asked for, and it is in the billing{sum}.",
            "{n} rows were asked for, and all of them are in the billing{sum}.",
            asked,
            sum=of_sum,
        )
    else:
        yield counted(
            "{n} row was asked for; in the billing: {done}{sum}.",
            "{n} rows were asked for; in the billing: {done}{sum}.",
            asked,
            done=Quantity(in_effect),
            sum=of_sum,
        )
    if facts.is_unfinished:
        yield said("The run is not at its end.")
    if facts.in_doubt:
        yield counted(
            "Of {n} row it is not known whether it is in the billing.",
            "Of {n} rows it is not known whether they are in the billing.",
            facts.in_doubt,
        )
    elif in_effect and not facts.totals.count(State.ACCEPTED):
        yield said("All of that was read back from the billing as it was sent.")
    elif in_effect:
        yield counted(
            "{n} row was accepted and not read back.",
            "{n} rows were accepted and not read back.",
            facts.totals.count(State.ACCEPTED),
        )


def _outcomes(facts: ReportFacts) -> Sequence[ReportLine]:
    """One line a state with rows; with refused rows and those left out they add up to all rows of the input."""
    totals = facts.totals
    lines = [
        ReportLine(STATES[state], Quantity(number), totals.amounts.get(state, Decimal(0)))
        for state in reversed(State)
        if (number := totals.count(state))
    ]
    if totals.refused:
        lines.append(ReportLine(REFUSED, Quantity(totals.refused)))
    if left_out := sum(totals.left_out.values()):
        lines.append(ReportLine(LEFT_OUT, Quantity(left_out)))
    return lines


def _sums(facts: ReportFacts) -> Iterator[ReportLine]:
    """What the file asks for, what was accepted, what was read back, and the balances of accounts."""
    totals = facts.totals
    yield ReportLine(said("asked for by the input"), Quantity(totals.frozen), totals.amount)
    yield ReportLine(said("accepted by the billing"), Quantity(facts.in_effect), facts.sum_in_effect)
    if facts.verification is None:
        return
    result = facts.verification.result
    found = Decimal(result["found"])
    yield ReportLine(said("read back from the billing as sent"), Quantity(result["as_wanted"]), found)
    yield ReportLine(said("difference"), Quantity(result["different"]), found - Decimal(result["expected"]))
    if "accounts" in result:
        expected, there = Decimal(result["accounts_expected"]), Decimal(result["accounts_found"])
        yield ReportLine(said("balances of these accounts, expected"), Quantity(result["accounts"]), expected)
        yield ReportLine(said("balances of these accounts, in the billing"), Quantity(result["accounts"]), there)
        yield ReportLine(said("difference"), Quantity(result["accounts_different"]), there - expected)


def _signatures(letterhead: Letterhead) -> Sequence[tuple[Said, str]]:
    return (
        (said("Handed over by"), letterhead.handed_over_by),
        (said("Taken over by"), letterhead.taken_over_by),
        (said("Chief accountant"), letterhead.chief_accountant),
    )


def _state_name(state: State | None) -> Said:
    return REFUSED if state is None else STATES[state]


def _shown(text: str) -> str:
    return printable(text, _LONGEST)


def _written(value: object, language: Language) -> object:
    """A value of the page: sentences in the language, numbers and moments as it writes them."""
    if isinstance(value, Said):
        return language.render(value)
    if isinstance(value, Quantity | Decimal | datetime):
        return language.write(value)
    return value
