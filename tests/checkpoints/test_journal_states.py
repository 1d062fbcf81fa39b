"""The journal against a model of ten lines, whatever is done to it in whatever order."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from checkpoints.errors import ForbiddenTransition, RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress, journal_in_postgres
from checkpoints.records import Change, EarlierEntry, NewItem, Refusal, Run, Stage
from checkpoints.states import State, may_follow
from tests.checkpoints.samples import NEW_RUN, all_items, new_item, page
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.loops(300)]

Result = TypeVar("Result")

KEYS = st.sampled_from("abcdefgh")
AMOUNTS = st.none() | st.decimals(-1000, 1000, places=2)
LOTS = st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True)


class Model:
    """What should be: amount and state of every item, by number, in the order of freezing."""

    def __init__(self) -> None:
        self.amounts: list[Decimal | None] = []
        self.states: list[State] = []
        self.refused = 0
        self.approved = False

    def freeze(self, judged: Sequence[NewItem | Refusal]) -> None:
        for entry in judged:
            if isinstance(entry, Refusal):
                self.refused += 1
                continue
            self.amounts.append(entry.amount)
            self.states.append(State.SKIPPED if entry.skip_reason else State.PENDING)

    def move(self, steps: Sequence[tuple[int, State]]) -> bool:
        allowed = all(
            may_follow(self.states[index], state)
            and not (self.approved and self.states[index] is State.PENDING and state is State.SKIPPED)
            for index, state in steps
        )
        for index, state in steps if allowed else ():
            self.states[index] = state
        return allowed

    def doubt(self) -> int:
        doubted = self.states.count(State.SENDING)
        self.states = [State.UNKNOWN if state is State.SENDING else state for state in self.states]
        return doubted


def judge(item: NewItem, twins: Sequence[EarlierEntry]) -> NewItem | Refusal:
    """Refuse the third row of a key."""
    return item if len(twins) < 2 else Refusal(item.line, None, item.label, "a third")


class JournalMachine(RuleBasedStateMachine):
    """Does to a real journal what a run, its operator and its crashes do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.place = self.new_place()
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.model = Model()
        self.decisions: list[tuple[int, State]] = []
        self.journal: Journal
        self.run_: Run

    def new_place(self) -> JournalAddress:
        return JournalAddress(self.folder / "journal.db")

    def do(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(coroutine)

    def open(self) -> None:
        self.journal = self.do(self.opened.enter_async_context(open_journal(self.place)))

    def teardown(self) -> None:
        self.do(self.opened.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.open()
        self.run_ = self.do(self.journal.create_run(NEW_RUN))
        # Something to work with, or most of the steps would find nothing to do.
        self.freeze([(key, Decimal("1.10"), False) for key in "abcdefgh"])

    # ---- what may happen ----

    @rule(rows=st.lists(st.tuples(KEYS, AMOUNTS, st.booleans()), max_size=6))
    def freeze(self, rows: list[tuple[str, Decimal | None, bool]]) -> None:
        items = [
            new_item(key, None if amount is None else str(amount), skip_reason="there already" if skip else None)
            for key, amount, skip in rows
        ]
        cursor = str(len(self.model.states))
        self.model.freeze(self.do(self.journal.freeze(self.run_, page(*items, cursor=cursor), judge)))
        assert self.do(self.journal.run(self.run_.name)).cursor == cursor

    @precondition(lambda self: not self.model.approved)
    @rule()
    def approve(self) -> None:
        self.do(self.journal.approve(self.run_))
        self.model.approved = True

    @rule()
    def end_the_intake(self) -> None:
        self.do(self.journal.end_intake(self.run_))

    @precondition(lambda self: self.model.approved)
    @rule()
    def try_to_discard(self) -> None:
        self.do(self.journal.discard(self.run_))

    @precondition(lambda self: self.model.states)
    @rule(lots=LOTS)
    def claim(self, lots: list[int]) -> None:
        self._step([(index, State.SENDING) for index in self._indices(lots)], claim=True)

    @precondition(lambda self: State.PENDING in self.model.states)
    @rule(most=st.integers(1, 4))
    def claim_what_is_pending(self, most: int) -> None:
        self._step([(index, State.SENDING) for index in self._all(State.PENDING)[:most]], claim=True)

    @precondition(lambda self: self.model.states)
    @rule(lots=LOTS, state=st.sampled_from(State))
    def record(self, lots: list[int], state: State) -> None:
        self._step([(index, state) for index in self._indices(lots)])

    @precondition(lambda self: State.SENDING in self.model.states or State.UNKNOWN in self.model.states)
    @rule(
        outcomes=st.lists(st.sampled_from([State.ACCEPTED, State.PENDING, State.UNKNOWN, State.MANUAL]), min_size=1)
    )
    def record_outcomes(self, outcomes: list[State]) -> None:
        self._step(list(zip(self._all(State.SENDING, State.UNKNOWN), outcomes, strict=False)))

    @precondition(lambda self: State.UNKNOWN in self.model.states)
    @rule(sightings=st.lists(st.sampled_from([State.ACCEPTED, State.PENDING, State.MANUAL]), min_size=1))
    def reconcile(self, sightings: list[State]) -> None:
        self._step(list(zip(self._all(State.UNKNOWN), sightings, strict=False)))

    @precondition(lambda self: self.model.states)
    @rule(lot=st.integers(0, 40), state=st.sampled_from(State))
    def decide(self, lot: int, state: State) -> None:
        index = lot % len(self.model.states)
        item = self.do(all_items(self.journal, self.run_))[index]
        decision = self.journal.decide(self.run_, item, state, who="olga@office", why="seen")
        if self.model.states[index] is State.MANUAL and self.model.move([(index, state)]):
            self.do(decision)
            self.decisions.append((item.number, state))
        else:
            with pytest.raises(ForbiddenTransition):
                self.do(decision)

    @precondition(lambda self: self._all(State.MANUAL, State.UNKNOWN, State.SENDING) != [])
    @rule(choices=st.lists(st.sampled_from([State.ACCEPTED, State.PENDING]), min_size=1, max_size=3))
    def decide_what_is_in_doubt(self, choices: list[State]) -> None:
        doubtful = self._all(State.MANUAL, State.UNKNOWN, State.SENDING)
        for index, choice in zip(doubtful, choices, strict=False):
            self.decide(index, choice)

    @rule()
    def a_second_runner_is_refused(self) -> None:
        self.do(self._one_runner())
        self.run_ = self.do(self.journal.run(self.run_.name))

    async def _one_runner(self) -> None:
        other = await self.opened.enter_async_context(open_journal(self.place))
        async with self.journal.taken_up(self.run_):
            with pytest.raises(RunHeld, match=str(os.getpid())):
                await other.taken_up(self.run_).__aenter__()
        async with other.taken_up(self.run_):
            assert await other.holder(self.run_) is not None

    @precondition(lambda self: State.SENDING in self.model.states)
    @rule()
    def crash_and_start_again(self) -> None:
        self.do(self.opened.aclose())
        self.open()
        assert self.do(self.journal.doubt(self.run_)) == self.model.doubt()

    # ---- what must hold after each ----

    @invariant()
    def the_items_are_those_of_the_model(self) -> None:
        items = self.do(all_items(self.journal, self.run_))
        assert [item.state for item in items] == self.model.states
        assert [item.amount for item in items] == self.model.amounts
        assert [item.number for item in items] == list(range(1, len(items) + 1))

    @invariant()
    def counts_and_sums_add_up_to_what_was_frozen(self) -> None:
        totals = self.do(self.journal.totals(self.run_))
        assert totals.counts == Counter(self.model.states)
        once = [state is not State.REPLACED for state in self.model.states]
        assert totals.frozen == sum(once)
        assert totals.amount == sum((amount or Decimal(0)) for amount in compress(self.model.amounts, once))
        assert totals.refused == self.model.refused
        by_state: dict[State, Decimal] = {}
        for state, amount in zip(self.model.states, self.model.amounts, strict=True):
            by_state[state] = by_state.get(state, Decimal(0)) + (amount or 0)
        assert totals.amounts == by_state

    @invariant()
    def every_decision_is_kept_and_no_other(self) -> None:
        kept = self.do(self.journal.history.decisions(self.run_))
        assert [(one.number, one.state) for one in kept] == self.decisions

    @invariant()
    def an_approved_run_stays_one(self) -> None:
        assert (self.do(self.journal.run(self.run_.name)).stage is Stage.APPROVED) == self.model.approved

    # ---- how ----

    def _step(self, steps: list[tuple[int, State]], *, claim: bool = False) -> None:
        before = self.do(all_items(self.journal, self.run_))
        changes = [Change(before[index].item_id, state) for index, state in steps]
        write = (
            self.journal.claim(self.run_, [change.item_id for change in changes])
            if claim
            else self.journal.record(self.run_, changes)
        )
        if self.model.move(steps):
            self.do(write)
        else:
            with pytest.raises(ForbiddenTransition):
                self.do(write)
            assert self.do(all_items(self.journal, self.run_)) == before

    def _indices(self, lots: list[int]) -> list[int]:
        return sorted({lot % len(self.model.states) for lot in lots})

    def _all(self, *states: State) -> list[int]:
        return [index for index, state in enumerate(self.model.states) if state in states]


class PostgresMachine(JournalMachine):
    """The same with a journal in PostgreSQL."""

    server: PostgresServer

    def new_place(self) -> JournalAddress:
        return journal_in_postgres(self.server.new_journal(), self.folder)


@pytest.fixture(scope="module")
def _server(postgres_server: PostgresServer) -> None:
    PostgresMachine.server = postgres_server


class LongJournalMachine(JournalMachine):
    """As many examples as `make prove` has time for."""


class LongPostgresMachine(PostgresMachine):
    """The same in PostgreSQL."""


def examples(number: int) -> settings:
    return settings(max_examples=number, stateful_step_count=30)


JournalMachine.TestCase.settings = examples(12)
PostgresMachine.TestCase.settings = examples(5)
LongJournalMachine.TestCase.settings = examples(100)
LongPostgresMachine.TestCase.settings = examples(40)
in_postgres = pytest.mark.usefixtures("_server")
TestJournalAgainstTheModel = JournalMachine.TestCase
TestPostgresAgainstTheModel = in_postgres(PostgresMachine.TestCase)
TestJournalForLong = pytest.mark.prove(pytest.mark.loops(600)(LongJournalMachine.TestCase))
TestPostgresForLong = in_postgres(pytest.mark.prove(pytest.mark.loops(600)(LongPostgresMachine.TestCase)))
