"""The bytes of an input: a file, or standard input kept in an unnamed temporary one.

An input is read more than once: to tell what it is, for its header, for its digest, for its rows. All these readings
must be of the same bytes, so the digest is taken before the first of them and compared after the last.
"""

import hashlib
import io
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final, Protocol, cast

from engine.errors import InputRefused
from engine.rows import STANDARD_INPUT, RowPage

_BLOCK: Final = 1024 * 1024


class Original(Protocol):
    """Bytes that can be read again and again."""

    @property
    def name(self) -> str:
        """What the messages and the journal call it."""
        ...

    @property
    def suffix(self) -> str:
        """The ending of its name, as `.csv`; "" where it has none."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes in hexadecimal, as they were at the first reading. Raises `InputRefused`."""
        ...

    def open(self) -> BinaryIO:
        """One more reading, from the first byte. Raises `InputRefused`."""
        ...

    def check_unchanged(self) -> None:
        """Raises `InputRefused` when the bytes are no longer those of the digest."""
        ...


class FileOnDisk:
    """A regular file that is not empty, as an `Original`; nothing is touched before something is asked."""

    __slots__ = ("_digest", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest: str | None = None

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return str(self._path)

    @property
    def suffix(self) -> str:
        """The last ending of the path, in small letters."""
        return self._path.suffix.casefold()

    @property
    def digest(self) -> str:
        """SHA-256, computed when first asked for. Raises `InputRefused`, also for what is no file of rows."""
        if self._digest is None:
            self._refuse_what_is_no_file()
            self._digest = self._digest_now()
        return self._digest

    def open(self) -> BinaryIO:
        """The file from its first byte, its digest taken before. Raises `InputRefused`."""
        _ = self.digest
        try:
            return self._path.open("rb")
        except OSError as error:
            raise unreadable(self.name, error) from error

    def check_unchanged(self) -> None:
        """Read the file once more. Raises `InputRefused` when it is another one by now."""
        if self._digest is not None and self._digest_now() != self._digest:
            raise InputRefused(
                f"{self.name}: the file changed while it was read, so nothing of it was sent. Let the program that "
                "writes it finish, then start again"
            )

    def _digest_now(self) -> str:
        try:
            with self._path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(self.name, error) from error

    def _refuse_what_is_no_file(self) -> None:
        try:
            if self._path.is_dir():
                raise InputRefused(f"{self.name} is a folder: name a file in it")
            if self._path.exists() and not self._path.is_file():
                raise InputRefused(
                    f"{self.name} is not a regular file; it is read more than once, so save it as one, or pipe it "
                    f"into {STANDARD_INPUT}"
                )
            size = self._path.stat().st_size
        except OSError as error:
            raise unreadable(self.name, error) from error
        if size == 0:
            raise empty(self.name)


class StandardInput:
    """Standard input as an `Original`: read to its end when first asked, and kept where only this process sees it."""

    __slots__ = ("__weakref__", "_digest", "_spool", "_stream")

    name = STANDARD_INPUT
    suffix = ""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream
        self._digest = ""
        self._spool: IO[bytes] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that came in. Raises `InputRefused`."""
        self._kept()
        return self._digest

    def open(self) -> BinaryIO:
        """What came in, from its first byte. Raises `InputRefused`."""
        return cast("BinaryIO", io.BufferedReader(_Reading(self._kept(), self)))

    def check_unchanged(self) -> None:
        """Nobody else can reach what is kept."""

    def _kept(self) -> IO[bytes]:
        if self._spool is None:
            try:
                self._spool = self._keep(self._stream or _standard_stream())
            except OSError as error:
                raise InputRefused(
                    f"{self.name} cannot be kept in a temporary file: {error.strerror or error}. Free some room "
                    "there, or name another folder with TMPDIR"
                ) from error
        return self._spool

    def _keep(self, stream: BinaryIO) -> IO[bytes]:
        spool = cast("IO[bytes]", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed with this object
        weakref.finalize(self, spool.close)
        digest = hashlib.sha256()
        while block := stream.read(_BLOCK):
            digest.update(block)
            _write(spool, block)
        if spool.tell() == 0:
            raise empty(self.name)
        self._digest = digest.hexdigest()
        return spool


class _Reading(io.RawIOBase):
    """One reading of a file that others read at the same time: it has a place of its own.

    It keeps the `owner` alive, which closes the file at its end.
    """

    def __init__(self, file: IO[bytes], owner: object) -> None:
        self._file = file
        self._owner = owner
        self._size = os.fstat(file.fileno()).st_size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # what BufferedReader hands in
        data = os.pread(self._file.fileno(), len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def proven(original: Original, pages: Iterator[RowPage]) -> Iterator[RowPage]:
    """The pages of one reading, and at its end the proof that they were all read from the same bytes.

    A fault that is found on the way is told only when it is one of the original, not of its being written just now.
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
    """The refusal of an input that the system does not give."""
    if isinstance(error, FileNotFoundError):
        return InputRefused(f"there is no file {name}; check the path")
    return InputRefused(f"{name} cannot be read: {error.strerror or error}")


def empty(name: str) -> InputRefused:
    """The refusal of an input without a single row."""
    return InputRefused(f"{name} is empty: a header and rows are expected")


def _write(file: IO[bytes], block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _standard_stream() -> BinaryIO:
    # None where the process was started without one.
    if sys.stdin is None or sys.stdin.closed:
        raise InputRefused(f"there is no {STANDARD_INPUT}: name a file of rows, or pipe the rows in")
    if sys.stdin.isatty():
        raise InputRefused(f"{STANDARD_INPUT} is the keyboard: pipe the rows in, or name a file of rows")
    return sys.stdin.buffer
