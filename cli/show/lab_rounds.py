"""The rounds of a crash lab, of one load or of a fleet: the problems of one, and what all come to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from cli.terminal.exits import Exit
from cli.terminal.layout import command, one_line, render
from cli.terminal.screen import Screen
from cli.terminal.texts import LONGEST, duration, reason_of
from texts.said import Quantity, counted, said

_MAX_PROBLEMS_SHOWN: Final = 10
"""Problems of one round that are shown; the JSON has them all."""


def show_problems(problems: Sequence[str], folder: Path, repeat: str, screen: Screen) -> None:
    """Show the problems of a round that has failed, where all of it is, and the command that repeats it."""
    for problem in problems[:_MAX_PROBLEMS_SHOWN]:
        screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
    if len(problems) > _MAX_PROBLEMS_SHOWN:
        more = said("… and {number} more", number=Quantity(len(problems) - _MAX_PROBLEMS_SHOWN))
        screen.say_always(Text.assemble("    ", render(more)))
    screen.say_always(one_line("    ", render(said("all of it:")), " ", str(folder)))
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(repeat))


def close_rounds(
    path: Path, content: bytes, rounds: int, failed: Sequence[int], seconds: float, screen: Screen
) -> Exit:
    """Write the JSON of all rounds to `path`, and show what they come to; `failed` has the seeds of failed ones."""
    try:
        path.write_bytes(content)
        where = render(said("all of it: {file}", file=path), "dim")
    except OSError as error:
        where = render(said("{file} could not be written: {why}", file=path, why=reason_of(error)), "yellow")
    if screen.voice.as_json:
        screen.out.file.write(content.decode())
    if failed:
        sentence = counted(
            "{failed} of {n} round failed, of the seeds {seeds}",
            "{failed} of {n} rounds failed, of the seeds {seeds}",
            rounds,
            failed=Quantity(len(failed)),
            seeds=tuple(map(str, failed)),
        )
        screen.say_always(Text.assemble(("✗ ", "bold red"), render(sentence, "bold red"), "  ", where))
        return Exit.REJECTED
    sentence = counted(
        "{n} round in {time}: each effect once, every sum to the kopeck",
        "{n} rounds in {time}: each effect once, every sum to the kopeck",
        rounds,
        time=duration(seconds),
    )
    screen.say(Text.assemble(("✓ ", "bold green"), render(sentence, "bold green"), "  ", where))
    return Exit.DONE
