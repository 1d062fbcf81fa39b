"""Journals of many billings, with runs in every stage; no billing is needed to look at them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, PostgresAddress, journal_in_postgres
from checkpoints.records import NewRun, NewRunner, Page, Refusal, Run
from checkpoints.states import State
from cli.session.queue import at_work, open_queue, put, queue_name
from tests.checkpoints.samples import come_to, keep, new_item
from tests.checkpoints.shells import shell
from tests.cli.conftest import Cli, clean_environment
from tests.postgres_server import PostgresServer
from texts.said import said

ROWS = 10
SENDS = NewRunner("resume", "root@mover3", call_seconds=2.0)


@dataclass(frozen=True, slots=True)
class Campaign:
    """The runs of a journal by what they are there for."""

    runs: dict[str, Run]

    def name(self, what: str) -> str:
        return self.runs[what].name


async def new_run(
    journal: Journal, host: str, *, job: str = "balances", refused: int = 0, hours: str = "", whole: bool = True
) -> Run:
    """A run of ten rows of 1.10, of a billing of its own; not approved."""
    policy = {"hours": hours} if hours else {}
    run = await journal.create_run(NewRun(job, {}, f"http://{host}:8082", "input.csv", "d1", ("id", "sum"), policy))
    items = tuple(new_item(str(number), line=number + 1) for number in range(1, ROWS + 1))
    # It needs no call, and is none of the rows whose progress is shown.
    skipped = new_item("skipped", skip_reason="entered by an earlier run")
    refusals = tuple(Refusal(90 + number, None, "bad", said("no number")) for number in range(refused))
    await journal.freeze(run, Page((*items, skipped), refusals, None), keep)
    if whole:
        await journal.end_intake(run)
    return run


async def sent(journal: Journal, run: Run, states: Sequence[State]) -> Run:
    """Rows of an approved run are sent, and come to these states."""
    async with journal.taken_up(run, SENDS) as ours:
        await sent_by(journal, ours, states)
    return await journal.run(run.name)


async def sent_by(journal: Journal, ours: Run, states: Sequence[State]) -> None:
    await journal.approve(ours)
    pending = await journal.items(ours, {State.PENDING}, size=len(states))
    await come_to(journal, ours, {item.number: state for item, state in zip(pending, states, strict=False)})


@asynccontextmanager
async def every_stage(journal: Journal) -> AsyncIterator[Campaign]:
    """Runs of a journal in PostgreSQL in every stage; one is worked on for as long as the context lasts."""
    accepted, some = [State.ACCEPTED] * ROWS, [State.ACCEPTED] * 4
    comes_to = {
        "done": accepted,
        "rejected": [*accepted[:-1], State.REJECTED],
        "decide": [*accepted[:-3], *[State.MANUAL] * 3],
        "idle": some,
        "left": some,
        "queued": [],
        "again": some,
        "hours": some,
        "given": [],
        "paused": some,
    }
    more: Mapping[str, Mapping[str, Any]] = {"rejected": {"refused": 2}, "hours": {"hours": "01:00-05:00"}}
    runs = {
        what: await sent(journal, await new_run(journal, f"{what}.example.org", **more.get(what, {})), states)
        for what, states in comes_to.items()
    }
    for what in ("frozen", "reading", "discarded", "works"):
        runs[what] = await new_run(journal, f"{what}.example.org", whole=what != "reading")
    await journal.discard(runs["discarded"])
    await journal.pause(runs["paused"], "root@mover1")
    await journal.history.note_command(
        runs["left"], "root@mover1, process 17", "worker", said("exit code 2: the key is not accepted")
    )
    async with open_queue(journal.address) as queue:
        for what in ("queued", "again", "hours", "given"):
            await put(queue, runs[what])
    assert journal.address.postgres is not None
    later = datetime.now(UTC) + timedelta(hours=3)
    with shell(journal.address) as server:
        server.execute(
            "update procrastinate_jobs set scheduled_at = ?, attempts = 2 where args->>'run' in (?, ?)",
            [later, runs["again"].name, runs["hours"].name],
        )
        server.execute("update procrastinate_jobs set status = 'doing' where args->>'run' = ?", [runs["given"].name])
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(journal.taken_up(runs["works"], SENDS))
        await sent_by(journal, ours, [*[State.ACCEPTED] * 6])
        # All but one of those in the queue are a worker's.
        served = [queue_name(runs[what].target) for what in ("queued", "hours", "given")]
        await stack.enter_async_context(at_work(journal.address, served))
        yield Campaign(runs)


def many_billings(address: JournalAddress, billings: int, rows: int) -> None:
    """Runs of so many billings, each half sent and then left alone, written by the database itself."""
    assert isinstance(address.postgres, PostgresAddress)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with shell(address) as server:
        server.execute(
            "insert into runs (name, job, parameters, target, source, source_digest, header, created_at, frozen_at, "
            "approved_at) select 'r' || n, 'balances', '{}', 'http://billing-' || n || '.a-provider-with-a-long-name"
            ".example.org:8082', 'input.csv', 'd1', '[]', ?, ?, ? from generate_series(1, ?) n",
            [now, now, now, billings],
        )
        server.execute(
            "insert into items "
            "(run_id, number, key, label, lane, payload, amount, row, state, frozen_at, changed_at) "
            "select run_id, n, n::text, '', n::text, '{}', '10.50', '[]', 'pending', created_at, created_at "
            "from runs cross join generate_series(1, ?) n",
            [rows],
        )
        server.execute("update items set state = 'sending' where number <= ?", [rows // 2])
        server.execute("update items set state = 'accepted' where state = 'sending'")


# ---- A command line and a journal in PostgreSQL, with runs in every stage where they are asked for


@pytest.fixture
def address(postgres_server: PostgresServer) -> str:
    """The address of a journal in PostgreSQL."""
    return postgres_server.new_journal()


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line at 80 columns, in a folder without settings."""
    environment = clean_environment() | {"XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "80"}
    del environment["CARBON_MIGRATE_JOURNAL"]
    folder = tmp_path / "work"
    folder.mkdir()
    return Cli(folder, environment)


@pytest.fixture
async def journal(address: str, tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(journal_in_postgres(address, tmp_path)) as opened:
        yield opened


@pytest.fixture
async def campaign(journal: Journal) -> AsyncIterator[Campaign]:
    async with every_stage(journal) as made:
        yield made
