"""The metrics of a run at an address of this machine, for a scraper: they are read there, and nothing can be changed.

It is apart from the page, which asks for a cookie that no scraper has, and takes commands. Here no secret is needed,
for nothing is told but counts and sums, and only to this machine.
"""

import socket
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from cli.metrics.exposition import CONTENT_TYPE
from cli.terminal.texts import reason_of
from engine.control.door import Door, DoorLimits

LOOPBACK: Final = "127.0.0.1"
HOSTS: Final = frozenset({LOOPBACK, "localhost"})
PATH: Final = "/metrics"
LIMITS: Final = DoorLimits(clients=8, idle=60.0, unread=5.0, ending=1.0)

log = structlog.get_logger(__name__)


async def serve_metrics(port: int, text: Callable[[], str]) -> None:
    """Serve the text of each moment until cancelled, on any free port for 0; a port that is taken is logged."""
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        log.warning(
            "the metrics cannot be served: the run goes on without it",
            address=f"http://{LOOPBACK}:{port}{PATH}",
            why=reason_of(error),
        )
        return
    listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
    log.info("metrics are served", address=f"http://{LOOPBACK}:{listening.getsockname()[1]}{PATH}")
    try:
        await Door(listening, metrics_application(text), LIMITS).serve()
    finally:
        listening.close()


def metrics_application(text: Callable[[], str]) -> web.Application:
    """The application that answers a scraper with the text of each moment."""

    async def answer(request: web.Request) -> web.Response:
        # A foreign name that leads here is an attack through DNS by a page in somebody's browser.
        if request.url.host not in HOSTS:
            raise web.HTTPForbidden
        return web.Response(body=text().encode(), headers={"Content-Type": f"{CONTENT_TYPE}; charset=utf-8"})

    made = web.Application(client_max_size=1)
    made.router.add_get(PATH, answer)
    return made
