"""The server of the page: the application on a free port of this machine, for as long as a command lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from checkpoints.journal import Journal
from cli.page.admission import OPENING, Admission
from cli.page.application import PageApplication, PageOrder, tunnel

LOOPBACK: Final = "127.0.0.1"
_PATIENCE: Final = 1.0
"""Seconds for requests in work when the page ends."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where a page is: its address with the token, and the command of a tunnel to it."""

    url: str
    tunnel: str


@asynccontextmanager
async def serving(journal: Journal, order: PageOrder) -> AsyncIterator[PageAddress]:
    """Serve the page while the context lasts. Raises OSError where no port can be had."""
    admission = Admission()
    page = PageApplication(journal, order, admission)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=_PATIENCE)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        page.port = runner.addresses[0][1]
        url = f"http://{LOOPBACK}:{page.port}{OPENING}?token={admission.token}"
        yield PageAddress(url, tunnel(page.port))
    finally:
        await runner.cleanup()
