"""Nobody sees the page but who has its address, and no other page can make the browser ask it."""

from pathlib import Path

import pytest

from cli.page.admission import COOKIE
from tests.cli.page.browser import Browser, browser_at, page_shown

API = "/api/page"


async def test_the_address_becomes_a_cookie_that_no_script_reads_and_leads_to_the_page(tmp_path: Path) -> None:
    async with page_shown(tmp_path, opened=False) as shown:
        reply = await shown.browser.open()
        assert (reply.status, reply.headers["Location"]) == (303, "/")
        cookie = reply.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert (await shown.browser.get("/")).status == 200


async def test_a_link_in_another_page_leads_there_too(tmp_path: Path) -> None:
    """A terminal may be one in the browser. A redirect from there would be followed without the cookie."""
    async with page_shown(tmp_path, opened=False) as shown:
        reply = await shown.browser.get(shown.browser.opening.path_qs, {"Sec-Fetch-Site": "cross-site"})
        assert (reply.status, 'content="0; url=/"' in reply.text) == (200, True)
        assert "SameSite=Strict" in reply.headers["Set-Cookie"]
        assert (await shown.browser.get("/", {"Sec-Fetch-Site": "same-origin"})).status == 200


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
        assert (await shown.browser.get("/")).status == 200, "who has opened it first goes on"


async def test_the_browser_that_has_opened_the_address_is_led_to_the_page_again(tmp_path: Path) -> None:
    """Its tab was closed, and the link in the terminal is clicked once more."""
    async with page_shown(tmp_path) as shown:
        again = await shown.browser.open()
        assert (again.status, again.headers.get("Location")) == (303, "/")
        assert "Set-Cookie" not in again.headers
        linked = await shown.browser.get(shown.browser.opening.path_qs, {"Sec-Fetch-Site": "cross-site"})
        assert linked.status == 403, "no other page learns that it is the same browser"
        assert (await shown.browser.get("/")).status == 200


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_only_opening_it_uses_the_address(method: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path, opened=False) as shown:
        assert (await shown.browser.asks(method, shown.browser.opening.path_qs)).status == 405
        assert (await shown.browser.open()).status == 303


@pytest.mark.parametrize(
    "path", ["/", API, "/api/runs", "/static/page.html", "/static/../application.py", "/nothing"]
)
async def test_without_the_cookie_nothing_is_answered(path: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path, opened=False) as shown:
        port = shown.browser.opening.port
        for cookie in ({}, {"Cookie": f"{COOKIE}_{port}=guessed"}, {"Cookie": f"{COOKIE}_{port}=\xe9"}):
            reply = await shown.browser.get(path, cookie)
            assert (reply.status, shown.run.name in reply.text) == (401, False)


async def test_a_person_is_told_in_a_sentence_and_a_script_in_json(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru", opened=False) as shown:
        reply = await shown.browser.get("/", {"Accept": "text/html,application/xhtml+xml"})
        assert (reply.status, reply.headers["Content-Type"]) == (401, "text/plain; charset=utf-8")
        assert reply.text == "Откройте страницу по адресу, который показала команда."
        assert (await shown.browser.get("/")).found == {"said": reply.text, "refused": True}


@pytest.mark.parametrize("token", ["", "guessed", "%D1%8F"])
async def test_another_token_opens_nothing(token: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path, opened=False) as shown:
        reply = await shown.browser.get(f"/open?token={token}")
        assert (reply.status, "Set-Cookie" in reply.headers) == (403, False)


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.example.org", "10.0.0.1:8080", "", "[", "[::1"])
async def test_a_foreign_name_that_leads_here_gets_nothing(host: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        for path in (API, shown.browser.opening.path_qs):
            assert (await shown.browser.get(path, {"Host": host})).status in {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1:9999", "localhost:8123", "localhost"])
async def test_a_tunnel_may_begin_at_another_port(host: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        assert (await shown.browser.get(API, {"Host": host})).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_page_makes_the_browser_ask_is_not_answered(site: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        assert (await shown.browser.get(API, {"Sec-Fetch-Site": site})).status == 403


async def test_every_answer_tells_the_browser_what_the_page_may_do(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        for path in ("/", API, "/static/page.html", "/nothing", "/open"):
            headers = (await shown.browser.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


async def test_nothing_but_the_files_of_the_page_is_served(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        for path in (
            "/static/",
            "/static/%2e%2e/application.py",
            "/static/..%2fapplication.py",
            "/static/nothing.js",
        ):
            assert (await shown.browser.get(path)).status in {403, 404}


async def test_the_texts_come_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        run = shown.run.name
        for query, pause in (("", "Поставить на паузу"), ("?lang=en", "Pause"), ("?lang=xx", "Поставить на паузу")):
            found = (await shown.browser.get(f"{API}{query}")).found
            assert (found["texts"]["pause"], found["run"], found["read_only"]) == (pause, run, False)
            assert found["tunnel"].startswith(f"ssh -L {shown.browser.opening.port}:127.0.0.1:")
