"""What can be typed, from the command line itself: the texts of the help, and the table of options.

The texts are translated as they stand, see cli/terminal/usage.py. Completion reads the table,
`cli/completion/options.json`, since importing a command takes longer than a person waits for a word.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from typer import rich_utils
from typer.main import get_command

from cli.commands.completion import VALUES, CommandSyntax, Option
from cli.main import COMMANDS, app, load
from cli.terminal.usage import TITLES, paragraphs

HELP_OF_HELP: Final = "Show this message and exit."
"""What typer says of `--help`."""


def typed() -> Iterator[tuple[str, str, Any]]:
    """Each command that can be typed, one of a group by both words: its name, its group in the help, the command."""
    for name, entry in COMMANDS.items():
        found = load(name)
        below = getattr(found, "commands", {})
        if not below or found.invoke_without_command:
            yield name, entry.group, found
        yield from ((f"{name} {one}", entry.group, command) for one, command in below.items())


def choices(parameter: Any) -> tuple[str, ...]:  # noqa: ANN401 - typer does not export this type
    """The values of a parameter that takes one of a few."""
    annotation = parameter.type_descriptor.annotation
    is_choice = isinstance(annotation, type) and issubclass(annotation, Enum)
    return tuple(str(one.value) for one in annotation) if is_choice else ()


def word_of(parameter: Any) -> str:  # noqa: ANN401 - as above
    """What the help calls the value of a parameter."""
    return str(parameter.metavar or "VALUE")


def help_texts() -> Iterator[str]:
    """The paragraphs of commands and their parameters, the names of panels, and the titles of typer."""
    program: Any = get_command(app)
    commands = (program, *program.commands.values(), *groups().values(), *(one for *_, one in typed()))
    texts = [*(getattr(rich_utils, name) for name in TITLES), HELP_OF_HELP]
    for command in commands:
        texts += (command.help, command.epilog, command.rich_help_panel)
        shown = (one for one in command.params if not getattr(one, "hidden", False))
        texts += (text for one in shown for text in (one.help, one.rich_help_panel))
    for text in texts:
        yield from paragraphs(text or "")


def groups() -> dict[str, Any]:
    """The commands that have commands below them."""
    return {name: command for name in COMMANDS if getattr(command := load(name), "commands", {})}


def option_table() -> Mapping[str, CommandSyntax]:
    """All commands by name, the program itself as ""."""
    found = {"": CommandSyntax("", tuple(_options(get_command(app))))}
    for name, _, command in typed():
        first = name.partition(" ")[0]
        if first in groups():
            found[first] = CommandSyntax(COMMANDS[first].summary)
        if name not in groups():
            arguments = [one for one in command.params if one.param_type_name == "argument"]
            words = tuple(
                word_of(one) if one.nargs == 1 else f"{word_of(one).removesuffix(VALUES)}{VALUES}"
                for one in arguments
            )
            found[name] = CommandSyntax(next(paragraphs(command.help)), tuple(_options(command)), words)
    return found


def _options(command: Any) -> Iterator[Option]:  # noqa: ANN401 - as above
    for one in command.params:
        if one.param_type_name == "option" and not one.hidden:
            longest = max(one.opts, key=len)
            others = sorted({*one.opts, *one.secondary_opts} - {longest}, key=lambda name: (-len(name), name))
            word, told = "" if one.is_flag else word_of(one), next(paragraphs(one.help or ""))
            yield Option((longest, *others), told, word, choices(one), one.multiple)
    yield Option(("--help", "-h"), HELP_OF_HELP)
