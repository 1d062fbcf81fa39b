"""The messages on a run's control socket: a request and its answer, each one line of JSON.

{"command": "set", "arguments": {"rate": "20"}, "who": "olga@ops"}
{"said": "rate is 20 a second now", "refused": false, "settings": {}, "status": {}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

LONGEST_REQUEST: Final = 16 * 1024
"""Maximum length of a request line, in bytes."""

LONGEST_ANSWER: Final = 256 * 1024
"""Maximum length of an answer line, in bytes."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A request to a run; `who` is the name that the sender claims, which is not verified."""

    command: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    who: str = ""

    @property
    def typed(self) -> str:
        """The command as typed, without the run's name."""
        return " ".join([self.command, *(f"{name}={value}" for name, value in self.arguments.items())])


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """The answer to a request: a sentence, `refused` if it was not carried out, and the requested values."""

    said: str = ""
    refused: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)


class NotAMessage(ValueError):
    """Raised when a line is not a valid message; the text says why."""


_encode = msgspec.json.Encoder(enc_hook=str).encode
_request = msgspec.json.Decoder(ControlRequest).decode
_answer = msgspec.json.Decoder(ControlAnswer).decode


def line_of(message: ControlRequest | ControlAnswer) -> bytes:
    """The line of a message on the socket."""
    return _encode(message) + b"\n"


def to_request(line: bytes) -> ControlRequest:
    """Decode a request line. Raises `NotAMessage`."""
    try:
        return _request(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMessage(str(error)) from error


def to_answer(line: bytes) -> ControlAnswer:
    """Decode an answer line. Raises `NotAMessage`."""
    try:
        return _answer(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMessage(str(error)) from error
