"""The client of a run's control socket, which also detects that no process works on the run."""

import getpass
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from checkpoints.journal import Journal
from checkpoints.records import Holder, Run
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.texts import printable
from engine.control.address import connect, peer_of, socket_path
from engine.control.listener import sender, user_name
from engine.control.messages import LONGEST_ANSWER, ControlAnswer, ControlRequest, NotAMessage, line_of, to_answer

PATIENCE: Final = 10
"""Seconds to wait for an answer; a working run answers at once."""


async def ask(run: Run, journal: Journal, request: ControlRequest) -> ControlAnswer | None:
    """The answer of the process that works on the run; None when no process listens, or the run has ended.

    Raises `CommandRefused` when this user may not control the run, or when it does not answer.
    """
    path = socket_path(journal, run)
    try:
        connection = await anyio.to_thread.run_sync(connect, path, PATIENCE)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise CommandRefused(f"only {_owner_of(path)} may steer run {run.name}, who works on it") from error
    except (OSError, TimeoutError) as error:
        raise _no_answer(run, await journal.holder(run), str(error)) from error
    if peer_of(connection).user not in {os.geteuid(), journal.path.stat().st_uid}:
        connection.close()
        raise CommandRefused(f"{printable(path)} is not a socket of run {run.name}: somebody else has put it there")
    async with await UNIXSocketStream.from_socket(connection) as stream:
        return await _answer_to(request, stream, run, journal)


async def _answer_to(
    request: ControlRequest, stream: UNIXSocketStream, run: Run, journal: Journal
) -> ControlAnswer | None:
    try:
        with anyio.fail_after(PATIENCE):
            await stream.send(line_of(request))
            return to_answer(await BufferedByteReceiveStream(stream).receive_until(b"\n", LONGEST_ANSWER))
    except (anyio.IncompleteRead, anyio.BrokenResourceError):
        return None
    except (TimeoutError, NotAMessage, anyio.DelimiterNotFound) as error:
        raise _no_answer(run, await journal.holder(run), str(error) or f"nothing within {PATIENCE} s") from error


def _no_answer(run: Run, holder: Holder | None, why: str) -> CommandRefused:
    return CommandRefused(
        f"run {run.name} ({holder or 'nobody works on it'}) does not answer: {printable(why)}.\n"
        "Whether it took the command is not known. Is its process stopped, or the machine out of breath?",
        Exit.STOPPED,
    )


def _owner_of(path: Path) -> str:
    with suppress(OSError):
        return user_name(path.stat().st_uid)
    return "its owner"


def claim() -> str:
    """The name of the user as far as this process knows it: behind sudo, the caller."""
    with suppress(OSError, KeyError):
        return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"
    return ""


def own_name() -> str:
    """The name of the user, with or without an account, and of the host."""
    return claim() or f"{user_name(os.geteuid())}@{socket.gethostname()}"


def ourselves() -> str:
    """The name of the user, in the form that a run records."""
    return sender(user_name(os.geteuid()), os.getpid(), claim())


async def unpause_run(run: Run, journal: Journal) -> None:
    """End the pause of a run that is about to be resumed (`resume --unpause`)."""
    await journal.unpause(run)
    await journal.history.note_command(run, ourselves(), "resume --unpause", "it goes on")


async def note_at_rest(run: Run, journal: Journal, command: str, said: str) -> ControlAnswer:
    """Record a command in the journal alone; a process that has resumed the run meanwhile is told too."""
    await journal.history.note_command(run, ourselves(), command, said)
    return await ask(run, journal, ControlRequest(command, who=claim())) or ControlAnswer(said)
