"""What the journal in PostgreSQL alone rests on: durable commits, and locks between two machines."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, cast

import anyio
import psycopg
import pytest

from checkpoints.comparison import list_file
from checkpoints.errors import ForbiddenTransition, JournalAway, JournalUnreadable, RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, PostgresAddress, journal_in_postgres
from checkpoints.postgres_store import (
    PREPARED,
    _block,
    _bound,
    _execution,
    _preparation,
    connect,
    facts_of_server,
)
from checkpoints.queries import Queries, Value
from checkpoints.records import Change, EarlierEntry, NewItem, Page
from checkpoints.states import State
from checkpoints.stores import is_there, store_of
from lab.crash.loops import loops
from tests.checkpoints.samples import NEW_RUN, frozen_run, keep, new_item, page
from tests.checkpoints.shells import shell
from tests.postgres_server import PostgresServer

PATIENCE = loops(30)


@pytest.fixture
def where(postgres_server: PostgresServer, tmp_path: Path) -> JournalAddress:
    return journal_in_postgres(postgres_server.new_journal(), tmp_path)


@pytest.fixture
def waits(postgres_server: PostgresServer) -> Iterator[Callable[[threading.Event], None]]:
    """Blocks until a connection waits for a lock, or until the event is set."""
    with psycopg.connect(postgres_server.url, autocommit=True) as server:

        def until(event: threading.Event) -> None:
            while not event.wait(0.01) and not server.execute("select 1 from pg_locks where not granted").fetchone():
                pass

        yield until


def _address(where: JournalAddress) -> PostgresAddress:
    assert where.postgres is not None
    return where.postgres


def test_a_commit_is_on_the_disk_whatever_is_set(where: JournalAddress, postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute("alter database postgres set synchronous_commit = off")
        try:
            with connect(_address(where)) as ours:
                assert ours.execute("show synchronous_commit").fetchone() == {"synchronous_commit": "on"}
        finally:
            server.execute("alter database postgres reset synchronous_commit")


def test_the_server_gives_up_a_machine_without_power_when_its_connections_are_given_up(where: JournalAddress) -> None:
    with connect(_address(where)) as ours:
        found = ours.execute("select name, setting::int from pg_settings where starts_with(name, 'tcp_')").fetchall()
        of = {row["name"].removeprefix("tcp_"): row["setting"] for row in found}
        here = ours.info.get_parameters()
    # Of a session over TCP the server says what its socket has.
    assert of["keepalives_idle"] + of["keepalives_interval"] * of["keepalives_count"] < 15
    assert of == {name: int(here[name if name in here else f"tcp_{name}"]) for name in of}


async def test_a_copy_under_way_is_not_ended_by_who_resumes_a_run_of_a_killed_one(where: JournalAddress) -> None:
    async with open_journal(where) as journal:
        run = await journal.take_up(await frozen_run(journal, new_item("a")))
        with shell(where) as server:
            server.execute("update runners set renewed_at = renewed_at - interval '1 hour'")
        with store_of(where).look_while_idle() as copied:
            assert copied is not None
            with pytest.raises(RunHeld):
                await journal.taken_up(run).__aenter__()
            assert copied.all("runs")


async def test_nobody_takes_a_run_up_between_the_look_at_its_epoch_and_the_write(
    where: JournalAddress, waits: Callable[[threading.Event], None]
) -> None:
    taken = threading.Event()
    was_taken: list[bool] = []

    def judge(item: NewItem, _: Sequence[EarlierEntry]) -> NewItem:
        # The epoch was looked at, and nothing is written yet.
        looked.set()
        waits(taken)
        was_taken.append(taken.is_set())
        return item

    looked = threading.Event()
    async with open_journal(where) as journal, open_journal(where) as other:
        run = await journal.take_up(await journal.create_run(NEW_RUN))

        async def take_up() -> None:
            await anyio.to_thread.run_sync(looked.wait, PATIENCE)
            await other.take_up(run)
            taken.set()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(take_up)
                await journal.freeze(run, page(new_item("1")), judge)
    assert was_taken == [False]


async def test_two_machines_that_read_one_row_at_a_time_see_each_other(
    where: JournalAddress, waits: Callable[[threading.Event], None]
) -> None:
    first, second = threading.Event(), threading.Event()
    seen: list[int] = []

    def judge_first(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem:
        seen.append(len(twins))
        first.set()
        waits(second)
        return item

    def judge_second(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem:
        seen.append(len(twins))
        second.set()
        return item

    rows: Page = page(new_item("1"))
    async with open_journal(where) as journal, open_journal(where) as other:
        run = await journal.take_up(await journal.create_run(NEW_RUN))
        later = await other.take_up(await other.create_run(NEW_RUN))

        async def freeze_later() -> None:
            await anyio.to_thread.run_sync(first.wait, PATIENCE)
            await other.freeze(later, rows, judge_second)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(freeze_later)
                await journal.freeze(run, rows, judge_first)
    assert seen == [0, 1]


async def test_what_doctor_asks_of_the_server(where: JournalAddress, postgres_server: PostgresServer) -> None:
    facts = facts_of_server(_address(where))
    assert facts.may_make
    assert abs(facts.skew) < PATIENCE
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute("create role nobody_makes login")
        try:
            url = _address(where).url.replace("postgres@", "nobody_makes@")
            assert not facts_of_server(PostgresAddress(url, "other", "other")).may_make
        finally:
            server.execute("drop role nobody_makes")


async def test_the_list_of_a_run_stands_in_a_file_while_it_is_compared(where: JournalAddress) -> None:
    async with open_journal(where) as journal:
        run = await journal.take_up(await journal.create_run(NEW_RUN))
        await journal.freeze(run, page(*(new_item(str(n)) for n in range(1200))), keep)
        async with list_file(where, run) as file, open_journal(file) as copy:
            (only,) = await copy.runs()
            assert (only.run_id, only.name) == (run.run_id, run.name)
            assert (await copy.totals(only)) == (await journal.totals(run))
        assert not file.parent.exists()
        assert await journal.size() > 0


async def test_a_journal_of_format_1_becomes_what_a_new_one_is(
    where: JournalAddress, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    new = journal_in_postgres(postgres_server.new_journal(), tmp_path)
    old = _address(where)
    text = Path(__file__).with_name("postgres_format1.sql").read_text(encoding="utf-8")
    with connect(old) as ours:
        ours.execute(text.replace("carbon_migrate", old.schema).encode())
        ours.execute("insert into journal (format) values (1)")

    # Not under the hands of a process that works on a run of it.
    with shell(where) as worker:
        worker.execute("select pg_advisory_lock(hashtext(current_schema()), 7)")
        with pytest.raises(RunHeld, match="worked on by an earlier carbon-migrate"):
            async with open_journal(where):
                pass
    # Also who only looks finds it converted.
    assert is_there(where)
    async with open_journal(where) as journal, open_journal(new) as other:
        kept = await journal.create_run(NEW_RUN)
        await other.create_run(NEW_RUN)
        assert await journal.run(kept.name) == kept

    assert _columns(old) == _columns(_address(new))
    assert _triggers(old) == _triggers(_address(new))


def _columns(address: PostgresAddress) -> list[object]:
    with connect(address) as ours:
        found = ours.execute(
            "select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns "
            "where table_schema = current_schema() order by 1, 2"
        ).fetchall()
    return [str(row).replace(address.schema, "") for row in found]


def _triggers(address: PostgresAddress) -> list[str]:
    with connect(address) as ours:
        found = ours.execute(
            "select pg_get_triggerdef(oid) as trigger from pg_trigger "
            "where not tgisinternal and tgrelid = 'items'::regclass order by tgname"
        ).fetchall()
    return [row["trigger"].replace(address.schema, "") for row in found]


async def test_a_journal_whose_connection_is_lost_is_away_and_not_damaged(where: JournalAddress) -> None:
    """So a command ends with 3, and whoever has begun it tries again."""
    async with open_journal(where) as journal:
        run = await journal.create_run(NEW_RUN)
        with psycopg.connect(_address(where).url, autocommit=True) as server:
            server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'carbon-migrate' and pid <> pg_backend_pid()"
            )
        with pytest.raises(JournalAway, match="there is no connection to PostgreSQL"):
            await journal.run(run.name)
        with pytest.raises(JournalAway, match="there is no connection to PostgreSQL"):
            await journal.create_run(NEW_RUN)


GROUP = 50
LISTED = 4000
PENDING = range(2 * LISTED - GROUP + 1, 2 * LISTED + 1)
PAIRS = [[str(number), str(number)] for number in range(1, GROUP + 1)]
WORDS = [[word] for word, _ in PAIRS]
OF_A_GROUP: Final[Mapping[str, Mapping[str, Value]]] = {
    "earlier": {"keys": PAIRS},
    "standing_in_lanes": {"lanes": PAIRS},
    "setters": {"keys": WORDS, "lanes": WORDS, "after": 0, "states": ["pending", "accepted"]},
    "made_by_others": {"found": [[LISTED + number, str(number)] for number in range(1, GROUP + 1)]},
    "restored_by": {"ids": list(range(LISTED + 1, LISTED + GROUP + 1))},
    "items_by_key": {"keys": [word for word, _ in PAIRS]},
    "amounts_of_rows": {"numbers": list(range(1, GROUP + 1))},
    "doubt_shared_ids": {"ids": list(range(LISTED + 1, LISTED + GROUP + 1))},
    "claim": {"ids": list(PENDING)},
    "keep": {"kept": [[key, "{}"] for key in PENDING]},
    "record": {"changes": [[key, "rejected", None, "no", "no", 0] for key in PENDING]},
}
"""What is asked of a group of items, of a run whose rows another run has entered before."""


def read_of_items(node: Mapping[str, Any]) -> int:
    """The rows of items that a plan has read, also those that it has left out."""
    passed = sum(node.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter"))
    own = (
        passed * node["Actual Loops"] if "items" in (node.get("Relation Name"), node.get("Index Name", "")[:5]) else 0
    )
    return int(own) + sum(map(read_of_items, node.get("Plans", ())))


@pytest.mark.parametrize("statistics", ["none", "of lists that were not sent"])
async def test_a_group_is_read_by_itself_whatever_the_server_knows(where: JournalAddress, statistics: str) -> None:
    async with open_journal(where) as journal:
        runs = [await journal.create_run(NEW_RUN) for _ in range(2)]
    with shell(where) as tables:
        tables.execute(
            "insert into items (run_id, number, key, label, lane, payload, row, state, frozen_at, changed_at) "
            "select run_id, n, n::text, '', n::text, '{}', '[]', 'pending', created_at, created_at "
            "from runs cross join generate_series(1, ?) as list (n) order by run_id, list.n",
            [LISTED],
        )
        if statistics != "none":
            tables.execute("analyze items")
        tables.execute("update items set state = 'sending' where number <= 2000")
        tables.execute("update items set state = 'accepted', answer = number where state = 'sending'")
    given: dict[str, Value] = {
        "run_id": runs[1].run_id,
        "own": runs[1].name,
        "job": "balances",
        "now": "",
        "duplicate": "",
    }
    given |= {"target": NEW_RUN.target, "template": "{answer}", "kind": ""}
    dear = {}
    with contextlib.closing(connect(_address(where))) as connection:
        # What is prepared is planned once for all groups.
        connection.execute("set plan_cache_mode = force_generic_plan")
        of_items = {name: name.removeprefix("exactly(").removesuffix(")") for name in PREPARED}
        prepared = [name for name in PREPARED if of_items[name] in OF_A_GROUP]
        for name in prepared:
            connection.execute(cast("Any", _preparation(name)))
        texts = {name: _block(name) for name in OF_A_GROUP} | {name: _execution(name) for name in prepared}
        for name, text in texts.items():
            values = {**given, **OF_A_GROUP[of_items.get(name, name)], "wanted": GROUP}
            with connection.transaction(force_rollback=True):
                sql = f"explain (analyze, format json) {text}"
                (found,) = connection.execute(cast("Any", sql), _bound(values)).fetchall()
            (explained,) = found["QUERY PLAN"]
            assert "JIT" not in explained, name
            if (read := read_of_items(explained["Plan"])) > 20 * GROUP:
                dear[name] = read
    assert not dear, dear


async def test_a_page_of_a_saved_list_is_read_without_the_others(where: JournalAddress) -> None:
    items = [new_item(str(number)) for number in range(LISTED)]
    async with open_journal(where) as journal:
        run = await journal.create_run(NEW_RUN)
        await journal.freeze(run, page(*items), keep)
        await journal.end_intake(run)
    given: dict[str, Value] = {"run_id": run.run_id, "after": 0, "states": ["pending"], "size": GROUP}
    with contextlib.closing(connect(_address(where))) as connection:
        sql = f"explain (analyze, format json) {_block('as_items(items)')}"
        (found,) = connection.execute(cast("Any", sql), _bound(given)).fetchall()
    assert read_of_items(found["QUERY PLAN"][0]["Plan"]) == GROUP


@pytest.mark.parametrize(
    "opens", [lambda one: store_of(one).filled(), lambda one: store_of(one).look()], ids=["filled", "looked into"]
)
def test_without_the_driver_it_is_said_what_to_install(
    opens: Callable[[JournalAddress], AbstractContextManager[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    address = journal_in_postgres("postgresql://nobody@127.0.0.1:9/none", tmp_path)
    with pytest.raises(JournalUnreadable, match=r"pip install 'carbon-migrate\[postgres\]'"), opens(address):
        pass


async def test_what_fails_leaves_the_other_writes_of_its_commit(where: JournalAddress) -> None:
    gate = threading.Event()

    def fault(_: Queries) -> None:
        raise ValueError("before any statement")

    async with store_of(where).opened() as store:
        journal = Journal(store)
        run = await frozen_run(journal, *(new_item(key) for key in "abc"))
        await journal.approve(run)
        first, second, third = [item.item_id for item in await journal.items(run, {State.PENDING})]
        writes = [
            asyncio.ensure_future(one)
            for one in (
                store.write(lambda _: gate.wait(PATIENCE)),
                store.write(fault),
                journal.claim(run, [first]),
                journal.claim(run, [first]),
                journal.record(run, [Change(second, State.ACCEPTED)]),
                journal.claim(run, [third]),
            )
        ]
        # All of them wait for the first one, and are the next commit.
        await asyncio.sleep(0)
        gate.set()
        ended = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(one) for one in ended[1:]] == [
            ValueError, type(None), ForbiddenTransition, ForbiddenTransition, type(None),
        ]  # fmt: skip
        sending = await journal.items(run, {State.SENDING})
        assert [(item.item_id, item.attempts) for item in sending] == [(first, 1), (third, 1)]
