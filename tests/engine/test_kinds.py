import pytest

from engine.statistics import LONGEST, MOST, OTHER, ErrorGroups, error_group


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("account 17 is locked", "account is locked"),
        ("account 4711 is locked", "account is locked"),
        ("HTTP 500: at 03:14:15", "HTTP : at ::"),
        ("нет  счета\nдля 00123", "нет счета для"),
        ("", ""),
    ],
)
def test_a_kind_is_a_text_without_its_numbers(text: str, kind: str) -> None:
    assert error_group(text) == kind


def test_a_page_of_text_is_no_longer_than_a_kind() -> None:
    assert error_group("a1" * 10_000) == "a" * LONGEST


def test_a_kind_keeps_the_digits_of_its_first_text() -> None:
    kinds = ErrorGroups()
    for text in (
        "HTTP 503: account 17 is locked",
        "HTTP 503: account 4 is locked",
        "no  connection to 10.0.0.1:8082",
    ):
        kinds.add(text)
    assert kinds.counted() == {"HTTP 503: account 17 is locked": 2, "no connection to 10.0.0.1:8082": 1}


def test_however_many_kinds_there_are_only_so_many_are_kept() -> None:
    kinds = ErrorGroups()
    for number in range(1000):
        kinds.add("x" * (number % 50 + 1))
    counted = kinds.counted()
    assert len(counted) == MOST + 1
    assert sum(counted.values()) == 1000
    assert counted[OTHER] == 1000 - 20 * MOST
