"""A page beside a run changes nothing of how the run comes out."""

import resource
from pathlib import Path

import pytest

from checkpoints.journal import open_journal
from cli.page.application import PageOrder
from cli.page.feed import Feed
from cli.page.server import serving
from cli.terminal.language import ENGLISH
from tests.checkpoints.samples import frozen_run, new_item


async def test_a_fault_in_the_last_look_is_none_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Feed) -> None:
        raise ValueError("a fault of the page")

    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        async with serving(journal, PageOrder(run.name, ENGLISH)):
            monkeypatch.setattr(Feed, "look", fails)


async def test_connections_to_a_page_take_no_files_from_the_calls_of_the_run(tmp_path: Path) -> None:
    """Anybody on this machine can connect, and a call without a free file waits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard - 1, 512), hard))
    try:
        async with (
            open_journal(tmp_path / "a.journal") as journal,
            serving(journal, PageOrder(None, ENGLISH)),
        ):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
