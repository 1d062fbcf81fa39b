"""The pace of a billing: what its owner has learned in memory, and what the next owner goes on with.

It holds durations alone. The journal's server notes when a pace was written, and says how long ago that was when it
is read: no two clocks are compared. What is read is judged like input, and a pace that is too old is not taken.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

LONGEST_KEPT: Final = 600.0
"""Seconds after which a pace is not taken any more: the billing may be another one by then."""

_Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class WindowPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window: its size, the share of `troubles`, and the server's own latency.

    That is `seconds`, the mean of so many `answers`, with the standard deviation `spread` relative to it.
    """

    size: Annotated[float, Meta(ge=1, le=10_000)]
    answers: Annotated[float, Meta(gt=0, le=1e6)]
    seconds: Annotated[float, Meta(gt=0, le=3600)]
    spread: Annotated[float, Meta(ge=0, le=1000)]
    troubles: Annotated[float, Meta(ge=0, le=1)] = 0.0


class BreakerPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breaker: failures in a row, whether it is open, and how long until it asks again, at which gaps.

    The billing has asked for a pause of `asked` seconds from now.
    """

    failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    is_open: bool = False
    wait: _Seconds = 0.0
    gap: _Seconds = 0.0
    asked: _Seconds = 0.0


class BillingPace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A billing's pace at a moment; `since_call` is None where calls go on leaving after it."""

    window: WindowPace | None = None
    breaker: BreakerPace = BreakerPace()
    since_call: Annotated[float, Meta(ge=0)] | None = None

    def after(self, seconds: float) -> "BillingPace":
        """The same pace so many seconds later, nobody having sent."""
        breaker = msgspec.structs.replace(
            self.breaker,
            wait=max(self.breaker.wait - seconds, 0.0),
            asked=max(self.breaker.asked - seconds, 0.0),
        )
        since_call = None if self.since_call is None else self.since_call + seconds
        return BillingPace(self.window, breaker, since_call)


class _Written(msgspec.Struct, frozen=True):
    """A pace as it is stored, with the moment at which it was written by the server's clock, in seconds."""

    at: float
    pace: BillingPace


def encode_pace(pace: BillingPace) -> str:
    return msgspec.json.encode(pace).decode()


def found_pace(text: str, now: float, quiet: float | None) -> BillingPace | None:
    """The pace that is stored as `text`, as it is at `now` by the server's clock; None for nothing to go on with.

    Owners that were not ended in order have sent nothing for `quiet` seconds, None where there are none. Nothing is
    taken of what makes no sense.
    """
    try:
        written = msgspec.json.decode(text, type=_Written)
    except msgspec.DecodeError:
        written = None
    age = 0.0 if written is None else max(now - written.at, 0.0)
    pace = written.pace.after(age) if written is not None and age <= LONGEST_KEPT else None
    silences = [] if quiet is None else [max(quiet, 0.0)]
    if pace is not None and (pace.since_call is not None or not silences):
        silences.append(pace.since_call or 0.0)
    if not silences:
        return None
    return msgspec.structs.replace(pace or BillingPace(), since_call=min(silences))
