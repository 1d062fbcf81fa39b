"""Where a journal lies, by what the kernel says of mounts (proc(5), `/proc/self/mountinfo`)."""

from pathlib import Path

import pytest

from checkpoints.journal_file import is_mounted, is_volatile, network_of

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


def test_a_file_that_is_mounted_by_itself(mounts: Path) -> None:
    assert is_mounted(Path("/app/a.journal"), mounts)
    assert not is_mounted(Path("/app/b.journal"), mounts)


def test_what_is_in_memory_is_known(mounts: Path) -> None:
    assert is_volatile(Path("/covered/a.journal"), mounts)
    assert not is_volatile(Path("/srv/share/local/a.journal"), mounts)
