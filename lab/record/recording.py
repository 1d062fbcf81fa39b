"""The format of a recording: every exchange with a billing, without its secrets. `lab.record.recorder` writes it.

A recording is JSON lines under gzip. The first line is the header, each other line one exchange:

    {"recording": 1, "program": "0.1.0", "base_path": "", "started": "2026-03-01T10:00:00.000+00:00", …}
    {"number": 1, "at": 0.013, "path": "/rest_api/v2/Users/", "form": [["method1", "objects.get"], …],
     "seconds": 0.021, "outcome": "answered", "answer": {"status": 200, "headers": {…}, "text": "{…}"}}

Lines stand in the order in which the exchanges ended. Where no whole answer came, `instead` says what happened; a
part of an answer has `"whole": false`. Secrets are replaced by `•••`, see `billing.api.secrets`.
"""

import base64
import os
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import msgspec

from billing.api.wire import ConnectionEnd
from billing.errors import BillingError
from checkpoints.own_files import open_regular
from texts.said import Quantity

FORMAT: Final = 1

_CHUNK: Final = 64 * 1024
_GZIP: Final = 31
"""The zlib parameter for a gzip header and trailer."""

LONGEST_LINE: Final = 64 * 1024**2
"""Bytes of an exchange: an answer of 8 MiB, each of its characters written as an escape, and its request."""
LONGEST_REQUEST: Final = 1024**2
"""Characters of the fields of a request; each field counts as a few more."""
_FIELD: Final = 16
_BEST_PACKED: Final = 500
"""Maximum compression ratio of a large recording: only a bomb exceeds it."""
_LARGE: Final = 64 * 1024**2

RecordedOutcome: TypeAlias = Literal["answered", "refused", "busy", "system refused", "not sent", "lost", "cancelled"]


class RecordingError(BillingError):
    """Raised when a recording cannot be written or read."""


class NotARecording(RecordingError):
    """Raised when a file is not a recording, or has an unknown format."""


class RecordingBroken(RecordingError):
    """Raised at the end of a recording that lacks exchanges because its file could not be written."""


class RecordingHeader(msgspec.Struct, frozen=True):
    """The first line: `hidden_fields` are the names of form fields whose values were replaced.

    `made_up` tells of which key the made-up values of people are, "" where they are as they were.
    """

    recording: int
    program: str
    base_path: str
    started: str
    hidden_fields: tuple[str, ...] = ()
    made_up: str = ""


class RecordedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer, or the part of it that came; its body as `text` when it is UTF-8, else as `base64`."""

    status: int
    headers: dict[str, str] = {}
    text: str | None = None
    base64: str | None = None
    whole: bool = True

    @property
    def body(self) -> bytes:
        """The body as it is sent."""
        return (self.text or "").encode() if self.base64 is None else base64.b64decode(self.base64)


class Instead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event in place of a whole answer, and the end of the connection; `left`: the request may have arrived."""

    what: Literal["not sent", "lost", "broke off", "cancelled"]
    left: bool
    how: ConnectionEnd | None = None
    text: str = ""


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """One exchange: `at` is its start in seconds after the recording's, `form` the decoded fields in order."""

    number: int
    at: float
    path: str
    form: tuple[tuple[str, str], ...]
    seconds: float
    outcome: RecordedOutcome
    answer: RecordedAnswer | None = None
    instead: Instead | None = None


class Recording:
    """Reads a recording: `header`, then the exchanges by iterating; a context manager.

    `whole` is known at the end: False when the file is cut off, as after a kill; the part before that is read all the
    same. Raises NotARecording.
    """

    def __init__(self, path: Path | str) -> None:
        self.whole = False
        self._path = Path(path)
        self._lines = self._read()
        try:
            self.header = msgspec.json.decode(next(self._lines), type=RecordingHeader)
        except StopIteration:
            raise NotARecording(
                "{path} is not a recording, or one that was stopped at its first line.", path=self._path
            ) from None
        except (msgspec.DecodeError, RecursionError) as fault:
            raise NotARecording("{path} is not a recording: {fault}.", path=self._path, fault=fault) from None
        if self.header.recording != FORMAT:
            raise NotARecording(
                "{path} is a recording of format {recording}, made by version {program}; this version reads "
                "format {format}.",
                path=self._path,
                recording=self.header.recording,
                program=self.header.program,
                format=FORMAT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def __iter__(self) -> Iterator[Recorded]:
        for line in self.lines():
            yield self.decode(line)

    def lines(self) -> Iterator[bytes]:
        """The exchanges as written, without the line's end."""
        yield from self._lines

    def decode(self, line: bytes) -> Recorded:
        """The exchange of one line. Raises NotARecording."""
        try:
            recorded = _EXCHANGE.decode(line)
        except (msgspec.DecodeError, RecursionError) as fault:
            raise NotARecording(
                "A line of {path} is not an exchange: {fault}.", path=self._path, fault=fault
            ) from None
        if sum(_FIELD + len(name) + len(value) for name, value in recorded.form) > LONGEST_REQUEST:
            raise NotARecording(
                "A line of {path} is not an exchange: its request has more than {longest} characters.",
                path=self._path,
                longest=Quantity(LONGEST_REQUEST),
            )
        return recorded

    def _read(self) -> Generator[bytes, None, None]:
        begun: list[bytes] = []
        length = 0
        try:
            for part in self._unpacked():
                head, *rest = part.split(b"\n")
                begun.append(head)
                length = len(rest[-1]) if rest else length + len(head)
                if length > LONGEST_LINE:
                    raise NotARecording(
                        "{path} is not a recording: a line of it is longer than {longest} MiB.",
                        path=self._path,
                        longest=LONGEST_LINE // 1024**2,
                    )
                for each in rest:
                    line = b"".join(begun)
                    if not _is_json(line):
                        # Damaged bytes can still unpack, and may contain line ends.
                        return
                    yield line
                    begun = [each]
        except zlib.error:
            # The file is cut off; a partial line is skipped.
            return
        except OSError as fault:
            raise RecordingError(
                "The recording {path} cannot be read: {why}.", path=self._path, why=fault.strerror or str(fault)
            ) from None

    def _unpacked(self) -> Iterator[bytes]:
        """The unpacked content, in pieces of a bounded size at any compression ratio."""
        with os.fdopen(open_regular(self._path), "rb") as file:
            unpack = zlib.decompressobj(wbits=_GZIP)
            size = 0
            while not unpack.eof and (chunk := unpack.unconsumed_tail or file.read(_CHUNK)):
                saved = unpack.copy()
                try:
                    piece = unpack.decompress(chunk, _CHUNK)
                except zlib.error:
                    # A failing call returns nothing, so the good data before the damage is unpacked bytewise.
                    yield from (saved.decompress(chunk[place : place + 1]) for place in range(len(chunk)))
                    raise
                size += len(piece)
                if size > _LARGE and size > _BEST_PACKED * file.tell():
                    raise NotARecording(
                        "{path} is not a recording: {packed} bytes of it unpack to more than {size}, which no "
                        "exchanges do.",
                        path=self._path,
                        packed=Quantity(file.tell()),
                        size=Quantity(size),
                    )
                yield piece
            yield unpack.flush()
            self.whole = unpack.eof


_EXCHANGE: Final = msgspec.json.Decoder(Recorded)
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)


def _is_json(line: bytes) -> bool:
    """Whether a line is JSON; nothing is built of it, and what is nested too deeply is refused as an exchange."""
    try:
        _ANYTHING.decode(line)
        str(line, "utf-8")
    except (msgspec.DecodeError, UnicodeError):
        return False
    except RecursionError:
        return True
    return True
