"""The list of one run, copied into an empty journal in a file, where it is compared with another one."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from checkpoints.address import JournalAddress
from checkpoints.queries import PAGE, Queries, values_of
from checkpoints.records import Run
from checkpoints.state_tables import let_enter_in_any_state
from checkpoints.stores import filled, look_into

_ELSEWHERE: Final = {"undoes": None, "carried_by": None}
"""Rows of other runs, and later ones, which a list alone does not have."""


@asynccontextmanager
async def list_file(where: JournalAddress, run: Run) -> AsyncIterator[Path]:
    """A SQLite file with the list of a run, for as long as the context lasts: the journal's own, or a copy.

    The copy is in a folder that only this user can read. Raises `JournalUnreadable`.
    """
    if where.postgres is None:
        yield where.path
        return
    with tempfile.TemporaryDirectory(prefix="carbon-migrate-") as folder:
        file = Path(folder) / "list"
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_copy_list, where, file, run)
        yield file


def _copy_list(where: JournalAddress, file: Path, run: Run) -> None:
    """Copy a run with its items and refusals, under their ids. Memory does not grow with the rows."""
    with look_into(where) as old, filled(file) as new:
        if old is not None:
            _copy_rows(old, new, run)


def _copy_rows(old: Queries, new: Queries, run: Run) -> None:
    let_enter_in_any_state(new)
    new.write("copy_runs", rows=[values_of(old.one("run_by_name", name=run.name))])
    with old.snapshot():
        for block, into, key in (
            ("page_of_list", "copy_items", "number"),
            ("page_of_list_refusals", "copy_refusals", "refusal_id"),
        ):
            after = 0
            while page := old.all(block, run_id=run.run_id, after=after, size=PAGE):
                new.write(into, rows=[values_of(row) | _ELSEWHERE for row in page])
                after = page[-1][key]
