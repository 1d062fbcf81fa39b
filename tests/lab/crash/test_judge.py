"""The verdict finds what is wrong in doctored books, and nothing in good ones: a row a way to doctor them."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from checkpoints.states import State
from lab.crash.judge import BookRow, Books, Effect, judge, judge_refusal

MODEL = "FinanceOperations"
AMOUNTS = {1: "10.50", 2: "-3.07", 3: "0.01"}
TOTAL = Decimal("7.44")


def row(number: int, state: State = State.APPLIED, attempts: int = 1) -> BookRow:
    return BookRow(
        number=number,
        key=str(2000 + number),
        subject=2000 + number,
        wanted=Decimal(AMOUNTS[number]),
        state=state,
        attempts=attempts,
    )


def effect(number: int, request: int = 0, **other: Any) -> Effect:
    one = Effect(MODEL, request or number, 2000 + number, Decimal(AMOUNTS.get(number, "1")), ("k7m2q", number))
    return replace(one, **other)


STEPS: Mapping[tuple[str, str], int] = {
    ("pending", "sending"): 3,
    ("sending", "accepted"): 2,
    ("sending", "unknown"): 1,
    ("unknown", "accepted"): 1,
    ("accepted", "applied"): 3,
}
ROWS = [row(1), row(2), row(3)]
EFFECTS = [effect(1), effect(2), effect(3)]
GOOD = Books(
    run="k7m2q",
    model=MODEL,
    once=True,
    marked=True,
    requested={str(2000 + number): Decimal(text) for number, text in AMOUNTS.items()},
    rows=ROWS,
    effects=EFFECTS,
    frozen=3,
    sum=TOTAL,
    steps=STEPS,
    verified=0,
    entered=(3, TOTAL),
)


def first_is(state: State, attempts: int = 1) -> list[BookRow]:
    return [row(1, state, attempts), *ROWS[1:]]


WITHOUT_FIRST: dict[str, Any] = {"effects": EFFECTS[1:], "entered": (2, Decimal("-3.06"))}
REJECTED = {"rows": first_is(State.REJECTED), **WITHOUT_FIRST, "verified": 1}
TOUCHED = {"touched": {"2001": True, "2002": False}}
DOUBLED = {
    "effects": [*EFFECTS, effect(1, request=9, mark=("other", 1))],
    "entered": (4, TOTAL + Decimal("10.50")),
    "others": frozenset({"other"}),
    "racing": frozenset({"2001"}),
    "named": True,
    "verified": 1,
}
UNDONE = {"undone": True, "rows": [row(1), row(2, State.PENDING)]}

# Jobs without marks: payments that may be left to a person, fields that are set, and what is deleted.
UNMARKED = [replace(one, mark=None) for one in EFFECTS]
ASKED: dict[str, Any] = {
    "marked": False,
    "may_ask": True,
    "rows": [row(1), row(2, State.MANUAL), row(3)],
    "effects": UNMARKED,
    "verified": 4,
}
WITHOUT_SECOND: dict[str, Any] = {"effects": [UNMARKED[0], UNMARKED[2]], "entered": (2, Decimal("10.51"))}
POOLS = {str(2000 + number): f"pool {number}" for number in (1, 2, 3)}
SET: dict[str, Any] = {
    "once": False,
    "marked": False,
    "effects": [replace(one, value=None, mark=None) for one in EFFECTS],
    "rows": [replace(one, wanted=POOLS[one.key]) for one in ROWS],
    "ends": POOLS,
    "entered": None,
}
GONE: dict[str, Any] = SET | {
    "once": True,
    "effects": [replace(one, value="1", mark=None) for one in EFFECTS],
    "rows": [replace(one, wanted="1") for one in ROWS],
    "ends": dict.fromkeys(POOLS, "1"),
}

# Two accounts whose threshold is set, the first by two requests.
REPEATED: dict[str, Any] = {
    "model": "AdminAccounts",
    "once": False,
    "marked": False,
    "requested": {"2001": Decimal(-120), "2002": Decimal(-120)},
    "rows": [
        BookRow(1, "2001", 11, Decimal(-120), State.APPLIED, 2),
        BookRow(2, "2002", 12, Decimal(-120), State.APPLIED, 1),
    ],
    "effects": [Effect("AdminAccounts", number, 11 + number // 3, Decimal(-120)) for number in (1, 2, 3)],
    "frozen": 2,
    "sum": Decimal(0),
    "ends": {"2001": Decimal(-120), "2002": Decimal(-120)},
    "entered": None,
}


def lost_again(attempts: int, steps: int, **more: Any) -> dict[str, Any]:
    """The first of them is rejected after so many attempts that the journal knows."""
    first, second = REPEATED["rows"]
    rows = [replace(first, state=State.REJECTED, attempts=attempts), second]
    return REPEATED | {"rows": rows, "verified": 1, "steps": {("pending", "sending"): steps}} | more


WELL: tuple[Mapping[str, Any], ...] = (
    {},
    REJECTED,
    DOUBLED,
    UNDONE,
    REPEATED,
    lost_again(2, 3),
    ASKED,
    ASKED | WITHOUT_SECOND,
    SET,
    GONE,
)
"""Books in which all is well."""


MORE = "and others that follow from it"


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        (
            {"effects": [*EFFECTS, effect(2, request=9)], "entered": (4, TOTAL - Decimal("3.07"))},
            [
                "2002: had its effect 2 times (request 2, request 9)",
                "3 rows accepted, 4 operations in the billing",
                MORE,
            ],
        ),
        (WITHOUT_FIRST, ["2001: is applied and had no effect", MORE]),
        ({"effects": [*EFFECTS, effect(7, request=9)]}, ["is of no row of the frozen list"]),
        ({"effects": [effect(1, value=Decimal("10.51")), *EFFECTS[1:]]}, ["2001: asked for 10.50, entered 10.51"]),
        ({"effects": [EFFECTS[0], effect(2, subject=2003), EFFECTS[2]]}, ["2002: was entered for 2003, request 2"]),
        *(
            ({"rows": first_is(state)}, [f"2001: left {state}, with 1 time (request 1)", MORE])
            for state in (State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL)
        ),
        (REJECTED | {"effects": EFFECTS}, ["2001: is rejected and had its effect: 1 time (request 1)"]),
        (
            {"requested": {**GOOD.requested, "9": Decimal(1)}},
            ["9: stands in the input and was never frozen", "4 rows asked, 3 in the sum of all states", MORE],
        ),
        (
            {"requested": {"2002": Decimal("-3.07"), "2003": Decimal("0.01")}},
            ["2001: was frozen and does not stand in the input", MORE],
        ),
        (TOUCHED, ["2001: was sent over what somebody else has done since the list was made"]),
        (
            DOUBLED | {"named": False},
            ["2001: was entered by another journal as well, and verify does not say it"],
        ),
        (
            DOUBLED | {"racing": frozenset()},
            ["2001: was entered by another journal as well, long before it was sent"],
        ),
        ({"sum": TOTAL + Decimal("0.01")}, ["asked for 7.44, the journal's states add up to 7.45"]),
        ({"entered": (3, TOTAL - Decimal("0.01"))}, ["accepted 7.44, in the billing 7.43"]),
        ({"other_balances": True}, ["verify ended with 0"]),
        ({"verified": 1}, ["verify ended with 1"]),
        ({"steps": {**STEPS, ("unknown", "sending"): 1}}, ["an item went from unknown to sending"]),
        ({"steps": {**STEPS, ("pending", "sending"): 4}}, ["3 attempts in the journal, 4 intents seen"]),
        (REPEATED | {"ends": {"2001": Decimal(-120)}}, ["2002: asked for -120, the billing has None"]),
        (lost_again(1, 2), ["2001: is rejected and had its effect: 2 times (request 1, request 2)"]),
        (lost_again(1, 2, forgotten=frozenset({"2002"})), ["2001: is rejected and had its effect"]),
        (lost_again(1, 2, forgotten=frozenset({"2001"}), once=True), ["2001: "]),
        (ASKED | {"effects": [*UNMARKED, replace(UNMARKED[1], request=9)]}, ["left manual"]),
        *((well, []) for well in WELL),
        (ASKED | WITHOUT_SECOND | {"may_ask": False}, ["left manual, with no effect"]),
        (ASKED | WITHOUT_SECOND | {"rows": ROWS, "verified": 0}, ["had no effect", MORE]),
        (SET | {"ends": {**POOLS, "2002": "pool 7"}}, ["2002: asked for pool 2, the billing has pool 7"]),
        (SET | {"ends": {**POOLS, "2002": None}}, ["2002: asked for pool 2, the billing has None"]),
        (SET | {"unreadable": True, "verified": 0}, ["verify ended with 0"]),
        (SET | {"unreadable": True, "verified": 1}, ["verify ended with 1"]),
        (GONE | {"ends": {**GONE["ends"], "2003": "0"}}, ["2003: asked for 1, the billing has 0"]),
    ],
)
def test_what_is_wrong_in_the_books_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    told = [str(problem) for problem in judge(replace(GOOD, **doctored)).problems]
    assert [one for one in found if one != MORE and not any(one in problem for problem in told)] == [], told
    assert len(told) == len(found) or MORE in found, told


REFUSED = ("USERS.MAC", 2, "the billing's USERS has no column MAC", 0)


@pytest.mark.parametrize(
    ("refused", "problems"),
    [
        (REFUSED, []),
        ((REFUSED[0], 0, *REFUSED[2:]), ["had to be refused, and ended with 0"]),
        ((*REFUSED[:2], "the billing's USERS has no column IP", 0), ["refused without naming it"]),
        ((*REFUSED[:3], 3), ["the billing has 3 effects"]),
    ],
)
def test_a_load_that_began_or_was_refused_for_nothing_is_found(
    refused: tuple[str, int, str, int], problems: list[str]
) -> None:
    found = [problem.what for problem in judge_refusal(*refused).problems]
    assert len(found) == len(problems)
    assert all(part in one for part, one in zip(problems, found, strict=True))
