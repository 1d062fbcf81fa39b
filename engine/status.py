"""What can be said of a run at one moment, for whoever shows it or asks for it from afar."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot. Times are seconds, rates are rows a second; all of it can be written as JSON.

    `why` is what keeps the run from being faster, "" when nothing does, and `held` the same when nothing moves at
    all. `window` is how many calls may be in flight now. `eta` is None where nobody can tell: while it is held, or
    while rows are still read.
    """

    counts: Mapping[str, int]
    total: int
    done: int
    skipped: int
    refused: int
    intake_ended: bool
    calls: int
    retries: int
    seconds: float
    rate: float
    average: float
    eta: float | None
    in_flight: int
    window: int
    p50: float | None
    p95: float | None
    why: str
    held: str | None
    held_seconds: Mapping[str, float]
    paused: bool
    errors: Mapping[str, int]
    last_error: str | None

    @property
    def sent(self) -> int:
        """Rows that need no further call, and needed one."""
        return self.done - self.skipped

    @property
    def to_send(self) -> int:
        """Rows that need a call, or needed one."""
        return self.total - self.skipped

    def as_dict(self) -> dict[str, object]:
        """The same in plain values."""
        return {
            name: dict(value) if isinstance(value := getattr(self, name), Mapping) else value
            for name in self.__slots__
        }
