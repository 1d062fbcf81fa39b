"""Options and commands: how each is stated, once, and how help and usage errors show it in the reader's language.

An option is a field of a record, whose name is that of the flag, of a job file's key and of a setting, or a parameter
of the function alone. From the records come the flags of the commands, the settings with their origins
(`settings.py`), the keys of job files, their schema, the reference and the completion.

A help text is looked up in the catalogue as it stands, a paragraph at a time; `tools/syntax.py` collects them
from the commands. An error of click is told by its class, that of a value by the sentence which `Value` raises.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial, wraps
from inspect import getdoc, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.terminal.texts import LANGUAGES, OPTION, from_bytes, printable, reader
from texts.said import said

_PARAGRAPH: Final = "\n\n"


class Value(click.ParamType[Any]):
    """A value that `kind` makes of a word, a number within bounds; `kind` raises `ValueError` for another word."""

    name = "value"

    def __init__(self, kind: Callable[[Any], Any], least: float | None = None, most: float | None = None) -> None:
        self._kind, self._least, self._most = kind, least, most

    @property
    def choices(self) -> tuple[str, ...]:
        """The values, where it is one of a few."""
        is_choice = isinstance(self._kind, type) and issubclass(self._kind, Enum)
        return tuple(str(one.value) for one in self._kind) if is_choice else ()  # type: ignore[attr-defined]  # an enum

    @property
    def bounds(self) -> str:
        """The bounds of a number as the help shows them."""
        match self._least, self._most:
            case None, None:
                return ""
            case least, None:
                return f"[x>={least}]"
            case None, most:
                return f"[x<={most}]"
            case least, most:
                return f"[{least}<=x<={most}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as click has it
        if self._kind is str and param is not None and param.metavar != "FILE":
            _check_letters(param, value)
        try:
            found = self._kind(value)
        except ValueError:
            if self.choices:
                expected = ", ".join(map(repr, self.choices))
                self.fail(said("'{value}' is not one of {values}.", value=value, values=expected), param, ctx)
            is_whole = self._kind is int
            self.fail(said("a whole number is expected") if is_whole else said("a number is expected"), param, ctx)
        # Of what is not a number, as nan, neither holds.
        if self._least is not None and not found >= self._least:
            self.fail(said("it is below {least}", least=str(self._least)), param, ctx)
        if self._most is not None and not found <= self._most:
            self.fail(said("it is above {most}", most=str(self._most)), param, ctx)
        return found


def _check_letters(parameter: click.Parameter, text: str) -> None:
    """Raise `CommandRefused` for a text with bytes that are no letters in the locale; a file may have such a name.

    The text is not shown: it may be a password.
    """
    if text == from_bytes(text) or os.path.lexists(text):
        return
    from cli.terminal.exits import CommandRefused  # noqa: PLC0415 - it imports what the help does not need

    name = parameter.human_readable_name if isinstance(parameter, click.Argument) else max(parameter.opts, key=len)
    if parameter.metavar == "NAME=VALUE" and "=" in text:
        name += f" {printable(text.partition('=')[0])}"
    locale = next((os.environ[one] for one in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(one)), "C")
    raise CommandRefused(
        "{name} is not {encoding}, the encoding of texts in the locale {locale}: type it anew with "
        "LC_ALL=C.UTF-8, or set LC_ALL to the locale of your terminal, as ru_RU.KOI8-R",
        name=name,
        encoding=sys.getfilesystemencoding().upper(),
        locale=printable(locale),
    )


class Flag(click.Option):
    """An option; `panel` is the name of its group in the help."""

    def __init__(self, declarations: Sequence[str], panel: str | None = None, **more: Any) -> None:  # noqa: ANN401 - as click has it
        super().__init__(declarations, **more)
        self.panel = panel


class Argument(click.Argument):
    """An argument, which stands in brackets where it may be left out."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        word = self.human_readable_name
        return [f"{word if self.required else f'[{word}]'}{'' if self.nargs == 1 else '...'}"]


def _check_language(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:  # noqa: ARG001 - as click calls it
    """The language that was typed. Raises `CommandRefused` for one that there is not."""
    if given is not None and given not in LANGUAGES:
        from cli.terminal.exits import CommandRefused  # noqa: PLC0415 - as above

        shown, known = printable(given), ", ".join(LANGUAGES)
        raise CommandRefused("--lang: {given} is not a language; there are: {known}", given=shown, known=known)
    return given


_LANGUAGE: Final = Flag(
    ["lang", OPTION],
    "Screen",
    metavar="|".join(LANGUAGES),
    default=None,
    expose_value=False,
    is_eager=True,
    callback=_check_language,
    help="The language of screens, help and reports; by default that of the settings, or of the system.",
)
"""It was taken before the rest is read, and is only checked here."""


class Command(click.Command):
    """A command, which takes `--lang`; `panel` is the name of its group in the help."""

    allow_extra_args = True

    def __init__(
        self,
        name: str,
        panel: str | None = None,
        params: Iterable[click.Parameter] = (),
        **more: Any,  # noqa: ANN401 - as click has it
    ) -> None:
        super().__init__(
            name, params=[*params, _LANGUAGE], context_settings={"help_option_names": ["-h", "--help"]}, **more
        )
        self.panel = panel

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
            if rest and not isinstance(self, click.Group):
                ctx.fail(said("Got unexpected extra argument(s) ({arguments})", arguments=" ".join(rest)))
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        return rest

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the help on stdout; the formatter stays empty."""
        show_help(ctx, self.collect_usage_pieces(ctx), translate_text(self.help), self.get_params(ctx))


class Group(Command, click.Group):
    """A command with others below it, listed as they stand. Alone it shows its help, and is refused."""

    def __init__(self, name: str, commands: Mapping[str, click.Command], **more: Any) -> None:  # noqa: ANN401 - as click has it
        super().__init__(name, commands=dict(commands), callback=_refuse_alone, invoke_without_command=True, **more)
        self.subcommand_metavar = "COMMAND [ARGS]..."


def _refuse_alone() -> None:
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        context.get_help()
        context.exit(2)


# ---- what is shown -------------------------------------------------------------------------------------------------


def translate_text(text: str | None) -> str:
    """A text of the help in the reader's language, each paragraph on a line of its own."""
    return _PARAGRAPH.join(map(reader().translate, paragraphs(text))) if text else ""


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text, as the catalogue has them: without the line breaks of the source."""
    return (" ".join(one.split()) for one in text.split(_PARAGRAPH))


def panel_of(one: click.Parameter | click.Command) -> str:
    return getattr(one, "panel", None) or ""


def word_of(parameter: click.Parameter) -> str:
    """The value of a parameter as the help shows it; "" for a switch."""
    if getattr(parameter, "is_flag", False):
        return ""
    choices = getattr(parameter.type, "choices", ())
    word = parameter.metavar or (f"<{'|'.join(choices)}>" if choices else "VALUE")
    return f"{word} {getattr(parameter.type, 'bounds', '')}".rstrip()


def notes_of(parameter: click.Parameter) -> Iterator[str]:
    """What the help says behind the text of a parameter: its default, and whether it is required."""
    default = parameter.default
    if parameter.required:
        yield reader().render(said("[required]"))
    elif getattr(parameter, "is_flag", False):
        if default is True:
            yield reader().render(said("[default: {value}]", value=parameter.opts[0].lstrip("-")))
    elif default not in {None, ""}:
        yield reader().render(said("[default: {value}]", value=str(default)))


def show_help(ctx: click.Context, pieces: Sequence[str], about: str, parameters: Iterable[click.Parameter]) -> None:
    """Show the help of a command: the line of its usage, what it does, and its parameters and commands in panels."""
    console, command = Console(highlight=False), ctx.command

    def show_panel(title: str, table: Table) -> None:
        console.print(Panel(table, border_style="dim", title=title, title_align="left"))

    console.print(Padding(_usage_line(ctx, pieces), 1))
    if about:
        first, mark, others = about.partition(_PARAGRAPH)
        console.print(Padding(_highlighted(first).append(mark).append(_highlighted(others, "dim")), (0, 1, 1, 1)))
    look = {"show_header": False, "expand": True, "box": None, "pad_edge": False, "padding": (0, 1)}
    titles = reader().render(said("Arguments")), reader().render(said("Options"))
    panels: dict[str, list[click.Parameter]] = {title: [] for title in titles}
    for one in parameters:
        if not getattr(one, "hidden", False):
            title = titles[0] if isinstance(one, click.Argument) else translate_text(panel_of(one)) or titles[1]
            panels.setdefault(title, []).append(one)
    for title, some in panels.items():
        table, any_required = Table(**look), any(one.required for one in some)  # type: ignore[arg-type]  # as it is
        for one in some:
            is_argument = isinstance(one, click.Argument)
            cells: list[RenderableType] = [Text("*" if one.required else "", "red")] if any_required else []
            for names, *styles in (
                ([word_of(one)] if is_argument else one.opts, "bold cyan", "" if is_argument else "bold green"),
                (one.secondary_opts, "bold magenta", "bold red"),
            ):
                for is_long, style in zip((True, False), styles, strict=True):
                    cells.append(Text(",".join(name for name in names if name.startswith("--") is is_long), style))
            word = Text("" if is_argument else word_of(one), "bold yellow", overflow="fold")
            word.highlight_regex(r"^[\[<]|\||[\]>]$", "dim")
            notes = (Text(note, "dim red" if one.required else "dim") for note in notes_of(one))
            table.add_row(*cells, word, Columns([_highlighted(translate_text(one.help)), *notes]))
        if some:
            show_panel(title, table)
    commands = command.commands if isinstance(command, click.Group) else {}
    tables: dict[str, Table] = {}
    for name, below in commands.items():
        title = translate_text(panel_of(below)) or reader().render(said("Commands"))
        if title not in tables:
            tables[title] = Table(**look)  # type: ignore[arg-type]  # as it is
            tables[title].add_column(style="bold cyan", no_wrap=True, width=max(map(len, commands)))
            tables[title].add_column(ratio=10)
        tables[title].add_row(name, _highlighted(translate_text(below.help).split(_PARAGRAPH)[0]))
    for title, table in tables.items():
        show_panel(title, table)
    if command.epilog:
        console.print(Padding(_highlighted(translate_text(command.epilog)), 1))


def _usage_line(ctx: click.Context, pieces: Sequence[str]) -> Text:
    formatter, prefix = ctx.make_formatter(), reader().render(said("Usage: "))
    formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=prefix)
    line = _highlighted(formatter.getvalue().rstrip("\n"), "bold")
    line.stylize("yellow", 0, len(prefix))
    return line


def _highlighted(text: str, style: str = "") -> Text:
    found = Text(text, style)
    found.highlight_regex(r"(?<!\w)-\w+(?![a-zA-Z0-9])", "bold green")
    found.highlight_regex(r"(?<!\w)--[\w-]+", "bold cyan")
    return found


def show_usage_error(error: click.ClickException) -> None:
    """Show on stderr what is wrong with a command line."""
    console = Console(stderr=True, highlight=False)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        console.print(_usage_line(error.ctx, error.ctx.command.collect_usage_pieces(error.ctx)))
        hint = reader().render(said("Try '{command}' for help.", command=f"{error.ctx.command_path} -h"))
        console.print(Text(hint, "dim"))
    text, title = reader().render(_sentence(error)), reader().render(said("Error"))
    console.print(Panel(_highlighted(text), border_style="red", title=title, title_align="left"))


def _sentence(error: click.ClickException) -> str:
    match error:
        case click.NoSuchOption(option_name=name, possibilities=[_, *_] as known):
            options = ", ".join(sorted(known))
            found = said("No such option: {option} (Possible options: {options})", option=name, options=options)
        case click.NoSuchOption(option_name=name):
            found = said("No such option: {option}", option=name)
        case click.NoSuchCommand(command_name=name, possibilities=[_, *_] as known):
            commands = ", ".join(map(repr, known))
            found = said("No such command '{command}'. Did you mean {commands}?", command=name, commands=commands)
        case click.NoSuchCommand(command_name=name):
            found = said("No such command '{command}'.", command=name)
        case click.BadOptionUsage(option_name=name, ctx=click.Context(command=command)):
            named = (one for one in command.params if name in {*one.opts, *one.secondary_opts})
            if any(isinstance(one, click.Option) and not one.is_flag for one in named):
                found = said("Option '{option}' requires an argument.", option=name)
            else:
                found = said("Option '{option}' does not take a value.", option=name)
        case click.MissingParameter(param=click.Argument() as argument):
            found = said("Missing argument {argument}.", argument=argument.get_error_hint(error.ctx))
        case click.MissingParameter(param=click.Option() as option):
            found = said("Missing option {option}.", option=option.get_error_hint(error.ctx))
        case click.BadParameter(param=click.Parameter() as parameter, message=why):
            found = said("Invalid value for {name}: {why}", name=parameter.get_error_hint(error.ctx), why=why)
        case _:
            return error.message
    return found


# ---- how an option or an argument is stated, and a command made of them -------------------------------------------


_ROW: Final = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table: how an option is typed, and the variable and the key of the settings file that give it.

    One without a `metavar` is a switch, or one of a few words. `names` are those of its flag where the field's does
    not say them; a number has bounds.
    """

    metavar: str | None
    help: str
    names: tuple[str, ...] = ()
    panel: str | None = None
    variable: str = ""
    key: str = ""
    built_in: str = ""
    """Of the setting, where nobody gives it."""
    secret: bool = False
    hidden: bool = False
    required: bool = False
    least: float | None = None
    most: float | None = None
    is_argument: bool = False

    def flags_of(self, name: str) -> tuple[str, ...]:
        return self.names or (f"--{name.replace('_', '-')}",)


def option(metavar: str | None, help_: str, *names: str, default: object = None, **more: Any) -> Any:  # noqa: ANN401 - the field has the type that its record gives it
    """An option, a field of a record or the default of a parameter; `default` is what it is where it is not typed."""
    row = Option(metavar, help_, names, **more)
    return field(default=default, repr=not row.secret, metadata={_ROW: row})


switch: Final = partial(option, None, default=False)


def argument(metavar: str, help_: str, *, required: bool = True) -> Any:  # noqa: ANN401 - as above
    """An argument, the default of a parameter."""
    return option(metavar, help_, required=required, is_argument=True)


def options_of(*groups: type[Any]) -> dict[str, Option]:
    """The options of these records by the names of their fields."""
    found: dict[str, Option] = {}
    for group in groups:
        found |= getattr(group, "OPTIONS", {})
        found |= {one.name: one.metadata[_ROW] for one in fields(group) if _ROW in one.metadata}
    return found


def names_of(*groups: type[Any]) -> frozenset[str]:
    return frozenset(name for group in groups for name in options_of(group))


class Part:
    """Says in the type of a parameter which options of a record a command takes, and which it states otherwise."""

    def __init__(self, *names: str, **otherwise: Option) -> None:
        self.names = names
        self.otherwise = otherwise


CarryOut: TypeAlias = Callable[[Callable[..., Any], Mapping[str, Any], Mapping[type[Any], Any]], None]
"""Calls the function of a command, with what was typed for its parameters; the records beside them by their types."""


def as_command(
    name: str,
    *beside: Any,  # noqa: ANN401 - a type of a record, or a part of one
    cls: type[Command] = Command,
    epilog: str | None = None,
    carry_out: CarryOut = lambda function, given, _: function(**given),
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function, one of a group by both words.

    A parameter with an option, or whose type is a record of options, is typed. The records `beside` are typed as
    well, and go to `carry_out`, which has to give the function its other parameters.
    """

    def made(function: Callable[..., Any]) -> Command:
        params: list[click.Parameter] = []
        records: dict[str | int, tuple[type[Any], list[str]]] = {}
        own: list[tuple[str | int, Any, Any]] = [
            (one.name, one.annotation, one.default) for one in signature(function).parameters.values()
        ]
        for key, hint, default in (*own, *((place, record, None) for place, record in enumerate(beside))):
            kind, *part = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            if isinstance(default, Field):
                params.append(_parameter(str(key), kind, default.metadata[_ROW], default.default))
            elif isinstance(kind, type) and is_dataclass(kind) and (of_kind := list(_parameters(kind, *part))):
                records[key] = kind, [str(one.name) for one in of_kind]
                params += of_kind

        @wraps(function)
        def call(**typed_: Any) -> None:  # noqa: ANN401 - each has the type of its parameter
            given = {one: list(value) if isinstance(value, tuple) else value for one, value in typed_.items()}
            made = {key: kind(**{one: given.pop(one) for one in names}) for key, (kind, names) in records.items()}
            of_function = {key: one for key, one in made.items() if isinstance(key, str)}
            carry_out(function, given | of_function, {type(one): one for one in made.values()})

        return cls(name.rsplit(maxsplit=1)[-1], params=params, callback=call, help=getdoc(function), epilog=epilog)

    return made


def _parameters(group: type[Any], part: Part | None = None) -> Iterator[click.Parameter]:
    rows = {**options_of(group), **(part.otherwise if part else {})}
    hints, defaults = get_type_hints(group), {one.name: one.default for one in fields(group)}
    for name in part.names if part else rows:
        # A record that states its options by itself takes texts and switches.
        kind = hints.get(name) or (str if rows[name].metavar else bool)
        yield _parameter(name, kind, rows[name], defaults.get(name))


def _parameter(name: str, kind: Any, row: Option, default: object) -> click.Parameter:  # noqa: ANN401 - a type, or a union
    if get_origin(kind) in {Union, UnionType}:
        kind = next(one for one in get_args(kind) if one is not NoneType)
    if several := get_origin(kind) is list:
        kind = get_args(kind)[0]
    more: dict[str, Any] = {"metavar": row.metavar, "help": row.help, "required": row.required}
    if not row.required:
        more["default"] = default
    if kind is bool:
        more["is_flag"] = True
    else:
        more["type"] = Value(kind, row.least, row.most)
    if row.is_argument:
        return Argument([name], nargs=-1 if several else 1, **more)
    return Flag([name, *row.flags_of(name)], row.panel, multiple=several, hidden=row.hidden, **more)


def typed(context: click.Context) -> dict[str, str]:
    """The parameters given on the command line, each as shown to people: `--set`, `FILE (other.csv)`."""
    found: dict[str, str] = {}
    for one in context.command.params:
        if one.expose_value and context.get_parameter_source(one.name) is ParameterSource.COMMANDLINE:
            value = f"{one.metavar} ({printable(context.params.get(one.name))})"
            found[one.name] = value if isinstance(one, Argument) else max(one.opts, key=len)
    return found
