"""Rows of a select as a source, against the embedded Firebird."""

from pathlib import Path

import pytest
import structlog.testing

from billing.database.columns import ColumnType
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.selects.select import select_of
from checkpoints.records import Refusal
from engine.errors import InputRefused, LookUpFailed
from engine.rows import Row, RowPage, Source
from jobs.rows.select_source import SelectSource, select_source
from jobs.spec.errors import ParameterRefused
from tests.jobs.conftest import FOLDER, Execute

IN_FOLDER = "select id, contract_number from abonents where parent_id = :folder"
BY_NUMBER = f"{IN_FOLDER} order by contract_number, id"


def pages_of(source: Source, after: str | None = None) -> list[RowPage]:
    return list(source.pages(after))


def test_a_select_along_its_key(database: Database) -> None:
    source: Source = select_source(database, f"set list on;\n{IN_FOLDER};", {"folder": str(FOLDER)})
    assert source.name == IN_FOLDER
    assert source.digest == ""
    assert source.header == ("id", "contract_number")
    assert not source.is_read_whole
    (page,) = pages_of(source)
    assert page.rows[:3] == (Row(None, ("9001", "00123")), Row(None, ("9002", "123")), Row(None, ("9003", "A15")))
    assert (len(page.rows), page.refusals, page.cursor) == (10, (), "9010")
    assert [row.cells[0] for row in pages_of(source, "9007")[0].rows] == ["9008", "9009", "9010"]
    assert pages_of(source, "9010") == []


def test_a_select_that_is_read_at_once_and_checked_whole(database: Database, execute: Execute) -> None:
    source = select_source(database, BY_NUMBER, {"folder": FOLDER, "of another": "parameter"})
    assert source.is_read_whole
    (page,) = pages_of(source)
    assert [row.cells[1] for row in page.rows][:4] == ["00123", "123", "77/2", "77/2"]
    execute("insert into abonents (id, parent_id, contract_number) values (9011, ?, 'ЯЯЯ')", FOLDER)
    assert pages_of(source, page.cursor)[0].rows == (Row(None, ("9011", "ЯЯЯ")),)
    execute("update abonents set contract_number = '00124' where id = 9001")
    with pytest.raises(InputRefused, match=r"the first 10 rows are no longer those .* begin a new run"):
        pages_of(source, page.cursor)


def test_kinds_and_given_names(database: Database) -> None:
    text = "select id, 1.5, create_date from abonents"
    source = select_source(database, text, {}, ("key", "Сумма", "since"))
    assert source.header == ("key", "Сумма", "since")
    assert source.kinds == (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.TIMESTAMP)
    with pytest.raises(InputRefused, match=r"the select is refused: column 2 has no name, .* --columns a,b,c"):
        _ = select_source(database, text, {}).header


def test_a_value_without_an_exact_text_is_a_refused_row(database: Database) -> None:
    text = "select id, id / cast(3 as double precision) as part from tarif where id > 1 and id < 5"
    (page,) = pages_of(select_source(database, text, {}))
    assert [row.cells for row in page.rows] == [("3", "1")]
    assert [refusal.row[0] for refusal in page.refusals] == ["2", "4"]
    first = page.refusals[0]
    assert first == Refusal(None, "part", "2", first.reason, ("2", repr(2 / 3)))
    assert "is a floating-point number" in first.reason
    assert page.cursor == "4"


def test_settings_of_isql_are_noted(database: Database) -> None:
    with structlog.testing.capture_logs() as logs:
        select_source(database, "set heading off; select id from tarif", {})
    assert [entry["event"] for entry in logs] == [
        "'set heading off' is a setting of isql, which is not needed here: it was left out"
    ]


def test_a_long_select_has_a_short_name(database: Database) -> None:
    columns = ",\n  ".join(f"id as x{number}" for number in range(50))
    source = select_source(database, f"select {columns} from tarif", {})  # noqa: S608 - what is tested is SQL
    assert source.name.startswith("select id as x0, id as x1, ")
    assert len(source.name) == 200
    assert source.name.endswith("…")
    assert select_source(database, "select '\x1b[2J' as a\r\nfrom tarif", {}).name == "select ' [2J' as a from tarif"


def test_a_missing_parameter_is_told_with_the_way_to_give_it(database: Database) -> None:
    with pytest.raises(ParameterRefused) as refused:
        select_source(database, f"{IN_FOLDER} and tarif_id = :tarif", {"fodler": "1"})
    assert str(refused.value) == (
        "the select asks for :folder, which has no value: give --set folder=…\n"
        "the select asks for :tarif, which has no value: give --set tarif=…"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("delete from abonents", "the select, line 1, column 1: 'delete' does not begin a select"),
        ("select id from tarif; select id from tarif", "the select, line 1, column 23: a second statement"),
    ],
)
def test_what_is_no_select_is_refused_before_the_database_is_asked(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=why):
        select_source(Database(Dsn(str(tmp_path / "none.fdb"))), text, {})


def test_what_the_statement_is_to_blame_for(database: Database) -> None:
    unknown = select_source(database, "select nothing from tarif", {})
    for ask in (
        lambda: unknown.header,
        lambda: unknown.kinds,
        lambda: unknown.is_read_whole,
        lambda: pages_of(unknown),
    ):
        with pytest.raises(InputRefused) as refused:
            ask()
        assert str(refused.value) == "the select is refused: line 1, column 8: Column unknown: NOTHING"
    no_number = select_source(database, IN_FOLDER, {"folder": "10x"})
    assert no_number.header == ("id", "contract_number")
    with pytest.raises(InputRefused, match='conversion error from string "10x"'):
        pages_of(no_number)


def test_a_database_that_is_away_is_no_fault_of_the_statement(tmp_path: Path) -> None:
    source = SelectSource(Database(Dsn(str(tmp_path / "none.fdb"))), select_of("select id from tarif"), {})
    for ask in (lambda: source.header, lambda: pages_of(source, "5")):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            ask()
