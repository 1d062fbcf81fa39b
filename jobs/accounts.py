"""Rows that share an account, and what became of its balance where operations of type 8 set it.

    9001;-459,90  ┐ one account: the second operation would replace the first, and -459,90 would be lost.
    9008;953,24   ┘ The tool cannot tell whether 493,34 is meant, or 953,24.

Before a run is approved all such rows are in the journal, and the operator decides: their `sum` as one operation, the
`last` of them, or none (`refuse`). If type 8 adds to the balance, nothing is to decide. Rows that set another field
of one account, as its threshold, to different values are refused; so is, until `--again`, a row that sets it over
what an earlier run has set for another subscriber of the account. An opening balance is refused with the payments
that come before it in its file: it would be set over them.

Afterwards balances are compared with the operations, as a balance may be wrong even if all operations are in the
billing: a second operation on the same account replaces the first, while the sums of the operations agree.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Final

from billing.directory.models import same_value
from billing.money import wire
from billing.profile import Profile, TypeEight, describe_fact
from checkpoints.journal import Journal
from checkpoints.records import AccountFigures, Item, Merged, Run, StandingItem
from checkpoints.sentences import ANOTHER_COUNTS, PART_OF_SUM
from checkpoints.states import State
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    OF_ABONENT,
    describe_fields,
    enters_balance,
    find_by,
    operations_since,
    sets_balance,
)
from jobs.access.payload import ACCOUNT, BALANCE, OP_TYPE, Payload, decode_payload, encode_payload, payload_of
from jobs.effects.create import with_amount
from jobs.rows.input import how_often
from jobs.spec.entries import find_mark
from jobs.spec.words import IMPORT, SINCE, UNDO, SharedAccountsRule
from texts.said import Quantity, Said, Value, advised, counted, reason, said, setting, some_of, wording

# ---- several rows of one run that each set the balance of one account ---------------------------------------------


MAX_ACCOUNTS_SHOWN: Final = 5
"""Accounts shown in full; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one account, in their order; `there` are those of earlier runs to which a delta adds a new one."""

    items: tuple[Item, ...]
    there: tuple[StandingItem, ...] = ()

    @property
    def account(self) -> str:
        return self.items[0].lane.removeprefix(ACCOUNT)

    @property
    def sum(self) -> Decimal:
        return sum((item.amount or Decimal(0) for item in self.items), Decimal(0))

    def __str__(self) -> str:
        named = [
            said("{row} ({label}) of run {run}", row=_place(one), label=one.label, run=one.run) for one in self.there
        ]
        named += [_with_value(item, item.amount or Decimal(0)) for item in self.items]
        return said("account {account}: {rows}", account=self.account, rows=some_of(named))


async def _pages(
    run: Run, journal: Journal, earlier: Journal
) -> AsyncIterator[tuple[list[list[Item]], Sequence[StandingItem]]]:
    """The rows that share a lane, lane by lane, and those of earlier runs there to which a delta adds.

    None for an undo run, and none for an import.

    The rows of an import that share a lane are steps of one subscriber, which has one opening balance.
    """
    after = ""
    while run.job not in {UNDO, IMPORT} and (page := await journal.shared_items(run, after=after)):
        after = page[-1].lane
        old = await earlier.standing_in_lanes(run.job, run.target, page, run.name) if SINCE in run.parameters else ()
        yield [list(lane) for _, lane in groupby(page, key=lambda item: item.lane)], old


def _contradicting(lane: Sequence[Item]) -> dict[int, str]:
    """By item_id, why rows are refused that set a field of one object to different values.

    A row that has nothing to do, as the field has its value, asks for that value all the same.
    """
    setters: defaultdict[str, list[tuple[Item, str]]] = defaultdict(list)
    for item in lane:
        payload = payload_of(item)
        for place in payload.sets:
            name = place.rpartition(" ")[2]
            setters[place].append((item, describe_fields({name: payload.wanted.get(name)})))
    reasons: dict[int, str] = {}
    for rows in setters.values():
        if len({value for _, value in rows}) > 1:
            found = [_with_value(one, value) for one, value in rows]
            why = said(
                "{rows} rows set a field of one object to different values, of which only the last would count: "
                "{found}. Leave one of them in",
                rows=Quantity(len(rows)),
                found=some_of(found),
            )
            reasons |= dict.fromkeys((one.item_id for one, _ in rows), why)
    return reasons


def _lost_before(lane: Sequence[Item], profile: Profile) -> dict[int, str]:
    """By item_id, why the money of an account is refused: an opening balance would be set over what comes before it.

    What comes after it is entered on top of it.
    """
    moving = {str(profile.receipt_type.value), str(profile.act_type.value)}
    rows = [(item, payload_of(item)) for item in lane if not item.state.settled]
    sets = {item.number for item, payload in rows if sets_balance(payload, profile) and BALANCE not in payload.wanted}
    moves = {item.number for item, payload in rows if payload.key.get(OP_TYPE) in moving}
    if not sets or not moves or min(moves) > max(sets):
        return {}
    money = {item.number: item for item, _ in rows if item.number in sets | moves}
    named = {number: _with_value(item, item.amount or Decimal(0)) for number, item in money.items()}
    why = said(
        "{fact}: {row} would replace what comes before it on its account, {found}. Put it before that in the file, "
        "or leave it out",
        fact=describe_fact("type_8", profile.type_8.value),
        row=named[max(sets)],
        found=some_of([text for number, text in named.items() if number < max(sets)]),
    )
    return {item.item_id: why for item in money.values()}


async def _set_over(run: Run, items: Sequence[Item], journal: Journal, earlier: Journal) -> dict[int, str]:
    """By item_id, why rows are refused that change what an earlier run has set for another subscriber of the account.

    That is no question where the value is another one by now, or where the run has a row for that subscriber as well.
    """
    lanes: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        lanes[item.lane].append(item)
    over: list[tuple[Item, Payload, StandingItem, int, list[str]]] = []
    for one in await earlier.set_before(run.target, lanes, run.name):
        theirs = decode_payload(one.payload)
        for item in lanes[one.lane]:
            payload = payload_of(item)
            names = [place.rpartition(" ")[2] for place in payload.sets & theirs.sets]
            changed = [name for name in names if same_value(name, payload.was.get(name), theirs.wanted.get(name))]
            if payload.abonent != theirs.abonent and changed:
                over.append((item, payload, one, theirs.abonent, changed))
    rows = await journal.left_open(run.target, (), {item.lane for item, *_ in over}, "") if over else ()
    both = {decode_payload(one.payload).abonent for one in rows if one.run == run.name}
    return {
        item.item_id: said(
            "run {run} has set {fields} on its account for {row} ({label}), and this row would set {wanted}. If it "
            "is meant to replace it, run with {flag}",
            run=one.run,
            fields=describe_fields({name: payload.was.get(name) for name in names}),
            row=_place(one),
            label=one.label,
            wanted=describe_fields({name: payload.wanted.get(name) for name in names}),
            flag=setting("again"),
        )
        for item, payload, one, abonent, names in over
        if abonent not in both
    }


def _replacing(lane: Sequence[Item], old: Sequence[StandingItem], profile: Profile) -> Iterator[Group]:
    """The rows of a lane that would replace each other, or new ones of a delta an earlier row."""
    items = tuple(item for item in lane if not item.state.settled and sets_balance(payload_of(item), profile))
    is_new = not any(one.key == item.key for one in old for item in items)
    there = tuple(one for one in old if is_new and one.lane == lane[0].lane)
    if items and len(items) + len(there) > 1:
        yield Group(items, there)


@dataclass(slots=True)
class Question:
    """The shared accounts that need a decision: their number, the number of their rows, and the first few."""

    accounts: int = 0
    rows: int = 0
    first: list[Group] = field(default_factory=list)


async def settle(
    run: Run, journal: Journal, profile: Profile, meant: SharedAccountsRule | None, earlier: Journal
) -> Question:
    """Apply the operator's decision to the rows of each account, before approval; without one, what is to decide."""
    found = Question()
    async for lanes, old in _pages(run, journal, earlier):
        refused = {
            key: why for lane in lanes for key, why in (_contradicting(lane) | _lost_before(lane, profile)).items()
        }
        await journal.refuse(run, refused)
        left = [[item for item in lane if item.item_id not in refused] for lane in lanes]
        page = [group for lane in left if lane for group in _replacing(lane, old, profile)]
        if meant is None:
            found.accounts += len(page)
            found.rows += sum(len(group.items) + len(group.there) for group in page)
            found.first += page[: MAX_ACCOUNTS_SHOWN - len(found.first)]
        elif meant is SharedAccountsRule.REFUSE:
            reasons = {
                item.item_id: said(
                    "{rows} rows reach one account, and each sets its balance anew: {group}. Leave one of them in, "
                    "or say what is meant with {flag} or last",
                    rows=Quantity(len(group.items) + len(group.there)),
                    group=str(group),
                    flag=_rule(SharedAccountsRule.SUM),
                )
                for group in page
                for item in group.items
            }
            await journal.refuse(run, reasons)
        else:
            await journal.merge(run, [_merged(group, meant) for group in page if len(group.items) > 1])
    if run.job not in {UNDO, IMPORT} and how_often(run) is not Repeat.AGAIN:
        # All rows of a job make the same call.
        first = [payload_of(item) for item in await journal.items(run, {State.PENDING}, size=1)]
        if first and first[0].sets and first[0].model == "AdminAccounts":
            async for items in journal.each_page(run, {State.PENDING}):
                await journal.refuse(run, await _set_over(run, items, journal, earlier))
    return found


def in_sentences(question: Question, profile: Profile) -> str:
    fact = profile.type_8
    sentences = counted(
        "{n} account[s] [is|are] reached by {rows} rows with opening balances, and {fact}: of each account only the "
        "last row would count.\n"
        "Say what is meant: {sum} (one operation of their sum), {last} (the last row, the others are skipped), or "
        "{refuse} (these rows are refused, with their lines)",
        question.accounts,
        rows=Quantity(question.rows),
        fact=describe_fact("type_8", fact.value),
        sum=_rule(SharedAccountsRule.SUM),
        last=_rule(SharedAccountsRule.LAST),
        refuse=_rule(SharedAccountsRule.REFUSE),
    )
    if fact.known:
        return sentences
    probe = advised("probe", "", ("abonent", "ID"))
    return said("{meant}.\nThis asks the billing whether it does so: {probe}", meant=sentences, probe=probe)


def _rule(meant: SharedAccountsRule) -> str:
    return setting("shared-accounts", meant)


def _merged(group: Group, meant: SharedAccountsRule) -> Merged:
    *others, last = group.items
    carried = tuple(item.item_id for item in others)
    if meant is SharedAccountsRule.LAST:
        why = wording("another row of its account counts ({rule}): {row}")
        return Merged(last.item_id, carried, reason(why, ANOTHER_COUNTS, rule=_rule(meant), row=_place(last)))
    why = wording("part of the sum of its account ({rule}): {row}, {sum}")
    summed = reason(why, PART_OF_SUM, rule=_rule(meant), row=_place(last), sum=group.sum)
    payload = payload_of(last)
    entry, wanted = group.sum, payload.wanted
    if BALANCE in wanted:
        # Differences go on top of the present balance.
        entry += Decimal(payload.was[BALANCE] or 0)
        wanted = {**wanted, BALANCE: wire(entry)}
    call = encode_payload(with_amount(payload, entry, wanted))
    return Merged(last.item_id, carried, summed, call, group.sum)


def _place(item: Item | StandingItem) -> str:
    return said("line {number}", number=item.line) if item.line else said("row {number}", number=item.number)


def _with_value(item: Item, value: Decimal | str) -> Said:
    return said("{row} ({label}) {amount}", row=_place(item), label=item.label, amount=value)


# ---- balances, compared with the operations of a run --------------------------------------------------------------


_NAMED: Final = 5
"""Rows of an account that a sentence names; the others are only counted."""

PAGE: Final = 500
"""Accounts that are read at a time."""


@dataclass(frozen=True, slots=True)
class AccountDifference:
    """An account whose balance differs from its rows."""

    account: str
    rows: tuple[Item, ...]
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        # The rows are named by their lines, or by their numbers where they come from no file.
        named: Value = tuple(str(item.line or item.number) for item in self.rows[:_NAMED])
        more = len(self.rows) - _NAMED
        if more > 0:
            named = said("{names} and {more} more", names=named, more=Quantity(more))
        if self.rows[0].line:
            places = counted("line[s] {names}", len(self.rows), names=named)
        else:
            places = counted("row[s] {names}", len(self.rows), names=named)
        return said(
            "account {account} ({rows}): {expected} expected, the balance is {found}",
            account=self.account,
            rows=places,
            expected=self.expected,
            found=self.found,
        )


async def compare_balances(
    run: Run, gateway: Gateway, journal: Journal, report: Callable[[AccountDifference], None]
) -> AccountFigures:
    """Compare the balance of each account with the standing rows of the run; `report` receives the differences.

    The balance of an account with later operations cannot be compared. Raises `LookUpFailed`.
    """
    result, after = AccountFigures(), ""
    while run.job != UNDO and (page := await journal.standing_by_lane(run, after=after, size=PAGE)):
        after = page[-1].lane
        each = [list(items) for _, items in groupby(page, key=attrgetter("lane"))]
        pairs = [(rows, [payload_of(item) for item in rows]) for rows in each]
        lanes = [(rows, payloads) for rows, payloads in pairs if any(map(enters_balance, payloads))]
        owners = [payloads[0].abonent for _, payloads in lanes]
        found = await find_by(gateway, "AdminAccounts", OF_ABONENT, owners, (BALANCE,))
        told: list[tuple[list[Item], Decimal, Decimal]] = []
        for rows, payloads in lanes:
            accounts, expected = found[payloads[0].abonent], Decimal(0)
            for item in rows:
                expected += item.amount or 0
            before = payloads[0].was.get(BALANCE)
            sets = gateway.profile.type_8.value is TypeEight.SETS
            if len(accounts) != 1 or not (sets or before) or not all(map(enters_balance, payloads)):
                result.not_compared += 1
                continue
            # A difference is entered on top of what was there, also where it sets the balance.
            if not sets or BALANCE in payloads[-1].wanted:
                expected += Decimal(before or 0)
            told.append((rows, expected, Decimal(accounts[0].values[BALANCE] or 0)))
        differing = [item for rows, expected, balance in told if balance != expected for item in rows]
        last = {
            one.abonent: int(item.answer) if one.newest is None else one.newest
            for item in reversed(differing)
            if item.answer and item.answer.isdecimal()
            for one in [payload_of(item)]
        }
        newer = await operations_since(gateway, last)
        for rows, expected, balance in told:
            if balance != expected:
                # A subscriber of the account may have an operation newer than those of the run. These may be gone, as
                # their ids begin anew where a billing is put back.
                came = [one for item in rows for one in newer.get(payload_of(item).abonent, ())]
                own = [one.op_id for one in came if (find_mark(one.descr) or ("",))[0] == run.name]
                if any(one.op_id > max(own, default=0) for one in came):
                    result.with_later_operations += 1
                    continue
            result.compared += 1
            result.expected += expected
            result.found += balance
            if balance != expected:
                result.different += 1
                report(AccountDifference(rows[0].lane.removeprefix(ACCOUNT), tuple(rows), expected, balance))
    return result
