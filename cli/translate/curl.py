"""The arguments of a curl: its address, which contains the model, and the data that it posts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_to_bytes

from cli.translate import findings
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.script import ShellCommand
from cli.translate.shell import HOLE, Piece, Quote, ShellText, Stretch, Word

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?://)?(?:[^/?#]*@)?(?P<host>[^/?#@]+)/rest_api/v2/(?P<model>[A-Za-z_][A-Za-z0-9_]*)/?"
)
"""The user part of an address, which contains a password."""
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"

_SHORT: Final[Mapping[str, str]] = {
    "-X": "--request",
    "-d": "--data",
    "-D": "--dump-header",
    "-H": "--header",
    "-o": "--output",
    "-w": "--write-out",
    "-m": "--max-time",
    "-A": "--user-agent",
    "-e": "--referer",
    "-u": "--user",
    "-b": "--cookie",
    "-x": "--proxy",
    "-s": "--silent",
    "-S": "--show-error",
    "-i": "--include",
    "-v": "--verbose",
    "-f": "--fail",
    "-g": "--globoff",
    "-N": "--no-buffer",
    "-k": "--insecure",
    "-L": "--location",
    "-4": "--ipv4",
    "-6": "--ipv6",
}
_SET_ELSEWHERE: Final[Mapping[str, str]] = {
    "--max-time": "--timeout says how long an answer may take",
    "--connect-timeout": "--timeout says how long an answer may take",
    "--retry": "what was provably not done is tried again by itself",
    "--retry-delay": "what was provably not done is tried again by itself",
    "--insecure": "the certificate of an https address is checked",
    "--location": "a call that is sent elsewhere is not followed: it might be done twice",
    "--user": "credentials belong into the settings",
    "--cookie": "credentials belong into the settings",
    "--proxy": "the address of the settings is called directly",
}
_DATA: Final = frozenset({"--data", "--data-raw", "--data-ascii", "--data-binary"})
_WITH_VALUE: Final = _DATA | {
    "--request",
    "--data-urlencode",
    "--header",
    "--url",
    "--user",
    "--cookie",
    "--proxy",
    "--max-time",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--dump-header",
    "--output",
    "--write-out",
    "--user-agent",
    "--referer",
}
_FLAGS: Final = frozenset(
    {
        "--silent",
        "--show-error",
        "--include",
        "--verbose",
        "--fail",
        "--fail-with-body",
        "--globoff",
        "--no-buffer",
        "--insecure",
        "--location",
        "--ipv4",
        "--ipv6",
        "--compressed",
        "--no-progress-meter",
        "--progress-bar",
    }
)


@dataclass(frozen=True, slots=True)
class Data:
    """The value of one `-d`. `kept` is the value with its inner quotes; curl encodes `encoded` data itself."""

    text: ShellText
    place: LinePlace
    kept: ShellText | None = None
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class CurlRequest:
    """A call of the REST API: the model, the posted data, and the address, None if a variable holds it."""

    model: str
    address: str | None
    data: tuple[Data, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Options:
    """The options read so far."""

    urls: list[Word] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, option: str, value: Word, place: LinePlace) -> None:
        """Add one option with its value. Raises `CommandRefused` for one that changes the kind of call."""
        if option == "--url":
            self.urls.append(value)
        elif option in _DATA:
            if option != "--data-raw" and value.plain.startswith("@"):
                raise refused(value.place, "the data of this curl stands in a file; write it into the line")
            self.data.append(Data(value.text, value.place, value.kept))
        elif option == "--data-urlencode":
            self.data.append(_encoded(value))
        elif option == "--request" and value.plain != "POST":
            raise refused(place, f"the request is a {named(value.plain)}, and a call of the billing is a POST")
        elif option == "--header":
            self._header(value)
        elif option in _SET_ELSEWHERE:
            self.notes.append(f"{option} is left out: {_SET_ELSEWHERE[option]}")

    def _header(self, value: Word) -> None:
        name, _, content = value.plain.partition(":")
        if name.strip().casefold() != "content-type":
            self.notes.append(f"the header {named(name)} is left out: headers belong into the settings")
        elif content.strip().casefold().partition(";")[0] != _FORM:
            raise refused(value.place, f"the data is sent as {named(content)}, and a call of the billing is a form")


def read_request(command: ShellCommand) -> CurlRequest:
    """The call that a curl makes. Raises `CommandRefused` for anything but a call of the REST API v2."""
    options = _Options()
    for option, value, place in _options(command):
        options.take(option, value, place)
    if not options.urls:
        raise refused(command.place, "this curl has no address")
    if len(options.urls) > 1:
        raise refused(options.urls[1].place, "a second address stands here, and a row is one call")
    if not options.data:
        raise refused(command.place, "this curl posts nothing: it has no -d")
    (url,) = options.urls
    found = _ADDRESS.fullmatch(url.plain)
    if found is None:
        said = named(url.plain.rpartition("@")[2])
        raise refused(url.place, f"{said} is no address of the REST API, as {_EXAMPLE} is one")
    address = None if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"
    return CurlRequest(found["model"], address, tuple(options.data), tuple(options.notes))


def _options(command: ShellCommand) -> Iterator[tuple[str, Word, LinePlace]]:
    """The options by their long names, addresses as `--url`; an option without a value has itself as value."""
    words = iter(command.words[1:])
    for word in words:
        if word.plain.startswith("--"):
            yield _long(word.plain, word, words)
        elif word.plain.startswith("-") and word.plain != "-":
            yield from _short(word, words)
        else:
            yield "--url", word, word.place


def _long(option: str, word: Word, words: Iterator[Word]) -> tuple[str, Word, LinePlace]:
    if option in _FLAGS:
        return option, word, word.place
    if option not in _WITH_VALUE:
        raise refused(word.place, f"curl's {named(option)} is not translated")
    value = next(words, None)
    if value is None:
        raise refused(word.place, f"curl's {named(option)} has no value")
    return option, value, word.place


def _short(word: Word, words: Iterator[Word]) -> Iterator[tuple[str, Word, LinePlace]]:
    """`-sS`, `-XPOST`, `-d …`: the first option with a value takes the rest of the word, or the next word."""
    for at in range(1, len(word.plain)):
        letter = f"-{word.plain[at]}"
        option = _SHORT.get(letter, letter)
        rest = word.text.cut(at + 1)
        if option in _WITH_VALUE and rest.pieces:
            yield option, Word(rest, rest.place(0, word.place)), word.place
            return
        yield _long(option, word, words)


def _encoded(value: Word) -> Data:
    """`name=content`, of which curl encodes the content; `=content` and `content` have no name."""
    name, equals, _ = value.plain.partition("=")
    if not equals or not name or "@" in name:
        raise refused(value.place, "--data-urlencode is read as name=content")
    return Data(value.text, value.place, encoded=True)


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
                raise refused(entry.place, f"{entry.key} stands in the data twice")
            entries[entry.key] = entry
    fields = entries.pop("fields", None)
    steps = _steps(list(entries.values()), found)
    if not steps:
        raise refused(data[0].place, "the data names no method1, so there is nothing to call")
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
                    place, f"{named(stretch.plain.partition('=')[0])} is no field of a call, as method1=… is one"
                )
            notes.append(
                f"{place}: the field {named(other['key'])} is left out: fields of each call belong into the settings"
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
    said: set[str] = set()
    done = 0

    def say(what: str, fault: Finding) -> None:
        if what not in said and not is_whole:
            found.append(fault)
        said.add(what)

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
        raise refused(place, f"{named(codes)} is no character in UTF-8") from error
    if not all(char.isprintable() or char in "\n\t\xa0" for char in text):
        raise refused(place, f"{named(codes)} is a character that cannot be seen")
    return text


# ---- steps -------------------------------------------------------------------------------------------------------


def _steps(entries: Sequence[_Entry], found: list[Finding]) -> list[FormStep]:
    """The steps in the order of their numbers, each with its arguments."""
    methods = {entry.number: entry for entry in entries if entry.key.startswith("method")}
    arguments = {entry.number: entry for entry in entries if entry.key.startswith("arg")}
    for number, entry in methods.items():
        if not _METHOD.fullmatch(entry.value.plain):
            raise refused(entry.place, f"method{number} is {named(entry.value.plain) or 'empty'}, which is no method")
    mended = _pair(methods, arguments, found)
    for before, number in pairwise([0, *sorted(methods)]):
        if number != before + 1 and not mended:
            last = f"method{before}" if before else "nothing"
            found.append(findings.GAP.at(methods[number].place, number=number, before=last, missing=before + 1))
    steps: list[FormStep] = []
    for number in sorted(methods):
        method = methods[number]
        given = arguments.get(number, _Entry("", number, ShellText(), method.place))
        if not given.value.pieces:
            found.append(findings.NO_ARGUMENTS.at(method.place, number=number))
        steps.append(FormStep(method.value.plain, given.key, given.value, method.place))
    return steps


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
            raise refused(entry.place, f"arg{number} has no method{number}; whose arguments they are cannot be told")
        found.append(findings.ARGUMENTS_ALONE.at(entry.place, arguments=number))
    return False
