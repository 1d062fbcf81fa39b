"""Settings, from flag, environment or `carbon-migrate.toml`, in this order; each value knows its origin.

The file is checked with all of its profiles, and the chosen one laid over it.
"""

import os
import re
import shlex
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from importlib.util import find_spec
from itertools import chain
from operator import attrgetter
from pathlib import Path
from shutil import which
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from billing.database.dsn import Dsn, charset_named
from billing.errors import SettingsError
from billing.secret import NO_SECRET, Secret, credentials
from checkpoints.errors import JournalError
from checkpoints.journal_file import JournalAddress, is_postgres, network_of
from checkpoints.own_files import read_regular
from checkpoints.records import Run
from checkpoints.stores import is_there
from cli.settings import places
from cli.settings.flags import COMMON_PART, Flags
from cli.terminal import texts
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import Badge, badge_of
from cli.terminal.options import Option, options_of
from engine.errors import nearest
from jobs.spec.toml_places import KeyRefused, Kind, Toml, as_kind
from texts.said import SETTINGS_FILE, SETTINGS_PROFILE, Quantity, reason_of, said, setting, text_of

if TYPE_CHECKING:
    from billing.api.client import ClientSettings
    from jobs.catalogue.catalogue import Catalogue, Declaration


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

Given: TypeAlias = str | list[str] | places.Credential
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
    ping: Annotated[places.Hidden | None, key("an address that is got each minute of work", "none")] = None


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

        `sh notify.sh` runs notify.sh, so all words that are files count. The program of an address can be Apprise.
        """
        if not self.command and self.name == APPRISE and find_spec(APPRISE) is None:
            command = f"pip install {APPRISE}"
            raise SettingsRefused(
                "[hooks]: Apprise is not installed; type {command}, or name a command", command=command
            )
        for word in [*(which(one) or one for one in self.command[:1]), *self.command[1:]]:
            with suppress(OSError, ValueError):
                if Path(word).is_file():
                    places.FoundFile(Path(word), said("the hook"), is_run=True).check()

    @property
    def secrets(self) -> Iterator[str]:
        """What must never be shown of its address, whoever shows it: passwords, and the parts that are a token."""
        address = self.url.reveal()
        yield from places.credentials_in(address)
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
        """Raise `SettingsRefused` for a program that is missing, that somebody else has made, or others may write."""
        for hook in self.hooks.values():
            hook.check_program()


def hooks_of(
    table: HookTable, folder: Path, place: Callable[[str], str], credentials: places.Credentials
) -> HookSettings:
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
        if isinstance(given, places.Credential):
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
        program = str(folder.absolute() / places.in_full(words[0])) if "/" in words[0] else words[0]
        return Hook(program, (program, *words[1:]))

    hooks = {event: hook for event in HookEvent if (hook := hook_of(event)) is not None}
    ping = hook_of(PING)
    if ping is not None and (ping.command or ping.name == APPRISE):
        raise _refused(f"hooks.{PING}", place, said("it is not an address that begins with http:// or https://"))
    return HookSettings(MappingProxyType(hooks), table.hold_seconds, ping)


def _shown(key: str, address: str, place: Callable[[str], str]) -> str:
    """What may be shown of an address: scheme and host. No message shows the rest, which may hold a token."""
    if address.startswith(f"{APPRISE}://"):
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


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [metrics]. `{run}` in the file's name stands for the run's, where each run is to have its own."""

    file: Annotated[
        str | None,
        key(
            "text file for [Prometheus](../how-to/metrics.md), relative to the settings file; `{run}` in it is the "
            "run's name",
            "none",
        ),
    ] = None
    port: Annotated[int | None, key("port of this machine for Prometheus; 0 for any free one", "none")] = None

    def __bool__(self) -> bool:
        return self.file is not None or self.port is not None


def metrics_of(table: MetricsSettings, folder: Path, place: Callable[[str], str]) -> MetricsSettings:
    if table.port is not None and not 0 <= table.port <= _LAST_PORT:
        raise _refused("metrics.port", place, said("it is not a port from 0 up to {most}", most=str(_LAST_PORT)))
    if table.file is None:
        return table
    if Path(table.file).name in {"", ".."} or table.file.endswith(("/", "/.")):
        raise _refused("metrics.file", place, said("it names no file"))
    # A path in the file is relative to the file, as that of the journal is.
    return MetricsSettings(str((folder / places.in_full(table.file)).absolute()), table.port)


PROFILE: Final = "profile"
DEFAULT_PROFILE: Final = "default_profile"


class Letterhead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [report]: the organisation, and who signs; an empty name is filled in by hand."""

    organisation: Annotated[str, key("head of the report", "filled in by hand")] = ""
    handed_over_by: Annotated[str, key("who hands the load over", "filled in by hand")] = ""
    taken_over_by: Annotated[str, key("who takes it over", "filled in by hand")] = ""
    chief_accountant: Annotated[str, key("who signs for the accounts", "filled in by hand")] = ""


class ApiTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [api]: where the REST API is, and what each call to it carries."""

    url: Annotated[str | None, key("the REST API, as `http://HOST:8082`; needed by all that asks the billing")] = None
    form: Annotated[dict[str, places.Hidden], key("secret form fields of every call, as `hash_key`", "none")] = {}
    headers: Annotated[dict[str, places.Hidden], key("secret HTTP headers of every request", "none")] = {}
    timeout: Annotated[
        float | None, key("seconds of silence after which an answer counts as lost", f"{texts.TIMEOUT:g}")
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
    user: Annotated[str | None, key("its user", texts.USER)] = None
    password: Annotated[places.Hidden | None, key("its password", "none")] = None
    charset: Annotated[str | None, key("its encoding; `WIN1251` for version 4", texts.CHARSET)] = None


class SettingsTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file and each of its profiles can have: what stands above the tables, and they."""

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
        places.Hidden | None,
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
    metrics: MetricsSettings = MetricsSettings()


class ProfileTables(SettingsTables, frozen=True):
    """A profile, which has a name beside all of that."""

    name: Annotated[str, key("the name of the billing, which is typed before money leaves", "none")] = ""
    production: Annotated[
        bool | None, key("ask for that name before anything is sent", "true for `[profile.production]`")
    ] = None


class FileTables(SettingsTables, frozen=True):
    """The whole file; its profiles are read one by one."""

    default_profile: Annotated[str, key("the profile that counts where none is chosen", "none")] = ""
    profile: dict[str, Any] = {}


# ---- the file and its profiles ------------------------------------------------------------------------------------


PRODUCTION: Final = "production"
"""The profile of this name is one of production, unless it says otherwise."""

FLAG: Final = f"--{PROFILE}"
_NAME: Final = re.compile(r"[\w-]{1,40}")

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SettingsProfile:
    """A profile of settings: its badge, its own part of the file, and its tables with the common part below them.

    `billing` is the name of its billing, "" without an address; `origin` is what has chosen the profile.
    """

    badge: Badge
    own: Table
    tables: SettingsTables
    billing: str
    origin: str = ""

    def journal(self, folder: Path, environment: Mapping[str, str]) -> JournalAddress | None:
        """Its journal, relative to the folder of the file; None without one and without an address.

        Raises what `named_journal` raises.
        """
        if self.tables.journal:
            return places.named_journal(self.tables.journal, folder, environment)
        url = self.tables.api.url
        return JournalAddress(places.journal_of_billing(environment, url)) if url else None


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings file as a text whose keys have places, its tables, and its profiles.

    A file that is not there is empty.
    """

    path: Path
    toml: Toml
    tables: FileTables = field(default_factory=FileTables)
    profiles: Mapping[str, SettingsProfile] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, named: bool = False) -> Self:
        """Read and check a file that was found, or that was `named`. Raises `SettingsRefused`, naming the line."""
        found = places.FoundFile(path, said("the settings file"), setting("config", path.name))

        def content() -> bytes | None:
            with suppress(FileNotFoundError):
                return read_regular(path) if named else places.read_found(found)
            return None

        toml = places.read_toml(content, str(path))
        if toml is None and named:
            raise SettingsRefused("there is no file {file} (from --config)", file=path)
        return cls(path, toml or Toml("")).checked()

    def checked(self) -> Self:
        default, profiles = self.toml.content.get(DEFAULT_PROFILE), self.toml.content.get(PROFILE, {})
        if default is not None and not isinstance(default, str):
            raise self.refused(DEFAULT_PROFILE, said("it is the name of a profile of settings"))
        if not isinstance(profiles, Mapping):
            why = said("it is a table, [profile.NAME]; {key} chooses one", key=DEFAULT_PROFILE)
            raise self.refused(PROFILE, why)
        whole, found = self._read(self.toml.content, FileTables, ""), dict[str, SettingsProfile]()
        common = {name: value for name, value in self.toml.content.items() if name not in {PROFILE, DEFAULT_PROFILE}}
        for name, own in profiles.items():
            key = f"{PROFILE}.{name}"
            if not _NAME.fullmatch(name):
                raise self.refused(key, said("a name has letters, digits, - and _, at most 40"))
            if not isinstance(own, Mapping):
                raise self.refused(key, said("it is a table, [profile.NAME]"))
            if not self._read(own, ProfileTables, key).name.isprintable():
                raise self.refused(f"{key}.name", said("it has characters that nobody can type"))
            tables = as_kind(_laid_over(common, own), ProfileTables)
            production = name.casefold() == PRODUCTION if tables.production is None else tables.production
            badge = Badge(name, " ".join(tables.name.split()), production)
            found[name] = SettingsProfile(
                badge, own, tables, places.name_of_billing(tables.api.url) if tables.api.url else ""
            )
        return replace(self, tables=whole, profiles=found)

    def _read(self, part: Table, kind: type[Kind], prefix: str) -> Kind:
        try:
            return as_kind(part, kind)
        except KeyRefused as error:
            raise self.refused(".".join(map(str, filter(None, (prefix, *error.way)))), text_of(error)) from error

    def place(self, key: str, *, name: str = "") -> str:
        """The file, as `name`, and the line of a dotted key; the file alone where the line is unknown."""
        way = tuple(key.split("."))
        found = self.toml.where.get(way) or (self.toml.where.get(way[:-1]) if way[1:] else None)
        file = name or str(self.path)
        return said("{file}, line {line}", file=file, line=found.line) if found else file

    def refused(self, key: str, what: str) -> SettingsRefused:
        return SettingsRefused("{place}: {key}: {what}", place=self.place(key), key=texts.printable(key), what=what)

    def chosen(self, flag: str | None, environment: Mapping[str, str]) -> SettingsProfile | None:
        """The chosen profile, None for a file without profiles. Raises `SettingsRefused`."""
        if flag == COMMON_PART:
            return None
        if flag is not None:
            given, origin = flag, FLAG
        elif of_variable := environment.get(SETTINGS_PROFILE):
            given, origin = of_variable, SETTINGS_PROFILE
        else:
            given = self.tables.default_profile
            origin = self.place(DEFAULT_PROFILE)
        file, known = texts.printable(self.path), tuple(self.profiles)
        if one := self.profiles.get(given):
            return replace(one, origin=origin)
        if given and known:
            raise SettingsRefused(
                "{origin}: there is no profile of settings {given!r}{nearest}; {file} has: {known}",
                origin=origin,
                given=texts.printable(given),
                nearest=nearest(given, known),
                file=file,
                known=known,
            )
        if given:
            raise SettingsRefused(
                "{origin}: there is no profile of settings {given!r}, for {file} has none, or is not there",
                origin=origin,
                given=texts.printable(given),
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
        users: dict[tuple[str, ...], SettingsProfile] = {}
        for last in self.profiles.values():
            name, tables = last.badge.profile, last.tables
            for key, file in (("journal", tables.journal or ""), ("metrics.file", tables.metrics.file or "")):
                is_shared = is_postgres(file) or (key == "metrics.file" and "{run}" in file)
                if not (file and last.billing) or is_shared:
                    continue
                if (first := users.setdefault((key, file), last)).billing != last.billing:
                    raise SettingsRefused(
                        "{place}: {key}: {file} would be that of the profiles of settings {first} and {last}, "
                        "which are different billings. Give each profile its own, or none: then each billing has "
                        "its own",
                        place=self.place(f"{PROFILE}.{name}.{key}" if _part(self.toml.content, key) is None else key),
                        key=key,
                        file=texts.printable(file),
                        first=first.badge.profile,
                        last=name,
                    )
            journal, database = tables.journal or "", tables.database.address
            if not (is_postgres(journal) and database and last.billing):
                continue
            if (first := users.setdefault((journal, database, ""), last)).billing != last.billing:
                raise SettingsRefused(
                    "{place}: the profiles of settings {first} and {last} have one database, so they are one "
                    "billing by two addresses. A journal tells billings apart by the address: keep one of them",
                    place=self.place(f"{PROFILE}.{name}"),
                    first=first.badge.profile,
                    last=name,
                )


def profiles_in(path: Path) -> list[SettingsProfile]:
    return list(SettingsFile.read(path).profiles.values())


def _laid_over(common: Table, own: Table) -> dict[str, object]:
    """The common part with a profile's own tables laid over it, key by key; a list is replaced as a whole."""
    merged = dict(common)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _part(content: Table, key: str) -> object:
    part: object = content
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


@dataclass(frozen=True)
class OwnJobs:
    """The declarations of the settings, and the place that names them; none is read before it is asked for.

    With `takes_changed` a run goes on although its declaration has changed.
    """

    files: tuple[Path, ...] = ()
    origin: str = ""
    takes_changed: bool = False

    @cached_property
    def catalogue(self) -> "Catalogue":
        from jobs.catalogue.catalogue import Catalogue  # noqa: PLC0415 - most commands need no job

        return Catalogue([partial(_read, file, self.origin) for file in self.files], takes_changed=self.takes_changed)


def _read(path: Path, origin: str, taken: Container[str]) -> "Declaration":
    from jobs.catalogue.catalogue import Declaration, read_declaration  # noqa: PLC0415 - as above

    try:
        content = places.read_found(places.FoundFile(path, said("the declaration"), is_run=True))
    except SettingsRefused as error:
        return Declaration(path, fault=text_of(error))
    except OSError as error:
        return Declaration(path, fault=said("{file}: {why}", file=path, why=reason_of(error)))
    if content is None:
        fault = said("{origin}: there is no file {file}", origin=origin, file=path)
        return Declaration(path, fault=fault)
    return read_declaration(path, content, taken)


Value_co = TypeVar("Value_co", covariant=True)

BUILT_IN: Final = said("built in")
SHORTEST_TIMEOUT: Final = 0.1
_LONGEST_TIMEOUT: Final = 3600
"""Seconds, the same limit as that of the flag."""


@dataclass(frozen=True, slots=True)
class SettingValue(Generic[Value_co]):
    """A value and its origin: a flag, a variable, a line of the file, or the default."""

    value: Value_co
    origin: str
    of_file: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The connection to the billing and the journal. `file` is the configuration file, if one was read.

    An `api_url` of None is not set; a `database` of None means no database.
    """

    api_url: SettingValue[str | None]
    form: SettingValue[Mapping[str, Secret]]
    headers: SettingValue[Mapping[str, Secret]]
    database: SettingValue[str | None]
    database_user: SettingValue[str]
    database_password: SettingValue[Secret]
    database_charset: SettingValue[str]
    journal: SettingValue[JournalAddress]
    timeout: SettingValue[float] = SettingValue(texts.TIMEOUT, BUILT_IN)
    language: SettingValue[str] = SettingValue(texts.ENGLISH, BUILT_IN)
    vault_key: SettingValue[Secret] = SettingValue(NO_SECRET, BUILT_IN)
    hidden: places.Credentials = field(default_factory=places.Credentials)
    letterhead: Letterhead = field(default_factory=Letterhead)
    hooks: HookSettings = field(default_factory=HookSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    own_jobs: OwnJobs = field(default_factory=OwnJobs)
    profile: SettingsProfile | None = None
    profiles: Mapping[str, SettingsProfile] = field(default_factory=dict)
    """All profiles of the file where one of them is chosen, by their names."""
    journals_of_others: Mapping[str, JournalAddress] = field(default_factory=dict)
    """The journals of the other profiles of the file, by their names."""
    file: Path | None = None
    state: Path = Path()
    """The folder of the billing's files when there is no settings file."""

    @property
    def log(self) -> Path:
        """The path of the log file, beside the journal's real file with links resolved."""
        journal = self.journal.value.path.resolve()
        return journal.with_name(f"{journal.name}.log")

    def profile_at(self, address: str) -> str:
        wanted = places.name_of_billing(address)
        return next((name for name, one in self.profiles.items() if one.billing == wanted), "")

    @property
    def catalogue(self) -> "Catalogue":
        """All jobs: the built-in ones, and those that the file names declarations of."""
        return self.own_jobs.catalogue

    @property
    def secrets(self) -> frozenset[str]:
        values = (self.database_password.value, *self.form.value.values())
        of_headers = (each for value in self.headers.value.values() for each in credentials(value.reveal()))
        of_addresses = chain(*(places.credentials_in(one.value or "") for one in (self.api_url, self.database)))
        # A user alone is no secret there.
        of_journal = places.passwords_in(self.journal.value.postgres.url) if self.journal.value.postgres else ()
        of_hooks = chain.from_iterable(hook.secrets for hook in self.hooks.all)
        revealed = (value.reveal() for value in values)
        return frozenset(
            {*revealed, *of_headers, *of_addresses, *of_journal, *self.vault_key.value.reveal().split(), *of_hooks}
            - {""}
        )

    @property
    def exposed(self) -> tuple[places.Exposed, ...]:
        secret = (self.database_password, self.form, self.headers)
        held = any(setting.of_file and setting.value for setting in secret) or any(
            any(hook.secrets) for hook in self.hooks.all if not hook.of_credential
        )
        addresses = (places.credentials_in(one.value or "") for one in (self.api_url, self.database) if one.of_file)
        return tuple(
            places.exposed(self.file, self.journal.value.path.resolve(), holds_secrets=held or any(addresses))
        )

    @property
    def target(self) -> str:
        """The REST API's address in normalised form, as runs record it. Raises `SettingsRefused`."""
        from yarl import URL  # noqa: PLC0415 - most commands need no address

        return str(URL(self._client.base_url)).rstrip("/")

    @property
    def client(self) -> "ClientSettings":
        """The settings of the REST client. Raises `SettingsRefused` when they are missing or invalid."""
        self.hidden.require("api")
        return self._client

    @property
    def _client(self) -> "ClientSettings":
        if not self.api_url.value:
            raise SettingsRefused(
                "the address of the billing's REST API is not set. Give it in one of three ways:\n"
                "  --api-url http://HOST:8082\n"
                "  export {variable}=http://HOST:8082\n"
                '  in {file}:  [api]  url = "http://HOST:8082"',
                variable=texts.API_URL,
                file=self.file or SETTINGS_FILE,
            )
        from billing.api.client import ClientSettings  # noqa: PLC0415 - as above

        try:
            return ClientSettings(
                self.api_url.value,
                extra=self.form.value,
                headers=self.headers.value,
                others=[self.database_password.value],
                read=self.timeout.value,
                # The deadline ends an answer that trickles, which the time-out of silence never does.
                deadline=2 * self.timeout.value,
            )
        except SettingsError as error:
            raise SettingsRefused("{error} (from {origin})", error=error, origin=self.api_url.origin) from error

    @property
    def dsn(self) -> Dsn | None:
        """The address of the database, None where none is set. Raises `SettingsRefused` without its credential."""
        if not self.database.value:
            return None
        self.hidden.require("database")
        return Dsn(
            self.database.value,
            self.database_user.value,
            self.database_password.value,
            self.database_charset.value,
        )


SETTINGS: Final[Mapping[str, Option]] = {
    **{name: row for name, row in options_of(Flags).items() if row.key},
    # A language is taken before flags are read, and a key is typed nowhere.
    "language": Option(None, "", names=(texts.OPTION,), variable=texts.VARIABLE, key="language"),
    "vault_key": Option(None, "", names=("",), variable=texts.VAULT_KEY, key="vault_key", secret=True),
}
"""The settings that can be given elsewhere than in the file, by their names."""


def load(flags: Flags, environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings in force in `folder`.

    Raises `SettingsRefused`, naming file and line, for an invalid file; an unknown key is an error, since a mistyped
    key would leave its setting at the default.
    """
    if flags.database_password:
        raise SettingsRefused(
            "--database-password: everybody on this machine can see a command line, and the shell keeps it. Set "
            "the variable {variable}, or password in [database] of {file}",
            variable=texts.DATABASE_PASSWORD,
            file=SETTINGS_FILE,
        )
    path = flags.config or folder / SETTINGS_FILE
    file = SettingsFile.read(path, named=flags.config is not None)
    profile = file.chosen(flags.profile, environment)
    file.refuse_shared()
    found: SettingsTables = profile.tables if profile else file.tables
    if found.jobs or found.hooks != HookTable():
        # It names code that is run, so whoever may write it may run code, also where it was named.
        places.FoundFile(path, said("the settings file"), is_run=True).check()
    choose = _Chooser(flags, environment, found, file, profile)
    hidden = places.Credentials(environment, choose.origin)
    database, api_url = choose("database"), choose("api_url")
    for key, given, own in (
        ("api.url", api_url, found.api.url),
        ("database.address", database, found.database.address),
    ):
        is_same = given.value == own or (
            key == "api.url" and own and places.name_of_billing(given.value) == places.name_of_billing(own)
        )
        if profile is not None and own is not None and not is_same:
            raise SettingsRefused(
                "the profile of settings {profile} has {key} {own}, and {origin} says {given}. A profile is one "
                "billing: leave {origin} out, or choose the profile of that billing with {flag}",
                profile=profile.badge.profile,
                key=key,
                own=texts.printable(places.without_credentials(own)),
                origin=given.origin,
                given=texts.printable(places.without_credentials(given.value)),
                flag=setting(PROFILE, "NAME"),
            )
    if database.of_file and not Dsn(database.value).on_server:
        # Relative to the file; a bare name would be an alias of the engine's.
        database = replace(database, value=str(path.parent.absolute() / database.value))
    vault_key = choose("vault_key")
    keys = (
        places.vault_key_of(vault_key.value, path.parent, vault_key.origin, hidden)
        if vault_key.of_file
        else Secret(str(vault_key.value))
    )
    password, charset = choose("database_password"), choose("database_charset")
    try:
        charset = replace(charset, value=charset_named(charset.value))
    except SettingsError as error:
        raise SettingsRefused("{error} (from {origin})", error=error, origin=charset.origin) from error
    language, timeout = choose("language"), choose("timeout")
    if not language.value:
        language = SettingValue(texts.system_language(environment), said("the system's locale"))
    elif language.value not in texts.LANGUAGES:
        raise SettingsRefused(
            "{given!r} ({origin}) is not a language; there are: {known}",
            given=texts.printable(language.value),
            origin=language.origin,
            known=texts.LANGUAGES,
        )
    # Checked here and not by the flag, whose help would show the range in a column that narrows all others.
    seconds = float(timeout.value)
    # NaN compares false with everything.
    if not SHORTEST_TIMEOUT <= seconds <= _LONGEST_TIMEOUT:
        raise SettingsRefused(
            "{place}: {given} is not a valid time-out: give seconds, from {least} up to {most}",
            place=timeout.origin,
            given=f"{seconds:g}",
            least=f"{SHORTEST_TIMEOUT:g}",
            most=Quantity(_LONGEST_TIMEOUT),
        )
    journal = _journal(choose, folder, api_url.value)
    others = _journals_of_others(profile, file, journal, api_url.value, environment) if profile else {}
    return Settings(
        api_url=replace(api_url, value=api_url.value or None),
        form=choose.secrets_of_file("api.form", found.api.form, hidden),
        headers=choose.secrets_of_file("api.headers", found.api.headers, hidden),
        database=replace(database, value=database.value or None),
        database_user=choose("database_user"),
        database_password=SettingValue(
            Secret(hidden.text("database.password", password.value)),
            hidden.origin("database.password", password.origin),
            password.of_file and isinstance(password.value, str),
        ),
        database_charset=charset,
        journal=journal,
        timeout=replace(timeout, value=seconds),
        vault_key=SettingValue(keys, hidden.origin("vault_key", vault_key.origin)),
        language=language,
        letterhead=found.report,
        hooks=hooks_of(found.hooks, path.parent, choose.origin, hidden),
        metrics=metrics_of(found.metrics, path.parent, choose.origin),
        own_jobs=OwnJobs(
            tuple(path.parent.absolute() / places.in_full(name) for name in found.jobs), choose.origin("jobs")
        ),
        profile=profile,
        profiles=file.profiles if profile else {},
        journals_of_others=others,
        hidden=hidden,
        file=path if file.toml.text else None,
        state=places.state_folder(environment),
    )


def declared_jobs(config: Path | None = None) -> "Catalogue":
    """All jobs, with those that the settings of the working folder, or of this file, name; no profile is chosen."""
    return load(Flags(config=config, profile=COMMON_PART), os.environ, Path.cwd()).catalogue


@dataclass(frozen=True, slots=True)
class _Chooser:
    """Takes the first of flag, environment, file and default that is set; a typed file precedes the environment."""

    flags: Flags
    environment: Mapping[str, str]
    found: SettingsTables
    file: SettingsFile
    profile: SettingsProfile | None

    def __call__(self, name: str) -> SettingValue[Any]:
        """The value of a setting and its origin. An empty variable counts as not set."""
        row, given = SETTINGS[name], getattr(self.flags, name, None)
        if given is not None:
            return SettingValue(given, row.flags_of(name)[0])
        of_file = attrgetter(row.key)(self.found)
        # A variable that lies about does not override a file that was typed, unless it is a secret.
        is_typed = self.flags.config is not None and of_file is not None and not row.secret
        if (of_variable := self.environment.get(row.variable)) and not is_typed:
            return SettingValue(of_variable, row.variable)
        if of_file is not None:
            return SettingValue(of_file, self.origin(row.key), of_file=True)
        return SettingValue(row.built_in, BUILT_IN)

    def secrets_of_file(
        self, key: str, values: Mapping[str, places.Hidden], hidden: places.Credentials
    ) -> SettingValue[Mapping[str, Secret]]:
        secrets = {name: Secret(hidden.text(f"{key}.{name}", value)) for name, value in values.items()}
        origin = hidden.origin(key, self.origin(key)) if values else BUILT_IN
        return SettingValue(secrets, origin, of_file=any(isinstance(value, str) for value in values.values()))

    def origin(self, key: str) -> str:
        """The line of a key: that of the profile where the profile has it, else that of the common part."""
        if self.profile and _part(self.profile.own, key) is not None:
            key = f"{PROFILE}.{self.profile.badge.profile}.{key}"
        return self.file.place(key, name=self.file.path.name)


def _journals_of_others(
    profile: SettingsProfile,
    file: SettingsFile,
    journal: SettingValue[JournalAddress],
    api_url: str,
    environment: Mapping[str, str],
) -> dict[str, JournalAddress]:
    """The journals of the other profiles by their names.

    Raises `SettingsRefused` where a flag or a variable names that of another billing as the `journal`.
    """
    found: dict[str, JournalAddress] = {}
    for name, one in file.profiles.items():
        if name == profile.badge.profile:
            continue
        with suppress(JournalError):
            if own := one.journal(file.path.parent, environment):
                found[name] = own
        another = api_url and one.billing not in {"", places.name_of_billing(api_url)} and not journal.value.is_shared
        if another and name in found and journal.value.path.resolve() == found[name].path.resolve():
            raise SettingsRefused(
                "{origin}: {journal} is the journal of the profile of settings {other}, which is another "
                "billing than {profile}. Leave {origin} out, or choose that profile: {flag}",
                origin=journal.origin,
                journal=texts.printable(journal.value),
                other=name,
                profile=profile.badge.profile,
                flag=setting(PROFILE, name),
            )
    return found


def _journal(choose: _Chooser, folder: Path, api_url: str) -> SettingValue[JournalAddress]:
    """The journal. Raises `SettingsRefused` for one on a network file system that was not allowed."""
    chosen, beside, here = choose("journal"), choose.file.path.parent, folder / texts.JOURNAL
    if chosen.origin == "--journal":
        places.refuse_typed_password(chosen.value, chosen.origin)
    try:
        if chosen.value:
            # Paths in the file are relative to the file.
            named = places.named_journal(chosen.value, beside if chosen.of_file else folder, choose.environment)
            journal = SettingValue(named, chosen.origin, chosen.of_file)
        elif here.exists() and _is_taken(here, choose.file.profiles if choose.profile else {}, beside):
            journal = SettingValue(JournalAddress(here), places.IN_FOLDER)
        else:
            journal = SettingValue(
                JournalAddress(places.journal_of_billing(choose.environment, api_url)), places.OF_BILLING
            )
    except JournalError as error:
        raise SettingsRefused("{error} (from {origin})", error=error, origin=chosen.origin) from error
    kind = "" if journal.value.postgres else network_of(journal.value.path)
    if kind and not (choose.flags.journal_on_network or choose.found.journal_on_network):
        raise SettingsRefused(
            "the journal {journal} ({origin}) is on a network file system ({kind}). Two machines that open it at "
            "a time damage it, its locks may not reach from one to the other, and what it has acknowledged may "
            "be lost with the server. Name a local file with --journal; or give --journal-on-network "
            "(journal_on_network = true in the settings file), and see to it that one machine at a time uses it",
            journal=texts.printable(journal.value.path),
            origin=journal.origin,
            kind=kind,
        )
    return journal


def _is_taken(here: Path, profiles: Mapping[str, SettingsProfile], beside: Path) -> bool:
    places.FoundFile(here, said("the journal"), setting("journal", here.name)).check()
    if any(beside / places.in_full(one.tables.journal) == here for one in profiles.values() if one.tables.journal):
        return False
    if len({one.billing for one in profiles.values()} - {""}) > 1:
        raise SettingsRefused(
            "{journal} lies in the working folder, and all profiles of settings would take it, though they are "
            "different billings. Say in the one whose journal it is: {key}; or move it away",
            journal=texts.printable(here),
            key=f'journal = "{here.name}"',
        )
    return True


# ---- the billings that the settings name, and the journals that their runs stand in --------------------------------
# Who looks at all billings chooses no profile of settings: what stands in the common part of the file counts, and of
# each profile its address and its journal. No credential is needed for that, and none is asked for.


_USUAL_PORT: Final = ":8082"
"""That of the REST API in all that the vendor shows."""

_DEFAULTS: Final = (places.OF_BILLING, places.IN_FOLDER)
"""Where a journal comes from that nobody has named."""


@dataclass(frozen=True, slots=True)
class KnownBillings:
    """The profiles of settings by the names of their billings, and the journals of all of them."""

    profiles: Mapping[str, Sequence[str]]
    journals: tuple[JournalAddress, ...]

    def profile_of(self, run: Run) -> str | None:
        """The profile of the billing of a run, by the address that it has; None where this machine has none."""
        found = self.profiles.get(places.name_of_billing(run.target))
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
    parts = urlsplit(places.without_credentials(target))
    return f"{parts.netloc.removesuffix(_USUAL_PORT)}{parts.path.rstrip('/')}" if parts.netloc else target


def without_profile(flags: Flags) -> Flags:
    if flags.profile is None and not os.environ.get(SETTINGS_PROFILE):
        return replace(flags, profile=COMMON_PART)
    return flags


def without_profile_or_default(flags: Flags) -> Flags:
    """The same, unless the settings file has a default. Raises `SettingsRefused`."""
    file = SettingsFile.read(flags.config or Path.cwd() / SETTINGS_FILE)
    return flags if file.tables.default_profile else without_profile(flags)


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
        if journal.of_file or journal.origin == places.IN_FOLDER or settings.api_url.value:
            yield journal.value
        elif not listed:
            found = places.journals_in(places.state_folder(environment))
            yield from map(JournalAddress, found) if found else (journal.value,)
        beside = settings.file.parent if settings.file else Path()
        yield from filter(None, (one.journal(beside, environment) for one in listed))

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
