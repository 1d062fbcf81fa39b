"""The queue of the runs that were handed in: jobs of procrastinate, in the schema of the journal.

    run … --detach ──▶ todo ──▶ doing ──▶ gone: the run has ended, or a person has to look at it
                        ▲         │
                        └─────────┴── again later: stopped by the system, outside its hours, its worker has died

A job is "go on with this run". Its lock is the billing, for one run of a billing is worked on at a time; its queueing
lock is the run, which is handed in once. What there is to know of the run stands in the journal.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread

from checkpoints.address import JournalAddress, PostgresAddress
from checkpoints.errors import JournalAway, JournalUnreadable
from checkpoints.postgres_connection import CONNECT_SECONDS, connect, in_a_line, parameters_of
from checkpoints.postgres_store import filled_postgres
from checkpoints.records import Run
from cli.terminal.exits import CommandRefused
from texts.remedies import command_line, setting
from texts.said import said

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.jobs import Job

TASK: Final = "resume"
_CONNECTIONS: Final = 4
_TABLES: Final = "select to_regclass('procrastinate_jobs') is not null as there"
_ONE_MAKES: Final = "select pg_advisory_xact_lock(hashtext(current_schema()), 0)"


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run in the queue. It waits until `not_before`, if that is set, or is `given_out` to a worker."""

    run: str
    target: str
    given_out: bool
    priority: int
    attempts: int
    not_before: datetime | None


class Queue:
    """The queue of a journal, open."""

    def __init__(self, app: "procrastinate.App") -> None:
        self.app = app

    async def hand_in(self, run: Run, priority: int = 0) -> bool:
        """Hand a run in; False where it is in the queue already. A run of higher `priority` goes before others."""
        from procrastinate import exceptions  # noqa: PLC0415 - an extra

        task = self.app.configure_task(
            TASK,
            queue=queue_name(run.target),
            lock=run.target,
            queueing_lock=run.name,
            priority=priority,
            allow_unknown=True,
        )
        try:
            await task.defer_async(run=run.name, target=run.target)
        except exceptions.AlreadyEnqueued:
            return False
        return True

    async def runs(self) -> list[QueuedRun]:
        """The runs that wait or are given out, in the order in which they were handed in."""
        found: list[Job] = []
        for status in ("todo", "doing"):
            found += await self.app.job_manager.list_jobs_async(task=TASK, status=status)
        return [to_queued_run(job) for job in sorted(found, key=lambda job: job.id or 0)]


def to_queued_run(job: "Job") -> QueuedRun:
    """The run of a job."""
    kept: Mapping[str, Any] = job.task_kwargs
    return QueuedRun(kept["run"], kept["target"], job.status == "doing", job.priority, job.attempts, job.scheduled_at)


def queue_name(target: str) -> str:
    """The name of a billing's own queue: short, for PostgreSQL notifies by no long names."""
    return hashlib.sha256(target.encode()).hexdigest()[:16]


def queues_of(targets: Iterable[str]) -> list[str]:
    """The names of the queues of several billings."""
    return [queue_name(target) for target in targets]


def require_shared(journal: JournalAddress) -> PostgresAddress:
    """The address of a journal in PostgreSQL. Raises `CommandRefused` for one in a file, which one machine has."""
    if journal.postgres is None:
        raise CommandRefused(
            said(
                "the journal {journal} is a file of this machine, and workers share one in PostgreSQL: name it with "
                "{example}; {copy} takes this one there",
                journal=str(journal),
                example=setting("journal", "postgresql://HOST/DATABASE"),
                copy=command_line("journal", "copy"),
            )
        )
    return journal.postgres


@asynccontextmanager
async def open_queue(journal: JournalAddress) -> AsyncIterator[Queue]:
    """The queue of a journal, made where there is none, open for as long as the context lasts.

    Raises `CommandRefused` for a journal in a file, `JournalAway` and `JournalUnreadable`.
    """
    address = require_shared(journal)
    await anyio.to_thread.run_sync(_prepare, address)
    import procrastinate  # noqa: PLC0415 - an extra

    connector = procrastinate.PsycopgConnector(
        conninfo=address.url,
        kwargs=parameters_of(address),
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=CONNECT_SECONDS,
    )
    app = procrastinate.App(connector=connector)
    try:
        async with app.open_async():
            yield Queue(app)
    except procrastinate.exceptions.ConnectorException as error:
        raise JournalAway(
            said("the queue of {name} does not answer: {error}", name=address.name, error=_reason(error))
        ) from error


def _reason(error: Exception) -> str:
    """What the driver has said, which procrastinate keeps as the cause."""
    return in_a_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)


def _prepare(address: PostgresAddress) -> None:
    """Make journal and queue where there are none; blocks."""
    with filled_postgres(address):
        pass
    with connect(address) as connection:
        import psycopg  # noqa: PLC0415 - an extra
        from procrastinate.schema import SchemaManager  # noqa: PLC0415 - an extra

        try:
            with connection.transaction():
                connection.execute(_ONE_MAKES)
                there = connection.execute(_TABLES).fetchone()
                if there is None or not there["there"]:
                    # The schema of procrastinate is its own text, and has no parameters.
                    connection.execute(cast("Any", SchemaManager.get_schema()))
        except psycopg.Error as error:
            raise JournalUnreadable(
                said("the queue of {name} cannot be made: {error}", name=address.name, error=in_a_line(error))
            ) from error
