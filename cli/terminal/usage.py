"""Help and usage errors in the reader's language; typer makes them, in English.

A help text is looked up in the catalogue as it stands, a paragraph at a time; `tools/syntax.py` collects them
from the commands. An error of typer is a sentence of its own, and is told from others by its words.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from typer.exceptions import TyperException

from cli.terminal.language import reader
from texts.said import said, wording

TITLES: Final = (
    "ARGUMENTS_PANEL_TITLE",
    "OPTIONS_PANEL_TITLE",
    "COMMANDS_PANEL_TITLE",
    "ERRORS_PANEL_TITLE",
    "DEFAULT_STRING",
    "REQUIRED_LONG_STRING",
    "RICH_HELP",
)
"""The constants of `typer.rich_utils` that are shown."""

_PARAGRAPH: Final = "\n\n"

ERRORS: Final[Mapping[str, str]] = {
    r"No such option: (?P<option>\S+)": wording("No such option: {option}"),
    r"No such option: (?P<option>\S+) \(Possible options: (?P<options>.+)\)": wording(
        "No such option: {option} (Possible options: {options})"
    ),
    r"Option '(?P<option>\S+)' requires an argument\.": wording("Option '{option}' requires an argument."),
    r"Option '(?P<option>\S+)' does not take a value\.": wording("Option '{option}' does not take a value."),
    r"No such command '(?P<command>.*)'\.": wording("No such command '{command}'."),
    r"No such command '(?P<command>.*)'\. Did you mean (?P<commands>.+)\?": wording(
        "No such command '{command}'. Did you mean {commands}?"
    ),
    r"Missing command\.": wording("Missing command."),
    r"Missing argument (?P<argument>'.+')\.": wording("Missing argument {argument}."),
    r"Missing option (?P<option>'.+')\.": wording("Missing option {option}."),
    r"Got unexpected extra argument\(s\) \((?P<arguments>.*)\)": wording(
        "Got unexpected extra argument(s) ({arguments})"
    ),
    r"Invalid value for (?P<name>'.+?'): (?P<why>.+)": wording("Invalid value for {name}: {why}"),
    # What is wrong with a value, by the sentence of pydantic.
    r"Value error, '(?P<value>.*)' is not one of (?P<values>.+)\.": wording("'{value}' is not one of {values}."),
    "Input should be a valid integer, .+": wording("a whole number is expected"),
    "Input should be a valid number, .+": wording("a number is expected"),
    r"Input should be greater than or equal to (?P<least>\S+)": wording("it is below {least}"),
    r"Input should be less than or equal to (?P<most>\S+)": wording("it is above {most}"),
}
"""What is wrong with a command line, by the sentence of typer."""


def show_translated_help(command: Any) -> None:  # noqa: ANN401 - typer does not export this type
    """Let a command show its help in the reader's language; nothing is translated before."""
    show, get_params = command.format_help, command.get_params

    def usage_line(context: Any) -> str:  # noqa: ANN401 - as above
        formatter = context.make_formatter()
        words, prefix = " ".join(command.collect_usage_pieces(context)), reader().render(said("Usage: "))
        formatter.write_usage(context.command_path, words, prefix=prefix)
        return str(formatter.getvalue()).rstrip("\n")

    def translated(context: object) -> list[Any]:
        parameters: list[Any] = get_params(context)
        for parameter in parameters:
            translate_parameter(parameter)
            # The Python type is hidden: a switch has no value, and an argument's name says it.
            if parameter.metavar is None and parameter.type_descriptor.annotation is bool:
                parameter.metavar = ""
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - typer gives it by name
        return parameters

    def show_help(*arguments: object) -> None:
        translate_help(command)
        command.get_params = translated
        with _titles():
            show(*arguments)
        command.get_params = get_params

    command.get_usage, command.format_help = usage_line, show_help


def translate_help(command: Any) -> None:  # noqa: ANN401 - as above
    """Translate the help of a command, and of a group's commands, into the reader's language."""
    for one in (command, *getattr(command, "commands", {}).values()):
        one.help, one.epilog = translate_text(one.help), translate_text(one.epilog)
        one.rich_help_panel = translate_text(one.rich_help_panel)


def translate_parameter(parameter: Any) -> None:  # noqa: ANN401 - as above
    """Translate the help of an option or argument into the reader's language."""
    parameter.help = translate_text(parameter.help)
    parameter.rich_help_panel = translate_text(parameter.rich_help_panel)


def translate_text(text: str | None) -> str | None:
    """A text of the help in the reader's language, each paragraph on a line of its own."""
    return text and _PARAGRAPH.join(map(reader().translate, paragraphs(text)))


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text, as the catalogue has them: without the line breaks of the source."""
    return (" ".join(one.split()) for one in text.split(_PARAGRAPH))


def show_usage_error(error: TyperException) -> None:
    """Show on stderr what is wrong with a command line."""
    from typer.rich_utils import rich_format_error  # noqa: PLC0415 - it takes a fifth of a command's start

    text = reader().render(_known(error.format_message()))
    error.format_message = lambda: text  # type: ignore[method-assign]  # the one text of it that is shown
    with _titles():
        rich_format_error(error)  # type: ignore[arg-type]  # what typer raises, and says that it does not take


def _known(text: str) -> str:
    """A sentence of the library as one of ours; another one is shown as it is."""
    for pattern, template in ERRORS.items():
        if found := re.fullmatch(pattern, text, re.DOTALL):
            values = found.groupdict()
            return said(template, **values | {name: _known(values[name]) for name in values if name == "why"})
    return text


@contextmanager
def _titles() -> Iterator[None]:
    from typer import rich_utils  # noqa: PLC0415 - as above

    english = {name: getattr(rich_utils, name) for name in TITLES}
    try:
        for name, title in english.items():
            setattr(rich_utils, name, reader().translate(title))
        yield
    finally:
        for name, title in english.items():
            setattr(rich_utils, name, title)
