"""The tally of an import in a report: file, billing and difference by folder, tariff and operator."""

from collections.abc import Iterator, Sequence
from typing import Final

from checkpoints.tally import TallyGroup, TallyKind, summed
from cli.report.facts import EXTRA_SHOWN, ReportedRun
from cli.report.tables import FileBeside, ReportTable, Section, TableWriter, shown
from cli.terminal.names import TALLY_KINDS, name_of_group
from jobs.spec.import_words import IMPORT
from texts.remedies import PROGRAM
from texts.said import Quantity, Said, Value, counted, said

_WIDTHS: Final = (20, 11, 10, 15, 14, 14, 16)
_NUMBERS: Final = frozenset(range(1, len(_WIDTHS)))


def tally_sections(one: ReportedRun, file: FileBeside | None, write: TableWriter) -> Iterator[Section]:
    """The sections of an import: its totals by group, and the subscribers who are not in its file."""
    if one.run.job != IMPORT or one.is_discarded:
        return
    title = write.text(said("Totals by folder, tariff and operator: file and billing"))
    tally = one.tally
    if tally is None:
        yield Section(title, before=write.text(_not_compared(one)))
        return
    kinds = [(kind, groups) for kind in TallyKind if (groups := tally.of(kind))]
    tables = tuple(_table(kind, groups, write) for kind, groups in kinds)
    before = [_verdict(tally.different)]
    after = list(_explained(tally.groups))
    if tally.refused:
        after.append(
            counted(
                "{n} row of the file was refused before sending, with {sum}, and is in none of these figures.",
                "{n} rows of the file were refused before sending, with {sum}, and are in none of these figures.",
                tally.refused,
                sum=one.sums.refused.amount,
            )
        )
    yield Section(title, tables, before=_joined(before, write), after=_joined(after, write))
    yield _extra(one, file, write)


def _joined(sentences: Sequence[Said], write: TableWriter) -> str:
    return " ".join(map(write.text, sentences))


def _not_compared(one: ReportedRun) -> Said:
    if one.undone_by:
        return said("Not counted: rows of this run were taken back.")
    return said(
        "Not counted in the billing yet. {command} does it; it needs the billing's database.",
        command=f"{PROGRAM} verify {one.run.name}",
    )


def _verdict(different: int) -> Said:
    if not different:
        return said("The billing has in each group what the file has.")
    return counted(
        "{n} group has other totals in the billing than in the file; it stands first.",
        "{n} groups have other totals in the billing than in the file; they stand first.",
        different,
    )


def _table(kind: TallyKind, groups: Sequence[TallyGroup], write: TableWriter) -> ReportTable:
    head = (
        TALLY_KINDS[kind],
        said("Subscribers, file"),
        said("billing"),
        said("difference"),
        said("Balances, file"),
        said("billing"),
        said("difference"),
    )
    rows = [_row(shown(write.text(name_of_group(one))), one) for one in groups]
    if len(groups) > 1:
        rows.append(_row(said("all"), summed(groups)))
    return write.table(head, rows, widths=_WIDTHS, numbers=_NUMBERS, has_sum=len(groups) > 1)


def _row(name: str, group: TallyGroup) -> tuple[Value, ...]:
    file, billing, gap = group.file, group.billing, group.difference
    return (
        name,
        Quantity(file.subscribers),
        Quantity(billing.subscribers),
        Quantity(gap.subscribers),
        file.balance,
        billing.balance,
        gap.balance,
    )


def _explained(groups: Sequence[TallyGroup]) -> Iterator[Said]:
    """What of the differences is known from the journal, or comes from later operations; each subscriber once."""
    by_folder = [one for one in groups if one.kind is (groups[0].kind if groups else None)]
    if not by_folder:
        return
    whole = summed(by_folder)
    if whole.not_entered and not whole.not_entered.subscribers:
        yield said(
            "Opening balances of {balance} were not entered: see the exceptions.", balance=whole.not_entered.balance
        )
    elif whole.not_entered:
        yield counted(
            "{n} subscriber of the file was not entered, and opening balances of {balance}: see the exceptions.",
            "{n} subscribers of the file were not entered, and opening balances of {balance}: see the exceptions.",
            whole.not_entered.subscribers,
            balance=whole.not_entered.balance,
        )
    if whole.moved:
        yield counted(
            "{n} subscriber has later operations, which have moved the balance by {balance}.",
            "{n} subscribers have later operations, which have moved their balances by {balance}.",
            whole.moved.subscribers,
            balance=whole.moved.balance,
        )


def _extra(one: ReportedRun, file: FileBeside | None, write: TableWriter) -> Section:
    title = write.text(said("In these folders and not in the file"))
    tally = one.tally
    if tally is None or not tally.extra:
        return Section(title, before=write.text(said("None.")))
    before = [
        counted(
            "{n} subscriber of the billing is in a folder of the import and not in its file.",
            "{n} subscribers of the billing are in folders of the import and not in its file.",
            tally.extra,
        )
    ]
    if file is not None:
        before.append(
            said(
                "The first {shown} stand here; {kept} are in the file {file}, SHA-256 {digest}.",
                shown=Quantity(EXTRA_SHOWN),
                kept=Quantity(len(tally.first_extra)),
                file=file.name,
                digest=file.digest,
            )
        )
    rows = (
        (shown(it.number) or None, shown(it.name), str(it.abonent_id), str(it.folder or "–"), it.balance)
        for it in tally.first_extra[:EXTRA_SHOWN]
    )
    head = (said("Contract"), said("Name"), said("Id"), said("Folder"), said("Balance"))
    table = write.table(head, rows, widths=(20, 38, 12, 12, 18), numbers={4})
    return Section(title, (table,), before=_joined(before, write))
