"""What is in doubt after a run: looked up days later, put right by hand, decided by a person.

`transcripts/decide.txt` has which row is meant by a decision, and what is none.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio.to_thread
import pytest
from aiohttp import web

from billing.api.calls import create
from billing.database.dsn import Dsn
from checkpoints.journal import Journal
from checkpoints.records import NewItem, NewRun
from checkpoints.states import State
from cli.terminal.exits import Exit
from jobs.access.payload import Payload, encode_payload
from jobs.spec.words import IMPORT
from lab.mock.connection import MockConnection
from tests.checkpoints.samples import NEW_RUN, all_items, sent_run, within
from tests.cli.conftest import Balances, Place, Typed
from tests.cli.terminal.terminals import answered

SETTLE = ("--settle", "0.1")
WHY = ("--why", "seen by Olga")
JOURNAL = Path("carbon-migrate.journal")
CRASHED = "<html><title>500</title>crashed</html>"


def crash() -> web.Response:
    return web.Response(status=500, text=CRASHED, content_type="text/html")


def run_name(place: Place) -> str:
    with closing(sqlite3.connect(place.cli.journal)) as journal:
        (name,) = journal.execute("select name from runs").fetchone()
    return str(name)


def differing(place: Place, balances: Balances, rejected: int = 0) -> None:
    """The second call crashes, and something else stands under its mark; each call of such a number is rejected."""

    def answer(number: int) -> web.Response | None:
        if number == 2:
            with closing(MockConnection(Dsn(str(place.file)))) as session:
                session.execute(
                    "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
                    "select 900001, id, 8, 9990000000000, current_timestamp, cast(? as varchar(60)), 0 from abonents "
                    "where contract_number = ?",
                    (f"x [cm {run_name(place)}/2]", balances.numbers[1]),
                )
                session.commit()
            return crash()
        is_rejected = rejected and number % rejected == 0
        return web.json_response({"error": "Объект уже удалён"}) if is_rejected else None

    place.traffic.answer = answer


async def with_one_row_that_differs(place: Place) -> str:
    """A load whose second call crashed, after something else was entered under its mark; the run's name."""
    balances = place.balances(3)
    differing(place, balances)
    pacing = ("--yes", "--settle", "0", "--in-flight", "1")
    ended = await place.cli("run", "balances", balances.path, *pacing, may_end_with=(Exit.UNDECIDED,))
    ended.saying("999.00")
    return run_name(place)


async def test_what_differs_is_shown_with_both_sides_and_settled_once_it_was_put_right(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    says = ['"op_summa":"0.08"', "999.00", f"carbon-migrate decide {name}/2 accepted --why"]
    await place.cli.told("reconcile", name, "--settle", "0", ends=Exit.UNDECIDED, says=says)
    assert (await place.totals(name)).count(State.MANUAL) == 1
    await place.execute("update finance_operations set op_summa = 800000000 where op_id = 900001")
    await place.execute(
        "update admin_accounts set ostatok = 800000000, debit = 0, credit = 0 where id = (select a.account_id from "
        "abonents a join finance_operations f on f.abonent_id = a.id where f.op_id = 900001)"
    )
    assert (await place.cli.closing("reconcile", name, "--settle", "0"))["states"] == {"accepted": 3}
    assert (await place.cli.closing("verify", name))["states"] == {"applied": 3}


async def test_a_run_that_sent_nothing_has_nothing_to_reconcile(place: Place) -> None:
    await place.cli("run", "balances", place.balances(2).path, may_end_with=(Exit.REFUSED,))
    await place.cli.refused("reconcile", run_name(place), says="nothing to look up")


def states_in(name: str) -> dict[int, tuple[State, str | None]]:
    async def read(journal: Journal) -> dict[int, tuple[State, str | None]]:
        items = await all_items(journal, await journal.run(name))
        return {item.number: (item.state, item.answer) for item in items}

    return within(JOURNAL, read)


def imported() -> str:
    """A journal with an import whose subscriber is left to a person; the run's name."""
    payload = Payload("Abonents", create("Abonents", name="Иванов", contract_number="00777").steps)
    row = NewItem("00777/subscriber/", "00777", "contract:00777", encode_payload(payload))
    new = NewRun(IMPORT, {}, NEW_RUN.target, "subs.csv")
    return within(JOURNAL, lambda journal: sent_run(journal, row, new=new, fates={1: State.MANUAL})).name


def test_an_accepted_subscriber_of_an_import_needs_its_id(typed: Typed) -> None:
    name = imported()
    for given in ((), ("--id", ""), ("--id", "0"), ("--id", "x"), ("--id", str(2**31))):
        says = "no id of the billing" if given else "add --id 4711"
        typed.refused("decide", f"{name}/1", "accepted", *WHY, *given, says=says)
        assert states_in(name) == {1: (State.MANUAL, None)}
    assert typed("decide", f"{name}/1", "accepted", *WHY, "--id", "9123").exit == Exit.DONE
    assert states_in(name) == {1: (State.ACCEPTED, "9123")}


async def test_at_a_terminal_the_id_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.cli.folder)
    name = await anyio.to_thread.run_sync(imported)
    says = [("What is the id of 00777 in the billing?", "9123")]
    await answered(place, "decide", f"{name}/1", "accepted", *WHY, says=says)
    assert await anyio.to_thread.run_sync(states_in, name) == {1: (State.ACCEPTED, "9123")}


# ---- what was seen -----------------------------------------------------------------------------------------------


async def a_payment_in_doubt(place: Place) -> tuple[str, int]:
    """A payment whose call crashed, beside an equal entry of somebody else; the run's name and the subscriber."""
    place.traffic.model, place.traffic.method = "Abonents/", "add_payment"
    (subscriber,) = place.subscribers(1)
    place.traffic.answer = lambda _: crash()

    async def somebody_else(_body: str) -> None:
        place.traffic.meanwhile = before
        await entered(place, 900001, subscriber)

    before, place.traffic.meanwhile = place.traffic.meanwhile, somebody_else
    pay = ("payment", place.rows("abonent_id;amount", f"{subscriber};77"), "--set", "way=add_payment")
    run = await place.run(*pay, *SETTLE, "--no-canary", ends=Exit.UNDECIDED)
    place.traffic.answer = lambda _: None
    return str(run["run"]), subscriber


async def entered(place: Place, op_id: int, subscriber: int) -> None:
    """An operation of the same sum that somebody enters."""
    await place.execute(
        "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
        "values (?, ?, 8, 770000000000, current_timestamp, 'by hand', 0)",
        *(op_id, subscriber),
    )


async def test_what_a_person_has_seen_does_not_ask_again_and_what_came_later_does(place: Place) -> None:
    """What reconcile has shown counts as seen, too."""
    run, subscriber = await a_payment_in_doubt(place)
    await entered(place, 900002, subscriber)
    says = ["operation 900002", f"carbon-migrate decide {run}/1 accepted"]
    await place.cli.told("reconcile", run, *SETTLE, ends=Exit.UNDECIDED, says=says)
    await place.cli("decide", f"{run}/1", "pending", "--why", "both are of the cash desk")
    await entered(place, 900003, subscriber)
    asked = await place.cli("resume", run, "--yes", "--json", *SETTLE, may_end_with=(Exit.UNDECIDED,))
    assert asked.closing["states"] == {"manual": 1}
    assert [f"operation 90000{one}" in asked.words for one in (1, 2, 3)] == [False, False, True]
    await place.cli("decide", f"{run}/1", "pending", "--why", "so is 900003")
    assert (await place.cli.closing("resume", run, "--yes", *SETTLE))["states"] == {"accepted": 1}
    # It is told apart from what was there when it is read back.
    assert (await place.cli.closing("verify", run))["states"] == {"applied": 1}


async def test_a_billing_that_is_away_is_an_outage_to_each_command_and_one_broken_answer_is_not(place: Place) -> None:
    balances = place.balances(2)
    run = str((await place.run("balances", balances.path))["run"])
    place.traffic.model, place.traffic.opening = "", True
    broken = web.Response(text='{"call":"get_version","result":{"ver', content_type="application/json")
    answers: list[web.Response | None] = []
    place.traffic.answer = lambda _: web.Response(status=503)
    load = ("balances", str(balances.path))
    of_load, of_run = (
        (("plan", *load), ("run", *load, "--yes")),
        (("verify", run), ("reconcile", run), ("undo", run, "--yes")),
    )
    for words in (*of_load, *of_run):
        told = await place.cli(*words, may_end_with=(Exit.STOPPED,))
        assert "HTTP 503" in told.words
    for words in (("verify", run), ("plan", *load)):
        answers[:] = [broken]
        place.traffic.answer = lambda _: answers.pop() if answers else None
        await place.cli(*words)
        assert answers == []
    # It goes away once a command has begun.
    place.traffic.answer, place.traffic.opening = lambda _: web.Response(status=503), False
    place.without_database()
    for words in of_load:
        await place.cli(*words, may_end_with=(Exit.STOPPED,))
