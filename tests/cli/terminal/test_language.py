"""Russian and English: which one is taken, and how each writes numbers."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cli.terminal.language import ENGLISH, RUSSIAN, language, system_language
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
        (1, "1 строка принята и не сверена."),
        (2, "2 строки приняты и не сверены."),
        (5, "5 строк принято и не сверено."),
        (11, "11 строк принято и не сверено."),
        (21, "21 строка принята и не сверена."),
        (112, "112 строк принято и не сверено."),
    ],
)
def test_russian_has_three_forms(n: int, text: str) -> None:
    sentence = counted("{n} row was accepted and not read back.", "{n} rows were accepted and not read back.", n)
    assert language(RUSSIAN).render(sentence) == text


def test_what_the_catalogue_lacks_is_english() -> None:
    assert language(RUSSIAN).render(said("a sentence of {nobody}", nobody="x")) == "a sentence of x"
