"""Calls that only read: `objects.get`, `objects.filter` and their like. What they are answered is what they are for.

They can be repeated, they change nothing, and there is nothing to take back.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from billing.api.calls import Call
from checkpoints.records import Item, NewItem, Run
from engine.evidence import Accepted, Evidence
from engine.job import Absent, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, chain_of, payload_of
from jobs.access.payload import encode_payload as packed_payload
from jobs.access.vault import is_token, reveal_secrets
from jobs.effects.answer_cells import encode_answer, flat, only
from jobs.effects.effect import CallEffect, Irreversible
from jobs.rows.binding import ABONENT, USER, Bound
from jobs.spec.chain import Template
from jobs.spec.parameters import row_key

NOTHING_CHANGED: Final = Irreversible("it changed nothing")


class ReadEffect(CallEffect):
    """Reads. The answer of an item is a JSON list of flat objects (`answer_cells.py`)."""

    repeatable = True

    def __init__(self, gateway: Gateway, template: Template) -> None:
        super().__init__(gateway, template.names)
        self._template = template

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Rows to items; nothing is asked for."""
        return Prepared(tuple(self._item(one) for one in bound), ())

    async def send(self, run: Run, item: Item) -> Evidence:
        """Ask."""
        call = await reveal_secrets(self._gateway.vault, payload_of(item).call)
        if not isinstance(call, Call):
            return call
        evidence = await self._gateway.client.send(call)
        match evidence:
            case Accepted(result=result):
                said = flat(_said(result) if call.of_cabinet else result)
                return Accepted(encode_answer(only(call.fields, said)))
        return evidence

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        """Nothing: a reading waits in no stack."""
        return None

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Absent: an answer that was lost is asked for again."""
        return {item.item_id: Absent() for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """As wanted: what was read needs no verifying."""
        return {item.item_id: ReadBack(None) for item in items}

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """None is needed."""
        return NOTHING_CHANGED

    def _item(self, one: Bound) -> NewItem:
        values = {name: one.values[name] for name in self.names}
        payload = Payload(
            model=self._template.model,
            steps=chain_of(*((step.method, step.arguments) for step in self._template.fill(values))),
            fields=self._template.fields,
            abonent=one.abonent.id if one.abonent else 0,
            key=values,
        )
        return new_item(one, values, payload)


def new_item(one: Bound, values: Mapping[str, str], payload: Payload) -> NewItem:
    """The item of a row: its key is all that the call takes from it, and no other row waits for it."""
    key = row_key(values.values()) or "1"
    return NewItem(
        key=key,
        label=_label(one, values),
        lane=f"reading:{key}",
        payload=packed_payload(payload),
        line=one.row.line,
        row=one.row.cells,
    )


def _said(result: object) -> object:
    """What the cabinet says: the JSON that comes first in its list [I], and whatever follows."""
    if isinstance(result, list) and len(result) == 1:
        return result[0]
    return result


def _label(one: Bound, values: Mapping[str, str]) -> str:
    """What people call the row; a value that is asked for in another spelling than theirs is named as well."""
    said = [value for value in values.values() if not is_token(value)]
    if not one.label:
        return "/".join(said) or (f"line {one.row.line}" if one.row.line else "one row")
    if len(values) == 1 and said and values.keys().isdisjoint({ABONENT, USER}) and one.label != said[0]:
        return f"{one.label}, read as {said[0]}"
    return one.label
