"""`doctor`: checks everything that a run depends on, and says what to do about each problem.

`CHECKS` has each thing that is looked at. A check yields its findings; an operator error that it raises is one, too.
"""

import ipaddress
import os
import platform
import shlex
import shutil
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
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
from checkpoints.journal import KeysInUse, earlier_runs, open_journal
from checkpoints.journal_file import JournalAddress, is_volatile
from checkpoints.own_files import kept_copies
from checkpoints.stores import is_there
from cli.commands.execution import close, run_alone, settings_in_force
from cli.session.door import LOOPBACK
from cli.session.order import keys_of, plans_beside
from cli.session.session import BillingConnection, Session, one_billing, profile_of, profile_path
from cli.settings.flags import Flags
from cli.settings.places import without_credentials
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Facts, Hanging, command, render, stack
from cli.terminal.names import STANDING_NAMES
from cli.terminal.options import as_command, switch
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, printable, rendered
from engine.errors import EngineError
from jobs.access.gateway import Gateway, OneBilling
from jobs.access.vault import missing_keys, no_key
from jobs.catalogue.typed_call import CALL
from jobs.job import build
from jobs.rows.input import Input
from jobs.runs import unfinished
from jobs.spec.spec import statement_of
from texts.said import (
    PROGRAM,
    VAULT_KEY_FILE,
    Given,
    Quantity,
    Said,
    command_line,
    counted,
    reason_of,
    said,
    text_of,
)

LEAST_FREE: Final = 256 * 1024 * 1024
"""Bytes that should be free on the journal's disk; a row takes about half a kilobyte."""

MOST_CONNECTIONS: Final = 0.8
"""The share of the server's connections above which it is reported that they run out."""

CONNECTIONS_OF_A_RUN: Final = 4
"""Connections of a process that sends a run: for reading, for writing, for its lock, and for what it is told."""

MOST_SKEW: Final = 60.0
"""Difference of two clocks in seconds above which it is reported."""


@as_command("doctor")
def _doctor(
    *, verbose: bool = switch("Show all that was checked.", "-v", "--verbose"), flags: Flags, voice: JsonVoice
) -> None:
    """Check everything that a run rests on, and say what to mend."""
    screen = Screen(voice)
    run_alone(lambda: examine(flags, screen, verbose=verbose), screen)


@dataclass(slots=True)
class Examined:
    """What is examined, and what a check has learned for those after it; the tables are those of `--json`."""

    flags: Flags
    screen: Screen
    settings: Settings = field(init=False)
    health: Health = field(init=False)
    one: OneBilling = field(init=False)
    database: Database | None = None
    origins: dict[str, Mapping[str, str | None]] = field(default_factory=dict)
    facts: list[Mapping[str, str | None]] = field(default_factory=list)


class Finding(NamedTuple):
    """What a check has found: that all is `good`, a `note` that hinders no run, or what is `wrong` and what to do.

    What is `unchecked` needs something that another check has found wrong.
    `then` is a command that helps, `of` what is found out about, where it is not what the check has the name of.
    What is good is shown only with `-v`, unless a person has to `look` at it; so is the table `below`.
    """

    standing: str
    text: str
    then: str = ""
    of: str | None = None
    below: Facts | None = None
    look: bool = False


def _found(
    standing: str,
    template: str,
    /,
    *,
    then: str = "",
    of: str | None = None,
    below: Facts | None = None,
    look: bool = False,
    **values: Given,
) -> Finding:
    return Finding(standing, Said(template, values), then, of, below, look)


passed: Final = partial(_found, "good")
noted: Final = partial(_found, "note")
failed: Final = partial(_found, "wrong")

_SIGNS: Final = {"good": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "bold red")}


async def examine(flags: Flags, screen: Screen, *, verbose: bool) -> Exit:
    """Go through all checks; 0 when nothing prevents a run, else 2."""
    examined, findings = Examined(flags, screen), list[tuple[str, Finding]]()
    broken = set[_Check]()

    def note(what: str, found: Finding) -> None:
        findings.append((what, found))
        if found.standing == "good" and not (found.look or verbose):
            return
        head, *rest = rendered(found.text).splitlines() if found.standing == "wrong" else [found.text]
        screen.result(Hanging(Text.assemble(_SIGNS[found.standing], f" {printable(what):<12} "), render(head)))
        for line in rest:
            screen.result(Hanging(Text(" " * 15), render(line)))
        if found.then:
            screen.result(command(found.then))
        if found.below is not None and verbose:
            screen.result(found.below)

    try:
        for what, look, *needed in CHECKS:
            if broken.intersection(needed):
                findings.append((what, Finding("unchecked", said("could not be checked"))))
                continue
            try:
                with waiting(said("checking: {what}", what=what)):
                    async for found in look(examined):
                        note(found.of or what, found)
            except (BillingError, EngineError, JournalError, CommandRefused) as error:
                note(what, Finding("wrong", text_of(error)))
                broken.add(look)
                if look is _settings:
                    # Without settings nothing else can be looked at.
                    break
    finally:
        if examined.database is not None:
            await run_sync(examined.database.close)
    bad = sum(found.standing == "wrong" for _, found in findings)
    in_the_way = counted("{n} problem[s] in the way of a run: see the line[s] with ✗, then repeat", bad)
    free = render(said("nothing is in the way of a run"), "bold green")
    missed = tuple(what for what, found in findings if found.standing == "unchecked")
    more = said("checked: {n}; -v shows all", n=Quantity(len(findings) - len(missed)))
    if missed:
        more = said("could not be checked: {checks}; {more}", checks=missed, more=more)
    checks = [
        {"check": what, "standing": found.standing, "finding": f"{found.text} {found.then}".strip()}
        for what, found in findings
    ]
    tables = {"checks": checks, "settings": examined.origins, "facts": examined.facts, "in_the_way": bad}
    shown = (
        stack("", render(in_the_way, "bold red"), render(more, "dim"))
        if bad
        else Text.assemble(free, "; ", render(more, "dim"))
    )
    return close(screen, Exit.REFUSED if bad else Exit.DONE, shown, tables)


# ---- this machine, and the settings -------------------------------------------------------------------------------


async def _program(_: Examined) -> AsyncIterator[Finding]:
    yield passed(
        "carbon-migrate {version}, Python {python} on {system}",
        version=version(PROGRAM),
        python=platform.python_version(),
        system=sys.platform,
    )
    of = said("event loop")
    if find_spec("uvloop"):
        yield Finding("good", f"uvloop {version('uvloop')}", of=of)
    else:
        yield noted("without uvloop all works, at about half the speed", then="pip install uvloop", of=of)


async def _firebird(_: Examined) -> AsyncIterator[Finding]:
    await run_sync(embedded.load)
    own = version("firebird-embedded") if find_spec("firebird.embedded") else said("of the system")
    yield passed("the client library loads ({origin})", origin=own)


async def _settings(examined: Examined) -> AsyncIterator[Finding]:
    settings = examined.settings = settings_in_force(examined.flags, examined.screen, note=False)
    table = list[tuple[str, Text]]()
    if profile := settings.profile:
        examined.origins["profile"] = {"value": profile.badge.profile, "origin": profile.origin}
        table.append((said("billing"), Text.assemble(profile.badge.line, "  ", render(profile.origin, "dim"))))
    for name, chosen, is_secret in (
        (said("api url"), settings.api_url, False),
        (said("database"), settings.database, False),
        (said("user"), settings.database_user, False),
        (said("charset"), settings.database_charset, False),
        (said("time-out"), settings.timeout, False),
        (said("journal"), settings.journal, False),
        (said("password"), settings.database_password, True),
        (said("form"), settings.form, True),
        (said("headers"), settings.headers, True),
    ):
        # Of a secret it is said that there is one, and no more.
        kept: str | None = said("set") if chosen.value else None
        if not is_secret and chosen.value is not None:
            kept = without_credentials(str(chosen.value))
            if isinstance(chosen.value, float):
                kept = said("{seconds} s", seconds=chosen.value)
        examined.origins[name] = {"value": kept, "origin": chosen.origin}
        table.append((name, Text.assemble(render(kept or said("not set")), "  ", render(chosen.origin, "dim"))))
    none = said("no carbon-migrate.toml: flags and environment alone")
    file = str(settings.file) if settings.file else none
    if settings.profile:
        # Which billing it is, is for a person to see.
        file = said("{file}; {profile}", file=file, profile=settings.profile.badge.sentence)
    yield Finding("good", file, below=Facts(*table, indent=4), look=settings.profile is not None)
    for one in settings.exposed:
        yield noted("{reason}:", reason=one.reason, then=one.command, of=said("access"))


async def _own_jobs(examined: Examined) -> AsyncIterator[Finding]:
    for one in examined.settings.catalogue.declarations:
        yield (
            Finding("wrong", one.fault)
            if one.fault
            else passed("{jobs}, of {file}", jobs=tuple(one.jobs), file=one.path)
        )


async def _hooks(examined: Examined) -> AsyncIterator[Finding]:
    # The hidden settings of API and database are missed where these are asked.
    examined.settings.hidden.require("hooks")
    hooks = examined.settings.hooks
    for event, hook in hooks.hooks.items():
        if hook.command and shutil.which(hook.command[0]) is None:
            program = printable(hook.name, WHOLE)
            yield noted("{event}: {program} is not there, or cannot be executed", event=event, program=program)
    hooks.check_programs()


async def _metrics(examined: Examined) -> AsyncIterator[Finding]:
    file, port = examined.settings.metrics.file, examined.settings.metrics.port
    if file is not None and not os.access(Path(file).parent, os.W_OK | os.X_OK):
        yield noted("{file}: its folder is not there, or cannot be written", file=printable(file, WHOLE))
    if port is not None:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError as error:
            yield noted("port {port} cannot be had: {reason}", port=str(port), reason=reason_of(error))


# ---- the journal: its runs, its disk, or its PostgreSQL server ----------------------------------------------------


async def _journal(examined: Examined) -> AsyncIterator[Finding]:
    where = examined.settings.journal.value
    name = str(where)
    if await run_sync(is_there, where):
        async with open_journal(where) as journal:
            runs = await journal.runs()
            left = tuple([run.name for run in runs if await unfinished(run, journal)])
        told = counted("{journal}: {n} run[s]", len(runs), journal=name)
        yield Finding("good", said("{journal}; not at their end: {runs}", journal=told, runs=left) if left else told)
    elif where.postgres is not None or os.access(_beside(where), os.W_OK):
        yield passed("{journal} will be made by the first run", journal=name)
    else:
        yield failed("{journal} cannot be made: its folder cannot be written. Name another: --journal", journal=name)


async def _kept_copies(examined: Examined) -> AsyncIterator[Finding]:
    path = examined.settings.journal.value.path
    for copy in (*kept_copies(path), *kept_copies(plans_beside(path))):
        yield noted(
            "{copy}: the journal as the program before had it, with all that it held of people. Once you are sure "
            "not to go back:",
            copy=copy,
            then=shlex.join(["rm", str(copy)]),
        )


async def _server(examined: Examined) -> AsyncIterator[Finding]:
    if (address := examined.settings.journal.value.postgres) is None:
        return
    from checkpoints.postgres_store import facts_of_server

    facts = await run_sync(facts_of_server, address)
    skew = round(abs(facts.skew))
    if not facts.may_make:
        yield failed(
            "this role may not make tables in schema {schema}: let the owner of the database type: "
            "create schema {schema} authorization ROLE",
            schema=address.schema,
        )
    elif abs(facts.skew) > MOST_SKEW:
        yield noted(
            "the clock of PostgreSQL is {seconds} s away from this machine's: times of several machines will "
            "not match",
            seconds=skew,
        )
    else:
        version_ = printable(facts.version)
        yield passed(
            "PostgreSQL {version}; {seconds} s between its clock and this one", version=version_, seconds=skew
        )
    if facts.logs_statements:
        yield noted(
            "PostgreSQL writes statements to its own log, and they hold names and amounts of subscribers: see to "
            "it who reads that log, or set log_statement = 'none' and log_min_duration_statement = -1 for this "
            "role"
        )
    if not is_this_machine(facts.plain_host):
        yield _plain(facts.plain_host, said("journal"))


def _plain(host: str, of: str) -> Finding:
    return noted(
        "the connection to {host} is not encrypted: anyone on the path can read and change names, amounts and "
        "passwords. Use TLS, a tunnel or a private network",
        host=printable(host),
        of=of,
    )


def is_this_machine(host: str) -> bool:
    """Whether an address is of this machine alone: no host, a path of a socket, or a loopback address."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _queue(examined: Examined) -> AsyncIterator[Finding]:
    if (address := examined.settings.journal.value.postgres) is None:
        return
    from cli.session.queue import HEARD_SECONDS, facts_of_queue

    facts = await run_sync(facts_of_queue, address)
    if facts.waiting is None or facts.given_out is None or facts.workers is None:
        yield passed("no run was handed in yet, and no worker was started")
    elif facts.workers:
        yield passed(
            "{workers}; runs: {working} worked on, {waiting} waiting",
            workers=counted("{n} worker[s]", facts.workers),
            working=facts.given_out,
            waiting=facts.waiting,
        )
    elif runs := facts.waiting + facts.given_out:
        waits = counted(
            "{n} run[s] [waits|wait], and no worker was heard of for {seconds} s: start one",
            runs,
            seconds=HEARD_SECONDS,
        )
        # Of all billings: a profile that was typed would make it a worker of this one alone.
        yield Finding("note", waits, f"{PROGRAM} worker")
    else:
        yield passed("no run waits, and no worker was heard of for {seconds} s", seconds=HEARD_SECONDS)
    if facts.connections > MOST_CONNECTIONS * facts.most_connections:
        yield noted(
            "{used} of {most} are in use: each run that is sent takes {each}. Let the administrator of "
            "PostgreSQL raise max_connections, or start workers with fewer --billings",
            used=facts.connections,
            most=facts.most_connections,
            each=CONNECTIONS_OF_A_RUN,
            of=said("connections"),
        )


async def _vault_key(examined: Examined) -> AsyncIterator[Finding]:
    """Whether the key of the settings opens the passwords that are kept, and is that of the other machines."""
    where, keys, used = examined.settings.journal.value, keys_of(examined.settings), KeysInUse({}, "")
    if where.postgres is None:
        return
    if await run_sync(is_there, where):
        async with open_journal(where) as journal:
            used = await journal.kept_secrets.keys_in_use()
    if keys is None and used.kept:
        yield Finding("wrong", no_key(str(where)))
    elif keys is None:
        make = command_line("journal", "key", VAULT_KEY_FILE)
        yield noted("none is set: runs whose rows have passwords or sessions need one", then=make)
    elif missing := sorted(used.kept.keys() - set(keys.ids)):
        yield Finding("wrong", missing_keys(str(where), missing, keys.ids))
    elif used.newest and used.newest not in keys.ids:
        yield failed(
            "passwords were last encrypted with key {newest} in this journal, and vault_key has {ours} here: give "
            "all machines the same keys",
            newest=used.newest,
            ours=keys.ids,
        )
    else:
        encrypts = counted(
            "key {key} encrypts; {n} secret[s] [is|are] kept, and [all ]can be opened",
            sum(used.kept.values()),
            key=keys.first,
        )
        yield Finding("good", encrypts)


async def _disk(examined: Examined) -> AsyncIterator[Finding]:
    where = examined.settings.journal.value
    if where.postgres is not None:
        return
    if is_volatile(where.path):
        yield noted(
            "{journal} is in memory (tmpfs), and is gone when the machine or the container restarts: name a file on "
            "a disk with --journal",
            journal=str(where),
        )
    free = shutil.disk_usage(_beside(where)).free
    told = said("{free} MiB free beside the journal", free=Quantity(free // 1024 // 1024))
    if free >= LEAST_FREE:
        yield Finding("good", told)
    else:
        yield failed(
            "{free}: a run of {rows} rows wants about {wanted}",
            free=told,
            rows=Quantity(100_000),
            wanted=LEAST_FREE // 1024 // 1024,
        )


def _beside(journal: JournalAddress) -> Path:
    return next(folder for folder in journal.path.absolute().parents if folder.is_dir())


# ---- the billing: its API, its database, what is known of it ------------------------------------------------------


async def _api(examined: Examined) -> AsyncIterator[Finding]:
    address = urlsplit(examined.settings.api_url.value or "")
    if address.scheme == "http" and not is_this_machine(host := address.hostname or ""):
        yield _plain(host, "api")
    async with BillingClient(examined.settings.client) as client:
        health = examined.health = await client.health()
    yield passed(
        "{address}, version {version}, in {ms} ms",
        address=examined.settings.target,
        version=printable(health.version),
        ms=round(1000 * health.seconds),
        look=True,
    )


async def _clock(examined: Examined) -> AsyncIterator[Finding]:
    """The billing's time, which has no zone, beside this machine's time and UTC."""
    told, now = examined.health.server_time or "", datetime.now(UTC)
    try:
        there = datetime.fromisoformat(told).replace(tzinfo=None)
    except ValueError:
        yield (
            noted("the billing's time cannot be read: {time}", time=printable(told))
            if told
            else noted("the billing does not tell its time")
        )
    else:
        here = [one.replace(tzinfo=None) for one in (now, now.astimezone())]
        skew = min(abs((there - one).total_seconds()) for one in here)
        yield (
            noted(
                "the billing's clock is {seconds} s away from this machine's: times will not match",
                seconds=round(skew),
            )
            if skew > MOST_SKEW
            else passed("{seconds} s between the billing's clock and this one", seconds=round(skew))
        )


async def _database(examined: Examined) -> AsyncIterator[Finding]:
    if (dsn := examined.settings.dsn) is None:
        yield noted(
            "none is set: all is asked through the API, and some jobs cannot work; the billing "
            "is known by its address alone"
        )
        return
    database = open_file_database(dsn)
    try:
        await run_sync(database.connect)
    except BaseException:
        await run_sync(database.close)
        raise
    examined.database = database
    counts: list[str] = []
    for table in sorted(TABLES):
        ((number,),) = await run_sync(database.query, f"select count(*) from {table}")  # noqa: S608 - a name of ours
        counts.append(said("{n} {table}", n=Quantity(number), table=table.lower()))
    yield passed("{database}: {tables}", database=printable(database.dsn, WHOLE), tables=tuple(counts))
    if (sample := await run_sync(any_name, database)) is not None:
        # Garbled letters mean a wrong charset; only a person can see that.
        name = printable(sample)
        yield passed(
            "{charset}; can you read this name? {name}", charset=dsn.charset, name=name, of=said("charset"), look=True
        )


async def _money(examined: Examined) -> AsyncIterator[Finding]:
    if examined.database is None:
        return
    scale = Quantity(SCALE)
    if await run_sync(check_scale, examined.database):
        yield passed("{scale} in the database are one rouble, as row 1 of VPN_CONST says", scale=scale)
    else:
        yield noted(
            "row 1 of VPN_CONST cannot be read; {scale} in the database are taken for one rouble: compare a "
            "balance with what the billing shows before you rely on it",
            scale=scale,
        )


async def _columns(examined: Examined) -> AsyncIterator[Finding]:
    """Documented tables and columns that are missing, and the jobs that are refused without them; versions differ."""
    if (database := examined.database) is None:
        return
    schema = await run_sync(lambda: database.schema)
    if not (missing := [str(one) for one in schema.missing(documented())]):
        yield passed("all that are documented are there")
        return
    # By reason, the jobs that are refused before their first call, and those without their own select.
    gateway = Gateway(BillingClient(examined.settings.client), database)
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in examined.settings.catalogue.jobs.items():
        if name == CALL:
            continue
        parameters = {one.name: one.name if one.default is None else one.default for one in kind.parameters}
        try:
            await build(kind, gateway, parameters, Input()).try_out()
        except EngineError as error:
            refused[text_of(error)].append(name)
        own = statement_of(kind.select, {one.name: one.name for one in kind.parameters})
        try:
            if own is not None:
                await run_sync(database.fit, own)
        except ColumnsMissing as error:
            why = said(
                "{error}, which the job's own select needs: its rows have to come from a file or from --sql",
                error=error,
            )
            refused[why].append(name)
    rest = [name for name in missing if not any(all(map(reason.__contains__, name.split("."))) for reason in refused)]
    if rest:
        yield noted("not there, and left out of what is read and shown: {columns}", columns=tuple(rest))
    for reason, jobs in refused.items():
        yield noted("{jobs}: {reason}", jobs=tuple(jobs), reason=reason)


async def _one_billing(examined: Examined) -> AsyncIterator[Finding]:
    if examined.database is None:
        return
    async with BillingClient(examined.settings.client) as client:
        one = examined.one = await one_billing(Gateway(client, examined.database), examined.settings)
    alike = counted("API and database are one: {n} subscriber[s] [is|are] equal in both", one.compared)
    if not one.compared:
        yield noted("without subscribers, API and database cannot be compared")
    elif one.identity:
        yield passed("{alike}; known by its oldest rows at any address", alike=alike)
    else:
        yield noted("{alike}; known by its address alone", alike=alike)


async def _profile(examined: Examined) -> AsyncIterator[Finding]:
    path, profile = profile_path(examined.settings), profile_of(examined.settings)
    facts, rows = dict(profile.facts()), list[tuple[str, Text]]()
    for name, fact in facts.items():
        when = str(fact.learned) if fact.learned else None
        says = describe_fact(name, fact.value)
        examined.facts.append({"fact": name, "standing": str(fact.standing), "learned": when, "says": says})
        # Of what nobody has asked for there is nothing to show.
        if fact.known or fact.value not in ((), {}):
            standing = STANDING_NAMES[fact.standing]
            standing = said("{standing} {day}", standing=standing, day=fact.learned) if fact.learned else standing
            rows.append((standing, render(says)))
    known, table = sum(fact.known for fact in facts.values()), Facts(*rows, indent=4)
    now = examined.health.version
    ask = command_line("probe", "--abonent", "ID")
    if not known:
        yield noted("no probe has asked this billing; ask it, on a test subscriber:", then=ask, below=table)
    elif now and profile.version != now:
        yield noted(
            "learned from version {old}, and the billing is of version {new} now; ask it again, on a test "
            "subscriber:",
            old=printable(profile.version),
            new=printable(now),
            then=ask,
            below=table,
        )
    else:
        good = counted(
            "{file}, of version {version}: {n} fact[s] known", known, file=path, version=printable(profile.version)
        )
        yield Finding("good", good, below=table)


async def _last_entry(examined: Examined) -> AsyncIterator[Finding]:
    """Whether this is the billing that the last rows of the journal went to: copies of a billing are alike."""
    settings = examined.settings
    if examined.database is None:
        return
    async with BillingClient(settings.client) as client, earlier_runs(settings.journal.value) as journal:
        gateway = Gateway(client, examined.database, profile=profile_of(settings))
        billing = BillingConnection(settings.target, gateway, examined.health, examined.one)
        _, is_shown = await Session(settings, examined.screen, journal=journal, billing=billing).target_shown()
    if is_shown:
        yield passed("API and database show what the journal has entered last")
    elif is_shown is False:
        yield noted(
            "neither API nor database shows what the journal has entered last: is this a copy of the billing, or was "
            "the billing put back from its backup? {command} says which rows are gone",
            command=command_line("verify", "RUN"),
        )


_Check: TypeAlias = Callable[[Examined], AsyncIterator[Finding]]

CHECKS: Final[Sequence[tuple[str, _Check, *tuple[_Check, ...]]]] = (
    (said("program"), _program),
    ("firebird", _firebird),
    (said("settings"), _settings),
    (said("own jobs"), _own_jobs),
    (said("hooks"), _hooks),
    (said("metrics"), _metrics),
    (said("journal"), _journal),
    (said("kept copy"), _kept_copies),
    (said("server"), _server),
    (said("queue"), _queue),
    (said("vault key"), _vault_key),
    (said("disk"), _disk),
    ("api", _api),
    (said("clock"), _clock, _api),
    (said("database"), _database),
    (said("money"), _money, _database),
    (said("columns"), _columns, _database),
    (said("billing"), _one_billing, _api, _database),
    (said("profile"), _profile, _api),
    (said("last entry"), _last_entry, _api, _database, _journal, _one_billing, _profile),
)
"""What is looked at, in this order, each with those without which it cannot be looked at."""
