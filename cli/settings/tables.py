"""The tables of the settings file, as they stand there, and all of their keys."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

import msgspec

from billing.secret import NO_SECRET, Secret
from cli.settings.file_access import Credential, Credentials, FoundFile, Hidden
from cli.settings.places import credentials_in, in_full
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import CHARSET, TIMEOUT, USER
from texts.said import Quantity, said


def key(help_: str, default: str = "–") -> msgspec.Meta:
    """What a key is for, and what counts without it: in the reference and in the schema of the file."""
    return msgspec.Meta(description=help_, extra={"default": default})


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

    on_start: Annotated[
        Given | None, key("who is told when sending begins; see [hooks](../how-to/hooks.md)", "nobody")
    ] = None
    on_hold: Annotated[Given | None, key("who is told when a run has been held", "nobody")] = None
    on_person: Annotated[Given | None, key("who is told when a person has to look", "nobody")] = None
    on_end: Annotated[Given | None, key("who is told when the work on a run ends", "nobody")] = None
    hold_seconds: Annotated[float, key("a hold of less is not told; 0 to 86400", f"{HOLD_SECONDS:g}")] = HOLD_SECONDS
    ping: Annotated[Hidden | None, key("an address that is got each minute of work", "none")] = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Who is told: a command by its words, or an address. `name` is what may be shown of it.

    An address that is `of_credential` does not stand in the settings file.
    """

    name: str
    command: Sequence[str] = ()
    url: Secret = NO_SECRET
    of_credential: bool = False

    def check_program(self) -> None:
        """Raise `SettingsRefused` for a command whose program, or a file that it is given, is not safe to be run.

        `sh notify.sh` runs notify.sh, so all words that are files count.
        """
        for word in [*(which(one) or one for one in self.command[:1]), *self.command[1:]]:
            with suppress(OSError, ValueError):
                if Path(word).is_file():
                    FoundFile(Path(word), said("the hook"), is_run=True).check()

    @property
    def secrets(self) -> Iterator[str]:
        """What must never be shown of its address, whoever shows it: passwords, and the parts that are a token."""
        address = self.url.reveal()
        yield from credentials_in(address)
        yield from (part for part in _PARTS.split(address.partition("://")[2]) if _TOKEN.fullmatch(part))


@dataclass(frozen=True, slots=True)
class HookSettings:
    """The hooks by what they are told of, and the address that is pinged, None for none."""

    hooks: Mapping[HookEvent, Hook] = field(default_factory=lambda: MappingProxyType({}))
    hold_seconds: float = HOLD_SECONDS
    ping: Hook | None = None

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def all(self) -> Sequence[Hook]:
        return (*self.hooks.values(), *filter(None, [self.ping]))

    def check_programs(self) -> None:
        """Raise `SettingsRefused` for a program that somebody else has made, or that others may write."""
        for hook in self.hooks.values():
            hook.check_program()


def hooks_of(table: HookTable, folder: Path, place: Callable[[str], str], credentials: Credentials) -> HookSettings:
    """The hooks of a settings file in `folder`. Raises `SettingsRefused`; `place` says where in the file a key is.

    One whose credential cannot be read is left out, and named by `credentials`.
    """
    if not 0 <= table.hold_seconds <= _LONGEST_HOLD:
        seconds, most = f"{table.hold_seconds:g}", Quantity(_LONGEST_HOLD)
        why = said("{given} are not seconds from 0 up to {most}", given=seconds, most=most)
        raise _refused("hooks.hold-seconds", place, why)

    def hook_of(name: str) -> Hook | None:
        key, given = f"hooks.{name}", getattr(table, name.replace("-", "_"))
        if given is None:
            return None
        if isinstance(given, Credential):
            address = credentials.text(key, given)
            if address and "://" not in address.split(" ", 1)[0]:
                # The words of a command can be seen by everybody on this machine.
                raise _refused(key, place, said("a credential is an address here, and this one is none"))
            return Hook(_shown(key, address, place), url=Secret(address), of_credential=True) if address else None
        if isinstance(given, str) and "://" in given.split(" ", 1)[0]:
            return Hook(_shown(key, given, place), url=Secret(given))
        try:
            words = shlex.split(given) if isinstance(given, str) else given
        except ValueError as error:
            raise _refused(key, place, said("a quote is not closed")) from error
        if not words or not words[0]:
            raise _refused(key, place, said("it names no command"))
        # A bare name is sought as the system does it; a path in the file is relative to the file. Without a folder
        # before it, `./x` would become a bare name.
        program = str(folder.absolute() / in_full(words[0])) if "/" in words[0] else words[0]
        return Hook(program, (program, *words[1:]))

    hooks = {event: hook for event in HookEvent if (hook := hook_of(event)) is not None}
    ping = hook_of(PING)
    if ping is not None and (ping.command or ping.name == APPRISE):
        raise _refused(f"hooks.{PING}", place, said("it is not an address that begins with http:// or https://"))
    return HookSettings(MappingProxyType(hooks), table.hold_seconds, ping)


def _shown(key: str, address: str, place: Callable[[str], str]) -> str:
    """What may be shown of an address: scheme and host. No message shows the rest, which may hold a token."""
    if address.startswith(f"{APPRISE}://"):
        if find_spec(APPRISE) is None:
            command = f"pip install {APPRISE}"
            why = said("Apprise is not installed; type {command}, or name a command", command=command)
            raise _refused(key, place, why)
        return APPRISE
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
    return SettingsRefused("{place}: {key}: {what}", place=place(key), key=key, what=why)


_LAST_PORT: Final = 65_535


class MetricsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table as it stands in the settings file."""

    file: Annotated[
        str | None,
        key(
            "text file for [Prometheus](../how-to/metrics.md), relative to the settings file; `{run}` in it is the "
            "run's name",
            "none",
        ),
    ] = None
    port: Annotated[int | None, key("port of this machine for Prometheus; 0 for any free one", "none")] = None


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
        raise _refused("metrics.port", place, said("it is not a port from 0 up to {most}", most=str(_LAST_PORT)))
    if table.file is None:
        return MetricsSettings(port=table.port)
    if Path(table.file).name in {"", ".."} or table.file.endswith(("/", "/.")):
        raise _refused("metrics.file", place, said("it names no file"))
    # A path in the file is relative to the file, as that of the journal is.
    return MetricsSettings((folder / in_full(table.file)).absolute(), table.port)


PROFILE: Final = "profile"
DEFAULT_PROFILE: Final = "default_profile"


class ProfileHead(msgspec.Struct, frozen=True):
    """What only a profile has, and not the file."""

    name: Annotated[str, key("the name of the billing, which is typed before money leaves", "none")] = ""
    production: Annotated[
        bool | None, key("ask for that name before anything is sent", "true for `[profile.production]`")
    ] = None


class FileHead(msgspec.Struct, frozen=True):
    """What only the file has, and no profile."""

    default_profile: Annotated[str, key("the profile that counts where none is chosen", "none")] = ""


class Letterhead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [report]: the organisation, and who signs; an empty name is filled in by hand."""

    organisation: Annotated[str, key("head of the report", "filled in by hand")] = ""
    handed_over_by: Annotated[str, key("who hands the load over", "filled in by hand")] = ""
    taken_over_by: Annotated[str, key("who takes it over", "filled in by hand")] = ""
    chief_accountant: Annotated[str, key("who signs for the accounts", "filled in by hand")] = ""


class ApiTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [api]: where the REST API is, and what each call to it carries."""

    url: Annotated[str | None, key("the REST API, as `http://HOST:8082`; needed by all that asks the billing")] = None
    form: Annotated[dict[str, Hidden], key("secret form fields of every call, as `hash_key`", "none")] = {}
    headers: Annotated[dict[str, Hidden], key("secret HTTP headers of every request", "none")] = {}
    timeout: Annotated[
        float | None, key("seconds of silence after which an answer counts as lost", f"{TIMEOUT:g}")
    ] = None


class DatabaseTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [database]."""

    address: Annotated[
        str | None,
        key(
            "the Firebird database, HOST:PATH, HOST/PORT:PATH or a file; relative to the settings file",
            "none: the API alone is asked",
        ),
    ] = None
    user: Annotated[str | None, key("its user", USER)] = None
    password: Annotated[Hidden | None, key("its password", "none")] = None
    charset: Annotated[str | None, key("its encoding; `WIN1251` for version 4", CHARSET)] = None


class SettingsTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: what stands above its tables, and they."""

    language: Annotated[
        str | None, key("language of screens, help and reports: `ru` or `en`", "that of the system")
    ] = None
    report: Letterhead = Letterhead()
    journal: Annotated[
        str | None,
        key("the journal: a file, relative to this one, or `postgresql://HOST/DATABASE`", "the billing's own"),
    ] = None
    journal_on_network: Annotated[
        bool,
        key("take a journal on a network file system: you see to it that one machine at a time uses it", "false"),
    ] = False
    vault_key: Annotated[
        Hidden | None,
        key(
            "the file with the key for [passwords of rows in PostgreSQL](../how-to/postgres.md), relative to this "
            "one; the variable has the key itself",
            "none",
        ),
    ] = None
    jobs: Annotated[list[str], key("files that declare jobs of your own; relative to the file", "none")] = []
    api: ApiTable = ApiTable()
    database: DatabaseTable = DatabaseTable()
    hooks: HookTable = HookTable()
    metrics: MetricsTable = MetricsTable()


PROFILE_KEYS: Final = ProfileHead.__struct_fields__
"""What only a profile of settings has; for the rest it has what the file has."""

_TABLES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "api": ApiTable,
    "database": DatabaseTable,
    "report": Letterhead,
    "hooks": HookTable,
    "metrics": MetricsTable,
}
KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "": (*SettingsTables.__struct_encode_fields__, DEFAULT_PROFILE, PROFILE),
    f"{PROFILE}.NAME": (*PROFILE_KEYS, *SettingsTables.__struct_encode_fields__),
    **{name: table.__struct_encode_fields__ for name, table in _TABLES.items()},
}
"""The keys of the file, by their table."""
