"""The journal's SQL: named blocks of `queries.sql`, run on one connection of a store.

A block begins with a line `-- name: <name>`. Its parameters are named; a list is passed as one JSON text. Rows are
read by the names of their columns. What the two stores say in other words is a macro (`dialects.py`). Blocks that
only PostgreSQL has, or that do more there, stand in `postgres.sql`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from checkpoints.dialects import Dialect, in_dialect, schema, text_of_file
from checkpoints.states import TRANSITIONS, State

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
    def check(self, name: str, judge: "Callable[[int], None]", /, **values: Value) -> None:
        """Run a block, and give `judge` the number of rows that it has found or written.

        It is asked before anything is committed, but perhaps only after the next block: one round trip has both.
        """

    def items(self, name: str, /, **values: Value) -> str:
        """The items of a block, as one JSON text for `rows.to_items`."""
        return str(self.run(f"as_items({name})", values).fetchone()["items"])

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
            case Mapping():
                bound[name] = _encode(dict(value)).decode()
            case _:
                bound[name] = _encode(value if isinstance(value, Sequence) else list(value)).decode()
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
    """The statements of the schema that make these tables, views and functions, for a journal that is converted."""
    return "\n".join(made for thing in things for made in re.findall(rf"create \w+ {thing}\b[^;]*;", schema(dialect)))


def upgrade(found: int, dialect: Dialect = "sqlite", *, is_early: bool = False) -> str:
    """What makes a journal of an earlier format, as those in files are numbered, one of this format.

    One `is_early` has not the last tables of format 5.
    """
    steps = _named("upgrades.sql")
    script = "\n".join(in_dialect(steps[f"from_{number}"], dialect, {}) for number in range(found, FORMAT))
    dropped = ["effects"] if found == FIRST_CONVERTED else []
    if dialect == "postgres":
        dropped += ["seconds", "this_journal", "last_runners"]
    early = steps["from_5_early"] if is_early else ""
    return f"{early}\n{script}\n{made_by(dialect, *dropped, *MAILBOX)}\n"


# ---- the tables of states and transitions, filled whenever a journal is opened ------------------------------------


_PROPERTIES: Final = ("open", "settled", "in_effect", "counts_money", "to_send")


def let_enter_in_any_state(db: Queries) -> None:
    """Let items of any state be written, as those of another journal are, until `fill_states` in this transaction."""
    db.write("forget_transitions")
    db.write("fill_transitions", rows=[("", str(state)) for state in State])


def fill_states(db: Queries) -> None:
    """Bring both tables up to date; nothing is written if they are."""
    states = sorted((str(state), *(int(getattr(state, name)) for name in _PROPERTIES)) for state in State)
    found = sorted((row["state"], *(int(row[name]) for name in _PROPERTIES)) for row in db.all("states"))
    if found != states:
        db.write("forget_states")
        db.write("fill_states", rows=states)
    steps = sorted((step.source or "", str(step.target)) for step in TRANSITIONS)
    if sorted((row["source"], row["target"]) for row in db.all("transitions")) != steps:
        db.write("forget_transitions")
        db.write("fill_transitions", rows=steps)
