"""The server of the page: who may see it, its addresses, and the facts and texts behind them."""

import hmac
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from checkpoints.errors import JournalError, NoSuchRun
from checkpoints.journal import Journal
from cli.page.feed import Feeds
from cli.page.runs import RunList
from cli.report.document import page_of, write_files
from cli.report.facts import facts_of, subject_of
from cli.session.control_client import give
from cli.session.door import DoorLimits, serve_clients
from cli.session.journal import own_name
from cli.settings.known_billings import NO_BILLINGS, KnownBillings
from cli.settings.settings import OwnJobs
from cli.settings.tables import Letterhead
from cli.terminal.exits import CommandRefused
from cli.terminal.language import LANGUAGES, CatalogueLanguage, language
from cli.terminal.signals import run_alongside
from cli.terminal.texts import printable, reason_of
from engine.pacing.open_files import provide_all_files
from engine.pipeline.control import COMMANDS, LONGEST_REQUEST, NotAMessage, to_request
from texts.remedies import PROGRAM, Remedy
from texts.said import Said, said, text_of

# ---- the texts of the page ----------------------------------------------------------------------------------------


LABELS: Final[Mapping[str, Said]] = MappingProxyType(
    {
        "language": said("Language"),
        "theme": said("Colours"),
        "theme.auto": said("as the system"),
        "theme.light": said("light"),
        "theme.dark": said("dark"),
        # What stands above everything else.
        "stage.silent": said("nobody works on it"),
        "stage.paused": said("paused"),
        "stage.held": said("waiting"),
        "lost": said(
            "No connection to the page's server: the figures are those of {since}. The page tries again by itself.",
            since="{since}",
        ),
        "lost.list": said("No connection to the page's server. The page tries again by itself."),
        "silent": said("Nobody works on this run. To take it up: {command}", command="{command}"),
        "silent.since": said(
            "Nobody works on this run since {since}. To take it up: {command}", since="{since}", command="{command}"
        ),
        "paused": said("Paused since {since} by {by}.", since="{since}", by="{by}"),
        # Who, what, since when, which billing.
        "fact.who": said("Begun by"),
        "fact.what": said("Rows from"),
        "fact.since": said("Since"),
        "fact.billing": said("Billing"),
        "fact.process": said("works: process {process} on {host}", process="{process}", host="{host}"),
        "fact.passed": said("{duration} ago", duration="{duration}"),
        "fact.version": said("version {version}", version="{version}"),
        # The figures.
        "figures": said("Figures"),
        "accepted": said("Accepted"),
        "of_rows": said("of {rows} rows, {percent}", rows="{rows}", percent="{percent}"),
        "of_steps": said("of {rows} steps, {percent}", rows="{rows}", percent="{percent}"),
        "of_sum": said("of {sum}", sum="{sum}"),
        "in_doubt": said("In doubt"),
        "rejected": said("Rejected"),
        "refused": said("refused before sending"),
        "pace": said("Calls a second"),
        "in_flight": said("in parallel: {calls} of {window}", calls="{calls}", window="{window}"),
        "pace.unknown": said("not known here"),
        "left": said("Time left"),
        "left.until": said("until about {time}", time="{time}"),
        "spoken": said("Accepted: {percent}.", percent="{percent}"),
        "why": said("Why it is not faster"),
        "why.nothing": said("Nothing slows it down."),
        "charts": said("The last fifteen minutes"),
        "chart.rate": said("Speed"),
        "chart.latency": said("Answer time"),
        "chart.line.rate": said("calls a second"),
        "chart.line.window": said("in parallel up to"),
        "chart.line.p50": said("half within"),
        "chart.line.p95": said("95 % within"),
        "errors": said("Errors by kind"),
        "errors.none": said("No errors."),
        "errors.rows": said("Rows"),
        "errors.text": said("Error, with an example"),
        # Steering.
        "control": said("Control"),
        "control.read_only": said("This page only shows: it was opened as read-only."),
        "control.silent": said("Only a run that somebody works on can be stopped or set."),
        "pause": said("Pause"),
        "continue": said("Continue"),
        "stop": said("Stop"),
        "stop.question": said("Stop run {run}?", run="{run}"),
        "stop.what": said("Calls that are under way are waited for, and no further ones are made. No row is lost."),
        "stop.resume": said("To take it up again: {command}", command="{command}"),
        "stop.yes": said("Stop the run"),
        "stop.no": said("Let it run"),
        "setting.rate": said("Calls a second, at most"),
        "setting.rate.hint": said("no limit"),
        "setting.in_flight": said("Parallel calls"),
        "setting.in_flight.hint": said("automatic"),
        "setting.hours": said("Hours (01:00-06:00)"),
        "setting.hours.hint": said("at all hours"),
        "set": said("Apply"),
        "answer.lost": said(
            "No connection to the page's server: whether the command was taken is not known. See what the run does."
        ),
        "commands": said("Commands to this run"),
        "commands.none": said("None so far."),
        "commands.earlier": said("Earlier ones: {n}", n="{n}"),
        # The end, and all runs.
        "closing": said("The run has ended"),
        "report": said("Report"),
        "runs": said("All runs"),
        "runs.link": said("← All runs"),
        "runs.none": said("This journal has no runs yet."),
        "runs.run": said("Run"),
        "runs.billing": said("Billing"),
        "runs.every": said("All billings"),
        "runs.stage": said("Stage"),
        "runs.begun": said("Begun"),
        "runs.rows": said("Rows accepted"),
        "runs.sum": said("Sum accepted"),
        "runs.pace": said("Rows a second"),
        "runs.of": said("of {whole}", whole="{whole}"),
        "runs.left": said("{duration} left", duration="{duration}"),
        "runs.more": said("Runs that are not shown here: {n}. `carbon-migrate status` shows all.", n="{n}"),
        "tunnel": said("From another computer"),
        "tunnel.how": said("This page is served to this machine alone. Type there, then open the same address:"),
    }
)


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
    """Raised when a request is not answered; the sentence says why, `status` is that of HTTP."""

    def __init__(self, status: int, why: Said) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


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
            raise NotAdmitted(
                403,
                said(
                    "This address was opened before, and it counts once. For another browser, type {command}.",
                    command=Remedy("page"),
                ),
            )
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
STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How a page is wanted: the run that it shows first, its language, whether it takes commands, and who signs.

    Its reports name jobs of one's own as `own_jobs` declare them, its list the billings that are `known`.
    """

    run: str | None
    language: str
    read_only: bool = False
    letterhead: Letterhead = field(default_factory=Letterhead)
    own_jobs: OwnJobs = field(default_factory=OwnJobs)
    known: KnownBillings = NO_BILLINGS


class PageApplication:
    """Answers the requests of browsers, from a journal; `port` is where it is served, which its tunnel names."""

    def __init__(self, journal: Journal, order: PageOrder, admission: Admission, feeds: Feeds, port: int) -> None:
        self._journal = journal
        self._runs_listed = RunList(journal, order.known)
        self._order = order
        self._admission = admission
        self._feeds = feeds
        self._port = port
        self._one_report = anyio.Lock()
        """A report reads all rows of its run."""

    def application(self) -> web.Application:
        """The aiohttp application."""
        made = web.Application(
            middlewares=[self._answer_errors, self._admission.middleware], client_max_size=LONGEST_REQUEST
        )
        made.on_response_prepare.append(put_headers)
        made.router.add_get(OPENING, self._admission.open, allow_head=False)
        made.router.add_get("/", self._page)
        made.router.add_static("/static", STATIC)
        made.router.add_get("/api/page", self._texts)
        made.router.add_get("/api/runs", self._runs)
        made.router.add_get("/api/runs/{run}/events", self._events)
        made.router.add_post("/api/runs/{run}/commands", self._command)
        made.router.add_get("/api/runs/{run}/report", self._report, allow_head=False)
        made.on_shutdown.append(self._end_streams)
        return made

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ConnectionError, web.HTTPRedirection, web.HTTPSuccessful):
            raise
        except Exception as error:  # noqa: BLE001 - answered and logged: no fault of the page ends a run
            status, why = _refusal_of(error)
            sentence = self._language(request).render(why)
            if HTML in request.headers.get("Accept", ""):
                # A person has typed the address.
                return web.Response(text=sentence, status=status)
            return to_json({"said": sentence, "refused": True}, status)

    def _language(self, request: web.Request) -> CatalogueLanguage:
        """The language that the request asks for, or that of the page."""
        wanted = request.query.get("lang", "")
        return language(wanted if wanted in LANGUAGES else self._order.language)

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
                "tunnel": tunnel(self._port),
                "texts": {key: reader.render(text) for key, text in LABELS.items()},
            }
        )

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        listed = await self._runs_listed.look(self._language(request), request.query.get("billing", ""))
        return to_json(listed)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        reader = self._language(request)
        async with self._feeds.watching(request.match_info["run"]) as feed:
            return await feed.stream(request, reader)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        """The report of a run, as the command makes it; the journal notes it as that of the command."""
        reader, letterhead = self._language(request), self._order.letterhead
        async with self._one_report:
            subject = await subject_of(request.match_info["run"], self._journal, is_file=False)
            facts = await facts_of(subject, self._journal, self._order.own_jobs.catalogue)
            folder = await anyio.to_thread.run_sync(tempfile.TemporaryDirectory)
            try:
                # The report names the files of exceptions that the command writes, with their digests.
                files = await write_files(facts, reader, Path(folder.name), self._journal)
            finally:
                await anyio.to_thread.run_sync(folder.cleanup)
            text = await anyio.to_thread.run_sync(page_of, facts, reader, letterhead, files)
            await self._journal.history.note_report(subject.main, facts.root)
        headers = {
            "Content-Security-Policy": REPORT_POLICY,
            "Content-Disposition": f'inline; filename="report-{subject.main.name}.html"',
            "Cache-Control": "no-store",
        }
        return web.Response(text=text, content_type=HTML, headers=headers)

    async def _end_streams(self, _: web.Application) -> None:
        self._feeds.close()

    async def _command(self, request: web.Request) -> web.StreamResponse:
        if self._order.read_only:
            raise NotAdmitted(web.HTTPForbidden.status_code, said("This page was started to look only."))
        try:
            given = to_request(await request.read())
        except NotAMessage as error:
            raise NotAdmitted(web.HTTPBadRequest.status_code, said("This is no command: {why}", why=error)) from error
        if given.command not in COMMANDS:
            raise NotAdmitted(
                web.HTTPBadRequest.status_code,
                said("There is no command {command}.", command=printable(given.command, 40)),
            )
        run = await self._journal.run(request.match_info["run"])
        # By this user, whoever the browser says it is.
        answer = await give(given, run, self._journal, "page")
        status = web.HTTPConflict.status_code if answer.refused else web.HTTPOk.status_code
        return to_json({"said": self._language(request).render(answer.said), "refused": answer.refused}, status)


def tunnel(port: int) -> str:
    """The command that leads from another machine to the page."""
    return f"ssh -L {port}:127.0.0.1:{port} {own_name()}"


def to_json(value: object, status: int = 200) -> web.Response:
    """An answer in JSON."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(value), content_type=JSON, status=status, headers=headers)


def _refusal_of(error: Exception) -> tuple[int, str]:
    """The status and the sentence with which a request is refused."""
    match error:
        case NotAdmitted():
            return error.status, error.why
        case NoSuchRun():
            return web.HTTPNotFound.status_code, text_of(error)
        case CommandRefused() | JournalError():
            return web.HTTPConflict.status_code, text_of(error)
        case web.HTTPRequestEntityTooLarge():
            return error.status, said("A command is not that long.")
        case web.HTTPException():
            return error.status, said("The page has no such address.")
        case _:
            log.error("the page could not answer: a fault of ours, please report it", exc_info=error)
            return web.HTTPInternalServerError.status_code, said("A fault of this program, which its log describes.")


# ---- the server of the page ---------------------------------------------------------------------------------------


LOOPBACK: Final = "127.0.0.1"
LIMITS: Final = DoorLimits(clients=200)
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
        await stack.enter_async_context(run_alongside(partial(_serve, listening, page, limits)))
        yield PageAddress(f"http://{LOOPBACK}:{port}{OPENING}?token={admission.token}", tunnel(port))
        await feeds.look()


async def _serve(listening: socket.socket, page: web.Application, limits: DoorLimits) -> None:
    """Serve; an error ends the page and is logged, and what it is served beside goes on."""
    try:
        await serve_clients(listening, page, limits)
    except Exception:  # no error here may end a run
        log.exception("the page cannot be served any longer: a fault of ours, please report it")
