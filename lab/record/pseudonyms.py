"""Made-up values in place of those of people: the same for the same value and key, in every recording.

Numbers, logins and texts keep their shape: each digit becomes a digit and each letter a letter of its alphabet, by a
keyed permutation (a Feistel network), so two different values never become one. Names are drawn from a list, and
two people may share one, as people do.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import reduce
from hashlib import blake2b
from ipaddress import IPv4Address
from math import prod
from pathlib import Path
from typing import Final

from lab.mock.people import FATHERS, NAMES, SURNAMES
from lab.record.recording import RecordingError

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
_SECRET: Final = 32


class PersonalKind(Enum):
    """What a personal value is."""

    NAME = auto()
    PHONE = auto()
    EMAIL = auto()
    IP = auto()
    SHAPE = auto()
    """Contract number, login, address, or another value whose letters and digits are permuted."""
    COMMENT = auto()
    """Free text that a caller writes anew each time."""


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
        """The text with the letters and digits at these places permuted, all others as they are."""
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


def load_secret(path: Path) -> bytes:
    """The key at `path`, made there (mode 0600) by whoever needs it first. Raises `RecordingError`."""
    try:
        if not path.exists():
            _make_secret(path)
        found = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            "The key of made-up names {path} cannot be kept: {why}.", path=path, why=error.strerror or str(error)
        ) from None
    if len(found) != _SECRET:
        raise RecordingError("{path} is not a key of made-up names: move it away, and a new one is made.", path=path)
    return found


def _make_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_SECRET))
    try:
        # A link is there whole or not at all, and never in the place of another one.
        path.hardlink_to(made)
    except FileExistsError:
        pass
    finally:
        made.unlink()


def _packed(numbers: Sequence[int], radices: Sequence[int]) -> int:
    return reduce(lambda value, digit: value * digit[1] + digit[0], zip(numbers, radices, strict=True), 0)
