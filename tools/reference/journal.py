"""The tables of `journal.md`, from `checkpoints/schema.sql` and the states of an item."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from checkpoints.sqlite_connection import schema
from checkpoints.sqlite_store import FORMAT
from checkpoints.states import State
from tools.reference.markdown import code, table

_TABLE: Final = re.compile(r"((?:^--.*\n)*)^create table (\w+) \(\n((?:^ .*\n)+)", re.MULTILINE)
_VIEW: Final = re.compile(r"((?:^--.*\n)+)^create view (\w+) as", re.MULTILINE)
_COLUMN: Final = re.compile(r"^ {4}(\w+) +(integer|real|text)\b([^,\n]*?),? *(?:-- (.*))?$", re.MULTILINE)

STATE_COLUMNS: Final = ("open", "settled", "in_effect", "counts_money", "to_send")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, with what the schema remarks of it."""

    name: str
    type: str
    remark: str


@dataclass(frozen=True, slots=True)
class JournalTable:
    """A table of the journal or a view, which has no columns of its own."""

    name: str
    remark: str
    columns: Sequence[Column] = ()


def tables() -> Iterator[JournalTable]:
    """The tables and views, in the order of the schema."""
    for remark, name, body in _TABLE.findall(schema()):
        columns = [_column(*found) for found in _COLUMN.findall(body)]
        yield JournalTable(name, _words(remark), columns)
    for remark, name in _VIEW.findall(schema()):
        yield JournalTable(name, _words(remark))


def format_line() -> str:
    """The format of the file."""
    return f"The present format is {FORMAT} (`pragma user_version`)."


def table_sections() -> str:
    """A section for each table and view."""
    lines: list[str] = []
    for one in tables():
        lines += [f"## {one.name}", ""]
        if one.remark:
            lines += [one.remark, ""]
        if one.columns:
            rows = [(code(column.name), column.type, column.remark or "–") for column in one.columns]
            lines += [table(["column", "type", "what it holds"], rows), ""]
    return "\n".join(lines).rstrip()


def state_table() -> str:
    """The states with their properties."""
    rows = [(code(state), *("yes" if getattr(state, name) else "–" for name in STATE_COLUMNS)) for state in State]
    return table(["state", *(name.replace("_", " ") for name in STATE_COLUMNS)], rows)


def _column(name: str, kind: str, rest: str, remark: str) -> Column:
    nullable = "" if "not null" in rest or "primary key" in rest else ", or null"
    points = re.search(r"references (\w+)", rest)
    told = f"of {code(points[1])}" if points else ""
    return Column(name, f"{kind}{nullable}", "; ".join(filter(None, [told, remark])))


def _words(remark: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in remark.splitlines() if not line.startswith("-- ----"))
