"""Tables, code and written blocks in Markdown."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a line end or a bar in a cell does not end it."""
    first, *others = (f"| {' | '.join(map(cell, line))} |" for line in (head, *rows))
    return "\n".join([first, f"|{'---|' * len(head)}", *others])


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def code(text: str) -> str:
    """A text as code, whatever backticks it has."""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def with_block(page: str, name: str, content: str) -> str:
    """The page with the content of a block. Raises `LookupError` where it has none of that name, or several."""
    before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    parts = re.split(f"{before}.*?{after}", page, flags=re.DOTALL)
    if len(parts) != 2:  # noqa: PLR2004 - what is before it and after it
        raise LookupError(f"{len(parts) - 1} blocks {before}")
    return f"{before}{content}\n{after}".join(parts)
