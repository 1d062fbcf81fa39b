"""Operations on the journal files of an experiment: copy, restore, alias, move aside."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from lab.crash.trials import sql

_COMPANIONS: Final = ("-wal", "-shm")
"""Files that SQLite keeps beside a database, with the name by which it was opened."""


class Alias(StrEnum):
    """A second way to the same journal past its lock."""

    SYMBOLIC_LINK = "symbolic-link"
    HARD_LINK = "hard-link"
    NO_LOCK_FILES = "no-lock-files"
    """The journal's own name, with its lock files removed."""


class Machine(StrEnum):
    """Where another journal is used while the load sends."""

    THIS = "this-machine"
    """It must be refused."""
    OTHER = "other-machine"
    """Nothing but the billing shows the two to each other."""


class Elsewhere(StrEnum):
    """What happens to the journal when the same input is entered without it."""

    OTHER_FOLDER = "other-folder"
    """The journal stays; another folder's journal is named."""
    LOST = "lost"
    """The journal is moved aside."""
    EMPTY = "empty"
    """The journal is moved aside and replaced by an empty file."""


def back_up(journal: Path, copy: Path) -> None:
    """Copy a journal during writes, as `sqlite3 .backup` does: a consistent snapshot."""
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def forgotten_by(copy: Path, journal: Path) -> frozenset[str]:
    """The keys of rows that the journal has sent more often than the copy of it knows."""
    known, sent = (_attempts(path) for path in (copy, journal))
    return frozenset(key for key, attempts in sent.items() if attempts > known.get(key, 0))


def _attempts(journal: Path) -> dict[str, int]:
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as connection:
        return dict(connection.execute(sql("attempts").text))


def put_back(copy: Path, journal: Path) -> None:
    """Replace a journal that no process has open, and SQLite's files beside it, by a copy."""
    for companion in _COMPANIONS:
        journal.with_name(journal.name + companion).unlink(missing_ok=True)
    copy.replace(journal)


@contextmanager
def aliased(journal: Path, alias: Alias) -> Iterator[Path]:
    """Another way to a journal, while the context lasts."""
    if alias is Alias.NO_LOCK_FILES:
        for lock in journal.parent.glob(f"{journal.name}*.lock"):
            lock.unlink()
        yield journal
        return
    link = journal.with_name(f"alias-{journal.name}")
    if alias is Alias.SYMBOLIC_LINK:
        link.symlink_to(journal)
    else:
        os.link(journal, link)
    try:
        yield link
    finally:
        for path in (link, *(link.with_name(link.name + companion) for companion in _COMPANIONS)):
            path.unlink(missing_ok=True)


@contextmanager
def set_aside(journal: Path, elsewhere: Elsewhere) -> Iterator[Path]:
    """The journal that the same input is entered with instead, while the context lasts.

    No process may work with a journal that is moved aside.
    """
    if elsewhere is Elsewhere.OTHER_FOLDER:
        folder = journal.parent / "elsewhere"
        folder.mkdir(exist_ok=True)
        yield folder / journal.name
        return
    aside = journal.parent / "aside"
    aside.mkdir(exist_ok=True)
    names = (journal.name, *(journal.name + companion for companion in _COMPANIONS))
    for name in names:
        if (journal.parent / name).exists():
            shutil.move(journal.parent / name, aside / name)
    if elsewhere is Elsewhere.EMPTY:
        journal.touch()
    try:
        yield journal
    finally:
        for name in names:
            (journal.parent / name).unlink(missing_ok=True)
            if (aside / name).exists():
                shutil.move(aside / name, journal.parent / name)
