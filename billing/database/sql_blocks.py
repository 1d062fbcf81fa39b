"""SQL blocks: named statements in .sql files beside the code that uses them, read once.

A block begins with a line `-- name: <name>`, and the comment below it describes its rows. Parameters are named,
`:folder`; Firebird knows only `?`, so they are replaced first. A parameter with a sequence becomes one mark for each
value: `in (:ids)` → `in (?, ?, ?)`. A part in brackets is left out if the billing lacks its columns, see
`billing.database.schema`.

The dialect is that of Firebird 2.1, which the real billing uses: `first n skip m`, no window functions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files

Value = str | int | date | datetime | None
Values = Mapping[str, Value | Sequence[Value]]

# Quoted text and comments are matched first, so a colon in them begins no parameter.
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|:(?P<parameter>[A-Za-z_]\w*)", re.DOTALL)
_COMMENT_LINE = re.compile(r"^--.*\n", re.MULTILINE)
_BLOCK = re.compile(r"^-- name: *(?P<name>\w+) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """A statement with named parameters.

    If it is `ours`, it is fitted to the tables and columns of the billing before it runs, see
    `billing.database.schema`; an operator's statement runs unchanged.
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
    """The blocks of `<file>.sql` by name; `folder` is a package, written with dots."""
    text = files(folder).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    bodies = (_COMMENT_LINE.sub("", body).strip() for body in parts[1::2])
    return {name: SqlStatement(name, body, ours=True) for name, body in zip(parts[::2], bodies, strict=True)}


@cache
def sql_block(file: str, name: str, folder: str) -> SqlStatement:
    """The block `name` of `<file>.sql` in the folder."""
    return blocks(file, folder)[name]
