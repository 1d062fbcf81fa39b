"""The line that a terminal shows while a command works and writes nothing.

    with waiting(said("reading {file}", file=path), lambda: bytes_read(path)):
        …

After a second without output the line says what the command waits for, how far it is, and how long it takes; the next
output removes it. A thread draws it, so it also appears while a library is imported or the event loop hangs. Bars and
questions are left alone: their last line has no end. Where nothing can be redrawn, a line is written now and then.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import Final, TypeAlias

from rich.cells import cell_len, set_cell_size

from cli.terminal.texts import LONGEST, duration, printable
from texts.said import Quantity, Said, said

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
