"""Payments by the vendor's call: `Abonents: objects.get → add_payment {SUM_IN}` [I].

A payment carries no mark, so only its sum identifies it, and it must not be repeated: if its answer was lost, a
person decides. The plan keeps the ids of the subscriber's last operation and of reversed ones. A newer operation of
the same sum, or one that is not reversed any more, may be this payment, or another one made at the same time; so a
row is absent only if there is none. Where one question tells of many rows, it is asked before each call.

A subscriber has one payment in a file, unless documents or dates tell several apart. The billing does not store them,
so the sum does not identify such a payment: another row of the file may have entered it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from billing.api.answers import created_id, judge
from billing.directory.models import BillingObject, as_bool, plain_value
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.states import State
from engine.evidence import Accepted, Evidence, Lost, readable
from engine.job import Absent, AskMates, CannotLook, Entries, Look, LookedFor, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import FOUND_AGAIN, FROM_NEW, NOBODY, find, needed, try_finding
from jobs.access.payload import ACCOUNT, OP_TYPE, Payload, decode_payload, payload_of
from jobs.effects.creatable_models import entries_of, marked_or_alike
from jobs.effects.create import WHOSE
from jobs.effects.effect import CallEffect, about_another
from jobs.effects.reverse import BESIDES, FIELDS, LAST, SUM_IN, list_objects, since, undo_of_operations
from jobs.rows.binding import Bound, telling_of
from jobs.spec.chain import Template
from jobs.spec.entries import DATE, OPERATIONS, TELLING
from jobs.spec.parameters import row_key
from texts.said import said, text_of


class PayEffect(CallEffect):
    """Enters payments."""

    def __init__(self, gateway: Gateway, template: Template) -> None:
        super().__init__(gateway, template, [one.name for one in TELLING])
        self.looks_together |= gateway.asks_by_many(*WHOSE, f"{OPERATIONS}.abonent_id")
        self.looked_for = LookedFor.ALWAYS if self.looks_together else LookedFor.WHEN_TAKEN_UP

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        whose = [(one, one.abonent) for one in bound if one.abonent is not None]
        keys = [{"abonent_id": str(abonent.id)} for _, abonent in whose]
        found = await find(self._gateway, OPERATIONS, keys, ("op_id", "storno"))
        entries: list[NewItem | Refusal] = []
        for (one, abonent), things in zip(whose, found, strict=True):
            try:
                document, day = telling_of(one)
            except ValueError as error:
                entries.append(one.refused(text_of(error), DATE.name))
                continue
            payload = Payload(
                model=self._template.model,
                steps=self._template.fill(one.values),
                abonent=abonent.id,
                key={"id": str(abonent.id)},
                wanted={SUM_IN: plain_value(SUM_IN, one.values["amount"])},
                was={LAST: str(max([0, *(int(thing.values["op_id"] or 0) for thing in things if not thing.faults)]))},
                there=tuple(str(thing.values["op_id"]) for thing in things if as_bool(thing.values["storno"])),
                document=document,
                day=day,
                named=dict(one.named),
            )
            key = row_key([str(abonent.id), *filter(None, [payload.told_by])])
            label = f"{one.label}, {document}" if document else one.label
            amount = Decimal(one.values["amount"])
            entries.append(one.item(key, label, f"{ACCOUNT}{abonent.account_id}", payload, amount=amount))
        return Prepared.of(entries)

    def shows_entered(self, payload: str) -> bool:
        return True

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        payloads = [self._receipt(decode_payload(item.payload), item.amount or Decimal(0)) for item in items]
        each = zip(items, payloads, await marked_or_alike(self._gateway, payloads), strict=True)
        profile = self._gateway.profile
        found = {item.key: entries_of(one, things, profile, equal=True) for item, one, things in each}
        return {key: Entries(one.marked, one.unmarked) for key, one in found.items()}

    async def try_out(self) -> None:
        with needed(FOUND_AGAIN):
            await try_finding(self._gateway, OPERATIONS, ("abonent_id",), FIELDS, BESIDES)
        with needed(FROM_NEW):
            nobodys = self._receipt(Payload(OPERATIONS, (), abonent=NOBODY), Decimal(0))
            await marked_or_alike(self._gateway, [nobodys])

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """Which type of operations raises the balance, as an earlier payment is looked for among them."""
        return {"receipt_type": self._gateway.profile.receipt_type.value}

    async def send(self, run: Run, item: Item) -> Evidence:
        payload = payload_of(item)
        evidence = await self._gateway.client.send(payload.call)
        match evidence:
            # The answer is not documented [?]. Only an object shows which request it answers.
            case Accepted(result={"pk": pk, "model": str() as model}) if model == OPERATIONS:
                if (key := created_id(pk)) is None:
                    shown = readable(repr(pk), limit=40)
                    return Lost(said("an answer about an operation whose id is not a number: {id}", id=shown))
                return Accepted(key, created=True)
            case Accepted(result={"pk": pk, "model": model}) if (model, str(pk)) != (
                payload.model,
                payload.key["id"],
            ):
                return about_another(f"{model} {pk}", f"{payload.model} {payload.key['id']}")
        return judge(evidence)

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        """Of newer operations as many are the run's own as further rows have entered the sum for the subscriber."""
        seen = await self.look_up(run, items)
        doubtful = {item: len(own.seen) for item in items if isinstance(own := seen[item.item_id], CannotLook)}
        entered = Counter(map(_identifying, await mates({item.lane for item in doubtful}))) if doubtful else {}
        others = [item.item_id for item, newer in doubtful.items() if newer > entered[_identifying(item)]]
        return {item_id: Look(seen[item_id]) for item_id in others}

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, Absent | CannotLook]:
        seen: dict[int, Absent | CannotLook] = {}
        for item, newer in await self._newer(items):
            if newer:
                why = said(
                    "a payment bears no mark, and since the plan there is {operations}: it may be this row's, or "
                    "somebody else's. Look in the billing which it is",
                    operations=list_objects(newer),
                )
                seen[item.item_id] = CannotLook(why, tuple(str(thing.values["op_id"]) for thing in newer))
            elif item.state is State.PENDING:
                seen[item.item_id] = Absent()
            else:
                why = said(
                    "a payment bears no mark, and since the plan there is no operation of {amount}: look in the "
                    "billing whether it has the payment in another form",
                    amount=item.amount or Decimal(0),
                )
                seen[item.item_id] = CannotLook(why)
        return seen

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """Whether there are as many newer operations of the sum as these items entered. Raises `LookUpFailed`."""
        newer = await self._newer(items)
        entered = list(map(_identifying, items))
        alike, left = Counter(entered), Counter(entered)
        readings: dict[int, ReadBack] = {}
        for (item, things), own in zip(newer, entered, strict=True):
            sent, differs = item.amount or Decimal(0), None
            live = [thing for thing in things if not as_bool(thing.values["storno"])]
            if not things:
                differs = said("sent {amount}; since the plan the billing has no operation of that sum", amount=sent)
            elif not len(things) == len(live) == alike[own]:
                there = list_objects(things)
                differs = said(
                    "sent {amount}; since the plan the billing has {operations}", amount=sent, operations=there
                )
            left[own] -= 1
            # What came twice is found with the last of the rows to which it may belong.
            found = 1 if left[own] else max(len(live) - alike[own] + 1, 1)
            readings[item.item_id] = ReadBack(sent * found if live else None, differs)
        return readings

    def undo(self, how: Mapping[str, str]) -> CallEffect | str:
        return undo_of_operations(self._gateway, how)

    def _receipt(self, payload: Payload, amount: Decimal) -> Payload:
        """An operation like that of a payment, to find equal ones."""
        key = {"abonent_id": str(payload.abonent), OP_TYPE: str(self._gateway.profile.receipt_type.value)}
        wanted: dict[str, str | None] = {"op_summa": str(amount)}
        return Payload(OPERATIONS, (), abonent=payload.abonent, key=key, wanted=wanted, day=payload.day)

    async def _newer(self, items: Sequence[Item]) -> list[tuple[Item, list[BillingObject]]]:
        """The newer operations, without those that a person has seen who decided that none of them is the payment."""
        payloads = [payload_of(item) for item in items]
        keys = [{"abonent_id": str(payload.abonent)} for payload in payloads]
        found = await find(self._gateway, OPERATIONS, keys, FIELDS, BESIDES)
        newer: list[tuple[Item, list[BillingObject]]] = []
        for item, payload, things in zip(items, payloads, found, strict=True):
            amount = Decimal(payload.wanted[SUM_IN] or 0)
            seen = frozenset(item.seen if item.state is not State.MANUAL else ())
            there = since(payload, amount, things, self._gateway.profile)
            newer.append((item, [thing for thing in there if thing.values["op_id"] not in seen]))
        return newer


def _identifying(item: Item) -> tuple[int, Decimal]:
    """The subscriber and the sum of a payment, the only known facts of its operation."""
    payload = payload_of(item)
    return payload.abonent, Decimal(payload.wanted[SUM_IN] or 0)
