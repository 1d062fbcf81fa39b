"""What a job is before it is set up: its name, its parameters, and how to build it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from billing.money import parse_amount, wire
from engine.job import Job
from jobs.errors import ParameterRefused
from jobs.services import Services

Build: TypeAlias = Callable[[Services, Mapping[str, str], Path | None], Job]
"""Sets a job up with its checked parameters and the input file, where it takes one; raises `ParameterRefused`."""


def as_typed(text: str) -> str:
    """The value itself."""
    return text


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a job, given as `--set name=value`.

    `default` is None where a value is required, "" where the job can do without. `parse` gives the value in its one
    plain spelling, for a run is known again by its parameters, and raises ValueError saying what is wrong.
    """

    name: str
    help: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], str] = as_typed


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job, as the catalogue lists it. `example` is a command line, `call` what is sent, as text."""

    name: str
    summary: str
    build: Build = field(repr=False)
    call: str
    example: str
    parameters: tuple[Parameter, ...] = ()
    takes_file: bool = False
    needs_database: bool = False


def parameters_of(kind: JobKind, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the job, those of `given` checked and the others at their defaults.

    Raises `ParameterRefused` with everything that is wrong: unknown names, missing and bad values.
    """
    known = {parameter.name: parameter for parameter in kind.parameters}
    faults = [
        f"{kind.name} has no parameter {name!r}{nearest(name, known)}; it has: {', '.join(known) or 'none'}"
        for name in given
        if name not in known
    ]
    values: dict[str, str] = {}
    for name, parameter in known.items():
        try:
            values[name] = _value(parameter, given.get(name))
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ParameterRefused("\n".join(faults))
    return values


def nearest(word: str, known: Collection[str]) -> str:
    """A hint at what was meant by a word that is not known, "" when nothing is near."""
    close = get_close_matches(word.casefold(), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _value(parameter: Parameter, text: str | None) -> str:
    if text is None:
        if parameter.default is None:
            raise ValueError(f"is required: {parameter.help}; give --set {parameter.name}=…")
        return parameter.default
    if text == parameter.default:
        return text
    if parameter.choices and text not in parameter.choices:
        raise ValueError(f"{text!r} is none of {', '.join(parameter.choices)}{nearest(text, parameter.choices)}")
    return parameter.parse(text)


# ---- ways to parse ----------------------------------------------------------------------------------------------


def an_id(text: str) -> str:
    """The id of a row of the billing: a whole number above zero."""
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit()) or int(plain) == 0:
        raise ValueError(f"{text!r} is no id: a whole number above zero is expected")
    return str(int(plain))


def roubles(text: str) -> str:
    """An amount in roubles, with two decimals at most; -120,00 and -120 are the same."""
    amount = parse_amount(text)
    whole = amount.to_integral_value()
    return wire(whole if amount == whole else amount.normalize()) if amount else wire(Decimal(0))


def at_most(length: int) -> Callable[[str], str]:
    """A text of one line that is not longer than `length` characters."""

    def parse(text: str) -> str:
        if len(text) > length:
            raise ValueError(f"the text has {len(text)} characters, at most {length} are taken")
        if not text.isprintable():
            raise ValueError("the text has line ends or other invisible characters")
        return text

    return parse
