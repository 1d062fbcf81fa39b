"""Contract numbers that nearly exist."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.contract_numbers import Search, undressed

EXISTING = ["00123", "A15", "АБ-00007", "15J34", "20001", "99887", "00124"]


def nearest(contract_number: str, all_numbers: Iterable[str], n: int = 3) -> list[str]:
    search = Search([contract_number], n)
    search.offer(all_numbers)
    return [suggestion.contract_number for suggestion in search.found()[contract_number]]


@pytest.mark.parametrize(
    ("typed", "meant", "why"),
    [
        ("А15", "A15", "the same in Latin letters"),
        ("AБ-00007", "АБ-00007", "the same in Cyrillic letters"),
        ("123", "00123", "the same with leading zeros"),
        ("000123", "00123", "the same without leading zeros"),
        ("аб-7", "АБ-00007", "the same with leading zeros, in another letter case"),
        ("15j34", "15J34", "the same in another letter case"),
        ("15 J 34", "15J34", "the same without spaces"),
        ("а 15", "A15", "the same without spaces, in Latin letters"),
        ("20002", "20001", "similar"),
        ("2001", "20001", "similar"),
        ("99878", "99887", "similar"),
    ],
)
def test_what_was_meant_comes_first_with_its_reason(typed: str, meant: str, why: str) -> None:
    search = Search([typed])
    search.offer(EXISTING)
    first = search.found()[typed][0]
    assert (first.contract_number, first.reason) == (meant, why)
    assert nearest(typed, EXISTING)[0] == meant


def test_the_same_in_other_clothes_comes_before_what_looks_more_alike() -> None:
    assert nearest("А15", ["Б15", "В15", "А151", "A15"])[0] == "A15"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert nearest("ЖЖЖ-777", EXISTING) == []


def test_at_most_n_are_suggested_and_none_twice() -> None:
    numbers = [f"1000{digit}" for digit in range(10)] * 2
    assert nearest("1000X", numbers, n=2) == ["10000", "10001"]


def test_pages_find_what_one_page_finds() -> None:
    one, many = Search(["123", "2001"]), Search(["123", "2001"])
    one.offer(EXISTING)
    for number in EXISTING:
        many.offer([number])
    assert one.found() == many.found()


def test_likeness_is_looked_at_for_the_first_only_sameness_for_all() -> None:
    search = Search(["20002", "А15", "20003"], compared=1)
    search.offer(EXISTING)
    found = {unknown: [s.contract_number for s in near] for unknown, near in search.found().items()}
    assert found == {"20002": ["20001"], "А15": ["A15"], "20003": []}


@given(st.text("АБJ019-", min_size=1, max_size=10), st.integers(0, 3))
def test_clothes_make_no_difference(number: str, zeros: int) -> None:
    # A zero before a letter is no leading zero.
    dressed = ("0" * zeros if number[0].isdigit() else "") + number.lower()
    assert undressed(f" {dressed} ") == undressed(number)
    assert nearest(dressed, [number]) == [number]
