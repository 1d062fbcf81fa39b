"""The options and arguments of all commands, as data: to complete a line no command has to be imported.

`options.json` is written from the commands by `make docs` (`tools/option_table.py`).
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

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
