"""UTF-8 where it is UTF-8, an old Cyrillic encoding where it must be, and no guess where several could be."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputRefused
from engine.sources.detect import open_input
from engine.sources.raw.charset import CP1251, NAMES, UTF_8, Charset, detect_charset
from engine.sources.raw.original import FileOnDisk
from engine.sources.raw.sample import Layout
from tests.conftest import SHARED_FIXTURES
from tests.engine.sources.reading import cells_of
from tests.engine.sources.russian_tables import CHARSETS, tables

AS_CP1251 = Charset(CP1251, "read as CP1251, for its bytes are not UTF-8")
TABLE = "договор;сумма;фио\n" + "".join(f"АБ-{number:05};{number},50;Иванов Пётр\n" for number in range(200))


def verdict(folder: Path, data: bytes) -> Charset:
    path = folder / "input.csv"
    path.write_bytes(data)
    return detect_charset(FileOnDisk(path), "auto")


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(InputRefused) as caught:
        verdict(folder, data)
    return str(caught.value)


def verdict_or_question(folder: Path, data: bytes) -> Charset | str:
    try:
        return verdict(folder, data)
    except InputRefused as error:
        return str(error)


def test_the_last_row_alone_may_tell(tmp_path: Path) -> None:
    text = "id;name\n" + "17;plain\n" * 200_000 + "18;Ёлкин\n"
    assert verdict(tmp_path, text.encode("cp1251")) == AS_CP1251
    assert verdict(tmp_path, text.encode()) == Charset(UTF_8)


@pytest.mark.parametrize("encoding", CHARSETS)
def test_old_encodings_are_told_apart_and_said(tmp_path: Path, encoding: str) -> None:
    assert verdict(tmp_path, TABLE.encode(encoding)) == Charset(
        encoding, f"read as {NAMES[encoding]}, for its bytes are not UTF-8"
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "contract_number;amount\n00003;1,50\nАБ-00002;5\n".encode("cp1251"),
            (
                "line 3, column 1: the encoding cannot be told from so few letters: this is 'АБ' in CP1251, 'юа' in "
                "KOI8-R and 'РС' in ISO 8859-5. Say which is right with --encoding cp1251, --encoding koi8-r or "
                "--encoding iso8859-5"
            ),
        ),
        ("contract;amount\r\n15Ж;1\r\n".encode("koi8-r"), "line 2, column 3: the encoding cannot be told"),
        ("id;ФИО\n1;5\n".encode("koi8-r"), "'ФИО' in KOI8-R"),
        ("ДОМ;ТЕЛЕФОН\n1;5\n".encode("cp1251"), "'ДОМ' in CP1251"),
        ("id;фио\n1;5\n".encode("cp866"), "this is 'фио' in CP866 and '䨮' in UTF-8"),
        ("id;sum\nТА-1;5\n".encode("iso8859-5"), "'ТА' in ISO 8859-5 and '°' in UTF-8"),
    ],
)
def test_too_few_letters_are_a_question_with_all_readings(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in refused(tmp_path, data)


@pytest.mark.slow
def test_no_table_is_read_in_a_wrong_encoding(tmp_path: Path) -> None:
    """What the issue measured over its own tables: 98 of 339 were read in a wrong one, and nothing said so."""
    came_out: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for table in tables(seed=20261125, each=28):
        for encoding in CHARSETS:
            data = table.text.encode(encoding, "replace")
            found = verdict_or_question(tmp_path, data)
            if isinstance(found, str):
                came_out[table.tells]["asked"] += 1
                assert f"encoding {encoding}" in found, (table.kind, encoding, table.text[:200])
            else:
                assert data.decode(found.codec) == data.decode(encoding), (table.kind, encoding, table.text[:200])
                came_out[table.tells]["told"] += 1
    enough = came_out[True]
    assert enough["asked"] < 0.02 * enough.total(), came_out


@pytest.mark.parametrize(
    "data",
    [
        "name\nMüller\nzoë\n".encode("cp1252"),
        TABLE.encode()[:-20] + b"\xd0\n",
        TABLE.encode() + TABLE.encode("cp1251"),
        b"id\n" + bytes(range(0x80, 0x100)) + b"\n",
        "id\n«—»…\n".encode("cp1251"),
        ("id\n" + "улица\n" * 20 + "ђ\n").encode("cp1251"),
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


def test_an_encoding_that_is_named_is_never_doubted(tmp_path: Path) -> None:
    (tmp_path / "input.csv").write_bytes(TABLE.encode("koi8-r"))
    assert cells_of(open_input(tmp_path / "input.csv", Layout(encoding="koi8-r")))[0][0] == "АБ-00000"
    with pytest.raises(InputRefused, match=r"byte 0x.* is not UTF-8"):
        cells_of(open_input(tmp_path / "input.csv", Layout(encoding="utf-8")))
    with pytest.raises(InputRefused, match="there is no encoding 'cp12510'"):
        open_input(tmp_path / "input.csv", Layout(encoding="cp12510"))


@settings(suppress_health_check=SHARED_FIXTURES)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_utf_8_is_read_as_utf_8(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, f"id;сумма\n{text}".encode()) == Charset(UTF_8)


@settings(suppress_health_check=SHARED_FIXTURES, max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_told_or_refused_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    found = verdict_or_question(tmp_path, b"id\n" + data)
    if isinstance(found, str):
        assert "encoding" in found
    else:
        assert found.codec in {UTF_8, "utf-16", *NAMES}
