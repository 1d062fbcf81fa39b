"""All packages of this commit: `python -m tools.package [FOLDER]` writes wheel, .deb, SBOM, man pages and checksums.

The interpreter environment of the .deb has Debian's Python, the pinned packages and the program in one folder. It is
laid out in one place and runs in another, so nothing in it may say where it was built, nor when: no scripts but our
own, no record of the wheel's path, bytecode that names the installed files and is never compared with their times.
The same source gives the same bytes.
"""

import gzip
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from texts.remedies import PROGRAM
from tools.house import ROOT
from tools.manual import write_pages

REQUIREMENTS: Final = ROOT / "requirements" / "package.txt"
HOME: Final = Path("/opt") / PROGRAM
DEBIANS: Final = "/usr/bin/python3"
"""The interpreter that the packages are made for, and run by."""
UNRELEASED: Final = "Unreleased"
EPOCH: Final = "SOURCE_DATE_EPOCH"

_PACKAGING: Final = ROOT / "packaging"
_PIN: Final = re.compile(r"^\S+==[^\\\n]+", re.MULTILINE)
_HEADING: Final = re.compile(r"^## \[?(?P<name>[^\]\s]+)", re.MULTILINE)
_TAG: Final = "v"
_ARCHITECTURES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
_DOC: Final = Path("usr/share/doc") / PROGRAM
_COMPLETIONS: Final[Mapping[str, str]] = {
    "bash": f"usr/share/bash-completion/completions/{PROGRAM}",
    "zsh": f"usr/share/zsh/vendor-completions/_{PROGRAM}",
    "fish": f"usr/share/fish/vendor_completions.d/{PROGRAM}.fish",
}
_SCRIPT: Final = f"""#!{HOME}/bin/python3 -I
import sys

from cli.main import main

sys.exit(main())
"""
_ELSEWHERE: Final = ("direct_url.json", "uv_cache.json", "REQUESTED")
"""What uv notes beside a package, of this machine alone."""
_SCRIPTS: Final = "../../../bin/"


def main(arguments: Sequence[str]) -> int:
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


def build_all(folder: Path, release: "Release") -> list[Path]:
    """Build all packages into a folder, in place of those of an earlier time; their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = ("--target", "wheel", "--directory", str(folder))
    build = [sys.executable, "-m", "hatchling", "build", *target]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a module of this environment
    (wheel,) = folder.glob("*.whl")
    constraints, parts = folder / "constraints.txt", folder / f"{PROGRAM}-{release.version}.cdx.json"
    constraints.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        environment = build_environment(Path(place) / "root", REQUIREMENTS, wheel)
        # What is in it, as CycloneDX has it. Not validated, which takes longer than all else.
        options = ("environment", "--no-validate", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml")
        subprocess.run([_tool("cyclonedx-py"), *options, "--output-file", parts, environment.interpreter], check=True)  # noqa: S603 - as above
        deb = build_deb(environment, release, folder)
        manual = folder / "man"
        shutil.copytree(environment.root / "usr/share/man", manual)
    written, sums = [wheel, constraints, deb, parts, *sorted(manual.rglob("*.gz"))], folder / "SHA256SUMS"
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in written)
    sums.write_text("".join(lines), encoding="utf-8")
    return [wheel, constraints, deb, parts, manual, sums]


def pins() -> Iterator[str]:
    """The versions of all packages without their hashes, as `uv tool install --constraints` takes them."""
    for found in _PIN.finditer(REQUIREMENTS.read_text(encoding="utf-8")):
        yield found[0].rstrip()


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


# ---- what a package is called -------------------------------------------------------------------------------------


class NotReleasable(Exception):
    """Raised when version, tag and changelog say different things; the text says which."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of the program, and the time that is written into all files of its packages."""

    version: str
    debian_version: str
    """The same on a tagged commit; on another one a version that is older than it, and newer than earlier commits."""
    epoch: int

    @property
    def day(self) -> str:
        """The day of the packages, as a man page has it."""
        return f"{datetime.fromtimestamp(self.epoch, UTC):%Y-%m-%d}"


def release_of(root: Path) -> Release:
    """The release that the commit is which is checked out. Raises `NotReleasable`.

    A commit without a tag is a version to come, and its changes may stand under "Unreleased".
    """
    version = str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    headings = _HEADING.findall((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    tags = [tag.removeprefix(_TAG) for tag in git_lines(root, "tag", "--points-at", "HEAD") if tag.startswith(_TAG)]
    check(version, tags, headings)
    commit = git_lines(root, "log", "-1", "--format=%ct %h", "HEAD")
    seconds, _, name = (commit or [""])[0].partition(" ")
    epoch = int(os.environ.get(EPOCH) or seconds or 0)
    if not epoch:
        raise NotReleasable(f"this is no commit of a clone: set {EPOCH} to the time of the source, in seconds")
    before = "" if tags else f"~{datetime.fromtimestamp(epoch, UTC):%Y%m%d%H%M%S}" + (f".{name}" if name else "")
    return Release(version, version + before, epoch)


def check(version: str, tags: Sequence[str], headings: Sequence[str]) -> None:
    """Check that tags and changelog have this version. Raises `NotReleasable`."""
    if tags and version not in tags:
        raise NotReleasable(f"the commit has the tag {_TAG}{tags[0]}, and pyproject.toml says {version}")
    if version not in headings and (tags or UNRELEASED not in headings):
        raise NotReleasable(f"CHANGELOG.md has no heading '## {version}'")


def git_lines(root: Path, *arguments: str) -> list[str]:
    """The lines that git says; none where this is no clone."""
    try:
        said = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)  # noqa: S603, S607 - arguments of this file
    except (OSError, subprocess.CalledProcessError):
        return []
    return said.stdout.split("\n")[:-1]


# ---- the environment of the .deb ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment below a folder that stands for `/`; `python` is "3.13"."""

    root: Path
    python: str

    @property
    def home(self) -> Path:
        """Where it is while it is built."""
        return self.root / HOME.relative_to("/")

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        return self.home / "lib" / f"python{self.python}" / "site-packages"

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.home / "bin" / "python3"


def build_environment(root: Path, requirements: Path, wheel: Path) -> Environment:
    """Build the environment below `root`: the packages of `requirements`, whose hashes are checked, and the wheel."""
    built = Environment(root, debians_python())
    built.packages.mkdir(parents=True)
    built.interpreter.parent.mkdir()
    built.interpreter.symlink_to(f"/usr/bin/python{built.python}")
    (built.home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {built.python}\n", encoding="utf-8"
    )
    into = ("--python", str(built.interpreter), "--link-mode", "copy", "--no-build")
    for what in (("--require-hashes", "--requirement", requirements), ("--no-index", "--no-deps", wheel)):
        _run(_tool("uv"), "pip", "install", "--quiet", *into, *map(str, what))
    _remove_traces(built)
    script = built.home / "bin" / PROGRAM
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    # The bytecode: the same each time, and naming the files as they are installed.
    for cache in built.packages.rglob("__pycache__"):
        shutil.rmtree(cache)
    compiler = (DEBIANS, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    _run(*compiler, "-s", str(root), "-p", "/", str(built.packages))
    return built


def debians_python() -> str:
    """The minor version of Debian's Python, as "3.13"."""
    shown = subprocess.run([DEBIANS, "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603 - Debian's Python
    return ".".join(shown.split()[1].split(".")[:2])


def _remove_traces(environment: Environment) -> None:
    """Leave out what uv has written of this machine, and the scripts of the packages."""
    for path in environment.interpreter.parent.iterdir():
        if path != environment.interpreter:
            path.unlink()
    (environment.home / ".lock").unlink(missing_ok=True)
    for record in environment.packages.glob("*.dist-info/RECORD"):
        for name in _ELSEWHERE:
            (record.parent / name).unlink(missing_ok=True)
        elsewhere = tuple(f"{record.parent.name}/{name}," for name in _ELSEWHERE)
        lines = record.read_text(encoding="utf-8").splitlines()
        kept = sorted(line for line in lines if not line.startswith((_SCRIPTS, *elsewhere)))
        record.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S603 - commands of this file


# ---- the .deb: the files as they lie on the machine, in the words of `packaging/nfpm.yaml`, packed by nfpm --------


def build_deb(environment: Environment, release: Release, folder: Path) -> Path:
    """Write the .deb of an environment into a folder; its path."""
    lay_out(environment.root, release)
    # All files have the time of the release, and the modes that Debian's packages have.
    for one in (environment.root, *environment.root.rglob("*")):
        if not one.is_symlink():
            one.chmod(0o755 if one.is_dir() or one.stat().st_mode & stat.S_IXUSR else 0o644)
        os.utime(one, (release.epoch, release.epoch), follow_symlinks=False)
    architecture = _ARCHITECTURES[platform.machine()]
    path = folder / f"{PROGRAM}_{release.debian_version}_{architecture}.deb"
    values = {
        "ARCHITECTURE": architecture,
        "VERSION": release.debian_version,
        "PYTHON": f"python{environment.python}",
        "ICU": icu(),
        "TREE": str(environment.root),
        EPOCH: str(release.epoch),
    }
    command = [_tool("nfpm"), "package", "--config", "nfpm.yaml", "--packager", "deb", "--target", str(path)]
    subprocess.run(command, cwd=_PACKAGING, env=os.environ | values, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a tool of this environment
    return path


def icu() -> str:
    """The package of this Debian that has ICU, without which Firebird creates no database: its name has a version."""
    found = max(Path("/usr/lib").glob("*-linux-gnu/libicuuc.so.[0-9][0-9]"), default=None)
    if found is None:
        raise FileNotFoundError("ICU is missing: .ci/packages run")
    return f"libicu{found.suffix.removeprefix('.')}"


def lay_out(root: Path, release: Release) -> None:
    """Put all files beside the environment where Debian has them."""
    program = root / "usr/bin" / PROGRAM
    program.parent.mkdir(parents=True)
    program.symlink_to(HOME / "bin" / PROGRAM)
    write_pages(root / "usr/share/man", release)
    for shell, place in _COMPLETIONS.items():
        _copy(ROOT / "cli" / "completion" / f"{PROGRAM}.{shell}", root / place)
    for file in sorted((_PACKAGING / "systemd").iterdir()):
        _copy(file, root / "usr/lib" / ("sysusers.d" if file.suffix == ".conf" else "systemd/system") / file.name)
    # Of the source: no caches, no journals that somebody has left there.
    for name in git_lines(ROOT, "ls-files", "README.md", "SECURITY.md", "docs", "examples"):
        if name.startswith("examples/") or name.endswith((".md", ".png")):
            _copy(ROOT / name, root / _DOC / name)
    _copy(ROOT / "LICENSE", root / _DOC / "copyright")
    changes = root / _DOC / "changelog.gz"
    changes.write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    _copy(_PACKAGING / f"{PROGRAM}.toml", root / _DOC / "examples" / f"{PROGRAM}.toml")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(source.stat().st_mode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
