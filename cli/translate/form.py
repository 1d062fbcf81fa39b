"""What is posted: `method1=…&arg1={…}&method2=…`, taken apart as it was meant, and its steps in their order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_to_bytes

from cli.translate import faults
from cli.translate.curl import Data
from cli.translate.faults import Fault, Place, named, refused
from cli.translate.shell import HOLE, Atom, Letter, Quote, Text

_KEY: Final = re.compile(
    r"(?P<key>method(?P<method>[1-9]\d{0,2})(?==|[A-Za-z_])|arg(?P<arg>[1-9]\d{0,2})(?==|\{)|fields(?==|\[))(?P<equals>=?)"
)
_FIELD: Final = re.compile(rf"\s*{_KEY.pattern}")
_OTHER: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)=")
_METHOD: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_CODES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_WHOLLY_ENCODED: Final = re.compile(r"\+*%(?:7B|5B)", re.IGNORECASE)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_FROM_LINE: Final = frozenset({Quote.NONE, Quote.SINGLE, Quote.DOUBLE, Quote.ESCAPED})


@dataclass(frozen=True, slots=True)
class Step:
    """A method and its arguments as they stand in the line under `key`; empty where it has none."""

    method: str
    key: str
    arguments: Text
    place: Place


@dataclass(frozen=True, slots=True)
class Form:
    """What a call says: its steps, and the `fields` wanted of the last object, empty where none are named."""

    steps: tuple[Step, ...]
    fields: Text
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `key=value`; `number` is 0 for what has none."""

    key: str
    number: int
    value: Text
    place: Place


def read_form(data: Sequence[Data]) -> Form:
    """The steps of what is posted. Raises `CommandRefused` for what cannot be told apart."""
    found: list[Fault] = []
    notes: list[str] = []
    entries: dict[str, _Entry] = {}
    for one in data:
        for entry in _entries(one, found, notes):
            if entry.key in entries:
                raise refused(entry.place, f"{entry.key} stands in the data twice")
            entries[entry.key] = entry
    fields = entries.pop("fields", None)
    steps = _steps(list(entries.values()), found)
    if not steps:
        raise refused(data[0].place, "the data names no method1, so there is nothing to call")
    return Form(tuple(steps), fields.value if fields else Text(), tuple(found), tuple(notes))


# ---- fields ------------------------------------------------------------------------------------------------------


def _entries(data: Data, found: list[Fault], notes: list[str]) -> Iterator[_Entry]:
    stretches = [data.text] if data.encoded else list(_whole_values(data, found))
    for stretch in stretches:
        key = _KEY.match(stretch.plain)
        place = stretch.place(0, data.place)
        if key is None:
            other = _OTHER.match(stretch.plain)
            if other is None:
                raise refused(
                    place, f"{named(stretch.plain.partition('=')[0])} is no field of a call, as method1=… is one"
                )
            notes.append(
                f"{place}: the field {named(other['key'])} is left out: fields of each call belong into the settings"
            )
            continue
        if not key["equals"]:
            found.append(faults.missing_equals(place, key["key"]))
        value = stretch.cut(key.end())
        value = value if data.encoded else _decoded(value, key["key"], place, found)
        yield _Entry(key["key"], int(key["method"] or key["arg"] or 0), value.stripped(), place)


def _whole_values(data: Data, found: list[Fault]) -> Iterator[Text]:
    """The data taken apart at each `&` that is none of a value."""
    seen = "".join(map(_own, data.text.atoms))
    start = 0
    for at in (found.start() for found in re.finditer("&", seen)):
        if _FIELD.match(seen, at + 1) or not _is_within_string(seen[start:at]):
            yield from _filled(data.text.cut(start, at))
            start = at + 1
        elif at == seen.index("&", start):
            key = seen[start:at].lstrip().partition("=")[0]
            found.append(faults.ampersand(data.text.place(at, data.place), named(key)))
    yield from _filled(data.text.cut(start))


def _filled(stretch: Text) -> Iterator[Text]:
    stripped = stretch.stripped()
    if stripped.atoms:
        yield stripped


def _is_within_string(text: str) -> bool:
    """Whether a JSON string is still open at the end of a text."""
    return '"' in _STRING.sub("", text)


def _decoded(value: Text, key: str, place: Place, found: list[Fault]) -> Text:
    """The value as the billing would read it, but with each `+` and `%` as it was meant."""
    is_whole = _WHOLLY_ENCODED.match(value.plain) is not None
    seen = "".join(_own(atom) for atom in value.atoms)
    atoms: list[Atom] = []
    said: set[str] = set()
    at = 0

    def say(what: str, fault: Fault) -> None:
        if what not in said and not is_whole:
            found.append(fault)
        said.add(what)

    while at < len(seen):
        codes = _CODES.match(seen, at)
        where = value.place(at, place)
        if codes:
            say("codes", faults.encoded_by_hand(where, codes[0][:3], key))
            atoms += [Letter(char, where, Quote.GIVEN) for char in _characters(codes[0], where)]
            at = codes.end()
            continue
        if seen[at] in "+%":
            say(seen[at], faults.plus_or_percent(where, seen[at], key))
        atoms.append(Letter(" ", where, Quote.GIVEN) if seen[at] == "+" and is_whole else value.atoms[at])
        at += 1
    return Text(tuple(atoms))


def _own(atom: Atom) -> str:
    """A letter of the line; a stand-in for what came from elsewhere and means nothing here."""
    return atom.char if isinstance(atom, Letter) and atom.quote in _FROM_LINE else HOLE


def _characters(codes: str, place: Place) -> str:
    try:
        text = unquote_to_bytes(codes).decode()
    except UnicodeDecodeError as error:
        raise refused(place, f"{named(codes)} is no character in UTF-8") from error
    if not all(char.isprintable() or char in "\n\t\xa0" for char in text):
        raise refused(place, f"{named(codes)} is a character that cannot be seen")
    return text


# ---- steps -------------------------------------------------------------------------------------------------------


def _steps(entries: Sequence[_Entry], found: list[Fault]) -> list[Step]:
    """The steps by their numbers, each with its arguments."""
    methods = {entry.number: entry for entry in entries if entry.key.startswith("method")}
    arguments = {entry.number: entry for entry in entries if entry.key.startswith("arg")}
    for number, entry in methods.items():
        if not _METHOD.fullmatch(entry.value.plain):
            raise refused(entry.place, f"method{number} is {named(entry.value.plain) or 'empty'}, which is no method")
    mended = _pair(methods, arguments, found)
    for before, number in pairwise([0, *sorted(methods)]):
        if number != before + 1 and not mended:
            found.append(faults.gap(methods[number].place, number, before))
    steps: list[Step] = []
    for number in sorted(methods):
        method = methods[number]
        given = arguments.get(number, _Entry("", number, Text(), method.place))
        if not given.value.atoms:
            found.append(faults.no_arguments(method.place, number))
        steps.append(Step(method.value.plain, given.key, given.value, method.place))
    return steps


def _pair(methods: dict[int, _Entry], arguments: dict[int, _Entry], found: list[Fault]) -> bool:
    """Give arguments without a method to the one method without arguments; whether the numbers were mended so."""
    alone = [number for number in sorted(arguments) if number not in methods]
    without = [number for number in sorted(methods) if number not in arguments]
    if len(alone) == 1 and len(without) == 1:
        ((argument,), (method,)) = alone, without
        entry = arguments.pop(argument)
        found.append(faults.numbers_apart(entry.place, argument, method, methods[method].value.plain))
        arguments[method] = entry
        return True
    for number in alone:
        entry = arguments.pop(number)
        if entry.value.plain.replace(" ", "") not in ("", "{}"):
            raise refused(entry.place, f"arg{number} has no method{number}; whose arguments they are cannot be told")
        found.append(faults.arguments_alone(entry.place, number))
    return False
