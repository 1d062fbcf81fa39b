"""The verdict on an experiment: what the load says it did, held against what the billing's ledger says was done.

A pure function of the evidence: no process, no file, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from checkpoints.states import State, may_follow
from lab.crash.program import ExitCode
from lab.crash.trials import Wanted


@dataclass(frozen=True, slots=True)
class BookRow:
    """An item of the journal.

    `wanted` is its amount, or the text that the billing shall have; `subject` what the ledger counts it by.
    """

    number: int
    key: str
    label: str
    subject: int
    wanted: Wanted
    state: State
    attempts: int


@dataclass(frozen=True, slots=True)
class LedgerEffect:
    """An entry of the ledger; `mark` is the run and number that a created object carries."""

    model: str
    request: int
    subject: int
    value: Wanted | None
    mark: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """All that is known of an experiment in the end.

    `once` says that a second effect is one too many, `marked` that effects bear the mark of their row, `may_ask` that
    a row may be left to a person, `unreadable` that nothing can be read back, `other_balances` that the billing adds
    where the load takes for granted that it sets, which `verify` has to see. `requested` is the input: what is
    wanted for each key. `frozen` and `sum` are the journal's own totals over all states; `entered` is how many
    operations the billing's table has got and what they add up to, None for a job that creates none. `ends` are the
    values that the billing has now, by key, for a job that sets them. `steps` counts every step of an item.
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


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which key; an empty one is the whole experiment."""

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}" if self.key else self.what


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of rows by their effect, of the look-ups on the way, and what is wrong.

    `once` counts rows whose effect is there as it should be, `asked` those that are left to a person, `twice` those
    that have it more than once and must not, `lost` those that should have it and do not. `repeated` counts rows that
    had it more than once and may.
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


def judge(books: Books) -> Verdict:
    """The verdict on an experiment."""
    tally: Counter[str] = Counter()
    problems = [*_of_rows(books, tally), *_of_strangers(books, tally), *_of_sums(books), *_of_steps(books)]
    return Verdict(
        once=tally["once"],
        twice=tally["twice"],
        lost=tally["lost"],
        foreign=tally["foreign"],
        repeated=tally["repeated"],
        rejected=sum(row.state is State.REJECTED for row in books.rows),
        attempts=sum(row.attempts for row in books.rows),
        unknown=sum(count for (_, target), count in books.steps.items() if target == State.UNKNOWN),
        found=books.steps.get((State.UNKNOWN, State.ACCEPTED), 0),
        asked=tally["asked"],
        problems=tuple(problems),
    )


@dataclass(frozen=True, slots=True)
class RefusedLoad:
    """A load that had to be refused for a column: what it ended with and said, and the effects in the ledger."""

    column: str
    exit: int
    said: str
    effects: int


def judge_refusal(refused: RefusedLoad) -> Verdict:
    """The verdict on an experiment whose load must not begin."""
    problems: list[Problem] = []
    if refused.exit != ExitCode.REFUSED:
        problems.append(Problem("", f"{refused.column} is not there, and the load ended with {refused.exit}"))
    elif not all(name in refused.said for name in refused.column.split(".")):
        problems.append(Problem("", f"{refused.column} is not there, and the load was refused without naming it"))
    if refused.effects:
        problems.append(Problem("", f"{refused.column} is not there, and the billing has {refused.effects} effects"))
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


def _of_rows(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Each row by itself: its state, and how often it had its effect."""
    effects: defaultdict[object, list[LedgerEffect]] = defaultdict(list)
    for effect in books.effects:
        # What was created carries the mark of its item; what was set is known by the object alone.
        effects[effect.mark if books.marked else effect.subject].append(effect)
    for row in books.rows:
        own = effects[(books.run, row.number) if books.marked else row.subject]
        if row.state is State.MANUAL and books.may_ask and len(own) <= 1:
            tally["asked"] += 1
        elif not row.state.settled:
            tally["twice"] += books.once and len(own) > 1
            yield Problem(row.key, f"left {row.state}, with {_times(own)}")
        elif not row.state.in_effect:
            if own and not _may_have_had_it(books, row):
                yield Problem(row.key, f"is {row.state} and had its effect: {_times(own)}")
        elif not own:
            tally["lost"] += 1
            yield Problem(row.key, f"is {row.state} and had no effect")
        elif books.once and len(own) > 1:
            tally["twice"] += 1
            yield Problem(row.key, f"had its effect {_times(own)}")
        elif wrong := _wrong_value(books, row, own):
            yield Problem(row.key, wrong)
        else:
            tally["once"] += 1
            tally["repeated"] += len(own) > 1


def _wrong_value(books: Books, row: BookRow, own: Sequence[LedgerEffect]) -> str | None:
    if books.once:
        effect = own[0]
        if effect.subject != row.subject:
            return f"was entered for {effect.subject}, request {effect.request}"
        if effect.value != row.wanted:
            return f"asked for {row.wanted}, entered {effect.value}"
    if books.once and not books.ends:
        return None
    there = books.ends.get(row.key)
    return None if there == row.wanted else f"asked for {row.wanted}, the billing has {there}"


def _may_have_had_it(books: Books, row: BookRow) -> bool:
    """Whether a row without success may have had its effect all the same.

    A call that may be repeated is, when its answer was lost: the first may have had its effect and the second be
    refused. And two rows on one account are one subject to the ledger.
    """
    shared = any(other.subject == row.subject and other.state.in_effect for other in books.rows)
    return not books.once and (row.attempts > 1 or shared)


def _times(effects: Sequence[LedgerEffect]) -> str:
    requests = ", ".join(str(effect.request) for effect in effects)
    return f"{len(effects)} times (requests {requests})" if effects else "no effect"


def _of_strangers(books: Books, tally: Counter[str]) -> Iterator[Problem]:
    """Effects that no row of the frozen list accounts for, and rows that the input never had."""
    numbers = {row.number for row in books.rows}
    subjects = {row.subject for row in books.rows}
    for effect in books.effects:
        if books.marked:
            known = effect.mark is not None and effect.mark[0] == books.run and effect.mark[1] in numbers
        else:
            known = effect.subject in subjects
        if effect.model != books.model or not known:
            tally["foreign"] += 1
            yield Problem(
                str(effect.subject), f"request {effect.request} on {effect.model} is of no row of the frozen list"
            )
    seen = Counter(row.key for row in books.rows)
    for key in books.requested.keys() - seen.keys():
        yield Problem(key, "stands in the input and was never frozen")
    for key, times in seen.items():
        if key not in books.requested:
            yield Problem(key, "was frozen and does not stand in the input")
        elif times > 1:
            yield Problem(key, f"was frozen {times} times")


def _of_sums(books: Books) -> Iterator[Problem]:
    """The books as a whole, to the kopeck."""
    if books.frozen != len(books.rows) or books.frozen != len(books.requested):
        yield Problem("", f"{len(books.requested)} rows asked, {books.frozen} in the sum of all states")
    if books.verified != _to_be_verified(books):
        yield Problem("", f"verify ended with {books.verified}")
    if books.entered is None:
        return
    asked = _sum(books.requested.values())
    if books.sum != asked:
        yield Problem("", f"asked for {asked}, the journal's states add up to {books.sum}")
    operations, total = books.entered
    entered = Counter(effect.subject for effect in books.effects)
    # A payment whose answer was lost may be there, and is left to a person all the same.
    accepted = [
        row.wanted
        for row in books.rows
        if row.state.in_effect or (books.may_ask and row.state is State.MANUAL and entered[row.subject])
    ]
    if operations != len(accepted):
        yield Problem("", f"{len(accepted)} rows accepted, {operations} operations in the billing")
    if total != _sum(accepted):
        yield Problem("", f"accepted {_sum(accepted)}, in the billing {total}")


def _to_be_verified(books: Books) -> ExitCode:
    """What `verify` has to end with."""
    states = {row.state for row in books.rows}
    entered = any(state.in_effect for state in states)
    if any(not state.settled for state in states) or (books.unreadable and entered):
        return ExitCode.UNDECIDED
    return ExitCode.REJECTED if State.REJECTED in states or (books.other_balances and entered) else ExitCode.DONE


def _sum(values: Iterable[Wanted]) -> Decimal:
    return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def _of_steps(books: Books) -> Iterator[Problem]:
    """The way there: only steps of the table, and as many intents as the rows count attempts."""
    for source, target in books.steps:
        if not may_follow(State(source), State(target)):
            yield Problem("", f"an item went from {source} to {target}")
    claims = books.steps.get((State.PENDING, State.SENDING), 0)
    if (attempts := sum(row.attempts for row in books.rows)) != claims:
        yield Problem("", f"{attempts} attempts in the journal, {claims} intents seen")
