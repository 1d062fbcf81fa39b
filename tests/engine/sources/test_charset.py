"""UTF-8 where it is UTF-8, CP1251 where it must be, and no guess where neither is sure."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.sources.charset import CP1251, UTF_8, Charset, told
from engine.sources.opening import Layout, open_input
from engine.sources.original import FileOnDisk
from tests.engine.sources.reading import cells_of

AS_CP1251 = Charset(CP1251, "read as CP1251, for its bytes are not UTF-8")
TABLE = "договор;сумма;фио\n" + "".join(f"АБ-{number:05};{number},50;Иванов Пётр\n" for number in range(200))


def verdict(folder: Path, data: bytes) -> Charset:
    path = folder / "input.csv"
    path.write_bytes(data)
    return told(FileOnDisk(path), "auto")


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(InputRefused) as caught:
        verdict(folder, data)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        "contract_number;amount\n00003;1,50\nАБ-00002;5\n",
        "id;name\r\n1;abc\r\n22;д Иванов\r\n",
        "contract;amount\n15Ж;1\n",
        "№;Сумма\n1;«Ромашка» — 5\u00a0000\n",
        "Л/С;Остаток\n1;5\n",
        "ДОГОВОР;СУММА\n1;5\n",
        "Договір;Сума\n1;5\n",
    ],
)
def test_russian_tables(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, text.encode()) == Charset(UTF_8)
    assert verdict(tmp_path, text.encode("utf-8-sig")) == Charset(UTF_8)
    assert verdict(tmp_path, text.encode("cp1251")) == AS_CP1251


def test_the_last_row_alone_may_tell(tmp_path: Path) -> None:
    text = "id;name\n" + "17;plain\n" * 200_000 + "18;Ёлкин\n"
    assert verdict(tmp_path, text.encode("cp1251")) == AS_CP1251
    assert verdict(tmp_path, text.encode()) == Charset(UTF_8)


@pytest.mark.parametrize(
    ("encoding", "name"), [("koi8-r", "KOI8-R"), ("cp866", "CP866"), ("iso8859-5", "ISO 8859-5")]
)
def test_another_old_encoding_is_named_and_not_taken(tmp_path: Path, encoding: str, name: str) -> None:
    told_so = refused(tmp_path, TABLE.encode(encoding))
    assert "line 1, column 1: byte 0x" in told_so
    assert f"it may be {name}, or CP1251: say which with --encoding {encoding} or cp1251" in told_so


@pytest.mark.parametrize(
    "data",
    [
        "name\nMüller\nzoë\n".encode("cp1252"),
        TABLE.encode()[:-20] + b"\xd0\n",
        TABLE.encode() + TABLE.encode("cp1251"),
        b"id\n" + bytes(range(0x80, 0x100)) + b"\n",
        "id\n«—»…\n".encode("cp1251"),
        ("id\n" + "дом\n" * 20 + "ђ\n").encode("cp1251"),
    ],
    ids=[
        "western",
        "UTF-8 that was cut",
        "both in one file",
        "anything",
        "signs alone",
        "a letter of no Russian text",
    ],
)
def test_what_is_neither_is_refused_with_its_place(tmp_path: Path, data: bytes) -> None:
    told_so = refused(tmp_path, data)
    assert "is not UTF-8; save the file as CSV UTF-8, or name its encoding with --encoding …" in told_so
    assert f"{tmp_path / 'input.csv'}, line " in told_so


def test_utf_16_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    assert verdict(tmp_path, TABLE.encode("utf-16")).codec == "utf-16"
    source = open_input(tmp_path / "input.csv", Layout())
    assert cells_of(source)[0] == ("АБ-00000", "0,50", "Иванов Пётр")
    assert source.notes == ("read as UTF-16, as its first bytes say",)


def test_what_was_found_is_told(tmp_path: Path) -> None:
    (tmp_path / "input.csv").write_bytes(TABLE.encode("cp1251"))
    source = open_input(tmp_path / "input.csv", Layout())
    assert cells_of(source)[199] == ("АБ-00199", "199,50", "Иванов Пётр")
    assert source.notes == (AS_CP1251.note,)
    assert open_input(tmp_path / "input.csv", Layout(encoding="cp1251")).notes == ()


def test_an_encoding_that_is_named_is_never_doubted(tmp_path: Path) -> None:
    (tmp_path / "input.csv").write_bytes(TABLE.encode("koi8-r"))
    assert cells_of(open_input(tmp_path / "input.csv", Layout(encoding="koi8-r")))[0][0] == "АБ-00000"
    with pytest.raises(InputRefused, match=r"byte 0x.* is not UTF-8"):
        cells_of(open_input(tmp_path / "input.csv", Layout(encoding="utf-8")))
    with pytest.raises(InputRefused, match="there is no encoding 'cp12510'"):
        open_input(tmp_path / "input.csv", Layout(encoding="cp12510"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_utf_8_is_read_as_utf_8(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, f"id\n{text}".encode()) == Charset(UTF_8)
