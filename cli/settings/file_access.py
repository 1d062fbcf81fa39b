"""Who has made a file that a command takes by itself, and who may read the files that hold secrets.

A settings file, a journal or a profile that lies in the working folder says where rows and passwords go, what a run
sends, and what money rests on. Somebody who may write into the folder (`/tmp`, a share) could leave one there for
others. So such a file is taken from this user and from root alone; whoever trusts another one names it.
"""

import os
import pwd
import shlex
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checkpoints.own_files import kept_copies
from cli.terminal.exits import CommandRefused, SettingsRefused
from cli.terminal.logs import KEPT
from cli.terminal.texts import printable, reason_of
from jobs.spec.toml_places import Toml
from texts.remedies import Remedy
from texts.said import said

_ROOT: Final = 0
_OTHERS_MAY_READ: Final = 0o044
_OTHERS_MAY_WRITE: Final = 0o022
_BESIDE_A_JOURNAL: Final = (
    *("", "-wal", "-shm", "-plans", "-secrets", ".log"),
    *(f".log.{number}" for number in range(1, KEPT + 1)),
)
"""Endings of a journal's name, for the files that are kept beside it; kept copies come to these."""

_CONVERTED: Final = ("", "-plans")
"""Endings of those that are journals themselves, of which a copy is kept when their format changes."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was not named: what it is, and the flag by which it can be named, if there is one.

    One that `is_run`, or names what is run, must not be written by its group either, and nobody else may reach one
    that `is_secret`.
    """

    path: Path
    what: str
    flag: Remedy | None = None
    is_run: bool = False
    is_secret: bool = False

    def check(self, trusted: Collection[int] = ()) -> None:
        """Raise `SettingsRefused` for one that somebody else has made, or that everybody may write.

        Of a symbolic link, both the link and its file count. `trusted` are further users.
        """
        for status in (self.path.lstat(), self.path.stat()):
            if status.st_uid not in {os.geteuid(), _ROOT, *trusted}:
                ours = user_name(os.geteuid())
                refused = said(
                    "{what} {file} belongs to {owner}, and this is {user}: it is not taken, for it could have been "
                    "put there for you.",
                    what=self.what,
                    file=printable(self.path),
                    owner=user_name(status.st_uid),
                    user=ours,
                )
                command = shlex.join(["chown", ours, str(self.path)])
                remedy = said("If you trust it, make it yours:\n{command}", command=command)
                if self.flag is not None:
                    remedy = said(
                        "If you trust it, name it with {flag}; or make it yours:\n{command}",
                        flag=self.flag,
                        command=command,
                    )
                raise SettingsRefused("{refused} {remedy}", refused=refused, remedy=remedy)
            if not stat.S_ISLNK(status.st_mode):
                self.check_mode(status.st_mode)

    def check_mode(self, mode: int) -> None:
        """Raise `SettingsRefused` for a mode by which too many may write the file."""
        slots = {"what": self.what, "file": printable(self.path)}
        if mode & stat.S_IWOTH:
            command = _command("chmod", "go-w" if self.is_run else "o-w", [self.path])
            raise SettingsRefused(
                "everybody may write {what} {file}: it is not taken. Look at what it says, and close it:\n{command}",
                command=command,
                **slots,
            )
        if self.is_run and mode & stat.S_IWGRP:
            command = _command("chmod", "go-w", [self.path])
            raise SettingsRefused(
                "its group may write {what} {file}: it is not taken. Look at what it says, and close it:\n{command}",
                command=command,
                **slots,
            )


def read_toml(
    read: Callable[[], bytes | None], file: str, refused: type[CommandRefused] = SettingsRefused
) -> Toml | None:
    """The TOML text that `read` gives of `file`, None where there is none. Raises `refused`, naming the file."""
    try:
        content = read()
        return None if content is None else Toml.of(content)
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else said("it is not UTF-8")
        raise refused(said("{file} cannot be read: {reason}", file=file, reason=why)) from error
    except ValueError as error:
        raise refused(said("{file} is not TOML: {error}", file=file, error=error)) from error


def read_found(found: FoundFile) -> bytes | None:
    """The bytes of a file that was not named, None where there is none. Raises what `check` and reading raise."""
    try:
        found.check()
        # Not blocked by a pipe that somebody has put there, and checked again for what is open.
        descriptor = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SettingsRefused("{what} {file} is no file: remove it", what=found.what, file=printable(found.path))
        if status.st_uid not in {os.geteuid(), _ROOT}:
            raise SettingsRefused(
                "{what} {file} was exchanged while it was opened", what=found.what, file=printable(found.path)
            )
        if found.is_run:
            found.check_mode(status.st_mode)
        if found.is_secret and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsRefused(
                "others on this machine can read {file}, which has a key: close it, and think about a new one:\n"
                "{command}",
                file=printable(found.path),
                command=_command("chmod", "600", [found.path]),
            )
        return file.read()


def user_name(user: int) -> str:
    """A user's name, or the number of one that this machine does not know."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return said("user {number}", number=user)


@dataclass(frozen=True, slots=True)
class Exposed:
    """Files that others on this machine can read or write: what they hold, and the command that closes them."""

    reason: str
    command: str


def exposed(settings_file: Path | None, journal: Path, *, holds_secrets: bool) -> Iterator[Exposed]:
    """Of the settings file, where it `holds_secrets`, and the journal with what is beside it, those that are open."""
    if settings_file is not None and holds_secrets and (mode := _open_mode(settings_file)):
        file = printable(settings_file)
        yield Exposed(
            said("others on this machine can read and write {file}, which holds secrets of the billing", file=file)
            if mode & _OTHERS_MAY_WRITE
            else said("others on this machine can read {file}, which holds secrets of the billing", file=file),
            _command("chmod", "600", [settings_file]),
        )
    family = [journal.with_name(f"{journal.name}{ending}") for ending in _BESIDE_A_JOURNAL]
    family += [copy for ending in _CONVERTED for copy in kept_copies(journal.with_name(f"{journal.name}{ending}"))]
    modes = {path: mode for path in family if (mode := _open_mode(path))}
    if modes:
        name = printable(journal)
        yield Exposed(
            said(
                "others on this machine can read and write the journal {journal} or what is beside it: names, "
                "amounts and what was sent",
                journal=name,
            )
            if any(mode & _OTHERS_MAY_WRITE for mode in modes.values())
            else said(
                "others on this machine can read the journal {journal} or what is beside it: names, amounts and what "
                "was sent",
                journal=name,
            ),
            _command("chmod", "600", modes),
        )


def _open_mode(path: Path) -> int:
    try:
        return path.stat().st_mode & (_OTHERS_MAY_READ | _OTHERS_MAY_WRITE)
    except OSError:
        return 0


def _command(program: str, what: str, paths: Iterable[Path]) -> str:
    return shlex.join([program, what, *map(str, paths)])
