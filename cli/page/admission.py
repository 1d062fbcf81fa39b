"""Who may see the page and give commands: the one-time token, the cookie, and what a browser says of its request."""

import hmac
import secrets
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from texts.remedies import PROGRAM, Remedy
from texts.said import Said, said

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

    def open(self, request: web.Request) -> web.Response:
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
        if leads_at_once:
            led = web.Response(status=303, headers={"Location": "/"})
        else:
            # The address was a link in another page, as a terminal in the browser is one. What follows a redirect
            # from there would come without the cookie; what this page asks for does not.
            led = web.Response(text=LEADING, content_type="text/html")
        led.set_cookie(self._name, self._cookie, httponly=True, samesite="Strict", path="/")
        return led

    def check(self, request: web.Request) -> None:
        """Check a request before anything is done for it. Raises `NotAdmitted`."""
        _check_host(request)
        if request.headers.get(FETCH_SITE, "none") not in _SAME and request.path != OPENING:
            raise NotAdmitted(403, said("Another page has made this request: it is not answered."))
        if request.path == OPENING:
            return
        if not self._has_cookie(request):
            raise NotAdmitted(401, said("Open the page by the address that the command has shown."))
        if request.method == "POST":
            _check_command(request)

    def _has_cookie(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.cookies.get(self._name, "").encode(), self._cookie.encode())

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request pass, or raise `NotAdmitted`."""
        self.check(request)
        return await handler(request)


def _check_host(request: web.Request) -> None:
    """Check by which name the page is called: a foreign name that leads here is an attack through DNS."""
    try:
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        name = None
    if name not in HOSTS:
        raise NotAdmitted(403, said("The page answers on this machine only, by 127.0.0.1."))


def _check_command(request: web.Request) -> None:
    """Check that a command comes from the page itself."""
    if request.headers.get("Origin") != f"http://{request.headers['Host']}":
        raise NotAdmitted(403, said("Another page has made this request: it is not answered."))
    if request.content_type != JSON:
        raise NotAdmitted(415, said("A command is JSON."))


async def put_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what the page may do, with every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = PROGRAM
    response.headers.setdefault("Content-Security-Policy", POLICY)
