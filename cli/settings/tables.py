"""The tables of the settings file, as they stand there, and all of their keys."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from billing.secret import NO_SECRET, Secret
from cli.settings.credentials import Credential, Credentials, Hidden
from cli.settings.file_access import FoundFile
from cli.settings.places import credentials_in, in_full
from cli.terminal.exits import SettingsRefused
from texts.said import Quantity, said

# ---- the tables of hooks ------------------------------------------------------------------------------------------


HOLD_SECONDS: Final = 60.0
"""For how long a run is held before that is told, unless set otherwise."""

_LONGEST_HOLD: Final = 86_400
_PARTS: Final = re.compile(r"[/?&=#]")
_TOKEN: Final = re.compile(r"(?=.*\d).{16,}")
"""A part of an address that is long and has a digit is no word that stands elsewhere too."""


class HookEvent(StrEnum):
    """What is told, by the name of its setting."""

    START = "on-start"
    HOLD = "on-hold"
    PERSON = "on-person"
    END = "on-end"


PING: Final = "ping"
APPRISE: Final = "apprise"
"""The scheme before an address of Apprise, and all that is shown of it."""


IN_HOOK: Final = "CARBON_MIGRATE_IN_HOOK"
"""Set for what a hook starts: a command with it calls no hooks, for theirs would start further ones."""

Given: TypeAlias = str | list[str] | Credential
"""A command, an address, or the credential that is an address."""


class HookTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The table as it stands in the settings file."""

    on_start: Given | None = None
    on_hold: Given | None = None
    on_person: Given | None = None
    on_end: Given | None = None
    hold_seconds: float = HOLD_SECONDS
    ping: Hidden | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Who is told: a command by its words, or an address. `name` is what may be shown of it."""

    name: str
    command: Sequence[str] = ()
    url: Secret = NO_SECRET
    of_credential: bool = False
    """Whether the address stands in a credential, and not in the settings file."""

    def check_program(self) -> None:
        """Raise `SettingsRefused` for a command whose program, or a file that it is given, is not safe to be run.

        `sh notify.sh` runs notify.sh, so all words that are files count.
        """
        files = [which(word) or word for word in self.command[:1]] + [*self.command[1:]]
        for word in files:
            with suppress(OSError, ValueError):
                if Path(word).is_file():
                    FoundFile(Path(word), said("the hook"), is_run=True).check()


@dataclass(frozen=True, slots=True)
class HookSettings:
    """The hooks by what they are told of, and the address that is pinged, None for none."""

    hooks: Mapping[HookEvent, Hook] = field(default_factory=lambda: MappingProxyType({}))
    hold_seconds: float = HOLD_SECONDS
    ping: Hook | None = None

    def __bool__(self) -> bool:
        return bool(self.hooks) or self.ping is not None

    @property
    def secrets(self) -> Iterator[str]:
        """What must never be shown of the addresses, whoever shows it: passwords, and the parts that are a token."""
        for hook in self._all:
            yield from _secrets_of(hook)

    @property
    def has_secrets_in_file(self) -> bool:
        """Whether the settings file itself holds one of them."""
        return any(any(_secrets_of(hook)) for hook in self._all if not hook.of_credential)

    def check_programs(self) -> None:
        """Raise `SettingsRefused` for a program that somebody else has made, or that others may write."""
        for hook in self.hooks.values():
            hook.check_program()

    @property
    def _all(self) -> Sequence[Hook]:
        return (*self.hooks.values(), *filter(None, [self.ping]))


def _secrets_of(hook: Hook) -> Iterator[str]:
    address = hook.url.reveal()
    yield from credentials_in(address)
    yield from (part for part in _PARTS.split(address.partition("://")[2]) if _TOKEN.fullmatch(part))


def hooks_of(table: HookTable, folder: Path, place: Callable[[str], str], credentials: Credentials) -> HookSettings:
    """The hooks of a settings file in `folder`. Raises `SettingsRefused`; `place` says where in the file a key is.

    One whose credential cannot be read is left out, and named by `credentials`.
    """
    given = {
        HookEvent.START: table.on_start,
        HookEvent.HOLD: table.on_hold,
        HookEvent.PERSON: table.on_person,
        HookEvent.END: table.on_end,
    }
    if not 0 <= table.hold_seconds <= _LONGEST_HOLD:
        raise SettingsRefused(
            said(
                "{place}: hooks.hold-seconds: {given} are not seconds from 0 up to {most}",
                place=place("hooks.hold-seconds"),
                given=f"{table.hold_seconds:g}",
                most=Quantity(_LONGEST_HOLD),
            )
        )

    def hook_of(name: str, given: Given | None) -> Hook | None:
        key = f"hooks.{name}"
        if isinstance(given, Credential):
            address = credentials.text(key, given)
            return _of_credential(key, address, place) if address else None
        return None if given is None else _hook(key, given, folder, place)

    hooks = {event: hook for event, text in given.items() if (hook := hook_of(event, text)) is not None}
    ping = hook_of(PING, table.ping)
    if ping is not None and (ping.command or ping.name == APPRISE):
        raise _refused(f"hooks.{PING}", place, said("it is not an address that begins with http:// or https://"))
    return HookSettings(MappingProxyType(hooks), table.hold_seconds, ping)


def _hook(key: str, given: str | list[str], folder: Path, place: Callable[[str], str]) -> Hook:
    """A hook from its text. No message shows the text, which may hold a token."""
    if isinstance(given, str) and _is_address(given):
        name = _apprise(key, place) if given.startswith(f"{APPRISE}://") else _host(key, given, place)
        return Hook(name, url=Secret(given))
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:
        raise _refused(key, place, said("a quote is not closed")) from error
    if not words or not words[0]:
        raise _refused(key, place, said("it names no command"))
    # A bare name is sought as the system does it; a path in the file is relative to the file. Without a folder before
    # it, `./x` would become a bare name.
    program = str(folder.absolute() / in_full(words[0])) if "/" in words[0] else words[0]
    return Hook(program, (program, *words[1:]))


def _of_credential(key: str, address: str, place: Callable[[str], str]) -> Hook:
    """A hook whose address is a secret as a whole."""
    if not _is_address(address):
        # The words of a command can be seen by everybody on this machine.
        raise _refused(key, place, said("a credential is an address here, and this one is none"))
    return replace(_hook(key, address, Path(), place), of_credential=True)


def _is_address(text: str) -> bool:
    return "://" in text.split(" ", 1)[0]


def _apprise(key: str, place: Callable[[str], str]) -> str:
    if find_spec(APPRISE) is None:
        why = said("Apprise is not installed; type {command}, or name a command", command=f"pip install {APPRISE}")
        raise _refused(key, place, why)
    return APPRISE


def _host(key: str, address: str, place: Callable[[str], str]) -> str:
    """What may be shown of an address: scheme and host. Raises `SettingsRefused`."""
    from yarl import URL  # noqa: PLC0415 - most commands call no hook

    try:
        url = URL(address)
        host = f"{url.scheme}://{url.host or ''}"
    except ValueError as error:
        raise _refused(key, place, said("it is not a valid address")) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise _refused(key, place, said("it is not an address that begins with http:// or https://"))
    return host


def _refused(key: str, place: Callable[[str], str], why: str) -> SettingsRefused:
    return SettingsRefused(said("{place}: {key}: {what}", place=place(key), key=key, what=why))


# ---- the table [metrics] ------------------------------------------------------------------------------------------


_FILE: Final = "metrics.file"
_PORT: Final = "metrics.port"
_LAST_PORT: Final = 65_535


class MetricsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table as it stands in the settings file."""

    file: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The file of the metrics, with `{run}` for the run's name where each run is to have its own, and their port.

    None stands for none, a port of 0 for any free one.
    """

    file: Path | None = None
    port: int | None = None

    def __bool__(self) -> bool:
        return self.file is not None or self.port is not None


def metrics_of(table: MetricsTable, folder: Path, place: Callable[[str], str]) -> MetricsSettings:
    """The metrics of a settings file in `folder`. Raises `SettingsRefused`; `place` says where a key is."""
    if table.port is not None and not 0 <= table.port <= _LAST_PORT:
        what = said("it is not a port from 0 up to {most}", most=str(_LAST_PORT))
        raise SettingsRefused(said("{place}: {key}: {what}", place=place(_PORT), key=_PORT, what=what))
    if table.file is None:
        return MetricsSettings(port=table.port)
    # A path in the file is relative to the file, as that of the journal is.
    if Path(table.file).name in {"", ".."} or table.file.endswith(("/", "/.")):
        raise SettingsRefused(
            said("{place}: {key}: {what}", place=place(_FILE), key=_FILE, what=said("it names no file"))
        )
    # A path in the file is relative to the file, as that of the journal is.
    return MetricsSettings((folder / in_full(table.file)).absolute(), table.port)


# ---- all tables ---------------------------------------------------------------------------------------------------


class Letterhead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [report]: the organisation, and who signs; an empty name is filled in by hand."""

    organisation: str = ""
    handed_over_by: str = ""
    taken_over_by: str = ""
    chief_accountant: str = ""


class ApiTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [api]: where the REST API is, and what each call to it carries."""

    url: str | None = None
    form: dict[str, Hidden] = {}
    headers: dict[str, Hidden] = {}
    timeout: float | None = None


class DatabaseTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [database]."""

    address: str | None = None
    user: str | None = None
    password: Hidden | None = None
    charset: str | None = None


class SettingsTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: what stands above its tables, and they."""

    language: str | None = None
    report: Letterhead = Letterhead()
    journal: str | None = None
    journal_on_network: bool = False
    vault_key: Hidden | None = None
    jobs: list[str] = []
    api: ApiTable = ApiTable()
    database: DatabaseTable = DatabaseTable()
    hooks: HookTable = HookTable()
    metrics: MetricsTable = MetricsTable()


PROFILE: Final = "profile"
DEFAULT_PROFILE: Final = "default_profile"
PROFILE_KEYS: Final = ("name", "production")
"""What only a profile of settings has; for the rest it has what the file has."""

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "": (*SettingsTables.__struct_encode_fields__, DEFAULT_PROFILE, PROFILE),
    f"{PROFILE}.NAME": (*PROFILE_KEYS, *SettingsTables.__struct_encode_fields__),
    "api": ApiTable.__struct_encode_fields__,
    "database": DatabaseTable.__struct_encode_fields__,
    "report": Letterhead.__struct_encode_fields__,
    "hooks": HookTable.__struct_encode_fields__,
    "metrics": MetricsTable.__struct_encode_fields__,
}
"""The keys of the file, by their table."""
