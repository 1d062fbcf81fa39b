"""`mock`: its help names what the billing of the lab can do, without importing it; a database is made whole."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from cli.commands.mock import QUIRKS
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
    ended = typed("mock", "init", os.fsdecode("биллинг.fdb".encode("cp1251")), "--abonents", "9")
    assert ended.exit == 2, ended.err
    assert f"the encoding here, {sys.getfilesystemencoding()}, does not hold this name" in ended.words
    assert list(tmp_path.iterdir()) == []
