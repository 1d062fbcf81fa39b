"""An import in the crash lab: what it reads of the billing, and what its verdict finds."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, WantedSubscriber, folder_key, step_key
from lab.crash.judge import GroupTotal, ImportBooks, ImportItem, UndoneImport, judge_import
from lab.crash.program import ExitCode

NEW_FOLDER = ("Новый город", "Юг")


# ---- what is judged ------------------------------------------------------------------------------------------------

FIRST = WantedSubscriber(
    "Н-1",
    NEW_FOLDER,
    3,
    Decimal("10.00"),
    {
        step_key("Н-1", Step.SUBSCRIBER): "Первый; Новый город/Юг; 3",
        step_key("Н-1", Step.ACCOUNT, "n1"): "",
        step_key("Н-1", Step.TARIFF): "3",
        step_key("Н-1", Step.BALANCE): "10.00",
    },
)
SECOND = WantedSubscriber(
    "Н-2", NEW_FOLDER, None, Decimal(0), {step_key("Н-2", Step.SUBSCRIBER): "Второй; Новый город/Юг; 3"}
)
FOLDERS = frozenset({folder_key(NEW_FOLDER[:1]), folder_key(NEW_FOLDER)})
ACCOUNT, BALANCE = step_key("Н-1", Step.ACCOUNT, "n1"), step_key("Н-1", Step.BALANCE)
TEXT = "нет счета"
WANTED = {**dict.fromkeys(sorted(FOLDERS), ""), **FIRST.things, **SECOND.things}
ITEMS = [ImportItem(key, key.split("/")[1], State.ACCEPTED, 1) for key in WANTED]
HELD = {key: (value,) for key, value in WANTED.items()}
STEPS: Mapping[tuple[str, str], int] = {
    (State.PENDING, State.SENDING): len(ITEMS),
    (State.SENDING, State.ACCEPTED): len(ITEMS),
}
TOTALS = {
    ("folder", "Новый город/Юг"): GroupTotal(2, Decimal("10.00")),
    ("tariff", "3"): GroupTotal(1, Decimal("10.00")),
    ("tariff", ""): GroupTotal(1, Decimal(0)),
}
GOOD = ImportBooks(
    requested=RequestedImport((FIRST, SECOND), FOLDERS, faulty=3, last=0, content={}, refusals=(TEXT,)),
    refused=3,
    items=ITEMS,
    held=HELD,
    totals=TOTALS,
    orphans={},
    steps=STEPS,
    verified=ExitCode.DONE,
    undone=UndoneImport(ExitCode.DONE, {}, ()),
)


def turned(key: str, state: State, message: str = "", **more: Any) -> list[ImportItem]:
    """The items, one of which came to another end."""
    return [replace(one, state=state, message=message, **more) if one.key == key else one for one in ITEMS]


def held_without(*keys: str) -> dict[str, tuple[str, ...]]:
    return {key: there for key, there in HELD.items() if key not in keys}


REFUSED = turned(ACCOUNT, State.REJECTED, f"{TEXT} для проведения")
NOT_SENT = [*turned(BALANCE, State.REJECTED, "not sent", needs=(ACCOUNT,))]
AFTER_IT = [refused if refused.key == ACCOUNT else one for refused, one in zip(REFUSED, NOT_SENT, strict=True)]
NO_MONEY = {group: replace(total, balance=Decimal(0)) for group, total in TOTALS.items()}


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        ({}, []),
        ({"held": HELD | {BALANCE: ("10.00",) * 2}}, [f"{BALANCE}: had its effect 2 times (10.00, 10.00)"]),
        ({"held": held_without(ACCOUNT)}, [f"{ACCOUNT}: is accepted and had no effect"]),
        ({"held": HELD | {BALANCE: ("9.99",)}}, [f"{BALANCE}: asked for 10.00, the billing has 9.99"]),
        (
            {"held": HELD | {"Н-3/subscriber/": ("x",)}},
            ["Н-3/subscriber/: is in the billing, and no row asks for it: x"],
        ),
        (
            {"items": turned(ACCOUNT, State.UNKNOWN)},
            [f"{ACCOUNT}: left unknown, with 1 time ()", "verify ended with 0"],
        ),
        (
            {"items": ITEMS[:-1], "steps": {**STEPS, (State.PENDING, State.SENDING): 6}},
            [f"{ITEMS[-1].key}: stands in the input and was never frozen"],
        ),
        (
            {"items": [*ITEMS, replace(ITEMS[0], key="Н-9/subscriber/", attempts=0)]},
            ["Н-9/subscriber/: was frozen and does not stand in the input"],
        ),
        ({"refused": 2}, ["faulty rows: 3; refused: 2"]),
        ({"steps": {**STEPS, (State.ACCEPTED, State.PENDING): 1}}, ["an item went from accepted to pending"]),
        ({"items": REFUSED, "held": held_without(ACCOUNT), "verified": ExitCode.REJECTED}, []),
        (
            {"items": REFUSED},
            [f"{ACCOUNT}: is rejected and had its effect: 1 time ()", "verify ended with 0"],
        ),
        (
            {
                "items": AFTER_IT,
                "held": held_without(ACCOUNT, BALANCE),
                "totals": NO_MONEY,
                "verified": ExitCode.REJECTED,
            },
            [],
        ),
        (
            {"items": turned(ACCOUNT, State.REJECTED, "лицензия"), "held": held_without(ACCOUNT)},
            [f"{ACCOUNT}: is rejected, and nothing is wrong with it: лицензия"],
        ),
        (
            {"totals": {**TOTALS, ("tariff", "3"): GroupTotal(1, Decimal("9.99"))}},
            ["tariff 3: subscribers accepted: 1, with 10.00; in the billing: 1, with 9.99"],
        ),
        ({"orphans": {"users": 2}}, ["2 rows of users are without their subscriber or folder"]),
        (
            {"undone": UndoneImport(ExitCode.REJECTED, {ACCOUNT: ("",)}, ("users",))},
            [
                "undo ended with 1",
                f"{ACCOUNT}: is left after the undo: ",
                "users is not as it was before the import",
            ],
        ),
    ],
)
def test_what_is_wrong_in_the_books_of_an_import_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    verdict = judge_import(replace(GOOD, **doctored))
    told = [str(problem) for problem in verdict.problems]
    assert [one for one in found if one not in told] == [], told
    assert bool(told) == bool(found), told
    if not doctored:
        assert (verdict.once, verdict.twice, verdict.lost, verdict.foreign, verdict.attempts) == (7, 0, 0, 0, 7)
