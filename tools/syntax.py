"""What can be typed, from the command line itself: the texts of the help, and the table of options.

The texts are translated as they stand, see cli/terminal/options.py. Completion reads the table,
`cli/completion/options.json`, since importing a command takes longer than a person waits for a word.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import click

from cli.commands.completion import VALUES, CommandSyntax, Option
from cli.main import COMMANDS, app, load
from cli.terminal.options import Group, Value, panel_of, paragraphs

HELP_OF_HELP: Final = "Show this message and exit."
"""What click says of `--help`."""


def typed() -> Iterator[tuple[str, str, click.Command]]:
    """Each command that can be typed, one of a group by both words: its name, its group in the help, the command."""
    for name, entry in COMMANDS.items():
        found = load(name)
        if isinstance(found, Group):
            yield from ((f"{name} {one}", entry.group, command) for one, command in found.commands.items())
        else:
            yield name, entry.group, found


def choices(parameter: click.Parameter) -> tuple[str, ...]:
    """The values of a parameter that takes one of a few."""
    return parameter.type.choices if isinstance(parameter.type, Value) else ()


def word_of(parameter: click.Parameter) -> str:
    """What the help calls the value of a parameter."""
    return parameter.metavar or "VALUE"


def help_texts() -> Iterator[str]:
    """The paragraphs of commands and their parameters, and the names of panels."""
    texts: list[str | None] = [HELP_OF_HELP]
    for command in (app, *app.commands.values(), *groups().values(), *(one for *_, one in typed())):
        texts += (command.help, command.epilog, panel_of(command))
        shown = (one for one in command.params if not getattr(one, "hidden", False))
        texts += (text for one in shown for text in (one.help, panel_of(one)))
    for text in texts:
        yield from paragraphs(text or "")


def groups() -> dict[str, Group]:
    """The commands that have commands below them."""
    return {name: command for name in COMMANDS if isinstance(command := load(name), Group)}


def option_table() -> Mapping[str, CommandSyntax]:
    """All commands by name, the program itself as ""."""
    found = {"": CommandSyntax("", tuple(_options(app)))}
    for name, _, command in typed():
        first = name.partition(" ")[0]
        if first != name:
            found[first] = CommandSyntax(COMMANDS[first].summary)
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        words = tuple(
            word_of(one) if one.nargs == 1 else f"{word_of(one).removesuffix(VALUES)}{VALUES}" for one in arguments
        )
        found[name] = CommandSyntax(next(paragraphs(command.help or "")), tuple(_options(command)), words)
    return found


def _options(command: click.Command) -> Iterator[Option]:
    for one in command.params:
        if isinstance(one, click.Option) and not one.hidden:
            longest = max(one.opts, key=len)
            others = sorted({*one.opts, *one.secondary_opts} - {longest}, key=lambda name: (-len(name), name))
            word, told = "" if one.is_flag else word_of(one), next(paragraphs(one.help or ""))
            yield Option((longest, *others), told, word, choices(one), one.multiple)
    yield Option(("--help", "-h"), HELP_OF_HELP)
