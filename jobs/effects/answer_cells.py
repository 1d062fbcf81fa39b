"""Answers of reading calls as flat objects, for the item and for the rows of a file.

`{"pk": 5, "model": "Users", "fields": {"login": "a", "abonent": {"pk": 7, …, "fields": {"name": "b"}}}}` [D] becomes
`{"login": "a", "abonent__name": "b", "pk": 5}`. Passwords, keys and sessions become dots.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from billing.api.calls import SECRET_ARGUMENTS
from billing.secret import PLACEHOLDER

Cell: TypeAlias = str | int | bool | None
Flat: TypeAlias = dict[str, Cell]
"""An object by the names of its fields; money and all other values that are not whole numbers are text."""

_KEYS: Final = ("id", "op_id")
_VALUE: Final = "result"
_MOST_FIELDS: Final = 1000
_LONGEST_NAME: Final = 300
"""The most fields of an object, and the longest name of one with those of the objects around it, in characters.

A name is repeated with each field inside its object, and a field is a column of the file: a few megabytes of an
answer could become gigabytes. No model of the billing comes near.
"""
_JOINT: Final = ", "
_decode: Final = msgspec.json.Decoder(list[Flat]).decode


def flat(result: object) -> list[Flat]:
    """The objects of a result of any shape: one, a list of them, or a bare value under the name `result`.

    For lists within a list, each object has in `list` the number of its list, counted from 1.
    """
    match result:
        case None:
            return []
        case list() if any(isinstance(one, list) for one in result):
            return [{"list": number, **one} for number, inner in enumerate(result, 1) for one in flat(inner)]
        case list():
            return [one for each in result for one in flat(each)]
        case Mapping():
            return [_object(result)]
    return [{_VALUE: _cell(_VALUE, result)}]


def only(fields: Collection[str], rows: Sequence[Flat]) -> list[Flat]:
    """The objects without "pk" if the call names its fields and "pk" is not one of them."""
    if not fields or "pk" in fields:
        return list(rows)
    return [{name: cell for name, cell in one.items() if name != "pk"} for one in rows]


def encode_answer(rows: Iterable[Flat]) -> str:
    """The text of the objects for an item."""
    return msgspec.json.encode(list(rows)).decode()


def decode_answer(answer: str | None) -> list[Flat] | None:
    """The objects of an item's answer, None if it is not the answer of a reading call."""
    if not answer or not answer.startswith("["):
        return None
    try:
        return _decode(answer)
    except msgspec.MsgspecError:
        return None


class _NoObject(ValueError):
    """Raised for an object with more fields, or longer names, than any model of the billing has."""


def _object(found: Mapping[object, object]) -> Flat:
    inner = found.get("fields")
    has_fields = isinstance(inner, Mapping)
    flattened: Flat = {}
    try:
        for name, cell in _flattened(inner if isinstance(inner, Mapping) else found, ""):
            flattened[name] = cell
            if len(flattened) > _MOST_FIELDS:
                raise _NoObject(f"an object of more than {_MOST_FIELDS} fields")  # noqa: TRY301 - as in one with too long names
    except _NoObject as error:
        return {_VALUE: f"not read: {error}"}
    key = found.get("pk")
    # The key is shown once, by the name that the fields have for it.
    if has_fields and key is not None and all(flattened.get(name) != key for name in _KEYS):
        flattened.setdefault("pk", _cell("pk", key))
    return flattened


def _flattened(fields: Mapping[object, object], before: str) -> Iterator[tuple[str, Cell]]:
    for name, value in fields.items():
        if len(before) + len(str(name)) > _LONGEST_NAME:
            raise _NoObject(f"a field whose name is longer than {_LONGEST_NAME} characters")
        path = f"{before}{name}"
        match value:
            case Mapping():
                yield from _flattened(_inner(value), f"{path}__")
            case list():
                yield from _joined(path, value)
            case _:
                yield path, _cell(str(name), value)


def _inner(value: Mapping[object, object]) -> Mapping[object, object]:
    """The fields of an object within another, without its key and model."""
    fields = value.get("fields")
    return fields if isinstance(fields, Mapping) else value


def _joined(path: str, values: Sequence[object]) -> Iterator[tuple[str, Cell]]:
    """The values of several objects in one field, joined into one cell for each name."""
    if not values:
        yield path, None
    columns: dict[str, list[Cell]] = {}
    for value in values:
        pairs = _flattened(_inner(value), f"{path}__") if isinstance(value, Mapping) else [(path, _cell(path, value))]
        for name, cell in pairs:
            columns.setdefault(name, []).append(cell)
    for name, cells in columns.items():
        yield name, cells[0] if len(cells) == 1 else _JOINT.join("" if one is None else str(one) for one in cells)


def _cell(name: str, value: object) -> Cell:
    # Also a name that is derived from that of a secret: `psw_hash`.
    last = name.rpartition("__")[2].casefold()
    if value and any(last == secret or last.startswith(f"{secret}_") for secret in SECRET_ARGUMENTS):
        return PLACEHOLDER
    match value:
        case None | str() | int():
            return value
        case Decimal():
            return format(value, "f")
    return str(value)
