"""The verdict finds what is wrong in doctored books, and nothing in good ones: a row a way to doctor them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, WantedSubscriber, folder_key, step_key
from lab.crash.judge import (
    BookRow,
    Books,
    Effect,
    judge,
    judge_refusal,
    judge_undone,
)

MORE = "and others that follow from it"
MODEL = "FinanceOperations"
AMOUNTS = {1: Decimal("10.50"), 2: Decimal("-3.07"), 3: Decimal("0.01")}
TOTAL = Decimal("7.44")


def row(number: int, state: State = State.APPLIED, **other: Any) -> BookRow:
    return replace(BookRow(number, str(2000 + number), 2000 + number, AMOUNTS[number], state, 1), **other)


def effect(number: int, **other: Any) -> Effect:
    one = Effect(MODEL, number, 2000 + number, AMOUNTS.get(number, Decimal(1)), ("k7m2q", number))
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
    requested={str(2000 + number): amount for number, amount in AMOUNTS.items()},
    rows=ROWS,
    effects=EFFECTS,
    frozen=3,
    sum=TOTAL,
    steps=STEPS,
    verified=0,
    entered=(3, TOTAL),
)
REJECTED: Mapping[str, Any] = {
    "rows": [row(1, State.REJECTED), *ROWS[1:]],
    "effects": EFFECTS[1:],
    "entered": (2, Decimal("-3.06")),
    "verified": 1,
}
DOUBLED: Mapping[str, Any] = {
    "effects": [*EFFECTS, effect(1, request=9, mark=("other", 1))],
    "entered": (4, TOTAL + Decimal("10.50")),
    "others": frozenset({"other"}),
    "racing": frozenset({"2001"}),
    "named": True,
    "verified": 1,
}
# Jobs without marks: payments that may be left to a person, and fields that are set, the first by two requests.
UNMARKED = [replace(one, mark=None) for one in EFFECTS]
ASKED: Mapping[str, Any] = {
    "marked": False,
    "may_ask": True,
    "rows": [row(1), row(2, State.MANUAL), row(3)],
    "effects": UNMARKED,
    "verified": 4,
}
LEFT_OUT: Mapping[str, Any] = {"effects": [UNMARKED[0], UNMARKED[2]], "entered": (2, Decimal("10.51"))}
POOLS = {str(2000 + number): f"pool {number}" for number in (1, 2, 3)}
SET: Mapping[str, Any] = {
    "once": False,
    "marked": False,
    "effects": [replace(one, value=None, mark=None) for one in [*EFFECTS, effect(1, request=9)]],
    "rows": [replace(one, wanted=POOLS[one.key]) for one in ROWS],
    "ends": POOLS,
    "entered": None,
}


def refused(attempts: int, **more: Any) -> Mapping[str, Any]:
    """The first of them is rejected after so many attempts that the journal knows."""
    rows = [replace(SET["rows"][0], state=State.REJECTED, attempts=attempts), *SET["rows"][1:]]
    return {**SET, "rows": rows, "verified": 1, "steps": {("pending", "sending"): attempts + 2}, **more}


WELL: Sequence[Mapping[str, Any]] = (
    {},
    REJECTED,
    DOUBLED,
    {"undone": True, "rows": [row(1), row(2, State.PENDING)]},
    ASKED,
    {**ASKED, **LEFT_OUT},
    SET,
    refused(2),
)


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        *((well, []) for well in WELL),
        (
            {"effects": [*EFFECTS, effect(2, request=9)], "entered": (4, TOTAL - Decimal("3.07"))},
            ["2002: had its effect 2 times (request 2, request 9)", "3 rows accepted, 4 operations", MORE],
        ),
        ({"effects": EFFECTS[1:], "entered": (2, Decimal("-3.06"))}, ["2001: is applied and had no effect", MORE]),
        ({"effects": [*EFFECTS, effect(7, request=9)]}, ["is of no row of the frozen list"]),
        ({"effects": [effect(1, value=Decimal("10.51")), *EFFECTS[1:]]}, ["2001: asked for 10.50, entered 10.51"]),
        ({"effects": [EFFECTS[0], effect(2, subject=2003), EFFECTS[2]]}, ["2002: was entered for 2003, request 2"]),
        *(
            ({"rows": [row(1, state), *ROWS[1:]]}, [f"2001: left {state}, with 1 time (request 1)", MORE])
            for state in (State.PENDING, State.SENDING, State.UNKNOWN, State.MANUAL)
        ),
        ({**REJECTED, "effects": EFFECTS}, ["2001: is rejected and had its effect: 1 time (request 1)"]),
        (
            {"requested": {**GOOD.requested, "9": Decimal(1)}},
            ["9: stands in the input and was never frozen", "4 rows asked, 3 in the sum of all states", MORE],
        ),
        ({"requested": {"2002": AMOUNTS[2]}}, ["2001: was frozen and does not stand in the input", MORE]),
        ({"touched": {"2001": True, "2002": False}}, ["2001: was sent over what somebody else has done"]),
        ({**DOUBLED, "named": False}, ["2001: was entered by another journal as well, and verify does not say it"]),
        ({**DOUBLED, "racing": frozenset()}, ["2001: was entered by another journal as well, long before"]),
        ({"sum": TOTAL + Decimal("0.01")}, ["asked for 7.44, the journal's states add up to 7.45"]),
        ({"entered": (3, TOTAL - Decimal("0.01"))}, ["accepted 7.44, in the billing 7.43"]),
        ({"other_balances": True}, ["verify ended with 0"]),
        ({"verified": 1}, ["verify ended with 1"]),
        ({"steps": {**STEPS, ("unknown", "sending"): 1}}, ["an item went from unknown to sending"]),
        ({"steps": {**STEPS, ("pending", "sending"): 4}}, ["3 attempts in the journal, 4 intents seen"]),
        (refused(1), ["2001: is rejected and had its effect: 2 times (request 1, request 9)"]),
        (refused(1, forgotten=frozenset({"2002"})), ["2001: is rejected and had its effect"]),
        ({**ASKED, "effects": [*UNMARKED, replace(UNMARKED[1], request=9)]}, ["left manual"]),
        ({**ASKED, **LEFT_OUT, "may_ask": False}, ["left manual, with no effect"]),
        ({**SET, "ends": {**POOLS, "2002": None}}, ["2002: asked for pool 2, the billing has None"]),
        ({**SET, "unreadable": True}, ["verify ended with 0"]),
    ],
)
def test_what_is_wrong_in_the_books_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    told = [str(problem) for problem in judge(replace(GOOD, **doctored)).problems]
    assert [one for one in found if one != MORE and not any(one in problem for problem in told)] == [], told
    assert len(told) == len(found) or MORE in found, told


# ---- what imports have besides -------------------------------------------------------------------------------------

NEW = ("Новый город", "Юг")
NUMBER, ACCOUNT, BALANCE = (
    step_key("Н-1", *step) for step in ((Step.SUBSCRIBER,), (Step.ACCOUNT, "n1"), (Step.BALANCE,))
)
THINGS = {NUMBER: "Первый; Новый город/Юг; 3", ACCOUNT: "", BALANCE: "10.00"}
WANTED = {**{folder_key(names): "" for names in (NEW[:1], NEW)}, **THINGS}
ITEMS = [BookRow(0, key, key, wanted, State.ACCEPTED, 1, step=key.split("/")[1]) for key, wanted in WANTED.items()]
REQUESTED = RequestedImport(
    (WantedSubscriber("Н-1", NEW, None, Decimal("10.00"), THINGS),), frozenset(), 3, 0, {}, ("нет счета",)
)
TOTALS = dict.fromkeys((("folder", "Новый город/Юг"), ("tariff", "")), (1, Decimal("10.00")))


def imported(*without: str, state: State = State.ACCEPTED, message: str = "", **doctored: Any) -> Books:
    """An import whose account came to a state, and whose billing does not have some things."""
    rows = [replace(one, state=state, message=message) if one.key == ACCOUNT else one for one in ITEMS]
    held = [Effect("", 0, key, value) for key, value in WANTED.items() if key not in without]
    verified, steps = int(state is State.REJECTED), {("pending", "sending"): len(ITEMS)}
    books = Books("k7m2q", "", once=True, requested=WANTED, rows=rows, effects=held, steps=steps, verified=verified)
    return replace(books, **{"imported": REQUESTED, "refused": 3, "totals": TOTALS, **doctored})


@pytest.mark.parametrize(
    ("books", "found"),
    [
        (imported(), []),
        (imported(ACCOUNT, state=State.REJECTED, message="нет счета для проведения"), []),
        (imported(ACCOUNT), [f"{ACCOUNT}: is accepted and had no effect"]),
        (
            imported(ACCOUNT, state=State.REJECTED, message="лицензия"),
            [f"{ACCOUNT}: is rejected, and nothing is wrong with it: лицензия"],
        ),
        (imported(refused=2), ["faulty rows: 3; refused: 2"]),
        (imported(orphans={"users": 2}), ["2 rows of users are without their subscriber or folder"]),
        (
            imported(totals={**TOTALS, ("tariff", ""): (1, Decimal("9.99"))}),
            ["tariff : subscribers accepted: 1, with 10.00; in the billing: 1, with 9.99"],
        ),
        (
            replace(imported(), requested={key: one for key, one in WANTED.items() if key != BALANCE}),
            [
                f"{BALANCE}: is in the billing, and no row asks for it: 10.00",
                f"{BALANCE}: was frozen and does not stand in the input",
            ],
        ),
    ],
)
def test_what_is_wrong_in_the_books_of_an_import_is_found(books: Books, found: list[str]) -> None:
    assert [str(problem) for problem in judge(books).problems] == found


def test_what_is_left_of_an_import_that_was_taken_back_is_found() -> None:
    left = judge_undone(1, [Effect("", 0, ACCOUNT, "x")], ["users"])
    whats = ["users is not as it was before the import", "is left after the undo: x", "undo ended with 1"]
    assert [problem.what for problem in left] == whats


@pytest.mark.parametrize(
    ("ended", "output", "effects", "found"),
    [
        (2, "the billing's USERS has no column MAC", 0, []),
        (0, "the billing's USERS has no column MAC", 0, ["had to be refused, and ended with 0"]),
        (2, "the billing's USERS has no column IP", 0, ["refused without naming it"]),
        (2, "the billing's USERS has no column MAC", 3, ["the billing has 3 effects"]),
    ],
)
def test_a_load_that_began_or_was_refused_for_nothing_is_found(
    ended: int, output: str, effects: int, found: list[str]
) -> None:
    told = [problem.what for problem in judge_refusal("USERS.MAC", ended, output, effects).problems]
    assert all(part in one for part, one in zip(found, told, strict=True))
