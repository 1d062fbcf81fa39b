"""Rejected and refused rows that come back corrected: into the same run and its totals, each row once."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from checkpoints.states import State
from cli.output.item_files import columns_of
from tests.cli.conftest import Place

REJECTION = "Объект уже удалён"


def refusing(*numbers: int) -> "Answer":
    return Answer(numbers)


class Answer:
    """Refuses the calls that arrive with these numbers, for good."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers

    def __call__(self, number: int) -> web.Response | None:
        if number not in self.numbers:
            return None
        return web.json_response({"call": "FinanceOperations", "error": REJECTION})


def read(path: Path, encoding: str = "utf-8-sig", delimiter: str = ";") -> tuple[list[str], list[list[str]]]:
    with path.open(encoding=encoding, newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=delimiter)
    return header, rows


def written(path: Path, header: list[str], rows: list[list[str]], encoding: str, delimiter: str) -> Path:
    """As a spreadsheet saves it."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows([header, *rows])
    path.write_bytes(text.getvalue().encode(encoding))
    return path


async def begun(place: Place) -> str:
    """A run of eight rows: five accepted, two rejected, one refused as no number; its rows are exported."""
    balances = place.balances(7)
    with balances.path.open("a", encoding="utf-8") as file:
        file.write(f"{numbers(place)[7]};восемь\n")
    place.traffic.answer = refusing(3, 5)
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--skip-bad", "--json", "--no-canary", "--in-flight", "1",
        may_end_with=(1,),
    )  # fmt: skip
    assert ended.closing["states"] == {"accepted": 5, "rejected": 2}
    assert ended.closing["refused"] == 1
    name: str = ended.closing["run"]
    assert f"carbon-migrate run balances {name}-rejected.csv --continue {name}" in ended.words
    await place.cli("export", name)
    place.traffic.answer = lambda _: None
    return name


def numbers(place: Place) -> list[str]:
    query = "select contract_number from abonents where is_folder = 0 and deleted = 0 order by id"
    return [number for (number,) in place.billing.database.query(query)]


def corrected(place: Place, name: str, encoding: str = "utf-8-sig", delimiter: str = ";") -> Path:
    """The file of rejected and refused rows, with a number in the place of the word."""
    path = place.cli.folder / f"{name}-rejected.csv"
    header, rows = read(path)
    mended = [[cell.replace("восемь", "8,08") for cell in row] for row in rows]
    return written(path, header, mended, encoding, delimiter)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ";"), ("cp1251", ","), ("utf-8", "\t")])
async def test_a_corrected_file_goes_into_the_same_run_and_its_totals(
    place: Place, encoding: str, delimiter: str
) -> None:
    name = await begun(place)
    file = corrected(place, name, encoding, delimiter)
    ended = await place.cli("run", "balances", file, "--continue", name, "--yes", "--json")
    assert ended.closing["run"] == name
    assert ended.closing["states"] == {"accepted": 8, "replaced": 2}
    assert ended.closing["refused"] == 0
    assert ended.closing["calls"] == 3
    found = await place.found()
    assert (found.rows, found.most_for_one) == (8, 1)
    assert Decimal(ended.closing["amounts"]["accepted"]) == found.sum
    assert f"run {name}" in ended.words
    assumed = "a comment is kept as it was sent; an operation of type 8 sets the balance to its sum"
    assert f"assumed {assumed}" in ended.words
    (run,) = await place.runs()
    assert run.name == name
    # A row that was replaced is counted once.
    lines = [line.split()[:2] for line in (await place.cli("status", name)).out.splitlines()]
    assert [line for line in (["accepted", "8"], ["replaced", "2"], ["all", "8"]) if line not in lines] == []
    await place.cli("verify", name)
    again = await place.cli("run", "balances", file, "--continue", name, "--yes", may_end_with=(2,))
    assert f"corrects nothing: run {name} has all of its good rows already" in again.words
    assert (await place.found()).rows == 8


async def test_what_a_kill_has_left_out_the_same_file_brings_in(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    header, rows = read(file)
    # As after a kill between two pages: only the first was taken in.
    part = written(place.cli.folder / "part.csv", header, rows[:1], "utf-8", ";")
    await place.cli("run", "balances", part, "--continue", name, "--yes", may_end_with=(1,))
    ended = await place.cli("run", "balances", file, "--continue", name, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 8, "replaced": 2}
    assert ended.closing["calls"] == 2
    assert "1 × in the run already" in ended.words
    assert (await place.found()).rows == 8


async def test_rows_that_are_rejected_again_come_back_again(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    place.traffic.answer = refusing(place.traffic.arrived + 1)
    arguments = ("run", "balances", file, "--continue", name, "--yes", "--json", "--no-canary", "--in-flight", "1")
    first = await place.cli(*arguments, may_end_with=(1,))
    assert first.closing["states"] == {"accepted": 7, "rejected": 1, "replaced": 2}
    await place.cli("export", name, "--force")
    second = await place.cli(*arguments)
    assert second.closing["states"] == {"accepted": 8, "replaced": 3}
    assert (await place.found()).rows == 8


async def test_a_wrong_key_is_corrected_too(place: Place) -> None:
    balances = place.balances(3)
    other = numbers(place)[10]
    place.traffic.answer = refusing(2)
    arguments = ("--yes", "--json", "--no-canary", "--in-flight", "1")
    ended = await place.cli("run", "balances", balances.path, *arguments, may_end_with=(1,))
    name = ended.closing["run"]
    await place.cli("export", name, "--state", "rejected", "-o", "bad.csv")
    header, ((_, *rest),) = read(place.cli.folder / "bad.csv")
    file = written(place.cli.folder / "bad.csv", header, [[other, *rest]], "utf-8", ";")
    continued = await place.cli("run", "balances", file, "--continue", name, *arguments)
    assert continued.closing["states"] == {"accepted": 3, "replaced": 1}
    assert (await place.found()).sum == balances.sum


async def test_rows_that_are_still_bad_send_nothing_unless_they_are_left_out(place: Place) -> None:
    name = await begun(place)
    file = place.cli.folder / f"{name}-rejected.csv"
    await place.cli.refused("run", "balances", file, "--continue", name, "--yes", says=["1 row of", "--skip-bad"])
    assert (await place.found()).rows == 5
    ended = await place.cli(
        "run", "balances", file, "--continue", name, "--yes", "--skip-bad", "--json", may_end_with=(1,)
    )
    assert ended.closing["states"] == {"accepted": 7, "replaced": 2}
    assert ended.closing["refused"] == 1


async def test_what_belongs_elsewhere_is_refused(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    header, rows = read(file)

    async def refused(rows: list[list[str]], header: list[str] = header) -> str:
        path = written(place.cli.folder / "other.csv", header, rows, "utf-8", ";")
        ended = await place.cli("run", "balances", path, "--continue", name, "--yes", may_end_with=(2,))
        return ended.words

    new = [numbers(place)[20], "5", "", "", "", "", ""]
    assert "corrects no row of run" in await refused([*rows, new])
    assert "are both corrections of one row" in await refused([rows[0], [numbers(place)[21], *rows[0][1:]]])
    place_of = header.index("carbon_row")
    strange = [*rows[0][:place_of], "zzzzz/1", *rows[0][place_of + 1 :]]
    assert "this is a row of run zzzzz" in await refused([strange])
    broken = [*rows[0][:place_of], "3", *rows[0][place_of + 1 :]]
    assert "put it back, or empty the cell" in await refused([broken])
    assert "has no column amount" in await refused([[row[0]] for row in rows], header[:1])
    assert (await place.found()).rows == 5
    async with place.journal() as journal:
        (run,) = await journal.runs()
        assert (await journal.totals(run)).counts == {State.ACCEPTED: 5, State.REJECTED: 2}


async def test_what_cannot_be_continued_says_so(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    for more, words in (
        (("--set", "descr=x"), "remembers what it was told"),
        (("--another-billing",), "remembers what it was told"),
    ):
        await place.cli.refused("run", "balances", file, "--continue", name, "--yes", *more, says=words)
    await place.cli.refused("run", "ip-pool", file, "--continue", name, "--yes", says="is one of balances")
    undone = await place.cli("undo", name, "--set", "way=storno", "--yes", "--json")
    undo = undone.closing["run"]
    await place.cli.refused("run", "undo", file, "--continue", undo, "--yes", says="takes another run back")
    given_up = place.write("contract_number;amount\nnobody;5\n", "given-up.csv")
    await place.cli("run", "balances", given_up, "--yes", may_end_with=(2,))
    last = (await place.runs())[-1].name
    ended = await place.cli("run", "balances", given_up, "--continue", last, "--yes", may_end_with=(2,))
    assert "there is nothing to continue" in ended.words


async def test_a_row_that_was_entered_elsewhere_meanwhile_is_not_entered_again(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    _, rows = read(file)
    first, *_ = [row for row in rows if row[-2] == "" and row[4] == "rejected"]
    place.write(f"contract_number;amount\n{first[0]};{first[1]}\n", "elsewhere.csv")
    await place.cli("run", "balances", "elsewhere.csv", "--yes")
    ended = await place.cli("run", "balances", file, "--continue", name, "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 7, "replaced": 2, "skipped": 1}
    assert "entered by an earlier run" in ended.words
    found = await place.found()
    assert (found.rows, found.most_for_one) == (8, 1)


async def test_cells_that_were_made_harmless_come_back_as_they_were(place: Place) -> None:
    number = numbers(place)[0]
    place.write(f"contract_number;amount;примечание\n{number};5;=1+1\n{numbers(place)[1]};6;'=2\n")
    place.traffic.answer = refusing(1, 2)
    arguments = ("--yes", "--json", "--no-canary")
    name = (await place.cli("run", "balances", "balances.csv", *arguments, may_end_with=(1,))).closing["run"]
    place.traffic.answer = lambda _: None
    await place.cli("export", name)
    header, rows = read(place.cli.folder / f"{name}-rejected.csv")
    cut = written(place.cli.folder / "cut.csv", header[:2], [row[:2] for row in rows], "utf-8", ";")
    refused = await place.cli("run", "balances", cut, "--continue", name, "--yes", may_end_with=(2,))
    assert f"is no export of run {name}: it lacks the column 'примечание'" in refused.words
    await place.cli("run", "balances", f"{name}-rejected.csv", "--continue", name, *arguments)
    async with place.journal() as journal:
        (run,) = await journal.runs()
        accepted = await journal.items(run, {State.ACCEPTED})
    assert [(item.row, item.line) for item in accepted] == [
        ((number, "5", "=1+1"), 2),
        ((numbers(place)[1], "6", "'=2"), 3),
    ]


async def test_an_input_with_columns_of_these_names_is_exported_and_comes_back(place: Place) -> None:
    number = numbers(place)[0]
    place.write(f"carbon_row;contract_number;amount;Carbon_Message\naaaaa/7;{number};5;old\n")
    place.traffic.answer = refusing(1)
    arguments = ("--yes", "--json", "--no-canary")
    name = (await place.cli("run", "balances", "balances.csv", *arguments, may_end_with=(1,))).closing["run"]
    await place.cli("export", name)
    header, rows = read(place.cli.folder / f"{name}-rejected.csv")
    (run,) = await place.runs()
    assert header == ["carbon_row", "contract_number", "amount", "Carbon_Message", *columns_of(run)]
    assert header[4:] == ["carbon_row_2", "carbon_line", "carbon_state", "carbon_answer", "carbon_message_2"]
    assert rows[0][:6] == ["aaaaa/7", number, "5", "old", f"{name}/1", "2"]
    ended = await place.cli("run", "balances", f"{name}-rejected.csv", "--continue", name, *arguments)
    assert ended.closing["states"] == {"accepted": 1, "replaced": 1}


async def test_killed_at_any_instant_nothing_is_entered_twice_and_nothing_is_lost(place: Place) -> None:
    place.billing.latency = 0.01
    balances = place.balances(60)
    place.traffic.answer = refusing(*range(1, 61))
    arguments = ("--yes", "--json", "--no-canary", "--stop-after-errors", "0")
    name = (await place.cli("run", "balances", balances.path, *arguments, may_end_with=(1,))).closing["run"]
    place.traffic.answer = lambda _: None
    await place.cli("export", name)
    file = place.cli.folder / f"{name}-rejected.csv"
    begin: tuple[str, ...] = (
        "run",
        "balances",
        str(file),
        "--continue",
        name,
        "--yes",
        "--settle",
        "0.1",
        "--in-flight",
        "4",
    )
    for calls in (1, 12, 30):
        before = place.traffic.arrived
        await place.kill_at(before + calls, *begin)
        begin = ("resume", name, "--settle", "0.1", "--in-flight", "4")
    ended = await place.cli("resume", name, "--json", "--settle", "0.1")
    assert ended.closing["states"] == {"accepted": 60, "replaced": 60}
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one) == (60, balances.sum, 1)


@pytest.mark.parametrize("number", ["9" * 5000, "٣"])
@pytest.mark.parametrize("column", ["carbon_row", "carbon_line"])
async def test_a_number_that_no_export_has_written_is_refused_with_its_line(
    place: Place, column: str, number: str
) -> None:
    name = await begun(place)
    file = corrected(place, name)
    header, rows = read(file)
    for row in rows:
        # The line counts where the row is not named.
        row[header.index("carbon_row")] = f"{name}/{number}" if column == "carbon_row" else ""
        row[header.index("carbon_line")] = number if column == "carbon_line" else "2"
    written(file, header, rows, "utf-8-sig", ";")
    await place.cli.refused("run", "balances", file, "--continue", name, "--yes", says=f"line 2, column {column}: ")
    (run,) = await place.runs()
    assert run.name == name
    assert (await place.found()).rows == 5
