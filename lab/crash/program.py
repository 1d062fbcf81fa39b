"""What the lab starts: the program under test, and PostgreSQL for its journals; and the errors of the lab.

The lab tests the program from outside, so it imports nothing of the command line. Its assumptions on arguments,
environment and exit codes are stated here, and `tests/lab/crash/test_plan.py` compares them with the command line.

PostgreSQL is Debian's, on a port of its own, beside the machine's and without touching it. The server refuses to run
as root: as root it is started as the user that the package made, who has to get through the folder of temporary
files. It blocks: not for an event loop.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from signal import SIGKILL, Signals
from typing import IO, Final

import anyio
from anyio.abc import Process

from lab.crash import launch
from lab.mock.port import LOOPBACK, bound
from texts.said import SaidError, said

# ---- the program --------------------------------------------------------------------------------------------------


class LabError(SaidError):
    """Raised when the lab cannot continue: a problem with its folder, its billing or its program."""


class NoTrial(LabError):
    """Raised for a job that the lab has no rows for, or whose effect it does not know; the text says why."""


class LabStopped(LabError):
    """Raised where the same command may go better later; the text says why."""


MODULE: Final = "cli"
JOURNAL: Final = "carbon-migrate.journal"
SETTINGS: Final = "CARBON_MIGRATE_"
"""The prefix of its environment variables."""
API_URL: Final = "CARBON_MIGRATE_API_URL"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
JOURNAL_FILE: Final = "CARBON_MIGRATE_JOURNAL"
LANGUAGE: Final = "CARBON_MIGRATE_LANG"
ENGLISH: Final = "en"
"""The language of the messages that the lab looks for, which are these."""
SAYS_BUSY: Final = "another process works on this run"
SAYS_TAKEN_OVER: Final = "taken over"
SAYS_TWICE: Final = "entered twice"
SAYS_PAUSED: Final = "is paused"
SAYS_LICENCE: Final = "Превышена лицензия"
"""The billing's words for a licence that has no room, which stop a run."""


class ExitCode(IntEnum):
    """The exit codes of the program, as the command line has them."""

    DONE = 0
    REJECTED = 1
    REFUSED = 2
    STOPPED = 3
    UNDECIDED = 4
    FAULT = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class ProgramUnderTest:
    """The start of a load or of a worker: the environment, the module that Python runs, the settings file of a load.

    `launcher` makes a process one of another machine. A test of the lab names a broken program there.
    """

    environment: Mapping[str, str]
    config: Path = Path()
    program: Sequence[str] = ("-m", MODULE)
    launcher: Sequence[str] = ("-m", launch.__name__, "machine")


def without_settings(environment: Mapping[str, str], language: str = ENGLISH) -> dict[str, str]:
    """The environment without the program's settings, which the lab sets itself, but for the language."""
    kept = {name: value for name, value in environment.items() if not name.startswith(SETTINGS)}
    return {**kept, LANGUAGE: language}


async def open_process(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]
) -> Process:
    """Start Python with these words in a folder, with an empty standard input and one file for all that it writes.

    It imports nothing of the folder. It runs in a session of its own: Ctrl-C reaches the lab alone, which then ends
    its processes in order.
    """
    python = [] if "/" in words[0] else [sys.executable, "-P"]
    return await anyio.open_process(
        [*python, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


# ---- processes --------------------------------------------------------------------------------------------------

_SANE: Final = frozenset({0, 1, 2, 3, 4, 130, -2, -9, -15, -launch.SIGNAL})
"""Expected exit codes, and the signals that the lab sends; 70 and all other signals are internal errors."""

_TRACEBACK: Final = re.compile(r"Traceback.*(?:\n[ \t].*)*\n?(.*)")
"""Any traceback, and the line after its frames: the error."""


class Running:
    """A process of the lab: its command, and what it says in its log."""

    def __init__(self, process: Process, command: str, log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.command = command
        self._log = log

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    @property
    def exit(self) -> int:
        """Its exit code once it has ended, a signal as its negative."""
        return self.process.returncode or 0

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def words(self) -> str:
        return " ".join(self.said.split())

    @property
    def broke(self) -> str | None:
        """The reason why its end is an internal error, None when it is none."""
        if shown := _TRACEBACK.search(self.said):
            return said("{command} showed a traceback: {error}", command=self.command, error=shown[1])
        if self.exit not in _SANE:
            return said("{command} ended with {exit}", command=self.command, exit=self.exit)
        return None

    def signal(self, number: Signals) -> None:
        """Send a signal to it; nothing happens where it has ended.

        `Process.send_signal` asks first whether it has ended, and so takes its exit code away from asyncio, which
        then reports 255.
        """
        if self.alive:
            send((self.pid,), number)

    async def kill_keepers(self) -> int:
        """Kill its processes that have the billing's file open, and wait for their end; returns their number."""

        def found() -> set[int]:
            return {one for one in children_of(self.pid) if b"billing.database.file_process" in command_of(one)}

        killed = found()
        send(killed, SIGKILL)
        while killed & found():  # noqa: ASYNC110 - not a child process
            await anyio.sleep(0.005)
        return len(killed)

    async def wait(self) -> "Running":
        await self.process.wait()
        await self.process.aclose()
        return self

    async def end(self, number: Signals = SIGKILL) -> None:
        self.signal(number)
        await self.wait()


async def start(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    *,
    program: Sequence[str] = ("-m", MODULE),
) -> Running:
    """Start a command of a program as `open_process` does; `log` gets what it writes.

    The words of a `program` are Python's, or begin with the path of another one.
    """
    with log.open("ab") as stream:
        process = await open_process([*program, *arguments], folder, environment, stream)
    return Running(process, arguments[0], log)


def send(processes: Iterable[int], number: Signals) -> None:
    """Send a signal to processes; nothing happens to one that has ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def all_processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def stat_of(process: int) -> list[str]:
    """The fields of proc(5), stat, behind the name of a process; none where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []


def children_of(parent: int) -> list[int]:
    stats = ((process, stat_of(process)) for process in all_processes())
    return [process for process, stat in stats if stat and stat[0] not in "ZX" and int(stat[1]) == parent]


def command_of(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


# ---- PostgreSQL ---------------------------------------------------------------------------------------------------


POSTGRES_PACKAGE: Final = "sudo apt-get update && sudo apt-get install -y postgresql"
POSTGRES_USER: Final = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with one database."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return self.url_by(self.port)

    def url_by(self, port: int) -> str:
        """The address of its database by another port that leads to it."""
        return f"postgresql://{POSTGRES_USER}@{LOOPBACK}:{port}/postgres"

    @property
    def process(self) -> int:
        """Its first process, of which all others are children."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def restart(self) -> None:
        """End all connections and come up again, as after a fault of the machine."""
        _control(self.folder, "restart", "-m", "immediate")


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """The server, for as long as the context lasts. Raises `LabStopped`.

    Unless it is to be `durable`, nothing waits for the disk: what is killed is a process, and never the machine.
    """
    with tempfile.TemporaryDirectory(prefix="carbon-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, POSTGRES_USER)
            except LookupError as error:
                raise _not_there() from error
        with bound(0) as probe:
            port = int(probe.getsockname()[1])
        _run_postgres(folder, "initdb", "-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '{LOOPBACK}'\nunix_socket_directories = '{folder}'\n"
                f"fsync = {'on' if durable else 'off'}\nmax_connections = 200\nshared_buffers = 32MB\n"
            )
        _control(folder, "start")
        try:
            yield PostgresServer(port, folder)
        finally:
            _control(folder, "stop", "-m", "immediate")


def postgres_programs() -> Path:
    """The folder of the newest server's programs. Raises `LabStopped`."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0), default=None)
    if newest is None:
        raise _not_there()
    return newest.parent


def _not_there() -> LabStopped:
    return LabStopped(
        said("a real PostgreSQL is needed, and there is none. Type: {command}", command=POSTGRES_PACKAGE)
    )


def _control(folder: Path, *words: str) -> None:
    _run_postgres(folder, "pg_ctl", "-w", "-t", "60", "-l", "log", *words)


def _run_postgres(folder: Path, program: str, *words: str) -> None:
    is_root = os.geteuid() == 0
    with (folder / "output").open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - Debian's own programs
            [postgres_programs() / program, "-D", "data", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            check=False,
            user=POSTGRES_USER if is_root else None,
            group=POSTGRES_USER if is_root else None,
            extra_groups=[] if is_root else None,
        )
    if ended.returncode:
        logs = (path for path in (folder / "output", folder / "log") if path.exists())
        said_there = "\n".join(path.read_text(errors="replace") for path in logs)
        raise LabStopped(
            "{program} failed ({code}): {output}", program=program, code=ended.returncode, output=said_there
        )
