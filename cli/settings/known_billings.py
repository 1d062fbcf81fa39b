"""The billings that the settings of this machine name, and the journals that their runs stand in.

Who looks at all billings chooses no profile of settings: what stands in the common part of the file counts, and of
each profile its address and its journal. No credential is needed for that, and none is asked for.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from checkpoints.journal_file import JournalAddress
from checkpoints.records import Run
from checkpoints.stores import is_there
from cli.settings.flags import COMMON_PART, Flags
from cli.settings.places import (
    IN_FOLDER,
    OF_BILLING,
    journal_of_billing,
    journals_in,
    name_of_billing,
    named_journal,
    state_folder,
    without_credentials,
)
from cli.settings.settings import DEFAULT_PROFILE, Settings, SettingsFile, profiles_in
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import badge_of
from texts.remedies import SETTINGS_FILE, SETTINGS_PROFILE, setting

_USUAL_PORT: Final = ":8082"
"""That of the REST API in all that the vendor shows."""

_DEFAULTS: Final = (OF_BILLING, IN_FOLDER)
"""Where a journal comes from that nobody has named."""


@dataclass(frozen=True, slots=True)
class KnownBillings:
    """The profiles of settings by the names of their billings, and the journals of all of them."""

    profiles: Mapping[str, Sequence[str]]
    journals: tuple[JournalAddress, ...]

    def profile_of(self, run: Run) -> str | None:
        """The profile of the billing of a run, by the address that it has; None where this machine has none."""
        found = self.profiles.get(name_of_billing(run.target))
        return profile_among(found, run) if found else None

    def name_of(self, run: Run) -> str:
        return self.profile_of(run) or host_of(run.target)


def profile_among(profiles: Sequence[str], run: Run) -> str:
    """The profile of settings that the run was begun by; the first one where it is not among those of its billing."""
    own = badge_of(run.parameters)
    return own.profile if own and own.profile in profiles else profiles[0]


NO_BILLINGS: Final = KnownBillings({}, ())


def host_of(target: str) -> str:
    """The host of a billing's address, with its path, and with its port where that is not the usual one."""
    parts = urlsplit(without_credentials(target))
    return f"{parts.netloc.removesuffix(_USUAL_PORT)}{parts.path.rstrip('/')}" if parts.netloc else target


def without_profile(flags: Flags) -> Flags:
    if flags.profile is None and not os.environ.get(SETTINGS_PROFILE):
        return replace(flags, profile=COMMON_PART)
    return flags


def without_profile_or_default(flags: Flags) -> Flags:
    """The same, unless the settings file has a default. Raises `SettingsRefused`."""
    has_default = SettingsFile.read(flags.config or Path.cwd() / SETTINGS_FILE).toml.content.get(DEFAULT_PROFILE)
    return flags if has_default else without_profile(flags)


def known_billings(settings: Settings, environment: Mapping[str, str]) -> KnownBillings:
    """The billings of the settings in force, of one profile or of none. Raises `SettingsRefused` and `JournalError`.

    A journal that was named by flag or variable is the only one.
    """
    listed = profiles_in(settings.file) if settings.file else []
    profiles: dict[str, list[str]] = {}
    for one in listed:
        if one.billing:
            profiles.setdefault(one.billing, []).append(one.badge.profile)
    journal = settings.journal
    if settings.profile is not None or not (journal.of_file or journal.origin in _DEFAULTS):
        return KnownBillings(profiles, (journal.value,))

    def journals() -> Iterator[JournalAddress]:
        if journal.of_file or journal.origin == IN_FOLDER or settings.api_url.value:
            yield journal.value
        elif not listed:
            found = journals_in(state_folder(environment))
            yield from map(JournalAddress, found) if found else (journal.value,)
        beside = settings.file.parent if settings.file else Path()
        for one in listed:
            if one.tables.journal:
                yield named_journal(one.tables.journal, beside, environment)
            elif one.tables.api.url:
                yield JournalAddress(journal_of_billing(environment, one.tables.api.url))

    return KnownBillings(profiles, tuple({str(one): one for one in journals()}.values()))


def journal_of_all(settings: Settings, environment: Mapping[str, str]) -> JournalAddress:
    """The one journal that all billings of the settings have. Raises `SettingsRefused` where there are several."""
    journals = known_billings(settings, environment).journals
    there = [one for one in journals if is_there(one)] if len(journals) > 1 else journals
    if len(there) > 1:
        raise SettingsRefused(
            "the billings of the settings have several journals: {journals}. Name one with {journal}, or choose "
            "a profile of settings with {flag}",
            journals=tuple(map(str, there)),
            journal=setting("journal", "FILE"),
            flag=setting("profile", "NAME"),
        )
    return next(iter(there), settings.journal.value)
