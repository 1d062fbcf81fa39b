"""A screen as one expression: its parts in their order; a part without a value is left out."""

from collections.abc import Sequence
from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.records import Item
from cli.terminal.layout import Facts, Hanging, render
from cli.terminal.names import place_of
from cli.terminal.texts import printable
from texts.said import Quantity, said

Part: TypeAlias = RenderableType | None
"""A piece of a screen: a sentence, "" for an empty line, or None for nothing."""


def stack(*parts: Part) -> Group:
    """Parts from above to below."""
    return Group(*(render(one) if isinstance(one, str) else one for one in parts if one is not None))


def section(*parts: Part) -> Group:
    """The same below an empty line; nothing without any part."""
    there = stack(*parts)
    return stack("", there) if there.renderables else there


def facts(*pairs: tuple[str, str | Text | None]) -> Facts:
    """Labels and values below each other; a pair without a value is left out."""
    table = Facts()
    for label, value in pairs:
        if value:
            table.add(label, value)
    return table


def row_line(sign: str, item: Item) -> Hanging:
    """A row behind a sign, with its message."""
    line = render(place_of(item), "bold").append(f" ({printable(item.label, 60)})", "dim")
    return Hanging(Text(f"{sign} ", "yellow"), line.append(f": {printable(item.message)}"))


def and_more(number: int, all_of_them: str) -> Text | None:
    """The number of rows that are not shown, and where all are; None where all are shown."""
    if number <= 0:
        return None
    return render(said("… and {n} more; {all}", n=Quantity(number), all=all_of_them), "dim")


def first_of(sign: str, items: Sequence[Item], number: int, all_of_them: str) -> Group:
    """The first of so many rows, each behind a sign; `all_of_them` says where all are."""
    return section(*(row_line(sign, item) for item in items), and_more(number - len(items), all_of_them))
