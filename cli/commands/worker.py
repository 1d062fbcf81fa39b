"""`worker`: takes the runs of `run --detach` out of the queue, one of a billing at a time, and has each sent.

    queue ──▶ given out ──▶ process of the run ──▶ its exit code: ended, again later, or a person has to look
                                               └─▶ "ended" is believed where the journal has no open row of the run
                  ▲
    left ─────────┘  jobs whose worker is gone, or was not heard of: also this one's after it was frozen

What a worker believes is never what keeps the money: a process that another worker has started for the same run is
refused, or waits for the lease of the billing.

A run has a process of its own, `resume`, so a fault in one ends no other, and each has a core where there is one. A
process ends in order when its worker dies: the kernel tells it.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final, TypeAlias

import anyio
import msgspec
import structlog
from anyio.abc import ByteReceiveStream, Process

from checkpoints.errors import JournalAway, JournalError
from checkpoints.records import Run
from cli.commands.execution import with_settings
from cli.session.events import service_manager
from cli.session.journal import open_existing, ourselves
from cli.session.queue import NOTE, TASK, TYPED, WorkerSession, at_work, open_queue, queue_name, require_shared
from cli.settings.flags import Flags, JournalFlags
from cli.settings.settings import Settings, load, profile_among, profiles_in, without_profile
from cli.terminal.exits import CommandRefused, Exit, SettingsRefused
from cli.terminal.layout import labelled
from cli.terminal.options import option
from cli.terminal.screen import BriefVoice, Screen
from cli.terminal.signals import heeding
from cli.terminal.streams import waiting
from cli.terminal.texts import JOURNAL_FILE, VARIABLE, duration, printable, reader
from engine.pacing.holds import StopKind
from jobs.runs import unfinished
from texts.said import Said, command_line, counted, said, text_of

try:
    import psycopg
    from procrastinate import exceptions
    from procrastinate.jobs import Job, Status
    from procrastinate.manager import JobManager
except ImportError as missing:
    raise CommandRefused(
        "a worker needs libraries that are not installed: pip install {package}",
        package="'carbon-migrate[postgres]'",
    ) from missing

log = structlog.get_logger(__name__)

# ---- the billings that a worker can send to -----------------------------------------------------------------------


Profiles: TypeAlias = dict[str, list[str]]
"""The profiles of settings of each billing, by its target, "" for the billing of a file without profiles."""


def billings_of(settings: Settings, flags: Flags) -> tuple[Profiles, Mapping[str, str]]:
    """The billings of the settings in force, and the profiles that this machine cannot send for, with the reason.

    Raises `SettingsRefused` for a file without profiles and billing.
    """
    names = [one.badge.profile for one in profiles_in(settings.file)] if settings.file else []
    if settings.profile is not None or not names:
        return {_target(settings): [settings.profile.badge.profile if settings.profile else ""]}, {}
    profiles: Profiles = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            own = load(replace(flags, profile=name), os.environ, Path.cwd())
            if own.journal.value == settings.journal.value:
                profiles.setdefault(_target(own), []).append(name)
            else:
                left_out[name] = said("its journal is another one: {journal}", journal=str(own.journal.value))
        except SettingsRefused as error:
            left_out[name] = text_of(error)
    return profiles, left_out


def _target(settings: Settings) -> str:
    """The target of the settings, once all that a run of it needs is at hand. Raises `SettingsRefused`."""
    for table in ("api", "database", "hooks"):
        settings.hidden.require(table)
    settings.hooks.check_programs()
    return settings.target


# ---- the process of a run -----------------------------------------------------------------------------------------


_LINES: Final = 20
"""Last lines of what a process has said that are kept."""
_LONGEST_LINE: Final = 1000
_LONGEST: Final = 1_000_000
"""Bytes of its closing that are read."""
_BRIEF: Final = 120
"""Characters of the reason for which a run waits: what its process advises a person, the worker does by itself."""


class ProcessEnd(msgspec.Struct, frozen=True):
    """How a process has ended: its exit code, negative for a signal, the last that it said, and its closing.

    That is the object of `resume --json`, empty where the process could not print it.
    """

    code: int = 0
    tail: str = ""
    calls: int = 0
    stopped: str | None = None
    stopped_by: str | None = None
    again_in: float | None = None
    error: str | None = None

    def why(self, limit: int = 300) -> str:
        """Why the run did not come to its end, also where its process could not say it: in its first sentence."""
        if self.code == Exit.DONE:
            return said("its process ended with exit code 0, and rows of the run are still open")
        # Its closing is in English; what it has said last, in the language of this worker.
        tail = self.tail.splitlines()
        stopped = [line.partition(": ")[2] for line in tail if self.stopped and line.startswith("■ ")]
        failed = [line.removeprefix("✗ ") for line in tail[::-1] if self.error and line.startswith("✗ ")]
        of_closing = self.stopped or self.error
        lines = stopped or failed or (of_closing or self.tail).splitlines()
        # Where it printed no closing, what it complains of stands among the last lines; else the last one says why.
        complained = (line for line in lines if of_closing or line.startswith("✗ "))
        if told := printable(next(complained, "".join(lines[-1:])), limit):
            return told
        if self.code < 0:
            return said("its process was ended by {signal}", signal=signal.Signals(-self.code).name)
        return said("its rows say why")


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def _keep_tail(stream: ByteReceiveStream | None, tail: deque[str]) -> None:
    rest = ""
    if stream is not None:
        async for part in stream:
            *lines, rest = (rest + part.decode(errors="replace")).split("\n")
            tail.extend(line for line in lines if line)
            rest = rest[-_LONGEST_LINE:]
    if rest:
        tail.append(rest)


# ---- a worker -----------------------------------------------------------------------------------------------------


_STILL: Final = (
    "select 1 as yes from procrastinate_jobs "
    "where id = %(job)s and status = 'doing' and worker_id is not distinct from %(worker)s"
)

AFTER_FAULT: Final = 60.0
"""Seconds until a run is given out again whose job has failed in the worker itself."""
_SIGNS: Final = 3
"""Signs of life of a worker in the time after which it counts as silent."""
_LOOKS: Final = 20
"""Looks for workers without one in that time, at least."""
_LOOK: Final = 0.5
"""Seconds between two looks into the queue, and for workers that are gone, at most."""
_SOON: Final = 1.0
"""Seconds until a run is tried again whose process was killed, or whose hours begin just then."""
_AWAY: Final = 2.0
"""Seconds until a queue that does not answer is tried again."""
_LAST: Final = 5.0
"""Seconds for which a worker that ends waits for PostgreSQL, once its processes have ended."""
_LONGEST_WAIT: Final = 60.0
"""Seconds until a run that the system has stopped is tried again, at most; the first times it is sooner."""
_LOOK_AGAIN: Final = 5.0
"""Seconds until it is looked whether a run is still paused, or somebody else sends."""
_TRIES: Final = 3
"""Tries of a run whose process was refused, had a fault or left rows open; then a person has to look."""


@dataclass(frozen=True, slots=True)
class Again:
    """A job is to be given out again after `seconds`, with another `lock` if one is given.

    Jobs of one lock go one after the other, also where the first waits: so a run that waits for its hours, or is
    paused, has a lock of its own, and gets that of its billing again when it is its turn.
    """

    seconds: float
    lock: str | None = None


@dataclass(slots=True)
class FleetWorker:
    """A worker for the billings that this machine has settings of, `most` runs at a time, each of another billing.

    Others are taken for gone after `stalled_after` seconds.
    """

    settings: Settings
    flags: Flags
    profiles: Profiles
    most: int
    stalled_after: float
    screen: Screen
    _last: Said | str = ""
    """What it has said last."""
    _signal: signal.Signals | None = None
    """The signal that all processes get, also those that are just being started."""
    _stopping: anyio.Event = field(default_factory=anyio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the work on a run has ended, or no more of it is to be done."""
    _tasks: dict[str, asyncio.Task[Again | None]] = field(default_factory=dict)
    """The work on each run; it outlives the connection to the queue, and a job that comes back finds it."""
    _processes: dict[str, Process] = field(default_factory=dict)
    _tries: Counter[str] = field(default_factory=Counter)
    """Of each run, how often it came back in a row without a call that it has made."""
    _awaited: dict[str, str] = field(default_factory=dict)
    """What each run waits for that was looked at, as it was said."""

    def say(self, line: Said) -> None:
        self._last = line
        self.screen.say(line)
        if (manager := service_manager()) is not None:
            manager.show(self.status)

    def status(self) -> Said:
        working = len(self._processes)
        return said("{n} of {most} runs are sent; {last}", n=working, most=self.most, last=self._last)

    def heed(self, number: signal.Signals) -> None:
        """Take no more runs, and let the processes finish what is in flight; a second signal ends them at once."""
        if self._signal is not None:
            line = said("{signal}: the runs stop at once", signal=number.name)
        elif runs := len(self._processes):
            line = counted(
                "{signal}: no more runs are taken; {n} run[s] [stops|stop] once [its|their] calls are answered",
                runs,
                signal=number.name,
            )
        else:
            line = said("{signal}: no more runs are taken", signal=number.name)
        self.say(line)
        self._signal = signal.SIGTERM
        for process in self._processes.values():
            _send(process, self._signal)
        self._stopping.set()
        self._news.set()

    async def work(self) -> None:
        """Work until `heed` was called and all processes have ended."""
        serving, stopped = asyncio.create_task(self._keep_serving()), asyncio.create_task(self._stopping.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not self._stopping.is_set():
            await serving
        while under_way := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(under_way)
        # What is given back is nobody's at once; what cannot be is, once the session of this worker has ended.
        if not (await asyncio.wait({serving}, timeout=_LAST))[0]:
            self.say(said("PostgreSQL does not answer: what this worker had is left to others as it is"))
            serving.cancel()
            await asyncio.wait({serving}, timeout=_LAST)
        else:
            await serving

    async def _keep_serving(self) -> None:
        # A PostgreSQL that is away is told for each connection, each second: the worker says it once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        queues, away = [queue_name(target) for target in self.profiles], False
        while not self._stopping.is_set():
            try:
                async with (
                    open_queue(self.settings.journal.value) as queue,
                    at_work(self.settings.journal.value, queues) as session,
                ):
                    if away:
                        self.say(said("PostgreSQL answers again: runs are taken"))
                    away = False
                    await self._serve(queue.job_manager, session, queues)
            except (JournalError, psycopg.Error, exceptions.ConnectorException) as error:
                why = text_of(error) if isinstance(error, JournalError) else str(error)
                log.debug("the queue is away; it is tried again", why=why)
                # A session that was lost alone is opened anew at once; others have what it had.
                if not away and isinstance(error, JournalError):
                    away = True
                    self.say(
                        said(
                            "PostgreSQL is away; nothing new is sent; it is asked again every {seconds} s: {why}",
                            seconds=round(_AWAY),
                            why=why,
                        )
                    )
                with anyio.move_on_after(_AWAY if away else _LOOK):
                    await self._stopping.wait()

    async def _serve(self, manager: JobManager, session: WorkerSession, queues: Sequence[str]) -> None:
        """Work until `heed` was called, and what was given out here is given back. Raises where the queue is away."""
        after = self.stalled_after
        await manager.prune_stalled_workers(after)
        worker, sign = await manager.register_worker(), monotonic()
        # Others see that it is at work, before it has any job.
        await session.hold(worker)
        jobs: dict[int | None, Job] = {}
        stopped = set[int | None]()
        while jobs or not self._stopping.is_set():
            if monotonic() >= sign:
                await manager.update_heartbeat(worker)
                sign = monotonic() + after / _SIGNS
            await self._give_out_left(manager, session)
            ended = {run for run in map(_run_of, jobs.values()) if self._tasks[run].done()}
            for over in [job for job in jobs.values() if _run_of(job) in ended]:
                del jobs[over.id]
                await self._give_back(manager, over, self._tasks[_run_of(over)])
            for run in ended:
                del self._tasks[run]
            for key, begun in jobs.items():
                process = self._processes.get(_run_of(begun))
                if process is not None and key not in stopped and not await _is_still(manager, begun):
                    # Somebody has taken the run out of the queue while its process began.
                    stopped.add(key)
                    _send(process, signal.SIGINT)
            while len(jobs) < self.most and not self._stopping.is_set():
                if (job := await manager.fetch_job(queues, worker)) is None:
                    break
                run, jobs[job.id] = _run_of(job), job
                if run not in self._tasks or self._tasks[run].done():
                    self._tasks[run] = asyncio.create_task(self._go_on(job))
                    self._tasks[run].add_done_callback(lambda _: self._news.set())
            with anyio.move_on_after(min(_LOOK, after / _LOOKS)):
                await self._news.wait()
            self._news.clear()
        await manager.unregister_worker(worker)

    async def _give_out_left(self, manager: JobManager, session: WorkerSession) -> None:
        """Give out again the jobs whose worker is gone, or was not heard of for a while.

        One whose session has ended is gone. One that is frozen, or whose machine has no power, keeps its session.
        """
        after = self.stalled_after
        stalled = await manager.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=after)
        silent = {job.id for job in stalled}
        # Workers last: one that has begun meanwhile is seen before any of its jobs.
        given_out = [*await manager.list_jobs_async(task=TASK, status="doing")]
        workers = await session.seen({job.worker_id for job in given_out})
        for job in given_out:
            if job.worker_id not in workers:
                why = said("{run}: its worker is gone; another goes on with it", run=_run_of(job))
            elif job.id in silent:
                why = said(
                    "{run}: its worker was not heard of for {seconds} s; another goes on with it",
                    run=_run_of(job),
                    seconds=round(after),
                )
            else:
                continue
            if await _is_still(manager, job):
                self.say(why)
                await _give_out_again(manager, job, Again(0))

    async def _give_back(self, manager: JobManager, job: Job, task: "asyncio.Task[Again | None]") -> None:
        """Write what becomes of a job that is still this worker's; no run is lost from the queue by an error."""
        try:
            again = task.result()
        except JournalError:
            again = Again(_AWAY)
        except Exception:
            log.exception("a job has failed in the worker", run=_run_of(job))
            again = Again(AFTER_FAULT)
        if not await _is_still(manager, job):
            self.say(said("{run}: not in the hands of this worker any more", run=_run_of(job)))
        elif again is None:
            await manager.finish_job(job, Status.SUCCEEDED, delete_job=True)
        else:
            await _give_out_again(manager, job, again)

    # ---- one run ----

    async def _go_on(self, job: Job) -> Again | None:
        """Have a run sent as far as it goes; None where it has ended, or a person has to look."""
        run, aside = _run_of(job), f"{TASK} {_run_of(job)}"
        async with open_existing(self.settings.journal.value) as journal:
            found = await journal.run(run)
            # A process for it would only hold the place of another.
            if found.ended_at is not None:
                return None
            if found.paused_at is not None:
                return Again(_LOOK_AGAIN, aside)
            if job.lock == aside:
                return Again(0, found.target)
            if holder := await journal.busy(found):
                if self._awaited.get(run) != holder.sentence:
                    self._awaited[run] = holder.sentence
                    self.say(
                        said(
                            "{run}: waits, {holder} sends to its billing; looked at again every {seconds} s",
                            run=run,
                            holder=holder.sentence,
                            seconds=round(_LOOK_AGAIN),
                        )
                    )
                return Again(_LOOK_AGAIN)
        target, typed = str(job.task_kwargs["target"]), job.task_kwargs.get("typed")
        profile = profile_among(self.profiles[target], found)
        self._awaited.pop(run, None)
        self.say(said("{run}: sending to {billing}", run=run, billing=profile or target))
        api_url = None if profile else self.flags.api_url
        given = {"--config": self.settings.file, "--profile": profile, "--api-url": api_url}
        words = [word for flag, value in given.items() if value for word in (flag, str(value))]
        # A flag without a value is typed alone.
        own = typed if isinstance(typed, dict) else {}
        words += [word for name in TYPED if name in own for word in (TYPED[name], str(own[name])) if word]
        ended = await self._finished(run, ["resume", run, *words, "--end-outside-hours", "--json", "--quiet"])
        log.debug("a run has come back", run=run, exit=ended.code, why=ended.why())
        tries = 0 if ended.calls else self._tries.pop(run, 0)
        wait = await self._wait_after(found, profile, ended, tries)
        if wait is None:
            return None
        self._tries[run] = tries + 1
        self.say(
            said(
                "{run}: goes on in {time}, by this worker or another: {why}",
                run=run,
                time=duration(wait),
                why=ended.why(_BRIEF),
            )
            if wait
            else said("{run}: handed back", run=run)
        )
        waits_for_hours = ended.code == Exit.STOPPED and ended.again_in is not None
        return Again(wait, aside if waits_for_hours else None)

    async def _finished(self, run: str, words: Sequence[str]) -> ProcessEnd:
        journal = {JOURNAL_FILE: self.flags.journal} if self.flags.journal else {}
        # A session of its own: Ctrl-C reaches the worker alone, which then ends its processes in order.
        process = await anyio.open_process(
            [sys.executable, "-P", "-m", "cli.child", str(os.getpid()), *words],
            env={**os.environ, VARIABLE: reader().name, "COLUMNS": str(_LONGEST_LINE), **journal},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes[run] = process
        try:
            if self._signal is not None:
                _send(process, self._signal)
            tail, text = deque[str](maxlen=_LINES), bytearray()
            async with process, anyio.create_task_group() as group:
                group.start_soon(_keep_tail, process.stderr, tail)
                if process.stdout is not None:
                    async for part in process.stdout:
                        # Of more than is kept, the rest is read and left out.
                        text += part[: _LONGEST - len(text)]
                code = await process.wait()
        finally:
            del self._processes[run]
        closing = ProcessEnd()
        with suppress(msgspec.DecodeError):
            closing = msgspec.json.decode(text, type=ProcessEnd)
        return msgspec.structs.replace(closing, code=code, tail="\n".join(tail))

    async def _wait_after(self, run: Run, profile: str, ended: ProcessEnd, tries: int) -> float | None:
        """Seconds until the run is tried again, None where it has ended or a person has to look at it first."""
        if ended.code == Exit.DONE:
            async with open_existing(self.settings.journal.value) as journal:
                if not await unfinished(await journal.run(run.name), journal):
                    self.say(said("{run}: done", run=run.name))
                    return None
        if ended.code == Exit.INTERRUPTED and not self._stopping.is_set():
            self.say(
                said(
                    "{run}: somebody has stopped it; hand it in again with {command}",
                    run=run.name,
                    command=_typed("resume", run.name, profile, "--detach"),
                )
            )
            return None
        backoff, seconds = min(2.0**tries, _LONGEST_WAIT), None
        match ended.code:
            case Exit.STOPPED if ended.stopped_by != StopKind.BUDGET:
                seconds = backoff if ended.again_in is None else ended.again_in + _SOON
            case Exit.INTERRUPTED:
                seconds = 0.0
            case Exit.REFUSED if ended.again_in is not None:
                # Another process has the run, or another machine its billing.
                seconds = ended.again_in
            case Exit.DONE | Exit.REFUSED | Exit.FAULT if tries < _TRIES:
                seconds = backoff
            case code if code < 0:
                # Killed from outside: it has nothing to say.
                seconds = _SOON
        if seconds is not None:
            return seconds
        why = said("exit code {code}: {why}", code=ended.code, why=ended.why())
        # What the journal keeps is of no reader's language.
        kept = said("exit code {code}: {why}", code=ended.code, why=msgspec.structs.replace(ended, tail="").why())
        async with open_existing(self.settings.journal.value) as journal:
            await journal.history.note_command(run, ourselves(), NOTE, kept)
        self.say(
            said(
                "{run}: waits for a person, {why}. What to do: {status}",
                run=run.name,
                why=why,
                status=_typed("status", run.name, profile),
            )
        )
        return None


async def send_runs(settings: Settings, flags: Flags, most: int, stalled_after: float, screen: Screen) -> Exit:
    """Work until a signal comes. Raises `SettingsRefused` where no billing can be sent to."""
    profiles, left_out = billings_of(settings, flags)
    for profile, why in left_out.items():
        told = said("no run of {profile} is sent here: {why}", profile=profile, why=why)
        screen.say_always(labelled("!", told, "yellow"))
    if not profiles:
        raise CommandRefused(said("there is no billing that this worker could send to"))
    worker = FleetWorker(settings, flags, profiles, most, stalled_after, screen)
    # What all workers need is tried before anything is promised; a server that is away is waited for, as later.
    with suppress(JournalAway):
        async with open_queue(settings.journal.value):
            pass
    worker.say(
        counted(
            "Takes runs of {n} billing[s], {most} at a time, from {journal}",
            len(profiles),
            most=most,
            journal=printable(settings.journal.value),
        )
    )
    if (manager := service_manager()) is not None:
        manager.work()
    async with heeding(worker.heed):
        with waiting(worker.status):
            await worker.work()
    return Exit.DONE


def _run_of(job: Job) -> str:
    return str(job.task_kwargs["run"])


async def _give_out_again(manager: JobManager, job: Job, again: Again) -> None:
    when = datetime.now(UTC) + timedelta(seconds=round(again.seconds)) if again.seconds else None
    try:
        await manager.retry_job(job, when, lock=again.lock)
    except exceptions.UniqueViolation:
        # The run was handed in again meanwhile, and goes on by that job.
        await manager.finish_job(job, Status.SUCCEEDED, delete_job=True)


async def _is_still(manager: JobManager, job: Job) -> bool:
    return bool(await manager.connector.execute_query_all_async(_STILL, job=job.id, worker=job.worker_id))


def _typed(command: str, run: str, profile: str, *words: str) -> str:
    """A command on a run, with the profile of its billing, which nobody can go without in a fleet's settings file."""
    return command_line(command, run, *words, *(("--profile", profile) if profile else ()))


# ---- the command --------------------------------------------------------------------------------------------------


STALLED: Final = 30.0
"""Seconds without a sign of a worker after which its runs are given out again."""


@with_settings("worker", BriefVoice, sends=True, flags_of=lambda flags, _: without_profile(flags))
async def _worker(
    settings: Settings,
    screen: Screen,
    *,
    billings: int = option(
        "N", "Runs that are sent at a time, each of another billing.", default=20, least=1, most=1000
    ),
    stalled_after: float = option(
        "SECONDS",
        "When a worker that nothing is heard of has its runs taken away; the same for all workers.",
        default=STALLED,
        least=2,
        most=3600,
    ),
    flags: JournalFlags,
) -> Exit:
    """Send the runs that were handed in, until Ctrl-C.

    It works for all billings of its settings file, one run of each at a time, and takes over what another worker has
    left undone. Start one on each machine.
    """
    require_shared(settings.journal.value)
    return await send_runs(settings, flags, billings, stalled_after, screen)
