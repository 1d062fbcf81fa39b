"""A select of the operator: its check, and its columns.

Its parameters are named, `:folder`, and bound, never pasted. Settings of isql before the statement, as in the
vendor's recipes [S], are left out. Any other text that is not one select is refused before the database sees it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

from billing.database.columns import ColumnType, SelectColumn, SelectColumns
from billing.database.sql_blocks import Sort, SqlStatement, Values, position, spot, tokens_of
from billing.errors import NamesNeeded, NotASelect, StatementRefused
from billing.selects.side_effects import check_reached, check_words
from texts.said import Said, said, text_of, wording

if TYPE_CHECKING:
    from billing.database.database import Database

EXAMPLE: Final = "select id from abonents where parent_id = :folder"

_ISQL_SETTINGS: Final = frozenset({
    "auto", "autoddl", "bail", "blob", "blobdisplay", "count", "echo", "head", "heading", "list", "names", "plan",
    "stat", "stats", "time", "warning", "warnings", "width", "wng",
})  # fmt: skip
_FIREBIRDS_PLACE: Final = re.compile(r"(?i)(?:\s*-\s*|\bat )line (\d+), column (\d+)")
# Lines before Firebird's own sentence; the last pattern is fdb's line with the name of its function.
_NO_SENTENCE: Final = re.compile(r"(?i)dynamic sql error|sql error code = .*|.*:")
_TOO_LONG: Final = re.compile(r"Value of parameter \((\d+)\) is too long, expected (\d+), found (\d+)")


@dataclass(frozen=True, slots=True)
class Select:
    """One select. `notes` name the parts left out of the operator's text, each a sentence.

    `text` keeps its place in the operator's text, so lines and columns in errors are right.
    """

    text: str
    parameters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def statement(self) -> SqlStatement:
        """The select with a mark for each parameter, padded to its width, so that Firebird's places are right."""
        parts: list[str] = []
        done = 0
        for token in tokens_of(self.text):
            if token.sort is Sort.PARAMETER:
                parts += [self.text[done : token.end], " " * (len(token.text) - len("?"))]
                done = token.end
        return SqlStatement("of the operator", "".join([*parts, self.text[done:]]))

    @property
    def on_one_line(self) -> str:
        return " ".join(self.text.split())


def select_of(text: str) -> Select:
    """The select in a text. Raises `NotASelect`, naming line and column."""
    pieces = [list(piece) for ends, piece in groupby(tokens_of(text), lambda token: token.text == ";") if not ends]
    notes: list[str] = []
    while pieces and pieces[0][0].word == "set":
        setting = pieces.pop(0)
        whole = repr(text[setting[0].start : setting[-1].end])
        if len(setting) == 1 or setting[1].word not in _ISQL_SETTINGS:
            raise NotASelect(
                "{place}: {statement} is not a select, and not a setting of isql that can be left out",
                place=spot(text, setting[0].start),
                statement=whole,
            )
        notes.append(said("{setting} is a setting of isql, which is not needed here: it was left out", setting=whole))
    if not pieces:
        raise NotASelect("there is no select: nothing is there to be read. An example: {example}", example=EXAMPLE)
    first, *others = pieces
    start, end = first[0].start, first[-1].end
    if first[0].word not in {"select", "with"}:
        raise NotASelect(
            "{place}: {word} does not begin a select, and only a select is taken. An example: {example}",
            place=spot(text, start),
            word=repr(first[0].text),
            example=EXAMPLE,
        )
    if others:
        raise NotASelect(
            "{place}: a second statement begins here, {word}; only one select is taken",
            place=spot(text, others[0][0].start),
            word=repr(others[0][0].text),
        )
    if nameless := next((token for token in first if token.text == "?"), None):
        raise NotASelect(
            "{place}: a parameter needs a name, as :folder, and a value of this name",
            place=spot(text, nameless.start),
        )
    check_words(first, text)
    return Select(
        text=re.sub(r"[^\n]", " ", text[:start]) + text[start:end],
        parameters=tuple(dict.fromkeys(token.parameter for token in first if token.parameter)),
        notes=tuple(notes),
    )


def columns(
    database: "Database", select: Select, values: Values | None = None, names: Sequence[str] = ()
) -> tuple[SelectColumn, ...]:
    """The columns of the select, with names in small letters, without fetching a row.

    `names` replace the select's own names, in their order. Raises `StatementRefused` with Firebird's sentence and its
    line and column, for columns with equal names or without a text form, and when the number of `names` is wrong.
    """
    found = prepared(database, select, values).columns
    if names and len(found) != len(names):
        raise StatementRefused(
            "the select gives {columns} columns, and {names} names were given for them",
            columns=len(found),
            names=len(names),
        )
    written = {token.name for token in tokens_of(select.text)}
    for number, column in enumerate(() if names else found, 1):
        if not column.named:
            nameless = wording("column {number} has no name. Name it with as, as in: … as amount")
            if column.name:
                nameless = wording(
                    "column {number} has no name, Firebird only calls it {name}. Name it with as, as in: … as amount"
                )
            raise NamesNeeded(said(nameless, number=number, name=column.name), len(found))
        if column.name != column.field and column.name not in written:
            raise StatementRefused(
                "the name of column {number} is too long, Firebird tells only {name} of it: choose a shorter one",
                number=number,
                name=repr(column.name),
            )
    given = [name.strip() for name in names] or [column.name.lower() for column in found]
    named = tuple(replace(column, name=name) for column, name in zip(found, given, strict=True))
    seen: dict[str, int] = {}
    for number, column in enumerate(named, 1):
        if not column.name:
            raise StatementRefused("the name given for column {number} is empty", number=number)
        first = seen.setdefault(column.name.casefold(), number)
        if first != number:
            raise NamesNeeded(
                said(
                    "columns {first} and {second} have the same name, {name}. Give one another with as, as in: … as "
                    "other_{name}",
                    first=first,
                    second=number,
                    name=column.name,
                ),
                len(named),
            )
        if column.kind is ColumnType.BINARY:
            raise StatementRefused(
                "column {number}, {name}, holds bytes and no text: leave it out", number=number, name=column.name
            )
        if column.kind is ColumnType.UNKNOWN:
            raise StatementRefused(
                "column {number}, {name}, is of a type that is not known here: cast it, as in: cast(… as "
                "varchar(100)) as {name}",
                number=number,
                name=column.name,
            )
    return named


def prepared(database: "Database", select: Select, values: Values | None = None) -> SelectColumns:
    """The columns and the plan of an operator's select, once it is known that it changes nothing.

    Raises `StatementRefused`, and its subclass `NotASelect` for a select that may change something.
    """
    found = describe(database, select.statement, values)
    if not found.reads:
        raise NotASelect("this is not a select: {statement}", statement=select.on_one_line)
    check_reached(database, select.text)
    return found


def describe(database: "Database", statement: SqlStatement, values: Values | None) -> SelectColumns:
    """The columns of a select or of a statement around it. Raises `StatementRefused` with a plain sentence."""
    try:
        statement.text.encode(database.dsn.encoding)
    except UnicodeEncodeError as error:
        raise StatementRefused(
            "{place}: the database's charset {charset} has no letter {letter}",
            place=spot(statement.text, error.start),
            charset=database.dsn.charset,
            letter=repr(statement.text[error.start]),
        ) from None
    with told_plainly(database, statement):
        return database.describe(statement, values)


@contextmanager
def told_plainly(database: "Database", statement: SqlStatement) -> Iterator[None]:
    """Turn Firebird's refusals into sentences with the line and column, or with the parameter."""
    try:
        yield
    except StatementRefused as error:
        raise StatementRefused(_plainly(text_of(error), statement.text, database.dsn.encoding)) from error


def _plainly(told: str, text: str, encoding: str) -> str:
    if isinstance(told, Said):
        return told
    if found := _TOO_LONG.search(told):
        number, room, length = map(int, found.groups())
        name = [token.parameter for token in tokens_of(text) if token.parameter][number]
        return said(
            "the value of :{name} is too long: it has {length} bytes, and what it is compared with at most {room}",
            name=name,
            length=length,
            room=room,
        )
    parts = [_FIREBIRDS_PLACE.sub("", part).strip() for part in told.split("; ")]
    firebirds = ": ".join(part for part in parts if part and not _NO_SENTENCE.fullmatch(part))
    if "Data type unknown" in firebirds:
        firebirds = said("{error}, of a parameter: say what it is, as in: cast(:folder as integer)", error=firebirds)
    place = _FIREBIRDS_PLACE.search(told)
    if place is None:
        return firebirds
    # Firebird counts bytes, and people letters.
    line, column = int(place[1]), int(place[2])
    lines = text.split("\n")
    if whole := lines[line - 1] if line <= len(lines) else "":
        before = whole.encode(encoding, errors="replace")[: column - 1].decode(encoding, errors="ignore")
        column = len(before) + 1
    return said("{place}: {error}", place=position(line, column), error=firebirds)
