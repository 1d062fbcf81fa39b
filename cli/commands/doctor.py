"""`doctor`: checks everything that a run depends on, and says what to do about each problem."""

import os
import platform
import shutil
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import typer
from rich.markup import escape
from rich.text import Text

from billing.api.client import BillingClient, Health
from billing.database import client_library as embedded
from billing.database.database import TABLES, Database
from billing.database.file_database import open_file_database
from billing.database.schema import documented
from billing.directory.subscribers import any_name
from billing.directory.system import check_scale
from billing.errors import BillingError, ColumnsMissing
from billing.money import SCALE
from billing.profile import describe_fact
from checkpoints.errors import JournalError
from checkpoints.journal import open_journal
from cli.commands.execution import errors_shown
from cli.session.journal import unfinished
from cli.settings.flags import Flags, grouped
from cli.settings.places import without_credentials
from cli.settings.profiles import profile_of, profile_path
from cli.settings.settings import Settings, SettingValue, load
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Facts, Hanging, command, of_markup, steps_list
from cli.terminal.screen import AsJson, Screen, Voice
from cli.terminal.signals import run_command
from cli.terminal.streams import plain
from cli.terminal.texts import WHOLE, count, markup_safe, number_of, printable, rows
from engine.errors import EngineError
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import CALL
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.spec import JobSpec, statement_of
from texts.remedies import PROGRAM, SETTINGS_FILE
from texts.said import text_of

app: Final = typer.Typer(add_completion=False)


@app.command("doctor")
@grouped
def _doctor(*, flags: Flags, as_json: AsJson = False) -> None:
    """Check everything that a run rests on, and say what to mend."""
    screen = Screen(Voice(as_json=as_json))
    with errors_shown(screen):
        code = run_command(lambda: examine(flags, screen))
    raise typer.Exit(code)


async def missing_columns(database: Database) -> tuple[str, ...]:
    """The documented tables and columns that are missing, as `FINANCE_OPERATIONS.DESCR`. Raises `DatabaseError`."""
    schema = await anyio.to_thread.run_sync(lambda: database.schema)
    return tuple(map(str, schema.missing(documented())))


async def refused_jobs(client: BillingClient, database: Database) -> Mapping[str, list[str]]:
    """By reason, the jobs that are refused before their first call, and those without their own select."""
    gateway = Gateway(client, database)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in JOBS.items():
        if name == CALL:
            continue
        parameters = {one.name: one.default or one.name for one in kind.parameters}
        try:
            await build(kind, gateway, parameters, Input()).try_out()
        except EngineError as error:
            found[text_of(error)].append(name)
        if reason := await anyio.to_thread.run_sync(_without_own_select, database, kind):
            found[reason].append(name)
    return found


def _without_own_select(database: Database, kind: JobSpec) -> str:
    own = statement_of(kind.select, {one.name: one.name for one in kind.parameters})
    try:
        if own is not None:
            database.fit(own)
    except ColumnsMissing as error:
        return f"{error}, which the job's own select needs: its rows have to come from a file or from --sql"  # noqa: S608 - a sentence
    return ""


LEAST_FREE: Final = 256 * 1024 * 1024
"""Bytes that should be free on the journal's disk; a row takes about half a kilobyte."""

MOST_SKEW: Final = 60.0
"""Difference of the two clocks in seconds above which it is reported."""


@dataclass(slots=True)
class Checklist:
    """Shows each finding at once and keeps it for scripts; `version` is the billing's version."""

    screen: Screen
    version: str = ""
    bad: int = 0
    findings: list[Mapping[str, str]] = field(default_factory=list)
    settings: dict[str, Mapping[str, str | None]] = field(default_factory=dict)
    facts: list[Mapping[str, str | None]] = field(default_factory=list)

    def good(self, what: str, finding: str) -> None:
        """Show a check that passed; the finding is markup."""
        self._keep(what, "good", plain(Text.from_markup(finding).plain))
        self._line("[green]✓[/]", what, finding)

    def note(self, what: str, finding: str, then: str = "") -> None:
        """Show information that does not prevent a run; the finding is markup, `then` a command that helps."""
        told = plain(Text.from_markup(finding).plain)
        self._keep(what, "note", f"{told} {then}".strip())
        self._line("[yellow]![/]", what, finding)
        if then:
            self.screen.result(command(then))

    def wrong(self, what: str, finding: str) -> None:
        """Show a problem that prevents a run; `finding` says what to do."""
        self.bad += 1
        self._keep(what, "wrong", finding)
        head, *rest = finding.splitlines() or [""]
        self._line("[bold red]✗[/]", what, markup_safe(head, WHOLE))
        for line in rest:
            self._line(" ", "", markup_safe(line, WHOLE))

    def as_object(self) -> Mapping[str, object]:
        """The object of `--json`."""
        return {
            "checks": self.findings,
            "settings": self.settings,
            "facts": self.facts,
            "in_the_way": self.bad,
            "exit": int(Exit.REFUSED if self.bad else Exit.DONE),
        }

    def _keep(self, what: str, standing: str, finding: str) -> None:
        self.findings.append({"check": what, "standing": standing, "finding": finding})

    def _line(self, sign: str, what: str, finding: str) -> None:
        self.screen.result(Hanging(of_markup(f"{sign} {what:<12} "), of_markup(finding)))

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Show an operator error as a problem, and continue with the next check."""
        try:
            yield
        except (BillingError, JournalError, CommandRefused) as error:
            self.wrong(what, text_of(error))


async def examine(flags: Flags, screen: Screen) -> Exit:
    """Run all checks; 0 when nothing prevents a run, else 2."""
    checklist = Checklist(screen)
    _machine(checklist)
    await _runtime(checklist)
    with checklist.trying("settings"):
        settings = load(flags, os.environ, Path.cwd())
        screen.mask.hide(settings.secrets)
        _settings(settings, checklist)
        looks: list[Callable[[Settings, Checklist], Awaitable[None]]] = [_journal, _api, _database, _profile]
        for look in looks:
            await look(settings, checklist)
    if screen.voice.as_json:
        screen.emit(checklist.as_object())
    if checklist.bad:
        screen.result(f"\n[bold red]{checklist.bad} in the way of a run[/]: see the lines with ✗")
        return Exit.REFUSED
    screen.result("\n[bold green]nothing is in the way of a run[/]")
    screen.result(steps_list([(f"{PROGRAM} jobs", "see what a run can do")]))
    return Exit.DONE


def _machine(checklist: Checklist) -> None:
    checklist.good("program", f"{PROGRAM} {version(PROGRAM)}, Python {platform.python_version()} on {sys.platform}")
    if find_spec("uvloop"):
        checklist.good("event loop", f"uvloop {version('uvloop')}")
    else:
        checklist.note("event loop", "without uvloop all works, at about half the speed", "pip install uvloop")


async def _runtime(checklist: Checklist) -> None:
    with checklist.trying("firebird"):
        await anyio.to_thread.run_sync(embedded.load)
        own = version("firebird-embedded") if find_spec("firebird.embedded") else "of the system"
        checklist.good("firebird", f"the client library loads ({own})")


def _settings(settings: Settings, checklist: Checklist) -> None:
    table = Facts(indent=4)
    secret = {"password": settings.database_password, "form": settings.form, "headers": settings.headers}
    open_settings: dict[str, SettingValue[str | None] | SettingValue[str] | SettingValue[Path]] = {
        "api url": settings.api_url,
        "database": settings.database,
        "user": settings.database_user,
        "charset": settings.database_charset,
        "journal": settings.journal,
    }
    for name, setting in open_settings.items():
        kept = setting.value if setting.value is None else without_credentials(str(setting.value))
        checklist.settings[name] = {"value": kept, "origin": setting.origin}
        value = markup_safe(kept or "not set", WHOLE)
        table.add(name, f"{value}  [dim]{markup_safe(setting.origin, WHOLE)}[/]")
    for name, hidden in secret.items():
        # Of a secret it is said that there is one, and no more.
        checklist.settings[name] = {"value": "set" if hidden.value else None, "origin": hidden.origin}
        table.add(name, f"{'set' if hidden.value else 'not set'}  [dim]{markup_safe(hidden.origin, WHOLE)}[/]")
    file = markup_safe(settings.file, WHOLE) if settings.file else f"no {SETTINGS_FILE}: flags and environment alone"
    checklist.good("settings", file)
    checklist.screen.result(table)
    for one in settings.exposed:
        checklist.note("access", f"{markup_safe(one.reason, WHOLE)}:", one.command)


async def _journal(settings: Settings, checklist: Checklist) -> None:
    path = anyio.Path(settings.journal.value)
    with checklist.trying("journal"):
        if await path.exists():
            async with open_journal(settings.journal.value) as journal:
                runs = await journal.runs()
                left = [run.name for run in runs if await unfinished(run, journal)]
            told = f"; not at their end: {', '.join(left)}" if left else ""
            checklist.good("journal", f"{markup_safe(path, WHOLE)}: {number_of(len(runs), 'run')}{told}")
        elif os.access(_nearest_folder(settings.journal.value), os.W_OK):
            checklist.good("journal", f"{markup_safe(path, WHOLE)} will be made by the first run")
        else:
            checklist.wrong(
                "journal", f"{path} cannot be made: its folder cannot be written. Name another: --journal"
            )
    free = shutil.disk_usage(_nearest_folder(settings.journal.value)).free
    told = f"{count(free // 1024 // 1024)} MiB free beside the journal"
    if free < LEAST_FREE:
        checklist.wrong("disk", f"{told}: a run of {rows(100_000)} wants about {LEAST_FREE // 1024 // 1024}")
    else:
        checklist.good("disk", told)


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())


async def _api(settings: Settings, checklist: Checklist) -> None:
    with checklist.trying("api"):
        async with BillingClient(settings.client) as client:
            health = await client.health()
        checklist.version = health.version
        version_of = markup_safe(health.version)
        checklist.good(
            "api", f"{markup_safe(settings.target)}, version {version_of}, in {1000 * health.seconds:.0f} ms"
        )
        _clock(health, checklist)


async def _profile(settings: Settings, checklist: Checklist) -> None:
    """Show the facts that jobs depend on, and whether each is confirmed."""
    with checklist.trying("profile"):
        path = profile_path(settings)
        profile = profile_of(settings)
        facts = dict(profile.facts())
        known = sum(fact.known for fact in facts.values())
        profile_version = markup_safe(profile.version)
        ask = f"{PROGRAM} probe --abonent ID"
        if not known:
            checklist.note("profile", "no probe has asked this billing; ask it, on a test subscriber:", ask)
        elif checklist.version and profile.version != checklist.version:
            checklist.note(
                "profile",
                f"learned from version {profile_version}, and the billing is of version "
                f"{markup_safe(checklist.version)} now; ask it again, on a test subscriber:",
                ask,
            )
        else:
            checklist.good(
                "profile", f"{markup_safe(path, WHOLE)}, of version {profile_version}: {known} facts known"
            )
        table = Facts(indent=4)
        for name, fact in facts.items():
            when = f" {fact.learned}" if fact.learned else ""
            learned = str(fact.learned) if fact.learned else None
            said = describe_fact(name, fact.value)
            checklist.facts.append({"fact": name, "standing": str(fact.standing), "learned": learned, "says": said})
            # Of what nobody has asked for there is nothing to show.
            if fact.known or fact.value not in ((), {}):
                table.add(f"{fact.standing}{when}", markup_safe(said))
        checklist.screen.result(table)


def _clock(health: Health, checklist: Checklist) -> None:
    """Compare the billing's time, which has no zone, with this machine's time and with UTC."""
    if health.server_time is None:
        checklist.note("clock", "the billing does not tell its time")
        return
    there = _read_time(health.server_time)
    if there is None:
        checklist.note("clock", f"the billing's time cannot be read: {markup_safe(health.server_time)}")
        return
    now = datetime.now(UTC)
    here = [now.replace(tzinfo=None), now.astimezone().replace(tzinfo=None)]
    skew = min((abs((there - clock).total_seconds()) for clock in here), default=0.0)
    if skew > MOST_SKEW:
        checklist.note("clock", f"the billing's clock is {skew:.0f} s away from this machine's: times will not match")
    else:
        checklist.good("clock", f"{skew:.0f} s between the billing's clock and this one")


def _read_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


async def _database(settings: Settings, checklist: Checklist) -> None:
    dsn = settings.dsn
    if dsn is None:
        checklist.note(
            "database", "none is set: all is asked through the API, a call a row, and some jobs cannot work"
        )
        return
    with checklist.trying("database"):
        database = open_file_database(dsn)
        try:
            await anyio.to_thread.run_sync(_look_into, database, checklist)
            await _columns(settings, database, checklist)
        finally:
            await anyio.to_thread.run_sync(database.close)


async def _columns(settings: Settings, database: Database, checklist: Checklist) -> None:
    """Show documented tables and columns that are missing; versions differ."""
    missing = await missing_columns(database)
    if not missing:
        checklist.good("columns", "all that are documented are there")
        return
    refused = await refused_jobs(BillingClient(settings.client), database)
    rest = [name for name in missing if not any(_names(reason, name) for reason in refused)]
    if rest:
        checklist.note(
            "columns", f"not there, and left out of what is read and shown: {markup_safe(', '.join(rest))}"
        )
    for reason, jobs in refused.items():
        checklist.note("columns", f"{markup_safe(', '.join(jobs))}: {markup_safe(reason)}")


def _names(reason: str, missing: str) -> bool:
    table, _, column = missing.partition(".")
    return table in reason and column in reason


def _look_into(database: Database, checklist: Checklist) -> None:
    database.connect()
    with checklist.trying("database"):
        counts = [
            number_of(next(database.query(f"select count(*) from {table}"))[0], table.lower(), table.lower())  # noqa: S608 - names of ours
            for table in sorted(TABLES)
        ]
        checklist.good("database", f"{markup_safe(database.dsn, WHOLE)}: {', '.join(counts)}")
        if (sample := any_name(database)) is not None:
            # Garbled letters mean a wrong charset; only a person can see that.
            checklist.good(
                "charset",
                f"{markup_safe(database.dsn.charset)}; can you read this name? {escape(printable(sample))}",
            )
        with checklist.trying("money"):
            _scale(database, checklist)


def _scale(database: Database, checklist: Checklist) -> None:
    if check_scale(database):
        checklist.good("money", f"{count(SCALE)} in the database are one rouble, as row 1 of VPN_CONST says")
    else:
        checklist.note(
            "money",
            f"row 1 of VPN_CONST cannot be read; {count(SCALE)} in the database are taken for one rouble: compare a "
            "balance with what the billing shows before you rely on it",
        )
