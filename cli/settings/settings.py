"""Settings, from flag, environment or `carbon-migrate.toml`, in this order; each value knows its origin."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from billing.database.dsn import Dsn, charset_named
from billing.errors import SettingsError
from billing.secret import NO_SECRET, Secret, credentials
from checkpoints.address import JournalAddress
from checkpoints.errors import JournalError
from checkpoints.journal_file import network_of
from cli.settings.credentials import Credentials, Hidden, vault_key_of
from cli.settings.file_access import Exposed, FoundFile, exposed, read_found
from cli.settings.flags import Flags, Option, options_of
from cli.settings.places import (
    IN_FOLDER,
    OF_BILLING,
    credentials_in,
    in_full,
    journal_of_billing,
    named_journal,
    passwords_in,
    refuse_typed_password,
    state_folder,
)
from cli.settings.settings_file import SettingsFile, SettingsProfile, read_settings_file
from cli.settings.tables import HookSettings, Letterhead, MetricsSettings, SettingsTables, hooks_of, metrics_of
from cli.terminal.exits import SettingsRefused
from cli.terminal.language import ENGLISH, LANGUAGES, OPTION, VARIABLE, system_language
from cli.terminal.texts import API_URL, DATABASE_PASSWORD, JOURNAL, TIMEOUT, VAULT_KEY, printable, reason_of
from texts.remedies import SETTINGS_FILE, setting
from texts.said import Quantity, said, text_of

if TYPE_CHECKING:
    from billing.api.client import ClientSettings
    from jobs.catalogue.catalogue import Catalogue
    from jobs.catalogue.declaration import Declaration


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
        """The built-in jobs, and those of the declarations."""
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
        return SettingValue(row.default, BUILT_IN)

    def secrets_of_file(
        self, key: str, values: Mapping[str, Hidden], hidden: Credentials
    ) -> SettingValue[Mapping[str, Secret]]:
        """A setting that only the file can have."""
        secrets = {name: Secret(hidden.text(f"{key}.{name}", value)) for name, value in values.items()}
        origin = hidden.origin(key, self.origin(key)) if values else BUILT_IN
        return SettingValue(secrets, origin, of_file=any(isinstance(value, str) for value in values.values()))

    def origin(self, key: str) -> str:
        """The origin of a key of the file."""
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
