"""The intent of a probe: what it is about to enter, durable before the call leaves.

A file of JSON lines, a line a call. It is there from a probe's first call until all is taken back, and locked while
the probe runs: one that is there and not locked belongs to a probe that was killed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import EngineError


class ProbeHeld(EngineError):
    """Raised when another probe of the same billing is under way."""


class IntentFailed(EngineError):
    """Raised when the intent file cannot be read or written: nothing may be entered without it."""


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

    @property
    def seconds_ago(self) -> float:
        """Seconds since then."""
        return (datetime.now(UTC) - self.at).total_seconds()


_decode: Final = msgspec.json.Decoder(Intended).decode
_encode: Final = msgspec.json.Encoder().encode


class Intents:
    """The open intent file; `earlier` is what a probe that was killed has left there."""

    def __init__(self, path: Path, descriptor: int, earlier: tuple[Intended, ...]) -> None:
        self.path = path
        self.earlier = earlier
        self._descriptor = descriptor

    def keep(self, intended: Intended) -> None:
        """Write it, durably. Raises `IntentFailed`."""
        try:
            os.write(self._descriptor, _encode(intended) + b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            raise IntentFailed(f"{self.path} cannot be written: {error.strerror}") from error

    def restart(self) -> None:
        """What an earlier probe had begun is settled: begin anew with an empty file."""
        os.ftruncate(self._descriptor, 0)
        self.earlier = ()

    def forget(self) -> None:
        """All is taken back: the file goes."""
        self.path.unlink(missing_ok=True)
        self.earlier = ()


@contextmanager
def open_intents(path: Path) -> Iterator[Intents]:
    """The intent file, locked. Raises `ProbeHeld` and `IntentFailed`."""
    descriptor = _locked(path)
    try:
        yield Intents(path, descriptor, _read(path, descriptor))
        if path.exists() and path.stat().st_size == 0:
            path.unlink()
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise IntentFailed(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ProbeHeld(f"another probe of this billing is under way ({path}): wait for its end") from error
        # A probe that has just ended may have removed the file between the two calls.
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> tuple[Intended, ...]:
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    *whole, torn = text.split(b"\n")
    if torn:
        # Its call never left, for the line was not yet durable.
        os.ftruncate(descriptor, len(text) - len(torn))
    try:
        return tuple(_decode(line) for line in whole)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntentFailed(
            f"{path} cannot be read: {error}. It names operations of an earlier probe: look in the billing for "
            "comments with 'cm-probe', take them back, and remove the file"
        ) from error
