"""Selects within a loop that find a subscriber by its contract number, or an account by its login: a run does so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from billing.errors import NotASelect
from billing.selects.select import select_of
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import LinePlace, refused
from cli.translate.grammar import ShellCommand, Taking
from cli.translate.scope import Scope
from cli.translate.script import LoopRows, OneLiner, SelectRows, rows_within
from cli.translate.select_table import bind
from cli.translate.sql import read_select
from cli.translate.tables import Lookup
from cli.translate.words import HOLE, Piece, Quote, ShellText, Substitution, Variable, Word
from texts.said import said

_SELECT: Final = re.compile(
    r"\s*select\s+(?:first\s+1\s+)?(?:\w+\.)?id(?:\s+as\s+\w+)?\s+from\s+(?P<table>abonents|users)(?:\s+(?:as\s+)?(?!where\b)\w+)?"
    r"\s+where\s+(?:\w+\.)?(?P<key>contract_number|login)\s*=\s*'(?P<value>[^']*)'"
    r"(?:\s+and\s+(?:\w+\.)?(?:deleted|is_folder)\s*=\s*0)*\s*;?\s*",
    re.IGNORECASE,
)
"""The selects that say no more than what a run does by itself: find the one that is there, by what names it."""
_IDS: Final[Mapping[tuple[str, str], str]] = {
    ("abonents", "contract_number"): "abonent_id",
    ("users", "login"): "user_id",
}
_TRIMS: Final = (
    ["-d", " "],
    ["-d", "[:space:]"],
    ["-d", " \\n"],
    ["-d", "\\n "],
    ["-d", "\\r\\n "],
    ["-d", "[:blank:]"],
)


@dataclass(frozen=True, slots=True)
class Lookups:
    """The variables that a line asks the database for, row by row, and its call with these in place of commands."""

    found: Mapping[str, Lookup]
    call: ShellCommand


def read_lookups(parts: OneLiner, scope: Scope) -> Lookups:
    """What the call of a line asks the database for. Raises `CommandRefused` for what a run does not find."""
    found = {name: _lookup(inner, scope) for name, inner in parts.commands.items()}
    words: list[Word] = []
    for word in parts.call.words:
        pieces: list[Piece] = []
        for piece in word.text.pieces:
            if isinstance(piece, Substitution):
                name = f"{_INLINE}{len(found)}"
                found[name] = _lookup(piece, scope)
                pieces.append(Variable(name, piece.place, Quote.DOUBLE))
            else:
                pieces.append(piece)
        words.append(
            replace(word, text=ShellText(tuple(pieces)), kept=word.kept if word.text.substitutions == [] else None)
        )
    _refuse_two(found)
    return Lookups(found, replace(parts.call, words=tuple(words)))


_INLINE: Final = "found_"
"""Names what a command within the data prints; no placeholder is called so."""


def _refuse_two(found: Mapping[str, Lookup]) -> None:
    first: dict[str, Lookup] = {}
    for lookup in found.values():
        other = first.setdefault(lookup.key, lookup)
        if (other.text, other.variable and other.variable.name) != (
            lookup.text,
            lookup.variable and lookup.variable.name,
        ):
            raise refused(lookup.place, said("a row is found by one {key}, and this is a second one", key=lookup.key))


def _lookup(inner: Substitution, scope: Scope) -> Lookup:
    """The look-up that a command within the line makes."""
    rows = rows_within(inner)
    if not isinstance(rows.origin, SelectRows):
        raise _not_read(inner.place)
    text = scope.resolve(rows.origin.sql.text)
    _check_filters(rows, text, inner.place)
    found = _SELECT.fullmatch(_statement(text, inner.place))
    id_ = _IDS.get((found["table"].casefold(), found["key"].casefold())) if found else None
    if found is None or id_ is None:
        raise _not_read(inner.place)
    key, value = found["key"].casefold(), found["value"]
    if value != HOLE and HOLE in value:
        raise _not_read(inner.place)
    scope.faults.append(findings.LOOKED_UP.at(inner.place, id=id_, key=key))
    return Lookup(id_, key, text.variables[0] if value == HOLE else None, "" if value == HOLE else value, inner.place)


def _statement(text: ShellText, place: LinePlace) -> str:
    """The select without what isql is told before it."""
    try:
        return select_of(text.plain).text
    except NotASelect as error:
        raise refused(place, said("the SQL: {error}", error=error)) from error


def _check_filters(rows: LoopRows, text: ShellText, place: LinePlace) -> None:
    """Refuse filters that leave anything but the one value. Spaces and blank lines around it do not matter."""
    filters = tuple(one for one in rows.filters if not _trims(one))
    select = read_select(text, place, apart=False)
    variables = bind(replace(rows, filters=filters, taking=Taking(("id",))), select, place)
    variables.column("id", place)


def _trims(command: ShellCommand) -> bool:
    """Whether a filter takes away nothing but the white space around a value."""
    arguments = [word.plain for word in command.words[1:]]
    match command.program:
        case "tr":
            return arguments in _TRIMS
        case "xargs" | "head" | "tail":
            return arguments in ([], ["-1"], ["-n1"], ["-n", "1"]) and (command.program != "xargs" or not arguments)
    return False


def _not_read(place: LinePlace) -> CommandRefused:
    return refused(
        place,
        said(
            "a command within a command is read where it finds a subscriber by its contract number or an "
            'account by its login, as $(sqlexec "select id from abonents where '
            "contract_number='$number'\"); put anything else into the rows: into one select, or into a "
            "column of the file"
        ),
    )
