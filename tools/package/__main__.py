"""All packages of this commit, and their checksums: `python -m tools.package [FOLDER]`, into `dist/` by default."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from texts.remedies import PROGRAM
from tools.house import ROOT
from tools.package.deb import build_deb
from tools.package.environment import Environment, build_environment
from tools.package.release import EPOCH, NotReleasable, Release, release_of

REQUIREMENTS: Final = ROOT / "requirements" / "package.txt"
SUMS: Final = "SHA256SUMS"
CONSTRAINTS: Final = "constraints.txt"

_PIN: Final = re.compile(r"^\S+==[^\\\n]+", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Build everything; 1 when version, tag and changelog differ."""
    folder = Path(arguments[0] if arguments else ROOT / "dist").absolute()
    try:
        release = release_of(ROOT)
    except NotReleasable as error:
        sys.stderr.write(f"make package: {error}\n")
        return 1
    os.environ[EPOCH] = str(release.epoch)
    for path in build_all(folder, release):
        sys.stdout.write(f"{path.relative_to(folder.parent)}\n")
    return 0


def build_all(folder: Path, release: Release) -> list[Path]:
    """Build all packages into a folder, in place of those of an earlier time; their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheel = _build_wheel(folder)
    constraints = folder / CONSTRAINTS
    constraints.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        environment = build_environment(Path(place) / "root", REQUIREMENTS, wheel)
        parts = _write_parts(environment, folder / f"{PROGRAM}-{release.version}.cdx.json")
        deb = build_deb(environment, release, folder)
        manual = folder / "man"
        shutil.copytree(environment.root / "usr/share/man", manual)
    written = [wheel, constraints, deb, parts, *sorted(path for path in manual.rglob("*.gz"))]
    sums = folder / SUMS
    sums.write_text("".join(f"{_digest(path)}  {path.relative_to(folder)}\n" for path in written), encoding="utf-8")
    return [wheel, constraints, deb, parts, manual, sums]


def pins() -> Iterator[str]:
    """The versions of all packages without their hashes, as `uv tool install --constraints` takes them."""
    for found in _PIN.finditer(REQUIREMENTS.read_text(encoding="utf-8")):
        yield found[0].rstrip()


def _build_wheel(folder: Path) -> Path:
    subprocess.run(  # noqa: S603 - a module of this environment
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _write_parts(environment: Environment, path: Path) -> Path:
    """Write what is in the environment, as CycloneDX has it: the SBOM."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    # To look whether it is valid takes longer than all else; the tool makes it by its own model.
    options = ("environment", "--no-validate", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml")
    subprocess.run([tool, *options, "--output-file", path, environment.interpreter], check=True)  # noqa: S603 - a tool of this environment
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
