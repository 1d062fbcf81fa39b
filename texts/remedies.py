"""Remedies: what sentences advise, spelled as a person types it in any language."""

from contextvars import ContextVar
from typing import Final

import msgspec

PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
SETTINGS_PROFILE: Final = "CARBON_MIGRATE_PROFILE"


TAKES_PROFILE: Final = frozenset(
    {"doctor", "plan", "run", "import", "resume", "undo", "verify", "reconcile", "decide", "export", "report", "page"}
    | {"status", "pause", "continue", "get", "set", "stop", "purge", "probe", "dictionary"}
)
"""The commands that read settings, and so take a profile of them."""

_profile: Final[ContextVar[str]] = ContextVar("profile", default="")


def advise_profile(name: str) -> None:
    """Let commands that are advised from now on name this profile of settings."""
    _profile.set(name)


def _profile_of(command: str) -> tuple[str, ...]:
    name = _profile.get()
    return ("--profile", name) if name and command in TAKES_PROFILE else ()


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
        words = (PROGRAM, self.command, self.run, *flags, *_profile_of(self.command))
        return f"`{' '.join(word for word in words if word)}`"


def setting(name: str, value: str = "") -> Remedy:
    """One setting, to be given or left out."""
    return Remedy(settings=((name, value),))


def command_line(*words: str) -> str:
    """A command of the program as it is typed, which stands on a line of its own."""
    return " ".join((PROGRAM, *words, *_profile_of(words[0] if words else "")))
