"""What scripts rely on: every command and flag, every key that `--json` prints, exit codes (`tests/cli/face.txt`).

The list was made from the program before its commands were redesigned. A key that is missing there is a change that a
user's script notices: `FACE=write pytest tests/cli/test_face.py` writes the list anew, and the changelog names it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.cli.conftest import Place
from tests.cli.test_options import ALL

FACE: Final = Path(__file__).parent / "face.txt"
VARYING: Final = (
    "states",
    "amounts",
    "held",
    "left_out",
    "skipped",
    "skipped_amounts",
    "kinds",
    "kind_amounts",
    "sums",
)
"""Objects whose keys are states, reasons or runs: which of them occur depends on the run."""


def compare(begins: str, found: set[str]) -> None:
    """Hold these lines against those of the list that begin so."""
    listed = FACE.read_text(encoding="utf-8").splitlines() if FACE.exists() else []
    if os.environ.get("FACE") == "write":
        kept = [line for line in listed if not line.startswith(begins)]
        listed = sorted({*kept, *found})
        FACE.write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")
    assert found == {line for line in listed if line.startswith(begins)}


def flags(name: str) -> Iterator[str]:
    for parameter in ALL[name].params:
        yield f"command {name} {'|'.join([*parameter.opts, *parameter.secondary_opts])}"


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Each key of an object and of the objects in it, `[]` for each element of a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = "*" if path.rpartition(".")[2] in VARYING else key
            yield f"{path}.{name}"
            yield from keys(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")


def test_every_command_and_flag_is_still_there() -> None:
    compare("command ", {line for name in ALL for line in flags(name)})


async def test_every_key_of_json_is_still_there(place: Place) -> None:
    balances = place.balances(6)
    lines = balances.path.read_text(encoding="utf-8").splitlines()
    table = place.rows(*lines, f"{balances.numbers[0]};1,5E+03", "no such number;1,00")
    script = place.rows("curl -XPOST http://b/rest_api/v2/Users/ -d 'method1=objects.get'", name="s.sh")
    seen: set[str] = set()

    async def type_(*words: str | Path, name: str = "") -> Any:
        printed = await place.cli(*words, "--json", may_end_with=range(256))
        objects = [json.loads(line) for line in printed.out.splitlines() if line.strip()]
        name = name or str(words[0])
        seen.add(f"json {name} exit {printed.exit}")
        seen.update(f"json {name} {path}" for one in objects for path in keys(one))
        return objects[-1] if objects else printed.err

    await type_("doctor")
    await type_("jobs", name="jobs")
    await type_("jobs", "balances", name="jobs JOB")
    await type_("translate", script)
    await type_("plan", "balances", table)
    await type_("run", "balances", table, name="run refused")
    run = (await type_("run", "balances", table, "--yes", "--skip-bad"))["run"]
    stopped = await place.stopped("balances", place.balances(9, "more.csv").path, "--again", "--in-flight", "1")
    await type_("status", name="status")
    await type_("status", run, name="status RUN")
    await type_("status", "--all", name="status --all")
    await type_("get", stopped)
    await type_("pause", stopped)
    await type_("continue", stopped)
    await type_("reconcile", stopped, "--settle", "0.1")
    await type_("close", stopped, "--reason", "a trial")
    await type_("resume", stopped, "--settle", "0.1", name="resume closed")
    await type_("verify", run)
    await type_("decide", run, "1", "accepted", name="decide refused")
    await type_("export", run, "-o", "exported.csv", "--state", "accepted")
    await type_("report", run, "-o", "report.html")
    await type_("report", "check", "report.html", name="report check")
    await type_("journal", "copy", "carbon-migrate.journal", "copy.journal", name="journal copy")
    await type_("undo", run, "--yes")
    await type_("purge", run, "--keep-totals", "--yes")
    compare("json ", seen)
