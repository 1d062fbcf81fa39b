"""Profile files: `HOST-PORT.profile.toml`, beside the settings file or in the state folder."""

import os
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from billing.profile import UNKNOWN, Profile, describe_fact
from cli.output.item_files import OutputFile, replacing
from cli.settings.places import FoundFile, name_of_billing, read_found, read_toml
from cli.settings.settings import Settings
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import printable, reason_of
from jobs.spec.toml_places import KeyRefused, as_kind, check_known
from texts.remedies import PROGRAM, command_line
from texts.said import said

ENDING: Final = ".profile.toml"
_HEAD: Final = f"""\
# What is known of this billing: written by `{PROGRAM} probe`, read by all jobs.
# Facts that are not here are documented or assumed; `{PROGRAM} doctor` lists all of them.
"""


def profile_path(settings: Settings) -> Path:
    """The path of the billing's profile, whether it exists or not. Raises `SettingsRefused`."""
    folder = settings.file.absolute().parent if settings.file else settings.state
    return folder / f"{name_of_billing(settings.target)}{ENDING}"


def profile_of(settings: Settings) -> Profile:
    """The known facts of the settings' billing; none where no probe has run.

    Raises `SettingsRefused`, naming file, line and column, for an invalid profile: a misread fact would move money
    the wrong way.
    """
    path = profile_path(settings)
    file = said("the billing's profile {file}", file=printable(path))
    # Whoever has made a settings file that was named is trusted with what lies beside it.
    trusted = {settings.file.stat().st_uid} if settings.file else ()
    toml = read_toml(lambda: read_found(FoundFile(path, said("the billing's profile")), trusted), file)
    if toml is None:
        return UNKNOWN
    try:
        check_known((), toml.content, Profile.__struct_fields__)
        profile = as_kind(toml.content, Profile)
    except KeyRefused as error:
        place, name = str(toml.place(*error.way)), ".".join(map(str, error.way))
        raise SettingsRefused(
            "{file}, {place}: {name}: {what}", file=file, place=place, name=printable(name), what=error
        ) from error
    if profile.billing != settings.target:
        raise SettingsRefused(
            "the billing's profile {file} is of the billing {billing}, and the settings name {target}: remove "
            "it, and probe this one ({command})",
            file=printable(path),
            billing=printable(profile.billing) or said("nobody knows which"),
            target=printable(settings.target),
            command=command_line("probe", "--abonent", "ID"),
        )
    return profile


def write_profile(settings: Settings, profile: Profile) -> Path:
    """Write the known facts atomically; returns the path. Raises `CommandRefused` where that fails."""
    path = profile_path(settings)
    parts = [_HEAD, tomli_w.dumps({"billing": profile.billing, "version": profile.version})]
    for name, fact in profile.facts():
        if fact.known:
            plain = msgspec.to_builtins(fact, builtin_types=(type(fact.learned),))
            parts.append(f"# {describe_fact(name, fact.value)}\n{tomli_w.dumps({name: plain})}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(OutputFile(path, force=True)) as made, made.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\n".join(parts))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsRefused(
            "the billing's profile {file} cannot be written: {reason}", file=printable(path), reason=reason_of(error)
        ) from error
    return path
