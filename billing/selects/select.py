"""A select of the operator: its check, its columns, and that it has no side effects.

Its parameters are named, `:folder`, and bound, never pasted. Settings of isql before the statement, as in the
vendor's recipes [S], are left out. Any other text that is not one select is refused before the database sees it.

Tried on Firebird 3 and 5. A read-only transaction refuses every change of a row, also within a stored procedure, in
an autonomous transaction and on an external data source. It does not stop a generator, which changes outside of all
transactions, whether the select names it or a view, a computed column, a procedure or a function does; nor what a
procedure executes as text, where nobody sees what it names; nor a library, which can do anything.

So the words of the select are judged (`_check_words`), and what it reaches is looked up in the database's own tables
(`check_reached`). What cannot be shown to change nothing is refused.
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
from texts.said import Said, said, text_of, wording

if TYPE_CHECKING:
    from billing.database.database import Database
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from billing.database.sql_blocks import Token, sql_block
from texts.said import Quantity

if TYPE_CHECKING:
    from billing.database.database import Database
    from billing.database.reader import DatabaseRow

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
    _check_words(first, text)
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


# ---- side effects: all that a read-only transaction does not stop -------------------------------------------------


_sql: Final = partial(sql_block, "side_effects", folder="billing.selects")

_GENERATOR: Final = 14
"""Firebird's number for a generator in `rdb$dependencies`."""
_PACKAGES: Final = frozenset({18, 19})
"""The numbers of a package, its head and its body."""
_LIBRARIES: Final = frozenset({"ib_udf", "fbudf"})
"""Firebird's own libraries, whose functions only calculate."""
_MOST: Final = 5_000
"""Objects that are followed; a select that reaches more is not read through."""


# ---- the words --------------------------------------------------------------------------------------------------


def _check_words(tokens: Sequence[Token], text: str) -> None:
    """Raise `NotASelect`, with line and column, for words that change something in a read-only transaction."""
    for number, token in enumerate(tokens):
        after = tokens[number + 1 :]
        texts, words = [one.text for one in after[:3]], [one.word for one in after[:2]]
        if token.word == "next" and words == ["value", "for"]:
            why = said(
                "'next value for' changes a generator, and a select here must change nothing: gen_id({name}, 0) "
                "reads it",
                name=texts[2] if texts[2:] else "NAME",
            )
        elif token.word == "gen_id" and not _only_looks(after, token.depth):
            why = said(
                "gen_id changes its generator unless its step is 0, and a select here must change nothing: "
                "gen_id({name}, 0) reads it",
                name=texts[1] if texts[1:] else "NAME",
            )
        elif token.word == "with" and words[:1] == ["lock"] and words != ["lock", "as"]:
            why = said("'with lock' locks the rows for others, and a select here must change nothing: leave it out")
        elif token.word == "q" and after and after[0].sort is Sort.TEXT and after[0].start == token.end:
            # Its end is another one than that of a text as all Firebirds know it, so what follows would not be seen.
            why = said("a text is written in single quotes here, a quote in it twice: 'it''s'")
        elif token.name and texts[:1] == ["."] and texts[2:] == ["("]:
            why = said(
                "what {function} changes cannot be seen, since it is of a package: read the tables themselves "
                "instead",
                function=f"{token.text}.{texts[1]}",
            )
        else:
            continue
        raise NotASelect("{place}: {why}", place=spot(text, token.start), why=why)


def _only_looks(after: Sequence[Token], depth: int) -> bool:
    """Whether a call of gen_id with these arguments has the step 0."""
    end = next((place for place, token in enumerate(after) if token.text == ")" and token.depth == depth), 0)
    return [token.text for token in after[max(end - 2, 0) : end]] == [",", "0"]


# ---- what it reaches --------------------------------------------------------------------------------------------


def check_reached(database: "Database", text: str) -> None:
    """Raise `NotASelect` for a select that reaches something that may change the database.

    That is a generator, a library, or a text that is executed. Raises `DatabaseAway`.
    """
    named = frozenset(_objects(tokens_of(text)))
    known, left = set(named), sorted(named)
    through: dict[str, str] = {}
    while left and len(known) < _MOST:
        found = list(_rows(database, "reached", left))
        for owner, part, kind in found:
            if part not in known:
                through.setdefault(part, owner)
            if kind == _GENERATOR:
                raise NotASelect(
                    "{object} may change the generator {generator}, which no read-only transaction stops: read "
                    "the tables themselves instead",
                    object=_way(owner, through),
                    generator=part,
                )
            if kind in _PACKAGES:
                raise NotASelect(
                    "{object} uses the package {package}, and what that changes cannot be seen: read the tables "
                    "themselves instead",
                    object=_way(owner, through),
                    package=part,
                )
        left = sorted({part for _, part, _ in found} - known)
        known |= set(left)
    if left:
        raise NotASelect(
            "the select reaches more than {most} objects, and what that changes cannot be seen: read the tables "
            "themselves instead",
            most=Quantity(_MOST),
        )
    _check_routines(database, sorted(known), through)


def _check_routines(database: "Database", names: Sequence[str], through: Mapping[str, str]) -> None:
    libraries: dict[str, str | None] = dict(_rows(database, "library_functions", names))
    for name, module in libraries.items():
        if module is not None and module.casefold() not in _LIBRARIES:
            raise NotASelect(
                "{object} is a function of the library {library}, and what that changes cannot be seen: read the "
                "tables themselves instead",
                object=_way(name, through),
                library=module,
            )
    stored = [name for name, module in libraries.items() if module is None]
    for name, source in [*_rows(database, "procedures", names), *_rows(database, "stored_functions", stored)]:
        if source is None:
            template = wording(
                "{object} has no text in the database, and what that changes cannot be seen: read the tables "
                "themselves instead"
            )
        elif _executes_text(str(source)):
            template = wording(
                "{object} executes a text as a statement, and what that changes cannot be seen: read the tables "
                "themselves instead"
            )
        else:
            continue
        raise NotASelect(template, object=_way(name, through))


def _rows(database: "Database", name: str, names: Sequence[str]) -> Iterator["DatabaseRow"]:
    from billing.database.database import chunks  # noqa: PLC0415 - it loads Firebird

    for chunk in chunks(names):
        yield from database.query(_sql(name), {"names": chunk})


def _objects(tokens: Sequence[Token]) -> Iterator[str]:
    """The names of tables, views, procedures, functions and domains in a select, and perhaps a few more."""
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        is_source = before is not None and (before.word in {"from", "join"} or before.text in {",", "("})
        # `cast(VALUE as DOMAIN)`: an alias is at the end of no bracket.
        is_domain = before is not None and before.word == "as" and after is not None and after.text == ")"
        if token.name and (is_source or is_domain or (after is not None and after.text == "(")):
            yield token.name


def _executes_text(source: str) -> bool:
    try:
        words = [token.word for token in tokens_of(source)]
    except NotASelect:
        return True
    return "post_event" in words or ("execute", "statement") in pairwise(words)


def _way(name: str, through: Mapping[str, str]) -> str:
    """An object, and the way to it from the select: "GET_NEXT, which V_ABONENTS uses,"."""
    way = [name]
    while way[-1] in through and through[way[-1]] not in way:
        way.append(through[way[-1]])
    return way[0] if len(way) == 1 else said("{object}, which {user} uses,", object=way[0], user=way[-1])
