"""An import in the crash lab: what it reads of the billing, and what its verdict finds."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from checkpoints.states import State
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, WantedSubscriber, folder_key, step_key
from lab.crash.judge import BookRow, Books, Effect, GroupTotal, ImportBooks, UndoneImport, judge, judge_undone
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
ITEMS = [BookRow(0, key, key, wanted, State.ACCEPTED, 1, step=key.split("/")[1]) for key, wanted in WANTED.items()]
STEPS: Mapping[tuple[str, str], int] = {
    (State.PENDING, State.SENDING): len(ITEMS),
    (State.SENDING, State.ACCEPTED): len(ITEMS),
}
TOTALS = {
    ("folder", "Новый город/Юг"): GroupTotal(2, Decimal("10.00")),
    ("tariff", "3"): GroupTotal(1, Decimal("10.00")),
    ("tariff", ""): GroupTotal(1, Decimal(0)),
}
REQUESTED = RequestedImport((FIRST, SECOND), FOLDERS, faulty=3, last=0, content={}, refusals=(TEXT,))
IMPORTED = ImportBooks(REQUESTED, refused=3, totals=TOTALS, orphans={})
GOOD = Books("k7m2q", "", True, WANTED, ITEMS, [], STEPS, ExitCode.DONE, imported=IMPORTED)


def held(*without: str, **more: str) -> list[Effect]:
    """What the billing has."""
    return [Effect("", 0, key, value) for key, value in (*WANTED.items(), *more.items()) if key not in without]


def imported(**doctored: Any) -> ImportBooks:
    return replace(IMPORTED, **doctored)


def turned(key: str, state: State, message: str = "", **more: Any) -> list[BookRow]:
    """The items, one of which came to another end."""
    return [replace(one, state=state, message=message, **more) if one.key == key else one for one in ITEMS]


REFUSED = turned(ACCOUNT, State.REJECTED, f"{TEXT} для проведения")
NOT_SENT = [*turned(BALANCE, State.REJECTED, "not sent", needs=(ACCOUNT,))]
AFTER_IT = [refused if refused.key == ACCOUNT else one for refused, one in zip(REFUSED, NOT_SENT, strict=True)]
NO_MONEY = {group: replace(total, balance=Decimal(0)) for group, total in TOTALS.items()}


@pytest.mark.parametrize(
    ("doctored", "found"),
    [
        ({}, []),
        (
            {"effects": [*held(), *held(*WANTED.keys() - {BALANCE})]},
            [f"{BALANCE}: had its effect 2 times (10.00, 10.00)"],
        ),
        ({"effects": held(ACCOUNT)}, [f"{ACCOUNT}: is accepted and had no effect"]),
        (
            {"effects": [*held(BALANCE), Effect("", 0, BALANCE, "9.99")]},
            [f"{BALANCE}: asked for 10.00, the billing has 9.99"],
        ),
        (
            {"effects": held(**{"Н-3/subscriber/": "x"})},
            ["Н-3/subscriber/: is in the billing, and no row asks for it: x"],
        ),
        (
            {"rows": turned(ACCOUNT, State.UNKNOWN)},
            [f"{ACCOUNT}: left unknown, with 1 time ()", "verify ended with 0"],
        ),
        (
            {"rows": ITEMS[:-1], "steps": {**STEPS, (State.PENDING, State.SENDING): 6}},
            [f"{ITEMS[-1].key}: stands in the input and was never frozen"],
        ),
        (
            {"rows": [*ITEMS, replace(ITEMS[0], key="Н-9/subscriber/", attempts=0)]},
            ["Н-9/subscriber/: was frozen and does not stand in the input"],
        ),
        ({"imported": imported(refused=2)}, ["faulty rows: 3; refused: 2"]),
        ({"steps": {**STEPS, (State.ACCEPTED, State.PENDING): 1}}, ["an item went from accepted to pending"]),
        ({"rows": REFUSED, "effects": held(ACCOUNT), "verified": ExitCode.REJECTED}, []),
        (
            {"rows": REFUSED},
            [f"{ACCOUNT}: is rejected and had its effect: 1 time ()", "verify ended with 0"],
        ),
        (
            {
                "rows": AFTER_IT,
                "effects": held(ACCOUNT, BALANCE),
                "imported": imported(totals=NO_MONEY),
                "verified": ExitCode.REJECTED,
            },
            [],
        ),
        (
            {"rows": turned(ACCOUNT, State.REJECTED, "лицензия"), "effects": held(ACCOUNT)},
            [f"{ACCOUNT}: is rejected, and nothing is wrong with it: лицензия"],
        ),
        (
            {"imported": imported(totals={**TOTALS, ("tariff", "3"): GroupTotal(1, Decimal("9.99"))})},
            ["tariff 3: subscribers accepted: 1, with 10.00; in the billing: 1, with 9.99"],
        ),
        ({"imported": imported(orphans={"users": 2})}, ["2 rows of users are without their subscriber or folder"]),
    ],
)
def test_what_is_wrong_in_the_books_of_an_import_is_found(doctored: dict[str, Any], found: list[str]) -> None:
    verdict = judge(replace(GOOD, **{"effects": held(), **doctored}))
    told = [str(problem) for problem in verdict.problems]
    assert [one for one in found if one not in told] == [], told
    assert bool(told) == bool(found), told
    if not doctored:
        assert (verdict.once, verdict.twice, verdict.lost, verdict.foreign, verdict.attempts) == (7, 0, 0, 0, 7)


def test_what_is_left_of_an_import_that_was_taken_back_is_found() -> None:
    left = judge_undone(UndoneImport(ExitCode.REJECTED, [Effect("", 0, ACCOUNT, "x")], ["users"]))
    assert [str(one) for one in left] == [
        f"{ACCOUNT}: is left after the undo: x",
        "users is not as it was before the import",
        "undo ended with 1",
    ]
