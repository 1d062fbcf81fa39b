"""The .deb: the files as they lie on the machine, in `packaging/nfpm.yaml`'s words, packed by nfpm.

The same source gives the same bytes: all times are those of the release, and modes do not depend on who builds.
"""

import gzip
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from texts.remedies import PROGRAM
from tools.house import ROOT
from tools.package.environment import HOME, Environment
from tools.package.manual import write_pages
from tools.package.release import EPOCH, Release, git_lines

_ARCHITECTURES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
_PACKAGING: Final = ROOT / "packaging"
_COMPLETION: Final = ROOT / "cli" / "completion"
_DOC: Final = Path("usr/share/doc") / PROGRAM
_COMPLETIONS: Final[Mapping[str, str]] = {
    "bash": f"usr/share/bash-completion/completions/{PROGRAM}",
    "zsh": f"usr/share/zsh/vendor-completions/_{PROGRAM}",
    "fish": f"usr/share/fish/vendor_completions.d/{PROGRAM}.fish",
}
_PAGES: Final = (".md", ".png")


def build_deb(environment: Environment, release: Release, folder: Path) -> Path:
    """Write the .deb of an environment into a folder; its path."""
    lay_out(environment.root, release)
    _make_equal(environment.root, release.epoch)
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
    nfpm = Path(sys.executable).with_name("nfpm")
    command = [str(nfpm), "package", "--config", "nfpm.yaml", "--packager", "deb", "--target", str(path)]
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
        _copy(_COMPLETION / f"{PROGRAM}.{shell}", root / place)
    for file in sorted((_PACKAGING / "systemd").iterdir()):
        _copy(file, root / "usr/lib" / ("sysusers.d" if file.suffix == ".conf" else "systemd/system") / file.name)
    for page in _pages():
        _copy(page, root / _DOC / page.relative_to(ROOT))
    _copy(ROOT / "LICENSE", root / _DOC / "copyright")
    changes = root / _DOC / "changelog.gz"
    changes.write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    _copy(_PACKAGING / f"{PROGRAM}.toml", root / _DOC / "examples" / f"{PROGRAM}.toml")


def _pages() -> Iterator[Path]:
    """The pages and examples of the source: no caches, no journals that somebody has left there."""
    for name in git_lines(ROOT, "ls-files", "README.md", "SECURITY.md", "docs", "examples"):
        if name.startswith("examples/") or name.endswith(_PAGES):
            yield ROOT / name


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(source.stat().st_mode)


def _make_equal(root: Path, epoch: int) -> None:
    """Give all files the time of the release, and the modes that Debian's packages have."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
