"""What the page tells of a run that has ended: its past, rejected rows, a verification; and no names without them."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from msgspec import structs

from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import Change, LookUps, NewRunner, Refusal, Run
from checkpoints.sentences import held_back
from checkpoints.states import State
from cli.page.application import PageOrder, serving
from cli.session.comparison import MOST_SPANS
from engine.pacing.holds import BILLING
from engine.pipeline.control import live_to_json, to_json
from engine.pipeline.progress import Progress
from engine.statistics import PaceSample
from tests.checkpoints.samples import NEW_RUN, come_to, frozen_run, ids, keep, new_item, page, sent_run
from tests.checkpoints.shells import shell
from tests.cli.commands.test_report import Page
from tests.cli.conftest import Cli, Place, clean_environment
from tests.cli.page.browser import Browser, Shown, browser_at, page_shown
from tests.cli.page.chromium.test_run import refuse_each_seventh
from tests.cli.page.test_following import page_of
from tests.jobs.whole_database import changes
from texts.said import advise_settings, said

BEGAN: Final = datetime(2026, 11, 30, 1, tzinfo=UTC)
ROWS: Final = 70


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


async def past_of(shown: Shown, name: str) -> Any:
    """The past of a run, as the page gets it before its first figures."""
    async with shown.browser.stream(name) as stream:
        first = await stream.next()
        assert first.name == "past"
        await stream.until(lambda _: True)
        return first.data


async def a_night(journal: Journal, where: Path) -> Run:
    """A run of 6 rows that was paused, killed, resumed and read back, each at its time."""
    run = await frozen_run(journal, *(new_item(str(number), f"{number}.10") for number in range(1, 7)))
    await journal.end_intake(run)
    await journal.approve(run)
    for purpose in ("run", "resume", "verify", "undo"):
        async with journal.taken_up(run, NewRunner(purpose)) as ours:
            if purpose == "resume":
                await come_to(journal, ours, dict(enumerate([*[State.ACCEPTED] * 4, *[State.REJECTED] * 2], 1)))
                await journal.history.note_look_ups(ours, LookUps(found=1, absent=2))
    for command in ("continue", "pause", "pause", "continue now=yes", "continue", "set rate=5"):
        await journal.history.note_command(run, "olga", command, "")
    for holder, why in ((BILLING, "away"), (BILLING, ""), ("EVENTS_STACK", "5120 > 1000")):
        await journal.history.note_wait(run, holder, why)
    with shell(JournalAddress(where)) as behind:
        for number, seconds in enumerate([0, 1, 2, 40, 100, 101], 1):
            behind.execute(
                "update items set sent_at = ? where number = ? and run_id = ?", (at(seconds), number, run.run_id)
            )
        for epoch, began, ended in ((1, -5, None), (2, 90, 102), (3, 4000, 4001), (4, 5000, 5001)):
            moments = (at(began), None if ended is None else at(ended), run.run_id, epoch)
            behind.execute("update runners set began_at = ?, ended_at = ? where run_id = ? and epoch = ?", moments)
        for command, seconds in (("pause", 3), ("continue", 40)):
            behind.execute("update commands set given_at = ? where command like ?", (at(seconds), f"{command}%"))
        for why, seconds in (("away", 10), ("", 20), ("5120 > 1000", 25)):
            of_wait = "update commands set given_at = ? where who = '' and answer = ?"
            behind.execute(of_wait, (at(seconds), json.dumps(why)))
    return run


async def test_the_past_of_a_run_is_drawn_from_the_moments_of_its_rows(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        run = await a_night(shown.journal, tmp_path / "a.journal")
        past = await past_of(shown, run.name)
        async with shown.browser.stream(run.name) as stream:
            figures = (await stream.until(lambda _: True)).data
    start = BEGAN.timestamp()
    assert [(moment - start, kind) for moment, kind in past["marks"]] == [
        (-5, "begun"),
        (3, "paused"),
        (10, "away"),
        (20, "waited"),
        (25, "waits"),
        (40, "continued"),
        (41, "killed"),
        (90, "resumed"),
        (102, "ended"),
    ]
    points = past["points"]
    assert [one["t"] - start for one in points if one["rate"]] == [0, 1, 2, 40, 100, 101]
    assert (points[-1]["errors"], points[-1]["sum"]) == (2, figures["accepted"]["sum"])
    # What went wrong meanwhile is told, though no row is left with it.
    looked_up = {"text": "in doubt, and looked up since", "rows": 3}
    assert figures["errors"][-1] == {**looked_up, "example": "found in the billing: 1, not found: 2"}
    assert {"worked": 53, "held": 47, "idle": 49, "seconds": 60}.items() <= past.items()
    assert (past["average"], past["peak"]) == (None, None)


async def test_a_peak_is_not_above_the_rate_though_rows_are_claimed_in_groups(tmp_path: Path) -> None:
    """At 3 rows a second: 16 to begin with, and 8 whenever 8 are sent."""
    found: list[object] = []
    async with page_shown(tmp_path) as shown:
        for rows in (16 + 8 * 5, 16 + 8 * 40):
            run = await frozen_run(shown.journal, *(new_item(f"{rows} {number}") for number in range(rows)))
            await come_to(shown.journal, run, dict.fromkeys(range(1, rows + 1), State.ACCEPTED))
            with shell(JournalAddress(tmp_path / "a.journal")) as behind:
                for number in range(1, rows + 1):
                    sent = at(max(number - 9, 0) // 8 * 8 / 3)
                    behind.execute(
                        "update items set sent_at = ? where number = ? and run_id = ?", (sent, number, run.run_id)
                    )
            found.append((await past_of(shown, run.name))["peak"])
    assert found == [None, pytest.approx(3, abs=0.05)], "of less than a minute there is none"


async def test_a_run_that_was_held_again_and_again_has_no_peak_below_its_average(tmp_path: Path) -> None:
    """Ten rows a second for ten seconds, then none for half a minute, five times over."""
    async with page_shown(tmp_path) as shown:
        run = await frozen_run(shown.journal, *(new_item(str(number)) for number in range(700)))
        await shown.journal.approve(run)
        async with shown.journal.taken_up(run, NewRunner("run")) as ours:
            await come_to(shown.journal, ours, dict.fromkeys(range(1, 701), State.ACCEPTED))
        with shell(JournalAddress(tmp_path / "a.journal")) as behind:
            for number in range(700):
                sent = at(number // 100 * 40 + number % 100 / 10)
                behind.execute(
                    "update items set sent_at = ? where number = ? and run_id = ?", (sent, number + 1, run.run_id)
                )
            behind.execute(
                "update runners set began_at = ?, ended_at = ? where run_id = ?", (at(0), at(250), run.run_id)
            )
        past = await past_of(shown, run.name)
    assert past["held"] >= 6 * 29
    assert past["peak"] >= past["average"] == pytest.approx(10, abs=0.5)


async def test_the_past_of_a_long_run_has_as_many_points_as_that_of_a_short_one(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        run = await frozen_run(shown.journal, *(new_item(str(number)) for number in range(1000)))
        await come_to(shown.journal, run, dict.fromkeys(range(1, 1001), State.ACCEPTED))
        with shell(JournalAddress(tmp_path / "a.journal")) as behind:
            moment = "strftime('%Y-%m-%dT%H:%M:%f+00:00', 1796000000 + number * 77, 'unixepoch')"
            behind.execute(f"update items set sent_at = {moment} where run_id = ?", (run.run_id,))  # noqa: S608 - our own
        past = await past_of(shown, run.name)
        listed = (await shown.browser.get("/api/runs?lang=ru")).found
        untouched = shown.run.name
        async with shown.browser.stream(untouched) as stream:
            assert (await stream.next()).data is None, "a run that has sent nothing has no past"
    assert MOST_SPANS / 2 < len(past["points"]) <= MOST_SPANS + 2
    assert past["points"][-1]["sum"] == "1100.00"
    assert "внесено 1\u00a0100,00\u00a0₽" in listed["summary"][1], "an amount stays on one line"


# ---- the rows that were rejected ----------------------------------------------------------------------------------


async def pages(browser: Browser, name: str) -> list[list[dict[str, Any]]]:
    """All rejected rows, a page at a time."""
    found: list[list[dict[str, Any]]] = []
    after: str | None = ""
    while after is not None:
        reply = (await browser.get(f"/api/runs/{name}/rejected?after={after}&lang=en")).found
        found.append(reply["rows"])
        after = reply["after"]
    return found


async def test_a_refused_row_has_its_amount_where_it_can_be_read(place: Place) -> None:
    (one,) = place.subscribers(1)
    file = place.rows("abonent_id;amount", f"{one};1", "99999999;-55,10", f"{one};1O,00")
    name = (await place.run("balances", file, "--skip-bad", ends=1))["run"]
    async with page_of(place, name) as browser:
        ((first, second),) = await pages(browser, name)
    assert ((first["line"], first["amount"]), (second["line"], second["amount"])) == ((3, "-55.10"), (4, None))


@pytest.mark.parametrize(("rejected", "refused"), [(0, 3), (50, 0), (50, 50), (60, 51), (49, 2)])
async def test_rejected_and_refused_rows_come_a_page_at_a_time_each_once(
    rejected: int, refused: int, tmp_path: Path
) -> None:
    async with page_shown(tmp_path) as shown:
        journal, run = shown.journal, await shown.journal.create_run(NEW_RUN)
        refusals = [Refusal(line, "amount", f"refused {line}", "no number") for line in range(refused)]
        await journal.freeze(
            run, page(*(new_item(str(n), f"{n}.50") for n in range(rejected)), refusals=refusals), keep
        )
        items = list((await ids(journal, run)).values())
        await journal.claim(run, items)
        # The last one is held back by the program itself, which its code says, however it is worded.
        whys = [*["<b>no</b>"] * (rejected - 1), held_back("<b>no</b>")]
        changes = [Change(item, State.REJECTED, message=why) for item, why in zip(items, whys, strict=False)]
        await journal.record(run, changes)
        found = await pages(shown.browser, run.name)
        for wrong in ("x", "-1", "r-1", "1;2", "9" * 30):
            assert (await shown.browser.get(f"/api/runs/{run.name}/rejected?after={wrong}")).status == 400
    assert max(map(len, found)) <= 50
    labels = [row["label"] for part in found for row in part]
    assert labels == [f"subscriber {n}" for n in range(rejected)] + [f"refused {line}" for line in range(refused)]
    if rejected:
        first = {"number": 1, "amount": "0.50", "outcome": "rejected by the billing", "reason": "<b>no</b>"}
        assert first.items() <= found[0][0].items()
        outcomes = [row["outcome"] for part in found for row in part]
        assert outcomes[rejected - 2 : rejected] == ["rejected by the billing", "held back"]
    if refused:
        assert found[-1][-1]["reason"] == "amount: no number"


async def test_what_the_program_has_held_back_is_not_called_rejected_by_the_billing(tmp_path: Path) -> None:
    """On the screen, in the file and in the report as on the page."""
    async with page_shown(tmp_path) as shown:
        async with shown.journal.taken_up(shown.run) as ours:
            (first, _) = (await ids(shown.journal, ours)).values()
            await shown.journal.claim(ours, [first])
            why = held_back(said("changed since the plan: {change}", change="x"))
            await shown.journal.record(ours, [Change(first, State.REJECTED, message=why)])
        name, cli = shown.run.name, Cli(tmp_path, clean_environment())
        async with shown.browser.stream(name) as stream:
            seen = (await stream.until(lambda seen: seen["rejected"]["rows"] == 1)).data
        assert seen["state_texts"]["rejected"] == "held back"
        place = ("--journal", tmp_path / "a.journal")
        status = (await cli("status", name, *place)).shown
        assert "held back 1 × changed since the plan: x" in status
        assert re.search(r"held back 1 [\d,.]+ ", status)
        screens = [status, *[(await cli(*one, *place)).shown for one in (("status",), ("compare", name, name))]]
        assert "1 held back" in screens[1]
        assert "held back 1 1" in screens[2]
        screens.append((await cli("status", "--all", *place)).shown)
        assert "1 row held back" in screens[3]
        assert not re.search("(?<!refused or )rejected", " ".join(screens))
        await cli("report", name, *place, "-o", "report.html")
        await cli("export", name, *place, "--state", "bad", "-o", "bad.csv", "--lang", "ru")
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r">held back<.*changed since the plan: x", report)
    assert [Page(report).sums(outcome)[0] for outcome in ("held back", "rejected by the billing")] == [1, 0]
    assert "не отправлено программой" in (tmp_path / "bad.csv").read_text(encoding="utf-8-sig")


async def test_the_file_of_rejected_rows_is_that_of_export_and_no_formula(place: Place) -> None:
    balances = place.balances(ROWS)
    lines = balances.path.read_text(encoding="utf-8").splitlines()
    formula = "=HYPERLINK(0)"
    lines = [f"{lines[0]};note", *(f"{line};{formula}" for line in lines[1:]), f"nobody;1,00;{formula}"]
    balances.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    place.traffic.answer = refuse_each_seventh
    ended = await place.cli.closing(
        "run", "balances", balances.path, "--yes", "--skip-bad", "--no-canary", "--settle", "0", ends=1
    )
    name, file = ended["run"], b""
    for reader, word in (("en", "bad"), ("ru", "исправить")):
        await place.cli("export", name, "--state", "bad", "-o", f"{reader}.csv", "--lang", reader)
        async with page_of(place, name) as browser:
            url = browser.opening.origin().with_path(f"/api/runs/{name}/rejected.csv").with_query(lang=reader)
            async with browser.http.get(url) as answer:
                file = await answer.read()
        assert file == (place.cli.folder / f"{reader}.csv").read_bytes()
        assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}-{quote(word)}.csv"
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-store")
    rows = file.decode("utf-8-sig").splitlines()
    assert len(rows) == 2 + ROWS // 7
    assert all(f"'{formula}" in row for row in rows[1:])
    assert not re.search(r"(^|;)[\"']?[=@]", "\n".join(rows).replace(f"'{formula}", ""))


async def test_what_was_being_sent_is_in_doubt_where_nobody_works(tmp_path: Path) -> None:
    async with page_shown(tmp_path) as shown:
        async with shown.journal.taken_up(shown.run) as ours:
            (first, _) = (await ids(shown.journal, ours)).values()
            await shown.journal.claim(ours, [first])
        (span,) = await shown.journal.history.sent_by_time(ours, 10)
        async with shown.browser.stream(ours.name) as stream:
            seen = (await stream.until(lambda seen: seen["in_doubt"]["rows"] == 1)).data
        cli = partial(Cli(tmp_path, clean_environment()), "status", ours.name, "--journal", tmp_path / "a.journal")
        status, as_json = (await cli()).shown, (await cli("--json")).closing
    assert left_of(seen) == {"unknown": 1, "pending": 1}
    assert span.failed == 1, "the chart of errors has it as well"
    assert re.search(r"unknown 1 ", status)
    assert "sending" not in status
    assert as_json["states"] == {"sending": 1, "pending": 1}, "scripts get what the journal has"


def left_of(seen: Any) -> dict[str, int]:
    """The parts of the bar."""
    return {word: part["rows"] for word, part in seen["counts"].items() if part["rows"]}


# ---- a verification -----------------------------------------------------------------------------------------------


async def test_the_button_reads_back_as_verify_does_and_changes_nothing_there(place: Place) -> None:
    name = await place.entered(5)
    before = place.tables
    place.traffic.method = "create"
    arrived = place.traffic.arrived
    async with page_of(place, name) as browser:
        assert (await browser.get("/api/page")).found["verifies"]
        async with browser.stream(name) as stream:
            first = (await stream.until(lambda seen: seen["ended"])).data["verification"]
            assert (first["at"], first["rows"], first["command"].split()[:3]) == (
                None,
                5,
                ["carbon-migrate", "verify", name],
            )
            assert (await browser.commands(name, "verify")).status == 200
            done = (await stream.until(lambda seen: seen["verification"]["at"])).data
            assert done["ended"], "who reads a run back does not work on it"
            assert done["counts"] == {"applied": {"rows": 5, "sum": done["accepted"]["sum"]}}
            found = done["verification"]
            assert (found["is_good"], found["differences"], found["error"], found["read"]) == (True, [], "", None)
            assert found["lines"][0] == "5 rows as sent"
            assert changes(before, place.tables) == {}
            # What another has changed there is told with its row, and the row stays as it is.
            await place.execute("delete from finance_operations where descr containing ?", f"{name}/2")
            assert (await browser.commands(name, "verify")).status == 200
            seen = (await stream.until(lambda seen: seen["verification"]["differences"])).data
        (listed,) = (await browser.get("/api/runs")).found["runs"]
    again = seen["verification"]
    # What is not as it was sent is no part of what is accepted, and the sum is that of the rows.
    assert left_of(seen) == {"applied": 4, "different": 1}
    assert seen["standing"] == {"rows": 4, "sum": listed["standing"]}
    assert (again["is_good"], again["lines"][:2]) == (False, ["4 rows as sent", "1 different"])
    assert again["differences"][0].startswith("line 3: ")
    assert place.traffic.arrived == arrived


async def test_a_run_that_was_undone_says_that_nothing_of_it_is_left(place: Place) -> None:
    name = await place.entered(5)
    await place.cli("undo", name, "--set", "way=opposite", "--yes")
    async with page_of(place, name) as browser, browser.stream(name) as stream:
        seen = (await stream.until(lambda seen: seen["ended"])).data
    assert (seen["run"]["stage"], seen["accepted"]["rows"], seen["standing"]["rows"]) == ("taken back", 5, 0)
    assert left_of(seen) == {"undone": 5}


async def test_a_verification_that_cannot_be_made_says_why(place: Place) -> None:
    name = await place.entered(2)
    nobody = "http://127.0.0.1:1"
    async with page_of(place, name, "--api-url", nobody) as browser, browser.stream(name) as stream:
        async with place.journal() as journal, journal.taken_up(await journal.run(name)):
            reply = await browser.commands(name, "verify")
            assert (reply.status, "another process works on this run" in reply.found["said"]) == (409, True)
        assert (await browser.commands(name, "verify")).status == 200
        failed = (await stream.until(lambda seen: seen["verification"]["error"])).data["verification"]
    assert nobody in failed["error"]
    assert failed["at"] is None


async def test_who_only_looks_has_no_billing_at_hand_or_no_names_cannot_verify(tmp_path: Path) -> None:
    async def never(*_: object) -> Sequence[str]:
        raise AssertionError

    async with open_journal(tmp_path / "a.journal") as journal:
        run = await frozen_run(journal, new_item("1"))
        order = PageOrder(run.name, "en", verify=never)
        for one in (replace(order, read_only=True), replace(order, names=False), replace(order, verify=None)):
            async with serving(journal, one) as address, browser_at(address.url) as browser:
                await browser.open()
                assert not (await browser.get("/api/page")).found["verifies"]
                assert (await browser.commands(run.name, "verify")).status in {400, 403}
        async with serving(journal, order) as address, browser_at(address.url) as browser:
            await browser.open()
            foreign = {"Origin": "http://evil.example.org"}
            assert (await browser.commands(run.name, "verify", foreign)).status == 403


# ---- a page without names -----------------------------------------------------------------------------------------


CANARY: Final = "Канарейкина"
CONTRACT: Final = "Д-94/2018"
AMOUNT: Final = "731.57"
IN_WORDS: Final = "731,57"
PERSON: Final = "ivanova"
CANARIES: Final = (CANARY, CONTRACT, AMOUNT, IN_WORDS, "73157", PERSON)


@asynccontextmanager
async def full_of_canaries(journal: Journal) -> AsyncIterator[Sequence[Run]]:
    """Runs with canaries in all that rows, people and the billing say, of which one is worked on."""
    text = f"{CANARY} {CONTRACT} {AMOUNT}"
    new = replace(
        NEW_RUN,
        parameters={"descr": text, "only": CONTRACT},
        source=f"/home/{PERSON}/{CANARY}.csv",
        header=("номер", CANARY),
    )
    item = structs.replace(
        new_item(CONTRACT, AMOUNT), label=text, lane=text, payload=f'{{"x": "{text}"}}', row=(CONTRACT, text), line=3
    )
    refused = Refusal(7, "amount", text, said("{row}: the amount {amount} is bad", row=text, amount=Decimal(AMOUNT)))
    runs: list[Run] = []
    for states in ([State.REJECTED, State.ACCEPTED], [State.UNKNOWN, State.MANUAL], []):
        items = [structs.replace(item, key=f"{CONTRACT} {len(runs)} {n}", lane=f"{text} {n}") for n in range(2)]
        run = await journal.create_run(new)
        await journal.freeze(run, page(*items, refusals=[refused]), keep)
        await journal.end_intake(run)
        await journal.approve(run)
        async with journal.taken_up(run, NewRunner("run", f"{PERSON}@{CANARY}")) as ours:
            of = list((await ids(journal, run)).values())
            await journal.claim(ours, of[: len(states)])
            message = said("no account {n}: {text}", n=73157, text=text)
            for one, state in zip(of, states, strict=False):
                for step in (State.UNKNOWN, state) if state is State.MANUAL else (state,):
                    await journal.record(ours, [Change(one, step, answer="5", message=message)])
        await journal.history.note_command(run, PERSON, f"set {text}", said("{text}", text=text))
        await journal.history.note_verification(run, PERSON, {"expected": AMOUNT, "different": 1})
        runs.append(run)
    await journal.pause(runs[1], PERSON)
    ended = await journal.take_up(runs[0])
    await journal.end(ended, PERSON, text)
    async with journal.taken_up(runs[2], NewRunner("resume", f"{PERSON}@{CANARY}")) as ours:
        status = replace(
            Progress().status(),
            why=said("the billing is busy ({why})", why=text),
            held=said("asking again in {seconds} s: {why}", seconds=5, why=text),
            errors={text: 1, said("no account {n}: {text}", n=73157, text=text): 1},
            last_error=text,
            entered=Decimal(AMOUNT),
            counts={"accepted": 1},
            amounts={"accepted": Decimal(AMOUNT)},
        )
        sample = to_json(PaceSample(datetime.now(UTC).timestamp(), 1.0, 1, 1, None, None))
        await journal.mailbox.tell(ours, live_to_json(status, {"throttle-sql": text}), 1, sample)
        yield runs


async def all_answers(browser: Browser, run: Run, other: Run) -> list[str]:
    """All that the server answers about a run, and about it and another one, by each of its addresses."""
    found: list[str] = []
    for reader in ("en", "ru"):
        compared = f"/api/runs/{run.name}/compared/{other.name}"
        paths = ("/", "/api/page", "/api/runs", compared, *(f"/api/runs/{run.name}/{one}" for one in FILES))
        replies = [await browser.get(f"{path}?lang={reader}") for path in paths]
        assert not [one for one in replies if one.status >= 500]
        found += [one.text for one in replies]
        async with browser.stream(run.name, query=f"?lang={reader}") as stream:
            while (event := await stream.next()).name != "snapshot":
                found.append(str(event.data))
            found.append(str(event.data))
    return found


FILES: Final = ("report", "rejected", "rejected.csv")


@pytest.mark.parametrize("names", [True, False])
async def test_without_names_nothing_of_a_row_or_a_person_is_in_any_answer(names: bool, tmp_path: Path) -> None:
    # Commands that are advised lead to the journal, which may be in the folder of a person.
    advise_settings({"journal": f"/home/{PERSON}/a.journal"})
    async with open_journal(tmp_path / "a.journal") as journal, full_of_canaries(journal) as runs:
        order = PageOrder(None, "en", names=names)
        async with serving(journal, order) as address, browser_at(address.url) as browser:
            await browser.open()
            async with browser_at(address.url) as stranger:
                assert PERSON not in (await stranger.open()).text
            for run in runs:
                text = (
                    "\n".join(await all_answers(browser, run, runs[-1])).replace("\\u00a0", "").replace("\u00a0", "")
                )
                found = {one for one in CANARIES if one in text}
                if names:
                    assert found >= {CANARY, CONTRACT, AMOUNT, PERSON}, (
                        "the canaries are where a page could show them"
                    )
                    continue
                assert found == set()
                for file in FILES:
                    assert (await browser.get(f"/api/runs/{run.name}/{file}")).status == 404
                for command in ("pause", "continue", "stop", "set", "verify"):
                    assert (await browser.commands(run.name, command)).status == 403
                async with browser.stream(run.name) as stream:
                    seen = (await stream.until(lambda _: True)).data
                assert (list(seen["asked"]), seen["refused"]) == (["rows"], 1), "what it is for is there"
            both = (await browser.get(f"/api/runs/{runs[0].name}/compared/{runs[1].name}")).found
            if not names:
                numbers = {"changed": 0, "other_outcome": 0, "only_first": 2, "only_second": 2}
                assert both["rows"] == {kind: {"rows": rows} for kind, rows in numbers.items()}


async def test_a_reason_that_is_hidden_is_not_called_none(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "a.journal") as journal:
        runs = [await sent_run(journal, new_item("1"), fates={}) for _ in range(2)]
        for run in runs:
            (item,) = (await ids(journal, run)).values()
            await journal.claim(run, [item])
            await journal.record(run, [Change(item, State.REJECTED, message=f"no such account: {CANARY}")])
        for names, told in ((True, "no such account"), (False, "not shown")):
            async with (
                serving(journal, PageOrder(None, "en", names=names)) as address,
                browser_at(address.url) as browser,
            ):
                await browser.open()
                both = (await browser.get(f"/api/runs/{runs[0].name}/compared/{runs[1].name}")).found
                assert both["errors"] == [[told, 1, 1]]


def test_the_addresses_of_the_test_are_all_that_there_are() -> None:
    """A new address is to be in `all_answers`."""
    source = (Path("cli") / "page" / "application.py").read_text(encoding="utf-8")
    known = {"/", "/api/page", "/api/runs", "/static", "/api/runs/{run}/events", "/api/runs/{run}/commands"}
    known |= {"/api/runs/{run}/compared/{other}"}
    assert set(re.findall(r'router\.add_\w+\("([^"]+)"', source)) == known | {
        f"/api/runs/{{run}}/{one}" for one in FILES
    }
