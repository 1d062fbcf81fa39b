from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from checkpoints.errors import ForbiddenTransition, NoSuchRun, RunGivenUp
from checkpoints.journal import NAME_LETTERS, Journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import (
    Change,
    Command,
    Correction,
    EarlierEntry,
    Item,
    NewItem,
    NewRun,
    Refusal,
    Run,
    Shared,
    Stage,
    Totals,
)
from checkpoints.sentences import DUPLICATE, NOT_SHOWN, OVER
from checkpoints.states import State
from tests.checkpoints.samples import (
    NEW_RUN,
    all_items,
    come_to,
    frozen_run,
    ids,
    keep,
    new_item,
    page,
    seen,
    states,
)
from tests.checkpoints.shells import shell
from tests.conftest import SHARED_FIXTURES
from texts.said import reason, said

# ---- runs --------------------------------------------------------------------------------------------------------


async def test_a_run_is_what_was_told_and_nothing_has_happened_yet(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    assert (run.job, run.parameters, run.target) == (NEW_RUN.job, NEW_RUN.parameters, NEW_RUN.target)
    assert (run.source, run.source_digest, run.header) == (NEW_RUN.source, NEW_RUN.source_digest, NEW_RUN.header)
    assert (run.stage, run.cursor, run.policy) == (Stage.INTAKE, None, {})
    assert timedelta(0) <= datetime.now(UTC) - run.created_at < timedelta(seconds=10)
    assert len(run.name) == 5
    assert set(run.name) <= set(NAME_LETTERS)
    assert await journal.totals(run) == Totals()
    # How it is driven is kept from its first moment on.
    driven = await journal.create_run(replace(NEW_RUN, policy={"limit-money": "500"}))
    assert driven.policy == {"limit-money": "500"}
    await journal.keep_policy(driven, {"rate": "5"})
    assert [one.policy for one in await journal.runs()] == [{}, {"rate": "5"}]


async def test_a_run_that_is_not_there_is_told_with_those_that_are(journal: Journal) -> None:
    with pytest.raises(NoSuchRun, match="has no run 'other'; its runs: none yet"):
        await journal.run("other")
    run = await journal.create_run(NEW_RUN)
    with pytest.raises(NoSuchRun, match=f"its runs: {run.name}$"):
        await journal.run("other")


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


async def test_a_run_that_another_process_has_given_up_is_not_worked_on(journal: Journal) -> None:
    """A run is created before it is locked; in between, who begins the same finds nobody at work on it."""
    run = await journal.create_run(NEW_RUN)
    async with journal.taken_up(run) as found:
        await journal.discard(found)
    with pytest.raises(RunGivenUp, match="nothing of it was sent, and nothing will be"):
        async with journal.taken_up(run):
            pass
    assert await journal.holder(run) is None


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
    assert (len(await all_items(journal, other)), await journal.run(other.name)) == (1, other)


# ---- freezing ----------------------------------------------------------------------------------------------------


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
    # Nor is anything of a page with a text that cannot be written.
    with pytest.raises(UnicodeEncodeError):
        await journal.freeze(run, page(new_item("2"), new_item("a\ud800b"), cursor="x"), keep)
    assert (await journal.run(run.name)).cursor == "after 1"
    assert list(await states(journal, run)) == ["1"]
    assert await journal.refusals(run) == []


@pytest.mark.parametrize(
    ("earlier", "is_seen"),
    [
        (NEW_RUN, True),
        (replace(NEW_RUN, source="other.csv", source_digest="d2", parameters={}, header=()), True),
        (replace(NEW_RUN, target="http://other/api"), True),
        (replace(NEW_RUN, job="services"), False),
    ],
)
async def test_twins_are_of_one_job_and_say_of_which_target(journal: Journal, earlier: NewRun, is_seen: bool) -> None:
    first = await frozen_run(journal, new_item("1"), new_item("2"), new=earlier)
    found = await seen(journal, new_item("1"), new_item("3"))
    assert [[(twin.run, twin.target) for twin in twins] for twins in found] == [
        [(first.name, earlier.target)] if is_seen else [],
        [],
    ]


@pytest.mark.parametrize("state", [one for one in State if one not in {State.SKIPPED, State.REPLACED}])
async def test_only_what_may_have_had_an_effect_is_a_twin(journal: Journal, state: State) -> None:
    first = await frozen_run(journal, new_item("1"), new_item("2", skip_reason="there already"))
    await come_to(journal, first, {1: state})
    of_one, of_skipped = await seen(journal, new_item("1"), new_item("2"))
    assert [twin.state for twin in of_one] == ([] if state is State.REJECTED else [state])
    assert of_skipped == []


# ---- rows that contradict each other -----------------------------------------------------------------------------


def contradicting(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem | Refusal:
    here = [twin for twin in twins if twin.target == NEW_RUN.target]
    if any(twin.amount != item.amount for twin in here):
        return Refusal(item.line, None, item.label, "contradicts", item.row, conflict=item.key)
    return structs.replace(item, skip_reason="duplicate") if here else item


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


# ---- reading -----------------------------------------------------------------------------------------------------


async def test_totals_are_exact_where_floats_are_not(journal: Journal) -> None:
    amounts = ["0.1", "0.2", "0.30", "-0.05", "123456789012345.67", "0.00000001", None]
    run = await frozen_run(journal, *(new_item(str(key), amount) for key, amount in enumerate(amounts)))
    await come_to(journal, run, {1: State.SENDING})
    totals = await journal.totals(run)
    assert totals.counts == {State.PENDING: 6, State.SENDING: 1}
    assert totals.amounts == {State.PENDING: Decimal("123456789012346.12000001"), State.SENDING: Decimal("0.1")}
    assert (totals.frozen, totals.amount) == (7, Decimal("123456789012346.22000001"))
    assert totals.count(State.PENDING, State.SENDING, State.MANUAL) == 7
    # What a limit counts has no signs.
    other = await frozen_run(journal, new_item("9", "9"))
    assert await journal.absolute_sum(other, {State.SENDING}) == 0
    assert await journal.absolute_sum(run, {State.SENDING}) == Decimal("0.1")
    assert await journal.absolute_sum(run, {State.SENDING, State.PENDING}) == Decimal("123456789012346.32000001")


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
    # What was accepted has a reason only where there is something to say.
    run = await frozen_run(journal, *(new_item(key) for key in "12"))
    items = list((await ids(journal, run)).values())
    await journal.claim(run, items)
    told = zip(items, (None, "moved: a"), strict=True)
    await journal.record(run, [Change(one, State.ACCEPTED, message=message) for one, message in told])
    assert [(one.kind, one.items) for one in await journal.reasons(run, State.ACCEPTED)] == [("moved", 1)]


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
    await come_to(journal, run, {7: State.SENDING})
    assert await journal.shared_lanes(run) == Shared(1, 3, Decimal("0.30"))
    empty = await frozen_run(journal, new_item("8", lane="a"))
    assert await journal.shared_lanes(empty) == Shared()


async def test_the_first_pause_is_the_one_that_counts_until_it_ends(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    await journal.pause(run, "olga")
    first = await journal.run(run.name)
    await anyio.sleep(0.002)  # times are kept to the millisecond
    await journal.pause(run, "pjotr")
    assert await journal.run(run.name) == first
    await journal.unpause(run)
    assert await journal.run(run.name) == run
    await journal.pause(run, "pjotr")
    assert (await journal.run(run.name)).paused_by == "pjotr"


async def test_commands_are_kept_in_order_with_their_senders_and_answers(journal: Journal) -> None:
    run, other = await journal.create_run(NEW_RUN), await journal.create_run(NEW_RUN)
    told = [(f"olga@ops, process {number}", f"set rate={number}", "«да»; 'rate'") for number in range(5)]
    for who, command, answer in told:
        await journal.history.note_command(run, who, command, answer)
    found = await journal.history.commands(run)
    assert [(one.who, one.command, one.answer) for one in found] == told
    assert found[0] == Command(*told[0], found[0].given_at)
    assert found[0].given_at.tzinfo is not None
    assert await journal.history.commands(run, size=2) == found[-2:]
    assert await journal.history.commands(other) == []


async def numbers(journal: Journal, run: Run, *keys: str) -> dict[str, int]:
    return {item.key: item.number for item in await journal.items_by_key(run, keys)}


async def test_of_a_key_the_item_counts_that_repeats_no_other(journal: Journal) -> None:
    same = f"{DUPLICATE}: the same key as line 2"
    run = await frozen_run(
        journal,
        new_item("a"),
        new_item("a", skip_reason=same),
        new_item("b", skip_reason="already as wanted: b"),
        new_item("b", skip_reason=same),
        new_item("c", skip_reason=same),
    )
    await frozen_run(journal, new_item("a"), new_item("d"))
    assert await numbers(journal, run, "a", "b", "c", "d") == {"a": 1, "b": 3}
    assert await numbers(journal, run) == {}
    # Of a corrected one, the corrected row.
    run = await frozen_run(journal, new_item("a"), new_item("b"))
    await come_to(journal, run, {1: State.REJECTED, 2: State.REJECTED})
    assert await numbers(journal, run, "a", "b") == {"a": 1, "b": 2}
    corrected = [Correction(new_item("a", skip_reason="already as wanted"), number=1)]
    await journal.correct(run, [*corrected, Correction(new_item("other"), number=2)], keep)
    assert await numbers(journal, run, "a", "b") == {"a": 3, "b": 2}
    assert (await states(journal, run))["b"] is State.REPLACED


async def test_what_was_completed_is_there_with_the_intent_or_not_at_all(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abc"))
    other = await frozen_run(journal, new_item("d"))
    named, (foreign,) = await ids(journal, run), await all_items(journal, other)
    await journal.claim(run, [named["a"], named["b"]], {named["a"]: '{"parent":5}'})
    sent = {item.key: (item.state, item.payload) for item in await all_items(journal, run)}
    assert sent["a"] == (State.SENDING, '{"parent":5}')
    assert sent["b"] == (State.SENDING, '{"x":1}')
    with pytest.raises(ForbiddenTransition):
        await journal.claim(run, [named["c"], foreign.item_id], {named["c"]: '{"parent":6}'})
    last = (await all_items(journal, run))[-1]
    assert (last.state, last.payload) == (State.PENDING, '{"x":1}')


async def test_what_is_in_effect_is_read_from_the_last_to_the_first_page_by_page(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abcde"))
    await come_to(journal, run, dict.fromkeys((1, 2, 4, 5), State.ACCEPTED))
    read: list[Item] = []
    while page := await journal.in_effect_last_first(run, before=read[-1].number if read else None, size=2):
        assert len(page) <= 2
        read += page
    assert [item.key for item in read] == ["e", "d", "b", "a"]


async def test_the_last_item_that_is_not_settled_is_found_before_a_number(journal: Journal) -> None:
    run = await frozen_run(journal, *(new_item(key) for key in "abcde"))
    fates = (State.REJECTED, State.UNKNOWN, State.ACCEPTED, State.SENDING)
    await come_to(journal, run, dict(enumerate(fates, 1)))
    last = {before: [one.key for one in await journal.last_unsettled(run, before)] for before in range(1, 7)}
    assert last == {1: [], 2: [], 3: ["b"], 4: ["b"], 5: ["d"], 6: ["e"]}


CREATES = '{"model":"Users","steps":[["objects.create",{}]]}'
SETS = '{"model":"Users","steps":[["objects.get",{}],["set",{}]]}'


async def one_of(journal: Journal, payload: str, key: str = "1", target: str = NEW_RUN.target) -> tuple[Run, Item]:
    run = await frozen_run(
        journal, structs.replace(new_item(key), payload=payload), new=replace(NEW_RUN, target=target)
    )
    (item,) = await all_items(journal, run)
    await journal.claim(run, [item.item_id])
    return run, item


async def test_a_row_stays_unproven_until_an_answer_of_its_own_has_come(journal: Journal) -> None:
    run, item = await one_of(journal, CREATES)
    for state, unproven in ((State.UNKNOWN, False), (State.ACCEPTED, True), (State.APPLIED, False)):
        await journal.record(run, [Change(item.item_id, state, unproven=unproven)])
        (now,) = await all_items(journal, run)
        # What is as wanted may be somebody else's all the same.
        assert now.unproven == state.in_effect
        assert await journal.unproven(run) == now.unproven
    run, item = await one_of(journal, CREATES, key="2")
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, "5", unproven=True)])
    await journal.doubt_answers(run, [item.item_id], "in doubt")
    await journal.record(run, [Change(item.item_id, State.PENDING)])
    await journal.claim(run, [item.item_id])
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, "6", created=True)])
    assert await journal.unproven(run) == 0


async def test_an_object_is_another_runs_where_that_one_has_created_it(journal: Journal) -> None:
    first, made = await one_of(journal, CREATES)
    await journal.record(first, [Change(made.item_id, State.ACCEPTED, "5", created=True)])
    only_found, seen_there = await one_of(journal, CREATES, key="2")
    await journal.record(only_found, [Change(seen_there.item_id, State.ACCEPTED, "7", unproven=True)])
    second, item = await one_of(journal, CREATES)
    assert await journal.made_by_others(second, []) == {}
    assert await journal.made_by_others(second, [(item.item_id, "5")]) == {item.item_id: first.name}
    for answer in ("6", "7"):
        assert await journal.made_by_others(second, [(item.item_id, answer)]) == {}
    # Its own run, another billing, and a row that creates nothing have made nothing for it.
    elsewhere, other = await one_of(journal, CREATES, target="http://other")
    third, sets = await one_of(journal, SETS)
    for run, one in ((first, made), (elsewhere, other), (third, sets)):
        assert await journal.made_by_others(run, [(one.item_id, "5")]) == {}


async def test_rows_that_have_found_something_else_than_their_list(journal: Journal) -> None:
    payloads = [SETS, SETS[:-1] + ',"planned":{"pull":"5"}}', SETS[:-1] + ',"planned":{"pull":"5"},"after":1}']
    run = await frozen_run(
        journal, *(structs.replace(new_item(str(number)), payload=one) for number, one in enumerate(payloads))
    )
    items = await all_items(journal, run)
    await journal.claim(run, [item.item_id for item in items])
    assert await journal.found_changed(run) == []
    await journal.record(run, [Change(item.item_id, State.ACCEPTED) for item in items])
    assert [item.number for item in await journal.found_changed(run)] == [2]
    assert await journal.found_changed(run, after=2) == []


async def answered(journal: Journal, run: Run, answer: str, *keys: str, created: bool = True) -> list[Item]:
    """Send these rows, which all get this answer; those that are in doubt then."""
    ids = [item.item_id for item in await all_items(journal, run) if item.key in keys]
    await journal.claim(run, ids)
    return await journal.record(run, [Change(key, State.ACCEPTED, answer=answer, created=created) for key in ids])


async def test_two_rows_of_a_run_with_one_new_id_are_both_unknown(journal: Journal) -> None:
    run, other = [await frozen_run(journal, *map(new_item, "abcd")) for _ in range(2)]
    assert await answered(journal, other, "5", "a") == []
    assert await answered(journal, run, "5", "a") == []
    assert await answered(journal, run, "6", "b") == []
    before = await all_items(journal, other)
    doubted = await answered(journal, run, "5", "c")
    assert [(item.key, item.state) for item in doubted] == [("a", State.UNKNOWN), ("c", State.UNKNOWN)]
    assert "has the same answer, 5" in (doubted[0].message or "")
    assert [item.key for item in await answered(journal, run, "5", "d")] == ["d"], "a third one as well"
    assert await states(journal, run) == {
        "a": State.UNKNOWN,
        "b": State.ACCEPTED,
        "c": State.UNKNOWN,
        "d": State.UNKNOWN,
    }
    assert await all_items(journal, other) == before


async def test_objects_of_two_models_may_have_one_id(journal: Journal) -> None:
    models = {"a": "Abonents", "b": "Users", "c": "Abonents"}
    items = [structs.replace(new_item(key), payload=f'{{"model":"{model}"}}') for key, model in models.items()]
    run = await frozen_run(journal, *items)
    assert await answered(journal, run, "5", "a", "b") == []
    assert [item.key for item in await answered(journal, run, "5", "c")] == ["a", "c"]


async def test_an_answer_that_is_no_new_id_or_whose_row_was_not_entered_may_be_anothers(journal: Journal) -> None:
    run = await frozen_run(journal, *map(new_item, "abcde"))
    assert await answered(journal, run, "5", "a", "b", created=False) == []
    await answered(journal, run, "6", "c")
    third = (await ids(journal, run))["c"]
    await journal.doubt_answers(run, [third], "why")
    await journal.record(run, [Change(third, State.PENDING, message="looked up and not there")])
    assert await answered(journal, run, "6", "d") == []
    # Of one commit, the second is as much in doubt.
    assert [item.key for item in await answered(journal, run, "7", "c", "e")] == ["c", "e"]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
AMOUNT = st.none() | st.decimals(-(10**15), 10**15, places=4)


@settings(max_examples=40, suppress_health_check=SHARED_FIXTURES)
@given(
    words=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, AMOUNT), min_size=1, max_size=5),
    cells=st.lists(TEXT, max_size=4),
    said=TEXT,
)
async def test_any_text_comes_back_as_it_went_in(
    journal: Journal, words: list[tuple[str, str, str, str, Decimal | None]], cells: list[str], said: str
) -> None:
    new = NewRun(said, {said: said}, said, said, said, tuple(cells))
    run = await journal.create_run(new)
    assert (run.job, run.parameters, run.header) == (said, {said: said}, tuple(cells))
    given_items = [
        NewItem(key, label, lane, payload, amount, number, tuple(cells))
        for number, (key, label, lane, payload, amount) in enumerate(words)
    ]
    refusal = Refusal(1, said, said, said, tuple(cells))
    await journal.freeze(run, page(*given_items, refusals=[refusal], cursor=said), keep)
    found = await all_items(journal, run)
    assert [
        NewItem(item.key, item.label, item.lane, item.payload, item.amount, item.line, item.row) for item in found
    ] == given_items
    assert [str(item.amount) for item in found] == [
        str(None if item.amount is None else format(item.amount, "f")) for item in given_items
    ]
    assert [told for _, told in await journal.refusals(run)] == [refusal]
    assert (await journal.run(run.name)).cursor == said
    await journal.claim(run, [item.item_id for item in found])
    await journal.record(run, [Change(item.item_id, State.ACCEPTED, said, said) for item in found])
    assert {(item.answer, item.message) for item in await all_items(journal, run)} == {(said, said)}
    totals = await journal.totals(run)
    assert totals.amount == sum((item.amount or Decimal(0) for item in given_items), Decimal(0))


async def test_a_claim_is_durable_and_counted_and_an_answer_kept_with_its_state(
    journal: Journal, journal_address: JournalAddress
) -> None:
    run = await frozen_run(journal, new_item("1"), new_item("2"))
    one, two = (await ids(journal, run)).values()
    await journal.claim(run, [one])
    with shell(journal_address) as reader:
        assert reader.execute("select state, attempts, sent_at is null from items order by number").fetchall() == [
            ("sending", 1, 0),
            ("pending", 0, 1),
        ]
    await journal.record(run, [Change(one, State.PENDING, message="busy")])
    await journal.claim(run, [one, two])
    changes = [Change(one, State.ACCEPTED, answer="777"), Change(two, State.REJECTED, message="нет счёта")]
    await journal.record(run, changes)
    assert [(item.state, item.attempts, item.answer, item.message) for item in await all_items(journal, run)] == [
        (State.ACCEPTED, 2, "777", None),
        (State.REJECTED, 1, None, "нет счёта"),
    ]
    await journal.record(run, [Change(one, State.APPLIED)])
    assert (await all_items(journal, run))[0].answer == "777"


async def test_refusals_are_paged_by_their_id_and_found_by_the_code_of_their_reason(journal: Journal) -> None:
    run = await journal.create_run(NEW_RUN)
    given_refusals = [Refusal(line, "сумма", f"s{line}", "why", (str(line), '";')) for line in range(5)]
    await journal.freeze(run, page(refusals=given_refusals), keep)
    first = await journal.refusals(run, size=3)
    rest = await journal.refusals(run, after=first[-1][0])
    assert [told for _, told in first + rest] == given_refusals
    inner = reason("the sum is {asked}", NOT_SHOWN, asked=Decimal(5))
    coded = Refusal(9, None, "s9", said("{why}. {advice}", why=inner, advice="look there"))
    await journal.freeze(run, page(refusals=[coded, Refusal(10, None, "s10", NOT_SHOWN)], cursor="x"), keep)
    assert [told for _, told in await journal.refusals(run, size=1, code=NOT_SHOWN)] == [coded]
    assert await journal.refusals(run, code=OVER) == []
