"""What a package is called: its version, which stands in pyproject.toml alone, checked against tag and changelog."""

import os
import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

UNRELEASED: Final = "Unreleased"
EPOCH: Final = "SOURCE_DATE_EPOCH"

_HEADING: Final = re.compile(r"^## \[?(?P<name>[^\]\s]+)", re.MULTILINE)
_TAG: Final = "v"


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
