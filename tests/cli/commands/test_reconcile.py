"""What is in doubt after a run: looked up days later, put right by hand, decided by a person."""

import sqlite3
from contextlib import closing

import pytest
from aiohttp import web

from billing.database.dsn import Dsn
from checkpoints.states import State
from cli.terminal.exits import Exit
from lab.mock.connection import MockConnection
from tests.cli.conftest import Place

CRASH = "<html><title>500</title>crashed</html>"


def execute(place: Place, statement: str, *values: str) -> None:
    session = MockConnection(Dsn(str(place.file)))
    session.execute(statement, values)
    session.commit()
    session.close()


def run_name(place: Place) -> str:
    with closing(sqlite3.connect(place.cli.journal)) as journal:
        (name,) = journal.execute("select name from runs").fetchone()
    return str(name)


async def with_one_row_that_differs(place: Place) -> str:
    """A load whose second call crashed, after something else was entered under its mark; the run's name."""

    def answer(number: int) -> web.Response | None:
        if number != 2:
            return None
        execute(
            place,
            "insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr, storno) "
            "select 900001, id, 8, 9990000000000, current_timestamp, cast(? as varchar(60)), 0 from abonents "
            "where contract_number = ?",
            f"x [cm {run_name(place)}/2]",
            numbers[1],
        )
        return web.Response(status=500, text=CRASH, content_type="text/html")

    balances = place.balances(3)
    numbers = balances.numbers
    place.traffic.answer = answer
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--settle", "0", "--in-flight", "1", may_end_with=[Exit.UNDECIDED]
    )
    assert "999.00" in ended.words
    return run_name(place)


async def test_what_differs_is_shown_with_both_sides_and_the_command_to_decide(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    ended = await place.cli("reconcile", name, "--settle", "0", may_end_with=[Exit.UNDECIDED])
    words = " ".join(ended.out.split()) + ended.words
    assert '"op_summa":"0.08"' in words
    assert "999.00" in words
    assert f"carbon-migrate decide {name}/2 accepted --why" in words


async def test_a_row_that_was_put_right_by_hand_is_settled_by_looking_again(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    execute(place, "update finance_operations set op_summa = 800000000 where op_id = 900001")
    execute(
        place,
        "update admin_accounts set ostatok = 800000000, debit = 0, credit = 0 where id = (select a.account_id from "
        "abonents a join finance_operations f on f.abonent_id = a.id where f.op_id = 900001)",
    )
    ended = await place.cli("reconcile", name, "--settle", "0", "--json")
    assert ended.closing["states"] == {"accepted": 3}
    verified = await place.cli("verify", name, "--json")
    assert verified.closing["states"] == {"applied": 3}


async def test_a_person_decides_that_it_goes_again_and_the_decision_is_kept_with_the_name(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    execute(place, "update finance_operations set descr = 'not ours' where op_id = 900001")
    await place.cli("decide", f"{name}/2", "pending", "--why", "entered by Olga for another bill")
    async with place.journal() as journal:
        (decision,) = await journal.history.decisions(await journal.run(name))
    assert (decision.number, decision.state, decision.why) == (2, State.PENDING, "entered by Olga for another bill")
    assert "@" in decision.who
    resumed = await place.cli("resume", "--settle", "0", name, "--json")
    assert resumed.closing["states"] == {"accepted": 3}


async def test_a_row_that_is_to_be_sent_beside_what_was_seen_is_sent(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    await place.cli("decide", f"{name}/2", "pending", "--why", "999 under this mark is a slip of ours")
    resumed = await place.cli("resume", "--settle", "0", name, "--json")
    assert resumed.closing["states"] == {"accepted": 3}


async def test_a_person_decides_that_it_is_there(place: Place) -> None:
    name = await with_one_row_that_differs(place)
    ended = await place.cli(
        "decide", name, f"{name}/2", "accepted", "--why", "999 is right, the file was wrong", "--json"
    )
    assert ended.closing["states"] == {"accepted": 3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("RUN/1", "pending", "--why", "x"), "row 1 of run"),
        (("RUN/77", "pending", "--why", "x"), "/77: give its key"),
        (("RUN/2", "applied", "--why", "x"), "is no decision"),
        (("RUN/2", "pending", "--why", " "), "needs its reason"),
        (("RUN/2", "pending", "--why", "x", "--id", "5"), "--id is for a row that is accepted"),
        (("RUN/2", "accepted", "--why", "x", "--id", "0x5"), "0x5 is no id of the billing"),
        # A number alone is no row: it may be the contract number of another file.
        (("RUN", "2", "pending", "--why", "x"), "has no row 2: give its key, its contract number, or the row"),
    ],
)
async def test_what_is_not_for_a_person_to_decide_is_refused(place: Place, words: tuple[str, ...], said: str) -> None:
    name = await with_one_row_that_differs(place)
    given = [word.replace("RUN", name) for word in words]
    await place.cli.refused("decide", *given, says=said)
    async with place.journal() as journal:
        assert (await journal.totals(await journal.run(name))).count(State.MANUAL) == 1


async def test_a_run_that_sent_nothing_has_nothing_to_reconcile(place: Place) -> None:
    await place.cli("run", "balances", place.balances(2).path, may_end_with=[Exit.REFUSED])
    await place.cli.refused("reconcile", run_name(place), says="nothing to look up")
