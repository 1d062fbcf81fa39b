"""One runner a run: a file lock that dies with its process and carries its name."""

import fcntl
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from checkpoints.errors import JournalUnreadable, RunHeld


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a run: `since` is UTC, ISO 8601."""

    host: str
    process: int
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


class RunLock:
    """Holds a run for as long as the context lasts; the kernel lets go when the process dies, however it dies.

    Raises `RunHeld` with the holder's name when somebody else has it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Take the lock and write our name into it."""
        holder = Holder(socket.gethostname(), os.getpid(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        try:
            self._file = _acquire(self._path)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, msgspec.json.encode(holder), 0)
        except OSError as error:
            raise JournalUnreadable(f"cannot lock {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file while it is still ours, then let go."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def _acquire(path: Path) -> int:
    """Open and lock the file that stands at `path` at that moment.

    Two things make it try again: the holder before us removed the file between our opening and our locking it, so
    that what we hold has no name any more; or what stood in the way was only somebody who asked who holds it.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                return file
        except BlockingIOError:
            if holder := read_holder(path):
                os.close(file)
                raise RunHeld(f"another process works on this run: {holder}") from None
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock at `path`, or None when nobody does."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return msgspec.json.decode(os.pread(file, 4096, 0), type=Holder)
        except msgspec.DecodeError:
            # It has the lock and has not yet written its name.
            return Holder("this machine", 0, "just now")
    else:
        return None
    finally:
        os.close(file)
