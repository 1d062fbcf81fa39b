"""The tally of an import on the screen and for scripts: the file beside the billing, what differs first."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from checkpoints.tally import ExtraSubscriber, ImportTally, Subtotal, TallyGroup, TallyKind, summed
from cli.terminal.layout import Hanging, command, one_line, render
from cli.terminal.names import groups_in_words, title_of_group
from cli.terminal.texts import count, money, printable
from texts.remedies import command_line
from texts.said import Said, counted, said, two_decimals

MAX_GROUPS_SHOWN: Final = 20
"""Different groups of a kind that are shown; the others are only counted."""

_EXTRA_SHOWN: Final = 5
_BAD: Final = Text("✗ ", "red")
_GOOD: Final = Text("✓ ", "green")


def tally_screen(run: str, tally: ImportTally) -> RenderableType:
    """The table of the groups, and the subscribers that are not in the file."""
    parts: list[RenderableType] = []
    if tally.groups:
        parts.append(_figures(tally))
    parts += [Hanging(Text(""), render(note)) for note in _notes(tally)]
    if tally.extra:
        parts += _extra(run, tally)
    return Group(*parts)


class _Figures:
    """Groups with their figures under each other, a column each for file, billing and difference."""

    def __init__(self) -> None:
        self._lines: list[Hanging | tuple[Text, tuple[str, ...]]] = []
        self._add(Text(), *map(printable, (said("file"), said("billing"), said("difference"))))

    def add(self, sign: Text, title: str, group: TallyGroup) -> None:
        """Add a group: its subscribers, its balances, and what explains a difference of either."""
        file, billing, gap, lost = group.file, group.billing, group.difference, group.not_entered
        self._lines.append(Hanging(sign, render(title, "bold")))
        numbers = (
            count(file.rows),
            count(billing.rows),
            _signed(count(gap.rows), gap.rows),
        )
        self._add(_label(said("subscribers")), *numbers)
        if lost.rows:
            self._add(_explanation(said("of these not entered")), count(lost.rows))
        if file.amount or billing.amount:
            self._add(
                _label(said("balances")),
                money(file.amount),
                money(billing.amount),
                _signed(money(gap.amount), gap.amount),
            )
        if lost.amount:
            self._add(_explanation(said("of these not entered")), money(lost.amount))
        if group.moved:
            self._add(
                _explanation(said("by later operations")),
                "",
                "",
                _signed(money(group.moved.amount), group.moved.amount),
            )

    def _add(self, label: Text, *figures: str) -> None:
        self._lines.append((label, figures))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [line for line in self._lines if not isinstance(line, Hanging)]
        first = max(label.cell_len for label, _ in rows)
        widths = [max(map(len, column)) for column in zip_longest(*(row for _, row in rows), fillvalue="")]
        for line in self._lines:
            if isinstance(line, Hanging):
                yield line
                continue
            label, figures = line
            cells = (f"  {cell:>{width}}" for cell, width in zip(figures, widths, strict=False))
            yield one_line(label, " " * (first - label.cell_len), "".join(cells))


def _figures(tally: ImportTally) -> _Figures:
    figures = _Figures()
    for kind in TallyKind:
        groups = tally.of(kind)
        different = [one for one in groups if one.is_different]
        for one in different[:MAX_GROUPS_SHOWN]:
            figures.add(_BAD, title_of_group(one), one)
        if more := different[MAX_GROUPS_SHOWN:]:
            whole = summed(more)
            figures.add(_BAD, said("{groups} more that differ", groups=groups_in_words(kind, whole.groups)), whole)
        if equal := [one for one in groups if not one.is_different]:
            whole = summed(equal)
            number = groups_in_words(kind, whole.groups)
            title = title_of_group(whole) if len(equal) == 1 else said("{groups} without a difference", groups=number)
            figures.add(_GOOD, title, whole)
    return figures


def _label(text: Said) -> Text:
    return Text("    ").append(render(text))


def _explanation(text: Said) -> Text:
    return Text("      ").append(render(text, "dim"))


def _signed(figure: str, difference: int | Decimal) -> str:
    return f"+{figure}" if difference > 0 else figure


def _notes(tally: ImportTally) -> Iterator[Said]:
    if tally.refused:
        yield counted(
            "{n} row of the file was refused before sending: it is in none of these figures",
            "{n} rows of the file were refused before sending: they are in none of these figures",
            tally.refused,
        )


def _extra(run: str, tally: ImportTally) -> list[RenderableType]:
    told = counted(
        "{n} subscriber is in these folders and not in the file:",
        "{n} subscribers are in these folders and not in the file:",
        tally.extra,
    )
    parts: list[RenderableType] = [Hanging(Text("! ", "yellow"), render(told))]
    parts += [Hanging(Text("    "), render(extra_in_words(one))) for one in tally.first_extra[:_EXTRA_SHOWN]]
    if tally.extra > _EXTRA_SHOWN:
        more = counted(
            "… and {n} more; the report has them:",
            "… and {n} more; the report has them:",
            tally.extra - _EXTRA_SHOWN,
        )
        parts += [Hanging(Text("    "), render(more, "dim")), command(command_line("report", run))]
    return parts


def extra_in_words(one: ExtraSubscriber) -> Said:
    """An extra subscriber: number, name and id."""
    return said(
        "{number} {name} (abonent {id}), balance {balance}",
        number=printable(one.number or "–", 64),
        name=printable(one.name, 60),
        id=one.abonent_id,
        balance=one.balance,
    )


# ---- for scripts ------------------------------------------------------------------------------------------------


def tally_object(tally: ImportTally) -> Mapping[str, object]:
    """The tally for `--json`; of the extra subscribers the report has names."""
    return {
        "groups": [_group_object(one) for one in tally.groups],
        "different": tally.different,
        "refused": tally.refused,
        "not_in_file": tally.extra,
    }


def _group_object(group: TallyGroup) -> Mapping[str, object]:
    return {
        "kind": group.kind,
        "id": group.key,
        "name": group.name,
        "groups": group.groups,
        "different": group.is_different,
        "file": _count_object(group.file),
        "billing": _count_object(group.billing),
        "not_entered": _count_object(group.not_entered),
        "later_operations": _count_object(group.moved),
        "not_in_file": _count_object(group.extra),
    }


def _count_object(part: Subtotal) -> Mapping[str, object]:
    return {"subscribers": part.rows, "balance": two_decimals(part.amount)}
