"""What the names of the columns must be like, whatever the input."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from engine.errors import InputRefused
from engine.sources import options

REST: Final = "..."
"""At the end of the last name that is given: where values are parted by spaces, it takes the rest of the line."""
_NUMBER: Final = re.compile(r"[-+]?\d[\d ]*([.,]\d+)?")


def by_number(place: int) -> str:
    """The name of a column in a text, by its place from 1."""
    return f"column {place}"


def check_names(
    where: str, header: Sequence[str], called: Callable[[int], str] = by_number, *, line: str = "the first line"
) -> None:
    """Every column has a name, no two the same, and the names are not the first row's numbers.

    `where` is the input and the place of the header in it; `called` says a column's place, counted from 1, and
    `line` what the header stands in. Raises `InputRefused`.
    """
    seen: dict[str, int] = {}
    for place, name in enumerate(header, 1):
        plain = name.strip().casefold()
        if not plain:
            raise InputRefused(f"{where}: {called(place)} of the header has no name; {line} must name every column")
        if plain in seen:
            raise InputRefused(
                f"{where}: {_both(called(seen[plain]), called(place))} of the header have the same name, "
                f"{name.strip()!r}; rename one of them"
            )
        seen[plain] = place
    if all(_NUMBER.fullmatch(name.strip()) for name in header):
        raise InputRefused(
            f"{where}: {line} holds numbers ({', '.join(header)[:60]}) where the names of the columns are expected. "
            f"If the input has no header, name its columns with {options.COLUMNS} {example(len(header))}"
        )


def example(columns: int) -> str:
    """So many names, as they are typed."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ",".join(letters[:columns]) if columns <= len(letters) else "a,b,…"


def bare_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The names that were given, without the mark at the end of the last one."""
    return tuple(name.removesuffix(REST) for name in columns)


def _both(first: str, second: str) -> str:
    """Two places in one phrase: columns 1 and 3, cells A1 and C1."""
    noun, _, one = first.partition(" ")
    return f"{noun}s {one} and {second.rpartition(' ')[2]}"


def check_given(columns: Sequence[str]) -> tuple[str, ...]:
    """The names that were given for an input without a header, without the spaces around them.

    Raises `InputRefused` when one is empty or there twice.
    """
    names = tuple(name.strip() for name in columns)
    plain = [name.casefold() for name in names]
    if "" in plain:
        raise InputRefused(f"{options.COLUMNS} {','.join(columns)}: the name number {plain.index('') + 1} is empty")
    for place, name in enumerate(plain):
        if name in plain[:place]:
            raise InputRefused(f"{options.COLUMNS} {','.join(columns)}: the name {names[place]!r} is there twice")
    return names
