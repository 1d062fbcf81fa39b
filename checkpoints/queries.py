"""The journal's SQL: named blocks of `queries.sql`, run on one connection of a store.

A block begins with a line `-- name: <name>`. Its parameters are named; a list is passed as one JSON text. Rows are
read by the names of their columns. What the two stores say in other words is a macro. Blocks that only
PostgreSQL has, or that do more there, stand in `postgres.sql`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from checkpoints.states import TRANSITIONS, State

# ---- what SQLite and PostgreSQL say in other words ----------------------------------------------------------------
# A macro of the SQL files is a name behind an at sign, with its arguments in brackets: `@sum(amount)`. A piece that
# several blocks have in common is a block itself, in which its argument is `{0}`.


Dialect = Literal["sqlite", "postgres"]

# fmt: off
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # Types of columns, the first that of an id.
    "id":        ("integer primary key", "bigint generated always as identity primary key"),
    "big":       ("integer", "bigint"),
    "real":      ("real", "double precision"),
    "truth":     ("integer", "boolean"),
    "word":      ("text", 'text collate "C"'),
    # The one or the other.
    "sqlite":    ("{all}", ""),
    "postgres":  ("", "{all}"),
    # Amounts are exact decimals as text.
    "sum":       ("coalesce(decimal_sum({all}), '0')",
                  "coalesce(sum(({all})::numeric), 0)::text"),
    "sum_where": ("coalesce(decimal_sum({0}) filter (where {1}), '0')",
                  "coalesce(sum(({0})::numeric) filter (where {1}), 0)::text"),
    "is_id":     ("{0} glob '[0-9]*'",
                  "{0} ~ '^[0-9]'"),
    # `@json(payload, steps[0].name)`: the text or number at a path, null where there is none.
    "json":      ("json_extract({0}, '{path}')",
                  "({0}::json#>>'{path}')"),
    # A moment in whole seconds since 1970.
    "unix":      ("cast(strftime('%s', {all}) as integer)",
                  "floor(extract(epoch from ({all})::timestamptz))::bigint"),
    "quoted":    ("json_quote({all})",
                  "to_json({all})::text"),
    "as_json":   ("json({all})",
                  "({all})::json"),
    "array":     ("json_array({all})",
                  "json_build_array({all})"),
    "all":       ("json_group_array({all})",
                  "coalesce(json_agg({all}), '[]')::text"),
    "object":    ("json_object({all})",
                  "json_build_object({all})"),
    "text":      ("{all}",
                  "({all})::text"),
    # `@rows(:list, alias, column type, …)`: the rows of a list of rows; `@in_order` at the end of a statement.
    "rows":      ("(select {columns} from json_each({0})) {1}",
                  "(select {columns} from elements({0}) as list (value)) {1}"),
    "in_order":  ("(select {columns} from json_each({0})) {1}",
                  "(select {columns}, n from elements({0}) with ordinality as list (value, n)) {1} order by n"),
    # `@copy(table)`: the rows of a table under their own ids, given as objects by column.
    "copy":      ("insert into {0} ({names}) select {fields} from json_each(:rows)",
                  "insert into {0} overriding system value select * from json_populate_recordset(null::{0}, :rows)"),
    # `@page(table, key, …)`: the rows after those with the keys :after_key, …
    "page":      ("select * from {0} where ({keys}) > ({after}) order by {keys} limit :size",) * 2,
    "remove":    ("delete from {0} where run_id = :run_id",) * 2,
    # Of a list PostgreSQL assumes so many elements that it reads all items for the few of a group; of an array few.
    "in":        ("in ({all})",
                  "= any (array({all}))"),
    "numbers":   ("in (select value from json_each({0}))",
                  "= any (array(select value::bigint from words({0}) as one (value)))"),
    "words":     ("in (select value from json_each({0}))",
                  "= any (array(select value from words({0}) as one (value)))"),
    "few":       ("",
                  "and {0} = any (array(select (value->>0)::bigint from elements({1}) as one (value)))"),
    # `@look(table, alias, condition)`: joined by an index for each row before it. But for the offset PostgreSQL would
    # think better of it, by the statistics of a list before any row was sent.
    "look":      ("cross join {0} {1} on {2}",
                  "cross join lateral (select * from {0} {1} where {2} offset 0) {1}"),
}
# fmt: on


_LAST_MACRO: Final = re.compile(r"@(\w+)(\(?)([^@]*)\Z")


def text_of_file(file: str) -> str:
    return files("checkpoints").joinpath(file).read_text(encoding="utf-8")


@cache
def schema(dialect: Dialect = "sqlite") -> str:
    """The tables, triggers and views of a journal."""
    return in_dialect(text_of_file("schema.sql") + text_of_file(f"{dialect}_schema.sql"), dialect, {})


def columns_of(table: str) -> list[str]:
    (body,) = re.findall(rf"^create table {table} \((.*?)^\)", schema(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (\w+) +(?:integer|text|real)\b", body, re.MULTILINE)


def in_dialect(text: str, dialect: Dialect, pieces: Mapping[str, str]) -> str:
    """A text with its macros replaced, the innermost first. Raises `KeyError` for an unknown one."""
    while found := _LAST_MACRO.search(text):
        name, rest = found[1], found[3]
        depth, end, start, given = (1, -1, 0, []) if found[2] else (0, 0, 0, [])
        while depth:
            end += 1
            depth += (rest[end] == "(") - (rest[end] == ")")
            if not depth or (depth == 1 and rest[end] == ","):
                given.append(rest[start:end].strip())
                start = end + 1
        if name in WORDS:
            word = WORDS[name][dialect == "postgres"]
            more = {"all": rest[:end].strip()}
            if "{path}" in word:
                more["path"] = _path(given[1], dialect)
            elif "{columns}" in word:
                more["columns"] = _columns(given[2:], dialect)
            elif "{keys}" in word:
                more["keys"], more["after"] = ", ".join(given[1:]), ", ".join(f":after_{key}" for key in given[1:])
            elif "{names}" in word:
                more["names"] = ", ".join(columns_of(given[0]))
                more["fields"] = ", ".join(f"json_extract(value, '$.{column}')" for column in columns_of(given[0]))
            word = word.format(*given, **more)
        else:
            word = in_dialect(pieces[name].replace("{0}", rest[:end].strip()), dialect, pieces)
        text = text[: found.start()] + word + (rest[end + 1 :] if found[2] else rest)
    return text


def _columns(given: list[str], dialect: Dialect) -> str:
    """The columns of a list of rows, each given as its name and its type."""
    found = []
    for place, column in enumerate(given):
        name, kind = column.split()
        if dialect == "sqlite":
            found.append(f"json_extract(value, '$[{place}]') as {name}")
        else:
            found.append(f"value->>{place} as {name}" if kind == "text" else f"(value->>{place})::{kind} as {name}")
    return ", ".join(found)


def _path(path: str, dialect: Dialect) -> str:
    steps = re.findall(r"[\w-]+", path)
    return "$" + (path if path[0] == "[" else f".{path}") if dialect == "sqlite" else "{" + ",".join(steps) + "}"


# ---- the journal's SQL --------------------------------------------------------------------------------------------


Result = TypeVar("Result")
Value = str | int | None | Collection[object]
"""The value of a parameter; a collection is passed as one JSON text."""

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
FORMAT: Final = 8
"""The format of a journal in a file."""
FIRST_CONVERTED: Final = 5
"""The first format that is converted when it is opened; those before it were never released."""
MAILBOX: Final = ("requests", "live", "samples")
"""The tables by which a running run is reached; in them is nothing that has to be kept."""
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


FoundRow: TypeAlias = Mapping[str, Any]
"""A row of a block, read by the names of its columns."""


class Queries(ABC):
    """Runs blocks on a connection, inside its open transaction. Raises the errors of the store's driver."""

    @abstractmethod
    def run(self, name: str, values: Mapping[str, Value]) -> Any:  # noqa: ANN401 - the driver's cursor
        """The cursor at the result of a block."""

    def each(self, name: str, /, **values: Value) -> Iterator[FoundRow]:
        """The rows of a block, read one by one."""
        return iter(self.run(name, values))

    def write(self, name: str, /, **values: Value) -> int:
        """Run a block that writes; returns the number of rows written."""
        return int(self.run(name, values).rowcount)

    @abstractmethod
    def check(self, name: str, wanted: int, refuse: "Callable[[int], None]", /, **values: Value) -> None:
        """Run a block that is to find or write so many rows; where they are others, let `refuse` raise why.

        That is before anything is committed, but perhaps only at the end of the transaction.
        """

    def later(self, name: str, /, **values: Value) -> Sequence[FoundRow]:
        """Run a block at the latest at the end of the transaction; its rows, which are there from then on."""
        return self.all(name, **values)

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """A read transaction: all reads inside see the same state."""

    @abstractmethod
    def attempt(self, work: "Callable[[Queries], Result]") -> "Result":
        """Run `work` outside of a transaction of its own. Raises `JournalUnreadable` where the driver fails."""

    def exclude_others(self) -> None:
        """Until the transaction ends, let no other process write what depends on rows that both read."""

    def all(self, name: str, /, **values: Value) -> list[FoundRow]:
        return list(self.each(name, **values))

    def first(self, name: str, /, **values: Value) -> FoundRow | None:
        """The first row of a block, None if there is none."""
        row: FoundRow | None = self.run(name, values).fetchone()
        return row

    def one(self, name: str, /, **values: Value) -> FoundRow:
        """The row of a block that always has one. Raises `LookupError` if it has none."""
        row = self.first(name, **values)
        if row is None:
            raise LookupError(f"the block {name} has found no row")
        return row


PAGE: Final = 500
"""Rows that are read and written at a time, where they go from one journal into another."""


def bind(values: Mapping[str, Value]) -> dict[str, str | int | None]:
    bound: dict[str, str | int | None] = {}
    for name, value in values.items():
        match value:
            case str():
                bound[name] = str(value)
            case None | int():
                bound[name] = value
            case list() | tuple() | dict():
                bound[name] = _encode(value).decode()
            case _:
                bound[name] = _encode(dict(value) if isinstance(value, Mapping) else list(value)).decode()
    return bound


class Blocks(dict[str, str]):
    """The blocks of a store by their names, in its words from when they are first asked for.

    A macro is one as well: `copy(items)`. Raises `KeyError` for a name that the store does not have.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.written = _named("queries.sql") | (_named("postgres.sql") if dialect == "postgres" else {})
        super().__init__({name: text for name, text in self.written.items() if "@" not in text})

    def __missing__(self, name: str) -> str:
        text = f"@{name}" if "(" in name else self.written[name]
        self[name] = in_dialect(text, self._dialect, self.written)
        return self[name]


@cache
def blocks(dialect: Dialect = "sqlite") -> Blocks:
    return Blocks(dialect)


def _named(file: str) -> dict[str, str]:
    _, *parts = _NAME.split(text_of_file(file))
    return dict(zip(parts[::2], (body.strip() for body in parts[1::2]), strict=True))


def made_by(dialect: Dialect, *things: str) -> str:
    """The statements of the schema that make these things, for a journal that is converted."""
    return "\n".join(made for thing in things for made in re.findall(rf"create \w+ {thing}\b[^;]*;", schema(dialect)))


def upgrade(found: int, dialect: Dialect = "sqlite") -> str:
    """What makes a journal of an earlier format, as those in files are numbered, one of this format."""
    steps = _named("upgrades.sql")
    script = "\n".join(in_dialect(steps[f"from_{number}"], dialect, {}) for number in range(found, FORMAT))
    dropped = ["effects"] if found == FIRST_CONVERTED else []
    if dialect == "postgres":
        dropped += ["seconds", "this_journal", "last_runners", "items_step"]
    return f"{script}\n{made_by(dialect, *dropped, *MAILBOX)}\n"


# ---- the tables of states and transitions, filled whenever a journal is opened ------------------------------------


_PROPERTIES: Final = ("open", "settled", "in_effect", "counts_money", "to_send")
_FILLED: Final[Mapping[str, Sequence[tuple[object, ...]]]] = {
    "states": sorted((str(state), *(int(getattr(state, name)) for name in _PROPERTIES)) for state in State),
    "transitions": sorted((step.source or "", str(step.target)) for step in TRANSITIONS),
}


def let_enter_in_any_state(db: Queries) -> None:
    """Let items of any state be written, as those of another journal are, until `fill_states` in this transaction."""
    db.write("forget_transitions")
    db.write("fill_transitions", rows=[("", str(state)) for state in State])


def are_filled(db: Queries) -> bool:
    return all(sorted(tuple(dict(row).values()) for row in db.each(table)) == _FILLED[table] for table in _FILLED)


def fill_states(db: Queries) -> None:
    """Bring both tables up to date; nothing is written if they are."""
    if are_filled(db):
        return
    for table, rows in _FILLED.items():
        db.write(f"forget_{table}")
        db.write(f"fill_{table}", rows=rows)
