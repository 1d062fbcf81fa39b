"""The examples for Grafana and Zabbix name what is there: metrics, labels, states, and keys of `status --json`."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from checkpoints.states import State
from cli.metrics.reader import METRICS
from engine.pipeline.progress import Status
from tests.cli.conftest import Place
from tools.house import ROOT

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
