"""Made-up values in place of those of people: the same for the same value and key, in every recording.

Numbers, logins and texts keep their shape: each digit becomes a digit and each letter a letter of its alphabet, by a
keyed permutation (a Feistel network), so two different values never become one. Names are drawn from a list, and
two people may share one, as people do.

In a recorded exchange the values of people are known by the names of their fields.

Ids, sums, dates and states stay. A value that stands in one place of an exchange is replaced in its texts as well,
such as errors and crash pages, and so is what looks like a phone number or an e-mail address. A comment that is sent
becomes `•••`, which matches any text, with its mark; one that is answered keeps its shape and its mark.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import reduce
from hashlib import blake2b
from ipaddress import IPv4Address
from math import prod
from typing import Final

from billing.api.answers import charset_of
from billing.api.secrets import json_text, nested_json
from billing.secret import PLACEHOLDER
from lab.mock.population import FATHERS, NAMES, SURNAMES

RECORDED_MARK: Final = re.compile(r"\[cm ([a-z0-9]{1,16})/([1-9][0-9]{0,11})\]")

_ALPHABETS: Final = (
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
)
_PLACES: Final = {letter: (alphabet, place) for alphabet in _ALPHABETS for place, letter in enumerate(alphabet)}
_NAMES: Final = (SURNAMES, NAMES, FATHERS)
_ROUNDS: Final = 8
_CHUNK: Final = 32
"""Letters that are permuted together; a longer text is permuted part by part."""

_SUBSCRIBER: Final = 9
"""The last digits of a phone number, which are permuted; those before them are country and kind."""
_WHOLE_NUMBER: Final = 10


class PersonalKind(Enum):
    """What a personal value is."""

    NAME = auto()
    PHONE = auto()
    EMAIL = auto()
    IP = auto()
    SHAPE = auto()
    """Contract number, login, address, or another value whose letters and digits are permuted."""
    COMMENT = auto()  # Free text that a caller writes anew each time


class Pseudonyms:
    """The made-up values of one key."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.key: str = self._digest("key").hex()[:16]
        """Tells whether two recordings are of one key; it says nothing of the key."""

    def of(self, kind: PersonalKind, text: str) -> str:
        """The made-up value for a text; an empty one stays, since it shows that something is cleared."""
        if not text.strip():
            return text
        places = range(len(text))
        match kind:
            case PersonalKind.NAME:
                drawn = self._digest("name", " ".join(text.split()))
                return " ".join(names[draw % len(names)] for names, draw in zip(_NAMES, drawn, strict=False))
            case PersonalKind.EMAIL:
                return f"p{self._digest('email', text.strip().casefold()).hex()[:12]}@example.org"
            case PersonalKind.PHONE:
                digits = [place for place in places if text[place] in _ALPHABETS[0]]
                return self._permuted(text, digits[-_SUBSCRIBER:] if len(digits) >= _WHOLE_NUMBER else digits)
            case PersonalKind.IP:
                with suppress(ValueError):
                    address = IPv4Address(int(text) if text.isascii() and text.isdigit() else text)
                    drawn = self._digest("ip", str(address))
                    made_up = IPv4Address((10 << 24) + int.from_bytes(drawn[:3], "big"))
                    return str(int(made_up)) if text.isdigit() else str(made_up)
        return self._permuted(text, places)

    def _permuted(self, text: str, places: Sequence[int]) -> str:
        letters = list(text)
        own = [place for place in places if letters[place] in _PLACES]
        for begin in range(0, len(own), _CHUNK):
            chunk = own[begin : begin + _CHUNK]
            alphabets = [_PLACES[letters[place]][0] for place in chunk]
            radices = [*map(len, alphabets)]
            # Of two halves, numbers whose digits have these radices, each in turn adds what is drawn of the other.
            half = len(chunk) // 2
            halves = (slice(half), slice(half, None))
            numbers = [_PLACES[letters[place]][1] for place in chunk]
            sides = [_packed(numbers[each], radices[each]) for each in halves]
            for step in range(_ROUNDS):
                changed = step % 2
                drawn = self._digest("shape", *map(str, (begin, step, *radices, sides[1 - changed])))
                sides[changed] = (sides[changed] + int.from_bytes(drawn, "big")) % prod(radices[halves[changed]])
            for rest, each in zip(sides, halves, strict=True):
                value = rest
                for place, alphabet in reversed([*zip(chunk[each], alphabets[each], strict=True)]):
                    value, number = divmod(value, len(alphabet))
                    letters[place] = alphabet[number]
        return "".join(letters)

    def _digest(self, *parts: str) -> bytes:
        return blake2b("\0".join(parts).encode(errors="surrogatepass"), key=self._secret).digest()


def _packed(numbers: Sequence[int], radices: Sequence[int]) -> int:
    return reduce(lambda value, digit: value * digit[1] + digit[0], zip(numbers, radices, strict=True), 0)


# ---- an exchange without its people -------------------------------------------------------------------------------

FIELDS: Final[Mapping[str, PersonalKind]] = {
    **dict.fromkeys(("name", "fio", "first_name", "last_name", "middle_name", "surname"), PersonalKind.NAME),
    **dict.fromkeys(("sms", "phone", "tel", "mobile", "phones"), PersonalKind.PHONE),
    **dict.fromkeys(("email", "mail"), PersonalKind.EMAIL),
    **dict.fromkeys(("ip", "snatip"), PersonalKind.IP),
    **dict.fromkeys(("contract_number", "login", "username", "uid", "mac", "code1c", "document"), PersonalKind.SHAPE),
    **dict.fromkeys(("address", "street", "house", "flat", "city", "passport", "inn"), PersonalKind.SHAPE),
    **dict.fromkeys(("birthday", "attribute_value"), PersonalKind.SHAPE),
    **dict.fromkeys(("descr", "comment", "description"), PersonalKind.COMMENT),
}
"""Fields with something of a person, by name; the fields of an address begin with `a_` [I]."""

_NOBODY: Final = frozenset({"tarif", "usluga", "operator", "operators", "version"})
"""Models whose `name` is nobody's."""

_LOOKUPS: Final = frozenset(
    {"exact", "iexact", "contains", "icontains", "startswith", "range", "gt", "gte", "lt", "lte"}
)
"""The ends of a filter that are no field [D]."""

_PHONE: Final = re.compile(r"(?<![\d.])(?:\+?7|8)[\s(-]*9\d{2}[\s)-]*\d{3}[\s-]*\d{2}[\s-]*\d{2}(?![\d.])")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_LETTER: Final = re.compile(r"[^\W\d_]")
_SHORTEST: Final = 4
"""Characters of a value that is searched in texts; a shorter one may be a part of anything."""


def kind_of(field: str, model: str = "") -> PersonalKind | None:
    """What a field of a model has of a person, None for nothing; `abonent__name__icontains` is a `name`."""
    *owners, name = [part for part in field.casefold().split("__") if part not in _LOOKUPS] or [""]
    if name == "name" and (owners[-1] if owners else model.casefold()) in _NOBODY:
        return None
    return PersonalKind.SHAPE if name.startswith("a_") else FIELDS.get(name)


class PeopleRemover:
    """Removes the people of one exchange with this model; its form comes before its body."""

    def __init__(self, pseudonyms: Pseudonyms, model: str) -> None:
        self._pseudonyms = pseudonyms
        self._model = model
        self._known: dict[str, str] = {}
        self._is_sent = False

    def form(self, form: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The form with made-up values; what the call is stays."""
        self._is_sent = True
        return [(name, str(self._value(name, value, self._model))) for name, value in form]

    def body(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """The body of an answer with made-up values; one that cannot be read is `•••`."""
        self._is_sent = False
        charset = charset_of(headers)
        try:
            text = body.decode(charset)
        except (LookupError, UnicodeError):
            return PLACEHOLDER.encode()
        parsed = nested_json(text.removeprefix("\ufeff"))
        if parsed is None:
            made_up = self.text(text)
        else:
            # Twice: a text may hold a value that stands behind it.
            self._value("", parsed, self._model)
            again = self._value("", parsed, self._model)
            made_up = text if again == parsed else json_text(again)
        return body if made_up == text else made_up.encode(charset, "replace")

    def text(self, text: str) -> str:
        """A text with the known values of people, phone numbers and addresses made up."""
        if not _LETTER.search(text):
            return text
        for original in sorted(self._known, key=len, reverse=True):
            if original in text:
                text = re.sub(rf"(?<!\w){re.escape(original)}(?!\w)", lambda found: self._known[found[0]], text)
        text = _PHONE.sub(lambda found: self._pseudonyms.of(PersonalKind.PHONE, found[0]), text)
        return _EMAIL.sub(lambda found: self._pseudonyms.of(PersonalKind.EMAIL, found[0]), text)

    def _value(self, name: str, value: object, model: str) -> object:
        kind = kind_of(name, model)
        match value:
            case dict():
                own = value.get("model")
                inner = own if isinstance(own, str) else model
                return {key: self._value(key, item, inner) for key, item in value.items()}
            case list():
                return [self._value(name, item, model) for item in value]
            case int() if kind not in {None, PersonalKind.NAME} and not isinstance(value, bool):
                return int(self._made_up(kind, str(value)))
            case str() if kind is PersonalKind.COMMENT:
                marks = [found[0] for found in RECORDED_MARK.finditer(value)]
                if rest := RECORDED_MARK.sub("", value).rstrip():
                    rest = PLACEHOLDER if self._is_sent else self._pseudonyms.of(kind, rest)
                return " ".join(filter(None, [rest, *marks]))
            case str() if kind is not None:
                return self._made_up(kind, value)
            case str() if (parsed := nested_json(value)) is not None:
                made_up = self._value(name, parsed, model)
                return value if made_up == parsed else json_text(made_up)
            # What is sent beside people's fields says what the call is.
            case str() if not self._is_sent:
                return self.text(value)
        return value

    def _made_up(self, kind: PersonalKind, text: str) -> str:
        made_up = self._pseudonyms.of(kind, text)
        if len(text) >= _SHORTEST and _LETTER.search(text):
            self._known[text] = made_up
        return made_up
