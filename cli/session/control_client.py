"""The client of a run's control socket, which also detects that no process works on the run.

Where the socket is on another machine, requests go through the journal that both have open.
"""

import getpass
import math
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import msgspec

from checkpoints.journal import Journal
from checkpoints.records import Holder, Run
from checkpoints.store import PATIENCE as TAKEN_WITHIN
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.texts import printable
from cli.terminal.waiting import waiting
from engine.control.address import connect, peer_of, sender, socket_path, user_name
from engine.control.messages import (
    GET,
    JSON,
    LONGEST_ANSWER,
    ControlAnswer,
    ControlRequest,
    NotAMessage,
    commands_path,
    errors_of,
    facts_path,
    sentences_of,
    to_answer,
    to_facts,
    to_json,
    to_settings_answer,
)
from engine.pipeline.progress import Status
from texts.said import Quantity, Said, said, text_of

Answer = TypeVar("Answer")

PATIENCE: Final = 10
"""Seconds to wait for an answer; a working run answers at once."""


async def ask(run: Run, journal: Journal, request: ControlRequest) -> ControlAnswer | None:
    """The answer of the process that works on the run; None when no process listens, or the run has ended.

    Raises `CommandRefused` when this user may not control the run, or when it does not answer.
    """
    return await _asked(run, journal, "POST", commands_path(run.name), to_answer, to_json(request))


async def hand_over(run: Run, journal: Journal, request: ControlRequest) -> ControlAnswer | None:
    """As `ask`, through the journal; None also where the process has not taken it, which withdraws it."""
    return await _handed_over(run, journal, request, to_answer)


async def ask_settings(run: Run, journal: Journal) -> Mapping[str, str] | None:
    """The settings of a working run, by its socket or through the journal; None and raises as `ask`."""
    found = await ask_facts(run, journal, "settings")
    if found is None:
        answer = await _handed_over(run, journal, ControlRequest(GET, who=claim()), to_settings_answer)
        if isinstance(answer, ControlAnswer):
            raise CommandRefused(said("run {run}: {answer}", run=run.name, answer=answer.said))
        return answer
    return found


async def _handed_over(
    run: Run, journal: Journal, request: ControlRequest, decode: Callable[[bytes], Answer]
) -> Answer | None:
    holder = await journal.holder(run)
    if holder is None:
        return None
    who = sender(user_name(os.geteuid()), os.getpid(), request.who, request.through)
    host = printable(holder.host)
    with waiting(said("waiting for run {run} on {host} to answer", run=run.name, host=host), most=TAKEN_WITHIN):
        handed = await journal.requests.ask(run, who, to_json(request).decode())
    if not handed.is_taken:
        return None
    if handed.answer is None:
        raise _no_answer(run, holder, said("it has taken the command, and says nothing of it"))
    try:
        return decode(handed.answer.encode())
    except NotAMessage as error:
        raise _no_answer(run, holder, text_of(error)) from error


def unheard(holder: Holder) -> Said:
    """Why a run says nothing of itself whose journal several machines have open."""
    return said(
        "its process on {host} is not heard from here: this is what the journal knows; speed, answer times and calls "
        "in parallel are known there alone",
        host=printable(holder.host),
    )


async def ask_status(run: Run, journal: Journal, *, patience: float = PATIENCE) -> Status | None:
    """The status that the process reports which works on the run; None as for `ask`. Raises as `ask_facts`.

    Raises `msgspec.ValidationError` for that of another version of this program.
    """
    found = await ask_facts(run, journal, "status", patience=patience)
    if found is None:
        return None
    # Set afterwards, for a conversion makes plain texts of sentences.
    status, sentences = msgspec.convert(found, Status), sentences_of(found)
    return replace(
        status,
        why=sentences.get("why", status.why),
        held=sentences.get("held", status.held),
        last_error=sentences.get("last_error", status.last_error),
        errors=errors_of(found),
    )


async def ask_facts(run: Run, journal: Journal, facts: str, *, patience: float = PATIENCE) -> dict[str, Any] | None:
    """Facts that the process reports that works on the run: its `status`, `settings` or `samples`; None as for `ask`.

    Raises `CommandRefused` as `ask` does, also when there is no answer within `patience` seconds.
    """
    return await _asked(run, journal, "GET", facts_path(run.name, facts), to_facts, patience=patience)


async def _asked(  # noqa: PLR0913 - what a request consists of
    run: Run,
    journal: Journal,
    method: str,
    path: str,
    decode: Callable[[bytes], Answer],
    body: bytes | None = None,
    *,
    patience: float = PATIENCE,
) -> Answer | None:
    try:
        connection = await _connected(run, journal, patience)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    with connection:
        try:
            asking = waiting(said("waiting for run {run} to answer", run=run.name), most=patience)
            with anyio.fail_after(patience), asking:
                exchange = partial(_exchange, connection, method, path, body)
                return decode(await anyio.to_thread.run_sync(exchange, abandon_on_cancel=True))
        except (ConnectionError, EOFError):
            return None
        except TimeoutError as error:
            raise _no_answer(
                run, await journal.holder(run), said("nothing within {seconds} s", seconds=f"{patience:g}")
            ) from error
        except NotAMessage as error:
            raise _no_answer(run, await journal.holder(run), text_of(error)) from error
        finally:
            # Ends the thread too, where it still waits.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


async def _connected(run: Run, journal: Journal, patience: float) -> socket.socket:
    """A connection to the run's socket, if that is the run's own. Raises as `ask`, and what `connect` raises."""
    path = socket_path(journal, run)
    try:
        connection = await anyio.to_thread.run_sync(connect, path, math.ceil(patience))
    except (FileNotFoundError, ConnectionRefusedError):
        raise
    except PermissionError as error:
        refusal = said("only {owner} may steer run {run}, who works on it", owner=_owner_of(path), run=run.name)
        raise CommandRefused(refusal) from error
    except (OSError, TimeoutError) as error:
        raise _no_answer(run, await journal.holder(run), text_of(error)) from error
    if peer_of(connection).user not in {os.geteuid(), journal.path.stat().st_uid}:
        connection.close()
        raise CommandRefused(
            said(
                "{path} is not a socket of run {run}: somebody else has put it there",
                path=printable(path),
                run=run.name,
            )
        )
    return connection


def _exchange(connection: socket.socket, method: str, path: str, body: bytes | None) -> bytes:
    """Send a request and return the body of its answer, in a thread; closing the connection ends it.

    Raises `ConnectionError` or `EOFError` when the other side ends before it answers, `NotAMessage` for what is no
    answer, and `CommandRefused` where facts are not given; the answer to a command says itself that it was refused.
    """
    import http.client  # noqa: PLC0415 - only who asks needs it

    connection.settimeout(PATIENCE)
    client = http.client.HTTPConnection("run")
    client.sock = connection
    try:
        with suppress(BrokenPipeError):
            # Who is not let in is told so at once, before a request.
            client.request(method, path, body, {"Content-Type": JSON} if body is not None else {})
        answer = client.getresponse()
        content = answer.read(LONGEST_ANSWER + 1)
    except http.client.RemoteDisconnected:
        raise
    except http.client.IncompleteRead as error:
        raise EOFError from error
    except http.client.HTTPException as error:
        raise NotAMessage(f"{type(error).__name__} {error}".strip()) from error
    if len(content) > LONGEST_ANSWER:
        raise NotAMessage(said("an answer of more than {most} bytes", most=Quantity(LONGEST_ANSWER)))
    if answer.length:
        raise EOFError
    if method == "GET" and answer.status != http.client.OK:
        raise CommandRefused(to_answer(content).said)
    return content


def _no_answer(run: Run, holder: Holder | None, why: str) -> CommandRefused:
    refusal = said(
        "run {run} ({holder}) does not answer: {why}.\nWhether it took the command is not known. Is its process "
        "stopped, or the machine out of breath?",
        run=run.name,
        holder=holder.sentence if holder else said("nobody works on it"),
        why=why if isinstance(why, Said) else printable(why),
    )
    return CommandRefused(refusal, Exit.STOPPED)


def _owner_of(path: Path) -> str:
    with suppress(OSError):
        return user_name(path.stat().st_uid)
    return said("its owner")


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
    await journal.history.note_command(run, ourselves(), "resume --unpause", said("it goes on"))
