"""What SQLite and PostgreSQL say in other words: the macros of the SQL files.

A macro is a name behind an at sign, with its arguments in brackets: `@sum(amount)`. A piece that several blocks have
in common is a block itself, in which its argument is `{0}`.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal

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
    "latest":    ("max({all})",
                  "greatest({all})"),
    "begins":    ("{0} >= {1} and {0} < {1} || char(0x10ffff)",
                  "starts_with({0}, {1})"),
    "is_id":     ("{0} glob '[0-9]*'",
                  "{0} ~ '^[0-9]'"),
    "is_number": ("{0} not glob '*[^0-9]*'",
                  "{0} ~ '^[0-9]+$'"),
    # `@json(payload, steps[0].name)`: the text or number at a path, null where there is none.
    "json":      ("json_extract({0}, '{path}')",
                  "({0}::json#>>'{path}')"),
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
    "values":    ("json_each({0}) {1}",
                  "words({0}) as {1} (value)"),
    # Of a list PostgreSQL assumes so many elements that it reads all items for the few of a group; of an array few.
    "in":        ("in ({all})",
                  "= any (array({all}))"),
    "numbers":   ("in (select value from json_each({0}))",
                  "= any (array(select numbers({0})))"),
    "words":     ("in (select value from json_each({0}))",
                  "= any (array(select words({0})))"),
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
    steps = re.findall(r"\w+", path)
    return "$" + (path if path[0] == "[" else f".{path}") if dialect == "sqlite" else "{" + ",".join(steps) + "}"
