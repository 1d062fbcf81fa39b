"""The file of generated passwords: `user_id;login;password`, readable only by its owner.

A line is on the disk before its item counts as accepted. If the process is killed in between, another password is
generated, so an account may have two lines; the last one is valid. At the end of the run the others are removed.
"""

import csv
import io
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from billing.database.sql_blocks import sql_block
from checkpoints.own_files import open_beside
from jobs.access.durable import append_durably, keep_name
from jobs.spec.errors import PasswordsUnwritten

_BOM: Final = "\ufeff"
_COLUMNS: Final = ("user_id", "login", "password")
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


Account: TypeAlias = tuple[str, str]
"""An account: its id, and its name for people."""

NAMED: Final = 20
"""Accounts without a password that are named; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The accounts of a password file, and how many accepted ones have no password there; the first are named."""

    accounts: int
    missing: int = 0
    first_missing: tuple[str, ...] = ()


class PasswordFile:
    """The password file of one run. The first line names the run; a file of another run is never changed.

    May be used from threads. All methods raise `PasswordsUnwritten`.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._header = (_BOM + _line(*_COLUMNS, f"run {run}")).encode()
        self._lock = threading.Lock()
        self._ready = False

    def add(self, user: int, login: str, password: str) -> None:
        """Append a line and write it to the disk."""
        with self._lock, _as_file_error(self._path):
            if not self._ready:
                self._open()
                self._ready = True
            descriptor = open_beside(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                append_durably(descriptor, _line(str(user), login, password).encode())
            finally:
                os.close(descriptor)

    def finish(self, accepted: Iterable[Account] = ()) -> "Kept":
        """Keep only the last line of each account, in one step, and look for the accepted accounts among them."""
        with self._lock, _as_file_error(self._path):
            if not self._path.exists():
                lost = [label for _, label in accepted]
                return Kept(0, len(lost), tuple(lost[:NAMED]))
            self._open()
            with self._path.open("rb") as file, closing(_places(file)) as places:
                ((lines, accounts),) = places.execute(_sql("count"))
                if lines != accounts:
                    self._rewrite(file, places)
                number, first = 0, list[str]()
                for user, label in accepted:
                    if not places.execute(_sql("has"), (user,)).fetchone():
                        number += 1
                        first += [label] if number <= NAMED else []
                return Kept(int(accounts), number, tuple(first))

    def _open(self) -> None:
        """Create the file, or open the one that a killed process has left."""
        try:
            descriptor = open_beside(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            descriptor = open_beside(self._path, os.O_RDWR)
        with os.fdopen(descriptor, "r+b") as file:
            found = file.read(len(self._header))
            if found != self._header:
                # A process was killed while it created the file.
                if len(found) == len(self._header) or not self._header.startswith(found):
                    raise PasswordsUnwritten(
                        "{path} is not the file of this run: it was put there by another", path=self._path
                    )
                file.seek(0)
                file.write(self._header)
            file.truncate(_end_of_lines(file))
            file.flush()
            os.fsync(file.fileno())
        keep_name(self._path.parent)

    def _rewrite(self, file: BinaryIO, places: sqlite3.Connection) -> None:
        made = self._path.with_name(f".{self._path.name}.new")
        # A killed process may have left this file.
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600), "wb") as out:
            out.write(self._header)
            for (place,) in places.execute(_sql("lasting")):
                file.seek(place)
                out.write(file.readline())
            out.flush()
            os.fsync(out.fileno())
        made.replace(self._path)
        keep_name(self._path.parent)


def _places(file: BinaryIO) -> sqlite3.Connection:
    """The places of each account's lines, in a temporary database on the disk.

    It holds no passwords, and memory does not grow with the lines.
    """
    places = sqlite3.connect("")
    places.execute(_sql("create"))
    places.executemany(_sql("note"), _lines(file))
    places.execute(_sql("index"))
    return places


def _lines(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """The account and the place of each line after the first that holds a password."""
    file.seek(0)
    place = len(file.readline())
    while line := file.readline():
        cells = next(csv.reader([line.decode(errors="replace")], delimiter=";"), [])
        if len(cells) >= len(_COLUMNS) and cells[2]:
            yield cells[0], place
        place += len(line)


def _line(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _end_of_lines(file: BinaryIO, step: int = 65_536) -> int:
    """The end of the last whole line; half a line after it belongs to an item that was not accepted."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - step, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PasswordsUnwritten(
            "the passwords cannot be written to {path}: {reason}", path=path, reason=error.strerror or ""
        ) from error


def _sql(name: str) -> str:
    return sql_block("password_file", name, "jobs.effects").text
