"""The server of the page: who may see it, its addresses, and the facts and texts behind them."""

import hmac
import re
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread
import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from checkpoints.comparison import Side
from checkpoints.errors import JournalError, NoSuchRun
from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import State
from cli.page.feed import Feeds, RunList, compared
from cli.page.nameless import bare_command
from cli.page.verifying import VERIFY, VerifyRun
from cli.report.document import page_of, write_files
from cli.report.facts import facts_of, rejected_page, subject_of
from cli.session.comparison import compare_runs
from cli.session.control_client import give
from cli.session.door import LOOPBACK, DoorLimits, serve_clients
from cli.session.journal import addresses_of, own_name
from cli.settings.settings import NO_BILLINGS, KnownBillings, Letterhead, OwnJobs
from cli.show.closing import BAD, file_of
from cli.show.files import FILES, OutputFile, in_thread, write_items
from cli.terminal.exits import CommandRefused
from cli.terminal.signals import run_alongside
from cli.terminal.texts import LANGUAGES, CatalogueLanguage, language, printable, reading
from engine.pacing.policy import provide_all_files
from engine.pipeline.control import COMMANDS, LONGEST_REQUEST, NotAMessage, to_request
from jobs.runs import refuse_purged
from texts.said import PROGRAM, Said, advise_runs, command_line, reason_of, said, text_of

# ---- the texts of the page ----------------------------------------------------------------------------------------


STATIC: Final = Path(__file__).parent / "static"
_TEXT: Final = re.compile(r'\b(?:text|said)\(\s*"([^"]+)"|data-text[^>]*>([^<]+)<|data-hint="([^"]+)"')


@cache
def page_texts() -> Sequence[str]:
    """The texts of the page, as they stand in its files, in English."""
    files = (path.read_text(encoding="utf-8") for path in sorted((*STATIC.glob("*.js"), STATIC / "page.html")))
    return sorted({one[1] or one[2] or one[3] for file in files for one in _TEXT.finditer(file)})


# ---- who may see the page and give commands -----------------------------------------------------------------------


COOKIE: Final = "carbon_migrate_page"
OPENING: Final = "/open"
"""The address that turns the token into the cookie."""

JSON: Final = "application/json"
HOSTS: Final = frozenset({"127.0.0.1", "localhost"})
"""Names by which a browser may call the page, at any port: a tunnel can begin at another one."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report is one file with its styles in it, and without any script."""

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
FETCH_SITE: Final = "Sec-Fetch-Site"
"""The header in which a browser says which site makes it ask; an older one says nothing."""

LEADING: Final = '<!DOCTYPE html><title>carbon-migrate</title><meta http-equiv="refresh" content="0; url=/">'

_SAME: Final = frozenset({"same-origin", "none"})


class NotAdmitted(Exception):
    """Raised when a request is not answered, with the status of HTTP and a sentence that says why."""

    args: tuple[int, Said]


class Admission:
    """The token of a page, which counts for one browser, and the cookie that it becomes there."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe()
        # A browser gives the cookies of one host to all of its ports: two pages must not take each other's.
        self._name = f"{COOKIE}_{port}"
        self._cookie = secrets.token_urlsafe()
        self._is_used = False

    async def open(self, request: web.Request) -> web.Response:
        """Exchange the token for the cookie, and lead to the page. Raises `NotAdmitted`."""
        if not hmac.compare_digest(request.query.get("token", "").encode(), self.token.encode()):
            raise NotAdmitted(403, said("This is not the address that the command has shown."))
        leads_at_once = request.headers.get(FETCH_SITE, "none") in _SAME
        if self._is_used:
            if leads_at_once and self._has_cookie(request):
                return web.Response(status=303, headers={"Location": "/"})
            used = said(
                "This address was opened before, and it counts once. For another browser, type {command}.",
                # Nobody who is not admitted learns where the journal is.
                command=f"`{bare_command('page')}`",
            )
            raise NotAdmitted(403, used)
        self._is_used = True
        led = web.Response(status=303, headers={"Location": "/"})
        if not leads_at_once:
            # The address was a link in another page, as a terminal in the browser is one. What follows a redirect
            # from there would come without the cookie; what this page asks for does not.
            led = web.Response(text=LEADING, content_type="text/html")
        led.set_cookie(self._name, self._cookie, httponly=True, samesite="Strict", path="/")
        return led

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request before anything is done for it. Raises `NotAdmitted`."""
        try:
            name = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            name = None
        if name not in HOSTS:
            # A foreign name that leads here is an attack through DNS.
            raise NotAdmitted(403, said("The page answers on this machine only, by 127.0.0.1."))
        if request.path != OPENING:
            foreign = NotAdmitted(403, said("Another page has made this request: it is not answered."))
            if request.headers.get(FETCH_SITE, "none") not in _SAME:
                raise foreign
            if not self._has_cookie(request):
                raise NotAdmitted(401, said("Open the page by the address that the command has shown."))
            if request.method == "POST" and request.headers.get("Origin") != f"http://{request.headers['Host']}":
                raise foreign
            if request.method == "POST" and request.content_type != JSON:
                raise NotAdmitted(415, said("A command is JSON."))
        return await handler(request)

    def _has_cookie(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.cookies.get(self._name, "").encode(), self._cookie.encode())


async def put_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what the page may do, with every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = PROGRAM
    response.headers.setdefault("Content-Security-Policy", POLICY)


# ---- the application of the page ----------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

HTML: Final = "text/html"
_LONGEST_REASON: Final = 500
"""Characters of a reason that are shown; a file has all of it."""
_PLACE: Final = re.compile(r"r?\d{0,18}", re.ASCII)
"""The place of a row: the number of its item, or of a refused one its id behind an r."""


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How a page is wanted: the run that it shows first, its language, whether it takes commands, and who signs.

    Its reports name jobs of one's own as `own_jobs` declare them, its list the billings that are `known`. Without
    `names` it tells nothing of a row or of a person, and gives no file. `verify` is how it reads a run back, None
    where it has no billing at hand.
    """

    run: str | None
    language: str
    read_only: bool = False
    letterhead: Letterhead = field(default_factory=Letterhead)
    own_jobs: OwnJobs = field(default_factory=OwnJobs)
    known: KnownBillings = NO_BILLINGS
    names: bool = True
    verify: VerifyRun | None = None

    @property
    def commands(self) -> Sequence[str]:
        if self.read_only or not self.names:
            return ()
        return (*COMMANDS, VERIFY) if self.verify else COMMANDS


class PageApplication:
    """Answers the requests of browsers, from a journal; `tunnel` leads to it from another machine."""

    def __init__(self, journal: Journal, order: PageOrder, feeds: Feeds, tunnel: str) -> None:
        self._journal = journal
        self._runs_listed = RunList(journal, order.known, names=order.names)
        self._order = order
        self._feeds = feeds
        self._tunnel = tunnel
        self._one_file = anyio.Lock()
        """A report reads all rows of its run, and so may a file of rows."""

    def application(self, admission: Admission) -> web.Application:
        made = web.Application(
            middlewares=[self._answer_errors, admission.middleware], client_max_size=LONGEST_REQUEST
        )
        made.on_response_prepare.append(put_headers)
        made.router.add_get(OPENING, admission.open, allow_head=False)
        made.router.add_get("/", self._page)
        made.router.add_static("/static", STATIC)
        made.router.add_get("/api/page", self._texts)
        made.router.add_get("/api/runs", self._runs)
        made.router.add_get("/api/runs/{run}/events", self._events)
        made.router.add_get("/api/runs/{run}/compared/{other}", self._compared, allow_head=False)
        made.router.add_post("/api/runs/{run}/commands", self._command)
        # Without names there is nothing that has rows in it.
        if self._order.names:
            made.router.add_get("/api/runs/{run}/report", self._report, allow_head=False)
            made.router.add_get("/api/runs/{run}/rejected", self._rejected, allow_head=False)
            made.router.add_get("/api/runs/{run}/rejected.csv", self._file, allow_head=False)
        made.on_shutdown.append(self._feeds.close)
        return made

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ConnectionError, web.HTTPRedirection, web.HTTPSuccessful):
            raise
        except Exception as error:
            status: int
            why: str
            match error:
                case NotAdmitted():
                    status, why = error.args
                case NoSuchRun():
                    status, why = web.HTTPNotFound.status_code, text_of(error)
                case CommandRefused() | JournalError():
                    status, why = web.HTTPConflict.status_code, text_of(error)
                case web.HTTPRequestEntityTooLarge():
                    status, why = error.status, said("A command is not that long.")
                case web.HTTPException():
                    status, why = error.status, said("The page has no such address.")
                case _:
                    log.exception("the page could not answer: a fault of ours, please report it")
                    status = web.HTTPInternalServerError.status_code
                    why = said("A fault of this program, which its log describes.")
            sentence = self._language(request).render(why)
            if HTML in request.headers.get("Accept", ""):
                # A person has typed the address.
                return web.Response(text=sentence, status=status)
            return to_json({"said": sentence, "refused": True}, status)

    def _language(self, request: web.Request) -> CatalogueLanguage:
        wanted = request.query.get("lang", "")
        return language(wanted if wanted in LANGUAGES else self._order.language)

    async def _run(self, request: web.Request) -> Run:
        """The run of an address; what is advised of it leads to its own billing, by the profile that has it."""
        run = await self._journal.run(request.match_info["run"])
        profile = self._order.known.profile_of(run)
        advise_runs({run.name: {"profile": profile} if profile else addresses_of(run)})
        return run

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "page.html")

    async def _texts(self, request: web.Request) -> web.StreamResponse:
        reader = self._language(request)
        return to_json(
            {
                "language": reader.name,
                "languages": LANGUAGES,
                "read_only": not self._order.commands,
                "names": self._order.names,
                "verifies": VERIFY in self._order.commands,
                "run": self._order.run,
                "again": (command_line if self._order.names else bare_command)("page"),
                # It has the name of the user.
                "tunnel": self._tunnel if self._order.names else "",
                "texts": {text: reader.translate(text) for text in page_texts()},
            }
        )

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        listed = await self._runs_listed.look(self._language(request), request.query.get("billing", ""))
        return to_json(listed)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        reader = self._language(request)
        async with self._feeds.watching((await self._run(request)).name) as feed:
            return await feed.stream(request, reader)

    async def _compared(self, request: web.Request) -> web.StreamResponse:
        """Two runs of the journal beside each other, as the command compares them."""
        runs = [await self._journal.run(request.match_info[name]) for name in ("run", "other")]
        # All rows of both are read.
        async with self._one_file:
            found = await compare_runs([Side(run, self._journal) for run in runs])
        return to_json(compared(found, self._language(request), names=self._order.names))

    async def _report(self, request: web.Request) -> web.StreamResponse:
        """The report of a run, as the command makes it; the journal notes it as that of the command."""
        reader, letterhead = self._language(request), self._order.letterhead
        async with self._one_file:
            subject = await subject_of(request.match_info["run"], self._journal, is_file=False)
            facts = await facts_of(subject, self._journal, self._order.own_jobs.catalogue)
            async with in_thread(TemporaryDirectory()) as folder:
                # The report names the files of exceptions that the command writes, with their digests.
                files = await write_files(facts, reader, Path(folder), self._journal)
            text = await anyio.to_thread.run_sync(page_of, facts, reader, letterhead, files)
            await self._journal.history.note_report(subject.main, facts.root)
        headers = {
            "Content-Security-Policy": REPORT_POLICY,
            "Content-Disposition": f'inline; filename="report-{subject.main.name}.html"',
            "Cache-Control": "no-store",
        }
        return web.Response(text=text, content_type=HTML, headers=headers)

    async def _rejected(self, request: web.Request) -> web.StreamResponse:
        """The next rows that were rejected or refused, the first ones without `after`, which an answer before has."""
        run, after = await self._journal.run(request.match_info["run"]), request.query.get("after", "")
        if not _PLACE.fullmatch(after):
            raise NotAdmitted(web.HTTPBadRequest.status_code, said("The page has no such address."))
        refuse_purged(run)
        spec = self._order.own_jobs.catalogue.known(run)
        reader, (rows, further) = self._language(request), await rejected_page(run, self._journal, spec, after)
        shown = [
            {
                "line": row.line,
                "number": row.number,
                "label": printable(row.label),
                "amount": None if row.amount is None else format(row.amount, "f"),
                "outcome": reader.render(row.outcome),
                "reason": printable(reader.render(row.reason), _LONGEST_REASON),
            }
            for row in rows
        ]
        return to_json({"rows": shown, "after": further})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """The file of rejected and refused rows, as `export` writes it."""
        run = await self._journal.run(request.match_info["run"])
        refuse_purged(run)
        async with in_thread(TemporaryDirectory()) as folder:
            target = OutputFile(Path(folder) / "bad.csv")
            with reading(self._language(request).name):
                name = file_of(run, BAD)
                async with self._one_file:
                    await write_items(target, run, FILES[State.REJECTED], self._journal)
            # It is sent from where it is open, though its folder is gone by then.
            rows = await anyio.to_thread.run_sync(target.path.open, "rb")
        headers = {
            # As RFC 6266 writes a name that may be Russian.
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "Content-Type": "text/csv; charset=utf-8",
            "Cache-Control": "no-store",
        }
        return web.Response(body=rows, headers=headers)

    async def _command(self, request: web.Request) -> web.StreamResponse:
        if not self._order.commands:
            raise NotAdmitted(web.HTTPForbidden.status_code, said("This page was started to look only."))
        try:
            given = to_request(await request.read())
        except NotAMessage as error:
            raise NotAdmitted(web.HTTPBadRequest.status_code, said("This is no command: {why}", why=error)) from error
        if given.command not in self._order.commands:
            raise NotAdmitted(
                web.HTTPBadRequest.status_code,
                said("There is no command {command}.", command=printable(given.command, 40)),
            )
        run = await self._run(request)
        if given.command == VERIFY:
            await self._feeds.verifier.begin(run, self._journal)
            # What comes of it is in the events of the run.
            return to_json({"said": "", "refused": False})
        # By this user, whoever the browser says it is.
        answer = await give(given, run, self._journal, "page")
        status = web.HTTPConflict.status_code if answer.refused else web.HTTPOk.status_code
        told = [one.given_at for one in await self._journal.history.commands(run, size=1)]
        sentence = self._language(request).render(answer.said)
        return to_json({"said": sentence, "refused": answer.refused, "at": max(told, default=None)}, status)


def to_json(value: object, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(value), content_type=JSON, status=status, headers=headers)


# ---- the server of the page ---------------------------------------------------------------------------------------


class PageAddress(NamedTuple):
    """Where a page is: its address with the token, and the command that leads from another machine to it."""

    url: str
    tunnel: str


@asynccontextmanager
async def serving(journal: Journal, order: PageOrder) -> AsyncIterator[PageAddress]:
    """Serve the page while the context lasts; the run of the order is followed from its beginning on.

    At the end all who look get the last moment. Raises `CommandRefused` where no port can be had, and `NoSuchRun`.
    """
    try:
        listening = socket.create_server((LOOPBACK, 0))
    except OSError as error:
        raise CommandRefused("no port of this machine is free for the page: {why}", why=reason_of(error)) from error
    # Connections cost files also where they are not let in. Calls of the run beside it must not go without.
    provide_all_files()
    listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
    port = listening.getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.callback(listening.close)
        group = await stack.enter_async_context(run_alongside())
        feeds = Feeds(journal, group, order.verify, names=order.names)
        admission, tunnel = Admission(port), f"ssh -L {port}:127.0.0.1:{port} {own_name()}"
        page = PageApplication(journal, order, feeds, tunnel).application(admission)
        if order.run is not None:
            await stack.enter_async_context(feeds.watching(order.run))

        async def serve() -> None:
            try:
                # A browser has some six connections; those of dead ones must not keep others out.
                await serve_clients(listening, page, DoorLimits(clients=200))
            except Exception:  # no error here may end a run
                log.exception("the page cannot be served any longer: a fault of ours, please report it")

        await stack.enter_async_context(run_alongside(serve))
        yield PageAddress(f"http://{LOOPBACK}:{port}{OPENING}?token={admission.token}", tunnel)
        await feeds.look()
