"""What a client lets somebody else hear of its calls: a recorder, or a test that counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from billing.calls import Call
from billing.exchange import Exchange, Lost, NotSent

Seen: TypeAlias = tuple[int, Mapping[str, str], bytes] | NotSent | Lost
"""The status, headers and body of an answer as it came, or why there is none."""

Ending: TypeAlias = Literal["closed", "reset", "silence"]
"""How a connection ended before a whole answer had come: shut in good form, broken, or given up waiting."""


@dataclass(frozen=True, slots=True, repr=False)
class Heard:
    """One call as it went, with all its secrets: whoever keeps it has to take them out.

    `form` is the request's body; `left` tells whether a byte of the request may have left; `seconds` is how long it
    took. `status` is None where no head of an answer came; `answer` is the body, or what came of it before `ending`.
    `exchange` is None for a call that was cancelled.
    """

    call: Call
    form: bytes
    left: bool
    seconds: float
    status: int | None
    headers: Mapping[str, str]
    answer: bytes
    ending: Ending | None
    exchange: Exchange | None


class Listener(Protocol):
    """Whoever hears the calls of a client; it must neither raise nor take long."""

    async def ready(self) -> None:
        """Wait until there is room for one call more. Asked before the call, when stopping still costs nothing."""

    def heard(self, heard: Heard) -> None:
        """Take one call that is over, at once: what is known of it must not hang on whoever listens."""


def ending_of(fault: BaseException) -> Ending:
    """How the connection ended, from what the HTTP client raised."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "silence"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "reset"
        cause = cause.__cause__
    # aiohttp wraps an OSError into its own kind, which keeps the number alone.
    return "reset" if isinstance(fault, OSError) else "closed"
