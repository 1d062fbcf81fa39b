"""What reading jobs were answered, as a file or on the screen, and the tables that are written."""

import csv
import json
import re
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Page, Run
from checkpoints.states import State
from cli.session.run_session import finish_run
from cli.show import files
from cli.show import files as answers
from cli.show.files import KINDS, CheckedRow, OutputFile, TableRow, fault_workbook, table_at
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import reading
from engine.errors import InputRefused
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.catalogue.built_in import READINGS
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.typed_call import call_kind
from jobs.effects.answer_cells import Flat, encode_answer
from jobs.imports.subscriber import Place as CellPlace
from jobs.imports.subscriber import ValueFault
from tests.cli.conftest import Place, Typed
from tests.cli.flows import Flow, flow
from tests.engine.sources.reading import cells_of
from texts.said import said

Rows: TypeAlias = Sequence[tuple[tuple[str, ...], list[Flat]]]
"""Rows of an input, each with its answers."""


async def run_of(journal: Journal, header: tuple[str, ...], rows: Rows) -> Run:
    """A run of at-ip with these rows and their answers; one more row was rejected."""
    new = NewRun("at-ip", {"ip": ""}, "billing", "file", header=header)
    run = await journal.create_run(new)
    items = [NewItem(str(n), str(n), str(n), "{}", row=cells) for n, (cells, _) in enumerate([*rows, ((), [])], 1)]
    await journal.freeze(run, Page(tuple(items), (), "1"), lambda item, _: item)
    await journal.end_intake(run)
    await journal.approve(run)
    frozen = await journal.items(run, {State.PENDING})
    await journal.claim(run, [item.item_id for item in frozen])
    *accepted, last = frozen
    changes = [
        Change(item.item_id, State.ACCEPTED, encode_answer(found))
        for item, (_, found) in zip(accepted, rows, strict=True)
    ]
    await journal.record(run, [*changes, Change(last.item_id, State.REJECTED, message="no")])
    return run


async def written(path: Path, header: tuple[str, ...], rows: Rows) -> tuple[int, str]:
    """How many rows, and of which run."""
    async with open_journal(path.with_name("journal")) as journal:
        run = await run_of(journal, header, rows)
        return await answers.write_answers(run, journal, OutputFile(path)), run.name


def lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream, delimiter=";"))


async def test_columns_are_the_input_s_and_all_fields_of_the_answers(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    rows: Rows = [
        (("10.0.0.1", "=x"), [{"login": "a"}, {"login": "b", "abonent__name": "Иванов"}]),
        (("10.0.0.2",), []),
        (("10.0.0.3", "z"), [{"IP": "10.0.0.3", "answer_ip": 1}]),
    ]
    number, run = await written(path, ("ip", "note"), rows)
    assert number == 4
    assert lines(path) == [
        ["ip", "note", "login", "abonent__name", "answer_IP", "answer_answer_ip", "carbon_run"],
        ["10.0.0.1", "'=x", "a", "", "", "", run],
        ["10.0.0.1", "'=x", "b", "Иванов", "", "", run],
        ["10.0.0.2", "", "", "", "", "", run],
        ["10.0.0.3", "z", "", "", "10.0.0.3", "1", run],
    ]


@pytest.mark.parametrize("suffix", KINDS)
async def test_answers_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    rows: Rows = [(("1", "=x"), [{"login": "-тире", "name": "'=1"}]), (("2", "'=y"), [{"login": "@a", "name": "'a"}])]
    await written(path, ("id", "carbon", "note"), [((key, "", note), found) for (key, note), found in rows])
    source = open_input(path, Layout())
    assert source.header[:5] == ("id", "carbon", "note", "login", "name")
    assert [cells[2:5] for cells in cells_of(source)] == [("=x", "-тире", "'=1"), ("'=y", "@a", "'a")]


CONTROLS = "a\x1b[31mb\x00c\x07\x7f\x9bd\x85"


@pytest.mark.parametrize("suffix", KINDS)
async def test_controls_in_an_answer_reach_no_terminal(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    await written(path, ("id", "note"), [(("1", CONTROLS), [{"login": CONTROLS, CONTROLS: "x"}])])
    if suffix == ".xlsx":
        assert cells_of(open_input(path, Layout()))[0][0] == "1"
        return
    data = path.read_bytes()
    assert not {0, 7, 27} & set(data)
    if suffix == ".csv":
        assert lines(path)[1][1:3] == ["a␛[31mb␀c␇␡\ufffdd\ufffd"] * 2
        assert set(data.decode()) & {"\x7f", "\x9b", "\x85"} == set()


async def test_answers_of_endless_fields_are_no_file(tmp_path: Path) -> None:
    rows: Rows = [((str(row),), [{f"field{row * 1000 + place}": "" for place in range(1000)}]) for row in range(11)]
    with pytest.raises(CommandRefused, match="more than 10000 different fields"):
        await written(tmp_path / "out.csv", ("id",), rows)


async def test_a_column_of_the_input_that_is_called_as_ours_stays_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    _, run = await written(path, ("id", "Carbon_Run"), [(("1", "x"), [{"login": "a"}])])
    assert lines(path) == [["id", "Carbon_Run", "login", "carbon_run_2"], ["1", "x", "a", run]]


async def test_more_rows_than_a_page(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    rows: Rows = [((str(n),), [{"n": n}, {f"f{n % 3}": n}]) for n in range(450)]
    assert (await written(path, ("row",), rows))[0] == 900
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert found[0] == {"row": "0", "n": 0, "f0": None, "f1": None, "f2": None}
    assert [one["n"] for one in found[::2]] == list(range(450))


def test_a_call_of_any_chain_has_answers_where_it_only_reads() -> None:
    def chain(method: str) -> dict[str, str]:
        return {"model": "Users", "chain": json.dumps([method]), "input_answers": "x"}

    assert answers.reads(call_kind(chain("objects.filter")))
    assert not answers.reads(call_kind(chain("objects.create")))
    assert not answers.reads(BUILT_IN.get("undo"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("at-ip --set ip=10.0.0.1 -o out.doc", "says what it is to be"),
        ("operator -o out.csv", "-o out.csv: operator writes"),
        ("administrators -o -", "carbon-migrate export RUN --state answers -o -"),
        ("administrators -o out.csv.gz", "says what it is to be"),
        ("administrators -o .csv", "says what it is to be"),
        ("administrators -o nowhere/out.csv", "there is no folder"),
        ("administrators -o there.csv", "is there already"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_begun(
    words: str, told: str, typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "there.csv").touch()
    ended = typed("run", *words.split(), "--yes", "--api-url", "http://127.0.0.1:9")
    assert (ended.exit, told in ended.words) == (2, True), ended.err
    assert not (tmp_path / "carbon-migrate.journal").exists()


async def test_a_run_at_its_end_leaves_its_file_alone_and_makes_it_where_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    async with open_journal(tmp_path / "journal") as journal:
        run = await run_of(journal, ("ip",), [(("10.0.0.1",), [{"login": "a"}])])
        run = replace(run, parameters={"input_answers": str(path)})
        assert (await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=False)).trouble is None
        assert lines(path) == [["ip", "login", "carbon_run"], ["10.0.0.1", "a", run.name]]
        # Somebody works with it.
        path.write_text("mine", encoding="utf-8")
        assert "answers are in" in str(
            (await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=False)).shown
        )
        assert path.read_text("utf-8") == "mine"
        # Corrected rows have come into the run, and been sent.
        await finish_run(run, journal, BUILT_IN, await journal.totals(run), anew=True)
        assert len(lines(path)) == 2
        gone = replace(run, parameters={"input_answers": str(tmp_path / "gone" / "out.csv")})
        trouble = (await finish_run(gone, journal, BUILT_IN, await journal.totals(gone), anew=True)).trouble or ""
    assert "gone/out.csv cannot be written" in trouble
    assert f"carbon-migrate export {run.name} --state answers -o FILE" in trouble


async def test_answers_go_into_the_file_at_the_end_and_are_exported_later(place: Place) -> None:
    place.write("ip;note\n127.1.2.3;=x\n10.99.0.1;y\n", "addresses.csv")
    ended = await place.cli("run", "at-ip", "addresses.csv", "-o", "out.csv", "--yes")
    assert f"2 rows of answers: {place.cli.folder / 'out.csv'}" in " ".join(ended.out.split())
    (run,) = await place.runs()
    assert lines(place.cli.folder / "out.csv") == [
        ["ip", "note", "id", "login", "abonent__name", "abonent__contract_number", "carbon_run"],
        ["127.1.2.3", "'=x", "4084", "user4084", "Иванов Александр Александрович", "Д94/2018", run.name],
        ["10.99.0.1", "y", "", "", "", "", run.name],
    ]
    on_stdout = await place.cli("export", run.name, "--state", "answers")
    assert on_stdout.out.splitlines()[1].startswith("127.1.2.3;'=x;4084;")
    # Without a file the first rows are shown, and the command is named.
    shown = (await place.cli("run", "blocked", "--yes")).out
    name = (await place.runs())[-1].name
    command = f"carbon-migrate export {name} --state answers -o {name}.csv --journal {place.cli.journal}"
    assert f"as a file:\n  {command}\n" in shown
    assert len([line for line in shown.splitlines() if " 10.0." in line]) == 20


async def test_a_file_that_cannot_be_written_in_the_end_is_told_with_3(place: Place) -> None:
    folder = place.cli.folder / "sub"
    folder.mkdir()
    place.billing.latency = 0.5
    async with place.cli.started("run", "at-ip", "--set", "ip=127.1.2.3", "-o", "sub/out.csv", "--yes") as run:
        await run.said("approved")
        folder.rmdir()
        ended = await run.ended()
    assert ended.exit == 3
    assert "sub/out.csv cannot be written" in " ".join((ended.out + ended.err).split())


# ---- killed and resumed -----------------------------------------------------------------------------------------

ROWS = 40
SESSION = "insert into cabinet_sessions (id, suid, user_id, created) values (?, ?, ?, '2026-05-01')"
SESSIONS = [(SESSION, (number, f"9{number:017d}", number)) for number in range(1, ROWS + 1)]
WITH_ONE_USER = (
    "a.deleted = 0 and a.is_folder = 0 and "
    "(select count(*) from users u where u.abonent_id = a.id and u.deleted = 0) = 1"
)


CASES = {
    "administrators": ("", "", 1),
    "at-ip": ("ip", "'10.0.0.' || id from users", 15),
    "by-sms": ("телефон", "'8' || substring(sms from 3) from abonents where sms is not null", 15),
    "blocked": ("", "", 15),
    "session-account": ("number;suid", "id || ';' || suid from cabinet_sessions", 15),
    # Two calls a row.
    "services-on-offer": ("abonent_id", f"a.id from abonents a where {WITH_ONE_USER}", 25),
}
"""Of a job that reads the header of its file, the select of its lines, and at which call it is killed."""


async def answered(flow: Flow, job: str) -> None:
    """Each line of the input is in the file, asked before the kill or after; other tests look at what it says."""
    header, asked, kill_at = CASES[job]
    given = [str(line) for (line,) in flow.query(f"select first {ROWS} {asked} order by id")] if asked else []
    has_secrets = "suid" in header

    def files_with_secrets() -> set[str]:
        return flow.files_with([suid for (suid,) in flow.query("select suid from cabinet_sessions")])

    def killed() -> None:
        assert not has_secrets or files_with_secrets() == {"rows.csv", "carbon-migrate.journal-secrets"}

    file = [flow.rows(header, *given)] if given else []
    closing = await flow.go(job, *file, kill_at=kill_at, killed=killed, run_only=("-o", "out.csv"))
    found = list(dict.fromkeys(row[0] for row in lines(flow.folder / "out.csv")[1:]))
    if given:
        assert found == [line.partition(";")[0] for line in given]
        assert 0 < closing["calls"] < len(given)
    assert closing["states"] == {"accepted": 1 if job == "administrators" else len(found)}
    assert len(found) > 1
    assert files_with_secrets() == ({"rows.csv"} if has_secrets else set())


@pytest.mark.loops(120)
@pytest.mark.parametrize("job", [kind.name for kind in READINGS])
async def test_every_job_that_reads_is_planned_killed_resumed_and_verified(
    billing_template: Path, tmp_path: Path, job: str
) -> None:
    async with flow(billing_template, tmp_path / job, SESSIONS if job == "session-account" else []) as one:
        await answered(one, job)


# ---- tables: a checked one comes back as it was, and a file is whole or not there --------------------------------

HEADER = ("договор", "телефон", "логин")
NO_PHONE = ValueFault(CellPlace(2, "телефон"), "12", said("no phone"))
TWICE = ValueFault(CellPlace(2, "договор"), "00123", said("it is there twice"))


def marked(path: Path, rows: Sequence[CheckedRow], header: Sequence[str] = HEADER, sheet: str = "") -> Path:
    with fault_workbook(OutputFile(path, force=True), header, sheet) as book:
        book.write(rows)
    return path


def read(path: Path, sheet: str = "", table: str = "") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    source = open_input(path, Layout(sheet=sheet, table=table))
    return source.header, [tuple(row.cells) for page in source.pages(None) for row in page.rows]


def part(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as book:
        return book.read(name).decode()


def test_faulty_cells_are_filled_and_commented_with_what_to_do(tmp_path: Path) -> None:
    rows = [CheckedRow(2, ("00123", "12", "ivan"), [NO_PHONE], [TWICE]), CheckedRow(3, ("15", "", "petr"))]
    path = marked(tmp_path / "faults.xlsx", rows)
    sheet, comments = part(path, "xl/worksheets/sheet1.xml"), part(path, "xl/comments1.xml")
    styles = dict(re.findall(r'<c r="([A-Z]+\d)"(?: s="(\d+)")?', sheet))
    assert styles["B2"] not in {"", styles["C2"], styles["A2"]}
    assert styles["A2"] != ""
    assert styles["C2"] == styles["A3"] == styles["C3"] == ""
    assert re.findall(r'ref="(\w+)"', comments) == ["A2", "B2"]
    assert re.findall(r"<t>(.*?)</t>", comments) == ["it is there twice", "no phone"]
    assert "телефон: no phone; to be looked at: договор: it is there twice" in sheet
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sheet_lists_each_fault_with_line_column_cell_and_reason(tmp_path: Path) -> None:
    joined = ValueFault(CellPlace(7, "ip", "accounts.csv"), "10.0.0.5", said("taken"))
    # A row of a joined table that is nobody's is only listed.
    nobody = CheckedRow(None, (), [ValueFault(CellPlace(), "", said("accounts.csv, line 3: nobody has it"))])
    rows = [CheckedRow(2, ("00123", "12", ""), [NO_PHONE, joined], [TWICE]), nobody]
    path = marked(tmp_path / "faults.xlsx", rows)
    assert read(path) == (HEADER, [("00123", "12", "")])
    header, listed = read(path, "carbon_faults")
    assert header == ("line", "column", "cell", "what it is", "reason", "cell of this workbook")
    assert listed == [
        ("2", "телефон", "12", "fault", "no phone", "B2"),
        ("accounts.csv:7", "ip", "10.0.0.5", "fault", "taken", "D2"),
        ("2", "договор", "00123", "to be looked at", "it is there twice", "A2"),
        ("", "", "", "fault", "accounts.csv, line 3: nobody has it", ""),
    ]


OF_EXPORT = ("договор", "carbon_row", "carbon_message")


@pytest.mark.parametrize(
    ("header", "rows", "back"),
    [
        # A row that was emptied is none any more; a table of an export has its own columns.
        (HEADER, [("", " ", ""), ("15", "", "")], [("15", "", "")]),
        (OF_EXPORT, [("'=1", "k7m2q/r1", "no phone"), ("=2", "k7m2q/r2", "")], None),
    ],
)
def test_a_table_comes_back_as_it_was(
    header: tuple[str, ...], rows: list[tuple[str, ...]], back: list[tuple[str, ...]] | None, tmp_path: Path
) -> None:
    checked = [CheckedRow(line, cells, [NO_PHONE] if line == 2 else []) for line, cells in enumerate(rows, 2)]
    assert read(marked(tmp_path / "faults.xlsx", checked, header)) == (header, rows if back is None else back)


def test_a_workbook_for_a_russian_reader_has_russian_names_and_comes_back_to_any(tmp_path: Path) -> None:
    with reading("ru"):
        path = marked(tmp_path / "faults.xlsx", [CheckedRow(2, ("00123", "", ""), [NO_PHONE])])
    assert openpyxl.load_workbook(path).sheetnames == ["строки", "carbon_ошибки"]
    assert read(path) == (HEADER, [("00123", "", "")])


def test_a_flag_comes_back_as_one_and_a_table_that_is_checked_again_has_one_column_of_faults(tmp_path: Path) -> None:
    row = CheckedRow(2, ("00123", "12", "TRUE"), [NO_PHONE], truths=frozenset({2}))
    first = marked(tmp_path / "first.xlsx", [row])
    (found,) = (row for page in open_input(first, Layout()).pages(None) for row in page.rows)
    assert (found.cells, found.truths) == (row.cells, row.truths)
    header, cells = read(first)
    again = marked(tmp_path / "again.xlsx", [CheckedRow(2, cells[0], [NO_PHONE])], header)
    assert part(again, "xl/worksheets/sheet1.xml").count("carbon_faults") == 1
    assert read(again) == (HEADER, cells)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("Абоненты", "Абоненты"), ("a/b", "rows"), ("carbon_faults", "rows"), ("я" * 32, "rows"), ("accounts", "rows")],
)
def test_a_sheet_keeps_its_name_where_a_workbook_can_have_it(wanted: str, name: str, tmp_path: Path) -> None:
    row = CheckedRow(2, ("00123", "12", "ivan"), [NO_PHONE])
    assert read(marked(tmp_path / "faults.xlsx", [row], sheet=wanted), name) == (HEADER, [("00123", "12", "ivan")])
    with pytest.raises(InputRefused, match="has no sheet 'services'"):
        read(tmp_path / "faults.xlsx", table="services")


def test_the_first_of_many_faults_are_commented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_COMMENTS", 3)
    rows = [CheckedRow(line, (str(line), "12", ""), [NO_PHONE]) for line in range(2, 12)]
    path = marked(tmp_path / "faults.xlsx", rows)
    assert part(path, "xl/comments1.xml").count("<comment ref") == 3
    assert part(path, "xl/worksheets/sheet1.xml").count("телефон: no phone") == 10


def test_more_faults_than_a_cell_can_hold_are_all_in_the_sheet_of_faults(tmp_path: Path) -> None:
    many = [ValueFault(CellPlace(line, "ip", "accounts.csv"), "x", said("no address")) for line in range(2, 2002)]
    path = marked(tmp_path / "faults.xlsx", [CheckedRow(2, ("00123", "", ""), [*many, *[NO_PHONE] * 2000])])
    assert len(read(path, "carbon_faults")[1]) == 4000
    assert read(path) == (HEADER, [("00123", "", "")])


def test_a_table_that_a_sheet_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SHEET_ROWS", 3)
    rows = [CheckedRow(line, (str(line), "", "")) for line in range(2, 6)]
    with pytest.raises(CommandRefused, match="a sheet holds 2 rows, and the table has more"):
        marked(tmp_path / "faults.xlsx", rows)
    assert list(tmp_path.iterdir()) == []


# What the file of a workbook cannot hold: halves of characters, and the NUL.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TABLE = st.lists(st.tuples(CELLS, CELLS, CELLS).filter(lambda cells: any(map(str.strip, cells))), min_size=1)


@given(TABLE)
@settings(max_examples=15)
def test_each_cell_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xlsx"
    rows = [CheckedRow(line, cells, [NO_PHONE] if line % 2 else []) for line, cells in enumerate(table, 2)]
    assert read(marked(path, rows)) == (HEADER, table)


# ---- Rows as CSV, workbook and JSON lines: texts stay as they are, and a file is whole or not there


COLUMNS = ("договор", "amount", "flag")
CELLS_OF_ALL_KINDS: tuple[TableRow, ...] = (
    ("00123", "-5.50", True),
    ("=1+1", None, False),
    ("1E5", 2**53, None),
    ('а;"б"', 12, ""),
)


def table_written(path: Path, rows: Sequence[TableRow] = CELLS_OF_ALL_KINDS, *, fails: bool = False) -> Path:
    with table_at(OutputFile(path), COLUMNS, len(rows)) as put:
        put(rows[:2])
        if fails:
            raise RuntimeError
        put(rows[2:])
    return path


def sheet_of(path: Path) -> list[list[tuple[str, str]]]:
    """The cells of the one sheet, row by row: each with its type and what is written in it."""
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    rows = re.findall(r"<row [^>]*>(.*?)</row>", text, re.DOTALL)
    cell = re.compile(
        r'<c r="[A-Z]+\d+"(?: s="\d+")?(?: t="(\w+)")?>(?:<is><t[^>]*>(.*?)</t></is>|<v>(.*?)</v>)</c>', re.DOTALL
    )
    return [[(kind or "number", inline or value) for kind, inline, value in cell.findall(row)] for row in rows]


def test_a_csv_is_defused_and_json_lines_keep_what_was_answered(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.CSV")
    assert path.read_bytes().decode() == (
        '\ufeffдоговор;amount;flag\r\n00123;-5.50;true\r\n\'=1+1;;false\r\n1E5;9007199254740992;\r\n"а;""б""";12;\r\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert table_written(tmp_path / "out.jsonl").read_text("utf-8").splitlines() == [
        '{"договор":"00123","amount":"-5.50","flag":true}',
        '{"договор":"=1+1","amount":null,"flag":false}',
        '{"договор":"1E5","amount":9007199254740992,"flag":null}',
        '{"договор":"а;\\"б\\"","amount":12,"flag":""}',
    ]


def test_the_cells_of_a_workbook_are_texts_and_no_formulas(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.xlsx")
    assert sheet_of(path) == [
        [("inlineStr", "договор"), ("inlineStr", "amount"), ("inlineStr", "flag")],
        [("inlineStr", "00123"), ("inlineStr", "-5.50"), ("inlineStr", "true")],
        [("inlineStr", "=1+1"), ("inlineStr", "false")],
        # A number that a spreadsheet would round stays a text.
        [("inlineStr", "1E5"), ("inlineStr", "9007199254740992")],
        [("inlineStr", 'а;"б"'), ("number", "12")],
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.xlsx"]


def test_amounts_of_a_workbook_are_numbers_where_all_digits_are_kept(tmp_path: Path) -> None:
    path = table_written(
        tmp_path / "out.xlsx", (("a", Decimal("-120.00"), None), ("b", Decimal("1234567890.1234567"), None))
    )
    assert sheet_of(path)[1:] == [
        [("inlineStr", "a"), ("number", "-120")],
        [("inlineStr", "b"), ("inlineStr", "1234567890.1234567")],
    ]
    with zipfile.ZipFile(path) as book:
        assert 'formatCode="#,##0.00########"' in book.read("xl/styles.xml").decode()


def test_the_columns_of_a_workbook_are_as_wide_as_their_cells(tmp_path: Path) -> None:
    path = table_written(tmp_path / "out.xlsx", (("x" * 20, 1, None), ("x" * 500, 2, None)))
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    assert [float(width) // 1 for width in re.findall(r'<col [^>]*width="([\d.]+)"', text)] == [60, 9, 8]
    assert '<autoFilter ref="A1:C3"/>' in text
    assert 'state="frozen"' in text


@pytest.mark.parametrize("suffix", files.KINDS)
def test_a_file_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with pytest.raises(RuntimeError):
        table_written(path, fails=True)
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CommandRefused, match="is there already"):
        table_written(path)
    assert path.read_text("utf-8") == "mine"
    with pytest.raises(CommandRefused, match="cannot be written"):
        table_written(tmp_path / "nowhere" / f"out{suffix}")


def test_what_a_workbook_cannot_hold_is_refused_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.xlsx"
    with pytest.raises(CommandRefused, match="row 2, column 1: a cell of a workbook cannot hold so much text"):
        table_written(path, (("x" * 40_000, 1, 2),))
    monkeypatch.setattr(files, "SHEET_ROWS", 4)
    with pytest.raises(CommandRefused, match="a sheet holds 3 rows, and there are 4"):
        table_written(path)
    assert list(tmp_path.iterdir()) == []
    table_written(path, CELLS_OF_ALL_KINDS[:3])
