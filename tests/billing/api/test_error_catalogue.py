"""Every text of the catalogue is recognised, however it is cased and wrapped; nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.error_catalogue import CATALOGUE, Kind, kind_of


@pytest.mark.parametrize(("stem", "kind"), CATALOGUE)
def test_each_text_is_recognised_within_another(stem: str, kind: Kind) -> None:
    text = stem.replace("…", "set_password")
    for spelling in (text, text.upper(), text.lower(), text.replace(" ", " \n\u00a0"), text.replace("ё", "е")):
        assert kind_of(f"Ошибка: {spelling}. Обратитесь в поддержку") is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Абонент обрабатывается, попробуйте позже!", Kind.BUSY),
        ("ИДЕТ ДРУГАЯ ОБРАБОТКА", Kind.BUSY),
        ("Объект уже удален", Kind.ROW),
        ("Метод delete_all нельзя вызвать", Kind.ROW),
        ("Правильный формат: +79161234567", Kind.ROW),
        ("Abonents matching query does not exist.", Kind.ROW),
        ("get() returned more than one Users -- it returned 2!", Kind.ROW),
        ("Недостаточно прав: Объект уже удалён", Kind.SYSTEM),
        ("", Kind.UNRECOGNISED),
        ("Метод нельзя", Kind.UNRECOGNISED),
        ("division by zero", Kind.UNRECOGNISED),
    ],
)
def test_the_kinds(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


def test_the_gap_of_a_text_is_bounded() -> None:
    assert kind_of(f"Метод {'x' * 1000} нельзя вызвать") is Kind.UNRECOGNISED


@given(st.text())
def test_any_text_has_a_kind(text: str) -> None:
    assert kind_of(text) in Kind
