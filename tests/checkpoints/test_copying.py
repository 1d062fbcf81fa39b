"""A journal copied into another: from a file or PostgreSQL into either, the whole of it or nothing."""

import multiprocessing
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import psycopg
import pytest

from checkpoints.copying import TABLES, copy_journal
from checkpoints.errors import JournalNotCopied, RunHeld
from checkpoints.journal import open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.queries import MAILBOX, Queries, fill_states, schema
from checkpoints.records import Merged, NewItem, NewRunner
from checkpoints.sqlite_store import connect
from checkpoints.transitions import Purge
from tests.checkpoints.samples import NEW_RUN, frozen_run, keep, new_item, page
from tests.checkpoints.shells import shell
from tests.checkpoints.test_two_runs import made, one_of
from tests.postgres_server import PostgresServer

Place = Callable[[str], JournalAddress]

BOTH_WAYS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")]


@pytest.fixture
def place(tmp_path: Path, postgres_server: PostgresServer) -> Place:
    """A place for a journal of its own in either store."""
    numbers = iter(range(9))

    def found(store: str) -> JournalAddress:
        if store == "sqlite":
            return JournalAddress(tmp_path / f"{next(numbers)}.journal")
        return journal_in_postgres(postgres_server.new_journal(), tmp_path)

    return found


def _contents(where: JournalAddress) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables of a journal but the two that are filled at every open."""
    with shell(where) as server:
        return {
            name: sorted(map(tuple, server.execute(_select(name, columns)).fetchall()), key=repr)
            for name, columns in _tables().items()
        }


def _select(name: str, columns: Sequence[str]) -> str:
    return f"select {', '.join(columns)} from {name}"  # noqa: S608 - our own schema


def _tables() -> dict[str, list[str]]:
    found = re.findall(r"^create table (\w+) \(\n(.*?)\n\) strict", schema(), re.MULTILINE | re.DOTALL)
    return {
        name: [f'"{column}"' for column in re.findall(r'^    "?(\w+)"?\s+(?:text|integer)\b', body, re.MULTILINE)]
        for name, body in found
        if name not in {"states", "transitions", *MAILBOX}
    }


async def _fill(where: JournalAddress) -> None:
    """Runs with items in every state, and a row in every table."""
    async with open_journal(where) as journal:
        run = await made(journal, approve=False)
        carrier, carried = [await one_of(journal, run, key) for key in ("pending", "conflict")]
        await journal.merge(run, [Merged(carrier.item_id, (carried.item_id,), "one call", "{}", carrier.amount)])
        await journal.approve(run)
        odd = NewItem("ключ", 'O\'Brien \\ "q" %s :x', "lane", '{"x":"\\\\u0000 \u2028"}', None, None, ("", "я"))
        rows = [odd, new_item("9", None), *(new_item(str(key), skip_reason="as wanted") for key in range(20))]
        await frozen_run(journal, *rows, new=replace(NEW_RUN, job="tariffs", target="http://billing"))
        gone = await frozen_run(journal, new_item("77", "5.00"))
        await journal.discard(gone)
        await journal.purge(await journal.run(gone.name), Purge({}, lambda _: "{}", keep_totals=True))


@pytest.mark.parametrize(("source", "target"), BOTH_WAYS)
async def test_a_copy_has_all_that_the_journal_has(source: str, target: str, place: Place) -> None:
    old, new = place(source), place(target)
    await _fill(old)
    copied = await copy_journal(old, new)
    assert [(one.run.job, one.totals.read) for one in copied.runs] == [
        ("balances", 11),
        ("undo", 1),
        ("tariffs", 22),
        ("balances", 0),
    ]
    there, here = _contents(old), _contents(new)
    assert here == there
    assert copied.rows == {name: len(found) for name, found in there.items()}
    assert all(there.values()), "a table of which the test has no row"
    async with open_journal(new) as journal:
        # Ids count on, the table of states is in force again, and the lock is free.
        run = await journal.create_run(NEW_RUN)
        async with journal.taken_up(run) as ours:
            await journal.freeze(ours, page(new_item("1")), keep)
        with shell(new) as server, pytest.raises(Exception, match="forbidden transition"):
            server.execute(
                "insert into items (run_id, number, key, label, lane, payload, row, state, frozen_at, changed_at)"
                " values (1, 999, 'k', 'l', 'm', '{}', '[]', 'accepted', '', '')"
            )
        async with journal.taken_up(copied.runs[0].run) as again:
            assert again.epoch == copied.runs[0].run.epoch + 1


@pytest.mark.parametrize("source", ["sqlite", "postgres"])
async def test_a_copy_has_no_owner_and_no_epoch_goes_back(source: str, place: Place) -> None:
    old, new = place(source), place("postgres")
    await _fill(old)
    sends = NewRunner("run", call_seconds=120)
    async with open_journal(old) as journal:
        for _ in range(3):
            async with journal.taken_up((await journal.runs())[0], sends):
                pass
    if source == "postgres":
        with shell(old) as server:
            server.execute("update billings set carried = '{\"at\": 1}'")
    await copy_journal(old, new)
    owners = "select target, machine, host, process, purpose, taken_at, carried from billings order by target"
    with shell(new) as server:
        assert [*server.execute(owners)] == [
            (target, "", "", 0, "", "", "{}") for target in sorted({NEW_RUN.target, "http://billing"})
        ]
        epochs = dict(server.execute("select target, epoch from billings"))
    if source == "postgres":
        with shell(old) as server:
            before = dict(server.execute("select target, epoch from billings"))
            assert before[NEW_RUN.target] == 3
            assert all(epochs[target] >= epoch for target, epoch in before.items())
    async with open_journal(new) as journal:
        run = (await journal.runs())[0]
        async with journal.taken_up(run, sends) as ours, open_journal(new) as other:
            assert not journal.lease_of(ours).knows_all_calls
            with shell(new) as server:
                after = dict(server.execute("select target, epoch from billings"))
            assert after[run.target] == epochs[run.target] + 1
            with pytest.raises(RunHeld):
                async with other.taken_up(run):
                    pass


def test_every_table_is_copied() -> None:
    assert list(TABLES) == list(_tables())


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
async def test_a_target_with_a_run_is_left_alone(store: str, place: Place) -> None:
    old, new = place("sqlite"), place(store)
    await _fill(old)
    async with open_journal(new) as journal:
        run = await journal.create_run(NEW_RUN)
    with pytest.raises(JournalNotCopied, match="with runs already"):
        await copy_journal(old, new)
    async with open_journal(new) as journal:
        assert [one.name for one in await journal.runs()] == [run.name]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
async def test_a_journal_of_which_a_run_is_worked_on_is_not_copied(store: str, place: Place) -> None:
    old, new = place(store), place("sqlite")
    async with open_journal(old) as journal:
        await journal.create_run(NEW_RUN)
        run = await journal.create_run(NEW_RUN)
        async with journal.taken_up(run):
            with pytest.raises(RunHeld, match=f"works on run {run.name}: "):
                await copy_journal(old, new)
            # What the copy has looked at is still locked.
            assert await journal.holder(run)
    assert not new.path.exists()
    assert len((await copy_journal(old, new)).runs) == 2


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
async def test_no_run_is_resumed_while_copied(store: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = place(store), place("sqlite")
    await _fill(old)
    refused: list[str] = []

    def compared(*_: object) -> list[object]:
        anyio.from_thread.run(_take_up, old, refused)
        return []

    monkeypatch.setattr("checkpoints.copying._compared", compared)
    await copy_journal(old, new)
    assert refused == ["another process works on this run"]


async def _take_up(where: JournalAddress, refused: list[str]) -> None:
    async with open_journal(where) as journal:
        try:
            async with journal.taken_up((await journal.runs())[0]):
                pass
        except RunHeld as held:
            refused.append(str(held).partition(":")[0])


async def test_there_is_nothing_to_copy(place: Place) -> None:
    for old in (place("sqlite"), place("postgres")):
        with pytest.raises(JournalNotCopied, match="there is no journal"):
            await copy_journal(old, place("sqlite"))
        assert not old.path.exists()


@pytest.mark.parametrize("target", ["sqlite", "postgres"])
async def test_a_copy_that_differs_is_not_kept(target: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = place("sqlite"), place(target)
    await _fill(old)

    def fill_and_spoil(db: Queries) -> None:
        fill_states(db)
        db.write("claim", run_id=1, ids=[1], now="")

    monkeypatch.setattr("checkpoints.copying.fill_states", fill_and_spoil)
    with pytest.raises(JournalNotCopied, match="would not be the same"):
        await copy_journal(old, new)
    async with open_journal(new) as journal:
        assert await journal.runs() == []


def _copy_in_a_process(old: JournalAddress, new: JournalAddress) -> None:
    anyio.run(copy_journal, old, new)


async def test_a_kill_in_the_middle_leaves_no_journal_in_postgres(place: Place) -> None:
    old, new = place("sqlite"), place("postgres")
    await _fill(old)
    assert new.postgres is not None
    async with open_journal(new):
        pass
    child = multiprocessing.get_context("spawn").Process(target=_copy_in_a_process, args=(old, new))
    with psycopg.connect(new.postgres.url) as server:
        # It waits at a table in the middle, and is killed there.
        server.execute(f"lock table {new.postgres.schema}.decisions in access exclusive mode")
        child.start()
        with psycopg.connect(new.postgres.url, autocommit=True) as other:
            while not other.execute("select 1 from pg_locks where not granted").fetchone():
                assert child.is_alive()
                await anyio.sleep(0.02)
        assert child.pid
        child.kill()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
    async with open_journal(new) as journal:
        assert await journal.runs() == []
    assert len((await copy_journal(old, new)).runs) == 4


async def test_a_kill_in_the_middle_leaves_no_journal_in_a_file(place: Place) -> None:
    old, new = place("sqlite"), place("sqlite")
    await _fill(old)
    with closing(connect(old.path)) as connection:
        # So much that SQLite writes pages before the commit.
        connection.execute("insert into transitions values ('', 'sending') on conflict do nothing")
        connection.execute(
            "with recursive n (i) as (select 100 union all select i + 1 from n where i < 40000)"
            " insert into items (run_id, number, key, label, lane, payload, row, state, frozen_at, changed_at)"
            " select 1, i, 'k' || i, 'l', 'm', '{}', '[]', 'pending', '', '' from n"
        )
    child = multiprocessing.get_context("spawn").Process(target=_copy_in_a_process, args=(old, new))
    child.start()
    log = anyio.Path(f"{new.path}-wal")
    while not await log.exists() or (await log.stat()).st_size < 1_000_000:
        assert child.is_alive()
        await anyio.sleep(0.005)
    child.kill()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    async with open_journal(new) as journal:
        assert await journal.runs() == []


async def test_a_journal_is_only_looked_at_and_fills_one_that_was_opened_and_is_empty(place: Place) -> None:
    old = place("sqlite")
    await _fill(old)
    old.path.chmod(0o400)
    before = old.path.read_bytes()
    for new in (place("sqlite"), place("postgres")):
        async with open_journal(new):
            pass
        assert len((await copy_journal(old, new)).runs) == 4
    assert old.path.read_bytes() == before
