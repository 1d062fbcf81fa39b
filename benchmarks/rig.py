"""The servers of the benchmarks, each in a process of its own, on a free port.

`nginx` answers at once: the fastest server available, so that the sender is measured. `answering` answers after a
fixed time. `Mock` is the mock billing: slots, latency, faults, and a database behind it.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection, socket
from typing import Any, Final
from urllib.request import Request, urlopen

import msgspec

from benchmarks.answering import BODY
from billing.database.database import Database
from billing.database.dsn import Dsn
from lab.mock.population import create

HOST: Final = "127.0.0.1"
SELECT: Final = "select id from abonents where is_folder = 0 and deleted = 0 order by id"
_PATIENCE: Final = 30.0
_NGINX: Final = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


@contextmanager
def nginx() -> Iterator[str]:
    """An nginx of this user that answers every POST at once; yields its URL."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError("nginx is missing: `make bench` installs it, as the package nginx-light")
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as folder:
        # An nginx started by root would switch to the user nobody, who may not write to the folder.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        config = Path(folder) / "nginx.conf"
        config.write_text(_NGINX.format(user=user, folder=folder, host=HOST, port=port, answer=BODY.decode()))
        with _serving([program, "-e", "stderr", "-c", str(config)]):
            _await_port(port)
            yield f"http://{HOST}:{port}"


@contextmanager
def answering(latency_ms: float) -> Iterator[str]:
    """A server that answers every POST after a fixed time; yields its URL."""
    with _serving([sys.executable, "-m", "benchmarks.answering", str(latency_ms)]) as process:
        yield f"http://{HOST}:{_line(process)}"


class Mock:
    """A mock billing that is being served at `url`."""

    def __init__(self, url: str, control: str) -> None:
        self.url = url
        self._control = control

    def set(self, **state: object) -> None:
        """Change its settings, such as slots and latency."""
        self._ask("PUT", "/state", msgspec.json.encode(state))

    def fail(self, plan: str) -> None:
        """Set its fault plan, a TOML text."""
        self._ask("PUT", "/faults", plan.encode())

    def effects(self) -> Mapping[str, Any]:
        """Its real effects, a total for each model."""
        totals = self._ask("GET", "/ledger")["totals"]
        return {one["model"]: one for one in totals}

    def injected(self) -> int:
        """The number of requests that it has failed."""
        return sum(self._ask("GET", "/faults")["injected"].values())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:  # noqa: ANN401 - its JSON
        with urlopen(Request(self._control + path, data=body, method=method), timeout=_PATIENCE) as answer:  # noqa: S310 - our own address
            return msgspec.json.decode(answer.read())


def populated(database: Path, subscribers: int) -> list[int]:
    """Create the database of a mock billing; returns the ids of subscribers who can receive a balance."""
    create(database, subscribers=subscribers, seed=1)
    with Database(Dsn(str(database))) as reader:
        return [int(key) for (key,) in reader.query(SELECT)]


@contextmanager
def mock(database: Path, *, slots: int, latency_ms: float) -> Iterator[Mock]:
    """A mock billing over `database`, created and served by its own command."""
    command = [sys.executable, "-m", "benchmarks.serving", str(database), str(slots), str(latency_ms)]
    with _serving(command) as process:
        url, control = _line(process), _line(process).removeprefix("control: ")
        yield Mock(url, control)


@contextmanager
def _serving(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A server process, until the end of the context."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: "subprocess.Popen[str]") -> str:
    """A line of the process's output; raises RuntimeError when it ends instead."""
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line:
        raise RuntimeError(f"a server did not start: {process.args!r}")
    return line


def _free_port() -> int:
    with socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            create_connection((HOST, port), timeout=_PATIENCE).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
