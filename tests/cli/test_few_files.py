"""A process that may open few files is told before it sends anything."""

import resource
import sys

import anyio
import pytest

from tests.cli.conftest import Ended, Place, Typed
from tools.house import ROOT


def test_a_command_that_finds_too_few_files_says_so(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 16))
    ended = typed("run", "balances", "balances.csv", "--json")
    assert ended.exit == 2
    assert "the system lets this process open 16. Raise the limit: ulimit -n" in ended.words
    assert ended.closing["exit"] == 2


async def typed_with_files(place: Place, files: int, *arguments: str) -> Ended:
    """A command in a shell that limits the open files, as `ulimit -n` does."""
    ended = await anyio.run_process(
        ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", sys.executable, "-m", "cli", *arguments],
        check=False,
        cwd=place.cli.folder,
        env=place.cli.environment | {"PYTHONPATH": str(ROOT)},
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


async def test_a_run_that_is_wider_than_its_files_sends_nothing(place: Place) -> None:
    place.balances(60)
    run = ("run", "balances", "balances.csv", "--yes", "--no-canary")
    ended = await typed_with_files(place, 100, *run)
    assert ended.exit == 2
    assert "64 parallel calls need 192 open files, and the system lets this process open 100" in ended.words
    assert "with it, 18 are possible" in ended.words
    assert "--in-flight" in ended.words
    assert (await place.found()).rows == 0
    ended = await typed_with_files(place, 100, *run, "--in-flight", "18", "--record", "a.rec")
    assert ended.exit == 0, ended.err
    assert (await place.found()).rows == 60
