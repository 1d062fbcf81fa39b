"""A run that can be steered: it listens beside its journal while it sends, and begins paused where it was paused."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Run
from cli.terminal.screen import Screen
from cli.terminal.signals import run_alongside
from cli.terminal.texts import PROGRAM, markup_safe, moment
from engine.control.address import listening, socket_path
from engine.control.handler import ControlHandler, Controllable
from engine.control.listener import ControlListener, Limits

log = structlog.get_logger(__name__)

GLANCE: Final = 1.0
"""Seconds between two looks into the journal, where there is no socket."""

_ROOT: Final = 0


@asynccontextmanager
async def serve_control(run: Run, journal: Journal, steered: Controllable, screen: Screen) -> AsyncIterator[None]:
    """Let the run be steered while the body runs; it is paused before the body begins where the journal says so.

    Where the folder cannot hold a socket, a pause and its end are found in the journal, and nothing else is heard.
    """
    control = ControlHandler(run, journal, steered)
    async with AsyncExitStack() as open_:
        path = socket_path(journal, run)
        heed: Callable[[], Awaitable[None]]
        try:
            door = await open_.enter_async_context(listening(path))
        except OSError as error:
            log.warning(
                "this run hears nothing from other terminals but pause and continue", why=f"{path}: {error.strerror}"
            )
            heed = partial(_follow, control)
        else:
            heed = ControlListener(door, control.obey, frozenset({os.geteuid(), _ROOT}), Limits()).serve
        await open_.enter_async_context(run_alongside(partial(_unharmed, heed)))
        # Only now, so that a pause is either read here or given to the listener.
        _tell(await control.take_up(), screen)
        yield


async def _unharmed(heed: Callable[[], Awaitable[None]]) -> None:
    try:
        await heed()
    except Exception:  # whatever it is, it is no reason to end a run
        log.exception("this run cannot be steered any longer: a fault of ours, please report it")


async def _follow(control: ControlHandler) -> None:
    while True:
        await anyio.sleep(GLANCE)
        await control.take_up()


def _tell(run: Run, screen: Screen) -> None:
    if not run.paused_at:
        return
    log.info("paused", by=run.paused_by, since=run.paused_at.isoformat())
    screen.insist(
        f"[bold yellow]Run {run.name} is paused[/], by {markup_safe(run.paused_by)}, since {moment(run.paused_at)}: "
        f"nothing is sent until [bold]{PROGRAM} continue {run.name}[/] is typed in another terminal.\n"
        f"Ctrl-C ends the waiting, and the run stays paused."
    )
