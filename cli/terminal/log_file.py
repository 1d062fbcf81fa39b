"""The log's file: bounded in size, shared by several processes, and left in peace by logrotate.

Each process appends whole lines. The one that finds the file full renames it to `.1`, that to `.2` and so on, and the
oldest is gone. The others find at their next line that the path has another file, and open that one, as the standard
library's `WatchedFileHandler` does. So logrotate can move the file away without `copytruncate` and without a signal.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final

from checkpoints.own_files import open_beside

LARGEST: Final = 10_000_000
"""Bytes after which a log is put aside."""

KEPT: Final = 4
"""Logs that are kept aside, so that all of them together have at most five times `LARGEST`."""


class _PrivateFile(WatchedFileHandler):
    """A file that only its owner can read, opened anew where its path leads to another one."""

    def descriptor(self) -> int:
        """The descriptor of the file that is at the path now."""
        self.reopenIfNeeded()
        if self.stream is None:
            # It could not be opened at an earlier line.
            self.stream = self._open()
            self._statstream()
        return self.stream.fileno()

    def _open(self) -> TextIOWrapper:
        # Mode 0600 like the journal, since it contains labels and amounts.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        if self.baseFilename == os.devnull:
            return Path(os.devnull).open("a", encoding="utf-8")
        return os.fdopen(open_beside(Path(self.baseFilename), flags), "a", encoding="utf-8")


class LogFile:
    """The log at `path`; lines may be added from threads. Raises `OSError` if it cannot be opened."""

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._file = _PrivateFile(path)

    def add(self, line: str) -> None:
        """Add a line, which is in the file even after a kill; a full disk loses the line and nothing else."""
        with suppress(OSError), self._alone():
            ours = self._file.descriptor()
            if os.fstat(ours).st_size >= self._largest:
                with suppress(OSError):
                    # The path may be free for a moment, when another process has just put the log aside.
                    self._put_aside(ours)
            # One write, which nothing of another process comes between.
            os.write(self._file.descriptor(), f"{line}\n".encode(errors="backslashreplace"))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _put_aside(self, ours: int) -> None:
        """Rename the full file, unless another process is doing so or has done so."""
        try:
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # The lock goes with the descriptor, which is closed when the new file is opened.
        if os.path.samestat(os.fstat(ours), self._path.stat()):
            for number in range(self._kept - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._aside(number).replace(self._aside(number + 1))
            self._path.replace(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.acquire()
        try:
            yield
        finally:
            self._file.release()
