"""The evidence of one call. From this alone the engine decides the item's next state (`outcomes.py`).

| evidence | can the call have had its effect? |
|---|---|
| `Accepted` | yes: answered without error at any level |
| `AlreadyThere` | no: not sent, for somebody else has brought it about |
| `RowRefused` | no, where it is recognised: an error of this row |
| `Busy` | no, where it is recognised: the billing asks to retry later |
| `SystemRefused` | no, where it is recognised: an error of the whole system, the same for every row |
| `NotSent` | no: no byte of the request left |
| `Lost` | unknown: the request left, and no readable answer came back |
| `Undecided` | no: it was not sent, a person decides |

A refusal is `recognised` if it is the billing's own JSON with a text of the catalogue. Any other may be said by a
proxy or a web server in between after the call has had its effect, so whether it had is unknown, as of `Lost`. What
it asks for is done all the same: the pause, the stop.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

SHOWN: Final = 300
"""Maximum length of a kept text, in characters."""
LOOKED_AT: Final = 32 * 1024
"""Characters of a page that are read: a crash page can be long, and its head identifies it."""


class Accepted(msgspec.Struct, frozen=True):
    """Answered without error at any level; `answer` is the value to keep (the id of the new object).

    `note` is a remark for people; a note about the run's `own` work is counted and is no warning. `created` means
    that the answer is the id of a new object, which no other row can have. `unproven` means that the effect was found
    without a mark after a call that may have been the row's own: it may be somebody else's.

    `result` is the full answer, for checks of the answer only: it may hold secrets, so it is not passed on.
    """

    answer: str | None = None
    note: str | None = None
    created: bool = False
    own: bool = False
    result: object = None
    unproven: bool = False


class AlreadyThere(msgspec.Struct, frozen=True):
    """Somebody else has brought about the effect since the list was made; `answer` is the id of the object."""

    text: str
    answer: str | None = None


class NotSent(msgspec.Struct, frozen=True):
    """No byte of the request left this machine: name not found, connection refused, TLS failed."""

    text: str


class Busy(msgspec.Struct, frozen=True):
    """Refused for now; `retry_after` is the wait that the billing asks for, in seconds.

    `halfway` means that a first call of the row was answered, and that the billing is busy with that call.
    """

    text: str
    retry_after: float | None = None
    halfway: bool = False
    recognised: bool = True


class RowRefused(msgspec.Struct, frozen=True):
    """Refused for good because of the row."""

    text: str
    recognised: bool = True


class SystemRefused(msgspec.Struct, frozen=True):
    """Refused for every row: read-only, no licence, no rights."""

    text: str
    recognised: bool = True


class Lost(msgspec.Struct, frozen=True):
    """Sent at least in part, with unknown effect: time-out, reset, 5xx, redirect, unreadable answer."""

    text: str


class Undecided(msgspec.Struct, frozen=True):
    """Not sent: what the billing has by now needs a person's decision."""

    text: str


Evidence: TypeAlias = Accepted | NotSent | Busy | RowRefused | SystemRefused | Lost

Seen: TypeAlias = Evidence | AlreadyThere | Undecided
"""What is seen of a row when its call is due: the evidence of the call, or of the look before it."""


def readable(text: str, mask: Callable[[str], str] = str, limit: int = SHOWN) -> str:
    """Make an external text safe to show: one line, at most `limit` characters, no secrets.

    Control and other invisible characters become escapes. The `mask` takes secrets out: a crash page often prints the
    request.
    """
    text = " ".join(mask(text[:LOOKED_AT]).split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _escape(character) for character in text)
    # Escapes are longer than the characters that they replace.
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
