"""The call of a line: its address, the form that it posts, and the arguments of its steps, with placeholders.

And the job of the catalogue that makes the same call, argument by argument, where there is one.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from billing.api.calls import is_secret
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import HOLE, START, LinePlace, Refusal, Told, named
from cli.translate.shell import CURL, NEWLINE, WGET, Letter, Quote, Text, options_of
from cli.translate.tables import OneLiner
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.chain import Hole, Template, TemplateText, Tree, parse
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import GET, JobSpec
from texts.said import said, text_of, wording


@dataclass(frozen=True, slots=True)
class TranslatedCall:
    """A call in the command's form; `job` is the catalogue's job that makes the same call, where there is one.

    `secrets` are the placeholders of secret values in the line, which the command leaves out; `untyped` are those
    that stand without quotes, and get their type from their value. `address` is where the line sends the call, ""
    where a variable holds it; with `is_encoded` it encodes all values itself.
    """

    template: Template
    job: JobSpec | None
    secrets: Sequence[str]
    untyped: Sequence[str]
    varies: bool
    address: str = ""
    is_encoded: bool = False


# ---- the request -------------------------------------------------------------------------------------------------

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?://)?(?:[^/?#]*@)?(?P<host>[^/?#@]+)/rest_api/v2/(?P<model>[A-Za-z_][A-Za-z0-9_]*)/?"
)
"""The user part of an address contains a password."""
_NAMED: Final = re.compile(r"[^=@]+=")
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"


def read_call(line: OneLiner, catalogue: Catalogue) -> TranslatedCall:
    """The call that a curl or wget makes. Raises `CommandRefused` for anything but one call of the REST API v2."""
    command, told = line.call, line.scope.told
    is_curl = command.program == "curl"
    options, urls = options_of(command, CURL if is_curl else WGET, told, joins=not is_curl)
    # With -G, -X GET says the same again.
    methods = ["POST", *("GET" for option, _ in options if option.means == "get")]
    data: list[Text] = []
    for option, value in options:
        match option.means:
            case "method" if value.plain.upper() not in methods:
                another = wording("the request is a {method}, and a call of the billing is a POST")
                raise Refusal(another, value, method=value.plain)
            case "get":
                told.fault(findings.SENT_AS_GET, value, option=value.plain)
            case "header":
                _check_header(value, told)
            case "url":
                urls.append(value)
            case "encoded":
                named_as = _NAMED.match(value.plain)
                if not named_as:
                    raise Refusal("--data-urlencode is read as name=content", value)
                end = named_as.end()
                # curl encodes the content itself, as the run does a value that is given.
                content = [
                    one if one.char == HOLE else one._replace(quote=Quote.GIVEN) for one in value.letters[end:]
                ]
                data.append(value.having([*value.letters[:end], *content]))
            case "data" if value.plain.startswith("@"):
                texts = [word for operator, word in command.inputs if operator.symbol != "<"]
                if value.plain != "@-" or not texts:
                    raise Refusal("the data of this curl stands in a file; write it into the line", value)
                # curl leaves line ends out, but for --data-binary; JSON has them between its words alone.
                data.append(value.having(letter for letter in texts[-1].letters if letter.char != NEWLINE))
            case "data" | "raw":
                data.append(value)
    if not urls:
        raise Refusal("this {program} has no address", command)
    if len(urls) > 1:
        raise Refusal("a second address stands here, and a row is one call", urls[1])
    if not data:
        option_of_data = "-d" if is_curl else "--post-data"
        raise Refusal("this {program} posts nothing: it has no {option}", command, option=option_of_data)
    found = _ADDRESS.fullmatch(urls[0].plain)
    if found is None:
        # Behind the ? there may be a key, before the @ a password.
        shown = urls[0].plain.partition("?")[0].rpartition("@")[2]
        another = wording("{address} is not an address of the REST API, as {example} is one")
        raise Refusal(another, urls[0], address=shown, example=_EXAMPLE)
    call = _as_meant(found["model"], data, line, catalogue)
    address = "" if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"
    means = {option.means for option, _ in options}
    return replace(call, address=address, is_encoded=means.isdisjoint({"data", "raw"}))


def _check_header(value: Text, told: Told) -> None:
    name, _, content = value.plain.partition(":")
    if name.strip().casefold() != "content-type":
        told.notes.append(said("the header {name} is left out: headers belong into the settings", name=named(name)))
    elif content.strip().casefold().partition(";")[0] != _FORM:
        another = wording("the data is sent as {content}, and a call of the billing is a form")
        raise Refusal(another, value, content=content)


def _as_meant(model: str, data: Sequence[Text], line: OneLiner, catalogue: Catalogue) -> TranslatedCall:
    """The call as the shell makes it, or, where that is invalid, as it reads with the inner quotes kept."""
    told = Told()
    try:
        call = _read(model, data, line, catalogue, told)
    except CommandRefused as error:
        eaten = [one for one in data if one.kept is not None]
        if not eaten:
            raise
        told = Told()
        try:
            call = _read(model, [one.kept or one for one in data], line, catalogue, told)
        except CommandRefused:
            raise error from None
        told.fault(findings.QUOTES_EATEN, eaten[0])
    line.scope.told.faults.extend(told.faults)
    line.scope.told.notes.extend(told.notes)
    return call


def _read(model: str, data: Sequence[Text], line: OneLiner, catalogue: Catalogue, told: Told) -> TranslatedCall:
    place = data[0].place
    steps, fields = _form(data, told)
    writer = _Writer(line, told)
    chain = [f"{method} {writer.written(method, arguments)}".rstrip() for method, arguments in steps]
    secrets = list(dict.fromkeys(writer.secrets))
    for name in secrets:
        if name in line.table.names:
            twice = wording("{name} is told in the data, and is a column of the rows too: rename that")
            raise Refusal(twice, place, name=name)
    names: object = _json(fields.value.plain, "fields", fields.value.at(0)) if fields and fields.value.letters else []
    if not isinstance(names, list) or not all(isinstance(one, str) and re.fullmatch(r"\w+", one) for one in names):
        raise Refusal(
            'fields is not a list of names, as ["ip", "pull"] is one', fields.value.at(0) if fields else place
        )
    try:
        whole = parse(model, chain, names)
    except ParameterRefused as error:
        raise Refusal(text_of(error), place) from error
    # The arguments of objects.get are only the key of the object.
    own = {name for number, name in writer.varying if number or whole.methods[0] != GET}
    untyped = list(dict.fromkeys(writer.untyped))
    return TranslatedCall(whole, catalogue.like(whole, own), secrets, untyped, bool(writer.varying))


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
    value: Text
    place: LinePlace


def _form(data: Sequence[Text], told: Told) -> tuple[list[tuple[str, _Entry]], _Entry | None]:
    """The methods of the data with their arguments, and the answer's fields. Raises `CommandRefused` if ambiguous."""
    entries: dict[str, _Entry] = {}
    for entry in (entry for one in data for entry in _entries(one, told)):
        if entry.key in entries:
            raise Refusal("{key} stands in the data twice", entry, key=entry.key)
        entries[entry.key] = entry
    fields = entries.pop("fields", None)
    methods = {one.number: one for one in entries.values() if one.key.startswith("method")}
    arguments = {one.number: one for one in entries.values() if one.key.startswith("arg")}
    for number, entry in methods.items():
        if not entry.value.letters:
            raise Refusal("method{number} is empty, which is not a method", entry, number=number)
        if not _METHOD.fullmatch(method := entry.value.plain):
            raise Refusal("method{number} is {given}, which is not a method", entry, number=number, given=method)
    is_paired = _pair(methods, arguments, told)
    steps: list[tuple[str, _Entry]] = []
    for before, number in pairwise([0, *sorted(methods)]):
        place = methods[number].place
        if number != before + 1 and not is_paired:
            last = f"method{before}" if before else said("nothing")
            told.fault(findings.GAP, place, number=number, before=last, missing=before + 1)
        given = arguments.get(number, _Entry("", number, Text((), place), place))
        if not given.value.letters:
            told.fault(findings.NO_ARGUMENTS, place, number=number)
        steps.append((methods[number].value.plain, given))
    if not steps:
        raise Refusal("the data names no method1, so there is nothing to call", data[0])
    return steps, fields


def _pair(methods: dict[int, _Entry], arguments: dict[int, _Entry], told: Told) -> bool:
    """Pair arguments without a method with the one method without arguments; returns whether that was possible."""
    alone = [arguments.pop(number) for number in sorted(arguments) if number not in methods]
    without = [number for number in sorted(methods) if number not in arguments]
    if len(alone) == 1 and len(without) == 1:
        (entry,), (method,) = alone, without
        name = methods[method].value.plain
        told.fault(findings.NUMBERS_APART, entry, arguments=entry.number, method=method, name=name)
        arguments[method] = entry._replace(number=method)
        return True
    for entry in alone:
        if entry.value.plain.replace(" ", "") not in ("", "{}"):
            whose = wording("arg{number} has no method{number}; whose arguments they are cannot be told")
            raise Refusal(whose, entry, number=entry.number)
        told.fault(findings.ARGUMENTS_ALONE, entry, arguments=entry.number)
    return False


def _entries(data: Text, told: Told) -> Iterator[_Entry]:
    """The fields of the data, which is split at each `&` that is not part of a value; without empty ones."""
    seen = _own(data)
    ends: list[int] = []
    for at in (found.start() for found in re.finditer("&", seen)):
        start = ends[-1] + 1 if ends else 0
        is_in_string = '"' in _STRING.sub("", seen[start:at])
        if _FIELD.match(seen, at + 1) or not is_in_string:
            ends.append(at)
        elif at == seen.index("&", start):
            before = seen[start:at].lstrip().partition("=")[0]
            told.fault(findings.NOT_ENCODED, data.at(at), key=before, char="&")
    for start, end in pairwise([-1, *ends, len(seen)]):
        part = data[start + 1 : end].stripped()
        if not part.letters:
            continue
        place, key = part.at(0), _KEY.match(part.plain)
        other = None if key else _OTHER.match(part.plain)
        if other:
            left_out = wording("{place}: the field {field} is left out: fields of each call belong into the settings")
            told.notes.append(said(left_out, place=place.text, field=named(other["key"])))
        elif key is None:
            name = part.plain.partition("=")[0]
            raise Refusal("{field} is not a field of a call, as method1=… is one", place, field=name)
        else:
            if not key["equals"]:
                told.fault(findings.MISSING_EQUALS, place, key=key["key"])
            value = _decoded(part[key.end() :], key["key"], told).stripped()
            yield _Entry(key["key"], int(key["method"] or key["arg"] or 0), value, place)


def _own(text: Text) -> str:
    """The line's own characters; a neutral one in place of each that a given value has."""
    return "".join([HOLE if letter.quote is Quote.GIVEN else letter.char for letter in text.letters])


def _decoded(value: Text, key: str, told: Told) -> Text:
    """The value as the billing decodes it, except that each `+` and `%` keeps its intended meaning."""
    is_whole = _WHOLLY_ENCODED.match(value.plain) is not None
    letters: list[Letter] = []
    seen_before: set[str] = set()
    done = 0
    for code in _CODES.finditer(_own(value)):
        place, mark = value.at(code.start()), code[0]
        is_code = mark not in ("+", "%")
        meant = " " if mark == "+" and is_whole else mark
        if is_code:
            try:
                meant = unquote_to_bytes(mark).decode()
            except UnicodeDecodeError as error:
                raise Refusal("{codes} is not a character in UTF-8", place, codes=mark) from error
            if not all(char.isprintable() or char in "\n\t\xa0" for char in meant):
                raise Refusal("{codes} is a character that cannot be seen", place, codes=mark)
        kind = "code" if is_code else mark
        if kind not in seen_before and not is_whole:
            fault = findings.ENCODED_BY_HAND if is_code else findings.NOT_ENCODED
            told.fault(fault, place, key=key, code=mark[:3], char=mark)
        seen_before.add(kind)
        letters += [*value.letters[done : code.start()], *(Letter(char, place, Quote.GIVEN) for char in meant)]
        done = code.end()
    return value.having([*letters, *value.letters[done:]])


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


class _Writer:
    """Writes the arguments of steps as JSON with placeholders.

    `varying` are the names of those with a placeholder, each with the number of its step; the placeholders `untyped`
    stand outside of strings, and are no ids. `secrets` are those whose values are left out; each has a placeholder of
    its own name.
    """

    def __init__(self, line: OneLiner, told: Told) -> None:
        self.line, self.told = line, told
        self.varying: list[tuple[int, str]] = []
        self.secrets: list[str] = []
        self.untyped: list[str] = []
        self.step = -1
        self.method = self.key = ""
        self.place = START
        self.holes: Iterator[Letter] = iter(())

    def written(self, method: str, entry: _Entry) -> str:
        """The arguments of the next step, "" for none."""
        arguments = entry.value
        self.step, self.method, self.key, self.place = self.step + 1, method, "", arguments.at(0)
        self.holes = iter(arguments.holes)
        if not arguments.letters:
            return ""
        plain = arguments.plain
        if not isinstance(_json(plain, entry.key, self.place), dict):
            raise Refusal('{key} is not an object in braces, as {{"id": 5}} is one', entry.value.at(0), key=entry.key)
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
                self.place = arguments.at(piece.start())
                if HOLE in text or _PLACEHOLDER.search(self.key):
                    raise Refusal("a variable cannot be the name of an argument", self)
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
        is_amount = self.method not in _READS and self.key.casefold() in MONEY
        is_number = _PLAIN_NUMBER.fullmatch(text) is not None
        if text in ("true", "false", "null") or (is_number and not is_amount and "." not in text):
            return self._secret(alone=True) if is_number and is_secret(self.key) else text
        if HOLE not in text and is_secret(self.key):
            return self._secret(alone=True)
        if HOLE not in text and not is_number:
            raise Refusal("{key} is {value}, which is not a plain number", self, value=text)
        if is_amount or is_number:
            self.told.fault(findings.BARE_NUMBER, self)
            return self._string(text)
        if text != HOLE:
            raise Refusal("{key} is put together of a variable and more, without quotes; quote the whole", self)
        placeholder, is_text = self._placeholder(alone=True)
        if not is_text and not _OF_IDS.search(self.key):
            self.untyped.append(placeholder.strip("{}"))
        return f'"{placeholder}"' if is_text else placeholder

    def _secret(self, *, alone: bool) -> str:
        """A placeholder for a secret, since the printed command is copied, stored and shown."""
        if not alone:
            raise Refusal("{key} is put together of a secret and a variable; let a column say the whole", self)
        self.secrets.append(self.key)
        return f'"{{{self.key}}}"'

    def _placeholder(self, *, alone: bool = False) -> tuple[str, bool]:
        self.varying.append((self.step, self.key))
        name, is_text = self.line.placeholder(next(self.holes), self.told, alone=alone)
        return f"{{{name}}}", is_text


def _literal(text: str) -> str:
    """The text as JSON, its braces escaped so that none is a placeholder, and what cannot be seen as escapes."""
    whole = json.dumps(text.replace("{", "{{").replace("}", "}}"), ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in whole)


# ---- the job -----------------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def job_form(call: TranslatedCall) -> tuple[dict[str, str], dict[str, str]] | None:
    """The values for all rows with which the job makes the same call, and the columns of the others, by parameter.

    None where the job does something else, or gives less.
    """
    spec = call.job
    if spec is None or spec.then is not None or call.template.fields != spec.fields:
        return None
    defaults = {one.name: one.default for one in spec.parameters}
    for choice in spec.choices:
        values: dict[str, str] = {}
        columns: dict[str, str] = {}
        mine = spec.template({**{name: text or "" for name, text in defaults.items()}, **choice})
        is_same = mine.methods == call.template.methods and all(
            _gives(spec, name, (link.arguments, other.arguments), values, columns)
            for link, other in zip(mine.links, call.template.links, strict=True)
            for name in {**link.arguments, **other.arguments}
        )
        needed = {name for name, text in defaults.items() if text is None}
        if is_same and not values.keys() & columns.keys() and needed <= values.keys() | columns.keys():
            # What is the default need not be said, but for a choice, since the call says it.
            return {**{name: text for name, text in values.items() if text != defaults[name]}, **choice}, columns
    return None


def _gives(
    spec: JobSpec,
    argument: str,
    links: tuple[Mapping[str, Tree], Mapping[str, Tree]],
    values: dict[str, str],
    columns: dict[str, str],
) -> bool:
    """Whether a link of the job gives an argument as a link of the call does; its value or column is then known."""
    if argument not in links[0]:
        return False
    mine = links[0][argument]
    name = _placeholder(mine)
    if argument not in links[1]:
        # A comment that is not there is an empty one.
        return bool(spec.comment) and name == spec.comment and values.setdefault(name, "") == ""
    theirs = links[1][argument]
    column = _placeholder(theirs)
    if not name:
        return not column and str(mine) == str(theirs) and isinstance(mine, bool) == isinstance(theirs, bool)
    parameter = next(one for one in spec.parameters if one.name == name)
    if column:
        return parameter.columns is not None and columns.setdefault(name, column) == column
    text = str(theirs)
    if not isinstance(theirs, str | int) or isinstance(theirs, bool) or parameter.secret:
        return False
    if not (text or parameter.has_default) or (parameter.choices and text not in parameter.choices):
        return False
    try:
        read = parameter.parse(text)
    except ValueError:
        return False
    # The job sends the text as it stands in the call: as the same text, or the same amount.
    numbers = _NUMBER.fullmatch(read) and _NUMBER.fullmatch(text)
    is_same = read == text or (numbers and Decimal(read) == Decimal(text))
    return bool(is_same) and values.setdefault(name, text) == text


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value consists of, "" for any other value."""
    match value:
        case Hole(name) | TemplateText(("", Hole(name), "")):
            return name
    return ""
