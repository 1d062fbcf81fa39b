"""Sentences as JSON, as the journal keeps them; a text without a template is a JSON string.

A sentence is its template, its values by name and, where it is about a number of things, the template for others than
one: `{"template": "{n} row", "values": {"n": {"number": 5}}, "many": "{n} rows", "n": 5}`. A reason has its code.
"""

from datetime import datetime
from decimal import Decimal
from string import Formatter
from typing import Final, TypeAlias

import msgspec

from texts.said import Quantity, Said, Value


class _Money(msgspec.Struct, frozen=True, tag="money", tag_field="is"):
    amount: Decimal


class _Number(msgspec.Struct, frozen=True, tag="number", tag_field="is"):
    n: int


class _Moment(msgspec.Struct, frozen=True, tag="moment", tag_field="is"):
    at: datetime


class _Several(msgspec.Struct, frozen=True, tag="several", tag_field="is"):
    texts: "tuple[str | _Sentence, ...]"


class _Sentence(msgspec.Struct, frozen=True, tag="said", tag_field="is", omit_defaults=True):
    template: str
    values: "dict[str, _Stored]" = {}
    many: str | None = None
    n: int = 1
    code: str = ""


_Stored: TypeAlias = "str | int | _Money | _Number | _Moment | _Several | _Sentence"

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
        case _:
            return value


def _unpacked(sentence: _Sentence) -> Said:
    for template in (sentence.template, sentence.many or ""):
        for _, name, layout, _ in Formatter().parse(template):
            # Ours have names alone: a width of somebody else's could take all memory, an attribute tell more.
            if layout or (name is not None and not name.isidentifier()):
                raise ValueError(f"{template!r} is no template of ours")
    values = {name: _value(stored) for name, stored in sentence.values.items()}
    return Said(sentence.template, values, sentence.many, sentence.n, sentence.code)


def _value(stored: _Stored) -> Value:
    match stored:
        case _Sentence():
            return _unpacked(stored)
        case _Several(texts):
            return tuple(_unpacked(one) if isinstance(one, _Sentence) else one for one in texts)
        case _Money(amount):
            return amount
        case _Number(n):
            return Quantity(n)
        case _Moment(at):
            return at
        case _:
            return stored
