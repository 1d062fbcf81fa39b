"""The table of options: connection, consent, recording; an order and its rows; pacing. `options_of` reads it.

Commands take its records as parameters, settings, job files, reference and completion read their fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from billing.errors import NotASelect
from cli.terminal import texts as names
from cli.terminal.exits import CommandRefused
from cli.terminal.options import Option, Part, argument, option, switch
from cli.terminal.texts import printable
from engine.pacing.policy import ALL, NO, NONE, YES, Policy, policy_with
from engine.sources.sample import AUTO
from jobs.spec.words import SharedAccountsRule
from texts import said as remedies
from texts.said import said, setting

_CONNECTION: Final = "Connection"
EARLIER: Final = said("Earlier runs")
ASIDE: Final = "Extras"

RUN_NAME: Final[Any] = argument("RUN", "The run's short name, as `status` lists it.")
RUN_NAME_OR_NONE: Final[Any] = argument("RUN", "The run's short name, as `status` lists it.", required=False)

COMMON_PART: Final = "\0"
"""In place of a profile of settings: what stands outside of all. Nobody can type it."""

_connection: Final = partial(option, panel=_CONNECTION)

CONFIG: Final[Any] = _connection(
    "FILE", f"The file of settings, {remedies.SETTINGS_FILE} in the working folder by default.", "--config"
)


@dataclass(frozen=True, slots=True)
class Flags:
    """The connection to billing and journal, as given on the command line; None where not given."""

    api_url: str | None = _connection(
        "URL",
        f"The billing's REST API, as http://HOST:8082. Or {names.API_URL}.",
        variable=names.API_URL,
        key="api.url",
    )
    database: str | None = _connection(
        "PATH",
        f"The billing's Firebird database: HOST:PATH, HOST/PORT:PATH, or a file. Or {remedies.DATABASE}.",
        variable=remedies.DATABASE,
        key="database.address",
    )
    database_user: str | None = _connection(
        "NAME",
        f"The database's user, {names.USER} by default. Or {names.DATABASE_USER}.",
        variable=names.DATABASE_USER,
        key="database.user",
        built_in=names.USER,
    )
    database_password: str | None = _connection(
        "WORD",
        f"Refused, since everybody on the machine can see a flag: it is {names.DATABASE_PASSWORD}.",
        variable=names.DATABASE_PASSWORD,
        key="database.password",
        secret=True,
        hidden=True,
    )
    database_charset: str | None = _connection(
        "NAME",
        f"{names.CHARSET} by default; WIN1251 for version 4. Or {names.DATABASE_CHARSET}.",
        variable=names.DATABASE_CHARSET,
        key="database.charset",
        built_in=names.CHARSET,
    )
    journal: str | None = _connection(
        "FILE",
        "Where all runs are remembered; by default the billing's own file in the state folder. For several machines "
        f"postgresql://HOST/DATABASE. Or {names.JOURNAL_FILE}.",
        variable=names.JOURNAL_FILE,
        key="journal",
    )
    journal_on_network: bool = _connection(
        None,
        "Take a journal on a network file system: you see to it that one machine at a time opens it.",
        default=False,
        key="journal_on_network",
    )
    timeout: float | None = _connection(
        "SECONDS",
        f"How long the billing may be silent before an answer counts as lost, {names.TIMEOUT:g} by default.",
        key="api.timeout",
        built_in=f"{names.TIMEOUT:g}",
    )
    config: Path | None = CONFIG
    profile: str | None = _connection(
        "PROFILE",
        f"Which profile of settings of that file counts. Or {remedies.SETTINGS_PROFILE}.",
        variable=remedies.SETTINGS_PROFILE,
    )


JournalFlags = Annotated[Flags, Part("api_url", "journal", "journal_on_network", "config", "profile")]
"""Those of a command that works on the journal alone; the address says which billing's journal it is."""

ApiFlags = Annotated[Flags, Part("api_url", "timeout", "config", "profile")]
"""Those of a command that asks the billing's REST API alone."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent given in advance."""

    yes: bool = switch("Send without asking.", "--yes", "-y")
    skip_bad: bool = switch("Leave refused rows out and send the good ones; with --yes a select does so by itself.")
    trust_journal: bool = switch(
        "Do not look in the billing for rows that another copy of the journal may have sent.", panel=EARLIER
    )


@dataclass(frozen=True, slots=True)
class Declared:
    """Whether a declaration that has changed is taken."""

    changed_declaration: bool = switch(
        "Go on although the file that declares the run's job has changed since the run was begun.", panel=EARLIER
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes on beside a run: its recording, and its page."""

    record: Path | None = option(
        "FILE", "Keep every exchange, without secrets and with made-up people, for `mock replay`.", panel=ASIDE
    )
    record_names: bool = switch("Keep names, phones, logins and the like in the recording as they are.", panel=ASIDE)
    page: bool = switch("Show the run in a browser while it works, at the address that is printed.", panel=ASIDE)


@dataclass(frozen=True, slots=True)
class Detaching:
    """Whether the run is handed in for a worker, and its place in the queue."""

    detach: bool = switch("Hand the run in for a `worker` to send; the journal is in PostgreSQL.", panel=ASIDE)
    priority: int = option(
        "N", "With --detach: a higher one goes before others.", panel=ASIDE, default=0, least=-100, most=100
    )


FAULTS: Final[Any] = option(
    "KIND[:SHARE]",
    "How the mock billing fails: a kind, for a share of requests, or a fault plan, PLAN.toml; repeatable.",
)


def parse_pairs(words: Sequence[str], flag: str, *, example: str = "name=value") -> dict[str, str]:
    """The NAME=VALUE pairs of a flag. Raises `CommandRefused` for one without a name, or given twice."""
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise CommandRefused(
                "{flag} {given}: write it as {flag} {example}", flag=flag, given=printable(word), example=example
            )
        if name in pairs:
            raise CommandRefused("{flag} {name}=… is given twice: which is meant?", flag=flag, name=printable(name))
        pairs[name] = value
    return pairs


# ---- an order: its rows, its parameters, the call of `call` --------------------------------------------------------


ROWS: Final = "Input"
"""The panel of the options that choose rows."""
PANELS_OF_JOBS: Final = {"call": "The job `call`", "import": "The job `import`"}
"""The panel of a job with options of its own."""

_row: Final = partial(option, panel=ROWS)
_format: Final = partial(option, panel="File format")
_calling: Final = partial(option, panel=PANELS_OF_JOBS["call"])
_importing: Final = partial(option, panel=PANELS_OF_JOBS["import"])


@dataclass(frozen=True, slots=True)
class OrderFlags:
    """The parameters of a job, and how often its rows may be entered."""

    set_: list[str] | None = option("NAME=VALUE", "A parameter of the job; repeatable.", "--set")
    ask: list[str] | None = option("NAME", "Ask for a parameter at the terminal, unseen: for a password; repeatable.")
    again: bool = switch("Enter on top what an earlier run has entered already.")
    since: str | None = option(
        "RUN", "Enter only what has changed since the file of this run: the differences, and new rows.", panel=EARLIER
    )
    another_billing: bool = switch("What was entered at another address is in another billing.", panel=EARLIER)
    shared_accounts: SharedAccountsRule | None = option(
        None, "Several opening balances of one account: enter their sum, the last one, or refuse these rows."
    )


RepeatFlags = Annotated[OrderFlags, Part("again", "another_billing")]


@dataclass(frozen=True, slots=True)
class RowFlags:
    """The source of a job's rows, and how they are read."""

    sql: str | None = _row(
        "SELECT", "Rows from a select in the billing's database; :names are bound to --set NAME=VALUE."
    )
    columns: str | None = _format("A,B", "Names of the columns, in order, where the rows have none.")
    mapping: list[str] | None = _row("NAME=COLUMN", "Which column holds what; repeatable.", "--map")
    encoding: str = _format("NAME", "Of a text file: auto, or a name as cp1251.", default=AUTO)
    delimiter: str | None = _format(
        "CHARACTER", "Of a CSV file; found by itself else. A space, beside --columns, is any white space."
    )
    sheet: str | None = _format("NAME", "Of a workbook with several sheets.")
    limit: int | None = _row(
        "N", "Send the first N rows that are to be sent; rows that are skipped or refused do not count.", least=1
    )
    only: str | None = _row(
        "KEYS|FILE",
        "Only the rows of these contract numbers or ids: with commas, or a file, one a line or in a column.",
    )
    exclude: str | None = _row("KEYS|FILE", "Leave the rows of these out, as --only.")


MAP_WORDS: Final = Option(
    "FILE.toml|FIELD=COLUMN",
    "Which column holds which field: a map file, or one field; repeatable.",
    names=("--map",),
)
TableFlags = Annotated[
    RowFlags,
    Part("mapping", "columns", "encoding", "delimiter", "sheet", "limit", "only", "exclude", mapping=MAP_WORDS),
]
"""How the table of an import is read, and which of its rows."""


def split_map(words: Sequence[str] | None) -> tuple[str, list[str]]:
    """The map file among the words of --map, "" without one, and the columns of single fields, each as it was typed.

    Raises `CommandRefused` for a second file.
    """
    files = [word for word in words or () if "=" not in word or word.endswith(".toml")]
    if len(files) > 1:
        raise CommandRefused("{flag}: two map files are given: which is meant?", flag=setting("map"))
    return "".join(files), [word for word in words or () if word not in files]


@dataclass(frozen=True, slots=True)
class ImportFlags:
    """What an import is given besides its table and its map: parameters of the job `import`, by the same names."""

    dictionary: Path | None = _importing(
        "FILE", "The checked dictionary: names of tariffs, services and folders, and their ids in this billing."
    )
    accounts: Path | None = _importing("FILE", "A table of accounts, joined by contract number.")
    services: Path | None = _importing("FILE", "A table of services, joined by contract number.")
    attributes: Path | None = _importing("FILE", "A table of attributes, joined by contract number.")
    folder: str | None = _importing(
        "NAME|ID", "One folder for all, whatever the table says, as for a trial run; a new name is created."
    )
    sample: int | None = _importing(
        "N", "Import N subscribers only, chosen to cover every tariff, folder and kind of row.", least=1
    )
    change: bool = _importing(
        None, "Change what is there already and differs; else it is left as it is.", default=False
    )
    alike: bool = _importing(None, "Contract numbers that only look alike are right as they are.", default=False)

    @property
    def parameters(self) -> dict[str, str]:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: YES if value is True else str(value) for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class CallFlags:
    """The call that the job `call` makes."""

    model: str | None = _calling("MODEL", "The model, as AdminAccounts.")
    chain: list[str] | None = _calling(
        "LINK", 'A method with its arguments, as \'set {"limit": "{sum}"}\'; once for each, in their order.'
    )
    fields: str | None = _calling("A,B", "The fields wanted in the answer.")
    repeatable: bool = _calling(None, "The call does no harm when made twice.", default=False)
    look_up: str | None = _calling(
        "SELECT", "Finds the effect of a row, by its :placeholders; a row found means that it is there."
    )

    @property
    def parameters(self) -> dict[str, str]:
        from jobs.spec.chain import chain_text  # noqa: PLC0415 - for the job `call` alone

        given = {
            "model": self.model,
            "chain": chain_text(self.chain) if self.chain else "",
            "fields": self.fields,
            "repeatable": YES if self.repeatable else "",
            "look_up": self.look_up,
        }
        return {name: value for name, value in given.items() if value}


# ---- the pacing of a command line and of a job file ---------------------------------------------------------------


_DEFAULT: Final = Policy()
_SWITCH: Final = "no_canary"
"""The key of the only switch, which is the opposite of its setting."""
_SELECT: Final = "throttle-sql"
_ABOVE: Final = "throttle-above"


@dataclass(frozen=True, init=False)
class Pacing:
    """Limits on how hard a run drives the billing, as given on the command line, by their keys in a job file.

    Each is the text of a setting, as `set` takes it, so that a setting kept by the run can be reset as well.
    """

    OPTIONS: ClassVar[Mapping[str, Option]] = {
        name.replace("-", "_") if one.metavar else _SWITCH: Option(
            one.metavar, one.help, () if one.metavar else ("--no-canary/--canary",), "Pacing"
        )
        for name, one in ALL.items()
    }
    typed: Mapping[str, str | bool]

    def __init__(self, **typed: str | bool | None) -> None:
        given = {name: value for name, value in typed.items() if value is not None}
        object.__setattr__(self, "typed", given)

    @cached_property
    def given(self) -> Mapping[str, str]:
        """The given settings, by name. Raises `CommandRefused` for an invalid value."""
        given = {
            _setting(name): value if isinstance(value, str) else NO if value else YES
            for name, value in self.typed.items()
        }
        try:
            policy_with(_DEFAULT, given, ALL)
        except ValueError as error:
            raise CommandRefused("--{error}", error=error) from error
        if (given.get(_SELECT, NONE) == NONE) != (_ABOVE not in given):
            raise CommandRefused(
                "{sql} and {above} belong together: give both, or none", sql=f"--{_SELECT}", above=f"--{_ABOVE}"
            )
        _check_select(given, f"--{_SELECT}")
        return given


_SETTLE: Final = Option("SECONDS", ALL["settle"].help)
_READING_RATE: Final = Option("R", "Reading calls a second at most, or none.")
SettlePacing = Annotated[Pacing, Part("settle", settle=_SETTLE)]
"""That of a probe."""
ReadingPacing = Annotated[Pacing, Part("rate", rate=_READING_RATE)]
"""That of a command that only reads the billing."""
LookUpPacing = Annotated[Pacing, Part("rate", "settle", rate=_READING_RATE, settle=_SETTLE)]
"""That of one that looks rows up."""


def with_file(pacing: Pacing, given: Mapping[str, object]) -> Pacing:
    """The pacing, with a job file's values where the command line gives none.

    Raises `CommandRefused` and `ValueRefused`.
    """
    read = {name: _of_file(name, value) for name, value in given.items()}
    if "max_in_flight" in pacing.typed:
        # A fixed window in the file would make a bound on the command line useless.
        read.pop("in_flight", None)
    return Pacing(**{**read, **pacing.typed})


def _of_file(name: str, value: object) -> str | bool:
    if name == _SWITCH:
        if not isinstance(value, bool):
            raise CommandRefused("{name}: true or false is expected, not {value}", name=name, value=repr(value))
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CommandRefused("{name}: a number or a text is expected, not {value}", name=name, value=repr(value))
    given = {_setting(name): str(value)}
    policy_with(_DEFAULT, given, ALL)
    _check_select(given, name)
    return str(value)


def _check_select(given: Mapping[str, str], name: str) -> None:
    """Raise `CommandRefused` for a throttle-sql that is not one select that changes nothing."""
    if (text := given.get(_SELECT, NONE)) == NONE:
        return
    from billing.selects.select import select_of  # noqa: PLC0415 - few runs have one

    try:
        select_of(text)
    except NotASelect as error:
        raise CommandRefused("{name}: {error}", name=name, error=error) from error


def _setting(name: str) -> str:
    return "canary" if name == _SWITCH else name.replace("_", "-")
