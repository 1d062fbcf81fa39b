"""Remedies: what sentences advise, spelled as a person types it in any language."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from shlex import quote
from typing import Final

import msgspec

PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
SETTINGS_PROFILE: Final = "CARBON_MIGRATE_PROFILE"
VAULT_KEY: Final = "vault_key"
VAULT_KEY_FILE: Final = "vault.key"
VAULT_KEY_SETTING: Final = f'{VAULT_KEY} = "{VAULT_KEY_FILE}"'


TAKES_PROFILE: Final = frozenset(
    {"doctor", "plan", "run", "import", "resume", "undo", "verify", "reconcile", "decide", "export", "report", "page"}
    | {"worker", "close", "status", "pause", "continue", "get", "set", "stop", "purge", "probe", "dictionary"}
)
"""The commands that read settings, and so take a file, a profile, a billing and a journal."""

_typed: Final[ContextVar[tuple[tuple[str, str], ...]]] = ContextVar("typed", default=())


def advise_settings(typed: Mapping[str, str]) -> None:
    """Let commands that are advised from now on name these settings, which were typed: they lead to the journal."""
    _typed.set(tuple(typed.items()))


def _typed_for(command: str, words: Sequence[str]) -> tuple[str, ...]:
    """The typed settings that a command takes, and that its words do not give already."""
    if command not in TAKES_PROFILE:
        return ()
    given = {word for one in words for word in one.split()}
    pairs = ((f"--{name}", value) for name, value in _typed.get())
    return tuple(word for flag, value in pairs if flag not in given for word in (flag, quote(value)))


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
        words = (PROGRAM, self.command, self.run, *flags, *_typed_for(self.command, flags))
        return f"`{' '.join(word for word in words if word)}`"


def setting(name: str, value: str = "") -> Remedy:
    """One setting, to be given or left out."""
    return Remedy(settings=((name, value),))


def command_line(*words: str) -> str:
    """A command of the program as it is typed, which stands on a line of its own."""
    return " ".join((PROGRAM, *words, *_typed_for(words[0] if words else "", words)))
