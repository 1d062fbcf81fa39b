"""The program under test: its command line, its environment, its exit codes.

The lab tests the program from outside, so it imports nothing of the command line. Its assumptions are stated here,
and `tests/lab/crash/test_program.py` compares them with the command line.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Final

import anyio
from anyio.abc import Process

MODULE: Final = "cli"
"""The module of the program, for `python -m`."""
JOURNAL: Final = "carbon-migrate.journal"
"""The journal's file name."""
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
    """The start of a load: its settings file, its environment, and the module that Python runs.

    A test of the lab names a broken program there.
    """

    config: Path
    environment: Mapping[str, str]
    program: Sequence[str] = ("-m", MODULE)


def without_settings(environment: Mapping[str, str], language: str = ENGLISH) -> dict[str, str]:
    """The environment without the program's settings, which the lab sets itself, but for the language."""
    kept = {name: value for name, value in environment.items() if not name.startswith(SETTINGS)}
    return {**kept, LANGUAGE: language}


async def start(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    program: Sequence[str] = ("-m", MODULE),
    python: str = sys.executable,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> Process:
    """Start a command in a folder, with an empty standard input.

    It imports nothing of the folder. It runs in a session of its own: Ctrl-C reaches the lab alone, which then ends
    its processes in order.
    """
    return await anyio.open_process(
        [python, "-P", *program, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


# ---- processes --------------------------------------------------------------------------------------------------


def send_signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process; nothing happens where it has ended.

    `Process.send_signal` asks first whether it has ended, and so takes its exit code away from asyncio, which then
    reports 255.
    """
    if process.returncode is None:
        send((process.pid,), number)


def send(processes: Iterable[int], number: signal.Signals) -> None:
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
    """The command line of a process, empty where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""
