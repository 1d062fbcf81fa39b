"""Remedies: what sentences advise, spelled as a person types it in any language.

A command is `advised` within a sentence, and a `command_line` on a line of its own; other rooms name settings alone.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from shlex import quote
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
SETTINGS_PROFILE: Final = "CARBON_MIGRATE_PROFILE"
VAULT_KEY: Final = "vault_key"
VAULT_KEY_FILE: Final = "vault.key"
VAULT_KEY_SETTING: Final = f'{VAULT_KEY} = "{VAULT_KEY_FILE}"'


_OPENS_BILLING: Final = frozenset(
    {"doctor", "plan", "run", "import", "resume", "undo", "verify", "reconcile", "probe", "dictionary"}
)
TAKES_PROFILE: Final = _OPENS_BILLING | frozenset(
    {"decide", "export", "report", "page", "worker", "status", "pause", "continue", "get", "set", "stop", "purge"}
    | {"close", "compare", "validate"}
)
"""The commands that read settings, and so take a file, a profile, a billing and a journal."""

Options: TypeAlias = Mapping[str, str | None]
"""Options by their names; None for one without a value."""

_NONE: Final[Options] = MappingProxyType({})


class _Advised(msgspec.Struct, frozen=True):
    journal: Options = _NONE
    billing: Options = _NONE
    in_force: Options = _NONE
    runs: Mapping[str, Options] = MappingProxyType({})


_NOTHING: Final = _Advised()
_advised: Final[ContextVar[_Advised]] = ContextVar("advised", default=_NOTHING)


def advise_settings(journal: Options, billing: Options = _NONE, in_force: Options = _NONE) -> None:
    """Let commands that are advised from now on name what leads to this journal and billing, from any folder.

    `journal` is for all commands, `billing` for those that open the billing; `in_force` are the billing's addresses,
    whether they have to be typed or stand in a file that `journal` names. None of them is a secret.
    """
    _advised.set(_Advised(journal, billing, in_force))


def advise_runs(runs: Mapping[str, Options]) -> None:
    """Let commands about these runs name the addresses of their own billings, where others are in force."""
    _advised.set(msgspec.structs.replace(_advised.get(), runs=runs))


def _leading(command: str, words: Sequence[str]) -> tuple[str, ...]:
    """The options that lead a command to its journal and billing, without those that its words give already."""
    if command not in TAKES_PROFILE:
        return ()
    found, given = _advised.get(), {word for one in words for word in one.split()}
    options = dict(found.journal)
    if "--profile" in given:
        options.pop("journal", None)
    elif command in _OPENS_BILLING:
        options |= found.billing
        own = next((found.runs[word] for word in words if word in found.runs), _NONE)
        if "profile" not in options:
            options |= {name: value for name, value in own.items() if value != found.in_force.get(name)}
    pairs = ((f"--{name}", value) for name, value in options.items())
    return tuple(
        word
        for flag, value in pairs
        if flag not in given
        for word in ((flag,) if value is None else (flag, quote(value)))
    )


def setting(name: str, value: str = "") -> str:
    """A setting as it is typed; the value is "" for one without a value."""
    return f"--{name} {value}" if value else f"--{name}"


def advised(command: str, run: str = "", *settings: tuple[str, str]) -> str:
    """A command within a sentence, in backticks: for a run, if it has one, with settings by their names."""
    flags = (word for name, value in settings for word in (f"--{name}", value))
    return f"`{command_line(*filter(None, (command, run, *flags)))}`"


def command_line(*words: str) -> str:
    """A command of the program as it is typed into a shell, word by word; it stands on a line of its own."""
    return " ".join((PROGRAM, *map(quote, words), *_leading(words[0] if words else "", words)))
