"""A TOML text with the places of its keys, which the standard library's parser does not give."""

import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final, TypeAlias, TypeVar

import msgspec
import tomli_w

from engine.errors import nearest
from texts.said import Given, SaidError, ValueRefused, said

Kind = TypeVar("Kind")

_LARGEST: Final = 2**63 - 1
_LONGEST: Final = 200
"""Characters of a name, or of a wrong value, that are shown."""
_BEYOND_PYTHON: Final = re.compile(r"[0-9_]{4300,}")
"""Python parses no integer with more digits; the value may be a secret and is not shown."""


def _check_values(path: str, value: object) -> None:
    match value:
        case int() if abs(value) > _LARGEST:
            raise ValueRefused("{path}: the number has too many digits", path=path)
        case str() if "\0" in value:
            raise ValueRefused("{path}: it holds a NUL, which no text and no name of a file has", path=path)
        case dict():
            for name, inner in value.items():
                _check_values(f"{path}.{name}" if path else str(name), inner)
        case list():
            for inner in value:
                _check_values(path, inner)


Path: TypeAlias = tuple[str | int, ...]
"""The path to a key: `("step", 0, "set", "amount")`; the tables of an array count from 0."""


@dataclass(frozen=True, slots=True)
class TomlPlace:
    """Line and column, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return said("line {line}, column {column}", line=self.line, column=self.column)


_ARRAY: Final = re.compile(r"\s*\[\[")
_TEXT: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*')(?P<key>\s*[=.])?""")


def places(text: str) -> dict[Path, TomlPlace]:
    """The place of each table and key of a valid TOML text, including keys of inline tables.

    No part of a statement of several lines is valid by itself: its lines are collected until they are.
    """
    found: dict[Path, TomlPlace] = {(): TomlPlace(1, 1)}
    tables: Counter[Path] = Counter()
    table: Path = ()
    statement, begun = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        statement, begun = (f"{statement}\n{line}", begun) if statement else (line, number)
        try:
            read = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        ways = list(_ways((), read))
        is_table, whole, statement = statement.lstrip().startswith("["), statement, ""
        if is_table:
            table = ways[-1]
            if _ARRAY.match(whole):
                tables[table] += 1
                table = (*table, tables[table] - 1)
            elif tables[table[:1]]:
                # `[step.set]` belongs to the last `[[step]]`.
                table = (table[0], tables[table[:1]] - 1, *table[1:])
            found[table] = TomlPlace(number, len(whole) - len(whole.lstrip(" \t[")) + 1)
            continue
        bare, end = _TEXT.sub(lambda text: text[0] if text["key"] else " " * len(text[0]), whole), 0
        for way in ways:
            # Keys stand in their order, and a dotted one begins with those around it.
            name = rf"(?<![\w.-])(?:[\w-]+\.)*[\"']?{re.escape(str(way[-1]))}[\"']?\s*"
            if key := re.compile(rf"{name}(?:=|\.)").search(bare, end):
                end = key.end() if key[0].endswith("=") else key.start()
                start = key.start() - bare.rfind("\n", 0, key.start())
                found[*table, *way] = TomlPlace(begun + bare.count("\n", 0, key.start()), start)
    return found


def _ways(way: Path, read: object) -> Iterator[Path]:
    """The ways to all keys in what was read, each before those within it; tables in a list are not told apart."""
    for one in read if isinstance(read, list) else [read]:
        for name, inner in one.items() if isinstance(one, dict) else ():
            yield (*way, name)
            yield from _ways((*way, name), inner)


class KeyRefused(SaidError):
    """Raised for what is wrong at a key of a TOML text; whoever reads the file names the place of its `way`."""

    def __init__(self, sentence: str, way: Path, /, **values: Given) -> None:
        super().__init__(sentence, **values)
        self.way = way


@dataclass(frozen=True)
class Toml:
    """A TOML text, and where each of its keys stands; `digest` is the SHA-256 of the file, "" without one.

    Raises ValueError with the error and its place.
    """

    text: str
    digest: str = ""

    def __post_init__(self) -> None:
        _ = self.content

    @classmethod
    def of(cls, content: bytes) -> "Toml":
        """The text of a file with this content. Raises `UnicodeDecodeError` where that is not UTF-8."""
        return cls(content.decode("utf-8-sig").replace("\r\n", "\n"), sha256(content).hexdigest())

    @cached_property
    def content(self) -> dict[str, object]:
        try:
            content = tomllib.loads(self.text)
        except RecursionError:
            raise ValueError(said("it holds brackets in brackets without end")) from None
        except tomllib.TOMLDecodeError:
            raise
        except ValueError:
            found = _BEYOND_PYTHON.search(self.text)
            line = self.text.count("\n", 0, found.start()) + 1 if found else 1
            raise ValueRefused("a number has too many digits (at line {line})", line=line) from None
        _check_values("", content)
        return content

    @cached_property
    def where(self) -> Mapping[Path, TomlPlace]:
        return places(self.text)

    def place(self, *way: str | int) -> TomlPlace:
        """The place of a key, or of the table that it would stand in."""
        while way not in self.where:
            way = way[:-1]
        return self.where[way]


def as_kind(content: object, kind: type[Kind]) -> Kind:
    """The content of a TOML text as a value of this type. Raises `KeyRefused`, whose words show no value.

    An unknown key is told with the known ones, also in a table that is optional.
    """
    _check_keys((), content, kind)
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        # msgspec says "… - at `$.api.url`".
        what, _, at = str(error).partition(" - at `$.")
        way = tuple(part for part in at.rstrip("`").replace("[...]", "").split(".") if part)
        raise KeyRefused(what, way) from error


def _check_keys(way: Path, there: object, kind: type[object]) -> None:
    if isinstance(there, dict) and issubclass(kind, msgspec.Struct):
        names, defaults = kind.__struct_encode_fields__, kind.__struct_defaults__
        check_known(way, there, names)
        for name, default in zip(reversed(names), reversed(defaults), strict=False):
            if isinstance(default, msgspec.Struct) and name in there:
                _check_keys((*way, name), there[name], type(default))


def check_known(way: Path, there: Iterable[str], known: Collection[str]) -> None:
    """Raise `KeyRefused` for a key of the table at this way that is none of the known ones."""
    for name in there:
        if name not in known:
            raise KeyRefused(
                "there is no key {key!r} here{nearest}; there are: {known}",
                (*way, name),
                key=name[:_LONGEST],
                nearest=nearest(name, known),
                known=tuple(sorted(known)),
            )


def as_written(value: object) -> str:
    """A wrong value in one line, shortened, as TOML has it; of a table its keys."""
    if isinstance(value, dict):
        return f"{{ {tomli_w.dumps(value).strip()} }}".replace("\n", ", ")[:_LONGEST]
    return " ".join(tomli_w.dumps({"key": value}).split())[len("key = ") :][:_LONGEST]
