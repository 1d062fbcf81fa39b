"""A command of the page is carried out, or says why not; what the page shows of a run, in the reader's language."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.records import Change, Command, Page, Refusal, Run, Totals
from checkpoints.states import State
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, ids, keep, new_item
from tests.cli.page.browser import Shown, page_shown

SCRIPT = "<script>alert(1)</script>\x1b[31m"


async def noted(shown: Shown) -> list[Command]:
    return await shown.journal.history.commands(shown.run)


async def is_paused(shown: Shown) -> bool:
    return (await shown.journal.run(shown.run.name)).paused_at is not None


async def test_a_run_that_nobody_works_on_is_paused_and_let_go_on_in_its_journal(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        # Nobody is named by what the browser says.
        body = {"command": "pause", "who": "chief@accounting", "through": ""}
        path = f"/api/runs/{shown.run.name}/commands"
        reply = await shown.browser.asks("POST", path, {"Origin": shown.browser.origin}, json=body)
        assert (reply.status, reply.found["refused"]) == (200, False)
        assert reply.found["said"].startswith("пауза; с загрузкой никто не работает")
        (one,) = await noted(shown)
        assert (one.command, one.who.startswith("page, "), "chief" in one.who) == ("pause", True, False)
        assert await is_paused(shown)
        assert (await shown.browser.commands(shown.run.name, "continue")).status == 200
        assert not await is_paused(shown)


async def test_a_page_to_look_only_takes_no_command(tmp_path: Path) -> None:
    async with page_shown(tmp_path, read_only=True) as shown:
        assert (await shown.browser.get("/api/page")).found["read_only"]
        for command in ("pause", "continue", "stop", "set"):
            assert (await shown.browser.commands(shown.run.name, command)).status == 403
        assert (await noted(shown), await is_paused(shown)) == ([], False)


@pytest.mark.parametrize("command", ["stop", "set"])
async def test_what_needs_a_process_says_that_nobody_works_on_the_run(command: str, tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        reply = await shown.browser.commands(shown.run.name, command, rate="5")
        assert reply.status == 409
        assert "сейчас никто не работает" in reply.found["said"]
        assert f"carbon-migrate resume {shown.run.name}" in reply.found["said"]


async def test_a_run_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        for reply in (
            await shown.browser.commands("zzzzz", "pause"),
            await shown.browser.get("/api/runs/zzzzz/events"),
            await shown.browser.get("/api/runs/..%2f..%2fetc/events"),
        ):
            assert (reply.status, reply.found["refused"]) == (404, True)


async def test_a_journal_that_cannot_be_read_any_more_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: str) -> Run:
        raise JournalUnreadable("the disk has gone")

    async with page_shown(tmp_path) as shown:
        async with shown.browser.stream(shown.run.name) as stream:
            await stream.until(lambda _: True)
            monkeypatch.setattr(shown.journal, "run", fails)
            # It is cut off, and is told why when it comes again.
            await stream.ended()
        reply = await shown.browser.get(f"/api/runs/{shown.run.name}/events")
        assert (reply.status, "the disk has gone" in reply.found["said"]) == (409, True)
        monkeypatch.undo()
        assert (await moment(shown, shown.run.name))["run"]["run"] == shown.run.name


async def moment(shown: Shown, run: str, query: str = "", *, ended: bool = False) -> Any:
    async with shown.browser.stream(run, query=query) as stream:
        return (await stream.until(lambda seen: seen["ended"] >= ended)).data


async def test_words_of_rows_and_of_the_billing_are_text_wherever_they_stand(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        journal = shown.journal
        refused = await journal.create_run(NEW_RUN)
        await journal.freeze(
            refused, Page((new_item("1"),), (Refusal(7, "amount", SCRIPT, "no number"),), None), keep
        )
        of_input = await moment(shown, refused.name, "?lang=ru")
        run = await frozen_run(journal, new_item(SCRIPT), new_item("2"))
        item = (await ids(journal, run))[SCRIPT]
        async with journal.taken_up(run) as ours:
            await journal.claim(ours, [item])
            await journal.record(ours, [Change(item, State.REJECTED, message=f"{SCRIPT}: no such account")])
        seen = await moment(shown, run.name)
    (error,), (of_refused,) = seen["errors"], of_input["errors"]
    assert error["rows"] == 1
    assert "\x1b" not in json.dumps([seen, of_input], ensure_ascii=False)
    assert "<script>" in error["text"], "the browser shows it as text"
    assert (of_refused["text"], of_refused["rows"]) == ("не принято к загрузке", 1)
    assert of_refused["example"].startswith("строка файла 7 (<script>")
    assert of_input["refused"] == 1


async def test_a_count_that_was_begun_before_the_end_does_not_come_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting takes long where there are many rows; what it has found then is old."""
    async with page_shown(tmp_path) as shown:
        journal, totals = shown.journal, shown.journal.totals
        begun, may_end = anyio.Event(), anyio.Event()

        async def slow_once(run: Run) -> Totals:
            found = await totals(run)
            if not begun.is_set():
                begun.set()
                await may_end.wait()
            return found

        async with shown.browser.stream(shown.run.name) as stream:
            async with journal.taken_up(shown.run) as ours:
                await stream.until(lambda seen: seen["worked_by"] is not None)
                monkeypatch.setattr(journal, "totals", slow_once)
                await begun.wait()
                await come_to(journal, ours, {1: State.ACCEPTED, 2: State.ACCEPTED})
            await stream.until(lambda seen: seen["ended"])
            may_end.set()
            for _ in range(2):
                later = await stream.until(lambda _: True)
                assert (later.data["ended"], later.data["accepted"]["rows"]) == (True, 2)


async def test_it_says_how_a_run_came_out_in_the_language_of_who_looks(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        async with shown.journal.taken_up(shown.run) as ours:
            await come_to(shown.journal, ours, {1: State.ACCEPTED, 2: State.REJECTED})
        english, russian = [
            await moment(shown, ours.name, f"?lang={language}", ended=True) for language in ("en", "ru")
        ]
    assert (english["ended"], english["run"]["stage_text"]) == (True, "done")
    assert (russian["run"]["stage_text"], russian["run"]["stage"]) == ("завершена", "done")
    assert english["closing"][0].startswith("1 row is in the billing")
    assert russian["closing"][0].startswith("В биллинге 1 строка")
    assert english["accepted"] == russian["accepted"]
    assert english["rejected"]["rows"] == 1
