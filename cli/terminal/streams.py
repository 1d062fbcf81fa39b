"""Standard output and standard error: the one place where text leaves the program.

A terminal may not hold what is shown: its encoding is KOI8-R, CP1251 or ASCII, or it has gone. What an encoding
cannot hold is replaced by something that reads alike; a reader that has gone is written to no more. Neither changes
the work or its exit code. Output that was lost, on a full disk or since stdout was closed, is told.
"""

import errno
import io
import json
import os
import re
import select
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

import msgspec

from cli.terminal.texts import JOINT, SIGNS, from_bytes, printable
from cli.terminal.waiting import WaitingLine
from texts.said import reason_of, said

COLUMNS: Final = 80
"""The width of a terminal that does not tell it."""

_GONE: Final = {errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO}
"""Errors of a reader that has gone: `| head` that has read enough, a terminal that was closed."""

_LATIN: Final = {
    "а": "a", "б": "b", "в": "v", "г": "g", "ґ": "g", "д": "d", "е": "e", "ё": "e", "є": "ye", "ж": "zh", "з": "z",
    "и": "i", "і": "i", "ї": "yi", "й": "y", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r",
    "с": "s", "т": "t", "у": "u", "ў": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch",
    "ъ": "'", "ы": "y", "ь": "'", "э": "e", "ю": "yu", "я": "ya",
}  # fmt: skip
"""Cyrillic letters as a person reads them in Latin ones."""


@contextmanager
def outputs() -> Iterator["Output"]:
    """Let stdout and stderr be written to in any locale, and with nobody reading, while the context lasts.

    Gives stdout, whose `trouble` is known when the context has ended.
    """
    # Where a standard stream was closed, the next file opened, a journal, would take its number.
    for number, way in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, way)
    before, line = (sys.stdout, sys.stderr), WaitingLine()

    def closed() -> TextIO:
        """A stream of which every write fails, as that to a closed descriptor does."""
        return os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")

    # Python has None for a stream that was closed before its start.
    out, err = (Output(_waiting(stream) if stream else closed(), line) for stream in before)
    out.is_watched = out.isatty()
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        with line.shown_by(err.draw, err.columns if err.can_redraw else None):
            yield out
    finally:
        out.flush()
        if out.trouble is not None:
            why = said("standard output could not be written, and is not complete: {why}", why=reason_of(out.trouble))
            err.write(f"✗ {printable(why)}\n")
        err.flush()
        sys.stdout, sys.stderr = before
        for output, stream in ((out, before[0]), (err, before[1])):
            if stream is None:
                output.close()


def lasting(stream: Any) -> TextIO:  # noqa: ANN401 - a stream, or an `Output` in its place
    """The stream as an `Output`, which it may be already."""
    return cast("TextIO", stream if isinstance(stream, Output) else Output(stream))


class Output:
    """A text stream that holds any text and outlasts its reader; other attributes are those of the stream below.

    `trouble` is an error other than a reader that has gone, as a full disk or a stream that was closed at the start.
    `line` is what a terminal shows while nothing is written; nobody watches an output that goes elsewhere.
    """

    is_watched = True

    def __init__(self, stream: TextIO, line: WaitingLine | None = None) -> None:
        self._stream = stream
        self._line = line or WaitingLine()
        self.trouble: OSError | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream below has
        return getattr(self._stream, name)

    @property
    def buffer(self) -> "OutputBytes":
        """The bytes of this output, for a file that is written to it."""
        self.flush()
        return OutputBytes(self._stream, self._line)

    @property
    def can_redraw(self) -> bool:
        """Whether it is a terminal whose cursor moves."""
        return self._stream.isatty() and os.environ.get("TERM", "").lower() not in {"dumb", "unknown"}

    def columns(self) -> int:
        """The width of the terminal, 0 while another job of the shell has it."""
        try:
            terminal = self._stream.fileno()
            with suppress(OSError):
                if os.tcgetpgrp(terminal) != os.getpgrp():
                    return 0
            return os.get_terminal_size(terminal).columns or COLUMNS
        except (OSError, ValueError):
            return COLUMNS

    def write(self, text: str) -> int:
        """Write a text, as far as there is somebody to read it."""
        with self._line:
            self._attempt(lambda: self._stream.write(held_by(self._stream.encoding, plain(text))))
            if self.is_watched:
                self._line.note(text)
        return len(text)

    def draw(self, text: str) -> None:
        """Write a text at once, which does not count as output."""
        self._attempt(lambda: self._stream.write(held_by(self._stream.encoding, plain(text))))
        self.flush()

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in _GONE and self.trouble is None:
                self.trouble = error
            _discard(self._stream)
        except ValueError:
            # Closed by somebody in this process.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as the process lasts


class OutputBytes(io.RawIOBase):
    """The bytes of an output. A reader that has gone is no error; a disk that is full and a closed stream are."""

    def __init__(self, stream: TextIO, line: WaitingLine) -> None:
        super().__init__()
        self._stream = stream
        self._line = line

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as its base class has it
        try:
            with self._line:
                self._stream.buffer.write(data)
                self._stream.buffer.flush()
                if self._stream.isatty():
                    self._line.note(bytes(data).decode("utf-8", "replace"))
        except OSError as error:
            if error.errno not in _GONE:
                raise
            _discard(self._stream)
        return len(data)


class _WaitingFile(io.FileIO):
    """A descriptor of which a write waits while a pipe is full, also one that somebody has made non-blocking."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer, as its base class has it
        while (number := cast("int | None", super().write(data))) is None:
            select.select([], [self], [])
        return number


def plain(text: str) -> str:
    """A text as it leaves: the joints of its numbers are the spaces that a person types to find them."""
    return text.replace(JOINT, " ")


def held_by(encoding: str | None, text: str) -> str:
    """The text in characters of the encoding; what it lacks is replaced by what reads alike, or by an escape.

    A stream of texts alone has no encoding, and holds all.
    """
    if encoding is None:
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_stand_in(encoding, one) for one in from_bytes(text))
    return text


def _stand_in(encoding: str, letter: str) -> str:
    latin = _LATIN.get(letter.lower(), "")
    unmarked = "".join(one for one in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(one))
    for one in filter(None, (letter, SIGNS.get(letter), latin if letter.islower() else latin.capitalize(), unmarked)):
        with suppress(UnicodeEncodeError):
            one.encode(encoding)
            return one
    return letter.encode("unicode_escape").decode("ascii")


def json_line(value: object, encoding: str) -> str:
    """A value as one line of JSON; escapes where the encoding is not the UTF-8 that JSON is written in."""
    try:
        line = msgspec.json.encode(value, enc_hook=str).decode()
    except UnicodeEncodeError:
        # Somewhere is a name of a file that is no UTF-8.
        line = msgspec.json.encode(_well_formed(msgspec.to_builtins(value, enc_hook=str))).decode()
    line = plain(line)
    if encoding.lower().replace("-", "").startswith("utf"):
        return line
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], line)


def _well_formed(value: Any) -> Any:  # noqa: ANN401 - anything that JSON has
    match value:
        case str():
            return from_bytes(value)
        case dict():
            return {_well_formed(name): _well_formed(one) for name, one in value.items()}
        case list() | tuple():
            return [_well_formed(one) for one in value]
        case _:
            return value


def _waiting(stream: TextIO) -> TextIO:
    """The stream anew on its descriptor, which waits: else its buffer would drop what there is no room for.

    A stream without a descriptor stays as it is.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        file = _WaitingFile(stream.fileno(), "w", closefd=False)
    except io.UnsupportedOperation:
        return stream
    at_once = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(file), stream.encoding, stream.errors, line_buffering=at_once)


def _discard(stream: TextIO) -> None:
    """Lead a stream that nobody reads to /dev/null, with what it has buffered.

    Closing it must raise no error, and what is left in its buffer must not be written later, when its descriptor may
    be another file's.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
    with suppress(OSError, ValueError):
        stream.flush()
