"""The verdict on an experiment: compares what the load reports with what the billing holds.

A pure function of the evidence: no process, no file, no clock. Each rule yields what it finds wrong, and counts in
the tally what it sees of each row.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeAlias

from checkpoints.states import State, may_follow
from jobs.imports.subscriber import Step
from lab.crash.import_table import RequestedImport, step_key
from lab.crash.program import ExitCode
from lab.crash.trials import Wanted
from texts.said import counted, said

Found: TypeAlias = Iterator[str | tuple[str, str]]
"""What a rule finds wrong, each behind its key if it has one."""
Tally: TypeAlias = Counter[str]
Group: TypeAlias = tuple[str, str]
"""What subscribers of an import are counted by: `folder` with its path, or `tariff` with its id."""

_SET: Final = frozenset({Step.TARIFF, Step.THRESHOLD, Step.LIMIT})
"""Steps that set a field: sent again, they have the same effect."""


# ---- the evidence -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BookRow:
    """An item of the journal: a row of a load, or the step of a subscriber, where `needs` are the keys before it.

    `wanted` is its amount, or the text that the billing shall have; `subject` is its key among the effects. What is
    `unproven` may be somebody else's, as the program says.
    """

    number: int
    key: str
    subject: object
    wanted: Wanted
    state: State
    attempts: int
    unproven: bool = False
    step: str = ""
    needs: tuple[str, ...] = ()
    message: str = ""

    @property
    def has_effect(self) -> bool:
        """Whether the billing has what it asks for, as the journal says; a step may be left out for that."""
        return self.state.in_effect or (bool(self.step) and self.state is State.SKIPPED)


@dataclass(frozen=True, slots=True)
class Effect:
    """An entry of the ledger with its request, or what an import is to have created or set.

    `mark` is the run and number on a created object.
    """

    model: str
    request: int
    subject: object
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
    for a job that sets them. `steps` counts every step of an item from one state to another. `forgotten` are the keys
    of rows that were sent, of which a copy of the journal that was put back does not know.

    `touched` are the keys of rows that a stranger had in his hands, and whether they must not be sent since; of an
    import they are subscribers, and what he has is no effect. `others` are runs of other journals with the same
    input, `racing` the keys of rows that were being sent when one of them began: what both have entered `verify` must
    have `named`. `misled` says that a proxy has called effects refused. `undone` is a run that was taken back.

    Of an `imported` table, `refused` counts the rows that the journal has refused, `totals` are the billing's own
    counts and sums of new subscribers, and `orphans` counts rows without their parent by table.
    """

    run: str
    model: str
    once: bool
    requested: Mapping[str, Wanted]
    rows: Sequence[BookRow]
    effects: Sequence[Effect]
    steps: Mapping[tuple[str, str], int]
    verified: int
    frozen: int = 0
    sum: Decimal = Decimal(0)
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
    imported: RequestedImport | None = None
    refused: int = 0
    totals: Mapping[Group, tuple[int, Decimal]] = field(default_factory=dict)
    orphans: Mapping[str, int] = field(default_factory=dict)

    def of(self, effect: Effect, row: BookRow) -> bool:
        """Whether an effect is that of a row: a created object has its mark, a changed one is told by itself."""
        return effect.mark == (self.run, row.number) if self.marked else effect.subject == row.subject

    @property
    def foreign(self) -> Sequence[Effect]:
        return [effect for effect in self.effects if effect.mark is not None and effect.mark[0] in self.others]

    @property
    def doubled(self) -> Sequence[BookRow]:
        """The rows that another journal has entered as well."""
        own = {effect.mark for effect in self.effects}
        theirs = {effect.subject for effect in self.foreign}
        return [row for row in self.rows if (self.run, row.number) in own and row.subject in theirs]

    def is_touched(self, row: BookRow) -> bool:
        """Whether a row is of somebody whom a stranger had in his hands."""
        return (row.key.partition("/")[0] if self.imported else row.key) in self.touched


# ---- the verdict ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault and the key that it concerns, "" for the whole experiment."""

    key: str
    what: str

    @property
    def text(self) -> str:
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


def judge(books: Books) -> Verdict:
    tally: Tally = Counter()
    rules = (_repeated,) if books.undone else _OF_IMPORTS if books.imported else _OF_LOADS
    found = [one for rule in rules for one in rule(books, tally)]
    return Verdict(
        **tally,
        rejected=sum(row.state is State.REJECTED for row in books.rows),
        attempts=sum(row.attempts for row in books.rows),
        unknown=sum(count for (_, target), count in books.steps.items() if target == State.UNKNOWN),
        found=books.steps.get((State.UNKNOWN, State.ACCEPTED), 0),
        problems=tuple(Problem("", one) if isinstance(one, str) else Problem(*one) for one in found),
    )


def judge_undone(ended: int, held: Sequence[Effect], changed: Sequence[str]) -> list[Problem]:
    """Judge an import that was taken back: its exit code, what is still held, and the tables that differ."""
    problems = [Problem("", said("{table} is not as it was before the import", table=table)) for table in changed]
    for one in held:
        problems += [Problem(str(one.subject), said("is left after the undo: {value}", value=str(one.value)))]
    if ended != ExitCode.DONE:
        problems.append(Problem("", said("undo ended with {exit}", exit=ended)))
    return problems


def judge_refusal(column: str, exit_code: int, output: str, effects: int) -> Verdict:
    """Judge an experiment whose load must not begin, for a column: its end, its output, and effects in the ledger."""
    whats = []
    if exit_code != ExitCode.REFUSED:
        whats.append(
            said("{column}: the load had to be refused, and ended with {exit}", column=column, exit=exit_code)
        )
    elif not all(name in " ".join(output.split()) for name in column.split(".")):
        whats.append(said("{column}: the load was refused without naming it", column=column))
    if effects:
        whats.append(
            said(
                "{column}: the load had to be refused, and the billing has {effects} effects",
                column=column,
                effects=effects,
            )
        )
    return Verdict(foreign=effects, problems=tuple(Problem("", what) for what in whats))


# ---- the rules --------------------------------------------------------------------------------------------------


def _inputs(books: Books, _: Tally) -> Found:
    """Each row of the input was frozen once, and nothing else."""
    seen = Counter(row.key for row in books.rows)
    for key in books.requested:
        if key not in seen:
            yield key, said("stands in the input and was never frozen")
    for key, times in seen.items():
        if key not in books.requested:
            yield key, said("was frozen and does not stand in the input")
        elif times > 1:
            yield key, said("was frozen {times} times", times=times)


def _rows(books: Books, tally: Tally) -> Found:
    """Each row by itself: its state, the number of its effects, and their value."""
    effects: defaultdict[object, list[Effect]] = defaultdict(list)
    for effect in books.effects:
        effects[effect.mark if books.marked else effect.subject].append(effect)
    settled = {row.subject for row in books.rows if row.state.in_effect}
    for row in books.rows:
        own = effects[(books.run, row.number) if books.marked else row.subject]
        fate = _fate(books, row, own, is_excused=row.subject in settled)
        if fate in {"once", "asked"}:
            tally[fate] += 1
            tally["repeated"] += fate == "once" and len(own) > 1
        elif fate:
            tally["twice"] += books.once and len(own) > 1 and (row.has_effect or not row.state.settled)
            tally["lost"] += row.has_effect and not own
            yield row.key, fate


def _fate(books: Books, row: BookRow, own: Sequence[Effect], *, is_excused: bool) -> str:
    """What is wrong with a row that has these effects; else what it counts as, "" for nothing."""
    times, state = _times(own), row.state
    is_touched = books.is_touched(row)
    if books.imported:
        if is_touched and not own and not state.settled:
            return "asked"
        may_be_his = row.step != Step.SUBSCRIBER or row.unproven or state is State.SKIPPED
        if is_touched and not own and row.has_effect and may_be_his:
            return ""
    elif (state is State.MANUAL and (books.may_ask or is_touched) and len(own) <= 1) or (
        is_touched and row.unproven and not own
    ):
        return "asked"
    if not state.settled:
        return said("left {state}, with {times}", state=state, times=times)
    if not row.has_effect:
        # A repeatable call is sent again when its answer was lost: the first one may have had its effect and the
        # second be refused, also where a copy of the journal that was put back knows only of the second. Two rows on
        # one account are also a single subject in the ledger.
        repeated = row.attempts > 1 or row.key in books.forgotten or is_excused or books.misled
        excused = row.step in _SET if books.imported else not books.once and repeated
        return said("is {state} and had its effect: {times}", state=state, times=times) if own and not excused else ""
    if not own:
        return said("is {state} and had no effect", state=state)
    if books.once and len(own) > 1:
        return said("had its effect {times}", times=times)
    return _wrong_value(books, row, own[0]) or "once"


def _wrong_value(books: Books, row: BookRow, effect: Effect) -> str:
    there = effect.value
    if books.once and not books.imported:
        if effect.subject != row.subject:
            return said(
                "was entered for {subject}, request {request}", subject=str(effect.subject), request=effect.request
            )
        if there != row.wanted:
            return said("asked for {wanted}, entered {value}", wanted=str(row.wanted), value=str(there))
    if not books.imported and (books.ends or not books.once):
        there = books.ends.get(row.key)
    if there == row.wanted or (books.imported and row.key not in books.requested):
        return ""
    return said("asked for {wanted}, the billing has {value}", wanted=str(row.wanted), value=str(there))


def _times(effects: Sequence[Effect]) -> str:
    if not effects:
        return said("no effect")
    told = tuple(said("request {request}", request=one.request) if one.request else str(one.value) for one in effects)
    return counted("{n} time ({effects})", "{n} times ({effects})", len(told), effects=told)


def _strays(books: Books, tally: Tally) -> Found:
    """Effects without a row of the saved list."""
    marks = {(books.run, row.number) for row in books.rows}
    subjects = set(books.requested) if books.imported else {row.subject for row in books.rows}
    for effect in books.effects:
        is_of_other = effect.mark is not None and effect.mark[0] in books.others
        known = is_of_other or effect.mark in marks if books.marked else effect.subject in subjects
        if effect.model == books.model and known:
            continue
        tally["foreign"] += 1
        if books.imported:
            there = said("is in the billing, and no row asks for it: {value}", value=str(effect.value))
        else:
            there = said(
                "request {request} on {model} is of no row of the frozen list",
                request=effect.request,
                model=effect.model,
            )
        yield str(effect.subject), there


def _others(books: Books, tally: Tally) -> Found:
    """What was sent although a stranger has overtaken it, and rows that two journals have entered.

    Only what was being sent may be entered twice, and has to be named.
    """
    for row in books.rows:
        if books.touched.get(row.key) and any(books.of(effect, row) for effect in books.effects):
            tally["foreign"] += 1
            yield row.key, said("was sent over what somebody else has done since the list was made")
    for row in books.doubled:
        if row.key not in books.racing:
            tally["twice"] += 1
            yield row.key, said("was entered by another journal as well, long before it was sent")
        elif not books.named:
            yield row.key, said("was entered by another journal as well, and verify does not say it")


def _repeated(books: Books, tally: Tally) -> Found:
    """Rows with two effects, where rows are told by their marks."""
    for row in books.rows if books.once and books.marked else ():
        own = [effect for effect in books.effects if books.of(effect, row)]
        if len(own) > 1:
            tally["twice"] += 1
            yield row.key, said("had its effect {times}", times=_times(own))


def _sums(books: Books, _: Tally) -> Found:
    """The totals, exactly."""
    requested = len(books.requested)
    if books.frozen != len(books.rows) or books.frozen != requested:
        yield said(
            "{requested} rows asked, {frozen} in the sum of all states", requested=requested, frozen=books.frozen
        )
    if books.entered is None:
        return
    wanted = _sum(books.requested.values())
    if books.sum != wanted:
        yield said("asked for {asked}, the journal's states add up to {sum}", asked=wanted, sum=books.sum)
    operations, total = books.entered
    foreign = books.foreign
    operations, total = operations - len(foreign), total - _sum(effect.value for effect in foreign)
    there = {effect.subject for effect in books.effects if effect not in foreign}
    # A payment whose answer was lost may have been made, although it is left to a person.
    accepted = [
        row.wanted
        for row in books.rows
        if row.state.in_effect
        or (row.state is State.MANUAL and (books.may_ask or row.key in books.touched) and row.subject in there)
    ]
    if operations != len(accepted):
        yield said(
            "{accepted} rows accepted, {operations} operations in the billing",
            accepted=len(accepted),
            operations=operations,
        )
    if total != _sum(accepted):
        yield said("accepted {sum}, in the billing {total}", sum=_sum(accepted), total=total)


def _sum(values: Iterable[Wanted | None]) -> Decimal:
    return sum((value for value in values if isinstance(value, Decimal)), Decimal(0))


def _verified(books: Books, _: Tally) -> Found:
    """The exit code of `verify`."""
    if books.imported and any(not row.state.settled and books.is_touched(row) for row in books.rows):
        # Where steps of a touched subscriber wait for a person, others wait for them.
        return
    entered = any(row.state.in_effect for row in books.rows)
    different = books.doubled or (books.other_balances and entered)
    expected = ExitCode.DONE
    if different or any(row.state is State.REJECTED for row in books.rows):
        expected = ExitCode.REJECTED
    if (books.unreadable and entered) or any(not row.state.settled for row in books.rows):
        expected = ExitCode.UNDECIDED
    if books.verified != expected:
        yield said("verify ended with {verified}", verified=books.verified)


def _steps(books: Books, _: Tally) -> Found:
    """Only allowed steps, and as many intents as the rows count attempts."""
    for source, target in books.steps:
        if not may_follow(State(source), State(target)):
            yield said("an item went from {source} to {target}", source=source, target=target)
    attempts, claims = sum(row.attempts for row in books.rows), books.steps.get((State.PENDING, State.SENDING), 0)
    if attempts != claims:
        yield said("{attempts} attempts in the journal, {claims} intents seen", attempts=attempts, claims=claims)


# ---- rules of an import -----------------------------------------------------------------------------------------


def _import_totals(books: Books, _: Tally) -> Found:
    """The counts and sums by folder and tariff, to the kopeck; faulty rows are refused, and none lacks its parent."""
    imported = books.imported
    if imported is None:
        return
    if books.refused != imported.faulty:
        yield said("faulty rows: {faulty}; refused: {refused}", faulty=imported.faulty, refused=books.refused)
    for table, count in books.orphans.items():
        yield counted(
            "{n} row of {table} is without its subscriber or folder",
            "{n} rows of {table} are without their subscriber or folder",
            count,
            table=table,
        )
    has_effect = {row.key for row in books.rows if row.has_effect}
    held = {effect.subject for effect in books.effects}
    asked: defaultdict[Group, list[Decimal]] = defaultdict(list)
    for one in imported.subscribers:
        key = step_key(one.number, Step.SUBSCRIBER)
        if key in has_effect and (one.number not in books.touched or key in held):
            balance = one.balance if step_key(one.number, Step.BALANCE) in has_effect else Decimal(0)
            tariff = one.tariff if step_key(one.number, Step.TARIFF) in has_effect else None
            asked["folder", "/".join(one.folder)].append(balance)
            asked["tariff", str(tariff or "")].append(balance)
    for group in asked.keys() | books.totals.keys():
        mine = len(asked[group]), sum(asked[group], Decimal(0))
        there = books.totals.get(group, (0, Decimal(0)))
        if mine != there:
            yield (
                " ".join(group),
                said(
                    "subscribers accepted: {asked}, with {sum}; in the billing: {there}, with {total}",
                    asked=mine[0],
                    sum=mine[1],
                    there=there[0],
                    total=there[1],
                ),
            )


def _rejections(books: Books, _: Tally) -> Found:
    """What is rejected was refused by the billing, as it was told to, or needs what was."""
    rejected = {row.key for row in books.rows if row.state is State.REJECTED}
    refusals = [text.casefold() for text in books.imported.refusals] if books.imported else []
    for row in books.rows:
        if row.key not in rejected or not rejected.isdisjoint(row.needs) or books.is_touched(row):
            continue
        if not any(text in row.message.casefold() for text in refusals):
            yield row.key, said("is rejected, and nothing is wrong with it: {message}", message=row.message)


Rule: TypeAlias = Callable[[Books, Tally], Found]
_OF_BOTH: Final[tuple[Rule, ...]] = (_rows, _strays, _inputs, _steps, _verified)
_OF_LOADS: Final[tuple[Rule, ...]] = (*_OF_BOTH, _others, _sums)
_OF_IMPORTS: Final[tuple[Rule, ...]] = (*_OF_BOTH, _import_totals, _rejections)
