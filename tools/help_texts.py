"""The texts of the help of all commands, which are translated as they stand: see cli/terminal/usage.py."""

from collections.abc import Iterator
from typing import Any, Final

from typer import rich_utils
from typer.main import get_command

from cli.main import COMMANDS, app, load
from cli.terminal.usage import TITLES, paragraphs

HELP_OF_HELP: Final = "Show this message and exit."
"""What typer says of `--help`."""


def help_texts() -> Iterator[str]:
    """The paragraphs of commands and their parameters, the names of panels, and the titles of typer."""
    yield from (getattr(rich_utils, name) for name in TITLES)
    yield HELP_OF_HELP
    for command in (get_command(app), *map(load, COMMANDS)):
        yield from _of(command)


def _of(command: Any) -> Iterator[str]:  # noqa: ANN401 - typer does not export this type
    for text in (command.help, command.epilog, command.rich_help_panel):
        yield from paragraphs(text or "")
    for parameter in (one for one in command.params if not getattr(one, "hidden", False)):
        for text in (parameter.help, parameter.rich_help_panel):
            yield from paragraphs(text or "")
    for one in getattr(command, "commands", {}).values():
        yield from _of(one)
