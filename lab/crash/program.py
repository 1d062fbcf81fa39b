"""The program as anybody starts it: its command line, its environment, its exit codes.

The lab judges the program from outside, so it imports nothing of the command line. What it relies on is stated here,
and `tests/lab/crash/test_program.py` compares it with what the command line has.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import IO, Final

import anyio
from anyio.abc import Process

PROGRAM: Final = "carbon-migrate"
MODULE: Final = "cli"
"""What Python runs as the program, `python -m`."""

JOURNAL: Final = "carbon-migrate.journal"
"""The journal's name in a folder."""

SETTINGS: Final = "CARBON_MIGRATE_"
"""What the names of its settings begin with in the environment."""
API_URL: Final = "CARBON_MIGRATE_API_URL"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
JOURNAL_FILE: Final = "CARBON_MIGRATE_JOURNAL"


SAYS_BUSY: Final = "another process works on this run"
SAYS_TAKEN_OVER: Final = "taken over"
SAYS_PAUSED: Final = "is paused"
"""What it says where a second process takes a run, and where a run waits: as much of it as the lab looks for."""


class ExitCode(IntEnum):
    """What the program ends with."""

    DONE = 0
    """All rows were accepted, or there was nothing to do."""
    REJECTED = 1
    """Some rows were not entered."""
    REFUSED = 2
    """Usage, settings or input refused: nothing was sent."""
    STOPPED = 3
    """Stopped before the end; `resume` goes on."""
    UNDECIDED = 4
    """Rows are left unknown, wait for a person, or cannot be read back."""
    FAULT = 70
    """A fault of the program."""
    INTERRUPTED = 130
    """Interrupted by a signal; `resume` goes on."""


@dataclass(frozen=True, slots=True)
class ProgramUnderTest:
    """What a load is started with: its file of settings, its environment, and what Python runs as the program.

    A test of the lab itself names a broken program there.
    """

    config: Path
    environment: Mapping[str, str]
    program: Sequence[str] = ("-m", MODULE)


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of the program: the lab gives it its own."""
    return {name: value for name, value in environment.items() if not name.startswith(SETTINGS)}


async def start(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    program: Sequence[str] = ("-m", MODULE),
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> Process:
    """Start a command in a folder, with nothing to read on its standard input.

    It is in a session of its own: Ctrl-C ends the lab, and the lab ends its processes in good order.
    """
    return await anyio.open_process(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
