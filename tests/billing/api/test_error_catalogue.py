"""Every text of the catalogue is recognised, however it is cased and wrapped; nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.error_catalogue import CATALOGUE, ErrorKind, find_error


@pytest.mark.parametrize(("stem", "kind"), CATALOGUE)
def test_each_text_is_recognised_within_another(stem: str, kind: ErrorKind) -> None:
    text = stem.replace("…", "set_password")
    for spelling in (text, text.upper(), text.lower(), text.replace(" ", " \n\u00a0"), text.replace("ё", "е")):
        assert find_error(f"Ошибка: {spelling}. Обратитесь в поддержку") is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Абонент обрабатывается, попробуйте позже!", ErrorKind.BUSY),
        ("ИДЕТ ДРУГАЯ ОБРАБОТКА", ErrorKind.BUSY),
        ("Объект уже удален", ErrorKind.ROW),
        ("Метод delete_all нельзя вызвать", ErrorKind.ROW),
        ("Правильный формат: +79161234567", ErrorKind.ROW),
        ("Abonents matching query does not exist.", ErrorKind.ROW),
        ("get() returned more than one Users -- it returned 2!", ErrorKind.ROW),
        ("Недостаточно прав: Объект уже удалён", ErrorKind.SYSTEM),
        ("", ErrorKind.UNRECOGNISED),
        ("Метод нельзя", ErrorKind.UNRECOGNISED),
        ("division by zero", ErrorKind.UNRECOGNISED),
    ],
)
def test_the_kinds(text: str, kind: ErrorKind) -> None:
    assert find_error(text) is kind


def test_the_gap_of_a_text_is_bounded() -> None:
    assert find_error(f"Метод {'x' * 1000} нельзя вызвать") is ErrorKind.UNRECOGNISED


@given(st.text())
def test_any_text_has_a_kind(text: str) -> None:
    assert find_error(text) in ErrorKind
