"""The schema of a billing's database, and statements fitted to it.

Versions of the billing differ in their columns, and Firebird refuses a statement that names a missing one. So the
schema is read when a connection opens, and each statement of ours is fitted to it:

    select o.op_id, [o.descr|null] from finance_operations o [left join abonents a on a.id = o.abonent_id]

Brackets hold an optional part: it becomes the first alternative whose tables and columns all exist, or nothing. All
other names are required, and the error names those that are missing. Statements of ours write each column with the
alias of its table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from billing.database.sql_blocks import Sort, SqlStatement, Token, tokens_of
from billing.errors import ColumnsMissing
from texts.said import Said, counted, said


@dataclass(frozen=True, slots=True, order=True)
class TableColumn:
    """A column of a table, as Firebird spells them; the table itself if `name` is ""."""

    table: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.name}" if self.name else self.table


def _documented(**tables: str) -> Mapping[str, tuple[str, ...]]:
    return {table: tuple(columns.split()) for table, columns in tables.items()}


DOCUMENTED: Final = _documented(
    ABONENTS="ID PARENT_ID IS_FOLDER NAME CONTRACT_NUMBER ACCOUNT_ID TARIF_ID TARIF_NEXT_ID TARIF_NEXT_DATE "
    "OPERATOR_ID SMS EMAIL DELETED NEED_RECALC OWN_DISABLED_START OWN_DISABLED_END",
    ADMIN_ACCOUNTS="ID OSTATOK DEBIT CREDIT limit LIMIT_WARNING",
    FINANCE_OPERATIONS="OP_ID ABONENT_ID OP_TYPE OP_SUMMA OP_DATE DESCR STORNO SYNC1C CODE1C",
    USERS="ID ABONENT_ID LOGIN IP MAC PULL SNATIP SNAT_PULL ENABLED DELETED",
    USERS_USLUGA="ID ABONENT_ID USLUGA_ID MANAGER_ID COMMENT NEXT_DATE ENABLED DELETED",
    USLUGA="ID NAME SUMMA OPERATOR_ID",
    TARIF="ID USERS_LIMIT_WARNING",
    TARIF_USERS_USLUGA="TARIF_ID USLUGA_ID",
    ABONENTS_BLOCK_HISTORY="ID ABONENT_ID TIME_CHANGED TIME_DEL",
    ATTRIBUTE_VALUES="ID ABONENT_ID ATTRIBUTE_ID ATTRIBUTE_VALUE",
    VPN_CONST="CONST_ID CONST_VALUE",
    ACCOUNT_STACK="ACCOUNT_ID",
    EVENTS_STACK_COMPACT="ABONENT_ID",
    EVENTS_STACK="",
)
"""The columns that statements of ours name, by table [S, V, I]; those of the stacks are an inference [?]."""


POSSIBLE: Final = _documented(
    TARIF="NAME DELETED",
    USLUGA="DELETED",
    OPERATORS="ID NAME DELETED",
    DJANGO_USERS_PROFILE="ID NAME USERNAME DELETED",
    IP_PULLS="ID NAME FIRST_IP LAST_IP DELETED",
    ATTRIBUTES="ID NAME DELETED",
)
"""The columns that some billings may have, and no job needs, by table [?]."""

ASKED_FOR: Final = tuple({**DOCUMENTED, **POSSIBLE})
"""The tables of both."""


def documented() -> Iterator[TableColumn]:
    for table, names in DOCUMENTED.items():
        yield TableColumn(table)
        yield from (TableColumn(table, name) for name in names)


@dataclass(frozen=True, slots=True)
class Schema:
    """The documented tables and columns that exist; a table is a `TableColumn` without a name."""

    there: frozenset[TableColumn]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str]]) -> "Schema":
        return cls(frozenset(one for table, name in rows for one in (TableColumn(table), TableColumn(table, name))))

    def has(self, table: str, name: str = "") -> bool:
        return TableColumn(table, name) in self.there

    def missing(self, wanted: Iterable[TableColumn]) -> tuple[TableColumn, ...]:
        """The missing columns in order; for a missing table only the table."""
        absent = {one if self.has(one.table) else TableColumn(one.table) for one in wanted if one not in self.there}
        return tuple(sorted(absent))


def require(schema: Schema, wanted: Iterable[TableColumn]) -> None:
    """Raise `ColumnsMissing`, which names all missing tables and columns, if there are any."""
    needed = frozenset(wanted)
    if not needed <= schema.there:
        missing = schema.missing(needed)
        raise ColumnsMissing(describe_missing(missing), tuple(map(str, missing)))


def describe_missing(missing: Sequence[TableColumn]) -> Said:
    tables = tuple(one.table for one in missing if not one.name)
    parts = [counted("the billing's database has no table[s] {tables}", len(tables), tables=tables)]
    for table, columns in groupby((one for one in missing if one.name), lambda one: one.table):
        names = tuple(one.name for one in columns)
        parts.append(
            counted("the billing's {table} has no column[s] {columns}", len(names), table=table, columns=names)
        )
    told = parts if tables else parts[1:]
    return reduce(lambda first, other: said("{first}, and {other}", first=first, other=other), told)


# ---- statements that are fitted ---------------------------------------------------------------------------------


def fitted(statement: SqlStatement, schema: Schema) -> SqlStatement:
    """The statement without missing optional parts. Raises `ColumnsMissing` for a missing required name."""
    parts = parts_of(statement.text)
    require(schema, parts.required)
    chosen = (next((text for text, needed in part if needed <= schema.there), "") for part in parts.parts)
    return SqlStatement(statement.name, "".join(chosen))


@cache
def columns_of(expression: str, statement: str) -> frozenset[TableColumn]:
    """The tables and columns that an expression names, with the aliases of the text of a statement."""
    tokens = tokens_of(expression)
    return names_in(tokens, parts_of(statement).aliases, _tables(tokens))


def whole(statement: SqlStatement) -> SqlStatement:
    return SqlStatement(statement.name, "".join(part[0][0] for part in parts_of(statement.text).parts))


class Parts(NamedTuple):
    """A statement cut at its brackets.

    Each part has its alternatives, and each of these its text and the names that it needs; what stands outside of
    brackets has one, without conditions: its names are `required`. `aliases` holds the table of each alias.
    """

    parts: Sequence[Sequence[tuple[str, frozenset[TableColumn]]]]
    required: frozenset[TableColumn]
    aliases: Mapping[str, str]


@cache
def parts_of(text: str) -> Parts:
    tokens = tokens_of(text)
    tables = _tables(tokens)
    aliases = dict(tables.values())
    parts: list[list[tuple[str, frozenset[TableColumn]]]] = []
    outside: list[Token] = []
    cuts: list[Token] = []
    done = 0
    for token in tokens:
        if not cuts:
            # An opening bracket stays as a mark, so that no name is read across the gap.
            outside.append(token)
        if token.text == "[":
            parts.append([(text[done : token.start], frozenset())])
            cuts = [token]
        # Two bars in a row join texts; they do not separate alternatives.
        elif token.text == "|" and "||" not in text[token.start - 1 : token.end + 1]:
            cuts.append(token)
        elif token.text == "]":
            between = [(one.end, other.start) for one, other in pairwise([*cuts, token])]
            inside = [[one for one in tokens if start <= one.start < end] for start, end in between]
            needed = [names_in(each, aliases, tables) for each in inside]
            parts.append([(text[start:end], each) for (start, end), each in zip(between, needed, strict=True)])
            cuts, done = [], token.end
    parts.append([(text[done:], frozenset())])
    return Parts(parts, names_in(outside, aliases, tables), aliases)


def names_in(
    tokens: Sequence[Token], aliases: Mapping[str, str], tables: Mapping[int, tuple[str, str]]
) -> frozenset[TableColumn]:
    """The tables and columns that tokens name; `tables` has the alias and the table of each token that names one."""
    found: set[TableColumn] = set()
    for token in tokens:
        if token.start in tables:
            found.add(TableColumn(tables[token.start][1]))
    for owner, dot, column in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.text == "." and owner.name in aliases and column.name:
            found |= {TableColumn(aliases[owner.name]), TableColumn(aliases[owner.name], column.name)}
    return frozenset(found)


_AFTER_A_TABLE: Final = frozenset({"on", "where", "left", "join", "inner", "order", "group", "union", "having"})


def _tables(tokens: Sequence[Token]) -> dict[int, tuple[str, str]]:
    tables: dict[int, tuple[str, str]] = {}
    for place, table in enumerate(tokens[1:], 1):
        keyword = tokens[place - 1].word
        # `is distinct from` compares.
        names_a_table = keyword == "join" or (keyword == "from" and tokens[place - 2].word != "distinct")
        if not names_a_table or table.name not in ASKED_FOR:
            continue
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        named = after is not None and after.sort is Sort.WORD and after.word not in _AFTER_A_TABLE
        tables[table.start] = (after.name if named and after is not None else table.name), table.name
    return tables
