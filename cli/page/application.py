"""The application of the page: its addresses, and the facts and texts behind them."""

import getpass
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from cli.page.admission import JSON, OPENING, Admission, NotAdmitted, put_headers
from cli.page.labels import LABELS
from cli.page.runs import list_runs
from cli.terminal.language import LANGUAGES, language
from texts.said import Language

STATIC: Final = Path(__file__).parent / "static"
LARGEST_BODY: Final = 16 * 1024
"""Bytes of a command."""


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How a page is wanted: the run that it shows first, its language, and whether it takes commands."""

    run: str | None
    language: str
    read_only: bool = False


class PageApplication:
    """Answers the requests of browsers, from a journal."""

    def __init__(self, journal: Journal, order: PageOrder, admission: Admission) -> None:
        self._journal = journal
        self._order = order
        self._admission = admission
        self.port = 0
        """Where it is served, which the line of a tunnel names."""

    def application(self) -> web.Application:
        """The aiohttp application."""
        made = web.Application(
            middlewares=[self._answer_errors, self._admission.middleware], client_max_size=LARGEST_BODY
        )
        made.on_response_prepare.append(put_headers)
        made.router.add_get(OPENING, self._open, allow_head=False)
        made.router.add_get("/", self._page)
        made.router.add_static("/static", STATIC)
        made.router.add_get("/api/page", self._texts)
        made.router.add_get("/api/runs", self._runs)
        return made

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotAdmitted as error:
            return _refused(error.status, self._language(request).render(error.why))
        except JournalError as error:
            return _refused(500, self._language(request).render(str(error)))

    def _language(self, request: web.Request) -> Language:
        """The language that the request asks for, or that of the page."""
        wanted = request.query.get("lang", "")
        return language(wanted if wanted in LANGUAGES else self._order.language)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        return self._admission.open(request)

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "page.html")

    async def _texts(self, request: web.Request) -> web.StreamResponse:
        reader = self._language(request)
        return to_json(
            {
                "language": reader.name,
                "languages": LANGUAGES,
                "read_only": self._order.read_only,
                "run": self._order.run,
                "tunnel": tunnel(self.port),
                "texts": {key: reader.render(text) for key, text in LABELS.items()},
            }
        )

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        return to_json(await list_runs(self._journal, self._language(request)))


def tunnel(port: int) -> str:
    """The command that leads from another machine to the page."""
    return f"ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}"


def to_json(value: object, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=msgspec.json.encode(value), content_type=JSON, status=status)


def _refused(status: int, why: str) -> web.Response:
    return to_json({"said": why, "refused": True}, status)
