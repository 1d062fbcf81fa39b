"""The interface of jobs: the base classes `Job` and `Effect`, and the records that they exchange with the engine.

A `Job` defines the source of its rows and turns rows into items. Its `Effect` sends the call, looks up its effect,
and reads it back. Nothing here depends on HTTP or on a particular billing.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from checkpoints import rows as stored
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.states import State
from engine.errors import InputRefused
from engine.evidence import Seen
from texts.said import advised, said

# ---- rows, pages of rows, and the interface of their sources ------------------------------------------------------


STANDARD_INPUT: Final = said("standard input")
"""The source name of piped rows."""

STDIN: Final = "-"
"""The file argument that means standard input."""

FAULTS: Final = ("carbon_faults", "carbon_ошибки")
"""The column that a check adds to a table, and the sheet beside it, for each reader; neither is of the input."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of a source. `line` counts from 1 in a file, the header included; None for a source without lines.

    `truths` are the 0-based indexes of cells that hold a boolean, not the text "true" or "false".
    """

    line: int | None
    cells: tuple[str, ...]
    truths: frozenset[int] = frozenset()


class RowPage(msgspec.Struct, frozen=True, gc=False):
    """Rows in order; `refusals` are unreadable rows; `cursor` is where the next page begins.

    `left_out` counts the input rows that flags leave out, by flag.
    """

    rows: tuple[Row, ...]
    refusals: tuple[Refusal, ...]
    cursor: str
    left_out: Mapping[str, int] = {}


class LastLine(NamedTuple):
    """The last line of a text, without an end that all others have: it may have been cut."""

    file: str
    text: str


class Source(ABC):
    """A source of rows, page by page. Used from a worker thread, one call at a time."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the source as recorded and shown: a path, or a description of the query."""

    @property
    def digest(self) -> str:
        """SHA-256 of a file's bytes, "" for a source whose rows may change between two readings."""
        return ""

    @property
    @abstractmethod
    def header(self) -> tuple[str, ...]:
        """The column names of the input."""

    @property
    def is_read_whole(self) -> bool:
        """Whether the whole source must be read and valid before anything is sent (True for a file)."""
        return True

    @property
    def limit(self) -> int:
        """Maximum number of rows to send, from the start of the input; 0 for all."""
        return 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on detected reading options, a few words each. Raises `InputRefused`."""
        return ()

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of its texts that may have been cut. Raises `InputRefused`."""
        return ()

    @abstractmethod
    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`, from the start for None.

        Raises `InputRefused` when the input as a whole is not usable.
        """


def _of_inner(name: str) -> Any:  # noqa: ANN401 - of any type
    return property(lambda source: getattr(source._inner, name))  # noqa: SLF001 - its own class


class DerivedSource(Source):
    """A source made of another one: all that it does not state itself is what the other one states."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    name = _of_inner("name")
    digest = _of_inner("digest")
    header = _of_inner("header")
    is_read_whole = _of_inner("is_read_whole")
    limit = _of_inner("limit")
    notes = _of_inner("notes")
    unended = _of_inner("unended")


# ---- the interface of jobs ----------------------------------------------------------------------------------------


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """The result of preparing a page of rows: items to freeze, and refusals with their reasons.

    `gone_at` is when the last was entered of what the billing does not show: soon after that it may be late.
    """

    items: tuple[NewItem, ...]
    refusals: tuple[Refusal, ...]
    gone_at: str = ""

    @classmethod
    def of(cls, entries: Iterable[NewItem | Refusal]) -> "Prepared":
        kept = tuple(entries)
        items = tuple([one for one in kept if isinstance(one, NewItem)])
        return cls(items, tuple([one for one in kept if isinstance(one, Refusal)]))


@dataclass(frozen=True, slots=True)
class Found:
    """The effect is in the billing, equal to what was sent; `answer` is its id, `note` a remark for people.

    `marked` means that it has the item's own mark. What is only equal may be somebody else's; `by` is another run of
    the journal that has made it.
    """

    answer: str | None = None
    note: str | None = None
    marked: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Different:
    """An entry has the item's mark but differs from what was sent; `text` shows both sides, `seen` its id.

    One that is not `marked` has only the item's key: it may be somebody else's.
    """

    text: str
    seen: tuple[str, ...] = field(default=(), compare=False)
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """The effect is not in the billing."""


@dataclass(frozen=True, slots=True)
class CannotLook:
    """The effect cannot be looked up; `text` says why, `seen` has the ids of what may be the effect."""

    text: str
    seen: tuple[str, ...] = field(default=(), compare=False)


LookUpResult = Found | Different | Absent | CannotLook


def news_of(item: Item, result: LookUpResult) -> LookUpResult:
    """The result of a look-up; absent if it shows only what a person has seen who decided that the item is sent."""
    match result:
        case Different(_, seen) | CannotLook(_, seen) if seen and item.state is not State.MANUAL:
            return Absent() if set(seen) <= set(item.seen) else result
    return result


class Marked(msgspec.Struct, frozen=True, gc=False):
    """An entry of the billing with a mark: the run, and the number of the item; `text` describes the entry.

    `takes_back` is the id of the entry to which it is the opposite one of an undo, "" where it is none.
    """

    run: str
    number: int
    entry_id: str
    text: str
    amount: Decimal | None = None
    takes_back: str = ""


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of the billing that match the entry of a row.

    `marked` were entered by runs of any journal; `unmarked` describes equal entries without a mark, made by hand or
    by another program, "" for none. `replaced` are marked entries of others that the row's call would replace, and
    `came` those by which the `balance` that it would set has moved since it was set last, each with that sum.
    `payload` is that of the row with all of these kept as known, "" for none: the look before the call leaves out
    what is known.
    """

    marked: tuple[Marked, ...] = ()
    unmarked: str = ""
    replaced: tuple[Marked, ...] = ()
    payload: str = field(default="", compare=False)
    came: tuple[Marked, ...] = ()
    balance: Decimal | None = None


NO_ENTRIES: Final = Entries()


class Look(msgspec.Struct, frozen=True, gc=False):
    """What the billing has of a row whose call would leave now: its own effect, and entries that its list lacks."""

    own: LookUpResult
    entries: Entries = NO_ENTRIES


NOT_THERE: Final = Look(Absent())


class ReadBack(msgspec.Struct, frozen=True, gc=False):
    """The present value of an item in the billing. `difference` is None if it is as wanted.

    With `later_operations` the entry is there as sent, but the balance of its account has moved on since. `besides`
    are equal entries with marks of others, which have come since the list was made, and those that take it back.
    `ids` are those of the entries in effect under its one mark.
    """

    amount: Decimal | None
    difference: str | None = None
    later_operations: bool = False
    besides: tuple[Marked, ...] = ()
    ids: tuple[str, ...] = ()


class LookedFor(Enum):
    """When the effect of an item is looked up before its call, in case the journal does not know of it."""

    NEVER = auto()
    """The effect cannot be identified, or is harmless when repeated."""
    WHEN_TAKEN_UP = auto()
    """The look-up is uncertain or expensive: only for items that another copy of the journal may have sent."""
    ALWAYS = auto()
    """The effect has its own mark, or one query tells of many whether somebody else has brought it about."""


class SameKey(Enum):
    """What it means that an earlier run has entered the key and the sum of a row."""

    ENTERED = auto()
    """The row is entered already: it is skipped."""
    LEFT_OUT = auto()
    """The same, of money that adds up: it is skipped, and the exit code says that money of the file was left out."""
    DOUBT = auto()
    """Nothing tells it from a further entry, such as next month's payment: a person decides."""


class BeforeImageMode(Enum):
    """Whether a job's items keep a before-image of what their calls overwrite, and how it is read."""

    NOTHING = auto()
    """No before-image: nothing is overwritten that could be restored."""
    ONE_BY_ONE = auto()
    """One call for each item."""
    TOGETHER = auto()
    """One query for many items."""


ALL_BEFORE: Final = "all before"
"""The need for all items of the run with a lower number to be settled, among the keys that an item needs."""


AskMates: TypeAlias = Callable[[Collection[str]], Awaitable[Sequence[Item]]]
"""Gives the accepted items of these lanes (accounts) in this run, in order."""


class Effect(ABC):
    """The effect of a job's calls: how to send one, look it up, and read it back.

    `repeatable` means that a call whose effect is unknown is sent again and not looked up: after the settle delay, so
    that it does not come late over what follows; one that `only_reads` at once. `looked_for` says when an effect is
    looked up before its call, `looks_together` that one query looks up many, `reads_apart` that queries take another
    way than calls, so that they tell whether a call arrived, and cost it no place; `keeps` is the before-image mode.
    Sums of one that `adds_up` can be entered as the `difference` to what is entered already.
    With `sets_for_lane` a call sets what all rows of its lane share, as the threshold of their account.
    With `has_steps` items need other items of their run; `needs`, `fill` and `visible` are asked only then.
    """

    repeatable: bool = False
    only_reads: bool = False
    looked_for: LookedFor = LookedFor.NEVER
    looks_together: bool = False
    reads_apart: bool = False
    keeps: BeforeImageMode = BeforeImageMode.NOTHING
    adds_up: bool = False
    sets_for_lane: bool = False
    has_steps: bool = False

    @abstractmethod
    async def send(self, run: Run, item: Item) -> Seen:
        """Make the one call of `item`, never twice; network and billing errors are returned as evidence."""

    @abstractmethod
    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Look up the effects of `items`, by item_id; an item missing from the result stays unknown.

        Raises `LookUpFailed`.
        """

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        """The effects of `items`, and entries that their lists did not know, with one query where that is possible.

        `mates` gives the run's own accepted items, whose effects are not foreign. Raises `LookUpFailed`.
        """
        return {item_id: Look(own) for item_id, own in (await self.look_up(run, items)).items()}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        """The present values of `items`, by item_id, or why they cannot be read. Raises `LookUpFailed`."""
        return {item.item_id: CannotLook(said("nobody knows how to read it back")) for item in items}

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        """The billing's unfinished work that could still produce the effect of `items`, as text; None for none.

        Raises `LookUpFailed`.
        """
        return None

    async def worked_on(self, items: Sequence[Item]) -> tuple[Sequence[Item], str]:
        """Those of `items` with unfinished work, found by halves; and that work, in words. Raises `LookUpFailed`."""
        why = await self.unfinished_work(items)
        if why is None or len(items) == 1:
            return (() if why is None else items), why or ""
        half = len(items) // 2
        (first, _), (second, _) = await self.worked_on(items[:half]), await self.worked_on(items[half:])
        return (*first, *second), why

    async def renew_before_images(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        """New payloads, by item_id, of the items whose before-image is out of date.

        `mates` gives the run's own accepted items, so that its own changes are not taken for foreign ones. `attempts`
        of an item counts its calls so far: the present value may be the effect of one of them. Raises `LookUpFailed`.
        """
        return {}

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """By item_id, what has changed since the list was made so that an item must not be sent as it says.

        For an item in effect, what had changed before its call, and was not seen. Raises `LookUpFailed`.
        """
        return {}

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """Existing entries of the billing that match the items, by item key; new items are left out.

        Raises `LookUpFailed`.
        """
        return {}

    # ---- which items an item needs, and how often it may be entered ----

    def needs(self, item: Item) -> Sequence[str]:
        """The keys of the items of the run that must be in effect and visible before `item` is sent.

        `ALL_BEFORE` among them is the need for all items with a lower number to be settled.
        """
        return ()

    def fill(self, item: Item, needed: Mapping[str, Item]) -> str:
        """The payload of `item`, completed from the answers of the items that it needs, by their keys."""
        return item.payload

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        """The item_ids of those accepted items whose effect the billing shows by now. Raises `LookUpFailed`."""
        return {item.item_id for item in items}

    def may_repeat(self, payload: str) -> bool:
        """Whether a call is made although an earlier run has made it."""
        return self.repeatable

    @property
    def overwrites(self) -> bool:
        """Whether its calls may set something, of which only the last call counts."""
        return self.repeatable or self.has_steps

    def sets(self, payload: str) -> frozenset[str]:
        """What a call of an effect that overwrites sets; nothing of a call that adds."""
        return frozenset()

    def same_key(self, payload: str) -> SameKey:
        """What it means that an earlier run has entered the key and the sum of a call."""
        return SameKey.ENTERED

    def without_document(self, item: NewItem) -> tuple[str, Sequence[str]]:
        """The document of a row, and its keys in runs that did not use the column of documents; "" without one."""
        return "", ()

    def shows_entered(self, payload: str) -> bool:
        """Whether a new item of a call, with `find_entries`, would show what an earlier run has entered of its key.

        So where it has found nothing the billing has it no more.
        """
        return False

    def is_for_new(self, payload: str) -> bool:
        """Whether a call is for an object that its own run creates: no earlier run has entered anything for that."""
        return False

    def difference(self, item: NewItem, entered: Decimal) -> NewItem | Refusal:
        """The item that enters the rest of what `item` asks for, of which so much is `entered` already.

        Raises `InputRefused` where the effect has no sums that add up.
        """
        raise InputRefused(said("this job enters nothing of which a difference could be entered"))

    def looks_for(self, item: Item) -> LookedFor:
        """When the effect of `item` is looked up; at most as often as `looked_for` says of all items."""
        return self.looked_for

    def name_of(self, item: Item) -> str:
        return item.label

    # ----

    def doubts(self, report: Callable[[int], None]) -> AbstractContextManager[None]:
        """Report the item_ids of items whose answers turn out later to be possibly another item's.

        Reports in the event loop, for as long as the context lasts.
        """
        return nullcontext()

    def fenced(self, may_leave: Callable[[], bool]) -> AbstractContextManager[None]:
        """Ask `may_leave` just before each call leaves, in the line before it; without leave it is `NotSent`."""
        return nullcontext()

    @abstractmethod
    async def probe(self) -> None:
        """Check that the billing answers. Raises `LookUpFailed` with the reason if it does not."""

    async def try_out(self) -> None:
        """Try the effect's queries once with no items: look-up, read-back, before-image.

        Raises `InputRefused` if this billing does not support them, `LookUpFailed`.
        """

    @abstractmethod
    def describe(self, run_name: str, item: Item) -> str:
        """Describe the item's call in one readable line without secrets."""


async def shown(effect: Effect, run: Run, item: Item) -> ReadBack | None:
    """An accepted item as the billing shows it, with a difference where it does not; None where nothing can show it.

    Raises `LookUpFailed`.
    """
    read = (await effect.read_back(run, [item])).get(item.item_id)
    if not isinstance(read, ReadBack) or read.difference is None:
        return read if isinstance(read, ReadBack) else None
    # What has changed since is there all the same.
    found = (await effect.look_up(run, [item])).get(item.item_id)
    return replace(read, difference=None) if isinstance(found, Found | Different) else read


def until_shown(entered_at: str, settle: float) -> float:
    """Seconds until the billing has to show what was entered at that time; none are left where that was long ago.

    A clock that was set back since makes them no more than the settle delay.
    """
    age = datetime.fromisoformat(stored.now()) - datetime.fromisoformat(entered_at)
    return min(settle, settle - age.total_seconds())


class Job(ABC):
    """One kind of work on a billing, with its parameters: the source of its rows, and their items.

    `name` is the word that the operator types, and part of the identity of an effect; `effect` sends the calls. One
    that `takes_back` has rows that are never entered twice, whatever is typed.
    """

    name: str
    effect: Effect
    takes_back: bool = False

    @property
    @abstractmethod
    def source(self) -> Source:
        """The source of the rows. Raises `InputRefused` if it does not exist."""

    @abstractmethod
    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Turn rows into items and refusals, asking the billing in bulk. Raises `LookUpFailed`."""

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """Existing entries of the billing that are relevant to these items, by item key. Raises `LookUpFailed`."""
        return await self.effect.find_entries(items)

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        """What the billing has of items whose calls would leave now, as the effect sees it. Raises `LookUpFailed`."""
        return await self.effect.look(run, items, mates)

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """By item_id, what has changed so that an item must not be sent, see `Effect`. Raises `LookUpFailed`."""
        return await self.effect.outdated(run, items)

    @property
    def replaces(self) -> Callable[[str], bool] | None:
        """Tells of a payload whether its call replaces the value that an earlier item of its lane has set.

        None where no call does.
        """
        return None

    def undo_of(self, run: str, payload: str) -> str | None:
        """The command that takes back, by sending, the call of a payload in a run; None where only a person can."""
        return advised("undo", run)

    @property
    def unended(self) -> tuple[LastLine, ...]:
        """The last lines of the files that it reads that may have been cut. Raises `InputRefused`."""
        return self.source.unended

    @property
    def rows_seen(self) -> int:
        """Rows that were read so far before the first is prepared, by a job that reads all of them twice."""
        return 0

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings to show before the run is approved, each a sentence."""
        return ()

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """Unconfirmed assumptions behind the amounts of these items, each a sentence."""
        return ()

    async def check(self) -> None:
        """Check that the parameters given for all rows exist in the billing. Raises `EngineError` if not."""

    async def try_out(self) -> None:
        """Try the run's queries once with no items: look-up, read-back, undo, before-image.

        Raises `InputRefused` if this billing does not answer them, `LookUpFailed`.
        """
        await self.effect.try_out()
