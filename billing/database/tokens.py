"""The words and marks of a statement: enough of SQL's spelling to tell its parts, none of its grammar."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from billing.errors import NotASelect


class Sort(Enum):
    """What a token is."""

    WORD = auto()
    QUOTED_NAME = auto()
    TEXT = auto()
    NUMBER = auto()
    PARAMETER = auto()
    MARK = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A word or mark and its place; `depth` counts the parentheses around it, its own not among them."""

    sort: Sort
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """A word in small letters, as keywords are compared; "" for all else."""
        return self.text.lower() if self.sort is Sort.WORD else ""

    @property
    def name(self) -> str:
        """A name as Firebird keeps it: in capitals, or exactly as it stands between quotes; "" for all else."""
        if self.sort is Sort.WORD:
            return self.text.upper()
        return self.text[1:-1].replace('""', '"') if self.sort is Sort.QUOTED_NAME else ""

    @property
    def parameter(self) -> str:
        """The name of a parameter without its colon; "" for all else."""
        return self.text[1:] if self.sort is Sort.PARAMETER else ""


# What quotes, comments and parameters are is `billing.database.sql_blocks`' view as well: it is the one that binds.
_TOKEN: Final = re.compile(
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


def tokens_of(text: str) -> tuple[Token, ...]:
    """The tokens of a statement, without its spaces and comments. Raises `NotASelect` for a quote without an end."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        sort = match.lastgroup or ""
        if sort == "unclosed":
            raise NotASelect(f"{spot(text, match.start())}: {match[0]} is opened here and never closed")
        if sort == "nothing":
            continue
        if match[0] == ")":
            depth -= 1
        found.append(Token(Sort[sort.upper()], match[0], match.start(), depth))
        if match[0] == "(":
            depth += 1
    return tuple(found)


def spot(text: str, place: int) -> str:
    """A place in a text as people count: "line 2, column 8"."""
    line = text.count("\n", 0, place) + 1
    return f"line {line}, column {place - text.rfind(chr(10), 0, place)}"
