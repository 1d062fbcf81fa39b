"""The command line as an operator has it: real processes, against a mock billing on a real socket."""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from billing.database.database import attach
from billing.database.dsn import Dsn
from billing.money import roubles
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import journal_in_postgres
from checkpoints.records import Run, Totals
from cli.commands import report as report_command
from cli.main import main
from cli.terminal import texts
from lab.crash.loops import loops
from lab.mock.population import create
from lab.mock.server import MockBilling, running
from tests.checkpoints.shells import shell
from tests.cli.forking import Command, command_server
from tests.cli.marked_language import marked_language, unmarked
from tests.conftest import ABONENTS, SEED
from tests.jobs.whole_database import Tables, whole
from tests.postgres_server import PostgresServer

MODEL = "FinanceOperations"
PATIENCE = loops(100)
"""Seconds for anything that is waited for, before the test ends by itself. A process can take thirty to begin."""


NEVER = 0.001
"""Entries of the billing's stacks that are worked off a second: they are there for as long as a test wants."""


@dataclass(frozen=True, slots=True)
class Ended:
    exit: int
    out: str
    err: str

    @property
    def closing(self) -> dict[str, Any]:
        """The closing object: the one line of stdout."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def words(self) -> str:
        """All that was said on stderr, its lines joined, however they were broken."""
        return " ".join(self.err.split())

    def saying(self, says: str | Sequence[str]) -> Self:
        """The same, when all of this stands on stderr."""
        for words in (says,) if isinstance(says, str) else says:
            assert words in self.words, self.words
        return self

    @property
    def shown(self) -> str:
        """All that stands on stdout, its lines joined."""
        return " ".join(self.out.split())

    @property
    def faults(self) -> list[str]:
        """What is said of each fault, one after the other."""
        return [" ".join(one.split()) for one in self.err.split("✗ ")[1:]]

    @property
    def told(self) -> str:
        """All that was said on stderr and then on stdout, its lines joined."""
        return " ".join(f"{self.err} {self.out}".split())


def settings_file(folder: Path, text: str, name: str = "carbon-migrate.toml") -> Path:
    """A settings file of this user's alone."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


class Cli:
    """Types commands in a folder of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.real_keepers = False

    async def __call__(self, *arguments: str | Path, may_end_with: Sequence[int] = (0,)) -> Ended:
        async with self.started(*arguments) as started:
            ended = await started.ended(None)
        assert ended.exit in may_end_with, f"{ended.exit}\n{ended.out}\n{ended.err}"
        assert "Traceback" not in ended.err
        return ended

    async def closing(self, *arguments: str | Path, ends: int = 0) -> dict[str, Any]:
        """The closing object of a command that ends with this code."""
        return (await self(*arguments, "--json", may_end_with=(ends,))).closing

    async def told(self, *arguments: str | Path, ends: int = 0, says: str | Sequence[str] = ()) -> str:
        """All that a command says that ends with this code, its lines joined; all of `says` is among it."""
        told = (await self(*arguments, may_end_with=(ends,))).told
        missing = [words for words in ([says] if isinstance(says, str) else says) if words not in told]
        assert missing == [], told
        return told

    async def refused(self, *arguments: str | Path, says: str | Sequence[str]) -> Ended:
        """A command that is refused, and says all of this on stderr."""
        return (await self(*arguments, may_end_with=(2,))).saying(says)

    @asynccontextmanager
    async def started(self, *arguments: str | Path) -> AsyncIterator["Started"]:
        """A command that is under way; killed when the context ends, if it has not ended by then."""
        async with await command_server().start(
            [*map(str, arguments)], self.folder, self.environment, real_keepers=self.real_keepers
        ) as process:
            try:
                yield Started(process)
            finally:
                process.kill()

    @property
    def journal(self) -> Path:
        return self.folder / "carbon-migrate.journal"

    def on_machine(self, name: str, journal: str = "") -> "Cli":
        """The same on another machine, with a state of its own; with another journal if one is given."""
        folder = self.folder.parent / name
        folder.mkdir(exist_ok=True)
        own = {"CARBON_MIGRATE_JOURNAL": journal or self.environment["CARBON_MIGRATE_JOURNAL"]}
        return Cli(folder, self.environment | own | {"XDG_STATE_HOME": str(folder / "state")})


class Started:
    def __init__(self, process: Command) -> None:
        self.process = process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def until(self, reached: Callable[[], Awaitable[object]]) -> None:
        """Wait for what it is to bring about; fails with what it has said where it ends before."""

        async def watch() -> None:
            await self.process.wait()
            raise AssertionError(f"it has ended before: {await self.ended()}")

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await reached()
            group.cancel_scope.cancel()

    async def said(self, text: str) -> str:
        """Wait until it has said `text` on stderr; all that it said until then."""
        heard = ""
        with anyio.fail_after(PATIENCE):
            while text not in heard:
                heard += (await self.process.stderr.receive()).decode()
        return heard

    async def first_line(self) -> str:
        heard = b""
        with anyio.fail_after(PATIENCE):
            while b"\n" not in heard:
                heard += await self.process.stdout.receive()
        return heard.decode().splitlines()[0]

    async def ended(self, patience: float | None = PATIENCE) -> Ended:
        said: dict[str, str] = {"out": "", "err": ""}

        async def drain(name: str, stream: Any) -> None:
            async for part in stream:
                said[name] += part.decode()

        with anyio.fail_after(patience):
            async with anyio.create_task_group() as group:
                group.start_soon(drain, "out", self.process.stdout)
                group.start_soon(drain, "err", self.process.stderr)
            code = await self.process.wait()
        return Ended(code, said["out"], said["err"])


async def _nothing(_body: str) -> None:
    return


async def _as_it_is(_number: int) -> None:
    return


COMPARED = '["id","contract_number","name","parent_id"]'
"""The fields of the subscribers by which API and database are seen to be one billing; nothing else asks for these."""


async def _opens(request: web.Request) -> bool:
    """Whether the request is of those with which each command opens a billing: its version, and which one it is."""
    if request.path.endswith("/Version/"):
        return True
    form = await request.post()
    return (form.get("method1"), form.get("fields")) == ("objects.filter", COMPARED)


class Traffic:
    """Counts the calls to `model` that arrive at the mock billing, to be waited for or answered in its place.

    With a `method`, only those that name it. Calls that open the billing do not count, unless `opening` does, nor
    the operations that are looked up to compare the API with a database, unless `looks` does.
    """

    def __init__(self) -> None:
        self.model = MODEL
        self.method = ""
        self.opening = False
        self.looks = False
        self.arrived = 0
        self.moments: list[float] = []
        """When each of them has arrived."""
        self.most_in_flight = 0
        self._in_flight = 0
        self.answer: Callable[[int], web.Response | None] = lambda _: None
        self.meanwhile: Callable[[str], Awaitable[None]] = _nothing
        """What happens while a call waits for its turn; it is given the body of the call."""
        self.afterwards: Callable[[int], Awaitable[web.Response | None]] = _as_it_is
        """What happens when a call has had its effect; what it gives is answered in place of the billing's answer."""
        self._changed = anyio.Event()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        counts = self.model in request.path and self.method.encode() in body
        compares = self.model == MODEL and not self.method and b"method1=objects.filter" in body
        counts = counts and (self.looks or not compares)
        if counts and (self.opening or not await _opens(request)):
            self.arrived += 1
            number = self.arrived
            self.moments.append(time.monotonic())
            self._changed.set()
            self._changed = anyio.Event()
            await self.meanwhile(await request.text())
            if (instead := self.answer(number)) is not None:
                return instead
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            try:
                answer = await handler(request)
                instead = await self.afterwards(number)
                return answer if instead is None else instead
            finally:
                self._in_flight -= 1
        return await handler(request)

    async def reaches(self, number: int) -> None:
        with anyio.fail_after(PATIENCE):
            while self.arrived < number:
                await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Found:
    rows: int
    sum: Decimal
    most_for_one: int


@dataclass(slots=True)
class Place:
    cli: Cli
    billing: MockBilling
    traffic: Traffic
    file: Path

    async def run(self, *words: str | Path, ends: int = 0) -> dict[str, Any]:
        """The closing object of a `run` that is agreed to."""
        return await self.cli.closing("run", *words, "--yes", ends=ends)

    async def entered(self, rows: int) -> str:
        """The name of a run that has entered so many balances."""
        return str((await self.run("balances", self.balances(rows).path))["run"])

    async def stopped(self, *words: str | Path, calls: int = 3, by: signal.Signals = signal.SIGTERM) -> str:
        """Begin a `run`, stop it when so many of its calls have arrived, and give its name."""
        latency, self.billing.latency = self.billing.latency, max(self.billing.latency, 0.1)
        before = self.traffic.arrived
        async with self.cli.started("run", *words, "--yes", "--json") as run:
            await run.until(partial(self.traffic.reaches, before + calls))
            run.signal(by)
            ended = await run.ended()
        self.billing.latency = latency
        assert ended.exit == 130, ended.err
        return str(ended.closing["run"])

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.billing.database.query(sql, values)]

    def subscribers(self, rows: int) -> list[int]:
        """Live subscribers, each with an account of its own."""
        return [
            key
            for (key,) in self.query(
                "select first :rows min(id) from abonents where is_folder = 0 and deleted = 0 and account_id is not "
                "null group by account_id having count(*) = 1 order by 1",
                rows=rows,
            )
        ]

    def of_one_account(self) -> tuple[int, int, int]:
        """An account that several live subscribers have, and the first two of them."""
        ((account,),) = self.query(
            "select first 1 account_id from abonents where is_folder = 0 and deleted = 0 group by account_id "
            "having count(*) > 1 order by account_id"
        )
        query = "select first 2 id from abonents where account_id = :account and deleted = 0 order by id"
        (first,), (second,) = self.query(query, account=account)
        return account, first, second

    def balance(self, abonent: int) -> Decimal:
        query = "select m.balance from abonents a join admin_accounts m on m.id = a.account_id where a.id = :id"
        ((scaled,),) = self.query(query, id=abonent)
        return roubles(scaled)

    @property
    def tables(self) -> Tables:
        return whole(self.billing.database)

    @property
    def by_name(self) -> str:
        return self.billing.url.replace("127.0.0.1", "localhost")

    def without_database(self) -> str:
        """Work through the API alone from now on; the database that was set."""
        self.traffic.looks = True
        return self.cli.environment.pop("CARBON_MIGRATE_DATABASE")

    async def landed_once(self, rows: int) -> None:
        """So many rows are in the billing, each once."""
        found = await self.found()
        assert (found.rows, found.most_for_one) == (rows, 1)

    async def each_landed_once(self, balances: "Balances") -> None:
        """Each row of a file of balances is in the billing once, and nothing else is."""
        await self.landed_once(balances.rows)
        assert (await self.found()).sum == balances.sum

    async def totals(self, name: str) -> Totals:
        async with self.journal() as journal:
            return await journal.totals(await journal.run(name))

    def balances(self, rows: int, name: str = "balances.csv") -> "Balances":
        """A file of balances by contract number, all good, each of an account of its own."""
        query = (
            "select first :rows a.contract_number from abonents a where a.id in (select min(b.id) from abonents b "
            "where b.is_folder = 0 and b.deleted = 0 and b.account_id is not null group by b.account_id) "
            "order by a.id"
        )
        numbers = [number for (number,) in self.query(query, rows=rows)]
        amounts = [Decimal(1 + 7 * place) / 100 * (-1 if place % 9 == 0 else 1) for place in range(rows)]
        lines = [
            "contract_number;amount",
            *(f"{n};{a:.2f}".replace(".", ",") for n, a in zip(numbers, amounts, strict=True)),
        ]
        return Balances(self.write("\n".join(lines) + "\n", name), numbers, sum(amounts, Decimal(0)))

    def works_off_the_first_alone(self) -> None:
        """Let the billing work off the first row, which a run waits for, and nothing of those behind it."""

        def stick(number: int) -> None:
            if number == 2:
                self.billing.stack_rate = NEVER

        self.traffic.answer = stick

    @asynccontextmanager
    async def holding(self, calls: int = 0) -> AsyncIterator[None]:
        """Let all calls behind so many wait until the context ends."""
        over = anyio.Event()

        async def wait(_: str) -> None:
            if self.traffic.arrived > calls:
                await over.wait()

        meanwhile, self.traffic.meanwhile = self.traffic.meanwhile, wait
        try:
            yield
        finally:
            self.traffic.meanwhile = meanwhile
            over.set()

    async def kill_at(self, calls: int, *words: str | Path) -> None:
        """Start a command, kill it when so many calls have arrived at the billing, and wait for their effects.

        Calls after these wait until it is dead: however fast the billing is, the command has not ended by then.
        """
        async with self.holding(calls), self.cli.started(*words) as started:
            await started.until(partial(self.traffic.reaches, calls))
            started.signal(signal.SIGKILL)
            await started.ended()
        await self.billing.wait_for_requests()

    async def execute(self, sql: str, *values: object) -> None:
        """What somebody does by hand, behind the billing's back."""

        def work() -> None:
            connection = attach(Dsn(str(self.file)))
            try:
                connection.cursor().execute(sql, values)
                connection.commit()
            finally:
                connection.close()

        await anyio.to_thread.run_sync(work)

    def rows(self, *lines: str, name: str = "rows.csv") -> Path:
        return self.write("".join(f"{line}\n" for line in lines), name)

    def write(self, text: str, name: str = "balances.csv", encoding: str = "utf-8") -> Path:
        path = self.cli.folder / name
        path.write_text(text, encoding=encoding)
        return path

    async def found(self) -> Found:
        return await anyio.to_thread.run_sync(self._found)

    def _found(self) -> Found:
        effects = self.billing.ledger.effects(MODEL)
        ((total,),) = self.query(
            "select cast(coalesce(sum(op_summa), 0) as numeric(18, 0)) from finance_operations where op_type = 8"
        )
        return Found(sum(effects.values()), Decimal(total).scaleb(-10), max(effects.values(), default=0))

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        async with open_journal(self.cli.journal) as journal:
            yield journal

    async def runs(self) -> list[Run]:
        async with self.journal() as journal:
            return await journal.runs()

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        with shell(journal_in_postgres(self.cli.environment["CARBON_MIGRATE_JOURNAL"], self.cli.folder)) as server:
            found = server.execute(sql)
            return list(found) if found.description else []


@dataclass(frozen=True, slots=True)
class Balances:
    path: Path
    numbers: list[str]
    sum: Decimal

    @property
    def rows(self) -> int:
        return len(self.numbers)


def clean_environment() -> dict[str, str]:
    """The environment without settings of ours or of colours, in English, with a journal in the working folder."""
    ours = ("CARBON_MIGRATE_", "FORCE_COLOR", "NO_COLOR", "TTY_", "LC_", "LANG")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"CARBON_MIGRATE_JOURNAL": "carbon-migrate.journal", "LANG": "C.UTF-8"}


@asynccontextmanager
async def place_in(folder: Path, data: Path | Dsn, **served: Any) -> AsyncIterator[Place]:
    """A billing that is served, from a file or on a server, and a command line in a folder that is made for it."""
    await anyio.Path(folder).mkdir()
    traffic = Traffic()
    dsn, password = (data, data.password.reveal()) if isinstance(data, Dsn) else (Dsn(str(data)), None)
    async with running(dsn, middlewares=[traffic.count], **served) as billing:
        environment = clean_environment() | {
            "CARBON_MIGRATE_API_URL": billing.url,
            "CARBON_MIGRATE_DATABASE": dsn.database,
            "XDG_STATE_HOME": str(folder / "state"),
            "COLUMNS": "200",
        }
        if password is not None:
            environment["CARBON_MIGRATE_DATABASE_PASSWORD"] = password
        yield Place(Cli(folder, environment), billing, traffic, Path(dsn.database))


def without(file: Path, *names: str) -> None:
    """Make a billing anew without these tables and columns; nobody has it open."""
    if names:
        file.unlink()
        create(file, subscribers=ABONENTS, seed=SEED, without=names)


@pytest.fixture
async def place(request: pytest.FixtureRequest, billing_file: Path, tmp_path: Path) -> AsyncIterator[Place]:
    """A billing without the tables and columns that an indirect parameter names."""
    without(billing_file, *getattr(request, "param", ()))
    async with place_in(tmp_path / "work", billing_file) as made:
        yield made


@pytest.fixture(params=["with a database", "without a database"])
def asked(request: pytest.FixtureRequest, place: Place) -> Place:
    """A place that reads the billing's database, and one that asks its API alone."""
    if request.param == "without a database":
        place.without_database()
    return place


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    return replace(place, cli=place.cli.on_machine("work", postgres_server.new_journal()))


class Typed:
    """Types commands in this very process, in an empty folder without any settings: for what needs no billing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["carbon-migrate", *arguments])
        with pytest.raises(SystemExit) as ended:
            # In a context of its own, for the language of this command is not that of the next one.
            copy_context().run(main)
        said = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), unmarked(said.out), unmarked(said.err))

    def refused(self, *arguments: str, says: str | Sequence[str]) -> Ended:
        """A command that is refused, and says all of this on stderr."""
        ended = self(*arguments)
        assert ended.exit == 2, ended.err
        return ended.saying(says)


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CARBON_MIGRATE_JOURNAL", "carbon-migrate.journal")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(texts, "language", marked_language)
    # The page that it holds against a report is in the language of the report.
    monkeypatch.setattr(report_command, "language", marked_language)
    # It is for a process that ends: the garbage of the tests would never be found.
    monkeypatch.setattr(gc, "freeze", lambda: None)
    return Typed(monkeypatch, capsys)
