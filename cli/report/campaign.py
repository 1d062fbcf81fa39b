"""The sections of the report of a campaign: all billings together, what needs a person, and billing by billing."""

from collections.abc import Iterator, Sequence
from typing import Final

from checkpoints.states import State
from cli.report.facts import ReportedRun
from cli.report.sums import REFUSED, outcomes, sum_over
from cli.report.tables import ReportTable, Section, TableWriter, shown
from cli.settings.known_billings import host_of
from cli.terminal.badge import badge_of
from cli.terminal.names import OUTCOMES
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
    yield outcomes(said("All billings together"), runs, write)
    yield _for_a_person(runs, write)
    for group in groups:
        yield Section(write.text(name_of_billing(group)), before=shown(group[-1].run.target), level=1)
        yield _runs(group, write)
        yield outcomes(said("What became of the rows"), group, write)
        yield Section("", (write.pairs(*map(_proof, group)),))


def name_of_billing(group: Sequence[ReportedRun]) -> Value:
    """What a billing is called: the name of its profile of settings, as its last run kept it, else its host."""
    badge = badge_of(group[-1].run.parameters)
    return badge.sentence if badge else shown(host_of(group[-1].run.target))


def _billings(groups: Sequence[Sequence[ReportedRun]], write: TableWriter) -> Section:
    head = (
        said("Billing"),
        said("Runs"),
        said("Rows asked for"),
        said("Amount asked for"),
        said("Rows in the billing"),
        said("Amount in the billing"),
    )
    every = [one for group in groups for one in group]
    rows = [(name_of_billing(group), *_sums(group)) for group in groups]
    rows.append((said("all"), *_sums(every)))
    table = write.table(head, rows, widths=(28, 8, 12, 20, 12, 20), numbers=range(1, len(head)), has_sum=True)
    return Section(write.text(said("Billings")), (table,))


def _sums(runs: Sequence[ReportedRun]) -> tuple[Value | None, ...]:
    return (Quantity(len(runs)), *_asked_and_entered(runs))


def _asked_and_entered(runs: Sequence[ReportedRun]) -> tuple[Value | None, ...]:
    asked, entered = sum_over(runs, lambda one: one.asked), sum_over(runs, lambda one: one.in_effect)
    money = any(one.has_money for one in runs)
    return (
        Quantity(asked.rows),
        asked.amount if money else None,
        Quantity(entered.rows),
        entered.amount if money else None,
    )


def _runs(group: Sequence[ReportedRun], write: TableWriter) -> Section:
    head = (
        said("Run"),
        said("Job"),
        said("Begun"),
        said("Rows asked for"),
        said("Amount asked for"),
        said("Rows in the billing"),
        said("Amount in the billing"),
    )
    rows = [(one.run.name, one.run.job, one.run.created_at, *_asked_and_entered([one])) for one in group]
    table = write.table(head, rows, widths=(9, 15, 18, 11, 18, 11, 18), numbers=range(3, len(head)))
    return Section("", (table,))


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
