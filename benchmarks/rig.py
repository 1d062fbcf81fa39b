"""What all measurements stand on: turns, folders, measured processes, and the servers, each on a free port.

`nginx` answers at once: the fastest server available, so that the sender is measured. `answering` answers after a
fixed time; `python -m benchmarks.rig LATENCY_MS` is that server. `billing` is a mock billing with its database.
"""

import asyncio
import os
import pwd
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, Final, TypeVar
from urllib.request import Request, urlopen

import msgspec
import uvloop

from billing.database.database import Database
from billing.database.dsn import Dsn
from lab.mock.population import create

Name = TypeVar("Name")
Result = TypeVar("Result")

CLI: Final = (sys.executable, "-m", "cli")
DATABASE: Final = "billing.fdb"
SELECT: Final = "select id from abonents where is_folder = 0 and deleted = 0 order by id"
_AFTER: Final = ("reset-after-effect", "500-after-effect", "invalid-json-after-effect")
KINDS: Final = ("reset-before-effect", *_AFTER, "503", "busy")
"""How requests fail."""
_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 30.0
_BODY: Final = b'{"call": "objects.create", "result": {"pk": 1, "model": "FinanceOperations", "fields": {"id": 1}}}'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
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


def in_turn(rounds: int, works: Mapping[Name, Callable[[], Result]]) -> dict[Name, list[Result]]:
    """What each work gives, once a round. Who begins alternates, so that a drift affects all alike."""
    found: dict[Name, list[Result]] = {name: [] for name in works}
    for number in range(rounds):
        for name in works if number % 2 == 0 else reversed([*works]):
            found[name].append(works[name]())
    return found


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that is measured."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        yield Path(folder)


# ---- processes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Took:
    """What a process took with its children: seconds, and processor seconds; and what it said."""

    seconds: float
    processor: float
    said: str


def timed(command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> Took:
    """Run a command to its end. Raises RuntimeError with its output when it fails."""
    before, began = processor_of_children(), time.perf_counter()
    options: dict[str, Any] = {"cwd": cwd, "env": environment, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    seconds = time.perf_counter() - began
    if done.returncode:
        said = done.stderr[-2000:] or done.stdout[-2000:]
        raise RuntimeError(f"{' '.join(command[:4])} failed ({done.returncode}): {said}")
    return Took(seconds, processor_of_children() - before, done.stdout)


def processor_of_children() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_kib() -> int:
    """The peak memory of this process. getrusage's would include that of the parent process before the fork."""
    found = re.search(r"^VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) if found else 0


def with_peak(program: str, *words: str) -> list[str]:
    """A command of Python that says its peak memory in KiB in its last line."""
    told = "import atexit, sys\nfrom benchmarks.rig import peak_kib\n"
    told += "atexit.register(lambda: print(peak_kib(), file=sys.__stdout__))\n"
    return [sys.executable, "-c", told + program, *words]


# ---- servers ------------------------------------------------------------------------------------------------------


@contextmanager
def nginx() -> Iterator[str]:
    """An nginx of this user that answers every POST at once; yields its URL."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError("nginx is missing: `make bench` installs it, as the package nginx-light")
    with socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as folder:
        # An nginx started by root would switch to the user nobody, who may not write to the folder.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        config = Path(folder) / "nginx.conf"
        config.write_text(_NGINX.format(user=user, folder=folder, host=_HOST, port=port, answer=_BODY.decode()))
        with started([program, "-e", "stderr", "-c", str(config)]):
            deadline = time.monotonic() + _PATIENCE
            while not _listens(port):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nginx does not listen at port {port}")
                time.sleep(0.02)
            yield f"http://{_HOST}:{port}"


def _listens(port: int) -> bool:
    with socket() as one:
        return one.connect_ex((_HOST, port)) == 0


@contextmanager
def answering(latency_ms: float) -> Iterator[str]:
    """A server that answers every POST after a fixed time; yields its URL."""
    with started([sys.executable, "-m", "benchmarks.rig", str(latency_ms)]) as process:
        yield line_of(process)


async def _answer_all(latency: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                if latency:
                    await asyncio.sleep(latency)
                writer.write(_HEAD % len(_BODY) + _BODY)
        writer.close()

    server = await asyncio.start_server(answer, _HOST, 0)
    print(f"http://{_HOST}:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@dataclass(frozen=True, slots=True)
class Billing:
    """A mock billing at `url`, all of it in `folder`, and the ids of subscribers who can receive a balance."""

    folder: Path
    ids: Sequence[int]
    url: str
    control: str

    def ask(self, method: str, path: str, body: bytes = b"") -> Any:  # noqa: ANN401 - its JSON
        """Ask at its control port."""
        asked = Request(self.control + path, data=body or None, method=method)  # noqa: S310 - our own address
        with urlopen(asked, timeout=_PATIENCE) as answer:  # noqa: S310 - as above
            return msgspec.json.decode(answer.read())

    def change(self, **state: float) -> None:
        """Change how it is set: slots, latency in seconds."""
        self.ask("PUT", "/state", msgspec.json.encode(state))

    def entered(self) -> tuple[int, int]:
        """How many operations its ledger has, and of how many subscribers."""
        totals = {one["model"]: one for one in self.ask("GET", "/ledger")["totals"]}
        found = totals.get("FinanceOperations", {"effects": 0, "subjects": 0})
        return found["effects"], found["subjects"]

    def balances(self) -> str:
        """Write a file with an opening balance for each subscriber; its path."""
        path = self.folder / "balances.csv"
        lines = ["abonent_id;amount", *(f"{key};50,50" for key in self.ids)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    def flags(self, *, database: bool = True) -> list[str]:
        """What a load has after its own words: this billing, and a journal beside it."""
        flags = ["--yes", "--json", "--quiet", "--no-canary", "--journal", str(self.folder / "journal")]
        return [*flags, "--api-url", self.url, "--database", str(self.folder / DATABASE) if database else ""]


class Closing(msgspec.Struct):
    """What is read of a closing object: the rows or steps by state, and the seconds of sending."""

    states: dict[str, int]
    seconds: float

    @property
    def rate(self) -> float:
        """Accepted calls a second, from the first call to the last outcome."""
        return self.states["accepted"] / self.seconds


def closing_of(said: str) -> Closing:
    """The closing object that a load has said. Raises RuntimeError where something was not accepted."""
    closing = msgspec.json.decode(said, type=Closing)
    if set(closing.states) != {"accepted"}:
        raise RuntimeError(f"not every row was accepted: {closing}")
    return closing


def populated(database: Path, subscribers: int) -> list[int]:
    """Create the database of a mock billing; the ids of subscribers who can receive a balance."""
    create(database, subscribers=subscribers, seed=1)
    with Database(Dsn(str(database))) as reader:
        return [int(key) for (key,) in reader.query(SELECT)]


@contextmanager
def billing(subscribers: int, *, slots: int = 64, latency_ms: float = 0.0) -> Iterator[Billing]:
    """A new mock billing, served by its own command."""
    with scratch() as folder:
        ids = populated(folder / DATABASE, subscribers)
        command = [*CLI, "mock", "serve", str(folder / DATABASE), "--port", "0", "--control-port", "0"]
        with started([*command, "--slots", str(slots), "--latency-ms", str(latency_ms)]) as process:
            yield Billing(folder, ids, line_of(process), line_of(process).removeprefix("control: "))


def fault_plan(share: float, more: str = "") -> str:
    """A fault plan in which each of `KINDS` has an equal part of the share; nobody waits before a try anew."""
    own = {"busy": "tries = 1\n", "503": 'retry_after = "0"\n'}
    return "seed = 1\n" + "".join(
        f'[[fault]]\nkind = "{kind}"\nshare = {share / len(KINDS)}\n{more}{own.get(kind, "")}' for kind in KINDS
    )


@contextmanager
def started(command: Sequence[str], cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A process while the context lasts."""
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def line_of(process: "subprocess.Popen[str]") -> str:
    """The next line of a process's output. Raises RuntimeError when it ends instead."""
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line:
        raise RuntimeError(f"a process ended before it said anything: {process.args!r}")
    return line


if __name__ == "__main__":
    uvloop.run(_answer_all(float(sys.argv[1]) / 1000))
