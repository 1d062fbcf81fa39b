"""Sentences for people as values: a template with its parameters, beside the English text that they make.

    said("run {run} is done", run="k7m2q")
    counted("{n} row[s] [is|are] rejected", 3)

Such a value is the English text, wherever a text is wanted: in a log, in JSON, in the journal. A screen, a page or a
report renders it in the language of its reader, from template and parameters, also later and from the journal.

Parameters are named. One that is a `Said` itself is rendered in the same language, several as an enumeration, an
error as its sentence; numbers, money, days and moments are written as the language writes them. All others are
texts of files, of the billing or of the operator, and what a person types: the same in every language.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from shlex import quote
from string import Formatter
from types import MappingProxyType
from typing import Final, Self, TypeAlias

import msgspec

# ---- remedies: what sentences advise, spelled as a person types it in any language --------------------------------


PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
SETTINGS_PROFILE: Final = "CARBON_MIGRATE_PROFILE"
VAULT_KEY: Final = "vault_key"
VAULT_KEY_FILE: Final = "vault.key"
VAULT_KEY_SETTING: Final = f'{VAULT_KEY} = "{VAULT_KEY_FILE}"'


_OPENS_BILLING: Final = frozenset(
    {"doctor", "plan", "run", "import", "resume", "undo", "verify", "reconcile", "probe", "dictionary"}
)
TAKES_PROFILE: Final = _OPENS_BILLING | frozenset(
    {"decide", "export", "report", "page", "worker", "status", "pause", "continue", "get", "set", "stop", "purge"}
    | {"close", "compare", "validate"}
)
"""The commands that read settings, and so take a file, a profile, a billing and a journal."""

Options: TypeAlias = Mapping[str, str | None]
"""Options by their names; None for one without a value."""

_NONE: Final[Options] = MappingProxyType({})


class _Advised(msgspec.Struct, frozen=True):
    journal: Options = _NONE
    billing: Options = _NONE
    in_force: Options = _NONE
    runs: Mapping[str, Options] = MappingProxyType({})


_NOTHING: Final = _Advised()
_advised: Final[ContextVar[_Advised]] = ContextVar("advised", default=_NOTHING)


def advise_settings(journal: Options, billing: Options = _NONE, in_force: Options = _NONE) -> None:
    """Let commands that are advised from now on name what leads to this journal and billing, from any folder.

    `journal` is for all commands, `billing` for those that open the billing; `in_force` are the billing's addresses,
    whether they have to be typed or stand in a file that `journal` names. None of them is a secret.
    """
    _advised.set(_Advised(journal, billing, in_force))


def advise_runs(runs: Mapping[str, Options]) -> None:
    """Let commands about these runs lead to their own billings: by a profile, or by addresses not in force."""
    _advised.set(msgspec.structs.replace(_advised.get(), runs=runs))


def _leading(command: str, words: Sequence[str]) -> tuple[str, ...]:
    """The options that lead a command to its journal and billing, without those that its words give already."""
    if command not in TAKES_PROFILE:
        return ()
    found, given = _advised.get(), {word for one in words for word in one.split()}
    options = dict(found.journal)
    if "--profile" in given:
        options.pop("journal", None)
    elif command in _OPENS_BILLING:
        own = next((found.runs[word] for word in words if word in found.runs), _NONE)
        # A profile has all addresses of its billing.
        options |= own if "profile" in own else found.billing
        if "profile" not in options:
            options |= {name: value for name, value in own.items() if value != found.in_force.get(name)}
    pairs = ((f"--{name}", value) for name, value in options.items())
    return tuple(
        word
        for flag, value in pairs
        if flag not in given
        for word in ((flag,) if value is None else (flag, quote(value)))
    )


def setting(name: str, value: str = "") -> str:
    """A setting as it is typed; the value is "" for one without a value."""
    return f"--{name} {value}" if value else f"--{name}"


def advised(command: str, run: str = "", *settings: tuple[str, str]) -> str:
    """A command within a sentence, in backticks: for a run, if it has one, with settings by their names."""
    flags = (word for name, value in settings for word in (f"--{name}", value))
    return f"`{command_line(*filter(None, (command, run, *flags)))}`"


_AGREES: Final = frozenset({"--yes", "-y", "-qy", "-yq", "-vy", "-yv"})


def command_line(*words: str) -> str:
    """A command of the program as it is typed into a shell, word by word; it stands on a line of its own.

    One that answers a doubt never agrees in advance: what has come meanwhile is shown before it is sent.
    """
    if "--again" in words:
        words = tuple(word for word in words if word not in _AGREES)
    return " ".join((PROGRAM, *map(quote, words), *_leading(words[0] if words else "", words)))


# ---- sentences ----------------------------------------------------------------------------------------------------


_KOPECK: Final = Decimal("0.01")
_BY_NUMBER: Final = re.compile(r"\[(?:([^][|]*)\|)?([^][|]*)\]")


class Quantity(int):
    """A number of things, written with separated thousands; other numbers are names: a line, a port."""

    __slots__ = ()


Value: TypeAlias = str | int | float | Decimal | date | tuple[str, ...]
"""A parameter: a text or a `Said`, a number, an amount in roubles, a day or a moment, or an enumeration of texts."""

Given: TypeAlias = Value | Path | BaseException
"""What a parameter is made of: a path is a text, an error is its sentence."""


class Said(str):
    """A sentence for people: its English text, and the template and parameters that make it in any language.

    `many` is the template for other numbers than one of the `n` things that the sentence is about; None without them.
    `code` is what a reason is counted and compared by, see `kind_of`; "" for a sentence that nothing is decided by.
    """

    __slots__ = ("code", "many", "n", "template", "values")

    template: str
    values: Mapping[str, Value]
    many: str | None
    n: int
    code: str

    def __new__(
        cls, template: str, given: Mapping[str, Given], many: str | None = None, n: int = 1, code: str = ""
    ) -> Self:
        """Make the English text. Raises `KeyError` if the template names what has no value."""
        chosen = template if many is None or n == 1 else many
        values: dict[str, Value] = {}
        texts: dict[str, str] = {}
        for name, one in given.items():
            if isinstance(one, str):
                values[name], texts[name] = one, str(one)
            else:
                values[name] = value = _value(one)
                texts[name] = plain(value)
        self = super().__new__(cls, chosen.format_map(texts))
        self.template, self.values, self.many, self.n, self.code = template, MappingProxyType(values), many, n, code
        return self

    def __reduce__(self) -> tuple[type["Said"], tuple[str, dict[str, Value], str | None, int, str]]:
        return Said, (self.template, dict(self.values), self.many, self.n, self.code)


class SaidError(Exception):
    """Root of the errors that a person reads: each is raised with a sentence, or with a template and its values.

    raise InputRefused("{file} is empty", file=path)
    """

    def __init__(self, sentence: str, /, **values: Given) -> None:
        super().__init__(Said(sentence, values) if values else sentence)


class ValueRefused(SaidError, ValueError):
    """Raised for a text that is no value of its kind: what a cell, a parameter or a setting holds."""


def said(template: str, /, **values: Given) -> Said:
    """A sentence; the names in the template are those of `values`."""
    return Said(template, values)


def reason(template: str, code: str, /, **values: Given) -> Said:
    """A sentence by whose code something is decided, however it is worded."""
    return Said(template, values, code=code)


def kind_of(text: str) -> str:
    """What a reason is counted and compared by: its code, else what stands before its first colon.

    Of a sentence without a code that is the beginning of its template, with its values; of a text of the billing, or
    of a journal that had no templates, the beginning of the text.
    """
    if not isinstance(text, Said):
        return text.partition(":")[0]
    if text.code:
        return text.code
    chosen = text.template if text.many is None or text.n == 1 else text.many
    values = {name: kind_of(value) if isinstance(value, str) else plain(value) for name, value in text.values.items()}
    return chosen.partition(":")[0].format_map(values)


def heading(rendered: str) -> str:
    """The beginning of a reason in its reader's language, for several rows that share it."""
    return rendered.partition(":")[0]


def wording(template: str) -> str:
    """A template alone, for a table of sentences: `said(TABLE[kind], name=…)` makes a sentence of it."""
    return template


def counted(sentence: str, n: int, /, **values: Given) -> Said:
    """A sentence about `n` things, which it may name as `{n}`; what their number changes stands in brackets."""
    one, many = forms(sentence)
    return Said(one, {"n": Quantity(n), **values}, many, n)


def forms(sentence: str) -> tuple[str, str]:
    """The templates of a sentence for one thing and for other numbers: `[it|they]`, and `row[s]` for `[row|rows]`."""
    return _BY_NUMBER.sub(r"\1", sentence), _BY_NUMBER.sub(r"\2", sentence)


def percent(share: Decimal) -> Said:
    return said("{percent}%", percent=float(share))


def day_in(moment: str) -> date | str:
    """The day of a moment as the billing writes it; what is none stays as it is."""
    try:
        return date.fromisoformat(moment[:10])
    except ValueError:
        return moment


def enumerated(texts: Iterable[str]) -> Said:
    """Several texts as one, with commas between them."""
    return Said("{texts}", {"texts": tuple(texts)})


def some_of(named: Sequence[str], most: int = 3) -> Said:
    """The first few names and the number of the others, for a sentence."""
    if len(named) <= most:
        return enumerated(named)
    return said("{names} and {more} more", names=tuple(named[:most]), more=Quantity(len(named) - most))


def in_lines(sentences: Sequence[str]) -> Said:
    return _several(sentences, "\n")


def in_clauses(clauses: Sequence[str]) -> Said:
    """Several clauses as one sentence, with semicolons between them."""
    return _several(clauses, "; ")


def _several(texts: Sequence[str], between: str) -> Said:
    names = [f"text{number}" for number in range(len(texts))]
    return Said(between.join(f"{{{name}}}" for name in names), dict(zip(names, texts, strict=True)))


def any_of(words: Sequence[str]) -> str:
    """Words of which one holds: a, b or c."""
    *others, last = words
    return said("{others} or {last}", others=tuple(others), last=last) if others else last


_OF_THE_SYSTEM: Final = frozenset(
    (
        wording("Address already in use"),
        wording("Connection refused"),
        wording("Connection reset by peer"),
        wording("Connection timed out"),
        wording("File exists"),
        wording("Input/output error"),
        wording("Is a directory"),
        wording("Network is unreachable"),
        wording("No route to host"),
        wording("No space left on device"),
        wording("No such file or directory"),
        wording("Not a directory"),
        wording("Operation not permitted"),
        wording("Permission denied"),
        wording("Read-only file system"),
        wording("attempt to write a readonly database"),
        wording("database disk image is malformed"),
        wording("database is locked"),
        wording("database or disk is full"),
        wording("disk I/O error"),
        wording("unable to open database file"),
    )
)
"""What the system and SQLite say in English wherever Python asks them."""


def text_of(error: BaseException) -> str:
    """The sentence of an error, as a `Said` where it was raised with one, or where its text is a known one."""
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)
    return said(text) if text in _OF_THE_SYSTEM else text


def reason_of(error: OSError | int) -> str:
    """Why the system refused, by its error or its number, without the file's name; a sentence where it is known."""
    why = os.strerror(error) if isinstance(error, int) else error.strerror or str(error)
    return said(why) if why in _OF_THE_SYSTEM else why


_SENDER: Final = re.compile(r"(page, )?(.*?)(?: \(says it is (.*)\))?(?:, process ([0-9]+))?", re.DOTALL)


def name_of_sender(who: str) -> str:
    """Who gave a command, as `ourselves` spells it for the journal."""
    found = _SENDER.fullmatch(who)
    if found is None or found[2] == who:
        return who
    through, name, claimed, process = found.groups()
    name = said("{name} (says it is {claimed})", name=name, claimed=claimed) if claimed else name
    name = said("page, {name}", name=name) if through else name
    return said("{name}, process {process}", name=name, process=process) if process else name


def _value(given: Given) -> Value:
    match given:
        case BaseException():
            return text_of(given)
        case Path():
            return str(given)
        case _:
            return given


def plain(value: Value) -> str:
    """A parameter in the English text: digits without separators, which scripts and searches find."""
    match value:
        case tuple():
            return ", ".join(value)
        case Decimal():
            return two_decimals(value)
        case datetime():
            return value.isoformat(timespec="seconds")
        case float():
            return f"{value:.12g}"
        case _:
            return str(value)


def two_decimals(amount: Decimal) -> str:
    exact = amount.quantize(_KOPECK)
    return format(exact if exact == amount else amount, "f")


class Language(ABC):
    """A language, and how it writes values on the screen or page of its reader."""

    name: str

    @abstractmethod
    def translate(self, template: str) -> str:
        """The template of a sentence."""

    @abstractmethod
    def translate_counted(self, one: str, many: str, n: int) -> str:
        """The template of a sentence about `n` things."""

    @abstractmethod
    def write(self, value: float | Decimal | date) -> str:
        """A number, an amount, a day or a moment, as it stands in a sentence."""

    def render(self, text: str) -> str:
        """A sentence in this language; a text that is no `Said` is the same in all of them."""
        if not isinstance(text, Said):
            return text
        if text.many is None:
            template = self.translate(text.template)
        else:
            template = self.translate_counted(text.template, text.many, text.n)
        values: dict[str, str] = {}
        for name, value in text.values.items():
            match value:
                case str():
                    values[name] = self.render(value)
                case tuple():
                    values[name] = ", ".join(map(self.render, value))
                case _:
                    values[name] = self.write(value)
        return template.format_map(values)


# ---- sentences as JSON, as the journal keeps them; a text without a template is a JSON string ---------------------
# A sentence is its template, its values by name and, where it is about a number of things, the template for others
# than one: `{"template": "{n} row", "values": {"n": {"number": 5}}, "many": "{n} rows", "n": 5}`. A reason has its
# code.


class _Money(msgspec.Struct, frozen=True, tag="money", tag_field="is"):
    amount: Decimal


class _Number(msgspec.Struct, frozen=True, tag="number", tag_field="is"):
    n: int


class _Moment(msgspec.Struct, frozen=True, tag="moment", tag_field="is"):
    at: datetime


class _Day(msgspec.Struct, frozen=True, tag="day", tag_field="is"):
    day: date


class _Several(msgspec.Struct, frozen=True, tag="several", tag_field="is"):
    texts: "tuple[str | _Sentence, ...]"


class _Sentence(msgspec.Struct, frozen=True, tag="said", tag_field="is", omit_defaults=True):
    template: str
    values: "dict[str, _Stored]" = {}
    many: str | None = None
    n: int = 1
    code: str = ""


_Stored: TypeAlias = "str | int | float | _Money | _Number | _Moment | _Day | _Several | _Sentence"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_NO_SENTENCE: Final = (msgspec.MsgspecError, KeyError, IndexError, ValueError)


def to_json(text: str) -> str:
    """A sentence as it is kept; a text that is no `Said` as a JSON string."""
    return _encode(_packed(text) if isinstance(text, Said) and text.template != _PLAIN else str(text)).decode()


def from_json(kept: str) -> Said:
    """A sentence as it was kept; what is no sentence, as where a hand has changed it, is shown as it stands there."""
    try:
        return from_builtins(_decode(kept))
    except msgspec.MsgspecError:
        return plain_text(kept)


def from_builtins(value: object) -> Said:
    """A sentence out of decoded JSON, where a text without a template stands as that text."""
    try:
        return plain_text(value) if isinstance(value, str) else _unpacked(msgspec.convert(value, _Sentence))
    except _NO_SENTENCE:
        return plain_text(str(value))


def plain_text(text: str) -> Said:
    return Said(_PLAIN, {"text": text})


_PLAIN: Final = "{text}"


def _packed(said: Said) -> _Sentence:
    values = {name: _stored(value) for name, value in said.values.items()}
    return _Sentence(said.template, values, said.many, said.n, said.code)


def _stored(value: Value) -> _Stored:
    match value:
        case Said():
            return _packed(value)
        case tuple():
            return _Several(tuple(_packed(one) if isinstance(one, Said) else one for one in value))
        case Decimal():
            return _Money(value)
        case Quantity():
            return _Number(int(value))
        case datetime():
            return _Moment(value)
        case date():
            return _Day(value)
        case _:
            return value


def _unpacked(sentence: _Sentence) -> Said:
    for template in (sentence.template, sentence.many or ""):
        for _, name, layout, _ in Formatter().parse(template):
            # Ours have names alone: a width of somebody else's could take all memory, an attribute tell more.
            if layout or (name is not None and not name.isidentifier()):
                raise ValueError(f"{template!r} is no template of ours")
    values = {name: _stored_value(stored) for name, stored in sentence.values.items()}
    return Said(sentence.template, values, sentence.many, sentence.n, sentence.code)


def _stored_value(stored: _Stored) -> Value:
    match stored:
        case _Sentence():
            return _unpacked(stored)
        case _Several(texts):
            return tuple(_unpacked(one) if isinstance(one, _Sentence) else one for one in texts)
        case _Money(amount):
            return amount
        case _Number(n):
            return Quantity(n)
        case _Moment(at) | _Day(at):
            return at
        case _:
            return stored
