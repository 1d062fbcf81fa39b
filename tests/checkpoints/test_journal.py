from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anyio
import pytest

from checkpoints.errors import NoSuchRun
from checkpoints.journal import NAME_LETTERS, Journal
from checkpoints.records import Change, EarlierEntry, Item, NewItem, NewRun, Refusal, Run, Shared, Stage, Totals
from checkpoints.states import State
from tests.checkpoints.samples import (
    EVERY_STATE,
    NEW_RUN,
    all_items,
    frozen_run,
    ids,
    keep,
    new_item,
    page,
    states,
)

# ---- runs --------------------------------------------------------------------------------------------------------


async def test_a_run_is_what_was_told_and_nothing_has_happened_yet(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    assert (run.job, run.parameters, run.target) == (NEW_RUN.job, NEW_RUN.parameters, NEW_RUN.target)
    assert (run.source, run.source_digest, run.header) == (NEW_RUN.source, NEW_RUN.source_digest, NEW_RUN.header)
    assert (run.stage, run.cursor) == (Stage.INTAKE, None)
    assert timedelta(0) <= datetime.now(UTC) - run.created_at < timedelta(seconds=10)
    assert len(run.name) == 5
    assert set(run.name) <= set(NAME_LETTERS)
    assert await journal.totals(run) == Totals()


async def test_a_run_that_is_not_there_is_told_with_those_that_are(journal: Journal) -> None:
    with pytest.raises(NoSuchRun, match="has no run 'other'; its runs: none yet"):
        await journal.run("other")
    run = await journal.create_run(NEW_RUN)
    with pytest.raises(NoSuchRun, match=f"its runs: {run.name}$"):
        await journal.run("other")


async def test_a_run_keeps_how_it_is_driven_from_its_first_moment_on(journal: Journal) -> None:
    assert (await journal.create_run(NEW_RUN)).policy == {}
    run = await journal.create_run(replace(NEW_RUN, policy={"limit-money": "500"}))
    assert run.policy == {"limit-money": "500"}
    await journal.keep_policy(run, {"rate": "5"})
    assert (await journal.run(run.name)).policy == {"rate": "5"}
    assert [one.policy for one in await journal.runs()] == [{}, {"rate": "5"}]


async def test_the_first_approval_and_the_first_end_are_the_ones_that_count(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("1"))
    seen: list[Run] = []
    for _ in range(2):
        await journal.approve(run)
        await journal.end_intake(run)
        seen.append(await journal.run(run.name))
        await anyio.sleep(0.002)  # times are kept to the millisecond
    first, second = seen
    assert first == second


async def test_a_discarded_run_loses_its_items_and_keeps_its_refusals(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    other = await frozen_run(journal, new_item("1"))
    refusal = Refusal(7, "amount", "subscriber 2", "no number", ("2", "x"))
    await journal.freeze(run, page(new_item("1"), refusals=[refusal]), keep)
    await journal.discard(run)
    run = await journal.run(run.name)
    assert run.stage is Stage.DISCARDED
    assert await all_items(journal, run) == []
    assert [told for _, told in await journal.refusals(run)] == [refusal]
    assert len(await all_items(journal, other)) == 1


# ---- freezing ----------------------------------------------------------------------------------------------------


async def test_items_are_frozen_as_they_were_given_and_numbered_from_one(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    given_items = [
        NewItem("k1", "Иванов", "a1", '{"comment":"«x»"}', Decimal("-0.05"), 2, ("1", "−0,05")),
        NewItem("k2", "Петров", "a2", "{}", None, None, ()),
        NewItem("k3", "Сидоров", "a1", "[]", Decimal("1E+3"), 4, ("3",), skip_reason="already as wanted"),
    ]
    assert await journal.freeze(run, page(*given_items), keep) == given_items
    found = await all_items(journal, run)
    assert [
        NewItem(item.key, item.label, item.lane, item.payload, item.amount, item.line, item.row) for item in found
    ] == [replace(item, skip_reason=None) for item in given_items]
    assert [item.number for item in found] == [1, 2, 3]
    assert [item.state for item in found] == [State.PENDING, State.PENDING, State.SKIPPED]
    assert [item.message for item in found] == [None, None, "already as wanted"]
    assert {item.attempts for item in found} == {0}
    assert {item.answer for item in found} == {None}


async def test_the_cursor_moves_in_the_same_commit_as_its_page(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    await journal.freeze(run, page(new_item("1"), cursor="after 1"), keep)

    def judge(item: NewItem, _twins: Sequence[EarlierEntry]) -> NewItem:
        if item.key == "3":
            raise LookupError("in the middle of a page")
        return item

    refusal = Refusal(9, None, "x", "y")
    with pytest.raises(LookupError):
        await journal.freeze(run, page(new_item("2"), new_item("3"), refusals=[refusal], cursor="after 3"), judge)
    assert (await journal.run(run.name)).cursor == "after 1"
    assert list(await states(journal, run)) == ["1"]
    assert await journal.refusals(run) == []


class Listening:
    """A judge that keeps all rows and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[list[EarlierEntry]] = []

    def __call__(self, item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem:
        self.seen.append(list(twins))
        return item


async def heard(journal: Journal, run: Run, *keys: str) -> list[list[EarlierEntry]]:
    judge = Listening()
    await journal.freeze(run, page(*map(new_item, keys)), judge)
    return judge.seen


async def test_the_judge_sees_the_earlier_rows_of_the_page_and_of_the_run(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    await journal.freeze(run, page(new_item("1", "5.00", line=2)), keep)
    judge = Listening()
    await journal.freeze(
        run, page(new_item("1", "6.00", line=3), new_item("2"), new_item("1", "7.00", line=4)), judge
    )
    assert [[(twin.amount, twin.line) for twin in twins] for twins in judge.seen] == [
        [(Decimal("5.00"), 2)],
        [],
        [(Decimal("5.00"), 2), (Decimal("6.00"), 3)],
    ]
    assert {twin.run for twins in judge.seen for twin in twins} == {run.name}


@pytest.mark.parametrize(
    ("earlier", "seen"),
    [
        (NEW_RUN, True),
        (replace(NEW_RUN, source="other.csv", source_digest="d2", parameters={}, header=()), True),
        (replace(NEW_RUN, target="http://other/api"), True),
        (replace(NEW_RUN, job="services"), False),
    ],
)
async def test_twins_are_of_the_same_job_whatever_the_source_and_say_of_which_target(
    journal: Journal, earlier: NewRun, seen: bool
) -> None:
    first = await frozen_run(journal, new_item("1"), new_item("2"), new=earlier)
    run = await journal.create_run(NEW_RUN)
    assert [[(twin.run, twin.target) for twin in twins] for twins in await heard(journal, run, "1", "3")] == [
        [(first.name, earlier.target)] if seen else [],
        [],
    ]


@pytest.mark.parametrize(
    ("way", "seen"),
    [
        ([], True),
        ([State.SENDING], True),
        ([State.SENDING, State.ACCEPTED], True),
        ([State.SENDING, State.REJECTED], False),
        ([State.SENDING, State.PENDING], True),
        ([State.SENDING, State.UNKNOWN], True),
        ([State.SENDING, State.UNKNOWN, State.MANUAL], True),
        ([State.SENDING, State.ACCEPTED, State.APPLIED], True),
    ],
)
async def test_only_what_may_have_had_an_effect_is_a_twin(journal: Journal, way: list[State], seen: bool) -> None:
    first = await frozen_run(journal, new_item("1"), new_item("2", skip_reason="there already"))
    item_id = (await ids(journal, first))["1"]
    for state in way:
        await journal.record(first, [Change(item_id, state)])
    run = await journal.create_run(NEW_RUN)
    of_one, of_skipped = await heard(journal, run, "1", "2")
    assert [twin.state for twin in of_one] == ([(way or [State.PENDING])[-1]] if seen else [])
    assert of_skipped == []


# ---- rows that contradict each other -----------------------------------------------------------------------------


def contradicting(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem | Refusal:
    here = [twin for twin in twins if twin.target == NEW_RUN.target]
    if any(twin.amount != item.amount for twin in here):
        return Refusal(item.line, None, item.label, "contradicts", item.row, conflict=item.key)
    return replace(item, skip_reason="duplicate") if here else item


async def conflicting_run(journal: Journal) -> Run:
    run = await journal.create_run(NEW_RUN)
    first = page(new_item("1", "5", line=2), new_item("2", "5", line=3), new_item("1", "5", line=4))
    await journal.freeze(run, first, contradicting)
    await journal.freeze(run, page(new_item("1", "6", line=5), new_item("3", "1", line=6)), contradicting)
    return run


async def test_all_rows_of_a_key_that_contradict_each_other_are_refused(journal: Journal) -> None:
    bystander = await frozen_run(journal, new_item("1", "5"), new=replace(NEW_RUN, target="http://other"))
    run = await conflicting_run(journal)
    assert (await journal.totals(run)).frozen == 4
    await journal.end_intake(run)
    assert await states(journal, run) == {"2": State.PENDING, "3": State.PENDING}
    refused = [told for _, told in await journal.refusals(run)]
    assert sorted(told.line or 0 for told in refused) == [2, 4, 5]
    assert {told.label for told in refused} == {"subscriber 1"}
    assert all("contradicts" in told.reason for told in refused)
    assert {told.line: told.row for told in refused} == {2: ("1", "5"), 4: ("1", "5"), 5: ("1", "6")}
    await journal.end_intake(run)
    assert (await journal.totals(run)).refused == 3
    assert list(await states(journal, bystander)) == ["1"]


async def test_after_the_approval_nothing_is_withdrawn_for_it_may_have_been_sent(journal: Journal) -> None:
    run = await conflicting_run(journal)
    await journal.approve(run)
    await journal.end_intake(run)
    totals = await journal.totals(run)
    assert (totals.frozen, totals.refused) == (4, 1)


# ---- claiming, recording, doubting -------------------------------------------------------------------------------


async def test_amounts_are_added_up_without_their_signs_and_to_the_last_decimal(journal: Journal) -> None:
    amounts = {"1": "0.10", "2": "-0.20", "3": "-1000000000000000.01", "4": "5"}
    new = [replace(new_item(key), amount=Decimal(amount)) for key, amount in amounts.items()]
    run = await frozen_run(journal, *new, replace(new_item("5"), amount=None))
    other = await frozen_run(journal, replace(new_item("6"), amount=Decimal(9)))
    known = await ids(journal, run)
    assert await journal.absolute_sum(run, {State.SENDING}) == 0
    await journal.claim(run, [known[key] for key in ("1", "2", "3", "5")])
    assert await journal.absolute_sum(run, {State.SENDING, State.ACCEPTED}) == Decimal("1000000000000000.31")
    assert await journal.absolute_sum(other, {State.SENDING}) == 0


WAYS: dict[State, list[State]] = {
    State.PENDING: [],
    State.SENDING: [State.SENDING],
    State.ACCEPTED: [State.SENDING, State.ACCEPTED],
    State.REJECTED: [State.SENDING, State.REJECTED],
    State.UNKNOWN: [State.SENDING, State.UNKNOWN],
    State.MANUAL: [State.SENDING, State.UNKNOWN, State.MANUAL],
    State.APPLIED: [State.SENDING, State.ACCEPTED, State.APPLIED],
}


async def brought_to(journal: Journal, run: Run, item: Item, state: State) -> None:
    for step in WAYS[state]:
        await journal.record(run, [Change(item.item_id, step)])


async def test_doubt_touches_only_what_was_being_sent_in_this_run(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(state) for state in WAYS))
    other = await frozen_run(journal, new_item("x"))
    for item in await all_items(journal, run):
        await brought_to(journal, run, item, State(item.key))
    await journal.claim(other, [(await ids(journal, other))["x"]])
    assert await journal.doubt(run) == 1
    assert await states(journal, run) == {state: State.UNKNOWN if state is State.SENDING else state for state in WAYS}
    assert await states(journal, other) == {"x": State.SENDING}
    (doubted,) = [item for item in await all_items(journal, run) if item.key == State.SENDING]
    assert doubted.message == "the process ended while this was being sent"
    assert doubted.attempts == 0
    assert await journal.doubt(run) == 0


@pytest.mark.parametrize("state", [State.ACCEPTED, State.PENDING])
async def test_a_decision_is_followed_and_remembered_with_its_name(journal: Journal, state: State) -> None:
    run = await frozen_run(journal, new_item("1"))
    (item,) = await all_items(journal, run)
    await brought_to(journal, run, item, State.MANUAL)
    await journal.decide(run, item, state, who="olga@desk", why="seen in the billing")
    (item,) = await all_items(journal, run)
    assert (item.state, item.message) == (state, "decided by olga@desk: seen in the billing")
    (decision,) = await journal.history.decisions(run)
    assert (decision.number, decision.label, decision.state) == (1, "subscriber 1", state)
    assert (decision.who, decision.why) == ("olga@desk", "seen in the billing")


# ---- reading -----------------------------------------------------------------------------------------------------


async def test_totals_are_exact_where_floats_are_not(journal: Journal) -> None:
    amounts = ["0.1", "0.2", "0.30", "-0.05", "123456789012345.67", "0.00000001", None]
    run = await frozen_run(journal, *(new_item(str(key), amount) for key, amount in enumerate(amounts)))
    (first, *_) = await all_items(journal, run)
    await journal.claim(run, [first.item_id])
    totals = await journal.totals(run)
    assert totals.counts == {State.PENDING: 6, State.SENDING: 1}
    assert totals.amounts == {State.PENDING: Decimal("123456789012346.12000001"), State.SENDING: Decimal("0.1")}
    assert (totals.frozen, totals.amount) == (7, Decimal("123456789012346.22000001"))
    assert totals.count(State.PENDING, State.SENDING, State.MANUAL) == 7


async def test_pages_are_by_number_and_of_the_wanted_states_only(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(str(number)) for number in range(1, 26)))
    known = await ids(journal, run)
    await journal.claim(run, [known[str(number)] for number in range(1, 26) if number % 5 == 0])
    first = await journal.items(run, {State.PENDING}, size=7)
    assert [item.number for item in first] == [1, 2, 3, 4, 6, 7, 8]
    second = await journal.items(run, {State.PENDING, State.SENDING}, after=8, size=3)
    assert [item.number for item in second] == [9, 10, 11]
    pages = [
        [item.number for item in page_of_items]
        async for page_of_items in journal.each_page(run, {State.SENDING, State.REJECTED}, size=2)
    ]
    assert pages == [[5, 10], [15, 20], [25]]
    assert await journal.items(run, {State.MANUAL}) == []
    assert await journal.items(run, EVERY_STATE, after=25) == []


async def test_items_are_found_by_key_label_or_number_as_people_write_them(journal: Journal) -> None:
    run = await frozen_run(journal, new_item("50"), new_item("2"), new_item("3"))
    await frozen_run(journal, new_item("50"))
    assert [item.number for item in await journal.find(run, "50")] == [1]
    assert [item.number for item in await journal.find(run, "2")] == [2]
    assert [item.number for item in await journal.find(run, "subscriber 3")] == [3]
    assert [item.key for item in await journal.find(run, "1")] == ["50"]
    assert await journal.find(run, "02") == []


async def test_the_commonest_reason_comes_first_with_its_first_row(journal: Journal) -> None:
    rows = [("z", 2, "no account: 5"), ("y", 3, "busy"), ("x", 4, "no account: 4"), ("w", 5, "no account: 9")]
    run = await frozen_run(journal, *(new_item(key, "0.10", line=line) for key, line, _ in rows), new_item("v"))
    known = await ids(journal, run)
    await journal.claim(run, [known[key] for key, *_ in rows])
    await journal.record(run, [Change(known[key], State.REJECTED, message=message) for key, _, message in rows])
    first, second = await journal.reasons(run, State.REJECTED)
    assert (first.kind, first.items, first.amount) == ("no account", 3, Decimal("0.30"))
    # The first row, as one row: not the smallest line, label and text of three different ones.
    assert (first.line, first.label, first.example) == (2, "subscriber z", "no account: 5")
    assert (second.kind, second.items, second.example) == ("busy", 1, "busy")
    assert [reason.kind for reason in await journal.reasons(run, State.REJECTED, size=1)] == ["no account"]
    (silent,) = await journal.reasons(run, State.PENDING)
    assert (silent.kind, silent.items, silent.example) == ("", 1, "")


async def test_shared_lanes_are_those_that_more_than_one_pending_item_reaches(journal: Journal) -> None:
    run = await frozen_run(
        journal,
        new_item("1", lane="a", amount="0.10"),
        new_item("2", lane="a", amount="0.20"),
        new_item("3", lane="a", amount=None),
        new_item("4", lane="b", amount="9"),
        new_item("5", lane="b", amount="9", skip_reason="there already"),
        new_item("6", lane="c", amount="5"),
        new_item("7", lane="c", amount="-3"),
    )
    assert await journal.shared_lanes(run) == Shared(2, 5, Decimal("2.30"))
    await journal.claim(run, [(await ids(journal, run))["7"]])
    assert await journal.shared_lanes(run) == Shared(1, 3, Decimal("0.30"))
    empty = await frozen_run(journal, new_item("8", lane="a"))
    assert await journal.shared_lanes(empty) == Shared()


# ---- two at once -------------------------------------------------------------------------------------------------
