"""Remedies: what sentences advise, spelled as a person types it in any language."""

from typing import Final

import msgspec

PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"


class Remedy(msgspec.Struct, frozen=True):
    """What a person types next: a whole command, for the run `run` if it has one, or settings alone.

    Settings are pairs of name and value, the value "" for a setting without one.
    """

    command: str = ""
    run: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The command in backticks, settings alone as flags."""
        flags = [f"--{name} {value}" if value else f"--{name}" for name, value in self.settings]
        if not self.command:
            return " ".join(flags)
        return f"`{' '.join(word for word in (PROGRAM, self.command, self.run, *flags) if word)}`"


def setting(name: str, value: str = "") -> Remedy:
    """One setting, to be given or left out."""
    return Remedy(settings=((name, value),))


def command_line(*words: str) -> str:
    """A command of the program as it is typed, which stands on a line of its own."""
    return " ".join((PROGRAM, *words))
