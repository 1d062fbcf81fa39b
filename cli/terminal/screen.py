"""The two ends of the terminal: what people read goes to stderr, results to stdout."""

import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, TextIO, cast

import anyio
import msgspec
import typer
from rich.console import Console, RenderableType

from cli.terminal.exits import CommandRefused
from cli.terminal.texts import markup_safe, printable
from engine.rows import STDIN

WIDTH: Final = 400
"""Columns where there is no terminal: lines are left whole for whoever searches them."""
_PANEL: Final = "Screen"
TERMINAL: Final = Path("/dev/tty")
"""Where people type while standard input carries rows."""


class _Lasting:
    """A stream for words alone: when the terminal is gone, the work goes on without them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if anybody is still there."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody is still there."""
        with suppress(OSError):
            self._stream.flush()


def _console(stream: TextIO) -> Console:
    # Emoji and highlighting would change what files and answers say. What is no terminal has no width to keep to.
    width = None if stream.isatty() else WIDTH
    return Console(file=stream, highlight=False, emoji=False, width=width)


def _for_words() -> Console:
    return _console(cast("TextIO", _Lasting(sys.stderr)))


def _for_results() -> Console:
    return _console(sys.stdout)


@dataclass(frozen=True, slots=True)
class Voice:
    """How much is said, and to whom."""

    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=_PANEL, help="One closing JSON object on stdout, all else on stderr."),
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=_PANEL, help="Say only what went wrong.")
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", rich_help_panel=_PANEL, help="Log every step.")] = False


@dataclass(frozen=True, slots=True)
class Screen:
    """Says things at the right place, as loud as was asked for.

    With `--json` stdout carries the closing object alone; with `--quiet` only what went wrong is said.
    """

    voice: Voice = field(default_factory=Voice)
    err: Console = field(default_factory=_for_words)
    out: Console = field(default_factory=_for_results)

    def say(self, what: RenderableType = "") -> None:
        """Something on the way; strings are markup."""
        if not self.voice.quiet:
            self.err.print(what)

    def say_always(self, what: RenderableType) -> None:
        """Something that must be seen, quiet or not."""
        self.err.print(what)

    def result(self, what: RenderableType, *, good: bool = True) -> None:
        """What the command was for; with `--quiet` only when it is not `good`."""
        if self.voice.quiet and good:
            return
        (self.err if self.voice.as_json else self.out).print(what)

    def complain(self, text: str) -> None:
        """Why the command was refused or has failed, in sentences; the text may come from anywhere."""
        head, *rest = (markup_safe(line, 2000) for line in text.splitlines() or [""])
        # Not broken anywhere, so that paths and commands can be copied.
        self.err.print(f"[bold red]✗[/] {head}", soft_wrap=True)
        for line in rest:
            self.err.print(f"  {line}", soft_wrap=True)

    def emit(self, closing: object) -> None:
        """The one JSON object of `--json`, on a line of its own."""
        sys.stdout.write(f"{msgspec.json.encode(closing).decode()}\n")
        sys.stdout.flush()

    async def agrees(self, question: str, keyboard: TextIO) -> bool:
        """Ask on the terminal and wait for an answer; anything but yes is no. Can be cancelled while waiting."""
        self.err.print(f"{question} [bold]\\[y/N][/] ", end="")
        await anyio.wait_readable(keyboard)
        return keyboard.readline().strip().casefold() in {"y", "yes", "д", "да"}

    async def chooses(self, question: str, keyboard: TextIO) -> str:
        """Ask on the terminal for a word. Can be cancelled while waiting."""
        self.err.print(f"{question} ", end="")
        await anyio.wait_readable(keyboard)
        return keyboard.readline().strip().casefold()

    async def hears(self, question: str, keyboard: TextIO) -> str:
        """Ask on the terminal for a line that is shown nowhere. Can be cancelled while waiting."""
        with _unseen(keyboard):
            self.err.print(question, end="", markup=False)
            await anyio.wait_readable(keyboard)
            line = keyboard.readline()
            self.err.print()
        return line.rstrip("\r\n")

    @contextmanager
    def keyboard(self, file: str) -> Iterator[TextIO | None]:
        """Where an answer is typed when the rows come from `file`, None where nobody sits there who could.

        That is standard input; where `file` is `-`, and so the rows take it up, it is the terminal itself.
        """
        if not self.err.is_terminal:
            yield None
        elif sys.stdin.isatty():
            yield sys.stdin
        elif file == STDIN and (terminal := _terminal()) is not None:
            with terminal:
                yield terminal
        else:
            yield None


@contextmanager
def _unseen(keyboard: TextIO) -> Iterator[None]:
    """A terminal that does not show what is typed."""
    before = termios.tcgetattr(keyboard)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    # What was typed before the question is not the answer.
    termios.tcsetattr(keyboard, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _terminal() -> TextIO | None:
    """The terminal that the process belongs to; None for one of cron's, and for all others without."""
    try:
        return TERMINAL.open(encoding="utf-8", errors="replace")
    except OSError:
        return None


def is_unattended(question: str, file: str) -> str:
    """Why a question cannot be asked, and what to do."""
    why = "add --yes (standard input carries the rows)" if file == STDIN else "add --yes, or look at it on a terminal"
    return f"no terminal to confirm on: {why}\nThe question was: {question}"


_ONCE_MORE = " once more"


async def asked_for(names: Sequence[str], given: dict[str, str], file: str | None, screen: Screen) -> dict[str, str]:
    """What is given, and what is typed for these names.

    Raises `CommandRefused` for a name that is given already, for two words that differ, and without a terminal.
    """
    values = dict(given)
    with screen.keyboard(file or "") as keyboard:
        for name in names:
            if name in values:
                raise CommandRefused(f"--ask {printable(name)}: it is given already; leave one of the two out")
            if keyboard is None:
                raise CommandRefused(
                    f"no terminal to ask for {printable(name)} on: type the command at a terminal, or let a "
                    "column of "
                    f"the rows say it, as {printable(name)} in the first line of a file"
                )
            value = await screen.hears(f"{printable(name)}: ", keyboard)
            if not value:
                raise CommandRefused(f"nothing was typed for {printable(name)}: nothing was sent")
            # What nobody sees, nobody sees to be mistyped.
            if value != await screen.hears(f"{printable(name)}{_ONCE_MORE}: ", keyboard):
                raise CommandRefused(f"{printable(name)} was typed in two ways: nothing was sent")
            values[name] = value
    return values
