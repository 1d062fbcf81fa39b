"""The journal's file: its location, its names, and its locks.

The locks allow one runner a run, and one process at a time that creates the journal. They are on the inode, so every
name of the file has the same locks; there is no lock file to remove, and the kernel releases them when the process
dies. They are open file description locks (fcntl(2)), each on one byte far beyond the end of the file and beyond the
bytes that SQLite locks.

The journal must be on a local file system: SQLite keeps the index of its log in shared memory, which two machines do
not share, and a network file system may not honour locks and flushes to disk.
"""

import errno
import fcntl
import hashlib
import os
import re
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from checkpoints.errors import JournalUnreadable
from checkpoints.own_files import check_beside, open_regular
from texts.said import reason_of, said

FIRST_BYTE: Final = 2**40
"""The byte locked while the journal is created; the byte of a run follows it, at the distance of its id."""

_FLOCK: Final = struct.Struct("@hhqqi0q")
"""`struct flock` of fcntl(2), on a 64-bit system: type, whence, start, length, process."""

_WAIT: Final = 0.005
"""Seconds between two tries; a wait in the kernel could not be cancelled."""

MOUNTS: Final = Path("/proc/self/mountinfo")
"""The mount table (proc(5)): the fifth word of a line is the mount point, the first after the dash the type."""

NETWORK: Final = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs"}
    | {"coda", "ncpfs", "davfs", "gfs2", "ocfs2", "vboxsf", "prl_fs", "virtiofs", "drvfs", "beegfs", "fuse.sshfs"}
    | {"fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs2", "fuse.ceph", "fuse.vmhgfs-fuse"}
)
"""Types of file systems that several machines may share."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")

# Closing any descriptor of a file drops every POSIX lock that the process has on it, and SQLite's connections rely on
# such locks. So if one process has a journal open twice, its descriptors are closed together, with the last one.
# This is global state because those locks belong to the process.
_guard: Final = threading.Lock()
_users: Final[defaultdict[tuple[int, int], int]] = defaultdict(int)
_waiting: Final[defaultdict[tuple[int, int], list[int]]] = defaultdict(list)


class JournalFile:
    """The file of a journal, held open for its locks; created if it does not exist.

    It must be opened before SQLite's connections and closed after them. Raises `JournalUnreadable`, also for a file
    with several names: processes that open it by different names do not see each other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_beside(path)
            # The journal holds balances of subscribers: only its owner may read it.
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalUnreadable(_why_closed(path, reason_of(error))) from error
        status = os.fstat(self._file)
        self._inode = status.st_dev, status.st_ino
        with _guard:
            _users[self._inode] += 1
        self._held: set[int] = set()
        why = ""
        # Symbolic links are no other names.
        if status.st_nlink > 1:
            why = said("has {links} names, as hard links (find -samefile shows them)", links=status.st_nlink)
        elif is_mounted(path):
            why = said("is mounted by itself, and has another name where it comes from; mount its folder")
        if why:
            self.close()
            raise JournalUnreadable(
                "the journal {path} {why}. Whoever opens it by another name keeps another log beside it, and "
                "sees nothing of what is written here: leave it one name, in one folder, for all who use it",
                path=path,
                why=why,
            )

    def close(self) -> None:
        """Release all locks, and close the file once no other journal of this process has it open."""
        for run_id in sorted(self._held):
            self.unlock(run_id)
        with _guard:
            _waiting[self._inode].append(self._file)
            _users[self._inode] -= 1
            if not _users[self._inode]:
                del _users[self._inode]
                for left in _waiting.pop(self._inode):
                    os.close(left)

    @contextmanager
    def making(self, patience: float) -> Iterator[None]:
        """Create or open the journal exclusively; waits up to `patience` seconds for another process."""
        deadline = time.monotonic() + patience
        while not _lock(self._file, self._path, fcntl.F_WRLCK, 0):
            if time.monotonic() > deadline:
                raise JournalUnreadable(
                    "another process has been opening {path} for {seconds} s: is it stopped?",
                    path=self._path,
                    seconds=round(patience),
                )
            time.sleep(_WAIT)
        try:
            yield
        finally:
            _lock(self._file, self._path, fcntl.F_UNLCK, 0)

    def require_there(self) -> None:
        """Raise `JournalUnreadable` where the file was removed or replaced since: what is written would be lost."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file), self._path.stat()):
                return
        raise JournalUnreadable(
            "the journal {path} was removed or replaced while it was worked on, and what is written now would be "
            "lost. Put it back from a copy before you go on",
            path=self._path,
        )

    def lock(self, run_id: int) -> bool:
        if run_id in self._held or not _lock(self._file, self._path, fcntl.F_WRLCK, run_id):
            return False
        self._held.add(run_id)
        return True

    def unlock(self, run_id: int) -> None:
        self._held.discard(run_id)
        _lock(self._file, self._path, fcntl.F_UNLCK, run_id)

    def is_locked(self, run_id: int) -> bool:
        return run_id in self._held or _holder(self._file, fcntl.F_WRLCK, run_id) is not None

    def is_in_use(self) -> bool:
        return _holder(self._file, fcntl.F_WRLCK, 1, 0) is not None


def why_unwritable(path: Path) -> str:
    """Why this user cannot work with a journal that is there, "" where that is not known before it is opened."""
    if not os.access(path, os.F_OK) or os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return ""
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    return _why_closed(path, reason_of(errno.EROFS if is_read_only else errno.EACCES))


def _why_closed(path: Path, reason: str) -> str:
    owner = ""
    with suppress(OSError, KeyError):
        owner = path.owner() if os.geteuid() not in {0, path.stat().st_uid} else ""
    if not owner:
        return said(
            "the journal {path} cannot be written: {reason}. What only reads has to be able to write it, too: its "
            "locks are in it",
            path=path,
            reason=reason,
        )
    return said(
        "the journal {path} cannot be written: {reason}. It belongs to {owner}: work as that user, or name another "
        "journal. What only reads has to be able to write it, too: its locks are in it",
        path=path,
        reason=reason,
        owner=owner,
    )


def is_locked(path: Path, run_id: int) -> bool:
    """Whether the lock of a run is held; only for a process without an open connection to the journal."""
    file = open_regular(path)
    try:
        return _holder(file, fcntl.F_WRLCK, run_id) is not None
    finally:
        os.close(file)


@contextmanager
def none_taken_up(path: Path) -> Iterator[int | None]:
    """Let no run of the journal be taken up while the context lasts; gives the id of one that is worked on, if any.

    The file is only read. It begins before this process opens SQLite's connections to it, and ends after they are
    closed.
    """
    try:
        file = open_regular(path)
    except OSError as error:
        raise JournalUnreadable(
            "the journal {path} cannot be read: {why}", path=path, why=reason_of(error)
        ) from error
    try:
        held = None
        # Shared, and on the bytes of all runs: runners lock theirs for themselves alone.
        while held is None and not _lock(file, path, fcntl.F_RDLCK, 1, 0):
            held = _holder(file, fcntl.F_RDLCK, 1, 0)
        yield held
    finally:
        os.close(file)


def _lock(file: int, path: Path, kind: int, run_id: int, runs: int = 1) -> bool:
    """Lock or unlock the bytes of so many `runs` from `run_id` on, of 0 of all; False if one is locked elsewhere."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, FIRST_BYTE + run_id, runs, 0))
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise JournalUnreadable(
            "the journal {path} cannot be locked: {why}", path=path, why=reason_of(error)
        ) from error
    return True


def _holder(file: int, kind: int, run_id: int, runs: int = 1) -> int | None:
    """The run whose lock is held elsewhere, and would be in the way of this one; None for none."""
    asked = _FLOCK.pack(kind, os.SEEK_SET, FIRST_BYTE + run_id, runs, 0)
    found, _, byte, *_ = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
    return None if found == fcntl.F_UNLCK else byte - FIRST_BYTE


def network_of(path: Path, mounts: Path = MOUNTS) -> str:
    found = _system_of(path, mounts)
    return found if found in NETWORK else ""


def is_volatile(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the file system that holds a file is in memory, and so empty after a restart."""
    return _system_of(path, mounts) in {"tmpfs", "ramfs"}


def _system_of(path: Path, mounts: Path) -> str:
    path = path.resolve()
    found, longest = "", -1
    for place, kind in _mounted(mounts):
        # Of two mounts at one place, the later covers the earlier.
        if (path == place or place in path.parents) and len(place.parts) >= longest:
            found, longest = kind, len(place.parts)
    return found


def is_mounted(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the file itself is a mount point, and so has another name at its origin."""
    return any(place == path for place, _ in _mounted(mounts))


def _mounted(mounts: Path) -> Iterator[tuple[Path, str]]:
    with suppress(OSError):
        for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            before, _, behind = line.partition(" - ")
            place = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), before.split()[4])
            yield Path(place), behind.split()[0]


# ---- where a journal is -------------------------------------------------------------------------------------------


SCHEMES: Final = ("postgresql", "postgres")
SCHEMA: Final = "carbon_migrate"
"""The schema of a journal whose address names none, with `?schema=`."""

LEASE: Final = 10.0
"""Seconds for which a process may send after it has last renewed its lease, where the address has no `lease=`."""

_SHORTEST_LEASE, _LONGEST_LEASE = 0.5, 3600.0
_PORT: Final = 5432


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A journal in PostgreSQL: `url` for libpq, without the schema, and with a password where one was given."""

    url: str = field(repr=False)
    schema: str
    name: str
    """How it is shown: without user, password and options."""
    lease: float = LEASE
    typed: str = field(default="", repr=False)
    """As it was typed, with schema, lease and password."""


@dataclass(frozen=True, slots=True)
class JournalAddress:
    """The place of a journal.

    `path` is its file; of one in PostgreSQL it is the name beside which this machine keeps its own files of it.
    """

    path: Path
    postgres: PostgresAddress | None = None

    @property
    def is_shared(self) -> bool:
        return self.postgres is not None

    @property
    def lease(self) -> float:
        return self.postgres.lease if self.postgres else 0.0

    def __str__(self) -> str:
        return self.postgres.name if self.postgres else str(self.path)


def is_postgres(text: str) -> bool:
    return text.partition("://")[0] in SCHEMES and "://" in text


def journal_in_postgres(text: str, state: Path) -> JournalAddress:
    """The place of a journal in PostgreSQL; the files of this machine go to the folder `state`.

    Raises `JournalUnreadable` for an address that cannot be one.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise JournalUnreadable("the address of the journal is not valid: {error}", error=error) from error
    schema = options.pop("schema", SCHEMA)
    database = parts.path.strip("/")
    if not database or not schema.isidentifier():
        raise JournalUnreadable(
            said("the address of the journal needs a database, and a schema of letters: postgresql://HOST/DATABASE")
        )
    given = options.pop("lease", "")
    try:
        lease = float(given or LEASE)
    except ValueError:
        lease = 0.0
    if not _SHORTEST_LEASE <= lease <= _LONGEST_LEASE:
        raise JournalUnreadable(
            "the address of the journal has lease={text}: give seconds from {least} to {most}",
            text=given,
            least=f"{_SHORTEST_LEASE:g}",
            most=round(_LONGEST_LEASE),
        )
    name = f"postgresql://{host or 'localhost'}:{port}/{database}?schema={schema}"
    url = urlunsplit((SCHEMES[0], parts.netloc, parts.path, urlencode(options), ""))
    # One local name a journal, whoever types it in whatever form.
    key = hashlib.sha256(name.encode()).hexdigest()[:8]
    return JournalAddress(
        state / f"{database}-{schema}-{key}.postgres", PostgresAddress(url, schema, name, lease, text)
    )
