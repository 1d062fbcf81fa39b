"""What goes over a run's socket: a request and its answer, each one line of JSON.

{"command": "set", "arguments": {"rate": "20"}, "who": "olga@ops"}
{"said": "rate is 20 a second now", "refused": false, "settings": {}, "status": {}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

LONGEST_REQUEST: Final = 16 * 1024
"""Bytes of a line that a run reads; a longer one is no request."""

LONGEST_ANSWER: Final = 256 * 1024
"""Bytes of a line that a client reads."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """What is asked of a run; `who` is what the sender says of itself, which proves nothing."""

    command: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    who: str = ""

    @property
    def typed(self) -> str:
        """The command as it was typed, but for the run's name."""
        return " ".join([self.command, *(f"{name}={value}" for name, value in self.arguments.items())])


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """What came of a request: a sentence, `refused` when it was not carried out, and what was asked for."""

    said: str = ""
    refused: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)


class NotAMessage(ValueError):
    """Raised when a line is not what it should be; the text says what it lacks."""


_encode = msgspec.json.Encoder(enc_hook=str).encode
_request = msgspec.json.Decoder(ControlRequest).decode
_answer = msgspec.json.Decoder(ControlAnswer).decode


def line_of(message: ControlRequest | ControlAnswer) -> bytes:
    """A message as it goes over the socket."""
    return _encode(message) + b"\n"


def to_request(line: bytes) -> ControlRequest:
    """A request from its line. Raises `NotAMessage`."""
    try:
        return _request(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMessage(str(error)) from error


def to_answer(line: bytes) -> ControlAnswer:
    """An answer from its line. Raises `NotAMessage`."""
    try:
        return _answer(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMessage(str(error)) from error
