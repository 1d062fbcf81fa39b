"""A pytest plugin of carbon-migrate: a mock billing for each test, and recordings that are replayed and checked.

    def test_my_script(carbon_billing):
        my_script(api_url=carbon_billing.url)
        assert carbon_billing.effects("FinanceOperations") == {2001: 1}

| fixture | is |
|---|---|
| `carbon_billing` | a mock billing of its own for one test: `CarbonBilling` |
| `carbon_replay` | serves recordings: `with carbon_replay("night.rec") as billing:` |
| `carbon_billing_template` | the database that each test has a copy of, made once; override it for another one |

| in the ini file | is | default |
|---|---|---|
| `carbon_migrate_subscribers` | how many subscribers the template has | 100 |
| `carbon_migrate_seed` | the same seed makes the same subscribers | 1 |
| `carbon_migrate_licence` | how many subscribers a billing may have | any number |
| `carbon_migrate_timeout` | seconds in which a process has to serve | 60 |

`@pytest.mark.carbon_billing(licence=103, quirks={"type_8": "adds"})` starts the billing of one test otherwise; it
takes `licence`, `stack_rate`, `latency_ms`, `slots`, `queue`, `busy` and `quirks`, which are options of
`carbon-migrate mock serve`.

What serves is the program itself, in a process: packages of the project under test that are called `billing`, `jobs`
or `cli` are seen by nobody there, and those of the program by nobody here. A process ends with its fixture, and also
with a pytest that is killed. This one file needs pytest and the standard library, and imports both alone.
"""

import fcntl
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, Unpack

import pytest

__all__ = ["CarbonBilling", "CarbonNotStarted", "CarbonReplay", "Effects", "FaultKeys", "OpenReplay", "ReplayReport"]

_ROOMS: Final = Path(__file__).resolve().parents[1]
"""The folder that this package and the program are in, wherever they are installed."""

_SETTINGS: Final = "CARBON_MIGRATE_"
_GRACE: Final = 10.0
_PAGE: Final = 10_000

_PROGRAM: Final = f"""
import os, signal, sys, threading, time
folder, pipe = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
def end_with_pytest():
    while os.read(pipe, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep({_GRACE})
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=end_with_pytest, daemon=True).start()
sys.path.insert(0, folder)
sys.argv[0] = "carbon-migrate"
from cli.main import main
main()
"""
"""Runs the program. A pipe that only pytest can write to is at its end when pytest is, in whatever way."""


class CarbonNotStarted(Exception):
    """Raised when a process does not serve; the text is what it says on its standard error."""


class FaultKeys(TypedDict, total=False):
    """Which requests fail and how, as a fault plan has it; `from_` is its `from`."""

    model: str
    method: str
    share: float
    requests: str
    from_: float
    to: float
    times: int
    delay: float
    retry_after: str
    text: str
    tries: int


@dataclass(frozen=True)
class Effects:
    """What was done to one subject by objects of one model: `times` times, to the objects `keys`, by `requests`.

    The subject of an operation or a service is its subscriber, otherwise the object itself. Requests are numbered in
    the order in which they took effect.
    """

    model: str
    subject: int
    times: int
    keys: tuple[int, ...]
    requests: tuple[int, ...]


@dataclass(frozen=True)
class ReplayReport:
    """What was asked of a replay: requests answered as recorded, unknown ones, and those that were never made."""

    served: int
    unknown: tuple[str, ...]
    unknown_count: int
    never_made: tuple[str, ...]
    never_made_count: int

    @property
    def same(self) -> bool:
        """Whether exactly the recorded requests were made."""
        return not (self.unknown_count or self.never_made_count)

    def __str__(self) -> str:
        lines = [f"{self.served} requests were answered as recorded"]
        for what, number, named in (
            ("unknown to the recording", self.unknown_count, self.unknown),
            ("never made", self.never_made_count, self.never_made),
        ):
            if number:
                lines += [f"{number} {what}:", *(f"    {one}" for one in named[:20])]
        return "\n".join(lines)


class _Served:
    """What serves at `url`, with a `folder` of its own and settings of the program that lead to it."""

    def __init__(self, url: str, folder: Path, database: Path | None) -> None:
        self.url = url
        self.folder = folder
        self.settings = folder / "carbon-migrate.toml"
        self.journal = folder / "carbon-migrate.journal"
        lines = [f"journal = {_toml(str(self.journal))}", "[api]", f"url = {_toml(url)}"]
        if database is not None:
            lines += ["[database]", f"address = {_toml(str(database))}"]
        self.settings.touch(mode=0o600)
        self.settings.write_text("\n".join((*lines, "")), encoding="utf-8")

    def run(
        self, *words: str | Path, stdin: str = "", timeout: float | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run `carbon-migrate` on it: `billing.run("run", "balances", "balances.csv", "--yes")`.

        It works in the folder of the caller, by `settings` alone: no settings of the environment or of a
        `carbon-migrate.toml` count, so a test never reaches a real billing. Raises `subprocess.TimeoutExpired`.
        """
        return _run((*words, "--config", self.settings), stdin=stdin, timeout=timeout)


class CarbonBilling(_Served):
    """A mock billing at `url`, over a real Firebird in the file `database`; what it did is in its ledger."""

    def __init__(self, url: str, control_url: str, folder: Path, database: Path) -> None:
        super().__init__(url, folder, database)
        self.control_url = control_url
        self.database = database
        self._faults: list[str] = []

    def ledger(self) -> list[Effects]:
        """All that was done, by model and subject."""
        found: list[Effects] = []
        after: str | None = ""
        while after is not None:
            page = _ask(self.control_url, "GET", f"/ledger?limit={_PAGE}&after={after}")
            found += [
                Effects(one["model"], one["subject"], one["times"], tuple(one["keys"]), tuple(one["requests"]))
                for one in page["effects"]
            ]
            after = page["next"]
        return found

    def effects(self, model: str) -> dict[int, int]:
        """How often something was done to each subject by objects of a model, as `FinanceOperations`."""
        return {one.subject: one.times for one in self.ledger() if one.model == model}

    def fail(self, kind: str, **keys: Unpack[FaultKeys]) -> None:
        """Let requests fail: `billing.fail("reset-after-effect", model="FinanceOperations", times=1)`.

        Kinds and keys are those of `carbon-migrate mock serve --fault`. What was said before holds on, and is counted
        anew. Raises ValueError for what is no fault; then nothing is changed.
        """
        lines = [f"{name.removesuffix('_')} = {_toml(value)}" for name, value in {"kind": kind, **keys}.items()]
        faults = [*self._faults, "\n".join(("[[fault]]", *lines, ""))]
        _ask(self.control_url, "PUT", "/faults", "\n".join(faults))
        self._faults = faults

    def recover(self) -> None:
        """Let nothing fail any more."""
        _ask(self.control_url, "PUT", "/faults")
        self._faults = []

    def injected(self) -> dict[str, int]:
        """How often each kind of fault was injected since `fail`."""
        return dict(_ask(self.control_url, "GET", "/faults")["injected"])

    def state(self) -> Mapping[str, Any]:
        """What it is doing, and how it is set: `requests`, `in_flight`, `stack`, `licence` and others."""
        return _ask(self.control_url, "GET", "/state")

    def change(self, **values: float | bool | None) -> None:
        """Change `licence`, `stack_rate`, `latency` (seconds), `slots`, `queue` or `busy`; ValueError for others."""
        _ask(self.control_url, "PUT", "/state", json.dumps(values))


class CarbonReplay(_Served):
    """A recording that is served at `url`: the same request gets the same answer."""

    def report(self) -> ReplayReport:
        """What was asked so far."""
        found = _ask(self.url, "GET", "/mock/report")
        return ReplayReport(
            found["served"],
            tuple(found["unknown"]),
            found["unknown_count"],
            tuple(found["never_made"]),
            found["never_made_count"],
        )


class OpenReplay(Protocol):
    """Serves a recording while a context lasts."""

    def __call__(
        self, recording: Path | str, *, recorded_timing: bool = False
    ) -> AbstractContextManager[CarbonReplay]:
        """Serve it. A context that is left without an error fails the test if it was asked for anything else."""


# ---- what pytest calls ------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what the ini file may say."""
    parser.addini("carbon_migrate_subscribers", "how many subscribers the mock billing has", default="100")
    parser.addini("carbon_migrate_seed", "the seed of these subscribers", default="1")
    parser.addini("carbon_migrate_licence", "how many subscribers the mock billing may have", default="")
    parser.addini("carbon_migrate_timeout", "seconds in which a mock billing has to serve", default="60")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "carbon_billing(**options): start the mock billing of this test otherwise")


@pytest.fixture(scope="session")
def carbon_billing_template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of made-up subscribers that each test has a copy of; one for all workers of pytest-xdist."""
    config: pytest.Config = request.config
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(config, "workerinput") else base
    template = shared / "carbon-billing-template.fdb"
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            made = template.with_suffix(".new")
            made.unlink(missing_ok=True)
            options = _flag("--abonents", config.getini("carbon_migrate_subscribers"))
            options += _flag("--seed", config.getini("carbon_migrate_seed"))
            done = _run(("mock", "init", made, *options))
            if done.returncode:
                raise CarbonNotStarted(done.stderr.strip())
            made.rename(template)
    return template


@pytest.fixture
def carbon_billing(
    request: pytest.FixtureRequest, carbon_billing_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CarbonBilling]:
    """A mock billing of its own for one test."""
    config: pytest.Config = request.config
    given: dict[str, Any] = {"licence": config.getini("carbon_migrate_licence")}
    for marker in reversed(list(request.node.iter_markers("carbon_billing"))):
        given |= marker.kwargs
    options = _options(given)
    with _folder(tmp_path_factory) as folder:
        database = folder / "billing.fdb"
        shutil.copy(carbon_billing_template, database)
        words = ("mock", "serve", str(database), "--port", "0", "--control-port", "0", *options)
        with _serving(words, folder, _patience(config), lines=2) as (url, control):
            yield CarbonBilling(url, control.removeprefix("control: "), folder, database)


@pytest.fixture
def carbon_replay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenReplay:
    """Serves recordings, each while its context lasts, and holds what was asked against what was recorded."""
    config: pytest.Config = request.config

    @contextmanager
    def replay(recording: Path | str, *, recorded_timing: bool = False) -> Iterator[CarbonReplay]:
        words = ["mock", "replay", str(Path(recording).resolve()), "--port", "0"]
        if recorded_timing:
            words.append("--recorded-timing")
        with _folder(tmp_path_factory) as folder, _serving(words, folder, _patience(config), lines=1) as (url,):
            served = CarbonReplay(url, folder, None)
            yield served
            report = served.report()
        if not report.same:
            pytest.fail(f"{recording}: {report}", pytrace=False)

    return replay


def _options(given: Mapping[str, object]) -> list[str]:
    """The options of `mock serve` for what the ini file and markers say."""
    options: list[str] = []
    for name, value in given.items():
        match name:
            case "busy":
                options.append("--busy" if value else "--no-busy")
            case "quirks" if isinstance(value, Mapping):
                for quirk, how in value.items():
                    options += ("--quirk", f"{quirk}={how}")
            case "licence" | "stack_rate" | "latency_ms" | "slots" | "queue":
                options += _flag(f"--{name.replace('_', '-')}", value)
            case _:
                takes = "licence, stack_rate, latency_ms, slots, queue, busy, and a mapping of quirks"
                raise pytest.UsageError(f"the marker carbon_billing takes no {name}={value!r}, but {takes}")
    return options


def _flag(name: str, value: object) -> list[str]:
    """An option with its value; none where there is no value."""
    return [] if value is None or value == "" else [name, str(value)]


def _patience(config: pytest.Config) -> float:
    return float(config.getini("carbon_migrate_timeout"))


# ---- processes --------------------------------------------------------------------------------------------------


@contextmanager
def _program(words: Sequence[str | Path]) -> Iterator[tuple[list[str], int]]:
    """The command line of the program, and the end of a pipe that it needs; it is ended when the context is.

    Python is isolated: nothing of the working folder and of PYTHONPATH is imported.
    """
    reading, writing = os.pipe()
    try:
        yield [sys.executable, "-I", "-c", _PROGRAM, str(_ROOMS), str(reading), *map(str, words)], reading
    finally:
        os.close(reading)
        os.close(writing)


def _environment() -> dict[str, str]:
    """The environment without settings of the program; what it starts in turn finds its modules, and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**kept, "PYTHONPATH": str(_ROOMS), f"{_SETTINGS}LANG": "en"}


def _run(
    words: Sequence[str | Path], *, stdin: str = "", timeout: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end."""
    with _program(words) as (command, pipe):
        return subprocess.run(  # noqa: S603 - the program itself
            command,
            input=stdin,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            pass_fds=(pipe,),
            timeout=timeout,
        )


@contextmanager
def _serving(words: Sequence[str | Path], folder: Path, patience: float, *, lines: int) -> Iterator[Sequence[str]]:
    """Serve while the context lasts; gives the lines in which the process says where, once it has said them."""
    log = folder / "stderr.log"
    with log.open("wb") as errors, _program(words) as (command, pipe):
        process = subprocess.Popen(  # noqa: S603 - the program itself
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            pass_fds=(pipe,),
            # Ctrl-C reaches pytest alone, which then ends what it has started.
            start_new_session=True,
        )
        with process:
            try:
                yield _said(process, patience, lines, log)
            finally:
                _end(process)


def _said(process: "subprocess.Popen[bytes]", patience: float, lines: int, log: Path) -> Sequence[str]:
    """The first lines that a process says. Raises `CarbonNotStarted` when it ends, or does not say them in time."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    end = time.monotonic() + patience
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while said.count(b"\n") < lines:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise CarbonNotStarted(f"it did not serve within {patience:g} seconds: {_last(log)}")
            if not (part := os.read(process.stdout.fileno(), 4096)):
                raise CarbonNotStarted(_last(log))
            said += part
    return said.decode().splitlines()[:lines]


def _last(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] or "it says nothing"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    process.kill()


@contextmanager
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that nobody needs afterwards: each has a database of some megabytes."""
    folder = tmp_path_factory.mktemp("carbon-billing")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- what is asked of them --------------------------------------------------------------------------------------


def _ask(url: str, method: str, path: str, body: str = "") -> dict[str, Any]:
    """Ask for JSON, past any proxy. Raises ValueError with the reason of a refusal."""
    # Imported here: pytest itself needs no HTTP, nor do test suites that use none of the fixtures.
    from http.client import HTTPConnection  # noqa: PLC0415

    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body.encode())
        with connection.getresponse() as answer:
            found: dict[str, Any] = json.loads(answer.read())
            if answer.status != 200:  # noqa: PLR2004 - OK
                raise ValueError(found.get("error", found))
    finally:
        connection.close()
    return found


def _toml(value: object) -> str:
    """A text or a number as TOML has it, which for these is as JSON has it."""
    return json.dumps(value)
