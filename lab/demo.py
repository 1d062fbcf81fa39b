"""The demonstration and its proof: a load is killed in the middle, resumed, and correct to the kopeck.

Everything is real: a Firebird database, a REST API over HTTP, the load in a process of its own, SIGKILL. The caller
shows the results.
"""

import csv
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.database.sql_blocks import sql_block
from checkpoints.states import State
from lab.crash.observer import JournalView, Observer
from lab.crash.program import (
    API_URL,
    DATABASE,
    JOURNAL,
    JOURNAL_FILE,
    ExitCode,
    LabError,
    Running,
    start,
    without_settings,
)
from lab.mock.connection import roubles
from lab.mock.population import create
from lab.mock.server import Ledger, MockBilling, running
from texts.said import PROGRAM, reason_of

FOLDER: Final = Path(".demo")
BALANCES: Final = "balances.csv"
LATENCY_MS: Final = 20
OUTPUT: Final = "commands.log"
"""What the commands of the demonstration write."""

_MADE_BY_DEMO: Final = "made-by-carbon-migrate-demo"
"""A file in the folder: only what has it was made by a demonstration, and may be deleted by the next one."""
_BILLING: Final = "billing.fdb"
_MODEL: Final = "FinanceOperations"
PACING: Final = ("--settle", "0", "--in-flight", "64")
"""Lost answers are looked up at once: before the load is resumed, the billing has worked off all that it was sent."""
_FEW: Final = 2_000
"""Rows that are sent so slowly that the load cannot end before it is killed."""
_SLOWLY: Final = ("--settle", "0", "--rate", "150")
_KILL_AT: Final = 0.45
"""The share of the rows after which the load is killed."""
_OWED: Final = 0.08
"""The share of negative balances."""
_BETWEEN_LOOKS: Final = 0.25


@dataclass(frozen=True, slots=True)
class DemoLoad:
    """The request of the input file."""

    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class KilledLoad:
    """A killed load: the name of its run, its process, and how many of its rows are in which state."""

    run: str
    process: int
    states: Counter[str]


@dataclass(frozen=True, slots=True)
class Proof:
    """The result in the billing's own tables, beside the request."""

    asked: DemoLoad
    operations: int
    sum: Decimal
    least: int
    most: int
    balances: int
    """Accounts whose balance is that of the file."""
    states: Counter[str]

    @property
    def holds(self) -> bool:
        """Whether every row was entered once, all sums and balances are exact, and no row is in doubt."""
        return (
            self.operations == self.asked.rows
            and self.sum == self.asked.sum
            and self.least == self.most == 1
            and self.balances == self.asked.rows
            and self.states[State.APPLIED] == self.states.total() == self.asked.rows
        )


class DemoStage:
    """Runs the demonstration's commands in its own folder, each as a process, with the billing beside them.

    `on_command` is called with the arguments of each command right before it starts; the commands speak `language`,
    and write into `OUTPUT`. `progress` tells how much of the present step is done, and how much there is.
    """

    def __init__(self, folder: Path, on_command: Callable[[Sequence[str]], None], language: str) -> None:
        self.progress = (0, 0)
        self._folder = folder
        self._observer = Observer(folder / JOURNAL)
        self._on_command = on_command
        self._environment = without_settings(os.environ, language)

    async def make_billing(self, subscribers: int) -> DemoLoad:
        """Create the billing, and the input file."""

        def made(done: int, of: int) -> None:
            self.progress = (done, of)

        billing = self._folder / _BILLING
        make = partial(create, billing, subscribers=subscribers, seed=1, on_progress=made)
        await anyio.to_thread.run_sync(make)
        return await anyio.to_thread.run_sync(_write_balances, self._folder)

    @asynccontextmanager
    async def serve_billing(self) -> AsyncIterator[MockBilling]:
        """Serve the billing to the later commands while the context lasts."""
        async with running(self._folder / _BILLING, latency=LATENCY_MS / 1000) as billing:
            self._environment |= {API_URL: billing.url, DATABASE: _BILLING, JOURNAL_FILE: JOURNAL}
            yield billing

    async def kill_load(self, billing: MockBilling, rows: int) -> KilledLoad:
        """Start the load, kill it in the middle, and let the billing work off what it was sent."""
        pacing = _SLOWLY if rows <= _FEW else PACING
        async with self._started("run", "balances", BALANCES, "--yes", *pacing) as process:
            # Enough rows are accepted, with calls in flight.
            while (states := (await self._view(State.ACCEPTED, rows)).counts)[State.ACCEPTED] < _KILL_AT * rows or (
                not states[State.SENDING]
            ):
                if not process.alive:
                    raise LabError(
                        "the load ended by itself, with {code}, before it could be killed; what it says is in {file}",
                        code=process.exit,
                        file=FOLDER / OUTPUT,
                    )
                await anyio.sleep(_BETWEEN_LOOKS)
            await process.end()
        await billing.wait_for_clients()
        found = await self._view(State.ACCEPTED, rows)
        return KilledLoad(str(found.run), process.pid, found.counts)

    async def _view(self, state: State, rows: int = 0) -> JournalView:
        """The run so far; of its rows so many are in a state."""
        view = await anyio.to_thread.run_sync(self._observer.view)
        self.progress = (view.counts[state], rows or view.counts.total())
        return view

    async def prove(self, asked: DemoLoad) -> Proof:
        """The result in the billing's own tables and the mock's ledger, which are independent of the program."""
        return await anyio.to_thread.run_sync(_prove, self._folder, asked, self._observer.view().counts)

    @asynccontextmanager
    async def _started(self, *arguments: str) -> AsyncIterator[Running]:
        """A command that runs, at most as long as the context lasts."""
        self.progress = (0, 0)
        self._on_command(arguments)
        process = await start(arguments, self._folder, self._environment, self._folder / OUTPUT)
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await process.end(signal.SIGTERM)

    async def run(self, state: State, *arguments: str, may_end_with: Sequence[int] = (ExitCode.DONE,)) -> None:
        """Run a command to its end; its progress is the rows in a state. Raises `LabError` for another exit code."""
        async with self._started(*arguments) as process:
            while process.alive:
                await self._view(state)
                with anyio.move_on_after(_BETWEEN_LOOKS):
                    await process.process.wait()
        if process.exit not in may_end_with:
            raise LabError(
                "{command} ended with {code}; what it says is in {file}",
                command=f"{PROGRAM} {arguments[0]}",
                code=process.exit,
                file=self._folder / OUTPUT,
            )


def make_folder() -> Path:
    """Create the demonstration's folder, empty, in the current one, in place of that of an earlier demonstration.

    Raises `LabError` when it cannot be created, and for a folder that no demonstration has made.
    """
    folder = Path.cwd() / FOLDER
    try:
        is_there = folder.is_symlink() or folder.exists()
        if is_there and (folder.is_symlink() or not (folder / _MADE_BY_DEMO).is_file()):
            raise LabError(
                "{folder} is there already, and no demonstration has made it: it is left as it is. Move it away, or "
                "start the demonstration in another folder",
                folder=folder,
            )
        if is_there:
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        (folder / _MADE_BY_DEMO).write_text("The next demonstration deletes this folder.\n", encoding="utf-8")
    except OSError as error:
        raise LabError("{folder} cannot be made anew: {why}", folder=folder, why=reason_of(error)) from error
    return folder


# ---- the input and the proof ------------------------------------------------------------------------------------


_sql: Final = partial(sql_block, "demo", folder="lab")


def _write_balances(folder: Path) -> DemoLoad:
    """A file with a balance for each account, by contract number, as a spreadsheet saves it."""
    draw = random.Random(2)
    total, number = Decimal(0), 0
    with (
        Database(Dsn(str(folder / _BILLING))) as database,
        (folder / BALANCES).open("w", encoding="utf-8-sig", newline="") as stream,
    ):
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(["contract_number", "amount"])
        for (contract,) in database.query(_sql("contract_numbers")):
            amount = Decimal(draw.randrange(1, 300_000)) / 100
            if draw.random() < _OWED:
                amount = -amount
            sheet.writerow([contract, f"{amount:.2f}".replace(".", ",")])
            total += amount
            number += 1
    return DemoLoad(number, total)


def _prove(folder: Path, asked: DemoLoad, states: Counter[str]) -> Proof:
    with Database(Dsn(str(folder / _BILLING))) as database:
        ((operations, scaled),) = database.query(_sql("opening_balances"))
        effects = Ledger(database).effects(_MODEL).values()
        balances = {contract: roubles(balance) for contract, balance in database.query(_sql("balances"))}
    with (folder / BALANCES).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    right = sum(balances.get(row["contract_number"]) == Decimal(row["amount"].replace(",", ".")) for row in rows)
    least, most = min(effects, default=0), max(effects, default=0)
    return Proof(asked, operations, roubles(scaled or 0), least, most, right, states)
