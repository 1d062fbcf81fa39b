"""The page for everybody: by keyboard alone, with a screen reader, in both languages and lights, on a telephone."""

import re
import signal
from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.cli.commands.test_control import ROWS
from tests.cli.conftest import Place
from tests.cli.fleet.conftest import new_run
from tests.cli.page.chromium.conftest import NARROW, PHONE, WIDE, Shows, is_within_its_width, violations
from tests.cli.page.chromium.test_run import a_load, refuse_each_seventh, stage, word

pytestmark = [pytest.mark.prove, pytest.mark.asyncio(loop_scope="session")]

MOST_STOPS: Final = 30
"""Stops of the Tab key on one page."""

RUSSIAN_MONEY: Final = re.compile(r"-?\d{1,3}(\u00a0\d{3})*,\d\d\u00a0₽")
ENGLISH_MONEY: Final = re.compile(r"-?\d{1,3}(,\d{3})*\.\d\d")


async def tab_to(tab: Page, place: str) -> None:
    """Press Tab until the element has the focus, which can be seen."""
    for _ in range(MOST_STOPS):
        await tab.keyboard.press("Tab")
        if await tab.evaluate("document.activeElement.id") == place:
            outline = await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {place} is not seen"
            return
    pytest.fail(f"the keyboard does not reach {place}")


async def test_the_keyboard_alone_pauses_continues_sets_and_stops(place: Place, shows: Shows) -> None:
    async with a_load(place) as (load, name), shows(name) as shown:
        tab = shown.tab
        await stage(shown, "works")
        await tab_to(tab, "pause")
        await tab.keyboard.press("Enter")
        await stage(shown, "paused")
        await tab_to(tab, "continue")
        await tab.keyboard.press("Space")
        await stage(shown, "works")
        await tab_to(tab, "in-flight")
        await tab.keyboard.press("Control+A")
        await tab.keyboard.type("3")
        await tab.keyboard.press("Enter")
        await expect(tab.locator("#commands li").first).to_contain_text("in-flight=3")
        await tab.keyboard.press("Shift+Tab")
        await tab_to(tab, "in-flight")
        for _ in range(2):
            await tab.keyboard.press("Shift+Tab")
        assert await tab.evaluate("document.activeElement.id") == "stop"
        await tab.keyboard.press("Enter")
        dialog = tab.locator("#stop-dialog")
        await expect(dialog).to_be_visible()
        await expect(tab.locator("#stop-question")).to_contain_text(name)
        # What is pressed by mistake does no harm: Enter lets it run, and so does Escape.
        await tab.keyboard.press("Enter")
        await expect(dialog).to_be_hidden()
        assert await tab.evaluate("document.activeElement.id") == "stop"
        await tab.keyboard.press("Enter")
        await tab.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await tab.keyboard.press("Enter")
        await tab.keyboard.press("Tab")
        await tab.keyboard.press("Enter")
        assert (await load.ended()).exit == 130
        await stage(shown, "stopped")


@pytest.mark.parametrize(("light", "viewport"), [("light", WIDE), ("dark", WIDE), ("light", PHONE)])
async def test_axe_finds_nothing_and_nothing_scrolls_sideways_in_any_state_of_the_page(
    light: str, viewport: dict[str, int], place: Place, shows: Shows
) -> None:
    async with a_load(place) as (load, name), shows(name, color_scheme=light, viewport=viewport) as shown:
        tab = shown.tab

        async def is_fit_for_all() -> None:
            assert await violations(tab) == []
            assert await is_within_its_width(tab)

        await stage(shown, "works")
        await is_fit_for_all()
        await tab.locator("#stop").click()
        await is_fit_for_all()
        await tab.keyboard.press("Escape")
        await tab.locator("#pause").click()
        await stage(shown, "paused")
        await is_fit_for_all()
        await tab.locator("#continue").click()
        place.billing.latency = 0.0
        await load.ended()
        await stage(shown, "ended")
        await is_fit_for_all()
        await tab.locator("#to-runs").click()
        await expect(tab.locator("#runs tbody tr")).to_contain_text([str(ROWS)])
        await is_fit_for_all()


async def test_the_switches_change_language_and_light_and_are_remembered(place: Place, shows: Shows) -> None:
    async with a_load(place) as (_, name), shows(name, language="ru", color_scheme="light") as shown:
        tab = shown.tab
        await stage(shown, "works")
        for reader, money in (("ru", RUSSIAN_MONEY), ("en", ENGLISH_MONEY)):
            await tab.locator("#language").select_option(reader)
            await expect(tab.locator("html")).to_have_attribute("lang", reader)
            await expect(tab.locator("#asked-sum")).to_contain_text(
                word("of {sum}", reader).partition("{")[0].strip()
            )
            shown_texts = await tab.evaluate(
                "Object.fromEntries([...document.querySelectorAll('[data-text]')]"
                ".map((one) => [one.dataset.text, one.textContent]))"
            )
            assert shown_texts == {key: word(key, reader) for key in shown_texts}
            assert money.fullmatch(await tab.locator("#accepted-sum").inner_text())
        ground = "getComputedStyle(document.body).backgroundColor"
        light = await tab.evaluate(ground)
        await tab.locator("#theme").select_option("dark")
        dark = await tab.evaluate(ground)
        assert dark != light
        await tab.reload()
        await expect(tab.locator("html")).to_have_attribute("lang", "en")
        assert await tab.evaluate(ground) == dark


async def test_the_list_leads_to_each_run_and_back(place: Place, shows: Shows) -> None:
    for name in ("first.csv", "second.csv"):
        await place.cli("run", "balances", place.balances(2, name=name).path, "--yes", "--again")
    first, second = (run.name for run in await place.runs())
    async with shows(language="en") as shown:
        await expect(shown.tab.get_by_role("heading", level=1)).to_have_text(word("All runs", "en"))
        await expect(shown.tab.locator("#runs tbody a")).to_have_text([second, first])
        await shown.tab.get_by_role("link", name=first).click()
        await expect(shown.tab.get_by_role("heading", level=1)).to_contain_text(first)
        await expect(shown.tab.locator("#fact-what")).to_contain_text("first.csv")
        await shown.tab.go_back()
        await expect(shown.tab.locator("#runs")).to_be_visible()
        shown.server.signal(signal.SIGINT)
        assert (await shown.server.ended()).exit == 130
        await expect(shown.tab.locator("#over")).to_contain_text("carbon-migrate page")
        await expect(shown.tab.locator(".notice.bad:visible")).to_have_count(0)
        # A browser tells of each request that nobody answers.
        shown.troubles.clear()


async def test_the_list_of_many_billings_is_narrowed_to_one_by_the_keyboard(place: Place, shows: Shows) -> None:
    async with place.journal() as journal:
        for host in ("north.example.org", "south.example.org", "west.example.org"):
            await new_run(journal, host, refused=1)
    async with shows(language="en", viewport=PHONE) as shown:
        tab = shown.tab
        rows = tab.locator("#runs tbody tr")
        await expect(rows).to_have_count(3)
        await expect(tab.locator("#fleet-sums")).to_contain_text("3 billings: 3 runs need a person")
        await expect(rows.first).to_contain_text("1 row of the input refused")
        assert await violations(tab) == []
        await tab_to(tab, "billing")
        await tab.keyboard.type("south")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("south.example.org")
        await expect(tab.locator("#fleet-sums")).to_contain_text("1 billing: 1 run needs a person")
        assert await violations(tab) == []
        assert await is_within_its_width(tab)
        await expect(tab.locator("#billing")).to_be_focused()


@pytest.mark.parametrize(("reader", "viewport"), [("ru", WIDE), ("en", NARROW)])
async def test_two_runs_that_the_keyboard_has_chosen_stand_beside_each_other(
    reader: str, viewport: dict[str, int], place: Place, shows: Shows
) -> None:
    ids = place.subscribers(4)
    place.traffic.answer = lambda number: refuse_each_seventh(7 if number == 6 else 1)
    names: list[str] = []
    for rows, ends in (
        ([f"{one};{number}1.50" for number, one in enumerate(ids[:3], 1)], 0),
        ([f"{ids[1]};21.50", f"{ids[2]};7", f"{ids[3]};-4"], 1),
    ):
        file = place.rows("abonent_id;amount", *rows, name=f"{len(names)}.csv")
        names.append((await place.run("balances", file, "--no-canary", "--again", ends=ends))["run"])
    first, second = names
    async with shows(language=reader, viewport=viewport) as shown:
        tab, button = shown.tab, shown.tab.locator("#compare")
        await expect(button).to_have_text(word("Choose two runs to compare them", reader))
        for one in (second, first):
            await tab_to(tab, f"compare-{one}")
            await tab.keyboard.press("Space")
            await tab.locator("h1").focus()
        await expect(button).to_have_text(word("Compare these two runs", reader))
        assert await violations(tab) == []
        assert await is_within_its_width(tab)
        await button.press("Enter")
        # The older one stands first, whichever was chosen first.
        await expect(tab.locator("#figures thead a")).to_have_text([first, second])
        lines = await tab.locator("#figures tbody tr").all_inner_texts()
        cells = [[cell.strip() for cell in line.split("\t")] for line in lines]
        found = {name: others for name, *others in cells}
        assert found[word("rows entered", reader)] == ["3", "2"]
        assert word("sum entered", reader) in found
        assert "Группе нельзя добавлять финансовую операцию" in " ".join(lines)
        different = tab.locator("#different tbody tr")
        await expect(different.locator("th")).to_have_count(5)
        await expect(different.nth(3)).to_contain_text(word("only in {first}", reader).format(first=first))
        await different.nth(3).locator("summary").press("Enter")
        await expect(different.nth(3).locator("li")).to_contain_text(word("line {line}", reader).format(line=2))
        assert await violations(tab) == []
        assert await is_within_its_width(tab)
        await tab.go_back()
        await expect(tab.locator("#runs")).to_be_visible()
        await expect(tab.locator("#compared")).to_be_hidden()
    async with shows("--no-names", language=reader, viewport=viewport) as shown:
        tab = shown.tab
        boxes = tab.locator("#runs tbody input")
        await expect(boxes).to_have_count(2)
        for box in await boxes.all():
            await box.check()
        await tab.locator("#compare").click()
        await expect(tab.locator("#different tbody tr")).to_have_count(5)
        await expect(tab.locator(".named:visible, .compared summary")).to_have_count(0)
        assert word("sum entered", reader) not in await tab.locator("#figures").inner_text()
        assert await violations(tab) == []
        assert await is_within_its_width(tab)
