"""References: ids in a job's parameters, checked in the billing before anything is sent."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from billing.directory.models import LARGEST_ID
from billing.directory.objects import REFERENCES, has_table, is_there, reference_call, there_of
from engine.errors import LookUpDelayed, LookUpFailed
from jobs.access.gateway import Gateway, as_engine_errors
from texts.said import said

REMEMBERED: Final = 10_000
"""Ids of a kind that are remembered; the rows of a page mostly share a few."""


class References:
    """Finds the ids that are not in the billing. One object a job: it remembers the answers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._there: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self._unchecked: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._unchecked.values())

    async def missing(self, kind: str, ids: Collection[str]) -> set[str]:
        """The ids that are not in the billing or are deleted. Raises `LookUpFailed`."""
        known = self._there[kind]
        wanted = [key for key in dict.fromkeys(ids) if key.isascii() and key.isdigit()]
        # Pages are prepared beside each other: what this one needs is taken from no other's memory.
        there = {key: known[key] for key in wanted if key in known}
        if unknown := [key for key in wanted if key not in there]:
            found = await self._asked(kind, unknown)
            there |= found
            if len(known) + len(found) > REMEMBERED:
                known.clear()
            known |= found
        return {key for key, exists in there.items() if not exists}

    async def _asked(self, kind: str, ids: Collection[str]) -> dict[str, bool]:
        reference, gateway = REFERENCES[kind], self._gateway
        possible = {int(key) for key in ids if int(key[:19]) <= LARGEST_ID}
        there: set[int] = set()
        all_known = False
        if gateway.database is not None:
            there = await gateway.read(lambda database: there_of(database, reference, possible))
            all_known = await gateway.read(lambda database: has_table(database, reference))
        left = sorted(possible - there)
        if reference.model and not all_known:
            try:
                answers = await gateway.ask([reference_call(reference, key) for key in left])
            except LookUpDelayed:
                raise
            except LookUpFailed:
                # The billing may not know the model: this says nothing of its objects.
                pass
            else:
                all_known = True
                with as_engine_errors():
                    there |= {key for key, answer in zip(left, answers, strict=True) if is_there(reference, answer)}
        if not all_known and (doubtful := sorted(possible - there)):
            self._unchecked.setdefault(
                kind,
                said(
                    "{noun} {id} was not checked: nothing has it yet, and the billing's table of {noun}s is not "
                    "known",
                    noun=reference.noun,
                    id=doubtful[0],
                ),
            )
            there |= possible
        return {key: int(key[:19]) in there for key in ids}
