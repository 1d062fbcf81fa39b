"""Texts that are put aside come back, in whatever order, and take no memory."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources.workbook.shared_strings import SpilledStrings


def spilled(texts: list[str]) -> SpilledStrings:
    strings = SpilledStrings()
    for text in texts:
        strings.append(text)
    strings.finish()
    assert len(strings) == len(texts)
    return strings


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=50), st.randoms())
def test_any_text_at_any_time(texts: list[str], order: random.Random) -> None:
    strings = spilled(texts)
    numbers = [*range(len(texts)), *range(len(texts))]
    order.shuffle(numbers)
    assert [strings[number] for number in numbers] == [texts[number] for number in numbers]


def test_many_in_their_order_and_out_of_it() -> None:
    texts = [f"Иванов {number}" for number in range(5000)]
    strings = spilled(texts)
    assert [strings[number] for number in range(5000)] == texts
    # One that comes again and again among others that come once.
    assert [strings[number if number % 2 else 3] for number in range(5000)] == [
        text if number % 2 else texts[3] for number, text in enumerate(texts)
    ]
    assert [strings[number] for number in reversed(range(5000))] == texts[::-1]


def test_a_number_that_there_is_not() -> None:
    strings = spilled(["a"])
    for number in (-1, 1, 10**12):
        with pytest.raises(IndexError):
            _ = strings[number]


def test_long_texts_are_not_held_by_the_hundred() -> None:
    strings = spilled(["x" * 100_000] * 600)
    tracemalloc.start()
    try:
        assert all(len(strings[number]) == 100_000 for number in range(600))
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
