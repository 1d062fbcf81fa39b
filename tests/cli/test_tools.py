"""`doctor`, `mock` and `demo`."""

import os
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from billing.database.database import attach
from billing.database.dsn import Dsn
from cli.commands.mock import QUIRKS
from cli.terminal.exits import Exit
from lab.demo import make_folder
from lab.mock.quirks import Quirks
from tests.cli.conftest import Place, Typed

LINES, COLUMNS = 24, 80
"""Of a terminal as it opens."""


async def test_doctor_says_what_is_wrong_and_goes_on(place: Place) -> None:
    place.cli.environment["CARBON_MIGRATE_DATABASE_PASSWORD"] = "do-not-show"
    wrong = ("--api-url", "http://127.0.0.1:9", "--database", "nowhere.fdb")
    ended = await place.cli("doctor", "--json", *wrong, may_end_with=(2,))
    told = ended.closing
    assert [one["check"] for one in told["checks"] if one["standing"] == "wrong"] == ["api", "database"]
    assert (told["in_the_way"], told["exit"]) == (2, 2)
    assert told["settings"]["api url"] == {"value": "http://127.0.0.1:9", "origin": "--api-url"}
    assert told["settings"]["password"] == {"value": "set", "origin": "CARBON_MIGRATE_DATABASE_PASSWORD"}
    said = ended.words
    for words in ("✗ api Nobody answers", "✗ database", "✓ journal", "2 in the way of a run"):
        assert words in said
    assert "do-not-show" not in said + ended.out


async def test_a_billing_with_another_scale_of_money_is_left_alone(place: Place) -> None:
    balances = place.balances(2)
    await place.execute("update vpn_const set const_value = '1000000' where const_id = 1")
    for command in ("run", "plan"):
        ended = await place.cli(command, "balances", balances.path, may_end_with=(2,))
        assert "by row 1 of its VPN_CONST a rouble is '1000000'" in ended.words
    assert place.traffic.arrived == 0
    said = " ".join((await place.cli("doctor", may_end_with=(2,))).out.split())
    assert "✗ money" in said
    assert "1 in the way of a run" in said


async def test_a_billing_that_does_not_tell_its_scale_is_taken_as_usual(place: Place) -> None:
    balances = place.balances(2)
    await place.execute("delete from vpn_const")
    ended = await place.cli("run", "balances", balances.path, "--yes")
    assert "the database does not say how it scales its money" in ended.words
    assert "! money row 1 of VPN_CONST cannot be read" in " ".join((await place.cli("doctor")).out.split())


async def test_a_mock_is_made_once_and_served(place: Place) -> None:
    (await place.cli("mock", "init", "b.fdb", "--abonents", "20", "--seed", "3")).saying("20 subscribers")
    await place.cli.refused("mock", "init", "b.fdb", "--abonents", "20", says="is there already")
    await place.cli.refused("mock", "serve", "nowhere.fdb", says="there is no nowhere.fdb")
    port = place.billing.url.rpartition(":")[2]
    await place.cli.refused("mock", "serve", "b.fdb", "--port", port, says=f"port {port}")


@pytest.mark.loops(90)
@pytest.mark.parametrize(
    ("language", "holds"),
    [("en", "the proof holds after"), pytest.param("ru", "доказательство сходится за", marks=pytest.mark.prove)],
)
async def test_the_demo_proves_itself_on_one_screen(place: Place, language: str, holds: str) -> None:
    place.cli.environment |= {"CARBON_MIGRATE_LANG": language, "COLUMNS": str(COLUMNS)}
    ended = await place.cli("demo", "--quick")
    lines = ended.out.splitlines()
    assert len(lines) < LINES
    assert max(map(len, lines)) <= COLUMNS
    assert holds in ended.out
    compared = [re.split(r" {3,}", line.strip())[1:] for line in lines if line.endswith("✓")]
    assert len(compared) == 5, ended.out
    assert all(asked == found for asked, found, _ in compared)
    assert 250 < int(compared[0][0]) <= 300, "balances of one account are added up: fewer rows than subscribers"
    assert re.search(r"\$ kill -9 \d+", ended.out)
    # What it advises can be typed where it was started.
    status = await place.cli("status", "--journal", ".demo/carbon-migrate.journal")
    assert compared[0][0] in status.out


def test_a_folder_that_no_demo_has_made_is_left_alone(typed: Typed, tmp_path: Path) -> None:
    """Nor is a file, or a link to whatever it leads to, the folder of a demo."""
    demo, elsewhere, says = tmp_path / ".demo", tmp_path / "elsewhere", "it is left as it is. Move it away"
    for there in ("a folder of a demo", "a folder", "nothing"):
        if there == "a folder of a demo":
            elsewhere.mkdir()
            (elsewhere / "letters.txt").write_text("mine", encoding="utf-8")
            (elsewhere / "made-by-carbon-migrate-demo").touch()
        elif there == "a folder":
            (elsewhere / "made-by-carbon-migrate-demo").unlink()
        else:
            shutil.rmtree(elsewhere)
        demo.unlink(missing_ok=True)
        demo.symlink_to(elsewhere)
        assert typed("demo").exit == 2
        assert demo.is_symlink()
        assert (elsewhere / "letters.txt").exists() == (there != "nothing")
    demo.unlink()
    demo.write_text("mine", encoding="utf-8")
    assert typed("demo").exit == 2
    assert demo.read_text(encoding="utf-8") == "mine"
    demo.unlink()
    demo.mkdir()
    (demo / "letters.txt").touch()
    typed.refused("demo", says=f"no demonstration has made it: {says}")
    assert [path.name for path in demo.iterdir()] == ["letters.txt"]


def test_the_folder_of_an_earlier_demo_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_folder()
    (folder / "billing.fdb").touch()
    assert make_folder() == folder
    assert [path.name for path in folder.iterdir()] == ["made-by-carbon-migrate-demo"]


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
