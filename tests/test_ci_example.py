"""The project of `examples/ci`: what its CI files run passes, in an environment with the wheel and what it needs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tools.house import ROOMS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "ci"
SHELLS = {
    "github": ("bash", "-e", "-c"),
    "gitlab": ("bash", "-eo", "pipefail", "-c"),
}
"""How each of them runs a step."""

SUDO = '#!/bin/sh\nexec "$@"\n'
APT = """#!/bin/sh
# Installs nothing: what is asked for has to be there.
[ "$1" = update ] || dpkg-query -W -f='${db:Status-Status}\\n' "$3" | grep -q '^installed$'
"""


def built(folder: Path) -> Path:
    """The wheel, of a copy of the sources: its build writes catalogues, which other tests read meanwhile."""
    source = folder / "source"
    for name in (*ROOMS, "carbon_migrate_testing"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, source)
    python("-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def python(*words: str | Path) -> None:
    subprocess.run([sys.executable, *words], check=True)  # noqa: S603 - pip


def needed(requirements: Sequence[str], extra: str) -> Iterator[str]:
    """The distributions that are installed for these requirements, and for those of theirs."""
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement.name
            for further in requirement.extras or {""}:
                yield from needed(distribution(requirement.name).requires or (), further)


def environment_with(wheel: Path, folder: Path) -> Path:
    """A virtual environment with pip and what pip would fetch for the wheel and its extra, but not the wheel."""
    venv.create(folder, symlinks=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        requirements = message_from_bytes(archive.read(name)).get_all("Requires-Dist") or ()
    for one in {"pip", *needed(requirements, "pytest")}:
        found = distribution(one)
        for top in {path.parts[0] for path in found.files or () if ".." not in path.parts}:
            if not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(str(found.locate_file(top)))
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    """A copy of the example with the wheel in its place, and the environment in which CI runs it."""
    folder = tmp_path_factory.mktemp("ci")
    wheel = built(folder)
    home = folder / "home"
    shutil.copytree(EXAMPLE, home)
    shutil.copy(wheel, home / "wheels")
    own = environment_with(wheel, folder / "venv")
    for name, text in (("sudo", SUDO), ("apt-get", APT)):
        program = own / "bin" / name
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    return home, {
        **kept,
        "PATH": f"{own / 'bin'}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        "XDG_STATE_HOME": str(folder / "state"),
    }


def scripts(service: str) -> dict[str, str]:
    """What each job of a CI file runs, as one script."""
    if service == "gitlab":
        jobs: dict[str, Any] = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text(encoding="utf-8"))
        return {name: "\n".join(job["script"]) for name, job in jobs.items() if name != "image"}
    whole: dict[str, Any] = yaml.safe_load((EXAMPLE / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    return {
        name: "\n".join(step["run"].rstrip("\n") for step in job["steps"] if "run" in step)
        for name, job in whole["jobs"].items()
    }


def run(script: str, service: str, project: tuple[Path, Mapping[str, str]]) -> str:
    home, environment = project
    # A script that fails leaves what it has started in the background, as the container of a CI job does not.
    with (home / f"{service}.log").open("w+", encoding="utf-8") as log:
        shell = subprocess.Popen(  # noqa: S603 - what the example says
            [*SHELLS[service], script],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        log.seek(0)
        told = log.read()
    assert code == 0, told
    return told


def test_both_services_run_the_same() -> None:
    github = {name: text.replace("sudo ", "") for name, text in scripts("github").items()}
    assert github == scripts("gitlab")


@pytest.mark.prove
def test_its_tests_pass_as_github_runs_them_and_types_are_seen(project: tuple[Path, Mapping[str, str]]) -> None:
    told = run(scripts("github")["tests"], "github", project)
    assert "4 passed" in told
    home, environment = project
    (site,) = (home.parent / "venv" / "lib").glob("python*/site-packages")
    assert {"carbon_migrate_testing", "billing", "cli"} <= {path.name for path in site.iterdir()}
    wrong = "import carbon_migrate_testing as c\ndef f(b: c.CarbonBilling) -> None: b.fail('503', modle='x')"
    options = ("--strict", "--no-incremental", "--python-executable", environment["PATH"].split(":")[0] + "/python")
    judged = subprocess.run(  # noqa: S603 - the type checker
        [sys.executable, "-m", "mypy", *options, "-c", wrong], cwd=home, capture_output=True, text=True, check=False
    )
    assert 'did you mean "model"' in judged.stdout
    assert "Found 1 error" in judged.stdout


@pytest.mark.prove
def test_its_recording_is_replayed_as_gitlab_runs_it(project: tuple[Path, Mapping[str, str]]) -> None:
    told = run(scripts("gitlab")["recording"], "gitlab", project)
    home, _ = project
    assert "accepted  4" in told
    assert "all of the recording, and nothing else" in (home / "replay.log").read_text()
