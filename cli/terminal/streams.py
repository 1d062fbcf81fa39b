"""Standard output and standard error: where text leaves the program, and what a terminal shows until it does.

A terminal may not hold what is shown: its encoding is KOI8-R, CP1251 or ASCII, or it has gone. What an encoding
cannot hold is replaced by something that reads alike; a reader that has gone is written to no more. Neither changes
the work or its exit code. Output that was lost, on a full disk or since stdout was closed, is told.

While a command works and writes nothing, a line says what it waits for, how far it is, and how long it takes:

    with waiting(said("reading {file}", file=path), lambda: bytes_read(path)):
        …

It is there after a second without output; the next output removes it. A thread draws it, so it also appears while a
library is imported or the event loop hangs. Bars and questions are left alone: their last line has no end. Where
nothing can be redrawn, a line is written now and then.
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
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import Any, Final, TextIO, TypeAlias, cast

import msgspec
from rich.cells import cell_len, set_cell_size

from cli.terminal.texts import JOINT, LONGEST, SIGNS, duration, from_bytes, printable
from texts.said import Quantity, Said, reason_of, said

# ---- the line of a terminal while a command works and writes nothing ----------------------------------------------


SILENCE, EVERY = 0.8, 0.4
"""Seconds without output before the line is drawn, and between two drawings."""

LINE_AFTER: Final = 60.0
"""Seconds without output before a line is written where nothing can be redrawn; each line doubles them."""

What: TypeAlias = Said | Callable[[], Said] | None
"""What a command waits for; a function where it changes, and on paths that every command goes.

None hides the line: a child writes to the terminal, or the command serves others.
"""

Far: TypeAlias = Callable[[], tuple[int, int]]
"""How much of it is done, and how much there is; zeros where that is not known."""

Questions: TypeAlias = Callable[[], tuple[int, int, float]]
"""Answered questions of the present look-up, all of them, and the seconds since they began."""

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERASE: Final = "\r\x1b[K"
_LEFT_FREE: Final = 3
"""Columns for the comma, and at the end of the line, as a full line would wrap."""

_UNKNOWN: Final[Far] = lambda: (0, 0)  # noqa: E731 - a value of this type


@dataclass(eq=False, slots=True)
class _Step:
    what: What
    far: Far = _UNKNOWN
    most: float = 0.0
    began: float = field(default_factory=monotonic)


class WaitingLine:
    """The line of one command. Both outputs hold it while they write, as a lock, and report what they wrote.

    `mask` removes secrets. The functions of steps and questions are called in a thread: they must only read counters.
    """

    def __init__(self) -> None:
        self.is_quiet = False
        self.mask: Callable[[str], str] = str
        self.questions: Questions = lambda: (0, 0, 0.0)
        self.steps = [_Step(lambda: said("working"))]
        self._lock = RLock()
        self._draw: Callable[[str], None] = lambda _: None
        self._is_drawn = False
        self._at_line_start = True
        self._wrote = monotonic()
        self._rest = LINE_AFTER

    @contextmanager
    def shown_by(self, draw: Callable[[str], None], columns: Callable[[], int] | None) -> Iterator[None]:
        """Show the line with `draw` while the context lasts.

        `columns` gives the width of the terminal, 0 while the command is in the background; None where nothing can be
        redrawn.
        """
        self._draw = draw
        ended, before = Event(), _present.set(self)

        def watch() -> None:
            while not ended.wait(EVERY if columns else LINE_AFTER / 2):
                self._show(columns)

        # In the context of the command, for its language.
        thread = Thread(target=copy_context().run, args=(watch,), name="waiting", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            # A terminal that was stopped with Ctrl-S may keep it from ending.
            thread.join(SILENCE)
            _present.reset(before)
            with self:
                self._is_drawn = False

    def __enter__(self) -> None:
        """Remove the line, and keep it away while an output is written to."""
        self._lock.acquire()
        if self._is_drawn:
            self._is_drawn = False
            self._draw(_ERASE)

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def note(self, text: str) -> None:
        """Note what the terminal shows now behind what it showed before."""
        self._wrote, self._rest = monotonic(), LINE_AFTER
        if shown := _CONTROL.sub("", text[-LONGEST:]):
            self._at_line_start = shown[-1] in "\r\n"

    def _show(self, columns: Callable[[], int] | None) -> None:
        # Whoever writes holds the lock, also while a reader such as `less` makes it wait.
        if not self._lock.acquire(blocking=False):
            return
        try:
            silent, step = monotonic() - self._wrote, self.steps[-1]
            if self.is_quiet or step.what is None or not self._at_line_start:
                return
            if columns is None and silent >= self._rest:
                self._rest *= 2
                self._draw(f"{self._text(step, step.what, LONGEST)}\n")
            elif columns and silent >= SILENCE and (width := columns()):
                self._is_drawn = True
                self._draw(f"{_ERASE}{self._text(step, step.what, width)}")
        except RuntimeError:
            # A table changed while it was counted: the next drawing has it.
            return
        finally:
            self._lock.release()

    def _text(self, step: _Step, what: Said | Callable[[], Said], columns: int) -> str:
        seconds = monotonic() - step.began
        (answered, asked, since), (done, number), facts = self.questions(), step.far(), list[str]()
        if asked:
            facts.append(said("answers {answered} of {all}", answered=Quantity(answered), all=Quantity(asked)))
        if done := min(done, number):
            facts.append(said("{percent} %", percent=100 * done // number))
            since = seconds
        else:
            done, number = answered, asked
        facts.append(duration(seconds))
        if seconds < step.most:
            facts[-1] = said("{time} of at most {most}", time=facts[-1], most=duration(step.most))
        if done:
            facts.append(said("{time} left", time=duration(since * (number - done) / done)))
        figures = ", ".join(map(printable, facts))
        name = self.mask(printable(what if isinstance(what, Said) else what()))
        room = max(columns - cell_len(figures) - _LEFT_FREE, 3)
        if cell_len(name) > room:
            # The middle goes: a path ends with the name of the file, a sentence with its number.
            behind = name[-(room // 2) :]
            name = f"{set_cell_size(name, room - 1 - cell_len(behind))}…{behind}"
        return f"{name}, {figures}"


_present: Final[ContextVar[WaitingLine | None]] = ContextVar("waiting", default=None)


def waiting_line() -> WaitingLine | None:
    return _present.get()


@contextmanager
def waiting(what: What, far: Far = _UNKNOWN, *, most: float = 0.0) -> Iterator[None]:
    """Say what the command waits for while the context lasts; `most` are the seconds after which it gives up."""
    if (line := waiting_line()) is None:
        yield
        return
    step = _Step(what, far, most)
    with line:
        line.steps.append(step)
    try:
        yield
    finally:
        line.steps.remove(step)


def bytes_read(file: str) -> tuple[int, int]:
    """How much of a file this process has read, by the position of the open file, and its size."""
    with suppress(OSError):
        path = os.path.realpath(file)
        for opened in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if str(opened.readlink()) == path:
                    position = Path("/proc/self/fdinfo", opened.name).read_text(encoding="ascii").split()[1]
                    size = os.fstat(int(opened.name)).st_size
                    # What is read to its end is worked on: how far that is, is not known by it.
                    return (int(position), size) if int(position) < size else (0, 0)
    return 0, 0


# ---- standard output and standard error ---------------------------------------------------------------------------


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
    `line` is what a terminal shows while nothing is written; nobody watches an output that goes elsewhere. `mask`
    takes secrets out of what is written.
    """

    is_watched = True

    def __init__(self, stream: TextIO, line: WaitingLine | None = None) -> None:
        self._stream = stream
        self._line = line or WaitingLine()
        self.mask: Callable[[str], str] = plain
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
        self.put(self.mask(text))
        return len(text)

    def put(self, text: str) -> None:
        """Write a text whose secrets are taken out already."""
        with self._line:
            self._attempt(lambda: self._stream.write(held_by(self._stream.encoding, plain(text))))
            if self.is_watched:
                self._line.note(text)

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
