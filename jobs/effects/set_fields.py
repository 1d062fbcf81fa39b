"""Fields of an existing object: `objects.get → set → save`, one request [S].

It can be repeated: setting a field twice has the effect of setting it once. An object that is already as wanted is
not sent. The old values are kept with the item, and an undo sets them again.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from billing.api.answers import objects
from billing.api.calls import ChainStep
from billing.directory.models import ADDRESSES, MODELS, BillingObject, Key, Values, same_value, same_values
from billing.directory.objects import known_to_database
from billing.errors import BillingError
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_WANTED
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, RowRefused, Seen
from engine.job import Absent, BeforeImageMode, CannotLook, Found, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN_AND_KEPT,
    NOBODY,
    OF_ABONENT,
    describe_fields,
    differences,
    find_one,
    key_of,
    lane_of,
    needed,
    spell_out,
    try_finding,
    which,
)
from jobs.access.payload import Payload, account_of, chain_of_steps, encode_payload, payload_of
from jobs.access.subscribers import SubscriberFinder
from jobs.effects.answer_owner import NAMELESS, Recognition, about_another, call_asking, names_changed
from jobs.effects.before_image import changed_meanwhile, refresh_before_image, with_note
from jobs.effects.effect import CallEffect, Irreversible, ItemToUndo
from jobs.effects.entered_operations import replaced_in_run
from jobs.rows.binding import Bound
from jobs.spec.chain import Template
from jobs.spec.parameters import first_of_a_month, row_key, today
from jobs.spec.spec import SET
from texts.said import in_clauses, reason, said

# ---- rules for some fields of the billing, in every job that sets them --------------------------------------------
# An emptied address is issued anew, a recalculation begins on the first of a month, a block ends after it begins.


Check: TypeAlias = Callable[[Values], str | None]
"""The vendor's precondition on the wanted fields: why a row is refused, None if it is not."""


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules for some fields.

    `renewed` fields are issued anew by the billing when they are emptied, such as an address from a pool: any value
    other than the old one is as wanted. `cleared` fields may be emptied by the billing after it has acted. `checks`
    are preconditions. `no_way_back` says why the effect cannot be taken back, "" if it can.
    """

    renewed: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    checks: tuple[Check, ...] = ()
    no_way_back: str = ""

    def emptied(self, wanted: Values) -> frozenset[str]:
        """The wanted fields that the billing issues anew."""
        return frozenset(name for name in self.renewed if name in wanted and wanted[name] is None)

    def fault(self, wanted: Values) -> str | None:
        """Why these values are refused, None if they are not."""
        return next((fault for check in self.checks if (fault := check(wanted))), None)


def rules_of(model: str, fields: Collection[str]) -> FieldRules:
    """The combined rules for these fields of a model."""
    known = [rules for name, rules in _KNOWN.get(model, {}).items() if name in fields]
    return FieldRules(
        renewed=frozenset().union(*(one.renewed for one in known)),
        cleared=frozenset().union(*(one.cleared for one in known)),
        checks=tuple(check for one in known for check in one.checks),
        no_way_back=next((one.no_way_back for one in known if one.no_way_back), ""),
    )


def in_order(first: str, last: str) -> Check:
    """The check that refuses a row whose `last` day or moment is before its `first`."""

    def check(wanted: Values) -> str | None:
        begins, ends = wanted.get(first), wanted.get(last)
        if begins is None or ends is None:
            return None
        try:
            wrong = dt.datetime.fromisoformat(ends) < dt.datetime.fromisoformat(begins)
        except (ValueError, TypeError):
            return said(
                "{first} {begins!r}, {last} {ends!r}: dates are written as 2019-06-01 or 2019-06-01 00:00:00 here",
                first=first,
                begins=begins,
                last=last,
                ends=ends,
            )
        if not wrong:
            return None
        return said("it would end at {ends}, before it begins at {begins}", ends=ends, begins=begins)

    return check


def _recalculable(wanted: Values) -> str | None:
    text = wanted.get("need_recalc")
    if text is None:
        return None
    try:
        day = first_of_a_month(today)(text)
    except ValueError as error:
        return said("{name}: {error}", name="need_recalc", error=error)
    return None if day == text else said("need_recalc {text!r}: the billing takes it as {day}", text=text, day=day)


_KNOWN: Final[Mapping[str, Mapping[str, FieldRules]]] = MappingProxyType(
    {
        "Users": {name: FieldRules(renewed=frozenset({name})) for name in ("ip", "snatip")},
        "Abonents": {
            "need_recalc": FieldRules(
                cleared=frozenset({"need_recalc"}),
                checks=(_recalculable,),
                no_way_back=said(
                    "a recalculation cannot be taken back: recalculate from the same month once what was wrong is "
                    "put right"
                ),
            ),
            "own_disabled_end": FieldRules(checks=(in_order("own_disabled_start", "own_disabled_end"),)),
        },
        "AbonentsBlockHistory": {"time_del": FieldRules(checks=(in_order("time_changed", "time_del"),))},
    }
)
"""The rules by model and field [S, V]."""


# ---- fields of an existing object ---------------------------------------------------------------------------------


class SetFieldsEffect(CallEffect):
    """Sets fields, and sets them back. Items have no amount, because fields do not add up.

    With `yields` an object that was changed after the plan is left alone; otherwise the change is overwritten and
    kept as the before-image.
    """

    repeatable = True

    def __init__(self, gateway: Gateway, template: Template, *, yields: bool = False) -> None:
        super().__init__(gateway, template.names)
        self._template = template
        self._yields = yields
        self._rules = rules_of(template.model, template.links[1].arguments)
        self._recognition = Recognition()
        get, assigned = (link.arguments for link in template.links[:2])
        known = known_to_database(template.model, [dict.fromkeys(get, "")], assigned)
        self.keeps = (
            BeforeImageMode.TOGETHER if gateway.database is not None and known else BeforeImageMode.ONE_BY_ONE
        )

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        """Turn rows into items; objects are read in bulk, and those as wanted skipped. Raises `LookUpFailed`."""
        readable: list[tuple[Bound, Sequence[ChainStep], Values]] = []
        unreadable: list[Refusal] = []
        for one in bound:
            steps = self._template.fill(one.values)
            try:
                readable.append((one, steps, spell_out(steps[1].arguments)))
            except ValueError as error:
                unreadable.append(one.refused(said("{error}: money is written as -1234.50 here", error=error)))
        keys = [key_of(steps[0].arguments) for _, steps, _ in readable]
        fields = dict.fromkeys(name for *_, wanted in readable for name in wanted)
        known = MODELS.get(self._template.model)
        marked = ("deleted",) if known and "deleted" in known.fields else ()
        found = await find_one(self._gateway, self._template.model, keys, tuple(fields), marked)
        entries: list[NewItem | Refusal] = [
            self._entry(one, key, thing, wanted, steps)
            for (one, steps, wanted), key, thing in zip(readable, keys, found, strict=True)
        ]
        return Prepared.of([*entries, *unreadable])

    async def try_out(self) -> None:
        """Try the look-up with an id that no object has. Raises `InputRefused`, `LookUpFailed`."""
        get, assigned = (link.arguments for link in self._template.links[:2])
        with needed(FOUND_AGAIN_AND_KEPT):
            await try_finding(self._gateway, self._template.model, get, assigned)
            if OF_ABONENT in get:
                await SubscriberFinder(self._gateway).by_ids([NOBODY])

    async def send(self, run: Run, item: Item) -> Seen:  # noqa: PLR0911 - a case each
        """Set the fields."""
        payload = payload_of(item)
        if payload.unanswered and not item.attempts and same_values(payload.was, payload.wanted):
            return AlreadyThere(_as_it_was(payload.was))
        if self._yields and (changed := changed_meanwhile(payload)):
            return RowRefused(said("changed since the plan: {change}", change=changed))
        if payload.moved_to:
            return RowRefused(_moved(item, payload))
        issued = self._rules.emptied(payload.wanted)
        row = self._recognition.row(item)
        evidence = await self._gateway.client.send(call_asking(payload, issued), row=row)
        if not isinstance(evidence, Accepted):
            return evidence
        if other := about_another(evidence.result, item, payload):
            return Lost(other)
        if not self._recognition.believe(names_changed(evidence.result, item, payload, issued), row):
            return NAMELESS
        return with_note(Accepted(_renewed(evidence, issued)), payload)

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """The payloads with the present values, where they have changed. Raises `LookUpFailed`."""
        payloads = [payload_of(item) for item in items]
        found = await self._found(payloads)
        anew = {
            item.item_id: self._as_now(item, payload, thing)
            for item, payload, thing in zip(items, payloads, found, strict=True)
            if not isinstance(thing, str)
        }
        return {item_id: payload for item_id, payload in anew.items() if payload is not None}

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Whether the fields are as wanted. Raises `LookUpFailed`.

        Another value is `Absent`: the call may be repeated, and that value was set before ours.
        """
        now = await self._now(items)
        return {item.item_id: self._sighting(one) for item, one in zip(items, now, strict=True)}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """The fields as they are now. Raises `LookUpFailed`.

        A field that the billing clears after it has acted is as wanted when it is empty, because the call was
        answered.
        """
        now = await self._now(items)
        return {item.item_id: self._reading(one) for item, one in zip(items, now, strict=True)}

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """The same effect with the old values."""
        if self._rules.no_way_back:
            return Irreversible(self._rules.no_way_back)
        return self.setting_back()

    def setting_back(self) -> "SetFieldsEffect":
        """The effect that sets the old values, where they are as this one has set them."""
        return SetFieldsEffect(self._gateway, self._template, yields=True)

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        """Set the fields to their old values, unless changed since. Raises `LookUpFailed`."""
        if not taken:
            return Prepared((), ())
        model = taken[0].payload.model
        fields = dict.fromkeys(name for one in taken for name in one.payload.wanted)
        found = await find_one(self._gateway, model, [one.payload.key for one in taken], tuple(fields))
        return Prepared.of([self._back(one, thing) for one, thing in zip(taken, found, strict=True)])

    def _back(self, one: ItemToUndo, thing: BillingObject | str) -> NewItem | Refusal:
        payload = one.payload
        if isinstance(thing, str):
            return Refusal(None, None, one.label, thing, one.cells)
        was, now = payload.was, {name: thing.values.get(name) for name in payload.wanted}
        sent = {**payload.wanted, **_issued(one.answer)}
        reason = None
        if one.later is not None:
            reason = replaced_in_run(one.later)
        elif same_values(now, was):
            # What has no answer may come yet: it is read once more before the call.
            reason, now = (None, sent) if one.unanswered else (_as_it_was(was), now)
        elif self._different(payload, thing) if one.unanswered else not same_values(now, sent):
            reason = said(
                "changed since: the run set {sent}, and now it is {now}",
                sent=describe_fields(sent),
                now=describe_fields(now),
            )
        get, (_, assigned), save = payload.steps
        reversed_ = Payload(
            model=payload.model,
            steps=(get, (SET, {name: _as_sent(name, value, assigned) for name, value in was.items()}), save),
            abonent=payload.abonent,
            key=payload.key,
            wanted=was,
            was=now,
            unanswered=one.unanswered,
        )
        return NewItem(
            key=one.key,
            label=one.label,
            lane=lane_of(payload.model, payload.key, thing),
            payload=encode_payload(reversed_),
            row=one.cells,
            skip_reason=reason,
            undoes=one.item_id,
        )

    def _entry(
        self,
        one: Bound,
        key: Key,
        thing: BillingObject | str,
        wanted: Values,
        steps: Sequence[ChainStep],
    ) -> NewItem | Refusal:
        if not all(key.values()):
            return one.refused(
                said("{names} is empty: which object is meant?", names=tuple(name for name in key if not key[name]))
            )
        if isinstance(thing, str):
            return one.refused(thing)
        if thing.values.get("deleted") == "1":
            return one.refused(said("{object} is deleted", object=which(self._template.model, key)))
        if fault := self._rules.fault(wanted):
            return one.refused(fault)
        if thing.abonent_id is not None and thing.account_id is None:
            return one.refused(said("abonent {id} has no account", id=thing.abonent_id))
        was = {name: thing.values.get(name) for name in wanted}
        payload = Payload(
            model=self._template.model,
            steps=chain_of_steps(steps),
            abonent=thing.abonent_id or 0,
            key=dict(key),
            wanted=dict(wanted),
            was=was,
            named=dict(one.named),
        )
        return NewItem(
            key=row_key(key.values()),
            # The object's label says more than the id in the row.
            label=thing.label if one.label in {"", *key.values()} else one.label,
            lane=lane_of(self._template.model, key, thing),
            payload=encode_payload(payload),
            line=one.row.line,
            row=one.row.cells,
            skip_reason=_as_wanted(was) if self._is_there(payload, thing) else None,
            wanted=describe_fields(wanted),
        )

    async def _now(self, items: Sequence[Item]) -> list["_Now"]:
        payloads = [payload_of(item) for item in items]
        found = await self._found(payloads)
        return [self._stands(payload, thing) for payload, thing in zip(payloads, found, strict=True)]

    async def _found(self, payloads: Sequence[Payload]) -> Sequence[BillingObject | str]:
        fields = dict.fromkeys(name for payload in payloads for name in payload.wanted)
        model = payloads[0].model if payloads else self._template.model
        return await find_one(self._gateway, model, [payload.key for payload in payloads], tuple(fields))

    def _as_now(self, item: Item, payload: Payload, thing: BillingObject) -> Payload | None:
        """The payload as the object is now; None if it is that already."""
        anew = refresh_before_image(payload, self._overwritten(item, payload, thing))
        now = thing.account_id or 0
        moved_to = now if OF_ABONENT in payload.key and account_of(item.lane) not in {None, now} else 0
        return anew if moved_to == payload.moved_to else msgspec.structs.replace(anew or payload, moved_to=moved_to)

    def _overwritten(self, item: Item, payload: Payload, thing: BillingObject) -> Values:
        """The values that the call overwrites. Wanted values may be the effect of an earlier call of the item."""
        now = {name: thing.values.get(name) for name in payload.wanted}
        differs = self._different(payload, thing) if item.attempts else now
        return {name: now[name] if name in differs else payload.was.get(name) for name in payload.wanted}

    def _stands(self, payload: Payload, thing: BillingObject | str) -> "_Now":
        if isinstance(thing, str):
            return _Now(gone=thing)
        renewed = {name: thing.values.get(name) for name in sorted(self._rules.emptied(payload.wanted))}
        return _Now(payload.wanted, self._different(payload, thing), issued=renewed)

    def _sighting(self, now: "_Now") -> LookUpResult:
        if now.gone is not None:
            return CannotLook(now.gone)
        return Absent() if now.differs else Found(_as_answer(now.issued))

    def _reading(self, now: "_Now") -> ReadBack:
        differs = {name: there for name, there in now.differs.items() if there or name not in self._rules.cleared}
        if now.gone is not None or not differs:
            return ReadBack(None, now.gone)
        wanted = {name: now.wanted[name] for name in differs}
        return ReadBack(
            None,
            said("wanted {wanted}; there is {found}", wanted=describe_fields(wanted), found=describe_fields(differs)),
        )

    def _different(self, payload: Payload, thing: BillingObject) -> dict[str, str | None]:
        """The fields that are not as wanted; a field to be issued anew is as wanted if its value has changed.

        An empty field that the billing may have cleared is not as wanted: only `read_back` may accept it, because a
        look-up would take a lost call for a successful one.
        """
        differs = differences(payload.wanted, thing)
        for name in self._rules.emptied(payload.wanted) & differs.keys():
            if not same_value(name, differs[name], payload.was.get(name)):
                del differs[name]
        return differs

    def _is_there(self, payload: Payload, thing: BillingObject) -> bool:
        """Whether nothing is to be done.

        An address is issued anew only if other fields change as well: a second run of the same plan would otherwise
        give every subscriber another address.
        """
        issued = self._rules.emptied(payload.wanted)
        return issued != payload.wanted.keys() and differences(payload.wanted, thing).keys() <= issued


@dataclass(frozen=True, slots=True)
class _Now:
    """An object compared with its wanted fields; `differs` are the present values of those that differ.

    `gone` says why it cannot be compared; `issued` are the present values of the fields that the billing issues.
    """

    wanted: Values = field(default_factory=dict)
    differs: Values = field(default_factory=dict)
    gone: str | None = None
    issued: Values = field(default_factory=dict)


def _moved(item: Item, payload: Payload) -> str:
    why = said(
        "changed since the list was made: abonent {id} had account {then}, and now it has account {now}, whose "
        "fields this would set",
        id=payload.key[OF_ABONENT],
        then=str(account_of(item.lane)),
        now=str(payload.moved_to),
    )
    return in_clauses([why, said("an earlier call of the row may have set them")]) if item.attempts else why


def _as_wanted(was: Values) -> str:
    return reason("already as wanted: {fields}", AS_WANTED, fields=describe_fields(was))


def _as_it_was(was: Values) -> str:
    return said("already as it was: {fields}", fields=describe_fields(was))


def _as_sent(name: str, value: str | None, assigned: Mapping[str, object]) -> object:
    """An old value as an argument of a call, in the form of the new one.

    A missing address is an empty text [S], any other missing value is null [?].
    """
    if value is None:
        return "" if name in ADDRESSES else None
    new = assigned.get(name)
    if isinstance(new, int) and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    if isinstance(new, str) and len(new) == len(_MOMENT) and len(value) == len(_DAY):
        # The plain spelling leaves out a midnight; the recipe writes it [S].
        return f"{value}{_MOMENT.removeprefix(_DAY)}"
    return value


_DAY: Final = "2019-06-01"
_MOMENT: Final = "2019-06-01 00:00:00"


def _renewed(evidence: Evidence, issued: Collection[str]) -> str | None:
    """The values that the billing issued, as JSON, for an undo."""
    match evidence:
        case Accepted(result=dict() as result) if issued:
            try:
                (found,) = objects(result)
            except (BillingError, ValueError):
                return None
            return _as_answer({name: found[name] for name in sorted(issued) if name in found})
    return None


def _as_answer(issued: Mapping[str, object]) -> str | None:
    """The issued values as the answer that an item keeps."""
    return msgspec.json.encode(issued).decode() if issued else None


def _issued(answer: str | None) -> dict[str, str | None]:
    """The values issued for emptied fields, from the answer that `send` has kept."""
    if not answer or not answer.startswith("{"):
        return {}
    issued: dict[str, object] = msgspec.json.decode(answer, type=dict[str, object])
    return spell_out(issued)
