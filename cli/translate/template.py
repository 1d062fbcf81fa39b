"""Templates of a step's arguments: JSON with a placeholder for each variable."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from billing.api.calls import is_secret
from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.tables import Placeholders
from cli.translate.words import HOLE, ShellText, Variable
from texts.said import said

MONEY: Final = frozenset(
    {"op_summa", "limit", "limit_warning", "sum_in", "summa", "ostatok", "debit", "credit", "balance", "amount"}
)
"""Arguments that are amounts of money, in lower case."""

_READS: Final = frozenset({"objects.get", "objects.filter"})
"""Methods whose arguments are search criteria and not stored values."""

_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s"{}\[\],:]+|.', re.DOTALL)
_ALONE: Final = "\x01"
"""The first character of a JSON string that represents a part with a variable and no quotes."""
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_OF_IDS: Final = re.compile(r"(?:^|_)(?:id|pk|id_abonents)$")
"""Names of arguments that are ids."""
_PLACEHOLDER: Final = re.compile(r"\{[^\W\d][\w ]*\}")


@dataclass(frozen=True, slots=True)
class LineTemplate:
    """The arguments of a step as JSON with placeholders, empty where there are none.

    `varying` are the names of those with a placeholder; the variables `alone` are outside of strings, and the
    placeholders `untyped` among them are no ids.
    `secrets` are the arguments whose values the template leaves out; each has a placeholder of its own name.
    """

    text: str
    varying: frozenset[str] = frozenset()
    alone: tuple[Variable, ...] = ()
    secrets: tuple[str, ...] = ()
    faults: tuple[Finding, ...] = ()
    untyped: tuple[str, ...] = ()


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


_Json: TypeAlias = "_Pairs | list[_Json] | str | _Number | bool | None"


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A JSON object with its names in order."""

    pairs: "tuple[tuple[str, _Json], ...]"


def template(method: str, key: str, arguments: ShellText, place: LinePlace, names: Placeholders) -> LineTemplate:
    """The arguments of a method as a template. Raises `CommandRefused` for anything but a JSON object."""
    if not arguments.pieces:
        return LineTemplate("")
    where = arguments.place(0, place)
    writer = _Writer(arguments, where, names, keeps_money=method not in _READS)
    try:
        read = _parsed(arguments, key, where)
        text = writer.written(read)
    except RecursionError as error:
        raise refused(where, said("{key} is nested too deep", key=key)) from error
    if not isinstance(read, _Pairs):
        raise refused(where, said('{key} is not an object in braces, as {{"id": 5}} is one', key=key))
    return LineTemplate(
        "" if text == "{}" else text,
        frozenset(writer.varying),
        tuple(writer.alone),
        tuple(dict.fromkeys(writer.secrets)),
        tuple(writer.faults),
        tuple(writer.untyped),
    )


def fields_of(fields: ShellText, place: LinePlace) -> tuple[str, ...]:
    """The names in `fields=["ip", "pull"]`. Raises `CommandRefused` for anything but a list of names."""
    if not fields.pieces:
        return ()
    where = fields.place(0, place)
    read = _parsed(fields, "fields", where)
    if not isinstance(read, list):
        raise refused(where, said('fields is not a list of names, as ["ip", "pull"] is one'))
    names: list[str] = []
    for name in read:
        if not isinstance(name, str) or isinstance(name, _Number) or not re.fullmatch(r"\w+", name):
            raise refused(where, said('fields is not a list of names, as ["ip", "pull"] is one'))
        names.append(name)
    return tuple(names)


# ---- reading -----------------------------------------------------------------------------------------------------


def _parsed(text: ShellText, key: str, place: LinePlace) -> _Json:
    seen = text.plain
    if "\\u0000" in seen or "\\u0001" in seen:
        raise refused(place, said("{key} has a character that cannot be seen", key=key))
    marked = "".join(_marked(found[0]) for found in _PIECE.finditer(seen))
    try:
        read: _Json = json.loads(
            marked,
            strict=False,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=_refuse_duplicates,
        )
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            sentence = said(
                "{key} is not JSON when the shell is done with it: {why}", key=key, why=error.msg.casefold()
            )
        else:
            sentence = said("{key} is not JSON when the shell is done with it", key=key)
        raise refused(place, sentence) from error
    except _Twins as error:
        raise refused(place, said("{name} stands twice in {key}", name=named(str(error)), key=key)) from error
    return read


def _marked(piece: str) -> str:
    """A piece of JSON; one with a variable and no quotes becomes a marked string."""
    return f'"{_ALONE}{piece}"' if HOLE in piece and not piece.startswith('"') else piece


class _Twins(Exception):
    """Raised for a name that occurs twice in an object."""


def _refuse_duplicates(pairs: "list[tuple[str, _Json]]") -> _Pairs:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Twins(name)
        seen.add(name)
    return _Pairs(tuple(pairs))


def _no_constant(name: str) -> object:
    raise ValueError(name)


# ---- writing -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Writes JSON with placeholders; its variables come in the order of the line."""

    source: ShellText
    place: LinePlace
    names: Placeholders
    keeps_money: bool
    varying: set[str] = field(default_factory=set)
    alone: list[Variable] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    untyped: list[str] = field(default_factory=list)
    variables: Iterator[Variable] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = iter(self.source.variables)

    def written(self, value: _Json, key: str = "") -> str:
        """A value as a template; `key` is the name of its argument."""
        match value:
            case _Pairs(pairs):
                return "{" + ", ".join(self._pair(name, one) for name, one in pairs) + "}"
            case list():
                return "[" + ", ".join(self.written(one, key) for one in value) + "]"
            case _Number():
                return self._number(value, key)
            case str() if value.startswith(_ALONE):
                return self._alone(value.removeprefix(_ALONE), key)
            case str():
                return self._string(value, key)
            case _:
                return json.dumps(value)

    def _pair(self, name: str, value: _Json) -> str:
        if HOLE in name or _PLACEHOLDER.search(name):
            raise refused(self.place, said("a variable cannot be the name of an argument"))
        return f"{_literal(name)}: {self.written(value, name)}"

    def _string(self, value: str, key: str) -> str:
        parts = value.split(HOLE)
        if is_secret(key) and any(parts):
            return self._secret(key, alone=len(parts) == 1)
        texts = [_literal(part)[1:-1] for part in parts]
        text = texts[0]
        for following in texts[1:]:
            text += self._placeholder(next(self.variables), key) + following
        return f'"{text}"'

    def _secret(self, key: str, *, alone: bool) -> str:
        """A placeholder for a secret, since the printed command is copied, stored and shown."""
        if not alone:
            raise refused(
                self._of(key),
                said("{key} is put together of a secret and a variable; let a column say the whole", key=named(key)),
            )
        self.secrets.append(key)
        return f'"{{{key}}}"'

    def _number(self, value: str, key: str) -> str:
        if is_secret(key):
            return self._secret(key, alone=True)
        if not self._is_amount(key) and _PLAIN_NUMBER.fullmatch(value) and "." not in value:
            return value
        if not _PLAIN_NUMBER.fullmatch(value):
            raise refused(
                self._of(key),
                said("{key} is {value}, which is not a plain number", key=named(key), value=named(value)),
            )
        self.faults.append(findings.BARE_NUMBER.at(self._of(key), key=named(key)))
        return _quoted(value)

    def _alone(self, value: str, key: str) -> str:
        if self._is_amount(key):
            self.faults.append(findings.BARE_NUMBER.at(self._of(key), key=named(key)))
            return self._string(value, key)
        if value != HOLE:
            raise refused(
                self._of(key),
                said("{key} is put together of a variable and more, without quotes; quote the whole", key=named(key)),
            )
        variable = next(self.variables)
        self.alone.append(variable)
        placeholder = self._placeholder(variable, key)
        if self.names.is_text(variable):
            return f'"{placeholder}"'
        if not _OF_IDS.search(key):
            self.untyped.append(placeholder.strip("{}"))
        return placeholder

    def _placeholder(self, variable: Variable, key: str) -> str:
        self.varying.add(key)
        return f"{{{self.names.name_of(variable)}}}"

    def _is_amount(self, key: str) -> bool:
        return self.keeps_money and key.casefold() in MONEY

    def _of(self, key: str) -> LinePlace:
        """The place of the argument of that name."""
        at = self.source.plain.find(f'"{key}"')
        return self.source.place(at, self.place) if at >= 0 else self.place


def _literal(text: str) -> str:
    """The text as JSON with its braces escaped, so that none is a placeholder."""
    return _quoted(text.replace("{", "{{").replace("}", "}}"))


def _quoted(text: str) -> str:
    """A JSON string with invisible characters as escapes."""
    whole = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in whole)
