"""A billing in memory for items that need one another: it applies late, and refuses what comes before its turn."""

from collections.abc import Collection, Mapping, Sequence
from math import inf

import anyio
import anyio.lowlevel

from checkpoints.records import Item, NewItem, Run
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Evidence
from engine.job import ALL_BEFORE
from tests.engine.doubles import Call, FakeJob, item


class SteppedJob(FakeJob):
    """`needed` has the keys that each key needs. An effect shows `lag` seconds after its call, or as `lags` says.

    The answers of the needed items become the payload. A call fails the test if what it needs does not show.
    """

    has_steps = True

    def __init__(
        self,
        needed: Mapping[str, Sequence[str]],
        plan: Mapping[str, Sequence[Call]] | None = None,
        *,
        new: Sequence[NewItem] = (),
        lag: float = 0.0,
        there: Collection[str] = (),
    ) -> None:
        super().__init__(new, plan)
        self.needed = needed
        self.lag = lag
        self.lags: dict[str, float] = {}
        self.shows_at = dict.fromkeys(there, -inf)
        self.polls: list[tuple[float, list[str]]] = []
        self.poll_errors: list[LookUpFailed] = []
        self.payloads: dict[str, str] = {}

    def needs(self, item: Item) -> Sequence[str]:
        return self.needed.get(item.key, ())

    def fill(self, item: Item, needed: Mapping[str, Item]) -> str:
        if any(one.state.in_effect and one.answer is None for one in needed.values()):
            raise InputRefused("a person has decided on what it needs, and its id is not known")
        return ", ".join(one.answer or f"{one.key} was there" for one in needed.values()) or item.payload

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        self.polls.append((anyio.current_time(), [one.key for one in items]))
        await anyio.lowlevel.checkpoint()
        if self.poll_errors:
            raise self.poll_errors.pop(0)
        return {one.item_id for one in items if self._shows(one.key)}

    async def send(self, run: Run, item: Item) -> Evidence:
        hidden = [key for key in self.needs(item) if key != ALL_BEFORE and not self._shows(key)]
        assert not hidden, f"{item.key} was sent before {hidden} showed"
        self.payloads[item.key] = item.payload
        before = self.effects[item.key]
        try:
            return await super().send(run, item)
        finally:
            if self.effects[item.key] > before:
                self.shows_at[item.key] = anyio.current_time() + self.lags.get(item.key, self.lag)

    def _shows(self, key: str) -> bool:
        return anyio.current_time() >= self.shows_at.get(key, inf)


def subscribers(count: int, steps: int = 3, *, folders: int = 1) -> tuple[list[Item], dict[str, list[str]]]:
    """Folders "f1" and so on, and the steps "1.1" and so on of subscribers, which each have a lane of their own.

    The first step needs the folder, any other the one before it. Returns the items and what they need.
    """
    items = [item(number, key=f"f{number}") for number in range(1, folders + 1)]
    needed: dict[str, list[str]] = {}
    for subscriber in range(1, count + 1):
        for step in range(1, steps + 1):
            key = f"{subscriber}.{step}"
            items.append(item(len(items) + 1, lane=f"subscriber {subscriber}", key=key))
            needed[key] = [f"{subscriber}.{step - 1}" if step > 1 else f"f{(subscriber - 1) % folders + 1}"]
    return items, needed
