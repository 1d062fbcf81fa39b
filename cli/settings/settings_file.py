"""The settings file: read, checked with all of its profiles, and the chosen one laid over it."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from checkpoints.address import JournalAddress, is_postgres
from checkpoints.errors import JournalError
from checkpoints.own_files import read_regular
from cli.settings.file_access import FoundFile, read_found
from cli.settings.flags import COMMON_PART, Flags
from cli.settings.places import journal_of_billing, name_of_billing, named_journal, without_credentials
from cli.settings.tables import DEFAULT_PROFILE, KNOWN, PROFILE, PROFILE_KEYS, HookTable, SettingsTables
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import Badge
from cli.terminal.texts import printable, reason_of
from engine.errors import nearest
from jobs.spec.toml_places import parse_toml
from texts.remedies import SETTINGS_PROFILE, setting
from texts.said import said

# ---- profiles of settings -----------------------------------------------------------------------------------------


PRODUCTION: Final = "production"
"""The profile of this name is one of production, unless it says otherwise."""

FLAG: Final = f"--{PROFILE}"
_NAME: Final = re.compile(r"[\w-]{1,40}")

Table = Mapping[str, object]
Place = Callable[[str], str]
"""Says where in the file a dotted key is."""


class _Head(msgspec.Struct, frozen=True):
    """What only a profile has, and not the file."""

    name: str = ""
    production: bool | None = None


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """A profile as the file has it: its badge, the address of its billing, and the name of its journal, or ""."""

    badge: Badge
    address: str
    journal: str


@dataclass(frozen=True, slots=True)
class SettingsProfile:
    """The chosen profile: its badge, what has chosen it, and its own tables.

    `addresses` are those of all profiles, by their names, and `journals` what each says of its own, "" for nothing.
    """

    badge: Badge
    origin: str
    own: Table
    addresses: Mapping[str, str]
    journals: Mapping[str, str]

    @property
    def by_flag(self) -> bool:
        """Whether a command that is typed next needs the flag too."""
        return self.origin == FLAG

    def key_of(self, key: str) -> str:
        """The dotted key in the file: that of the profile where the profile has it, else that of the common part."""
        part: object = self.own
        for name in key.split("."):
            if not isinstance(part, Mapping) or name not in part:
                return key
            part = part[name]
        return f"{PROFILE}.{self.badge.profile}.{key}"

    def profile_at(self, address: str) -> str:
        """The profile whose billing is at this address, "" where none is."""
        wanted = name_of_billing(address)
        return next((name for name, one in self.addresses.items() if one and name_of_billing(one) == wanted), "")

    def refuse_another(self, what: str, given: str, origin: str, own: str | None) -> None:
        """Raise `SettingsRefused` where a flag or a variable names another billing than the profile does."""
        if own is None or given == own or (what == "api.url" and name_of_billing(given) == name_of_billing(own)):
            return
        raise SettingsRefused(
            said(
                "the profile of settings {profile} has {key} {own}, and {origin} says {given}. A profile is one "
                "billing: leave {origin} out, or choose the profile of that billing with {flag}",
                profile=self.badge.profile,
                key=what,
                own=printable(without_credentials(own)),
                origin=origin,
                given=printable(without_credentials(given)),
                flag=setting(PROFILE, "NAME"),
            )
        )

    def journals_of_others(self, environment: Mapping[str, str], folder: Path) -> dict[str, JournalAddress]:
        """The journals of the other profiles by their names; `folder` is that of the settings file."""
        found: dict[str, JournalAddress] = {}
        for name, address in self.addresses.items():
            named = self.journals[name]
            if name == self.badge.profile:
                continue
            if named:
                with contextlib.suppress(JournalError):
                    found[name] = named_journal(named, folder, environment)
            elif address:
                found[name] = JournalAddress(journal_of_billing(environment, address))
        return found

    def refuse_journal(
        self, journal: JournalAddress, origin: str, api_url: str, others: Mapping[str, JournalAddress]
    ) -> None:
        """Raise `SettingsRefused` where a flag or a variable names the journal of another profile and billing."""
        if journal.is_shared:
            return
        for name, other in others.items():
            address = self.addresses[name]
            another = api_url and address and name_of_billing(address) != name_of_billing(api_url)
            if another and journal.path.resolve() == other.path.resolve():
                raise SettingsRefused(
                    said(
                        "{origin}: {journal} is the journal of the profile of settings {other}, which is another "
                        "billing than {profile}. Leave {origin} out, or choose that profile: {flag}",
                        origin=origin,
                        journal=printable(journal),
                        other=name,
                        profile=self.badge.profile,
                        flag=setting(PROFILE, name),
                    )
                )

    def refuse_found_journal(self, path: Path) -> None:
        """Raise `SettingsRefused` for a journal of the working folder, which several billings would share."""
        if len({name_of_billing(address) for address in self.addresses.values() if address}) > 1:
            raise SettingsRefused(
                said(
                    "{journal} lies in the working folder, and all profiles of settings would take it, though they "
                    "are different billings. Say in the one whose journal it is: {key}; or move it away",
                    journal=printable(path),
                    key=f'journal = "{path.name}"',
                )
            )


def parts_of(content: Table) -> Iterator[tuple[str, Table]]:
    """The tables of the file, and of each profile, with what stands before their keys."""
    yield "", {name: value for name, value in content.items() if name not in {PROFILE, DEFAULT_PROFILE}}
    for name, table in _profiles(content).items():
        own = {key: value for key, value in table.items() if key not in PROFILE_KEYS}
        yield f"{PROFILE}.{name}.", own


def check_heads(content: Table, place: Place) -> None:
    """Raise `SettingsRefused`, naming the line, for what is wrong with the profiles themselves."""
    default, profiles = content.get(DEFAULT_PROFILE), content.get(PROFILE, {})
    if default is not None and not isinstance(default, str):
        raise _refused(place(DEFAULT_PROFILE), DEFAULT_PROFILE, said("it is the name of a profile of settings"))
    if not isinstance(profiles, Mapping):
        raise _refused(
            place(PROFILE), PROFILE, said("it is a table, [profile.NAME]; {key} chooses one", key=DEFAULT_PROFILE)
        )
    for name, table in profiles.items():
        key = f"{PROFILE}.{name}"
        if not _NAME.fullmatch(name):
            raise _refused(place(key), printable(key), said("a name has letters, digits, - and _, at most 40"))
        if not isinstance(table, Mapping):
            raise _refused(place(key), key, said("it is a table, [profile.NAME]"))
        try:
            head = _head(table)
        except msgspec.ValidationError as error:
            what, _, at = str(error).partition(" - at `$.")
            wrong = f"{key}.{at.rstrip('`')}"
            raise _refused(place(wrong), wrong, what) from error
        if head.name and not head.name.isprintable():
            raise _refused(place(f"{key}.name"), f"{key}.name", said("it has characters that nobody can type"))


def badges_of(content: Table) -> Iterator[Badge]:
    """The badges of all profiles of a file, in its order."""
    for name, table in _profiles(content).items():
        head = _head(table)
        production = name.casefold() == PRODUCTION if head.production is None else head.production
        yield Badge(name, " ".join(head.name.split()), production)


def listed_profiles(content: Table) -> Iterator[ListedProfile]:
    """All profiles of a file, in its order."""
    for badge, table in zip(badges_of(content), _profiles(content).values(), strict=True):
        merged = laid_over(content, table)
        yield ListedProfile(badge, _address(merged), _value(merged, "journal"))


def choose_profile(
    content: Table, file: str, flag: str | None, environment: Mapping[str, str], place: Place
) -> SettingsProfile | None:
    """The chosen profile, None for a file without profiles. Raises `SettingsRefused`."""
    if flag == COMMON_PART:
        return None
    profiles = _profiles(content)
    given, origin = _given(content, flag, environment, place)
    if not given:
        if not profiles:
            return None
        raise SettingsRefused(
            said(
                "{file} has profiles of settings, and none is chosen: {known}. Say which with {flag}, with "
                "{variable}, or with {key} in the file",
                file=printable(file),
                known=tuple(profiles),
                flag=setting(PROFILE, "NAME"),
                variable=SETTINGS_PROFILE,
                key=f'{DEFAULT_PROFILE} = "NAME"',
            )
        )
    if given not in profiles:
        if not profiles:
            raise SettingsRefused(
                said(
                    "{origin}: there is no profile of settings {given!r}, for {file} has none, or is not there",
                    origin=origin,
                    given=printable(given),
                    file=printable(file),
                )
            )
        raise SettingsRefused(
            said(
                "{origin}: there is no profile of settings {given!r}{nearest}; {file} has: {known}",
                origin=origin,
                given=printable(given),
                nearest=nearest(given, profiles),
                file=printable(file),
                known=tuple(profiles),
            )
        )
    own = {key: value for key, value in profiles[given].items() if key not in PROFILE_KEYS}
    return SettingsProfile(
        next(badge for badge in badges_of(content) if badge.profile == given),
        origin,
        own,
        {name: _address(laid_over(content, table)) for name, table in profiles.items()},
        {name: _value(laid_over(content, table), "journal") for name, table in profiles.items()},
    )


def laid_over(common: Table, own: Table) -> dict[str, object]:
    """The common part with a profile's own tables laid over it, key by key; a list is replaced as a whole."""
    merged = dict(common)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def refuse_shared_files(content: Table, place: Place) -> None:
    """Raise `SettingsRefused` where profiles of different billings have one journal, or one file of metrics."""
    for key, names_runs in (("journal", False), ("metrics.file", True)):
        users: dict[str, dict[str, str]] = {}
        for name, table in _profiles(content).items():
            merged = laid_over(content, table)
            file, address = _value(merged, key), _address(merged)
            if file and address and not (names_runs and "{run}" in file) and not is_postgres(file):
                users.setdefault(file, {}).setdefault(name_of_billing(address), name)
        for file, by_billing in users.items():
            if len(by_billing) > 1:
                first, *_, last = by_billing.values()
                raise SettingsRefused(
                    said(
                        "{place}: {key}: {file} would be that of the profiles of settings {first} and {last}, which "
                        "are different billings. Give each profile its own, or none: then each billing has its own",
                        place=place(key if _value(content, key) else f"{PROFILE}.{last}.{key}"),
                        key=key,
                        file=printable(file),
                        first=first,
                        last=last,
                    )
                )


def refuse_two_of_one_billing(content: Table, place: Place) -> None:
    """Raise `SettingsRefused` where profiles with one journal have one database: their rows would not be compared."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for name, table in _profiles(content).items():
        merged = laid_over(content, table)
        journal, database, address = (_value(merged, key) for key in ("journal", "database.address", "api.url"))
        if not (is_postgres(journal) and database and address):
            continue
        first, other = seen.setdefault((journal, database), (name, address))
        if name_of_billing(other) != name_of_billing(address):
            raise SettingsRefused(
                said(
                    "{place}: the profiles of settings {first} and {last} have one database, so they are one billing "
                    "by two addresses. A journal tells billings apart by the address: keep one of them",
                    place=place(f"{PROFILE}.{name}"),
                    first=first,
                    last=name,
                )
            )


def _profiles(content: Table) -> Mapping[str, Table]:
    found = content.get(PROFILE)
    return found if isinstance(found, Mapping) else {}


def _head(table: Table) -> _Head:
    return msgspec.convert({key: table[key] for key in PROFILE_KEYS if key in table}, _Head)


def _given(content: Table, flag: str | None, environment: Mapping[str, str], place: Place) -> tuple[str, str]:
    """The name of the wanted profile, "" for none, and what says so."""
    if flag is not None:
        return flag, FLAG
    if of_variable := environment.get(SETTINGS_PROFILE):
        return of_variable, SETTINGS_PROFILE
    return str(content.get(DEFAULT_PROFILE) or ""), place(DEFAULT_PROFILE)


def _address(content: Table) -> str:
    return _value(content, "api.url")


def _value(content: Table, key: str) -> str:
    """The text at a dotted key, "" where there is none."""
    part: object = content
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part if isinstance(part, str) else ""


def _refused(place: str, key: str, what: str) -> SettingsRefused:
    return SettingsRefused(said("{place}: {key}: {what}", place=place, key=key, what=what))


# ---- the settings file --------------------------------------------------------------------------------------------


def read_settings_file(
    path: Path, flags: Flags, environment: Mapping[str, str]
) -> tuple[SettingsTables, str, SettingsProfile | None]:
    """The tables of the file with the chosen profile laid over them, the file's text, and the profile."""
    required = flags.config is not None
    try:
        text = read_regular(path).decode("utf-8").replace("\r\n", "\n") if required else read_found(_found(path))
    except FileNotFoundError as error:
        raise SettingsRefused(said("there is no file {file} (from --config)", file=path)) from error
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else said("it is not UTF-8")
        raise SettingsRefused(said("{file} cannot be read: {reason}", file=path, reason=why)) from error
    try:
        content = parse_toml(text or "")
    except ValueError as error:
        raise SettingsRefused(said("{file} is not TOML: {error}", file=path, error=error)) from error

    def place(key: str) -> str:
        return place_of(path, text or "", key)

    check_heads(content, place)
    for prefix, part in parts_of(content):
        _check(part, prefix, place)
    profile = choose_profile(content, str(path), flags.profile, environment, place)
    refuse_shared_files(content, place)
    refuse_two_of_one_billing(content, place)
    (_, common), *_ = parts_of(content)
    tables = _convert(laid_over(common, profile.own if profile else {}))
    if tables.jobs or tables.hooks != HookTable():
        # It names code that is run, so whoever may write it may run code, also where it was named.
        FoundFile(path, said("the settings file"), is_run=True).check()
    return tables, text or "", profile


def _check(part: Mapping[str, object], prefix: str, place: Callable[[str], str]) -> None:
    """Refuse what is wrong in the tables of the file or of a profile, whose keys begin with `prefix`."""
    _refuse_unknown(part, prefix, place)
    try:
        _convert(part)
    except msgspec.ValidationError as error:
        # msgspec says "… - at `$.api.url`"; the value may be a secret and is not shown.
        what, _, where = str(error).partition(" - at `$.")
        key = prefix + where.rstrip("`").removesuffix("[...]")
        raise SettingsRefused(said("{place}: {key}: {what}", place=place(key), key=key, what=what)) from error


def _convert(content: Mapping[str, object]) -> SettingsTables:
    return msgspec.convert(content, SettingsTables)


def badges_in(path: Path) -> list[Badge]:
    """The badges of the profiles in a settings file, none where they cannot be read. Raises `SettingsRefused`."""
    return [profile.badge for profile in profiles_in(path)]


def has_default_profile(path: Path) -> bool:
    """Whether a settings file says which profile counts where none is chosen. Raises `SettingsRefused`."""
    try:
        return bool(parse_toml(read_found(_found(path)) or "").get(DEFAULT_PROFILE))
    except ValueError:
        return False


def profiles_in(path: Path) -> list[ListedProfile]:
    """The profiles in a settings file, none where they cannot be read. Raises `SettingsRefused`."""
    try:
        content = parse_toml(read_found(_found(path)) or "")
        check_heads(content, lambda _: str(path))
    except ValueError:
        return []
    return list(listed_profiles(content))


def _found(path: Path) -> FoundFile:
    return FoundFile(path, said("the settings file"), setting("config", path.name))


def _refuse_unknown(content: Mapping[str, object], prefix: str, place: Callable[[str], str]) -> None:
    for table in KNOWN:
        inside = content.get(table) if table else content
        known = KNOWN[f"{PROFILE}.NAME"] if prefix and not table else KNOWN[table]
        for key in inside if isinstance(inside, Mapping) else ():
            if key not in known:
                name = f"{prefix}{table}.{key}" if table else f"{prefix}{key}"
                where = (prefix + table).rstrip(".")
                raise SettingsRefused(
                    said(
                        "{place}: there is no setting {name!r}{nearest}; {where} has: {known}",
                        place=place(name),
                        name=printable(name),
                        nearest=nearest(key, known),
                        where=f"[{where}]" if where else said("the file"),
                        known=known,
                    )
                )


def place_of(path: Path, text: str, key: str) -> str:
    """The file and the line on which a key is set; the file alone where the line is unknown."""
    number = line_of(text, key)
    return said("{file}, line {line}", file=path, line=number) if number else str(path)


def line_of(text: str, key: str) -> int | None:
    """The line, from 1, of a TOML text on which the dotted `key` is set or its table begins."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if words.startswith("[") and "]" in words:
            table = words.strip("[").partition("]")[0].strip().replace('"', "")
            if table == key:
                return number
        name, equals, _ = words.partition("=")
        bare = name.strip().strip("\"'")
        if equals and (f"{table}.{bare}" if table else bare) in {key, key.rpartition(".")[0]}:
            return number
    return None
