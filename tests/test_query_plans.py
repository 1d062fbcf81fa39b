"""Firebird reads a table once for a statement, not once for each row of another.

Each statement of a `.sql` file is prepared, not run, and its plan is read: a table that is read whole inside a
subquery, or as the second of a join, takes minutes where a billing has 100,000 subscribers. Here it has 1,000: the
optimizer gives the same plans at 100,000.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.schema import fitted
from billing.database.sql_blocks import SqlStatement, Values, blocks
from billing.directory.models import MODELS
from billing.errors import DatabaseError
from lab.mock.connection import select as looked_up
from lab.mock.facts import MODELS as MOCK_MODELS

ROOMS = ("lab", "jobs", "billing")
ELSEWHERE = {
    "jobs/access/vault": "SQLite",
    "lab/record/replay": "SQLite",
    "jobs/effects/password_file": "SQLite",
    "jobs/imports/sample": "SQLite",
    "jobs/imports/seen_values": "SQLite",
    "jobs/imports/tables": "SQLite",
    "lab/crash/journals": "SQLite and PostgreSQL",
    "lab/simulation/journal": "SQLite",
    "billing/database/session": "settings of a session",
    "billing/directory/objects": "pieces, put together by the models below",
}
"""Files whose statements are of another database, or no statements by themselves."""
PAGES = frozenset({"first_page", "next_page"})
"""The frames of billing/selects/key_pages.sql, read below around the selects of the jobs."""
_NODE = re.compile(r"\b(?:JOIN|HASH|MERGE|SORT) \(|[(),]|[^(),]+")


def read_for_each_row(plan: str) -> list[str]:
    """The tables that a plan reads whole once for each row of another: in a subquery, or joined after the first."""
    *subqueries, whole = re.split(r"\n(?=PLAN )", plan)
    # A select from RDB$DATABASE has one row.
    repeated = [] if whole == "PLAN (RDB$DATABASE NATURAL)" else [(one, True) for one in subqueries]
    return [name for part, each in [*repeated, (whole, False)] for name in _whole_reads(part, repeated=each)]


def _whole_reads(plan: str, *, repeated: bool) -> Iterator[str]:
    # A level of brackets: whether it is a join, whether its first table has passed, whether it is read for each row.
    levels = [(False, False, repeated)]
    for token in _NODE.findall(plan.removeprefix("PLAN ")):
        join, passed, each = levels[-1]
        if token.endswith("("):
            levels.append((token.startswith("JOIN"), False, each or (join and passed)))
        elif token == ")":
            levels.pop()
        elif token == ",":
            levels[-1] = (join, True, each)
        elif re.search(r" NATURAL$| ORDER \S+$", token) and (each or (join and passed)):
            yield token.strip()


ANY_VALUE: Values = defaultdict(int, {"": 0})
"""A value for any parameter."""


@pytest.fixture(scope="module")
def billing(thousand_subscribers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    copy = tmp_path_factory.mktemp("plans") / "billing.fdb"
    copy.write_bytes(thousand_subscribers.read_bytes())
    with Database(Dsn(str(copy))) as database:
        yield database


def named_blocks() -> Iterator[tuple[str, SqlStatement]]:
    """All statements that Firebird runs, by room, file and name."""
    for file in sorted(each for room in ROOMS for each in Path(room).rglob("*.sql")):
        place = str(file.with_suffix(""))
        if place in ELSEWHERE:
            continue
        for name, statement in blocks(file.stem, ".".join(file.parent.parts)).items():
            if name not in PAGES:
                yield f"{place}:{name}", statement


def composed(database: Database) -> Iterator[tuple[str, SqlStatement]]:
    """The statements that are put together of blocks: objects by their keys, and selects of jobs page by page."""
    for name, model in MODELS.items():
        for end in filter(None, (*model.keys.values(), model.commented)):
            yield f"{name}:{end}", model.selecting(model.there(database.schema), end)
    for name, select in blocks("selects", "jobs.catalogue").items():
        text = fitted(select, database.schema).text
        names = ", ".join(f"c{number}" for number, _ in enumerate(database.describe(text, ANY_VALUE).columns, 1))
        frame = blocks("key_pages", "billing.selects")["next_page"].text
        yield f"{name}:page", SqlStatement(name, frame.replace("{names}", names).replace("{select}", text))


def test_no_statement_reads_a_table_for_each_row_of_another(billing: Database) -> None:
    tables: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for name, statement in [*named_blocks(), *composed(billing)]:
        try:
            fit = fitted(statement, billing.schema)
            plan = billing.describe(SqlStatement(name, fit.text), ANY_VALUE).plan
        except DatabaseError as error:
            refused[name] = str(error)
        else:
            tables[name] = read_for_each_row(plan)
    assert refused.keys() == {"billing/directory/system:EVENTS_STACK"}, refused  # the mock has no such table
    assert {name: repeated for name, repeated in tables.items() if repeated} == {}


def test_a_look_up_of_the_mock_walks_no_index(billing: Database) -> None:
    for model in MOCK_MODELS.values():
        for name in (model.key.name, *(field.name for field in model.fields.values() if field.refers)):
            sql, _ = looked_up(MOCK_MODELS, model, {name: 5})
            plan = billing.describe(sql.replace("?", ":key"), {"key": 5}).plan
            assert "ORDER" not in plan, (model.name, name, plan)


@pytest.mark.parametrize(
    ("plan", "tables"),
    [
        ("PLAN (A NATURAL)", []),
        ("PLAN (B ORDER FK_ACCOUNT)\nPLAN (A ORDER KEY)", ["B ORDER FK_ACCOUNT"]),
        ("PLAN (B INDEX (FK_ACCOUNT))\nPLAN (A ORDER KEY)", []),
        ("PLAN (B ORDER KEY INDEX (FK_ACCOUNT))\nPLAN (A NATURAL)", []),
        ("PLAN (E NATURAL)\nPLAN (S NATURAL)\nPLAN (RDB$DATABASE NATURAL)", []),
        ("PLAN JOIN (A NATURAL, C INDEX (KEY), D NATURAL)", ["D NATURAL"]),
        ("PLAN JOIN (A NATURAL, SORT (B NATURAL))", ["B NATURAL"]),
        ("PLAN JOIN (JOIN (A NATURAL, B INDEX (KEY)), HASH (C NATURAL, D NATURAL))", ["C NATURAL", "D NATURAL"]),
        ("PLAN HASH (A NATURAL, B NATURAL)", []),
        ("PLAN SORT (JOIN (FIRST B ORDER FK_ACCOUNT, A INDEX (KEY)))", []),
        ("PLAN (U NATURAL, C NATURAL)", []),
    ],
)
def test_what_a_plan_reads_for_each_row(plan: str, tables: list[str]) -> None:
    assert read_for_each_row(plan) == tables
