"""The recipes of `examples/schedulers`: what the system has stopped goes on, what waits for a person does not."""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import pytest

from cli.terminal.exits import Exit
from tests.cli.conftest import PATIENCE, Place
from tools.house import ROOT

RECIPES = ROOT / "examples" / "schedulers"
AGAIN = {Exit.STOPPED}
FOR_PERSON = set(Exit) - AGAIN - {Exit.DONE}
ROWS = 40
NIGHT = 'format = 1\n[run]\nsettle = 0.1\n[[step]]\njob = "balances"\nfile = "balances.csv"\n'


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a `carbon-migrate` of a body in shell, which is found before any other."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def make(body: str) -> None:
        path = tmp_path / "bin" / "carbon-migrate"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return make


@contextmanager
def loaded(name: str, modules: Mapping[str, Mapping[str, object]]) -> Iterator[ModuleType]:
    """A recipe as Python has it, with doubles of the library that it is for."""
    doubles: dict[str, ModuleType] = {}
    for module, names in modules.items():
        for part in (module.rsplit(".", depth)[0] for depth in range(module.count(".") + 1)):
            doubles.setdefault(part, ModuleType(part))
        doubles[module].__dict__.update(names)
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        for module, double in doubles.items():
            patched.setitem(sys.modules, module, double)
        spec.loader.exec_module(recipe)
        yield recipe


class AirflowError(Exception):
    """A failure that Airflow tries again."""


class SkippedError(AirflowError):
    """A task is left out."""


class NoTryLeftError(AirflowError):
    """A failure that Airflow does not try again."""


class Bash:
    """A BashOperator as the standard provider 1.21 has it, as far as the recipe knows it."""

    made: list["Bash"] = []  # noqa: RUF012 - of this test

    def __init__(
        self, *, task_id: str, bash_command: str, cwd: str, append_env: bool, skip_on_exit_code: Any
    ) -> None:
        self.task_id, self.command, self.skips = task_id, bash_command, skip_on_exit_code
        assert cwd
        assert append_env
        self.made.append(self)

    def execute(self, _context: object) -> str:
        code = subprocess.run(["/bin/bash", "-c", self.command], check=False).returncode  # noqa: S603 - the recipe
        if code in self.skips:
            raise SkippedError
        if code:
            raise AirflowError
        return "done"


def test_airflow_tries_again_what_the_system_has_stopped_alone(program: Callable[[str], None]) -> None:
    given: dict[str, Any] = {}

    def dag(**settings: object) -> Callable[[Callable[[], None]], Callable[[], None]]:
        given.update(settings)
        return lambda function: function

    Bash.made.clear()
    doubles: dict[str, dict[str, object]] = {
        "airflow.providers.standard.operators.bash": {"BashOperator": Bash},
        "airflow.sdk": {"dag": dag},
        "airflow.sdk.exceptions": {"AirflowFailException": NoTryLeftError, "AirflowSkipException": SkippedError},
    }
    with loaded("airflow_load", doubles) as recipe:
        assert [one.task_id for one in Bash.made] == [f"load_{name}" for name in recipe.PROFILES]
        assert given["default_args"]["retries"] > 0
        load = Bash.made[0]
        for code in Exit:
            program(f'test "$*" = "run north.toml --profile north --yes --quiet" && exit {int(code)}')
            if code == Exit.DONE:
                assert load.execute({}) == "done"
                continue
            with pytest.raises(AirflowError) as failed:
                load.execute({})
            assert failed.type is (NoTryLeftError if code in FOR_PERSON else AirflowError)


def test_prefect_tries_again_what_the_system_has_stopped_or_was_killed_alone(
    program: Callable[[str], None], tmp_path: Path
) -> None:
    given: dict[str, Any] = {}

    def task(**settings: object) -> Callable[[Any], Any]:
        given.update(settings)
        return lambda function: function

    doubles: dict[str, dict[str, object]] = {
        "prefect": {"State": object, "flow": lambda function: function, "task": task},
        "prefect.futures": {"wait": list},
    }
    with loaded("prefect_load", doubles) as recipe:
        vars(recipe)["FOLDER"] = tmp_path
        for body, again in {
            **{f"exit {int(code)}": code in AGAIN for code in Exit if code != Exit.DONE},
            "kill -9 $$": True,
        }.items():
            program(body)
            with pytest.raises(recipe.NotLoadedError) as failed:
                recipe.load("north")
            state = SimpleNamespace(result=partial(_result, failed.value))
            assert given["retry_condition_fn"](None, None, state) == again, body
        program("exit 0")
        recipe.load("north")


def _result(failure: Exception, *, raise_on_failure: bool) -> Exception:
    assert not raise_on_failure
    return failure


def test_cron_hears_what_a_person_has_to_look_at_once_a_night(program: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "north.toml").touch()

    def start() -> tuple[int, str]:
        ended = subprocess.run(  # noqa: S603 - our own recipe
            [RECIPES / "cron-load.sh", "north.toml", "--profile", "north"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    marker = tmp_path / "state" / "carbon-migrate" / "cron-load-north.toml"
    for code in Exit:
        program(f'echo "$*"; exit {int(code)}')
        ended, said = start()
        assert ended == code
        assert bool(said) == (code in FOR_PERSON - {Exit.INTERRUPTED}), said
        assert not said or said.startswith("run north.toml --yes --quiet --profile north\n")
        assert marker.exists() == (code not in AGAIN)
        if marker.exists():
            assert start() == (0, "")
            marker.unlink()
    program("kill -9 $$")
    assert (*start(), marker.exists()) == (137, "", False)


async def test_a_load_of_cron_that_was_killed_goes_on_with_the_next_start(place: Place) -> None:
    place.balances(ROWS)
    place.write(NIGHT, "night.toml")
    place.billing.latency = 0.1
    place.write(f'#!/bin/sh\necho $$ > process\nexec {sys.executable} -m cli "$@"\n', "carbon-migrate").chmod(0o755)
    environment = {
        **place.cli.environment,
        "PATH": f"{place.cli.folder}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place.cli.folder),
    }
    command = [str(RECIPES / "cron-load.sh"), "night.toml"]

    async def start() -> tuple[int, bytes]:
        with anyio.fail_after(PATIENCE):
            ended = await anyio.run_process(command, cwd=place.cli.folder, env=environment, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    async with await anyio.open_process(command, cwd=place.cli.folder, env=environment) as first:
        await place.traffic.reaches(5)
        assert await start() == (0, b"")
        load = int(await anyio.Path(place.cli.folder / "process").read_text())
        subprocess.run(["/bin/kill", f"-{signal.SIGKILL:d}", str(load)], check=True)  # noqa: S603, ASYNC221 - at once
        with anyio.fail_after(PATIENCE):
            assert await first.wait() == 128 + signal.SIGKILL
    place.billing.latency = 0.0
    assert await start() == (0, b"")
    await place.landed_once(ROWS)
    # The load of this night has ended: a further start types nothing.
    calls = place.traffic.arrived
    assert await start() == (0, b"")
    assert place.traffic.arrived == calls
