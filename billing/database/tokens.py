"""The tokens of an SQL statement: words and marks, without any grammar."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from billing.errors import NotASelect
from texts.said import Said, said


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
    """A place in a statement by its line and column, counted from 1."""
    return said("line {line}, column {column}", line=line, column=column)
