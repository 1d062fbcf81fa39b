"""`doctor`: checks everything that a run depends on, and says what to do about each problem."""

import os
import platform
import shutil
import socket
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import typer
from rich.text import Text

from billing.api.client import BillingClient, Health
from billing.database import client_library as embedded
from billing.database.database import TABLES, Database
from billing.database.file_database import open_file_database
from billing.database.schema import documented
from billing.directory.subscribers import any_name
from billing.directory.system import check_scale
from billing.errors import ColumnsMissing
from billing.money import SCALE
from billing.profile import describe_fact
from checkpoints.address import JournalAddress
from cli.commands.doctor_journal import MOST_SKEW, Checklist, check_journal, note_plain
from cli.commands.execution import advise_typed, errors_shown, wear_badge
from cli.metrics.reader import LOOPBACK
from cli.session.session import one_billing
from cli.settings.flags import Flags, grouped
from cli.settings.places import without_credentials
from cli.settings.profiles import profile_of, profile_path
from cli.settings.settings import Settings, SettingValue, load
from cli.terminal.exits import Exit
from cli.terminal.layout import Facts, render, steps_list
from cli.terminal.names import STANDING_NAMES
from cli.terminal.screen import AsJson, Screen, Voice
from cli.terminal.signals import run_command
from cli.terminal.texts import WHOLE, printable, reason_of
from engine.errors import EngineError
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import Catalogue
from jobs.catalogue.typed_call import CALL
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.spec import JobSpec, statement_of
from texts.remedies import PROGRAM, SETTINGS_FILE, command_line, setting
from texts.said import Quantity, counted, said, text_of

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


async def refused_jobs(client: BillingClient, database: Database, catalogue: Catalogue) -> Mapping[str, list[str]]:
    """By reason, the jobs that are refused before their first call, and those without their own select."""
    gateway = Gateway(client, database)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in catalogue.jobs.items():
        if name == CALL:
            continue
        parameters = {one.name: one.name if one.default is None else one.default for one in kind.parameters}
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
        return said(
            "{error}, which the job's own select needs: its rows have to come from a file or from {flag}",
            error=error,
            flag=setting("sql"),
        )
    return ""


async def examine(flags: Flags, screen: Screen) -> Exit:
    """Run all checks; 0 when nothing prevents a run, else 2."""
    checklist = Checklist(screen)
    _machine(checklist)
    await _runtime(checklist)
    with checklist.trying(said("settings")):
        settings = load(flags, os.environ, Path.cwd())
        screen.mask.hide(settings.secrets)
        wear_badge(settings, screen)
        advise_typed(flags, settings)
        _settings(settings, checklist)
        looks: list[Callable[[Settings, Checklist], Awaitable[None]]] = [
            _declarations,
            _listeners,
            check_journal,
            _api,
            _database,
            _profile,
        ]
        for look in looks:
            await look(settings, checklist)
    if screen.voice.as_json:
        screen.emit(checklist.as_object())
    if checklist.bad:
        bad = said("{n} in the way of a run", n=Quantity(checklist.bad))
        screen.result("")
        screen.result(Text.assemble(render(bad, "bold red"), ": ", render(said("see the lines with ✗"))))
        return Exit.REFUSED
    screen.result("")
    screen.result(render(said("nothing is in the way of a run"), "bold green"))
    screen.result(steps_list([(command_line("jobs"), said("see what a run can do"))]))
    return Exit.DONE


def _machine(checklist: Checklist) -> None:
    program = said(
        "{program} {version}, Python {python} on {system}",
        program=PROGRAM,
        version=version(PROGRAM),
        python=platform.python_version(),
        system=sys.platform,
    )
    checklist.good(said("program"), program)
    if find_spec("uvloop"):
        checklist.good(said("event loop"), f"uvloop {version('uvloop')}")
    else:
        slow = said("without uvloop all works, at about half the speed")
        checklist.note(said("event loop"), slow, "pip install uvloop")


async def _runtime(checklist: Checklist) -> None:
    with checklist.trying("firebird"):
        await anyio.to_thread.run_sync(embedded.load)
        own = version("firebird-embedded") if find_spec("firebird.embedded") else said("of the system")
        checklist.good("firebird", said("the client library loads ({origin})", origin=own))


def _settings(settings: Settings, checklist: Checklist) -> None:
    table = Facts(indent=4)
    if profile := settings.profile:
        checklist.settings["profile"] = {"value": profile.badge.profile, "origin": profile.origin}
        table.add(said("billing"), Text.assemble(profile.badge.line, "  ", render(profile.origin, "dim")))
    secret = {
        said("password"): settings.database_password,
        said("form"): settings.form,
        said("headers"): settings.headers,
    }
    open_settings: dict[str, SettingValue[str | None] | SettingValue[str] | SettingValue[JournalAddress]] = {
        said("api url"): settings.api_url,
        said("database"): settings.database,
        said("user"): settings.database_user,
        said("charset"): settings.database_charset,
        said("journal"): settings.journal,
    }
    for name, chosen in open_settings.items():
        kept = chosen.value if chosen.value is None else without_credentials(str(chosen.value))
        checklist.settings[name] = {"value": kept, "origin": chosen.origin}
        table.add(name, _with_origin(kept or said("not set"), chosen.origin))
    for name, hidden in secret.items():
        # Of a secret it is said that there is one, and no more.
        checklist.settings[name] = {"value": "set" if hidden.value else None, "origin": hidden.origin}
        table.add(name, _with_origin(said("set") if hidden.value else said("not set"), hidden.origin))
    none = said("no {file}: flags and environment alone", file=SETTINGS_FILE)
    checklist.good(said("settings"), str(settings.file) if settings.file else none)
    checklist.screen.result(table)
    # Those of API and database are missed where these are asked.
    with checklist.trying(said("hooks")):
        settings.hidden.require("hooks")
    for one in settings.exposed:
        checklist.note(said("access"), said("{reason}:", reason=one.reason), one.command)


def _with_origin(value: str, origin: str) -> Text:
    return Text.assemble(render(value), "  ", render(origin, "dim"))


async def _declarations(settings: Settings, checklist: Checklist) -> None:
    for one in settings.catalogue.declarations:
        if one.fault:
            checklist.wrong(said("own jobs"), one.fault)
        else:
            checklist.good(said("own jobs"), said("{jobs}, of {file}", jobs=tuple(one.jobs), file=one.path))


async def _listeners(settings: Settings, checklist: Checklist) -> None:
    """Who is to hear of runs, and cannot be told; that hinders no run."""
    with checklist.trying(said("hooks")):
        settings.hooks.check_programs()
    for event, hook in settings.hooks.hooks.items():
        if hook.command and shutil.which(hook.command[0]) is None:
            missing = said(
                "{event}: {program} is not there, or cannot be executed",
                event=event,
                program=printable(hook.name, WHOLE),
            )
            checklist.note(said("hooks"), missing)
    file, port = settings.metrics.file, settings.metrics.port
    if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
        closed = said("{file}: its folder is not there, or cannot be written", file=printable(str(file), WHOLE))
        checklist.note(said("metrics"), closed)
    if port is not None:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError as error:
            taken = said("port {port} cannot be had: {reason}", port=str(port), reason=reason_of(error))
            checklist.note(said("metrics"), taken)


async def _api(settings: Settings, checklist: Checklist) -> None:
    with checklist.trying("api"):
        async with BillingClient(settings.client) as client:
            health = await client.health()
        checklist.version = health.version
        answered = said(
            "{address}, version {version}, in {ms} ms",
            address=settings.target,
            version=printable(health.version),
            ms=round(1000 * health.seconds),
        )
        checklist.good("api", answered)
        _clock(health, checklist)
    address = urlsplit(settings.api_url.value or "")
    if address.scheme == "http":
        note_plain("api", address.hostname or "", checklist)


async def _profile(settings: Settings, checklist: Checklist) -> None:
    """Show the facts that jobs depend on, and whether each is confirmed."""
    with checklist.trying(said("profile")):
        path = profile_path(settings)
        profile = profile_of(settings)
        facts = dict(profile.facts())
        known = sum(fact.known for fact in facts.values())
        ask = command_line("probe", "--abonent", "ID")
        if not known:
            checklist.note(
                said("profile"), said("no probe has asked this billing; ask it, on a test subscriber:"), ask
            )
        elif checklist.version and profile.version != checklist.version:
            older = said(
                "learned from version {old}, and the billing is of version {new} now; ask it again, on a test "
                "subscriber:",
                old=printable(profile.version),
                new=printable(checklist.version),
            )
            checklist.note(said("profile"), older, ask)
        else:
            learned = counted(
                "{file}, of version {version}: {n} fact known",
                "{file}, of version {version}: {n} facts known",
                known,
                file=path,
                version=printable(profile.version),
            )
            checklist.good(said("profile"), learned)
        table = Facts(indent=4)
        for name, fact in facts.items():
            when = str(fact.learned) if fact.learned else None
            says = describe_fact(name, fact.value)
            checklist.facts.append({"fact": name, "standing": str(fact.standing), "learned": when, "says": says})
            # Of what nobody has asked for there is nothing to show.
            if fact.known or fact.value not in ((), {}):
                standing = STANDING_NAMES[fact.standing]
                table.add(said("{standing} {day}", standing=standing, day=when) if when else standing, render(says))
        checklist.screen.result(table)


def _clock(health: Health, checklist: Checklist) -> None:
    """Compare the billing's time, which has no zone, with this machine's time and with UTC."""
    if health.server_time is None:
        checklist.note(said("clock"), said("the billing does not tell its time"))
        return
    there = _read_time(health.server_time)
    if there is None:
        unread = said("the billing's time cannot be read: {time}", time=printable(health.server_time))
        checklist.note(said("clock"), unread)
        return
    now = datetime.now(UTC)
    here = [now.replace(tzinfo=None), now.astimezone().replace(tzinfo=None)]
    skew = min((abs((there - clock).total_seconds()) for clock in here), default=0.0)
    if skew > MOST_SKEW:
        away = said(
            "the billing's clock is {seconds} s away from this machine's: times will not match", seconds=round(skew)
        )
        checklist.note(said("clock"), away)
    else:
        near = said("{seconds} s between the billing's clock and this one", seconds=round(skew))
        checklist.good(said("clock"), near)


def _read_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


async def _database(settings: Settings, checklist: Checklist) -> None:
    with checklist.trying(said("database")):
        dsn = settings.dsn
        if dsn is None:
            checklist.note(
                said("database"),
                said(
                    "none is set: all is asked through the API, a call a row, and some jobs cannot work; the billing "
                    "is known by its address alone"
                ),
            )
            return
        database = open_file_database(dsn)
        try:
            await anyio.to_thread.run_sync(_look_into, database, checklist)
            await _columns(settings, database, checklist)
            await _one_billing(settings, database, checklist)
        finally:
            await anyio.to_thread.run_sync(database.close)


async def _one_billing(settings: Settings, database: Database, checklist: Checklist) -> None:
    """Compare API and database, and say by what the billing is recognised."""
    with checklist.trying(said("billing")):
        async with BillingClient(settings.client) as client:
            one = await one_billing(Gateway(client, database), settings)
        alike = counted(
            "API and database are one: {n} subscriber is equal in both",
            "API and database are one: {n} subscribers are equal in both",
            one.compared,
        )
        if not one.compared:
            checklist.note(said("billing"), said("without subscribers, API and database cannot be compared"))
        elif one.identity:
            checklist.good(said("billing"), said("{alike}; known by its oldest rows at any address", alike=alike))
        else:
            checklist.note(said("billing"), said("{alike}; known by its address alone", alike=alike))


async def _columns(settings: Settings, database: Database, checklist: Checklist) -> None:
    """Show documented tables and columns that are missing; versions differ."""
    missing = await missing_columns(database)
    if not missing:
        checklist.good(said("columns"), said("all that are documented are there"))
        return
    refused = await refused_jobs(BillingClient(settings.client), database, settings.catalogue)
    rest = [name for name in missing if not any(_names(reason, name) for reason in refused)]
    if rest:
        left_out = said("not there, and left out of what is read and shown: {columns}", columns=tuple(rest))
        checklist.note(said("columns"), left_out)
    for reason, jobs in refused.items():
        checklist.note(said("columns"), said("{jobs}: {reason}", jobs=tuple(jobs), reason=reason))


def _names(reason: str, missing: str) -> bool:
    table, _, column = missing.partition(".")
    return table in reason and column in reason


def _look_into(database: Database, checklist: Checklist) -> None:
    database.connect()
    with checklist.trying(said("database")):
        counts = tuple(
            said("{n} {table}", n=Quantity(_rows_of(table, database)), table=table.lower())
            for table in sorted(TABLES)
        )
        tables = said("{database}: {tables}", database=printable(database.dsn, WHOLE), tables=counts)
        checklist.good(said("database"), tables)
        if (sample := any_name(database)) is not None:
            # Garbled letters mean a wrong charset; only a person can see that.
            readable = said(
                "{charset}; can you read this name? {name}", charset=database.dsn.charset, name=printable(sample)
            )
            checklist.good(said("charset"), readable)
        with checklist.trying(said("money")):
            _scale(database, checklist)


def _rows_of(table: str, database: Database) -> int:
    ((number,),) = database.query(f"select count(*) from {table}")  # noqa: S608 - a name of ours
    return int(number)


def _scale(database: Database, checklist: Checklist) -> None:
    if check_scale(database):
        one_rouble = said("{scale} in the database are one rouble, as row 1 of VPN_CONST says", scale=Quantity(SCALE))
        checklist.good(said("money"), one_rouble)
    else:
        checklist.note(
            said("money"),
            said(
                "row 1 of VPN_CONST cannot be read; {scale} in the database are taken for one rouble: compare a "
                "balance with what the billing shows before you rely on it",
                scale=Quantity(SCALE),
            ),
        )
