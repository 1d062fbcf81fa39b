"""`mock`: its help names what the billing of the lab can do, without importing it; a database is made whole."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from cli.commands.mock import QUIRKS
from cli.terminal.exits import Exit
from lab.mock.quirks import Quirks
from tests.cli.conftest import Typed


def test_the_help_names_each_quirk_of_the_lab() -> None:
    assert tuple(asdict(Quirks())) == QUIRKS


def test_a_database_may_have_any_letters_in_its_name(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "абоненты"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ended = typed("mock", "init", "биллинг.fdb", "--abonents", "9")
    assert ended.exit == 0, ended.err
    connection = attach(Dsn(str(folder / "биллинг.fdb")))
    try:
        cursor = connection.cursor()
        cursor.execute("select count(*) from abonents where is_folder = 0 and deleted = 0")
        assert cursor.fetchall() == [(9,)]
    finally:
        connection.close()


def test_a_new_name_that_the_encoding_does_not_hold_is_refused_before_anything_is_made(
    typed: Typed, tmp_path: Path
) -> None:
    says = f"the encoding here, {sys.getfilesystemencoding()}, does not hold this name"
    typed.refused("mock", "init", os.fsdecode("биллинг.fdb".encode("cp1251")), "--abonents", "9", says=says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--fault slaw", "--fault slaw: вида 'slaw' нет (возможно, имелось в виду 'slow')"),
        ("--fault slow:2", "--fault slow:2: share: 2.0 — не доля: больше 0 и не больше 1"),
        ("--quirk type_8=maybe", "--quirk type_8=maybe: одно из: sets, adds"),
        ("--capacity 5", "мощность '5' — не SECONDS:SLOTS, например 30:4"),
    ],
)
def test_a_refusal_is_told_in_russian(typed: Typed, tmp_path: Path, words: str, why: str) -> None:
    file = tmp_path / "billing.fdb"
    file.touch()
    ended = typed("mock", "serve", str(file), *words.split(), "--lang", "ru")
    assert (why in ended.words, ended.exit) == (True, Exit.REFUSED), ended.words
