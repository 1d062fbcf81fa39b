"""Calls that only read: `objects.get`, `objects.filter` and others, which are made for their answers.

They can be repeated, change nothing, and have nothing to take back.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from billing.api.calls import Call
from checkpoints.records import Item, NewItem, Run
from engine.evidence import Accepted, Evidence
from engine.job import Absent, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, chain_of_steps, payload_of
from jobs.access.payload import encode_payload as packed_payload
from jobs.access.vault import is_token, reveal_secrets
from jobs.effects.answer_cells import encode_answer, flat, only
from jobs.effects.effect import CallEffect, Irreversible
from jobs.rows.binding import ABONENT, USER, Bound
from jobs.spec.chain import Template
from jobs.spec.parameters import row_key
from texts.said import said

NOTHING_CHANGED: Final = Irreversible(said("it changed nothing"))


class ReadEffect(CallEffect):
    """Makes reading calls. The answer of an item is a JSON list of flat objects (`answer_cells.py`)."""

    repeatable = True

    def __init__(self, gateway: Gateway, template: Template) -> None:
        super().__init__(gateway, template.names)
        self._template = template

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items, without a request."""
        return Prepared(tuple(self._item(one) for one in bound), ())

    async def send(self, run: Run, item: Item) -> Evidence:
        """Make the reading call."""
        call = await reveal_secrets(self._gateway.vault, payload_of(item).call)
        if not isinstance(call, Call):
            return call
        evidence = await self._gateway.client.send(call)
        match evidence:
            case Accepted(result=result):
                objects = flat(_inner(result) if call.of_cabinet else result)
                return Accepted(encode_answer(only(call.fields, objects)))
        return evidence

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        """None: a reading call does not enter a stack."""
        return None

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Absent: a lost reading call is made again."""
        return {item.item_id: Absent() for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """As wanted: reading calls need no verification."""
        return {item.item_id: ReadBack(None) for item in items}

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """Irreversible, because nothing was changed."""
        return NOTHING_CHANGED

    def _item(self, one: Bound) -> NewItem:
        values = {name: one.values[name] for name in self.names}
        payload = Payload(
            model=self._template.model,
            steps=chain_of_steps(self._template.fill(values)),
            fields=self._template.fields,
            abonent=one.abonent.id if one.abonent else 0,
            key=values,
        )
        return new_item(one, values, payload)


def new_item(one: Bound, values: Mapping[str, str], payload: Payload) -> NewItem:
    """The item of a row: its key consists of all values of the call, and it has a lane of its own."""
    key = row_key(values.values()) or "1"
    return NewItem(
        key=key,
        label=_label(one, values),
        lane=f"reading:{key}",
        payload=packed_payload(payload),
        line=one.row.line,
        row=one.row.cells,
    )


def _inner(result: object) -> object:
    """The cabinet's answer: the first element of its list [I] if it is the only one, or else the list."""
    if isinstance(result, list) and len(result) == 1:
        return result[0]
    return result


def _label(one: Bound, values: Mapping[str, str]) -> str:
    """The name of the row for people, with the value of the call if it differs."""
    shown = [value for value in values.values() if not is_token(value)]
    if not one.label:
        by_place = said("line {number}", number=one.row.line) if one.row.line else said("one row")
        return "/".join(shown) or by_place
    if len(values) == 1 and shown and values.keys().isdisjoint({ABONENT, USER}) and one.label != shown[0]:
        return said("{label}, read as {value}", label=one.label, value=shown[0])
    return one.label
