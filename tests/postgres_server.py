"""Debian's PostgreSQL on a port of its own, beside the machine's and without touching it.

The server refuses to run as root: as root it is started as the user that the package made. Its folder is one of its
own.
"""

import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

PACKAGE: Final = "sudo apt-get update && sudo apt-get install -y postgresql"
USER: Final = "postgres"


class NoPostgres(Exception):
    """Raised when the server cannot be started; the text says what to type."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with one database."""

    port: int
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def new_journal(self) -> str:
        """The address of a journal of its own."""
        return f"{self.url}?schema=journal_{next(self._numbers)}"

    def restart(self) -> None:
        """End all connections and come up again, as after a fault of the machine."""
        _control(self.folder, "restart", "-m", "immediate")


@contextmanager
def running() -> Iterator[PostgresServer]:
    """The server, for as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="carbon-postgres-"))
    try:
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, USER)
            except LookupError as error:
                raise NoPostgres(f"the tests need a real PostgreSQL. Type: {PACKAGE}") from error
            for parent in folder.parents:
                # The tests' own folders are closed to others: this user has to get through them.
                if not parent.stat().st_mode & stat.S_IXOTH:
                    parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
        port = _free_port()
        data = folder / "data"
        _run(folder, "initdb", "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
                # What a test kills is a process, and never the machine.
                "fsync = off\nmax_connections = 200\nshared_buffers = 32MB\n"
            )
        _control(folder, "start")
        try:
            yield PostgresServer(port, folder)
        finally:
            _control(folder, "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs() -> Path:
    """The folder of the newest server's programs. Raises `NoPostgres`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: _version(path.parts[-3]))
    if not found:
        raise NoPostgres(f"the tests need a real PostgreSQL. Type: {PACKAGE}")
    return found[-1].parent


def _version(text: str) -> int:
    return int(re.sub(r"\D", "", text) or 0)


def _control(folder: Path, *words: str) -> None:
    _run(folder, "pg_ctl", "-w", "-t", "60", "-D", str(folder / "data"), "-l", str(folder / "log"), *words)


def _run(folder: Path, program: str, *words: str) -> None:
    user = pwd.getpwnam(USER) if os.geteuid() == 0 else None
    with (folder / "output").open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - Debian's own programs
            [programs() / program, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            check=False,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
    if ended.returncode:
        logs = (folder / "output", folder / "log")
        said = "\n".join(path.read_text(errors="replace") for path in logs if path.exists())
        raise NoPostgres(f"{program} failed ({ended.returncode}):\n{said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
