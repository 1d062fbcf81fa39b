"""The file that generated passwords are handed over in: `user_id;login;password`, its owner's alone.

A line is on the disk before its item counts as accepted. A process that was killed in between generates anew, so an
account may have two lines; the last one holds. When the run is at its end the others are taken out.
"""

import csv
import io
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from billing.database.sql_blocks import sql_block
from jobs.spec.errors import PasswordsUnwritten

_BOM: Final = "\ufeff"
_COLUMNS: Final = ("user_id", "login", "password")
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class PasswordFile:
    """The file of one run, whose name stands in its first line: one that is somebody else's is never touched.

    Works in threads. All of it raises `PasswordsUnwritten`.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._header = (_BOM + _line(*_COLUMNS, f"run {run}")).encode()
        self._lock = threading.Lock()
        self._ready = False

    def add(self, user: int, login: str, password: str) -> None:
        """Append a line; it is on the disk then."""
        with self._lock, _as_file_error(self._path):
            if not self._ready:
                self._open()
                self._ready = True
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | _FLAGS)
            try:
                _write(descriptor, _line(str(user), login, password).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def finish(self) -> int:
        """Leave the last line of each account alone, in one step; how many there are, 0 where there is no file."""
        with self._lock, _as_file_error(self._path):
            if not self._path.exists():
                return 0
            self._open()
            with self._path.open("rb") as file, closing(_places(file)) as places:
                ((lines, accounts),) = places.execute(_sql("count"))
                if lines != accounts:
                    self._rewrite(file, places)
                return int(accounts)

    def _open(self) -> None:
        """Make the file, or take it up where a run that was killed has left it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        except FileExistsError:
            descriptor = os.open(self._path, os.O_RDWR | _FLAGS)
        with os.fdopen(descriptor, "r+b") as file:
            found = file.read(len(self._header))
            if found != self._header:
                # Killed while the file was being made.
                if len(found) == len(self._header) or not self._header.startswith(found):
                    raise PasswordsUnwritten(f"{self._path} is not the file of this run: it was put there by another")
                file.seek(0)
                file.write(self._header)
            file.truncate(_end_of_lines(file))
            file.flush()
            os.fsync(file.fileno())
        _settle(self._path.parent)

    def _rewrite(self, file: BinaryIO, places: sqlite3.Connection) -> None:
        made = self._path.with_name(f".{self._path.name}.new")
        # Left by a process that was killed here.
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600), "wb") as out:
            out.write(self._header)
            for (place,) in places.execute(_sql("lasting")):
                file.seek(place)
                out.write(file.readline())
            out.flush()
            os.fsync(out.fileno())
        made.replace(self._path)
        _settle(self._path.parent)


def _places(file: BinaryIO) -> sqlite3.Connection:
    """Where the lines of each account begin, in a database that lives on the disk as long as it is open.

    It holds no word of the file, and memory does not grow with the lines.
    """
    places = sqlite3.connect("")
    places.execute(_sql("create"))
    places.executemany(_sql("note"), _lines(file))
    return places


def _lines(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """The account of each line behind the first, and where the line begins."""
    file.seek(0)
    place = len(file.readline())
    while line := file.readline():
        yield line.partition(b";")[0].decode(), place
        place += len(line)


def _line(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _end_of_lines(file: BinaryIO, step: int = 65_536) -> int:
    """Where the last whole line ends; half a line behind it is of a call whose item was not accepted."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - step, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _settle(folder: Path) -> None:
    """Make the name of a new file as lasting as the file; not every file system has a way to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PasswordsUnwritten(f"the passwords cannot be written to {path}: {error.strerror}") from error


def _sql(name: str) -> str:
    return sql_block("password_file", name, "jobs.effects").text
