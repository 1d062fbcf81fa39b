"""The settings file: read, checked with all of its profiles, and the chosen one laid over it."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from checkpoints.address import JournalAddress, is_postgres
from checkpoints.errors import JournalError
from checkpoints.own_files import read_regular
from cli.settings.file_access import FoundFile, read_found, read_toml
from cli.settings.flags import COMMON_PART, Flags
from cli.settings.places import journal_of_billing, name_of_billing, named_journal, without_credentials
from cli.settings.tables import (
    DEFAULT_PROFILE,
    KNOWN,
    PROFILE,
    PROFILE_KEYS,
    HookTable,
    ProfileHead,
    SettingsTables,
)
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import Badge
from cli.terminal.texts import printable
from engine.errors import nearest
from jobs.spec.toml_places import KeyRefused, Kind, Toml, as_kind
from texts.remedies import SETTINGS_PROFILE, setting
from texts.said import said, text_of

PRODUCTION: Final = "production"
"""The profile of this name is one of production, unless it says otherwise."""

FLAG: Final = f"--{PROFILE}"
_NAME: Final = re.compile(r"[\w-]{1,40}")

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """A profile as the file has it: its badge, its own tables, and these laid over the common part."""

    badge: Badge
    own: Table
    merged: Table
    address: str
    """The address of its billing, as the file has it, "" without one; so are the names of its journal and billing."""
    journal: str
    billing: str


@dataclass(frozen=True, slots=True)
class SettingsProfile:
    """The chosen profile: its badge, what has chosen it, its own tables, and all profiles of the file."""

    badge: Badge
    origin: str
    own: Table
    listed: Mapping[str, ListedProfile]

    def key_of(self, key: str) -> str:
        """The dotted key in the file: that of the profile where the profile has it, else that of the common part."""
        return key if _part(self.own, key) is None else f"{PROFILE}.{self.badge.profile}.{key}"

    def profile_at(self, address: str) -> str:
        """The profile whose billing is at this address, "" where none is."""
        wanted = name_of_billing(address)
        return next((name for name, one in self.listed.items() if one.billing == wanted), "")

    def refuse_another(self, what: str, given: str, origin: str, own: str | None) -> None:
        """Raise `SettingsRefused` where a flag or a variable names another billing than the profile does."""
        if own is None or given == own or (what == "api.url" and name_of_billing(given) == name_of_billing(own)):
            return
        raise SettingsRefused(
            "the profile of settings {profile} has {key} {own}, and {origin} says {given}. A profile is one "
            "billing: leave {origin} out, or choose the profile of that billing with {flag}",
            profile=self.badge.profile,
            key=what,
            own=printable(without_credentials(own)),
            origin=origin,
            given=printable(without_credentials(given)),
            flag=setting(PROFILE, "NAME"),
        )

    def journals_of_others(self, environment: Mapping[str, str], folder: Path) -> dict[str, JournalAddress]:
        """The journals of the other profiles by their names; `folder` is that of the settings file."""
        found: dict[str, JournalAddress] = {}
        for name, one in self.listed.items():
            if name == self.badge.profile:
                continue
            if one.journal:
                with suppress(JournalError):
                    found[name] = named_journal(one.journal, folder, environment)
            elif one.address:
                found[name] = JournalAddress(journal_of_billing(environment, one.address))
        return found

    def refuse_journal(
        self, journal: JournalAddress, origin: str, api_url: str, others: Mapping[str, JournalAddress]
    ) -> None:
        """Raise `SettingsRefused` where a flag or a variable names the journal of another profile and billing."""
        if journal.is_shared:
            return
        for name, other in others.items():
            another = api_url and self.listed[name].billing not in {"", name_of_billing(api_url)}
            if another and journal.path.resolve() == other.path.resolve():
                raise SettingsRefused(
                    "{origin}: {journal} is the journal of the profile of settings {other}, which is another "
                    "billing than {profile}. Leave {origin} out, or choose that profile: {flag}",
                    origin=origin,
                    journal=printable(journal),
                    other=name,
                    profile=self.badge.profile,
                    flag=setting(PROFILE, name),
                )


@dataclass(frozen=True)
class SettingsFile:
    """The settings file as a text whose keys have places, and its profiles; a file that is not there is empty."""

    path: Path
    toml: Toml

    @cached_property
    def common(self) -> Table:
        """What stands outside of all profiles."""
        return {name: value for name, value in self.toml.content.items() if name not in {PROFILE, DEFAULT_PROFILE}}

    @cached_property
    def profiles(self) -> Mapping[str, ListedProfile]:
        """All profiles in the order of the file, whose heads are checked."""
        found = {}
        tables = self.toml.content.get(PROFILE)
        for name, table in tables.items() if isinstance(tables, Mapping) else ():
            head = _head(table)
            production = name.casefold() == PRODUCTION if head.production is None else head.production
            own = {key: value for key, value in table.items() if key not in PROFILE_KEYS}
            badge = Badge(name, " ".join(head.name.split()), production)
            merged = _laid_over(self.common, own)
            address = _value(merged, "api.url")
            billing = name_of_billing(address) if address else ""
            found[name] = ListedProfile(badge, own, merged, address, _value(merged, "journal"), billing)
        return found

    def place(self, key: str, *, name: str = "") -> str:
        """The file, as `name`, and the line of a dotted key; the file alone where the line is unknown."""
        way = tuple(key.split("."))
        found = self.toml.where.get(way) or (self.toml.where.get(way[:-1]) if way[1:] else None)
        file = name or str(self.path)
        return said("{file}, line {line}", file=file, line=found.line) if found else file

    def refused(self, key: str, what: str) -> SettingsRefused:
        """An error of a dotted key, with its place."""
        return SettingsRefused("{place}: {key}: {what}", place=self.place(key), key=printable(key), what=what)

    def check(self, *, only_heads: bool = False) -> None:
        """Raise `SettingsRefused`, naming the line, for what is wrong with the profiles, or in any table."""
        default, profiles = self.toml.content.get(DEFAULT_PROFILE), self.toml.content.get(PROFILE, {})
        if default is not None and not isinstance(default, str):
            raise self.refused(DEFAULT_PROFILE, said("it is the name of a profile of settings"))
        if not isinstance(profiles, Mapping):
            why = said("it is a table, [profile.NAME]; {key} chooses one", key=DEFAULT_PROFILE)
            raise self.refused(PROFILE, why)
        for name, table in profiles.items():
            key = f"{PROFILE}.{name}"
            if not _NAME.fullmatch(name):
                raise self.refused(key, said("a name has letters, digits, - and _, at most 40"))
            if not isinstance(table, Mapping):
                raise self.refused(key, said("it is a table, [profile.NAME]"))
            if (head := self._checked(table, ProfileHead, key)).name and not head.name.isprintable():
                raise self.refused(f"{key}.name", said("it has characters that nobody can type"))
        own = {f"{PROFILE}.{name}": one.own for name, one in self.profiles.items()}
        for prefix, part in {} if only_heads else {"": self.common, **own}.items():
            self._refuse_unknown(part, f"{prefix}." if prefix else "")
            self._checked(part, SettingsTables, prefix)

    def _checked(self, table: Table, kind: type[Kind], prefix: str) -> Kind:
        try:
            return as_kind({one: table[one] for one in table if kind is not ProfileHead or one in PROFILE_KEYS}, kind)
        except KeyRefused as error:
            raise self.refused(".".join(map(str, filter(None, (prefix, *error.way)))), text_of(error)) from error

    def _refuse_unknown(self, content: Table, prefix: str) -> None:
        for table in KNOWN:
            inside = content.get(table) if table else content
            known = KNOWN[f"{PROFILE}.NAME"] if prefix and not table else KNOWN[table]
            for key in inside if isinstance(inside, Mapping) else ():
                if key not in known:
                    name = f"{prefix}{table}.{key}" if table else f"{prefix}{key}"
                    where = (prefix + table).rstrip(".")
                    raise SettingsRefused(
                        "{place}: there is no setting {name!r}{nearest}; {where} has: {known}",
                        place=self.place(name),
                        name=printable(name),
                        nearest=nearest(key, known),
                        where=f"[{where}]" if where else said("the file"),
                        known=known,
                    )

    def chosen(self, flag: str | None, environment: Mapping[str, str]) -> SettingsProfile | None:
        """The chosen profile, None for a file without profiles. Raises `SettingsRefused`."""
        if flag == COMMON_PART:
            return None
        if flag is not None:
            given, origin = flag, FLAG
        elif of_variable := environment.get(SETTINGS_PROFILE):
            given, origin = of_variable, SETTINGS_PROFILE
        else:
            given = str(self.toml.content.get(DEFAULT_PROFILE) or "")
            origin = self.place(DEFAULT_PROFILE)
        file, known = printable(self.path), tuple(self.profiles)
        if one := self.profiles.get(given):
            return SettingsProfile(one.badge, origin, one.own, self.profiles)
        if given and known:
            raise SettingsRefused(
                "{origin}: there is no profile of settings {given!r}{nearest}; {file} has: {known}",
                origin=origin,
                given=printable(given),
                nearest=nearest(given, known),
                file=file,
                known=known,
            )
        if given:
            raise SettingsRefused(
                "{origin}: there is no profile of settings {given!r}, for {file} has none, or is not there",
                origin=origin,
                given=printable(given),
                file=file,
            )
        if not known:
            return None
        raise SettingsRefused(
            "{file} has profiles of settings, and none is chosen: {known}. Say which with {flag}, with "
            "{variable}, or with {key} in the file",
            file=file,
            known=known,
            flag=setting(PROFILE, "NAME"),
            variable=SETTINGS_PROFILE,
            key=f'{DEFAULT_PROFILE} = "NAME"',
        )

    def refuse_shared(self) -> None:
        """Raise `SettingsRefused` where profiles of different billings have one journal, or one file of metrics.

        Profiles with one journal in PostgreSQL must have different databases: the rows of one billing by two
        addresses would not be compared.
        """
        for key in ("journal", "metrics.file"):
            users: dict[str, dict[str, str]] = {}
            for name, one in self.profiles.items():
                file = _value(one.merged, key)
                is_shared = is_postgres(file) or (key == "metrics.file" and "{run}" in file)
                if file and one.address and not is_shared:
                    users.setdefault(file, {}).setdefault(one.billing, name)
            for file, by_billing in users.items():
                if len(by_billing) > 1:
                    first, *_, last = by_billing.values()
                    in_common = _value(self.toml.content, key)
                    raise SettingsRefused(
                        "{place}: {key}: {file} would be that of the profiles of settings {first} and {last}, "
                        "which are different billings. Give each profile its own, or none: then each billing has "
                        "its own",
                        place=self.place(key if in_common else f"{PROFILE}.{last}.{key}"),
                        key=key,
                        file=printable(file),
                        first=first,
                        last=last,
                    )
        seen: dict[tuple[str, str], tuple[str, str]] = {}
        for name, one in self.profiles.items():
            database = _value(one.merged, "database.address")
            if not (is_postgres(one.journal) and database and one.billing):
                continue
            first, other = seen.setdefault((one.journal, database), (name, one.billing))
            if other != one.billing:
                raise SettingsRefused(
                    "{place}: the profiles of settings {first} and {last} have one database, so they are one "
                    "billing by two addresses. A journal tells billings apart by the address: keep one of them",
                    place=self.place(f"{PROFILE}.{name}"),
                    first=first,
                    last=name,
                )


def read_settings_file(
    path: Path, flags: Flags, environment: Mapping[str, str]
) -> tuple[SettingsTables, SettingsFile, SettingsProfile | None]:
    """The tables of the file with the chosen profile laid over them, the file, and the profile."""
    file = _found(path) if flags.config is None else _named(path)
    file.check()
    profile = file.chosen(flags.profile, environment)
    file.refuse_shared()
    tables = as_kind(_laid_over(file.common, profile.own if profile else {}), SettingsTables)
    if tables.jobs or tables.hooks != HookTable():
        # It names code that is run, so whoever may write it may run code, also where it was named.
        FoundFile(path, said("the settings file"), is_run=True).check()
    return tables, file, profile


def has_default_profile(path: Path) -> bool:
    """Whether a settings file says which profile counts where none is chosen. Raises `SettingsRefused`."""
    return bool(_found(path).toml.content.get(DEFAULT_PROFILE))


def profiles_in(path: Path) -> list[ListedProfile]:
    """The profiles in a settings file, none where they cannot be read. Raises `SettingsRefused`."""
    file = _found(path)
    file.check(only_heads=True)
    return list(file.profiles.values())


def _found(path: Path) -> SettingsFile:
    found = FoundFile(path, said("the settings file"), setting("config", path.name))
    return SettingsFile(path, read_toml(lambda: read_found(found), str(path)) or Toml(""))


def _named(path: Path) -> SettingsFile:
    def read() -> bytes | None:
        with suppress(FileNotFoundError):
            return read_regular(path)
        return None

    toml = read_toml(read, str(path))
    if toml is None:
        raise SettingsRefused("there is no file {file} (from --config)", file=path)
    return SettingsFile(path, toml)


def _laid_over(common: Table, own: Table) -> dict[str, object]:
    """The common part with a profile's own tables laid over it, key by key; a list is replaced as a whole."""
    merged = dict(common)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _head(table: Table) -> ProfileHead:
    return as_kind({key: table[key] for key in PROFILE_KEYS if key in table}, ProfileHead)


def _part(content: Table, key: str) -> object:
    part: object = content
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


def _value(content: Table, key: str) -> str:
    part = _part(content, key)
    return part if isinstance(part, str) else ""
