from decimal import Decimal

import pytest

from engine.pacing.limits import LAST, LEAST, ErrorBudget, ErrorLimit, Percent, error_limit


def budget_of(outcomes: str) -> ErrorBudget:
    """A budget after rows that came out right (`.`) and wrong (`x`)."""
    budget = ErrorBudget()
    for outcome in outcomes:
        budget.add(wrong=outcome == "x")
    return budget


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("50", 50),
        (" 1 ", 1),
        ("1%", Percent(Decimal(1))),
        ("0.5%", Percent(Decimal("0.5"))),
        ("2,25 %", Percent(Decimal("2.25"))),
        ("0%", Percent(Decimal(0))),
        ("0", None),
        ("never", None),
    ],
)
def test_a_limit_is_a_number_or_a_share(text: str, limit: ErrorLimit | None) -> None:
    assert error_limit(text) == limit


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "%", "-1%", "100%", "101%", "nan%", "1e3", "5 rows", "٣"])
def test_what_is_none_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit of errors") as refused:
        error_limit(text)
    assert repr(text) in str(refused.value)


def test_a_number_is_spent_when_it_is_reached_from_the_first_row_on() -> None:
    assert budget_of("xx").spent(3) is None
    assert budget_of("xxx").spent(3) == "3 rows went wrong"
    assert budget_of("." * 5000 + "x.x.x").spent(3) == "3 rows went wrong"
    assert budget_of("x").spent(1) == "1 row went wrong"


def test_a_share_says_nothing_before_so_many_rows_have_an_outcome() -> None:
    one = Percent(Decimal(1))
    assert budget_of("x" * (LEAST - 1)).spent(one) is None
    assert budget_of("x" * LEAST).spent(one) == "100 of 100 rows went wrong"


@pytest.mark.parametrize(("wrong", "of", "spent"), [(1, 100, False), (2, 100, True), (5, 500, False), (6, 500, True)])
def test_a_share_is_spent_when_it_is_passed_in_the_first_thousand_too(wrong: int, of: int, spent: bool) -> None:
    budget = budget_of("x" * wrong + "." * (of - wrong))
    assert (budget.spent(Percent(Decimal(1))) is not None) == spent


def test_a_run_that_goes_wrong_late_is_seen_in_its_last_rows() -> None:
    one = Percent(Decimal(1))
    assert budget_of("." * 100_000 + "x" * 10).spent(one) is None
    assert budget_of("." * 100_000 + "x" * 11).spent(one) == "11 of the last 1000 rows went wrong"


def test_errors_of_long_ago_count_no_longer_among_the_last() -> None:
    budget = budget_of("." * 2000 + "x" * 9 + "." * LAST + "x" * 9)
    assert budget.spent(Percent(Decimal(1))) is None
    assert budget._wrong_of_last == 9
