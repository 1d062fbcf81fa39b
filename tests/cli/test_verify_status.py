"""What is read back, and what is shown of runs."""

import csv
import json
from pathlib import Path

from billing.database import Dsn, attach
from tests.cli.conftest import Place


def tamper(file: Path, change: str, mark: str) -> None:
    """Change the operation of a mark behind everybody's back."""
    connection = attach(Dsn(str(file)))
    statement = f"update finance_operations set {change} where descr like ?"  # noqa: S608 - words of the test
    connection.cursor().execute(statement, [f"%{mark}]"])
    connection.commit()
    connection.close()


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
        "as_wanted": 50,
        "different": 0,
        "expected": f"{balances.sum:.2f}",
        "found": f"{balances.sum:.2f}",
        "applied": 50,
        "exit": 0,
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
    again = await place.cli("verify", closing["run"], "-o", "differences.csv", may_end_with=(2,))
    assert "--force" in again.words


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
    assert (run["run"], run["states"], run["stage"], run["holder"]) == (name, {"accepted": 5}, "approved", None)
    one = json.loads((await place.cli("status", name, "--json")).out)
    assert one == run


async def test_a_run_that_is_not_there_names_those_that_are(place: Place) -> None:
    name = (await place.cli("run", "balances", place.balances(1).path, "--yes", "--json")).closing["run"]
    ended = await place.cli("status", "xxxxx", may_end_with=(2,))
    assert "has no run 'xxxxx'" in ended.words
    assert name in ended.words
