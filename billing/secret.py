"""A secret, whose text is dots, and the mask that takes secrets out of texts of others.

`Secret` keeps our own words from showing one: whoever prints it, formats it or writes it as JSON gets `•••`. A
library, a server or a page may show it all the same, in a spelling of its own; a `Mask` replaces all spellings before
a text is shown or kept.

Within a longer word or an amount a short secret, or one of digits alone, may be a coincidence: it is replaced only
where it stands by itself, and one of fewer than `SHORTEST` digits only where it is the whole text.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache, partial
from typing import Final
from urllib.parse import quote, quote_from_bytes, quote_plus

PLACEHOLDER: Final = "•••"
"""Stands wherever a secret would."""
SHORTEST: Final = 4
"""The shortest secret, in characters, that is searched within words."""
CHARSETS: Final = ("utf-8", "cp1251", "koi8-r", "cp866")
"""Encodings of bytes that a library or a page may show."""

_HEX: Final = re.compile(r"%[0-9A-F]{2}|\\u[0-9a-f]{4}")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_LEAST_BASE64: Final = 6
"""Characters of a base64 text that are no coincidence."""


class Secret:
    """A secret text. Its `str`, `repr` and format are dots; `reveal` gives the text to whoever sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the wire, for a file that only its owner can read, and for a `Mask`."""
        return self._text

    def __str__(self) -> str:
        return PLACEHOLDER if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __format__(self, _spec: str) -> str:
        return str(self)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


NO_SECRET: Final = Secret()


class Mask:
    """Replaces secrets by dots in any text, in every spelling."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = frozenset(filter(None, secrets))

    def knowing(self, secrets: Iterable[str]) -> "Mask":
        more = self.secrets.union(filter(None, secrets))
        return self if more == self.secrets else Mask(more)

    def __call__(self, text: str) -> str:
        if text in self.secrets:
            return PLACEHOLDER
        for spelling in self.spellings:
            if spelling in text:
                text = text.replace(spelling, PLACEHOLDER)
        for alone in self._alone:
            text = alone.sub(PLACEHOLDER, text)
        return text

    def value(self, value: object) -> object:
        """A value for JSON without secrets: texts at any depth, and what is written as its text; numbers stay."""
        match value:
            case None | bool() | int() | float():
                return value
            case dict():
                return {name: self.value(item) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
        return self(str(value))

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The spellings that are replaced anywhere, the longest first: one may contain a shorter one."""
        found = {each for secret in self.secrets if len(secret) > 1 for each in spellings(secret)}
        anywhere = {each for each in found if len(each) >= SHORTEST} - {*filter(str.isdecimal, self.secrets)}
        return tuple(sorted(anywhere, key=len, reverse=True))

    @cached_property
    def _alone(self) -> tuple[re.Pattern[str], ...]:
        """The secrets that are replaced where they stand by themselves, and are no part of an amount."""
        return tuple(
            re.compile(rf"{_BEFORE}{re.escape(secret)}(?!\w|[.,]\d)")
            for secret in self.secrets
            if secret.isdecimal() is (len(secret) >= SHORTEST)
        )


_BEFORE: Final = r"(?:(?<![\w.,])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4}))"
"""No word and no amount goes on here; the end of an escape is no word."""


def credentials(header: str) -> list[str]:
    """The secrets within the value of a header: the value, the token of `Bearer`, and the parts of `Basic`."""
    found = [header]
    scheme, _, rest = header.partition(" ")
    if rest and scheme.isalpha():
        found.append(rest)
        if scheme.casefold() == "basic":
            try:
                pair = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, UnicodeError):
                return found
            found += [pair, pair.partition(":")[2]]
    return found


# ---- spellings --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def spellings(secret: str) -> frozenset[str]:
    """The spellings of a secret: plain, escaped, form-encoded, in HTML, in base64, its bytes in other charsets."""
    written = {secret, " ".join(secret.split()), *_misread(secret)}
    quoted = {json.dumps(each, ensure_ascii=ascii_only)[1:-1] for each in written for ascii_only in (True, False)}
    quoted |= {secret.encode("unicode_escape").decode("ascii"), repr(secret)[1:-1]}
    written |= {*quoted, *(each.replace("/", "\\/") for each in quoted)}
    # Quoted once more: JSON within JSON, or what was sent as JSON and is echoed as Python shows a text.
    written |= {again(each)[1:-1] for each in written for again in (repr, partial(json.dumps, ensure_ascii=False))}
    written |= {html.escape(secret), html.escape(secret, quote=False)}
    encodable = [each for each in written if not _SURROGATE.search(each)]
    written |= {
        encode(each) for each in encodable for encode in (quote, quote_plus, partial(quote, safe=""), _in_a_form)
    }
    for data in _bytes_of(secret):
        written |= {repr(data)[2:-1], quote_from_bytes(data), quote_from_bytes(data, safe="").replace("%20", "+")}
        written |= {each for each in _in_base64(data) if len(each) >= _LEAST_BASE64}
    return frozenset(written | {_HEX.sub(_other_case, each) for each in written})


def _bytes_of(secret: str) -> Iterator[bytes]:
    for charset in CHARSETS:
        try:
            yield secret.encode(charset, "surrogateescape")
        except UnicodeEncodeError:
            continue


def _misread(secret: str) -> Iterator[str]:
    """The secret as somebody shows it who reads its bytes in another charset."""
    for data in set(_bytes_of(secret)) - {secret.encode("ascii", "ignore")}:
        for charset in (*CHARSETS, "latin-1"):
            try:
                yield data.decode(charset)
            except UnicodeDecodeError:
                yield from (data.decode(charset, how) for how in ("backslashreplace", "surrogateescape", "replace"))


def _in_base64(data: bytes) -> Iterator[str]:
    """What base64 makes of the bytes, wherever they begin in a longer text; without the letters that others share."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        inner = whole[first:last]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
        yield quote_plus(inner)


def _in_a_form(text: str) -> str:
    """As yarl encodes the form of a call, which leaves more marks as they are."""
    return quote(text, safe="/?:@!$'()*,").replace("%20", "+")


def _other_case(found: re.Match[str]) -> str:
    text = found.group()
    return text.lower() if text.startswith("%") else "\\u" + text[2:].upper()
