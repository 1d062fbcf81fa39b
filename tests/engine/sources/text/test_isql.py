"""What isql prints, in all its forms: as the real one does, and as pipes and hands have left it."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.database.database import Database
from billing.database.dsn import Dsn
from engine.rows import Row, Source
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from engine.sources.raw.source import LONGEST_CELL
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.reading import (
    cells_of,
    goes_on_after_every_page,
    memory_is_flat,
    refusals_of,
    rows_of,
    why_refused,
)
from tests.firebird_server import PROGRAM, FirebirdServer

LIST = "as isql prints it with set list on"
HEADINGS = "as isql prints it, under headings"
BARE = "as isql prints it with set heading off"


def saved(folder: Path, text: str) -> Path:
    path = folder / "printed"
    path.write_text(text, encoding="utf-8")
    return path


def opened(path: Path, *columns: str, page_rows: int = 1000, encoding: str = "auto") -> Source:
    return open_input(path, Layout(columns=columns, encoding=encoding), page_rows=page_rows)


# ---- the real isql -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Isql:
    """The isql of Firebird 3 on a database with 100 subscribers; `reader` reads the same."""

    server: FirebirdServer
    dsn: Dsn
    folder: Path
    reader: Database

    def prints(self, query: str, charset: str = "UTF8") -> Path:
        """The file into which a query's rows are printed."""
        path = self.folder / "printed"
        login = ["-user", self.dsn.user, "-password", self.server.password, "-ch", charset]
        environment = os.environ | {"FIREBIRD": str(self.server.folder / "home")}
        with path.open("wb") as output:
            command = [str(PROGRAM.with_name("isql-fb")), "-q", *login, self.dsn.database]
            subprocess.run(command, input=query.encode(), stdout=output, env=environment, check=True)  # noqa: S603 - our own query
        return path

    def has(self, query: str) -> list[tuple[str, ...]]:
        """The same rows by another way, NULL as ""."""
        return [tuple("" if cell is None else str(cell) for cell in row) for row in self.reader.query(query)]


@pytest.fixture(scope="module")
def isql(firebird_server: FirebirdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isql]:
    dsn = firebird_server.populated(abonents=100)
    with Database(dsn) as database:
        yield Isql(firebird_server, dsn, tmp_path_factory.mktemp("printed"), database)


WIDE = "select first 50 id, name, contract_number, cast(id + 0.25 as numeric(10, 2)) third from abonents order by id"
IDS = "select first 3 id from abonents order by id"


@pytest.mark.parametrize("charset", ["UTF8", "WIN1251", "NONE"])
def test_all_forms_say_what_is_there(isql: Isql, charset: str) -> None:
    there = isql.has(WIDE)
    assert len(there) == 50
    assert any(not row[0].isascii() or not row[1].isascii() for row in there)
    listed = opened(isql.prints(f"set list on; {WIDE};", charset))
    assert (listed.header, listed.notes[0]) == (("ID", "NAME", "CONTRACT_NUMBER", "THIRD"), LIST)
    assert cells_of(listed) == there
    headed = opened(isql.prints(f"{WIDE};", charset))
    assert (headed.header, headed.notes[0]) == (listed.header, HEADINGS)
    assert cells_of(headed) == there
    # The prefixes of contract numbers are too few letters for their encoding to be told.
    encoding = "cp1251" if charset == "WIN1251" else "auto"
    numbers = isql.prints(f"set heading off; {WIDE.replace('name, ', '')};", charset)
    bare = opened(numbers, "id", "number", "third", encoding=encoding)
    assert (bare.header, bare.notes[0]) == (("id", "number", "third"), BARE)
    assert cells_of(bare) == [(row[0], *row[2:]) for row in there]


def test_several_wide_columns(isql: Isql) -> None:
    query = "select first 30 name, email, id, name n2, create_date, contract_number c, 1e0 / 4 d from abonents"
    there = [(*row[:4], row[4] and f"{row[4]}.0000", row[5], "0.2500000000000000") for row in isql.has(query)]
    assert cells_of(opened(isql.prints(f"set list on; {query};"))) == there
    assert cells_of(opened(isql.prints(f"{query};"))) == there


def test_one_column_of_bare_ids(isql: Isql) -> None:
    source = opened(isql.prints(f"set heading off; {IDS};"))
    assert source.header == ("id",)
    assert rows_of(source) == [Row(line, row) for line, row in enumerate(isql.has(IDS), 2)]


def test_values_that_were_joined(isql: Isql) -> None:
    source = opened(isql.prints("set heading off; select first 3 id || ' ' || (id + 0.5) from abonents;"), "a", "b")
    assert cells_of(source) == isql.has("select first 3 id, id + 0.5 from abonents")


def test_lines_are_those_of_what_was_printed(isql: Isql) -> None:
    listed = rows_of(opened(isql.prints(f"set list on; {WIDE};")))
    assert [row.line for row in listed[:3]] == [2, 7, 12]
    headed = rows_of(opened(isql.prints(f"{WIDE};")))
    assert [row.line for row in headed[18:22]] == [22, 23, 27, 28]


def test_a_value_with_a_line_end_refuses_its_row(isql: Isql) -> None:
    query = "select first 3 id, cast('a' || ascii_char(10) || 'b' as varchar(20)) nl, 5 five from abonents"
    for form in ("set list on; ", ""):
        source = opened(isql.prints(f"{form}{query};"))
        assert rows_of(source) == []
        assert "a value" in refusals_of(source)[0].reason
    source = opened(isql.prints(f"set list on; {query.replace(', 5 five', '')};"))
    assert rows_of(source) == []
    assert [refusal.line for refusal in refusals_of(source)] == [2, 6, 10]


def test_no_rows_are_nothing_to_read(isql: Isql) -> None:
    assert "is empty" in why_refused(isql.prints("set list on; select id from abonents where 1 = 0;"))


def test_counts_are_no_rows(isql: Isql) -> None:
    for form in ("set heading off; ", "set list on; ", ""):
        source = opened(isql.prints(f"set count on; {form}{IDS};"))
        assert cells_of(source) == isql.has(IDS)
        assert refusals_of(source) == []


def test_goes_on_exactly_after_every_page(isql: Isql) -> None:
    for form in ("", "set list on; "):
        goes_on_after_every_page(opened(isql.prints(f"{form}{WIDE};"), page_rows=7))
    goes_on_after_every_page(opened(isql.prints("set heading off; select id from abonents;"), page_rows=7))


# ---- lists ---------------------------------------------------------------------------------------------------------


def pair(name: str, value: str) -> str:
    return f"{name:31} {value}\n"


def test_a_list_without_its_blank_lines(tmp_path: Path) -> None:
    text = "".join(pair("ID", str(number)) + pair("NAME", "") for number in range(3))
    source = opened(saved(tmp_path, text))
    assert rows_of(source) == [Row(1, ("0", "")), Row(3, ("1", "")), Row(5, ("2", ""))]


def test_a_list_that_was_cut_off(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, pair("ID", "1") + pair("NAME", "a") + "\n" + pair("ID", "2")))
    assert rows_of(source) == [Row(1, ("1", "a"))]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.column, refusal.label) == (4, "NAME", "2")
    assert refusal.reason.startswith("it ends before the column NAME")


def test_a_list_with_something_between_its_rows(tmp_path: Path) -> None:
    text = pair("ID", "1") + "\nStatement failed, SQLSTATE = 42000\n\n" + pair("ID", "2")
    source = opened(saved(tmp_path, text))
    assert rows_of(source) == [Row(5, ("2",))]
    (refusal,) = refusals_of(source)
    assert (refusal.line, refusal.reason[:38]) == (1, "line 3 is not the beginning of a row; ")


def test_names_longer_than_their_place(tmp_path: Path) -> None:
    long, longer = "N" * 31, "M" * 40
    source = opened(saved(tmp_path, f"{long} 1\n{longer} 2\n\n{long} 3\n{longer} 4\n"))
    assert source.header == (long, longer)
    assert cells_of(source) == [("1", "2"), ("3", "4")]


def test_the_names_of_a_list_and_of_headings_are_not_given_twice(tmp_path: Path) -> None:
    text = pair("ID", "1") + "\n" + pair("ID", "2")
    told = why_refused(saved(tmp_path, text), Layout(columns=("a", "b")))
    assert told.endswith("names its columns itself, from line 1 on: leave --columns a,b out")
    told = why_refused(saved(tmp_path, "\nID \n== \n 1 \n"), Layout(columns=("a",)))
    assert told.endswith("names its columns itself, from line 2 on: leave --columns a out")


def test_two_columns_of_one_name_are_no_two_rows(isql: Isql) -> None:
    twins = "select first 2 id, id from abonents"
    for form in ("set list on; ", ""):
        told = why_refused(isql.prints(f"{form}{twins};"))
        assert "line 2" in told
        assert "have the same name, 'ID'" in told


# ---- headings ------------------------------------------------------------------------------------------------------


def table(*rows: str, heading: str = "          ID NAME                 ") -> str:
    return "\n".join(["", heading, "============ ====================", *rows, ""])


def test_spaces_at_the_ends_of_lines_may_be_cut_off(tmp_path: Path) -> None:
    source = opened(
        saved(tmp_path, table("           1 Иванов И. И.", "           2 <null>", heading="          ID NAME"))
    )
    assert cells_of(source) == [("1", "Иванов И. И."), ("2", "")]


def test_an_old_isql_pads_by_bytes(tmp_path: Path) -> None:
    name = "Иванов"
    by_bytes = f"           1 {name}{' ' * (20 - len(name.encode()))} "
    source = opened(saved(tmp_path, table(by_bytes, "           2 Ivanov               ")))
    assert cells_of(source) == [("1", name), ("2", "Ivanov")]
    first = f"\nNAME             N \n================ = \n{name}     5 \nIvanov           6 \n"
    assert cells_of(opened(saved(tmp_path, first))) == [(name, "5"), ("Ivanov", "6")]


def test_a_line_that_does_not_stand_under_the_headings(tmp_path: Path) -> None:
    source = opened(
        saved(
            tmp_path,
            table("           1 a                    ", "           2 b ", "1234567890123b                    "),
        )
    )
    assert cells_of(source) == [("1", "a")]
    refusal, overflowing = refusals_of(source)
    assert (refusal.line, refusal.row) == (5, ("           2 b ",))
    assert overflowing.line == 6
    assert "its 15 characters do not stand under the headings, of 34" in refusal.reason


def test_a_line_that_can_be_cut_in_two_ways(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "AAAA B\n==== =\nЖЖ 5 6\nЖЖ   7\n"))
    assert cells_of(source) == [("ЖЖ", "7")]
    (refusal,) = refusals_of(source)
    assert refusal.reason == "where its cells begin can be told in two ways; print with set list on"


def test_headings_that_do_not_tell_where_a_wide_column_ends(tmp_path: Path) -> None:
    marks = f"{'=' * 79} {'=' * 79}"
    text = f"{'A':100} the name\n{marks}\n"
    told = why_refused(saved(tmp_path, text + "x\n"))
    assert "line 1: it cannot be told from the headings where the columns begin; print with set list on" in told


# ---- bare values ---------------------------------------------------------------------------------------------------


def test_several_bare_values_need_names(tmp_path: Path) -> None:
    told = why_refused(saved(tmp_path, "\n          17      100.00 \n"))
    assert told.endswith(
        "line 2: 2 values and no names of columns. Name them with --columns a,b, or print with set list on"
    )
    assert "Name them with --columns a,b" in why_refused(saved(tmp_path, "17 100.00\n18 5\n"))


def test_a_value_with_a_space_refuses_its_row(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "17 100.00\nАБ 1 100.00\n18\n"), "number", "amount")
    assert rows_of(source) == [Row(1, ("17", "100.00"))]
    assert [(refusal.line, refusal.row) for refusal in refusals_of(source)] == [(2, ("АБ 1 100.00",)), (3, ("18",))]
    assert refusals_of(source)[0].reason == (
        "3 words for 2 columns: a value has a space in it, or is empty. Print with set list on; or, where only the "
        "last column has spaces, name the columns number,amount..."
    )


def test_the_last_column_takes_the_rest_when_that_is_said(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "17 Дом 5,  кв. 7 \n18 <null>\n19\n"), "id", "address...")
    assert source.header == ("id", "address")
    assert cells_of(source) == [("17", "Дом 5,  кв. 7"), ("18", "")]
    assert [refusal.line for refusal in refusals_of(source)] == [3]


def test_one_named_column_is_the_whole_line(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "\n15 Ж     \n00123     \n<null>    \n17         100.00\n"), "contract_number")
    assert cells_of(source) == [("15 Ж",), ("00123",), ("",)]
    (refusal,) = refusals_of(source)
    assert "several values in the one column contract_number" in refusal.reason


def test_an_unnamed_column_holds_ids_and_nothing_else(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "17\n00123\nАБ-1\n-5\n18 19\n٣\n18\n"))
    assert cells_of(source) == [("17",), ("18",)]
    assert [refusal.line for refusal in refusals_of(source)] == [2, 3, 4, 5, 6]
    assert refusals_of(source)[0].reason == "'00123' is not an id: the column has to be named by what it holds"
    padded = opened(saved(tmp_path, "\nАБ-00001      \n00123         \n"))
    assert len(refusals_of(padded)) == 2


def test_commas_and_spaces_at_once_are_asked_about(tmp_path: Path) -> None:
    told = why_refused(saved(tmp_path, "17 100,50\n"), Layout(columns=("id", "amount")))
    assert "line 1: the line can be taken apart at its commas and at its spaces" in told
    source = open_input(saved(tmp_path, "17 100,50\n"), Layout(columns=("id", "amount"), delimiter=","))
    assert cells_of(source) == [("17 100", "50")]
    assert cells_of(opened(saved(tmp_path, "\n  17 100,50 \n"), "id", "amount")) == [("17", "100,50")]


def test_a_table_with_commas_is_not_taken_for_what_isql_prints(tmp_path: Path) -> None:
    source = opened(saved(tmp_path, "\nid, amount \n1,2\n"))
    assert source.header == ("id", " amount ")
    assert cells_of(source) == [("1", "2")]


def test_names_for_delimited_rows(tmp_path: Path) -> None:
    for text in ("17;АБ 1\n18;x\n", "17\tАБ 1\n18\tx\n", '"17","АБ 1"\n18,x\n'):
        assert cells_of(opened(saved(tmp_path, text), "id", "number...")) == [("17", "АБ 1"), ("18", "x")]
    path = saved(tmp_path, "17,АБ 1\n18,x\n").rename(tmp_path / "rows.csv")
    assert cells_of(opened(path, "id", "number")) == [("17", "АБ 1"), ("18", "x")]


# ---- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("form", ["list", "headings", "bare"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, form: str) -> None:
    def write(rows: int) -> Path:
        if form == "list":
            return saved(tmp_path, "\n".join(pair("ID", str(number)) for number in range(rows)))
        if form == "headings":
            return saved(tmp_path, "\n          ID \n============ \n" + "".join(f"{n:12} \n" for n in range(rows)))
        return saved(tmp_path, "\n" + "".join(f"{number:12} \n" for number in range(1, rows + 1)))

    memory_is_flat(write, 50_000)


def test_a_value_that_is_too_long(tmp_path: Path) -> None:
    fits = pair("ID", "1") + pair("NAME", "x" * LONGEST_CELL)
    assert len(rows_of(opened(saved(tmp_path, fits)))) == 1
    told = why_refused(saved(tmp_path, pair("ID", "1") + pair("NAME", "a") + fits.replace("x", "xx", 1)))
    assert told.endswith(", line 3: column 2 is longer than 1000000 characters")


def test_a_block_without_an_end_is_not_held(tmp_path: Path) -> None:
    memory_is_flat(lambda rows: saved(tmp_path, pair("ID", "1") + pair("ID", "2") + "line\n" * rows), 50_000)


WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12).filter(
    lambda word: word != "<null>"
)


@settings(suppress_health_check=SHARED_FIXTURES)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=2, max_size=6))
def test_what_is_printed_is_read_back(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    # Named, for of a few signs that are no Russian letters nobody can tell it.
    listed = "\n".join("".join(pair(name, cell) for name, cell in zip("ABC", row, strict=True)) for row in rows)
    assert cells_of(opened(saved(tmp_path, listed), encoding="utf-8")) == rows
    wide = [f"{a:>12} {b:12} {c:12} " for a, b, c in rows]
    headed = "\n".join(["", f"{'A':>12} {'B':12} {'C':12} ", f"{'=' * 12} {'=' * 12} {'=' * 12} ", *wide, ""])
    assert cells_of(opened(saved(tmp_path, headed), encoding="utf-8")) == rows


# ---- words, as the shell's read takes them -------------------------------------------------------------------------


def words(path: Path, *columns: str) -> Source:
    return open_input(path, Layout(columns=columns, delimiter=" "))


def test_a_line_is_taken_apart_at_any_white_space(tmp_path: Path) -> None:
    source = words(saved(tmp_path, "  17 \t 5,00\n\n18 6;7\n"), "id", "sum")
    assert cells_of(source) == [("17", "5,00"), ("18", "6;7")]
    assert source.notes == ("columns with spaces between them",)


def test_the_name_of_the_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("ID                              17\n18,5 x\n")
    assert cells_of(words(path, "a", "b")) == [("ID", "17"), ("18,5", "x")]


def test_the_last_column_takes_the_rest(tmp_path: Path) -> None:
    assert cells_of(words(saved(tmp_path, "17 a  b\n18 c\n"), "id", "name...")) == [("17", "a  b"), ("18", "c")]
    assert cells_of(words(saved(tmp_path, " a  b \n"), "line...")) == [("a  b",)]


def test_what_is_behind_the_last_column_is_passed_over(tmp_path: Path) -> None:
    source = words(saved(tmp_path, "17 5 x y\n18 6\n19\n"), "id", "sum", "...")
    assert source.header == ("id", "sum")
    assert cells_of(source) == [("17", "5"), ("18", "6")]
    assert [(refusal.line, refusal.reason.partition(":")[0]) for refusal in refusals_of(source)] == [
        (3, "1 word for 2 columns")
    ]


def test_a_value_with_a_space_is_refused_in_a_single_column_too(tmp_path: Path) -> None:
    (refusal,) = refusals_of(words(saved(tmp_path, "17\n18 19\n"), "id"))
    assert (refusal.line, refusal.reason.partition(".")[0]) == (
        2,
        "2 words for 1 column: a value has a space in it, or is empty",
    )
