"""Fields of an existing object: `objects.get → set → save`, one request [S].

It can be repeated: setting a field twice has the effect of setting it once. An object that is already as wanted is
not sent. The old values are kept with the item, and an undo sets them again.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from billing.api.answers import is_about_other_model
from billing.api.calls import ChainStep, is_secret
from billing.directory.models import (
    ADDRESSES,
    DAY,
    MIDNIGHT,
    MODELS,
    BillingObject,
    Values,
    plain_value,
    same_value,
    same_values,
)
from billing.directory.objects import known_to_database
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_IT_WAS, AS_WANTED, held_back
from engine.evidence import Accepted, AlreadyThere, Lost, RowRefused, Seen, readable
from engine.job import Absent, BeforeImageMode, CannotLook, Found, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    FOUND_AGAIN_AND_KEPT,
    NOBODY,
    OF_ABONENT,
    SubscriberFinder,
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
from jobs.access.payload import ACCOUNT, Payload, account_of, payload_of
from jobs.effects.effect import (
    NAMELESS,
    OF_ANOTHER_MODEL,
    CallEffect,
    ItemToUndo,
    about_another,
    changed_meanwhile,
    of_each,
    one_object,
    refresh_before_image,
    replaced_in_run,
    says,
    with_note,
)
from jobs.rows.binding import Bound
from jobs.spec.chain import Template
from jobs.spec.parameters import first_of_a_month, row_key, today
from jobs.spec.spec import SET
from texts.said import in_clauses, reason, said

# ---- rules for some fields of the billing, in every job that sets them --------------------------------------------
# An emptied address is issued anew, a recalculation begins on the first of a month, a block ends after it begins.

Check: TypeAlias = Callable[[Values], str | None]
"""The vendor's precondition on the wanted fields: why a row is refused, None if it is not."""


_RENEWED: Final[Mapping[str, tuple[str, ...]]] = {"Users": ("ip", "snatip")}
"""Fields by model that the billing issues anew when they are emptied, such as an address from a pool [S].

Any value other than the old one is as wanted then.
"""
_RECALCULATED, _RECALCULATION = "Abonents", "need_recalc"
"""The model and the field that has a subscriber recalculated; the billing may empty it after it has acted [V]."""


def emptied(model: str, wanted: Values) -> frozenset[str]:
    """The wanted fields that the billing issues anew."""
    return frozenset(name for name in _RENEWED.get(model, ()) if name in wanted and wanted[name] is None)


def _in_order(first: str, last: str) -> Check:
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


_CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "Abonents": (_recalculable, _in_order("own_disabled_start", "own_disabled_end")),
    "AbonentsBlockHistory": (_in_order("time_changed", "time_del"),),
}
"""The preconditions by model [S, V]; one says nothing of fields that are not set."""


# ---- fields of an existing object ---------------------------------------------------------------------------------


class SetFieldsEffect(CallEffect):
    """Sets fields, and sets them back. Items have no amount, because fields do not add up.

    With `yields` an object that was changed after the plan is left alone; otherwise the change is overwritten and
    kept as the before-image.
    """

    repeatable = True

    def __init__(self, gateway: Gateway, template: Template, *, yields: bool = False) -> None:
        super().__init__(gateway, template)
        self._yields = yields
        self.sets_for_lane = template.model == "AdminAccounts"
        get, assigned = (link.arguments for link in template.links[:2])
        known = known_to_database(template.model, [dict.fromkeys(get, "")], assigned)
        together = gateway.database is not None and known
        self.keeps = BeforeImageMode.TOGETHER if together else BeforeImageMode.ONE_BY_ONE

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        model = self._template.model
        readable: list[tuple[Bound, tuple[ChainStep, ...], Values]] = []
        unreadable: list[Refusal] = []
        for one in bound:
            steps = self._template.fill(one.values)
            try:
                readable.append((one, steps, spell_out(steps[1].arguments)))
            except ValueError as error:
                unreadable.append(one.refused(said("{error}: money is written as -1234.50 here", error=error)))
        keys = [key_of(steps[0].arguments) for _, steps, _ in readable]
        fields = dict.fromkeys(name for *_, wanted in readable for name in wanted)
        marked = ("deleted",) if model in MODELS and "deleted" in MODELS[model].fields else ()
        found = await find_one(self._gateway, model, keys, tuple(fields), marked)
        entries: list[NewItem | Refusal] = []
        for (one, chain, wanted), key, thing in zip(readable, keys, found, strict=True):
            if not all(key.values()):
                empty = tuple(name for name in key if not key[name])
                entries.append(one.refused(said("{names} is empty: which object is meant?", names=empty)))
            elif isinstance(thing, str):
                entries.append(one.refused(thing))
            elif thing.values.get("deleted") == "1":
                entries.append(one.refused(said("{object} is deleted", object=which(model, key))))
            elif fault := next((fault for check in _CHECKS.get(model, ()) if (fault := check(wanted))), None):
                entries.append(one.refused(fault))
            elif thing.abonent_id is not None and thing.account_id is None:
                entries.append(one.refused(said("abonent {id} has no account", id=thing.abonent_id)))
            else:
                was = {name: thing.values.get(name) for name in wanted}
                payload = Payload(
                    model=model,
                    steps=chain,
                    abonent=thing.abonent_id or 0,
                    key=key,
                    wanted=dict(wanted),
                    was=was,
                    named=dict(one.named),
                )
                # An address is issued anew only if other fields change as well: a second run of the same plan would
                # otherwise give every subscriber another address.
                issued = emptied(model, wanted)
                is_there = issued != wanted.keys() and differences(wanted, thing).keys() <= issued
                # The object's label says more than the id in the row.
                label = thing.label if one.label in {"", *key.values()} else one.label
                entries.append(
                    one.item(
                        row_key(key.values()),
                        label,
                        lane_of(model, key, thing),
                        payload,
                        skip_reason=reason("already as wanted: {fields}", AS_WANTED, fields=describe_fields(was))
                        if is_there
                        else None,
                        wanted=describe_fields(wanted),
                    )
                )
        return Prepared.of([*entries, *unreadable])

    async def try_out(self) -> None:
        get, assigned = (link.arguments for link in self._template.links[:2])
        with needed(FOUND_AGAIN_AND_KEPT):
            await try_finding(self._gateway, self._template.model, get, assigned)
            if OF_ABONENT in get:
                await SubscriberFinder(self._gateway).by_ids([NOBODY])

    async def send(self, run: Run, item: Item) -> Seen:
        payload = payload_of(item)
        if payload.unanswered and not item.attempts and same_values(payload.was, payload.wanted):
            return AlreadyThere(_as_it_was(payload.was))
        if self._yields and (changed := changed_meanwhile(payload)):
            return RowRefused(held_back(said("changed since the plan: {change}", change=changed)))
        if payload.moved_to:
            why = said(
                "changed since the list was made: abonent {id} had account {then}, and now it has account {now}, "
                "whose fields this would set",
                id=payload.key[OF_ABONENT],
                then=str(account_of(item.lane)),
                now=str(payload.moved_to),
            )
            earlier = said("an earlier call of the row may have set them")
            return RowRefused(in_clauses([why, earlier]) if item.attempts else held_back(why))
        issued = emptied(payload.model, payload.wanted)
        row = self._row(item)
        # Fields that identify the answer's object are requested, those that the billing issues, and those set: two
        # rows may set fields of one object. Only documented ones are: an unknown one might be refused when the object
        # is already saved [?].
        known = MODELS[payload.model].fields if payload.model in MODELS else ()
        telling = (name for name in payload.key if name in _TELLING)
        back = (name for name in payload.wanted if name in known and not is_secret(name))
        asked = dict.fromkeys((_own_key(payload.model), *telling, *back, *sorted(issued)))
        evidence = await self._gateway.client.send(payload.call.asking(*asked), row=row)
        if not isinstance(evidence, Accepted):
            return evidence
        named = _names_changed(evidence.result, item, payload, issued)
        if isinstance(named, Lost):
            return named
        if not self._believes(row, named=named):
            return NAMELESS
        told = one_object(evidence.result) if issued and isinstance(evidence.result, dict) else {}
        renewed = {name: told[name] for name in sorted(issued) if name in told}
        return with_note(Accepted(_as_answer(renewed)), payload)

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        def before(item: Item, payload: Payload, thing: BillingObject | str) -> Payload | None:
            if isinstance(thing, str):
                return None
            now = {name: thing.values.get(name) for name in payload.wanted}
            # Wanted values may be the effect of an earlier call of the item.
            differs = self._different(payload, thing) if item.attempts else now
            overwritten = {name: now[name] if name in differs else payload.was.get(name) for name in payload.wanted}
            fresh = refresh_before_image(payload, overwritten)
            account = thing.account_id or 0
            moved_to = account if OF_ABONENT in payload.key and account_of(item.lane) not in {None, account} else 0
            if moved_to != payload.moved_to:
                fresh = msgspec.structs.replace(fresh or payload, moved_to=moved_to)
            return fresh

        return await of_each(items, self._found, before)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Another value is `Absent`: the call may be repeated, and that value was set before ours."""

        def seen(_: Item, payload: Payload, thing: BillingObject | str) -> LookUpResult:
            if isinstance(thing, str):
                return CannotLook(thing)
            if self._different(payload, thing):
                return Absent()
            issued = {name: thing.values.get(name) for name in sorted(emptied(payload.model, payload.wanted))}
            return Found(_as_answer(issued))

        return await of_each(items, self._found, seen)

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        """A field that the billing clears after it has acted is as wanted when empty: the call was answered."""

        def read(_: Item, payload: Payload, thing: BillingObject | str) -> ReadBack:
            if isinstance(thing, str):
                return ReadBack(None, thing)
            differs = self._different(payload, thing)
            if payload.model == _RECALCULATED and not differs.get(_RECALCULATION):
                differs.pop(_RECALCULATION, None)
            if not differs:
                return ReadBack(None)
            wanted = describe_fields({name: payload.wanted[name] for name in differs})
            return ReadBack(
                None, said("wanted {wanted}; there is {found}", wanted=wanted, found=describe_fields(differs))
            )

        return await of_each(items, self._found, read)

    def undo(self, how: Mapping[str, str]) -> CallEffect | str:
        if self._template.model == _RECALCULATED and _RECALCULATION in self._template.links[1].arguments:
            return said(
                "a recalculation cannot be taken back: recalculate from the same month once what was wrong is put "
                "right"
            )
        return self.setting_back()

    def setting_back(self) -> "SetFieldsEffect":
        return SetFieldsEffect(self._gateway, self._template, yields=True)

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        found = await self._found([one.payload for one in taken])
        entries: list[NewItem | Refusal] = []
        for one, thing in zip(taken, found, strict=True):
            payload = one.payload
            if isinstance(thing, str):
                entries.append(one.refused(thing))
                continue
            was, now = payload.was, {name: thing.values.get(name) for name in payload.wanted}
            sent = {**payload.wanted}
            if one.answer and one.answer.startswith("{"):
                # The values that were issued for emptied fields, which `send` has kept.
                sent |= spell_out(msgspec.json.decode(one.answer, type=dict[str, object]))
            skip_reason = None
            if one.later is not None:
                skip_reason = replaced_in_run(one.later)
            elif same_values(now, was):
                # What has no answer may come yet: it is read once more before the call.
                skip_reason, now = (None, sent) if one.unanswered else (_as_it_was(was), now)
            elif self._different(payload, thing) if one.unanswered else not same_values(now, sent):
                skip_reason = said(
                    "changed since: the run set {sent}, and now it is {now}",
                    sent=describe_fields(sent),
                    now=describe_fields(now),
                )
            get, assigned, save = payload.steps
            sent_back = {name: _as_sent(name, value, assigned.arguments) for name, value in was.items()}
            reversed_ = Payload(
                model=payload.model,
                steps=(get, ChainStep(SET, sent_back), save),
                abonent=payload.abonent,
                key=payload.key,
                wanted=was,
                was=now,
                unanswered=one.unanswered,
            )
            lane = lane_of(payload.model, payload.key, thing)
            entries.append(one.item(lane, reversed_, skip_reason=skip_reason))
        return Prepared.of(entries)

    async def _found(self, payloads: Sequence[Payload]) -> Sequence[BillingObject | str]:
        fields = dict.fromkeys(name for payload in payloads for name in payload.wanted)
        return await find_one(self._gateway, self._template.model, [one.key for one in payloads], tuple(fields))

    def _different(self, payload: Payload, thing: BillingObject) -> dict[str, str | None]:
        """The fields that are not as wanted; a field to be issued anew is as wanted if its value has changed.

        An empty field that the billing may have cleared is not as wanted: only `read_back` may accept it, because a
        look-up would take a lost call for a successful one.
        """
        differs = differences(payload.wanted, thing)
        for name in emptied(payload.model, payload.wanted) & differs.keys():
            if not same_value(name, differs[name], payload.was.get(name)):
                del differs[name]
        return differs


def _as_it_was(was: Values) -> str:
    return reason("already as it was: {fields}", AS_IT_WAS, fields=describe_fields(was))


def _as_sent(name: str, value: str | None, assigned: Mapping[str, object]) -> object:
    """An old value as an argument of a call, in the form of the new one.

    A missing address is an empty text [S], any other missing value is null [?].
    """
    if value is None:
        return "" if name in ADDRESSES else None
    new = assigned.get(name)
    if isinstance(new, int) and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    if isinstance(new, str) and len(new) == DAY + len(MIDNIGHT) and len(value) == DAY:
        # The recipe writes it [S].
        return value + MIDNIGHT
    return value


def _as_answer(issued: Mapping[str, object]) -> str | None:
    """The values that the billing has issued as the answer that an item keeps, for an undo."""
    return msgspec.json.encode(issued).decode() if issued else None


# ---- answers about changed objects -------------------------------------------------------------------------------

_TELLING: Final = frozenset({"id", "op_id", "abonent_id", "usluga_id"})
"""Key fields requested in the answer, to identify its object."""


def _names_changed(result: object, item: Item, payload: Payload, issued: Collection[str]) -> bool | Lost:
    """Whether an answer names our object, with all fields set; or that it belongs to another request.

    A differing value names nobody: the billing may spell it differently, or another row may have set it.
    """
    model, own = payload.model, _own_key(payload.model)
    if is_about_other_model(result, model):
        return about_another(OF_ANOTHER_MODEL, model)
    fields = one_object(result)
    if "pk" in fields:
        fields = {own: fields["pk"], **fields}
    asked = {own if name == "pk" else name: value for name, value in payload.key.items()}
    if model == "AdminAccounts" and item.lane.startswith(ACCOUNT):
        # The call names the subscriber, the answer the account's own id.
        asked.setdefault(own, item.lane.removeprefix(ACCOUNT))
        asked.pop(OF_ABONENT, None)
    for name, value in asked.items():
        if name in fields and not says(fields, name, plain_value(name, value)):
            return about_another(f"{model} {readable(str(fields[name]), limit=40)}", f"{model} {value}")
    wanted = {name: value for name, value in payload.wanted.items() if name not in issued}
    if not wanted or not asked.keys() <= fields.keys():
        return False
    return all(name in fields and says(fields, name, value) for name, value in wanted.items())


def _own_key(model: str) -> str:
    return "op_id" if model == "FinanceOperations" else "id"
