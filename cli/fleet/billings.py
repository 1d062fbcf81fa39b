"""The billings that a worker can send to: all profiles of its settings file, or the one billing of a file without."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cli.settings.flags import Flags
from cli.settings.settings import Settings, load
from cli.settings.settings_file import badges_in
from cli.terminal.exits import SettingsRefused
from texts.said import said, text_of


@dataclass(frozen=True, slots=True)
class Billings:
    """The profile of settings of each billing, by its target, "" for the billing of a file without profiles.

    `left_out` are the profiles that this machine cannot send for, with the reason.
    """

    profiles: Mapping[str, str]
    left_out: Mapping[str, str]


def billings_of(settings: Settings, flags: Flags, environment: Mapping[str, str], folder: Path) -> Billings:
    """The billings of the settings in force. Raises `SettingsRefused` for a file without profiles and billing."""
    names = [badge.profile for badge in badges_in(settings.file)] if settings.file else []
    if settings.profile is not None or not names:
        return Billings({_target(settings): settings.profile.badge.profile if settings.profile else ""}, {})
    profiles: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            own = load(replace(flags, profile=name), environment, folder)
            if own.journal.value == settings.journal.value:
                profiles[_target(own)] = name
            else:
                left_out[name] = said("its journal is another one: {journal}", journal=str(own.journal.value))
        except SettingsRefused as error:
            left_out[name] = text_of(error)
    return Billings(profiles, left_out)


def _target(settings: Settings) -> str:
    """The target of the settings, once all that a run of it needs is at hand. Raises `SettingsRefused`."""
    for table in ("api", "database", "hooks"):
        settings.hidden.require(table)
    return settings.target
