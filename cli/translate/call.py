"""The call of a line: its address, the form that it posts, and the arguments of its steps, with placeholders."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from billing.api.calls import is_secret
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, LinePlace, Refusal, Told, named
from cli.translate.grammar import ShellCommand
from cli.translate.options import CURL, WGET, options_of
from cli.translate.tables import OneLiner
from cli.translate.words import NEWLINE, Letter, Quote, ShellText, Word
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.chain import Template, parse
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import GET, JobSpec
from texts.said import said, text_of


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
_DATA: Final = ("data", "raw", "encoded")
_NAMED: Final = re.compile(r"[^=@]+=")
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"


def read_request(command: ShellCommand, told: Told) -> Request:
    """What a curl or wget sends. Raises `CommandRefused` for anything but one call of the REST API v2."""
    is_curl = command.program == "curl"
    options, urls = options_of(command, CURL if is_curl else WGET, told, joins=not is_curl)
    # With -G, -X GET says the same again.
    methods = ["POST", *("GET" for option, _ in options if option.means == "get")]
    for option, value in options:
        match option.means:
            case "method" if value.plain.upper() not in methods:
                raise Refusal(
                    "the request is a {method}, and a call of the billing is a POST", value.place, method=value.plain
                )
            case "get":
                told.fault(findings.SENT_AS_GET, value.place, option=value.plain)
            case "header":
                _check_header(value, told)
            case "url":
                urls.append(value)
    data = [_data(option.means, value, command) for option, value in options if option.means in _DATA]
    if len(urls) == 1 and not data:
        raise Refusal(
            "this {program} posts nothing: it has no {option}",
            command,
            option="-d" if is_curl else "--post-data",
        )
    return Request(*_address(urls, command), data)


def _address(urls: Sequence[Word], command: ShellCommand) -> tuple[str, str | None]:
    if not urls:
        raise Refusal("this {program} has no address", command)
    if len(urls) > 1:
        raise Refusal("a second address stands here, and a row is one call", urls[1].place)
    found = _ADDRESS.fullmatch(urls[0].plain)
    if found is None:
        # Behind the ? there may be a key, before the @ a password.
        raise Refusal(
            "{address} is not an address of the REST API, as {example} is one",
            urls[0].place,
            address=urls[0].plain.partition("?")[0].rpartition("@")[2],
            example=_EXAMPLE,
        )
    return found["model"], None if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"


def _data(means: str, value: Word, command: ShellCommand) -> Data:
    if means == "encoded" and not _NAMED.match(value.plain):
        raise Refusal("--data-urlencode is read as name=content", value.place)
    if means != "data" or not value.plain.startswith("@"):
        is_encoded = means == "encoded"
        return Data(value.text, value.place, None if is_encoded else value.kept, is_encoded)
    texts = [word.text for operator, word in command.inputs if operator.symbol != "<"]
    if value.plain != "@-" or not texts:
        raise Refusal("the data of this curl stands in a file; write it into the line", value.place)
    # curl leaves line ends out, but for --data-binary; JSON has them between its words alone.
    return Data(ShellText(tuple(letter for letter in texts[-1].letters if letter.char != NEWLINE)), value.place)


def _check_header(value: Word, told: Told) -> None:
    name, _, content = value.plain.partition(":")
    if name.strip().casefold() != "content-type":
        told.notes.append(said("the header {name} is left out: headers belong into the settings", name=named(name)))
    elif content.strip().casefold().partition(";")[0] != _FORM:
        raise Refusal(
            "the data is sent as {content}, and a call of the billing is a form", value.place, content=content
        )


# ---- the call ----------------------------------------------------------------------------------------------------


def read_call(request: Request, line: OneLiner, catalogue: Catalogue) -> TranslatedCall:
    """The call as the shell makes it, or, where that is invalid, as it reads with the inner quotes kept.

    Raises `CommandRefused` for a call that cannot be translated.
    """
    try:
        return _read(request.model, request.data, line, catalogue)
    except CommandRefused:
        eaten = [one.place for one in request.data if one.kept is not None]
        if not eaten:
            raise
        as_meant = [one._replace(text=one.kept or one.text) for one in request.data]
        try:
            found = _read(request.model, as_meant, line, catalogue)
        except CommandRefused:
            found = None
        if found is None:
            raise
        found.told.fault(findings.QUOTES_EATEN, eaten[0])
        return found


def _read(model: str, data: Sequence[Data], line: OneLiner, catalogue: Catalogue) -> TranslatedCall:
    told = Told()
    steps, fields = _form(data, told)
    arguments = [_Arguments(step, line, told) for step in steps]
    chain = [f"{one.step.method} {one.text}".rstrip() for one in arguments]
    secrets = tuple(dict.fromkeys(name for one in arguments for name in one.secrets))
    line.refuse_columns_called(secrets, data[0].place)
    try:
        whole = parse(model, chain, _fields(fields, data[0].place))
    except ParameterRefused as error:
        raise Refusal(text_of(error), data[0].place) from error
    # The arguments of objects.get are only the key of the object.
    own = arguments[1:] if whole.methods[0] == GET else arguments
    return TranslatedCall(
        whole,
        catalogue.like(whole, {name for one in own for name in one.varying}),
        secrets,
        tuple(dict.fromkeys(name for one in arguments for name in one.untyped)),
        any(one.varying for one in arguments),
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
    for entry in (entry for one in data for entry in _entries(one, told)):
        if entry.key in entries:
            raise Refusal("{key} stands in the data twice", entry.place, key=entry.key)
        entries[entry.key] = entry
    fields = entries.pop("fields", None)
    methods = {one.number: one for one in entries.values() if one.key.startswith("method")}
    arguments = {one.number: one for one in entries.values() if one.key.startswith("arg")}
    names = {number: _method(entry) for number, entry in methods.items()}
    is_paired = _pair(methods, arguments, told)
    steps: list[_Step] = []
    for before, number in pairwise([0, *sorted(methods)]):
        place = methods[number].place
        if number != before + 1 and not is_paired:
            last = f"method{before}" if before else said("nothing")
            told.fault(findings.GAP, place, number=number, before=last, missing=before + 1)
        given = arguments.get(number, _Entry("", number, ShellText(), place))
        if not given.value.letters:
            told.fault(findings.NO_ARGUMENTS, place, number=number)
        steps.append(_Step(names[number], given.key, given.value, place))
    if not steps:
        raise Refusal("the data names no method1, so there is nothing to call", data[0].place)
    return steps, fields.value if fields else ShellText()


def _method(entry: _Entry) -> str:
    method = entry.value.plain
    if not method:
        raise Refusal("method{number} is empty, which is not a method", entry.place, number=entry.number)
    if not _METHOD.fullmatch(method):
        raise Refusal(
            "method{number} is {given}, which is not a method", entry.place, number=entry.number, given=method
        )
    return method


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
            raise Refusal(
                "arg{number} has no method{number}; whose arguments they are cannot be told",
                entry.place,
                number=entry.number,
            )
        told.fault(findings.ARGUMENTS_ALONE, entry.place, arguments=entry.number)
    return False


def _entries(data: Data, told: Told) -> Iterator[_Entry]:
    parts = [data.text] if data.encoded else [part for part in _whole_values(data, told) if part.letters]
    for part in parts:
        place = part.place(0, data.place)
        key = _KEY.match(part.plain)
        if key is None:
            other = _OTHER.match(part.plain)
            if other is None:
                raise Refusal(
                    "{field} is not a field of a call, as method1=… is one", place, field=part.plain.partition("=")[0]
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
            yield data.text[start:at].stripped()
            start = at + 1
        elif at == seen.index("&", start):
            key = seen[start:at].lstrip().partition("=")[0]
            told.fault(findings.AMPERSAND, data.text.place(at, data.place), key=key)
    yield data.text[start:].stripped()


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
        raise Refusal("{codes} is not a character in UTF-8", place, codes=codes) from error
    if not all(char.isprintable() or char in "\n\t\xa0" for char in text):
        raise Refusal("{codes} is a character that cannot be seen", place, codes=codes)
    return text


# ---- JSON --------------------------------------------------------------------------------------------------------

MONEY: Final = frozenset(
    {"op_summa", "limit", "limit_warning", "sum_in", "summa", "ostatok", "debit", "credit", "balance", "amount"}
)
"""Arguments that are amounts of money, in lower case."""
_READS: Final = frozenset({"objects.get", "objects.filter"})
"""Methods whose arguments are search criteria and not stored values."""
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s"{}\[\],:]+|.', re.DOTALL)
_SPACED: Final = {":": ": ", ",": ", ", " ": "", "\t": "", "\n": "", "\r": ""}
_COLON: Final = re.compile(r"\s*:")
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_OF_IDS: Final = re.compile(r"(?:^|_)(?:id|pk|id_abonents)$")
"""Names of arguments that are ids."""
_PLACEHOLDER: Final = re.compile(r"\{[^\W\d][\w ]*\}")


def _fields(fields: ShellText, place: LinePlace) -> tuple[str, ...]:
    if not fields.letters:
        return ()
    where = fields.place(0, place)
    names = _json(fields.plain, "fields", where)
    if not isinstance(names, list) or not all(isinstance(one, str) and re.fullmatch(r"\w+", one) for one in names):
        raise Refusal('fields is not a list of names, as ["ip", "pull"] is one', where)
    return tuple(names)


def _json(text: str, key: str, place: LinePlace) -> object:
    """The value of a JSON text in which anything may be a hole. Raises `CommandRefused` for what is no JSON."""
    if "\\u0000" in text:
        raise Refusal("{key} has a character that cannot be seen", place, key=key)
    pieces = [found[0] for found in _PIECE.finditer(text)]
    whole = "".join([f'"{one}"' if HOLE in one and not one.startswith('"') else one for one in pieces])

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in pairs:
            if name in found:
                raise Refusal("{name} stands twice in {key}", place, name=name, key=key)
            found[name] = value
        return found

    try:
        return json.loads(whole, strict=False, parse_int=float, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        why = error.msg.casefold()
        raise Refusal("{key} is not JSON when the shell is done with it: {why}", place, key=key, why=why) from error
    except RecursionError as error:
        raise Refusal("{key} is nested too deep", place, key=key) from error


class _Arguments:
    """The arguments of a step as JSON with placeholders.

    `varying` are the names of those with a placeholder; the placeholders `untyped` stand outside of strings, and are
    no ids. `secrets` are those whose values are left out; each has a placeholder of its own name.
    """

    def __init__(self, step: _Step, line: OneLiner, told: Told) -> None:
        self.step, self.line, self.told = step, line, told
        self.varying: set[str] = set()
        self.secrets: list[str] = []
        self.untyped: list[str] = []
        self.holes = iter(step.arguments.holes)
        self.key = ""
        self.place = step.arguments.place(0, step.place)
        self.text = self._written(step.arguments) if step.arguments.letters else ""

    def _written(self, arguments: ShellText) -> str:
        plain = arguments.plain
        if not isinstance(_json(plain, self.step.key, self.place), dict):
            raise Refusal('{key} is not an object in braces, as {{"id": 5}} is one', self.place, key=self.step.key)
        written = ""
        around: list[tuple[str, LinePlace]] = []
        for piece in _PIECE.finditer(plain):
            text = piece[0]
            if text == "{":
                around.append((self.key, self.place))
            elif text == "}":
                self.key, self.place = around.pop()
            elif _COLON.match(plain, piece.end()) and (HOLE in text or text.startswith('"')):
                self.key = text if HOLE in text else json.loads(text, strict=False)
                self.place = arguments.place(piece.start(), self.place)
                if HOLE in text or _PLACEHOLDER.search(self.key):
                    raise Refusal("a variable cannot be the name of an argument", self.place)
                text = _literal(self.key)
            elif text.startswith('"'):
                text = self._string(json.loads(text, strict=False))
            elif text not in "[]" and text not in _SPACED:
                text = self._bare(text)
            written += _SPACED.get(text, text)
        return "" if written == "{}" else written

    def _string(self, value: str) -> str:
        first, *others = value.split(HOLE)
        if is_secret(self.key) and (first or any(others)):
            return self._secret(alone=not others)
        text = _literal(first)[1:-1]
        for following in others:
            text += self._placeholder()[0] + _literal(following)[1:-1]
        return f'"{text}"'

    def _bare(self, text: str) -> str:
        """A value without quotes: a word of JSON, a number, or a hole."""
        is_amount = self.step.method not in _READS and self.key.casefold() in MONEY
        is_number = _PLAIN_NUMBER.fullmatch(text) is not None
        if text in ("true", "false", "null") or (is_number and not is_amount and "." not in text):
            return self._secret(alone=True) if is_number and is_secret(self.key) else text
        if HOLE not in text and is_secret(self.key):
            return self._secret(alone=True)
        if HOLE not in text and not is_number:
            raise Refusal("{key} is {value}, which is not a plain number", self.place, key=self.key, value=text)
        if is_amount or is_number:
            self.told.fault(findings.BARE_NUMBER, self.place, key=self.key)
            return self._string(text)
        if text != HOLE:
            raise Refusal(
                "{key} is put together of a variable and more, without quotes; quote the whole",
                self.place,
                key=self.key,
            )
        placeholder, is_text = self._placeholder(alone=True)
        if not is_text and not _OF_IDS.search(self.key):
            self.untyped.append(placeholder.strip("{}"))
        return f'"{placeholder}"' if is_text else placeholder

    def _secret(self, *, alone: bool) -> str:
        """A placeholder for a secret, since the printed command is copied, stored and shown."""
        if not alone:
            raise Refusal(
                "{key} is put together of a secret and a variable; let a column say the whole",
                self.place,
                key=self.key,
            )
        self.secrets.append(self.key)
        return f'"{{{self.key}}}"'

    def _placeholder(self, *, alone: bool = False) -> tuple[str, bool]:
        hole = next(self.holes)
        self.varying.add(self.key)
        return f"{{{self.line.name_of(hole)}}}", self.line.is_text(hole, self.told, alone=alone)


def _literal(text: str) -> str:
    """The text as JSON, its braces escaped so that none is a placeholder, and what cannot be seen as escapes."""
    whole = json.dumps(text.replace("{", "{{").replace("}", "}}"), ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in whole)
