"""Russian and English: which one is taken, and how each writes numbers."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cli.terminal.language import ENGLISH, RUSSIAN, language, system_language, typed_language
from tests.cli.conftest import Typed
from texts.said import Quantity, counted, said


@pytest.mark.parametrize(
    ("environment", "taken"),
    [
        ({}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8"}, RUSSIAN),
        ({"LANG": "ru"}, RUSSIAN),
        ({"LANG": "russian"}, RUSSIAN),
        ({"LANG": "rusty"}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, ENGLISH),
        ({"LANG": "C", "LC_MESSAGES": "ru_RU.KOI8-R"}, RUSSIAN),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "POSIX"}, ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, RUSSIAN),
        ({"LANG": "de_DE.UTF-8"}, ENGLISH),
    ],
)
def test_the_first_locale_variable_that_is_set_decides(environment: dict[str, str], taken: str) -> None:
    assert system_language(environment) == taken


def test_numbers_are_written_as_the_language_writes_them() -> None:
    amount = Decimal("-12542889.1")
    assert language(ENGLISH).write(amount) == "−12\u00a0542\u00a0889.10"
    assert language(RUSSIAN).write(amount) == "−12\u00a0542\u00a0889,10\u00a0₽"
    assert language(RUSSIAN).write(Decimal(0)) == "0,00\u00a0₽"
    assert language(ENGLISH).write(Quantity(40203)) == "40\u00a0203"
    assert language(ENGLISH).write(8082) == "8082", "a port is a name"


def test_a_moment_says_its_zone() -> None:
    moment = datetime(2026, 11, 26, 3, 43, 37, tzinfo=UTC)
    local = moment.astimezone()
    assert language(RUSSIAN).write(moment) == f"{local:%d.%m.%Y %H:%M:%S} (UTC{local.isoformat()[-6:]})"
    assert language(ENGLISH).write(moment).startswith(f"{local:%Y-%m-%d %H:%M:%S}")


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1 строка похожа на уже внесённую"),
        (2, "2 строки похожи на уже внесённые"),
        (5, "5 строк похожи на уже внесённые"),
        (11, "11 строк похожи на уже внесённые"),
        (21, "21 строка похожа на уже внесённую"),
        (112, "112 строк похожи на уже внесённые"),
    ],
)
def test_russian_has_three_forms(n: int, text: str) -> None:
    sentence = counted("{n} row looks as if entered already", "{n} rows look as if entered already", n)
    assert language(RUSSIAN).render(sentence) == text


def test_what_the_catalogue_lacks_is_english() -> None:
    assert language(RUSSIAN).render(said("a sentence of {nobody}", nobody="x")) == "a sentence of x"


@pytest.mark.parametrize(
    ("line", "variable", "settings", "taken"),
    [
        ("run --lang en", "ru", "language = 'ru'", ENGLISH),
        ("run --lang=en -y", "ru", "", ENGLISH),
        ("run", "ru", "language = 'en'", RUSSIAN),
        ("run", "", "language = 'en'", ENGLISH),
        ("run", "", "", RUSSIAN),
        ("", "", "", RUSSIAN),
        ("run --lang", "", "", RUSSIAN),
        ("run --lang xx", "yy", "language = 'zz'", RUSSIAN),
        ("run", "", "language = [", RUSSIAN),
        ("run", "", "language = 7", RUSSIAN),
        ("run --config other.toml", "", "language = 'ru'", ENGLISH),
        ("run --config nowhere.toml", "", "language = 'en'", RUSSIAN),
        ("run --config .", "", "language = 'en'", RUSSIAN),
    ],
)
def test_the_language_of_a_command_is_that_of_the_first_who_names_one(
    line: str, variable: str, settings: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carbon-migrate.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "other.toml").write_text("language = 'en'", encoding="utf-8")
    environment = {"CARBON_MIGRATE_LANG": variable, "LANG": "ru_RU.UTF-8"}
    assert typed_language(line.split(), environment) == taken


def test_a_command_speaks_the_language_that_is_typed_and_forgets_it(typed: Typed) -> None:
    assert "неизвестный язык" in typed("--lang", "ru", "status", "--lang", "xx").words
    assert "is not a language" in typed("status", "--lang", "xx").words
