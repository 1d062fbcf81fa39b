"""The format of a recording: every exchange with a billing, without its secrets.

A recording is JSON lines under gzip. The first line is the header, each other line one exchange:

    {"recording": 1, "program": "0.1.0", "base_path": "", "started": "2026-03-01T10:00:00.000+00:00", …}
    {"number": 1, "at": 0.013, "path": "/rest_api/v2/Users/", "form": [["method1", "objects.get"], …],
     "seconds": 0.021, "outcome": "answered", "answer": {"status": 200, "headers": {…}, "text": "{…}"}}

Lines stand in the order in which the exchanges ended. Where no whole answer came, `instead` says what happened; a
part of an answer has `"whole": false`. Secrets are replaced by `•••`, see `billing.api.secrets`.
"""

import asyncio
import base64
import contextlib
import os
import secrets
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import parse_qsl

import anyio
import msgspec
from yarl import URL

from billing.api.calls import secrets_of
from billing.api.client import ClientSettings
from billing.api.secrets import SecretRemover
from billing.api.wire import CallRecord, ConnectionEnd
from billing.errors import BillingError
from checkpoints.own_files import open_regular, write_all
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from lab.record.pseudonyms import PeopleRemover, Pseudonyms
from texts.said import PROGRAM, Quantity, reason_of

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
    """Raised when a recording cannot be written or read, or a file is none that this version knows."""


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
    """Reads a recording: `header`, then the exchanges by iterating, or as written by `lines`; a context manager.

    `whole` is known at the end: False when the file is cut off, as after a kill; the part before that is read all the
    same. Raises RecordingError.
    """

    def __init__(self, path: Path | str) -> None:
        self.whole = False
        self._path = Path(path)
        self.lines = self._read()
        try:
            self.header = msgspec.json.decode(next(self.lines, b""), type=RecordingHeader)
        except (msgspec.DecodeError, RecursionError) as fault:
            raise RecordingError(
                "{path} is not a recording, or one that was stopped at its first line: {fault}.",
                path=self._path,
                fault=fault,
            ) from None
        if self.header.recording != FORMAT:
            raise RecordingError(
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
        self.lines.close()

    def __iter__(self) -> Iterator[Recorded]:
        yield from map(self.decode, self.lines)

    def decode(self, line: bytes) -> Recorded:
        """The exchange of one line. Raises RecordingError."""
        try:
            recorded = _EXCHANGE.decode(line)
        except (msgspec.DecodeError, RecursionError) as fault:
            raise RecordingError(
                "A line of {path} is not an exchange: {fault}.", path=self._path, fault=fault
            ) from None
        if sum(_FIELD + len(name) + len(value) for name, value in recorded.form) > LONGEST_REQUEST:
            raise RecordingError(
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
                    raise RecordingError(
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
                "The recording {path} cannot be read: {why}.", path=self._path, why=reason_of(fault)
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
                    raise RecordingError(
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
        pass
    return True


# ---- writing ------------------------------------------------------------------------------------------------------
# Each line is flushed on its own: after a kill only the exchanges that still waited are missing.

ROOM: Final = 16 * 1024 * 1024
"""Bytes of exchanges that may wait to be written before calls are held back."""

_OVERHEAD: Final = 1024
_LEVEL: Final = 5
_KEPT: Final = ("Content-Type", "Retry-After", "Location")
"""Headers of an answer that are used."""
_NO_SECRETS: Final = frozenset({"", "None"})
"""Values from `secrets_of` for a secret that is being cleared."""


class Recorder:
    """A `CallObserver` that writes exchanges in a task of its own; made by `open_recorder`.

    It never harms a run: when the file cannot be written any more it stops recording, and `failure` has the reason.
    """

    def __init__(
        self, descriptor: int, settings: ClientSettings, room: int = ROOM, pseudonyms: Pseudonyms | None = None
    ) -> None:
        url = URL(settings.base_url)
        self.failure: str | None = None
        self.exchanges = 0
        self._descriptor = descriptor
        self._host = url.host or ""
        self._pseudonyms = pseudonyms
        self._remover = SecretRemover(settings.extra, settings.mask.secrets)
        self._header = RecordingHeader(
            FORMAT,
            version(PROGRAM),
            self._remover.text(url.path.rstrip("/")),
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            tuple(settings.extra),
            pseudonyms.key if pseudonyms else "",
        )
        self._started = time.perf_counter()
        self._limit = room
        self._weight = 0
        self._room = asyncio.Event()
        self._room.set()
        self._queue: list[tuple[int, float, CallRecord]] = []
        self._more = asyncio.Event()
        self._ended = False
        self._pack = zlib.compressobj(_LEVEL, wbits=_GZIP)

    async def start(self) -> None:
        """Write the header. Raises RecordingError when that fails."""
        fault = await anyio.to_thread.run_sync(self._write, [msgspec.json.encode(self._header)])
        if fault is not None:
            raise RecordingError("The recording cannot be written: {why}.", why=fault)
        self._task = asyncio.create_task(self._work())

    async def ready(self) -> None:
        """Wait while too many bytes are still to be written."""
        # Another task woken at the same time may have filled the room again.
        while not self._room.is_set():
            await self._room.wait()

    def heard(self, record: CallRecord) -> None:
        if self.failure is not None:
            return
        self.exchanges += 1
        at = max(time.perf_counter() - record.seconds - self._started, 0.0)
        self._weight += _weight(record)
        if self._weight >= self._limit:
            self._room.clear()
        self._queue.append((self.exchanges, at, record))
        self._more.set()

    async def close(self) -> None:
        """Write the waiting exchanges, and end the file."""
        self._ended = True
        self._more.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        last = False
        while not last and self.failure is None:
            await self._more.wait()
            self._more.clear()
            batch, self._queue, last = self._queue, [], self._ended
            lines = (self._line(*each) for each in batch)
            try:
                self.failure = await anyio.to_thread.run_sync(partial(self._write, lines, end=last))
            except RuntimeError as fault:
                self.failure = str(fault)  # no thread can be started
            self._weight -= sum(_weight(record) for _, _, record in batch)
            if self.failure is not None or self._weight < self._limit:
                self._room.set()

    def _write(self, lines: Iterable[bytes], *, end: bool = False) -> str | None:
        pack = self._pack
        try:
            for line in lines:
                write_all(self._descriptor, pack.compress(line + b"\n") + pack.flush(zlib.Z_SYNC_FLUSH))
            if end:
                write_all(self._descriptor, pack.flush(zlib.Z_FINISH))
                os.fsync(self._descriptor)
        except Exception as fault:  # noqa: BLE001 — whatever it is, the run goes on without its recording
            return str(fault) or type(fault).__name__
        return None

    def _line(self, number: int, at: float, record: CallRecord) -> bytes:
        form = parse_qsl(record.form.decode("ascii"), keep_blank_values=True, errors="replace")
        remover = self._remover
        remover = remover.knowing({*remover.secrets_in(form), *secrets_of(record.call)} - _NO_SECRETS)
        people = PeopleRemover(self._pseudonyms, record.call.model) if self._pseudonyms else None
        sent = remover.form(form)
        recorded = Recorded(
            number=number,
            at=round(at, 6),
            path=record.call.path,
            form=tuple(people.form(sent) if people else sent),
            seconds=round(record.seconds, 6),
            outcome=_OUTCOMES[type(record.evidence)],
            answer=_answer(record, remover, people),
            instead=self._instead(record, remover),
        )
        return msgspec.json.encode(recorded)

    def _instead(self, record: CallRecord, remover: SecretRemover) -> Instead | None:
        evidence = record.evidence
        if evidence is None:
            return Instead("cancelled", record.left, record.ending)
        if record.status is not None and record.ending is None:
            return None
        text = remover.text(evidence.text) if isinstance(evidence, Lost | NotSent) else ""
        if self._host:
            text = text.replace(self._host, "the billing")
        what: Literal["not sent", "lost", "broke off"] = "lost" if record.left else "not sent"
        return Instead("broke off" if record.status is not None else what, record.left, record.ending, text)


@asynccontextmanager
async def open_recorder(
    path: Path | str,
    settings: ClientSettings,
    *,
    force: bool = False,
    room: int = ROOM,
    pseudonyms: Pseudonyms | None = None,
) -> AsyncIterator[Recorder]:
    """A recorder for the client of these settings, as its `listener`; open it before the client, close it after.

    The file has mode 0600; an existing one is replaced only with `force`. `room` is the number of bytes that may wait
    to be written. With `pseudonyms` the values of people become made-up ones.

    Raises RecordingError when the file cannot be created, and RecordingBroken at the end when exchanges are missing.
    """
    descriptor = await anyio.to_thread.run_sync(_create, Path(path), force)
    try:
        recorder = Recorder(descriptor, settings, room, pseudonyms)
        await recorder.start()
        try:
            yield recorder
        finally:
            await recorder.close()
        if recorder.failure is not None:
            raise RecordingBroken("The recording lacks exchanges: {why}.", why=recorder.failure)
    finally:
        os.close(descriptor)


def _create(path: Path, force: bool) -> int:  # noqa: FBT001 — called through a thread
    try:
        if force:
            # Not overwritten in place: another process may read it, or it may have another name.
            path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RecordingError(
            "{path} is there already: name another file for the recording, or use force.", path=path
        ) from None
    except OSError as fault:
        raise RecordingError(
            "The recording {path} cannot be written: {why}.", path=path, why=reason_of(fault)
        ) from None


def _weight(record: CallRecord) -> int:
    return len(record.form) + len(record.answer) + _OVERHEAD


_OUTCOMES: Final[dict[type[Evidence | None], RecordedOutcome]] = {
    type(None): "cancelled",
    Accepted: "answered",
    RowRefused: "refused",
    Busy: "busy",
    SystemRefused: "system refused",
    NotSent: "not sent",
    Lost: "lost",
}


def _answer(record: CallRecord, remover: SecretRemover, people: PeopleRemover | None) -> RecordedAnswer | None:
    if record.status is None:
        return None
    body = remover.body(record.headers, record.answer, [step.method for step in record.call.steps[-1:]])
    body = people.body(record.headers, body) if people else body
    headers = {name: remover.text(record.headers[name]) for name in _KEPT if name in record.headers}
    whole = record.ending is None
    try:
        return RecordedAnswer(record.status, headers, text=body.decode(), whole=whole)
    except UnicodeError:
        return RecordedAnswer(record.status, headers, base64=base64.b64encode(body).decode(), whole=whole)


# ---- the key of made-up names -------------------------------------------------------------------------------------

_SECRET: Final = 32


def load_secret(path: Path) -> bytes:
    """The key at `path`, made there (mode 0600) by whoever needs it first. Raises `RecordingError`."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent) as made:
                made.write(secrets.token_bytes(_SECRET))
                made.flush()
                # A link is there whole or not at all, and never in the place of another one.
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(made.name)
        found = path.read_bytes()
    except OSError as error:
        raise RecordingError(
            "The key of made-up names {path} cannot be kept: {why}.", path=path, why=reason_of(error)
        ) from None
    if len(found) != _SECRET:
        raise RecordingError("{path} is not a key of made-up names: move it away, and a new one is made.", path=path)
    return found
