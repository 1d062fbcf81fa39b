"""The screen: messages for people on stderr, results on stdout."""

import os
import re
import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, TextIO, cast

import anyio
import msgspec
from rich.console import Console, Group, RenderableType
from rich.text import Text

from billing.secret import Mask
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Badge, Hanging, between_words, of_markup, render
from cli.terminal.options import Part, switch
from cli.terminal.streams import Output, json_line, lasting, waiting_line
from cli.terminal.texts import JOINT, SENTENCE, markup_safe, printable, rendered
from engine.job import STDIN
from texts.said import PROGRAM, Said, said, setting, wording

WIDTH: Final = 400
"""Columns without a terminal, unless COLUMNS says otherwise; wide, so that lines stay whole for searching."""
_PANEL: Final = "Screen"
_ENDS_WITH_COMMAND: Final = re.compile(rf"(.+?)[,:]? `({PROGRAM}[ {JOINT}][^`]+)`\.?")
TERMINAL: Final = Path("/dev/tty")
"""The keyboard while standard input carries rows."""

_TRIES: Final = 3
"""How often a billing's name may be mistyped before that counts as a no."""
_NO: Final = {"", "n", "no", "н", "нет"}


class Unanswered(CommandRefused):
    """Raised when the input ends at a question, as Ctrl-D does it: that is neither a yes nor a no."""

    def __init__(self) -> None:
        super().__init__(said("the question was not answered: the input ended"), Exit.INTERRUPTED)


class OutputMask:
    """Takes secrets out of all that a command says; they are added as they become known."""

    def __init__(self) -> None:
        self._mask = Mask()

    def hide(self, secrets: Iterable[str]) -> None:
        self._mask = self._mask.knowing(secrets)

    def __call__(self, text: str) -> str:
        return self._mask(text)

    def value(self, value: object) -> object:
        return self._mask.value(value)


def _console(stream: TextIO) -> Console:
    """As wide as somebody has set, else as the terminal, else so wide that lines stay whole."""
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) else None if stream.isatty() else WIDTH
    # Emoji and highlighting would alter texts of files and answers.
    return Console(file=lasting(stream), highlight=False, emoji=False, width=width)


def _print(console: Console, what: RenderableType) -> None:
    # Not cropped: what is longer than a line, as a path, is broken by the terminal and can be copied. In a group a
    # text keeps its own way of wrapping, which rich drops otherwise.
    what = between_words(of_markup(what) if isinstance(what, str) else what)
    console.print(Group(what) if isinstance(what, Text) else what, crop=False)


@dataclass(frozen=True, slots=True)
class Voice:
    """The options of output: verbosity and format."""

    as_json: bool = switch("One closing JSON object on stdout, all else on stderr.", "--json", panel=_PANEL)
    quiet: bool = switch("Say only what went wrong.", "-q", "--quiet", panel=_PANEL)
    verbose: bool = switch("Log every step.", "-v", "--verbose", panel=_PANEL)


BriefVoice = Annotated[Voice, Part("as_json", "quiet")]
"""Those of a command that has no steps to log."""
JsonVoice = Annotated[Voice, Part("as_json")]
"""That of one that only shows."""


@dataclass(slots=True)
class Screen:
    """Prints messages to the right stream at the chosen verbosity.

    With `--json` stdout carries only the closing object; with `--quiet` only problems are shown. What the `mask`
    knows reaches neither stream. The `badge` is known once the settings are read.
    """

    voice: Voice = field(default_factory=Voice)
    err: Console = field(default_factory=lambda: _console(sys.stderr))
    out: Console = field(default_factory=lambda: _console(sys.stdout))
    mask: OutputMask = field(default_factory=OutputMask)
    badge: Badge | None = None
    unanswered: bool = False
    """Whether a question waits for its answer, or did when the command was interrupted."""

    def __post_init__(self) -> None:
        for console in (self.err, self.out):
            console.file = lasting(console.file)
            cast("Output", console.file).mask = self.mask
        if (line := waiting_line()) is not None:
            with line:
                line.is_quiet, line.mask = self.voice.quiet, self.mask

    @property
    def can_redraw(self) -> bool:
        """Whether a bar can be drawn on stderr: a terminal whose cursor moves, and whose encoding has the signs."""
        return self.err.is_terminal and not self.err.is_dumb_terminal and not self.err.options.ascii_only

    def say(self, what: RenderableType = "") -> None:
        """Print a progress message: a sentence, or a string that is markup."""
        if not self.voice.quiet:
            _print(self.err, what)

    def say_always(self, what: RenderableType) -> None:
        """Print a message that must be seen, even with `--quiet`."""
        _print(self.err, what)

    def show(self, what: RenderableType) -> None:
        _print(self.out, what)

    def result(self, what: RenderableType, *, good: bool = True) -> None:
        """Print the result of the command; with `--quiet` only when it is not `good`."""
        if self.voice.quiet and good:
            return
        _print(self.err if self.voice.as_json else self.out, what)

    def complain(self, text: str) -> None:
        """Print why the command was refused or failed, in sentences; the text is escaped."""
        lines: list[str] = []
        # The secrets go before anything is cut off or broken into lines.
        for line in self.mask(rendered(text)).splitlines():
            # A command at the end of a sentence is copied, and has a line of its own.
            found = _ENDS_WITH_COMMAND.fullmatch(line)
            lines += [line] if found is None else [f"{found[1]}:", found[2]]
        sign = Text("✗ ", "bold red")
        for line in lines or [""]:
            # Wrapped between words on a terminal; what is to be typed, and all in a file, stays whole.
            if self.err.is_terminal and not line.startswith((" ", PROGRAM)):
                _print(self.err, Hanging(sign, Text(printable(line, SENTENCE))))
            else:
                self.err.print(f"{sign.markup}{markup_safe(line, SENTENCE)}", soft_wrap=True)
            sign = Text("  ")

    def emit(self, closing: object) -> None:
        """Print the JSON object of `--json` on a line of its own."""
        line = json_line(self.mask.value(msgspec.to_builtins(closing, enc_hook=str)), self.out.encoding)
        # Past the mask of the output, which does not know that a number in JSON is no text.
        cast("Output", self.out.file).put(f"{line}\n")
        self.out.file.flush()

    def beside_rows(self) -> "Screen":
        """The same screen for a command whose rows go to stdout: results and the closing object go to stderr too."""
        return replace(self, out=self.err)

    async def agrees(self, question: str, unasked: CommandRefused, file: str = "", *, to_send: bool = False) -> bool:
        """Ask and wait for an answer; anything but yes is no. Can be cancelled while waiting.

        The question is a sentence, or a string that is markup. The badge of the settings stands before one whether
        `to_send` to their billing; in production the name of the billing is the yes. The rows come from `file`.
        Raises `unasked` without a terminal to ask on, and `Unanswered`; so do the other questions.
        """
        badge, prompt = self.badge if to_send else None, _question(question)
        line = Text.assemble("\n", badge.line) if badge else None
        if badge is None or not badge.production:
            prompt.append(" ").append_text(render(said("[y/N]"), "bold"))
            return (await self._answer(prompt, unasked, file, line)).casefold() in {"y", "yes", "д", "да"}
        wanted = render(said("Type the name of the billing, {name}, to send:", name=badge.to_type), "bold red")
        prompt.append("\n").append_text(wanted)
        for _ in range(_TRIES):
            answer = await self._answer(prompt, unasked, file, line)
            if badge.is_named_by(answer):
                return True
            if answer.casefold() in _NO:
                break
            self.say_always(said("That is {answer!r}, and not its name.", answer=printable(answer)))
            prompt, line = wanted, None
        return False

    async def chooses(
        self, question: str, unasked: CommandRefused, file: str = "", *, below: Text | None = None
    ) -> str:
        """Ask for a word, which is the same in every language, `below` a text. Can be cancelled while waiting."""
        return (await self._answer(_question(question), unasked, file, below)).casefold()

    async def hears(self, question: str, keyboard: TextIO) -> str:
        """Ask on the terminal for a line without echo. Can be cancelled while waiting."""
        before = termios.tcgetattr(keyboard)
        # Discard input from before the question.
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, [*before[:3], before[3] & ~termios.ECHO, *before[4:]])
        try:
            self.err.print(render(question).append(" "), end="")
            line = await self._line(keyboard)
            self.err.print()
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        return line.rstrip("\r\n")

    async def _answer(self, prompt: Text, unasked: CommandRefused, file: str, below: Text | None) -> str:
        with self.keyboard(file) as keyboard:
            if keyboard is None:
                raise unasked
            if below is not None:
                self.say_always(below)
            self.err.print(prompt, end=" ")
            return (await self._line(keyboard)).strip()

    async def _line(self, keyboard: TextIO) -> str:
        """The line that is typed. Raises `Unanswered` where the input ends before the line does.

        What is shown after an interrupted question begins on a line of its own.
        """
        self.unanswered = True
        try:
            await anyio.wait_readable(keyboard)
        except BaseException:
            self.err.print()
            raise
        line = keyboard.readline()
        if not line.endswith("\n"):
            self.err.print()
            raise Unanswered
        self.unanswered = False
        if (shown := waiting_line()) is not None:
            # The terminal has echoed the end of the line.
            shown.note("\n")
        return line

    @property
    def is_attended(self) -> bool:
        """Whether a person can be asked, whose keyboard is standard input."""
        return self.err.is_terminal and sys.stdin is not None and sys.stdin.isatty()

    @contextmanager
    def keyboard(self, file: str) -> Iterator[TextIO | None]:
        """The keyboard when the rows come from `file`, None without an interactive terminal.

        That is standard input; where `file` is `-`, so that rows use it, it is the terminal itself.
        """
        with ExitStack() as opened:
            found: TextIO | None = None
            if self.is_attended:
                found = sys.stdin
            elif self.err.is_terminal and file == STDIN:
                # None where the process has no controlling terminal, as under cron.
                with suppress(OSError):
                    found = opened.enter_context(TERMINAL.open(encoding="utf-8", errors="replace"))
            yield found


def _question(question: str) -> Text:
    """A question that stands apart from what is shown before it; a string that is markup as it is."""
    return Text.assemble("\n", render(question, "bold")) if isinstance(question, Said) else of_markup(question)


def is_unattended(question: str, file: str) -> str:
    """Why a question cannot be asked, and what to do."""
    why = wording("no terminal to confirm on: add {yes}, or look at it on a terminal\nThe question was: {question}")
    if file == STDIN:
        why = wording(
            "no terminal to confirm on: add {yes} (standard input carries the rows)\nThe question was: {question}"
        )
    return said(why, yes=setting("yes"), question=question)


async def asked_for(names: Sequence[str], given: dict[str, str], file: str | None, screen: Screen) -> dict[str, str]:
    """The given values, and those that are asked for by these names.

    Raises `CommandRefused` for a name that is given already, for two inputs that differ, and without a terminal.
    """
    values = dict(given)
    with screen.keyboard(file or "") as keyboard:
        for name in names:
            shown = printable(name)
            if name in values:
                raise CommandRefused(
                    "{flag}: it is given already; leave one of the two out", flag=setting("ask", shown)
                )
            if keyboard is None:
                raise CommandRefused(
                    "no terminal to ask for {name} on: type the command at a terminal, or let a column of the "
                    "rows say it, as {name} in the first line of a file",
                    name=shown,
                )
            value = await screen.hears(f"{name}:", keyboard)
            if not value:
                raise CommandRefused("nothing was typed for {name}: nothing was sent", name=shown)
            # Without echo a typing error is invisible, so the value is asked for twice.
            if value != await screen.hears(said("{name} once more:", name=shown), keyboard):
                raise CommandRefused("{name} was typed in two ways: nothing was sent", name=shown)
            screen.mask.hide([value])
            values[name] = value
    return values
