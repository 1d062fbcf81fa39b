"""The page follows a run through everything that happens to it, and commands from it reach the run."""

import json
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio import create_task_group

from checkpoints.errors import JournalUnreadable
from checkpoints.journal import open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.queries import FoundRow
from checkpoints.records import Change, Command, Page, Refusal, Run, Totals
from checkpoints.sqlite_store import SqliteQueries
from checkpoints.states import State
from checkpoints.transitions import Purge
from cli.page import feed
from cli.page.application import PageOrder, serving
from cli.page.feed import Feed, Feeds, RunList
from cli.settings.settings import NO_BILLINGS, KnownBillings
from cli.terminal.texts import ENGLISH, language
from engine.pipeline.control import live_to_json, to_json
from engine.pipeline.progress import Progress
from engine.statistics import PaceSample
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, ids, keep, new_item
from tests.checkpoints.shells import shell
from tests.cli.commands.test_control import ROWS, SLOW, a_load
from tests.cli.conftest import PATIENCE, Cli, Place, clean_environment
from tests.cli.fleet.conftest import every_stage
from tests.cli.page.browser import Browser, Shown, Stream, browser_at, page_shown
from tests.postgres_server import PostgresServer
from texts.said import said

VERY_SLOW = 2.0
"""Seconds of an answer while a run must not come to its end, however slow the machine is: its rows take 76."""

SOON = 3.0
"""Seconds within which the page says that nobody works on a run."""


@asynccontextmanager
async def page_of(place: Place, *words: str) -> AsyncIterator[Browser]:
    """A page of the command, opened in a browser."""
    async with place.cli.started("page", *words, "--json") as page:
        address = json.loads(await page.first_line())["address"]
        async with browser_at(address) as browser:
            assert (await browser.open()).status == 303
            yield browser
        assert page.process.returncode is None, "it goes on whatever its browsers do"
        page.signal(signal.SIGINT)
        assert (await page.ended()).exit == 130


async def pause_and_go_on(place: Place, name: str, browser: Browser, stream: Stream) -> None:
    """A pause stops the calls within a second, and stands in the journal with its sender."""
    reply = await browser.commands(name, "pause")
    assert (reply.status, reply.found["refused"]) == (200, False)
    place.billing.latency = 0.0
    # What had left is answered within a slow answer; nothing has left since.
    with anyio.fail_after(PATIENCE):
        await stream.until(lambda seen: seen["in_flight"] == 0 and seen["paused"])
    arrived = place.traffic.arrived
    await stream.until(lambda _: True)
    seen = (await stream.until(lambda _: True)).data
    assert place.traffic.arrived == arrived < ROWS
    assert seen["paused"]["by"].startswith("page, ")
    assert seen["run"]["stage_text"] == "running, paused"
    async with place.journal() as journal:
        (noted,) = await journal.history.commands(await journal.run(name))
    told = await place.cli.closing("status", name)
    assert noted.command == "pause"
    assert noted.who.startswith(f"page, {told['live'] and seen['worked_by']['who']}")
    place.billing.latency = SLOW
    assert (await browser.commands(name, "set", None, rate="70")).status == 200
    assert (await browser.commands(name, "continue")).status == 200
    seen = (await stream.until(lambda seen: not seen["paused"] and seen["in_flight"] > 0)).data
    assert [one["what"] for one in seen["commands"]] == ["pause", "set rate=70", "continue"]
    assert seen["settings"]["rate"] == "70"


async def test_one_stream_follows_a_run_through_a_pause_a_kill_and_a_resume_to_its_end(place: Place) -> None:
    async with (
        a_load(place, latency=VERY_SLOW) as (load, name),
        page_of(place, name) as browser,
        browser.stream(name) as stream,
    ):
        working = await stream.until(lambda seen: seen["accepted"]["rows"] > 0)
        assert working.data["worked_by"]["process"] == load.process.pid
        assert working.data["settings"]["in-flight"] == "2"
        assert not working.data["ended"]
        load.signal(signal.SIGSTOP)
        try:
            seen = (await stream.until(lambda seen: "does not answer" in seen["why"])).data
            assert seen["worked_by"]["process"] == load.process.pid
        finally:
            load.signal(signal.SIGCONT)
        await stream.until(lambda seen: "does not answer" not in seen["why"])
        await pause_and_go_on(place, name, browser, stream)
        load.signal(signal.SIGKILL)
        await load.ended()
        silent = await stream.until(lambda seen: seen["worked_by"] is None)
        assert silent.data["silent_for"] < SOON
        assert silent.data["run"]["stage"] == "stopped"
        refused = await browser.commands(name, "stop")
        assert (refused.status, refused.found["refused"]) == (409, True)
        assert f"carbon-migrate resume {name}" in refused.found["said"]
        place.billing.latency = 0.05
        async with place.cli.started("resume", name, "--json", "--page", "--settle", "0") as resumed:
            heard = await resumed.said("ssh -L ")
            assert f"The page of run {name}: http://127.0.0.1:" in " ".join(heard.split())
            again = await stream.until(lambda seen: seen["worked_by"] is not None)
            assert again.data["worked_by"]["process"] == resumed.process.pid != load.process.pid
            assert (await resumed.ended()).closing["states"] == {"accepted": ROWS}
        ended = await stream.until(lambda seen: seen["ended"])
        assert working.number < silent.number < again.number < ended.number
        last, told = ended.data, await place.cli.closing("status", name)
        assert last["counts"] == {"accepted": {"rows": ROWS, "sum": told["amounts"]["accepted"]}}
        assert last["accepted"] == last["asked"] == last["counts"]["accepted"]
        assert Decimal(last["accepted"]["sum"]) == (await place.found()).sum
        assert last["closing"]
        (listed,) = (await browser.get("/api/runs?lang=ru")).found["runs"]
        assert (listed["run"], listed["stage"], listed["stage_text"]) == (name, "done", "завершена")
        assert (listed["asked"], listed["accepted"], listed["is_held"]) == (ROWS, ROWS, False)
        assert listed["asked_sum"] == listed["accepted_sum"] == told["amounts"]["accepted"]


async def test_who_opens_it_late_has_the_history_and_who_comes_again_what_was_missed(place: Place) -> None:
    async with a_load(place) as (load, name):
        # The run keeps its history itself: no page was there when it began.
        async with place.journal() as journal:
            run = await journal.run(name)
            with anyio.fail_after(PATIENCE):
                while len(await journal.mailbox.samples(run)) < 3:  # noqa: ASYNC110 - another process gives no event
                    await anyio.sleep(0.1)
        async with page_of(place, "--read-only") as browser:
            async with browser.stream(name) as stream:
                first = await stream.next()
                assert first.name == "history"
                times = [sample["t"] for sample in first.data["samples"]]
                assert len(times) >= 3
                assert times == sorted(times)
                seen = await stream.until(lambda _: True)
                later = await stream.until(lambda moment: moment["sample"]["t"] > seen.data["sample"]["t"])
            async with browser.stream(name, seen.number) as again:
                first = await again.next()
                samples = first.data["samples"] if first.name == "history" else [first.data["sample"]]
            times = [sample["t"] for sample in samples]
            assert times[0] > seen.data["sample"]["t"]
            assert later.data["sample"]["t"] in times
        load.signal(signal.SIGTERM)
        await load.ended()


async def test_fifty_dead_clients_and_two_tabs_do_not_keep_a_run_with_a_page_from_its_end(place: Place) -> None:
    """Clients that open a stream and never read it, or never say anything."""
    balances, flags = place.balances(ROWS), ("--yes", "--json", "--page", "--in-flight", "2")
    place.billing.latency = SLOW
    async with place.cli.started("run", "balances", balances.path, *flags) as load:
        heard = await load.said("ssh -L ")
        (address,) = [word for word in heard.split() if word.startswith("http://127.0.0.1:") and "token=" in word]
        async with browser_at(address) as browser:
            cookie = (await browser.open()).headers["Set-Cookie"].partition(";")[0]
            run = (await browser.get("/api/page")).found["run"]
            port = browser.opening.port
            request = f"GET /api/runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()
            dead = [await anyio.connect_tcp("127.0.0.1", port or 0) for _ in range(50)]
            for client in dead[:40]:
                await client.send(request)
            async with browser.stream(run) as one, browser.stream(run) as other:
                for stream in (one, other):
                    await stream.until(lambda seen: seen["accepted"]["rows"] > 0)
                assert (await browser.commands(run, "pause")).status == 200
                await one.until(lambda seen: seen["paused"])
                assert (await browser.commands(run, "continue")).status == 200
                place.billing.latency = 0.0
                told = [(await stream.ended())[-2:] for stream in (one, other)]
            for client in dead:
                await client.aclose()
        ended = await load.ended()
    for end, closed in told:
        assert (end.data["ended"], end.data["accepted"]["rows"], bool(end.data["closing"])) == (True, ROWS, True)
        assert (closed.name, closed.data["command"].split()[:3]) == ("closed", ["carbon-migrate", "page", run])
    assert ended.closing["states"] == {"accepted": ROWS}


# ---- A command of the page is carried out, or says why not; what the page shows of a run, in the reader's language


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


async def test_what_needs_a_process_says_that_nobody_works_on_the_run(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="ru") as shown:
        for command in ("stop", "set"):
            reply = await shown.browser.commands(shown.run.name, command, rate="5")
            assert reply.status == 409
            assert "сейчас никто не работает" in reply.found["said"]
            assert f"carbon-migrate resume {shown.run.name}" in reply.found["said"]
        # A run that is not there is told so.
        for reply in (
            await shown.browser.commands("zzzzz", "pause"),
            await shown.browser.get("/api/runs/zzzzz/events"),
            await shown.browser.get("/api/runs/..%2f..%2fetc/events"),
        ):
            assert (reply.status, reply.found["refused"]) == (404, True)


async def test_a_journal_that_has_gone_is_told_with_its_reason(
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
        kinds = [said("{text0}", text0=said("{cell!r} is no sum", cell=str(cell))) for cell in range(3)]
        many = await journal.create_run(replace(NEW_RUN, source="many.csv"))
        lines = (Refusal(line, "amount", str(line), why) for line, why in enumerate([*kinds, said("no contract")]))
        await journal.freeze(many, Page((), (*lines,), None), keep)
        of_kinds = await moment(shown, many.name)
        of_input = await moment(shown, refused.name, "?lang=ru")
        run = await frozen_run(journal, new_item(SCRIPT), new_item("2"))
        item = (await ids(journal, run))[SCRIPT]
        async with journal.taken_up(run) as ours:
            await journal.claim(ours, [item])
            await journal.record(ours, [Change(item, State.REJECTED, message=f"{SCRIPT}: no such account")])
        seen = await moment(shown, run.name)
    (error,), (of_refused,) = seen["errors"], of_input["errors"]
    by_kind = [(one["text"], one["rows"]) for one in of_kinds["errors"]]
    assert by_kind == [("refused: '…' is no sum", 3), ("refused: no contract", 1)]
    assert error["rows"] == 1
    assert "\x1b" not in json.dumps([seen, of_input], ensure_ascii=False)
    assert "<script>" in error["text"], "the browser shows it as text"
    assert (of_refused["text"], of_refused["rows"]) == ("не принято", 1)
    assert of_refused["example"].startswith("строка файла 7 (<script>")
    assert of_input["refused"] == 1


async def test_a_run_is_followed_whose_process_has_its_lock_and_no_entry_yet(tmp_path: Path) -> None:
    """A process locks a run, then waits for its turn to write itself down: with two runs at once, for seconds."""
    async with page_shown(tmp_path) as shown:
        run = await frozen_run(shown.journal, new_item("3"))
        async with shown.journal.taken_up(run):
            with shell(JournalAddress(tmp_path / "a.journal")) as behind:
                behind.execute("delete from runners where run_id = ?", (run.run_id,))
            seen = await moment(shown, run.name)
    assert (seen["worked_by"]["who"], seen["run"]["who"], seen["stopped"], seen["ended"]) == ("", "", False, False)


async def test_an_old_count_does_not_come_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    (purpose, command), (in_russian, _) = english["closing"][0], russian["closing"][0]
    assert (purpose, in_russian) == (
        "write the rows that were refused or rejected, each with its reason",
        "записать в файл не принятые и отклонённые строки, каждую с причиной",
    )
    assert command.startswith(f"carbon-migrate export {ours.name} --state bad ")
    assert english["accepted"] == russian["accepted"]
    assert english["rejected"]["rows"] == 1


# ---- the runs of the journal, as status has them -----------------------------------------------------------------


async def test_runs_of_many_billings_are_listed_with_their_needs(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    where = journal_in_postgres(postgres_server.new_journal(), tmp_path)
    known = KnownBillings({"idle.example.org-8082": ["north"]}, (where,))
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(open_journal(where))
        campaign = await stack.enter_async_context(every_stage(journal))
        what = {run.name: what for what, run in campaign.runs.items()}
        address = await stack.enter_async_context(serving(journal, PageOrder(None, "ru", known=known)))
        browser = await stack.enter_async_context(browser_at(address.url))
        await browser.open()
        found = (await browser.get("/api/runs")).found
        runs = {what[one["run"]]: one for one in found["runs"]}
        assert list(runs)[0:7] == ["reading", "frozen", "again", "left", "idle", "decide", "rejected"]
        assert (runs["idle"]["billing"], runs["works"]["billing"]) == ("north", "works.example.org")
        assert runs["works"]["where"].endswith(f", {os.getpid()}")
        assert runs["works"]["per_second"] > 0
        assert runs["decide"]["needs"] == ["надо решить по 3 строкам"]
        assert runs["queued"]["where"].startswith("в очереди с ")
        assert found["summary"][0].startswith("14 биллингов: 7 загрузок требуют внимания")
        assert len(found["billings"]) == len(runs) == 14
        of_one = (await browser.get("/api/runs?billing=north&lang=en")).found
        assert [what[one["run"]] for one in of_one["runs"]] == ["idle"]
        assert of_one["summary"][0] == "1 billing: 1 run needs a person"
        assert len(of_one["billings"]) == 14


async def test_the_rows_of_a_run_at_rest_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal has many runs, and the list asks for all of them every few seconds."""
    monkeypatch.setattr(feed, "PAUSE", 0)
    monkeypatch.setattr(feed, "MOST_RUNS", 1)
    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"), new_item("3", skip_reason="as wanted"))
        listed, counted = RunList(journal, NO_BILLINGS), counted_runs(monkeypatch)
        for _ in range(3):
            await listed.look(language("en"))
        assert counted == [run.run_id]
        counted.clear()
        monkeypatch.setattr(feed, "PAUSE", 1e6)
        patient = RunList(journal, NO_BILLINGS)
        async with journal.taken_up(run) as ours:
            # The journal keeps of it how far its rows are read.
            for rate in ("1", "2", "3"):
                await journal.keep_policy(ours, {"rate": rate})
                await patient.look(language("en"))
        assert counted == [run.run_id]
        monkeypatch.setattr(feed, "PAUSE", 0)
        await listed.look(language("en"))
        counted.clear()
        async with journal.taken_up(run) as ours:
            await come_to(journal, ours, {1: State.ACCEPTED})
        for _ in range(3):
            await listed.look(language("en"))
        assert counted == [run.run_id]
        newer = await frozen_run(journal, new_item("2"))
        found = await listed.look(language("en"))
        assert ([one["run"] for one in cast("list[dict[str, str]]", found["runs"])], found["more"]) == (
            [newer.name],
            1,
        )
        monkeypatch.undo()
        found = await listed.look(language("en"))
    # What is skipped is none of what was to be accepted.
    runs = cast("list[dict[str, int]]", found["runs"])
    assert [(one["accepted"], one["asked"]) for one in runs] == [(0, 1), (1, 1)]


def counted_runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The ids of the runs whose rows are counted for lists from now on."""
    each, counted = SqliteQueries.each, list[object]()

    def counting(db: SqliteQueries, name: str, /, **values: Any) -> Iterator[FoundRow]:
        if name == "totals_of_runs":
            counted.extend(values["ids"])
        return each(db, name, **values)

    monkeypatch.setattr(SqliteQueries, "each", counting)
    return counted


@pytest.mark.parametrize("reader", ["en", "ru"])
async def test_a_run_that_waits_is_listed_with_why_in_the_language_of_who_looks(reader: str, tmp_path: Path) -> None:
    why = said("asking again in {seconds} s: {why}", seconds=5, why=said("paused"))
    async with page_shown(tmp_path) as shown:
        async with shown.journal.taken_up(shown.run) as ours:
            live = live_to_json(replace(Progress().status(), held=why), {})
            sample = to_json(PaceSample(time.time(), 0.0, 1, 0, None, None))
            await shown.journal.mailbox.tell(ours, live, 1, sample)
            reply = await shown.browser.get(f"/api/runs?lang={reader}")
        assert (reply.status, reply.found.get("said")) == (200, None)
        assert [one["waits_for"] for one in reply.found["runs"]] == [language(reader).render(why)]
        rested = (await shown.browser.get(f"/api/runs?lang={reader}")).found["runs"]
    assert [one["waits_for"] for one in rested] == [None]


async def test_only_calls_that_are_under_way_count_as_being_sent(tmp_path: Path) -> None:
    counts = {"accepted": 1, "sending": 16, "pending": 3}
    found: list[dict[str, int]] = []
    async with page_shown(tmp_path) as shown, shown.journal.taken_up(shown.run) as ours:
        for in_flight in (2, 0):
            status = replace(Progress().status(), counts=counts, in_flight=in_flight)
            sample = to_json(PaceSample(time.time(), 0.0, 2, in_flight, None, None))
            await shown.journal.mailbox.tell(ours, live_to_json(status, {}), in_flight, sample)
            async with shown.browser.stream(ours.name) as stream:
                seen = (await stream.until(lambda seen: seen["in_flight"] == in_flight)).data  # noqa: B023 - at once
            found.append({state: part["rows"] for state, part in seen["counts"].items()})
    assert found == [{"pending": 17, "sending": 2, "accepted": 1}, {"pending": 19, "accepted": 1}]


async def test_a_working_run_with_refused_rows_is_listed_as_one_that_works_too(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        run = await shown.journal.create_run(NEW_RUN)
        await shown.journal.freeze(run, Page((new_item("3"),), (Refusal(7, "amount", "7", "no number"),), None), keep)
        async with shown.journal.taken_up(run):
            summary = (await shown.browser.get("/api/runs?lang=en")).found["summary"]
    assert summary[0] == "1 billing: 2 runs need a person, of which 1 works meanwhile"


async def test_a_run_that_is_refused_names_no_page_that_is_gone_by_then(place: Place) -> None:
    place.rows("abonent_id;amount", f"{place.subscribers(1)[0]};1", "0;1", name="bad.csv")
    words = ("run", "balances", "bad.csv", "--yes", "--page")
    ended = await place.cli.refused(*words, says="1 row of the input is refused")
    assert "token=" not in ended.err


async def test_who_did_what_is_said_in_the_language_of_who_looks(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        who = "page, olga@vm (says it is chief), process 12"
        for command in ("taken up with --rate 5", "worker", "set rate=5"):
            await shown.journal.history.note_command(shown.run, who, command, said("it goes on"))
        async with shown.browser.stream(shown.run.name, query="?lang=ru") as stream:
            told = (await stream.until(lambda seen: len(seen["commands"]) == 3)).data["commands"]
    assert [one["what"] for one in told] == ["продолжена с --rate 5", "работник оставил загрузку", "set rate=5"]
    assert {one["who"] for one in told} == {"страница, olga@vm (называет себя chief), процесс 12"}


async def test_an_open_run_is_counted_again_when_it_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "EVERY", 0.01)
    monkeypatch.setattr(feed, "PAUSE", 0)
    async with open_journal(tmp_path / "a.journal") as journal:
        run, totals, counted = await frozen_run(journal, new_item("1")), journal.totals, list[str]()

        async def count(run: Run) -> Totals:
            counted.append(run.name)
            return await totals(run)

        monkeypatch.setattr(journal, "totals", count)
        async with create_task_group() as group, Feeds(journal, group).watching(run.name) as watched:
            await moments(watched, 5)
            assert counted == [run.name]
            async with journal.taken_up(run) as ours:
                await come_to(journal, ours, {1: State.ACCEPTED})
            await moments(watched, 5)
            before = len(counted)
            await moments(watched, 5)
            assert len(counted) == before
            facts = watched.facts
    assert facts is not None
    assert facts.totals.counts == {State.ACCEPTED: 1}


async def moments(watched: Feed, number: int) -> None:
    """Wait for so many looks."""
    for _ in range(number):
        assert await watched.next(watched.last)


async def test_the_report_is_that_of_the_command(tmp_path: Path) -> None:
    async with page_shown(tmp_path, language="en") as shown:
        name = shown.run.name
        replies = {one: await shown.browser.get(f"/api/runs/{name}/report?lang={one}") for one in ("en", "ru")}
        assert (await shown.browser.get("/api/runs/zzzzz/report")).status == 404
        gone = await frozen_run(shown.journal, new_item("9"))
        await shown.journal.discard(gone)
        purge = Purge({}, empty=lambda payload: payload, keep_totals=False)
        await shown.journal.purge(await shown.journal.run(gone.name), purge)
        reply = await shown.browser.get(f"/api/runs/{gone.name}/report")
        assert (reply.status, reply.found["refused"]) == (409, True)
    for one, reply in replies.items():
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "script-src" not in reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        arguments = ("report", name, "--lang", one, "--journal", tmp_path / "a.journal", "-o", f"{one}.html")
        await Cli(tmp_path, clean_environment())(*arguments)
        assert reply.text == await anyio.Path(tmp_path / f"{one}.html").read_text(encoding="utf-8")


# ---- A page beside a run changes nothing of how the run comes out


async def test_a_fault_in_the_last_look_is_none_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Feed) -> None:
        raise ValueError("a fault of the page")

    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        async with serving(journal, PageOrder(run.name, ENGLISH)):
            monkeypatch.setattr(Feed, "look", fails)


async def test_connections_to_a_page_take_no_files_from_the_calls_of_the_run(tmp_path: Path) -> None:
    """Anybody on this machine can connect, and a call without a free file waits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard - 1, 512), hard))
    try:
        async with open_journal(tmp_path / "a.journal") as journal, serving(journal, PageOrder(None, ENGLISH)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
