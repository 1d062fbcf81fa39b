"""The server of the page: the application on a free port of this machine, for as long as a command lasts."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from checkpoints.journal import Journal
from cli.page.admission import OPENING, Admission
from cli.page.application import PageApplication, PageOrder, tunnel
from cli.page.feed import Feeds
from cli.terminal.exits import CommandRefused
from cli.terminal.signals import run_alongside
from cli.terminal.texts import reason_of
from engine.control.door import Door, DoorLimits
from engine.pacing.open_files import provide_all_files
from texts.said import said

log = structlog.get_logger(__name__)

LOOPBACK: Final = "127.0.0.1"
LIMITS: Final = DoorLimits(clients=200, idle=60.0, unread=5.0, ending=1.0)
"""A browser has some six connections; those of dead ones must not keep others out."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where a page is: its address with the token, and the command of a tunnel to it."""

    url: str
    tunnel: str


@asynccontextmanager
async def serving(journal: Journal, order: PageOrder, limits: DoorLimits = LIMITS) -> AsyncIterator[PageAddress]:
    """Serve the page while the context lasts; the run of the order is followed from its beginning on.

    At the end all who look get the last moment. Raises `CommandRefused` where no port can be had, and `NoSuchRun`.
    """
    try:
        listening = socket.create_server((LOOPBACK, 0))
    except OSError as error:
        raise CommandRefused(
            said("no port of this machine is free for the page: {why}", why=reason_of(error))
        ) from error
    # Connections cost files also where they are not let in. Calls of the run beside it must not go without.
    provide_all_files()
    listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
    port = listening.getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(listening.close)
        group = await stack.enter_async_context(run_alongside())
        feeds = Feeds(journal, group)
        admission = Admission(port)
        page = PageApplication(journal, order, admission, feeds, port).application()
        if order.run is not None:
            await stack.enter_async_context(feeds.watching(order.run))
        await stack.enter_async_context(run_alongside(partial(_serve, Door(listening, page, limits))))
        yield PageAddress(f"http://{LOOPBACK}:{port}{OPENING}?token={admission.token}", tunnel(port))
        await feeds.look()


async def _serve(door: Door) -> None:
    """Serve; an error ends the page and is logged, and what it is served beside goes on."""
    try:
        await door.serve()
    except Exception:  # no error here may end a run
        log.exception("the page cannot be served any longer: a fault of ours, please report it")
