"""The socket is its owner's alone from its first moment on, stands at any path, and replaces what was left there."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.control.address import WAITING, Peer, connect, listening, peer_of

PATIENCE = 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal-k7m2q.socket"


def names(folder: Path) -> list[str]:
    return [found.name for found in folder.iterdir()]


def mode(path: Path) -> int:
    return path.stat().st_mode


@pytest.fixture
def careless() -> Iterator[None]:
    """A process that gives everything away, unless it is told otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
async def test_nobody_else_may_open_it_at_any_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[int] = []
    bind, listen, move = socket.socket.bind, socket.socket.listen, Path.replace

    def spied_bind(self: socket.socket, address: str) -> None:
        bind(self, address)
        (folder,) = path.parent.iterdir()
        folders.append(stat.S_IMODE(folder.stat().st_mode))

    def spied_listen(self: socket.socket, waiting: int) -> None:
        assert not path.exists()
        listen(self, waiting)

    def spied_move(self: Path, target: Path) -> Path:
        assert stat.S_IMODE(self.stat().st_mode) == 0o600
        return move(self, target)

    monkeypatch.setattr(socket.socket, "bind", spied_bind)
    monkeypatch.setattr(socket.socket, "listen", spied_listen)
    monkeypatch.setattr(Path, "replace", spied_move)
    async with listening(path):
        assert names(path.parent) == [path.name]
        assert mode(path) == stat.S_IFSOCK | 0o600
    assert folders == [0o700]


async def test_each_end_knows_the_other_by_the_kernels_word(path: Path) -> None:
    async with listening(path) as listener:
        with connect(path, PATIENCE) as client:
            accepted, _ = listener.accept()
            with accepted:
                ourselves = Peer(os.getpid(), os.geteuid())
                assert (peer_of(accepted), peer_of(client)) == (ourselves, ourselves)


async def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    half_made = path.with_name(f"{path.name}.new")
    half_made.mkdir()
    (half_made / "socket").touch()
    with pytest.raises(ConnectionRefusedError):
        connect(path, PATIENCE)
    async with listening(path) as listener:
        connect(path, PATIENCE).close()
        listener.accept()[0].close()
        assert not half_made.exists()


async def test_a_path_may_be_longer_than_a_socket_may_be_called(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["подпапка" * 10] * 5)
    folder.mkdir(parents=True)
    path = folder / f"{'j' * 200}.journal-k7m2q.socket"
    assert len(os.fsencode(path)) > 900
    async with listening(path) as listener:
        connect(path, PATIENCE).close()
        listener.accept()[0].close()
    assert names(folder) == []


async def test_where_too_many_wait_it_is_told(path: Path) -> None:
    async with listening(path):
        with ExitStack() as queue:
            # Linux lets in one more than it was told.
            for _ in range(WAITING + 1):
                queue.enter_context(connect(path, PATIENCE))
            with pytest.raises(TimeoutError, match="others wait"):
                connect(path, PATIENCE)


async def test_a_folder_that_cannot_hold_it_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "there is none" / "a.socket"
    with pytest.raises(FileNotFoundError):
        async with listening(path):
            pass
    # A folder of that name is in the way, and something is in it.
    path = tmp_path / "a.socket"
    (path / "x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        async with listening(path):
            pass
    assert names(tmp_path) == [path.name]
