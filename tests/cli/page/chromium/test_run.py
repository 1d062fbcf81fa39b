"""What the page shows of a run that is begun, steered, killed, taken up and ended."""

import html
import re
import signal
import socket
from contextlib import AbstractAsyncContextManager
from typing import Final

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from cli.terminal.texts import language
from lab.mock.faults import Fault, FaultKind, FaultPlan
from tests.cli.commands import test_control as control
from tests.cli.commands.test_control import NO_WAITING, ROWS, held
from tests.cli.conftest import Place, Started
from tests.cli.page.chromium.conftest import NARROW, WIDE, Shown, Shows, is_within_its_width, shown_in, violations
from tests.cli.page.test_following import VERY_SLOW

pytestmark = pytest.mark.asyncio(loop_scope="session")

SILENT: Final = (
    "No answer from the page's command since {since}: it may have been killed. Where the run stands is safe in its "
    "journal. To look again: {command}"
)
AGAIN_AFTER: Final = 1000
"""Milliseconds after which the page looks for a server that it has lost."""
ATTACK: Final = "<script>document.title='taken'</script><img src=/x onerror=\"document.title='taken'\">"


def word(text: str, name: str = "ru") -> str:
    return language(name).translate(text)


def a_load(place: Place) -> AbstractAsyncContextManager[tuple[Started, str]]:
    """A load that works so slowly that a test can look at it, and the name of its run."""
    return control.a_load(place, "--no-canary", "--settle", "0.1", latency=VERY_SLOW)


async def stage(shown: Shown, kind: str) -> None:
    await expect(shown.tab.locator("#stage")).to_have_attribute("data-kind", kind)


def refuse_each_seventh(number: int) -> web.Response | None:
    refusal = {"call": "objects.create", "error": "Группе нельзя добавлять финансовую операцию"}
    return web.json_response(refusal) if number % 7 == 0 else None


@pytest.mark.parametrize(
    ("reader", "viewport", "interrupted"),
    [("ru", WIDE, False), ("en", NARROW, True)],
    ids=["ends", "Ctrl-C on a telephone"],
)
async def test_a_page_that_ends_with_its_run_says_so_calmly_and_how_to_look_again(
    reader: str, viewport: dict[str, int], interrupted: bool, place: Place, chromium: Browser
) -> None:
    place.traffic.answer = refuse_each_seventh
    place.billing.latency = 0.05
    flags = ("--yes", "--json", "--page", "--rate", "18", "--no-canary", "--settle", "0.1", "--lang", reader)
    async with place.cli.started("run", "balances", place.balances(ROWS * 2).path, *flags) as load:
        heard = await load.said("ssh -L ")
        (address,) = [one for one in heard.split() if "token=" in one]
        async with shown_in(chromium, address, load, viewport=viewport) as shown:
            tab, (run,) = shown.tab, await place.runs()
            await stage(shown, "works")
            limit = word("limited by you: {rate}/s", reader).format(rate=18)
            await expect(tab.locator("#why-text")).to_have_text(limit)
            titles = {word(one, reader) for one in ("Calls a second", "Parallel calls", "Answer time", "Time of day")}
            await tab.wait_for_function("titles => titles.every((one) => drawn.has(one))", arg=list(titles))
            tops = await tab.evaluate(
                "ids => ids.map((id) => document.getElementById(id).getBoundingClientRect().top)",
                ["accepted-rows", "charts", "facts"],
            )
            assert (tops == sorted(tops)) is interrupted, "a telephone has the facts last, a wide screen first"
            if interrupted:
                load.signal(signal.SIGINT)
            ended = await load.ended()
            assert ended.exit == (130 if interrupted else 1)
            await expect(tab.locator("#over")).to_contain_text(f"carbon-migrate page {run.name} --journal ")
            # It does not look for what has ended.
            await tab.wait_for_timeout(AGAIN_AFTER * 3)
            await expect(tab.locator(".notice.bad:visible, .live:visible")).to_have_count(0)
            await stage(shown, "stopped" if interrupted else "ended")
            # The whole load is there without a server, and so is the way to it.
            worked = tab.locator("#past-figures dd").filter(has_text=re.compile(r"^0:\d\d$"))
            await expect(worked.first).to_be_visible()
            await tab.wait_for_function(
                "titles => titles.every((one) => drawn.has(one))", arg=[word("Roubles", reader)]
            )
            if not interrupted:
                await tab.locator("#to-past").click()
                await expect(tab.locator("#past-title")).to_be_focused()
            if interrupted:
                await expect(tab.locator("#stopped")).to_contain_text(f"carbon-migrate resume {run.name} --journal ")
            else:
                done = word("of {rows} rows to be sent, {percent} done", reader).format(
                    rows=ROWS * 2, percent="100\u00a0%"
                )
                await expect(tab.locator("#asked-rows")).to_have_text(done)
                # The least width of five figures side by side.
                await tab.set_viewport_size({"width": 1001, "height": 800})
                cut = "[...document.querySelectorAll('.sums p')].filter((one) => one.scrollWidth > one.clientWidth)"
                assert await tab.evaluate(f"{cut}.length") == 0, "a figure reaches into the next one"


async def test_the_figures_at_the_end_are_those_of_status_to_the_kopeck(place: Place, shows: Shows) -> None:
    place.traffic.answer = refuse_each_seventh
    async with a_load(place) as (load, name), shows(name) as shown:
        await stage(shown, "works")
        place.billing.latency = 0.0
        assert (await load.ended()).exit == 1
        await stage(shown, "ended")
        await expect(shown.tab.locator("#report")).to_be_visible()
        found = await place.cli.closing("status", name)
        states, sums = found["states"], found["amounts"]
        assert states == {"accepted": ROWS - ROWS // 7, "rejected": ROWS // 7}
        assert await shown.figure("#accepted-rows") == str(states["accepted"])
        assert await shown.figure("#accepted-sum") == sums["accepted"]
        assert await shown.figure("#rejected .middle") == str(states["rejected"])
        assert await shown.figure("#rejected .small") == sums["rejected"]
        drawn = await shown.tab.locator("#states li b").all_inner_texts()
        assert sorted(drawn) == sorted(str(number) for number in states.values())
        errors = shown.tab.locator("#errors tbody")
        await expect(errors.locator("td.number")).to_have_text([str(ROWS // 7)])
        await expect(errors).to_contain_text("Группе нельзя добавлять финансовую операцию")
        async with shown.context.expect_page() as opened:
            await shown.tab.locator("#report").click()
        report = await opened.value
        await expect(report.locator("h1")).to_have_text("Протокол загрузки данных в АСР Carbon Billing")
        await expect(report.locator("body")).to_contain_text(name)


@pytest.mark.prove
async def test_two_tabs_follow_a_run_through_a_pause_a_kill_and_a_resume(place: Place, shows: Shows) -> None:
    async with a_load(place) as (load, name), shows(name) as shown:
        other = await shown.another_tab()
        await stage(shown, "works")
        await shown.tab.evaluate("window.isStillThis = true")
        await shown.tab.get_by_role("button", name=word("Pause")).click()
        await expect(shown.tab.locator("#answer")).to_contain_text("✓")
        await expect(other.locator("#stage")).to_have_attribute("data-kind", "paused")
        await expect(other.locator("#paused")).to_contain_text(socket.gethostname())
        # Nothing is in flight any more.
        await expect(shown.tab.locator("#pace .small")).to_contain_text(
            f"{word('in parallel: {calls} of {window}').partition('{')[0]}0"
        )
        await other.get_by_role("button", name=word("Continue")).click()
        await stage(shown, "works")
        await shown.tab.locator("#rate").fill("1000")
        await shown.tab.locator("#set").click()
        await expect(other.locator("#rate")).to_have_value("1000")
        await expect(other.locator("#commands li")).to_have_count(3)
        await expect(other.locator("#commands li").first).to_contain_text(word("page, {name}").partition("{")[0])
        load.signal(signal.SIGKILL)
        await load.ended()
        await expect(shown.tab.locator("#silent")).to_contain_text(f"carbon-migrate resume {name}")
        await stage(shown, "silent")
        async with place.cli.started("resume", name, "--json", "--settle", "0.1") as again:
            await stage(shown, "works")
            await expect(shown.tab.locator("#silent")).to_be_hidden()
            place.billing.latency = 0.0
            assert (await again.ended()).exit == 0
        for tab in (shown.tab, other):
            await expect(tab.locator("#end")).to_be_visible()
            await expect(tab.locator("#accepted-rows")).to_have_text(str(ROWS))
        assert await shown.tab.evaluate("window.isStillThis")


async def test_nothing_that_was_true_once_stays_when_it_is_not(place: Place, shows: Shows) -> None:
    """Answers, and the question whether to stop: after another tab, a server that hangs, and the end of the run."""
    async with a_load(place) as (load, name), shows(name) as shown:
        tab, other = shown.tab, await shown.another_tab()
        await stage(shown, "works")
        await tab.locator("#pause").click()
        await expect(tab.locator("#answer")).to_contain_text("✓")
        await stage(shown, "paused")
        await expect(tab.locator("#answer")).to_contain_text("✓")
        await expect(tab.locator("#why-text")).to_have_text(re.compile(r"пауза: страница, .*, процесс \d+"))
        await other.locator("#continue").click()
        await expect(tab.locator("#answer")).to_be_empty()
        await expect(other.locator("#answer")).to_contain_text("✓")
        await other.locator("#stop").click()
        shown.server.signal(signal.SIGSTOP)
        # Nothing is known of it: neither how fast it is, nor whether it goes on.
        await stage(shown, "unknown")
        await expect(tab.locator("#pace .middle")).to_have_text("–")
        await expect(tab.locator("#why")).to_be_hidden()
        await expect(other.locator("#stop-dialog")).to_be_hidden()
        await tab.locator("#rate").focus()
        for one in (tab, other):
            assert await one.evaluate("[...document.querySelectorAll('.live')].every((one) => one.inert)")
        shown.server.signal(signal.SIGCONT)
        await stage(shown, "works")
        assert not await tab.evaluate("[...document.querySelectorAll('.live')].some((one) => one.inert)")
        await tab.locator("#stop").click()
        place.billing.latency = 0.0
        assert (await load.ended()).exit == 0
        await stage(shown, "ended")
        await expect(tab.locator("#stop-dialog")).to_be_hidden()
        await expect(other.locator("#answer")).to_be_empty()


@pytest.mark.parametrize("is_listed", [False, True], ids=["a run", "all runs"])
async def test_a_page_that_ends_before_its_run_does_not_say_that_it_works(
    is_listed: bool, place: Place, shows: Shows
) -> None:
    async with a_load(place) as (_, name), shows(*([] if is_listed else [name])) as shown:
        if is_listed:
            await expect(shown.tab.locator("#runs tbody tr")).to_have_count(1)
        else:
            await stage(shown, "works")
        shown.server.signal(signal.SIGINT)
        await expect(shown.tab.locator("#over")).to_be_visible()
        if is_listed:
            assert await shown.tab.evaluate("getComputedStyle(document.getElementById('runs')).opacity") < "1"
        else:
            await stage(shown, "unknown")
        await expect(shown.tab.locator(".live:visible")).to_have_count(0)
        # A browser tells of each request that nobody answers.
        shown.troubles.clear()


async def test_a_wait_for_the_billing_is_told_whole_and_ended_by_its_button(place: Place, shows: Shows) -> None:
    flags = ("--settle", "600", "--no-canary")
    async with control.a_load(place, *flags) as (load, name), shows(name, language="en") as shown:
        tab, now = shown.tab, shown.tab.get_by_role("button", name="Ask the billing now")
        await stage(shown, "works")
        await expect(now).to_be_hidden()
        refusal = Fault(FaultKind.UNAVAILABLE, method="objects.create", retry_after="600", times=1)
        place.billing.faults.set(FaultPlan((refusal,)))
        place.billing.latency = 0.0
        await stage(shown, "held")
        await now.click()
        await expect(tab.locator("#commands li").first).to_contain_text("the billing is asked at once")
        await held(place, name, "in doubt")
        # No call may be missed: this wait goes on.
        await expect(tab.locator("#why-text")).to_contain_text("in doubt")
        await expect(now).to_be_hidden()
        await place.cli("stop", name)
        await load.ended()
    assert (await place.cli.closing("resume", *NO_WAITING))["states"] == {"accepted": ROWS}
    await place.landed_once(ROWS)


@pytest.mark.parametrize(("reader", "viewport"), [("ru", WIDE), ("en", NARROW)])
async def test_a_run_that_was_killed_and_resumed_is_looked_back_at_read_back_and_its_rows_are_shown(
    reader: str, viewport: dict[str, int], place: Place, shows: Shows
) -> None:
    place.traffic.answer = refuse_each_seventh
    async with a_load(place) as (load, name):
        await place.cli("pause", name)
        await place.cli("continue", name)
        load.signal(signal.SIGKILL)
        await load.ended()
    place.billing.latency = 0.0
    await place.cli("resume", name, "--settle", "0.1", may_end_with=(1,))
    async with shows(name, language=reader, viewport=viewport) as shown:
        tab = shown.tab
        await stage(shown, "ended")
        await tab.locator(".past summary").press("Enter")
        kinds = ("started", "paused", "continued", "killed at about this time", "resumed", "ended")
        marks = tab.locator("#marks li")
        await expect(marks).to_have_count(len(kinds))
        told = await marks.all_inner_texts()
        assert {kind for kind in kinds if any(word(kind, reader) in one for one in told)} == set(kinds)
        await expect(tab.locator("#past-sum-legend")).to_contain_text(await tab.locator("#accepted-sum").inner_text())
        await expect(tab.locator("#past-errors-legend")).to_contain_text(str(ROWS // 7))
        assert await tab.evaluate("['▶', 'Ⅱ', '✗'].every((one) => drawn.has(one))")
        await tab.locator("#show-rows").press("Enter")
        await expect(tab.locator("#rows tbody tr")).to_have_count(ROWS // 7)
        await expect(tab.locator("#rows tbody tr").first).to_be_focused()
        async with tab.expect_download() as downloads:
            await tab.locator("#rows-file").click()
        download = await downloads.value
        assert download.suggested_filename == f"{name}-{'исправить' if reader == 'ru' else 'bad'}.csv"
        await tab.locator("#verify").press("Enter")
        await expect(tab.locator("#verification-lines")).to_contain_text(str(ROWS - ROWS // 7))
        await expect(tab.locator("#verification-at")).to_contain_text(socket.gethostname())
        await expect(tab.locator("#states")).to_contain_text(word("applied", reader))
        assert await violations(tab) == []
        assert await is_within_its_width(tab)
    async with shows(name, "--no-names", language=reader, viewport=viewport) as shown:
        tab = shown.tab
        await stage(shown, "ended")
        await expect(tab.locator("#nameless")).to_be_visible()
        await expect(tab.locator("#past-errors-legend")).to_contain_text(str(ROWS // 7))
        await expect(tab.locator(".named:visible")).to_have_count(0)
        await expect(tab.locator("main button:visible")).to_have_text([word("Look at the whole load", reader)])
        assert await violations(tab) == []
        assert await is_within_its_width(tab)


@pytest.mark.prove
async def test_what_others_have_written_stays_text(place: Place, shows: Shows) -> None:
    await place.execute("update abonents set name = ?", ATTACK[:60])
    # A page of errors becomes its words: a tag that it writes as words is no tag of it.
    page = f"<p>{html.escape(ATTACK, quote=False)}</p>"
    place.traffic.answer = lambda _: web.json_response({"call": "objects.create", "error": page})
    path = place.balances(4, name="<img src=x onerror=document.title='taken'>.csv").path
    await place.cli("run", "balances", path, "--yes", "--no-canary", "--settle", "0.1", may_end_with=(1,))
    (run,) = await place.runs()
    async with shows(run.name) as shown:
        await stage(shown, "ended")
        await expect(shown.tab.locator("#errors tbody")).to_contain_text(ATTACK)
        await expect(shown.tab.locator("#fact-what")).to_contain_text("<img src=x")
        assert await shown.tab.locator("main img, main script").count() == 0
        await shown.tab.locator("#to-runs").click()
        await expect(shown.tab.locator("#runs tbody")).to_contain_text("<img src=x")
        assert await shown.tab.locator("main img, main script").count() == 0
        assert "taken" not in await shown.tab.title()


@pytest.mark.prove
async def test_a_wrong_setting_is_refused_with_a_sentence_a_right_one_taken(place: Place, shows: Shows) -> None:
    async with a_load(place) as (_, name), shows(name) as shown:
        rate, answer = shown.tab.locator("#rate"), shown.tab.locator("#answer")
        await rate.fill("fast")
        await rate.press("Enter")
        await expect(answer).to_contain_text("✗")
        await expect(answer).to_contain_text("fast")
        await expect(rate).to_have_attribute("aria-invalid", "true")
        # A browser tells of each answer that is an error.
        assert [told for told in shown.troubles if "409" not in told and "400" not in told] == []
        shown.troubles.clear()
        await rate.fill("500")
        await rate.press("Enter")
        await expect(answer).to_contain_text("✓")
        assert (await place.cli.closing("status", name))["settings"]["rate"] == "500"


@pytest.mark.prove
async def test_a_page_that_only_shows_has_no_buttons_and_a_lost_server_is_told(place: Place, shows: Shows) -> None:
    async with a_load(place) as (_, name), shows(name, "--read-only") as shown:
        await stage(shown, "works")
        await expect(shown.tab.locator("#no-control")).to_have_text(
            word("This page only shows: it was opened as read-only.")
        )
        await expect(shown.tab.locator("#control")).to_be_hidden()
        shown.server.signal(signal.SIGKILL)
        lost = shown.tab.locator("#lost")
        before, between, _ = re.split(r"\{\w+\}", word(SILENT))
        await expect(lost).to_contain_text(before)
        await expect(lost).to_contain_text(f"{between}carbon-migrate page {name} --journal ")
        await expect(lost).to_contain_text(f"carbon-migrate resume {name} --journal ")
        shown.troubles.clear()
