"""Help and usage errors in the reader's language; typer makes them, in English.

A help text is looked up in the catalogue as it stands, a paragraph at a time; `tools/help_texts.py` collects them
from the commands. An error of typer is a sentence of its own, and is told from others by its words.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from typer.exceptions import TyperException

from cli.terminal.language import reader
from texts.said import said

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

ERRORS: Final[Mapping[str, Callable[..., str]]] = {
    r"No such option: (?P<option>\S+)": lambda **found: said("No such option: {option}", **found),
    r"No such option: (?P<option>\S+) \(Possible options: (?P<options>.+)\)": lambda **found: said(
        "No such option: {option} (Possible options: {options})", **found
    ),
    r"Option '(?P<option>\S+)' requires an argument\.": lambda **found: said(
        "Option '{option}' requires an argument.", **found
    ),
    r"Option '(?P<option>\S+)' does not take a value\.": lambda **found: said(
        "Option '{option}' does not take a value.", **found
    ),
    r"No such command '(?P<command>.*)'\.": lambda **found: said("No such command '{command}'.", **found),
    r"No such command '(?P<command>.*)'\. Did you mean (?P<commands>.+)\?": lambda **found: said(
        "No such command '{command}'. Did you mean {commands}?", **found
    ),
    r"Missing command\.": lambda: said("Missing command."),
    r"Missing argument (?P<argument>'.+')\.": lambda **found: said("Missing argument {argument}.", **found),
    r"Missing option (?P<option>'.+')\.": lambda **found: said("Missing option {option}.", **found),
    r"Got unexpected extra argument\(s\) \((?P<arguments>.*)\)": lambda **found: said(
        "Got unexpected extra argument(s) ({arguments})", **found
    ),
    r"Invalid value for (?P<name>'.+?'): (?P<why>.+)": lambda name, why: said(
        "Invalid value for {name}: {why}", name=name, why=_known(why, VALUES)
    ),
}
"""What is wrong with a command line, by the sentence of typer."""

VALUES: Final[Mapping[str, Callable[..., str]]] = {
    r"Value error, '(?P<value>.*)' is not one of (?P<values>.+)\.": lambda **found: said(
        "'{value}' is not one of {values}.", **found
    ),
    "Input should be a valid integer, .+": lambda: said("a whole number is expected"),
    "Input should be a valid number, .+": lambda: said("a number is expected"),
    r"Input should be greater than or equal to (?P<least>\S+)": lambda **found: said("it is below {least}", **found),
    r"Input should be less than or equal to (?P<most>\S+)": lambda **found: said("it is above {most}", **found),
}
"""What is wrong with a value, by the sentence of pydantic."""


def show_translated_help(command: Any) -> None:  # noqa: ANN401 - typer does not export this type
    """Let a command show its help in the reader's language; nothing is translated before."""
    command.get_usage = partial(_usage_line, command)
    command.format_help = partial(_show_help, command, command.format_help)


def _show_help(command: Any, show: Callable[..., object], *arguments: object) -> None:  # noqa: ANN401 - as above
    get_params = command.get_params

    def translated(context: object) -> list[Any]:
        parameters: list[Any] = get_params(context)
        for parameter in parameters:
            translate_parameter(parameter)
            _hide_type(parameter)
        return parameters

    translate_help(command)
    command.get_params = translated
    _with_titles(show, *arguments)
    command.get_params = get_params


def translate_help(command: Any) -> None:  # noqa: ANN401 - as above
    """Translate the help of a command, and of a group's commands, into the reader's language."""
    for one in (command, *getattr(command, "commands", {}).values()):
        one.help, one.epilog = translate_text(one.help), translate_text(one.epilog)
        one.rich_help_panel = translate_text(one.rich_help_panel)


def translate_parameter(parameter: Any) -> None:  # noqa: ANN401 - as above
    """Translate the help of an option or argument into the reader's language."""
    parameter.help = translate_text(parameter.help)
    parameter.rich_help_panel = translate_text(parameter.rich_help_panel)


def _hide_type(parameter: Any) -> None:  # noqa: ANN401 - as above
    """Hide the Python type, which typer shows in the help: a switch has no value, and an argument's name says it."""
    if parameter.metavar is None and parameter.type_descriptor.annotation is bool:
        parameter.metavar = ""
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - typer gives it by name


def translate_text(text: str | None) -> str | None:
    """A text of the help in the reader's language, each paragraph on a line of its own."""
    return text and _PARAGRAPH.join(map(reader().translate, paragraphs(text)))


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text, as the catalogue has them: without the line breaks of the source."""
    return (" ".join(one.split()) for one in text.split(_PARAGRAPH))


def show_usage_error(error: TyperException) -> None:
    """Show on stderr what is wrong with a command line."""
    from typer.rich_utils import rich_format_error  # noqa: PLC0415 - it takes a fifth of a command's start

    text = reader().render(_known(error.format_message(), ERRORS))
    error.format_message = lambda: text  # type: ignore[method-assign]  # the one text of it that is shown
    _with_titles(rich_format_error, error)


def _known(text: str, sentences: Mapping[str, Callable[..., str]]) -> str:
    """A sentence of the library as one of ours; another one is shown as it is."""
    for pattern, sentence in sentences.items():
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return sentence(**found.groupdict())
    return text


def _usage_line(command: Any, context: Any) -> str:  # noqa: ANN401 - as above
    formatter = context.make_formatter()
    words, prefix = " ".join(command.collect_usage_pieces(context)), said("Usage: ")
    formatter.write_usage(context.command_path, words, prefix=reader().render(prefix))
    return str(formatter.getvalue()).rstrip("\n")


def _with_titles(show: Callable[..., object], *arguments: object) -> None:
    with _titles():
        show(*arguments)


@contextmanager
def _titles() -> Iterator[None]:
    """The titles of typer in the reader's language, while something is shown."""
    from typer import rich_utils  # noqa: PLC0415 - as above

    english = {name: getattr(rich_utils, name) for name in TITLES}
    try:
        for name, title in english.items():
            setattr(rich_utils, name, reader().translate(title))
        yield
    finally:
        for name, title in english.items():
            setattr(rich_utils, name, title)
