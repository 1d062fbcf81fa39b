"""A load beside which hooks are called: they hear what happens, and change nothing, whatever they do."""

import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from cli.terminal.exits import Exit
from tests.cli.conftest import PATIENCE, Ended, Place, Started

ROWS = 4
SECRETS = ("Canary-of-the-form", "Canary-of-a-header", "Canary-of-the-database", "bot1234567890:Canary-of-a-bot")
KEEPS = 'cat > "$1.json"; tr "\\0" "\\n" < /proc/$PPID/cmdline > "$1.args"; env > "$1.env"'
FAILS = "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; exit 9"


def toml(hooks: Mapping[str, object]) -> str:
    """The settings of a load with these hooks, and with a secret of each sort."""
    form, header, database, bot = SECRETS
    lines = [f"{name} = {json.dumps(value)}" for name, value in hooks.items()]
    return "\n".join(
        [
            f'api.form = {{ hash_key = "{form}" }}\napi.headers = {{ X-Token = "{header}" }}',
            f'database.password = "{database}"',
            'metrics.file = "carbon-{run}.prom"',
            "[hooks]",
            f'ping = "http://127.0.0.1:9/{bot}"',
            *lines,
        ]
    )


def keeping(event: str) -> list[str]:
    return ["sh", "-c", KEEPS, "sh", event]


def settle(place: Place, hooks: Mapping[str, object]) -> None:
    """Let loads have these hooks."""
    place.write(toml(hooks), "carbon-migrate.toml").chmod(0o600)


async def load(place: Place, hooks: Mapping[str, object], *flags: str, may_end_with: int = 0) -> Ended:
    settle(place, hooks)
    rows = place.balances(ROWS).path
    # Another load of the same rows: what the first one entered does not count.
    return await place.cli(
        "run", "balances", rows, "--yes", "--json", "--again", *flags, may_end_with=(may_end_with,)
    )


def heard(place: Place, event: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.cli.folder / f"{event}.json").read_text())
    return found


async def notes(place: Place, name: str) -> list[tuple[str, str]]:
    async with place.journal() as journal:
        commands = await journal.history.commands(await journal.run(name))
    return [(one.command, one.answer) for one in commands if one.command.startswith("on-")]


async def test_a_command_hears_what_json_says_and_no_secret_goes_anywhere(place: Place) -> None:
    ended = await load(place, {"on-start": keeping("start"), "on-end": keeping("end")})
    closing = ended.closing
    end = heard(place, "end")
    assert {**end, **closing} == end
    assert heard(place, "start")["states"] == {"pending": ROWS}
    assert (end["run"], end["billing"]) == (closing["run"], place.billing.url)
    assert end["source"] == str(place.cli.folder / "balances.csv")
    assert sorted(await notes(place, closing["run"])) == [("on-end sh", "taken"), ("on-start sh", "taken")]
    status = await place.cli("status", closing["run"])
    assert "on-end sh" in status.out
    settings = place.cli.folder / "carbon-migrate.toml"
    assert (place.cli.folder / f"carbon-{closing['run']}.prom").is_file()
    for path in place.cli.folder.rglob("*"):
        if path.is_file() and path != settings:
            assert [secret for secret in SECRETS if secret.encode() in path.read_bytes()] == [], path
    assert [secret for secret in SECRETS if secret in ended.out + ended.err + status.out + status.err] == []


async def test_hooks_that_fail_change_neither_json_nor_exit_code(place: Place, tmp_path: Path) -> None:
    quiet = await load(place, {})
    broken = {
        "on-start": ["sh", "-c", FAILS],
        "on-end": str(tmp_path / "nothing"),
        "on-hold": "http://127.0.0.1:9/",
        "hold-seconds": 0,
    }
    loud = await load(place, broken)
    measured = {"run": "", "seconds": 0, "held": {}}
    assert (loud.exit, list(loud.closing)) == (quiet.exit, list(quiet.closing))
    assert json.dumps(loud.closing | measured) == json.dumps(quiet.closing | measured)
    start, end = sorted(await notes(place, loud.closing["run"]), reverse=True)
    assert start[1].startswith("it ended with exit code 9")
    assert end[1] == "it cannot be started: No such file or directory"


async def test_a_hook_that_hangs_delays_neither_the_run_nor_another_hook(place: Place) -> None:
    fifo = place.cli.folder / "fifo"
    os.mkfifo(fifo)
    # The first one hangs until the run has ended, and would be killed if the run waited for it.
    hooks = {
        "on-start": ["sh", "-c", 'read end < "$1"', "sh", str(fifo)],
        "on-end": ["sh", "-c", 'echo > "$1"', "sh", str(fifo)],
    }
    loud = await load(place, hooks)
    assert loud.closing["states"] == {"accepted": ROWS}
    assert sorted(await notes(place, loud.closing["run"])) == [("on-end sh", "taken"), ("on-start sh", "taken")]


@asynccontextmanager
async def hanging_at_the_end(place: Place, *command: str | Path) -> AsyncIterator[Started]:
    """A command that has ended a run, and waits for its hook."""
    fifo = place.cli.folder / "begun"
    os.mkfifo(fifo)
    hooks = {"on-end": ["sh", "-c", 'echo > "$1"; sleep 1000 & wait', "sh", str(fifo)]}
    settle(place, hooks)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with place.cli.started(*command, "--yes", "--json") as started:
            with anyio.fail_after(PATIENCE):
                await anyio.wait_readable(reading)
            yield started
    finally:
        os.close(reading)


async def test_who_does_not_wait_for_a_hook_that_hangs_has_the_same_end(place: Place) -> None:
    async with hanging_at_the_end(place, "run", "balances", place.balances(ROWS).path) as started:
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert (ended.exit, ended.closing["exit"]) == (Exit.DONE, Exit.DONE)
    assert await notes(place, ended.closing["run"]) == [("on-end sh", "given up when the run was closed")]


async def test_who_interrupts_the_hook_of_a_step_interrupts_its_job_file(place: Place) -> None:
    async with hanging_at_the_end(place, "run", two_steps(place)) as started:
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert ended.exit == Exit.INTERRUPTED
    assert [step["exit"] for step in ended.closing["steps"]] == [Exit.DONE, None]
    # What was to be told is given up as a whole: the end of the file is not told by the same hook.
    told = await notes(place, ended.closing["steps"][0]["run"])
    assert told == [("on-end sh", "given up when the run was closed")]


def two_steps(place: Place) -> Path:
    """A job file that enters the same rows twice."""
    rows = place.balances(ROWS).path
    shutil.copy(rows, place.cli.folder / "second.csv")
    step = '[[step]]\njob = "balances"\nfile = "{}"\nagain = true\n'
    steps = step.format(rows.name) + step.format("second.csv")
    return place.write(f"format = 1\n[run]\nsettle = 0\n{steps}", "night.toml")


def told_lines(place: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place.cli.folder / "told.jsonl").read_text().splitlines()]


async def test_a_file_that_a_step_ends_before_it_begins_is_told_with_the_run_before(place: Place) -> None:
    hooks = {"on-end": ["sh", "-c", "cat >> told.jsonl; rm -f second.csv"]}
    settle(place, hooks)
    ended = await place.run(two_steps(place), ends=Exit.STOPPED)
    of_run, of_file = told_lines(place)
    file = str(place.cli.folder / "night.toml")
    assert of_run["job_file"] == {"file": file, "round": 1, "step": 1, "steps": 2}
    assert (of_run["exit"], of_file["exit"]) == (Exit.DONE, Exit.STOPPED)
    assert of_file["run"] == of_run["run"]
    assert of_file["job_file"] == of_run["job_file"]
    assert of_file["steps"] == ended["steps"]
    assert of_file["text"].startswith(f"job file {place.cli.folder / 'night.toml'} has ended after step 1 of 2: ")
    assert of_file["error"] == ended["error"]
    assert "second.csv" in of_file["error"]


async def test_what_holds_a_file_between_two_steps_and_ends_it_there_is_told(place: Place) -> None:
    told = ["sh", "-c", "cat >> told.jsonl"]
    hooks = {"on-end": told, "on-hold": ["sh", "-c", "cat > hold.json; echo held >&2; exit 1"], "hold-seconds": 0}
    settle(place, hooks)
    place.works_off_the_first_alone()
    async with place.cli.started("run", two_steps(place), "--yes", "--json") as started:
        await started.said("exit code 1: held")
        started.signal(signal.SIGINT)
        ended = await started.ended()
    assert ended.exit == Exit.INTERRUPTED
    assert heard(place, "hold")["cause"] == "barrier"
    of_run, of_file = told_lines(place)
    assert (of_run["exit"], of_file["exit"]) == (Exit.DONE, Exit.INTERRUPTED)
    assert (of_file["stopped"], of_file["run"]) == (ended.closing["stopped"], of_run["run"])
    assert len(await notes(place, of_run["run"])) == 3


async def test_doctor_names_who_cannot_be_told_and_lets_runs_go_on(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.write(
            f'[hooks]\non-end = "./mail"\non-hold = "sh -c true"\n[metrics]\nfile = "gone/run.prom"\nport = {port}\n',
            "carbon-migrate.toml",
        )
        told = " ".join((await place.cli("doctor")).out.split())
    assert f"! hooks on-end: {place.cli.folder / 'mail'} is not there, or cannot be executed" in told
    assert "on-hold" not in told
    assert f"{place.cli.folder / 'gone' / 'run.prom'}: its folder is not there, or cannot be written" in told
    assert f"port {port} cannot be had: " in told


async def test_a_run_that_a_hook_has_started_calls_no_hooks(place: Place) -> None:
    script = place.write("", "tell.sh")
    script.chmod(0o666)
    refused = await load(place, {"on-end": ["sh", str(script)]}, may_end_with=Exit.REFUSED)
    refused.saying(f"everybody may write the hook {script}: it is not taken")
    assert place.traffic.arrived == 0
    assert f"everybody may write the hook {script}" in await place.cli.told("doctor", ends=2)
    place.cli.environment["CARBON_MIGRATE_IN_HOOK"] = "1"
    ended = await load(place, {"on-start": keeping("start"), "on-end": keeping("end")})
    ended.saying("a hook has started this command, so it calls no hooks")
    assert not (place.cli.folder / "start.json").exists()
    assert await notes(place, ended.closing["run"]) == []
