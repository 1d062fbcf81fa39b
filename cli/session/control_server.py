"""The control socket of a run while it works: requests of other terminals are heard, and a pause is kept.

`pause`, `continue`, `set`, `get`, `stop` and `status` reach the run here; `control_client.py` is the other
end. What each request does to the run is in `engine/control/handler.py`.
"""

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
from engine.control.listener import ControlListener, ListenerLimits

log = structlog.get_logger(__name__)

GLANCE: Final = 1.0
"""Seconds between two looks into the journal, where there is no socket."""

_ROOT: Final = 0
"""The user id of root, who may control a run of anybody."""


@asynccontextmanager
async def serve_control(run: Run, journal: Journal, controlled: Controllable, screen: Screen) -> AsyncIterator[None]:
    """Let the run be controlled while the body runs; where the journal says so, it is paused before the body begins.

    Only the user of this process and root are heard. Where the journal's folder cannot hold a socket, a pause and
    its end are found in the journal, and nothing else is heard. Raises `JournalError`.
    """
    handler = ControlHandler(run, journal, controlled)
    async with AsyncExitStack() as stack:
        path = socket_path(journal, run)
        serve: Callable[[], Awaitable[None]]
        try:
            socket = await stack.enter_async_context(listening(path))
        except OSError as error:
            log.warning(
                "this run hears nothing from other terminals but pause and continue", why=f"{path}: {error.strerror}"
            )
            serve = partial(_follow_journal, handler)
        else:
            serve = ControlListener(socket, handler.obey, frozenset({os.geteuid(), _ROOT}), ListenerLimits()).serve
        await stack.enter_async_context(run_alongside(partial(_logged, serve)))
        # Only now, so that a pause is either read here or given to the listener.
        _tell_pause(await handler.take_up(), screen)
        yield


async def _logged(serve: Callable[[], Awaitable[None]]) -> None:
    """Serve; a fault ends the control of the run and is logged, and the run goes on."""
    try:
        await serve()
    except Exception:  # whatever it is, it is no reason to end a run
        log.exception("this run cannot be steered any longer: a fault of ours, please report it")


async def _follow_journal(handler: ControlHandler) -> None:
    """Take a pause and its end from the journal."""
    while True:
        await anyio.sleep(GLANCE)
        await handler.take_up()


def _tell_pause(run: Run, screen: Screen) -> None:
    """Say that the run begins paused, and how that is ended."""
    if not run.paused_at:
        return
    log.info("paused", by=run.paused_by, since=run.paused_at.isoformat())
    screen.say_always(
        f"[bold yellow]Run {run.name} is paused[/], by {markup_safe(run.paused_by)}, since {moment(run.paused_at)}: "
        f"nothing is sent until [bold]{PROGRAM} continue {run.name}[/] is typed in another terminal.\n"
        f"Ctrl-C ends the waiting, and the run stays paused."
    )
