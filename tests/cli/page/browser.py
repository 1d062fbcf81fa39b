"""A browser as the page sees it: requests over a real socket, with the headers that browsers send."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from yarl import URL

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from cli.page.application import PageOrder, serving
from cli.terminal.texts import ENGLISH
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.conftest import PATIENCE


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a browser."""

    status: int
    headers: Mapping[str, str]
    text: str
    found: Any = None


@dataclass(slots=True)
class Browser:
    """A browser with its cookies, which goes where the page is."""

    http: aiohttp.ClientSession
    opening: URL
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return str(self.opening.origin())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.asks("GET", path, headers)

    async def asks(self, method: str, path: str, headers: Mapping[str, str] | None = None, **content: Any) -> Reply:
        url = self.opening.origin().join(URL(path, encoded=True))
        sent = self.headers | dict(headers or {})
        async with self.http.request(method, url, headers=sent, allow_redirects=False, **content) as answer:
            text = await answer.text()
            found = await answer.json() if answer.content_type == "application/json" else None
            return Reply(answer.status, answer.headers, text, found)

    async def commands(self, run: str, command: str, headers: Mapping[str, str] | None = None, **given: str) -> Reply:
        """Give a command as the page's own script does."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | dict(headers or {})
        body = {"command": command, "arguments": given}
        return await self.asks("POST", f"/api/runs/{run}/commands", own, json=body)

    async def open(self) -> Reply:
        return await self.get(self.opening.path_qs)

    @asynccontextmanager
    async def stream(self, run: str, seen: int | None = None, query: str = "") -> AsyncIterator["Stream"]:
        """The events of a run, as an EventSource of the page gets them."""
        url = self.opening.origin().join(URL(f"/api/runs/{run}/events{query}", encoded=True))
        headers = self.headers | ({} if seen is None else {"Last-Event-ID": str(seen)})
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self.http.get(url, headers=headers, timeout=unlimited) as answer:
            assert answer.content_type == "text/event-stream", await answer.text()
            yield Stream(answer)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    number: int
    name: str
    data: Any


class Stream:
    """A stream of server-sent events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._lines = answer.content

    async def next(self) -> Event:
        """The next event; fails where the stream ends."""
        fields: dict[str, str] = {}
        with anyio.fail_after(PATIENCE):
            while True:
                line = (await self._lines.readuntil(b"\n")).decode()
                assert line, "the stream has ended"
                if line == "\n" and "event" in fields:
                    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value

    async def until(self, found: Callable[[Any], bool]) -> Event:
        """The first snapshot of which `found` is true."""
        with anyio.fail_after(PATIENCE):
            while True:
                event = await self.next()
                if event.name == "snapshot" and found(event.data):
                    return event

    async def ended(self) -> list[Event]:
        """What comes until the stream ends."""
        found: list[Event] = []
        with anyio.fail_after(PATIENCE):
            while not self._lines.at_eof():
                try:
                    found.append(await self.next())
                except (AssertionError, aiohttp.ClientPayloadError):
                    break
        return found


@asynccontextmanager
async def browser_at(address: str) -> AsyncIterator[Browser]:
    """A browser that has not opened the address yet."""
    jar = aiohttp.CookieJar(unsafe=True)  # keeps the cookies of an address that is a number
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Browser(http, URL(address))


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that is served, its journal with one run, and a browser that has opened it."""

    browser: Browser
    journal: Journal
    run: Run


@asynccontextmanager
async def page_shown(
    folder: Path, *, language: str = ENGLISH, read_only: bool = False, opened: bool = True
) -> AsyncIterator[Shown]:
    """A page over a run of two rows, that nobody works on."""
    async with open_journal(folder / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"), new_item("2"))
        await journal.end_intake(run)
        await journal.approve(run)
        order = PageOrder(run.name, language, read_only)
        async with serving(journal, order) as address, browser_at(address.url) as browser:
            if opened:
                await browser.open()
            yield Shown(browser, journal, await journal.run(run.name))
