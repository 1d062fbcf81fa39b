"""Foreign entries: entries of the billing that match a row, or that it would replace, and that are not of its run.

The journal knows only its own runs. A run of the same file with another journal, or with one that was lost, has left
its marks in the billing. Such a row is refused until the operator asks to enter it again.

A row that sets the balance of an account replaces the one that another run has set for another subscriber of it. The
journal knows of it at once, the billing knows of those from other journals as well. So it does with the payments and
charges of earlier runs that came since: without a word they would be out of the balance. A new row of a delta goes on
top of all that, as its differences do. What others have paid is no question: balances are set over it each month.

So is what another job of the same journal has entered, as the opening balance of an import: a subscriber has one, and
an equal one is in. Of other operations an equal one is a question, as one that was entered by hand.

The journal may know too much as well: the billing was put back from its backup, or somebody has deleted an entry
there. What the journal has as entered and the billing does not show is a question, neither skipped nor sent; so is
what the journal has as taken back and the billing shows without its taking back, and a service that the undo of a
deletion has restored: its mark is that of the undo.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from msgspec.structs import replace

from checkpoints.journal import Journal
from checkpoints.records import EarlierEntry, Item, KnownMark, NewItem, Refusal, Run, StandingItem
from checkpoints.sentences import (
    ALIKE,
    ANOTHER_COUNTS,
    AS_WANTED,
    ENTERED,
    INSTEAD,
    NOT_SHOWN,
    OVER,
    REVERSED_ELSEWHERE,
    held_back,
)
from engine.errors import InputRefused
from engine.evidence import AlreadyThere, RowRefused, Undecided
from engine.job import NO_ENTRIES, Effect, Entries, Job, Marked, SameKey
from texts.said import Said, advised, in_clauses, kind_of, reason, said, setting, some_of, wording

_Item = TypeVar("_Item", NewItem, Item)

Known: TypeAlias = Mapping[tuple[str, int, str], KnownMark]
"""Known marks by run, number, and the key of the row for which its entry was found."""


_EQUAL: Final = wording(
    "not sent: an equal entry without a mark has come into the billing since the rows were read: {entry}"
)
_TWICE: Final = wording("entered twice, under the one mark of row {number} of run {run}: {entry}, and with id {id}")
_THERE_AGAIN: Final = wording(
    "run {run} has entered this row, the journal has that as taken back, and yet the billing has it: {entry} (its "
    "backup put back? not worked off yet?)"
)


class ForeignEntries:
    """Checks items of a run for `target` against the entries of the billing: when they are frozen, and at their call.

    `own` is the name of the run, `earlier` the journal of the real runs, and `load` of a delta the runs to which it
    enters the differences. With `again`, and for calls that may be repeated, foreign entries become notes, not
    refusals.
    """

    def __init__(
        self, job: Job, earlier: Journal, target: str, *, again: bool, own: str = "", load: Collection[str] = ()
    ) -> None:
        self._job = job
        self.earlier = earlier
        self._target = target
        self._again = again
        self._own = own
        self.load = load

    async def judge(
        self, items: Sequence[NewItem], *, is_streamed: bool = False
    ) -> tuple[list[NewItem | Refusal], str]:
        """Return each new item unchanged, with a note, skipped or refused; and when what is gone was entered last.

        A new row of a delta goes on top of what it would replace. Raises `InputRefused` where another run has rows of
        these left, unless they are sent while they are read; `LookUpFailed`, `JournalError`.
        """
        # What its plan leaves out, as a balance where there is another one, may be gone as well, or entered already.
        effect = self._job.effect
        is_asked = [
            item.skip_reason is None
            or (effect.reads_apart and kind_of(item.skip_reason) != AS_WANTED and effect.shows_entered(item.payload))
            for item in items
        ]
        asked = [item for item, asks in zip(items, is_asked, strict=True) if asks]
        earlier = await self._entered(asked, is_streamed=is_streamed) if asked else {}
        rivals = await self._rivals(items)
        if rivals and not is_streamed:
            item, rival = next((item, rivals[item.key]) for item in items if item.key in rivals)
            raise InputRefused(_unfinished(rival.run, item, sets=True))
        looked = [item if item.skip_reason is None else replace(item, skip_reason=None) for item in asked]
        entries_by_key = await self._job.find_entries(looked) if looked else {}
        entries = [entries_by_key.get(item.key, NO_ENTRIES) for item in asked]
        known = await self._known([*zip(asked, entries, strict=True)])
        # What is entered already is not set over what came since; of a delta only a new row sets a balance.
        entries = [
            dataclasses.replace(found, came=())
            if found.came
            and (twins := earlier.get(item.key)) is not None
            and (self.load or any(asks_the_same(item, one) for one in _shown(item, twins, found, known)))
            else found
            for item, found in zip(asked, entries, strict=True)
        ]
        reasons = await self._reasons(asked, entries, known)
        judged = iter(
            [
                self._judged(item, found, why, goes_on_top=bool(self.load) and item.key not in earlier)
                if found is not NO_ENTRIES or why
                else item
                for item, found, why in zip(asked, entries, reasons, strict=True)
            ]
        )
        whole = [next(judged) if asks else item for item, asks in zip(items, is_asked, strict=True)]
        if rivals:
            whole = [
                _outstanding(item, rivals[item.key]) if item.key in rivals else one
                for item, one in zip(items, whole, strict=True)
            ]
        gone_at = ""
        for place, one in enumerate(whole):
            if isinstance(one, NewItem) and (twins := earlier.get(one.key)):
                entries_there = entries_by_key.get(one.key, NO_ENTRIES)
                whole[place] = now = self._against_journal(one, twins, entries_there, known)
                if isinstance(now, Refusal) or (self._again and now.skip_reason is None):
                    gone_at = max(gone_at, *(twin.changed_at for twin in twins))
        return await self._against_unused_documents(whole), gone_at

    async def _against_unused_documents(self, judged: list[NewItem | Refusal]) -> list[NewItem | Refusal]:
        """The items, with a note where a run that did not use the column of documents has entered this one."""
        if self._again:
            return judged
        asked = [
            (place, item, document, key)
            for place, item in enumerate(judged)
            if isinstance(item, NewItem) and item.skip_reason is None and item.undoes is None
            for document, keys in [self._job.effect.without_document(item)]
            for key in keys
        ]
        by_key = [replace(item, key=key) for _, item, _, key in asked]
        twins = await self.earlier.twins(self._job.name, by_key) if asked else ()
        for (place, item, document, _), found in zip(asked, twins, strict=True):
            for one in found:
                has_it = one.is_purged or document in map(str.strip, one.row)
                if has_it and one.target == self._target and one.run != self._own and asks_the_same(item, one):
                    why = said(
                        "looks as if entered already: by run {run}, {when}, which did not use its document",
                        run=one.run,
                        when=datetime.fromisoformat(one.entered_at),
                    )
                    judged[place] = replace(item, note=in_clauses([item.note, why]) if item.note else why)
        return judged

    async def _rivals(self, items: Sequence[NewItem]) -> dict[str, StandingItem]:
        """By key, the items of unfinished runs that set what these set: sent later, they would overwrite it."""
        effect = self._job.effect
        asked = [item for item in items if item.undoes is None] if effect.overwrites else ()
        setting = [item for item in asked if effect.sets(item.payload)]
        if not setting:
            return {}
        found = await self.earlier.left_open(self._target, *keys_and_lanes(effect, setting), self._own)
        return {item.key: one for item, one in setting_the_same(effect, setting, found)}

    async def _entered(self, items: Sequence[NewItem], *, is_streamed: bool) -> dict[str, Sequence[EarlierEntry]]:
        """By key, what earlier runs have entered of these items here, as far as the billing has to show it.

        Nothing is what none of them has to show. Raises `InputRefused` where a run has any of them left.
        """
        effect = self._job.effect
        if effect.repeatable and not effect.has_steps:
            return {}
        entered: dict[str, Sequence[EarlierEntry]] = {}
        # An undo knows its own item of the run.
        asked = [item for item in items if item.undoes is None]
        for item, twins in zip(asked, await self.earlier.twins(self._job.name, asked) if asked else (), strict=True):
            # Most rows have none.
            if not twins:
                continue
            if not effect.has_steps and effect.may_repeat(item.payload):
                continue
            here = [one for one in twins if one.target == self._target and one.run != self._own]
            if here:
                entered[item.key] = ()
            left = [one.run for one in here if one.state.open]
            if left and not is_streamed:
                raise InputRefused(_unfinished(left[-1], item))
            if self._again and not effect.has_steps:
                continue
            if any(one.is_taken_back for one in here):
                # Not gone from the billing: its undo is taken back, and until that is done the row is not sent.
                continue
            if here and all(one.state.settled for one in here) and effect.shows_entered(item.payload):
                entered[item.key] = here
        return entered

    def _against_journal(
        self, item: NewItem, twins: Sequence[EarlierEntry], entries: Entries, known: Known
    ) -> NewItem | Refusal:
        """The item, refused where what an earlier run has entered of it is not shown by the billing.

        Entered again are steps of a row that are not shown, and none that is.
        """
        if of_load := [one for one in twins if one.run in self.load]:
            twins = of_load
        elif self._job.effect.same_key(item.payload) is SameKey.DOUBT:
            return item
        equal = [one for one in twins if asks_the_same(item, one)]
        shown = _shown(item, equal or twins[-1:], entries, known)
        if item.skip_reason is not None and not equal:
            return item
        if not self._again:
            if shown:
                return item
            why = _gone((equal or twins)[-1], of_delta=bool(self.load))
            why = in_clauses([why, item.skip_reason]) if item.skip_reason else why
            return Refusal(item.line, None, item.label, why, item.row)
        if equal and shown and item.skip_reason is None:
            return replace(item, skip_reason=entered_by(shown[-1]))
        return item

    async def judge_at_call(
        self, looked_at: Sequence[tuple[Item, Entries]]
    ) -> dict[int, AlreadyThere | RowRefused | Undecided]:
        """Why items must not be sent, by item_id: their entries have come since the list was made.

        Nobody has approved these, so they count for a run with `again` as well. Raises `JournalError`.
        """
        items = [item for item, _ in looked_at]
        known = await self._known(looked_at)
        reasons = await self._reasons(items, [entries for _, entries in looked_at], known, at_call=True)
        return {
            item.item_id: AlreadyThere(found[-1][0])
            if self._is_done_elsewhere(found)
            else RowRefused(held_back(_refusal(found)))
            if found
            else Undecided(said(_EQUAL, entry=entries.unmarked))
            for (item, entries), found in zip(looked_at, reasons, strict=True)
            if (found or entries.unmarked) and not self._job.effect.may_repeat(item.payload)
        }

    async def _known(self, found: Iterable[tuple[NewItem | Item, Entries]]) -> Known:
        """What the journal knows of the marks among the entries of these items."""
        marks = {
            (one.run, one.number, item.lane, item.key)
            for item, entries in found
            for one in (*entries.marked, *entries.replaced)
        }
        return await known_of(self.earlier, marks)

    async def _reasons(
        self,
        items: Sequence[NewItem | Item],
        entries: Sequence[Entries],
        known: Known,
        *,
        at_call: bool = False,
    ) -> list[list[tuple[str, str]]]:
        # What the journal knew of when the list was made, `again` has approved.
        standing = {} if at_call and self._again else await self._standing(items)
        return [
            [
                *self._entered_already(item, found.marked, known),
                *self._by_another_job(item, found, known),
                *self._replaced(item, found.replaced, known, standing.get(item.key, ())),
                *self._over(item, found),
            ]
            if found.marked or found.replaced or found.came or item.key in standing
            else []
            for item, found in zip(items, entries, strict=True)
        ]

    def _entered_already(
        self, item: NewItem | Item, entries: Sequence[Marked], known: Known
    ) -> Iterator[tuple[str, str]]:
        """Why entries of a row are not as the journal has them, and what to do."""
        once_more = said("What is taken back is not taken back once more")
        on_top = once_more if self._job.takes_back else self._again_with(item)
        by_another = said(
            "Work with that journal; or, where the row is to be in the billing all the same, load the refused rows "
            "alone with {again}",
            again=setting("again"),
        )
        by_hand = said("If it is to stay, leave the row out; else take it back in the billing by hand first")
        by_id = said("Take one of the two back there, by its id; then type the command again")
        shown = shown_of(item, entries, known)
        for one in entries:
            mine = known.get((one.run, one.number, item.key))
            doubled = mine if mine and mine.is_doubled_by(one.entry_id, one.amount) else None
            # Where the journal's own one is gone, the other is the row's.
            if doubled and len([each for each in entries if (each.run, each.number) == (one.run, one.number)]) > 1:
                yield said(_TWICE, number=one.number, run=one.run, entry=one.text, id=doubled.answer or ""), by_id
            elif doubled is None and (why := self._foreign(one, mine)):
                yield why, by_another if one.takes_back and not self._job.takes_back else on_top
            elif mine and mine.taken_back and mine.sign > 0 and shown[mine.first_run, mine.first_number] > 0:
                yield said(_THERE_AGAIN, run=mine.first_run, entry=one.text), by_hand
            elif mine and mine.sign < 0 and one.amount is None:
                # Nothing without a sum takes back what another adds: the undo of a deletion has restored it.
                why = said("run {run} has restored it after a deletion: {entry}", run=one.run, entry=one.text)
                yield why, on_top

    async def _standing(self, items: Sequence[NewItem | Item]) -> Mapping[str, Sequence[StandingItem]]:
        """By key, the items of other runs that these items would replace.

        An item whose own key stands is judged against that one.
        """
        replaces = self._job.replaces
        if replaces is None or not items:
            return {}
        standing: defaultdict[str, list[StandingItem]] = defaultdict(list)
        for one in await self.earlier.standing_in_lanes(self._job.name, self._target, items, self._own):
            standing[one.lane].append(one)
        # Most lanes have none, and their items are not looked into.
        found = {
            item.key: [one for one in of_lane if replaces(one.payload)]
            for item in items
            if (of_lane := standing.get(item.lane)) and replaces(item.payload)
            if all(one.key != item.key for one in of_lane)
        }
        return {key: replaced for key, replaced in found.items() if replaced}

    def _judged(
        self, item: NewItem, entries: Entries, reasons: Sequence[tuple[str, str]], *, goes_on_top: bool
    ) -> NewItem | Refusal:
        again = self._again or self._job.effect.may_repeat(item.payload)
        if self._is_done_elsewhere(reasons):
            return replace(item, skip_reason=reasons[-1][0])
        for why, _ in reasons:
            if kind_of(why) == ENTERED and (not again or self._job.effect.has_steps):
                return replace(item, skip_reason=why)
        if item.skip_reason is not None:
            return item
        if entries.payload:
            item = replace(item, payload=entries.payload)
        if not again and (refusing := [one for one in reasons if kind_of(one[0]) != ALIKE]):
            if goes_on_top and {kind_of(why) for why, _ in refusing} <= {OVER, INSTEAD}:
                return self._job.effect.difference(item, Decimal(0))
            return Refusal(item.line, None, item.label, _refusal(refusing), item.row)
        if not reasons and not entries.unmarked:
            return item
        notes = [why for why, _ in reasons]
        if entries.unmarked:
            notes.append(said("looks as if entered already: {entry}", entry=entries.unmarked))
        return replace(item, note=in_clauses(notes) if len(notes) > 1 else notes[0])

    def _again_with(self, item: NewItem | Item) -> str:
        """How the row goes in all the same: on top of what is there, or in its place."""
        flag, replaces = setting("again"), self._job.replaces
        if replaces is not None and replaces(item.payload):
            return said("If it is meant to replace it, run with {flag}", flag=flag)
        return said("If it is meant to be entered on top, run with {flag}", flag=flag)

    def _is_done_elsewhere(self, reasons: Sequence[tuple[str, str]]) -> bool:
        """Whether an undo has nothing to do for an item, as another journal has taken back the same."""
        return self._job.takes_back and bool(reasons) and kind_of(reasons[-1][0]) == REVERSED_ELSEWHERE

    def _by_another_job(self, item: NewItem | Item, entries: Entries, known: Known) -> Iterator[tuple[str, str]]:
        """What runs of other jobs have entered of the row, and what to do: an equal entry, or the one that counts."""
        effect = self._job.effect
        if not effect.shows_entered(item.payload) or (isinstance(item, NewItem) and item.is_difference):
            return
        advice = self._again_with(item)
        standing = [
            (one, by)
            for one in sorted((*entries.marked, *entries.replaced), key=lambda one: int(one.entry_id))
            if (by := known.get((one.run, one.number, item.key))) and by.stands and self._foreign(one, by) is None
        ]
        is_one = effect.same_key(item.payload) is SameKey.ENTERED
        # A row that was restored has entries of several runs.
        of_rows = {(by.first_run, by.first_number): (one, by) for one, by in standing}
        for one, by in standing[-1:] if is_one else of_rows.values():
            is_equal, told = one.amount == item.amount, {"run": by.first_run, "job": by.first_job, "entry": one.text}
            if by.first_job == self._job.name or not (is_one or is_equal):
                continue
            if not is_one:
                why = reason("looks as if entered already: run {run} ({job}), {entry}", ALIKE, **told)
            elif one in entries.replaced:
                why = _would_replace(said("run {run} ({job}), {entry}", **told))
            elif is_equal:
                why = reason("entered by an earlier run: {run} ({job}), {entry}", ENTERED, **told)
            else:
                asked = item.amount or Decimal(0)
                why = said("run {run} ({job}) has entered {entry}; this row says {asked}", **told, asked=asked)
            yield why, advice

    def _replaced(
        self,
        item: NewItem | Item,
        entries: Iterable[Marked],
        known: Known,
        standing: Sequence[StandingItem],
    ) -> Iterator[tuple[str, str]]:
        """Which balance of its account the row would replace, and what to do."""
        again = self._again_with(item)
        for one in entries:
            if why := self._foreign(one, known.get((one.run, one.number, item.key))):
                yield _would_replace(why), again
        if not standing:
            return
        last = standing[-1]
        place = said("line {line}", line=last.line) if last.line else said("row {number}", number=last.number)
        advice = again
        if not last.is_purged:
            place = said("{place} ({label})", place=place, label=last.label)
            if not last.state.settled:
                why = said(
                    "run {run} has {place} for the same account as {state}, and this row would replace it",
                    run=last.run,
                    place=place,
                    state=said(last.state.value),
                )
                yield why, said("Take that run to its end first")
                return
            if undo := self._job.undo_of(last.run, last.payload):
                take_back = said("To enter all rows of the account by one run, type {undo} first", undo=undo)
            else:
                take_back = said(
                    "It can be taken back by hand only: {undo} sends nothing, and lists it for the accountant",
                    undo=advised("undo", last.run),
                )
            advice = said("{take_back}. {again}", take_back=take_back, again=again)
        why = reason(
            "its account has its opening balance from run {run}, {place}, and this row would replace it",
            INSTEAD,
            run=last.run,
            place=place,
        )
        yield why, advice

    def _over(self, item: NewItem | Item, entries: Entries) -> Iterator[tuple[str, str]]:
        """What earlier runs have entered that the row would set the balance of its account over, and what to do."""
        if not (moved := sum((one.amount or Decimal(0) for one in entries.came), Decimal(0))):
            return
        why = reason(
            "earlier runs have moved its balance by {moved} ({operations}): it is {balance}, and this row would set "
            "it to {asked}",
            OVER,
            moved=moved,
            operations=some_of([said("run {run}, {entry}", run=one.run, entry=one.text) for one in entries.came], 1),
            balance=said("not known") if entries.balance is None else entries.balance,
            asked=item.amount or Decimal(0),
        )
        advice = said(
            "Where {asked} has that money already, enter the row with {again}; where not, add {moved} to it first, "
            "or that money is lost",
            asked=item.amount or Decimal(0),
            moved=moved,
            again=setting("again"),
        )
        yield why, advice

    def _foreign(self, entry: Marked, known: KnownMark | None) -> str | None:
        """Why an entry is foreign; None if the journal knows it as an effect on the same target."""
        if known is None:
            if entry.run == self._own:
                return said(
                    "entered from another journal: this run, in a newer copy of this journal, {entry}",
                    entry=entry.text,
                )
            if entry.takes_back:
                return taken_back_elsewhere(entry)
            return said("entered from another journal: run {run}, {entry}", run=entry.run, entry=entry.text)
        if not known.made(entry.entry_id, entry.amount):
            return said(
                "entered from another journal: {entry} bears the mark of row {number} of run {run}, which is another "
                "row in this journal",
                entry=entry.text,
                number=entry.number,
                run=entry.run,
            )
        if known.target != self._target:
            return said(
                "run {run} has entered it by the address {address}, which leads to this same billing: {entry}; "
                "{flag} goes on there",
                run=known.run,
                address=known.target,
                entry=entry.text,
                flag=setting("api-url", known.target),
            )
        if not known.had_effect:
            return said(
                "run {run} has it as {state}, and yet it is in the billing: {entry}",
                run=known.run,
                state=said(known.state.value),
                entry=entry.text,
            )
        return None


def shown_of(item: NewItem | Item, entries: Iterable[Marked], known: Known) -> Counter[tuple[str, int]]:
    """How often each item that has entered the row is in effect by these entries: less what has taken it back.

    What is not settled, and undoes of another row, do not count.
    """
    shown = Counter[tuple[str, int]]()
    for entry in entries:
        one = known.get((entry.run, entry.number, item.key))
        if one is not None and one.in_row and one.state.settled:
            shown[one.first_run, one.first_number] += one.sign
    return shown


def _shown(item: NewItem, twins: Iterable[EarlierEntry], entries: Entries, known: Known) -> list[EarlierEntry]:
    """Those earlier entries of a row that the billing shows."""
    marks = shown_of(item, entries.marked, known)
    # An entry that carries other rows of its account has the mark of another row.
    return [one for one in twins if entries.unmarked or one.number is None or marks[one.run, one.number] > 0]


def taken_back_elsewhere(entry: Marked) -> Said:
    """Why an operation does not count: a run that this journal does not know has entered what takes it back."""
    return reason(
        "taken back from another journal: run {run}, {entry}, takes back operation {id}",
        REVERSED_ELSEWHERE,
        run=entry.run,
        entry=entry.text,
        id=entry.takes_back,
    )


def keys_and_lanes(effect: Effect, items: Collection[NewItem | Item]) -> tuple[set[str], set[str]]:
    """The keys and lanes by which the journal finds what other runs have set of what these items set."""
    return {item.key for item in items}, {item.lane for item in items if effect.sets_for_lane}


def setting_the_same(
    effect: Effect, items: Collection[_Item], found: Iterable[StandingItem]
) -> list[tuple[_Item, StandingItem]]:
    """Those of the items some of which an item of another run sets as well, each with that one."""
    lanes: defaultdict[str, list[_Item]] = defaultdict(list)
    for item in items:
        lanes[item.lane].append(item)
    return [
        (item, one)
        for one in found
        for item in lanes[one.lane]
        if not effect.sets(item.payload).isdisjoint(effect.sets(one.payload))
    ]


async def set_by_later_runs(
    run: Run, items: Collection[Item], effect: Effect, journal: Journal
) -> list[tuple[Item, StandingItem]]:
    """Those of a run's items some of which a later run has set since, each with that run's item."""
    found = await journal.set_since(run, *keys_and_lanes(effect, items)) if items else ()
    return setting_the_same(effect, items, found)


async def with_later_runs(
    run: Run, differing: Mapping[str, tuple[Item, str]], effect: Effect, journal: Journal
) -> dict[int, str]:
    """By item_id, why items of a run, by key, are not in effect any more, with a later run that has set the same."""
    items = [item for item, _ in differing.values()]
    return {
        item.item_id: in_clauses([differing[item.key][1], said("run {run} has set it since", run=one.run)])
        for item, one in await set_by_later_runs(run, items, effect, journal)
        # One that was as wanted already has set nothing.
        if one.state.in_effect
    }


def asks_the_same(item: NewItem, twin: EarlierEntry) -> bool:
    return asked_for(item) == asked_for(twin)


def asked_for(one: NewItem | EarlierEntry) -> tuple[Decimal | None, str | None]:
    """The sum or the values that a row asks for; of a difference the sum that its file has."""
    return (Decimal(one.wanted or 0), None) if one.is_difference else (one.amount, one.wanted)


def entered_by(twin: EarlierEntry) -> str:
    """Why a row is skipped that an earlier run has entered, or that has left it to another row of its account."""
    why, code = wording("entered by an earlier run: {run}, {when}"), ENTERED
    if twin.is_replaced:
        why, code = wording("another row of its account counts: in run {run}, {when}"), ANOTHER_COUNTS
    return reason(why, code, run=twin.run, when=datetime.fromisoformat(twin.entered_at))


def _gone(twin: EarlierEntry, *, of_delta: bool) -> str:
    if of_delta and not twin.is_purged:
        # What is entered on top of it would be the whole sum, and not the difference.
        undo = advised("undo", twin.run)
        advice = said("{undo} counts that as taken back, and sends nothing; then enter the delta again", undo=undo)
    else:
        advice = said("load the refused rows alone with {again} to enter them once more", again=setting("again"))
    return reason(
        "run {run} has entered this row, {when}, and the billing does not show it any more (its backup put back? "
        "taken away by hand? not worked off yet?): {advice}",
        NOT_SHOWN,
        run=twin.run,
        when=datetime.fromisoformat(twin.entered_at),
        advice=advice,
    )


def _would_replace(why: str) -> Said:
    return reason("this row would replace the opening balance of its account: {why}", INSTEAD, why=why)


def _outstanding(item: NewItem, rival: StandingItem) -> Refusal:
    """The refusal of a row that an unfinished run has as well."""
    why = said(
        "run {run} has this row as {state}: take that run to its end first, {command}",
        run=rival.run,
        state=said(rival.state.value),
        command=advised("resume", rival.run),
    )
    return Refusal(item.line, None, item.label, why, item.row)


def _unfinished(run: str, item: NewItem, *, sets: bool = False) -> str:
    where = item.label if item.line is None else said("line {line} ({label})", line=item.line, label=item.label)
    why = said("two runs could enter them twice")
    if sets:
        why = said("its calls would come after those of this run, and overwrite what they set")
    return said(
        "run {run} is not at its end, and has rows of this input, as {where}: {why}.\n"
        "Go on with it: {resume}\n"
        "Or end it, and what it has not sent never is: {close}; rows in doubt are settled before, {reconcile}",
        run=run,
        where=where,
        why=why,
        resume=advised("resume", run),
        close=advised("close", run, ("reason", "TEXT")),
        reconcile=advised("reconcile", run),
    )


async def known_of(earlier: Journal, marks: Collection[tuple[str, int, str, str]]) -> Known:
    """Those of the marks whose items are in the journal."""
    return {(one.run, one.number, one.row_key): one for one in await earlier.known_marks(marks)} if marks else {}


def _refusal(reasons: Sequence[tuple[str, str]]) -> str:
    why, advice = reasons[-1]
    return said("{why}. {advice}", why=why, advice=advice)
