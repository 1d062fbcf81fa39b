"""Rejected and refused rows that come back corrected: into the same run and its totals, each row once."""

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from checkpoints.states import State
from cli.show.files import columns_of
from tests.cli.conftest import Ended, Place


def refusing(*numbers: int) -> Callable[[int], web.Response | None]:
    """Refuses the calls that arrive with these numbers, for good."""
    error = {"call": "FinanceOperations", "error": "Объект уже удалён"}
    return lambda number: web.json_response(error) if number in numbers else None


def read(path: Path, encoding: str = "utf-8-sig", delimiter: str = ";") -> tuple[list[str], list[list[str]]]:
    with path.open(encoding=encoding, newline="") as stream:
        header, *rows = csv.reader(stream, delimiter=delimiter)
    return header, rows


def written(path: Path, header: list[str], rows: list[list[str]], encoding: str, delimiter: str) -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows([header, *rows])
    path.write_bytes(text.getvalue().encode(encoding))
    return path


ALONE = ("--no-canary", "--in-flight", "1")


async def begun(place: Place) -> str:
    """A run of eight rows: five accepted, two rejected, one refused as no number; its rows are exported."""
    balances = place.balances(7)
    with balances.path.open("a", encoding="utf-8") as file:
        file.write(f"{numbers(place)[7]};восемь\n")
    place.traffic.answer = refusing(3, 5)
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--skip-bad", "--json", *ALONE, may_end_with=(1,)
    )
    assert (ended.closing["states"], ended.closing["refused"]) == ({"accepted": 5, "rejected": 2}, 1)
    name: str = ended.closing["run"]
    write, hand_in = f"export {name} --state bad -o {name}-bad.csv", f"run balances {name}-bad.csv --continue {name}"
    ended.saying([f"carbon-migrate {write}", f"carbon-migrate {hand_in}"])
    await place.cli(*write.split())
    place.traffic.answer = lambda _: None
    return name


def numbers(place: Place) -> list[str]:
    rows = place.query("select contract_number from abonents where is_folder = 0 and deleted = 0 order by id")
    return [number for (number,) in rows]


def corrected(place: Place, name: str, encoding: str = "utf-8-sig", delimiter: str = ";") -> Path:
    """The file of rejected and refused rows, with a number in the place of the word."""
    path = place.cli.folder / f"{name}-bad.csv"
    header, rows = read(path)
    mended = [[cell.replace("восемь", "8,08") for cell in row] for row in rows]
    return written(path, header, mended, encoding, delimiter)


def again(file: str | Path, name: str) -> tuple[str | Path, ...]:
    return ("balances", file, "--continue", name)


async def test_a_corrected_file_goes_into_the_same_run_and_its_totals(place: Place) -> None:
    """What a kill between two of its pages has left out the same file brings in."""
    name = await begun(place)
    header, rows = read(corrected(place, name))
    await place.run(*again(written(place.cli.folder / "part.csv", header, rows[:1], "utf-8", "\t"), name), ends=1)
    file = corrected(place, name, "cp1251", ",")
    ended = await place.cli("run", *again(file, name), "--yes", "--json")
    closing = ended.closing
    assert (closing["run"], closing["states"]) == (name, {"accepted": 8, "replaced": 2})
    assert (closing["refused"], closing["calls"]) == (0, 2)
    await place.landed_once(8)
    assert Decimal(closing["amounts"]["accepted"]) == (await place.found()).sum
    assumed = "a comment is kept as it was sent; an operation of type 8 sets the balance to its sum"
    ended.saying([f"run {name}", f"assumed {assumed}", "1 × in the run already"])
    assert [run.name for run in await place.runs()] == [name]
    # A row that was replaced is counted once.
    lines = [line.split()[:2] for line in (await place.cli("status", name)).out.splitlines()]
    assert [line for line in lines if line and line[0] in {"accepted", "replaced", "all"}] == [
        ["accepted", "8"],
        ["all", "8"],
        ["replaced", "2"],
    ]
    assert "rows read 8 8" in (await place.cli("compare", name, name)).shown
    await place.cli("verify", name)
    says = f"corrects nothing: run {name} has all of its good rows already"
    await place.cli.refused("run", *again(file, name), "--yes", says=says)
    assert (await place.found()).rows == 8


async def test_a_corrected_cell_may_keep_the_apostrophe_of_its_export(place: Place) -> None:
    first, second = numbers(place)[:2]
    (place.cli.folder / "minus.csv").write_text(f"Договор;Сумма\n{first};-2O,00\n{second};=30\n", encoding="utf-8")
    await place.cli("run", "balances", "minus.csv", "--yes", "--skip-bad", may_end_with=(1,))
    ((name, *_),) = [(run.name,) for run in await place.runs()]
    await place.cli("export", name, "--state", "bad", "-o", "bad.csv")
    header, rows = read(place.cli.folder / "bad.csv")
    assert [row[1] for row in rows] == ["'-2O,00", "'=30"]
    mended = [[cell.replace("O", "0").replace("=", "") for cell in row] for row in rows]
    await place.run(*again(written(place.cli.folder / "bad.csv", header, mended, "utf-8", ";"), name))
    await place.landed_once(2)
    assert (await place.found()).sum == Decimal(10)


async def test_rows_that_are_rejected_again_come_back_again_also_for_a_wrong_key(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    place.traffic.answer = refusing(place.traffic.arrived + 1)
    first = await place.run(*again(file, name), *ALONE, ends=1)
    assert first["states"] == {"accepted": 7, "rejected": 1, "replaced": 2}
    await place.cli("export", name, "--state", "bad", "-o", file.name, "--force")
    header, ((key, *rest),) = read(file)
    other = numbers(place)[10]
    assert key != other
    written(file, header, [[other, *rest]], "utf-8", ";")
    assert (await place.run(*again(file, name), *ALONE))["states"] == {"accepted": 8, "replaced": 3}
    await place.landed_once(8)


async def test_what_is_still_bad_belongs_elsewhere_or_cannot_be_continued_is_refused(place: Place) -> None:
    name = await begun(place)
    file = place.cli.folder / f"{name}-bad.csv"
    await place.cli.refused("run", *again(file, name), "--yes", says=["1 row of", "--skip-bad"])
    header, rows = read(file)

    async def refused(says: str, rows: list[list[str]], header: list[str] = header) -> Ended:
        path = written(place.cli.folder / "other.csv", header, rows, "utf-8", ";")
        return await place.cli.refused("run", *again(path, name), "--yes", says=says)

    def named(row: list[str], cell: str, column: str = "carbon_row") -> list[str]:
        """The row with another cell; the line counts where the row is not named."""
        cells = {"carbon_row": row[header.index("carbon_row")], "carbon_line": "2", column: cell}
        if column == "carbon_line":
            cells["carbon_row"] = ""
        return [cells.get(name, value) for name, value in zip(header, row, strict=True)]

    good = [[cell.replace("восемь", "8,08") for cell in row] for row in rows]
    one, other = good[0], good[1]
    wrong = [
        ([numbers(place)[20], "5", "", "", "", "", ""], "corrects no row of run"),
        ([numbers(place)[21], *one[1:]], "are both corrections of one row"),
        (named(other, "zzzzz/1"), "this is a row of run zzzzz"),
        (named(other, "3"), "put it back, or empty the cell"),
        # A number that no export has written.
        *((named(other, f"{name}/{number}"), "column carbon_row: ") for number in ("9" * 5000, "٣")),
        *((named(other, number, "carbon_line"), "column carbon_line: ") for number in ("9" * 5000, "٣")),
    ]
    all_wrong = await refused("corrects no row of run", [one, *(row for row, _ in wrong)])
    faults = [fault for fault in all_wrong.faults if not fault.startswith("line 2 ")]
    assert [says for fault, (_, says) in zip(faults, wrong, strict=False) if says not in fault] == [], faults
    await refused("as the file has no column carbon_row", [row[:2] for row in good], header[:2])
    await refused("has no column amount", [[row[0]] for row in good], header[:1])
    for more in (("--set", "descr=x"), ("--another-billing",)):
        says = "remembers what it was told"
        await place.cli.refused("run", *again(file, name), "--yes", *more, says=says)
    await place.cli.refused("run", "ip-pool", file, "--continue", name, "--yes", says="is one of balances")
    assert (await place.found()).rows == 5
    assert [run.name for run in await place.runs()] == [name]
    async with place.journal() as journal:
        assert (await journal.totals(await journal.run(name))).counts == {State.ACCEPTED: 5, State.REJECTED: 2}
    # What is good of it is sent on request.
    ended = await place.run(*again(file, name), "--skip-bad", ends=1)
    assert (ended["states"], ended["refused"]) == ({"accepted": 7, "replaced": 2}, 1)
    undo = (await place.cli.closing("undo", name, "--set", "way=opposite", "--yes"))["run"]
    await place.cli.refused("run", "undo", file, "--continue", undo, "--yes", says="takes another run back")
    given_up = place.rows("contract_number;amount", "nobody;5", name="given-up.csv")
    await place.cli("run", "balances", given_up, "--yes", may_end_with=(2,))
    last = (await place.runs())[-1].name
    command = f"carbon-migrate run balances {given_up.resolve()} "
    nothing = await place.cli.refused("run", *again(given_up, last), "--yes", says="there is nothing to continue")
    nothing.saying([command, "--skip-bad"])


async def test_a_row_that_was_entered_elsewhere_meanwhile_is_not_entered_again(place: Place) -> None:
    name = await begun(place)
    file = corrected(place, name)
    first, *_ = [row for row in read(file)[1] if row[-2] == "" and row[4] == "rejected"]
    await place.run("balances", place.rows("contract_number;amount", f"{first[0]};{first[1]}"))
    ended = await place.cli("run", *again(file, name), "--yes", "--json")
    assert ended.closing["states"] == {"accepted": 7, "replaced": 2, "skipped": 1}
    ended.saying("entered by an earlier run")
    await place.landed_once(8)


async def rejected(place: Place) -> tuple[str, list[str], list[list[str]]]:
    """A run of a file of balances, all of whose rows are rejected; its name, and what is exported of it."""
    place.traffic.answer = refusing(1, 2)
    name = (await place.run("balances", "balances.csv", "--no-canary", ends=1))["run"]
    place.traffic.answer = lambda _: None
    await place.cli("export", name)
    return (name, *read(place.cli.folder / f"{name}-rejected.csv"))


async def test_a_file_of_a_russian_reader_is_taken_by_an_english_one_and_the_other_way_round(place: Place) -> None:
    name = await begun(place)
    await place.cli("export", name, "--state", "bad", "-o", "ru.csv", "--lang", "ru")
    header, rows = read(place.cli.folder / "ru.csv")
    ours = ["carbon_строка", "carbon_строка_файла", "carbon_состояние", "carbon_ответ", "carbon_причина"]
    assert header[2:] == ours
    assert {row[4] for row in rows} == {"отклонено биллингом", "не принято"}
    first = written(place.cli.folder / "part.csv", header, rows[:1], "utf-8", ";")
    await place.run(*again(first, name), ends=1)
    says = "столбец carbon_строка: "
    wrong = written(place.cli.folder / "part.csv", header, [[*rows[1][:2], "3", *rows[1][3:]]], "utf-8", ";")
    await place.cli.refused("run", *again(wrong, name), "--yes", "--lang", "ru", says=says)
    ended = await place.run(*again(corrected(place, name), name), "--lang", "ru")
    assert ended["states"] == {"accepted": 8, "replaced": 2}
    await place.landed_once(8)


async def test_any_cells_and_columns_of_these_names_are_exported_and_come_back_as_they_were(place: Place) -> None:
    one, two, *_ = numbers(place)
    # For such a column it is read as an export is: one apostrophe is taken off.
    lines = f"aaaaa/7;{one};5;old;=1+1\n;{two};6;;''=2\n"
    place.write(f"carbon_row;contract_number;amount;Carbon_Message;примечание\n{lines}")
    name, header, rows = await rejected(place)
    (run,) = await place.runs()
    own, ours = header[:5], header[5:]
    assert own == ["carbon_row", "contract_number", "amount", "Carbon_Message", "примечание"]
    assert ours == [*columns_of(run)]
    assert ours == ["carbon_row_2", "carbon_line", "carbon_state", "carbon_answer", "carbon_message_2"]
    assert rows[0][:7] == ["aaaaa/7", one, "5", "old", "'=1+1", f"{name}/1", "2"]
    cut = written(place.cli.folder / "cut.csv", header[:4], [row[:4] for row in rows], "utf-8", ";")
    says = f"is no export of run {name}: it lacks the column 'примечание'"
    await place.cli.refused("run", *again(cut, name), "--yes", says=says)
    assert (await place.run(*again(f"{name}-rejected.csv", name)))["states"] == {"accepted": 2, "replaced": 2}
    async with place.journal() as journal:
        accepted = await journal.items(await journal.run(name), {State.ACCEPTED})
    assert [(item.row, item.line) for item in accepted] == [
        (("aaaaa/7", one, "5", "old", "=1+1"), 2),
        (("", two, "6", "", "'=2"), 3),
    ]


async def test_killed_at_any_instant_nothing_is_entered_twice_and_nothing_is_lost(place: Place) -> None:
    place.billing.latency = 0.01
    balances = place.balances(60)
    place.traffic.answer = refusing(*range(1, 61))
    never = ("--no-canary", "--stop-after-errors", "0")
    name = (await place.run("balances", balances.path, *never, ends=1))["run"]
    place.traffic.answer = lambda _: None
    await place.cli("export", name)
    pacing = ("--yes", "--settle", "0.1", "--in-flight", "4")
    begin = ("run", *again(f"{name}-rejected.csv", name), *pacing)
    for calls in (1, 30):
        await place.kill_at(place.traffic.arrived + calls, *begin)
        begin = ("resume", name, *pacing)
    ended = await place.cli.closing("resume", name, "--settle", "0.1")
    assert ended["states"] == {"accepted": 60, "replaced": 60}
    await place.each_landed_once(balances)
