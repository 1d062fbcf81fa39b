"""The control of a run, from the command line and from the page: whether or not a process works on it."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.mailbox import PATIENCE, LiveRow
from checkpoints.records import Holder, Run
from cli.session.journal import ourselves
from cli.session.queue import queued_runs
from cli.session.run_view import holds_its_file, mark_of
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import render
from cli.terminal.screen import Screen
from cli.terminal.streams import waiting
from cli.terminal.texts import WHOLE, moment, printable
from engine.pacing.policy import SETTINGS, check_names
from engine.pipeline import control
from engine.pipeline.progress import LivePolicy
from jobs.runs import unfinished
from texts.said import Said, command_line, name_of_sender, said, text_of

log = structlog.get_logger(__name__)

FRESH: Final = 5.0
"""Seconds after which a run is believed to be frozen that says nothing: it says something each second."""


async def hear(run: Run, journal: Journal) -> tuple[control.Live | None, Said | None]:
    """What the process says of itself that works on the run, or why nothing is heard of it."""
    return heard(await journal.mailbox.live(run))


def heard(row: LiveRow | None) -> tuple[control.Live | None, Said | None]:
    if row is None:
        return None, said("its process reads rows, looks something up, or waits for an answer on its terminal")
    if row.age > FRESH:
        return None, said("its process does not answer at this moment")
    try:
        return control.to_live(row.status), None
    except control.NotAMessage:
        return None, said("its process is of another version of this program")


async def ask(run: Run, journal: Journal, request: control.ControlRequest, who: str) -> control.ControlAnswer | None:
    """The answer of the process that works on the run to a request of `who`.

    None where none listens, or has not taken it within `PATIENCE`: then it has no effect, also later, unless it is
    `stop`. Raises `CommandRefused` where it has taken it and says nothing, and `JournalError`.
    """
    run = await journal.run(run.name)
    holder = await journal.holder(run)
    if holder is None or await journal.mailbox.live(run) is None:
        return None
    host = printable(holder.host)
    with waiting(said("waiting for run {run} on {host} to answer", run=run.name, host=host), most=PATIENCE):
        stays = request.command == "stop"
        handed = await journal.mailbox.ask(run, who, control.to_json(request), stays=stays)
    if not handed.is_taken:
        return None
    if handed.answer is None:
        raise _no_answer(run, holder, said("it has taken the command, and says nothing of it"))
    try:
        return control.to_answer(handed.answer)
    except control.NotAMessage as error:
        raise _no_answer(run, holder, printable(str(error))) from error


def _no_answer(run: Run, holder: Holder, why: str) -> CommandRefused:
    return CommandRefused(
        "run {run} ({holder}) does not answer: {why}.\nWhether it took the command is not known. Is its process "
        "stopped, or the machine out of breath?",
        Exit.STOPPED,
        run=run.name,
        holder=holder.sentence,
        why=why,
    )


async def give(
    request: control.ControlRequest, run: Run, journal: Journal, through: str = ""
) -> control.ControlAnswer:
    """Give a command to a run, by this user; one that came `through` the page says so.

    `pause` and `continue` are written into the journal alone where no process listens; `stop` reaches a process of
    this machine by a signal where the journal cannot be written. Raises `CommandRefused` and `JournalError`.
    """
    run, who = await journal.run(run.name), ourselves(through)
    if request.command == "set":
        try:
            check_names(request.arguments, SETTINGS)
        except ValueError as error:
            raise CommandRefused(text_of(error)) from error
    elif request.command != "stop" and not (
        await journal.holder(run) or holds_its_file(run) or await unfinished(run, journal)
    ):
        raise CommandRefused(_ended(run))
    try:
        answer = await ask(run, journal, request, who)
    except JournalError as error:
        holder = await journal.holder(run)
        if request.command != "stop" or holder is None or not _signal(holder, journal):
            raise
        log.warning("stopped by a signal", process=holder.process, why=text_of(error))
        return control.ControlAnswer(
            said(
                "{error}; so {process} was sent SIGTERM, and the run stops once what is in flight is finished",
                error=error,
                process=holder.sentence,
            )
        )
    if answer is not None:
        return answer
    if request.command == "stop":
        holder = await journal.holder(run)
        is_asleep = holder is not None and await journal.mailbox.live(run) is not None
        is_taken_out = (holder is None or is_asleep) and await journal.history.take_out(run)
        again = command_line("resume", run.name, "--detach")
        done = said("out of the queue: no worker sends it until it is handed in again, {command}", command=again)
        if is_taken_out:
            await journal.history.note_command(run, who, request.command, done)
        if holder is not None and is_asleep:
            left = said(
                "run {run} ({holder}) has not taken the command within {seconds} s: that process is stopped, or its "
                "machine has no way to the journal. The command is left for it, and it stops when it wakes",
                run=run.name,
                holder=holder.sentence,
                seconds=round(PATIENCE),
            )
            raise CommandRefused(said("{left}; {done}", left=left, done=done) if is_taken_out else left, Exit.STOPPED)
        if is_taken_out:
            return control.ControlAnswer(done)
    run = await journal.run(run.name)
    # A pause in the journal is lifted by `continue --now` too, though nobody waits.
    if request.command in {"set", "stop"} or (request.arguments and run.paused_at is None):
        nothing = {"set": said("there is nothing to set"), "stop": said("there is nothing to stop")}
        what = nothing.get(request.command, said("there is no wait to end"))
        raise await unreachable(
            run, journal, what, by_flag(run, request.arguments) if request.command == "set" else None
        )
    await (journal.pause(run, who) if request.command == "pause" else journal.unpause(run))
    done = await _at_rest(run, journal)
    await journal.history.note_command(run, who, request.command, done)
    # A process that has begun to listen meanwhile is told too.
    return await ask(run, journal, request, who) or control.ControlAnswer(done)


@asynccontextmanager
async def serve_control(run: Run, journal: Journal, controlled: LivePolicy, screen: Screen) -> AsyncIterator[None]:
    """Serve the run's mailbox while the body runs; a pause in the journal holds before the body begins, and is told.

    Raises `JournalError`.
    """
    async with control.under_control(run, journal, controlled) as found:
        if found.paused_at:
            log.info("paused", by=found.paused_by, since=found.paused_at.isoformat())
            paused = said(
                "Run {run} is paused, by {who}, since {date}: nothing is sent until {command} is typed in another "
                "terminal.",
                run=found.name,
                who=name_of_sender(printable(found.paused_by)),
                date=moment(found.paused_at),
                command=command_line("continue", found.name),
            )
            screen.say_always(render(paused, "bold yellow"))
            screen.say_always(said("Ctrl-C ends the waiting, and the run stays paused."))
        yield


def _signal(holder: Holder, journal: Journal) -> bool:
    """Send SIGTERM to who holds a run, if that is a process of this machine that has the journal open."""
    files = Path(f"/proc/{holder.process}/fd")
    if holder.host != socket.gethostname() or journal.address.is_shared:
        return False
    with suppress(OSError):
        # Another process may have the number of one that is gone, or that is of another container.
        if any(file.exists() and file.samefile(journal.path) for file in files.iterdir()):
            os.kill(holder.process, signal.SIGTERM)
            return True
    return False


async def _at_rest(before: Run, journal: Journal) -> Said:
    """What a pause or its end comes to where no process listens; `before` is the run as it was."""
    run, holder = await journal.run(before.name), await journal.holder(before)
    if run.paused_at:
        waits = said("it sends nothing until\n  {command}", command=command_line("continue", run.name))
        if holder is None:
            return said("paused; nobody works on it. Also when it is taken up, {waits}", waits=waits)
        return said(
            "paused; {holder} does not listen at this moment and finds it in the journal: {waits}",
            holder=holder.sentence,
            waits=waits,
        )
    was = said("it is not paused any more") if before.paused_at else said("it was not paused")
    if holder is not None:
        return said(
            "{was}; {holder} does not listen at this moment and finds it in the journal",
            was=was,
            holder=holder.sentence,
        )
    if run.name in await queued_runs(journal):
        return said("{was}; it is in the queue, and a worker sends it in its turn", was=was)
    command = await resume_command(run, journal)
    return said("{was}; nobody works on it. To go on:\n  {command}", was=was, command=command)


async def unreachable(run: Run, journal: Journal, what: Said, instead: Said | None = None) -> CommandRefused:
    if holder := await journal.holder(run):
        is_deaf = await journal.mailbox.live(run) is None
        why = (
            said(
                "{holder} reads its rows, waits for an answer to a question, or looks something up",
                holder=holder.sentence,
            )
            if is_deaf
            else said(
                "{holder} has not taken the command within {seconds} s. The command is withdrawn, and has no effect "
                "later.\nThat process is stopped, or its machine has no way to the journal",
                holder=holder.sentence,
                seconds=round(PATIENCE),
            )
        )
        return CommandRefused(
            "run {run} does not listen at this moment, and {what}: {why}. Try again when it sends, or end it on "
            "{host} with {command}",
            run=run.name,
            what=what,
            why=why,
            host=printable(holder.host),
            command=f"kill -INT {holder.process}",
        )
    if not await unfinished(run, journal):
        return CommandRefused(_ended(run))
    then = instead or said(
        "{status} shows where it stands, {resume} takes it up",
        status=command_line("status", run.name),
        resume=command_line("resume", run.name),
    )
    return CommandRefused(
        said("nobody works on run {run} at this moment, and {what}: {then}", run=run.name, what=what, then=then)
    )


async def resume_command(run: Run, journal: Journal) -> str:
    """The command that resumes an idle run; for one at its end, the command that continues its job file."""
    mark = mark_of(run)
    if mark is None or await unfinished(run, journal):
        return command_line("resume", run.name)
    return command_line("run", printable(mark.file, WHOLE))


def by_flag(run: Run, wanted: Mapping[str, str] | None = None) -> Said:
    kept = " ".join(f"{name}={text}" for name, text in run.policy.items())
    flags = [
        word
        for name, text in (wanted or {"rate": "20", "in-flight": "8"}).items()
        for word in (f"--{name}", printable(text, WHOLE))
    ]
    return said(
        "it keeps {kept}, which a flag changes: {command}",
        kept=printable(kept) or said("nothing but the defaults"),
        command=command_line("resume", run.name, *flags),
    )


def _ended(run: Run) -> Said:
    status = command_line("status", run.name)
    if run.discarded_at:
        return said(
            "run {run} was given up before anything was sent. {status} shows how it came out",
            run=run.name,
            status=status,
        )
    return said(
        "run {run} is at its end: nothing is left to send. {status} shows how it came out",
        run=run.name,
        status=status,
    )
