"""The processes of the crash lab as forks, where how a process starts is not what is tried."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from lab.crash import load, mock_process
from lab.crash.program import MODULE, start
from tests.cli import saboteur
from tests.cli.forking import command_server

PROGRAM = ("-m", MODULE)
MODULES = {MODULE, saboteur.__name__}


async def fork(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    program: Sequence[str] = PROGRAM,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> Any:
    """Start a command as a fork; one with words of its own for the interpreter starts as the lab does it."""
    option, *words = program or ("",)
    if option != "-m" or words[0] not in MODULES:
        return await start(arguments, folder, environment, program=program, stdout=stdout, stderr=stderr)
    out = None if isinstance(stdout, int | None) else stdout.fileno()
    err = out if stderr == subprocess.STDOUT else None if isinstance(stderr, int | None) else stderr.fileno()
    # Keepers are told by what they were started with, and by whom.
    return await command_server().start(
        [*words[1:], *arguments], folder, environment, out, err, module=words[0], real_keepers=True
    )


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Billings and loads are forks of a process that has imported the program; they are killed as any other."""
    monkeypatch.setattr(mock_process, "start", fork)
    monkeypatch.setattr(load, "start", fork)
