"""The journal between processes that live and die."""

import asyncio
import contextlib
import signal
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from checkpoints.journal import open_journal
from checkpoints.records import Item
from checkpoints.states import State
from tests.checkpoints.processes import PATIENCE, hear, process, read_for_ever, write_for_ever
from tests.checkpoints.samples import NEW_RUN, all_items, keep, new_item, page


async def _after_the_kill(path: Path, name: str) -> tuple[dict[str, Item], str | None]:
    async with open_journal(path) as journal:
        run = await journal.run(name)
        items = {item.key: item for item in await all_items(journal, run)}
        totals = await journal.totals(run)
        assert totals.frozen == len(items)
        assert totals.amount == sum((item.amount or Decimal(0) for item in items.values()), Decimal(0))
        assert [item.number for item in items.values()] == list(range(1, len(items) + 1))
        sending = totals.count(State.SENDING)
        assert await journal.doubt(run) == sending
        await journal.freeze(run, page(new_item("after the kill"), cursor="x"), keep)
        return items, run.cursor


@pytest.mark.parametrize("words", [3, 47, 200, 401])
def test_what_was_acknowledged_before_a_kill_is_there_after_it(path: Path, words: int) -> None:
    with process(write_for_ever, path) as (child, pipe):
        _, name = _word(hear(pipe))
        told = [_word(hear(pipe)) for _ in range(words)]
        child.kill()
        child.join(PATIENCE)
        assert child.exitcode == -signal.SIGKILL
        # What it said before it died and we have not yet heard was acknowledged too.
        told += _last_words(pipe)
    items, cursor = asyncio.run(_after_the_kill(path, name))
    frozen = max((int(key) for what, key in told if what == "frozen"), default=-1)
    assert cursor is not None
    assert int(cursor) >= frozen
    assert {str(key) for key in range(frozen + 1)} <= set(items)
    assert len(items) == int(cursor) + 1
    for what, key in told:
        if what == "sending":
            assert (items[key].state, items[key].attempts) in {(State.SENDING, 1), (State.ACCEPTED, 1)}
        if what == "accepted":
            assert (items[key].state, items[key].answer) == (State.ACCEPTED, f"id {key}")


def _word(said: object) -> tuple[str, str]:
    assert isinstance(said, tuple)
    what, key = said
    return str(what), str(key)


def _last_words(pipe: Connection) -> list[tuple[str, str]]:
    words: list[tuple[str, str]] = []
    with contextlib.suppress(EOFError, ConnectionResetError):
        while pipe.poll():
            words.append(_word(pipe.recv()))
    return words


def test_a_reader_in_another_process_sees_whole_pages_only(path: Path) -> None:
    async def write() -> list[tuple[int, str]]:
        async with open_journal(path) as journal:
            run = await journal.create_run(NEW_RUN)
            with process(read_for_ever, path) as (_, pipe):
                assert await asyncio.to_thread(hear, pipe) == "ready"
                for start in range(0, 500, 10):
                    items = (new_item(str(start + one), "0.01") for one in range(10))
                    await journal.freeze(run, page(*items), keep)
                pipe.send("enough")
                seen: list[tuple[int, str]] = []
                while isinstance(word := await asyncio.to_thread(hear, pipe), tuple):
                    seen.append(word)
                return seen

    seen = asyncio.run(write())
    assert seen
    for frozen, amount in seen:
        assert frozen % 10 == 0
        assert Decimal(amount) == Decimal(frozen) / 100
    assert [frozen for frozen, _ in seen] == sorted(frozen for frozen, _ in seen)
