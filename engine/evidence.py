"""What was seen of one call. The engine decides from this alone what the item's next state is (`outcomes.py`).

| seen | may the call have had its effect? |
|---|---|
| `Accepted` | yes: it was answered, without error at any level |
| `RowRefused` | no: an error of this row |
| `Busy` | no: come back later |
| `SystemRefused` | no: an error of the whole system, every row would meet it |
| `NotSent` | no: no byte of the request left |
| `Lost` | unknown: it left, and no readable answer came back |
"""

from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import quote_plus

import msgspec

SHOWN: Final = 300
"""Characters of a text that are kept."""
LOOKED_AT: Final = 32 * 1024
"""Characters of a page that are looked at: a crash page can be long, its head says what it is."""


class Accepted(msgspec.Struct, frozen=True):
    """Answered, without error at any level; `answer` is worth keeping (the id of what was created).

    `note` is what a person should know of it all the same; one that tells of the run's `own` doing is counted, and no
    warning. `created` tells that the answer is the id of a new object, so that no other row can have it.

    `result` is all that was answered, for whoever judges the answer: it ends there, for it may hold secrets.
    """

    answer: str | None = None
    note: str | None = None
    created: bool = False
    own: bool = False
    result: object = None


class NotSent(msgspec.Struct, frozen=True):
    """Not one byte of the request left this machine: name not found, refused, TLS failed."""

    text: str


class Busy(msgspec.Struct, frozen=True):
    """Refused for now; `retry_after` is what the billing asks for, in seconds.

    `halfway` tells that a first call of the row has been answered, and that it is this which keeps the billing busy.
    """

    text: str
    retry_after: float | None = None
    halfway: bool = False


class RowRefused(msgspec.Struct, frozen=True):
    """Refused for good, because of the row; `recognised` tells a known error from one never seen before."""

    text: str
    recognised: bool = True


class SystemRefused(msgspec.Struct, frozen=True):
    """Refused whatever the row: read-only, no licence, no rights. Nothing happened, and nothing will for any row."""

    text: str


class Lost(msgspec.Struct, frozen=True):
    """Sent, at least in part, and nobody knows what came of it: time-out, reset, 5xx, redirect, unreadable answer."""

    text: str


Evidence: TypeAlias = Accepted | NotSent | Busy | RowRefused | SystemRefused | Lost


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


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
