"""The report of a run: its figures are those of journal and billing, it can be checked, and a row can be proved."""

import csv
import hashlib
import io
import json
import re
import sqlite3
from contextlib import closing
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

from pypdf import PdfReader

from cli.terminal.language import RUSSIAN, language
from tests.cli.conftest import Place

ROOT = Path(__file__).parents[3]
REPORT = Path("report.html")


class Page(HTMLParser):
    """The cells of all tables of a page, row by row, and all addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self._cell is not None:
            self.rows[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def line(self, name: str) -> list[str]:
        (found,) = [cells[1:] for cells in self.rows if cells and cells[0] == name]
        return found


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


async def test_its_figures_are_those_of_journal_and_billing(place: Place) -> None:
    run, total = await loaded(place)
    await place.cli("verify", run, may_end_with=(0, 1))
    await place.cli("report", run, "-o", REPORT, "--lang", "ru")
    page = Page(read(place))
    applied, refused, all_rows = (
        page.line(name)
        for name in ("применены: сверены с биллингом", "не приняты к отправке", "всего строк во входных данных")
    )
    assert [number(cell) for cell in applied] == [5, total]
    assert refused[0] == "1"
    assert [number(cell) for cell in all_rows] == [6, total]
    found = await place.found()
    assert [number(cell) for cell in page.line("прочитано из биллинга, совпадает")] == [found.rows, found.sum]
    assert [number(cell) for cell in page.line("балансы этих счетов: в биллинге")] == [5, total]
    assert "ПРЕДВАРИТЕЛЬНЫЙ" not in read(place)
    assert [cells[0] for cells in page.rows if cells and cells[0] in {"run", "verify"}] == ["run", "verify"]
    # What comes from the file is text, and the page asks nothing of anybody.
    assert ("script" in page.tags, page.addresses) == (False, [])
    assert "&lt;script&gt;0&lt;/script&gt;" in read(place)
    assert not re.search(r"https?://(?!127\.0\.0\.1)", read(place))


async def test_it_is_the_same_to_the_byte_and_a_change_of_the_journal_is_named(place: Place) -> None:
    run, _ = await loaded(place)
    first = await place.cli("report", run, "-o", REPORT, "--json")
    digest = hashlib.sha256(read(place).encode()).hexdigest()
    await place.cli("report", run, "-o", REPORT, "--force")
    assert hashlib.sha256(read(place).encode()).hexdigest() == digest
    assert (await place.cli("report", "check", REPORT)).exit == 0
    refused = await place.cli("report", run, "-o", REPORT, may_end_with=(2,))
    assert "is there already" in refused.words
    with closing(sqlite3.connect(place.cli.journal, isolation_level=None)) as journal:
        journal.execute("update items set amount = '7.77' where number = 3")
    differs = await place.cli("report", "check", REPORT, "--json", may_end_with=(1,))
    assert (differs.closing["agrees"], differs.closing["rows"]) == (False, [3])
    assert differs.closing["reported"] == first.closing["root"]
    shown = await place.cli("report", "check", REPORT, may_end_with=(1,))
    assert "row 3, line 4" in shown.out
    assert '"7.77"' in shown.out


async def test_a_page_whose_words_were_changed_is_told(place: Place) -> None:
    run, total = await loaded(place)
    await place.cli("report", run, "-o", REPORT, "--lang", "ru")
    text = read(place)
    sum_of_rows = language(RUSSIAN).write(total)
    place.write(text.replace(sum_of_rows, language(RUSSIAN).write(total + 1000)), "forged.html")
    told = await place.cli("report", "check", "forged.html", "--json", may_end_with=(1,))
    assert (told.closing["agrees"], told.closing["rows"]) == (False, [])
    shown = await place.cli("report", "check", "forged.html", may_end_with=(1,))
    assert "its rows agree" in " ".join(shown.out.split())
    assert sum_of_rows.replace("\u00a0", " ") in " ".join(shown.out.replace("\u00a0", " ").split())
    assert (await place.cli("report", "check", REPORT)).exit == 0
    # What has happened since is a difference too, and its own moment says so.
    await place.cli("verify", run, may_end_with=(0, 1))
    assert (await place.cli("report", "check", REPORT, may_end_with=(1,))).exit == 1


async def test_the_pdf_is_the_same_to_the_byte_and_has_every_letter(place: Place) -> None:
    run, total = await loaded(place)
    await place.cli("pause", run, may_end_with=(0, 2))
    await place.cli("report", run, "--pdf", "-o", "one.pdf", "--lang", "ru")
    await place.cli("report", run, "--pdf", "-o", "two.pdf", "--lang", "ru")
    pages = [(place.cli.folder / name).read_bytes() for name in ("one.pdf", "two.pdf")]
    assert pages[0] == pages[1]
    text = " ".join("".join(page.extract_text() for page in PdfReader(io.BytesIO(pages[0])).pages).split())
    assert f"№ {run} от" in text
    assert "стр. 1 из" in text
    assert language(RUSSIAN).write(total).replace("\u00a0", " ") in text
    assert b"pdfaid:part" in pages[0]


async def test_a_row_is_proved_with_the_lines_of_the_documentation(place: Place) -> None:
    run, _ = await loaded(place)
    root = (await place.cli("report", run, "-o", REPORT, "--json")).closing["root"]
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "report.md").read_text(encoding="utf-8"), re.DOTALL)
    proof = place.cli.folder / "proof.json"
    for row in "135":
        proof.write_text((await place.cli("report", "prove", run, row)).out, encoding="utf-8")
        assert json.loads(proof.read_text(encoding="utf-8"))["root"] == root
        exec(code.replace('"proof.json"', repr(str(proof))), {})  # noqa: S102 - the page's own lines
    nobody = await place.cli("report", "prove", run, "77", may_end_with=(2,))
    assert f"run {run} has no row with '77'" in nobody.words


async def test_a_run_that_is_not_at_its_end_is_preliminary(place: Place) -> None:
    balances = place.balances(3)
    ended = await place.cli("run", "balances", balances.path, "--json", may_end_with=(2,))
    (run,) = [one.name for one in await place.runs()]
    assert ended.closing["run"] in {None, run}
    told = await place.cli("report", run, "-o", "-", "--lang", "en", may_end_with=(0, 2))
    assert "given up before anything was sent" in told.out
    begun = await place.cli(
        "run", "balances", balances.path, "--yes", "--limit-money", "0,01", "--json", may_end_with=(3,)
    )
    told = await place.cli("report", begun.closing["run"], "-o", "-", "--lang", "en")
    assert "PRELIMINARY" in told.out
    assert "The run is not at its end." in told.out


async def test_many_exceptions_stand_in_a_file_beside_it_by_their_hash(place: Place) -> None:
    run, _ = await loaded(place, 2, bad=201)
    told = await place.cli("report", run, "-o", REPORT, "--lang", "en", "--json")
    beside = place.cli.folder / told.closing["exceptions_file"]
    assert told.closing["exceptions"] == 201
    assert hashlib.sha256(beside.read_bytes()).hexdigest() in read(place)
    with beside.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file, delimiter=";"))
    assert len(lines) == 202
    assert lines[1][:4] == ["4", "<script>0</script>", "", "refused"]


async def test_what_is_no_report_is_told(place: Place) -> None:
    run, _ = await loaded(place, 1, bad=0)
    place.write("<html></html>", "other.html")
    other = await place.cli("report", "check", "other.html", may_end_with=(2,))
    assert "it is no report of this program" in other.words
    missing = await place.cli("report", "check", "nowhere.html", may_end_with=(2,))
    assert "nowhere.html cannot be checked: No such file" in missing.words
    assert "type carbon-migrate report RUN" in (await place.cli("report", "check", "a", "b", may_end_with=(2,))).words
    lang = await place.cli("report", run, "--lang", "de", may_end_with=(2,))
    assert "de is not a language; there are: en, ru" in lang.words
    await place.cli("purge", run, "--yes")
    purged = await place.cli("report", run, may_end_with=(2,))
    assert "was purged" in purged.words
