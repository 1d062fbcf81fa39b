"""One journal, whatever it is called: a symbolic link leads to the same lock, and other names are refused."""

import os
import re
import subprocess
from pathlib import Path

import anyio
import pytest

from checkpoints.errors import JournalUnreadable, RunHeld
from checkpoints.journal import open_journal
from checkpoints.journal_file import is_mounted, is_volatile, network_of
from jobs.access.vault import vault_path
from tests.checkpoints.samples import NEW_RUN, frozen_run, new_item


async def test_a_second_runner_by_a_symbolic_link_is_refused_and_told_the_first(path: Path, tmp_path: Path) -> None:
    alias = tmp_path / "elsewhere" / "alias.journal"
    alias.parent.mkdir()
    alias.symlink_to(path)
    async with open_journal(path) as journal, open_journal(alias) as other:
        run = await frozen_run(journal, new_item("1"))
        async with journal.taken_up(run):
            assert await other.run(run.name) == await journal.run(run.name)
            with pytest.raises(RunHeld, match=f"process {os.getpid()} on "):
                await other.taken_up(run).__aenter__()
        # The log and the secrets stand beside the file, not beside the link.
        assert other.path == path
        assert vault_path(other.path).parent == path.parent
    assert [entry.name async for entry in anyio.Path(alias.parent).iterdir()] == [alias.name]


async def test_a_journal_with_a_hard_link_is_refused_by_both_names(path: Path, tmp_path: Path) -> None:
    async with open_journal(path) as journal:
        await journal.create_run(NEW_RUN)
    alias = tmp_path / "alias.journal"
    alias.hardlink_to(path)
    for name in (path, alias):
        with pytest.raises(JournalUnreadable, match=rf"{re.escape(str(name))} has 2 names, as hard links"):
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
        with pytest.raises(JournalUnreadable, match="is mounted by itself"):
            async with open_journal(alias):
                pass
    finally:
        subprocess.run(["umount", alias], check=True)  # noqa: ASYNC221, S603, S607 - the same


MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:38 / /srv/share rw,relatime shared:2 - nfs4 nas:/export rw,vers=4.2
41 22 0:39 / /srv/with\040blank rw - cifs //nas/c rw
42 40 254:1 / /srv/share/local rw - xfs /dev/vdb rw
43 22 0:40 / /home/olga/remote rw,nosuid,nodev - fuse.sshfs olga@ops:/ rw
44 22 254:0 /journals/a.journal /app/a.journal rw - ext4 /dev/vda rw
45 22 0:41 / /covered rw - nfs nas:/old rw
46 45 0:42 / /covered rw - tmpfs tmpfs rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib/carbon-migrate/a.journal", ""),
        ("/srv/share/a.journal", "nfs4"),
        ("/srv/share/deep/er/a.journal", "nfs4"),
        ("/srv/shared/a.journal", ""),
        ("/srv/share/local/a.journal", ""),
        ("/srv/with blank/a.journal", "cifs"),
        ("/home/olga/remote/a.journal", "fuse.sshfs"),
        ("/covered/a.journal", ""),
    ],
)
def test_a_file_lies_on_what_is_mounted_nearest_to_it(place: str, kind: str, mounts: Path) -> None:
    assert network_of(Path(place), mounts) == kind


def test_a_link_to_a_network_is_followed(tmp_path: Path, mounts: Path) -> None:
    alias = tmp_path / "alias.journal"
    alias.symlink_to("/srv/share/a.journal")
    assert network_of(alias, mounts) == "nfs4"
    assert network_of(tmp_path / "a.journal") == network_of(alias, tmp_path / "no proc here") == ""


def test_what_is_mounted_by_itself_or_in_memory_is_known(mounts: Path) -> None:
    assert [is_mounted(Path(f"/app/{name}.journal"), mounts) for name in "ab"] == [True, False]
    assert [is_volatile(Path(place), mounts) for place in ("/covered/a", "/srv/share/local/a")] == [True, False]
