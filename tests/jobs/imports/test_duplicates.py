"""What stands twice in an input is named in each of its rows, with the line of the other."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.contract_numbers import undressed
from jobs.imports.duplicates import Duplicates
from jobs.imports.seen_values import SeenValues
from jobs.imports.subscriber import Step, Subscriber
from tests.jobs.imports.subscribers import account, subscriber


@pytest.fixture
def seen() -> Iterator[SeenValues]:
    with SeenValues() as values:
        yield values


def faults(
    seen: SeenValues, subscribers: Sequence[Subscriber], *, alike: bool = False
) -> dict[int | None, list[str]]:
    """The reasons by line of all subscribers, of which the last are added as a page of their own."""
    seen.add(subscribers[:-1])
    seen.add(subscribers[-1:])
    duplicates = Duplicates(seen, alike=alike)
    return {one.row.line: [fault.reason for fault in duplicates(one)[1]] for one in subscribers}


def warnings(seen: SeenValues, subscribers: Sequence[Subscriber]) -> list[list[str]]:
    assert not any(faults(seen, subscribers).values())
    return [[one.reason for one in Duplicates(seen).warnings(row)] for row in subscribers]


def test_a_contract_number_that_stands_twice_is_a_fault_of_both_rows(seen: SeenValues) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "15"), subscriber(4, "00123")]
    assert faults(seen, rows) == {2: ["'00123' is also in line 4"], 3: [], 4: ["'00123' is also in line 2"]}


def test_of_many_rows_the_first_are_named_and_the_others_counted(seen: SeenValues) -> None:
    found = faults(seen, [subscriber(line, "15") for line in range(2, 12)])
    assert found[2] == ["'15' is also in line 3, line 4, line 5 and 6 more"]
    assert found[11] == ["'15' is also in line 2, line 3, line 4 and 6 more"]


def test_logins_addresses_and_devices_are_of_one_account_each(seen: SeenValues) -> None:
    one = account(2, "1", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    other = account(9, "2", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    found = faults(seen, [one, other])
    assert found[2] == [
        "'ivan' is also in line 9 of accounts.csv",
        "'10.0.0.5' is also in line 9 of accounts.csv",
        "'00:1a:2b:3c:4d:5e' is also in line 9 of accounts.csv",
    ]
    assert found[9] == [reason.replace("line 9", "line 2") for reason in found[2]]


def test_a_login_in_another_letter_case_is_a_fault(seen: SeenValues) -> None:
    found = faults(seen, [account(2, "1", login="Ivan"), account(3, "2", login="ivan")])
    assert found[2] == ["'Ivan' is also in line 3, in another letter case: 'ivan'"]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("А15", "A15", "the same in Latin letters"),
        ("00123", "123", "the same without leading zeros"),
        ("15 д", "15д", "the same without spaces"),
        ("15д", "15Д", "the same in another letter case"),
    ],
)
def test_numbers_that_look_alike_are_a_fault_until_the_operator_says_otherwise(
    seen: SeenValues, one: str, other: str, why: str
) -> None:
    rows = [subscriber(2, one), subscriber(3, other)]
    (reason,) = faults(seen, rows)[2]
    assert reason == (
        f"{one!r} looks like {other!r} in line 3, {why}: correct one of them, or give --alike if both are right"
    )
    with SeenValues() as anew:
        assert faults(anew, rows, alike=True) == {2: [], 3: []}


def test_a_phone_of_several_rows_is_a_warning(seen: SeenValues) -> None:
    rows = [subscriber(line, f"{line}", {Step.SUBSCRIBER: {"sms": "+79161234567"}}) for line in (2, 3)]
    assert warnings(seen, rows) == [["'+79161234567' is also in line 3"], ["'+79161234567' is also in line 2"]]


def test_a_number_that_may_have_lost_its_zero_is_a_warning(seen: SeenValues) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "04567"), subscriber(4, "456"), subscriber(5, "12345")]
    lost = (
        "'456' has 3 digits, and 2 numbers that begin with a zero have 5: a spreadsheet may have removed a zero "
        "before it"
    )
    assert warnings(seen, rows) == [[], [], [lost], []]


def test_a_number_of_two_scripts_is_a_warning(seen: SeenValues) -> None:
    (mixed,) = warnings(seen, [subscriber(2, "AБ15")])
    assert mixed == ["character 1 is the Latin letter 'A' among Cyrillic ones; is it so in the contract?"]


@given(
    st.lists(st.text(st.sampled_from("01AАoО "), min_size=1, max_size=3).filter(str.strip), min_size=2, max_size=12)
)
def test_a_number_is_a_fault_exactly_where_another_one_is_equal_or_looks_alike(numbers: list[str]) -> None:
    rows = [subscriber(line, number) for line, number in enumerate(numbers, 2)]
    with SeenValues() as seen:
        found = faults(seen, rows)
    for row in rows:
        alike = [other for other in rows if other is not row and undressed(other.number) == undressed(row.number)]
        equal = [other for other in alike if other.number == row.number]
        told = " ".join(found[row.row.line])
        assert bool(told) is bool(alike)
        assert all(f"line {other.row.line}" in told for other in equal[:3])
        assert ("looks like" in told) is bool(alike and not equal)
