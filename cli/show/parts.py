"""A screen as one expression: its parts in their order; a part without a value is left out."""

from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from cli.terminal.layout import Facts, render

Part: TypeAlias = RenderableType | None
"""A piece of a screen: a sentence, "" for an empty line, or None for nothing."""


def stack(*parts: Part) -> Group:
    return Group(*(render(one) if isinstance(one, str) else one for one in parts if one is not None))


def section(*parts: Part) -> Group:
    """The same below an empty line; nothing without any part."""
    there = stack(*parts)
    return stack("", there) if there.renderables else there


def facts(*pairs: tuple[str, str | Text | None], indent: int = 0) -> Facts:
    """Labels and values below each other; a pair without a value is left out."""
    table = Facts(indent)
    for label, value in pairs:
        if value:
            table.add(label, value)
    return table
