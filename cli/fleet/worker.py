"""A worker: takes runs out of the queue, one of a billing at a time, and has each sent by a process of its own.

    queue ──▶ given out ──▶ process of the run ──▶ its exit code: ended, again later, or a person has to look
                                               └─▶ "ended" is believed where the journal has no open row of the run
                  ▲
    left ─────────┘  jobs whose worker is gone, or was not heard of: also this one's after it was frozen

What a worker believes is never what keeps the money: a process that another worker has started for the same run is
refused, or waits for the lease of the billing.
"""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio
import psycopg
import structlog
from procrastinate import exceptions
from procrastinate.connector import BaseConnector
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker as QueueWorker

from checkpoints.address import JournalAddress
from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Holder, Run
from cli.fleet.children import Children, ProcessEnd
from cli.fleet.queue import (
    NOTE,
    NOTHING_TYPED,
    TASK,
    TYPED,
    Queue,
    WorkerSession,
    at_work,
    open_queue,
    queue_name,
)
from cli.session.control_client import ourselves
from cli.session.journal import open_existing, unfinished
from cli.settings.flags import Flags
from cli.settings.known_billings import profile_among
from cli.settings.settings import Settings, load
from cli.settings.settings_file import badges_in
from cli.terminal.exits import Exit, SettingsRefused
from cli.terminal.texts import printable
from engine.pacing.holds import StopKind
from texts.remedies import command_line
from texts.said import Said, counted, said, text_of

# ---- the billings that a worker can send to -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Billings:
    """The profiles of settings of each billing, by its target, "" for the billing of a file without profiles.

    `left_out` are the profiles that this machine cannot send for, with the reason.
    """

    profiles: Mapping[str, Sequence[str]]
    left_out: Mapping[str, str]


def billings_of(settings: Settings, flags: Flags, environment: Mapping[str, str], folder: Path) -> Billings:
    """The billings of the settings in force. Raises `SettingsRefused` for a file without profiles and billing."""
    names = [badge.profile for badge in badges_in(settings.file)] if settings.file else []
    if settings.profile is not None or not names:
        return Billings({_target(settings): [settings.profile.badge.profile if settings.profile else ""]}, {})
    profiles: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            own = load(replace(flags, profile=name), environment, folder)
            if own.journal.value == settings.journal.value:
                profiles.setdefault(_target(own), []).append(name)
            else:
                left_out[name] = said("its journal is another one: {journal}", journal=str(own.journal.value))
        except SettingsRefused as error:
            left_out[name] = text_of(error)
    return Billings(profiles, left_out)


def _target(settings: Settings) -> str:
    """The target of the settings, once all that a run of it needs is at hand. Raises `SettingsRefused`."""
    for table in ("api", "database", "hooks"):
        settings.hidden.require(table)
    return settings.target


# ---- how jobs of procrastinate end --------------------------------------------------------------------------------


_STORING_TRIES: Final = 3
_AGAIN: Final = 1.0
"""Tries to write what becomes of a job, and seconds between two of them."""

AFTER_FAULT: Final = 60.0
"""Seconds until a run is given out again whose job has failed in the worker itself."""

_STILL: Final = (
    "select 1 as yes from procrastinate_jobs "
    "where id = %(job)s and status = 'doing' and worker_id is not distinct from %(worker)s"
)

log = structlog.get_logger(__name__)


class AgainLater(Exception):
    """Raised by a job that is to be given out again after `seconds`, with another `lock` if one is given.

    Jobs of one lock go one after the other, also where the first waits: so a run that waits for its hours, or is
    paused, has a lock of its own, and gets that of its billing again when it is its turn.
    """

    def __init__(self, seconds: float, why: str, lock: str | None = None) -> None:
        super().__init__(why)
        self.seconds, self.lock = seconds, lock


class GivenOutAgain(BaseRetryStrategy):
    """Every job that does not end is given out again: no run is lost from the queue by an error."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """When the job is given out again."""
        match exception:
            case AgainLater(seconds=seconds, lock=lock):
                return RetryDecision(retry_in={"seconds": round(seconds)}, lock=lock)
            case asyncio.CancelledError():
                # The queue was away: what works on the run goes on, and is found again.
                return RetryDecision()
        log.error("a job has failed in the worker", run=job.task_kwargs.get("run"), why=repr(exception))
        return RetryDecision(retry_in={"seconds": round(AFTER_FAULT)})


class JobKeeper(JobManager):
    """The jobs of an open queue. `say` tells what is taken from another worker."""

    def __init__(self, connector: BaseConnector, session: WorkerSession, say: Callable[[Said], None]) -> None:
        super().__init__(connector)
        self._session = session
        self._say = say
        self.give_up: Callable[[], None] = lambda: None
        """Called where jobs cannot be written: the worker has to begin anew."""

    async def register_worker(self) -> int:
        """Register the worker, and let others see that it is at work, before it has any job."""
        worker = await super().register_worker()
        try:
            await self._session.hold(worker)
        except psycopg.Error as error:
            raise exceptions.ConnectorException from error
        return worker

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - as procrastinate
        """End a job, where it is still given out as this one."""
        await self._write(job, lambda: super(JobKeeper, self).finish_job(job, status, delete_job))

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Give a job out again, where it is still given out as this one."""
        await self._write(job, lambda: super(JobKeeper, self).retry_job(job, retry_at, priority, queue, lock))

    async def give_out_left(self, after: float, every: float) -> None:
        """Give out again, without end, the jobs whose worker is gone, or was not heard of for `after` seconds.

        One whose session has ended is gone. One that is frozen, or whose machine has no power, keeps its session.
        """
        while True:
            try:
                for job, why in await self._left(after):
                    if await self._is_still(job):
                        log.debug("a run is given out again", run=_run_of(job), worker=job.worker_id, why=why)
                        self._say(why)
                        await super().retry_job(job)
            except psycopg.Error as error:
                # Others do not see this worker any more, and have what it had.
                log.debug("the session of the worker is lost", why=str(error))
                self.give_up()
            except exceptions.ConnectorException as error:
                # The worker notices it too, and opens the queue anew.
                log.debug("runs that were left cannot be looked for", why=str(error))
            await asyncio.sleep(every)

    async def _left(self, after: float) -> list[tuple[Job, Said]]:
        """The jobs that their workers have left, each with the sentence that says so."""
        silent = {job.id for job in await self.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=after)}
        # Workers last: one that has begun meanwhile is seen before any of its jobs.
        given_out = [*await self.list_jobs_async(task=TASK, status="doing")]
        workers = await self._session.seen({job.worker_id for job in given_out})
        left: list[tuple[Job, Said]] = []
        for job in given_out:
            if job.worker_id not in workers:
                left.append((job, said("{run}: its worker is gone; another goes on with it", run=_run_of(job))))
            elif job.id in silent:
                why = said(
                    "{run}: its worker was not heard of for {seconds} s; another goes on with it",
                    run=_run_of(job),
                    seconds=round(after),
                )
                left.append((job, why))
        return left

    async def _write(self, job: Job, write: Callable[[], Awaitable[None]]) -> None:
        """Write what becomes of a job that is still this worker's.

        Where that fails again and again, this worker gives up all that it has: it begins anew then, and the job is
        found as that of a worker that is gone.
        """
        for _ in range(_STORING_TRIES):
            try:
                if not await self._is_still(job):
                    return self._say(said("{run}: another worker has it by now", run=_run_of(job)))
                return await write()
            except exceptions.ConnectorException as error:
                log.debug("what becomes of a run could not be written", why=str(error))
                await asyncio.sleep(_AGAIN)
        self.give_up()
        return None

    async def _is_still(self, job: Job) -> bool:
        return bool(await self.connector.execute_query_all_async(_STILL, job=job.id, worker=job.worker_id))


def _run_of(job: Job) -> str:
    return str(job.task_kwargs.get("run"))


# ---- a worker -----------------------------------------------------------------------------------------------------


_SIGNS: Final = 3
"""Signs of life of a worker in that time."""

_LOOKS: Final = 20
"""Looks for workers without one in that time, at least."""

_LOOK: Final = 1.0
"""Seconds between two looks for workers that are gone, at most."""

_POLL: Final = 0.5
"""Seconds between two looks into the queue: what becomes due by time alone is announced by nobody."""

_SOON: Final = 1.0
"""Seconds until a run is tried again whose process was killed, or whose hours begin just then."""

_AWAY: Final = 2.0
"""Seconds until a queue that does not answer is tried again."""

_LONGEST_WAIT: Final = 60.0
"""Seconds until a run that the system has stopped is tried again, at most; the first times it is sooner."""

_LOOK_AGAIN: Final = 5.0
"""Seconds until it is looked whether a run is still paused, or somebody else sends."""

_TRIES: Final = 3
"""Times that a run is tried whose process was refused by its settings, had a fault, or ended and left rows open.

Then a person has to look.
"""

_QUIET: Final = {
    "psycopg.pool": logging.ERROR,
    "procrastinate.utils": logging.CRITICAL,
    "procrastinate.worker": logging.CRITICAL,
}
"""What libraries say of a PostgreSQL that is away, each second and for each connection: the worker says it once."""

_RECANCEL: Final = 0.2
"""Seconds until a task that goes on is cancelled anew."""

_BRIEF: Final = 120
"""Characters of the reason for which a run waits: what its process advises a person, the worker does by itself."""

Say = Callable[[Said], None]


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How many runs at a time, each of another billing, and the time-out of stalled workers in seconds."""

    billings: int
    stalled_after: float


class FleetWorker:
    """A worker for the billings that this machine has settings of. `words` makes the command line of a run."""

    def __init__(
        self,
        journal: JournalAddress,
        billings: Billings,
        limits: WorkerLimits,
        children: Children,
        words: Callable[[str, str, Mapping[str, str]], Sequence[str]],
        say: Say,
    ) -> None:
        self._journal = journal
        self._billings = billings
        self._limits = limits
        self._children = children
        self._words = words
        self._say = say
        self._heard = False
        self._away = False
        self._stopping = anyio.Event()
        self._tries: Counter[str] = Counter()
        """Of each run, how often it came back in a row without a call that it has made."""
        self._profiles: dict[str, str] = {}
        """The profile of settings by which each run is sent."""
        self._awaited: dict[str, str] = {}
        """What each run waits for that was looked at, as it was said."""

    def heed(self, number: signal.Signals) -> None:
        """Take no more runs, and let the processes finish what is in flight; a second signal ends them at once."""
        if self._heard:
            line = said("{signal}: the runs stop at once", signal=number.name)
        elif runs := len(self._children):
            line = counted(
                "{signal}: no more runs are taken; {n} run stops once its calls are answered",
                "{signal}: no more runs are taken; {n} runs stop once their calls are answered",
                runs,
                signal=number.name,
            )
        else:
            line = said("{signal}: no more runs are taken", signal=number.name)
        self._say(line)
        self._heard = True
        self._children.signal(signal.SIGTERM)
        self._stopping.set()

    async def work(self) -> None:
        """Work until `heed` was called and all processes have ended."""
        for name, level in _QUIET.items():
            logging.getLogger(name).setLevel(level)
        while not self._stopping.is_set():
            try:
                queues = [queue_name(target) for target in self._billings.profiles]
                async with open_queue(self._journal) as queue, at_work(self._journal, queues) as session:
                    if self._away:
                        self._away = False
                        self._say(said("PostgreSQL answers again: runs are taken"))
                    await self._work_on(queue, queues, session)
            except JournalError as error:
                log.debug("the queue is away; it is tried again", why=str(error))
                if not self._away:
                    self._away = True
                    self._say(
                        said(
                            "PostgreSQL is away; nothing new is sent; it is asked again every {seconds} s: {why}",
                            seconds=round(_AWAY),
                            why=text_of(error),
                        )
                    )
                with anyio.move_on_after(_AWAY):
                    await self._stopping.wait()
        await self._children.wait()

    @property
    def working_on(self) -> int:
        """How many runs this worker has a process for."""
        return len(self._children)

    async def _work_on(self, queue: Queue, queues: Sequence[str], session: WorkerSession) -> None:
        """Work until the queue is away, or `heed` was called."""
        app, limits = queue.app, self._limits
        app.job_manager = keeper = JobKeeper(app.connector, session, self._say)
        app.task(name=TASK, retry=GivenOutAgain(), pass_context=True)(self._go_on)
        worker = QueueWorker(
            app,
            queues=queues,
            concurrency=limits.billings,
            fetch_job_polling_interval=_POLL,
            # What is worked on goes on without the queue, and is found again.
            shutdown_graceful_timeout=0,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=limits.stalled_after / _SIGNS,
            stalled_worker_timeout=limits.stalled_after,
        )
        keeper.give_up = worker.stop

        async def stop_when_asked() -> None:
            await self._stopping.wait()
            worker.shutdown_graceful_timeout = None
            worker.stop()  # type: ignore[no-untyped-call]  # it has no annotation

        beside = [
            asyncio.create_task(stop_when_asked()),
            asyncio.create_task(
                keeper.give_out_left(limits.stalled_after, every=min(_LOOK, limits.stalled_after / _LOOKS))
            ),
        ]
        try:
            await worker.run()  # type: ignore[no-untyped-call]  # as above
        finally:
            await end_tasks(beside)

    # ---- one run ----

    async def _go_on(
        self, context: JobContext, run: str, target: str, typed: Mapping[str, str] = NOTHING_TYPED
    ) -> None:
        """The job: have a run sent as far as it goes. Raises `AgainLater`."""
        aside = f"{TASK} {run}"
        if run not in self._children:
            async with self._in_journal(run) as (found, journal):
                # A process for it would only hold the place of another.
                if found.ended_at is not None:
                    return
                if found.paused_at is not None:
                    raise AgainLater(_LOOK_AGAIN, "paused", aside)
                if context.job.lock == aside:
                    raise AgainLater(0, "due", found.target)
                if holder := await journal.busy(found):
                    self._say_awaited(run, holder)
                    raise AgainLater(_LOOK_AGAIN, holder.sentence)
            self._profiles[run] = profile = profile_among(self._billings.profiles[target], found)
            self._awaited.pop(run, None)
            self._say(said("{run}: sending to {billing}", run=run, billing=profile or target))
        profile = self._profiles[run]
        own = {name: value for name, value in typed.items() if name in TYPED}
        ended = await self._children.finished(run, self._words(run, profile, own))
        log.debug("a run has come back", run=run, exit=ended.code, why=printable(ended.why))
        tries = self._tries.pop(run, 0)
        if ended.closing.calls:
            tries = 0
        wait = await self._wait_after(run, profile, ended, tries)
        if wait is not None:
            self._tries[run] = tries + 1
            self._say(_goes_on(run, wait, _why(ended, _BRIEF)))
            waits_for_hours = ended.code == Exit.STOPPED and ended.closing.again_in is not None
            raise AgainLater(wait, ended.why, aside if waits_for_hours else None)

    def _say_awaited(self, run: str, holder: Holder) -> None:
        """Say who sends to the billing of a run, once."""
        if self._awaited.get(run) != holder.sentence:
            self._awaited[run] = holder.sentence
            self._say(
                said(
                    "{run}: waits, {holder} sends to its billing; looked at again every {seconds} s",
                    run=run,
                    holder=holder.sentence,
                    seconds=round(_LOOK_AGAIN),
                )
            )

    @asynccontextmanager
    async def _in_journal(self, name: str) -> AsyncIterator[tuple[Run, Journal]]:
        """A run and its journal. Raises `AgainLater` where that is away."""
        try:
            async with open_existing(self._journal) as journal:
                yield await journal.run(name), journal
        except JournalError as error:
            raise AgainLater(_AWAY, str(error)) from error

    async def _wait_after(self, run: str, profile: str, ended: ProcessEnd, tries: int) -> float | None:
        """Seconds until the run is tried again, None where it has ended or a person has to look at it first."""
        if ended.code == Exit.DONE:
            async with self._in_journal(run) as (found, journal):
                if not await unfinished(found, journal):
                    self._say(said("{run}: done", run=run))
                    return None
        if ended.code == Exit.INTERRUPTED and not self._stopping.is_set():
            self._say(
                said(
                    "{run}: somebody has stopped it; hand it in again with {command}",
                    run=run,
                    command=_typed("resume", run, profile, "--detach"),
                )
            )
            return None
        seconds = self._seconds_until_again(ended, tries)
        if seconds is None:
            await self._tell_person(run, profile, ended)
        return seconds

    def _seconds_until_again(self, ended: ProcessEnd, tries: int) -> float | None:
        backoff = min(2.0**tries, _LONGEST_WAIT)
        match ended.code:
            case Exit.STOPPED if ended.closing.stopped_by != StopKind.BUDGET:
                again_in = ended.closing.again_in
                return backoff if again_in is None else again_in + _SOON
            case Exit.INTERRUPTED:
                return 0.0
            case Exit.REFUSED if ended.closing.again_in is not None:
                # Another process has the run, or another machine its billing.
                return ended.closing.again_in
            case Exit.DONE | Exit.REFUSED | Exit.FAULT:
                return backoff if tries < _TRIES else None
            case code if code < 0:
                # Killed from outside: it has nothing to say.
                return _SOON
        return None

    async def _tell_person(self, name: str, profile: str, ended: ProcessEnd) -> None:
        """Note in the run's history that it waits for a person, and why."""
        why = said("exit code {code}: {why}", code=ended.code, why=_why(ended))
        async with self._in_journal(name) as (run, journal):
            await journal.history.note_command(run, ourselves(), NOTE, why)
        self._say(
            said(
                "{run}: waits for a person, {why}. What to do: {status}",
                run=name,
                why=why,
                status=_typed("status", name, profile),
            )
        )


async def end_tasks(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel tasks until they have ended.

    One cancellation can be lost: `asyncio.wait_for` of Python 3.11, by which a pool waits for a connection, drops it
    where the connection comes at that moment, as when PostgreSQL is back.
    """
    for task in tasks:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_RECANCEL)
    await asyncio.gather(*tasks, return_exceptions=True)


def _typed(command: str, run: str, profile: str, *words: str) -> str:
    """A command on a run, with the profile of its billing, which nobody can go without in a fleet's settings file."""
    return command_line(command, run, *words, *(("--profile", profile) if profile else ()))


def _goes_on(run: str, wait: float, why: str) -> Said:
    """When a run goes on, which waits for so many seconds."""
    if not wait:
        return said("{run}: handed back", run=run)
    if wait < _LONGEST_WAIT * 2:
        return said(
            "{run}: goes on in {seconds} s, by this worker or another: {why}", run=run, seconds=round(wait), why=why
        )
    return said(
        "{run}: goes on in {minutes} min, by this worker or another: {why}",
        run=run,
        minutes=round(wait / 60),
        why=why,
    )


def _why(ended: ProcessEnd, limit: int = 300) -> str:
    """Why a run did not come to its end, also where its process could not say it."""
    if ended.code == Exit.DONE:
        return said("its process ended with exit code 0, and rows of the run are still open")
    if said_so := printable(ended.why, limit):
        return said_so
    if ended.code < 0:
        return said("its process was ended by {signal}", signal=signal.Signals(-ended.code).name)
    return said("its rows say why")
