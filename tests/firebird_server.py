"""Debian's Firebird 3 server on a port of its own, beside the machine's and without touching it.

It runs the installed program over a folder of its own: configuration, lock table, databases, and a copy of the
security database, so that the password of the installation is good for it. Learned by trying:

- the engine's plugin refuses to be loaded through a link, so the plugins are copied;
- Debian's wrappers (`/usr/bin/isql-fb`) set `FIREBIRD` anew and would work on the machine's own security database:
  only the program itself is started;
- Debian's client library is of another version, which needs the `Providers` as they stand in its configuration.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from billing.database.dsn import Dsn
from billing.secret import Secret
from lab.crash.loops import loops
from lab.mock.population import create

PACKAGE = "sudo apt-get update && sudo apt-get install -y firebird3.0-server"
PROGRAM = Path("/usr/lib/firebird/3.0/bin/firebird")
PASSWORD = Path("/etc/firebird/3.0/SYSDBA.password")
SECURITY = Path("/var/lib/firebird/3.0/system/security3.fdb")


class NoServer(Exception):
    """Raised when the server cannot be started; the text says what to type."""


@dataclass(frozen=True, slots=True)
class FirebirdServer:
    """A running server; `dsn` names a database of it, whether or not it is there."""

    port: int
    folder: Path
    password: str = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def dsn(self, path: Path | str, password: str | None = None) -> Dsn:
        """The way to a database through this server."""
        return Dsn(f"127.0.0.1/{self.port}:{path}", password=Secret(self.password if password is None else password))

    def populated(self, *, abonents: int, seed: int = 1) -> Dsn:
        """A new mock billing, created over TCP."""
        dsn = self.dsn(self.folder / f"billing{next(self._numbers)}.fdb")
        create(dsn, subscribers=abonents, seed=seed)
        return dsn


@contextmanager
def running(folder: Path) -> Iterator[FirebirdServer]:
    """The server, for as long as the context lasts; `folder` is an empty one of its own."""
    if not PROGRAM.exists():
        raise NoServer(f"the tests need a real Firebird 3 server. Type: {PACKAGE}")
    home = _home(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (home / "firebird.conf").write_text(
        f"RemoteServicePort = {port}\n"
        "RemoteBindAddress = 127.0.0.1\n"
        "Providers = Remote,Engine12,Loopback\n"
        f"SecurityDatabase = {folder}/security3.fdb\n"
    )
    (home / "databases.conf").write_text("")
    (folder / "lock").mkdir()
    # Not the FIREBIRD and FIREBIRD_LOCK of the embedded engine in this process.
    environment = os.environ | {"FIREBIRD": str(home), "FIREBIRD_LOCK": str(folder / "lock")}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([PROGRAM], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603 - our own program
    try:
        _wait_for(port, process, home, loops(20))
        yield FirebirdServer(port, folder, _password())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(loops(20))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _home(folder: Path) -> Path:
    installed = next(Path("/usr/lib").glob("*/firebird/3.0/plugins"), None)
    if installed is None:
        raise NoServer(f"the Firebird 3 server's plugins are missing. Type: {PACKAGE}")
    home = folder / "home"
    home.mkdir()
    for name in ("plugins", "intl"):
        shutil.copytree(installed.parent / name, home / name)
    shutil.copy(installed.parent / "plugins.conf", home)
    try:
        shutil.copy(SECURITY, folder / "security3.fdb")
    except OSError as error:
        raise NoServer(f"the server's security database cannot be read ({error}). Run the tests as root") from error
    return home


def _password() -> str:
    for line in PASSWORD.read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "ISC_PASSWORD":
            return value.strip().strip("\"'")
    raise NoServer(f"{PASSWORD} has no password: sudo dpkg-reconfigure firebird3.0-server")


def _wait_for(port: int, process: subprocess.Popen[bytes], home: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    said = "\n".join(log.read_text(errors="replace") for log in home.glob("firebird*.log"))
    raise NoServer(f"the Firebird 3 server did not come up (exit code {process.poll()}):\n{said}")
