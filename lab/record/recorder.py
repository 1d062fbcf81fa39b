"""The recorder: a `CallObserver` that writes every exchange to a file, without its secrets.

Each line is flushed on its own: after a kill only the exchanges that still waited are missing. The format is that of
`lab.record.recording`.
"""

import asyncio
import base64
import contextlib
import os
import time
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl

import anyio
import msgspec
from yarl import URL

from billing.api.calls import secrets_of
from billing.api.client import ClientSettings
from billing.api.secrets import SecretRemover
from billing.api.wire import CallRecord
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from jobs.access.durable import write_all
from lab.record.pseudonyms import PeopleRemover, Pseudonyms
from lab.record.recording import (
    FORMAT,
    Instead,
    Recorded,
    RecordedAnswer,
    RecordedOutcome,
    RecordingBroken,
    RecordingError,
    RecordingHeader,
)

ROOM: Final = 16 * 1024 * 1024
"""Bytes of exchanges that may wait to be written before calls are held back."""

_OVERHEAD: Final = 1024
_LEVEL: Final = 5
_GZIP: Final = 31
"""The zlib parameter for a gzip header and trailer."""
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
            _program(),
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
        """Take one exchange; it is written later."""
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
        """Write the waiting exchanges, and end the file. Raises RecordingBroken when some could not be written."""
        self._ended = True
        self._more.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((self._task,))
        if self.failure is not None:
            raise RecordingBroken("The recording lacks exchanges: {why}.", why=self.failure)

    async def _work(self) -> None:
        """Write the waiting exchanges until the recording is closed and none waits."""
        last = False
        while not last and self.failure is None:
            await self._more.wait()
            self._more.clear()
            batch, self._queue, last = self._queue, [], self._ended
            lines = (self._line(*each) for each in batch)
            self.failure = await anyio.to_thread.run_sync(partial(self._write, lines, end=last))
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
        except BaseException:
            # The first error is the one to raise.
            with contextlib.suppress(RecordingBroken):
                await recorder.close()
            raise
        await recorder.close()
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
            "The recording {path} cannot be written: {why}.", path=path, why=fault.strerror or str(fault)
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


def _program() -> str:
    try:
        return version("carbon-migrate")
    except PackageNotFoundError:
        return "unknown"
