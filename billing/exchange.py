"""What was seen of one HTTP exchange with the billing: the evidence that a row's outcome rests on.

| seen | may the call have had its effect? |
|---|---|
| `Answered` | yes: the documented answer, no error at either level |
| `Refused` | no: an error of this row |
| `Busy` | no: come back later |
| `SystemRefused` | no: an error of the whole system, every row would meet it |
| `NotSent` | no: no byte of the request left |
| `Lost` | unknown: it left, and no readable answer came back |
"""

import html
import re
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import quote_plus

import msgspec

SHOWN: Final = 300
"""Characters of a text that are kept."""
LOOKED_AT: Final = 32 * 1024
"""Characters of a page that are looked at: a crash page can be long, its head says what it is."""


class Answered(msgspec.Struct, frozen=True):
    """The billing answered as documented, without an error.

    `result` is the answer's `result`: integers as int, other numbers as Decimal, so that no kopeck is
    lost to a float. For a `web_cabinet.*` call the JSON string that comes first is decoded in place.
    """

    result: object


class Refused(msgspec.Struct, frozen=True):
    """The billing refused this row; `recognised` tells whether its catalogue has the text."""

    text: str
    recognised: bool


class Busy(msgspec.Struct, frozen=True):
    """The billing did nothing and asks to come back, after `retry_after` seconds where it says so."""

    text: str
    retry_after: float | None = None


class SystemRefused(msgspec.Struct, frozen=True):
    """The billing, or what stands at its address, refuses everything: the run has to stop."""

    text: str


class NotSent(msgspec.Struct, frozen=True):
    """No byte of the request left this machine."""

    text: str


class Lost(msgspec.Struct, frozen=True):
    """The request left, wholly or in part; what became of it is not known."""

    text: str


Exchange: TypeAlias = Answered | Refused | Busy | SystemRefused | NotSent | Lost


_HIDDEN_ELEMENT: Final = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG: Final = re.compile(r"</?[a-zA-Z!][^<>]*>")


def readable(text: str, hidden: Iterable[str] = (), limit: int = SHOWN) -> str:
    """A text from outside made safe to show: one line, at most `limit` characters, no secrets.

    Control characters and other invisible ones come out as escapes. Each of `hidden` is replaced,
    also in its form-encoded and its escaped spelling: a crash page likes to print the request.
    """
    text = text[:LOOKED_AT]
    for secret in hidden:
        for spelling in (secret, quote_plus(secret), secret.encode("unicode_escape").decode("ascii")):
            if spelling:
                text = text.replace(spelling, "•••")
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _escape(character) for character in text)
    # Escapes are longer than what they stand for.
    return text if len(text) <= limit else text[: limit - 1] + "…"


def page_text(page: str) -> str:
    """The words of an HTML page, its title first; a text that is no HTML comes back as it is."""
    page = page[:LOOKED_AT]
    if not _TAG.search(page):
        return page
    title = " ".join(match.group(1) for match in _TITLE.finditer(page))
    for pattern in (_COMMENT, _HIDDEN_ELEMENT, _TAG):
        page = pattern.sub(" ", page)
    # The words of a title are often the first words of the page as well.
    words, heading = (" ".join(html.unescape(part).split()) for part in (page, title))
    return words if words.startswith(heading) else f"{heading}: {words}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
