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
from functools import cache, lru_cache
from importlib.resources import files

from billing.database.tokens import TOKEN

Value = str | int | date | datetime | None
Values = Mapping[str, Value | Sequence[Value]]

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
        texts, names = _cut(self.text)
        marked, bound = [texts[0]], []
        for name, text in zip(names, texts[1:], strict=True):
            value = values[name]
            if isinstance(value, str | int | date | None):
                bound.append(value)
                marked += ("?", text)
            else:
                bound.extend(value)
                marked += (", ".join("?" * len(value)), text)
        return "".join(marked), tuple(bound)


@lru_cache(maxsize=512)
def _cut(sql: str) -> tuple[list[str], list[str]]:
    texts, names, done = [], [], 0
    for token in TOKEN.finditer(sql):
        if parameter := token["parameter"]:
            texts.append(sql[done : token.start()])
            names.append(parameter[1:])
            done = token.end()
    return [*texts, sql[done:]], names


@cache
def blocks(file: str, folder: str) -> Mapping[str, SqlStatement]:
    text = files(folder).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    bodies = (_COMMENT_LINE.sub("", body).strip() for body in parts[1::2])
    return {name: SqlStatement(name, body, ours=True) for name, body in zip(parts[::2], bodies, strict=True)}


@cache
def sql_block(file: str, name: str, folder: str) -> SqlStatement:
    return blocks(file, folder)[name]
