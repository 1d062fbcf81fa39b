"""The vendor's one-liners, letter by letter in bash with real isql and curl, held against what `translate` prints.

Each is run on a billing of its own, a copy of the same one, and the whole databases are compared. What may differ is
named here, and so are the lines that do not work in the shell, with the fault that is found in them.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import anyio
import anyio.to_thread
import pytest

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from cli.terminal.exits import Exit
from lab.mock.server import MockBilling, running
from tests.cli.conftest import Cli, Place, Traffic, clean_environment
from tests.cli.oneliners import PUBLISHED, translated
from tests.cli.terminal.terminals import at_a_terminal
from tests.firebird_server import PROGRAM, FirebirdServer
from tests.jobs.catalogue.months import first_of
from tests.jobs.whole_database import Changes, changes, whole

VENDORS_HOST: Final = "http://169.254.80.82:8082"
PASSWORD: Final = "1234"
"""What the vendor's line sets, and what is typed where `translate` has it asked for."""
DELETED: Final = 2091
"""A subscriber in the folder 1316, with another threshold than that of his tariff."""
ACCOUNT_OF_DELETED: Final = 90
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

SQLEXEC: Final = """\
#!/bin/sh
# As the billing's own: a wrapper over isql, with what it is given as its statements.
export FIREBIRD='{home}' ISC_USER='{user}' ISC_PASSWORD='{password}'
printf '%s;\\n' "$1" | '{isql}' -q -ch UTF8 '{database}'
"""

Apart: TypeAlias = dict[str, dict[Any, set[str]]]
"""By table and key: the columns in which two databases differ."""


# ---- a billing, and both ways to work on it -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Twin:
    """A copy of the billing that is served, with a folder to work in."""

    billing: MockBilling
    dsn: Dsn
    folder: Path
    server: FirebirdServer

    async def shell(self, line: str) -> str:
        """Run a line in bash as it is, on this billing; what it said."""
        tools = self.folder / "bin"
        tools.mkdir()
        script = tools / "sqlexec"
        script.write_text(
            SQLEXEC.format(
                home=self.server.folder / "home",
                user=self.dsn.user,
                password=self.dsn.password.reveal(),
                isql=PROGRAM.with_name("isql-fb"),
                database=self.dsn.database,
            )
        )
        script.chmod(0o700)
        environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
        done = await anyio.run_process(
            ["bash", "-c", line.replace(VENDORS_HOST, self.billing.url)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.stdout.decode()

    async def translated(self, line: str) -> str:
        """Run the command that `translate` prints, on this billing; all that it said, and the rows it refused."""
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": self.billing.url,
            "CARBON_MIGRATE_DATABASE": self.dsn.database,
            "CARBON_MIGRATE_DATABASE_PASSWORD": self.dsn.password.reveal(),
            "COLUMNS": "200",
        }
        cli = Cli(self.folder, environment)
        program, *arguments = translated(line).command
        assert program == "carbon-migrate"
        # Addresses are issued in the order of the calls, and the shell makes one after the other.
        arguments += ["--yes", "--skip-bad", "--in-flight", "1"]
        if "--ask" not in arguments:
            ended = await cli(*arguments, "--json", may_end_with=(0, 1, 2))
            told = ended.out + ended.err
            if ended.exit == Exit.REJECTED:
                told += (await cli("export", ended.closing["run"], "--state", "refused")).out
            return told
        place = Place(cli, self.billing, Traffic(), Path(self.dsn.database))
        with at_a_terminal(place, *arguments) as terminal:
            for question in ("psw: ", "psw once more: "):
                await terminal.shows(question)
                terminal.types(f"{PASSWORD}\n")
            assert await terminal.ends() == 0
        return terminal.seen


@pytest.fixture(scope="module")
def template(firebird_server: FirebirdServer) -> Dsn:
    """The smallest billing that has the vendor's examples in it; not to be opened, only copied.

    A subscriber of the folder 1316 is deleted: the selects of the page do not leave such out.
    """
    dsn = firebird_server.populated(abonents=100)
    connection = attach(dsn)
    try:
        connection.cursor().execute("update abonents set deleted = 1 where id = ?", [DELETED])
        connection.commit()
    finally:
        connection.close()
    return dsn


@asynccontextmanager
async def twin(name: str, template: Dsn, server: FirebirdServer, folder: Path) -> AsyncIterator[Twin]:
    path = Path(template.database.partition(":")[2])
    copy = server.folder / f"{folder.name}-{name}.fdb"
    await anyio.to_thread.run_sync(lambda: copy.write_bytes(path.read_bytes()))
    (folder / name).mkdir()
    dsn = server.dsn(copy)
    async with running(dsn) as billing:
        yield Twin(billing, dsn, folder / name, server)


MOMENTS: Final = {"OP_DATE", "CREATED"}
"""Columns that tell to the second when something was created: in both ways the same, or not."""


@dataclass(frozen=True, slots=True)
class Done:
    """What both ways have made of the same billing, and what is between them."""

    by_shell: Changes
    by_us: Changes
    apart: Apart
    said: str
    told: str


async def both_ways(line: str, template: Dsn, server: FirebirdServer, folder: Path) -> Done:
    async with (
        twin("shell", template, server, folder) as there,
        twin("ours", template, server, folder) as here,
    ):
        with Database(there.dsn) as database:
            before = await anyio.to_thread.run_sync(whole, database)
        said, told = await there.shell(line), await here.translated(line)
        with Database(there.dsn) as one, Database(here.dsn) as other:
            by_shell, by_us = await anyio.to_thread.run_sync(lambda: (whole(one), whole(other)))
    between = changes(by_shell, by_us)
    return Done(
        changes(before, by_shell),
        changes(before, by_us),
        {table: {key: set(columns) - MOMENTS for key, columns in rows.items()} for table, rows in between.items()},
        said,
        told,
    )


# ---- the lines of the page ----------------------------------------------------------------------------------------


def nothing(_: Done) -> Apart:
    return {}


def of_deleted(_: Done) -> Apart:
    """The shell changes the account of a subscriber who is deleted; here that row is refused."""
    return {"ADMIN_ACCOUNTS": {ACCOUNT_OF_DELETED: {"LIMIT_WARNING"}}}


def new_rows(table: str, *columns: str) -> Callable[[Done], Apart]:
    """Columns of what was created that tell by whom, or by chance what."""
    return lambda done: {table: {key: set(columns) for key in done.by_shell[table]}}


@dataclass(frozen=True, slots=True)
class Line:
    """A line: the tables that its translation changes, what of it is fitted to the copy, and what is apart after it.

    With a fault it writes nothing in the shell, which says so; what is printed does what was meant, as far as that
    can be known, and `told` is what it says.
    """

    tables: str
    fitted: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    apart: Callable[[Done], Apart] = nothing
    fault: str | None = None
    said: str = ""
    told: str = "is done"


LINES: Final[Mapping[str, Line]] = {
    # What is created here bears a mark in its comment.
    "balances": Line("ADMIN_ACCOUNTS FINANCE_OPERATIONS", apart=new_rows("FINANCE_OPERATIONS", "DESCR")),
    "block-history": Line("ABONENTS_BLOCK_HISTORY"),
    "connect-service": Line("USERS_USLUGA", {"12420": "2050"}, new_rows("USERS_USLUGA", "COMMENT")),
    "ip-pool": Line("USERS", {"u.id=324": "u.id=50"}),
    "next-charge": Line("USERS_USLUGA"),
    "operator": Line("ABONENTS"),
    "password": Line("USERS"),
    # The vendor's month lies further back than the billing recalculates.
    "recalculate": Line("ABONENTS", {"2019-06-01": first_of(-1)}),
    # Sessions are drawn by chance.
    "session": Line("CABINET_SESSIONS", {"12230": "94"}, new_rows("CABINET_SESSIONS", "SUID")),
    "snat-pool": Line("USERS"),
    "tariff-threshold": Line("ADMIN_ACCOUNTS", apart=of_deleted, told=f"abonent {DELETED} is deleted"),
    "warning-threshold": Line("ADMIN_ACCOUNTS", apart=of_deleted, told=f"abonent {DELETED} is deleted"),
    # Which alias was meant nobody can know, so the select is refused.
    "cutoff-limit": Line("", fault="no-such-alias", told="the select is refused"),
    "delete-account": Line("USERS", fault="unbalanced-quote", said="unexpected EOF"),
    "delete-services": Line("USERS_USLUGA", fault="never-expands", said="error"),
    # It only saves what is there: as the page says, the password has to be cleared first.
    "random-password": Line("", fault="unbalanced-quote", said="unexpected EOF"),
    # The billing answers as if all were well: nobody told it what to set.
    "service-operator": Line(
        "USLUGA",
        {'"operator_id":"3"': '"operator_id":"1444"'},
        fault="missing-equals",
        said='"result":null',
    ),
}
READS: Final = frozenset({"administrators", "by-sms", "services-on-offer", "session-account"})


def test_each_line_of_the_page_is_one_of_these() -> None:
    assert sorted([*LINES, *READS]) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", LINES)
async def test_the_same_effect_as_in_the_shell(
    name: str, template: Dsn, firebird_server: FirebirdServer, tmp_path: Path
) -> None:
    case, line = LINES[name], PUBLISHED[name].line
    for vendors, ours in case.fitted.items():
        assert vendors in line
        line = line.replace(vendors, ours)
    done = await both_ways(line, template, firebird_server, tmp_path)
    assert done.by_us.keys() == set(case.tables.split())
    assert case.told in done.told
    if case.fault is None:
        assert done.by_shell.keys() == done.by_us.keys()
        assert done.apart == case.apart(done)
        return
    assert case.fault in {fault.kind for fault in translated(PUBLISHED[name].line).faults}
    assert case.said in done.said
    assert done.by_shell == {}
