"""The report of a run: its figures are those of journal and billing, it can be checked, and a row can be proved."""

import csv
import hashlib
import html
import io
import json
import re
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from pypdf import PdfReader

from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from cli.report.document import STATES
from cli.terminal.names import NOT_AS_SENT, OUTCOMES, SKIPPED_AS
from cli.terminal.texts import RUSSIAN, language
from tests.cli.commands.test_reconcile import differing
from tests.cli.conftest import Place
from tests.cli.settings.test_profiles import storno_restores

REPORT = Path("report.html")
_CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL)


def tables_of(page: str) -> list[list[list[str]]]:
    """The tables of a page, each with its rows of cells; those for signatures are none."""

    def text(cell: str) -> str:
        return " ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split())

    return [
        [[text(cell) for cell in _CELL.findall(row)] for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
        for table in re.findall(r"<table(?! class=\"sign).*?</table>", page, re.DOTALL)
    ]


class Page:
    """The cells of all tables of a page, row by row."""

    def __init__(self, text: str) -> None:
        self.rows = [row for table in tables_of(text) for row in table]

    def lines(self, name: str) -> list[list[str]]:
        return [cells[1:] for cells in self.rows if cells and cells[0] == name]

    def line(self, name: str) -> list[str]:
        (found,) = self.lines(name)
        return found

    def sums(self, name: str) -> list[Decimal]:
        return [number(cell) for cell in self.line(name)]


def number(text: str) -> Decimal:
    """A number as a Russian reader sees it."""
    return Decimal(re.sub(r"[^\d,−]", "", text).replace(",", ".").replace("−", "-"))


def read(place: Place, name: Path = REPORT) -> str:
    return (place.cli.folder / name).read_text(encoding="utf-8")


async def loaded(place: Place, rows: int = 5, *, bad: int = 1) -> tuple[str, Decimal]:
    """A run of good rows, of some that are refused, and its sum."""
    balances = place.balances(rows)
    text = balances.path.read_text(encoding="utf-8") + "".join(f"<script>{n}</script>;1,00\n" for n in range(bad))
    balances.path.write_text(text, encoding="utf-8")
    ended = await place.cli("run", "balances", balances.path, "--yes", "--skip-bad", "--json", may_end_with=(0, 1))
    return str(ended.closing["run"]), balances.sum


async def test_it_is_the_same_to_the_byte_and_whatever_was_changed_is_told(place: Place) -> None:
    """A row of the journal, the words of a page, and what has happened since; each row is proved by itself."""
    run, total = await loaded(place)
    made = await place.cli.closing("report", run, "-o", REPORT, "--lang", "ru")
    text = read(place)
    await place.cli("report", run, "-o", REPORT, "--force", "--lang", "ru")
    assert read(place) == text
    await place.cli("report", "check", REPORT)
    await place.cli.refused("report", run, "-o", REPORT, says="is there already")
    # That it proves its row is shown by docs/how-to/report.md.
    assert json.loads((await place.cli("report", "prove", run, "3")).out)["root"] == made["root"]
    await place.cli.refused("report", "prove", run, "77", says=f"run {run} has no row with '77'")
    # ---- the same as a PDF, with every letter
    for name in ("one.pdf", "two.pdf"):
        await place.cli("report", run, "--pdf", "-o", name, "--lang", "ru")
    one, two = [(place.cli.folder / name).read_bytes() for name in ("one.pdf", "two.pdf")]
    assert (one, b"pdfaid:part" in one) == (two, True)
    printed = " ".join("".join(page.extract_text() for page in PdfReader(io.BytesIO(one)).pages).split())
    sum_of_rows = language(RUSSIAN).write(total)
    for words in (f"№ {run} от", "стр. 1 из", sum_of_rows.replace("\u00a0", " ")):
        assert words in printed
    # ---- other words, a line more, and what no word shows
    place.write(text.replace(sum_of_rows, language(RUSSIAN).write(total + 1000)), "forged.html")
    told = await place.cli.closing("report", "check", "forged.html", ends=1)
    assert (told["agrees"], told["rows"]) == (False, [])
    shown = (await place.cli.told("report", "check", "forged.html", ends=1)).replace("\u00a0", " ")
    assert ("its rows agree" in shown, sum_of_rows.replace("\u00a0", " ") in shown) == (True, True)
    place.write(text.replace("<tbody>", '<tbody>\n<tr><td>paid</td><td class="number">9</td></tr>', 1), "more.html")
    assert (await place.cli.closing("report", "check", "more.html", ends=1))["words"] == 1
    shown = await place.cli.told("report", "check", "more.html", ends=1)
    assert ("here: paid 9 now: –" in shown, "<" in shown) == (True, False)
    place.write(text.replace("<body>", '<body style="color:white">'), "pale.html")
    await place.cli.told("report", "check", "pale.html", ends=1, says='here: <body style="color:white">')
    # ---- another row
    with closing(sqlite3.connect(place.cli.journal, isolation_level=None)) as journal:
        journal.execute("update items set amount = '7.77' where number = 3")
        differs = await place.cli.closing("report", "check", REPORT, ends=1)
        assert (differs["agrees"], differs["rows"]) == (False, [{"run": run, "row": 3}])
        assert differs["reported"] == made["root"]
        shown = (await place.cli("report", "check", REPORT, may_end_with=(1,))).out
        assert ("line 4 (" in shown, '"7.77"' in shown) == (True, True)
        journal.execute("update items set amount = '0.15' where number = 3")
    await place.cli("report", "check", REPORT)
    # What has happened since is a difference too, and its own moment says so.
    await place.cli("verify", run, may_end_with=(0, 1))
    await place.cli("report", "check", REPORT, may_end_with=(1,))


async def test_its_figures_are_those_of_journal_and_billing(place: Place) -> None:
    run, total = await loaded(place)
    await place.cli("verify", run, may_end_with=(0, 1))
    await place.cli("report", run, "-o", REPORT, "--lang", "ru")
    page, text = Page(read(place)), read(place)
    found = await place.found()
    for name, figures in {
        "сверены: прочитаны из биллинга, совпадают": [5, total],
        # The refused row asked for a rouble, which the sum of the file has, too.
        "не приняты: отсеяны до отправки": [1, 1],
        "всего строк во входных данных": [6, total + 1],
        "требуется, но не внесено": [1, 1],
        "прочитано из биллинга": [found.rows, found.sum],
        "остатки лицевых счетов: в биллинге": [5, total],
    }.items():
        assert page.sums(name) == figures, name
    assert "ПРЕДВАРИТЕЛЬНЫЙ" not in text
    assert [cells[0] for cells in page.rows if cells and cells[0] in {"run", "verify"}] == ["run", "verify"]
    # What its sums rest on, and why a row was refused, in the language of the report.
    assert ["операция типа 8 делает остаток равным своей сумме"] in page.rows
    assert any("<script>0</script>" in cells and "договор" in cells[-1] for cells in page.rows)
    # What comes from the file is text, and the page asks nothing of anybody.
    assert re.search(r"<script|\b(src|href|action)=", text) is None
    assert "&lt;script&gt;0&lt;/script&gt;" in text
    assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


async def test_a_run_that_is_not_at_its_end_is_preliminary(place: Place) -> None:
    balances = place.balances(3)
    ended = await place.cli.closing("run", "balances", balances.path, ends=2)
    (run,) = [one.name for one in await place.runs()]
    assert ended["run"] in {None, run}
    told = await place.cli("report", run, "-o", "-", "--lang", "en", may_end_with=(0, 2))
    assert "given up before anything was sent" in told.out
    begun = await place.run("balances", balances.path, "--limit-money", "0,01", ends=3)
    told = await place.cli("report", begun["run"], "-o", "-", "--lang", "en")
    for words in ("PRELIMINARY", "the load is not at its end.", "nothing is handed over with this report"):
        assert words in told.out
    assert "Handed over by" not in told.out
    await place.cli("report", begun["run"], "--pdf", "-o", "begun.pdf", "--lang", "ru")
    await place.cli.refused("report", begun["run"], "-o", "page.pdf", says="name it .html; --pdf makes a PDF")
    pages = PdfReader(place.cli.folder / "begun.pdf").pages
    assert len(pages) > 1
    assert all("ПРЕДВАРИТЕЛЬНЫЙ" in page.extract_text() for page in pages)
    # What is told of it at the end is whole, however long.
    await place.cli("close", begun["run"], "--reason", "x" * 400)
    told = await place.cli("report", begun["run"], "-o", "closed.html", "--lang", "en")
    assert "x" * 400 in re.sub(r"\s", "", told.out + told.err)


async def test_many_exceptions_stand_in_a_file_beside_it_by_their_hash(place: Place) -> None:
    run, _ = await loaded(place, 2, bad=201)
    told = await place.cli.closing("report", run, "-o", REPORT, "--lang", "en")
    (name,) = told["exceptions_files"]
    beside = place.cli.folder / name
    assert told["exceptions"] == 201
    assert hashlib.sha256(beside.read_bytes()).hexdigest() in read(place)
    with beside.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file, delimiter=";"))
    assert (len(lines), lines[1][:4]) == (202, ["4", "<script>0</script>", "1.00", "refused"])
    # A Russian reader opens it in a Russian spreadsheet.
    (of_russian,) = (await place.cli.closing("report", run, "-o", "ru.html", "--lang", "ru"))["exceptions_files"]
    assert of_russian.startswith(f"report-{run}-исключения-")
    first, second, *_ = (place.cli.folder / of_russian).read_text(encoding="utf-8-sig").splitlines()
    assert first.split(";")[:4] == ["строка_файла", "договор", "сумма", "состояние"]
    assert second.split(";")[:4] == ["4", "<script>0</script>", "1,00", "не принято"]
    await place.cli("report", "check", REPORT)
    beside.write_text("edited", encoding="utf-8")
    edited = await place.cli.closing("report", "check", REPORT, ends=1)
    assert (edited["rows"], edited["files"]) == ([], [name])
    # What is no report is told.
    place.write("<html></html>", "other.html")
    for words, says in (
        (("check", "other.html"), "it is no report of this program"),
        (("check", "nowhere.html"), "nowhere.html cannot be checked: No such file"),
        (("check", "a", "b"), "type carbon-migrate report RUN"),
        ((run, "--lang", "de"), "de is not a language; there are: en, ru"),
    ):
        await place.cli.refused("report", *words, says=says)
    await place.cli("purge", run, "--yes")
    await place.cli.refused("report", run, says="was purged")


# ---- what is more than a run ------------------------------------------------------------------------------------


@pytest.mark.prove
async def test_ten_thousand_rows_add_up_as_in_journal_and_ledger(place: Place) -> None:
    """Rejected, skipped, refused, decided, taken back: what is read from the page, journal and billing have."""
    balances = place.balances(150)
    header, *good = balances.path.read_text(encoding="utf-8").splitlines()
    bad = [f"nobody {row};2,00" for row in range(50)]
    place.write("\n".join([header, *good, *(good[row % 150] for row in range(9800)), *bad]) + "\n")
    differing(place, balances, rejected=37)
    arguments = ("--yes", "--skip-bad", "--settle", "0", "--in-flight", "1", "--json")
    ended = await place.cli("run", "balances", balances.path, *arguments, may_end_with=(4,))
    run = str(ended.closing["run"])
    place.traffic.answer = lambda _: None
    await place.cli("report", run, "-o", REPORT, "--lang", "ru")
    assert "О 1 строке неизвестно".casefold() in read(place).casefold()
    assert (f"carbon-migrate reconcile {run}" in read(place), "Сдал" in read(place)) == (True, False)
    await place.cli("decide", f"{run}/2", "accepted", "--why", "Ольга: 999 верно")
    await place.cli("verify", run, may_end_with=(1,))
    await place.cli("report", run, "-o", REPORT, "--lang", "ru", "--force")
    page = Page(read(place))
    totals = await place.totals(run)
    # What was skipped says why, and what is accepted was read back otherwise.
    names = {**OUTCOMES, State.SKIPPED: SKIPPED_AS[DUPLICATE], State.ACCEPTED: NOT_AS_SENT}
    for state, name in names.items():
        if state in STATES and (totals.count(state) or page.lines(language(RUSSIAN).render(name))):
            expected = [totals.count(state), totals.amounts.get(state, Decimal(0))]
            assert page.sums(language(RUSSIAN).render(name)) == expected
    assert totals.counts == {State.REJECTED: 4, State.SKIPPED: 9800, State.APPLIED: 145, State.ACCEPTED: 1}
    assert page.sums("не приняты: отсеяны до отправки") == [50, 100]
    assert page.sums("всего строк во входных данных") == [10_000, totals.amount + 100]
    found = await place.found()
    # What the ledger has of our own calls, and beside it what somebody has entered for 0.08.
    applied, by_hand = totals.amounts[State.APPLIED], totals.amounts[State.ACCEPTED]
    assert (found.rows, found.sum) == (145, applied + 999)
    assert page.sums("принято биллингом") == [found.rows + 1, applied + by_hand]
    assert page.sums("прочитано из биллинга") == [found.rows + 1, found.sum]
    assert page.sums("расхождение с принятым") == [1, 999 - by_hand]
    (loaded_by,) = page.lines("run")
    assert loaded_by[-1] == "решает человек: 1"
    # Among the exceptions, and not in the annex: the billing has shown another sum.
    (decided,) = [cells for cells in page.rows if cells[:2] == ["3", balances.numbers[1]]]
    assert "внесено в биллинг. Ольга: 999 верно" in decided[-1]
    assert "9 855 строк не внесено" in read(place).replace("\u00a0", " ")
    # The undo is one report with what it takes back, also in what it adds up.
    storno_restores(place)
    taken = await place.cli.closing("undo", run, "--yes", "--skip-bad", "--set", "way=storno", ends=1)
    undo = str(taken["run"])
    told = await place.cli.closing("report", undo, "-o", "undo.html", "--lang", "ru")
    assert (told["kind"], told["runs"]) == ("undo", [run, undo])
    page = Page(read(place, Path("undo.html")))
    assert next(number(cells[0]) for cells in page.lines("отменено")) == found.rows
    assert (await place.cli("report", "check", "undo.html")).exit == 0


async def test_a_job_file_is_one_report_of_all_its_steps(place: Place) -> None:
    balances = place.balances(3)
    step = '[[step]]\njob = "{job}"\nfile = "{file}"\n{more}\n'
    place.write("contract_number\n" + "\n".join(balances.numbers) + "\n", "people.csv")
    first = step.format(job="balances", file="balances.csv", more="")
    second = step.format(job="warning-threshold", file="people.csv", more='set = {amount = "-77"}')
    file = place.write(first + second, "night.toml")
    # The money limit stops the first step.
    await place.cli("run", "night.toml", "--yes", "--limit-money", "0.01", "--settle", "0", may_end_with=(3,))
    await place.cli("report", "night.toml", "-o", REPORT, "--lang", "ru")
    assert "ПРЕДВАРИТЕЛЬНЫЙ. " in read(place)
    assert "не начаты шаги: 2" in read(place)
    await place.cli("run", "night.toml", "--yes", "--limit-money", "none", "--settle", "0")
    load, thresholds = [run.name for run in await place.runs()]
    told = await place.cli.closing("report", "night.toml", "--lang", "ru")
    assert (told["runs"], told["file"]) == ([load, thresholds], "report-night-1.html")
    assert told["preliminary"] is False
    name = Path("report-night-1.html")
    page = Page(read(place, name))
    assert [number(cell) for cell in page.lines("всего строк во входных данных")[0]] == [6, balances.sum]
    assert [cells[:2] for cells in page.rows if cells[1:2] in ([load], [thresholds])] == [
        ["1", load],
        ["2", thresholds],
    ]
    assert page.line("SHA-256 файла заданий") == [hashlib.sha256(file.read_bytes()).hexdigest()]
    for run in (load, thresholds):
        proof = json.loads((await place.cli("report", "prove", run, "2")).out)
        assert f">{proof['root']}<" in read(place, name)
    assert (await place.cli("report", "check", name)).exit == 0
    with closing(sqlite3.connect(place.cli.journal, isolation_level=None)) as journal:
        journal.execute("update items set state = 'applied' where item_id = (select max(item_id) from items)")
    differs = await place.cli.closing("report", "check", name, ends=1)
    assert differs["rows"] == [{"run": thresholds, "row": 3}]
    alone = await place.cli("report", load, "-o", "-", "--lang", "ru")
    assert "шаг 1 из 2 файла" in alone.out
    assert "протокол всего файла: carbon-migrate report night.toml" in alone.out
    await place.cli.refused("report", "other.toml", says="has no run of the job file")


async def test_only_what_was_entered_is_called_so(place: Place) -> None:
    _, first, second = place.of_one_account()
    own = place.subscribers(3)
    rows = {first: "10.00", second: "25.50"} | dict(zip(own, ("7.00", "8.00", "9.00"), strict=True))
    lines = [f"{abonent};{amount}" for abonent, amount in [*rows.items(), (own[0], "7.00")]]
    words = ("balances", place.rows("abonent_id;amount", *lines), "--shared-accounts", "last", "--skip-bad")
    run = (await place.cli.closing("run", *words, "--yes"))["run"]
    await place.cli("report", run, "-o", REPORT)
    page = Page(read(place))
    assert page.sums("skipped: another row of the account counts") == [1, 1000]
    assert page.sums("skipped: a duplicate in the input") == [1, 700]
    assert not page.lines("skipped: entered already")
    assert page.sums("skipped or merged: nothing was to be sent for it") == [2, 1700]
    assert page.sums("asked for, and not entered") == [0, 0]
    # The same file once more: it says of each row who has entered it, when that was sent, and which never was.
    with closing(sqlite3.connect(place.cli.journal, isolation_level=None)) as journal:
        journal.execute("update items set sent_at = '2020-01-01T00:00:00.000+00:00' where sent_at is not null")
    place.rows("abonent_id;amount", *lines[:-1])
    planned = (await place.cli("plan", *words[:-1])).shown
    assert "skipped 4 × entered by an earlier run, 49.50 in total" in planned
    assert "skipped 1 × another row of its account counts, 10.00 in total" in planned
    await place.cli("run", *words, "--yes")
    again = (await place.runs())[-1].name
    await place.cli("export", again, "--state", "skipped", "-o", "skipped.csv")
    assert f"entered by an earlier run: {run}, 2020-01-01" in (place.cli.folder / "skipped.csv").read_text()
    await place.cli("report", again, "-o", "again.html")
    assert Page(read(place, Path("again.html"))).sums("skipped: entered already") == [4, 4950]


async def test_rows_and_sums_are_of_what_is_as_it_was_sent(place: Place) -> None:
    balances = place.balances(5)
    run = (await place.cli.closing("run", "balances", balances.path, "--yes"))["run"]
    ((altered, more), (gone, less), *_) = place.query(
        "select op_id, cast(op_summa / 100000000 as bigint) from finance_operations where descr containing '[cm '"
    )
    await place.execute("update finance_operations set op_summa = op_summa + 10000000000 where op_id = ?", altered)
    await place.execute("delete from finance_operations where op_id = ?", gone)
    await place.cli("verify", run, may_end_with=(1,))
    await place.cli("report", run, "-o", REPORT, may_end_with=(0, 1))
    page, total = Page(read(place)), int(balances.sum * 100)
    assert page.sums("in the billing as it was sent") == [3, total - more - less]
    assert page.sums("not in the billing as it was sent, when it was read back") == [2, more + less]
    assert page.sums("accepted, and not as sent when read back") == [2, more + less]
    assert page.sums("read back from the billing") == [4, total - less + 100]
    assert [cells[3] for cells in page.rows if len(cells) == 5][1:] == [
        "accepted, and not as sent when read back"
    ] * 2
    assert f"3 of 5 rows are in the billing, {(total - more - less) / 100:,.2f}" in read(place).replace("\xa0", ",")


async def test_a_report_names_the_file_that_corrected_it(place: Place) -> None:
    run, _ = await loaded(place)
    await place.cli("export", run, "--state", "bad", "-o", "bad.csv")
    bad = (place.cli.folder / "bad.csv").read_text(encoding="utf-8-sig")
    query = "select contract_number from abonents where id = :id"
    ((number,),) = place.query(query, id=place.subscribers(6)[5])
    fixed = place.write(bad.replace("<script>0</script>", number), "fixed.csv")
    await place.cli("run", "balances", fixed, "--continue", run, "--yes")
    await place.cli("report", run, "-o", REPORT)
    (told,) = [cells for cells in Page(read(place)).rows if cells and cells[0].startswith("run --continue ")]
    assert told[0].endswith("fixed.csv")
    assert told[-1] == f"SHA-256 {hashlib.sha256(fixed.read_bytes()).hexdigest()}"
