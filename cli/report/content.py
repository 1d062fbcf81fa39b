"""The content of a report in the language of its reader, its parts put together, for a page and for a PDF."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from checkpoints.states import State
from cli.report.facts import ReportedRun, ReportFacts, SubjectKind
from cli.report.sums import REFUSED, assumptions_of, control_sums, course_of, exceptions_of, outcomes
from cli.report.tables import FilesBeside, ReportTable, Section, TableWriter, shown
from cli.report.verdict import import_sections, import_tables, job_name, tally_sections, verdict_of
from cli.settings.known_billings import host_of
from cli.settings.tables import Letterhead
from cli.terminal.language import CatalogueLanguage
from cli.terminal.layout import badge_of
from cli.terminal.names import OUTCOMES
from jobs.sums import Effect, Subtotal, sum_over
from texts.remedies import PROGRAM
from texts.said import Quantity, Said, Value, counted, said

# ---- the sections of the report of a campaign ---------------------------------------------------------------------


_UNSETTLED: Final = (State.MANUAL, State.UNKNOWN, State.UNCONFIRMED, State.REJECTED)


def by_billing(runs: Sequence[ReportedRun]) -> list[list[ReportedRun]]:
    """The runs of each billing, in the order in which the billings were begun."""
    groups: dict[str, list[ReportedRun]] = {}
    for one in runs:
        groups.setdefault(one.run.target, []).append(one)
    return list(groups.values())


def campaign_head(runs: Sequence[ReportedRun], write: TableWriter) -> ReportTable:
    """What the report is of: how many billings and runs, and when these were begun."""
    begun = [one.run.created_at for one in runs]
    return write.pairs(
        (said("Billings"), Quantity(len(by_billing(runs)))),
        (said("Runs"), Quantity(len(runs))),
        (said("Begun"), said("{first} to {last}", first=min(begun), last=max(begun))),
    )


def campaign_sections(runs: Sequence[ReportedRun], write: TableWriter) -> Iterator[Section]:
    """All sections but the first page and the limits."""
    groups = by_billing(runs)
    yield _billings(groups, write)
    yield all_outcomes(said("All billings together"), runs, write)
    yield _for_a_person(runs, write)
    for group in groups:
        yield Section(write.text(name_of_billing(group)), before=shown(group[-1].run.target), level=1)
        yield _runs(group, _Columns.of(runs), write)
        yield all_outcomes(said("What became of the rows"), group, write)
        yield Section("", (write.pairs(*map(_proof, group)),))


def name_of_billing(group: Sequence[ReportedRun]) -> Value:
    """What a billing is called: the name of its profile of settings, as its last run kept it, else its host."""
    badge = badge_of(group[-1].run.parameters)
    return badge.sentence if badge else shown(host_of(group[-1].run.target))


def _billings(groups: Sequence[Sequence[ReportedRun]], write: TableWriter) -> Section:
    every = [one for group in groups for one in group]
    columns = _Columns.of(every)
    rows: list[tuple[Value | None, ...]] = [
        (name_of_billing(group), Quantity(len(group)), *columns.cells(group)) for group in groups
    ]
    rows.append((said("all"), Quantity(len(every)), *columns.cells(every)))
    head = (said("Billing"), said("Runs"), *columns.titles)
    widths = (28, 8, 12, 20, 12, 20) if columns.plain else (24, 6, 10, 17, 10, 17, 16)
    table = write.table(head, rows, widths=widths, numbers=range(1, len(head)), has_sum=True)
    return Section(write.text(said("Billings")), (table,), after=" ".join(map(write.text, columns.notes)))


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of sums. `plain` ones have no undo among their runs, and nothing else than what was entered."""

    plain: bool
    has_imports: bool

    @classmethod
    def of(cls, runs: Sequence[ReportedRun]) -> "_Columns":
        plain = all(one.sums.effect in {Effect.ENTERS, Effect.READS} for one in runs)
        return cls(plain, any(one.subscribers is not None for one in runs))

    @property
    def titles(self) -> tuple[Said, ...]:
        asked = (said("Rows asked for"), said("Amount asked for"))
        if self.plain:
            return (*asked, said("Rows in the billing"), said("Amount in the billing"))
        return (*asked, said("Rows entered"), said("Amount entered"), said("Amount taken back"))

    @property
    def notes(self) -> Iterator[Said]:
        if self.has_imports:
            yield said("The rows of an import are its subscribers, its amounts their opening balances.")
        if not self.plain:
            yield said("What was taken back is not subtracted from what was entered.")

    def cells(self, runs: Sequence[ReportedRun]) -> tuple[Value | None, ...]:
        """What was asked, entered and taken back in runs; readings enter nothing."""
        sums = [one.sums for one in runs]
        entering = [one for one in sums if one.effect is Effect.ENTERS]
        undos = [one for one in sums if one.effect in {Effect.TAKES_BACK, Effect.RESTORES}]
        asked, entered = sum_over(entering, lambda one: one.asked), sum_over(entering, lambda one: one.entered)
        money = any(one.has_money for one in entering)
        cells: tuple[Value | None, ...] = (None,) * 4
        if entering:
            cells = (
                Quantity(asked.rows),
                asked.amount if money else None,
                Quantity(entered.rows),
                entered.amount if money else None,
            )
        if self.plain:
            return cells
        back = sum_over(undos, lambda one: one.taken_back)
        return (*cells, back.amount if any(one.has_money for one in undos) else None)


def _runs(group: Sequence[ReportedRun], columns: _Columns, write: TableWriter) -> Section:
    head = (said("Run"), said("Job"), said("Begun"), *columns.titles)
    rows = [(one.run.name, one.run.job, one.run.created_at, *columns.cells([one])) for one in group]
    widths = (9, 15, 18, 11, 18, 11, 18) if columns.plain else (8, 13, 16, 9, 16, 9, 16, 13)
    table = write.table(head, rows, widths=widths, numbers=range(3, len(head)))
    return Section("", (table,))


def all_outcomes(title: Said, runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    """What became of all rows of runs of any kind: those of imports stand in tables of their own."""
    section = outcomes(title, runs, write)
    imports = [one for one in runs if one.subscribers is not None]
    return replace(section, tables=(*section.tables, *import_tables(imports, write))) if imports else section


def _proof(one: ReportedRun) -> tuple[Said, Value]:
    """The root of a run, and how it was read back."""
    if one.run.purged_at is not None:
        return said("Run {run}", run=one.run.name), said("purged on {date}: no root", date=one.run.purged_at)
    root = counted("Root of run {run}, {n} row", "Root of run {run}, {n} rows", one.evidence.size, run=one.run.name)
    if one.verification is None:
        return root, said("{root}; not read back", root=one.evidence.root) if one.writes else one.evidence.root
    result = one.verification.result
    read = said(
        "{root}; read back on {date}: {same} as sent, {different} not",
        root=one.evidence.root,
        date=one.verification.verified_at,
        same=Quantity(int(result.get("as_wanted", 0))),
        different=Quantity(int(result.get("different", 0))),
    )
    return root, read


# ---- what needs a person ------------------------------------------------------------------------------------------


def _for_a_person(runs: Sequence[ReportedRun], write: TableWriter) -> Section:
    rows = [
        (one.run.name, name_of_billing([one]), what, Quantity(number)) for one in runs for what, number in _needs(one)
    ]
    title = write.text(said("What needs a person"))
    if not rows:
        return Section(title, before=write.text(said("Nothing.")))
    head = (said("Run"), said("Billing"), said("What"), said("Rows"))
    table: ReportTable = write.table(head, rows, widths=(10, 38, 40, 12), numbers={3})
    return Section(title, (table,))


def _needs(one: ReportedRun) -> Iterator[tuple[Said, int]]:
    if one.is_unfinished:
        yield said("not at its end"), one.totals.count_where(to_send=True)
    for state in _UNSETTLED:
        if number := one.totals.count(state):
            yield OUTCOMES[state], number
    if one.totals.refused:
        yield REFUSED, one.totals.refused
    if one.verification and (different := int(one.verification.result.get("different", 0))):
        yield said("not in the billing as it was sent"), different


# ---- the content of a report --------------------------------------------------------------------------------------


_NONE: Final = FilesBeside()
NO_FILES: Final[Mapping[str, FilesBeside]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All that a report says; a `watermark` of "" is none.

    A report by which nothing can be handed over has a `refusal` in place of its `signatures`: role and name of each.
    """

    language: str
    name: str
    date: datetime
    title: str
    subtitle: str
    page: str
    of_pages: str
    watermark: str
    verdict: str
    sections: tuple[Section, ...]
    signatures: tuple[tuple[str, str], ...]
    signature: str
    day: str
    refusal: str


def content_of(
    facts: ReportFacts,
    language: CatalogueLanguage,
    letterhead: Letterhead,
    files: Mapping[str, FilesBeside] = NO_FILES,
) -> ReportContent:
    """The content of the report of these facts; `files` have the files beside it, by run."""
    return _Writer(facts, language, files).content(letterhead)


class _Writer:
    def __init__(self, facts: ReportFacts, language: CatalogueLanguage, files: Mapping[str, FilesBeside]) -> None:
        self._facts = facts
        self._write = TableWriter(language)
        self._language = language
        self._files = files

    def content(self, letterhead: Letterhead) -> ReportContent:
        facts, text = self._facts, self._write.text
        number = said("No. {run} of {date}", run=facts.main.run.name, date=facts.date)
        signatures = (
            (text(said("Handed over by")), letterhead.handed_over_by),
            (text(said("Taken over by")), letterhead.taken_over_by),
            (text(said("Chief accountant")), letterhead.chief_accountant),
        )
        return ReportContent(
            language=self._language.name,
            name=self._name(),
            date=facts.date,
            title=text(self._title()),
            subtitle=" · ".join(filter(None, (self._language.render(number), letterhead.organisation))),
            page=text(said("page")),
            of_pages=text(said("of")),
            watermark=text(said("PRELIMINARY")) if facts.is_preliminary else "",
            verdict=self._verdict(),
            sections=tuple(self._sections()),
            signatures=() if facts.is_preliminary else signatures,
            signature=text(said("signature")),
            day=text(said("date")),
            refusal=text(self._refusal()) if facts.is_preliminary else "",
        )

    def _title(self) -> Said:
        if self._facts.kind is SubjectKind.CAMPAIGN:
            return said("Report of a campaign: loads into several billing systems Carbon Billing")
        if self._facts.kind is SubjectKind.UNDO:
            return said("Report of an undo of a load into the billing system Carbon Billing")
        return said("Report of a load into the billing system Carbon Billing")

    def _name(self) -> str:
        """The name of the report at the foot of each page."""
        file, main = self._facts.file, self._facts.main.run.name
        return main if file is None else f"{PurePath(file.file).name} · {main}"

    def _verdict(self) -> str:
        clauses = "; ".join(map(self._write.text, verdict_of(self._facts)))
        return f"{clauses[:1].upper()}{clauses[1:]}."

    def _refusal(self) -> Said:
        facts = self._facts
        if facts.in_doubt:
            doubtful = next(one.run.name for one in facts.runs if one.in_doubt)
            return said(
                "It is not known of all rows whether they are in the billing: nothing is handed over with this "
                "report. They are settled with {command}.",
                command=f"{PROGRAM} reconcile {doubtful}",
            )
        return said("The load is not at its end: nothing is handed over with this report.")

    def _sections(self) -> Iterator[Section]:
        runs = self._facts.runs
        yield self._head()
        if self._facts.kind is SubjectKind.CAMPAIGN:
            yield from campaign_sections(runs, self._write)
        elif len(runs) == 1:
            yield from self._of_run(runs[0])
        else:
            yield from self._overall()
            for number, one in enumerate(runs):
                yield Section(self._write.text(self._name_of_part(number, one)), level=1)
                yield from self._of_run(one)
        yield self._limits()

    def _of_run(self, one: ReportedRun) -> Iterator[Section]:
        if one.subscribers is not None:
            yield from import_sections(one, self._write)
        else:
            yield outcomes(said("What was asked, and what came of it"), [one], self._write)
            yield control_sums([one], self._write)
        files = self._files.get(one.run.name, _NONE)
        yield from tally_sections(one, files.extra, self._write)
        yield exceptions_of(one, files.exceptions, self._write)
        yield course_of(one, self._write)
        if (assumptions := assumptions_of(one, self._write)) is not None:
            yield assumptions

    # ---- the first page ----

    def _head(self) -> Section:
        facts = self._facts
        zone = f"UTC{facts.date.astimezone().isoformat()[-6:]}"
        command = f"{PROGRAM} report check"
        check = said(
            "{command} compares this file with the journal and names each row that differs. Times are those of "
            "{zone}.",
            command=command,
            zone=zone,
        )
        if facts.kind is SubjectKind.CAMPAIGN:
            check = said(
                "{command} compares this file with the journal and names each run whose rows differ. Times are those "
                "of {zone}.",
                command=command,
                zone=zone,
            )
            roots = self._write.pairs(self._root_of_roots(), self._before())
            tables = [campaign_head(facts.runs, self._write), roots]
        else:
            tables = [self._subject(), self._evidence() if len(facts.runs) == 1 else self._roots()]
        return Section("", tuple(tables), after=self._write.text(check))

    def _subject(self) -> ReportTable:
        facts, main = self._facts, self._facts.main
        pairs: list[tuple[Said, Value]] = []
        if facts.file is not None:
            file = said("{file}, round {round}", file=shown(facts.file.file), round=facts.file.round)
            pairs.append((said("Job file"), file))
            pairs += [(said("SHA-256 of the job file"), digest) for digest in self._digests()]
        else:
            pairs.append((said("Job"), job_name(main)))
            if not main.is_undo:
                pairs.append((said("Input"), shown(main.run.source)))
        if facts.kind is SubjectKind.RUN and (step := main.step) is not None:
            part = said(
                "step {number} of {steps} of {file}; the report of the whole file: {command}",
                number=step.number,
                steps=step.steps,
                file=shown(step.file),
                command=f"{PROGRAM} report {PurePath(step.file).name}",
            )
            pairs.append((said("Job file"), part))
        if badge := badge_of(main.run.parameters):
            pairs.append((said("Settings"), badge.sentence))
        pairs.append((said("Billing"), self._billing(main)))
        return self._write.pairs(*pairs)

    def _digests(self) -> list[str]:
        """The digests of the job file with which its steps were begun: several if it was edited between them."""
        return list(dict.fromkeys(one.step.digest for one in self._facts.runs if one.step and one.step.digest))

    def _billing(self, one: ReportedRun) -> Value:
        if not one.billing:
            return shown(one.run.target)
        return said("{address}, version {version}", address=shown(one.run.target), version=shown(one.billing))

    def _evidence(self) -> ReportTable:
        evidence = self._facts.main.evidence
        return self._write.pairs(
            (said("Root over all rows (RFC 6962, SHA-256)"), evidence.root),
            (said("Rows in the root"), Quantity(evidence.size)),
            self._before(),
        )

    def _roots(self) -> ReportTable:
        """The root of each run, and that of the report over them."""
        each = [(_root_of(one), one.evidence.root) for one in self._facts.runs]
        return self._write.pairs(self._root_of_roots(), *each, self._before())

    def _root_of_roots(self) -> tuple[Said, Value]:
        return said("Root over the roots of the runs (RFC 6962, SHA-256)"), self._facts.root

    def _before(self) -> tuple[Said, Value]:
        before = self._facts.before
        last: Value = said("none in this journal")
        if before is not None:
            last = said("run {run}, {date}: {root}", run=before.run, date=before.made_at, root=before.root)
        return said("Report before this one"), last

    # ---- several runs ----

    def _overall(self) -> Iterator[Section]:
        facts, write = self._facts, self._write
        if facts.kind is SubjectKind.UNDO:
            yield self._taken_back()
            return
        yield self._steps()
        yield all_outcomes(said("All steps together"), facts.runs, write)
        yield control_sums(facts.runs, write)

    def _taken_back(self) -> Section:
        first = self._facts.runs[0]
        rows, amount = first.history.rows_taken_back, first.history.sum_taken_back
        entered = first.sums.in_effect
        if first.subscribers is not None:
            # Of its steps some have no undo of their own: they go with their subscriber.
            rows, entered = first.persons_taken_back, Subtotal(first.persons, entered.amount)
        left = entered - Subtotal(rows, amount)
        lines = [
            (said("entered by run {run}", run=first.run.name), entered.rows, entered.amount),
            (said("taken back since"), rows, amount),
            (said("still in the billing"), left.rows, left.amount),
        ]
        what = said("Sum") if first.subscribers is None else said("Subscribers")
        table = self._write.sums(what, lines, money=first.sums.has_money, has_sum=True)
        return Section(self._write.text(said("What was taken back")), (table,))

    def _steps(self) -> Section:
        facts, write = self._facts, self._write
        head = (said("Step"), said("Run"), said("Job"), said("Rows"), said("In the billing"), said("Amount"))
        rows = [self._step(one) for one in facts.runs]
        rows += [(Quantity(number), "–", said("not begun"), None, None, None) for number in facts.steps_not_begun]
        sums = [one.sums for one in facts.runs]
        asked, entered = sum_over(sums, lambda one: one.asked), sum_over(sums, lambda one: one.entered)
        amount = entered.amount if facts.has_money else None
        rows.append((said("all"), "", "", Quantity(asked.rows), Quantity(entered.rows), amount))
        table = write.table(head, rows, numbers={3, 4, 5}, widths=(7, 10, 40, 11, 13, 19), has_sum=True)
        return Section(write.text(said("Steps of the job file")), (table,))

    def _step(self, one: ReportedRun) -> tuple[Value | None, ...]:
        number = one.step.number if one.step else 0
        asked, entered = one.sums.asked, one.sums.entered
        amount = entered.amount if one.sums.has_money else None
        return (number, one.run.name, job_name(one), Quantity(asked.rows), Quantity(entered.rows), amount)

    def _name_of_part(self, number: int, one: ReportedRun) -> Said:
        if self._facts.kind is SubjectKind.FILE and one.step is not None:
            return said("Step {number}: run {run}", number=one.step.number, run=one.run.name)
        if number:
            return said("Undo {run}", run=one.run.name)
        return said("Run {run}", run=one.run.name)

    def _limits(self) -> Section:
        text = said(
            "This report shows what the journal of the load knows. What others have changed in the billing since it "
            "was read back is not in it. Rows whose effect cannot be read back, such as passwords, are counted as "
            "accepted only."
        )
        return Section(self._write.text(said("What is not promised")), before=self._write.text(text))


def _root_of(one: ReportedRun) -> Said:
    return counted("Root of run {run}, {n} row", "Root of run {run}, {n} rows", one.evidence.size, run=one.run.name)
