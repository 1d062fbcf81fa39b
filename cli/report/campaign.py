"""The sections of the report of a campaign: all billings together, what needs a person, and billing by billing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from checkpoints.states import State
from cli.report.facts import ReportedRun
from cli.report.steps import import_tables
from cli.report.sums import REFUSED, outcomes
from cli.report.tables import ReportTable, Section, TableWriter, shown
from cli.settings.known_billings import host_of
from cli.terminal.badge import badge_of
from cli.terminal.names import OUTCOMES
from jobs.sums import Effect, sum_over
from texts.said import Quantity, Said, Value, counted, said

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
