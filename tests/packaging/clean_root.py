"""A clean Debian in a folder: what a machine has before anything of ours is installed.

mmdebstrap makes it from the machine's own sources of packages, once; then it lies in `.ci/` until `make clean`, a
week passes, or what is wanted changes. Packages that tests install in it have been fetched by then: a copy has no
network.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lab.crash.loops import loops

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / ".ci" / ".clean-root.tar"
KEY = ROOT / ".ci" / ".clean-root.key"
TOOL = "sudo apt-get update && sudo apt-get install -y mmdebstrap"
AS_ROOT = "a clean Debian root can be made, and entered, by root alone: run the tests as root, or in a container"
WEEK = 7 * 24 * 3600
OF_THE_MACHINE = re.compile(r"^[^#\n]*\b(?:file|copy|cdrom):", re.MULTILINE)
PATIENCE = loops(800)
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class NoCleanRoot(Exception):
    """Raised when no root can be made; the text says what to type."""


@dataclass(frozen=True)
class DebianRoot:
    """A root of one test. What is started in it ends with the command that has started it."""

    folder: Path

    def run(
        self, script: str, user: str = "root", environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script in it, in the home folder of a user who has nothing but this environment."""
        home = self.home(user)
        values = {"HOME": home, "PATH": PATH, "LANG": "C.UTF-8", **environment}
        own = ("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.folder}/proc")
        there = ("/usr/sbin/chroot", f"--userspec={user}", str(self.folder))
        words = (*own, *there, "sh", "-euc", f"cd {home}\n{script}")
        ended = subprocess.run(  # noqa: S603 - scripts of these tests
            words, env=values, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def home(self, user: str) -> str:
        """The home folder of a user."""
        found = re.search(rf"^{user}:(?:[^:]*:){{4}}([^:]*)", self.path("/etc/passwd").read_text(), re.MULTILINE)
        assert found, f"no user {user}"
        return found[1]

    def path(self, inside: str) -> Path:
        """A path of it as this machine has it."""
        return self.folder / inside.removeprefix("/")


def unpacked(folder: Path, packages: Sequence[str]) -> DebianRoot:
    """A new root in an empty folder, which can install these packages of Debian. Raises `NoCleanRoot`."""
    if os.geteuid() != 0:
        raise NoCleanRoot(AS_ROOT)
    with locked(ARCHIVE.with_suffix(".lock")):
        _make_archive(packages)
    subprocess.run(["tar", "-xf", ARCHIVE, "-C", folder, "--numeric-owner"], check=True)  # noqa: S603, S607 - our archive
    return DebianRoot(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all workers, for as long as the context lasts."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_archive(packages: Sequence[str]) -> None:
    sources = list(_sources(Path("/etc/apt")))
    key = hashlib.sha256("\0".join([*(file.read_text() for file in sources), *packages]).encode()).hexdigest()
    fresh = ARCHIVE.exists() and time.time() - ARCHIVE.stat().st_mtime < WEEK
    if fresh and KEY.exists() and KEY.read_text() == key:
        return
    fetch = f'chroot "$1" apt-get install -qq -y --no-install-recommends --download-only {" ".join(packages)}'
    options = ("--quiet", "--variant=apt", "--skip=cleanup/apt", f"--customize-hook={fetch}")
    made = ARCHIVE.with_name(".clean-root-made.tar")
    try:
        subprocess.run(  # noqa: S603 - Debian's tool, with the machine's sources
            ["mmdebstrap", *options, _suite(), made, *sources],  # noqa: S607 - it is where Debian has it
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise NoCleanRoot(f"the tests need mmdebstrap. Type: {TOOL}") from error
    except subprocess.CalledProcessError as error:
        raise NoCleanRoot(f"mmdebstrap has made no root:\n{error.stderr}") from error
    made.rename(ARCHIVE)
    KEY.write_text(key)


def _sources(apt: Path) -> Iterator[Path]:
    """The machine's sources, without those that are files of this machine."""
    for file in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.*"))):
        if file.suffix in {".list", ".sources"} and file.exists() and not OF_THE_MACHINE.search(file.read_text()):
            yield file


def _suite() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    assert found, "/etc/os-release names no release of Debian"
    return found[1]
