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
from enum import Enum, auto
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from billing.errors import NotASelect
from texts.said import Said, said

# ---- the tokens of an SQL statement -------------------------------------------------------------------------------
# Words and marks, without any grammar.


class Sort(Enum):
    """The kind of a token."""

    WORD = auto()
    QUOTED_NAME = auto()
    TEXT = auto()
    NUMBER = auto()
    PARAMETER = auto()
    MARK = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A word or mark and its place; `depth` is the number of parentheses around it, not counting itself.

    `word` is a word in small letters, for comparison with keywords; `name` a name as Firebird keeps it, in capitals,
    or exactly as quoted. Both are "" for other tokens.
    """

    sort: Sort
    text: str
    start: int
    end: int
    depth: int
    word: str
    name: str

    @property
    def parameter(self) -> str:
        return self.text[1:] if self.sort is Sort.PARAMETER else ""


TOKEN: Final = re.compile(
    r"""
      (?P<nothing>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<text>'[^']*')
    | (?P<quoted_name>"(?:[^"]|"")*")
    | (?P<unclosed>['"]|/\*)
    | (?P<parameter>:[A-Za-z_]\w*)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.DOTALL | re.VERBOSE,
)
"""One token; the name of its group is its sort."""

_SORTS: Final = {sort.name.lower(): sort for sort in Sort}


def tokens_of(text: str) -> tuple[Token, ...]:
    """The tokens of a statement, without spaces and comments. Raises `NotASelect` for an unclosed quote."""
    found: list[Token] = []
    depth = 0
    for match in TOKEN.finditer(text):
        sort = match.lastgroup or ""
        if sort == "unclosed":
            place = spot(text, match.start())
            raise NotASelect("{place}: {mark} is opened here and never closed", place=place, mark=match[0])
        if sort == "nothing":
            continue
        written = match[0]
        if written == ")":
            depth -= 1
        word = written.lower() if sort == "word" else ""
        name = written.upper() if word else written[1:-1].replace('""', '"') if sort == "quoted_name" else ""
        found.append(Token(_SORTS[sort], written, match.start(), match.end(), depth, word, name))
        if written == "(":
            depth += 1
    return tuple(found)


def spot(text: str, place: int) -> Said:
    """A place in a text for people, counted from 1: "line 2, column 8"."""
    return position(text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place))


def position(line: int, column: int) -> Said:
    return said("line {line}, column {column}", line=line, column=column)


# ---- SQL blocks ---------------------------------------------------------------------------------------------------


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
