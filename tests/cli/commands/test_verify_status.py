"""What is read back, and what is shown of runs."""

import csv
import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import anyio.to_thread

from billing.database.database import attach
from billing.database.dsn import Dsn
from tests.cli.conftest import Place


def tamper(file: Path, change: str, mark: str) -> None:
    """Change the operation of a mark behind everybody's back."""
    connection = attach(Dsn(str(file)))
    statement = f"update finance_operations set {change} where descr like ?"  # noqa: S608 - words of the test
    connection.cursor().execute(statement, [f"%{mark}]"])
    connection.commit()
    connection.close()


def double(file: Path, mark: str) -> None:
    """Enter the operation of a mark a second time, as the billing would for a second call."""
    with closing(attach(Dsn(str(file)))) as connection:
        cursor = connection.cursor()
        cursor.execute("select first 1 * from finance_operations where descr like ?", [f"%{mark}]"])
        names = [column[0] for column in cursor.description]
        (row,) = cursor.fetchall()
        values = dict(zip(names, row, strict=True))
        cursor.execute("select max(op_id) + 1 from finance_operations")
        ((values["OP_ID"],),) = cursor.fetchall()
        places = ", ".join("?" * len(values))
        statement = f"insert into finance_operations ({', '.join(values)}) values ({places})"  # noqa: S608 - of the test
        cursor.execute(statement, list(values.values()))
        connection.commit()


async def test_verify_tells_expected_and_found(place: Place) -> None:
    balances = place.balances(50)
    closing = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    verified = (await place.cli("verify", closing["run"], "--json")).closing
    assert verified == {
        "run": closing["run"],
        "job": "balances",
        "states": {"applied": 50},
        "amounts": {"applied": f"{balances.sum:.2f}"},
        "refused": 0,
        "left_out": {},
        "as_wanted": 50,
        "different": 0,
        "entered_twice": 0,
        "with_later_operations": 0,
        "unreadable": 0,
        "expected": f"{balances.sum:.2f}",
        "found": f"{balances.sum:.2f}",
        "applied": 50,
        "exit": 0,
        "taken_back": {},
        "accounts": {
            "compared": 50,
            "expected": f"{balances.sum:.2f}",
            "found": f"{balances.sum:.2f}",
            "different": 0,
            "with_later_operations": 0,
            "not_compared": 0,
        },
    }
    # Once more: what is applied is read back again.
    assert (await place.cli("verify", closing["run"], "--json")).closing == verified


async def test_verify_names_the_rows_that_differ(place: Place) -> None:
    balances = place.balances(10)
    closing = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    tamper(place.file, "op_summa = 990000000000", f"{closing['run']}/3")
    tamper(place.file, "storno = 1", f"{closing['run']}/4")
    ended = await place.cli("verify", closing["run"], "-o", "differences.csv", may_end_with=(1,))
    said = " ".join(ended.out.split())
    assert "line 4" in said
    assert "operation" in said
    assert "8 rows as sent, 2 different" in said
    with (place.cli.folder / "differences.csv").open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=";")
    assert header[:3] == ["contract_number", "amount", "carbon_row"]
    assert [row[2] for row in rows] == [f"{closing['run']}/3", f"{closing['run']}/4"]
    await place.cli.refused("verify", closing["run"], "-o", "differences.csv", says="--force")
    beside = await place.cli("verify", closing["run"], "-o", "-", "--json", may_end_with=(1,))
    written = (place.cli.folder / "differences.csv").read_text(encoding="utf-8")
    assert beside.out.splitlines() == written.splitlines()
    assert "8 rows as sent, 2 different" in beside.words
    assert '"different":2' in beside.err


async def test_verify_finds_two_operations_of_one_mark_until_one_is_taken_back(place: Place) -> None:
    """What a process can leave that was frozen between its look at the lease and the write."""
    balances = place.balances(3)
    name = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    await anyio.to_thread.run_sync(double, place.file, f"{name}/2")
    ended = await place.cli("verify", name, may_end_with=(1,))
    said = " ".join(ended.out.split())
    assert "✗ line 3" in said
    assert "once; under its one mark the billing has 2: operation" in said
    assert "Take back there, by their ids, all but one; then verify again" in said
    twice = balances.sum + Decimal("0.08")
    assert f"sum expected {balances.sum:.2f}, found {twice:.2f}, difference 0.08" in said
    assert "2 rows as sent, 1 different" in said
    await place.execute(
        "update finance_operations set storno = 1 where op_id = (select max(op_id) from finance_operations)"
    )
    again = (await place.cli("verify", name, "--json")).closing
    assert (again["different"], again["found"], again["exit"]) == (0, f"{balances.sum:.2f}", 0)


async def test_no_sign_of_success_stands_above_what_speaks_against_it(place: Place) -> None:
    balances = place.balances(3)
    name = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"]
    number = balances.numbers[0]
    await place.execute(
        "update admin_accounts set ostatok = ostatok + 70000000000 "
        "where id in (select account_id from abonents where contract_number = ?)",
        number,
    )
    said = " ".join((await place.cli("verify", name, may_end_with=(1,))).out.split())
    assert "✓" not in said
    assert f"! run {name}: 3 rows as sent, 1 account with another balance than was sent" in said


async def test_of_a_run_that_was_taken_back_it_is_said(place: Place) -> None:
    name = (await place.cli("run", "balances", place.balances(3).path, "--yes", "--json")).closing["run"]
    undo = ("undo", name, "--set", "way=opposite", "--yes", "--json")
    undone = (await place.cli(*undo)).closing["run"]
    said = " ".join((await place.cli("verify", name)).out.split())
    assert f"! run {name}: 3 rows as sent, 3 rows taken back since by run {undone}" in said
    assert "✓" not in said
    assert (await place.cli("verify", name, "--json")).closing["taken_back"] == {undone: 3}
    assert (await place.cli("verify", undone, "--json")).closing["taken_back"] == {}


async def test_where_there_is_nothing_to_read_back_nothing_is_applied(place: Place) -> None:
    file = place.balances(2).path
    await place.cli("run", "balances", file, "--yes")
    again = (await place.cli("run", "balances", file, "--yes", "--json")).closing
    assert again["states"] == {"skipped": 2}
    said = (await place.cli("verify", again["run"])).out
    assert f"run {again['run']} has no rows to read back" in said
    assert "✓" not in said


PAID = ("--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "777.77"}')
LOOK_UP = "select op_id from finance_operations where op_summa = 7777700000000 and abonent_id = :id"


async def test_what_cannot_be_read_back_is_told_apart_from_what_differs(place: Place) -> None:
    call = ("run", "call", "--model", "Abonents", *PAID, "--yes", "--json")
    name = (await place.cli(*call, "--set", "id=2003")).closing["run"]
    ended = await place.cli("verify", name, "--json", may_end_with=(4,))
    closing = ended.closing
    assert closing["states"] == {"accepted": 1}
    assert (closing["as_wanted"], closing["different"], closing["unreadable"], closing["exit"]) == (0, 0, 1, 4)
    said = " ".join((await place.cli("verify", name, may_end_with=(4,))).out.split())
    assert f"! run {name}: 0 rows as sent, 1 that cannot be read back" in said
    assert "? 1 row: cannot be read back: no look-up was given for this call" in said
    assert "different" not in said
    # Once more it would tell the same: what helps is to look there.
    assert f"carbon-migrate export {name} --state accepted" in said
    assert "carbon-migrate verify" not in said
    assert len(list(place.billing.database.query(LOOK_UP, {"id": 2003}))) == 1

    looked_for = (await place.cli(*call, "--set", "id=2004", "--look-up", LOOK_UP)).closing["run"]
    assert (await place.cli("verify", looked_for, "--json")).closing["states"] == {"applied": 1}


async def test_status_lists_runs_and_shows_one(place: Place) -> None:
    balances = place.balances(5)
    closing = (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing
    name = closing["run"]
    table = (await place.cli("status")).out
    assert name in table
    assert "5 accepted" in table
    detail = (await place.cli("status", name)).out
    assert f"carbon-migrate verify {name}" in detail
    (run,) = json.loads((await place.cli("status", "--json")).out)["runs"]
    assert (run["run"], run["states"], run["stage"], run["holder"]) == (name, {"accepted": 5}, "done", None)
    one = json.loads((await place.cli("status", name, "--json")).out)
    assert one == run


async def test_a_run_that_is_not_there_names_those_that_are(place: Place) -> None:
    name = (await place.cli("run", "balances", place.balances(1).path, "--yes", "--json")).closing["run"]
    await place.cli.refused("status", "xxxxx", says=["has no run 'xxxxx'", name])
