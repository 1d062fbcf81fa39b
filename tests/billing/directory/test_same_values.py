"""Values are compared by what they are: money as numbers, dates as moments, addresses as addresses."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.directory.values import same_value, same_values

AMOUNTS = st.decimals("-99999999.99", "99999999.99", places=2)


@given(amount=AMOUNTS, zeros=st.integers(0, 8), other=AMOUNTS)
def test_money_is_the_same_however_many_zeros_it_ends_in(amount: Decimal, zeros: int, other: Decimal) -> None:
    text = f"{amount:f}{'0' * zeros}"
    assert same_value("balance", text, f"{amount.normalize():f}")
    assert same_value("op_summa", text, f"{other:f}") == (amount == other)


@given(moment=st.datetimes())
def test_a_moment_is_the_same_however_it_is_written(moment: object) -> None:
    written = str(moment)
    assert same_value("next_date", written, written.replace(" ", "T"))


@pytest.mark.parametrize(
    ("field", "one", "other", "is_same"),
    [
        ("need_recalc", "2026-03-01", "2026-03-01 00:00:00", True),
        ("time_del", "2026-03-01T00:00:00", "2026-03-01", True),
        ("time_del", "2026-03-01 00:00:01", "2026-03-01", False),
        ("limit", "-459.90", "-459.9", True),
        ("limit", "-459.90", "-459.91", False),
        ("limit", "0", "-0.00", True),
        ("limit", "0", None, False),
        ("limit", None, None, True),
        ("limit", "n/a", "5", False),
        ("limit", "n/a", "n/a", True),
        ("need_recalc", "soon", "2026-03-01", False),
        # A contract number is a text, and no number.
        ("contract_number", "00123", "123", False),
        ("attribute_value", "50.50", "50.5", False),
    ],
)
def test_the_kind_of_a_field_decides(field: str, one: str | None, other: str | None, *, is_same: bool) -> None:
    assert same_value(field, one, other) is is_same
    assert same_value(field, other, one) is is_same


def test_objects_are_the_same_where_all_their_fields_are() -> None:
    assert same_values({"limit": "5", "pull": "6"}, {"pull": "6", "limit": "5.00"})
    assert not same_values({"limit": "5"}, {"limit": "5", "pull": None})
