"""The call of a line: its address, the form that it posts, and the arguments of each step as JSON with placeholders."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from billing.api.calls import is_secret
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Told, named, refusal
from cli.translate.grammar import ShellCommand
from cli.translate.options import CURL, WGET, options_of
from cli.translate.words import NEWLINE, Letter, Quote, ShellText, Word
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.chain import Template, parse
from jobs.spec.chain_kind import GET
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from texts.said import said, text_of, wording


class Data(NamedTuple):
    """The value of one `-d`. `kept` is the value with its inner quotes; curl encodes `encoded` data itself."""

    text: ShellText
    place: LinePlace
    kept: ShellText | None = None
    encoded: bool = False


class Request(NamedTuple):
    """What a line sends: the model, the data, and to which address, None if a variable holds it."""

    model: str
    address: str | None
    data: Sequence[Data]


class Names(Protocol):
    """The placeholders for what a row decides."""

    def name_of(self, letter: Letter) -> str:
        """The name of its placeholder. Raises `CommandRefused` where its value must be known."""

    def is_text(self, letter: Letter, told: Told, *, alone: bool) -> bool:
        """Whether its values are texts even when they are digits; what is wrong with its use is told.

        What stands `alone` has no quotes around it.
        """

    def refuse_columns_called(self, secrets: Sequence[str], place: LinePlace) -> None:
        """Raise `CommandRefused` where a column has the name of a secret that the line contains."""


@dataclass(frozen=True, slots=True)
class TranslatedCall:
    """A call in the command's form; `job` is the catalogue's job that makes the same call, where there is one.

    `secrets` are the placeholders of secret values in the line, which the command leaves out; `untyped` are those
    that stand without quotes, and get their type from their value.
    """

    template: Template
    job: JobSpec | None
    secrets: tuple[str, ...]
    untyped: tuple[str, ...]
    varies: bool
    told: Told

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command."""
        links = (word for link in self.template.text for word in ("--chain", link))
        fields = ("--fields", ",".join(self.template.fields)) if self.template.fields else ()
        return ("--model", self.template.model, *links, *fields)


# ---- the request -------------------------------------------------------------------------------------------------

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?://)?(?:[^/?#]*@)?(?P<host>[^/?#@]+)/rest_api/v2/(?P<model>[A-Za-z_][A-Za-z0-9_]*)/?"
)
"""The user part of an address contains a password."""
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"


def read_request(command: ShellCommand, told: Told) -> Request:
    """What a curl or wget sends. Raises `CommandRefused` for anything but one call of the REST API v2."""
    program = command.program
    is_curl = program == "curl"
    options, urls = options_of(command, CURL if is_curl else WGET, told, joins=not is_curl)
    # With -G, -X GET says the same again.
    methods = ("POST", "GET") if any(option.means == "get" for option, _ in options) else ("POST",)
    data: list[Data] = []
    for option, value in options:
        match option.means:
            case "data" if value.plain.startswith("@"):
                data.append(Data(_heredoc(command, value), value.place))
            case "data" | "raw":
                data.append(Data(value.text, value.place, value.kept))
            case "encoded":
                # `=content` and `content` have no name.
                name, equals, _ = value.plain.partition("=")
                if not equals or not name or "@" in name:
                    raise refusal("--data-urlencode is read as name=content", value.place)
                data.append(Data(value.text, value.place, encoded=True))
            case "method" if value.plain.upper() not in methods:
                raise refusal(
                    "the request is a {method}, and a call of the billing is a POST",
                    value.place,
                    method=named(value.plain),
                )
            case "get":
                told.fault(findings.SENT_AS_GET, value.place, option=named(value.plain))
            case "header":
                _check_header(value, told)
            case "url":
                urls.append(value)
    if not urls:
        raise refusal("this {program} has no address", command.place, program=program)
    if len(urls) > 1:
        raise refusal("a second address stands here, and a row is one call", urls[1].place)
    if not data:
        raise refusal(
            "this {program} posts nothing: it has no {option}",
            command.place,
            program=program,
            option="-d" if is_curl else "--post-data",
        )
    found = _ADDRESS.fullmatch(urls[0].plain)
    if found is None:
        # Behind the ? there may be a key, before the @ a password.
        raise refusal(
            "{address} is not an address of the REST API, as {example} is one",
            urls[0].place,
            address=named(urls[0].plain.partition("?")[0].rpartition("@")[2]),
            example=_EXAMPLE,
        )
    address = None if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"
    return Request(found["model"], address, data)


def _heredoc(command: ShellCommand, value: Word) -> ShellText:
    """The lines for `@-`. curl leaves line ends out, but for --data-binary; JSON has them between its words alone."""
    texts = [word.text for operator, word in command.inputs if operator.symbol != "<"]
    if value.plain != "@-" or not texts:
        raise refusal("the data of this curl stands in a file; write it into the line", value.place)
    return ShellText(tuple(letter for letter in texts[-1].letters if letter.char != NEWLINE))


def _check_header(value: Word, told: Told) -> None:
    name, _, content = value.plain.partition(":")
    if name.strip().casefold() != "content-type":
        told.notes.append(said("the header {name} is left out: headers belong into the settings", name=named(name)))
    elif content.strip().casefold().partition(";")[0] != _FORM:
        raise refusal(
            "the data is sent as {content}, and a call of the billing is a form", value.place, content=named(content)
        )


# ---- the call ----------------------------------------------------------------------------------------------------


def read_call(request: Request, names: Names, catalogue: Catalogue) -> TranslatedCall:
    """The call as the shell makes it, or, where that is invalid, as it reads with the inner quotes kept.

    Raises `CommandRefused` for a call that cannot be translated.
    """
    try:
        return _read(request.model, request.data, names, catalogue)
    except CommandRefused:
        eaten = [one.place for one in request.data if one.kept is not None]
        if not eaten:
            raise
        as_meant = [one._replace(text=one.kept or one.text) for one in request.data]
        try:
            found = _read(request.model, as_meant, names, catalogue)
        except CommandRefused:
            found = None
        if found is None:
            raise
        found.told.fault(findings.QUOTES_EATEN, eaten[0])
        return found


def _read(model: str, data: Sequence[Data], names: Names, catalogue: Catalogue) -> TranslatedCall:
    told = Told()
    steps, fields = _form(data, told)
    writers = [_Writer(step, names, told) for step in steps]
    chain = [f"{step.method} {writer.text()}".rstrip() for step, writer in zip(steps, writers, strict=True)]
    secrets = tuple(dict.fromkeys(name for one in writers for name in one.secrets))
    names.refuse_columns_called(secrets, data[0].place)
    try:
        whole = parse(model, chain, _fields(fields, data[0].place))
    except ParameterRefused as error:
        raise refusal(text_of(error), data[0].place) from error
    # The arguments of objects.get are only the key of the object.
    own = writers[1:] if whole.methods[0] == GET else writers
    return TranslatedCall(
        whole,
        catalogue.like(whole, {name for one in own for name in one.varying}),
        secrets,
        tuple(dict.fromkeys(name for one in writers for name in one.untyped)),
        any(one.varying for one in writers),
        told,
    )


# ---- the form ----------------------------------------------------------------------------------------------------

_KEY: Final = re.compile(
    r"(?P<key>method(?P<method>[1-9]\d{0,2})(?==|[A-Za-z_])|arg(?P<arg>[1-9]\d{0,2})(?==|\{)|fields(?==|\[))(?P<equals>=?)"
)
_FIELD: Final = re.compile(rf"\s*{_KEY.pattern}")
_OTHER: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)=")
_METHOD: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_CODES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+|[+%]")
_WHOLLY_ENCODED: Final = re.compile(r"\+*%(?:7B|5B)", re.IGNORECASE)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class _Entry(NamedTuple):
    """One `key=value`; `number` is 0 for a key without one."""

    key: str
    number: int
    value: ShellText
    place: LinePlace


class _Step(NamedTuple):
    """A method and its arguments, as the line has them under `key`; either may be empty."""

    method: str
    key: str
    arguments: ShellText
    place: LinePlace


def _form(data: Sequence[Data], told: Told) -> tuple[list[_Step], ShellText]:
    """The steps of the posted data, and the fields of the answer. Raises `CommandRefused` where it is ambiguous."""
    entries: dict[str, _Entry] = {}
    for one in data:
        for entry in _entries(one, told):
            if entry.key in entries:
                raise refusal("{key} stands in the data twice", entry.place, key=entry.key)
            entries[entry.key] = entry
    fields = entries.pop("fields", None)
    methods = {one.number: one for one in entries.values() if one.key.startswith("method")}
    arguments = {one.number: one for one in entries.values() if one.key.startswith("arg")}
    for number, entry in methods.items():
        method = entry.value.plain
        if not method:
            raise refusal("method{number} is empty, which is not a method", entry.place, number=number)
        if not _METHOD.fullmatch(method):
            raise refusal(
                "method{number} is {given}, which is not a method", entry.place, number=number, given=named(method)
            )
    is_paired = _pair(methods, arguments, told)
    steps: list[_Step] = []
    for before, number in pairwise([0, *sorted(methods)]):
        method, place = methods[number].value.plain, methods[number].place
        if number != before + 1 and not is_paired:
            last = f"method{before}" if before else said("nothing")
            told.fault(findings.GAP, place, number=number, before=last, missing=before + 1)
        given = arguments.get(number)
        if given is None or not given.value.letters:
            told.fault(findings.NO_ARGUMENTS, place, number=number)
        steps.append(_Step(method, given.key if given else "", given.value if given else ShellText(), place))
    if not steps:
        raise refusal("the data names no method1, so there is nothing to call", data[0].place)
    return steps, fields.value if fields else ShellText()


def _pair(methods: dict[int, _Entry], arguments: dict[int, _Entry], told: Told) -> bool:
    """Pair arguments without a method with the one method without arguments; returns whether that was possible."""
    alone = [arguments.pop(number) for number in sorted(arguments) if number not in methods]
    without = [number for number in sorted(methods) if number not in arguments]
    if len(alone) == 1 and len(without) == 1:
        ((key, argument, value, place), method) = alone[0], without[0]
        name = methods[method].value.plain
        told.fault(findings.NUMBERS_APART, place, arguments=argument, method=method, name=name)
        arguments[method] = _Entry(key, method, value, place)
        return True
    for entry in alone:
        if entry.value.plain.replace(" ", "") not in ("", "{}"):
            raise refusal(
                "arg{number} has no method{number}; whose arguments they are cannot be told",
                entry.place,
                number=entry.number,
            )
        told.fault(findings.ARGUMENTS_ALONE, entry.place, arguments=entry.number)
    return False


def _entries(data: Data, told: Told) -> Iterator[_Entry]:
    for part in [data.text] if data.encoded else _whole_values(data, told):
        place = part.place(0, data.place)
        key = _KEY.match(part.plain)
        if key is None:
            other = _OTHER.match(part.plain)
            if other is None:
                raise refusal(
                    "{field} is not a field of a call, as method1=… is one",
                    place,
                    field=named(part.plain.partition("=")[0]),
                )
            told.notes.append(
                said(
                    "{place}: the field {field} is left out: fields of each call belong into the settings",
                    place=place.text,
                    field=named(other["key"]),
                )
            )
            continue
        if not key["equals"]:
            told.fault(findings.MISSING_EQUALS, place, key=key["key"])
        value = part[key.end() :]
        value = value if data.encoded else _decoded(value, key["key"], told)
        yield _Entry(key["key"], int(key["method"] or key["arg"] or 0), value.stripped(), place)


def _whole_values(data: Data, told: Told) -> Iterator[ShellText]:
    """The data split at each `&` that is not part of a value."""
    seen = _own(data.text)
    start = 0
    for at in (found.start() for found in re.finditer("&", seen)):
        is_in_string = '"' in _STRING.sub("", seen[start:at])
        if _FIELD.match(seen, at + 1) or not is_in_string:
            yield from _filled(data.text[start:at])
            start = at + 1
        elif at == seen.index("&", start):
            key = seen[start:at].lstrip().partition("=")[0]
            told.fault(findings.AMPERSAND, data.text.place(at, data.place), key=named(key))
    yield from _filled(data.text[start:])


def _filled(part: ShellText) -> Iterator[ShellText]:
    if stripped := part.stripped():
        if stripped.letters:
            yield stripped


def _own(text: ShellText) -> str:
    """The line's own characters; a neutral one in place of each that a given value has."""
    return "".join([HOLE if letter.quote is Quote.GIVEN else letter.char for letter in text.letters])


def _decoded(value: ShellText, key: str, told: Told) -> ShellText:
    """The value as the billing decodes it, except that each `+` and `%` keeps its intended meaning."""
    is_whole = _WHOLLY_ENCODED.match(value.plain) is not None
    letters: list[Letter] = []
    seen_before: set[str] = set()
    done = 0
    for code in _CODES.finditer(_own(value)):
        place = value.letters[code.start()].place
        match code[0]:
            case "+":
                what, meant = findings.PLUS, " " if is_whole else "+"
            case "%":
                what, meant = findings.PERCENT, "%"
            case codes:
                what, meant = findings.ENCODED_BY_HAND, _characters(codes, place)
        if what.what not in seen_before and not is_whole:
            told.fault(what, place, key=key, code=code[0][:3])
        seen_before.add(what.what)
        letters += value.letters[done : code.start()]
        letters += [Letter(char, place, Quote.GIVEN) for char in meant]
        done = code.end()
    return ShellText((*letters, *value.letters[done:]))


def _characters(codes: str, place: LinePlace) -> str:
    try:
        text = unquote_to_bytes(codes).decode()
    except UnicodeDecodeError as error:
        raise refusal("{codes} is not a character in UTF-8", place, codes=named(codes)) from error
    if not all(char.isprintable() or char in "\n\t\xa0" for char in text):
        raise refusal("{codes} is a character that cannot be seen", place, codes=named(codes))
    return text


# ---- JSON --------------------------------------------------------------------------------------------------------

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
_NO_LIST: Final = wording('fields is not a list of names, as ["ip", "pull"] is one')


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


_Json: TypeAlias = "_Pairs | list[_Json] | str | _Number | bool | None"


class _Pairs(NamedTuple):
    """A JSON object with its names in order."""

    pairs: "list[tuple[str, _Json]]"


def _fields(fields: ShellText, place: LinePlace) -> tuple[str, ...]:
    """The names in `fields=["ip", "pull"]`. Raises `CommandRefused` for anything but a list of names."""
    if not fields.letters:
        return ()
    where = fields.place(0, place)
    read = _parsed(fields, "fields", where)
    if not isinstance(read, list):
        raise refusal(_NO_LIST, where)
    names = [one for one in read if isinstance(one, str) and re.fullmatch(r"\w+", one)]
    if len(names) != len(read) or any(isinstance(one, _Number) for one in names):
        raise refusal(_NO_LIST, where)
    return tuple(names)


def _parsed(text: ShellText, key: str, place: LinePlace) -> _Json:
    seen = text.plain
    if "\\u0000" in seen or "\\u0001" in seen:
        raise refusal("{key} has a character that cannot be seen", place, key=key)
    pieces = [found[0] for found in _PIECE.finditer(seen)]
    marked = [f'"{_ALONE}{one}"' if HOLE in one and not one.startswith('"') else one for one in pieces]

    def unique(pairs: "list[tuple[str, _Json]]") -> _Pairs:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise refusal("{name} stands twice in {key}", place, name=named(name), key=key)
        return _Pairs(pairs)

    def no_constant(name: str) -> object:
        raise ValueError(name)

    try:
        read: _Json = json.loads(
            "".join(marked),
            strict=False,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=no_constant,
            object_pairs_hook=unique,
        )
    except json.JSONDecodeError as error:
        why = error.msg.casefold()
        raise refusal("{key} is not JSON when the shell is done with it: {why}", place, key=key, why=why) from error
    except ValueError as error:
        raise refusal("{key} is not JSON when the shell is done with it", place, key=key) from error
    return read


@dataclass(slots=True)
class _Writer:
    """Writes the arguments of a step as JSON with placeholders; its holes come in the order of the line.

    `varying` are the names of arguments with a placeholder; the placeholders `untyped` stand outside of strings, and
    are no ids. `secrets` are arguments whose values are left out; each has a placeholder of its own name.
    """

    step: _Step
    names: Names
    told: Told
    varying: set[str] = field(default_factory=set)
    secrets: list[str] = field(default_factory=list)
    untyped: list[str] = field(default_factory=list)
    holes: Iterator[Letter] = field(init=False)

    def text(self) -> str:
        """The template, empty where there are no arguments. Raises `CommandRefused` for anything but an object."""
        key, arguments = self.step.key, self.step.arguments
        if not arguments.letters:
            return ""
        self.holes = iter(arguments.holes)
        where = arguments.place(0, self.step.place)
        try:
            read = _parsed(arguments, key, where)
            text = self.written(read)
        except RecursionError as error:
            raise refusal("{key} is nested too deep", where, key=key) from error
        if not isinstance(read, _Pairs):
            raise refusal('{key} is not an object in braces, as {{"id": 5}} is one', where, key=key)
        return "" if text == "{}" else text

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
            raise refusal("a variable cannot be the name of an argument", self._place(""))
        return f"{_literal(name)}: {self.written(value, name)}"

    def _string(self, value: str, key: str) -> str:
        first, *others = value.split(HOLE)
        if is_secret(key) and (first or any(others)):
            return self._secret(key, alone=not others)
        text = _literal(first)[1:-1]
        for following in others:
            placeholder, _ = self._placeholder(key)
            text += placeholder + _literal(following)[1:-1]
        return f'"{text}"'

    def _secret(self, key: str, *, alone: bool) -> str:
        """A placeholder for a secret, since the printed command is copied, stored and shown."""
        if not alone:
            raise refusal(
                "{key} is put together of a secret and a variable; let a column say the whole",
                self._place(key),
                key=named(key),
            )
        self.secrets.append(key)
        return f'"{{{key}}}"'

    def _number(self, value: str, key: str) -> str:
        if is_secret(key):
            return self._secret(key, alone=True)
        if not _PLAIN_NUMBER.fullmatch(value):
            raise refusal(
                "{key} is {value}, which is not a plain number",
                self._place(key),
                key=named(key),
                value=named(value),
            )
        if not self._is_amount(key) and "." not in value:
            return value
        self.told.fault(findings.BARE_NUMBER, self._place(key), key=named(key))
        return _quoted(value)

    def _alone(self, value: str, key: str) -> str:
        if self._is_amount(key):
            self.told.fault(findings.BARE_NUMBER, self._place(key), key=named(key))
            return self._string(value, key)
        if value != HOLE:
            raise refusal(
                "{key} is put together of a variable and more, without quotes; quote the whole",
                self._place(key),
                key=named(key),
            )
        placeholder, is_text = self._placeholder(key, alone=True)
        if is_text:
            return f'"{placeholder}"'
        if not _OF_IDS.search(key):
            self.untyped.append(placeholder.strip("{}"))
        return placeholder

    def _placeholder(self, key: str, *, alone: bool = False) -> tuple[str, bool]:
        """The next placeholder, and whether its values are texts."""
        hole = next(self.holes)
        self.varying.add(key)
        return f"{{{self.names.name_of(hole)}}}", self.names.is_text(hole, self.told, alone=alone)

    def _is_amount(self, key: str) -> bool:
        return self.step.method not in _READS and key.casefold() in MONEY

    def _place(self, key: str) -> LinePlace:
        """The place of the argument of that name."""
        arguments = self.step.arguments
        at = arguments.plain.find(f'"{key}"') if key else -1
        return arguments.place(max(at, 0), self.step.place)


def _literal(text: str) -> str:
    """The text as JSON with its braces escaped, so that none is a placeholder."""
    return _quoted(text.replace("{", "{{").replace("}", "}}"))


def _quoted(text: str) -> str:
    """A JSON string with invisible characters as escapes."""
    whole = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in whole)
