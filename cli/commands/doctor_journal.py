"""What `doctor` looks at of the journal: its runs, its disk, or its PostgreSQL server."""

import ipaddress
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio.to_thread
from rich.text import Text

from billing.errors import BillingError
from checkpoints.address import PostgresAddress
from checkpoints.errors import JournalError
from checkpoints.journal import open_journal
from checkpoints.journal_file import is_volatile
from checkpoints.kept_secrets import KeysInUse
from checkpoints.own_files import kept_copies
from checkpoints.stores import is_there
from cli.session.journal import unfinished
from cli.session.plans import plans_beside
from cli.session.vaults import keys_of
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, command, render
from cli.terminal.screen import Screen
from cli.terminal.texts import printable, rendered
from cli.terminal.waiting import waiting
from jobs.access.secret_table import missing_keys, no_key
from texts.remedies import PROGRAM, VAULT_KEY, VAULT_KEY_FILE, command_line, setting
from texts.said import Quantity, counted, said, text_of

# ---- the checklist of `doctor` ------------------------------------------------------------------------------------


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
        """Show a check that passed."""
        self._keep(what, "good", finding)
        self._line(Text("✓", "green"), what, render(finding))

    def note(self, what: str, finding: str, then: str = "") -> None:
        """Show information that does not prevent a run; `then` is a command that helps."""
        self._keep(what, "note", f"{finding} {then}".strip())
        self._line(Text("!", "yellow"), what, render(finding))
        if then:
            self.screen.result(command(then))

    def wrong(self, what: str, finding: str) -> None:
        """Show a problem that prevents a run; `finding` says what to do."""
        self.bad += 1
        self._keep(what, "wrong", finding)
        head, *rest = rendered(finding).splitlines() or [""]
        self._line(Text("✗", "bold red"), what, render(head))
        for line in rest:
            self._line(Text(" "), "", render(line))

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

    def _line(self, sign: Text, what: str, finding: Text) -> None:
        self.screen.result(Hanging(Text.assemble(sign, f" {printable(what):<12} "), finding))

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Show an operator error as a problem, and continue with the next check."""
        try:
            with waiting(said("checking: {what}", what=what)):
                yield
        except (BillingError, JournalError, CommandRefused) as error:
            self.wrong(what, text_of(error))


# ---- what `doctor` looks at of the journal ------------------------------------------------------------------------


LEAST_FREE: Final = 256 * 1024 * 1024
"""Bytes that should be free on the journal's disk; a row takes about half a kilobyte."""

MOST_CONNECTIONS: Final = 0.8
"""The share of the server's connections above which it is reported that they run out."""

CONNECTIONS_OF_A_RUN: Final = 4
"""Connections of a process that sends a run: for reading, for writing, for its lock, and for what it is told."""

MOST_SKEW: Final = 60.0
"""Difference of the two clocks in seconds above which it is reported."""


async def check_journal(settings: Settings, checklist: Checklist) -> None:
    """Check the journal, and the disk or the server that it is on."""
    where = settings.journal.value
    name = str(where)
    with checklist.trying(said("journal")):
        if await anyio.to_thread.run_sync(is_there, where):
            async with open_journal(where) as journal:
                runs = await journal.runs()
                left = tuple([run.name for run in runs if await unfinished(run, journal)])
            told = counted("{journal}: {n} run", "{journal}: {n} runs", len(runs), journal=name)
            if left:
                told = said("{journal}; not at their end: {runs}", journal=told, runs=left)
            checklist.good(said("journal"), told)
        elif where.postgres is not None or os.access(_nearest_folder(where.path), os.W_OK):
            checklist.good(said("journal"), said("{journal} will be made by the first run", journal=name))
        else:
            checklist.wrong(
                said("journal"),
                said(
                    "{journal} cannot be made: its folder cannot be written. Name another: {flag}",
                    journal=name,
                    flag=setting("journal"),
                ),
            )
    copies: list[Path] = []
    with checklist.trying(said("kept copy")):
        copies = [*kept_copies(where.path), *kept_copies(plans_beside(where.path))]
    for copy in copies:
        note = said(
            "{copy}: the journal as the program before had it, with all that it held of people. Once you are sure "
            "not to go back:",
            copy=copy,
        )
        checklist.note(said("kept copy"), note, shlex.join(["rm", str(copy)]))
    if where.postgres is not None:
        with checklist.trying(said("server")):
            await _server(where.postgres, checklist)
        with checklist.trying(said("queue")):
            await _queue(where.postgres, checklist)
        with checklist.trying(said("vault key")):
            await _vault_key(settings, checklist)
        return
    if is_volatile(where.path):
        checklist.note(
            said("disk"),
            said(
                "{journal} is in memory (tmpfs), and is gone when the machine or the container restarts: name a file "
                "on a disk with {flag}",
                journal=name,
                flag=setting("journal"),
            ),
        )
    free = shutil.disk_usage(_nearest_folder(where.path)).free
    told = said("{free} MiB free beside the journal", free=Quantity(free // 1024 // 1024))
    if free < LEAST_FREE:
        wanted = said(
            "{free}: a run of {rows} rows wants about {wanted}",
            free=told,
            rows=Quantity(100_000),
            wanted=LEAST_FREE // 1024 // 1024,
        )
        checklist.wrong(said("disk"), wanted)
    else:
        checklist.good(said("disk"), told)


async def _server(address: PostgresAddress, checklist: Checklist) -> None:
    """Show what is known of the server of a journal in PostgreSQL."""
    from checkpoints.postgres_store import facts_of_server

    facts = await anyio.to_thread.run_sync(facts_of_server, address)
    if not facts.may_make:
        checklist.wrong(
            said("server"),
            said(
                "this role may not make tables in schema {schema}: let the owner of the database type: "
                "create schema {schema} authorization ROLE",
                schema=address.schema,
            ),
        )
    elif abs(facts.skew) > MOST_SKEW:
        checklist.note(
            said("server"),
            said(
                "the clock of PostgreSQL is {seconds} s away from this machine's: times of several machines will "
                "not match",
                seconds=round(abs(facts.skew)),
            ),
        )
    else:
        checklist.good(
            said("server"),
            said(
                "PostgreSQL {version}; {seconds} s between its clock and this one",
                version=printable(facts.version),
                seconds=round(abs(facts.skew)),
            ),
        )

    if facts.logs_statements:
        checklist.note(
            said("server"),
            said(
                "PostgreSQL writes statements to its own log, and they hold names and amounts of subscribers: see to "
                "it who reads that log, or set log_statement = 'none' and log_min_duration_statement = -1 for this "
                "role"
            ),
        )
    note_plain(said("journal"), facts.plain_host, checklist)


def note_plain(what: str, host: str, checklist: Checklist) -> None:
    """Note that the connection to a host is not encrypted, unless the host is this machine."""
    if is_this_machine(host):
        return
    checklist.note(
        what,
        said(
            "the connection to {host} is not encrypted: anyone on the path can read and change names, amounts and "
            "passwords. Use TLS, a tunnel or a private network",
            host=printable(host),
        ),
    )


def is_this_machine(host: str) -> bool:
    """Whether an address is of this machine alone: no host, a path of a socket, or a loopback address."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _queue(address: PostgresAddress, checklist: Checklist) -> None:
    """Show the runs that were handed in, who sends them, and whether the server has connections for more."""
    from cli.fleet.queue import HEARD_SECONDS, facts_of_queue

    facts, what = await anyio.to_thread.run_sync(facts_of_queue, address), said("queue")
    if facts.waiting is None or facts.given_out is None or facts.workers is None:
        checklist.good(what, said("no run was handed in yet, and no worker was started"))
    elif facts.workers:
        checklist.good(
            what,
            said(
                "{workers}; runs: {working} worked on, {waiting} waiting",
                workers=_workers(facts.workers),
                working=facts.given_out,
                waiting=facts.waiting,
            ),
        )
    elif runs := facts.waiting + facts.given_out:
        checklist.note(
            what,
            counted(
                "{n} run waits, and no worker was heard of for {seconds} s: start one",
                "{n} runs wait, and no worker was heard of for {seconds} s: start one",
                runs,
                seconds=HEARD_SECONDS,
            ),
            # Of all billings: a profile that was typed would make it a worker of this one alone.
            f"{PROGRAM} worker",
        )
    else:
        checklist.good(what, said("no run waits, and no worker was heard of for {seconds} s", seconds=HEARD_SECONDS))
    if facts.connections > MOST_CONNECTIONS * facts.most_connections:
        checklist.note(
            said("connections"),
            said(
                "{used} of {most} are in use: each run that is sent takes {each}. Let the administrator of "
                "PostgreSQL raise max_connections, or start workers with fewer --billings",
                used=facts.connections,
                most=facts.most_connections,
                each=CONNECTIONS_OF_A_RUN,
            ),
        )


def _workers(number: int) -> str:
    return counted("{n} worker", "{n} workers", number)


async def _vault_key(settings: Settings, checklist: Checklist) -> None:
    """Check that the key of the settings opens the passwords that are kept, and is that of the other machines."""
    what, where = said("vault key"), settings.journal.value
    keys = keys_of(settings)
    used = KeysInUse({}, "")
    if await anyio.to_thread.run_sync(is_there, where):
        async with open_journal(where) as journal:
            used = await journal.kept_secrets.keys_in_use()
    kept = sum(used.kept.values())
    if keys is None:
        if used.kept:
            checklist.wrong(what, no_key(str(where)))
        else:
            checklist.note(
                what,
                said("none is set: runs whose rows have passwords or sessions need one"),
                command_line("journal", "key", VAULT_KEY_FILE),
            )
    elif missing := sorted(used.kept.keys() - set(keys.ids)):
        checklist.wrong(what, missing_keys(str(where), missing, keys.ids))
    elif used.newest and used.newest not in keys.ids:
        checklist.wrong(
            what,
            said(
                "passwords were last encrypted with key {newest} in this journal, and {setting} has {ours} here: "
                "give all machines the same keys",
                newest=used.newest,
                setting=VAULT_KEY,
                ours=keys.ids,
            ),
        )
    else:
        checklist.good(
            what,
            counted(
                "key {key} encrypts; {n} secret is kept, and can be opened",
                "key {key} encrypts; {n} secrets are kept, and all can be opened",
                kept,
                key=keys.first,
            ),
        )


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())
