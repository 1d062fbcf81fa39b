"""What lies where: whether a journal's file is on a network file system, or is mounted by itself.

SQLite keeps the index of its log in memory that processes share, which those of two machines do not; and what a
network file system makes of locks, and of data that was said to be on the disk, is its server's to know.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
"""What is mounted where (proc(5)): the fifth word of a line is the place, the first behind the dash the type."""

NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs3",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "glusterfs",
        "coda",
    }
    | {"ncpfs", "davfs", "gfs2", "ocfs2", "vboxsf", "prl_fs", "virtiofs", "drvfs", "beegfs", "fuse.sshfs"}
    | {"fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs2", "fuse.ceph", "fuse.vmhgfs-fuse"}
)
"""Types of file systems that several machines may share."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_of(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the network file system that a file lies on, "" for a local one, or where nobody can tell."""
    path = path.resolve()
    found, longest = "", -1
    for place, kind in _mounted(mounts):
        # Of two that are mounted at one place, the later covers the earlier.
        if (path == place or place in path.parents) and len(place.parts) >= longest:
            found, longest = kind, len(place.parts)
    return found if found in NETWORK else ""


def is_mounted(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether a file is mounted by itself, and so has another name where it comes from."""
    return any(place == path for place, _ in _mounted(mounts))


def _mounted(mounts: Path) -> Iterator[tuple[Path, str]]:
    with suppress(OSError):
        for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            before, _, behind = line.partition(" - ")
            place = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split()[4])
            yield Path(place), behind.split()[0]
