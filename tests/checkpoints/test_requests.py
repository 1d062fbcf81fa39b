"""Requests to the process that works on a run: taken once, answered, or withdrawn and of no effect."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from checkpoints.address import JournalAddress, journal_in_postgres
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from checkpoints.requests import NOBODY, Handed, TakenRequest
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
        group.start_soon(journal.requests.serve, run, owner.carry_out)
        yield owner
        group.cancel_scope.cancel()


@pytest.fixture
def where(postgres_server: PostgresServer, tmp_path: Path) -> JournalAddress:
    return journal_in_postgres(postgres_server.new_journal(), tmp_path)


# ---- both stores ----


async def test_what_nobody_takes_has_no_effect_later(journal: Journal) -> None:
    run = await journal.take_up(await journal.create_run(NEW_RUN))
    assert await journal.requests.ask(run, OLGA, "stop", SHORT) == NOBODY
    async with serving(journal, run) as owner:
        # What is asked after it is answered where anything is.
        await journal.requests.ask(run, OLGA, "get", PATIENCE)
    assert "stop" not in [one.text for one in owner.taken]


async def test_no_request_is_left_by_who_does_not_wait(journal: Journal) -> None:
    run = await journal.take_up(await journal.create_run(NEW_RUN))
    with anyio.move_on_after(SHORT):
        await journal.requests.ask(run, OLGA, "stop", PATIENCE)
    async with serving(journal, run) as owner:
        await journal.requests.ask(run, OLGA, "get", PATIENCE)
    assert "stop" not in [one.text for one in owner.taken]


# ---- PostgreSQL ----


async def test_two_askers_at_once_each_get_their_own_answer_and_nothing_is_kept(where: JournalAddress) -> None:
    async with open_journal(where) as journal, open_journal(where) as one, open_journal(where) as other:
        run = await journal.take_up(await journal.create_run(NEW_RUN))
        answers: dict[str, Handed] = {}

        async def ask(asker: Journal, text: str) -> None:
            answers[text] = await asker.requests.ask(await asker.run(run.name), OLGA, text, PATIENCE)

        async with serving(journal, run) as owner, anyio.create_task_group() as group:
            group.start_soon(ask, one, "set rate=5")
            group.start_soon(ask, other, "pause")
        assert answers == {text: Handed(is_taken=True, answer=f"done: {text}") for text in ("set rate=5", "pause")}
        assert sorted(taken.text for taken in owner.taken) == ["pause", "set rate=5"]
        assert {(taken.who, taken.epoch) for taken in owner.taken} == {(OLGA, run.epoch)}
        with shell(where) as server:
            assert list(server.execute("select 1 from requests")) == []


async def test_a_process_that_has_lost_the_run_takes_nothing_and_its_successor_sees_for_whom_it_was_meant(
    where: JournalAddress,
) -> None:
    async with open_journal(where) as journal, open_journal(where) as other:
        before = await journal.take_up(await journal.create_run(NEW_RUN))
        seen = await other.run(before.name)
        now = await other.take_up(before)
        async with serving(journal, before) as earlier, serving(other, now) as owner:
            assert (await journal.requests.ask(seen, OLGA, "stop", PATIENCE)).is_taken
        assert earlier.taken == []
        assert [one.epoch for one in owner.taken] == [before.epoch]


async def test_one_that_is_taken_is_not_withdrawn(where: JournalAddress) -> None:
    async with open_journal(where) as journal:
        run = await journal.take_up(await journal.create_run(NEW_RUN))

        async def carry_out(_: TakenRequest) -> str:
            # Until its asker has lost his patience, and cannot take it back.
            await anyio.sleep(patience + 4 * SHORT)
            return "done"

        patience = 1.0
        async with anyio.create_task_group() as group:
            group.start_soon(journal.requests.serve, run, carry_out)
            assert await journal.requests.ask(run, OLGA, "stop", patience) == Handed(is_taken=True, answer="done")
            group.cancel_scope.cancel()


async def test_what_a_killed_asker_has_left_expires(where: JournalAddress) -> None:
    async with open_journal(where) as journal:
        run = await journal.take_up(await journal.create_run(NEW_RUN))
        with shell(where) as server:
            server.execute(
                "insert into requests (run_id, epoch, who, request, expires_at) "
                "values (?, ?, 'killed', 'stop', clock_timestamp()), "
                "(?, ?, 'killed long ago', 'stop', clock_timestamp() - interval '2 hours')",
                (run.run_id, run.epoch, run.run_id, run.epoch),
            )
            async with serving(journal, run) as owner:
                await journal.requests.ask(run, OLGA, "get", PATIENCE)
            assert [one.text for one in owner.taken] == ["get"]
            assert list(server.execute("select who from requests")) == [("killed",)]


async def test_a_listening_connection_that_is_cut_is_opened_again(where: JournalAddress) -> None:
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where starts_with(query, 'listen carbon_migrate_')"
    async with open_journal(where) as journal, open_journal(where) as other:
        run = await journal.take_up(await journal.create_run(NEW_RUN))
        async with serving(journal, run):
            for text in ("pause", "continue"):
                assert (await other.requests.ask(run, OLGA, text, PATIENCE)).answer == f"done: {text}"
                with shell(where) as server, anyio.fail_after(PATIENCE):
                    while not list(server.execute(cut)):  # noqa: ASYNC110 - the server gives no event
                        await anyio.sleep(SHORT)
