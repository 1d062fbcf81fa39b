"""A command line that is being typed: what is said so far, and what the word at the cursor is to be."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import Final

import msgspec

from texts.remedies import PROGRAM

# ---- the options and arguments of all commands, as data -----------------------------------------------------------


TABLE: Final = Path(__file__).with_name("options.json")

VALUES: Final = "…"
"""At the end of an argument's word where it may be given several times."""


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """An option: its names, the longest first, and the word that it takes; "" for a switch."""

    names: tuple[str, ...]
    help: str
    word: str = ""
    choices: tuple[str, ...] = ()
    repeatable: bool = False

    @property
    def name(self) -> str:
        """Its longest name."""
        return self.names[0]


class CommandSyntax(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command: the first paragraph of its help, its options, and the words that its arguments take."""

    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()

    def option(self, name: str) -> Option | None:
        """The option of that name, None without one."""
        return next((option for option in self.options if name in option.names), None)

    def argument(self, place: int) -> str:
        """The word of the argument at this place, counted from 0; "" where none is taken."""
        if place < len(self.arguments):
            return self.arguments[place]
        last = self.arguments[-1] if self.arguments else ""
        return last if last.endswith(VALUES) else ""


@cache
def commands() -> Mapping[str, CommandSyntax]:
    """All commands by name, those of a group as `mock serve`."""
    return msgspec.json.decode(TABLE.read_bytes(), type=dict[str, CommandSyntax])


def as_json(table: Mapping[str, CommandSyntax]) -> bytes:
    """The table as it is kept."""
    return msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n"


# ---- a command line that is being typed ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """A command line up to the cursor, read by the options of its command.

    `current` is the unfinished word. It is the value of the option `expects`, where there is one, else an argument at
    `place`, or an option. `prefix` stands before a value within the word, as in `--state=`.
    """

    current: str
    name: str = ""
    command: CommandSyntax | None = None
    expects: Option | None = None
    place: int = 0
    prefix: str = ""
    arguments: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)


def read_line(line: str) -> Typed:
    """Read a command line up to the cursor; quotes may be open, as they are while somebody types."""
    *words, current = _after_program(split(line))
    name, rest = _command_of(words)
    command = commands().get(name)
    if command is None or (name and _is_group(name)):
        return Typed(current, name, command)
    return _read_options(current, name, command, rest)


def _read_options(current: str, name: str, command: CommandSyntax, rest: Sequence[str]) -> Typed:
    arguments: list[str] = []
    given: dict[str, str] = {}
    expects: Option | None = None
    for word in rest:
        flag, equals, value = word.partition("=")
        if expects is not None:
            given[expects.name], expects = word, None
        elif not word.startswith("-") or word == "-":
            arguments.append(word)
        elif (option := command.option(flag)) is not None:
            given[option.name] = value
            expects = option if option.word and not equals else None
    prefix = ""
    if expects is None and current.startswith("--") and "=" in current:
        flag, _, value = current.partition("=")
        expects, prefix, current = command.option(flag), f"{flag}=", value
    return Typed(current, name, command, expects, len(arguments), prefix, tuple(arguments), given)


def _command_of(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The name of the command, that of a group with that of its command; and the words after it.

    Without a command yet, the words are the options of the program itself.
    """
    typed = words[_options_before(words) :]
    if len(typed) > 1 and f"{typed[0]} {typed[1]}" in commands():
        return f"{typed[0]} {typed[1]}", typed[2:]
    return (typed[0], typed[1:]) if typed else ("", words)


def _options_before(words: Sequence[str]) -> int:
    """How many words stand before the command."""
    place = 0
    while place < len(words) and words[place].startswith("-"):
        option = commands()[""].option(words[place])
        place += 2 if option is not None and option.word else 1
    return place


def _is_group(name: str) -> bool:
    return any(other.startswith(f"{name} ") for other in commands())


def _after_program(words: Sequence[str]) -> Sequence[str]:
    """The words after the program, which `sudo` or a variable may stand before."""
    for place, word in enumerate(words[:-1]):
        if PurePath(word).name == PROGRAM:
            return words[place + 1 :]
    return words[1:] or [""]


def split(line: str) -> list[str]:
    """The words of an unfinished line; the last one, at the cursor, may be empty."""
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line.removesuffix("\\") + end)
        except ValueError:
            continue
        return [*words, ""] if not end and (not line or line[-1].isspace()) else words
    return [""]
