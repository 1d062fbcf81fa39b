"""The door between a job and what its calls do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeAlias, runtime_checkable

from checkpoints.records import Item, NewItem, Run
from engine.evidence import Evidence
from engine.job import CannotLook, Entries, Keeps, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.payload import Payload
from jobs.rows.binding import Bound


@dataclass(frozen=True, slots=True)
class ItemToUndo:
    """An item of an earlier run that is to be taken back; `cells` are its row in the undo's input.

    `later` is the number of a later item of that run which has written to the same place, and still stands. `left` is
    the balance that the run's operations left on its account together, if each of them has added its sum; None where
    that is not known.
    """

    item_id: int
    number: int
    key: str
    label: str
    payload: Payload
    amount: Decimal | None
    answer: str | None
    cells: tuple[str, ...]
    lane: str = ""
    later: int | None = None
    left: Decimal | None = None


class Effect(Protocol):
    """What the items of a run do, and how to find out whether they have done it. Items carry a `Payload`."""

    @property
    def repeatable(self) -> bool:
        """Whether the call may be sent again when nobody knows what became of it."""
        ...

    async def try_out(self) -> None:
        """Ask once, about nobody, what the effect will have to ask to look up, read back, keep and take back.

        Raises `InputRefused` where that cannot be asked of this billing, `LookUpFailed`.
        """
        ...

    async def send(self, run: Run, item: Item) -> Evidence:
        """Make the one call of the item. Never calls twice; raises nothing for what network or billing do."""
        ...

    async def undrained(self, items: Sequence[Item]) -> str | None:
        """What of the billing's stacks is not worked off and concerns the items. Raises `LookUpFailed`."""
        ...

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """What became of the items, by item_id. Raises `LookUpFailed`."""
        ...

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        """What the billing now says of the items, by item_id, or why it cannot be asked. Raises `LookUpFailed`."""
        ...

    def shown(self, run_name: str, item: Item) -> str:
        """The call of the item as one readable line, without secrets."""
        ...

    def way_back(self, how: Mapping[str, str]) -> "Reversal | Irreversible":
        """What takes the effect back, as far as it can be; `how` are the parameters of the undo."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """An effect that overwrites something, and keeps what."""

    @property
    def keeps(self) -> Keeps:
        """Whether something is kept, and how it is read."""
        ...

    async def kept_now(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """By item_id, the new payloads of items that keep something else than there is now.

        Raises `LookUpFailed`.
        """
        ...


@runtime_checkable
class Recognising(Protocol):
    """An effect whose `look_up` tells before the call whether it is there already."""

    @property
    def looked_for(self) -> LookedFor:
        """When it is asked."""
        ...


@runtime_checkable
class Resting(Protocol):
    """An effect whose money rests on facts that the vendor does not document."""

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """What the effect of these takes for true, by the facts of the profile."""
        ...


class Planned(Effect, Protocol):
    """An effect that rows of an input are turned into."""

    @property
    def names(self) -> tuple[str, ...]:
        """The values that it needs of each row, or of the parameters."""
        ...

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the operator should know before agreeing, each a sentence; nothing for most."""
        ...

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items and refusals, asking the billing in bulk. Raises `LookUpFailed`."""
        ...

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """By key, what is there already of the same entry, with a mark or without one. Raises `LookUpFailed`."""
        ...


class Reversal(Effect, Protocol):
    """An effect that takes another one back."""

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Turn items of the earlier run into items that take them back, `undoes` set on each.

        What someone has changed since is left alone: skipped, with a reason that names both values. What cannot be
        taken back is refused. Raises `LookUpFailed`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Irreversible:
    """An effect that cannot be taken back; the text says why, and what a person can do."""

    text: str


Undo: TypeAlias = Reversal | Irreversible
