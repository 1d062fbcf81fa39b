"""What a plan changes, old → new: collected in groups of rows that change the same fields, with the first of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from billing.directory.values import AMOUNTS
from cli.terminal.layout import Hanging, render
from cli.terminal.names import place_of
from cli.terminal.texts import money, printable
from jobs.imports.subscriber import STEP_NAMES, Step
from jobs.value_changes import BalanceSums, ChangeKind, FieldChange, RowChange
from texts.said import Quantity, Said, counted, said

MAX_CHANGES_SHOWN: Final = 20
"""Rows that are shown over all groups; the rest is counted."""

_NOTHING: Final = said("nothing")
_ISSUED: Final = said("a new one from the billing")


@dataclass(slots=True)
class ChangeGroup:
    """The rows that do the same to the same fields of a model: their number, and the first of them.

    Of an import they are rows of one step.
    """

    model: str
    kind: ChangeKind
    fields: tuple[str, ...]
    step: str = ""
    rows: int = 0
    first: list[RowChange] = field(default_factory=list)

    @property
    def title(self) -> Said:
        """What is changed, and in how many rows."""
        model, number = printable(self.model), self.rows
        if self.step:
            return self._title_of_step(STEP_NAMES[Step(self.step)])
        match self.kind:
            case ChangeKind.CHANGED:
                return counted(
                    "changed, {fields} of {model}: {n} row",
                    "changed, {fields} of {model}: {n} rows",
                    number,
                    fields=self.fields,
                    model=model,
                )
            case ChangeKind.NEW:
                return counted("new, {model}: {n} row", "new, {model}: {n} rows", number, model=model)
            case ChangeKind.REMOVED:
                return counted("removed, {model}: {n} row", "removed, {model}: {n} rows", number, model=model)

    def _title_of_step(self, step: Said) -> Said:
        number = Quantity(self.rows)
        match self.kind:
            case ChangeKind.CHANGED:
                return said("changed, {fields} of {step}: {n}", fields=self.fields, step=step, n=number)
            case ChangeKind.NEW:
                return said("new, {step}: {n}", step=step, n=number)
            case ChangeKind.REMOVED:
                return said("removed, {step}: {n}", step=step, n=number)


@dataclass(slots=True)
class ValueChanges:
    """What all rows to be sent change.

    `lines` is the number of changed fields over all rows, `unknown` the rows of calls whose effect is not known.
    """

    groups: dict[tuple[str, ...], ChangeGroup] = field(default_factory=dict)
    balances: BalanceSums = field(default_factory=BalanceSums)
    lines: int = 0
    unknown: int = 0

    def add(self, change: RowChange) -> None:
        """Take a row into account."""
        self.lines += len(change.fields)
        self.balances.add(change)
        if not change.fields:
            self.unknown += 1
            return
        # A new or a removed object has its fields filled or not; that makes no group.
        step = change.payload.step
        named = tuple([one.name for one in change.fields]) if change.kind is ChangeKind.CHANGED else ()
        group = self.groups.setdefault(
            (change.kind, change.model, step, *named), ChangeGroup(change.model, change.kind, named, step)
        )
        group.rows += 1
        if len(group.first) < MAX_CHANGES_SHOWN:
            group.first.append(change)

    @property
    def shown(self) -> list[tuple[ChangeGroup, list[RowChange]]]:
        """The groups, each with the rows of it that are shown: no group hides another."""
        left = MAX_CHANGES_SHOWN
        chosen: dict[tuple[str, ...], list[RowChange]] = {}
        # The small groups first: what they leave of their share goes to the others.
        small_first = sorted(self.groups.items(), key=lambda one: one[1].rows)
        for place, (key, group) in enumerate(small_first):
            chosen[key] = group.first[: -(-left // (len(small_first) - place))]
            left -= len(chosen[key])
        return [(group, chosen[key]) for key, group in self.groups.items()]


def balances_line(changes: ValueChanges) -> Said | None:
    """The sums of the balances before and after; None where the rows set or add to none."""
    sums = changes.balances
    if not sums.accounts:
        return said("not known what they are now: no database is read") if sums.unread else None
    return counted(
        "{before} before, {after} after, on {n} account",
        "{before} before, {after} after, on {n} accounts",
        sums.accounts,
        before=sums.before,
        after=sums.after,
    )


def changes_list(changes: ValueChanges, all_of_them: str) -> RenderableType:
    """The first rows of each group, old → new; `all_of_them` says where all are."""
    parts: list[RenderableType] = []
    for group, first in changes.shown:
        parts += [Text(""), render(group.title, "bold")]
        parts += [_row(change) for change in first]
        if group.rows > len(first):
            more = Quantity(group.rows - len(first))
            parts.append(render(said("… and {n} more; {all}", n=more, all=all_of_them), "dim"))
    return Group(*parts)


def changes_object(changes: ValueChanges) -> Mapping[str, object]:
    """What is changed, for `--json`."""
    sums = changes.balances
    return {
        "groups": [
            {"kind": group.kind, "model": group.model, "fields": list(group.fields), "rows": group.rows}
            | ({"step": group.step} if group.step else {})
            for group in changes.groups.values()
        ],
        "first": [_object(change) for _, first in changes.shown for change in first],
        "rows_not_known": changes.unknown,
        "balances": {
            "accounts": sums.accounts,
            "before": format(sums.before, "f"),
            "after": format(sums.after, "f"),
        }
        if sums.accounts
        else None,
    }


def _row(change: RowChange) -> Hanging:
    item = change.item
    line = Text(f"({printable(item.label, 60)})", "dim").append(f": {', '.join(_told(change))}", "not dim")
    return Hanging(Text(f"  {printable(place_of(item))} "), line, indent=4)


def _told(change: RowChange) -> Iterator[str]:
    alone = change.kind is ChangeKind.CHANGED and len(change.fields) == 1
    for one in change.fields:
        old, new = _value(one, one.old), printable(_ISSUED) if one.issued else _value(one, one.new)
        name = "" if alone else f"{printable(one.name)} "
        match change.kind:
            case ChangeKind.CHANGED:
                yield f"{name}{old} → {new}"
            case ChangeKind.NEW:
                yield f"{name}{new}"
            case ChangeKind.REMOVED:
                yield f"{name}{old}"


def _value(one: FieldChange, value: str | None) -> str:
    if value is None:
        return printable(_NOTHING)
    return money(Decimal(value)) if one.name in AMOUNTS else printable(value)


def _object(change: RowChange) -> Mapping[str, object]:
    item = change.item
    return {
        "row": item.number,
        "line": item.line,
        "label": item.label,
        "kind": change.kind,
        "model": change.model,
        "fields": [
            {"field": one.name, "old": one.old, "new": one.new, "issued": one.issued} for one in change.fields
        ],
    }
