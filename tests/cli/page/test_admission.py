"""Nobody sees the page or commands a run but who has its address, and no other page can make the browser do it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

import cli.page
from checkpoints.states import State
from cli.page.application import COOKIE, page_texts
from tests.cli.page.browser import Browser, browser_at, page_shown

API: Final = "/api/page"
COMMANDS: Final = "/api/runs/RUN/commands"
OPENING: Final = "the address that the command has printed"
NO_FILES: Final = ("", "%2e%2e/application.py", "..%2fapplication.py", "nothing.js")
NO_POSTS: Final = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
FOREIGN: Final = ("evil.example.org", "127.0.0.1.example.org", "10.0.0.1:8080", "", "[", "[::1")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a browser is made to ask, where RUN, ORIGIN and PORT are the page's; with what status it is refused."""

    statuses: set[int]
    path: str = API
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None
    opened: bool = True


def command(status: int, body: bytes = b'{"command": "pause"}', *, opened: bool = True, **headers: str | None) -> Ask:
    """A command as the page's own script gives it, but for these headers."""
    sent = {"Origin": "ORIGIN", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    kept = {name: value for name, value in sent.items() if value is not None}
    return Ask({status}, COMMANDS, kept, "POST", body, opened)


REFUSED: Final[Mapping[str, Ask]] = {
    f"{path}, {cookie or 'no cookie'}": Ask({401}, path, {"Cookie": cookie} if cookie else {}, opened=False)
    for path in ("/", API, "/api/runs", "/static/page.html", "/static/../application.py", "/nothing")
    for cookie in ("", f"{COOKIE}_PORT=guessed", f"{COOKIE}_PORT=\xe9")
} | {
    **{f"the token {one!r}": Ask({403}, f"/open?token={one}", opened=False) for one in ("", "guessed", "%D1%8F")},
    **{f"by the name {one!r}": Ask({400, 403}, headers={"Host": one}) for one in FOREIGN},
    **{f"opened by the name {one!r}": Ask({400, 403}, OPENING, {"Host": one}) for one in FOREIGN},
    **{f"asked by a {one} page": Ask({403}, headers={"Sec-Fetch-Site": one}) for one in ("cross-site", "same-site")},
    **{f"the file {one}": Ask({403, 404}, f"/static/{one}") for one in NO_FILES},
    "a command without the cookie": command(401, opened=False),
    "a command of another origin": command(403, Origin="http://evil.example.org"),
    "a command of no origin": command(403, Origin="null"),
    "a command of another port": command(403, Origin="http://127.0.0.1:1"),
    "a command of an empty origin": command(403, Origin=""),
    "a command without an origin": command(403, Origin=None, Sec_Fetch_Site=None),
    "a command of a cross-site page": command(403, Sec_Fetch_Site="cross-site"),
    "a command of a same-site page": command(403, Sec_Fetch_Site="same-site"),
    "a command by a foreign name": command(403, Host="evil.example.org", Origin="http://evil.example.org"),
    "a command as text": command(415, Content_Type="text/plain"),
    "a command of a form": command(415, Content_Type="application/x-www-form-urlencoded"),
    "a command that is nothing": command(400, b""),
    "a command that is a list": command(400, b"[]"),
    "a setting that is a number": command(400, b'{"command": "set", "arguments": {"rate": 5}}'),
    "a command that there is not": command(400, b'{"command": "resume"}'),
    "a command that is long": command(413, b'{"command": "' + b"x" * 20_000 + b'"}'),
    **{f"a command by {one}": Ask({405}, f"{COMMANDS}?command=pause", method=one) for one in NO_POSTS},
}


@pytest.mark.parametrize("opened", [True, False])
async def test_what_is_not_admitted_is_told_nothing_and_does_nothing(opened: bool, tmp_path: Path) -> None:
    async with page_shown(tmp_path, opened=opened) as shown:
        browser, run = shown.browser, shown.run

        def placed(text: str) -> str:
            text = text.replace("RUN", run.name).replace("ORIGIN", browser.origin)
            return text.replace("PORT", str(browser.opening.port)).replace(OPENING, browser.opening.path_qs)

        for what, ask in REFUSED.items():
            if ask.opened is not opened:
                continue
            headers = {name: placed(value) for name, value in ask.headers.items()}
            reply = await browser.asks(ask.method, placed(ask.path), headers, data=ask.body)
            assert reply.status in ask.statuses, what
            assert (run.name in reply.text, "Set-Cookie" in reply.headers) == (False, False), what
            assert reply.found is None or reply.found["refused"], what
            assert (await shown.journal.run(run.name)).paused_at is None, what
        assert await shown.journal.history.commands(run) == []


@pytest.mark.parametrize("site", ["none", "cross-site"])
async def test_the_address_becomes_a_cookie_that_no_script_reads(site: str, tmp_path: Path) -> None:
    """A terminal may be one in the browser: a redirect from another page would be followed without the cookie."""
    async with page_shown(tmp_path, opened=False) as shown:
        for method in ("HEAD", "POST"):
            assert (await shown.browser.asks(method, shown.browser.opening.path_qs)).status == 405
        reply = await shown.browser.get(shown.browser.opening.path_qs, {"Sec-Fetch-Site": site})
        if site == "none":
            assert (reply.status, reply.headers["Location"]) == (303, "/")
        else:
            assert (reply.status, 'content="0; url=/"' in reply.text) == (200, True)
        assert {"HttpOnly", "SameSite=Strict"} <= set(reply.headers["Set-Cookie"].split("; "))
        assert (await shown.browser.get("/", {"Sec-Fetch-Site": "same-origin"})).status == 200
        for host in ("127.0.0.1:9999", "localhost:8123", "localhost"):
            assert (await shown.browser.get(API, {"Host": host})).status == 200, "a tunnel begins at another port"


async def test_two_pages_in_one_browser_do_not_take_each_others_cookie(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as one:
        (tmp_path / "other").mkdir()
        async with page_shown(tmp_path / "other", opened=False) as other:
            here = Browser(one.browser.http, other.browser.opening)
            assert (await here.open()).status == 303
            for browser, run in ((one.browser, one.run), (here, other.run)):
                assert (await browser.get(API)).found["run"] == run.name


async def test_the_address_counts_once(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown, browser_at(str(shown.browser.opening)) as other:
        reply = await other.open()
        assert (reply.status, "counts once" in reply.text) == (403, True)
        assert (await other.get("/")).status == 401
        # Who has opened it clicks the link in the terminal once more: the tab was closed.
        again = await shown.browser.open()
        assert (again.status, again.headers.get("Location")) == (303, "/")
        assert "Set-Cookie" not in again.headers
        linked = await shown.browser.get(shown.browser.opening.path_qs, {"Sec-Fetch-Site": "cross-site"})
        assert linked.status == 403, "no other page learns that it is the same browser"
        assert (await shown.browser.get("/")).status == 200


async def test_a_person_is_told_in_a_sentence_and_a_script_in_json(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru", opened=False) as shown:
        reply = await shown.browser.get("/", {"Accept": "text/html,application/xhtml+xml"})
        assert (reply.status, reply.headers["Content-Type"]) == (401, "text/plain; charset=utf-8")
        assert reply.text == "Откройте страницу по адресу, который показала команда."
        assert (await shown.browser.get("/")).found == {"said": reply.text, "refused": True}


async def test_every_answer_tells_the_browser_what_the_page_may_do(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        for path in ("/", API, "/static/page.html", "/nothing", "/open"):
            headers = (await shown.browser.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


async def test_the_texts_come_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        run = shown.run.name
        for query, pause in (("", "Поставить на паузу"), ("?lang=en", "Pause"), ("?lang=xx", "Поставить на паузу")):
            found = (await shown.browser.get(f"{API}{query}")).found
            assert (found["texts"]["Pause"], found["run"], found["read_only"]) == (pause, run, False)
            assert found["tunnel"].startswith(f"ssh -L {shown.browser.opening.port}:127.0.0.1:")


# ---- What the browser loads: its words, its addresses, and the library that is vendored


STATIC: Final = Path(cli.page.__file__).parent / "static"
SCRIPTS: Final = sorted(STATIC.glob("*.js"))
OWN: Final = (STATIC / "page.html", STATIC / "page.css", *SCRIPTS)
VENDORED: Final = STATIC / "uplot"


def test_all_words_of_the_page_are_those_that_are_said_in_each_language() -> None:
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    words = {text.strip() for text in re.findall(r">([^<>]+)<", re.sub(r"<!--.*?-->", "", page))}
    said = {word for word in words if re.search(r"[^\W\d_]", word)}
    assert said - set(page_texts()) == {"carbon-migrate"}
    for file in SCRIPTS:
        source = re.sub(r"^ *(//|/\*\*).*$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        # What is written by a script is a text, a sign, or a word of its own.
        quoted = {one for one in re.findall(r'"([^"]+)"', source) if re.search(r"[a-z] [a-z]", one)}
        assert {one for one in quoted if one[0].isupper()} - set(page_texts()) == set(), file.name


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_no_address_leads_elsewhere_and_no_text_becomes_html(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"https?://|(?<=[\"'(])//", text) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text) == []


def test_each_state_has_its_sign_and_its_colour() -> None:
    signs = (STATIC / "run.js").read_text(encoding="utf-8")
    colours = (STATIC / "page.css").read_text(encoding="utf-8")
    listed = signs[signs.index("const SIGNS") : signs.index("};", signs.index("const SIGNS"))]
    # Accepted rows that the billing has no more as they were sent are parts of their own.
    parts = {*State, "different", "undone"}
    assert set(re.findall(r"^ {2}(\w+):", listed, flags=re.MULTILINE)) == parts
    assert {part for part in parts if f".state-{part}" not in colours} == set()


def test_uplot_is_the_file_of_its_package() -> None:
    table = (VENDORED / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$", table, flags=re.MULTILINE))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDORED.iterdir()
        if file.name != "README.md"
    }
    assert stated == found
    (version,) = re.findall(r"^# uPlot ([0-9.]+)$", table, flags=re.MULTILINE)
    assert f"(v{version})" in (VENDORED / "uPlot.iife.min.js").read_text(encoding="ascii")[:100]
