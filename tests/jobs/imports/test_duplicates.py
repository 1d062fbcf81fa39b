"""What stands twice in an input is named in each of its rows, with the line of the other."""

from collections.abc import Iterator, Sequence

import pytest

from jobs.imports.duplicates import Duplicates
from jobs.imports.subscriber import Step, Subscriber
from tests.jobs.imports.subscribers import account, subscriber


@pytest.fixture
def duplicates() -> Iterator[Duplicates]:
    with Duplicates() as found:
        yield found


def faults(duplicates: Duplicates, subscribers: Sequence[Subscriber], *existing: str) -> dict[int | None, list[str]]:
    """The reasons by line of all subscribers, of which the last are added as a page of their own."""
    duplicates.add(subscribers[:-1])
    duplicates.add(subscribers[-1:])
    duplicates.offer(existing)
    return {one.row.line: [fault.reason for fault in duplicates(one)[1]] for one in subscribers}


def test_a_contract_number_that_stands_twice_is_a_fault_of_both_rows(duplicates: Duplicates) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "15"), subscriber(4, "00123")]
    assert faults(duplicates, rows) == {2: ["'00123' is also in line 4"], 3: [], 4: ["'00123' is also in line 2"]}


def test_of_many_rows_the_first_are_named_and_the_others_counted(duplicates: Duplicates) -> None:
    found = faults(duplicates, [subscriber(line, "15") for line in range(2, 12)])
    assert found[2] == ["'15' is also in line 3, line 4, line 5 and 6 more"]
    assert found[11] == ["'15' is also in line 2, line 3, line 4 and 6 more"]


def test_logins_addresses_and_devices_are_of_one_account_each(duplicates: Duplicates) -> None:
    one = account(2, "1", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    other = account(9, "2", "accounts.csv", login="ivan", ip="10.0.0.5", mac="00:1a:2b:3c:4d:5e")
    found = faults(duplicates, [one, other])
    assert found[2] == [
        "'ivan' is also in line 9 of accounts.csv",
        "'10.0.0.5' is also in line 9 of accounts.csv",
        "'00:1a:2b:3c:4d:5e' is also in line 9 of accounts.csv",
    ]
    assert found[9] == [reason.replace("line 9", "line 2") for reason in found[2]]


def test_a_login_in_another_letter_case_is_a_fault(duplicates: Duplicates) -> None:
    found = faults(duplicates, [account(2, "1", login="Ivan"), account(3, "2", login="ivan")])
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
    one: str, other: str, why: str
) -> None:
    rows = [subscriber(2, one), subscriber(3, other)]
    with Duplicates() as duplicates:
        (reason,) = faults(duplicates, rows)[2]
        assert reason == (
            f"{one!r} looks like {other!r} in line 3, {why}: correct one of them, or give --alike if both are right"
        )
    with Duplicates(alike=True) as duplicates:
        assert faults(duplicates, rows) == {2: [], 3: []}


def test_a_number_that_looks_like_one_of_the_billing_is_a_fault(duplicates: Duplicates) -> None:
    rows = [subscriber(2, "123"), subscriber(3, "A15"), subscriber(4, "77")]
    # What is there in both ways is no mistake.
    found = faults(duplicates, rows, "00123", "Ж8", "A15", "А15")
    assert found == {
        2: [
            (
                "the billing has the contract number '00123', the same with leading zeros: write it in the same way "
                "if it is the same subscriber, or give --alike if both are right"
            )
        ],
        3: [],
        4: [],
    }


def test_a_phone_of_several_rows_is_a_warning(duplicates: Duplicates) -> None:
    rows = [subscriber(line, f"{line}", {Step.SUBSCRIBER: {"sms": "+79161234567"}}) for line in (2, 3)]
    assert faults(duplicates, rows) == {2: [], 3: []}
    assert [one.reason for one in duplicates.warnings(rows[0])] == ["'+79161234567' is also in line 3"]


def test_a_number_that_may_have_lost_its_zero_is_a_warning(duplicates: Duplicates) -> None:
    rows = [subscriber(2, "00123"), subscriber(3, "04567"), subscriber(4, "456"), subscriber(5, "12345")]
    faults(duplicates, rows)
    assert [[one.reason for one in duplicates.warnings(row)] for row in rows] == [
        [],
        [],
        [
            (
                "'456' has 3 digits, and 2 numbers that begin with a zero have 5: a spreadsheet may have removed a "
                "zero before it"
            )
        ],
        [],
    ]


def test_a_number_of_two_scripts_is_a_warning(duplicates: Duplicates) -> None:
    row = subscriber(2, "AБ15")
    faults(duplicates, [row])
    (warning,) = duplicates.warnings(row)
    assert warning.reason == "character 1 is the Latin letter 'A' among Cyrillic ones; is it so in the contract?"
