"""The messages on a run's control socket, which are the bodies of its HTTP requests and answers, in JSON.

POST /api/runs/k7m2q/commands   {"command": "set", "arguments": {"rate": "20"}, "who": "olga@ops"}
200                             {"said": "rate: at most 20 calls a second", "refused": false}

A refused command is answered with 409. Beside `said`, which is English, an answer has the sentence's template and
values, of which a client makes the text of its reader. What can be read is in `application.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec

from texts import stored

LONGEST_REQUEST: Final = 16 * 1024
"""Maximum length of a request's body, in bytes."""

LONGEST_ANSWER: Final = 256 * 1024
"""Maximum length of an answer's body, in bytes."""

Through: TypeAlias = Literal["", "page"]
"""Where a command comes from: the command line, or the page."""

JSON: Final = "application/json"

GET: Final = "get"
"""The request for the settings, where there are only commands: in the journal."""

SENTENCES: Final = ("why", "held", "last_error")
"""What of a status people read."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A command to a run; `who` is the name that the sender claims, which is not verified.

    One that came `through` the page says so; the others come from the command line.
    """

    command: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    who: str = ""
    through: Through = ""

    @property
    def typed(self) -> str:
        """The command as typed, without the run's name."""
        return " ".join([self.command, *(f"{name}={value}" for name, value in self.arguments.items())])


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """The answer to a command: a sentence, `refused` if it was not carried out."""

    said: str = ""
    refused: bool = False


class _SentAnswer(msgspec.Struct, frozen=True):
    said: str = ""
    refused: bool = False
    sentence: msgspec.Raw = msgspec.Raw(b"null")


class NotAMessage(ValueError):
    """Raised when a body is not a valid message; the text says why."""


_encode = msgspec.json.Encoder(enc_hook=str).encode
_request = msgspec.json.Decoder(ControlRequest).decode
_answer = msgspec.json.Decoder(_SentAnswer).decode
_facts = msgspec.json.Decoder(dict[str, Any]).decode

_WRONG: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def to_json(message: object) -> bytes:
    """The body of a message."""
    if isinstance(message, ControlAnswer):
        return _encode(_SentAnswer(str(message.said), message.refused, _packed(message.said)))
    return _encode(message)


def with_sentences(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status for a client: its sentences also as template and values, under `sentences`."""
    found: dict[str, object] = {
        name: _packed(text) for name in SENTENCES if isinstance(text := status.get(name), str)
    }
    errors = status.get("errors")
    if isinstance(errors, Mapping):
        found["errors"] = [_packed(text) for text in errors]
    return {**status, "sentences": found}


def sentences_of(status: Mapping[str, Any]) -> dict[str, str]:
    """The sentences of a status that a client has got, by their names."""
    kept = _kept(status)
    return {name: _unpacked(text, kept.get(name)) for name in SENTENCES if isinstance(text := status.get(name), str)}


def errors_of(status: Mapping[str, Any]) -> dict[str, int]:
    """The errors of a status that a client has got, by their sentences, and how often each was met."""
    errors, packed = status.get("errors"), _kept(status).get("errors")
    if not isinstance(errors, dict):
        return {}
    sentences = packed if isinstance(packed, list) and len(packed) == len(errors) else [None] * len(errors)
    return {
        _unpacked(text, sentence): number for (text, number), sentence in zip(errors.items(), sentences, strict=True)
    }


def _kept(status: Mapping[str, Any]) -> Mapping[str, object]:
    packed = status.get("sentences")
    return packed if isinstance(packed, dict) else {}


def _packed(text: str) -> msgspec.Raw:
    return msgspec.Raw(stored.to_json(text).encode())


def _unpacked(text: str, packed: object) -> str:
    sentence = stored.from_builtins(packed) if packed else text
    return sentence if sentence == text else text


def to_request(body: bytes) -> ControlRequest:
    """Decode a command. Raises `NotAMessage`."""
    try:
        return _request(body)
    except _WRONG as error:
        raise NotAMessage(str(error)) from error


def to_answer(body: bytes) -> ControlAnswer:
    """Decode the answer to a command. Raises `NotAMessage`."""
    try:
        sent = _answer(body)
    except _WRONG as error:
        raise NotAMessage(str(error)) from error
    sentence = stored.from_json(bytes(sent.sentence).decode())
    return ControlAnswer(sentence if sentence == sent.said else sent.said, sent.refused)


def settings_to_json(settings: Mapping[str, str]) -> bytes:
    """The answer to `GET`."""
    return _encode({"said": "", "refused": False, "settings": settings})


def to_settings_answer(body: bytes) -> ControlAnswer | dict[str, str]:
    """Decode the answer to `GET`: the settings, or why they are not told. Raises `NotAMessage`."""
    answer, settings = to_answer(body), to_facts(body).get("settings")
    return settings if isinstance(settings, dict) and not answer.refused else answer


def to_facts(body: bytes) -> dict[str, Any]:
    """Decode facts of a run, an object of names and values. Raises `NotAMessage`."""
    try:
        return _facts(body)
    except _WRONG as error:
        raise NotAMessage(str(error)) from error


def commands_path(run: str) -> str:
    """The path on which a run takes commands."""
    return f"/api/runs/{run}/commands"


def facts_path(run: str, facts: str) -> str:
    """The path of facts of a run: `status`, `settings`, `samples`."""
    return f"/api/runs/{run}/{facts}"
