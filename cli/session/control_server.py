"""The control socket of a working run: serves requests of other terminals, and keeps a pause.

`pause`, `continue`, `set`, `get`, `stop` and `status` reach the run here, all but `status` also through a journal
that other machines have open. `control_client.py` is the other end; the effect of each request on the run is in
`engine/control/handler.py`.
"""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Final

import anyio
import structlog

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.terminal.layout import render
from cli.terminal.screen import Screen
from cli.terminal.signals import run_alongside
from cli.terminal.texts import moment, printable
from engine.control.address import listening, peer_of, socket_path
from engine.control.application import ControlApplication
from engine.control.door import Door, DoorLimits, NotLetIn
from engine.control.handler import ControlHandler, Controllable
from engine.control.journal_door import JournalDoor
from texts.remedies import command_line
from texts.said import said

log = structlog.get_logger(__name__)

GLANCE: Final = 1.0
"""Seconds between two looks into the journal for a pause, where the run has no socket."""

SLOW_GLANCE: Final = 3.0
"""The same where its requests come through the journal: a pause that was noted while it did not listen."""

_ROOT: Final = 0
"""The user id of root, who may control every run."""


@asynccontextmanager
async def serve_control(run: Run, journal: Journal, controlled: Controllable, screen: Screen) -> AsyncIterator[None]:
    """Serve the run's control socket while the body runs; a pause in the journal holds before the body begins.

    Only the user of this process and root may connect. Where other machines have the journal open, requests come
    through it as well, and a pause that was noted there; where its folder cannot hold a socket, a pause and its end
    are taken from the journal. Raises `JournalError`.
    """
    handler = ControlHandler(run, journal, controlled)
    path = socket_path(journal, run)
    serve: list[Callable[[], Awaitable[None]]] = []
    async with AsyncExitStack() as stack:
        if journal.address.is_shared:
            serve += [JournalDoor(run, journal, handler).serve, partial(_follow_journal, handler, SLOW_GLANCE)]
        try:
            listener = await stack.enter_async_context(listening(path))
        except OSError as error:
            _tell_deaf(journal, f"{path}: {error.strerror}")
            if not serve:
                serve.append(partial(_follow_journal, handler, GLANCE))
        else:
            answers = ControlApplication(run.name, handler)
            serve += [answers.sample, Door(listener, answers.application(), DoorLimits(), _check_user).serve]
        for one in serve:
            await stack.enter_async_context(run_alongside(partial(_logged, one)))
        # Read the pause only after the socket listens, so that none is missed.
        _tell_pause(await handler.take_up(), screen)
        yield


def _tell_deaf(journal: Journal, why: str) -> None:
    """Say what the run hears without a socket."""
    if journal.address.is_shared:
        log.warning("this run hears other terminals through the journal alone, and tells no live figures", why=why)
    else:
        log.warning("this run hears nothing from other terminals but pause and continue", why=why)


def _check_user(client: socket.socket) -> None:
    """Let only the user of this process and root in. Raises `NotLetIn`."""
    peer = peer_of(client)
    if peer.user not in {os.geteuid(), _ROOT}:
        log.warning("somebody else tried to steer this run", user=peer.user, process=peer.process)
        raise NotLetIn(HTTPStatus.FORBIDDEN, said("this run is not yours to steer"))


async def _logged(serve: Callable[[], Awaitable[None]]) -> None:
    """Run the server; an error ends the control of the run and is logged, and the run goes on."""
    try:
        await serve()
    except Exception:  # no error here may end the run
        log.exception("this run cannot be steered any longer: a fault of ours, please report it")


async def _follow_journal(handler: ControlHandler, every: float) -> None:
    """Follow pauses and their ends in the journal, a look `every` so many seconds."""
    while True:
        await anyio.sleep(every)
        # A journal that fails ends the run by its own ways, and is no fault of the control.
        with suppress(JournalError):
            await handler.take_up()


def _tell_pause(run: Run, screen: Screen) -> None:
    """Say that the run begins paused, and how to end the pause."""
    if not run.paused_at:
        return
    log.info("paused", by=run.paused_by, since=run.paused_at.isoformat())
    paused = said(
        "Run {run} is paused, by {who}, since {date}: nothing is sent until {command} is typed in another terminal.",
        run=run.name,
        who=printable(run.paused_by),
        date=moment(run.paused_at),
        command=command_line("continue", run.name),
    )
    screen.say_always(render(paused, "bold yellow"))
    screen.say_always(said("Ctrl-C ends the waiting, and the run stays paused."))
