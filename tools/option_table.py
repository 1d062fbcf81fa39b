"""The table of all options, `cli/completion/options.json`, from the commands: `python -m tools.option_table --write`.

Completion reads it, since importing a command to see its options takes longer than a person waits for a word.
"""

import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from typer.main import get_command

from cli.completion.candidates import TABLE, VALUES, CommandSyntax, Option, as_json
from cli.main import COMMANDS, app, load
from cli.terminal.usage import paragraphs
from tools.help_texts import HELP_OF_HELP


def table() -> Mapping[str, CommandSyntax]:
    """All commands by name, the program itself as ""."""
    found = {"": CommandSyntax("", tuple(_options(get_command(app))))}
    for name, entry in COMMANDS.items():
        command = load(name)
        own = getattr(command, "commands", None)
        found[name] = CommandSyntax(entry.summary) if own else _of(command)
        found |= {f"{name} {one}": _of(sub) for one, sub in (own or {}).items()}
    return found


def _of(command: Any) -> CommandSyntax:  # noqa: ANN401 - typer does not export this type
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    words = [_word(one) + ("" if one.nargs == 1 or _word(one).endswith(VALUES) else VALUES) for one in arguments]
    return CommandSyntax(_first_paragraph(command.help), tuple(_options(command)), tuple(words))


def _options(command: Any) -> Iterator[Option]:  # noqa: ANN401 - as above
    for one in command.params:
        if one.param_type_name == "option" and not one.hidden:
            longest = max(one.opts, key=len)
            others = sorted({*one.opts, *one.secondary_opts} - {longest}, key=lambda name: (-len(name), name))
            yield Option(
                names=(longest, *others),
                help=_first_paragraph(one.help or ""),
                word="" if one.is_flag else _word(one),
                choices=_choices(one),
                repeatable=one.multiple,
            )
    yield Option(("--help", "-h"), HELP_OF_HELP)


def _word(parameter: Any) -> str:  # noqa: ANN401 - as above
    return str(parameter.metavar or "VALUE")


def _choices(parameter: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    annotation = parameter.type_descriptor.annotation
    if not isinstance(annotation, type) or not issubclass(annotation, Enum):
        return ()
    return tuple(str(choice.value) for choice in annotation)


def _first_paragraph(text: str) -> str:
    return next(paragraphs(text))


def main() -> None:
    """Print the table, or with `--write` write it to its file."""
    content = as_json(table())
    if sys.argv[1:] == ["--write"]:
        TABLE.write_bytes(content)
    else:
        sys.stdout.write(content.decode())


if __name__ == "__main__":
    main()
