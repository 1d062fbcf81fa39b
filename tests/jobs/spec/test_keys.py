import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.spec.parameters import row_key


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ((), ""),
        (("9001",), "9001"),
        (("94", "127"), "94/127"),
        (("1/2", "3"), r"1\/2/3"),
        (("1", "2/3"), "1/2/3"),
        (("a\\", "b"), r"a\\/b"),
        (("77/2",), "77/2"),
        (("ivanov", "http://lk.example.org/"), "ivanov/http://lk.example.org/"),
    ],
)
def test_a_key_as_people_read_it(values: tuple[str, ...], key: str) -> None:
    assert row_key(values) == key


def parted(key: str, number: int) -> list[str]:
    """The values of a key that has so many: what two rows of values can only have in common if they are the same."""
    values: list[str] = []
    while len(values) < number - 1:
        found = re.match(r"((?:[^/\\]|\\.)*)/", key)
        assert found, key
        values.append(re.sub(r"\\(.)", r"\1", found[1]))
        key = key[found.end() :]
    return [*values, key]


@given(st.lists(st.text(alphabet="/\\a1", max_size=5), min_size=1, max_size=4))
def test_a_key_tells_its_values(values: list[str]) -> None:
    assert parted(row_key(values), len(values)) == values
