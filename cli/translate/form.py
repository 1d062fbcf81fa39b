"""The form of a call, as it is posted: its steps, each with its arguments, and the fields of the answer."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_to_bytes

from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.request import Data
from cli.translate.words import HOLE, Piece, Quote, ShellText, Stretch
from texts.said import Said, said

_KEY: Final = re.compile(
    r"(?P<key>method(?P<method>[1-9]\d{0,2})(?==|[A-Za-z_])|arg(?P<arg>[1-9]\d{0,2})(?==|\{)|fields(?==|\[))(?P<equals>=?)"
)
_FIELD: Final = re.compile(rf"\s*{_KEY.pattern}")
_OTHER: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)=")
_METHOD: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_CODES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+|[+%]")
_WHOLLY_ENCODED: Final = re.compile(r"\+*%(?:7B|5B)", re.IGNORECASE)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_FROM_LINE: Final = frozenset({Quote.NONE, Quote.SINGLE, Quote.DOUBLE, Quote.ESCAPED})


@dataclass(frozen=True, slots=True)
class FormStep:
    """A method and its arguments, as the line has them under `key`; either may be empty."""

    method: str
    key: str
    arguments: ShellText
    place: LinePlace


@dataclass(frozen=True, slots=True)
class CurlForm:
    """The content of a call: its steps, and the `fields` of the answer, empty where none are named."""

    steps: tuple[FormStep, ...]
    fields: ShellText
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `key=value`; `number` is 0 for a key without one."""

    key: str
    number: int
    value: ShellText
    place: LinePlace


def read_form(data: Sequence[Data]) -> CurlForm:
    """The steps of the posted data. Raises `CommandRefused` where they are ambiguous."""
    found: list[Finding] = []
    notes: list[str] = []
    entries: dict[str, _Entry] = {}
    for one in data:
        for entry in _entries(one, found, notes):
            if entry.key in entries:
                raise refused(entry.place, said("{key} stands in the data twice", key=entry.key))
            entries[entry.key] = entry
    fields = entries.pop("fields", None)
    steps = _steps(list(entries.values()), found)
    if not steps:
        raise refused(data[0].place, said("the data names no method1, so there is nothing to call"))
    return CurlForm(tuple(steps), fields.value if fields else ShellText(), tuple(found), tuple(notes))


# ---- fields ------------------------------------------------------------------------------------------------------


def _entries(data: Data, found: list[Finding], notes: list[str]) -> Iterator[_Entry]:
    stretches = [data.text] if data.encoded else list(_whole_values(data, found))
    for stretch in stretches:
        key = _KEY.match(stretch.plain)
        place = stretch.place(0, data.place)
        if key is None:
            other = _OTHER.match(stretch.plain)
            if other is None:
                raise refused(
                    place,
                    said(
                        "{field} is not a field of a call, as method1=… is one",
                        field=named(stretch.plain.partition("=")[0]),
                    ),
                )
            notes.append(
                said(
                    "{place}: the field {field} is left out: fields of each call belong into the settings",
                    place=place.text,
                    field=named(other["key"]),
                )
            )
            continue
        if not key["equals"]:
            found.append(findings.MISSING_EQUALS.at(place, key=key["key"]))
        value = stretch.cut(key.end())
        value = value if data.encoded else _decoded(value, key["key"], place, found)
        yield _Entry(key["key"], int(key["method"] or key["arg"] or 0), value.stripped(), place)


def _whole_values(data: Data, found: list[Finding]) -> Iterator[ShellText]:
    """The data split at each `&` that is not part of a value."""
    seen = "".join(map(_own, data.text.pieces))
    start = 0
    for at in (found.start() for found in re.finditer("&", seen)):
        if _FIELD.match(seen, at + 1) or not _is_within_string(seen[start:at]):
            yield from _filled(data.text.cut(start, at))
            start = at + 1
        elif at == seen.index("&", start):
            key = seen[start:at].lstrip().partition("=")[0]
            found.append(findings.AMPERSAND.at(data.text.place(at, data.place), key=named(key)))
    yield from _filled(data.text.cut(start))


def _filled(stretch: ShellText) -> Iterator[ShellText]:
    stripped = stretch.stripped()
    if stripped.pieces:
        yield stripped


def _is_within_string(text: str) -> bool:
    """Whether a JSON string is still open at the end of a text."""
    return '"' in _STRING.sub("", text)


def _decoded(value: ShellText, key: str, place: LinePlace, found: list[Finding]) -> ShellText:
    """The value as the billing decodes it, except that each `+` and `%` keeps its intended meaning."""
    is_whole = _WHOLLY_ENCODED.match(value.plain) is not None
    seen = "".join(map(_own, value.pieces))
    pieces: list[Piece] = []
    seen_before: set[str] = set()
    done = 0

    def say(what: str, fault: Finding) -> None:
        if what not in seen_before and not is_whole:
            found.append(fault)
        seen_before.add(what)

    for code in _CODES.finditer(seen):
        where = value.place(code.start(), place)
        meant = code[0]
        if meant == "+":
            say(meant, findings.PLUS.at(where, key=key))
            meant = " " if is_whole else meant
        elif meant == "%":
            say(meant, findings.PERCENT.at(where, key=key))
        else:
            say("codes", findings.ENCODED_BY_HAND.at(where, code=meant[:3], key=key))
            meant = _characters(meant, where)
        if meant != code[0]:
            pieces += value.cut(done, code.start()).pieces
            pieces.append(Stretch(meant, where, Quote.GIVEN, stands_for=True))
            done = code.end()
    return ShellText((*pieces, *value.cut(done).pieces))


def _own(piece: Piece) -> str:
    """The line's own characters; neutral characters in place of substituted text."""
    if isinstance(piece, Stretch):
        return piece.text if piece.quote in _FROM_LINE else HOLE * len(piece.text)
    return HOLE


def _characters(codes: str, place: LinePlace) -> str:
    try:
        text = unquote_to_bytes(codes).decode()
    except UnicodeDecodeError as error:
        raise refused(place, said("{codes} is not a character in UTF-8", codes=named(codes))) from error
    if not all(char.isprintable() or char in "\n\t\xa0" for char in text):
        raise refused(place, said("{codes} is a character that cannot be seen", codes=named(codes)))
    return text


# ---- steps -------------------------------------------------------------------------------------------------------


def _steps(entries: Sequence[_Entry], found: list[Finding]) -> list[FormStep]:
    """The steps in the order of their numbers, each with its arguments."""
    methods = {entry.number: entry for entry in entries if entry.key.startswith("method")}
    arguments = {entry.number: entry for entry in entries if entry.key.startswith("arg")}
    for number, entry in methods.items():
        if not _METHOD.fullmatch(entry.value.plain):
            raise refused(entry.place, _no_method(number, named(entry.value.plain)))
    mended = _pair(methods, arguments, found)
    for before, number in pairwise([0, *sorted(methods)]):
        if number != before + 1 and not mended:
            last = f"method{before}" if before else said("nothing")
            found.append(findings.GAP.at(methods[number].place, number=number, before=last, missing=before + 1))
    steps: list[FormStep] = []
    for number in sorted(methods):
        method = methods[number]
        given = arguments.get(number, _Entry("", number, ShellText(), method.place))
        if not given.value.pieces:
            found.append(findings.NO_ARGUMENTS.at(method.place, number=number))
        steps.append(FormStep(method.value.plain, given.key, given.value, method.place))
    return steps


def _no_method(number: int, given: str) -> Said:
    if not given:
        return said("method{number} is empty, which is not a method", number=number)
    return said("method{number} is {given}, which is not a method", number=number, given=given)


def _pair(methods: dict[int, _Entry], arguments: dict[int, _Entry], found: list[Finding]) -> bool:
    """Pair arguments without a method with the one method without arguments; returns whether that was possible."""
    alone = [number for number in sorted(arguments) if number not in methods]
    without = [number for number in sorted(methods) if number not in arguments]
    if len(alone) == 1 and len(without) == 1:
        ((argument,), (method,)) = alone, without
        entry = arguments.pop(argument)
        name = methods[method].value.plain
        found.append(findings.NUMBERS_APART.at(entry.place, arguments=argument, method=method, name=name))
        arguments[method] = entry
        return True
    for number in alone:
        entry = arguments.pop(number)
        if entry.value.plain.replace(" ", "") not in ("", "{}"):
            raise refused(
                entry.place,
                said("arg{number} has no method{number}; whose arguments they are cannot be told", number=number),
            )
        found.append(findings.ARGUMENTS_ALONE.at(entry.place, arguments=number))
    return False
