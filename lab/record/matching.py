"""Matching of requests for a replay.

Two requests match if they have the same path and the same form fields, in any order and JSON spacing. Ignored are the
run's name in a mark `[cm run/number]`, the values of secret arguments, and secret form fields altogether, since a
replay needs no key. A `•••` within a recorded text matches anything.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from billing.api.calls import SECRET_ARGUMENTS
from billing.secret import PLACEHOLDER
from engine.evidence import readable

RECORDED_MARK: Final = re.compile(r"\[cm ([a-z0-9]{1,16})/([1-9][0-9]{0,11})\]")

_COMPARED: Final = ["id", "contract_number", "name", "parent_id"]
"""The fields of a subscriber by which a database is seen to be of the billing; a load asks for more or for fewer."""

_HIDDEN: Final = "\0hidden"
_DIGEST: Final = 16


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request in comparable form: its path, and the text at each place of its form, as "arg1/abonent_id"."""

    path: str
    texts: Mapping[str, str]

    @property
    def veiled(self) -> frozenset[str]:
        """The places whose texts contain a `•••`."""
        return frozenset(place for place, text in self.texts.items() if PLACEHOLDER in text)

    def digest(self, veiled: Collection[str] = ()) -> bytes:
        """A digest of the request without the texts at the `veiled` places."""
        said = [(place, None if place in veiled else text) for place, text in sorted(self.texts.items())]
        return blake2b(msgspec.msgpack.encode((self.path, said)), digest_size=_DIGEST).digest()

    def meets(self, recorded: "RecordedRequest") -> bool:
        """Whether it matches the recorded request, in which `•••` matches anything."""
        return (
            self.path == recorded.path
            and self.texts.keys() == recorded.texts.keys()
            and all(meets_veiled(self.texts[place], text) for place, text in recorded.texts.items())
        )


def request_of(path: str, form: Iterable[tuple[str, str]], hidden_fields: Collection[str] = ()) -> RecordedRequest:
    """The request with this path and these decoded fields; `hidden_fields` are names of secret form fields."""
    hidden = {name.casefold() for name in hidden_fields} | SECRET_ARGUMENTS
    texts: dict[str, str] = {}
    repeated: Counter[str] = Counter()
    for name, value in form:
        if name.casefold() in hidden:
            continue
        repeated[name] += 1
        place = name if repeated[name] == 1 else f"{name}+{repeated[name]}"
        texts[place] = ""
        try:
            parsed = msgspec.json.decode(value) if value.startswith(("{", "[")) else None
            leaves = {} if parsed is None else dict(_leaves(place, parsed))
        except (msgspec.DecodeError, RecursionError):
            leaves = {}
        texts.update(leaves or {place: _comparable(value)})
    return RecordedRequest(path, texts)


def compared_subscriber(path: str, form: Iterable[tuple[str, str]]) -> int | None:
    """The id, where a command asks for a subscriber to see whether API and database are one billing, else None.

    These are others each time, so that no recording has the answers.
    """
    given = dict(form)
    if not path.endswith("/Abonents/") or given.get("method1") != "objects.filter":
        return None
    try:
        key, fields = (msgspec.json.decode(given.get(name, "")) for name in ("arg1", "fields"))
    except msgspec.DecodeError:
        return None
    if fields != _COMPARED or not isinstance(key, dict) or [*key] != ["id"]:
        return None
    return key["id"] if isinstance(key["id"], int) else None


def named(path: str, form: Iterable[tuple[str, str]]) -> str:
    """One line that names a request, for people: `/rest_api/v2/Users/ method1=objects.get arg1={"id":5}`."""
    return readable(" ".join((path, *(f"{name}={value}" for name, value in form))))


def marks(form: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names of runs in the marks of a form, by the item's number."""
    return {number: run for _, value in form for run, number in RECORDED_MARK.findall(value)}


def _leaves(place: str, value: object) -> Iterator[tuple[str, str]]:
    """The texts within a JSON value by their places; an empty value is a text of its own."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            secret = name.casefold() in SECRET_ARGUMENTS and bool(item)
            inner = f"{place}/{name}"
            yield from [(inner, _HIDDEN)] if secret else _leaves(inner, item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(f"{place}/{number}", item)
    else:
        yield place, _comparable(msgspec.json.encode(value).decode())


def _comparable(text: str) -> str:
    return RECORDED_MARK.sub(r"[cm /\2]", text)


def meets_veiled(text: str, recorded: str) -> bool:
    """Whether a text is the recorded one, in which each `•••` matches anything."""
    first, *others = recorded.split(PLACEHOLDER)
    if not others:
        return text == recorded
    *between, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    # The first place that fits leaves most room for the rest, so nothing has to be tried twice.
    place, end = len(first), len(text) - len(last)
    for part in between:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
