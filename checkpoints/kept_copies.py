"""Kept copies of a journal: what it was before it was converted, for whoever goes back to the program before.

A copy is beside its journal, as `NAME.format5`. It holds what the journal held: names, amounts, and what was sent.
"""

import filecmp
import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from checkpoints.errors import JournalUnreadable
from texts.said import said

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
        _copy(journal, partial)
        return _put_in_place(partial, wanted)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise JournalUnreadable(
            said(
                "the journal {path} is of the earlier format {found}, and is not converted: no copy of it can be "
                "kept as {copy}: {why}. It is unchanged; make room there and try again",
                path=journal,
                found=number,
                copy=wanted.name,
                why=error.strerror if isinstance(error, OSError) and error.strerror else str(error),
            )
        ) from error


def _copy(journal: Path, partial: Path) -> None:
    with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(partial)) as target:
        # What is not whole is thrown away: it needs no way back of its own.
        target.execute("pragma journal_mode = off")
        source.backup(target)


def _put_in_place(partial: Path, wanted: Path) -> Path:
    place, number = wanted, 1
    while place.exists():
        if filecmp.cmp(partial, place, shallow=False):
            # Made by a process that was killed before it had converted the journal.
            partial.unlink()
            return place
        number += 1
        place = wanted.with_name(f"{wanted.name}-{number}")
    _flush(partial)
    partial.rename(place)
    _flush(place.parent)
    return place


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
