"""`translate`: reads a shell one-liner, prints the command on stdout and the faults on stderr."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from cli.settings.flags import parse_pairs
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen, Voice
from cli.terminal.texts import PROGRAM, printable
from cli.translate.findings import Finding
from cli.translate.translation import Translation, translate

LONGEST: Final = 20_000
"""Bytes of a line that are read; the vendor's longest line has about 600."""

_HOW: Final = (
    f"give it in a file ({PROGRAM} translate -f FILE), on standard input, or as one argument in quotes of its own"
)


app: Final = typer.Typer(add_completion=False)


@app.command("translate")
def _translate(
    line: Annotated[
        str | None, typer.Argument(metavar="ONE-LINER", help="The line, as one word; or -f, or standard input.")
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", metavar="FILE", help="The file that holds the line; - for stdin.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A shell variable that the line leaves open; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout: command, faults, notes.")
    ] = False,
) -> None:
    """Turn a shell one-liner (sqlexec, a loop, curl) into a command.

    The command is printed on stdout, the faults of the line on stderr. Nothing of the line is run.
    """
    screen = Screen(Voice(as_json=as_json))
    try:
        found = translate(_line(line, file), _given(set_ or []))
    except CommandRefused as error:
        if as_json:
            screen.emit({"command": None, "faults": [], "notes": [], "error": str(error)})
        raise
    if as_json:
        screen.emit(as_object(found))
        return
    _show(found, screen)


def as_object(found: Translation) -> Mapping[str, object]:
    """A translation as the object of `--json`."""
    return {
        "command": list(found.command),
        "faults": [
            {
                "fault": fault.kind.value,
                "line": fault.place.line,
                "column": fault.place.column,
                "what": fault.what,
                "today": fault.today,
                "instead": fault.instead,
            }
            for fault in found.faults
        ],
        "notes": list(found.notes),
    }


def _show(found: Translation, screen: Screen) -> None:
    for fault in found.faults:
        screen.say(_format_finding(fault))
    for note in found.notes:
        screen.say(Text("note  ", "dim").append(printable(note), "not dim"))
    if found.faults or found.notes:
        screen.say()
    # Written directly: the console would wrap the lines.
    sys.stdout.write(f"{found.pretty}\n")
    sys.stdout.flush()


def _format_finding(fault: Finding) -> Text:
    told = Text("✗ ", "red").append(str(fault.place), "bold").append(f": {printable(fault.what)}")
    told.append("\n    today    ", "dim").append(printable(fault.today))
    return told.append("\n    instead  ", "dim").append(printable(fault.instead))


def _line(line: str | None, file: Path | None) -> str:
    """The line from its argument, file or standard input. Raises `CommandRefused` for none or two of them."""
    if line is not None and file is not None:
        raise CommandRefused(f"the line is given twice, as an argument and with -f {printable(file)}")
    if line is not None:
        return line
    if file is not None and str(file) != "-":
        return _text(_content(file), printable(file))
    if sys.stdin.isatty():
        raise CommandRefused(f"there is no line to translate: {_HOW}")
    return _text(sys.stdin.buffer.read(LONGEST + 1), "standard input")


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LONGEST + 1)
    except OSError as error:
        raise CommandRefused(f"{printable(file)} cannot be read: {error.strerror}") from error


def _text(content: bytes, name: str) -> str:
    if len(content) > LONGEST:
        raise CommandRefused(f"{name} is longer than {LONGEST:,} bytes; a one-liner is not")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise CommandRefused(f"{name} is not UTF-8 text, at byte {error.start + 1}") from error


def _given(words: Sequence[str]) -> dict[str, str]:
    """The shell variables that `--set` defines. Raises `CommandRefused`."""
    given = parse_pairs(words, "--set")
    for name, value in given.items():
        if not all(char.isprintable() for char in value):
            raise CommandRefused(f"--set {printable(name)}: the value has a character that cannot be seen")
    return {name.removeprefix("$"): value for name, value in given.items()}
