"""One journal, whatever it is called: a symbolic link leads to the same lock, and other names are refused."""

import os
import re
import subprocess
from pathlib import Path

import anyio
import pytest

from checkpoints.errors import JournalAliased, RunHeld
from checkpoints.journal import open_journal
from engine.control.address import socket_path
from jobs.access.vault import vault_path
from tests.checkpoints.samples import NEW_RUN, frozen_run, new_item


async def test_a_second_runner_by_a_symbolic_link_is_refused_with_the_name_of_the_first(
    path: Path, tmp_path: Path
) -> None:
    alias = tmp_path / "elsewhere" / "alias.journal"
    alias.parent.mkdir()
    alias.symlink_to(path)
    async with open_journal(path) as journal, open_journal(alias) as other:
        run = await frozen_run(journal, new_item("1"))
        async with journal.taken_up(run):
            assert await other.run(run.name) == await journal.run(run.name)
            with pytest.raises(RunHeld, match=f"process {os.getpid()} on "):
                await other.taken_up(run).__aenter__()
        # The log, the socket and the secrets stand beside the file, not beside the link.
        assert other.path == path
        assert socket_path(other, run).parent == vault_path(other.path).parent == path.parent
    assert [entry.name async for entry in anyio.Path(alias.parent).iterdir()] == [alias.name]


async def test_a_journal_with_a_hard_link_is_refused_by_both_names(path: Path, tmp_path: Path) -> None:
    async with open_journal(path) as journal:
        await journal.create_run(NEW_RUN)
    alias = tmp_path / "alias.journal"
    alias.hardlink_to(path)
    for name in (path, alias):
        with pytest.raises(JournalAliased, match=rf"{re.escape(str(name))} has 2 names, as hard links"):
            async with open_journal(name):
                pass
    alias.unlink()
    async with open_journal(path) as journal:
        assert len(await journal.runs()) == 1


async def test_a_journal_that_is_mounted_by_itself_is_refused_there(path: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias.journal"
    alias.touch()
    async with open_journal(path) as journal:
        await journal.create_run(NEW_RUN)
    if subprocess.run(["mount", "--bind", path, alias], capture_output=True, check=False).returncode:  # noqa: ASYNC221, S603, S607 - a command of the system's
        pytest.skip("only root may mount")
    try:
        with pytest.raises(JournalAliased, match="is mounted by itself"):
            async with open_journal(alias):
                pass
    finally:
        subprocess.run(["umount", alias], check=True)  # noqa: ASYNC221, S603, S607 - the same
