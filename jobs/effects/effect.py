"""The base of all effects: what the calls of a job do, and what takes them back.

An effect says how rows become items (`plan`), makes one call (`send`), finds out what became of it (`look_up`) and
what there is now (`read_back`), and which effect takes it back (`undo`). `create.py` and `set_fields.py` show it in
full.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.api.calls import describe
from checkpoints.records import Item, Refusal
from engine.errors import Said
from engine.job import AskMates, Effect, Prepared
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload, payload_of, unfinished_work
from jobs.access.vault import mask_secrets
from jobs.effects.before_image import Mate, found_own
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


@dataclass(frozen=True, slots=True)
class Irreversible:
    """An effect that cannot be taken back; the text says why, and what a person can do."""

    text: str


class CallEffect(Effect):
    """What the calls of a job's items do. Items carry a `Payload`.

    `names` are the values that it needs of each row, or of the parameters; `cautions` what the operator should know
    before agreeing, each a sentence.
    """

    cautions: tuple[Said, ...] = ()

    def __init__(self, gateway: Gateway, names: Sequence[str] = ()) -> None:
        self._gateway = gateway
        self.names = tuple(names)
        self.looks_together = gateway.database is not None

    # ---- rows to items ----

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items and refusals, asking the billing in bulk. Raises `LookUpFailed`.

        What only takes back refuses the rows of an input.
        """
        return Prepared((), tuple(one.refused(_ONLY_BACK) for one in bound))

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """What the effect of these takes for true that the vendor does not document, by the facts of the profile."""
        return {}

    # ---- a call ----

    def describe(self, run_name: str, item: Item) -> str:
        """The call of the item as one readable line, without secrets."""
        return mask_secrets(describe(payload_of(item).call))

    def doubts(self, report: Callable[[int], None]) -> AbstractContextManager[None]:
        """Report items whose answers may be another's."""
        return self._gateway.client.doubts(report)

    async def probe(self) -> None:
        """Ask the billing for its version. Raises `LookUpFailed`."""
        await self._gateway.probe()

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        """What of the billing's stacks is not worked off and concerns the items. Raises `LookUpFailed`."""
        return await unfinished_work(self._gateway, items)

    # ---- before-images ----

    async def renew_before_images(self, items: Sequence[Item], mates: AskMates) -> Mapping[int, str]:
        """The new payloads of items that keep something else than there is now. Raises `LookUpFailed`."""
        if not (anew := await self.read_before_images(items)):
            return {}
        changed = [item for item in items if item.item_id in anew]
        by_lane: defaultdict[str, list[Mate]] = defaultdict(list)
        for one in await mates({item.lane for item in changed}):
            by_lane[one.lane].append(Mate(one.number, payload_of(one), stands=True))
        return {
            item.item_id: encode_payload(found_own(item.number, anew[item.item_id], by_lane[item.lane]))
            for item in changed
        }

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """By item_id, the new payloads of items that keep something else than there is now.

        Whose work that is, is not asked here. Raises `LookUpFailed`.
        """
        return {}

    # ---- the way back ----

    def undo(self, how: Mapping[str, str]) -> "CallEffect | Irreversible":
        """What takes the effect back, as far as it can be; `how` are the parameters of the undo."""
        return Irreversible("nobody knows what takes it back")

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Turn items of an earlier run into items that take them back, `undoes` set on each.

        What someone has changed since is left alone: skipped, with a reason that names both values. What cannot be
        taken back is refused. Raises `LookUpFailed`.
        """
        return Prepared((), tuple(Refusal(None, None, one.label, _NO_WAY, one.cells) for one in taken))


_ONLY_BACK: Final = "this only takes back what an earlier run has done"
_NO_WAY: Final = "nobody knows how to take it back"
