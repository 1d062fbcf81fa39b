"""What is signed: sums of reports as commands make them, with a billing and a file, to the kopeck."""

import csv
import re
from decimal import Decimal
from pathlib import Path

from billing.money import parse_amount
from tests.cli.conftest import Place
from tests.cli.report.test_sums import figure, table, tables_of
from tests.cli.test_import import subscriber
from tests.cli.test_import import table as as_table
from tests.cli.test_shared_accounts import shared

REPORT = ("-o", "report.html", "--force", "--json", "--lang", "en")


def page(place: Place) -> str:
    return (place.cli.folder / "report.html").read_text(encoding="utf-8")


def balances_of(path: Path) -> Decimal:
    """The sum of a file, read from the file itself."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum((parse_amount(row["Баланс"]) for row in csv.DictReader(file, delimiter=";")), Decimal(0))


async def test_an_import_is_signed_for_the_whole_file_with_its_refused_rows(place: Place) -> None:
    rows = [subscriber(number) for number in range(1, 21)]
    rows[3][3] = rows[4][3]  # One login twice: both rows are refused.
    rows[7][5] = "no phone"
    path = place.write(as_table(rows), "subs.csv")
    ended = await place.cli("import", "subs.csv", "--yes", "--skip-bad", "--json", may_end_with=(1,))
    run = str(ended.closing["run"])
    await place.cli("verify", run, may_end_with=(0, 1))
    told = (await place.cli("report", run, *REPORT)).closing["sums"][run]
    assert Decimal(told["file"]["amount"]) == balances_of(path)
    assert (told["file"]["rows"], told["refused"]["rows"]) == (20, ended.closing["refused"])
    sums = {cells[0]: [figure(cell) for cell in cells[1:]] for cells in table(page(place), "Opening balances")}
    assert sums["asked for by the file"] == [20, balances_of(path)]
    refused = sums["of these: refused before sending"]
    assert refused[0] == ended.closing["refused"] > 0
    assert sums["asked for, and not accepted"] == refused
    # The tally beside it has the file without them, and says by how much.
    without = (await place.cli("verify", run, "--json", may_end_with=(0, 1))).closing["tally"]["groups"][0]["file"]
    assert Decimal(without["balance"]) + refused[1] == balances_of(path)
    assert f"were refused before sending, with {refused[1]:.2f}, and are in none" in page(place)
    undo = str((await place.cli("undo", run, "--yes", "--json")).closing["run"])
    told = (await place.cli("report", undo, *REPORT)).closing["sums"]
    assert told[undo]["taken_back"] == told[run]["entered"]
    assert (told[run]["entered"]["rows"], int(refused[0])) == (17, 3)
    await place.cli("report", run, *REPORT)
    assert "17 subscribers were taken back since" in page(place)
    # A map file says the same of columns that nobody knows; the report needs it no more.
    place.write('format = 1\n[subscriber]\ndebt = "Колонка"\n', "map.toml")
    header = [
        title.replace("Баланс", "Колонка") for title in path.read_text(encoding="utf-8").splitlines()[0].split(";")
    ]
    others = [[*row[:7], row[7]] for row in rows]
    for row in others:
        row[0] = f"К{row[0]}"
        row[3] = f"k{row[3]}"
    place.write(as_table(others, header), "debts.csv")
    ended = await place.cli(
        "import", "debts.csv", "--map", "map.toml", "--yes", "--skip-bad", "--alike", "--json", may_end_with=(1,)
    )
    run = str(ended.closing["run"])
    (place.cli.folder / "map.toml").unlink()
    told = (await place.cli("report", run, *REPORT)).closing["sums"][run]
    assert Decimal(told["file"]["amount"]) == -balances_of(path)
    assert told["refused"]["amounts_unreadable"] == 0


async def test_an_undo_takes_back_one_sum_wherever_it_is_said(place: Place) -> None:
    """An operation that restores a balance carries that balance, and not what it takes back."""
    balances = place.balances(6)
    run = str((await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"])
    ended = await place.cli("undo", run, "--set", "way=opposite", "--yes", "--json")
    undo = str(ended.closing["run"])
    assert ended.closing["amounts"] == {"accepted": format(-balances.sum, "f")}
    shown = await place.cli("verify", undo, may_end_with=(0, 1))
    assert "operations of the undo: sum expected" in " ".join(shown.out.split())
    told = (await place.cli("report", undo, *REPORT)).closing["sums"]
    assert Decimal(told[undo]["taken_back"]["amount"]) == balances.sum
    assert Decimal(told[undo]["entered"]["amount"]) == 0
    words = re.sub(r"\s+", " ", page(place))
    assert f"6 of the 6 rows of run {run} are taken back, {balances.sum} in total" in words
    sums = {cells[0]: [figure(cell) for cell in cells[1:]] for cells in table(page(place), "Sum of the undo")}
    assert sums["taken back by this undo"] == sums["to be taken back"] == [6, balances.sum]
    sums_of_page = next(one for one in tables_of(page(place)) if one[0][0] == "Sum")[1:]
    lines = {cells[0]: [figure(cell) for cell in cells[1:]] for cells in sums_of_page}
    assert lines["taken back since"] == lines[f"entered by run {run}"] == [6, balances.sum]
    restored = str((await place.cli("undo", undo, "--set", "way=opposite", "--yes", "--json")).closing["run"])
    told = (await place.cli("report", restored, *REPORT)).closing["sums"]
    assert Decimal(told[restored]["taken_back"]["amount"]) == -balances.sum
    assert f"6 of the 6 rows that run {undo} took back are restored, {balances.sum} in total" in page(place)
    # In the report of all of them, nothing of that was entered twice.
    again = (await place.cli("report", undo, *REPORT)).closing["sums"]
    assert again[undo] == {**again[undo], "taken_back": {"rows": 6, "amount": format(balances.sum, "f")}}
    assert "6 rows were restored since" in page(place)
    await place.cli("run", "blocked", "-o", "blocked.csv", "--yes", may_end_with=(0, 1, 2))
    await place.cli("report", "--all", *REPORT)
    *_, every = table(page(place), "Billing")
    assert [figure(cell) for cell in every[2:]] == [6, balances.sum, 6, balances.sum, 0]
    status = (await place.cli("status", "--all", "--json")).closing
    assert Decimal(status["sums"]["entered"]) == balances.sum


async def test_a_merged_row_has_its_own_amount_and_counts_once(place: Place) -> None:
    shared(place)
    ended = await place.cli("run", "balances", "shared.csv", "--shared-accounts", "sum", "--yes", "--json")
    run = str(ended.closing["run"])
    told = (await place.cli("report", run, *REPORT)).closing["sums"][run]
    assert (told["file"]["rows"], told["file"]["amount"]) == (3, "500.34")
    assert (told["entered"]["rows"], told["entered"]["amount"]) == (2, "500.34")
    assert told["merged"] == {"rows": 1, "amount": "-459.90"}
    (exception,) = table(page(place), "Line")
    assert (figure(exception[2]), exception[3]) == (Decimal("-459.90"), "merged into another row")
    assert "account (--shared-accounts sum): line 3" in exception[4]
    lines = {cells[0]: [figure(cell) for cell in cells[1:]] for cells in table(page(place), "Outcome")}
    assert lines["merged into another row: −459.90 is part of its amount"] == [1, 0]
    assert lines["skipped: nothing to do"] == [0, 0]
    assert "1 row is part of the amount of another row" in page(place)
    assert "was skipped" not in page(place)


async def test_what_nobody_can_read_is_in_no_sum_and_said(place: Place) -> None:
    balances = place.balances(3)
    text = balances.path.read_text(encoding="utf-8") + "nobody;1 000 or so\n"
    place.write(text)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--skip-bad", "--json", may_end_with=(1,))
    run = str(ended.closing["run"])
    told = (await place.cli("report", run, *REPORT)).closing["sums"][run]
    assert told["file"] == {"rows": 4, "amount": format(balances.sum, "f"), "amounts_unreadable": 1}
    assert [cells[2] for cells in table(page(place), "Line")] == ["amount unreadable"]
    assert f"The amount of the whole file is {balances.sum} and what these rows ask for." in page(place)


async def test_a_check_names_the_line_that_one_page_has_more(place: Place) -> None:
    balances = place.balances(3)
    run = str((await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["run"])
    await place.cli("report", run, *REPORT)
    forged = page(place).replace("<tbody>", '<tbody>\n<tr><td>paid</td><td class="number">9</td></tr>', 1)
    place.write(forged, "forged.html")
    told = await place.cli("report", "check", "forged.html", "--json", may_end_with=(1,))
    assert told.closing["words"] == 1
    shown = " ".join((await place.cli("report", "check", "forged.html", may_end_with=(1,))).out.split())
    assert "here: paid 9 now: –" in shown
    assert "<" not in shown
    # What no word shows is a difference all the same.
    place.write(page(place).replace("<body>", '<body style="color:white">'), "pale.html")
    pale = await place.cli("report", "check", "pale.html", may_end_with=(1,))
    assert 'here: <body style="color:white">' in " ".join(pale.out.split())
