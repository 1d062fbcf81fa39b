"""The verdict finds what is wrong in doctored books, and nothing in good ones: a row a way to doctor them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.judge import (
    OF_IMPORTS,
    BookRow,
    Books,
    CallSeen,
    Dealt,
    Effect,
    Sending,
    TakeUp,
    judge,
    judge_refusal,
    judge_undone,
)
from lab.crash.load import RequestedImport, RequestedLoad, folder_key, step_key
from lab.crash.plan import Target, What, draw_round
from lab.crash.trials import By, Trial

MORE = "and others that follow from it"
MODEL = "FinanceOperations"
AMOUNTS = {1: Decimal("10.50"), 2: Decimal("-3.07"), 3: Decimal("0.01")}
TOTAL = Decimal("7.44")


def row(number: int, state: State = State.APPLIED, **other: Any) -> BookRow:
    mark, subject = ("k7m2q", number), 2000 + number
    return replace(BookRow(str(subject), mark, subject, AMOUNTS[number], state, 1), **other)


def effect(number: int, **other: Any) -> Effect:
    one = Effect(MODEL, number, ("k7m2q", number), 2000 + number, AMOUNTS.get(number, Decimal(1)))
    return replace(one, **other)


def told_by_subject(things: Sequence[Any]) -> list[Any]:
    return [replace(one, name=one.subject) for one in things]


STEPS: Mapping[tuple[str, str], int] = {
    ("pending", "sending"): 3,
    ("sending", "accepted"): 2,
    ("sending", "unknown"): 1,
    ("unknown", "accepted"): 1,
    ("accepted", "applied"): 3,
}
ROWS = [row(1), row(2), row(3)]
EFFECTS = [effect(1), effect(2), effect(3)]
MARKED = Trial("ours", MODEL, "", (), by=By.MARK, once=True)
ASKED_FOR = RequestedLoad((), {str(2000 + number): amount for number, amount in AMOUNTS.items()}, {})
GOOD = Books(
    trial=MARKED,
    requested=ASKED_FOR,
    rows=ROWS,
    effects=EFFECTS,
    frozen=(3, TOTAL),
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
    "rows": [row(1, racing=True), *ROWS[1:]],
    "effects": [*EFFECTS, effect(1, request=9, name=("other", 1))],
    "entered": (4, TOTAL + Decimal("10.50")),
    "others": {"other"},
    "named": True,
    "verified": 1,
}
# Jobs without marks: payments that may be left to a person, and fields that are set, the first by two requests.
UNMARKED = told_by_subject(EFFECTS)
UNTOLD = replace(MARKED, by=By.SUBJECT)
ASKED: Mapping[str, Any] = {
    "trial": replace(UNTOLD, may_ask=True),
    "rows": told_by_subject([row(1), row(2, State.MANUAL), row(3)]),
    "effects": UNMARKED,
    "verified": 4,
}
LEFT_OUT: Mapping[str, Any] = {"effects": [UNMARKED[0], UNMARKED[2]], "entered": (2, Decimal("10.51"))}
POOLS = {str(2000 + number): f"pool {number}" for number in (1, 2, 3)}
SETTING = replace(UNTOLD, once=False)
SET: Mapping[str, Any] = {
    "trial": SETTING,
    "effects": [replace(one, value=None) for one in told_by_subject([*EFFECTS, effect(1, request=9)])],
    "rows": [replace(one, wanted=POOLS[one.key]) for one in told_by_subject(ROWS)],
    "ends": POOLS,
    "entered": None,
}


def refused(attempts: int, *, forgotten: bool = False) -> Mapping[str, Any]:
    """The first of them is rejected after so many attempts that the journal knows."""
    rejected = replace(SET["rows"][0], state=State.REJECTED, attempts=attempts, forgotten=forgotten)
    rows = [rejected, *SET["rows"][1:]]
    return {**SET, "rows": rows, "verified": 1, "steps": {("pending", "sending"): attempts + 2}}


WELL: Sequence[Mapping[str, Any]] = (
    {},
    REJECTED,
    DOUBLED,
    {"undone": True, "rows": [row(1), row(2, State.PENDING)]},
    ASKED,
    {**ASKED, **LEFT_OUT},
    SET,
    refused(2),
    refused(1, forgotten=True),
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
            {"requested": replace(ASKED_FOR, wanted={**ASKED_FOR.wanted, "9": Decimal(1)})},
            ["9: stands in the input and was never frozen", "4 rows asked, 3 in the sum of all states", MORE],
        ),
        (
            {"requested": replace(ASKED_FOR, wanted={"2002": AMOUNTS[2]})},
            ["2001: was frozen and does not stand in the input", MORE],
        ),
        (
            {"rows": [row(1, touched=True), row(2, touched=False), row(3)]},
            ["2001: was sent over what somebody else has done"],
        ),
        ({**DOUBLED, "named": False}, ["2001: was entered by another journal as well, and verify does not say it"]),
        (
            {**DOUBLED, "rows": ROWS},
            ["2001: was entered by another journal as well, long before"],
        ),
        ({"frozen": (3, TOTAL + Decimal("0.01"))}, ["asked for 7.44, the journal's states add up to 7.45"]),
        ({"entered": (3, TOTAL - Decimal("0.01"))}, ["accepted 7.44, in the billing 7.43"]),
        ({"other_balances": True}, ["verify ended with 0"]),
        ({"verified": 1}, ["verify ended with 1"]),
        ({"steps": {**STEPS, ("unknown", "sending"): 1}}, ["an item went from unknown to sending"]),
        ({"steps": {**STEPS, ("pending", "sending"): 4}}, ["3 attempts in the journal, 4 intents seen"]),
        (refused(1), ["2001: is rejected and had its effect: 2 times (request 1, request 9)"]),
        ({**ASKED, "effects": [*UNMARKED, replace(UNMARKED[1], request=9)]}, ["left manual"]),
        ({**ASKED, **LEFT_OUT, "trial": UNTOLD}, ["left manual, with no effect"]),
        ({**SET, "ends": {**POOLS, "2002": None}}, ["2002: asked for pool 2, the billing has None"]),
        ({**SET, "trial": replace(SETTING, unreadable=True)}, ["verify ended with 0"]),
    ],
)
def test_what_is_wrong_in_the_books_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    told = [problem.text for problem in judge(replace(GOOD, **doctored))[1]]
    assert [one for one in found if one != MORE and not any(one in problem for problem in told)] == [], told
    assert len(told) == len(found) or MORE in found, told


# ---- what imports have besides -------------------------------------------------------------------------------------

NEW = ("Новый город", "Юг")
NUMBER, ACCOUNT, BALANCE = (
    step_key("Н-1", *step) for step in ((Step.SUBSCRIBER,), (Step.ACCOUNT, "n1"), (Step.BALANCE,))
)
THINGS = {NUMBER: "Первый; Новый город/Юг; 3", ACCOUNT: "", BALANCE: "10.00"}
WANTED = {**{folder_key(names): "" for names in (NEW[:1], NEW)}, **THINGS}
ITEMS = [BookRow(key, key, key, wanted, State.ACCEPTED, 1, step=key.split("/")[1]) for key, wanted in WANTED.items()]
REQUESTED = RequestedLoad((), WANTED, {}, imported=RequestedImport(3, 0, {}, ("нет счета",)))


def imported(*without: str, state: State = State.ACCEPTED, message: str = "", **doctored: Any) -> Books:
    """An import whose account came to a state, and whose billing does not have some things."""
    rows = [replace(one, state=state, message=message) if one.key == ACCOUNT else one for one in ITEMS]
    held = [Effect("", 0, key, key, value) for key, value in WANTED.items() if key not in without]
    verified, steps = int(state is State.REJECTED), {("pending", "sending"): len(ITEMS)}
    books = Books(OF_IMPORTS, REQUESTED, rows=rows, effects=held, steps=steps, verified=verified)
    return replace(books, **{"refused": 3, "balances": {"Н-1": Decimal(10)}, **doctored})


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
            imported(balances={"Н-1": Decimal("9.99")}),
            ["Н-1: the balance is 9.99, and 10.00 was entered"],
        ),
        (
            replace(imported(), rows=[one for one in ITEMS if one.key != BALANCE], steps={("pending", "sending"): 4}),
            [
                f"{BALANCE}: is in the billing, and no row asks for it: 10.00",
                f"{BALANCE}: stands in the input and was never frozen",
                "Н-1: the balance is 10.00, and 0.00 was entered",
            ],
        ),
    ],
)
def test_what_is_wrong_in_the_books_of_an_import_is_found(books: Books, found: list[str]) -> None:
    assert [problem.text for problem in judge(books)[1]] == found


def test_what_is_left_of_an_import_that_was_taken_back_is_found() -> None:
    left = judge_undone(1, ["users"])
    whats = ["users is not as it was before the import", "undo ended with 1"]
    assert [problem.what for problem in left] == whats


@pytest.mark.parametrize(
    ("ended", "column", "effects", "holds"),
    [(2, "MAC", 0, True), (0, "MAC", 0, False), (2, "IP", 0, False), (2, "MAC", 3, False)],
)
def test_a_load_that_began_or_was_refused_for_nothing_is_found(
    ended: int, column: str, effects: int, holds: bool
) -> None:
    refusal = judge_refusal("USERS.MAC", ended, f"the billing's USERS has no column {column}", effects)
    assert holds is not any("USERS.MAC: the load had to be refused" in one.text for one in refusal)


# ---- what fleets have besides --------------------------------------------------------------------------------------

PLAN = replace(draw_round(1), lease=3.0, stalled_after=5.0, rate=40, in_flight=4, slack=2.0)
RUN = 7
KILL = Dealt(What.KILL, Target.ALL, "w1", 100.0, 100.0, frozenset({RUN}))
TAKE_UPS = (TakeUp(RUN, 2, "w1", 11, 90.0), TakeUp(RUN, 3, "w2", 12, 106.0))


def calls(*moments: float, by: str = "w1", writes: bool = True, lasting: float = 0.01) -> list[CallSeen]:
    return [CallSeen(by, writes, moment, moment, moment + lasting) for moment in moments]


FIRST, SECOND = calls(91.0, 100.0), calls(110.0, 120.0, by="w2")
AT_ONCE = calls(*(130 + number / 1000 for number in range(46)), by="w2", lasting=0.0005)


def of_a_fleet(
    *more: CallSeen,
    books: Books = GOOD,
    seen: Sequence[CallSeen] = (*FIRST, *SECOND),
    take_ups: Sequence[TakeUp] = TAKE_UPS,
    offences: Sequence[str] = (),
    dealt: Sequence[Dealt] = (KILL,),
) -> list[str]:
    sent = Sending("b01", RUN, PLAN, [*seen, *more], take_ups, offences, dealt)
    return [one.text for one in judge(replace(books, verified=None, sending=sent))[1]]


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (of_a_fleet(*calls(*[125.0] * 4, by="w2"), *AT_ONCE[:45]), None),
        (
            of_a_fleet(books=replace(GOOD, effects=[*EFFECTS, effect(1, request=9)])),
            "2001: had its effect 2 times",
        ),
        (of_a_fleet(books=replace(GOOD, effects=EFFECTS[1:])), "2001: is applied and had no effect"),
        (of_a_fleet(books=replace(GOOD, rows=[row(1, State.UNKNOWN), *ROWS[1:]])), "2001: left unknown"),
        (of_a_fleet(*calls(*[130.0] * 5, by="w2")), "5 writes were in flight at once, and 4 is the limit"),
        (of_a_fleet(*AT_ONCE), "46 writes came within a second, and 40 is the limit"),
        (
            of_a_fleet(*(replace(one, is_write=False) for one in AT_ONCE)),
            "46 reading calls came within a second, and 40 is the limit",
        ),
        (of_a_fleet(offences=["1 rows were written under epoch 2"]), "1 rows were written under epoch 2"),
        (of_a_fleet(*calls(121.0)), "w1 wrote 15.0 s after w2 had taken over"),
        (of_a_fleet(*calls(121.0)), "1 writes of w1 (epoch 2) came after w2 had written"),
        (of_a_fleet(seen=calls(91.0, 109.1)), "w1 wrote 3.1 s after w2 had taken over, and its lease was"),
        (of_a_fleet(take_ups=[TAKE_UPS[0], replace(TAKE_UPS[1], at=107.5)]), "taken over 7.5 s after the kill (all)"),
    ],
)
def test_what_is_wrong_in_the_evidence_of_a_fleet_is_found(found: list[str], problem: str | None) -> None:
    assert found == [] if problem is None else any(problem in one for one in found), found


def test_a_takeover_is_not_measured_through_another_act() -> None:
    late = [TAKE_UPS[0], replace(TAKE_UPS[1], at=120.0)]
    restart = Dealt(What.RESTART, Target.WORKER, "w3", 104.0, 105.0)
    assert of_a_fleet(take_ups=late, seen=FIRST, dealt=[KILL, restart]) == []
    frozen_child = Dealt(What.FREEZE, Target.CHILD, "w3", 104.0, 105.0, frozenset({8}))
    assert len(of_a_fleet(take_ups=late, seen=FIRST, dealt=[KILL, frozen_child])) == 1
