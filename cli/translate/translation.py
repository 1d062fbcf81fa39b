"""All one-liners of a text, each translated on its own into the command that does the same, or refused.

What of a page is neither a command nor a part of one is text, and passed over. A loop, a condition or a function is
never cut: what stands within it would be another call without it.

The call of a line is its address, the form that it posts, and the arguments of its steps, with placeholders; and the
job of the catalogue that makes the same call, argument by argument, where there is one.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from billing.api.calls import is_secret
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import API_URL
from cli.translate import findings
from cli.translate.findings import HOLE, START, Finding, LinePlace, Refusal, Told, Unfinished, named
from cli.translate.rows import (
    CALLERS,
    ENDS,
    FORMS,
    assigned,
    check_following,
    is_left_out,
    note_call,
    read_loop,
    read_single,
)
from cli.translate.shell import (
    CURL,
    NEWLINE,
    WGET,
    Command,
    Letter,
    Pipeline,
    Quote,
    Text,
    is_open,
    lex,
    options_of,
    parse,
)
from cli.translate.tables import OneLiner, Scope, Table, table_of
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL
from jobs.spec.chain import Hole, Template, TemplateText, Tree
from jobs.spec.chain import parse as parse_chain
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import Parameter
from jobs.spec.spec import GET, JobSpec, secret_placeholders
from texts.said import PROGRAM, Quantity, Said, said, setting, text_of, wording

# ---- the call of a line -------------------------------------------------------------------------------------------


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


def _read_call(line: OneLiner, catalogue: Catalogue) -> TranslatedCall:
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
        call = _read_pair(model, data, line, catalogue, told)
    except CommandRefused as error:
        eaten = [one for one in data if one.kept is not None]
        if not eaten:
            raise
        told = Told()
        try:
            call = _read_pair(model, [one.kept or one for one in data], line, catalogue, told)
        except CommandRefused:
            raise error from None
        told.fault(findings.QUOTES_EATEN, eaten[0])
    line.scope.told.faults.extend(told.faults)
    line.scope.told.notes.extend(told.notes)
    return call


def _read_pair(model: str, data: Sequence[Text], line: OneLiner, catalogue: Catalogue, told: Told) -> TranslatedCall:
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
        whole = parse_chain(model, chain, names)
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


def _job_form(call: TranslatedCall) -> tuple[Mapping[str, str], Mapping[str, str]] | None:
    """The values for all rows with which the job makes the same call, and the columns of the others, by parameter.

    One that is both is empty where its cell is, as in the call: the job would send its default there. None where the
    job does something else, or gives less.
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
            given = {name: text for name, text in values.items() if text != defaults[name]}
            return {**given, **{name: "" for name in columns if defaults[name]}, **choice}, columns
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
        can_be = parameter.columns is not None and (not parameter.default or _takes(parameter, ""))
        return can_be and columns.setdefault(name, column) == column
    text = str(theirs)
    if not isinstance(theirs, str | int) or isinstance(theirs, bool) or parameter.secret:
        return False
    return _takes(parameter, text) and values.setdefault(name, text) == text


def _takes(parameter: Parameter, text: str) -> bool:
    """Whether the job sends a text as it stands in the call: as the same text, or the same amount."""
    if not (text or parameter.has_default) or (parameter.choices and text not in parameter.choices):
        return False
    try:
        read = parameter.parse(text)
    except ValueError:
        return False
    numbers = _NUMBER.fullmatch(read) and _NUMBER.fullmatch(text)
    return read == text or bool(numbers and Decimal(read) == Decimal(text))


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value consists of, "" for any other value."""
    match value:
        case Hole(name) | TemplateText(("", Hole(name), "")):
            return name
    return ""


# ---- one-liners ---------------------------------------------------------------------------------------------------


_OPENS_IN_DOUBLE: Final = frozenset('"$`\\!')
_END_OF_ROWS: Final = "ROWS"

NEVER_READ: Final = wording(
    "{program} only prints the answer, and nobody reads an error in it; the run reads each, and keeps it"
)
NOT_ENCODED: Final = wording(
    "{program} encodes nothing: a value with +, & or % arrives as another; the run encodes every value"
)
NOT_PRINTED: Final = wording(
    "{name} is a secret and is not printed: --ask {name} asks for it at the terminal; leave that out where a file of "
    "rows has a column {name}"
)
GUARDED: Final = wording(
    "the condition on ${name} is left out: the run passes over blank lines, and refuses a row without that value"
)
TYPED: Final = wording(
    "{{{name}}}: a whole number is sent as a number, anything else as a text, true, false and null too, which the "
    "shell leaves as they are"
)
_CAN_BE_EMPTY: Final = wording(
    "${name} can be empty in a row, which the loop passes over and the run would send: take such rows out of the file"
)
MORE_VALUES: Final = wording(
    "a line with more values than variables gives {name} the rest in the loop; the run refuses it, with its number"
)
SAME_FOR_ALL: Final = said("no variable of the loop is used: the same call is made for each row")


@dataclass(frozen=True, slots=True)
class Translation:
    """The command as a list of arguments, the faults in the order of their places, and notes.

    `call` is the same as the generic `run call`, where `command` is a job of the catalogue. `text` are rows that the
    line has itself, for standard input; `pipe` are shell commands that print the rows.
    """

    command: tuple[str, ...]
    call: tuple[str, ...] | None
    text: str
    pipe: str
    faults: Sequence[Finding]
    notes: Sequence[str]

    def pretty(self, command: Sequence[str]) -> str:
        """A command with one option a line and what gives it its rows, safe to paste into a shell."""
        words = [quoted(word) for word in command]
        start = next((at for at, word in enumerate(command) if word.startswith("--")), len(words))
        options = [" ".join(pair) for pair in list(pairwise(words))[start::2]]
        pipe = f"{self.pipe} | " if self.pipe else ""
        shown = " \\\n  ".join([f"{pipe}{' '.join(words[:start])}", *options])
        return f"{shown} <<'{_END_OF_ROWS}'\n{self.text}{_END_OF_ROWS}" if self.text else shown


def quoted(word: str) -> str:
    """A word quoted for the shell: in double quotes if it has single quotes and no other special characters."""
    return f'"{word}"' if "'" in word and not _OPENS_IN_DOUBLE & set(word) else shlex.quote(word)


# ---- where a one-liner begins and ends ----------------------------------------------------------------------------

_LONGEST: Final = 20_000
"""Characters of a one-liner; the vendor's longest has about 600."""
_MOST_LINES: Final = 100
"""Lines after which nothing is expected to end what begins here."""

_MARKUP: Final = re.compile(
    r"\{(?:code|noformat|panel|note|quote|tip|info|warning)(?::[^}\n]*)?\}|^[ \t]*```[^\n]*$|</?(?:pre|code)>",
    re.MULTILINE,
)
_LINE: Final = re.compile(r"[ \t]*(?:\$[ \t]+)?(?P<line>[^\n]*)(?:\n|\Z)")
"""A line without its prompt."""
_STARTS: Final = re.compile(
    r"""(?:/\S+/)?(?:
        (?:curl|wget)[ ]+(?:[-'"$\\]|https?:|\S+/rest_api)
      | sqlexec[ ]+["'$-]
      | (?:curl|wget|sqlexec|xargs|parallel)[ ]*\\$
      | (?:parallel|xargs)[ ].*\b(?:curl|wget|sh)\b
      | while[ ]+(?:IFS=|read\b|\[|true\b|:|\()
      | until[ ]+(?:\[|test\b|!|curl\b)
      | for[ ]+\w+[ ]+in[ ].*;[ ]*do\b
      | for[ ]*\(\(
      | if[ ]+(?:\[|!|test\b|grep\b|curl\b|wget\b|\()
      | case[ ]+["'$]\S*[ ]+in\b
      | [A-Za-z_][\w-]*[ ]*\(\)
      | function[ ]+[A-Za-z_]
      | (?:export[ ]+)?[A-Za-z_]\w*=(?:"[^"]*"|\$?'[^']*'|[^\s;&|<>"'()])*(?:\$\(.*\))?[ ]*(?:;|\#|$)
      | [({][ ]*$
    )""",
    re.VERBOSE,
)
_FOR: Final = re.compile(r"for[ ]+\w+[ ]+in[ ]")
_DO: Final = re.compile(r"[ \t]*do\b")
_WITHIN: Final = re.compile(r"\|[ ]*(?:while|xargs|parallel)\b|\b(?:curl|wget)[ ]+.*(?:/rest_api/v2/|\bmethod1=)")
"""What makes a line a command, whatever it begins with."""
_PIPED: Final = re.compile(r"(?:cat|tail|head|sed|grep|awk|cut|sort|seq|echo|printf|tr|uniq)[ ].*(?:\||\\$)")
_CALLS: Final = re.compile(r"\b(?:curl|wget|sqlexec)\b")
_CLOSES: Final = re.compile(r"[ \t]*(?:done|fi|esac|\})(?![\w=])")
_OPENS: Final = re.compile(r"(?:^|[;&|\n]|\bdo\b|\bthen\b|\belse\b)[ \t]*(while|until|for|if|case|done|fi|esac)\b")
_GOES_ON: Final = re.compile(r"(?:\\|\||&&)[ \t]*$")


class Snippet(NamedTuple):
    """A part of a text that is read apart, and where it begins.

    `stray` is where a loop or condition ends beside it whose beginning is not read.
    """

    text: str
    place: LinePlace
    stray: LinePlace | None = None


def snippets(text: str) -> list[Snippet]:
    """The parts of a text that are commands, in order; the whole text if it is a single line, or one that calls.

    They lie between marks of a page, and have no prompts; a line may be cut by a mark.
    """
    whole = text.lstrip(" \t\n")
    found: list[Snippet] = []
    marks = [0, *(at for mark in _MARKUP.finditer(text) for at in mark.span()), len(text)]
    if NEWLINE not in text.strip() and len(marks) == len("[]"):
        return [Snippet(whole, _place(text, len(text) - len(whole)))]
    for start, end in zip(marks[::2], marks[1::2], strict=True):
        lines = [line.span("line") for line in _LINE.finditer(text, start, end)]
        within: list[Snippet] = []
        stray: LinePlace | None = None
        at = 0
        while at < len(lines):
            line, following = (text[slice(*span)] for span in (*lines[at : at + 2], (0, 0))[:2])
            goes_on = (_FOR.match(line) and _DO.match(following)) or (
                _GOES_ON.search(line) and _is_command(following)
            )
            if not line.startswith("#") and (goes_on or _is_command(line)):
                first, at = lines[at][0], _end(text, lines, at)
                within.append(Snippet(text[first : lines[at][1]], _place(text, first)))
            elif _CLOSES.match(line):
                stray = stray or _place(text, lines[at][0])._replace(column=1)
            at += 1
        found += [one._replace(stray=stray) for one in within]
    return found or ([Snippet(whole, _place(text, len(text) - len(whole)))] if _CALLS.search(text) else [])


def _place(text: str, at: int) -> LinePlace:
    return LinePlace(text.count(NEWLINE, 0, at) + 1, at - text.rfind(NEWLINE, 0, at))


def _is_command(line: str) -> bool:
    """Whether a line is one of a shell; a line that is too long for one is refused as such, and not searched."""
    return len(line) > _LONGEST or any((_STARTS.match(line), _PIPED.match(line), _WITHIN.search(line)))


def _end(text: str, lines: Sequence[tuple[int, int]], at: int) -> int:
    """The line with which the command ends that begins with the line `at`."""
    for last in range(at, min(len(lines), at + _MOST_LINES)):
        written = text[lines[at][0] : lines[last][1]]
        if len(written) > _LONGEST:
            return at if last == at else len(lines) - 1
        goes_on, in_quote = _state(written)
        if not goes_on and not in_quote:
            return last
        following = text[slice(*lines[last + 1])] if last + 1 < len(lines) else ""
        if not goes_on and (not following.strip() or _is_command(following)):
            # A quote that is never closed takes no other command in: it is a slip in this one.
            return at
    return len(lines) - 1


def _state(written: str) -> tuple[bool, bool]:
    """Whether something more has to follow, and whether a quote is open."""
    if written.rstrip(" \t").endswith("\\"):
        return True, False
    told = Told()
    try:
        tokens = lex(written, told)
    except Unfinished:
        return True, False
    except CommandRefused:
        words = _OPENS.findall(written)
        closed = sum(word in ("done", "fi", "esac") for word in words)
        return len(words) > 2 * closed, False
    return is_open(tokens), any(one.what.template == findings.QUOTE_NOT_CLOSED.what for one in told.faults)


# ---- the text ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Translated:
    """A one-liner that begins at `place`, and its translation; or None, and the sentence that refuses it."""

    place: LinePlace
    translation: Translation | None
    refusal: str = ""


def translate_all(
    text: str, given: Mapping[str, str], catalogue: Catalogue, *, alone: bool = False
) -> list[Translated]:
    """The one-liners of a text, in order; `given` are values of variables that it does not define.

    Raises `CommandRefused` for a text without any, for a given value that nothing uses, and, with `alone`, for a
    single one-liner that is refused.
    """
    before = Scope(given)
    found = [one for snippet in snippets(text) for one in _each(snippet, before, catalogue)]
    if not found:
        nothing = wording("no line of a shell calls curl, wget or sqlexec: there is nothing to translate; {forms}")
        raise Refusal(nothing, START, forms=FORMS)
    if alone and len(found) == 1 and found[0].translation is None:
        raise CommandRefused(found[0].refusal)
    unused = [name for name in given if name not in before.asked]
    if unused and all(one.translation for one in found):
        what = wording("{option}: there is no ${name} in the line whose value it leaves open")
        raise CommandRefused(said(what, option=setting("set", unused[0]), name=unused[0]))
    return found


def _each(snippet: Snippet, before: Scope, catalogue: Catalogue) -> Iterator[Translated]:
    """The one-liners of a part of a text; what they set is known to those behind them."""
    of_quotes, left_out = Told(), Told()
    calls: list[tuple[Pipeline, Scope]] = []
    try:
        if len(snippet.text.strip()) > _LONGEST:
            too_long = wording("a command of more than {longest} characters; a one-liner is not")
            raise Refusal(too_long, snippet.place, longest=Quantity(_LONGEST))
        if snippet.stray is not None:
            stray = wording("a loop or a condition ends here whose beginning is not read: its calls may depend on it")
            raise Refusal(stray, snippet.stray)
        for pipeline in parse(lex(snippet.text, of_quotes, snippet.place)):
            if values := assigned(pipeline):
                for name, value in values:
                    before.set_before(name, value)
            elif not is_left_out(pipeline, left_out):
                calls.append((pipeline, Scope(before.given, dict(before.values), asked=before.asked)))
    except CommandRefused as error:
        yield Translated(snippet.place, None, _with_quote(error, of_quotes.faults))
        return
    for at, (pipeline, scope) in enumerate(calls):
        start, end = pipeline.place if at else START, calls[at + 1][0].place if at + 1 < len(calls) else None
        own = [one for one in of_quotes.faults if one.place >= start and (end is None or one.place < end)]
        scope.told.faults.extend(own)
        try:
            found = _translate(pipeline, scope, catalogue)
        except CommandRefused as error:
            yield Translated(pipeline.place, None, _with_quote(error, own))
            continue
        yield Translated(pipeline.place, replace(found, notes=list(dict.fromkeys((*found.notes, *left_out.notes)))))


def _with_quote(error: CommandRefused, of_quotes: Sequence[Finding]) -> str:
    """The refusal; where a quote is open, the refused part is most likely misread because of it."""
    fault = next((one for one in of_quotes if one.kind == findings.QUOTE_NOT_CLOSED.kind), None)
    if fault is None:
        return text_of(error)
    from_elsewhere = wording("{error}; this may come of another place, {place}: {fault}")
    return said(from_elsewhere, error=error, place=fault.place.text, fault=fault.what)


# ---- a one-liner -------------------------------------------------------------------------------------------------


def _read(pipeline: Pipeline, scope: Scope) -> OneLiner:
    *before, last = pipeline.stages
    check_following(pipeline)
    outer, rows = scope, None
    guards: list[tuple[Letter, Text]] = []
    if last.taking is not None:
        rows = read_loop(before, last, last.taking)
        scope = outer.within(rows.taking.variables)
        call = read_single(_body(last, scope, guards), scope.told)
        if "IFS" in scope.values:
            raise Refusal("IFS is set for more than the read of a loop: set it there, while IFS=';' read …", last)
    elif last.program in ENDS and not (before and before[0].program in CALLERS):
        call, rows = ENDS[last.program](before, last, scope.told)
        scope = outer.within(rows.taking.variables)
        note_call(call, scope.told, apart=pipeline.apart)
    else:
        call = read_single(pipeline, scope.told)
    redirects = tuple(
        (operator, scope.resolve_word(word) if operator.symbol != "<" and "<" in operator.symbol else word)
        for operator, word in call.redirects
    )
    call = replace(call, words=tuple(scope.resolve_word(word) for word in call.words), redirects=redirects)
    if rows is None:
        return OneLiner(call, scope, Table(), guards)
    lookups = [(one.key, one.variable) for one in scope.lookups if one.variable is not None]
    texts = [*call.words, *(one for one in scope.values.values() if isinstance(one, Text))]
    rows = scope.in_columns(rows, [*texts, Text(tuple(variable for _, variable in lookups), START)])
    renamed = {field: name for field, name in scope.fields.items() if name}
    renamed |= {variable.name: key for key, variable in lookups}
    return OneLiner(call, scope, table_of(rows, outer, renamed), guards)


def _body(loop: Command, scope: Scope, guards: list[tuple[Letter, Text]]) -> Pipeline:
    calls: list[Pipeline] = []
    for pipeline in loop.body:
        guard, values = pipeline.stages[0], assigned(pipeline)
        if calls and values:
            raise Refusal("a variable is set behind the call, for the next row: this is not translated", pipeline)
        for name, text in values:
            scope.set_for_row(name, text)
        if guard.tested:
            guards.append((guard.tested, scope.value_of(Text((guard.tested,), guard.place))))
            if calls:
                raise Refusal("a condition behind the call is not translated", guard)
            for one in guard.body:
                if not is_left_out(one, Told()):
                    raise Refusal("a command for some rows alone is not translated", one)
        elif not values and not is_left_out(pipeline, scope.told):
            calls.append(pipeline)
    if not calls:
        raise Refusal("the loop makes no call: there is no curl in it", loop)
    for second in calls[1:]:
        raise Refusal("a second command in the loop: a run makes one call for each row", second)
    return calls[0]


# ---- the command -------------------------------------------------------------------------------------------------


def _translate(pipeline: Pipeline, scope: Scope, catalogue: Catalogue) -> Translation:
    line = _read(pipeline, scope)
    told, table = line.scope.told, line.table
    call = _read_call(line, catalogue)
    for name in secret_placeholders(call.template):
        if table.text and name in table.names:
            told_here = wording("{name} is a secret, and the line itself has its values: put the rows into a file")
            raise Refusal(told_here, line.call, name=name)
    used = {*call.template.names, *(one.key for one in line.scope.lookups)}
    values, columns = _job_form(call) or ({}, {})
    sent_empty = {*call.template.emptying, *(column for name, column in columns.items() if name in values)}
    for guard, value in line.guards:
        letter = value.letters[0] if len(value.letters) == 1 else None
        is_found = letter and line.scope.found(letter)
        if not is_found and not (letter and table.is_never_empty(letter, used, sent_empty)):
            raise Refusal(_CAN_BE_EMPTY, guard)
    job, generic = _commands(line, call)
    notes: list[Said] = []
    if call.job and not job:
        has_job = wording("the catalogue has a job for this: {run}; {jobs} says how")
        run, jobs = (f"{PROGRAM} {command} {call.job.name}" for command in ("run", "jobs"))
        notes.append(said(has_job, run=run, jobs=jobs))
    notes += [said(NOT_PRINTED, name=name) for name in call.secrets]
    if call.address:
        elsewhere = wording("the address is that of the settings: {option}, or {variable}")
        notes.append(said(elsewhere, option=setting("api-url", call.address), variable=API_URL))
    program = line.call.program
    notes.append(said(NEVER_READ, program=program))
    if not call.is_encoded:
        notes.append(said(NOT_ENCODED, program="curl -d" if program == "curl" else program))
    notes += [said(TYPED, name=name) for name in call.untyped if table.file]
    if table.names and not call.varies:
        notes.append(SAME_FOR_ALL)
    if table.takes_rest and table.delimiter != " " and not table.passes_rest(used):
        notes.append(said(MORE_VALUES, name=table.names[-1]))
    notes += [said(GUARDED, name=guard.name) for guard, _ in line.guards]
    faults, call_as_made = tuple(sorted(set(told.faults))), generic if job else None
    return Translation(job or generic, call_as_made, table.text, table.pipe, faults, [*notes, *told.notes])


def _commands(line: OneLiner, call: TranslatedCall) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The command of the job that makes the call, None where none can, and the generic one."""
    table, lookups = line.table, line.scope.lookups
    file = (table.file,) if table.file else ()
    keys = {one.key: one.text for one in lookups if one.variable is None}
    template, used = call.template, {*call.template.names, *(one.key for one in lookups)}
    fields = [",".join(template.fields)] if template.fields else []
    generic = (
        *(PROGRAM, "run", CALL, *file, "--model", template.model),
        *(*_options("--chain", template.text), *_options("--fields", fields), *table.options(used)),
        *(*_options("--set", keys.items()), *_options("--ask", call.secrets)),
    )
    form, found = _job_form(call), {one.id for one in lookups}
    if call.job is None or form is None or any(name != one for name, one in form[1].items() if one in found):
        return None, generic
    values, of_job = form
    # The columns of the rows by the names of the job's values.
    columns = {name: column for name, column in of_job.items() if column not in (*call.secrets, *found)}
    columns |= {one.key: one.key for one in lookups if one.variable is not None}
    # A call with undefined variables shows their names, which a job has not.
    if not set(columns.values()) <= set(table.names) or len(set(columns.values())) < len(columns):
        return None, generic
    secrets = [name for name, column in of_job.items() if column in call.secrets]
    return (
        *(PROGRAM, "run", call.job.name, *file, *_options("--set", {**values, **keys}.items())),
        *(*table.options_of_job(columns), *_options("--ask", secrets)),
    ), generic


def _options(name: str, values: Iterable[str | tuple[str, str]]) -> Iterator[str]:
    for value in values:
        yield from (name, value if isinstance(value, str) else "=".join(value))
