"""The intent files of a probe: each operation or object that it is about to make, durable before the call leaves.

Each is a file of JSON lines, one a call. It exists from the probe's first call until all is taken back, and is locked
while the probe runs: an unlocked file belongs to a killed probe.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from checkpoints.own_files import open_beside
from engine.errors import EngineError
from jobs.access.durable import append_durably, keep_name


class ProbeHeld(EngineError):
    """Raised when another probe of the same billing is running."""


class IntentFailed(EngineError):
    """Raised when the intent file cannot be read or written; nothing may be entered without it."""


class Intended(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One operation that was about to be entered; `amount` and `before` are roubles."""

    probe: str
    number: int
    abonent: int
    account: int
    op_type: int
    amount: Decimal
    at: datetime
    undoes: int | None = None
    before: Decimal | None = None


class IntendedObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object that was about to be created for a test subscriber of the probe's own."""

    probe: str
    model: str
    at: datetime


Record = TypeVar("Record", Intended, IntendedObject)


class Intents(Generic[Record]):
    """An open intent file; `earlier` is what a killed probe has left in it."""

    def __init__(self, path: Path, descriptor: int, earlier: tuple[Record, ...]) -> None:
        self.path = path
        self.earlier: tuple[Record, ...] = earlier
        self._descriptor = descriptor

    def keep(self, intended: Record) -> None:
        """Write an intent durably. Raises `IntentFailed`."""
        try:
            append_durably(self._descriptor, msgspec.json.encode(intended) + b"\n")
        except OSError as error:
            why = error.strerror or ""
            raise IntentFailed("{path} cannot be written: {reason}", path=self.path, reason=why) from error

    def restart(self) -> None:
        """Empty the file, after the entries of earlier probes are settled."""
        os.ftruncate(self._descriptor, 0)
        self.earlier = ()

    def forget(self) -> None:
        """Remove the file, after all is taken back."""
        self.path.unlink(missing_ok=True)
        self.earlier = ()


@contextmanager
def open_intents(path: Path, record: type[Record]) -> Iterator[Intents[Record]]:
    """The intent file of such records, locked. Raises `ProbeHeld` and `IntentFailed`."""
    try:
        descriptor = _locked(path)
    except OSError as error:
        why = error.strerror or ""
        raise IntentFailed("{path} cannot be opened: {reason}", path=path, reason=why) from error
    try:
        yield Intents(path, descriptor, _read(path, descriptor, record))
    finally:
        # Also where the probe was interrupted at its question: an empty file is nobody's.
        if os.fstat(descriptor).st_size == 0 and _is_there(path, descriptor):
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = open_beside(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ProbeHeld(
                "another probe of this billing is under way ({path}): wait for its end", path=path
            ) from error
        # A probe that has just ended may have removed the file between the two calls.
        if _is_there(path, descriptor):
            keep_name(path.parent)
            return descriptor
        os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at this path."""
    return path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino


def _read(path: Path, descriptor: int, record: type[Record]) -> tuple[Record, ...]:
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    *whole, torn = text.split(b"\n")
    if torn:
        # The call of an incomplete line never left, because the line was not durable.
        os.ftruncate(descriptor, len(text) - len(torn))
    try:
        return tuple(msgspec.json.decode(line, type=record) for line in whole)
    except msgspec.DecodeError as error:
        raise IntentFailed(
            "{path} cannot be read: {error}. It names what an earlier probe has made: look in the billing for "
            "'cm-probe' in comments and contract numbers, take it back, and remove the file",
            path=path,
            error=error,
        ) from error
