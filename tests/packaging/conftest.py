"""Packages, built once for all workers, and clean roots to install them in."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.packaging.clean_root import ROOT, DebianRoot, locked, unpacked
from tools.package import debians_python, git_lines, icu

DEBIANS = ("python3-venv", "libtommath1", icu(), "ca-certificates", "passwd")
"""What is fetched beside a clean root: all that .deb and image need."""
FIRST_LOAD = Path(__file__).with_name("first_load.sh")


@dataclass(frozen=True)
class Packages:
    """What `make package` has written."""

    folder: Path

    def one(self, pattern: str) -> Path:
        """The file of that name, of which there is one."""
        (found,) = self.folder.glob(pattern)
        return found


def build(folder: Path, source: Path = ROOT, umask: int = 0o022) -> None:
    """Build all packages of a source, whose commit is that of this clone."""
    (git_folder,) = git_lines(ROOT, "rev-parse", "--absolute-git-dir")
    of_clone = {"GIT_DIR": git_folder, "GIT_WORK_TREE": str(source)}
    ended = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tools.package", folder],
        cwd=source,
        env=os.environ | of_clone,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def packages(of_all_workers: Path) -> Packages:
    """All packages of this commit, built by the first worker that asks for them."""
    folder = of_all_workers / "packages"
    with locked(of_all_workers / "packages.lock"):
        if not (folder / "SHA256SUMS").exists():
            build(folder)
    return Packages(folder)


@pytest.fixture(scope="session")
def wheelhouse(of_all_workers: Path) -> Path:
    """The wheels of the pinned packages for Debian's Python, fetched by the first worker that asks for them."""
    folder = of_all_workers / "wheelhouse"
    requirements = ROOT / "requirements" / "package.txt"
    with locked(of_all_workers / "wheelhouse.lock"):
        if not (folder / "whole").exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            python = ["--only-binary", ":all:", "--python-version", debians_python(), "--require-hashes"]
            subprocess.run([*pip, *python, "--dest", folder, "--requirement", requirements], check=True)  # noqa: S603
            (folder / "whole").touch()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DebianRoot]:
    """A clean Debian root; it fails where none can be made, and says what to type."""
    folder = tmp_path / "root"
    folder.mkdir()
    yield unpacked(folder, DEBIANS)
    shutil.rmtree(folder)


def load_first(root: DebianRoot, user: str = "root", environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Do what an administrator does first, and check what was shown and written."""
    home = root.home(user)
    shutil.copy(FIRST_LOAD, root.path(f"{home}/first_load.sh"))
    ended = root.run("mkdir first && cd first && sh ../first_load.sh", user, environment)
    shown = ended.stdout + ended.stderr
    assert "the proof holds" in shown
    assert "each effect once, every sum to the kopeck" in shown
    assert "nothing is in the way of a run" in shown
    run = ended.stdout.splitlines()[-1]
    assert root.path(f"{home}/first/report-{run}.pdf").read_bytes().startswith(b"%PDF")
    totals = json.loads(root.path(f"{home}/first/totals.json").read_text(encoding="utf-8"))
    assert totals["exit"] == 0
