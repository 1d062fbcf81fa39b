"""What was seen of one call. The engine decides from this alone what the item's next state is (`outcomes.py`)."""

import msgspec


class Accepted(msgspec.Struct, frozen=True):
    """Answered, without error at any level; `answer` is worth keeping (the id of what was created).

    `note` is what a person should know of it all the same; one that tells of the run's `own` doing is counted, and no
    warning. `created` tells that the answer is the id of a new object, so that no other row can have it.
    """

    answer: str | None = None
    note: str | None = None
    created: bool = False
    own: bool = False


class NotSent(msgspec.Struct, frozen=True):
    """Not one byte of the request left: name not found, refused, TLS failed."""

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
    """Refused whatever the row: read-only, no licence, no rights. Nothing happened, and nothing will for any row.

    `passing` tells what is expected to end by itself, as a billing that is read-only while it is being backed up.
    """

    text: str
    passing: bool = False


class Lost(msgspec.Struct, frozen=True):
    """Sent, and nobody knows what came of it: time-out, reset, 5xx, redirect, unreadable answer."""

    text: str


Evidence = Accepted | NotSent | Busy | RowRefused | SystemRefused | Lost
