"""How an option or an argument is stated, once, and how a command is made of what its function takes.

An option is a field of a record, whose name is that of the flag, of a job file's key and of a setting, or a parameter
of the function alone. From the records come the flags of the commands, the settings with their origins
(`settings.py`), the keys of job files, their schema, the reference and the completion.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import partial, wraps
from inspect import getdoc, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from cli.terminal.texts import printable
from cli.terminal.usage import Argument, Command, Flag, Value

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
