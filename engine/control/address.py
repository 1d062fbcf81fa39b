"""The control socket of a run: accessible to its owner only from its creation on, at a path of any length."""

import os
import pwd
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.journal import Journal
from checkpoints.records import Run
from texts.said import Quantity, said

WAITING: Final = 64
"""Maximum number of clients in the queue."""

_LONGEST_CLAIM: Final = 100
"""Maximum length of the name that a sender claims, in characters."""

_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""

_PATIENCE: Final = struct.Struct("ll")
"""`struct timeval`: seconds and microseconds."""


def socket_path(journal: Journal, run: Run) -> Path:
    """The path of a run's control socket; it exists only while a process works on the run."""
    return journal.path.with_name(f"{journal.path.name}-{run.name}.socket")


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer of a connection, as the kernel reports it; process 0 belongs to another namespace."""

    process: int
    user: int


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a connection."""
    content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(content)
    return Peer(process, user)


def sender(name: str, process: int, claim: str = "", through: str = "") -> str:
    """The sender of a command for the journal: user and host, the name that it claims if it differs, the process.

    What came `through` the page says so first.
    """
    whole = f"{name}@{socket.gethostname()}"
    said = "" if claim in {"", whole} else f" (says it is {claim[:_LONGEST_CLAIM]})"
    return f"{through}{', ' if through else ''}{whole}{said}, process {process}"


def user_name(user: int) -> str:
    """The name of a user id, or the id itself if it has none; may query a directory service."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[socket.socket]:
    """A socket that listens at `path` for as long as the context lasts.

    The caller must hold the run's lock: an existing socket is then left from a killed process, and is replaced.
    Raises `OSError` if the folder cannot hold a socket.
    """
    listener = await anyio.to_thread.run_sync(_bound, path)
    try:
        yield listener
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_remove, path)
        listener.close()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """Create the socket in a private folder, and move it to its place once its permissions are set."""
    folder = path.with_name(f"{path.name}.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made = folder / "socket"
            with _short(folder) as short:
                listener.bind(f"{short}/{made.name}")
            made.chmod(0o600)
            listener.listen(WAITING)
            listener.settimeout(0)
            made.replace(path)
        except BaseException:
            listener.close()
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return listener


def connect(path: Path, patience: int) -> socket.socket:
    """A connection to the socket at `path`; waits up to `patience` whole seconds for a place in the queue.

    Raises `FileNotFoundError` or `ConnectionRefusedError` if no process listens, `PermissionError` if the socket is
    another user's, `TimeoutError` if the queue is full.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Python's own time-out does not wait for a place in the queue; the kernel's does (unix(7)).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE.pack(int(patience), 0))
        with _short(path) as short:
            connection.connect(short)
        connection.settimeout(0)
    except BlockingIOError as error:
        connection.close()
        raise TimeoutError(said("{others} others wait to be let in", others=Quantity(WAITING))) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A short name of `path`: a socket's path may have at most 107 bytes (unix(7))."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
