"""The door to the jobs: what the engine asks of one, and what it is answered with.

A `Job` says where its rows come from and what a row becomes; its `Effect` how to call, how to recognise what a call
has done, and how to read it back. Everything here is free of HTTP and of any billing.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import TypeAlias

from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import Said
from engine.evidence import Evidence
from engine.rows import Row, Source


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the rows of a page became: items to freeze and rows refused, each with its reason."""

    items: tuple[NewItem, ...]
    refusals: tuple[Refusal, ...]

    @classmethod
    def of(cls, entries: Iterable[NewItem | Refusal]) -> "Prepared":
        """Both kinds of them, each in its place."""
        kept = tuple(entries)
        return cls(
            tuple(one for one in kept if isinstance(one, NewItem)),
            tuple(one for one in kept if isinstance(one, Refusal)),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The effect is there, equal to what was sent; `answer` is its id, `note` what a person should know of it."""

    answer: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Different:
    """Something carries the item's mark, and it is not what was sent; the text shows both sides."""

    text: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Looked for and not there."""


@dataclass(frozen=True, slots=True)
class CannotLook:
    """There is no way to find out; the text says why."""

    text: str


LookUpResult = Found | Different | Absent | CannotLook


@dataclass(frozen=True, slots=True)
class Marked:
    """An entry of the billing that bears the mark of a run and a number in it; `text` says what it is."""

    run: str
    number: int
    text: str
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """What the billing has already of the entry that a row asks for.

    `marked` were entered by runs, of whichever journal; `unmarked` says in a sentence which equal ones bear no mark,
    made by hand or by another program, "" where there are none.
    """

    marked: tuple[Marked, ...] = ()
    unmarked: str = ""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the billing says of an item now. `difference` is None when it is as wanted."""

    amount: Decimal | None
    difference: str | None = None


class LookedFor(Enum):
    """When the effect of an item is looked for before its call, in case that the journal does not know of it."""

    NEVER = auto()
    """It cannot be told from others, or does no harm twice."""
    WHEN_TAKEN_UP = auto()
    """It can be told, but not for certain, or at a price: only where another copy of the journal may have sent it."""
    ALWAYS = auto()
    """It bears a mark of its own."""


class BeforeImageMode(Enum):
    """What a job's items keep of what their calls overwrite, and how it is read."""

    NOTHING = auto()
    """Nothing is overwritten that could be brought back."""
    ONE_BY_ONE = auto()
    """Each reading is a call of its own."""
    TOGETHER = auto()
    """Many are read as fast as one."""


AskMates: TypeAlias = Callable[[Collection[str]], Awaitable[Sequence[Item]]]
"""The items of some lanes (accounts) that the run has sent and that were accepted, in their order."""


class Effect(ABC):
    """What the calls of a job's items do, and how to find out whether they have done it.

    `repeatable` says that a call may be sent again when nobody knows what became of it; `looked_for` when an item's
    effect is looked for before its call, `looks_together` that many are looked for as fast as one; `keeps` what the
    items keep of what their calls overwrite.
    """

    repeatable: bool = False
    looked_for: LookedFor = LookedFor.NEVER
    looks_together: bool = False
    keeps: BeforeImageMode = BeforeImageMode.NOTHING

    @abstractmethod
    async def send(self, run: Run, item: Item) -> Evidence:
        """Make the one call of `item`. Never calls twice; raises nothing for what the network or the billing does."""

    @abstractmethod
    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """What became of `items`, by item_id; one that is missing from the answer stays unknown.

        Raises `LookUpFailed`.
        """

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        """What the billing now says of `items`, by item_id, or why it cannot be asked. Raises `LookUpFailed`."""
        return {item.item_id: CannotLook("nobody knows how to read it back") for item in items}

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        """Why it proves nothing yet that the effect of `items` is absent: work that the billing has not finished.

        None when it does prove something. Raises `LookUpFailed`.
        """
        return None

    async def renew_before_images(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        """The new payloads, by item_id, of those items that keep something else than there is now.

        `mates` tells what the run itself has set, so that its own work is not taken for somebody else's.
        `attempts` of an item counts its calls so far: what is there may be the effect of one of them. Raises
        `LookUpFailed`.
        """
        return {}

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """What is there already of the same entries, by the item's key; nothing for one that is new.

        Raises `LookUpFailed`.
        """
        return {}

    def doubts(self, report: Callable[[int], None]) -> AbstractContextManager[None]:
        """Report the item_ids of items whose answers may be another's, heard of after they were given.

        Reports in the event loop, for as long as the context lasts.
        """
        return nullcontext()

    @abstractmethod
    async def probe(self) -> None:
        """Ask whether the billing is there and well. Raises `LookUpFailed` with the reason when it is not."""

    async def try_out(self) -> None:
        """Ask once, about nobody, what the effect will have to ask to look up, read back and keep what it overwrites.

        Raises `InputRefused` where that cannot be asked of this billing, `LookUpFailed`.
        """

    @abstractmethod
    def describe(self, run_name: str, item: Item) -> str:
        """The item's call as it would be sent, in one readable line without secrets."""


class Job(ABC):
    """One kind of work on a billing, set up with its parameters: where its rows come from, and what becomes of them.

    `name` is the word that the operator types, part of what makes two effects the same; `effect` is what its calls
    do.
    """

    name: str
    effect: Effect

    @property
    @abstractmethod
    def source(self) -> Source:
        """Where the rows come from. Raises `InputRefused` when it is not there."""

    @abstractmethod
    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Turn rows into items and refusals, asking the billing in bulk. Raises `LookUpFailed`."""

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """What is there already of the items' entries, as far as it says something of these rows.

        Raises `LookUpFailed`.
        """
        return await self.effect.find_entries(items)

    def replaces(self, item: NewItem) -> bool:
        """Whether the item's call replaces what an earlier one of its lane has set."""
        return False

    @property
    def cautions(self) -> tuple[Said, ...]:
        """What whoever agrees to a run should know, each a sentence."""
        return ()

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """What the money of these items rests on and nobody has confirmed, each a sentence."""
        return ()

    async def check(self) -> None:
        """Ask whether what was given for all rows is in the billing. Raises `EngineError` where it is not."""

    async def try_out(self) -> None:
        """Ask once, about nobody, what the run will have to ask: look-up, read-back, way back, what is overwritten.

        Raises `InputRefused` where that cannot be asked of this billing, `LookUpFailed`.
        """
        await self.effect.try_out()
