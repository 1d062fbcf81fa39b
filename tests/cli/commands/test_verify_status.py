"""What is read back, and what is shown of runs."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import anyio.to_thread

from billing.database.database import attach
from billing.database.dsn import Dsn
from tests.cli.conftest import Place
from tests.cli.test_continue import read


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


async def entered(place: Place, rows: int) -> str:
    """The name of a run that has entered balances."""
    return str((await place.run("balances", place.balances(rows).path))["run"])


async def test_verify_tells_expected_and_found_and_status_lists_runs_and_shows_one(place: Place) -> None:
    balances = place.balances(50)
    name = (await place.run("balances", balances.path))["run"]
    (run,) = (await place.cli.closing("status"))["runs"]
    assert (run["run"], run["states"], run["stage"], run["holder"]) == (name, {"accepted": 50}, "done", None)
    assert await place.cli.closing("status", name) == run
    table = (await place.cli("status")).out
    assert (name in table, "50 accepted" in table) == (True, True)
    assert f"carbon-migrate verify {name}" in (await place.cli("status", name)).out
    await place.cli.refused("status", "xxxxx", says=["has no run 'xxxxx'", name])
    verified = await place.cli.closing("verify", name)
    total = f"{balances.sum:.2f}"
    assert verified == {
        "run": name,
        "job": "balances",
        "states": {"applied": 50},
        "amounts": {"applied": total},
        "refused": 0,
        "left_out": {},
        "as_wanted": 50,
        "different": 0,
        "entered_twice": 0,
        "with_later_operations": 0,
        "unreadable": 0,
        "expected": total,
        "found": total,
        "applied": 50,
        "exit": 0,
        "taken_back": {},
        "accounts": {
            "compared": 50,
            "expected": total,
            "found": total,
            "different": 0,
            "with_later_operations": 0,
            "not_compared": 0,
        },
    }
    # Once more: what is applied is read back again.
    assert await place.cli.closing("verify", name) == verified


async def test_verify_names_the_rows_that_differ(place: Place) -> None:
    name = await entered(place, 10)
    for change, row in (("op_summa = 990000000000", 3), ("storno = 1", 4)):
        statement = f"update finance_operations set {change} where descr like ?"  # noqa: S608 - words of the test
        await place.execute(statement, f"%{name}/{row}]")
    said = " ".join((await place.cli("verify", name, "-o", "differences.csv", may_end_with=(1,))).out.split())
    assert [words for words in ("line 4", "operation", "8 rows as sent, 2 different") if words not in said] == []
    header, rows = read(place.cli.folder / "differences.csv")
    assert header[:3] == ["contract_number", "amount", "carbon_row"]
    assert [row[2] for row in rows] == [f"{name}/3", f"{name}/4"]
    await place.cli.refused("verify", name, "-o", "differences.csv", says="--force")
    beside = await place.cli("verify", name, "-o", "-", "--json", may_end_with=(1,))
    written = (place.cli.folder / "differences.csv").read_text(encoding="utf-8")
    assert beside.out.splitlines() == written.splitlines()
    beside.saying(["8 rows as sent, 2 different", '"different":2'])


async def test_verify_finds_two_operations_of_one_mark_until_one_is_taken_back(place: Place) -> None:
    """What a process can leave that was frozen between its look at the lease and the write."""
    balances = place.balances(3)
    name = (await place.run("balances", balances.path))["run"]
    await anyio.to_thread.run_sync(double, place.file, f"{name}/2")
    said = await place.cli.told("verify", name, ends=1)
    twice = balances.sum + Decimal("0.08")
    for words in (
        "✗ line 3",
        "once; under its one mark the billing has 2: operation",
        "Take back there, by their ids, all but one; then verify again",
        f"sum expected {balances.sum:.2f}, found {twice:.2f}, difference 0.08",
        "2 rows as sent, 1 different",
    ):
        assert words in said
    await place.execute(
        "update finance_operations set storno = 1 where op_id = (select max(op_id) from finance_operations)"
    )
    again = await place.cli.closing("verify", name)
    assert (again["different"], again["found"]) == (0, f"{balances.sum:.2f}")


async def test_no_sign_of_success_stands_above_what_speaks_against_it(place: Place) -> None:
    balances = place.balances(3)
    name = (await place.run("balances", balances.path))["run"]
    account = "where id in (select account_id from abonents where contract_number = ?)"
    changed = f"update admin_accounts set ostatok = ostatok + ? {account}"  # noqa: S608 - words of the test
    await place.execute(changed, 70000000000, balances.numbers[0])
    said = await place.cli.told("verify", name, ends=1)
    assert f"! run {name}: 3 rows as sent, 1 account with another balance than was sent" in said
    await place.execute(changed, -70000000000, balances.numbers[0])
    # Nor where there is nothing to read back, and nothing is applied.
    again = await place.run("balances", balances.path)
    assert again["states"] == {"skipped": 3}
    nothing = (await place.cli("verify", again["run"])).out
    assert f"run {again['run']} has no rows to read back" in nothing
    # Of a run that was taken back it is said.
    undone = (await place.cli.closing("undo", name, "--set", "way=opposite", "--yes"))["run"]
    back = await place.cli.told("verify", name)
    assert f"! run {name}: 3 rows as sent, 3 rows taken back since by run {undone}" in back
    assert "✓" not in said + nothing + back
    assert (await place.cli.closing("verify", name))["taken_back"] == {undone: 3}
    assert (await place.cli.closing("verify", undone))["taken_back"] == {}


PAID = ("--chain", 'objects.get {"id": {id}}', "--chain", 'add_payment {"SUM_IN": "777.77"}')
LOOK_UP = "select op_id from finance_operations where op_summa = 7777700000000 and abonent_id = :id"


async def test_what_cannot_be_read_back_is_told_apart_from_what_differs(place: Place) -> None:
    call = ("call", "--model", "Abonents", *PAID)
    name = (await place.run(*call, "--set", "id=2003"))["run"]
    closing = await place.cli.closing("verify", name, ends=4)
    assert closing["states"] == {"accepted": 1}
    assert (closing["as_wanted"], closing["different"], closing["unreadable"]) == (0, 0, 1)
    said = await place.cli.told("verify", name, ends=4)
    for words in (
        f"! run {name}: 0 rows as sent, 1 that cannot be read back",
        "? 1 row: cannot be read back: no look-up was given for this call",
        # Once more it would tell the same: what helps is to look there.
        f"carbon-migrate export {name} --state accepted",
    ):
        assert words in said
    assert [words for words in ("different", "carbon-migrate verify") if words in said] == []
    assert len(place.query(LOOK_UP, id=2003)) == 1
    looked_for = (await place.run(*call, "--set", "id=2004", "--look-up", LOOK_UP))["run"]
    assert (await place.cli.closing("verify", looked_for))["states"] == {"applied": 1}
