"""The load of an experiment: its request, its processes, and how each of them ended."""

import csv
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import anyio
from anyio.abc import Process

from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash import clock
from lab.crash.experiment_plan import (
    BALANCES,
    IMPORT,
    MOST_IN_FLIGHT,
    PAYMENT,
    WARNING_THRESHOLD,
    ExperimentPlan,
)
from lab.crash.import_table import (
    DICTIONARY,
    TABLE,
    RequestedImport,
    draw_rows,
    folder_key,
    live_content,
    new_folders,
    refusals_of,
    step_key,
    stored_subscriber,
    write_table,
)
from lab.crash.journals import Machine
from lab.crash.mock_process import OTHER_BILLING, MockProcess
from lab.crash.observer import JournalView
from lab.crash.program import JOURNAL, ProgramUnderTest, children_of, command_of, send, send_signal, start
from lab.crash.stranger import SUBSCRIBERS, Victim
from lab.crash.trials import CALLED, OPERATIONS, TRIALS, By, Trial, Wanted, sql
from lab.mock.facts import OPENING_BALANCE
from lab.mock.people import FOLDERS
from texts.said import said

INPUT: Final = "rows.csv"
FOLDER: Final = next(iter(FOLDERS))
"""The folder whose subscribers get another threshold."""

_OWED: Final = 0.08


@dataclass(frozen=True, slots=True)
class RequestedLoad:
    """The request of a load: the command with its arguments, and the wanted value of each key.

    `objects` has the ledger's key for each key, `last` is the last finance operation before the load. An import is
    judged by `imported`. `victims` are the rows that a stranger can get at, by their keys; `by_number` says that the
    rows name subscribers by their contract numbers.
    """

    arguments: tuple[str, ...]
    wanted: Mapping[str, Wanted]
    objects: Mapping[str, int]
    last: int = 0
    imported: RequestedImport | None = None
    victims: Mapping[str, Victim] = field(default_factory=dict)
    by_number: bool = False


def prepare_load(folder: Path, plan: ExperimentPlan, billing: Path) -> RequestedLoad:
    """The request of the load, by the plan's seed; its input file is written into `folder`."""
    draw = Random(f"{plan.seed}/input")
    if plan.job == IMPORT:
        with Database(Dsn(str(billing))) as database:
            return _import(folder, draw, plan, database)
    trial = plan.own or TRIALS[plan.job]
    if trial.arranged:
        _arrange(billing, trial, plan.rows)
    with Database(Dsn(str(billing))) as database:
        ((last,),) = database.query(sql("last_operation"))
        return _with_victims(_requested(folder, draw, plan, trial, database, last), trial, database)


def _requested(
    folder: Path, draw: Random, plan: ExperimentPlan, trial: Trial, database: Database, last: int
) -> RequestedLoad:
    """The request of a load that is no import; `last` is the last finance operation before it."""
    if plan.job == BALANCES:
        found = list(database.query(sql("only_owners"), {"rows": plan.rows}))
        return _balances(folder, draw, found, last)
    if plan.job == WARNING_THRESHOLD:
        # The only job whose rows come from the database, by its own select.
        threshold = -Decimal(draw.randrange(300_00, 900_00)) / 100
        members: dict[int, int] = dict(database.query(sql("members"), {"folder": FOLDER}))
        arguments = ("run", "warning-threshold", "--set", f"folder={FOLDER}", "--set", f"amount={threshold:.2f}")
        return RequestedLoad(
            arguments, dict.fromkeys(map(str, members), threshold), {str(key): of for key, of in members.items()}
        )
    rows = list(database.query(sql(trial.rows), {"rows": plan.rows}))
    return _rows(folder, draw, trial, rows, last)


def _with_victims(requested: RequestedLoad, trial: Trial, database: Database) -> RequestedLoad:
    """The request with what a stranger has to know of its rows."""
    # What is created is told by its subscriber, what is changed by itself.
    by_subscriber = trial.by is By.MARK or trial.model in {"Abonents", "AttributeValues"} or trial.job == PAYMENT
    owners: dict[int, int] = {}
    if not by_subscriber and trial.model in _WITH_SUBSCRIBER:
        owners = dict(database.query(sql(f"subscribers_of_{trial.model}")))
    own = {found if by_subscriber else owners.get(found) for found in requested.objects.values()}
    others = [key for (key,) in database.query(sql("others")) if key not in own]
    victims = {
        key: Victim(
            key=key,
            subscriber=found if by_subscriber else owners.get(found),
            other=others[place % len(others)],
            table=_DELETED.get("Abonents" if by_subscriber else trial.model, ""),
            object=found,
            creates=trial.creates,
            kind=trial.kind or _KINDS.get(trial.model, 0),
            value=requested.wanted[key],
        )
        for place, (key, found) in enumerate(requested.objects.items())
    }
    return replace(requested, victims=victims)


_WITH_SUBSCRIBER: Final = frozenset(
    {"AdminAccounts", "Users", "UsersUsluga", "FinanceOperations", "AbonentsBlockHistory"}
)
_DELETED: Final = {"Abonents": "abonents", "Users": "users", "UsersUsluga": "users_usluga"}
_KINDS: Final = {"UsersUsluga": 105, "AttributeValues": 99}
"""The service and the attribute of the rows of `to_connect` and `to_describe`."""


def _arrange(billing: Path, trial: Trial, rows: int) -> None:
    """Add rows to the billing of which a new one has too few."""
    connection = attach(Dsn(str(billing)))
    try:
        text, values = sql(trial.arranged).bind({"rows": rows})
        connection.cursor().execute(text, values)
        connection.commit()
    finally:
        connection.close()


def _rows(folder: Path, draw: Random, trial: Trial, rows: Sequence[Sequence[object]], last: int) -> RequestedLoad:
    wanted: dict[str, Wanted] = {}
    objects: dict[str, int] = {}
    with (folder / INPUT).open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(trial.header)
        for own, of, *cells in rows:
            key = trial.key(own)
            line = [*map(str, cells), *(cell(draw) for cell in trial.drawn)]
            sheet.writerow(line)
            text = trial.wanted(line)
            wanted[key] = Decimal(text) if trial.amount else text
            objects[key] = int(str(of))
    called = CALLED if trial.job == "call" else ()
    return RequestedLoad(("run", trial.job, INPUT, *called, *trial.arguments), wanted, objects, last)


def _balances(folder: Path, draw: Random, subscribers: Sequence[tuple[int, str]], last: int) -> RequestedLoad:
    by_id = draw.random() < 0.5  # noqa: PLR2004 - heads or tails
    wanted: dict[str, Wanted] = {}
    objects: dict[str, int] = {}
    with (folder / INPUT).open("w", encoding="utf-8-sig", newline="") as stream:
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(["abonent_id" if by_id else "contract_number", "amount"])
        for subscriber, number in subscribers:
            amount = Decimal(draw.randrange(1, 300_000)) / 100
            key = row_key((str(subscriber), str(OPENING_BALANCE)))
            wanted[key] = amount = -amount if draw.random() < _OWED else amount
            objects[key] = subscriber
            sheet.writerow([subscriber if by_id else number, f"{amount:.2f}".replace(".", ",")])
    return RequestedLoad(("run", "balances", INPUT), wanted, objects, last, by_number=not by_id)


def _import(folder: Path, draw: Random, plan: ExperimentPlan, database: Database) -> RequestedLoad:
    rows = list(write_table(folder, draw_rows(draw, plan.rows)))
    subscribers = tuple(row.wanted for row in rows if row.wanted is not None)
    ((last,),) = database.query(sql("last_abonent"))
    imported = RequestedImport(
        subscribers=subscribers,
        folders=frozenset(folder_key(names) for one in subscribers for names in new_folders(one.folder)),
        faulty=len(rows) - len(subscribers),
        last=last,
        content=live_content(database),
        refusals=refusals_of(plan.faults),
    )
    arguments = ("import", TABLE, "--dictionary", DICTIONARY)
    victims = {
        (key := step_key(row.wanted.number, Step.SUBSCRIBER)): Victim(
            key, None, 0, "", 0, creates=SUBSCRIBERS, cells=stored_subscriber(row)
        )
        for row in rows
        if row.wanted is not None
    }
    return RequestedLoad(arguments, imported.wanted, {}, imported=imported, victims=victims)


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished process of the load: its command, its exit code (a signal as its negative), and its output."""

    command: str
    exit: int
    said: str

    @property
    def broke(self) -> str | None:
        """The reason why it is an internal error, None when it is none."""
        if "Traceback" in self.said:
            return said("{command} showed a traceback", command=self.command)
        return (
            said("{command} ended with {exit}", command=self.command, exit=self.exit)
            if self.exit not in _SANE
            else None
        )


_SANE: Final = frozenset({0, 1, 2, 3, 4, 130, -2, -9, -15, -clock.SIGNAL})
"""Expected exit codes, and the signals that the lab sends; 70 and all other signals are internal errors."""


class Load:
    """Starts the processes of one load in `folder`."""

    def __init__(
        self,
        folder: Path,
        plan: ExperimentPlan,
        billing: MockProcess,
        requested: RequestedLoad,
        program: ProgramUnderTest,
    ) -> None:
        self.journal = folder / JOURNAL
        self._folder = folder
        self._plan = plan
        self.victims = requested.victims
        self.by_number = requested.by_number
        self.is_import = requested.imported is not None
        self._requested = requested
        self._program = program
        self._running: list[Running] = []
        dsn = Dsn(str(billing.database))
        # Override URL, database and journal of the settings: the lab never touches the real ones.
        self._connection = ["--config", str(program.config), "--api-url", billing.url]
        database = folder / OTHER_BILLING if plan.two_billings else billing.database
        self._database = ["--database", "" if plan.api_alone else str(database)]
        self._database += [
            "--database-user",
            dsn.user,
            "--database-password",
            "",
            "--database-charset",
            dsn.charset,
        ]
        how_many = ("--max-in-flight", MOST_IN_FLIGHT) if plan.in_flight is None else ("--in-flight", plan.in_flight)
        self._pacing = [str(word) for word in how_many]
        self._pacing += ["--settle", str(plan.settle), "--stop-after-errors", "0", "--timeout", str(plan.timeout)]

    async def start(self, view: JournalView) -> "Running":
        """Start a process that begins the run, or resumes it where there is one."""
        if view.run is None:
            return await self._start(*self._requested.arguments, "--skip-bad", "--yes", *self._pacing)
        return await self.resume(view.run)

    async def resume(self, run: str) -> "Running":
        """Start a process that goes on with a run."""
        return await self._start("resume", run, "--skip-bad", "--yes", *self._pacing)

    async def undo(self, run: str, *, alone: bool = True) -> "Running":
        """Start a process that takes a run back; where nobody else is at work, what it found after a kill as well."""
        trial = self._plan.own or TRIALS.get(self._plan.job)
        # Otherwise an accountant gets a list of operations.
        listed = trial is not None and trial.model == OPERATIONS and trial.once
        way = ("--set", "way=opposite") if listed else ("--set", "unproven=take") if alone else ()
        return await self._start("undo", run, *way, "--yes", *self._pacing)

    async def start_second(self, run: str, journal: Path | None = None) -> "Ended":
        """Run a second process on the same run to its end; `journal` is another name of the journal."""
        return await self._run("resume", run, "--yes", *self._pacing, journal=journal)

    async def enter_anew(self, journal: Path) -> "Ended":
        """Enter the same input with another journal; returns at the end of the process."""
        return await self._run(*self._requested.arguments, "--yes", *self._pacing, journal=journal)

    async def enter_beside(self, journal: Path, machine: Machine) -> "Ended":
        """Enter what is left of the same input with another journal; returns at the end of the process."""
        words = (*self._requested.arguments, "--skip-bad", "--yes", *self._pacing)
        program = self._program.program
        if machine is Machine.OTHER:
            words_of_module = program[program.index("-m") :]
            program = ["-m", "lab.crash.machine", machine, sys.executable, "-P", *words_of_module]
        return await (await self._start(*words, journal=journal, program=program)).wait()

    async def command(self, command: str, run: str, *words: str) -> "Ended":
        """Send a command to the run from another process; returns at its end."""
        return await self._run(command, run, *words, database=False)

    async def reconcile(self, run: str) -> "Ended":
        """Run `reconcile` to its end: rows in doubt are not taken back."""
        return await self._run("reconcile", run, "--settle", str(self._plan.settle))

    async def verify(self, run: str) -> "Ended":
        """Run `verify` to its end."""
        return await self._run("verify", run)

    async def end(self) -> None:
        """Kill all remaining processes."""
        for running in self._running:
            if running.alive:
                await running.kill()

    async def _run(self, *arguments: str, journal: Path | None = None, database: bool = True) -> "Ended":
        return await (await self._start(*arguments, journal=journal, database=database)).wait()

    async def _start(
        self,
        *arguments: str,
        journal: Path | None = None,
        database: bool = True,
        program: Sequence[str] = (),
    ) -> "Running":
        connection = [*self._connection, *(self._database if database else [])]
        program = program or self._program.program
        if self._plan.clock_back is not None:
            program = ["-m", "lab.crash.clock", str(self._plan.clock_back)]
        said = self._folder / f"{len(self._running) + 1:02}-{arguments[0]}.log"
        with said.open("wb") as stream:
            process = await start(
                [*arguments, *connection, "--journal", str(journal or self.journal)],
                self._folder,
                self._program.environment,
                program=program,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        running = Running(process, arguments[0], said)
        self._running.append(running)
        return running


class Running:
    """A running process."""

    def __init__(self, process: Process, command: str, said: Path) -> None:
        self.process = process
        self._command = command
        self._said = said

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self.process.returncode is None

    @property
    def said(self) -> str:
        """Its output so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    async def kill_file_processes(self) -> int:
        """Kill its processes that have the billing's file open, and wait for their end; returns their number."""

        def found() -> set[int]:
            return {one for one in children_of(self.pid) if b"billing.database.file_process" in command_of(one)}

        killed = found()
        send(killed, signal.SIGKILL)
        while killed & found():  # noqa: ASYNC110 - not a child process
            await anyio.sleep(_POLL)
        return len(killed)

    async def wait(self) -> Ended:
        """Wait for its end."""
        code = await self.process.wait()
        await self.process.aclose()
        return Ended(self._command, code, self.said)

    async def kill(self) -> Ended:
        """Kill it, and wait."""
        send_signal(self.process, signal.SIGKILL)
        return await self.wait()


_POLL: Final = 0.005
