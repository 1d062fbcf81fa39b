"""What people write: money, exact in every direction, and contract numbers that nearly exist."""

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.directory.subscribers import Search
from billing.errors import BillingError
from billing.money import SCALE, AmountError, parse_amount, roubles, scaled, wire

amounts = st.decimals(min_value=-922_337_203, max_value=922_337_203, places=2, allow_nan=False)


def test_roubles_show_two_decimals_or_as_many_as_they_have() -> None:
    assert str(roubles(505_000_000_000)) == "50.50"
    assert str(roubles(-1)) == "-1E-10"
    assert wire(roubles(-1)) == "-0.0000000001"
    assert scaled(Decimal(1)) == SCALE


@pytest.mark.parametrize("amount", ["0.00000000001", "NaN", "Infinity", "1E+999999"])
def test_what_the_database_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="money"):
        scaled(Decimal(amount))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("50.50", "50.50"), ("-12.5", "-12.5"), ("1E+3", "1000"), ("1E-7", "0.0000001"), ("-0.00", "0.00")],
)
def test_the_wire_has_no_exponents(amount: str, text: str) -> None:
    assert wire(Decimal(amount)) == text


SPACES = " \u00a0\u202f\u2007\u2009"


@given(
    amount=amounts,
    marks=st.sampled_from([*((space, mark) for space in SPACES for mark in ".,"), (",", "."), (".", ","), ("", ",")]),
    minus=st.sampled_from(["-", "\u2212", "("]),
    currency=st.sampled_from(["", "р", "р.", "руб", "руб.", "Руб.", "РУБЛЕЙ", "₽", "RUB", "rub."]),
    space=st.sampled_from(["", *SPACES]),
)
def test_any_amount_as_people_print_it_is_read_back_the_same(
    amount: Decimal, marks: tuple[str, str], minus: str, currency: str, space: str
) -> None:
    thousands, point = marks
    digits = f"{abs(amount):,.2f}".replace(",", "t").replace(".", point).replace("t", thousands)
    sign, end = (minus, ")" if minus == "(" else "") if amount < 0 else ("", "")
    assert parse_amount(f" {sign}{digits}{end}{space}{currency} ") == amount
    assert parse_amount(f"{sign}{digits}{space}{currency}{end}") == amount


@given(st.text(max_size=50) | st.text("0123456789-+.,eE _:/", max_size=40) | st.decimals().map(str))
def test_any_text_is_an_amount_that_the_billing_holds_or_an_amount_error_at_a_place_within(text: str) -> None:
    try:
        amount = parse_amount(text)
    except AmountError as error:
        assert 1 <= error.position <= max(len(text), 1)  # noqa: PT017 - either is right
    else:
        assert scaled(abs(amount)) < 2**63


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 1, "empty"),
        ("  \u00a0", 1, "empty"),
        ("-", 1, "sign"),
        ("12,5O", 5, "Latin letter 'O', which looks like a zero"),
        ("12,5О", 5, "Cyrillic letter 'О', which looks like a zero"),
        ("l2", 1, "looks like a one"),
        ("12.345", 3, r"12\.345 has three decimals, or a separator of thousands: round it to kopecks, or write 1"),
        ("1.000", 2, r"or write 1000\.00$"),
        ("1,234", 2, r"or write 1234\.00$"),
        ("1.234", 2, "three decimals, or a separator of"),
        ("(1,234) руб.", 3, "three decimals, or a separator of"),
        ("1 234,567", 9, r"1 234,567 has 3 decimals; the billing's kopecks take 2"),
        ("1,234.567", 9, "3 decimals"),
        ("0.123", 5, "3 decimals"),
        ("1,234.50,6", 9, "character 9 is ',' once more"),
        ("1 234,567.80", 6, "in another way than the one before"),
        ("12,34.50", 4, "not a group of thousands"),
        ("1.2.3", 3, "not a group of thousands"),
        ("1e5", 2, "exponent"),
        ("NaN", 1, "not an amount"),
        ("#N/A", 1, "not an amount"),
        ("-Infinity", 2, "not an amount"),
        ("1٢", 2, "digit of another script"),
        ("5 рубли", 3, "Cyrillic letter 'р'"),
        ("5 p.", 3, "Latin letter 'p'"),
        ("5 USD", 3, "Latin letter 'U'"),
        ("5 р. 50", 3, "Cyrillic letter 'р'"),
        ("5 руб.\n", 3, "Cyrillic letter"),
        ("руб.", 1, "'руб.' and no amount"),
        ("(₽)", 2, "and no amount"),
        ("()", 1, "brackets and no amount"),
        ("(5", 1, "brackets that mean a minus"),
        ("-(5)", 2, "brackets that mean a minus"),
        ("(-5)", 2, "brackets that mean a minus"),
        ("5-", 2, "sign"),
        ("--5", 2, "sign"),
        ("- 5", 2, "space"),
        ("5.", 2, "no decimals"),
        (".5", 1, "not preceded by a digit"),
        ("1,,234", 3, "not preceded by a digit"),
        ("12 34", 4, "not a group of thousands"),
        ("1234 567", 1, "not a group of thousands"),
        ("1  234", 3, "space"),
        ("1 .5", 3, "not preceded"),
        ("1,2 3", 4, "space among the decimals"),
        ("1\t234", 2, "invisible"),
        ("1'234", 2, "no place"),
        ("00123", 1, "starts with a zero"),
        ("1" * 13, 1, "absurdly many"),
        ("1" * 400, 41, "400 characters"),
    ],
)
def test_what_is_refused_and_where(text: str, position: int, says: str) -> None:
    with pytest.raises(AmountError, match=says) as refusal:
        parse_amount(text)
    assert refusal.value.position == position
    assert isinstance(refusal.value, BillingError)


def test_a_plus_is_a_sign_and_several_equal_marks_separate_thousands() -> None:
    assert (parse_amount("+7"), parse_amount("1.234.567")) == (Decimal(7), Decimal(1234567))
    with pytest.raises(AmountError, match="three decimals, or a separator of"):
        parse_amount("1,234")


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


def test_the_nearest_are_suggested_sameness_before_likeness() -> None:
    assert nearest("А15", ["Б15", "В15", "А151", "A15"])[0] == "A15"
    assert nearest("ЖЖЖ-777", EXISTING) == []
    # No more than asked for, and none twice.
    assert nearest("1000X", [f"1000{digit}" for digit in range(10)] * 2, n=2) == ["10000", "10001"]
    # Likeness is looked at for the first only.
    search = Search(["20002", "А15", "20003"], compared=1)
    search.offer(EXISTING)
    found = {unknown: [s.contract_number for s in near] for unknown, near in search.found().items()}
    assert found == {"20002": ["20001"], "А15": ["A15"], "20003": []}
