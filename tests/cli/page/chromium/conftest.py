"""One Chromium for all tests of a worker, and pages that tell of every request and every error of theirs.

The browser outlives a test, so these tests share an event loop: `loop_scope="session"`.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.cli.conftest import PATIENCE, Place, Started, place_in

WIDE: Final = {"width": 1280, "height": 800}
NARROW: Final = {"width": 390, "height": 844}
PHONE: Final = {"width": 360, "height": 740}

NOTING: Final = """
  const drawn = (window.drawn = new Set()), context = CanvasRenderingContext2D.prototype, { fillText } = context;
  context.fillText = function (text, ...more) { drawn.add(text); return fillText.call(this, text, ...more); };
"""
"""Notes in `drawn` what charts write: a canvas has no text to read."""

LAUNCH: Final = 90.0
"""Seconds for the browser to start, on a machine that does much else."""

expect.set_options(timeout=PATIENCE * 1000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("Chromium is missing: `make test` installs it, as the package chromium")
    # The sandbox of Chromium does not work for root.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=flags, timeout=LAUNCH * 1000)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def place(billing_file: Path, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_in(tmp_path / "work", billing_file) as made:
        yield made


@dataclass(slots=True)
class Shown:
    """A page of `carbon-migrate page` in a browser: its tabs, what they have asked, and what went wrong in them."""

    context: BrowserContext
    tab: Page
    origin: str
    server: Started
    asked: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    async def another_tab(self) -> Page:
        tab = await self.context.new_page()
        self.listen(tab)
        await tab.goto(self.tab.url)
        return tab

    def listen(self, tab: Page) -> None:
        tab.set_default_timeout(PATIENCE * 1000)
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        tab.on("console", lambda said: self.troubles.append(said.text) if said.type in {"error", "warning"} else None)
        tab.on("dialog", lambda dialog: self.troubles.append(dialog.message))

    async def figure(self, place: str) -> str:
        """A number or an amount of the page, its digits only: as scripts write it."""
        text = await self.tab.locator(place).inner_text()
        return "".join(letter for letter in text if letter.isdigit() or letter in ",.-").replace(",", ".")


Shows = Callable[..., AbstractAsyncContextManager[Shown]]


@pytest.fixture
def shows(place: Place, chromium: Browser) -> Shows:
    """Opens the page of a run, or the list of runs without a name.

    When it is closed, nothing has been asked of another machine, and nothing went wrong that the test has not
    taken out of `troubles`.
    """

    @asynccontextmanager
    async def show(*arguments: str, language: str = "ru", **options: Any) -> AsyncIterator[Shown]:
        async with place.cli.started("page", *arguments, "--json", "--lang", language) as page:
            address = json.loads(await page.first_line())["address"]
            async with shown_in(chromium, address, page, **options) as shown:
                yield shown

    return show


@asynccontextmanager
async def shown_in(chromium: Browser, address: str, server: Started, **options: Any) -> AsyncIterator[Shown]:
    context = await chromium.new_context(**({"viewport": WIDE} | options))
    try:
        await context.add_init_script(NOTING)
        tab = await context.new_page()
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        shown = Shown(context, tab, origin, server)
        shown.listen(tab)
        await tab.goto(address)
        yield shown
        assert shown.troubles == []
        assert {url for url in shown.asked if not url.startswith(f"{origin}/")} == set()
    finally:
        await context.close()


async def violations(tab: Page) -> list[str]:
    found = await Axe().run(tab)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found.response["violations"]]


async def is_within_its_width(tab: Page) -> bool:
    fits: bool = await tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return fits
