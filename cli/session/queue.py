"""The queue of the runs that were handed in: jobs of procrastinate, in the schema of the journal.

    run … --detach ──▶ todo ──▶ doing ──▶ gone: the run has ended, or a person has to look at it
                        ▲         │
                        └─────────┴── again later: stopped by the system, outside its hours, its worker has died

A job is "go on with this run". Its lock is the billing, for one run of a billing is worked on at a time; its queueing
lock is the run, which is handed in once. What there is to know of the run stands in the journal, but for what was
typed for whoever sends it.

Each worker has a session with the server that holds locks by which others see it: one of the worker, and one of each
billing that it serves. They end with the process, whatever ends it.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread

from checkpoints.errors import JournalAway, JournalError, JournalUnreadable
from checkpoints.journal import Journal
from checkpoints.journal_file import JournalAddress, PostgresAddress
from checkpoints.postgres_store import CONNECT_SECONDS, PostgresQueries, connect, explained, in_a_line, parameters_of
from checkpoints.queries import blocks
from checkpoints.records import Run
from checkpoints.states import State
from checkpoints.stores import store_of
from cli.session.journal import api_of
from cli.session.run_view import UNSERVED, QueuedRun
from cli.settings.flags import Detaching
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled, stack, steps_list
from cli.terminal.screen import Screen
from texts.said import command_line, counted, said, text_of

if TYPE_CHECKING:
    import procrastinate
    import psycopg

    from cli.session.session import HandIn
    from jobs.spec.spec import JobSpec

    Connection = psycopg.AsyncConnection[dict[str, Any]]

TASK: Final = "resume"

NOTE: Final = "worker"
"""The command under which a worker notes that it has left a run to a person."""

_ANEW: Final = """
update procrastinate_jobs
set scheduled_at = null, lock = %(lock)s, priority = %(priority)s,
    args = args || jsonb_build_object('typed', %(typed)s::jsonb)
where queueing_lock = %(run)s and status = 'todo'
"""
_HOLD: Final = "select pg_advisory_lock_shared(key) from unnest(%(keys)s::bigint[]) as one (key)"
HEARD_SECONDS: Final = 60
"""A worker counts as heard of for so long: it gives a sign every ten seconds, unless it was told otherwise."""

_ONE_MAKES: Final = "select pg_advisory_xact_lock(hashtext(current_schema()), 0)"

TYPED: Final[Mapping[str, str]] = {
    "timeout": "--timeout",
    "trust_journal": "--trust-journal",
    "changed_declaration": "--changed-declaration",
}
"""What is typed where a run is handed in, and holds where it is sent: flags by the names of their parameters."""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """Runs that wait and that are given out, workers that were heard of lately, and the connections of the server.

    The first three are None where no queue was made yet.
    """

    waiting: int | None
    given_out: int | None
    workers: int | None
    connections: int
    most_connections: int


async def put(
    app: "procrastinate.App", run: Run, priority: int = 0, typed: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Hand a run in; False where it is in the queue already. A run of higher `priority` goes before others.

    A run that waits there goes as it is handed in now, and waits no longer for its hours or for another try. `typed`
    has values by the names of `TYPED`.
    """
    from procrastinate import exceptions  # noqa: PLC0415 - an extra

    task = app.configure_task(
        TASK,
        # Workers know billings by their addresses; the lock is the billing, whatever its address.
        queue=queue_name(api_of(run)),
        lock=run.target,
        queueing_lock=run.name,
        priority=priority,
        allow_unknown=True,
    )
    try:
        await task.defer_async(run=run.name, target=api_of(run), typed=dict(typed))
    except exceptions.AlreadyEnqueued:
        await app.connector.execute_query_async(
            _ANEW, run=run.name, lock=run.target, priority=priority, typed=json.dumps(dict(typed))
        )
        return False
    return True


async def queued_runs(journal: Journal) -> dict[str, QueuedRun]:
    """The runs that wait or are given out, by name; none of a journal in a file. Nothing is made or changed.

    Raises `JournalAway` and `JournalUnreadable`.
    """
    if (address := journal.address.postgres) is None:
        return {}
    rows, held = await journal.history.queue(TASK)
    keys = {row["key"] for row in held}
    return {
        row["run"]: QueuedRun(**row, is_served=_key(address.schema, queue_name(row["target"])) in keys)
        for row in rows
    }


class WorkerSession:
    """The session by which others see that a worker is at work, and for which billings."""

    def __init__(self, connection: "Connection", schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def hold(self, *names: object) -> None:
        """Let others see these names. Raises `psycopg.Error`."""
        await self._connection.execute(_HOLD, {"keys": [_key(self._schema, name) for name in names]})

    async def seen(self, names: Collection[object]) -> set[object]:
        """Those of the names that a session shows, of this worker or another. Raises `psycopg.Error`."""
        found = await (await self._connection.execute(cast("Any", blocks("postgres")["names_of_workers"]))).fetchall()
        held = {row["key"] for row in found}
        return {name for name in names if _key(self._schema, name) in held}


@asynccontextmanager
async def at_work(journal: JournalAddress, queues: Collection[str]) -> AsyncIterator[WorkerSession]:
    """The session of a worker that serves these queues. Raises `JournalAway` where it cannot be opened."""
    import psycopg  # noqa: PLC0415 - an extra
    from psycopg.rows import dict_row  # noqa: PLC0415 - as above

    address = require_shared(journal)
    with explained(address.name):
        connection = await psycopg.AsyncConnection.connect(
            address.url, autocommit=True, row_factory=dict_row, **parameters_of(address)
        )
    async with connection:
        session = WorkerSession(connection, address.schema)
        with explained(address.name):
            await session.hold(*queues)
        yield session


def _key(schema: str, name: object) -> int:
    """The advisory lock that a worker holds in its session for its number, or for a queue that it serves."""
    return int.from_bytes(hashlib.sha256(f"{schema} {name}".encode()).digest()[:8], signed=True)


def queue_name(target: str) -> str:
    """The name of a billing's own queue: short, for PostgreSQL notifies by no long names."""
    return hashlib.sha256(target.encode()).hexdigest()[:16]


def require_shared(journal: JournalAddress) -> PostgresAddress:
    """The address of a journal in PostgreSQL. Raises `CommandRefused` for one in a file, which one machine has."""
    if journal.postgres is None:
        raise CommandRefused(
            "the journal {journal} is a file of this machine, and workers share one in PostgreSQL: name it with "
            "--journal postgresql://HOST/DATABASE; {copy} takes this one there",
            journal=str(journal),
            copy=command_line("journal", "copy", str(journal), "postgresql://HOST/DATABASE"),
        )
    return journal.postgres


@asynccontextmanager
async def open_queue(journal: JournalAddress) -> AsyncIterator["procrastinate.App"]:
    """The queue of a journal, made where there is none, open for as long as the context lasts.

    Raises `CommandRefused` for a journal in a file, `JournalAway` and `JournalUnreadable`.
    """
    address = require_shared(journal)

    def prepare() -> None:
        # First, since it says what to install where the extra is missing.
        with store_of(journal).filled():
            pass
        import psycopg  # noqa: PLC0415 - an extra
        from procrastinate.schema import SchemaManager  # noqa: PLC0415 - an extra

        with connect(address) as connection:
            try:
                with connection.transaction():
                    connection.execute(_ONE_MAKES)
                    there = connection.execute(cast("Any", blocks("postgres")["has_queue"])).fetchone()
                    if there is None or not there["answer"]:
                        # The schema of procrastinate is its own text, and has no parameters.
                        connection.execute(cast("Any", SchemaManager.get_schema()))
            except psycopg.Error as error:
                raise JournalUnreadable(
                    said("the queue of {name} cannot be made: {error}", name=address.name, error=in_a_line(error))
                ) from error

    await anyio.to_thread.run_sync(prepare)
    import procrastinate  # noqa: PLC0415 - an extra

    connector = procrastinate.PsycopgConnector(
        conninfo=address.url,
        kwargs=parameters_of(address),
        min_size=1,
        max_size=4,
        timeout=CONNECT_SECONDS,
    )
    try:
        async with procrastinate.App(connector=connector).open_async() as app:
            yield app
    except procrastinate.exceptions.ConnectorException as error:
        # What the driver has said is kept as the cause.
        why = in_a_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise JournalAway(
            said("the queue of {name} does not answer: {error}", name=address.name, error=why)
        ) from error


def facts_of_queue(address: PostgresAddress) -> QueueFacts:
    """The facts of the queue at an address, which is not made; blocks. Raises `JournalAway`, `JournalUnreadable`."""
    with closing(connect(address)) as connection, explained(address.name):
        db = PostgresQueries(connection, address.name)
        used = db.one("connections_used")
        found = db.one("facts_of_queue", task=TASK, seconds=HEARD_SECONDS) if db.ask("has_queue") else {}
        return QueueFacts(found.get("waiting"), found.get("given_out"), found.get("workers"), **used)


# ---- handing a run in, which is made ready where it was typed ----------------------------------------------------


ELSEWHERE: Final = ("corrects", "record", "page", "output", "save")
"""What needs the process that sends to be this one, by the names of the command's parameters."""


async def handing_in(detaching: Detaching, given: Mapping[str, str], settings: Settings, screen: Screen) -> "HandIn":
    """What hands a run in. `given` are the parameters that were typed.

    Raises `CommandRefused`, `JournalAway` and `JournalUnreadable` where no run could be handed in.
    """
    if not detaching.detach:
        raise CommandRefused(said("--priority is the place in the queue of a run that is handed in with --detach"))
    for name in ELSEWHERE:
        if name in given:
            raise CommandRefused(
                "{flag}: a run that is handed in with --detach is sent by another process, perhaps on another "
                "machine; leave one of them out",
                flag=given[name],
            )
    # Nothing is begun that could not be handed in.
    async with open_queue(settings.journal.value):
        pass

    typed = {name: f"{settings.timeout.value:g}" if name == "timeout" else "" for name in TYPED if name in given}

    async def hand_in(run: Run, journal: Journal) -> Closing:
        try:
            totals = await journal.totals(run)
            async with open_queue(settings.journal.value) as queue:
                is_new = await put(queue, run, detaching.priority, typed)
            queued = (await queued_runs(journal)).get(run.name)
        except JournalError as error:
            raise CommandRefused(
                "run {run} is ready, and could not be handed in: {error}\nNothing was sent. Hand it in with\n"
                "{command}",
                Exit.STOPPED,
                run=run.name,
                error=text_of(error),
                command=command_line("resume", run.name, "--detach"),
            ) from error
        handed = said("Run {run} was handed in before.", run=run.name)
        rows = totals.count(State.PENDING)
        if is_new:
            handed = counted("Run {run} is handed in, with {n} row[s] to send.", rows, run=run.name)
        doubts = None
        if left := totals.count_where(open=True) - rows:
            doubts = counted(
                "{n} row[s] in doubt [is|are] looked up first, and sent where the billing does not have [it|them].",
                left,
            )
        screen.result(
            stack(handed, doubts, steps_list([(command_line("status", run.name), said("see how far it is"))]))
        )
        if queued is not None and not queued.is_served:
            screen.say_always(labelled(said("caution:"), UNSERVED, "yellow"))
        return Closing(Exit.DONE, run.name, run.job, totals)

    return hand_in


def refuse_files_of(kind: "JobSpec") -> None:
    """Raise `CommandRefused` for a job that writes a file, which would be on the machine of some worker."""
    for parameter in kind.parameters:
        if parameter.makes_file:
            raise CommandRefused(
                "{job} writes the file {parameter} where it is sent, and that may be any machine: run it without "
                "--detach",
                job=kind.name,
                parameter=parameter.name,
            )
