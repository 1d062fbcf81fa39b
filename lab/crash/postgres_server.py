"""Debian's PostgreSQL on a port of its own, beside the machine's and without touching it.

The server refuses to run as root: as root it is started as the user that the package made, who has to get through the
folder of temporary files. Blocks: not for an event loop.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.crash.program import LabStopped
from lab.mock.port import LOOPBACK, bound
from texts.said import said

PACKAGE: Final = "sudo apt-get update && sudo apt-get install -y postgresql"
USER: Final = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with one database."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return self.url_by(self.port)

    def url_by(self, port: int) -> str:
        """The address of its database by another port that leads to it."""
        return f"postgresql://{USER}@{LOOPBACK}:{port}/postgres"

    @property
    def process(self) -> int:
        """Its first process, of which all others are children."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def restart(self) -> None:
        """End all connections and come up again, as after a fault of the machine."""
        _control(self.folder, "restart", "-m", "immediate")


@contextmanager
def running(*, durable: bool = False) -> Iterator[PostgresServer]:
    """The server, for as long as the context lasts. Raises `LabStopped`.

    Unless it is to be `durable`, nothing waits for the disk: what is killed is a process, and never the machine.
    """
    with tempfile.TemporaryDirectory(prefix="carbon-postgres-", ignore_cleanup_errors=True) as name:
        folder, data = Path(name), Path(name) / "data"
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, USER)
            except LookupError as error:
                raise _not_there() from error
        with bound(0) as probe:
            port = int(probe.getsockname()[1])
        _run(folder, "initdb", "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '{LOOPBACK}'\nunix_socket_directories = '{folder}'\n"
                f"fsync = {'on' if durable else 'off'}\nmax_connections = 200\nshared_buffers = 32MB\n"
            )
        _control(folder, "start")
        try:
            yield PostgresServer(port, folder)
        finally:
            _control(folder, "stop", "-m", "immediate")


def programs() -> Path:
    """The folder of the newest server's programs. Raises `LabStopped`."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0), default=None)
    if newest is None:
        raise _not_there()
    return newest.parent


def _not_there() -> LabStopped:
    return LabStopped(said("a real PostgreSQL is needed, and there is none. Type: {command}", command=PACKAGE))


def _control(folder: Path, *words: str) -> None:
    _run(folder, "pg_ctl", "-w", "-t", "60", "-D", str(folder / "data"), "-l", str(folder / "log"), *words)


def _run(folder: Path, program: str, *words: str) -> None:
    is_root = os.geteuid() == 0
    with (folder / "output").open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - Debian's own programs
            [programs() / program, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            check=False,
            user=USER if is_root else None,
            group=USER if is_root else None,
            extra_groups=[] if is_root else None,
        )
    if ended.returncode:
        logs = (path for path in (folder / "output", folder / "log") if path.exists())
        said_there = "\n".join(path.read_text(errors="replace") for path in logs)
        raise LabStopped(
            "{program} failed ({code}): {output}", program=program, code=ended.returncode, output=said_there
        )
