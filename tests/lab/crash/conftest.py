"""The processes of the crash lab as forks, where how a process starts is not what is tried."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from lab.crash import program
from tests.cli import saboteur
from tests.cli.forking import command_server

PROGRAM = ("-m", program.MODULE)
MODULES = {program.MODULE, saboteur.__name__}
_opened = program.open_process


async def fork(words: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[bytes]) -> Any:
    """Start a command as a fork; one with words of its own for the interpreter starts as the lab does it."""
    option, module, *further = words
    if option != "-m" or module not in MODULES:
        return await _opened(words, folder, environment, output)
    written = output.fileno()
    # Keepers are told by what they were started with, and by whom.
    return await command_server().start(
        further, folder, environment, written, written, module=module, real_keepers=True
    )


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Billings and loads are forks of a process that has imported the program; they are killed as any other."""
    monkeypatch.setattr(program, "open_process", fork)
