"""`demo`: a load that is killed in the middle, taken up again, and proved to be right to the kopeck.

Everything is real: a Firebird database, a REST API in a process of its own, the load in another, SIGKILL.
"""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import anyio
import anyio.to_thread
import typer
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from billing.database.database import Database, Dsn
from billing.money import roubles
from checkpoints.journal import open_journal
from checkpoints.records import Totals
from checkpoints.states import State
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import API_URL, DATABASE, JOURNAL, JOURNAL_FILE, PROGRAM, count, duration, money

ABONENTS: Final = 10_000
FOLDER: Final = Path(".demo")
BILLING: Final = "billing.fdb"
BALANCES: Final = "balances.csv"
MODEL: Final = "FinanceOperations"

LATENCY_MS: Final = 20
IN_FLIGHT: Final = 64
KILL_AT: Final = 0.45
"""The share of the rows after which the load is killed."""

_OWED: Final = 0.08
"""The share of balances that are below zero."""

app: Final = typer.Typer(add_completion=False)


@app.command("demo")
def _demo(
    abonents: Annotated[
        int, typer.Option("--abonents", min=200, max=1_000_000, metavar="N", help="Size of the billing.")
    ] = ABONENTS,
) -> None:
    """Load balances into a billing of its own, kill the load in the middle, resume it, and prove the result."""
    raise typer.Exit(run_command(lambda: show(abonents, Screen())))


@dataclass(frozen=True, slots=True)
class DemoLoad:
    """What the file asks for."""

    rows: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class Proof:
    """What the billing's own tables say, beside what was asked for."""

    asked: DemoLoad
    operations: int
    sum: Decimal
    least: int
    most: int
    balances: int
    """Accounts whose balance is what the file says."""
    totals: Totals

    @property
    def holds(self) -> bool:
        """Every row once, the sum and each balance to the kopeck, nothing in doubt."""
        return (
            self.operations == self.asked.rows
            and self.sum == self.asked.sum
            and self.least == self.most == 1
            and self.balances == self.asked.rows
            and self.totals.count(State.APPLIED) == self.totals.frozen == self.asked.rows
        )


async def show(abonents: int, screen: Screen) -> Exit:
    """Run the whole demonstration; 0 when the proof holds. Ctrl-C and SIGTERM end it, and all that it has started."""
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            return await _shown(abonents, screen)
    screen.out.print("\n[yellow]interrupted; the billing and the load are stopped as well[/]")
    return Exit.INTERRUPTED


async def _shown(abonents: int, screen: Screen) -> Exit:
    began = anyio.current_time()
    folder = await anyio.to_thread.run_sync(_made_anew)
    stage = Stage(folder, screen)
    screen.out.print(
        Panel.fit(
            f"A billing with {count(abonents)} subscribers, a file with their opening balances,\n"
            "a load that is killed with SIGKILL in the middle: is every rouble entered exactly once?",
            title=f"[bold]{PROGRAM} demo[/]",
            border_style="cyan",
        )
    )
    await stage.heading("A billing to load into, and a file of balances")
    await stage.command("mock", "init", BILLING, "--abonents", str(abonents))
    asked = await anyio.to_thread.run_sync(_write_balances, folder)
    screen.out.print(f"  {BALANCES}: {count(asked.rows)} balances by contract number, {money(asked.sum)} in total")
    async with stage.serving() as url:
        stage.environment |= {API_URL: url, DATABASE: BILLING, JOURNAL_FILE: JOURNAL}
        name = await stage.killed_load(asked.rows)
        await stage.heading("What the journal knows, though nobody had time to say goodbye")
        await stage.command("status", name)
        await stage.heading("Taken up again: what was in doubt is looked up in the billing, not sent on a guess")
        await stage.command("resume", name, "--settle", "1", "--in-flight", str(IN_FLIGHT), may_end_with=(0,))
        await stage.heading("Verified: every row read back from the billing")
        await stage.command("verify", name, may_end_with=(0, 1))
        proof = await anyio.to_thread.run_sync(_prove, folder, asked, await _totals(folder, name))
    _show_proof(proof, anyio.current_time() - began, screen)
    return Exit.DONE if proof.holds else Exit.REJECTED


class Stage:
    """Shows each command as a reader would type it, and runs it in the demo's own folder."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CARBON_MIGRATE_")
        }
        self._folder = folder
        self._screen = screen
        self._step = 0

    async def heading(self, text: str) -> None:
        """What comes next, in words."""
        self._step += 1
        self._screen.out.print(f"\n[bold cyan]{self._step}.[/] [bold]{text}[/]")

    async def command(self, *arguments: str, may_end_with: Sequence[int] = (0,)) -> None:
        """Run a command to its end. Raises `CommandRefused` when it ends otherwise than it may."""
        self._typed(arguments)
        async with await self._started(arguments) as process:
            try:
                code = await process.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await _ended(process, signal.SIGTERM)
        if code not in may_end_with:
            raise CommandRefused(
                f"{PROGRAM} {arguments[0]} ended with {code}; the demo's files are in {self._folder}"
            )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The mock billing in a process of its own, for as long as the context lasts; gives its address."""
        arguments = ("mock", "serve", BILLING, "--port", "0", "--latency-ms", str(LATENCY_MS))
        self._typed((*arguments, "&"))
        process = await self._started(arguments, stdout=subprocess.PIPE)
        try:
            if process.stdout is None:
                raise RuntimeError("a process was started without its stdout")
            url = (await _first_line(TextReceiveStream(process.stdout))).strip()
            if not url:
                raise CommandRefused("the mock billing did not start; what it says stands above")
            self._screen.out.print(f"  the billing's REST API: {url}, each answer after {LATENCY_MS} ms")
            yield url
        finally:
            with anyio.CancelScope(shield=True):
                await _ended(process, signal.SIGTERM)
                await process.aclose()

    async def killed_load(self, rows: int) -> str:
        """Start the load and kill it in the middle; returns the name of its run."""
        await self.heading("The load starts, and its process is killed in the middle")
        arguments = ("run", "balances", BALANCES, "--yes", "--settle", "1", "--in-flight", str(IN_FLIGHT), "--quiet")
        self._typed(arguments)
        async with await self._started(arguments) as process:
            try:
                name, totals = await self._watched(rows, process)
            finally:
                with anyio.CancelScope(shield=True):
                    await _ended(process, signal.SIGKILL)
        self._typed(("kill", "-9", str(process.pid)), program="")
        sent = totals.count(State.ACCEPTED)
        self._screen.out.print(
            f"  [red]killed[/] with {count(sent)} of {count(rows)} rows accepted and "
            f"[yellow]{count(totals.count(State.SENDING))} in flight[/]: their answers are lost"
        )
        return name

    async def _watched(self, rows: int, process: Process) -> tuple[str, Totals]:
        """Follow the load in its journal until enough is accepted for the kill."""
        bar = Progress(
            TextColumn("  "),
            BarColumn(40),
            TextColumn("{task.completed:.0f} of {task.total:.0f} rows accepted"),
            console=self._screen.out,
            transient=True,
            disable=not self._screen.out.is_terminal,
        )
        # The journal is there once the run has checked the billing; until then there is nothing to read.
        path = self._folder / JOURNAL
        while not await anyio.Path(path).exists():
            _still_alive(process)
            await anyio.sleep(0.02)
        async with open_journal(path) as journal:
            with bar:
                task = bar.add_task("", total=rows)
                while True:
                    _still_alive(process)
                    if runs := await journal.runs():
                        totals = await journal.totals(runs[-1])
                        accepted = totals.count(State.ACCEPTED)
                        bar.update(task, completed=accepted)
                        if accepted >= KILL_AT * rows and totals.count(State.SENDING):
                            process.kill()
                            await process.wait()
                            return runs[-1].name, await journal.totals(runs[-1])
                    await anyio.sleep(0.05)

    def _typed(self, arguments: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        self._screen.out.print(f"  [dim]$[/] [bold]{program}{' '.join(arguments)}[/]", soft_wrap=True)

    async def _started(self, arguments: Sequence[str], stdout: int | None = None) -> Process:
        # A session of its own: Ctrl-C ends the demo, and the demo ends its children in good order.
        return await anyio.open_process(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self._folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=None,
            start_new_session=True,
        )


def _still_alive(process: Process) -> None:
    if process.returncode is not None:
        raise CommandRefused(f"the load ended by itself, with {process.returncode}, before it could be killed")


async def _ended(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
        await process.wait()


async def _first_line(stream: TextReceiveStream) -> str:
    line = ""
    async for part in stream:
        line += part
        if "\n" in line:
            break
    return line.partition("\n")[0]


# ---- the input and the proof ------------------------------------------------------------------------------------


def _made_anew() -> Path:
    """The demo's own folder, empty. Raises `CommandRefused` when it cannot be."""
    folder = Path.cwd() / FOLDER
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise CommandRefused(f"{folder} cannot be made anew: {error.strerror}") from error
    return folder


def _write_balances(folder: Path) -> DemoLoad:
    """A balance for each account, by contract number, as a spreadsheet would have saved it."""
    draw = random.Random(2)
    total, number = Decimal(0), 0
    with (
        Database(Dsn(str(folder / BILLING))) as database,
        (folder / BALANCES).open("w", encoding="utf-8-sig", newline="") as stream,
    ):
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(["contract_number", "amount"])
        # One of each account: where type 8 sets the balance, a second one would replace the first.
        query = (
            "select a.contract_number from abonents a where a.id in (select min(b.id) from abonents b "
            "where b.is_folder = 0 and b.deleted = 0 and b.account_id is not null group by b.account_id) "
            "order by a.id"
        )
        for (contract,) in database.query(query):
            amount = Decimal(draw.randrange(1, 300_000)) / 100
            if draw.random() < _OWED:
                amount = -amount
            sheet.writerow([contract, f"{amount:.2f}".replace(".", ",")])
            total += amount
            number += 1
    return DemoLoad(number, total)


async def _totals(folder: Path, name: str) -> Totals:
    async with open_journal(folder / JOURNAL) as journal:
        return await journal.totals(await journal.run(name))


def _prove(folder: Path, asked: DemoLoad, totals: Totals) -> Proof:
    """What the billing's own tables and the mock's ledger of effects say; nothing of ours is asked."""
    from lab.mock.ledger import Ledger

    with Database(Dsn(str(folder / BILLING))) as database:
        ((operations, scaled),) = database.query(
            "select count(*), cast(sum(op_summa) as numeric(18, 0)) from finance_operations where op_type = 8"
        )
        effects = Ledger(database).effects(MODEL).values()
        balances = {
            contract: roubles(balance)
            for contract, balance in database.query(
                "select a.contract_number, c.balance from abonents a join admin_accounts c on c.id = a.account_id "
                "where a.is_folder = 0 and a.deleted = 0"
            )
        }
    with (folder / BALANCES).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    right = sum(balances.get(row["contract_number"]) == Decimal(row["amount"].replace(",", ".")) for row in rows)
    least, most = min(effects, default=0), max(effects, default=0)
    return Proof(asked, operations, roubles(scaled or 0), least, most, right, totals)


def _show_proof(proof: Proof, seconds: float, screen: Screen) -> None:
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()

    def line(what: str, asked: str, found: str) -> None:
        table.add_row(what, asked, found, "[green]✓[/]" if asked == found else "[bold red]✗[/]")

    table.add_row("", "[dim]asked[/]", "[dim]in the billing[/]", "")
    line("rows, and operations", count(proof.asked.rows), count(proof.operations))
    line("sum in roubles", money(proof.asked.sum), money(proof.sum))
    line("fewest operations of a subscriber", "1", str(proof.least))
    line("most operations of a subscriber", "1", str(proof.most))
    line("accounts with the balance of the file", count(proof.asked.rows), count(proof.balances))
    line("verified", count(proof.asked.rows), count(proof.totals.count(State.APPLIED)))
    line("left unknown", "0", count(proof.totals.count(State.UNKNOWN, State.MANUAL)))
    holds = "[bold green]the proof holds[/]" if proof.holds else "[bold red]the proof fails[/]"
    screen.out.print("")
    screen.out.print(
        Panel.fit(
            table,
            title=f"{holds} [dim]after {duration(seconds)}[/]",
            border_style="green" if proof.holds else "red",
            padding=(1, 3),
        )
    )
    screen.out.print(
        f"[dim]All of it is in {FOLDER}/: the billing, the file, the journal and its log. "
        f"Next: {PROGRAM} doctor, and the README for the first real load.[/]"
    )
