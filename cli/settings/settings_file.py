"""The settings file: read, checked with all of its profiles, and the chosen one laid over it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from checkpoints.own_files import read_regular
from cli.settings.file_access import FoundFile, read_found
from cli.settings.flags import Flags
from cli.settings.hooks import HookTable
from cli.settings.settings_profiles import (
    ListedProfile,
    SettingsProfile,
    check_heads,
    choose_profile,
    laid_over,
    listed_profiles,
    parts_of,
    refuse_shared_files,
    refuse_two_of_one_billing,
)
from cli.settings.tables import DEFAULT_PROFILE, KNOWN, PROFILE, SettingsTables
from cli.terminal.badge import Badge
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import printable, reason_of
from engine.errors import nearest
from jobs.spec.toml_places import parse_toml
from texts.remedies import setting
from texts.said import said


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
