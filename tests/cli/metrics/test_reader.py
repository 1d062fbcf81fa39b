"""What a scraper sees: the text, parsed by Prometheus's own parser."""

import asyncio
import json
import re
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from checkpoints.journal import Journal
from checkpoints.records import Run, Totals
from checkpoints.states import State
from cli.metrics.reader import EVERY, METRICS, MetricsFile, MetricsReader, exposition, publish_metrics
from cli.service.service_manager import ServiceManager, show_to
from cli.session.events import LiveRun, RunBegan, RunEnded
from cli.settings.tables import MetricsSettings
from cli.show.closing import Closing
from cli.terminal.exits import Exit
from engine.pacing.holds import PAUSED
from engine.pipeline.progress import Progress, Sending, Status
from tests.cli.conftest import Place
from tests.virtual_clock import run as on_virtual_clock
from tools.house import ROOT

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
A_RUN = Run(1, "k7m2q", "balances", {}, "http://billing", "rows.csv", "", (), None, NOW, NOW, NOW, None)


@dataclass
class Collected:
    """A run that is measured, without its journal: no figure is asked of it."""

    progress: Progress = field(default_factory=Progress)
    texts: list[str] = field(default_factory=list)

    def reader(self) -> MetricsReader:
        async def publish(text: str) -> None:
            self.texts.append(text)

        return MetricsReader(LiveRun(A_RUN, cast("Journal", None), self.progress.status), publish)

    @property
    def last(self) -> Samples:
        return scraped(self.texts[-1])


def totals(**counts: int) -> Totals:
    of_states = {State(name): number for name, number in counts.items()}
    return Totals(of_states, {state: Decimal("0.10") * number for state, number in of_states.items()})


def test_a_run_is_measured_from_its_beginning_every_some_seconds_and_at_its_end() -> None:
    async def told() -> Collected:
        collected = Collected()
        reader = collected.reader()
        async with anyio.create_task_group() as group:
            group.start_soon(reader.follow)
            await anyio.sleep(60)
            assert collected.texts == []
            reader.hear(RunBegan(totals(pending=5), taken_up=False))
            await anyio.sleep(2.5 * EVERY)
            assert len(collected.texts) == 3
            reader.hear(RunEnded(Closing(Exit.REJECTED, "k7m2q", "balances", totals(accepted=4, rejected=1))))
        return collected

    collected = on_virtual_clock(told())
    first, *_, last = map(scraped, collected.texts)
    assert (of(first, "items", state="pending"), of(first, "working")) == (5, 1)
    assert of(first, "roubles", state="pending") == 0.5
    assert "carbon_migrate_last_exit_code" not in collected.texts[0]
    assert len(collected.texts) == 4
    assert (of(last, "items", state="accepted"), of(last, "items", state="rejected")) == (4, 1)
    assert (of(last, "items", state="pending"), of(last, "working")) == (0, 0)
    assert of(last, "last_exit_code") == Exit.REJECTED
    assert of(last, "last_end_timestamp_seconds") <= of(last, "updated_timestamp_seconds")


async def test_what_is_between_two_steps_of_a_job_file_is_measured_by_nobody() -> None:
    live = LiveRun(A_RUN, cast("Journal", None), Progress().status, ended=True)
    assert publish_metrics(MetricsSettings(port=0))(live) is None
    assert show_to(ServiceManager(""))(live) is None


def test_what_moves_is_what_the_run_says_of_itself() -> None:
    async def told() -> Collected:
        collected = Collected()
        progress = collected.progress
        progress.sending = lambda: Sending(in_flight=3, window=4)
        progress.take_up(totals(pending=10), intake_ended=True)
        reader = collected.reader()
        reader.hear(RunBegan(totals(pending=10), taken_up=True))
        progress.moved(State.PENDING, State.SENDING, 3, amount=Decimal("0.30"))
        progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("0.10"))
        progress.called(0.25)
        progress.holds.put(PAUSED, 'paused by "olga"\n')
        collected.texts.append(reader.text())
        return collected

    seen = on_virtual_clock(told()).last
    states = {"pending": 7, "sending": 2, "accepted": 1}
    assert {state: of(seen, "items", state=state) for state in State if of(seen, "items", state=state)} == states
    assert {state: of(seen, "roubles", state=state) for state in states} == {
        "pending": 0.7,
        "sending": 0.2,
        "accepted": 0.1,
    }
    assert (of(seen, "calls_total"), of(seen, "calls_in_flight"), of(seen, "window_calls")) == (1, 3, 4)
    assert of(seen, "held") == 1
    assert of(seen, "held_seconds_total", cause=PAUSED) >= 0


async def test_what_a_label_says_is_escaped_and_no_digit_of_a_sum_is_lost() -> None:
    strange = 'a "b" \\ c\nd'
    roubles = {str(State.ACCEPTED): Decimal("12345678901234567.89")}
    status = replace(Progress().status(), amounts=roubles, held_seconds={strange: 1.5})
    text = exposition("k7m2q", strange, status, NOW)
    held = next(one for one in text_string_to_metric_families(text) if one.name == "carbon_migrate_held_seconds")
    assert [sample.labels for sample in held.samples] == [{"run": "k7m2q", "job": strange, "cause": strange}]
    assert " 12345678901234567.89\n" in text


async def test_the_series_of_a_run_are_few_and_one_that_is_refused_before_it_sends_has_its_end_alone() -> None:
    collected = Collected()
    reader = collected.reader()
    reader.hear(RunEnded(Closing(Exit.REFUSED, "k7m2q", "balances", error="the answer was no")))
    await reader.follow()
    assert len(collected.texts) == 1
    assert of(collected.last, "last_exit_code") == Exit.REFUSED
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
from cli.metrics.reader import MetricsFile

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
