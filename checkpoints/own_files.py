"""Files opened without a surprise, and bytes that stay: no pipe hangs, no link leads elsewhere, nothing is cut.

What is kept beside a journal (its log, its secrets, SQLite's own files) is found by its name alone, so whoever may
create files there could leave a link, a pipe or a file of their own under it. The folder itself has to be closed to
others, or to have the sticky bit: they could replace the journal otherwise.

A nearly full disk takes a part of what is written, and raises nothing until it is asked for the rest.
"""

import errno
import filecmp
import os
import pwd
import re
import shlex
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalUnreadable
from texts.said import reason_of, said, text_of

_ROOT: Final = 0
_INHERITED: Final = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_BESIDE: Final = ("-wal", "-shm", "-journal", "-plans", "-secrets")
"""Endings of the files beside a journal: those that SQLite opens by itself, the plans, and the secrets."""


def open_regular(path: Path) -> int:
    """A descriptor to read a file with. Raises `OSError`, also for what is no regular file.

    A pipe that this process was started with, as by the shell's `<(…)`, is read like a file.
    """
    inherited = str(path).startswith(_INHERITED)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if inherited else os.O_NONBLOCK))
    mode = os.fstat(descriptor).st_mode
    if inherited or stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        # In the system's words: nobody is to be told to remove a folder.
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, _no_file(path), str(path))


def read_regular(path: Path) -> bytes:
    """The bytes of a file. Raises what `open_regular` raises."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def open_beside(path: Path, flags: int) -> int:
    """Open a file that is kept beside a journal, with mode 0600 where it is created.

    Raises `OSError` for a link, for what is no regular file, and for a file that somebody else has put there or may
    write.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise OSError(errno.EINVAL, _no_file(path), str(path)) from error
        raise
    try:
        _check(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_beside(journal: Path) -> None:
    """Raise `JournalUnreadable` for a journal in a folder that others may write, or beside a file that is not ours.

    `journal` is its path with links resolved. Nothing is opened: SQLite's locks would be lost when it is closed.
    """
    try:
        folder = journal.parent.stat()
        try:
            own = pwd.getpwuid(folder.st_uid).pw_gid
        except KeyError:
            own = folder.st_uid
        # A group that is its owner's own counts as the owner.
        others = stat.S_IWOTH if folder.st_gid == own else stat.S_IWOTH | stat.S_IWGRP
        if folder.st_mode & others and not folder.st_mode & stat.S_ISVTX:
            raise JournalUnreadable(
                "others on this machine may write the folder of the journal {path}, and could replace it. Close "
                "the folder, or keep the journal elsewhere:\n{command}",
                path=journal,
                command=shlex.join(["chmod", "go-w", str(journal.parent)]),
            )
        if journal.exists() and not (journal.is_file() or journal.is_dir()):
            raise JournalUnreadable("the journal {path} is not used: {why}", path=journal, why=_no_file(journal))
        for ending in _BESIDE:
            path = journal.with_name(f"{journal.name}{ending}")
            with suppress(FileNotFoundError):
                _check(path, path.lstat())
    except FileNotFoundError:
        # The folder is made with the journal.
        return
    except OSError as error:
        raise JournalUnreadable(
            "the journal {path} is not used: {why}", path=journal, why=reason_of(error)
        ) from error


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, _no_file(path), str(path))
    why = ""
    # The owner of the folder can put anything there, and root works on the journals of others.
    if found.st_uid not in {os.geteuid(), _ROOT, path.parent.stat().st_uid}:
        try:
            owner = pwd.getpwuid(found.st_uid).pw_name
        except KeyError:
            owner = said("user {number}", number=found.st_uid)
        why = said("{file} belongs to {owner}: look at it, and remove it", file=path, owner=owner)
    elif found.st_mode & stat.S_IWOTH:
        command = f"chmod o-w {path}"
        why = said("everybody may write {file}: look at it, and close it with {command}", file=path, command=command)
    if why:
        raise OSError(errno.EPERM, why, str(path))


def _no_file(path: Path) -> str:
    return said("{file} is not a regular file: remove it, or name another one", file=path)


# ---- kept copies of a journal -------------------------------------------------------------------------------------


_PARTIAL: Final = ".partial"
"""Ends the name of a copy that is not yet whole, or that a killed process has left."""

_ENDING: Final = rf"\.format[0-9]{{1,4}}(-[0-9]{{1,4}})?({re.escape(_PARTIAL)})?"


def copy_name(journal: Path, number: int) -> Path:
    """The path of the copy that is kept before a journal of this format is converted."""
    return journal.with_name(f"{journal.name}.format{number}")


def kept_copies(journal: Path) -> list[Path]:
    """All copies that are beside a journal, with what is left of one that was never whole; blocks."""
    named = re.compile(re.escape(journal.name) + _ENDING)
    with suppress(OSError):
        return sorted(path for path in journal.parent.iterdir() if named.fullmatch(path.name))
    return []


def keep_copy(journal: Path, number: int) -> Path:
    """Keep a copy of a journal of this format, whole and on the disk when this returns; blocks.

    An earlier copy is never overwritten: where it has the same bytes it is the copy, else there is one more. Nobody
    else may write the journal meanwhile. Raises `JournalUnreadable` where no copy can be made.
    """
    wanted = copy_name(journal, number)
    partial = wanted.with_name(wanted.name + _PARTIAL)
    try:
        partial.unlink(missing_ok=True)
        # Its owner alone may read it, as the journal.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(partial)) as target:
            # What is not whole is thrown away: it needs no way back of its own.
            target.execute("pragma journal_mode = off")
            source.backup(target)
        place, count = wanted, 1
        while place.exists():
            if filecmp.cmp(partial, place, shallow=False):
                # Made by a process that was killed before it had converted the journal.
                partial.unlink()
                return place
            count += 1
            place = wanted.with_name(f"{wanted.name}-{count}")
        _flush(partial)
        partial.rename(place)
        _flush(place.parent)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise JournalUnreadable(
            "the journal {path} is of the earlier format {found}, and is not converted: no copy of it can be "
            "kept as {copy}: {why}. It is unchanged; make room there and try again",
            path=journal,
            found=number,
            copy=wanted.name,
            why=reason_of(error) if isinstance(error, OSError) else text_of(error),
        ) from error
    return place


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- bytes that are on the disk before something else is done -----------------------------------------------------


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however little the disk takes at a time. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append_durably(descriptor: int, line: bytes) -> None:
    """Append a line and write it to the disk; one that cannot be written is taken out whole. Raises OSError."""
    end = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def keep_name(folder: Path) -> None:
    """Write the name of a new file to the disk; some file systems cannot. Raises OSError without the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
