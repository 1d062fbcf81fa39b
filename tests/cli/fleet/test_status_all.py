"""`status --all`: billings in every stage on one screen, from journals in PostgreSQL and in files."""

import json
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.states import State
from cli.session.overview import FleetJournal, view_of
from cli.settings.settings import KnownBillings
from tests.cli.conftest import Cli, settings_file
from tests.cli.fleet.conftest import ROWS, SENDS, Campaign, many_billings, new_run, sent, sent_by


def profiles(journal: str = "") -> str:
    """Settings of two billings, whose journal is this one, or those of their addresses."""
    return f"""
{f'journal = "{journal}"' if journal else ""}
[profile.north]
api = {{ url = "http://idle.example.org:8082" }}
[profile.south]
api = {{ url = "http://works.example.org:8082", headers = {{ key = {{ credential = "not-there" }} }} }}
"""


async def test_each_run_and_all_sums_are_the_journals(
    cli: Cli, address: str, journal: Journal, campaign: Campaign
) -> None:
    settings_file(cli.folder, profiles(address))
    found = json.loads((await cli("status", "--all", "--json")).out)
    what = {run.name: what for what, run in campaign.runs.items()}
    runs = {what[one["run"]]: one for one in found["runs"]}
    assert [(what[one["run"]], one["group"]) for one in found["runs"]] == [
        *((name, "person") for name in ("reading", "frozen", "again", "left", "idle", "decide", "rejected")),
        ("works", "working"),
        *((name, "waiting") for name in ("paused", "given", "hours", "queued")),
        *((name, "ended") for name in ("discarded", "done")),
    ]
    assert {name: one["needs"][0]["what"] for name, one in runs.items() if one["needs"]} == {
        "reading": "idle",
        "frozen": "unapproved",
        "again": "unserved",
        "left": "left",
        "idle": "idle",
        "decide": "decide",
        "rejected": "rejected",
    }
    assert runs["left"]["needs"][0]["text"] == "a worker has left it: exit code 2: the key is not accepted"
    assert [(need["what"], need["rows"]) for need in runs["rejected"]["needs"]] == [("rejected", 1), ("refused", 2)]
    assert runs["works"]["holder"]["host"]
    assert runs["works"]["per_second"] > 0
    assert runs["works"]["seconds_left"] > 0
    assert (runs["works"]["profile"], runs["idle"]["profile"], runs["done"]["profile"]) == ("south", "north", None)
    assert (runs["given"]["queue"]["given_out"], runs["queued"]["queue"]["given_out"]) == (True, False)
    assert runs["hours"]["queue"]["not_before"] > runs["queued"]["queue"]["since"]
    for name, one in runs.items():
        totals = await journal.totals(campaign.runs[name])
        assert one["rows"] == totals.frozen - totals.count(State.SKIPPED), name
        assert one["done"] == totals.count_where(settled=True) - totals.count(State.SKIPPED), name
        assert Decimal(one["entered"]) == totals.amounts.get(State.ACCEPTED, Decimal(0)), name
    sums = found["sums"]
    assert sums["billings"] == len(runs)
    assert sums["runs"] == {"person": 7, "working": 1, "waiting": 4, "ended": 2}
    assert sums["rows"] == (len(runs) - 1) * ROWS
    assert sums["done"] == sum(one["done"] for one in runs.values())
    assert Decimal(sums["entered"]) == sum(Decimal(one["entered"]) for one in runs.values())

    # The command that is advised can be typed.
    shown = (await cli("status", "--all")).out
    command = shown.splitlines()[-1].split()
    assert command[:3] == ["carbon-migrate", "status", campaign.name("reading")]
    assert "reading, stopped" in (await cli(*command[1:])).out


async def test_a_run_that_was_taken_up_since_is_left_by_no_worker(journal: Journal, campaign: Campaign) -> None:
    await sent(journal, campaign.runs["left"], [State.ACCEPTED])
    seen = view_of(await FleetJournal(journal).look(KnownBillings({}, ())))
    needs = {one.run.name: [need.kind for need in one.needs] for one in seen.runs}
    assert needs[campaign.name("left")] == ["idle"]
    assert needs[campaign.name("idle")] == ["idle"]


async def test_what_the_runner_before_has_sent_is_no_pace_of_the_next(journal: Journal) -> None:
    run = await sent(journal, await new_run(journal, "works.example.org"), [State.ACCEPTED] * 6)
    async with journal.taken_up(run, SENDS) as ours:
        fleet = FleetJournal(journal)
        (first,) = await fleet.look(KnownBillings({}, ()))
        await sent_by(journal, ours, [State.ACCEPTED] * 2)
        (then,) = await fleet.look(KnownBillings({}, ()))
    assert (first.is_held, first.per_second, first.seconds_left) == (True, 0.0, None)
    assert 0 < then.per_second <= 2


async def test_two_hundred_billings_take_few_statements_and_no_wider_screen(
    cli: Cli, address: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_billings(journal.address, 200, 20)
    statements: list[object] = []
    connected: list[object] = []
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, query: Any, *given: Any, **named: Any) -> Any:
        statements.append(query)
        return execute(cursor, query, *given, **named)

    fleet = FleetJournal(journal)
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", counting)
        patched.setattr(psycopg, "connect", lambda *given, **_: connected.append(given))
        first = view_of(await fleet.look(KnownBillings({}, ())))
        of_first = len(statements)
        again = view_of(await fleet.look(KnownBillings({}, ())))
    assert connected == [], "the queue is asked over the connection that is open"
    assert of_first <= 14
    assert len(statements) - of_first < of_first, "what nobody works on is not counted again"
    assert (first.rows, first.done, first.entered) == (4000, 2000, Decimal(21000))
    assert replace(again, runs=()) == replace(first, runs=())
    lines = (await cli("status", "--all", "--journal", address)).out.splitlines()
    assert len(lines) > 400
    assert max(map(len, lines[:-1])) <= 80
    assert sum("billing-17.a-prov" in line for line in lines) == 1


async def test_profiles_with_journals_of_their_own_are_all_shown(cli: Cli, tmp_path: Path) -> None:
    # What is typed wrongly, and what is not there.
    says = "--all shows all runs: leave k7m2q out, or --all"
    await cli.refused("status", "k7m2q", "--all", says=says)
    await cli.refused("status", "--all", says="there is no journal")
    settings_file(cli.folder, profiles())
    state = tmp_path / "state" / "carbon-migrate"
    state.mkdir(parents=True)
    async with open_journal(JournalAddress(state / "idle.example.org-8082.journal")) as journal:
        await sent(journal, await new_run(journal, "idle.example.org"), [State.ACCEPTED])
    shown = (await cli("status", "--all")).out
    assert "north" in shown
    assert "nobody works on it" in shown
    assert "queue" not in shown, "a file has none"
    assert "1 billing: 1 run needs a person" in shown
    broken = state / "works.example.org-8082.journal"
    broken.write_text("this is no journal, and not an empty file either", encoding="utf-8")
    ended = await cli("status", "--all", may_end_with=[2])
    assert "! not shown:" in ended.out
    assert str(broken) in ended.out
    assert "north" in ended.out
    found = json.loads((await cli("status", "--all", "--json", may_end_with=[2])).out)
    assert list(found["unread"]) == [str(broken)]
    chosen = await cli("status", "--all", "--profile", "north")
    assert "not shown" not in chosen.out


async def test_watching_ends_when_nobody_works_any_more(cli: Cli, address: str, journal: Journal) -> None:
    run = await new_run(journal, "works.example.org")
    watching = ("status", "--all", "--watch", "--json", "--journal", address)
    async with AsyncExitStack() as stack:
        work = AsyncExitStack()
        ours = await work.enter_async_context(journal.taken_up(run, SENDS))
        watch = await stack.enter_async_context(cli.started(*watching))
        first = json.loads(await watch.first_line())
        assert first["runs"][0]["run"] == run.name
        await sent_by(journal, ours, [State.ACCEPTED] * ROWS)
        await work.aclose()
        ended = await watch.ended()
    assert ended.exit == 0
    last = json.loads(ended.out.splitlines()[-1])
    assert (last["sums"]["runs"]["working"], last["sums"]["done"]) == (0, ROWS)
