import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from checkpoints.errors import JournalNotClosed, JournalUnreadable
from checkpoints.sqlite_store import SQLITE
from checkpoints.writer import Writer
from lab.crash.loops import loops

PATIENCE = loops(30)
"""Seconds after which a thread that was to be let go is given up."""


@pytest.fixture(autouse=True)
def table(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table words (word text not null check (word <> 'bad'))")


def connecting(path: Path, *pragmas: str, timeout: float = 5.0) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}")
        return connection

    return connect


@asynccontextmanager
async def writing(connect: Callable[[], sqlite3.Connection]) -> AsyncIterator[Writer]:
    writer = Writer(connect(), SQLITE, asyncio.get_running_loop())
    try:
        yield writer
    finally:
        await asyncio.to_thread(writer.close)


def words(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [word for (word,) in connection.execute("select word from words order by rowid")]


def saying(word: str) -> Callable[[sqlite3.Connection], str]:
    def work(db: sqlite3.Connection) -> str:
        db.execute("insert into words values (?)", (word,))
        return word

    return work


class Barrier:
    """A piece of work that keeps the thread busy until `open`, so that others gather behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _db: sqlite3.Connection) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


async def gathered(writer: Writer, works: list[Callable[[sqlite3.Connection], str]]) -> list[str | BaseException]:
    """Hand `works` over while the thread is busy, so that they make one group."""
    barrier = Barrier()
    first = asyncio.create_task(writer.do(barrier))
    await asyncio.to_thread(barrier.reached.wait, PATIENCE)
    rest = [asyncio.create_task(writer.do(work)) for work in works]
    await asyncio.sleep(0)
    barrier.open()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


async def test_all_that_waits_goes_in_one_commit(path: Path) -> None:
    spoken: list[str] = []

    def traced() -> sqlite3.Connection:
        connection = connecting(path)()
        connection.set_trace_callback(lambda text: spoken.append(text.lower()))
        return connection

    wanted = [f"word {number}" for number in range(300)]
    async with writing(traced) as writer:
        assert await gathered(writer, [saying(word) for word in wanted]) == wanted
    assert words(path) == wanted
    assert sum(text.startswith("insert") for text in spoken) == 300
    assert spoken.count("commit") == 2  # the barrier and the group


async def test_a_piece_that_fails_takes_itself_back_and_nobody_else(path: Path) -> None:
    def half(db: sqlite3.Connection) -> str:
        db.execute("insert into words values ('half')")
        raise LookupError("changed my mind")

    async with writing(connecting(path)) as writer:
        answers = await gathered(writer, [saying("a"), half, saying("b"), saying("bad"), saying("c")])
    assert [answer for answer in answers if isinstance(answer, str)] == ["a", "b", "c"]
    assert isinstance(answers[1], LookupError)
    assert isinstance(answers[3], JournalUnreadable)
    assert words(path) == ["a", "b", "c"]


async def test_closing_finishes_what_was_handed_over(path: Path) -> None:
    writer = Writer(connecting(path)(), SQLITE, asyncio.get_running_loop())
    barrier = Barrier()
    wanted = [str(number) for number in range(50)]
    first = asyncio.create_task(writer.do(barrier))
    rest = [asyncio.create_task(writer.do(saying(word))) for word in wanted]
    await asyncio.to_thread(barrier.reached.wait, PATIENCE)
    closing_down = asyncio.create_task(asyncio.to_thread(writer.close))
    await asyncio.sleep(0)
    barrier.open()
    await closing_down
    assert words(path) == wanted
    await first
    assert await asyncio.gather(*rest) == wanted
    with pytest.raises(JournalUnreadable, match="closed"):
        await writer.do(saying("too late"))


async def test_a_waiter_that_was_cancelled_takes_nothing_back_and_disturbs_nobody(path: Path) -> None:
    async with writing(connecting(path)) as writer:
        barrier = Barrier()
        tasks = [asyncio.create_task(writer.do(work)) for work in (barrier, saying("a"), saying("bad"), saying("b"))]
        await asyncio.to_thread(barrier.reached.wait, PATIENCE)
        for task in tasks[1:3]:
            task.cancel()
        await asyncio.sleep(0)
        barrier.open()
        assert await tasks[3] == "b"
        assert [task.cancelled() for task in tasks] == [False, True, True, False]
    assert words(path) == ["a", "b"]


async def test_a_full_disk_is_told_and_leaves_nothing_half_written(path: Path) -> None:
    def book(db: sqlite3.Connection) -> str:
        db.execute("insert into words values ('title')")
        for chapter in range(100):
            db.execute("insert into words values (?)", (str(chapter) * 5000,))
        return "book"

    async with writing(connecting(path, "max_page_count = 12")) as writer:
        await writer.do(saying("before"))
        answers = await gathered(writer, [saying("beside"), book, saying("behind")])
        assert isinstance(answers[1], JournalUnreadable)
        assert "full" in str(answers[1])
        told = [answer for answer in answers if isinstance(answer, str)]
        assert words(path) == ["before", *told]
        await writer.do(saying("after"))
    assert words(path) == ["before", *told, "after"]


async def test_a_write_without_end_is_broken_off_by_the_close_and_told(path: Path) -> None:
    endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n"
    writer = Writer(connecting(path)(), SQLITE, asyncio.get_running_loop())
    await writer.do(saying("a"))
    hanging = asyncio.create_task(writer.do(lambda db: db.execute(endless).fetchone()))
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.close, 0.05)
    with pytest.raises(JournalUnreadable, match="interrupted"):
        await hanging
    assert words(path) == ["a"]


async def test_a_thread_without_end_is_told_and_hangs_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoints.writer.LAST_PATIENCE", 0.05)
    writer = Writer(connecting(path)(), SQLITE, asyncio.get_running_loop())
    barrier = Barrier()
    stuck = asyncio.create_task(writer.do(barrier))
    await asyncio.to_thread(barrier.reached.wait, PATIENCE)
    with pytest.raises(JournalNotClosed, match="a write has been under way"):
        await asyncio.to_thread(writer.close, 0.05)
    barrier.open()
    await stuck
