"""The verdict finds what is wrong in doctored books, and nothing in good ones."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from checkpoints.states import State
from lab.crash.judge import BookRow, Books, LedgerEffect, RefusedLoad, judge, judge_refusal

MODEL = "FinanceOperations"
AMOUNTS = {1: "10.50", 2: "-3.07", 3: "0.01"}
TOTAL = Decimal("7.44")


def row(number: int, state: State = State.APPLIED, attempts: int = 1) -> BookRow:
    return BookRow(
        number=number,
        key=str(2000 + number),
        label=f"abonent {2000 + number}",
        subject=2000 + number,
        wanted=Decimal(AMOUNTS[number]),
        state=state,
        attempts=attempts,
    )


def effect(number: int, request: int = 0, run: str = "k7m2q") -> LedgerEffect:
    return LedgerEffect(MODEL, request or number, 2000 + number, Decimal(AMOUNTS.get(number, "1")), (run, number))


STEPS: Mapping[tuple[str, str], int] = {
    ("pending", "sending"): 3,
    ("sending", "accepted"): 2,
    ("sending", "unknown"): 1,
    ("unknown", "accepted"): 1,
    ("accepted", "applied"): 3,
}

GOOD = Books(
    run="k7m2q",
    model=MODEL,
    once=True,
    marked=True,
    requested={str(2000 + number): Decimal(text) for number, text in AMOUNTS.items()},
    rows=[row(1), row(2), row(3)],
    effects=[effect(1), effect(2), effect(3)],
    frozen=3,
    sum=TOTAL,
    steps=STEPS,
    verified=0,
    entered=(3, TOTAL),
)


def test_good_books_have_no_problem() -> None:
    verdict = judge(GOOD)
    assert verdict.problems == ()
    assert (verdict.once, verdict.twice, verdict.lost, verdict.foreign) == (3, 0, 0, 0)
    assert (verdict.attempts, verdict.unknown, verdict.found) == (3, 1, 1)


def test_an_effect_twice_is_found() -> None:
    verdict = judge(
        replace(GOOD, effects=[*GOOD.effects, effect(2, request=9)], entered=(4, TOTAL - Decimal("3.07")))
    )
    assert (verdict.once, verdict.twice) == (2, 1)
    told = [str(problem) for problem in verdict.problems]
    assert "2002: had its effect 2 times (requests 2, 9)" in told
    assert "3 rows accepted, 4 operations in the billing" in told


def test_an_effect_that_is_lost_is_found() -> None:
    verdict = judge(replace(GOOD, effects=GOOD.effects[1:], entered=(2, TOTAL - Decimal("10.50"))))
    assert (verdict.once, verdict.lost) == (2, 1)
    assert "2001: is applied and had no effect" in [str(problem) for problem in verdict.problems]


@pytest.mark.parametrize("stranger", [effect(7, request=9), effect(1, request=9, run="other")])
def test_an_effect_of_no_row_is_found(stranger: LedgerEffect) -> None:
    verdict = judge(replace(GOOD, effects=[*GOOD.effects, stranger]))
    assert (verdict.foreign, verdict.twice) == (1, 0)
    assert any("is of no row of the frozen list" in problem.what for problem in verdict.problems)


def test_an_effect_on_another_model_is_found() -> None:
    verdict = judge(replace(GOOD, effects=[*GOOD.effects, replace(effect(1, request=9), model="Users", mark=None)]))
    assert verdict.foreign == 1


def test_an_effect_without_a_mark_is_found() -> None:
    verdict = judge(replace(GOOD, effects=[replace(effect(1), mark=None), *GOOD.effects[1:]]))
    assert (verdict.lost, verdict.foreign) == (1, 1)


def test_a_wrong_amount_and_a_wrong_subscriber_are_found() -> None:
    wrong = [replace(effect(1), value=Decimal("10.51")), replace(effect(2), subject=2003), effect(3)]
    told = [str(problem) for problem in judge(replace(GOOD, effects=wrong)).problems]
    assert told[:2] == ["2001: asked for 10.50, entered 10.51", "2002: was entered for 2003, request 2"]


@pytest.mark.parametrize("state", [State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL])
def test_what_is_left_open_is_found(state: State) -> None:
    verdict = judge(replace(GOOD, rows=[row(1, state), row(2), row(3)]))
    assert f"2001: left {state}, with 1 time (request 1)" in [str(problem) for problem in verdict.problems]


def test_a_rejected_row_is_well_without_an_effect_and_only_then() -> None:
    rows = [row(1, State.REJECTED), row(2), row(3)]
    without = replace(GOOD, rows=rows, effects=GOOD.effects[1:], verified=1, entered=(2, Decimal("-3.06")))
    assert judge(without).problems == ()
    with_effect = judge(replace(without, effects=GOOD.effects))
    assert "2001: is rejected and had its effect: 1 time (request 1)" in [str(one) for one in with_effect.problems]


def test_rows_that_were_never_frozen_or_never_asked_for_are_found() -> None:
    told = [str(one) for one in judge(replace(GOOD, requested={**GOOD.requested, "9": Decimal(1)})).problems]
    assert "9: stands in the input and was never frozen" in told
    assert "4 rows asked, 3 in the sum of all states" in told
    fewer = {key: amount for key, amount in GOOD.requested.items() if key != "2001"}
    told = [str(one) for one in judge(replace(GOOD, requested=fewer)).problems]
    assert "2001: was frozen and does not stand in the input" in told


def test_a_row_that_a_stranger_has_overtaken_must_not_be_sent() -> None:
    touched = replace(GOOD, touched={"2001": True, "2002": False})
    assert [str(one) for one in judge(touched).problems] == [
        "2001: was sent over what somebody else has done since the list was made"
    ]
    left = [row(1, State.MANUAL), row(2), row(3)]
    asked = replace(touched, rows=left, effects=GOOD.effects[1:], verified=4, entered=(2, Decimal("-3.06")))
    assert judge(asked).problems == ()
    assert judge(asked).asked == 1


def test_of_two_journals_only_what_was_being_sent_may_be_doubled_and_verify_names_it() -> None:
    theirs = replace(effect(1, request=9), mark=("other", 1))
    doubled = replace(
        GOOD,
        effects=[*GOOD.effects, theirs],
        entered=(4, TOTAL + Decimal("10.50")),
        others=frozenset({"other"}),
        racing=frozenset({"2001"}),
        named=True,
        verified=1,
    )
    assert judge(doubled).problems == ()
    assert [str(one) for one in judge(replace(doubled, named=False)).problems] == [
        "2001: was entered by another journal as well, and verify does not say it"
    ]
    late = judge(replace(doubled, racing=frozenset()))
    assert late.twice == 1
    assert [str(one) for one in late.problems] == [
        "2001: was entered by another journal as well, long before it was sent"
    ]


def test_a_run_that_was_taken_back_has_no_row_twice() -> None:
    undone = replace(GOOD, undone=True, rows=[row(1), row(2, State.PENDING)])
    assert judge(undone).problems == ()
    twice = judge(replace(undone, effects=[*GOOD.effects, effect(1, request=9)]))
    assert twice.twice == 1


def test_sums_are_held_to_the_kopeck() -> None:
    told = [str(one) for one in judge(replace(GOOD, sum=TOTAL + Decimal("0.01"), entered=(3, TOTAL))).problems]
    assert told == ["asked for 7.44, the journal's states add up to 7.45"]
    told = [str(one) for one in judge(replace(GOOD, entered=(3, TOTAL - Decimal("0.01")))).problems]
    assert told == ["accepted 7.44, in the billing 7.43"]


def test_balances_that_come_out_otherwise_have_to_be_seen_by_verify() -> None:
    adds = replace(GOOD, other_balances=True)
    assert [str(one) for one in judge(adds).problems] == ["verify ended with 0"]
    assert judge(replace(adds, verified=1)).problems == ()


def test_verify_and_the_way_there_are_looked_at() -> None:
    assert [str(one) for one in judge(replace(GOOD, verified=1)).problems] == ["verify ended with 1"]
    steps = {**STEPS, ("unknown", "sending"): 1}
    assert "an item went from unknown to sending" in [str(one) for one in judge(replace(GOOD, steps=steps)).problems]
    told = [str(one) for one in judge(replace(GOOD, steps={**STEPS, ("pending", "sending"): 4})).problems]
    assert told == ["3 attempts in the journal, 4 intents seen"]


REPEATABLE = Books(
    run="k7m2q",
    model="AdminAccounts",
    once=False,
    requested={"2001": Decimal(-120), "2002": Decimal(-120)},
    rows=[
        BookRow(1, "2001", "abonent 2001", 11, Decimal(-120), State.APPLIED, 2),
        BookRow(2, "2002", "abonent 2002", 12, Decimal(-120), State.APPLIED, 1),
    ],
    effects=[LedgerEffect("AdminAccounts", request, 11, Decimal(-120)) for request in (1, 2)]
    + [LedgerEffect("AdminAccounts", 3, 12, Decimal(-120))],
    frozen=2,
    sum=Decimal(0),
    steps={("pending", "sending"): 3},
    verified=0,
    ends={"2001": Decimal(-120), "2002": Decimal(-120)},
)


def test_what_may_be_repeated_may_be_there_twice_but_must_end_right() -> None:
    verdict = judge(REPEATABLE)
    assert (verdict.problems, verdict.once, verdict.twice, verdict.repeated) == ((), 2, 0, 1)
    wrong = judge(replace(REPEATABLE, ends={"2001": Decimal(-120), "2002": None}))
    assert [str(one) for one in wrong.problems] == ["2002: asked for -120, the billing has None"]
    lost = judge(replace(REPEATABLE, effects=REPEATABLE.effects[:2]))
    assert lost.lost == 1


def test_what_may_be_repeated_may_be_rejected_after_an_effect_whose_answer_was_lost() -> None:
    first, second = REPEATABLE.rows
    rejected = replace(first, state=State.REJECTED)
    books = replace(REPEATABLE, rows=[rejected, second], verified=1)
    assert judge(books).problems == ()
    at_once = judge(replace(books, rows=[replace(rejected, attempts=1), second], steps={("pending", "sending"): 2}))
    assert "2001: is rejected and had its effect: 2 times (requests 1, 2)" in [str(one) for one in at_once.problems]


def test_an_attempt_that_a_restored_copy_does_not_know_may_have_had_its_effect() -> None:
    first, second = REPEATABLE.rows
    again = [replace(first, state=State.REJECTED, attempts=1), second]
    books = replace(REPEATABLE, rows=again, verified=1, steps={("pending", "sending"): 2})
    assert judge(books).problems
    assert judge(replace(books, forgotten=frozenset({first.key}))).problems == ()
    assert judge(replace(books, forgotten=frozenset({second.key}))).problems
    assert judge(replace(books, forgotten=frozenset({first.key}), once=True)).problems


# ---- jobs that create no operations ------------------------------------------------------------------------------


def asked_row(state: State, *effects: LedgerEffect, verified: int = 4) -> Books:
    """Payments, one of them left to a person: they bear no mark, and are known by their subscriber."""
    rows = [row(1), row(2, state), row(3)]
    there = [replace(effect(1), mark=None), *effects, replace(effect(3), mark=None)]
    total = sum((one.value for one in there if isinstance(one.value, Decimal)), Decimal(0))
    return replace(
        GOOD, rows=rows, effects=there, marked=False, may_ask=True, verified=verified, entered=(len(there), total)
    )


def test_a_payment_may_be_left_to_a_person_whether_it_is_there_or_not() -> None:
    there = replace(effect(2), mark=None)
    for books in (asked_row(State.MANUAL, there), asked_row(State.MANUAL)):
        verdict = judge(books)
        assert verdict.problems == ()
        assert (verdict.once, verdict.asked, verdict.twice, verdict.lost) == (2, 1, 0, 0)


def test_a_payment_that_is_there_twice_is_found_whoever_is_asked() -> None:
    there = replace(effect(2), mark=None)
    verdict = judge(asked_row(State.MANUAL, there, replace(there, request=9)))
    assert verdict.twice == 1
    assert any("left manual" in problem.what for problem in verdict.problems)
    lost = judge(asked_row(State.APPLIED, verified=0))
    assert lost.lost == 1
    assert any("had no effect" in problem.what for problem in lost.problems)


def test_a_row_may_be_left_to_a_person_only_where_the_job_asks() -> None:
    books = replace(asked_row(State.MANUAL), may_ask=False)
    assert any("left manual, with no effect" in problem.what for problem in judge(books).problems)


SET = replace(
    GOOD,
    once=False,
    marked=False,
    effects=[LedgerEffect(MODEL, number, 2000 + number, None) for number in (1, 2, 3)],
    rows=[replace(row(number), wanted=f"pool {number}") for number in (1, 2, 3)],
    ends={str(2000 + number): f"pool {number}" for number in (1, 2, 3)},
    entered=None,
)


def test_what_was_set_is_held_against_what_there_is() -> None:
    assert judge(SET).problems == ()
    (problem,) = judge(replace(SET, ends={**SET.ends, "2002": "pool 7"})).problems
    assert str(problem) == "2002: asked for pool 2, the billing has pool 7"
    (problem,) = judge(replace(SET, ends={**SET.ends, "2002": None})).problems
    assert "the billing has None" in problem.what


def test_what_is_deleted_is_deleted_once_and_stays_so() -> None:
    gone = replace(
        SET,
        once=True,
        effects=[LedgerEffect(MODEL, number, 2000 + number, "1") for number in (1, 2, 3)],
        rows=[replace(row(number), wanted="1") for number in (1, 2, 3)],
        ends={str(2000 + number): "1" for number in (1, 2, 3)},
    )
    assert judge(gone).problems == ()
    (problem,) = judge(replace(gone, ends={**gone.ends, "2003": "0"})).problems
    assert str(problem) == "2003: asked for 1, the billing has 0"
    assert judge(replace(gone, effects=[*gone.effects, LedgerEffect(MODEL, 9, 2003, "1")])).twice == 1


def test_what_cannot_be_read_back_has_to_be_said_so() -> None:
    assert judge(replace(SET, unreadable=True, verified=4)).problems == ()
    for code in (0, 1):
        (problem,) = judge(replace(SET, unreadable=True, verified=code)).problems
        assert problem.what == f"verify ended with {code}"


# ---- a load that must not begin ----------------------------------------------------------------------------------

REFUSED = RefusedLoad("USERS.MAC", 2, "the billing's USERS has no column MAC", 0)


def test_a_load_that_was_refused_for_its_column_without_effect_is_well() -> None:
    assert judge_refusal(REFUSED).problems == ()


@pytest.mark.parametrize(
    ("refused", "problem"),
    [
        (replace(REFUSED, exit=0), "had to be refused, and ended with 0"),
        (replace(REFUSED, said="the billing's USERS has no column IP"), "refused without naming it"),
        (replace(REFUSED, effects=3), "the billing has 3 effects"),
    ],
)
def test_a_load_that_began_or_was_refused_for_nothing_is_found(refused: RefusedLoad, problem: str) -> None:
    (found,) = judge_refusal(refused).problems
    assert problem in found.what
