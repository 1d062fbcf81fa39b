"""The other end of a run's mailbox: who we are there, what a working run says of itself, and what it is asked."""

import getpass
import os
import socket
from contextlib import suppress
from typing import Final

from checkpoints.journal import Journal
from checkpoints.mailbox import PATIENCE, LiveRow
from checkpoints.records import Holder, Run
from cli.settings.file_access import user_name
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.texts import printable
from cli.terminal.waiting import waiting
from engine.pipeline.control import ControlAnswer, ControlRequest, Live, NotAMessage, to_answer, to_json, to_live
from texts.said import Said, said

FRESH: Final = 5.0
"""Seconds after which a run is believed to be frozen that says nothing: it says something each second."""

_LONGEST_CLAIM: Final = 100
"""Maximum length of the name that a sender claims, in characters."""


def own_name() -> str:
    """The name of the user as far as this process knows it, behind sudo the caller, and of the host."""
    name = user_name(os.geteuid())
    with suppress(OSError, KeyError):
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{name}@{socket.gethostname()}"


def ourselves(through: str = "") -> str:
    """The name of the user in the form that a run records, with the process, and the name that it claims if another.

    What came `through` the page says so first.
    """
    whole, claimed = f"{user_name(os.geteuid())}@{socket.gethostname()}", own_name()
    says = "" if claimed == whole else f" (says it is {claimed[:_LONGEST_CLAIM]})"
    return f"{through}{', ' if through else ''}{whole}{says}, process {os.getpid()}"


async def hear(run: Run, journal: Journal) -> tuple[Live | None, Said | None]:
    """What the process says of itself that works on the run, or why nothing is heard of it."""
    return heard(await journal.mailbox.live(run))


def heard(row: LiveRow | None) -> tuple[Live | None, Said | None]:
    """What a row says of the process that works on its run, or why nothing is heard of it."""
    if row is None:
        return None, said("its process reads rows, looks something up, or waits for an answer on its terminal")
    if row.age > FRESH:
        return None, said("its process does not answer at this moment")
    try:
        return to_live(row.status), None
    except NotAMessage:
        return None, said("its process is of another version of this program")


async def ask(run: Run, journal: Journal, request: ControlRequest, who: str) -> ControlAnswer | None:
    """The answer of the process that works on the run to a request of `who`.

    None where none listens, or has not taken it within `PATIENCE`: then it has no effect, also later. Raises
    `CommandRefused` where it has taken it and says nothing, and `JournalError`.
    """
    run = await journal.run(run.name)
    holder = await journal.holder(run)
    if holder is None or await journal.mailbox.live(run) is None:
        return None
    host = printable(holder.host)
    with waiting(said("waiting for run {run} on {host} to answer", run=run.name, host=host), most=PATIENCE):
        handed = await journal.mailbox.ask(run, who, to_json(request))
    if not handed.is_taken:
        return None
    if handed.answer is None:
        raise _no_answer(run, holder, said("it has taken the command, and says nothing of it"))
    try:
        return to_answer(handed.answer)
    except NotAMessage as error:
        raise _no_answer(run, holder, printable(str(error))) from error


def _no_answer(run: Run, holder: Holder, why: str) -> CommandRefused:
    refusal = said(
        "run {run} ({holder}) does not answer: {why}.\nWhether it took the command is not known. Is its process "
        "stopped, or the machine out of breath?",
        run=run.name,
        holder=holder.sentence,
        why=why,
    )
    return CommandRefused(refusal, Exit.STOPPED)


async def unpause_run(run: Run, journal: Journal) -> None:
    """End the pause of a run that is about to be resumed (`resume --unpause`)."""
    await journal.unpause(run)
    await journal.history.note_command(run, ourselves(), "resume --unpause", said("it goes on"))
