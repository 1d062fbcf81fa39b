"""The verdict on a fleet finds each fault in the evidence, and none where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from lab.crash.fleet_billing import CallerCounts, Turn
from lab.crash.fleet_round import (
    Audited,
    AuditedRun,
    BillingEvidence,
    Blow,
    DealtBlow,
    Reach,
    TakeUp,
    draw_round,
    judge_fleet,
)

PLAN = replace(draw_round(1), lease=3.0, stalled_after=5.0, rate=40, in_flight=4, slack=2.0)
URL = "http://billing"
RUN = 7
ROWS = 10
FIRST = 1000
WANTED = {FIRST + number: Decimal(number) + Decimal("0.10") for number in range(ROWS)}
LEDGER = [*WANTED.items()]
KILLED = DealtBlow(Blow.KILL, Reach.ALL, "w1", 100.0, 100.0, frozenset({RUN}))
TAKE_UPS = (TakeUp(RUN, 2, "w1", 11, 90.0), TakeUp(RUN, 3, "w2", 12, 106.0))
TURNS = (Turn("w1", 91.0, 100.0, 5), Turn("w2", 110.0, 120.0, 5))


def problems(
    *,
    ledger: Sequence[tuple[int, Decimal]] = LEDGER,
    left: int = 0,
    entered: Decimal | None = None,
    take_ups: Sequence[TakeUp] = TAKE_UPS,
    turns: Sequence[Turn] = TURNS,
    offences: Sequence[tuple[int, str]] = (),
    dealt: Sequence[DealtBlow] = (KILLED,),
    **counts: Any,
) -> list[str]:
    total = sum(WANTED.values(), Decimal(0)) if entered is None else entered
    run = AuditedRun(RUN, URL, ROWS, ROWS - left, total, left)
    evidence = BillingEvidence("b01", URL, WANTED, ledger, CallerCounts(turns=list(turns), **counts))
    return [
        str(problem)
        for problem in judge_fleet(PLAN, [evidence], Audited([run], take_ups, offences, 2), dealt, {}).problems
    ]


def test_a_round_in_which_all_is_well_has_no_problem() -> None:
    assert problems(most_in_flight=4, most_writes=45, most_reads=45) == []


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ({"ledger": [*LEDGER, LEDGER[0]]}, "1 rows had their effect more than once: subscriber 1000 2 times"),
        ({"ledger": LEDGER[1:]}, "1 rows had no effect: subscriber 1000"),
        ({"ledger": [(FIRST, Decimal("0.11")), *LEDGER[1:]]}, "got 0.11, which was not wanted"),
        ({"entered": Decimal("45.99")}, "46.00 was wanted, 46.00 is in the billing, and 45.99 in the journal"),
        ({"left": 1}, "1 rows are left unknown"),
        ({"most_in_flight": 5}, "5 writes were in flight at once, and 4 is the limit"),
        ({"most_writes": 46}, "46 writes came within a second, and 40 is the limit"),
        ({"most_reads": 46}, "46 reading calls came within a second"),
        ({"offences": [(RUN, "1 rows were written under epoch 2")]}, "b01: 1 rows were written under epoch 2"),
        ({"turns": [*TURNS, Turn("w1", 121.0, 121.0)]}, "w1 wrote 15.0 s after w2 had taken over"),
        ({"turns": [*TURNS, Turn("w1", 121.0, 121.0)]}, "1 writes of w1 (epoch 2) came after w2 had written"),
        (
            {"turns": [Turn("w1", 91.0, 109.1)]},
            "w1 wrote 3.1 s after w2 had taken over, and its lease was",
        ),
        ({"take_ups": [TAKE_UPS[0], replace(TAKE_UPS[1], at=107.5)]}, "taken over 7.5 s after the kill (all)"),
    ],
)
def test_a_fault_is_found(what: dict[str, Any], found: str) -> None:
    assert any(found in problem for problem in problems(**what)), problems(**what)


def test_a_takeover_is_not_measured_through_another_blow() -> None:
    late = [TAKE_UPS[0], replace(TAKE_UPS[1], at=120.0)]
    restart = DealtBlow(Blow.RESTART, Reach.WORKER, "w3", 104.0, 105.0)
    assert problems(take_ups=late, turns=TURNS[:1], dealt=[KILLED, restart]) == []
    frozen_child = DealtBlow(Blow.FREEZE, Reach.CHILD, "w3", 104.0, 105.0, frozenset({8}))
    assert len(problems(take_ups=late, turns=TURNS[:1], dealt=[KILLED, frozen_child])) == 1
