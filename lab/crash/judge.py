"""The verdict on an experiment: compares what the load reports with what the billing holds.

A pure function of the evidence: no process, no file, no clock. Each rule yields what it finds wrong, by the key of
its row, "" for the whole experiment. A load is judged by the billing's ledger, an import by what the billing holds.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeAlias

from checkpoints.states import State, may_follow
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, step_key
from lab.crash.program import ExitCode
from lab.crash.trials import Wanted
from texts.said import counted, said

Steps: TypeAlias = Mapping[tuple[str, str], int]
"""How often items went from one state to another."""

Found: TypeAlias = Iterator[tuple[str, str]]
"""What a rule finds wrong, each behind its key."""


@dataclass(frozen=True, slots=True)
class BookRow:
    """An item of the journal.

    `wanted` is its amount, or the text that the billing shall have; `subject` is its key in the ledger. What is
    `unproven` may be somebody else's, as the program says.
    """

    number: int
    key: str
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
    steps: Steps
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

    once: int = 0
    twice: int = 0
    lost: int = 0
    foreign: int = 0
    repeated: int = 0
    rejected: int = 0
    attempts: int = 0
    unknown: int = 0
    found: int = 0
    asked: int = 0
    problems: tuple[Problem, ...] = ()


# ---- the books of an import -------------------------------------------------------------------------------------

Group: TypeAlias = tuple[str, str]
"""What subscribers are counted by: `folder` with its path, or `tariff` with its id."""

Held: TypeAlias = Mapping[str, tuple[str, ...]]
"""What the billing holds: the value of each object by the key of the step that creates or sets it."""

_SET: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""Steps that set a field: sent again, they have the same effect."""


@dataclass(frozen=True, slots=True)
class ImportItem:
    """An item of the journal: a step of a subscriber, or a folder; `needs` are the keys of those before it.

    What is `unproven` was found after a kill, and may be a stranger's: an undo leaves it alone.
    """

    key: str
    step: str
    state: State
    attempts: int
    needs: tuple[str, ...] = ()
    message: str = ""
    unproven: bool = False

    @property
    def has_effect(self) -> bool:
        """Whether the billing has what it asks for, as the journal says."""
        return self.state.in_effect or self.state is State.SKIPPED


@dataclass(frozen=True, slots=True)
class GroupTotal:
    """The subscribers of a group, and the sum of their balances."""

    subscribers: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class UndoneImport:
    """What is left of an import that was taken back: its exit code, what is held, and the tables that differ."""

    exit: int
    held: Held
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportBooks:
    """The complete final state of an import.

    `refused` counts the lines that the journal has refused. `totals` are the billing's own counts and sums of new
    subscribers, `orphans` counts rows without their parent by table. `steps` counts every step of an item. `touched`
    are the numbers of subscribers that a stranger has created meanwhile: what he has is not held here.
    """

    requested: RequestedImport
    refused: int
    items: Sequence[ImportItem]
    held: Held
    totals: Mapping[Group, GroupTotal]
    orphans: Mapping[str, int]
    steps: Steps
    verified: int
    undone: UndoneImport | None = None
    touched: frozenset[str] = frozenset()

    def is_touched(self, key: str) -> bool:
        """Whether a step is of a subscriber that a stranger has created."""
        return key.partition("/")[0] in self.touched


# ---- the verdicts -----------------------------------------------------------------------------------------------


def judge(books: Books) -> Verdict:
    """Judge an experiment."""
    tally: Counter[str] = Counter()
    if books.undone:
        # What was taken back is judged by what comes after it.
        return _verdict(tally, books.rows, books.steps, _repeated(books, tally))
    return _verdict(
        tally,
        books.rows,
        books.steps,
        _row_problems(books, tally),
        _stray_problems(books, tally),
        _input_problems(books.requested, books.rows),
        _doubled_problems(books, tally),
        _overtaken_problems(books, tally),
        _sum_problems(books),
        _step_problems(books.steps, books.rows),
    )


def judge_import(books: ImportBooks) -> Verdict:
    """Judge an import, and its undo if there was one."""
    tally: Counter[str] = Counter()
    # Where a stranger was at work, what may be his stays, with all that belongs to it.
    kept = books.touched and any(item.unproven for item in books.items)
    return _verdict(
        tally,
        books.items,
        books.steps,
        _input_problems(books.requested.wanted, books.items),
        _item_problems(books, tally),
        _held_problems(books, tally),
        _total_problems(books),
        _rejection_problems(books),
        _step_problems(books.steps, books.items),
        _left_problems(books.undone) if books.undone and not kept else iter(()),
    )


def judge_undone(undone: UndoneImport) -> Verdict:
    """Judge an import that was stopped and taken back."""
    return _verdict(Counter(), (), {}, _left_problems(undone))


@dataclass(frozen=True, slots=True)
class RefusedLoad:
    """A load that had to be refused for a column: its exit code, its output, and the effects in the ledger."""

    column: str
    exit: int
    said: str
    effects: int


def judge_refusal(refused: RefusedLoad) -> Verdict:
    """Judge an experiment whose load must not begin."""
    return _verdict(Counter(foreign=refused.effects), (), {}, _refusal_problems(refused))


def _verdict(tally: Counter[str], rows: Sequence[BookRow | ImportItem], steps: Steps, *rules: Found) -> Verdict:
    """The verdict of rules, which count in the tally what they see of each row."""
    problems = tuple(Problem(key, what) for rule in rules for key, what in rule)
    return Verdict(
        **tally,
        rejected=sum(row.state is State.REJECTED for row in rows),
        attempts=sum(row.attempts for row in rows),
        unknown=sum(count for (_, target), count in steps.items() if target == State.UNKNOWN),
        found=steps.get((State.UNKNOWN, State.ACCEPTED), 0),
        problems=problems,
    )


# ---- rules of both ----------------------------------------------------------------------------------------------


def _input_problems(requested: Collection[str], rows: Sequence[BookRow | ImportItem]) -> Found:
    """Check that each row of the input was frozen once, and nothing else."""
    seen = Counter(row.key for row in rows)
    for key in requested:
        if key not in seen:
            yield key, said("stands in the input and was never frozen")
    for key, times in seen.items():
        if key not in requested:
            yield key, said("was frozen and does not stand in the input")
        elif times > 1:
            yield key, said("was frozen {times} times", times=times)


def _fate(  # noqa: PLR0913 - what is known of a row
    state: State, own: int, times: str, tally: Counter[str], *, once: bool, in_effect: bool, excused: bool, wrong: str
) -> str:
    """What is wrong with a row that has had `own` effects, "" for nothing; it is counted in the tally.

    A row without success that is `excused` may have had its effect all the same. `wrong` says what is wrong with the
    value of what it has.
    """
    twice = once and own > 1
    if not state.settled:
        tally["twice"] += twice
        return said("left {state}, with {times}", state=state, times=times)
    if not in_effect:
        return said("is {state} and had its effect: {times}", state=state, times=times) if own and not excused else ""
    if not own:
        tally["lost"] += 1
        return said("is {state} and had no effect", state=state)
    if twice:
        tally["twice"] += 1
        return said("had its effect {times}", times=times)
    if not wrong:
        tally["once"] += 1
        tally["repeated"] += own > 1
    return wrong


def _verify_problems(verified: int, states: Collection[State], *, unreadable: bool, different: bool) -> Found:
    """Check the exit code of `verify`."""
    expected = ExitCode.REJECTED if different or State.REJECTED in states else ExitCode.DONE
    if unreadable or any(not state.settled for state in states):
        expected = ExitCode.UNDECIDED
    if verified != expected:
        yield "", said("verify ended with {verified}", verified=verified)


def _step_problems(steps: Steps, rows: Sequence[BookRow | ImportItem]) -> Found:
    """Check the steps: only allowed ones, and as many intents as the rows count attempts."""
    for source, target in steps:
        if not may_follow(State(source), State(target)):
            yield "", said("an item went from {source} to {target}", source=source, target=target)
    attempts, claims = sum(row.attempts for row in rows), steps.get((State.PENDING, State.SENDING), 0)
    if attempts != claims:
        yield (
            "",
            said("{attempts} attempts in the journal, {claims} intents seen", attempts=attempts, claims=claims),
        )


# ---- rules of a load --------------------------------------------------------------------------------------------


def _row_problems(books: Books, tally: Counter[str]) -> Found:
    """Check each row by itself: its state and the number of its effects."""
    effects: defaultdict[object, list[LedgerEffect]] = defaultdict(list)
    for effect in books.effects:
        # A created object carries the mark of its item; a changed one is identified by the object alone.
        effects[effect.mark if books.marked else effect.subject].append(effect)
    settled = {row.subject for row in books.rows if row.state.in_effect}
    for row in books.rows:
        own = effects[(books.run, row.number) if books.marked else row.subject]
        is_touched = row.key in books.touched
        is_asked = row.state is State.MANUAL and (books.may_ask or is_touched) and len(own) <= 1
        if is_asked or (is_touched and row.unproven and not own):
            tally["asked"] += 1
            continue
        # A repeatable call is sent again when its answer was lost: the first one may have had its effect and the
        # second be refused, also where a copy of the journal that was put back knows only of the second. Two rows on
        # one account are also a single subject in the ledger.
        excused = not books.once and (
            row.attempts > 1 or row.key in books.forgotten or row.subject in settled or books.misled
        )
        what = _fate(
            row.state,
            len(own),
            _times(own),
            tally,
            once=books.once,
            in_effect=row.state.in_effect,
            excused=excused,
            wrong=_wrong_value(books, row, own[0]) if own else "",
        )
        if what:
            yield row.key, what


def _wrong_value(books: Books, row: BookRow, effect: LedgerEffect) -> str:
    if books.once:
        if effect.subject != row.subject:
            return said(
                "was entered for {subject}, request {request}", subject=str(effect.subject), request=effect.request
            )
        if effect.value != row.wanted:
            return said("asked for {wanted}, entered {value}", wanted=str(row.wanted), value=str(effect.value))
        if not books.ends:
            return ""
    if (there := books.ends.get(row.key)) == row.wanted:
        return ""
    return said("asked for {wanted}, the billing has {value}", wanted=str(row.wanted), value=str(there))


def _times(effects: Sequence[LedgerEffect]) -> str:
    requests = tuple(str(effect.request) for effect in effects)
    if not requests:
        return said("no effect")
    return counted(
        "{n} time (request {requests})", "{n} times (requests {requests})", len(requests), requests=requests
    )


def _overtaken_problems(books: Books, tally: Counter[str]) -> Found:
    """Check that nothing was sent that a stranger has overtaken."""
    numbers = {effect.mark[1] for effect in books.effects if effect.mark is not None and effect.mark[0] == books.run}
    subjects = {effect.subject for effect in books.effects}
    for row in books.rows:
        if books.touched.get(row.key) and (row.number in numbers if books.marked else row.subject in subjects):
            tally["foreign"] += 1
            yield row.key, said("was sent over what somebody else has done since the list was made")


def _repeated(books: Books, tally: Counter[str]) -> Found:
    """Check for rows with two effects, where rows are told by their marks."""
    for row in books.rows if books.once and books.marked else ():
        own = [effect for effect in books.effects if effect.mark == (books.run, row.number)]
        if len(own) > 1:
            tally["twice"] += 1
            yield row.key, said("had its effect {times}", times=_times(own))


def _doubled_problems(books: Books, tally: Counter[str]) -> Found:
    """Check for rows that two journals have entered: only what was being sent may be, and has to be named."""
    for row in books.doubled:
        if row.key not in books.racing:
            tally["twice"] += 1
            yield row.key, said("was entered by another journal as well, long before it was sent")
        elif not books.named:
            yield row.key, said("was entered by another journal as well, and verify does not say it")


def _stray_problems(books: Books, tally: Counter[str]) -> Found:
    """Check for effects without a row of the saved list."""
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
            yield (
                str(effect.subject),
                said(
                    "request {request} on {model} is of no row of the frozen list",
                    request=effect.request,
                    model=effect.model,
                ),
            )


def _sum_problems(books: Books) -> Found:
    """Check the totals exactly."""
    requested = len(books.requested)
    if books.frozen != len(books.rows) or books.frozen != requested:
        yield (
            "",
            said(
                "{requested} rows asked, {frozen} in the sum of all states", requested=requested, frozen=books.frozen
            ),
        )
    states = {row.state for row in books.rows}
    entered = any(state.in_effect for state in states)
    yield from _verify_problems(
        books.verified,
        states,
        unreadable=books.unreadable and entered,
        different=bool(books.doubled) or (books.other_balances and entered),
    )
    if books.entered is None:
        return
    asked = _sum(books.requested.values())
    if books.sum != asked:
        yield "", said("asked for {asked}, the journal's states add up to {sum}", asked=asked, sum=books.sum)
    operations, total = books.entered
    foreign = books.foreign
    operations, total = operations - len(foreign), total - _sum(effect.value or "" for effect in foreign)
    there = {effect.subject for effect in books.effects if effect not in foreign}
    # A payment whose answer was lost may have been made, although it is left to a person.
    accepted = [
        row.wanted
        for row in books.rows
        if row.state.in_effect
        or (row.state is State.MANUAL and (books.may_ask or row.key in books.touched) and row.subject in there)
    ]
    if operations != len(accepted):
        yield (
            "",
            said(
                "{accepted} rows accepted, {operations} operations in the billing",
                accepted=len(accepted),
                operations=operations,
            ),
        )
    if total != _sum(accepted):
        yield "", said("accepted {sum}, in the billing {total}", sum=_sum(accepted), total=total)


def _sum(values: Iterable[Wanted]) -> Decimal:
    return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def _refusal_problems(refused: RefusedLoad) -> Found:
    column = refused.column
    if refused.exit != ExitCode.REFUSED:
        yield (
            "",
            said("{column}: the load had to be refused, and ended with {exit}", column=column, exit=refused.exit),
        )
    elif not all(name in " ".join(refused.said.split()) for name in column.split(".")):
        yield "", said("{column}: the load was refused without naming it", column=column)
    if refused.effects:
        yield (
            "",
            said(
                "{column}: the load had to be refused, and the billing has {effects} effects",
                column=column,
                effects=refused.effects,
            ),
        )


# ---- rules of an import -----------------------------------------------------------------------------------------


def _item_problems(books: ImportBooks, tally: Counter[str]) -> Found:
    """Check each step by itself: its state, how often the billing has it, and its value; and each faulty row."""
    wanted = books.requested.wanted
    for item in books.items:
        there = books.held.get(item.key, ())
        if books.is_touched(item.key) and not there:
            if not item.state.settled:
                tally["asked"] += 1
                continue
            if item.has_effect and (item.step != Step.SUBSCRIBER or item.unproven or item.state is State.SKIPPED):
                continue
        value = wanted.get(item.key)
        wrong = ""
        if there and value not in {None, there[0]}:
            wrong = said("asked for {wanted}, the billing has {value}", wanted=str(value), value=there[0])
        times = counted("{n} time ({values})", "{n} times ({values})", len(there), values=tuple(there))
        what = _fate(
            item.state,
            len(there),
            times if there else said("no effect"),
            tally,
            once=True,
            in_effect=item.has_effect,
            excused=item.step in _SET,
            wrong=wrong,
        )
        if what:
            yield item.key, what
    states = {item.state for item in books.items}
    # Where steps of a touched subscriber wait for a person, others wait for them.
    if not any(not item.state.settled and books.is_touched(item.key) for item in books.items):
        yield from _verify_problems(books.verified, states, unreadable=False, different=False)
    if books.refused != (faulty := books.requested.faulty):
        yield "", said("faulty rows: {faulty}; refused: {refused}", faulty=faulty, refused=books.refused)


def _held_problems(books: ImportBooks, tally: Counter[str]) -> Found:
    """Check for what no row asks for, and for what is without its subscriber or folder."""
    wanted = books.requested.wanted
    for key, there in books.held.items():
        if key not in wanted:
            tally["foreign"] += len(there)
            yield key, said("is in the billing, and no row asks for it: {values}", values=there)
    for table, count in books.orphans.items():
        yield (
            "",
            counted(
                "{n} row of {table} is without its subscriber or folder",
                "{n} rows of {table} are without their subscriber or folder",
                count,
                table=table,
            ),
        )


def _total_problems(books: ImportBooks) -> Found:
    """Check the counts and sums by folder and tariff, to the kopeck."""
    has_effect = {item.key for item in books.items if item.has_effect}
    counts: Counter[Group] = Counter()
    sums: defaultdict[Group, Decimal] = defaultdict(Decimal)
    for one in books.requested.subscribers:
        if (key := step_key(one.number, Step.SUBSCRIBER)) not in has_effect:
            continue
        if one.number in books.touched and key not in books.held:
            continue
        balance = one.balance if step_key(one.number, Step.BALANCE) in has_effect else Decimal(0)
        tariff = one.tariff if step_key(one.number, Step.TARIFF) in has_effect else None
        for group in (("folder", "/".join(one.folder)), ("tariff", str(tariff or ""))):
            counts[group] += 1
            sums[group] += balance
    for group in counts.keys() | books.totals.keys():
        asked = GroupTotal(counts[group], sums[group])
        there = books.totals.get(group, GroupTotal(0, Decimal(0)))
        if asked != there:
            yield (
                " ".join(group),
                said(
                    "subscribers accepted: {asked}, with {sum}; in the billing: {there}, with {total}",
                    asked=asked.subscribers,
                    sum=asked.balance,
                    there=there.subscribers,
                    total=there.balance,
                ),
            )


def _rejection_problems(books: ImportBooks) -> Found:
    """Check that what is rejected was refused by the billing, as it was told to, or needs what was."""
    rejected = {item.key for item in books.items if item.state is State.REJECTED}
    for item in books.items:
        if item.key not in rejected or not rejected.isdisjoint(item.needs) or books.is_touched(item.key):
            continue
        if not any(text.casefold() in item.message.casefold() for text in books.requested.refusals):
            yield item.key, said("is rejected, and nothing is wrong with it: {message}", message=item.message)


def _left_problems(undone: UndoneImport) -> Found:
    """Check that nothing is left of an import that was taken back, and nothing else has changed."""
    if undone.exit != ExitCode.DONE:
        yield "", said("undo ended with {exit}", exit=undone.exit)
    for key, there in undone.held.items():
        yield key, said("is left after the undo: {values}", values=there)
    for table in undone.changed:
        yield "", said("{table} is not as it was before the import", table=table)
