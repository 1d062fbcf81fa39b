"""What others are told of a run as it works: systemd, by whom and when, and a scraper of its metrics."""

import asyncio
import json
import os
import re
import shlex
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import aiohttp
import anyio
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.session.events import EVERY, Facts, LiveRun, RunBegan, RunEnded, RunEvent, ServiceManager, show_to
from cli.session.metrics import EVERY as SCRAPED_EVERY
from cli.session.metrics import METRICS, MetricsFile, exposition, publish_metrics
from cli.settings.settings import MetricsSettings
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from engine.pacing.holds import PAUSED
from engine.pipeline.progress import Progress, Sending, Status
from tests.cli.conftest import Cli, Place, Typed
from tests.cli.service.conftest import Listener, listener
from tests.virtual_clock import run as on_virtual_clock
from tools.house import ROOT


class Collected(ServiceManager):
    """What would be sent, and when."""

    def __init__(self, watchdog: float | None = None) -> None:
        super().__init__("nowhere", watchdog=watchdog)
        self.told: list[tuple[float, Facts]] = []

    def tell(self, facts: Facts, patience: float = 0.0) -> None:
        self.told.append((anyio.current_time(), facts))

    def times(self, name: str) -> list[float]:
        return [when for when, facts in self.told if name in facts]


@pytest.mark.parametrize("watchdog", [None, 120.0, 3.0])
def test_the_watchdog_hears_of_it_in_half_of_its_time(watchdog: float | None) -> None:
    async def beats() -> list[float]:
        manager = Collected(watchdog)
        async with manager.beating():
            await anyio.sleep(60)
        return manager.times("WATCHDOG")

    times = on_virtual_clock(beats())
    gaps = {round(later - earlier, 3) for earlier, later in pairwise(times)}
    assert gaps == {min(EVERY, (watchdog or 120) / 2)}


def test_more_time_is_asked_for_while_it_starts_and_ends() -> None:
    async def told() -> Collected:
        manager = Collected()
        async with manager.beating():
            await anyio.sleep(1.5 * EVERY)
            manager.work()
            await anyio.sleep(2 * EVERY)
            assert len(manager.times("EXTEND_TIMEOUT_USEC")) == 2
            manager.hear(signal.SIGINT)
            manager.hear(signal.SIGINT)
            await anyio.sleep(EVERY)
        manager.end(Exit.INTERRUPTED)
        return manager

    manager = on_virtual_clock(told())
    assert len(manager.times("EXTEND_TIMEOUT_USEC")) == 4
    assert (len(manager.times("READY")), len(manager.times("STOPPING"))) == (1, 1)


async def test_an_event_loop_that_hangs_says_nothing(listener: Listener) -> None:
    environment = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager.of(environment, str)
    assert environment == {}
    async with manager.beating():
        await listener.hears("WATCHDOG", times=3)
        listener.forget()
        time.sleep(0.1)  # noqa: ASYNC251 - it hangs for ten beats
        assert listener.waiting() == []
        await listener.hears("WATCHDOG")


@pytest.mark.parametrize(("usec", "pid"), [("0", ""), ("soon", ""), ("20000", "1"), ("", "")])
def test_no_watchdog_is_meant_that_is_none_or_of_another_process(usec: str, pid: str) -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    assert ServiceManager.of(environment, str).every == EVERY


def test_a_socket_may_be_of_the_abstract_namespace() -> None:
    listener = Listener(f"@carbon-migrate-test-{os.getpid()}")
    try:
        ServiceManager(listener.address).tell({"READY": 1, "STATUS": "one\nline", "MAINPID": 7})
        assert listener.waiting() == [{"READY": "1", "STATUS": "one line", "MAINPID": "7"}]
    finally:
        listener.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234", "x" * 200, "a\0b"])
def test_a_socket_that_is_none_harms_nothing(address: str) -> None:
    ServiceManager(address).tell({"READY": 1})


def test_what_a_full_queue_does_not_take_goes_with_what_is_told_next(listener: Listener) -> None:
    socket = ServiceManager(listener.address)
    told = [f"line {number}" for number in range(1000)]
    for line in told:
        socket.tell({"STATUS": line})
    socket.tell({"READY": 1})
    socket.tell({"STATUS": "the last"})
    assert "READY" not in {name for message in listener.waiting() for name in message}
    socket.tell({"WATCHDOG": 1})
    assert listener.waiting() == [{"STATUS": "the last", "READY": "1", "WATCHDOG": "1"}]


def test_a_status_line_has_no_secrets_and_one_that_fails_is_left_out(listener: Listener) -> None:
    manager = ServiceManager(listener.address, lambda text: text.replace("masterkey", "•••"))
    manager.show(lambda: f"{'x' * 295} masterkey\n  and more")
    manager.show(lambda: str(1 // 0))
    manager.end(Exit.FAULT, "a fault")
    first, end = listener.waiting()
    assert first == {"STATUS": f"{'x' * 295} •••…"}
    assert end == {"STOPPING": "1", "STATUS": "a fault"}


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("run balances rows.csv --yes --lang en --journal x.journal", Exit.REFUSED, ["STOPPING"]),
        ("resume", Exit.DONE, ["READY", "STOPPING"]),
    ],
)
def test_a_command_that_is_refused_was_never_started_and_one_with_nothing_to_do_has_ended_well(
    line: str, code: Exit, told: list[str], listener: Listener, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    assert typed(*line.split()).exit == code
    listener.waiting()
    assert listener.names("READY", "STOPPING") == told
    assert "exit code 0" in listener.status if code is Exit.DONE else listener.status


# ---- a load, as systemd and a scraper see it ---------------------------------------------------------------------

__all__ = ["listener"]

ROWS = 60
SETTINGS = """\
[hooks]
on-start = ["sh", "-c", "env > environment"]
"""
NIGHT = """\
format = 1

[run]
in_flight = 4
settle = 0.1

[[step]]
job = "balances"
file = "balances.csv"
"""
COMMAND = ("run", "night.toml", "--yes", "--quiet")


def as_service(cli: Cli, listener: Listener) -> None:
    cli.environment |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "200000"}


async def test_a_load_says_how_it_is_and_a_stop_waits_for_what_is_in_flight(place: Place, listener: Listener) -> None:
    place.write(SETTINGS, "carbon-migrate.toml")
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    place.billing.latency = 0.3
    as_service(place.cli, listener)
    async with place.cli.started(*COMMAND) as run:
        await listener.hears("READY")
        await listener.hears("STATUS", f" of {ROWS} rows (")
        await listener.hears("WATCHDOG", times=3)
        await place.traffic.reaches(10)
        run.signal(signal.SIGTERM)
        await listener.hears("STOPPING")
        ended = await listener.hears_out(run)
    assert ended.exit == Exit.INTERRUPTED
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    sent = place.traffic.arrived
    assert sent < ROWS
    assert listener.status.endswith(f"; pending {ROWS - sent}, accepted {sent}")
    assert "exit code 130" in listener.status
    environment = await anyio.Path(place.cli.folder / "environment").read_text()
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG_USEC" not in environment
    # Begun again, as the timer does it the next night, it goes on.
    place.billing.latency = 0.0
    listener.forget()
    async with place.cli.started(*COMMAND) as run:
        assert (await listener.hears_out(run)).exit == Exit.DONE
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    assert listener.status.endswith(f"exit code 0; accepted {ROWS}")
    await place.landed_once(ROWS)


async def test_a_service_whose_billing_is_away_was_not_started_and_one_whose_socket_goes_away_ends_no_load(
    place: Place, listener: Listener
) -> None:
    place.write(NIGHT, "night.toml")
    place.balances(ROWS)
    as_service(place.cli, listener)
    for wrong in (("--api-url", "http://127.0.0.1:1"), ("--database", "127.0.0.1/1:/billing.fdb")):
        listener.forget()
        async with place.cli.started(*COMMAND, *wrong) as run:
            ended = await listener.hears_out(run)
        assert ended.exit == Exit.STOPPED
        assert "Traceback" not in ended.err
        assert listener.names("READY", "STOPPING") == ["STOPPING"]
        assert "127.0.0.1" in listener.status
        assert f"carbon-migrate run {place.cli.folder.resolve() / 'night.toml'} " in ended.err
    # As soon as it is back:
    listener.forget()
    place.billing.latency = 0.1
    async with place.cli.started("run", "night.toml", "--yes", "--json") as run:
        await listener.hears("READY")
        await anyio.Path(listener.address).unlink()
        listener.close()
        ended = await run.ended()
    assert ended.exit == Exit.DONE
    assert ended.err.count("systemd cannot be told of the run") == 1
    assert (await place.found()).rows == ROWS


# ---- metrics: while it works, after a kill, and at its end --------------------------------------------------------

MEASURED = 30


async def test_every_scrape_of_a_load_is_whole_and_the_same_rows_are_in_each(place: Place) -> None:
    place.write("[metrics]\nport = 0\n", "carbon-migrate.toml")
    place.billing.latency = 0.02
    # The scraper is done long before the run is, which has both on one event loop.
    balances = place.balances(10 * MEASURED)
    async with (
        aiohttp.ClientSession() as scraper,
        place.cli.started("run", "balances", balances.path, "--yes", "--json", "--in-flight", "2") as run,
    ):
        heard = await run.said("/metrics")
        address = re.search(r"http://127\.0\.0\.1:\d+/metrics", heard)
        assert address is not None
        async with scraper.get(address[0], headers={"Host": "example.org"}) as answer:
            assert answer.status == 403
        accepted: list[float] = []
        for calls in range(1, MEASURED, 4):
            await place.traffic.reaches(calls)
            async with scraper.get(address[0]) as answer:
                assert answer.content_type == "text/plain"
                seen = scraped(await answer.text())
            assert sum(of(seen, "items", state=state) for state in State) == balances.rows
            assert of(seen, "working") == 1
            accepted.append(of(seen, "items", state="accepted"))
        run.signal(signal.SIGINT)
        assert (await run.ended()).exit == Exit.INTERRUPTED
    assert accepted == sorted(accepted)
    assert len(set(accepted)) > 1


# ---- metrics: the text that a scraper sees, by the parser of Prometheus itself -----------------------------------

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Samples:
    """The samples of a text by name and labels; the run and the job are left out, which all of them have to say."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    assert text.endswith("\n")
    for family in text_string_to_metric_families(text):
        assert family.type in {"gauge", "counter"}
        assert family.documentation
        for name, labels, value, *_ in family.samples:
            rest = {key: word for key, word in labels.items() if key not in {"run", "job"}}
            assert len(rest) == len(labels) - 2, f"{name} does not say of which run and job it is"
            key = (name, frozenset(rest.items()))
            assert key not in found, f"{name} stands twice"
            found[key] = value
    return found


def of(samples: Samples, name: str, **labels: str) -> float:
    """One value."""
    return samples[f"carbon_migrate_{name}", frozenset(labels.items())]


# ---- The metrics of a run: what they say at each moment of it, in the format that Prometheus reads


NOW = datetime.now(UTC)
MEASURES = MetricsSettings("{run}.prom")
A_RUN = Run("balances", {}, "http://billing", "rows", run_id=1, name="k7m2q", created_at=NOW, approved_at=NOW)


@dataclass
class Measured:
    """A run that is measured, without its journal: no figure is asked of it."""

    patch: pytest.MonkeyPatch
    progress: Progress = field(default_factory=Progress)
    texts: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def tells(self) -> AsyncIterator[Callable[[RunEvent], None]]:
        async def write(_file: MetricsFile, text: str) -> None:
            self.texts.append(text)

        self.patch.setattr(MetricsFile, "write", write)
        live, reader = LiveRun(A_RUN, cast("Journal", None), self.progress.status), publish_metrics(MEASURES)
        told, events = anyio.create_memory_object_stream[RunEvent](10)
        async with told, events, anyio.create_task_group() as group:
            group.start_soon(reader, live, events)
            yield told.send_nowait


def totals(**counts: int) -> Totals:
    of_states = {State(name): number for name, number in counts.items()}
    return Totals(of_states, {state: Decimal("0.10") * number for state, number in of_states.items()})


def test_a_run_is_measured_from_its_beginning_every_some_seconds_as_it_moves_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tell() -> list[str]:
        measured = Measured(monkeypatch)
        progress = measured.progress
        progress.sending = lambda: Sending(in_flight=3, window=4)
        progress.take_up(totals(pending=10), intake_ended=True)
        async with measured.tells() as hear:
            await anyio.sleep(60)
            assert measured.texts == []
            hear(RunBegan(totals(pending=10), taken_up=True))
            progress.moved(State.PENDING, State.SENDING, 3, amount=Decimal("0.30"))
            progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("0.10"))
            progress.called(0.25)
            progress.holds.put(PAUSED, 'paused by "olga"\n')
            await anyio.sleep(2.5 * SCRAPED_EVERY)
            assert len(measured.texts) == 3
            hear(RunEnded(Closing(Exit.REJECTED, "k7m2q", "balances", totals(accepted=4, rejected=1))))
        return measured.texts

    texts = on_virtual_clock(tell())
    assert len(texts) == 4
    first, *_, last = map(scraped, texts)
    states = {"pending": 7, "sending": 2, "accepted": 1}
    assert {state: of(first, "items", state=state) for state in State if of(first, "items", state=state)} == states
    sums = {state: of(first, "roubles", state=state) for state in states}
    assert sums == {"pending": 0.7, "sending": 0.2, "accepted": 0.1}
    assert [of(first, f"calls{one}") for one in ("_total", "_in_flight")] == [1, 3]
    assert [of(first, one) for one in ("window_calls", "held", "working")] == [4, 1, 1]
    assert of(first, "held_seconds_total", cause=PAUSED) >= 0
    assert "carbon_migrate_last_exit_code" not in texts[0]
    assert (of(last, "items", state="accepted"), of(last, "items", state="rejected")) == (4, 1)
    assert (of(last, "items", state="pending"), of(last, "working")) == (0, 0)
    assert of(last, "last_exit_code") == Exit.REJECTED
    assert of(last, "last_end_timestamp_seconds") <= of(last, "updated_timestamp_seconds")


async def test_what_is_between_two_steps_of_a_job_file_is_measured_by_nobody() -> None:
    live = LiveRun(A_RUN, cast("Journal", None), Progress().status, ended=True)
    told, events = anyio.create_memory_object_stream[RunEvent]()
    with told, events:
        for reader in (publish_metrics(MetricsSettings(port=0)), show_to(ServiceManager(""))):
            await reader(live, events)


async def test_what_a_label_says_is_escaped_and_no_digit_of_a_sum_is_lost() -> None:
    strange = 'a "b" \\ c\nd'
    roubles = {str(State.ACCEPTED): Decimal("12345678901234567.89")}
    status = replace(Progress().status(), amounts=roubles, held_seconds={strange: 1.5})
    text = exposition("k7m2q", strange, status, NOW)
    held = next(one for one in text_string_to_metric_families(text) if one.name == "carbon_migrate_held_seconds")
    assert [sample.labels for sample in held.samples] == [{"run": "k7m2q", "job": strange, "cause": strange}]
    assert " 12345678901234567.89\n" in text


async def test_the_series_of_a_run_are_few_and_one_that_is_refused_before_it_sends_has_its_end_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = Measured(monkeypatch)
    async with measured.tells() as hear:
        hear(RunEnded(Closing(Exit.REFUSED, "k7m2q", "balances", error="the answer was no")))
    (last,) = map(scraped, measured.texts)
    assert of(last, "last_exit_code") == Exit.REFUSED
    status = replace(Progress().status(), held_seconds={"paused": 1.0})
    ended = RunEnded(Closing(Exit.DONE, "k7m2q", "balances"))
    at_work, at_rest = (exposition("k7m2q", "balances", status, NOW, end) for end in (None, ended))
    assert len(scraped(at_work)) == 2 * len(State) + 1 + 7
    assert len(scraped(at_rest)) == len(scraped(at_work)) + 2


# ---- The file of the metrics is whole at each instant, and no trouble with it is the run's


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_file_is_replaced_whole_and_readable_by_the_exporter(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "carbon-migrate.prom", "k7m2q")
    await file.write("old 1\n")
    with file.path.open() as open_before:
        await file.write("new 2\n")
        assert open_before.read() == "old 1\n"
    assert file.path.read_text() == "new 2\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644
    # What a killed process has left, or somebody has put there, is in nobody's way.
    theirs = tmp_path / "theirs"
    theirs.write_text("untouched")
    file.path.unlink()
    for link in (file.path, tmp_path / ".carbon-migrate.prom.k7m2q.new"):
        link.symlink_to(theirs)
    await file.write("new 3\n")
    assert theirs.read_text() == "untouched"
    assert (file.path.is_symlink(), file.path.read_text()) == (False, "new 3\n")
    assert names(tmp_path) == ["carbon-migrate.prom", "theirs"]


async def test_a_folder_that_is_not_there_is_said_once_and_again_after_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "textfile"
    file = MetricsFile(folder / "carbon-migrate.prom", "k7m2q")
    with capture_logs() as logs:
        await file.write("a 1\n")
        await file.write("a 2\n")
        assert [(one["log_level"], one["file"]) for one in logs] == [("warning", str(file.path))]
        folder.mkdir()
        await file.write("a 3\n")
        file.path.unlink()
        folder.rmdir()
        await file.write("a 4\n")
        assert len(logs) == 2
        # A name that a folder has is said, and leaves nothing behind.
        file.path.mkdir(parents=True)
        another = MetricsFile(file.path, "k7m2q")
        await another.write("a 5\n")
    assert len(logs) == 3
    assert names(folder) == ["carbon-migrate.prom"]


WRITER = """
import sys
from pathlib import Path
import anyio
from cli.session.metrics import MetricsFile

async def write_on():
    file = MetricsFile(Path(sys.argv[1]), "k7m2q")
    while True:
        for text in ("a 1\\n" * 50_000, "b 2\\n" * 40_000):
            await file.write(text)
            print("written", flush=True)

anyio.run(write_on)
"""


@pytest.mark.parametrize("writings", [1, 4, 8])
async def test_a_writer_that_is_killed_leaves_one_of_its_texts_whole(tmp_path: Path, writings: int) -> None:
    path = tmp_path / "carbon-migrate.prom"
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, path, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(writings):
        assert await writer.stdout.readline() == b"written\n"
    # In the middle of the next one, or where chance has it.
    writer.kill()
    await writer.wait()
    assert path.read_text() in {"a 1\n" * 50_000, "b 2\n" * 40_000}


# ---- The examples for Grafana and Zabbix name what is there: metrics, labels, states, and keys of `status --json`


GRAFANA = ROOT / "examples" / "grafana" / "carbon-migrate.json"
ZABBIX = ROOT / "examples" / "zabbix" / "carbon-migrate.yaml"
SERVICE = ROOT / "packaging" / "systemd" / "carbon-migrate@.service"
AGENT = ROOT / "examples" / "zabbix" / "carbon-migrate.conf"
_LABEL = re.compile(r'(\w+)=~?"([^"]*)"')
_BY = re.compile(r"by \(([^)]*)\)|\{\{(\w+)\}\}")
_PATH = re.compile(r"\$\.runs\[\?\(@\.run=='\{#RUN\}'\)\]\.(.+)\.first\(\)")
_KEY = re.compile(r"/carbon-migrate/([^)]+)[,)]")


def test_the_dashboard_names_metrics_and_labels_that_there_are() -> None:
    dashboard = json.loads(GRAFANA.read_text(encoding="utf-8"))
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    queries = [target["expr"] for target in targets] + [one["query"] for one in dashboard["templating"]["list"]]
    named = {name for query in queries for name in re.findall(r"carbon_migrate_\w+", query)}
    assert named == set(METRICS)
    labels = [pair for query in queries for pair in _LABEL.findall(query)]
    assert {name for name, _ in labels} <= {"run", "state"}
    assert {value for name, value in labels if name == "state"} <= set(State)
    shown = {word for one in targets for found in _BY.findall(one["expr"] + one["legendFormat"]) for word in found}
    assert shown - {""} <= {"run", "job", "state", "cause"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def parts_of(value: object) -> Iterator[Mapping[str, Any]]:
    """All tables of the template, from the top."""
    match value:
        case Mapping():
            yield value
            for one in value.values():
                yield from parts_of(one)
        case list():
            for one in value:
                yield from parts_of(one)


def path_of(prototype: Mapping[str, Any]) -> str:
    """What it reads of a run."""
    (parameter,) = prototype["preprocessing"][0]["parameters"]
    found = _PATH.fullmatch(parameter)
    assert found is not None, parameter
    return found[1]


async def test_the_template_reads_what_status_says(place: Place) -> None:
    exported = yaml.safe_load(ZABBIX.read_text(encoding="utf-8"))["zabbix_export"]
    parts = list(parts_of(exported))
    (template,) = exported["templates"]
    (rule,) = template["discovery_rules"]
    asked, failed = template["items"]

    # The agent's line, typed as it stands there, but for the file of the settings.
    (line,) = re.findall(r"^UserParameter=(.*)", AGENT.read_text(encoding="utf-8"), re.MULTILINE)
    key, _, command = line.partition(",")
    assert key == asked["key"] == rule["master_item"]["key"]
    words = shlex.split(command.partition(" 2>")[0])
    typed = [*words[words.index("/usr/bin/carbon-migrate") + 1 : words.index("--config")], "--config", "set.toml"]
    allowed = AGENT.read_text(encoding="utf-8").split("NOPASSWD: ")[1].splitlines()[0]
    assert shlex.split(allowed) == words[words.index("-u") + 2 :]
    # The user, the state folder and the settings are those of the package's service.
    unit = SERVICE.read_text(encoding="utf-8")
    assert f"\nUser={words[words.index('-u') + 1]}\n" in unit
    assert f"\nEnvironment={words[words.index('/usr/bin/env') + 1]}\n" in unit
    assert f"ExecStart=/usr/bin/carbon-migrate run {Path(words[-1]).parent}/" in unit
    place.write("language = 5", "set.toml")
    assert "error" in (await place.cli(*typed, may_end_with=(2,))).closing
    place.write("", "set.toml")
    await place.cli("run", "balances", place.balances(3).path, "--yes")
    told = (await place.cli(*typed)).closing
    assert "error" not in told
    (run,) = told["runs"]
    (step,) = failed["preprocessing"]
    assert step["parameters"] == ["$.error"]
    assert f'<>"{step["error_handler_params"]}"' in failed["triggers"][0]["expression"]

    assert {one["lld_macro"]: run[one["path"].removeprefix("$.")] for one in rule["lld_macro_paths"]} == {
        "{#RUN}": run["run"],
        "{#JOB}": "balances",
        "{#STAGE}": "done",
    }
    paths = {one["key"]: path_of(one) for one in rule["item_prototypes"]}
    known = {
        *run,
        *(f"{table}.{state}" for table in ("states", "amounts") for state in State),
        *(f"live.{field.name}" for field in fields(Status)),
    }
    assert [key for key, path in paths.items() if path not in known] == []
    assert all(one["master_item"]["key"] == key for one in rule["item_prototypes"])
    # What a run does not have now, as a state without rows or what only a live one says, is no error.
    optional = [one for one in rule["item_prototypes"] if "." in path_of(one)]
    assert all("error_handler" in one["preprocessing"][0] for one in optional)

    expressions = [one["expression"] for one in parts if "expression" in one]
    watched = {found for text in expressions for found in _KEY.findall(text)}
    assert watched
    assert {name.partition(",10m")[0] for name in watched} <= {*paths, key, failed["key"]}
    assert failed["key"] in watched
    uuids = [one["uuid"] for one in parts if "uuid" in one]
    assert len(uuids) == len(set(uuids))
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in uuids)
