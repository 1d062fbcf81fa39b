"""All packages of this commit: `python -m tools.package [FOLDER] [--sign KEY]` writes what `build_all` makes.

The interpreter environment of the .deb has Debian's Python, the pinned packages and the program in one folder. It is
laid out in one place and runs in another, so nothing in it may say where it was built, nor when: no scripts but our
own, no record of the wheel's path, bytecode that names the installed files and is never compared with their times.
The same source gives the same bytes.
"""

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from texts.said import PROGRAM
from tools.house import ROOT
from tools.manual import write_pages

REQUIREMENTS: Final = ROOT / "requirements" / "package.txt"
HOME: Final = Path("/opt") / PROGRAM
DEBIANS: Final = "/usr/bin/python3"
"""The interpreter that the packages are made for, and run by."""
EPOCH: Final = "SOURCE_DATE_EPOCH"

_PACKAGING: Final = ROOT / "packaging"
SIGNERS: Final = _PACKAGING / "allowed_signers"
"""Whose signature of a release counts, as `ssh-keygen -Y verify` reads it."""
_BESIDE: Final = Path(sys.executable).parent
"""The folder of the tools of this environment."""
_TAG: Final = "v"
SUMS: Final = "SHA256SUMS"
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


def main(arguments: Sequence[str]) -> int:
    """Build everything; 1 when version, tag and changelog differ, or a release cannot be signed."""
    parser = argparse.ArgumentParser(prog="python -m tools.package")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist")
    parser.add_argument("--sign", metavar="KEY", type=Path, help="an SSH key, for a release")
    given = parser.parse_args(arguments)
    folder = given.folder.absolute()
    try:
        release = release_of(ROOT)
        if given.sign is not None:
            check_releasable(ROOT, release)
        os.environ[EPOCH] = str(release.epoch)
        written = build_all(folder, release)
        if given.sign is not None:
            written.append(sign(folder / SUMS, given.sign, SIGNERS))
    except NotReleasable as error:
        sys.stderr.write(f"make {'package' if given.sign is None else 'release'}: {error}\n")
        return 1
    for path in written:
        sys.stdout.write(f"{path.relative_to(folder.parent)}\n")
    return 0


def build_all(folder: Path, release: "Release") -> list[Path]:
    """Build wheel, .deb, SBOM, provenance, man pages and checksums into an emptied folder; their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    (wheel,) = folder.glob("*.whl")
    constraints, parts = folder / "constraints.txt", folder / f"{PROGRAM}-{release.version}.cdx.json"
    constraints.write_text("".join(f"{pin}\n" for pin in pins()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        root, python = Path(place) / "root", debians_python()
        interpreter = build_environment(root, python, wheel)
        # What is in it, as CycloneDX has it. Not validated, which takes longer than all else.
        options = ("environment", "--no-validate", "--output-reproducible", "--pyproject", ROOT / "pyproject.toml")
        _run(_BESIDE / "cyclonedx-py", *options, "--output-file", parts, interpreter)
        deb = build_deb(root, python, release, folder)
        manual = folder / "man"
        shutil.copytree(root / "usr/share/man", manual)
    written = [wheel, constraints, deb, parts, *sorted(manual.rglob("*.gz"))]
    provenance, sums = folder / f"{PROGRAM}-{release.version}.provenance.json", folder / SUMS
    digests = {str(path.relative_to(folder)): _digest(path) for path in written}
    provenance.write_text(json.dumps(provenance_of(release, digests), indent=2) + "\n", encoding="utf-8")
    digests[provenance.name] = _digest(provenance)
    sums.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()), encoding="utf-8")
    return [wheel, constraints, deb, parts, provenance, manual, sums]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pins() -> list[str]:
    """The versions of all packages without their hashes, as `uv tool install --constraints` takes them."""
    found = re.findall(r"^\S+==[^\\\n]+", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    return [pin.rstrip() for pin in found]


def _run(*command: str | Path, folder: Path = ROOT, **more: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0", **more}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - commands of this file


# ---- what a package is called -------------------------------------------------------------------------------------


class NotReleasable(Exception):
    """Raised when version, tag and changelog say different things; the text says which."""


class Release(NamedTuple):
    """A version of the program, and the time that is written into all files of its packages.

    `debian_version` is the same on a tagged commit; on another one it is older than it, and newer than earlier
    commits.
    """

    version: str
    debian_version: str
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
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    tags = [tag.removeprefix(_TAG) for tag in git_lines(root, "tag", "--points-at", "HEAD") if tag.startswith(_TAG)]
    check(version, tags, re.findall(r"^## \[?([^\]\s]+)", changes, re.MULTILINE))
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
    if version not in headings and (tags or "Unreleased" not in headings):
        raise NotReleasable(f"CHANGELOG.md has no heading '## {version}'")


def git_lines(root: Path, *arguments: str) -> list[str]:
    """The lines that git says; none where this is no clone."""
    try:
        said = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)  # noqa: S603, S607 - arguments of this file
    except (OSError, subprocess.CalledProcessError):
        return []
    return said.stdout.split("\n")[:-1]


# ---- where a package comes from, and who says so ------------------------------------------------------------------


def check_releasable(root: Path, release: Release) -> None:
    """Check that the commit has the tag of its version, and nothing was changed since. Raises `NotReleasable`."""
    if release.debian_version != release.version:
        raise NotReleasable(f"the commit has no tag: git tag {_TAG}{release.version}")
    if changed := git_lines(root, "status", "--porcelain"):
        raise NotReleasable(f"there are changes that are not in the commit: {changed[0].strip()}")


def provenance_of(release: Release, digests: Mapping[str, str]) -> Mapping[str, object]:
    """From which commit and pinned packages the files were made, and by what: an in-toto statement (SLSA 1.0)."""
    (commit,) = git_lines(ROOT, "rev-parse", "HEAD") or [""]
    pinned = {"name": REQUIREMENTS.relative_to(ROOT).as_posix(), "digest": {"sha256": _digest(REQUIREMENTS)}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"urn:{PROGRAM}:make-package",
                "externalParameters": {
                    "version": release.version,
                    "changed": bool(git_lines(ROOT, "status", "--porcelain")),
                },
                "internalParameters": {EPOCH: release.epoch},
                "resolvedDependencies": [{"name": PROGRAM, "digest": {"gitCommit": commit}}, pinned],
            },
            "runDetails": {
                "builder": {
                    "id": f"urn:{PROGRAM}:make-package:{platform.machine()}",
                    "version": {
                        "debian": platform.freedesktop_os_release()["PRETTY_NAME"],
                        "python": debians_python(),
                    },
                },
            },
        },
    }


def sign(sums: Path, key: Path, signers: Path) -> Path:
    """Sign the checksums by an SSH key, or by the agent that has it; the signature. Raises `NotReleasable`."""
    signature = sums.with_name(f"{sums.name}.sig")
    signature.unlink(missing_ok=True)
    for command in (
        ("ssh-keygen", "-Y", "sign", "-f", key, "-n", PROGRAM, sums),
        ("ssh-keygen", "-Y", "find-principals", "-f", signers, "-s", signature),
    ):
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - OpenSSH
        if ended.returncode:
            signature.unlink(missing_ok=True)
            raise NotReleasable(
                f"{key} signs no release: {ended.stderr.strip()}\n"
                f"It has to be an SSH key whose public half is a line of {signers.name}"
            )
    return signature


# ---- the environment of the .deb: `root` is a folder that stands for `/`, `python` is "3.13" -----------------------


def build_environment(root: Path, python: str, wheel: Path) -> Path:
    """Build it: the packages of the requirements, whose hashes are checked, and the wheel; its interpreter."""
    home = root / HOME.relative_to("/")
    packages, programs = home / "lib" / f"python{python}" / "site-packages", home / "bin"
    packages.mkdir(parents=True)
    programs.mkdir()
    interpreter = programs / "python3"
    interpreter.symlink_to(f"/usr/bin/python{python}")
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n"
    (home / "pyvenv.cfg").write_text(settings, encoding="utf-8")
    install = (
        _BESIDE / "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        interpreter,
        "--link-mode",
        "copy",
        "--no-build",
    )
    _run(*install, "--require-hashes", "--requirement", REQUIREMENTS)
    _run(*install, "--no-index", "--no-deps", wheel)
    # What uv has written of this machine, and the scripts of the packages, stay out.
    for path in programs.iterdir():
        if path != interpreter:
            path.unlink()
    (home / ".lock").unlink(missing_ok=True)
    for record in packages.glob("*.dist-info/RECORD"):
        for name in _ELSEWHERE:
            (record.parent / name).unlink(missing_ok=True)
        elsewhere = ("../../../bin/", *(f"{record.parent.name}/{name}," for name in _ELSEWHERE))
        kept = sorted(
            line for line in record.read_text(encoding="utf-8").splitlines() if not line.startswith(elsewhere)
        )
        record.write_text("\n".join(kept) + "\n", encoding="utf-8")
    script = programs / PROGRAM
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    # The bytecode: the same each time, and naming the files as they are installed.
    for cache in packages.rglob("__pycache__"):
        shutil.rmtree(cache)
    compiler = (DEBIANS, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    _run(*compiler, "-s", root, "-p", "/", packages)
    return interpreter


def debians_python() -> str:
    """The minor version of Debian's Python, as "3.13"."""
    shown = subprocess.run([DEBIANS, "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603 - Debian's Python
    return ".".join(shown.split()[1].split(".")[:2])


# ---- the .deb: the files as they lie on the machine, in the words of `packaging/nfpm.yaml`, packed by nfpm --------


def build_deb(root: Path, python: str, release: Release, folder: Path) -> Path:
    """Write the .deb of an environment into a folder; its path."""
    lay_out(root, release)
    # All files have the time of the release, and the modes that Debian's packages have.
    for one in (root, *root.rglob("*")):
        if not one.is_symlink():
            one.chmod(0o755 if one.is_dir() or one.stat().st_mode & stat.S_IXUSR else 0o644)
        os.utime(one, (release.epoch, release.epoch), follow_symlinks=False)
    architecture, version = _ARCHITECTURES[platform.machine()], release.debian_version
    path = folder / f"{PROGRAM}_{version}_{architecture}.deb"
    values = {"ARCHITECTURE": architecture, "VERSION": version, "PYTHON": f"python{python}", "ICU": icu()}
    values |= {"TREE": str(root), EPOCH: str(release.epoch)}
    words = ("package", "--config", "nfpm.yaml", "--packager", "deb", "--target", path)
    _run(_BESIDE / "nfpm", *words, folder=_PACKAGING, **values)
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
    completion = ROOT / "cli" / "completion"
    files = {root / place: completion / f"{PROGRAM}.{shell}" for shell, place in _COMPLETIONS.items()}
    for file in (_PACKAGING / "systemd").iterdir():
        files[root / "usr/lib" / ("sysusers.d" if file.suffix == ".conf" else "systemd/system") / file.name] = file
    # Of the source: no caches, no journals that somebody has left there.
    for name in git_lines(ROOT, "ls-files", "README.md", "README.ru.md", "SECURITY.md", "docs", "examples"):
        if name.startswith("examples/") or name.endswith((".md", ".png")):
            files[root / _DOC / name] = ROOT / name
    files[root / _DOC / "copyright"] = ROOT / "LICENSE"
    files[root / _DOC / "examples" / f"{PROGRAM}.toml"] = _PACKAGING / f"{PROGRAM}.toml"
    for target, source in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    changes = root / _DOC / "changelog.gz"
    changes.write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
