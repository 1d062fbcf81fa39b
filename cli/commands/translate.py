"""`translate`: reads shell one-liners, prints the commands on stdout and the faults on stderr."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from checkpoints.own_files import open_regular
from cli.settings.flags import parse_pairs
from cli.settings.settings import declared_jobs
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import labelled
from cli.terminal.options import argument, as_command, option, switch
from cli.terminal.screen import Screen, Voice
from cli.terminal.streams import held_by
from cli.terminal.texts import WHOLE, printable
from cli.translate.translation import Translated, translate_all
from jobs.catalogue.catalogue import BUILT_IN, Catalogue
from texts.said import Quantity, counted, reason_of, said, setting, text_of

LONGEST: Final = 500_000
"""Bytes of a text that are read; a long page of documentation has a fifth of it."""

_STDIN: Final = "-"
_HOW: Final = said(
    "give it in a file (carbon-migrate translate FILE), on standard input (carbon-migrate translate -), or as one "
    "argument in quotes of its own"
)
NOT_HELD: Final = said(
    "The encoding of this output lacks letters of the command, which has others there: do not copy it, and type "
    "this again with LC_ALL=C.UTF-8."
)


@as_command("translate")
def _translate(
    line: str | None = argument(
        "ONE-LINER|FILE", "The line, as one word; or a file with one or many; - for standard input.", required=False
    ),
    *,
    file: Path | None = option("FILE", "The file that holds them; - for stdin.", "-f", "--file"),
    set_: list[str] | None = option("NAME=VALUE", "A shell variable that the line leaves open; repeatable.", "--set"),
    as_json: bool = switch("A JSON object on stdout for each one-liner: command, faults, notes.", "--json"),
) -> None:
    """Turn shell one-liners (curl, loops, xargs) into commands.

    The commands are printed on stdout, the faults of the lines on stderr. Of a script or a page of text each
    one-liner is translated on its own, or refused with its line. Nothing of them is run.
    """
    screen = Screen(Voice(as_json=as_json))
    try:
        found = translate_all(_text_of(line, file), _given(set_ or []), _catalogue(screen), alone=True)
    except CommandRefused as error:
        if as_json:
            screen.emit({**_NOTHING, "error": text_of(error)})
        raise
    if as_json:
        for one in found:
            screen.emit(_object(one))
    else:
        _show_all(found, screen)
    if refused := sum(one.translation is None for one in found):
        raise CommandRefused(
            counted(
                "{n} of {all} one-liners [is|are] not translated: each with its line, the reasons stand above",
                refused,
                all=Quantity(len(found)),
            )
        )


def _catalogue(screen: Screen) -> Catalogue:
    """All jobs of the settings in this folder; the built-in ones where those cannot be used."""
    try:
        catalogue = declared_jobs()
    except CommandRefused:
        return BUILT_IN
    for fault in catalogue.faults:
        screen.say_always(labelled(said("note:"), fault, "yellow"))
    return catalogue


_NOTHING: Final[Mapping[str, object]] = {"command": None, "faults": [], "notes": []}


def _object(one: Translated) -> Mapping[str, object]:
    found = one.translation
    if found is None:
        return {"line": one.place.line, **_NOTHING, "error": one.refusal}
    return {
        "line": one.place.line,
        "command": list(found.command),
        "call": None if found.call is None else list(found.call),
        "stdin": found.text or None,
        "pipe": found.pipe or None,
        "faults": [
            {"fault": one.kind, **one.place._asdict(), "what": one.what, "today": one.today, "instead": one.instead}
            for one in found.faults
        ],
        "notes": list(found.notes),
    }


def _show_all(found: Sequence[Translated], screen: Screen) -> None:
    """The commands on stdout, each below its line; on stderr what is said of them, of several once."""
    shown_before: set[str] = set()
    several = len(found) > 1
    for one in found:
        if several:
            screen.say(Text(printable(said("── line {line}", line=one.place.line)), "bold"))
        if one.translation is None:
            screen.say(Text("✗ ", "red").append(printable(one.refusal, len(one.refusal) * 10), "not dim"))
            screen.say()
            continue
        notes = [note for note in one.translation.notes if note not in shown_before]
        shown_before.update(notes)
        for fault in one.translation.faults:
            told = Text("✗ ", "red").append(printable(fault.place.text), "bold")
            told.append(f": {printable(fault.what, WHOLE)}")
            labels = printable(said("today")), printable(said("instead"))
            width = max(map(len, labels)) + 2
            for label, sentence in zip(labels, (fault.today, fault.instead), strict=True):
                told.append(f"\n    {label:<{width}}", "dim").append(printable(sentence, WHOLE))
            screen.say(told)
        for note in notes:
            screen.say(Text(f"{printable(said('note'))}  ", "dim").append(printable(note, WHOLE), "not dim"))
        if one.translation.faults or notes:
            screen.say()
        # Written directly: the console would wrap the lines.
        sys.stdout.write(f"# line {one.place.line}\n" if several else "")
        pretty, call = one.translation.pretty, one.translation.call
        commands = f"{pretty(one.translation.command)}\n"
        if call is not None:
            lines = "".join(f"# {line}\n" for line in pretty(call).splitlines())
            commands = f"{commands}\n# or the call as the line makes it:\n{lines}"
        sys.stdout.write(commands)
        sys.stdout.flush()
        if held_by(sys.stdout.encoding, commands) != commands:
            screen.say_always(Text(printable(NOT_HELD), "yellow"))


def _text_of(line: str | None, file: Path | None) -> str:
    """The text from its argument, file or standard input. Raises `CommandRefused` for none or two of them."""
    if line is not None and file is not None:
        option = f"-f {printable(file)}"
        raise CommandRefused("the line is given twice, as an argument and with {option}", option=option)
    if line is not None and line != _STDIN and not _is_file(line):
        return line
    name = line if file is None else str(file)
    # None if the process was started without standard input.
    nothing = sys.stdin is None or sys.stdin.closed
    if name is None and (nothing or sys.stdin.isatty()):
        raise CommandRefused("there is no line to translate: {how}", how=_HOW)
    shown = said("standard input") if name in {None, _STDIN} else printable(name)
    if name is None or name == _STDIN:
        if nothing:
            raise CommandRefused("there is no standard input: {how}", how=_HOW)
        content = sys.stdin.buffer.read(LONGEST + 1)
    else:
        try:
            with os.fdopen(open_regular(Path(name)), "rb") as opened:
                content = opened.read(LONGEST + 1)
        except FileNotFoundError as error:
            raise CommandRefused(
                "there is no file {file} here; to translate a one-liner, {how}", file=shown, how=_HOW
            ) from error
        except (OSError, ValueError) as error:
            why = reason_of(error) if isinstance(error, OSError) else said("no file has such a name")
            raise CommandRefused("{file} cannot be read: {why}", file=shown, why=why) from error
    if len(content) > LONGEST:
        raise CommandRefused(
            "{name} is longer than {bytes} bytes; give the page in parts", name=shown, bytes=Quantity(LONGEST)
        )
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        at = error.start + 1
        raise CommandRefused("{name} is not UTF-8 text, at byte {byte}", name=shown, byte=at) from error


def _is_file(line: str) -> bool:
    """Whether an argument is the name of a file: a word alone is no one-liner, and any other may be a file's name."""
    if line and not any(char.isspace() for char in line):
        return True
    try:
        return "\n" not in line and Path(line).is_file()
    except (OSError, ValueError):
        # Too long for a name, or with characters that none has.
        return False


def _given(words: Sequence[str]) -> dict[str, str]:
    given = parse_pairs(words, "--set")
    for name, value in given.items():
        if not value.isprintable():
            option = setting("set", printable(name))
            raise CommandRefused("{option}: the value has a character that cannot be seen", option=option)
    return {name.removeprefix("$"): value for name, value in given.items()}
