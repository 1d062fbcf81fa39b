"""The verdict on an experiment: compares what the load reports with the billing's ledger.

A pure function of the evidence: no process, no file, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from checkpoints.states import State, may_follow
from lab.crash.program import ExitCode
from lab.crash.trials import Wanted
from texts.said import counted, said


@dataclass(frozen=True, slots=True)
class BookRow:
    """An item of the journal.

    `wanted` is its amount, or the text that the billing shall have; `subject` is its key in the ledger. What is
    `unproven` may be somebody else's, as the program says.
    """

    number: int
    key: str
    label: str
    subject: int
    wanted: Wanted
    state: State
    attempts: int
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class LedgerEffect:
    """An entry of the ledger; `mark` is the run and number on a created object."""

    model: str
    request: int
    subject: int
    value: Wanted | None
    mark: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """The complete final state of an experiment.

    `once` says that a second effect is a fault, `marked` that effects bear the mark of their row, `may_ask` that a
    row may be left to a person, `unreadable` that nothing can be read back, `other_balances` that the billing adds
    where the load assumes that it sets, which `verify` must detect. `requested` is the input: what is wanted for each
    key. `frozen` and `sum` are the journal's own totals over all states; `entered` is the number and the sum of
    operations in the billing's table, None for a job that creates none. `ends` are the billing's final values by key,
    for a job that sets them. `steps` counts every step of an item. `forgotten` are the keys of rows that were sent,
    of which a copy of the journal that was put back does not know.

    `touched` are the keys of rows that a stranger had in his hands, and whether they must not be sent since. `others`
    are runs of other journals with the same input, `racing` the keys of rows that were being sent when one of them
    began: what both have entered `verify` must have `named`. `misled` says that a proxy has called effects refused.
    `undone` is a run that was stopped and taken back.
    """

    run: str
    model: str
    once: bool
    requested: Mapping[str, Wanted]
    rows: Sequence[BookRow]
    effects: Sequence[LedgerEffect]
    frozen: int
    sum: Decimal
    steps: Mapping[tuple[str, str], int]
    verified: int
    entered: tuple[int, Decimal] | None = None
    ends: Mapping[str, Wanted | None] = field(default_factory=dict)
    marked: bool = False
    may_ask: bool = False
    unreadable: bool = False
    other_balances: bool = False
    forgotten: frozenset[str] = frozenset()
    touched: Mapping[str, bool] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    racing: frozenset[str] = frozenset()
    named: bool = False
    misled: bool = False
    undone: bool = False

    @property
    def foreign(self) -> Sequence[LedgerEffect]:
        """The effects of other journals' runs."""
        return [effect for effect in self.effects if effect.mark is not None and effect.mark[0] in self.others]

    @property
    def doubled(self) -> Sequence[BookRow]:
        """The rows that another journal has entered as well."""
        own = {effect.mark[1] for effect in self.effects if effect.mark is not None and effect.mark[0] == self.run}
        theirs = {effect.subject for effect in self.foreign}
        return [row for row in self.rows if row.number in own and row.subject in theirs]


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault and the key that it concerns, "" for the whole experiment."""

    key: str
    what: str

    @property
    def text(self) -> str:
        """The fault, behind its key if it has one."""
        return said("{key}: {what}", key=self.key, what=self.what) if self.key else self.what

    def __str__(self) -> str:
        return str(self.text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of rows by their effect, of the look-ups on the way, and the problems.

    `once` counts rows with their effect as wanted, `asked` rows left to a person, `twice` rows with a forbidden
    second effect, `lost` rows without the effect that they should have. `repeated` counts rows with an allowed second
    effect.
    """

    once: int
    twice: int
    lost: int
    foreign: int
    repeated: int
    rejected: int
    attempts: int
    unknown: int
    found: int
    asked: int
    problems: tuple[Problem, ...]


class _Judged(Protocol):
    """What a verdict counts of a row."""

    @property
    def state(self) -> State: ...

    @property
    def attempts(self) -> int: ...


def verdict_of(
    tally: Counter[str], rows: Sequence[_Judged], steps: Mapping[tuple[str, str], int], problems: Sequence[Problem]
) -> Verdict:
    """The verdict of what was tallied, of the rows and their steps between states, and of the problems found."""
    return Verdict(
        once=tally["once"],
        twice=tally["twice"],
        lost=tally["lost"],
        foreign=tally["foreign"],
        repeated=tally["repeated"],
        rejected=sum(row.state is State.REJECTED for row in rows),
        attempts=sum(row.attempts for row in rows),
        unknown=sum(count for (_, target), count in steps.items() if target == State.UNKNOWN),
        found=steps.get((State.UNKNOWN, State.ACCEPTED), 0),
        asked=tally["asked"],
        problems=tuple(problems),
    )


def judge(books: Books) -> Verdict:
    """Judge an experiment."""
    tally: Counter[str] = Counter()
    if books.undone:
        # What was taken back is judged by what comes after it.
        return verdict_of(tally, books.rows, books.steps, [*_repeated(books, tally)])
    problems = [
        *_row_problems(books, tally),
        *_stray_problems(books, tally),
        *_doubled_problems(books, tally),
        *_overtaken_problems(books, tally),
        *_sum_problems(books),
        *step_problems(books.steps, sum(row.attempts for row in books.rows)),
    ]
    return verdict_of(tally, books.rows, books.steps, problems)


@dataclass(frozen=True, slots=True)
class RefusedLoad:
    """A load that had to be refused for a column: its exit code, its output, and the effects in the ledger."""

    column: str
    exit: int
    said: str
    effects: int


def judge_refusal(refused: RefusedLoad) -> Verdict:
    """Judge an experiment whose load must not begin."""
    problems: list[Problem] = []
    if refused.exit != ExitCode.REFUSED:
        problems.append(
            Problem(
                "",
                said(
                    "{column}: the load had to be refused, and ended with {exit}",
                    column=refused.column,
                    exit=refused.exit,
                ),
            )
        )
    elif not all(name in " ".join(refused.said.split()) for name in refused.column.split(".")):
        problems.append(Problem("", said("{column}: the load was refused without naming it", column=refused.column)))
    if refused.effects:
        problems.append(
            Problem(
                "",
                said(
                    "{column}: the load had to be refused, and the billing has {effects} effects",
                    column=refused.column,
                    effects=refused.effects,
                ),
            )
        )
    return Verdict(
        once=0,
        twice=0,
        lost=0,
        foreign=refused.effects,
        repeated=0,
        rejected=0,
        attempts=0,
        unknown=0,
        found=0,
        asked=0,
        problems=tuple(problems),
    )


def _row_problems(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Check each row by itself: its state and the number of its effects."""
    effects: defaultdict[object, list[LedgerEffect]] = defaultdict(list)
    for effect in books.effects:
        # A created object carries the mark of its item; a changed one is identified by the object alone.
        effects[effect.mark if books.marked else effect.subject].append(effect)
    for row in books.rows:
        own = effects[(books.run, row.number) if books.marked else row.subject]
        is_touched = row.key in books.touched
        is_asked = row.state is State.MANUAL and (books.may_ask or is_touched) and len(own) <= 1
        if is_asked or (is_touched and row.unproven and not own):
            tally["asked"] += 1
        elif not row.state.settled:
            tally["twice"] += books.once and len(own) > 1
            yield Problem(row.key, said("left {state}, with {times}", state=row.state, times=_times(own)))
        elif not row.state.in_effect:
            if own and not _may_have_effect(books, row):
                yield Problem(
                    row.key, said("is {state} and had its effect: {times}", state=row.state, times=_times(own))
                )
        elif not own:
            tally["lost"] += 1
            yield Problem(row.key, said("is {state} and had no effect", state=row.state))
        elif books.once and len(own) > 1:
            tally["twice"] += 1
            yield Problem(row.key, said("had its effect {times}", times=_times(own)))
        elif wrong := _wrong_value(books, row, own):
            yield Problem(row.key, wrong)
        else:
            tally["once"] += 1
            tally["repeated"] += len(own) > 1


def _wrong_value(books: Books, row: BookRow, own: Sequence[LedgerEffect]) -> str | None:
    if books.once:
        effect = own[0]
        if effect.subject != row.subject:
            return said(
                "was entered for {subject}, request {request}", subject=str(effect.subject), request=effect.request
            )
        if effect.value != row.wanted:
            return said("asked for {wanted}, entered {value}", wanted=str(row.wanted), value=str(effect.value))
    if books.once and not books.ends:
        return None
    there = books.ends.get(row.key)
    if there == row.wanted:
        return None
    return said("asked for {wanted}, the billing has {value}", wanted=str(row.wanted), value=str(there))


def _may_have_effect(books: Books, row: BookRow) -> bool:
    """Whether a row without success may have had its effect.

    A repeatable call is sent again when its answer was lost: the first one may have had its effect and the second be
    refused, also where a copy of the journal that was put back knows only of the second. Two rows on one account are
    also a single subject in the ledger.
    """
    shared = any(other.subject == row.subject and other.state.in_effect for other in books.rows)
    return not books.once and (row.attempts > 1 or row.key in books.forgotten or shared or books.misled)


def _times(effects: Sequence[LedgerEffect]) -> str:
    if not effects:
        return said("no effect")
    return counted(
        "{n} time (request {requests})",
        "{n} times (requests {requests})",
        len(effects),
        requests=tuple(str(effect.request) for effect in effects),
    )


def _overtaken_problems(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Check that nothing was sent that a stranger has overtaken."""
    numbers = {effect.mark[1] for effect in books.effects if effect.mark is not None and effect.mark[0] == books.run}
    subjects = {effect.subject for effect in books.effects}
    for row in books.rows:
        if books.touched.get(row.key) and (row.number in numbers if books.marked else row.subject in subjects):
            tally["foreign"] += 1
            yield Problem(row.key, said("was sent over what somebody else has done since the list was made"))


def _repeated(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Check for rows with two effects, where rows are told by their marks."""
    for row in books.rows if books.once and books.marked else ():
        own = [effect for effect in books.effects if effect.mark == (books.run, row.number)]
        if len(own) > 1:
            tally["twice"] += 1
            yield Problem(row.key, said("had its effect {times}", times=_times(own)))


def _doubled_problems(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Check for rows that two journals have entered: only what was being sent may be, and has to be named."""
    for row in books.doubled:
        if row.key not in books.racing:
            tally["twice"] += 1
            yield Problem(row.key, said("was entered by another journal as well, long before it was sent"))
        elif not books.named:
            yield Problem(row.key, said("was entered by another journal as well, and verify does not say it"))


def _stray_problems(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Check for effects without a row of the saved list, and for rows that are not in the input."""
    numbers = {row.number for row in books.rows}
    subjects = {row.subject for row in books.rows}
    for effect in books.effects:
        if books.marked:
            known = effect.mark is not None and (
                effect.mark[0] in books.others or (effect.mark[0] == books.run and effect.mark[1] in numbers)
            )
        else:
            known = effect.subject in subjects
        if effect.model != books.model or not known:
            tally["foreign"] += 1
            yield Problem(
                str(effect.subject),
                said(
                    "request {request} on {model} is of no row of the frozen list",
                    request=effect.request,
                    model=effect.model,
                ),
            )
    seen = Counter(row.key for row in books.rows)
    for key in books.requested.keys() - seen.keys():
        yield Problem(key, said("stands in the input and was never frozen"))
    for key, times in seen.items():
        if key not in books.requested:
            yield Problem(key, said("was frozen and does not stand in the input"))
        elif times > 1:
            yield Problem(key, said("was frozen {times} times", times=times))


def _sum_problems(books: Books) -> Iterator[Problem]:
    """Check the totals exactly."""
    if books.frozen != len(books.rows) or books.frozen != len(books.requested):
        yield Problem(
            "",
            said(
                "{requested} rows asked, {frozen} in the sum of all states",
                requested=len(books.requested),
                frozen=books.frozen,
            ),
        )
    if books.verified != _expected_verify_exit(books):
        yield Problem("", said("verify ended with {verified}", verified=books.verified))
    if books.entered is None:
        return
    asked = _sum(books.requested.values())
    if books.sum != asked:
        yield Problem("", said("asked for {asked}, the journal's states add up to {sum}", asked=asked, sum=books.sum))
    operations, total = books.entered
    foreign = books.foreign
    operations, total = operations - len(foreign), total - _sum(effect.value or "" for effect in foreign)
    entered = Counter(effect.subject for effect in books.effects if effect not in foreign)
    # A payment whose answer was lost may have been made, although it is left to a person.
    accepted = [
        row.wanted
        for row in books.rows
        if row.state.in_effect
        or (row.state is State.MANUAL and (books.may_ask or row.key in books.touched) and entered[row.subject])
    ]
    if operations != len(accepted):
        yield Problem(
            "",
            said(
                "{accepted} rows accepted, {operations} operations in the billing",
                accepted=len(accepted),
                operations=operations,
            ),
        )
    if total != _sum(accepted):
        yield Problem("", said("accepted {sum}, in the billing {total}", sum=_sum(accepted), total=total))


def _expected_verify_exit(books: Books) -> ExitCode:
    """The exit code that `verify` must have."""
    states = {row.state for row in books.rows}
    entered = any(state.in_effect for state in states)
    if any(not state.settled for state in states) or (books.unreadable and entered):
        return ExitCode.UNDECIDED
    different = books.doubled or (books.other_balances and entered)
    return ExitCode.REJECTED if State.REJECTED in states or different else ExitCode.DONE


def _sum(values: Iterable[Wanted]) -> Decimal:
    return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def step_problems(steps: Mapping[tuple[str, str], int], attempts: int) -> Iterator[Problem]:
    """Check the steps: only allowed ones, and as many intents as the rows count attempts."""
    for source, target in steps:
        if not may_follow(State(source), State(target)):
            yield Problem("", said("an item went from {source} to {target}", source=source, target=target))
    if attempts != (claims := steps.get((State.PENDING, State.SENDING), 0)):
        yield Problem(
            "", said("{attempts} attempts in the journal, {claims} intents seen", attempts=attempts, claims=claims)
        )
