"""Before-images: the values that a call overwrites, as they are when the call leaves, not when the list was frozen.

    pending ──▶ read, many in one go ──▶ claimed ──▶ the gate, however long ──▶ read again, if long ago ──▶ the call

A changed before-image is in the journal before the call leaves: after a kill at any instant, each item has the value
that its call overwrites or has overwritten. A change between the last reading and the effect of the call is not seen,
because the billing has no compare-and-set call.
"""

from collections.abc import Collection, Sequence
from typing import Final

import anyio
import msgspec
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Item, Run
from engine.errors import LookUpFailed
from engine.job import BeforeImageMode, Effect

log = structlog.get_logger(__name__)

FRESH: Final = 1.0
"""Seconds for which a reading counts as current."""


class BeforeImages:
    """Keeps the before-images of items up to date. Does nothing for an effect without before-images."""

    def __init__(self, run: Run, effect: Effect, journal: Journal) -> None:
        self._run = run
        self._effect = effect
        self._journal = journal
        self._read_at: dict[int, float] = {}

    async def ahead(self, items: Sequence[Item]) -> Sequence[Item]:
        """Renew the before-images of `items` before their claim, if one query reads them all."""
        if self._effect.keeps is not BeforeImageMode.TOGETHER:
            return items
        now = anyio.current_time()
        try:
            items = await self._renewed(items)
        except LookUpFailed as error:
            # It is read again before each call, and an error is reported then.
            log.info("cannot read ahead what calls will overwrite", why=str(error))
            return items
        self._read_at.update((item.item_id, now) for item in items)
        return items

    async def at_call(self, item: Item) -> Item:
        """Renew the before-image of `item`, whose call leaves now. Raises `LookUpFailed`."""
        if self._effect.keeps is BeforeImageMode.NOTHING:
            return item
        read_at = self._read_at.pop(item.item_id, None)
        if read_at is not None and anyio.current_time() - read_at <= FRESH:
            return item
        (item,) = await self._renewed([item])
        return item

    async def _mates(self, lanes: Collection[str]) -> Sequence[Item]:
        return await self._journal.lane_mates(self._run, lanes)

    async def _renewed(self, items: Sequence[Item]) -> list[Item]:
        payloads = await self._effect.renew_before_images(items, self._mates)
        if payloads:
            await self._journal.keep(self._run, payloads)
        return [
            msgspec.structs.replace(item, payload=payloads[item.item_id]) if item.item_id in payloads else item
            for item in items
        ]
