"""Settings, from flag, environment or `carbon-migrate.toml`, in this order; each value knows its origin.

The file is checked with all of its profiles, and the chosen one laid over it.
"""

import re
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from billing.database.dsn import Dsn, charset_named
from billing.errors import SettingsError
from billing.secret import NO_SECRET, Secret, credentials
from checkpoints.address import JournalAddress, is_postgres
from checkpoints.errors import JournalError
from checkpoints.journal_file import network_of
from checkpoints.own_files import read_regular
from cli.settings.file_access import (
    Credentials,
    Exposed,
    FoundFile,
    Hidden,
    exposed,
    read_found,
    read_toml,
    vault_key_of,
)
from cli.settings.flags import COMMON_PART, Flags
from cli.settings.places import (
    IN_FOLDER,
    OF_BILLING,
    credentials_in,
    in_full,
    journal_of_billing,
    name_of_billing,
    named_journal,
    passwords_in,
    refuse_typed_password,
    state_folder,
    without_credentials,
)
from cli.settings.tables import (
    DEFAULT_PROFILE,
    KNOWN,
    PROFILE,
    PROFILE_KEYS,
    HookSettings,
    HookTable,
    Letterhead,
    MetricsSettings,
    ProfileHead,
    SettingsTables,
    hooks_of,
    metrics_of,
)
from cli.terminal.exits import SettingsRefused
from cli.terminal.language import ENGLISH, LANGUAGES, OPTION, VARIABLE, system_language
from cli.terminal.layout import Badge
from cli.terminal.options import Option, options_of
from cli.terminal.texts import API_URL, DATABASE_PASSWORD, JOURNAL, TIMEOUT, VAULT_KEY, printable, reason_of
from engine.errors import nearest
from jobs.spec.toml_places import KeyRefused, Kind, Toml, as_kind, check_known
from texts.remedies import SETTINGS_FILE, SETTINGS_PROFILE, setting
from texts.said import Quantity, said, text_of

if TYPE_CHECKING:
    from billing.api.client import ClientSettings
    from jobs.catalogue.catalogue import Catalogue
    from jobs.catalogue.declaration import Declaration

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
            self._checked(part, SettingsTables, prefix)

    def _checked(self, table: Table, kind: type[Kind], prefix: str) -> Kind:
        try:
            for name in KNOWN if kind is SettingsTables else ():
                inside, known = table.get(name) if name else table, KNOWN[name]
                if isinstance(inside, Mapping):
                    # A profile has a name, and no other profiles.
                    of_profile = KNOWN[f"{PROFILE}.NAME"] if prefix and not name else known
                    check_known((name,) if name else (), inside, of_profile)
            return as_kind({one: table[one] for one in table if kind is not ProfileHead or one in PROFILE_KEYS}, kind)
        except KeyRefused as error:
            raise self.refused(".".join(map(str, filter(None, (prefix, *error.way)))), text_of(error)) from error

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
    from jobs.catalogue.declaration import Declaration, read_declaration  # noqa: PLC0415 - as above

    try:
        content = read_found(FoundFile(path, said("the declaration"), is_run=True))
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
    timeout: SettingValue[float] = SettingValue(TIMEOUT, BUILT_IN)
    language: SettingValue[str] = SettingValue(ENGLISH, BUILT_IN)
    vault_key: SettingValue[Secret] = SettingValue(NO_SECRET, BUILT_IN)
    hidden: Credentials = field(default_factory=Credentials)
    letterhead: Letterhead = field(default_factory=Letterhead)
    hooks: HookSettings = field(default_factory=HookSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    own_jobs: OwnJobs = field(default_factory=OwnJobs)
    profile: SettingsProfile | None = None
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

    @property
    def catalogue(self) -> "Catalogue":
        """All jobs: the built-in ones, and those that the file names declarations of."""
        return self.own_jobs.catalogue

    def with_changed_declaration(self, taken: bool) -> "Settings":  # noqa: FBT001 - the flag itself
        """The same settings, for a command that was told whether a changed declaration is taken."""
        return replace(self, own_jobs=replace(self.own_jobs, takes_changed=True)) if taken else self

    @property
    def secrets(self) -> frozenset[str]:
        """All texts that must never be shown."""
        values = (self.database_password.value, *self.form.value.values())
        of_headers = (each for value in self.headers.value.values() for each in credentials(value.reveal()))
        of_addresses = chain(*(credentials_in(one.value or "") for one in (self.api_url, self.database)))
        # A user alone is no secret there.
        of_journal = passwords_in(self.journal.value.postgres.url) if self.journal.value.postgres else ()
        of_hooks = chain.from_iterable(hook.secrets for hook in self.hooks.all)
        revealed = (value.reveal() for value in values)
        return frozenset(
            {*revealed, *of_headers, *of_addresses, *of_journal, *self.vault_key.value.reveal().split(), *of_hooks}
            - {""}
        )

    @property
    def exposed(self) -> tuple[Exposed, ...]:
        """The files that others on this machine can read, of those that hold secrets or rows."""
        secret = (self.database_password, self.form, self.headers)
        held = any(setting.of_file and setting.value for setting in secret) or any(
            any(hook.secrets) for hook in self.hooks.all if not hook.of_credential
        )
        addresses = (credentials_in(one.value or "") for one in (self.api_url, self.database) if one.of_file)
        return tuple(exposed(self.file, self.journal.value.path.resolve(), holds_secrets=held or any(addresses)))

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
        """The same, also without its credentials."""
        if not self.api_url.value:
            raise SettingsRefused(
                "the address of the billing's REST API is not set. Give it in one of three ways:\n"
                "  --api-url http://HOST:8082\n"
                "  export {variable}=http://HOST:8082\n"
                '  in {file}:  [api]  url = "http://HOST:8082"',
                variable=API_URL,
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
    "language": Option(None, "", names=(OPTION,), variable=VARIABLE, key="language"),
    "vault_key": Option(None, "", names=("",), variable=VAULT_KEY, key="vault_key", secret=True),
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
            variable=DATABASE_PASSWORD,
            file=SETTINGS_FILE,
        )
    path = flags.config or folder / SETTINGS_FILE
    found, file, profile = read_settings_file(path, flags, environment)
    choose = _Chooser(flags, environment, found, file, profile)
    hidden = Credentials(environment, choose.origin)
    database, api_url = choose("database"), choose("api_url")
    if profile is not None:
        profile.refuse_another("api.url", api_url.value, api_url.origin, found.api.url)
        profile.refuse_another("database.address", database.value, database.origin, found.database.address)
    if database.of_file and not Dsn(database.value).on_server:
        # Relative to the file; a bare name would be an alias of the engine's.
        database = replace(database, value=str(path.parent.absolute() / database.value))
    vault_key = choose("vault_key")
    keys = (
        vault_key_of(vault_key.value, path.parent, vault_key.origin, hidden)
        if vault_key.of_file
        else Secret(str(vault_key.value))
    )
    password, charset = choose("database_password"), choose("database_charset")
    try:
        charset = replace(charset, value=charset_named(charset.value))
    except SettingsError as error:
        raise SettingsRefused("{error} (from {origin})", error=error, origin=charset.origin) from error
    journal = _journal(choose, folder, api_url.value)
    others = profile.journals_of_others(environment, path.parent) if profile else {}
    if profile is not None:
        profile.refuse_journal(journal.value, journal.origin, api_url.value, others)
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
        timeout=_timeout(choose("timeout")),
        vault_key=SettingValue(keys, hidden.origin("vault_key", vault_key.origin)),
        language=_language(choose("language"), environment),
        letterhead=found.report,
        hooks=hooks_of(found.hooks, path.parent, choose.origin, hidden),
        metrics=metrics_of(found.metrics, path.parent, choose.origin),
        own_jobs=OwnJobs(tuple(path.parent.absolute() / in_full(name) for name in found.jobs), choose.origin("jobs")),
        profile=profile,
        journals_of_others=others,
        hidden=hidden,
        file=path if file.toml.text else None,
        state=state_folder(environment),
    )


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
        self, key: str, values: Mapping[str, Hidden], hidden: Credentials
    ) -> SettingValue[Mapping[str, Secret]]:
        secrets = {name: Secret(hidden.text(f"{key}.{name}", value)) for name, value in values.items()}
        origin = hidden.origin(key, self.origin(key)) if values else BUILT_IN
        return SettingValue(secrets, origin, of_file=any(isinstance(value, str) for value in values.values()))

    def origin(self, key: str) -> str:
        return self.file.place(self.profile.key_of(key) if self.profile else key, name=self.file.path.name)


def _journal(choose: _Chooser, folder: Path, api_url: str) -> SettingValue[JournalAddress]:
    """The journal. Raises `SettingsRefused` for one on a network file system that was not allowed."""
    chosen, beside, here = choose("journal"), choose.file.path.parent, folder / JOURNAL
    if chosen.origin == "--journal":
        refuse_typed_password(chosen.value, chosen.origin)
    try:
        if chosen.value:
            # Paths in the file are relative to the file.
            named = named_journal(chosen.value, beside if chosen.of_file else folder, choose.environment)
            journal = SettingValue(named, chosen.origin, chosen.of_file)
        elif here.exists() and _is_taken(here, choose.profile, beside):
            journal = SettingValue(JournalAddress(here), IN_FOLDER)
        else:
            journal = SettingValue(JournalAddress(journal_of_billing(choose.environment, api_url)), OF_BILLING)
    except JournalError as error:
        raise SettingsRefused("{error} (from {origin})", error=error, origin=chosen.origin) from error
    kind = "" if journal.value.postgres else network_of(journal.value.path)
    if kind and not (choose.flags.journal_on_network or choose.found.journal_on_network):
        raise SettingsRefused(
            "the journal {journal} ({origin}) is on a network file system ({kind}). Two machines that open it at "
            "a time damage it, its locks may not reach from one to the other, and what it has acknowledged may "
            "be lost with the server. Name a local file with --journal; or give --journal-on-network "
            "(journal_on_network = true in the settings file), and see to it that one machine at a time uses it",
            journal=printable(journal.value.path),
            origin=journal.origin,
            kind=kind,
        )
    return journal


def _is_taken(here: Path, profile: SettingsProfile | None, beside: Path) -> bool:
    """Whether the journal of the working folder is that of the billing. Raises `SettingsRefused`."""
    FoundFile(here, said("the journal"), setting("journal", here.name)).check()
    if profile is None:
        return True
    if any(beside / in_full(one.journal) == here for one in profile.listed.values() if one.journal):
        return False
    if len({one.billing for one in profile.listed.values()} - {""}) > 1:
        raise SettingsRefused(
            "{journal} lies in the working folder, and all profiles of settings would take it, though they are "
            "different billings. Say in the one whose journal it is: {key}; or move it away",
            journal=printable(here),
            key=f'journal = "{here.name}"',
        )
    return True


def _language(chosen: SettingValue[str], environment: Mapping[str, str]) -> SettingValue[str]:
    """The language of reports: variable, file, then the system's. Raises `SettingsRefused` for an unknown one."""
    if not chosen.value:
        return SettingValue(system_language(environment), said("the system's locale"))
    if chosen.value not in LANGUAGES:
        raise SettingsRefused(
            "{given!r} ({origin}) is not a language; there are: {known}",
            given=printable(chosen.value),
            origin=chosen.origin,
            known=LANGUAGES,
        )
    return chosen


def _timeout(chosen: SettingValue[float | str]) -> SettingValue[float]:
    # Checked here and not by the flag, whose help would show the range in a column that narrows all others.
    seconds, most = float(chosen.value), Quantity(_LONGEST_TIMEOUT)
    # NaN compares false with everything.
    if not SHORTEST_TIMEOUT <= seconds <= _LONGEST_TIMEOUT:
        raise SettingsRefused(
            "{place}: {given} is not a valid time-out: give seconds, from {least} up to {most}",
            place=chosen.origin,
            given=f"{seconds:g}",
            least=f"{SHORTEST_TIMEOUT:g}",
            most=most,
        )
    return SettingValue(seconds, chosen.origin, chosen.of_file)
