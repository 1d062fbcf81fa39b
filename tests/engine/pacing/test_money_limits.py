from decimal import Decimal

import pytest

from checkpoints.states import State
from engine.pacing.limits import Spending, money_limit
from tests.engine.doubles import A_RUN, MemoryJournal, item


def must_look(spending: Spending) -> bool:
    """A call, so that no checker takes the answer of before for the one of now."""
    return spending.must_look


IN_THE_BILLING = [State.SENDING, State.ACCEPTED, State.APPLIED, State.UNCONFIRMED, State.UNKNOWN, State.MANUAL]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10000", Decimal(10_000)),
        ("10 000,50", Decimal("10000.50")),
        ("0.5", Decimal("0.5")),
        ("0", Decimal(0)),
        ("none", None),
    ],
)
def test_a_limit_is_an_amount(text: str, limit: Decimal | None) -> None:
    assert money_limit(text) == limit


@pytest.mark.parametrize("text", ["", "much", "-1", "10,000", "10.000.000", "1e6", "nan", "1.234"])
def test_what_is_none_or_may_be_meant_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a limit of money"):
        money_limit(text)


async def test_all_that_is_in_the_billing_or_may_be_counts_without_its_sign() -> None:
    kept = [item(number, state=state, amount="-1.10") for number, state in enumerate(State, 1)]
    spending = Spending(lambda: Decimal("8.80"))
    assert must_look(spending)
    await spending.look(A_RUN, MemoryJournal(*kept))
    assert not must_look(spending)
    assert len(IN_THE_BILLING) == 6
    assert spending.fitting([item(1, amount="-1.10")] * 9) == 2


async def test_as_many_go_as_keep_within_the_limit_to_the_kopeck() -> None:
    spending = Spending(lambda: Decimal("4.40"))
    await spending.look(A_RUN, MemoryJournal())
    group = [item(number, amount="-1.10" if number % 2 else "1.10") for number in range(1, 7)]
    assert spending.fitting(group) == 4
    spending.sent(group[:4])
    assert spending.fitting(group[4:]) == 0
    spending.came_out(group[0], State.ACCEPTED)
    spending.came_out(group[1], State.UNKNOWN)
    assert spending.fitting(group[4:]) == 0
    spending.came_out(group[2], State.REJECTED)
    spending.came_out(group[3], State.PENDING)
    assert spending.fitting(group[4:]) == 2


async def test_what_was_sent_without_a_limit_counts_when_there_is_one() -> None:
    limits: list[Decimal | None] = [None]
    spending = Spending(lambda: limits[-1])
    await spending.look(A_RUN, MemoryJournal(item(1, state=State.ACCEPTED)))
    assert spending.fitting([item(1)] * 9) == 9
    spending.sent([item(2), item(3)])
    spending.came_out(item(3), State.REJECTED)
    limits.append(Decimal("3.30"))
    assert spending.fitting([item(4)] * 9) == 1
    spending.forget()
    assert must_look(spending)


async def test_a_limit_below_what_was_sent_is_overdrawn_and_says_so() -> None:
    limits: list[Decimal | None] = [None]
    spending = Spending(lambda: limits[-1])
    await spending.look(A_RUN, MemoryJournal(item(1, state=State.ACCEPTED, amount="-999.50")))
    assert spending.overdrawn(A_RUN) is None
    limits.append(Decimal("999.50"))
    assert spending.overdrawn(A_RUN) is None
    limits.append(Decimal("999.49"))
    assert spending.overdrawn(A_RUN) == (
        "999.50 has been sent or was about to be, and --limit-money is 999.49 now. "
        "`carbon-migrate resume k7m2q --limit-money AMOUNT` goes on with a higher one"
    )
    spending.forget()
    # Whoever does not know how much was sent says nothing of it: the next look does.
    assert spending.overdrawn(A_RUN) is None
