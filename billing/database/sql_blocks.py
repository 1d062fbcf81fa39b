"""SQL in named blocks, in .sql files beside the code that uses them, read once.

A block begins with a line `-- name: <name>`, and the lines of comment below it tell what it gives. Parameters are
named, `:folder`; Firebird knows only `?`, so they are replaced before it sees them. A parameter that is given a
sequence becomes as many marks as it has values: `in (:ids)` → `in (?, ?, ?)`. What stands in brackets is left out
where the billing has no such column, see `billing.database.schema`.

The dialect is Firebird 2.1's, for the real billing is that old: `first n skip m`, no window functions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files

Value = str | int | date | datetime | None
Values = Mapping[str, Value | Sequence[Value]]

# Quoted text and comments pass untouched, and so a colon in them is none of ours.
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|:(?P<parameter>[A-Za-z_]\w*)", re.DOTALL)
_COMMENT_LINE = re.compile(r"^--.*\n", re.MULTILINE)
_BLOCK = re.compile(r"^-- name: *(?P<name>\w+) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """A statement with named parameters.

    One that is `ours` is fitted to the tables and columns of the billing before it is run, see
    `billing.database.schema`; what somebody has typed is run as it is.
    """

    name: str
    text: str
    ours: bool = False

    def bind(self, values: Values) -> tuple[str, tuple[Value, ...]]:
        """The text with `?` and the values in their order; raises KeyError for a parameter without a value."""
        bound: list[Value] = []

        def mark(token: re.Match[str]) -> str:
            parameter = token["parameter"]
            if parameter is None:
                return token[0]
            value = values[parameter]
            if isinstance(value, Sequence) and not isinstance(value, str):
                bound.extend(value)
                return ", ".join("?" * len(value))
            bound.append(value)
            return "?"

        return _TOKEN.sub(mark, self.text), tuple(bound)


@cache
def blocks(file: str, folder: str) -> Mapping[str, SqlStatement]:
    """The blocks of `<file>.sql` by their names; the folder is written as a package is, with dots."""
    text = files(folder).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    bodies = (_COMMENT_LINE.sub("", body).strip() for body in parts[1::2])
    return {name: SqlStatement(name, body, ours=True) for name, body in zip(parts[::2], bodies, strict=True)}


def sql_block(file: str, name: str, folder: str) -> SqlStatement:
    """The block `name` of `<file>.sql` in the folder."""
    return blocks(file, folder)[name]
