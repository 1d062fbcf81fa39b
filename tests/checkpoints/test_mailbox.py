"""The mailbox of a run, in both stores: each request is taken once or never, and what a run says is its own."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.mailbox import KEPT, NOBODY, Handed, TakenRequest
from checkpoints.records import Run
from lab.crash.loops import loops
from tests.checkpoints.samples import NEW_RUN
from tests.checkpoints.shells import shell
from tests.postgres_server import PostgresServer

PATIENCE = loops(30)
SHORT = 0.05
OLGA = "olga@ops, process 7"


class Owner:
    """Works on a run, and says what it was asked."""

    def __init__(self) -> None:
        self.taken: list[TakenRequest] = []

    async def carry_out(self, request: TakenRequest) -> str:
        self.taken.append(request)
        return f"done: {request.text}"


@asynccontextmanager
async def serving(journal: Journal, run: Run) -> AsyncIterator[Owner]:
    owner = Owner()
    async with anyio.create_task_group() as group:
        group.start_soon(journal.mailbox.serve, run, owner.carry_out)
        yield owner
        group.cancel_scope.cancel()


async def taken_up(journal: Journal) -> Run:
    return await journal.take_up(await journal.create_run(NEW_RUN))


@pytest.mark.parametrize("seconds", [None, 0, SHORT], ids=["its asker waits", "does not wait", "gives up"])
async def test_what_nobody_takes_has_no_effect_later(journal: Journal, seconds: float | None) -> None:
    run = await taken_up(journal)
    with anyio.move_on_after(seconds):
        assert await journal.mailbox.ask(run, OLGA, "stop", PATIENCE if seconds is not None else SHORT) == NOBODY
    async with serving(journal, run) as owner:
        assert (await journal.mailbox.ask(run, OLGA, "get", PATIENCE)).answer == "done: get"
    assert [one.text for one in owner.taken] == ["get"]


async def test_what_is_left_for_a_process_is_taken_when_it_wakes_and_by_no_other_as_its_own(journal: Journal) -> None:
    run = await taken_up(journal)
    assert await journal.mailbox.ask(run, OLGA, "stop", SHORT, stays=True) == NOBODY
    async with serving(journal, run) as owner:
        await journal.mailbox.ask(run, OLGA, "get", PATIENCE)
    assert [one.text for one in owner.taken] == ["stop", "get"]
    assert await journal.mailbox.ask(run, OLGA, "stop", SHORT, stays=True) == NOBODY
    later = await journal.take_up(run)
    async with serving(journal, later) as owner:
        await journal.mailbox.ask(later, OLGA, "get", PATIENCE)
    assert [(one.text, one.epoch) for one in owner.taken] == [("stop", run.epoch), ("get", later.epoch)]


async def test_two_askers_at_once_get_their_own_answers_and_nothing_is_kept(journal_address: JournalAddress) -> None:
    async with (
        open_journal(journal_address) as journal,
        open_journal(journal_address) as one,
        open_journal(journal_address) as other,
    ):
        run = await taken_up(journal)
        answers: dict[str, Handed] = {}

        async def ask(asker: Journal, text: str) -> None:
            answers[text] = await asker.mailbox.ask(await asker.run(run.name), OLGA, text, PATIENCE)

        async with serving(journal, run) as owner, anyio.create_task_group() as group:
            group.start_soon(ask, one, "set rate=5")
            group.start_soon(ask, other, "pause")
        assert answers == {text: Handed(is_taken=True, answer=f"done: {text}") for text in ("set rate=5", "pause")}
        assert sorted(taken.text for taken in owner.taken) == ["pause", "set rate=5"]
        assert {(taken.who, taken.epoch) for taken in owner.taken} == {(OLGA, run.epoch)}
        with shell(journal_address) as server:
            assert list(server.execute("select 1 from requests")) == []


async def test_who_has_lost_the_run_takes_nothing_and_who_follows_sees_it(journal_address: JournalAddress) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        before = await taken_up(journal)
        seen = await other.run(before.name)
        now = await other.take_up(before)
        async with serving(journal, before) as earlier, serving(other, now) as owner:
            assert (await journal.mailbox.ask(seen, OLGA, "stop", PATIENCE)).is_taken
        assert earlier.taken == []
        assert [one.epoch for one in owner.taken] == [before.epoch]


async def test_one_that_is_taken_is_not_withdrawn(journal: Journal) -> None:
    run, patience = await taken_up(journal), 1.0

    async def carry_out(_: TakenRequest) -> str:
        # Until its asker has lost his patience, and cannot take it back.
        await anyio.sleep(patience + 4 * SHORT)
        return "done"

    async with anyio.create_task_group() as group:
        group.start_soon(journal.mailbox.serve, run, carry_out)
        assert await journal.mailbox.ask(run, OLGA, "stop", patience) == Handed(is_taken=True, answer="done")
        group.cancel_scope.cancel()


async def test_what_a_killed_asker_has_left_expires(journal: Journal, journal_address: JournalAddress) -> None:
    run = await taken_up(journal)
    with shell(journal_address) as server:
        for who, expires_at in (("killed", time.time()), ("killed long ago", time.time() - 7200)):
            server.execute(
                "insert into requests (run_id, epoch, who, request, expires_at) values (?, ?, ?, 'stop', ?)",
                (run.run_id, run.epoch, who, expires_at),
            )
        async with serving(journal, run) as owner:
            await journal.mailbox.ask(run, OLGA, "get", PATIENCE)
        assert [one.text for one in owner.taken] == ["get"]
        assert list(server.execute("select who from requests")) == [("killed",)]


async def test_a_listening_connection_is_opened_again(postgres_server: PostgresServer, tmp_path: Path) -> None:
    where = journal_in_postgres(postgres_server.new_journal(), tmp_path)
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where starts_with(query, 'listen carbon_migrate_')"
    async with open_journal(where) as journal, open_journal(where) as other:
        run = await taken_up(journal)
        async with serving(journal, run):
            for text in ("pause", "continue"):
                assert (await other.mailbox.ask(run, OLGA, text, PATIENCE)).answer == f"done: {text}"
                with shell(where) as server, anyio.fail_after(PATIENCE):
                    while not list(server.execute(cut)):  # noqa: ASYNC110 - the server gives no event
                        await anyio.sleep(SHORT)


async def test_what_a_run_says_is_heard_with_its_age_until_it_falls_silent(journal_address: JournalAddress) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as reader:
        run = await taken_up(journal)
        assert await reader.mailbox.live(run) is None
        assert await journal.mailbox.tell(run, "first", 1, "one") is None
        await journal.pause(run, OLGA)
        assert await journal.mailbox.tell(run, "second", 2, "two") == OLGA
        told = await reader.mailbox.live(await reader.run(run.name))
        assert told is not None
        assert (told.status, 0 <= told.age < PATIENCE) == ("second", True)
        first, second = await reader.mailbox.samples(run)
        assert (first[1], second[1]) == ("one", "two")
        assert await reader.mailbox.samples(run, first[0]) == [second]
        # A ring: the sample of a second fifteen minutes later takes its place.
        await journal.mailbox.tell(run, "third", KEPT + 1, "three")
        assert [text for _, text in await reader.mailbox.samples(run)] == ["two", "three"]
        await journal.mailbox.fall_silent(run)
        assert await reader.mailbox.live(run) is None


async def test_who_has_lost_the_run_says_nothing_of_it_any_more(journal_address: JournalAddress) -> None:
    async with open_journal(journal_address) as journal, open_journal(journal_address) as other:
        before = await taken_up(journal)
        await journal.mailbox.tell(before, "mine", 1, "one")
        now = await other.take_up(before)
        assert await other.mailbox.live(now) is None, "what its predecessor has said is not of this process"
        await other.mailbox.tell(now, "theirs", 2, "two")
        await journal.mailbox.tell(before, "mine", 3, "three")
        await journal.mailbox.fall_silent(before)
        told = await other.mailbox.live(now)
        assert told is not None
        assert told.status == "theirs"
        assert [text for _, text in await other.mailbox.samples(now)] == ["one", "two"]
