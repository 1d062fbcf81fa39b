"""Where a run listens: a socket that is its owner's alone from its first moment on, however long its path."""

import os
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

WAITING: Final = 64
"""Clients that may wait until they are attended to."""

_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""

_PATIENCE: Final = struct.Struct("ll")
"""`struct timeval`: seconds and microseconds."""


def socket_path(journal: Journal, run: Run) -> Path:
    """Where whoever works on the run listens, if anybody does."""
    return journal.path.with_name(f"{journal.path.name}-{run.name}.socket")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says; a process of 0 is one of another namespace."""

    process: int
    user: int


def peer_of(connection: socket.socket) -> Peer:
    """Who opened the other end of a connection."""
    content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _ = _CREDENTIALS.unpack(content)
    return Peer(process, user)


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[socket.socket]:
    """A socket that listens at `path` for as long as the context lasts.

    Whoever holds the run's lock may call this, and nobody else: what stands there is what a killed process left, and
    is replaced. Raises `OSError` where the folder cannot hold a socket.
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
    """Made in a folder that nobody else may enter, and moved to its place once nobody else may open it."""
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
    """A connection to whoever listens at `path`; waits up to `patience` whole seconds for a place in the queue.

    Raises `FileNotFoundError` or `ConnectionRefusedError` when nobody does, `PermissionError` when it is somebody
    else's, `TimeoutError` when the queue is full.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Python's own time-out would not wait for a place in the queue, the kernel's does (unix(7)).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE.pack(int(patience), 0))
        with _short(path) as short:
            connection.connect(short)
        connection.settimeout(0)
    except BlockingIOError as error:
        connection.close()
        raise TimeoutError(f"{WAITING} others wait to be let in") from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Another name of `path`: a socket's may not be longer than 107 bytes (unix(7))."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
