"""Tables and code in Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a line end or a bar in a cell does not end it."""
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)
        .replace("| --- |", "|---|")
        .replace(" --- |", "---|")
    )


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def code(text: str) -> str:
    """A text as code, whatever backticks it has."""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"
