"""The content of a report, in the language of its reader: titles, sentences and tables, for a page and for a PDF."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from checkpoints.states import State
from cli.report.facts import ExceptionRow, ReportFacts
from cli.settings.settings import Letterhead
from cli.terminal.names import OUTCOMES
from cli.terminal.texts import printable
from texts.remedies import PROGRAM
from texts.said import Language, Quantity, Said, Value, counted, said

REFUSED: Final = said("refused before sending")
LEFT_OUT: Final = said("left out of the run")

_LONGEST: Final = 500
"""Characters of a text of file or billing that are shown."""
_NONE: Final = "–"


@dataclass(frozen=True, slots=True)
class ExceptionsFile:
    """The file beside the report with all exceptions: its name and its SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of texts. Columns in `numbers` stand at the right; `head` is empty for a table of names and values.

    The last row is a sum if the table `has_sum`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    has_sum: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its title, "" for none, tables, and the sentences above and below them."""

    title: str
    tables: tuple[ReportTable, ...] = ()
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All that a report says; a `watermark` of "" is none, and `refusal` says why a run cannot be handed over."""

    language: str
    run: str
    date: datetime
    title: str
    subtitle: str
    page: str
    of_pages: str
    watermark: str
    verdict: str
    sections: tuple[Section, ...]
    signatures: tuple[tuple[str, str], ...]
    refusal: str


def content_of(
    facts: ReportFacts, language: Language, letterhead: Letterhead, file: ExceptionsFile | None = None
) -> ReportContent:
    """The content of the report of these facts."""
    return _Writer(facts, language).content(letterhead, file)


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


class _Writer:
    def __init__(self, facts: ReportFacts, language: Language) -> None:
        self._facts = facts
        self._language = language
        self._money = facts.has_money

    def content(self, letterhead: Letterhead, file: ExceptionsFile | None) -> ReportContent:
        facts, render = self._facts, self._language.render
        number = said("No. {run} of {date}", run=facts.run.name, date=facts.date)
        in_doubt = said("Rows are in doubt: the run is not handed over with this report.") if facts.in_doubt else ""
        return ReportContent(
            language=self._language.name,
            run=facts.run.name,
            date=facts.date,
            title=render(said("Report of a load into the billing system Carbon Billing")),
            subtitle=" · ".join(filter(None, (render(number), letterhead.organisation))),
            page=render(said("page")),
            of_pages=render(said("of")),
            watermark=render(said("PRELIMINARY")) if facts.is_preliminary else "",
            verdict=" ".join(map(render, verdict_of(facts))),
            sections=(
                self._evidence(),
                self._outcomes(),
                self._control_sums(),
                self._exceptions(file),
                self._course(),
                self._limits_of_the_report(),
            ),
            signatures=(
                (render(said("Handed over by")), letterhead.handed_over_by),
                (render(said("Taken over by")), letterhead.taken_over_by),
                (render(said("Chief accountant")), letterhead.chief_accountant),
            ),
            refusal=render(in_doubt),
        )

    # ---- the sections ----

    def _evidence(self) -> Section:
        evidence, before = self._facts.evidence, self._facts.before
        last: Value = said("none in this journal")
        if before is not None:
            last = said("run {run}, {date}: {root}", run=before.run, date=before.made_at, root=before.root)
        command = f"{PROGRAM} report check"
        return Section(
            "",
            (
                self._pairs(
                    (said("Root over all rows (RFC 6962, SHA-256)"), evidence.root),
                    (said("Rows under it"), Quantity(evidence.size)),
                    (said("Report before this one"), last),
                ),
            ),
            after=self._text(
                said(
                    "{command} compares this file with the journal and names each row that differs.", command=command
                )
            ),
        )

    def _outcomes(self) -> Section:
        """One line a state with rows; with refused rows and those left out they add up to all rows of the input."""
        totals = self._facts.totals
        lines: list[tuple[Said, int, Decimal | None]] = [
            (OUTCOMES[state], number, totals.amounts.get(state, Decimal(0)))
            for state in reversed(State)
            if (number := totals.count(state))
        ]
        lines += [(REFUSED, totals.refused, None)] if totals.refused else []
        left_out = sum(totals.left_out.values())
        lines += [(LEFT_OUT, left_out, None)] if left_out else []
        lines.append((said("all rows of the input"), totals.read, totals.amount))
        notes: list[Said] = []
        if self._money and totals.refused:
            notes.append(
                said(
                    "Rows that were refused before sending are counted without their amounts, as these may be the "
                    "reason."
                )
            )
        history = self._facts.history
        if history.rows_taken_back:
            notes.append(
                counted(
                    "{n} row was taken back since by an undo, {sum} in total.",
                    "{n} rows were taken back since by an undo, {sum} in total.",
                    history.rows_taken_back,
                    sum=history.sum_taken_back,
                )
            )
        return Section(
            self._text(said("What was asked, and what came of it")),
            (self._sums(said("Outcome"), lines, has_sum=True),),
            after=" ".join(map(self._text, notes)),
        )

    def _control_sums(self) -> Section:
        """What the file asks for, what was accepted, what was read back, and the balances of accounts."""
        facts = self._facts
        lines: list[tuple[Said, int, Decimal | None]] = [
            (said("asked for by the input"), facts.totals.frozen, facts.totals.amount),
            (said("accepted by the billing"), facts.in_effect, facts.sum_in_effect),
        ]
        if facts.verification is None:
            command = f"{PROGRAM} verify {facts.run.name}"
            note = said("Nothing was read back from the billing yet: the command is {command}.", command=command)
        else:
            lines += _read_back(facts.verification.result)
            when, who = facts.verification.verified_at, facts.verification.who
            note = said("Read back on {date} by {who}.", date=when, who=_shown(who))
        return Section(self._text(said("Control sums")), (self._sums(said("Sum"), lines),), after=self._text(note))

    def _exceptions(self, file: ExceptionsFile | None) -> Section:
        facts = self._facts
        title = self._text(said("Exceptions"))
        if not facts.number_of_exceptions:
            return Section(title, before=self._text(said("None: every row of the input is in the billing.")))
        before = [
            counted(
                "{n} row is not in the billing as the input asks, or was decided on by a person.",
                "{n} rows are not in the billing as the input asks, or were decided on by a person.",
                facts.number_of_exceptions,
            )
        ]
        if file is not None:
            before.append(
                said(
                    "The first {shown} stand here; all of them are in the file {file}, SHA-256 {digest}.",
                    shown=Quantity(len(facts.exceptions)),
                    file=file.name,
                    digest=file.digest,
                )
            )
        amount = (said("Amount"),) if self._money else ()
        head = (said("Line"), said("Contract"), *amount, said("Outcome"), said("Reason, decision"))
        table = self._table(head, map(self._exception, facts.exceptions), {0, 2} if self._money else {0})
        return Section(title, (table,), before=" ".join(map(self._text, before)))

    def _exception(self, row: ExceptionRow) -> Sequence[Value | None]:
        reason: Value = _shown(row.reason)
        if row.decision is not None:
            reason = said(
                "{reason} Decided as {state} on {date} by {who}: {why}",
                reason=reason,
                state=OUTCOMES[row.decision.state],
                date=datetime.fromisoformat(row.decision.decided_at),
                who=_shown(row.decision.who),
                why=_shown(row.decision.why),
            )
        amount = (row.amount,) if self._money else ()
        return (row.line, _shown(row.label), *amount, REFUSED if row.state is None else OUTCOMES[row.state], reason)

    def _course(self) -> Section:
        facts, run = self._facts, self._facts.run
        given = "; ".join(f"{name}={value}" for name, value in sorted(run.parameters.items()) if value)
        limits = "; ".join(f"{name}={value}" for name, value in sorted(run.policy.items()))
        version = said(", version {version}", version=_shown(facts.billing)) if facts.billing else ""
        pairs = self._pairs(
            (said("Job"), f"{run.job}; {_shown(given)}" if given else run.job),
            (said("Limits"), _shown(limits) or said("none given")),
            (said("Billing"), f"{run.target}{self._text(version)}"),
            (said("Input"), _shown(run.source)),
            (said("SHA-256 of the input"), run.source_digest or said("none: the rows come from a query")),
        )
        ended = said("without an end: killed, or at work when this was made")
        runners = self._table(
            (said("Process"), said("Began"), said("Ended"), said("User and host"), said("Version")),
            (
                (one.purpose, one.began_at, one.ended_at or ended, _shown(one.who), one.version)
                for one in facts.runners
            ),
        )
        commands = self._table(
            (said("Command given"), said("When"), said("By"), said("Answer")),
            ((_shown(one.command), one.given_at, _shown(one.who), _shown(one.answer)) for one in facts.commands),
        )
        tables = [table for table in (pairs, runners, commands) if table.rows]
        return Section(self._text(said("How it was done")), tuple(tables))

    def _limits_of_the_report(self) -> Section:
        text = said(
            "This report shows what the journal of the load knows. What others have changed in the billing since it "
            "was read back is not in it. Rows whose effect cannot be read back, such as passwords, are counted as "
            "accepted only."
        )
        return Section(self._text(said("What is not promised")), before=self._text(text))

    # ---- tables ----

    def _sums(
        self, what: Said, lines: Sequence[tuple[Said, int, Decimal | None]], *, has_sum: bool = False
    ) -> ReportTable:
        head = (what, said("Rows"), said("Amount")) if self._money else (what, said("Rows"))
        rows = ((name, Quantity(number), amount)[: len(head)] for name, number, amount in lines)
        return self._table(head, rows, {1, 2}, has_sum=has_sum)

    def _pairs(self, *pairs: tuple[Said, Value]) -> ReportTable:
        return ReportTable((), tuple((self._text(name), self._text(value)) for name, value in pairs))

    def _table(
        self,
        head: Sequence[Said],
        rows: Iterator[Sequence[Value | None]] | Sequence[Sequence[Value | None]],
        numbers: set[int] | None = None,
        *,
        has_sum: bool = False,
    ) -> ReportTable:
        texts = tuple(tuple(map(self._text, cells)) for cells in rows)
        return ReportTable(tuple(map(self._text, head)), texts, frozenset(numbers or ()), has_sum)

    def _text(self, value: Value | None) -> str:
        match value:
            case None | "":
                return _NONE if value is None else ""
            case str():
                return self._language.render(value)
            case Quantity() | Decimal() | datetime():
                return self._language.write(value)
            case _:
                return str(value)


def _read_back(result: Mapping[str, str | int]) -> Iterator[tuple[Said, int, Decimal | None]]:
    found = Decimal(result["found"])
    yield said("read back from the billing as sent"), int(result["as_wanted"]), found
    yield said("difference"), int(result["different"]), found - Decimal(result["expected"])
    if "accounts" in result:
        accounts, expected = int(result["accounts"]), Decimal(result["accounts_expected"])
        there = Decimal(result["accounts_found"])
        yield said("balances of these accounts, expected"), accounts, expected
        yield said("balances of these accounts, in the billing"), accounts, there
        yield said("difference"), int(result["accounts_different"]), there - expected


def _shown(text: str) -> str:
    return printable(text, _LONGEST)
