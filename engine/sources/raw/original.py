"""The original bytes of an input: a file, or standard input kept in an unnamed temporary file.

An input is read more than once: for its format, its header, its digest and its rows. All readings must see the same
bytes, so the digest is computed before the first of them and checked after the last.
"""

import hashlib
import sys
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO, Final, TypeAlias, cast

from engine.errors import InputRefused
from engine.job import STANDARD_INPUT, RowPage
from texts.said import said

_BLOCK: Final = 1024 * 1024
LONGEST_CELL: Final = 1_000_000
"""Maximum length of a cell, in characters; a longer one counts as a fault of the file."""


class FileOnDisk:
    """A regular file that is not empty, as an `Original`; it is opened on first access."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        self.suffix = path.suffix.casefold()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, as they were at the first access; a file that cannot hold rows is refused."""
        try:
            if self._path.is_dir():
                raise InputRefused("{file} is a folder: name a file in it", file=self.name)
            if self._path.exists() and not self._path.is_file():
                raise InputRefused(
                    "{file} is not a regular file; it is read more than once, so save it as one, or pipe it into "
                    "standard input",
                    file=self.name,
                )
            if self._path.stat().st_size == 0:
                raise empty(self.name)
        except OSError as error:
            raise unreadable(self.name, error) from error
        return self._digest_now()

    def open(self) -> BinaryIO:
        _ = self.digest
        try:
            return self._path.open("rb")
        except OSError as error:
            raise unreadable(self.name, error) from error

    def check_unchanged(self) -> None:
        if self.digest != self._digest_now():
            raise InputRefused(
                "{file}: the file changed while it was read, so nothing of it was sent. Let the program that "
                "writes it finish, then start again",
                file=self.name,
            )

    def _digest_now(self) -> str:
        try:
            with self._path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(self.name, error) from error


class StandardInput:
    """Standard input as an `Original`: read to its end on first access, and kept in a private temporary file."""

    name = STANDARD_INPUT
    suffix = ""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    @property
    def digest(self) -> str:
        return self._kept[1]

    def open(self) -> BinaryIO:
        # Opened anew, it has a position of its own.
        return Path(f"/proc/self/fd/{self._kept[0].fileno()}").open("rb")

    def check_unchanged(self) -> None:
        """Do nothing: no other process can change the kept bytes."""

    @cached_property
    def _kept(self) -> tuple[IO[bytes], str]:
        stream = self._stream
        if stream is None:
            # None if the process was started without standard input.
            if sys.stdin is None or sys.stdin.closed:
                raise InputRefused(said("there is no standard input: name a file of rows, or pipe the rows in"))
            if sys.stdin.isatty():
                raise InputRefused(said("standard input is the keyboard: pipe the rows in, or name a file of rows"))
            stream = sys.stdin.buffer
        digest = hashlib.sha256()
        try:
            spool = cast("IO[bytes]", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed with this object
            weakref.finalize(self, spool.close)
            while block := stream.read(_BLOCK):
                digest.update(block)
                view = memoryview(block)
                while view:
                    view = view[spool.write(view) :]
        except OSError as error:
            raise InputRefused(
                "{file} cannot be kept in a temporary file: {error}. Free some room there, or name another "
                "folder with TMPDIR",
                file=self.name,
                error=error.strerror or error,
            ) from error
        if spool.tell() == 0:
            raise empty(self.name)
        return spool, digest.hexdigest()


Original: TypeAlias = FileOnDisk | StandardInput
"""Bytes that can be read repeatedly, with a name for messages and the journal."""


def proven(original: Original, pages: Iterator[RowPage]) -> Iterator[RowPage]:
    """The pages of one reading, followed by the check that the bytes have not changed.

    After a fault the bytes are checked first: a file that is being written is reported as changed, not as faulty.
    """
    try:
        yield from pages
    except InputRefused:
        original.check_unchanged()
        raise
    except OSError as error:
        raise unreadable(original.name, error) from error
    original.check_unchanged()


def unreadable(name: str, error: OSError) -> InputRefused:
    if isinstance(error, FileNotFoundError):
        return InputRefused("there is no file {file}; check the path", file=name)
    return InputRefused("{file} cannot be read: {error}", file=name, error=error.strerror or error)


def empty(name: str) -> InputRefused:
    return InputRefused("{file} is empty: a header and rows are expected", file=name)
