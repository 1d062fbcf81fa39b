"""Key pages: whether a select can be read page by page along a key, at the cost of each page's own rows.

This needs a simple proof: the first column is an integer key of the first table, no join can repeat a row, there is
no grouping, limit or other order, and by Firebird's plan a page walks along an index without a sort. Any other select
is read at once (`billing.selects.select_reader`), which is always correct.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from billing.database.columns import SelectColumn
from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement, Values, sql_block
from billing.database.tokens import Token, tokens_of
from billing.errors import StatementRefused
from billing.selects.select import Select, describe

_sql: Final = partial(sql_block, "key_pages", folder="billing.selects")

SIZE: Final = "page_size"
AFTER: Final = "page_after"

_JOINS: Final = frozenset({"join", "inner", "left"})
_NO_ALIASES: Final = _JOINS | {"cross", "full", "natural", "on", "order", "right", "where"}
# Words that, at the select's own level, group, combine or limit rows.
_MORE: Final = frozenset({"fetch", "group", "having", "offset", "over", "plan", "rows", "union"})
# With one of these words a condition may hold although one of its parts between `and` does not.
_UNSURE: Final = frozenset({"or", "case"})


@dataclass(frozen=True, slots=True)
class Walk:
    """The statements of the first page and of every next page, with `:page_size` and `:page_after`.

    `along_index` tells whether Firebird reads a page along the key's index; otherwise it sorts all rows for each
    page.
    """

    first: SqlStatement
    next: SqlStatement
    along_index: bool


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    alias: str
    condition: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shape:
    """The select's parts at its own level; `end` is the start of its order, or its end."""

    selected: tuple[Token, ...]
    tables: tuple[_Table, ...]
    order: tuple[Token, ...]
    end: int


def walk_of(
    database: Database, select: Select, columns: Sequence[SelectColumn], values: Values | None = None
) -> Walk | None:
    """The walk along the key of a select, None without one. Raises `DatabaseAway`."""
    text = select.statement.text
    shape = _shape([token for token in tokens_of(text) if not token.depth])
    key = columns[0]
    if shape is None or {SIZE, AFTER} & set(select.parameters):
        return None
    if not (_is_key(key, shape) and _is_its_order(key, shape) and _each_row_once(database, key, shape.tables)):
        return None
    names = ", ".join(f"c{number}" for number, _ in enumerate(columns, 1))
    first, following = (_around(text[: shape.end], names, page) for page in ("first_page", "next_page"))
    try:
        plan = describe(database, following, {**(values or {}), SIZE: 1, AFTER: 0}).plan
    except StatementRefused:
        # Not every select is allowed within another: `for update`, `with lock`, or syntax of newer Firebirds.
        return None
    along_index = bool(re.search(r"\bORDER\b", plan)) and not re.search(r"\bSORT\b", plan)
    return Walk(first, following, along_index)


def _around(select: str, names: str, page: str) -> SqlStatement:
    text = _sql(page).text
    return SqlStatement("of the operator, paged", text.replace("{names}", names).replace("{select}", select))


# ---- the proof --------------------------------------------------------------------------------------------------


def _is_key(key: SelectColumn, shape: _Shape) -> bool:
    """Whether the first column is written as a column of the first table, and is never null."""
    table = shape.tables[0]
    written = [token.name or token.text for token in shape.selected]
    item = written[: written.index(",")] if "," in written else written
    first_two = item[:2]
    is_of_table = first_two == [table.alias, "."] if "." in first_two else item[:1] in ([key.field], ["*"])
    return is_of_table and not key.nullable


def _is_its_order(key: SelectColumn, shape: _Shape) -> bool:
    """Whether the select has no order, or the ascending order of its key."""
    order = [token.name or token.text for token in shape.order]
    if order[-1:] == ["ASC"]:
        order.pop()
    return order in ([], ["1"], [key.field], [shape.tables[0].alias, ".", key.field])


def _each_row_once(database: Database, key: SelectColumn, tables: Sequence[_Table]) -> bool:
    """Whether a key occurs in at most one row: it is unique, and all joins are by unique columns."""
    if key.field not in _unique(database, tables[0].name):
        return False
    return all(_joined_once(table, _unique(database, table.name)) for table in tables[1:])


def _joined_once(table: _Table, unique: frozenset[str]) -> bool:
    if _UNSURE & {token.word for token in table.condition}:
        return False
    return any(
        one == table.alias != other and field in unique
        for part in _parts(table.condition)
        for one, field, other in _equal(part)
    )


def _parts(condition: Sequence[Token]) -> Iterator[list[str]]:
    """The parts of a condition between `and`, as written."""
    part: list[str] = []
    for token in condition:
        if token.word == "and":
            yield part
            part = []
        else:
            part.append(token.name or token.text)
    yield part


def _equal(part: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Alias, column and the alias of the other side, for both sides of a part `x.a = y.b`."""
    match part:
        case [one, ".", first, "=", other, ".", second]:
            yield one, first, other
            yield other, second, one


def _unique(database: Database, table: str) -> frozenset[str]:
    return frozenset(name for (name,) in database.query(_sql("unique_integers"), {"table": table}))


# ---- the parts of the select ------------------------------------------------------------------------------------


def _shape(level: Sequence[Token]) -> _Shape | None:
    """The parts of `select … from a [join b on …]… [where …] [order by …]`, None for any other form."""
    words = [token.word for token in level]
    if words[0] != "select" or "from" not in words or _MORE & set(words):
        return None
    begin = words.index("from")
    rest = list(level[begin + 1 :])
    tables = _tables(rest)
    ends = rest[0].word if rest else "order"
    if not tables or ends not in {"where", "order"}:
        return None
    ordered = next((place for place, token in enumerate(rest) if token.word == "order"), len(rest))
    order = tuple(rest[ordered + 2 :])
    end = rest[ordered].start if order else level[-1].end
    return _Shape(tuple(level[1:begin]), tables, order, end)


def _tables(rest: list[Token]) -> tuple[_Table, ...]:
    """The tables, removed from the front of `rest`; any other syntax stays there."""
    tables: list[_Table] = []
    if first := _table(rest):
        tables.append(first)
    while rest and rest[0].word in _JOINS:
        del rest[: [token.word for token in rest].index("join") + 1]
        if (joined := _table(rest)) is None:
            break
        # The condition after `on`, up to the next part; one after `using` is cut the same way and proves nothing.
        end = next((place for place, token in enumerate(rest) if place and token.word in _NO_ALIASES), len(rest))
        tables.append(replace(joined, condition=tuple(rest[1:end])))
        del rest[:end]
    return tuple(tables)


def _table(rest: list[Token]) -> _Table | None:
    """A table and its alias, removed from the front of `rest`."""
    if not rest or not rest[0].name:
        return None
    name = rest.pop(0).name
    if rest and rest[0].word == "as":
        rest.pop(0)
    if rest and rest[0].name and rest[0].word not in _NO_ALIASES:
        return _Table(name, rest.pop(0).name)
    return _Table(name, name)
