"""New objects: `objects.create` [S]. It must not be repeated: a second call would make a second entry.

A new object is recognised by its mark, or by its fields if the model has no comment for a mark. The mark is added
when the call is sent, because the run's name and the item's number are known only then.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from billing.api.answers import created_id, is_about_other_model, unexpected
from billing.api.calls import NOTHING, Call, ChainStep, describe
from billing.directory.models import DAY, MIDNIGHT, OPENING_BALANCE, BillingObject, plain_value
from billing.directory.subscribers import Abonent
from billing.money import two_decimals, wire
from billing.profile import TypeEight
from billing.secret import PLACEHOLDER
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.sentences import AS_IT_WAS, AS_WANTED, CAME_SINCE, GONE
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, AlreadyThere, Evidence, Lost, RowRefused, Seen
from engine.job import (
    NOT_THERE,
    Absent,
    AskMates,
    BeforeImageMode,
    Different,
    Entries,
    Found,
    Look,
    LookedFor,
    LookUpResult,
    Marked,
    Prepared,
    ReadBack,
)
from jobs.access.gateway import Gateway
from jobs.access.objects import (
    KEPT,
    NOBODY,
    AccountNow,
    accounts_now,
    balances,
    describe_fields,
    described,
    differences,
    enters_balance,
    find,
    lane_of,
    needed,
    newest,
    operations_since,
)
from jobs.access.payload import (
    ACCOUNT,
    BALANCE,
    FOLDER_LANE,
    OP_TYPE,
    Payload,
    decode_payload,
    encode_payload,
    payload_of,
)
from jobs.access.vault import mask_secrets
from jobs.effects.creatable_models import (
    CREATABLE_MODELS,
    SUBSCRIBERS,
    creatable_model,
    difference,
    entered_besides,
    entries_like,
    entries_of,
    like_these,
    mark_fault,
    marked_or_alike,
    model_of,
    own_of,
    room_for_text,
    same_but_for_mark,
    still_there,
    too_long,
    try_finding_created,
)
from jobs.effects.effect import (
    NAMELESS,
    CallEffect,
    ItemToUndo,
    describe_change,
    refresh_before_image,
    says,
    skip_changed,
    with_note,
    without_its_mark,
)
from jobs.imports.subscriber import LANE
from jobs.rows.binding import NUMBER, Arguments, Bound, amount_fault, owner_of_row, telling_of
from jobs.spec.chain import Hole, Template, fill_arguments
from jobs.spec.entries import LONGEST_COMMENT, MARK_ROOM, OPERATIONS, exact_key, find_mark, with_mark, without_marks
from jobs.spec.parameters import LONGEST_ID, row_key
from jobs.spec.spec import CREATE
from texts.said import reason, said, setting, some_of, text_of, wording

_OPENING: Final = str(OPENING_BALANCE)
WHOSE: Final = ("Abonents.id", "Abonents.contract_number")
"""By what the subscribers of rows are asked for before their calls."""

Back: TypeAlias = Callable[[Mapping[str, str]], CallEffect | str]
"""Makes the effect that takes this one back, from the parameters of the undo."""

TakeBack: TypeAlias = Callable[[Sequence[ItemToUndo]], Awaitable[Prepared]]
"""Turns items of an earlier run into the items of its undo."""


class CreateEffect(CallEffect):
    """Creates objects; with `taking_back` it takes back the effect of an earlier run.

    `comment` is the comment of rows without one; if it leaves no room for the mark, the input is refused. `telling`
    are the values of a row that tell its operation from further ones, `exact` the kind of its exact key, and `same`
    the arguments that make two rows the same entry, if others than those of its model.
    """

    def __init__(  # noqa: PLR0913 - a choice for each of its uses
        self,
        gateway: Gateway,
        template: Template,
        back: Back,
        *,
        comment: str = "",
        taking_back: TakeBack | None = None,
        type_8: TypeEight | None = None,
        telling: Sequence[str] = (),
        exact: str = "",
        same: tuple[str, ...] = (),
    ) -> None:
        super().__init__(gateway, template, telling)
        self._model = template.model
        self._arguments = template.links[0].arguments
        self._kind = creatable_model(template.model, self._arguments)
        self._back = back
        self._comment = comment
        self._taking_back = taking_back
        self._type_8 = type_8 or gateway.profile.type_8.value
        self._exact = exact
        self._same = same or self._kind.same
        self._enters_money = self.adds_up = template.model == OPERATIONS
        self.looks_together |= bool(self._kind.comment) and gateway.asks_by_many(*WHOSE, f"{self._model}.abonent_id")
        # With a mark, before each call; without one, where one query tells of many what others have made meanwhile.
        self.looked_for = LookedFor.ALWAYS if self._kind.comment or self.looks_together else LookedFor.WHEN_TAKEN_UP
        self._longest = gateway.profile.descr_length.value if self._enters_money else LONGEST_COMMENT
        """Characters of a comment with its mark."""
        if self._enters_money and gateway.database is not None:
            # The balance, which an entry of type 8 may set; only the database has it.
            self.keeps = BeforeImageMode.TOGETHER

    @property
    def may_enter_balance(self) -> bool:
        """Whether a row may enter an opening balance: its type may be a value of the row."""
        kind = self._arguments.get(OP_TYPE)
        return self._enters_money and (isinstance(kind, Hole) or str(kind) == _OPENING)

    # ---- rows to items ----

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        model, gateway = self._model, self._gateway
        room = await room_for_text(gateway, model)
        if fault := mark_fault(gateway, model, self._exact) or too_long(self._comment, room):
            raise InputRefused(fault)
        readable: list[tuple[Bound, Arguments]] = []
        unreadable: list[Refusal] = []
        for one in bound:
            arguments = fill_arguments(self._arguments, one.values)
            fault = amount_fault(self._kind.amount, arguments)
            if fault is None and str(arguments.get(OP_TYPE)) != _OPENING:
                # An opening balance needs no day.
                try:
                    telling_of(one)
                except ValueError as error:
                    fault = text_of(error)
            if fault is None:
                readable.append((one, arguments))
            else:
                unreadable.append(one.refused(fault))
        whose: Sequence[tuple[Bound, Arguments, Abonent | None]]
        unowned: Sequence[Refusal] = ()
        if model == SUBSCRIBERS:
            names = [str(arguments.get(NUMBER) or arguments.get("name") or "") for _, arguments in readable]
            whose = [
                (replace(one, label=name), arguments, None)
                for (one, arguments), name in zip(readable, names, strict=True)
            ]
        else:
            whose, unowned = await owner_of_row(gateway, readable)
        entering = {
            who.id: who.account_id or 0
            for _, arguments, who in whose
            if who and self._enters_money and str(arguments.get(OP_TYPE)) == _OPENING
        }
        sets = self._type_8 is TypeEight.SETS
        known = bool(entering) and (sets or gateway.database is not None)
        accounts = await accounts_now(gateway, entering) if known else {}
        payloads: list[Payload] = []
        for one, given, who in whose:
            abonent = who.id if who else 0
            opens = self._enters_money and str(given.get(OP_TYPE)) == _OPENING
            document, day = telling_of(one) if self._enters_money and not opens else ("", "")
            now = accounts[abonent] if opens and known else AccountNow()
            # An undo of an entry of type 8 needs the balance before it.
            was = NOTHING if now.balance is None else {BALANCE: wire(now.balance)}
            payload = payload_for(
                model,
                given,
                abonent,
                was=was,
                named=dict(one.named),
                exact=self._exact if self._enters_money else "",
                document=document,
                day=day,
                newest=now.newest if opens and sets else None,
                sharers=tuple(sorted({*now.sharers} - {abonent})) if sets else (),
            )
            payloads.append(payload)
        # Objects with a mark may be alike.
        there = [()] * len(payloads) if self._kind.comment else await like_these(gateway, payloads)
        entries = [
            self._entry(one, who, payload, things, room)
            for (one, _, who), payload, things in zip(whose, payloads, there, strict=True)
        ]
        return Prepared.of([*entries, *unowned, *unreadable])

    def _entry(
        self,
        one: Bound,
        abonent: Abonent | None,
        payload: Payload,
        there: Sequence[BillingObject],
        room: int | None,
    ) -> NewItem | Refusal:
        kind, arguments = self._kind, payload.steps[0].arguments
        if fault := too_long(str(arguments.get(kind.comment) or ""), room):
            return one.refused(fault, kind.comment)
        equal = [thing for thing in there if not differences(payload.wanted, thing)] if there else []
        if there and not equal:
            return one.refused(
                said(
                    "{place} has another value already: {found}, and the row says {sent}. This job adds and never "
                    "changes: change it with the job `call`, {model}: objects.get by its id → set → save",
                    place=describe_fields({name.removesuffix("_id"): value for name, value in payload.key.items()}),
                    found=tuple(kind.described(thing, payload.wanted) for thing in there),
                    sent=kind.sent(payload.wanted),
                    model=payload.model,
                )
            )
        # Folders are created one after the other.
        lane = f"{LANE}{payload.key[NUMBER]}" if NUMBER in payload.key else FOLDER_LANE
        amount = arguments.get(kind.amount) if kind.amount else None
        same = ["" if (value := arguments.get(name)) is None else str(value) for name in self._same]
        return one.item(
            row_key([*same, *filter(None, [payload.told_by])]),
            f"{one.label}, {payload.document}" if payload.document else one.label,
            lane if abonent is None else f"{ACCOUNT}{abonent.account_id}",
            payload,
            amount=None if amount is None else Decimal(str(amount)),
            skip_reason=reason(
                "already as wanted: {object}", AS_WANTED, object=kind.described(equal[0], payload.wanted)
            )
            if equal
            else None,
            # Entries with a mark differ in their comments, so their values are not compared.
            wanted=None if kind.comment else describe_fields(payload.wanted),
        )

    def shows_entered(self, payload: str) -> bool:
        return self._taking_back is None

    def difference(self, item: NewItem, entered: Decimal) -> NewItem | Refusal:
        """An operation of the difference; where its type sets the balance, of the present balance with it on top."""
        payload, asked = decode_payload(item.payload), item.amount or Decimal(0)
        entry = amount = asked - entered
        wanted = dict(payload.wanted)
        if enters_balance(payload) and self._type_8 is TypeEight.SETS:
            if (now := payload.was.get(BALANCE)) is None:
                why = said(
                    "{entered} is entered, and the row says {asked}: an operation of type 8 sets the balance, and "
                    "what that is now is not known. Give the database, {flag}",
                    entered=entered,
                    asked=asked,
                    flag=setting("database", "HOST:PATH"),
                )
                return Refusal(item.line, None, item.label, why, item.row)
            entry = Decimal(now) + amount
            wanted[BALANCE] = wire(entry)
        payload = with_amount(payload, entry, wanted)
        return replace(item, amount=amount, wanted=format(asked, "f"), payload=encode_payload(payload))

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        # One that takes back is entered already only by an equal one.
        return await entries_like(self._gateway, items, equal=self._taking_back is not None)

    async def try_out(self) -> None:
        gateway, model = self._gateway, self._model
        if model != SUBSCRIBERS:
            with needed(said("the subscribers of new objects are found")):
                await find(gateway, SUBSCRIBERS, [{"id": str(NOBODY)}], ("id", "deleted"))
        await try_finding_created(gateway, model, self._arguments, self._exact)
        if self.keeps is not BeforeImageMode.NOTHING:
            with needed(KEPT):
                await balances(gateway, [NOBODY])

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """That the billing keeps the mark and the exact key, and the effect of its types on the balance."""
        if not self._enters_money:
            return {}
        profile = self._gateway.profile
        kept: dict[str, object] = {"descr_kept": True}
        if self._gateway.database is None:
            kept["descr_length"] = profile.descr_length.value
        types = {payload.key.get(OP_TYPE, "") for payload in payloads}
        for name, fact in (("receipt_type", profile.receipt_type), ("act_type", profile.act_type)):
            if str(fact.value) in types:
                kept[name] = fact.value
        kept |= {f"{kind}_key": True for payload in payloads if (kind := payload.exact)}
        return kept | ({"type_8": self._type_8} if any(map(enters_balance, payloads)) else {})

    # ---- the call ----

    def _call(self, payload: Payload, run_name: str, number: int) -> Call:
        comment, arguments = self._kind.comment, dict(payload.steps[0].arguments)
        if payload.exact:
            arguments |= exact_key(payload.exact, run_name, number)
        if comment:
            arguments[comment] = with_mark(str(arguments.get(comment) or ""), run_name, number, longest=self._longest)
        return Call(payload.model, (ChainStep(CREATE, arguments),), self._identifying(payload))

    def _identifying(self, payload: Payload) -> tuple[str, ...]:
        """The fields to ask for, because an answer with others belongs to another request."""
        kind = self._kind
        return (kind.key, kind.comment) if kind.comment else (kind.key, *kind.found_by, *payload.wanted)

    def describe(self, run_name: str, item: Item) -> str:
        return mask_secrets(describe(self._call(payload_of(item), run_name, item.number)))

    async def send(self, run: Run, item: Item) -> Seen:
        payload = decode_payload(item.payload)
        call = self._call(payload, run.name, item.number)
        row = self._row(item)
        # Few payloads have a secret, and each call is counted.
        opens = PLACEHOLDER in item.payload
        answer = await (self._sent(item, call, row) if opens else self._gateway.client.send(call, row=row))
        evidence = self._evidence(answer, payload, (run.name, item.number), row)
        match evidence:
            case Accepted():
                return with_note(evidence, payload) if payload.planned or payload.after else evidence
            case RowRefused(text) if self._kind.is_taken(text):
                return await self._taken(item, payload, text)
        return evidence

    def _evidence(self, evidence: Evidence, payload: Payload, own: tuple[str, int], row: int | None) -> Evidence:
        match evidence:
            case RowRefused(text) if "атрибут" in (words := text.casefold()) and (
                self._kind.comment or any(name in words for name in self._identifying(payload))
            ):
                # The attributes of the call come from the recipe, so the fault is in `fields`; only a model of custom
                # attributes may also refuse that of a row. It is not known whether the billing reads `fields` before
                # or after it creates [?], so the look-up decides.
                return Lost(said("rejected, but perhaps only after it was entered: {reason}", reason=text))
            case Accepted(result=result):
                named = _names_created(result, payload, own)
                fact = self._gateway.profile.descr_returned
                # Where the billing is known to return the comment, an answer without it belongs to another request.
                tells = self._enters_money and fact.known and fact.value
                if named is None or (tells and not named):
                    return unexpected(result)
                if not self._believes(row, named=named):
                    return NAMELESS
                answer = created_id(result)
                return unexpected(result) if answer is None else Accepted(answer, created=True)
        return evidence

    async def _taken(self, item: Item, payload: Payload, text: str) -> Seen:
        """What a refusal means whose reason is that another object has the key: it may be our own earlier call's."""
        try:
            (found,) = await like_these(self._gateway, [payload])
        except LookUpFailed:
            return Lost(said("rejected, and whose the key is has to be looked up: {reason}", reason=text))
        if not found and not item.attempts:
            # An earlier call may still wait to be carried out: it counts as absent only after the settle delay.
            return Lost(said("rejected, and the billing does not show yet who has the key: {reason}", reason=text))
        if found and difference(payload, found) is None:
            answer = found[0].values[self._kind.key]
            if item.attempts:
                note = said("found in the billing, and may be somebody else's: {reason}", reason=text)
                return Accepted(answer, note, unproven=True)
            made = reason(
                "already as wanted: somebody else has made it just before (id {id})", AS_WANTED, id=answer or ""
            )
            return AlreadyThere(made, answer)
        there = tuple(self._kind.described(thing, payload.wanted) for thing in found)
        return RowRefused(said("{reason}; the billing has {found}", reason=text, found=there) if there else text)

    # ---- what has changed since the list was made ----

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """Also the operations that have come to an account since the list was made, where its balance is set.

        The last one of the list has to be there: else the billing was put back, and what it took back stands again.
        Those that a person was shown who has decided that the row is sent are no news. Of an item in effect those
        before its own operation: their sums are overwritten. Where a balance is set back, it has to be that of the
        plan, for a payment made after that would be lost. An operation that is taken back has to be there. Raises
        `LookUpFailed`.
        """
        payloads = [decode_payload(item.payload) for item in items]
        pairs = list(zip(items, payloads, strict=True))
        taking_back = [(item, one) for item, one in pairs if one.undone]
        reasons = (
            await self._moved_since(items, payloads)
            | await gone_since(self._gateway, taking_back)
            | await self._there_again(pairs)
        )
        sets = [pair for pair in pairs if pair[1].newest is not None and pair[0].item_id not in reasons]
        last: dict[int, int] = {}
        for _, payload in sets:
            before = max((payload.newest or 0) - 1, 0)
            last[payload.abonent] = min(before, last.get(payload.abonent, before))
        newer = await operations_since(self._gateway, last)
        for item, payload in sets:
            own = int(item.answer or 0) if item.state.in_effect else 0
            if payload.newest and not own and all(one.op_id != payload.newest for one in newer[payload.abonent]):
                reasons[item.item_id] = said(
                    "changed since the list was made: operation {id}, the last one of the account, is not there any "
                    "more. Was the billing put back from its backup? Then run the row again",
                    id=payload.newest,
                )
                continue
            shown = {*item.seen, *payload.there}
            others = [
                one
                for one in newer[payload.abonent]
                if one.op_id > (payload.newest or 0) and not one.storno and (not own or one.op_id < own)
                if str(one.op_id) not in shown
                if (mark := find_mark(one.descr)) is None or mark[0] != run.name
            ]
            if not others:
                continue
            amount = sum((one.op_summa for one in others), Decimal(0))
            anew = (
                said("Run the delta again: its difference goes on top of what came")
                if BALANCE in payload.wanted
                else said(
                    "Entered again as it is, the row replaces that too: add it to the row's sum, or leave the row out"
                )
            )
            named = some_of([described(one.op_id, one.op_summa, one.day) for one in others])
            reasons[item.item_id] = (
                said(
                    "overwritten: {amount} came to the account after the list was made and before this row set its "
                    "balance: {operations}",
                    amount=amount,
                    operations=named,
                )
                if own
                else reason(
                    "changed since the list was made: {amount} came to the account, and this row would set its "
                    "balance over it: {operations}. {anew}",
                    CAME_SINCE,
                    amount=amount,
                    operations=named,
                    anew=anew,
                )
            )
        setting_back = {
            item.item_id: payload
            for item, payload in pairs
            if BALANCE in payload.wanted and _overwrites(payload)
            if not item.state.in_effect and item.item_id not in reasons
        }
        now = await balances(self._gateway, [payload.abonent for payload in setting_back.values()])
        for key, payload in setting_back.items():
            balance, then = now.get(payload.abonent), Decimal(payload.was[BALANCE] or 0)
            if balance != then:
                reasons[key] = said(
                    "changed since the plan: the balance was {then}, and now it is {now}",
                    then=then,
                    now=said("not known") if balance is None else balance,
                )
        return reasons

    async def _there_again(self, pairs: Sequence[tuple[Item, Payload]]) -> dict[int, str]:
        """By item_id, whose deleted object is there all the same, as the billing was put back."""
        renewing = [(item, one) for item, one in pairs if one.renews and not item.state.in_effect]
        if not renewing:
            return {}
        kind, keys = self._kind, [{self._kind.key: one.renews} for _, one in renewing]
        found = await find(self._gateway, self._model, keys, kind.fields(kind.same))
        return {
            item.item_id: said(
                "changed since the list was made: {object}, which the run deleted, is there again",
                object=kind.described(thing, kind.same),
            )
            for (item, one), things in zip(renewing, found, strict=True)
            for thing in filter(kind.counts, still_there(one, one.wanted, things))
        }

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """An item that sets a balance back keeps the planned one, to notice a change made by others."""
        payloads = {item.item_id: decode_payload(item.payload) for item in items}
        keeping = {
            key: one
            for key, one in payloads.items()
            if BALANCE in one.was and not (BALANCE in one.wanted and _overwrites(one))
        }
        now = await balances(self._gateway, [one.abonent for one in keeping.values()])
        anew: dict[int, Payload] = {}
        for key, one in keeping.items():
            was = one.was[BALANCE]
            if one.abonent not in now or (was is not None and Decimal(was) == now[one.abonent]):
                continue
            if refreshed := refresh_before_image(one, {**one.was, BALANCE: wire(now[one.abonent])}):
                anew[key] = refreshed
        return anew

    # ---- is it there? ----

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        payloads = [decode_payload(item.payload) for item in items]
        found = (
            await marked_or_alike(self._gateway, payloads, of_run=run.name)
            if payloads and model_of(payloads[0]).comment
            else await like_these(self._gateway, payloads)
        )
        return {
            item.item_id: _sighting_of(payload, own_of(payload, things, (run.name, item.number)))
            for item, payload, things in zip(items, payloads, found, strict=True)
        }

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        if not self._kind.comment:
            return await super().look(run, items, mates)
        payloads = [decode_payload(item.payload) for item in items]
        looks: dict[int, Look] = {}
        for item, payload, things in zip(
            items, payloads, await marked_or_alike(self._gateway, payloads), strict=True
        ):
            if not things:
                looks[item.item_id] = NOT_THERE
                continue
            own = (run.name, item.number)
            looks[item.item_id] = Look(
                _sighting_of(payload, own_of(payload, things, own)),
                entries_of(payload, things, self._gateway.profile, own, equal=self._taking_back is not None),
            )
        return looks

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        # If an entry is to restore a balance, the balance is read as well, because the effect of a type of operation
        # on it is not certain. After later operations on its account the balance says nothing of the entry.
        payloads = [decode_payload(item.payload) for item in items]
        there = await (marked_or_alike if self._kind.comment else like_these)(self._gateway, payloads)
        now = await balances(self._gateway, [one.abonent for one in payloads if BALANCE in one.wanted])
        moved = {payload.abonent for payload in payloads if now and _has_another_balance(payload, now)}
        last = await newest(self._gateway, moved) if moved else {}
        readings: dict[int, ReadBack] = {}
        for item, payload, things in zip(items, payloads, there, strict=True):
            own = (run.name, item.number)
            mine = own_of(payload, things, own)
            kind, amount, later = model_of(payload), None, False
            # Of several objects those in effect: a person takes back what was made twice.
            found = mine if len(mine) == 1 else [thing for thing in mine if kind.counts(thing)] or mine
            differs = difference(payload, found)
            if not mine and (unmarked := same_but_for_mark(payload, things, item.answer)):
                # Its sum is not counted: it may be another one.
                differs = without_its_mark(kind.described(unmarked, (kind.amount,)), own)
            # What does not differ is one that counts.
            counting = found if differs is None else [thing for thing in found if kind.counts(thing)]
            if kind.amount and counting:
                amount = Decimal(0)
                for thing in counting:
                    amount += Decimal(thing.values[kind.amount] or 0)
                if self._taking_back is None and BALANCE in payload.wanted:
                    # The balance on top of which a difference was set.
                    amount -= Decimal(payload.was[BALANCE] or 0)
            if differs is None and _has_another_balance(payload, now):
                later = last.get(payload.abonent, 0) > int(found[0].values[kind.key] or 0)
                if not later:
                    differs = said(
                        "{object} is entered, but the balance is {now} and not {wanted}: no later operation of its "
                        "account is known, so either somebody has set the balance, or the billing does something "
                        "else with this type",
                        object=kind.described(found[0], ()),
                        now=now[payload.abonent],
                        wanted=Decimal(payload.wanted[BALANCE] or 0),
                    )
            besides: tuple[Marked, ...] = ()
            if len(mine) < len(things):
                besides = entered_besides(payload, things, mine, self._gateway.profile, own)
            ids = tuple([thing.values[kind.key] or "" for thing in counting]) if kind.comment else ()
            differs = None if later else differs
            readings[item.item_id] = ReadBack(amount, differs, later_operations=later, besides=besides, ids=ids)
        return readings

    # ---- undo ----

    def undo(self, how: Mapping[str, str]) -> CallEffect | str:
        return self._back(how)

    async def take_back(self, taken: Sequence[ItemToUndo]) -> Prepared:
        return await (self._taking_back or super().take_back)(taken)


def payload_for(
    model: str,
    arguments: Mapping[str, object],
    abonent: int,
    *,
    was: Mapping[str, str | None] = NOTHING,
    balance: str | None = None,
    **more: Any,  # noqa: ANN401 - those of Payload
) -> Payload:
    """The payload of a new object for a subscriber; `balance` is the wanted balance of the account, if known.

    `more` are further fields of the payload.

    Raises ValueError for money that is not a number.
    """
    kind = creatable_model(model, arguments)
    apart = kind.apart
    wanted: dict[str, str | None] = {
        name: spelled
        for name, value in arguments.items()
        if name not in apart and (spelled := plain_value(name, value)) is not None
    }
    if balance is not None:
        wanted[BALANCE] = balance
    key = {name: plain_value(name, arguments.get(name)) or "" for name in kind.found_by}
    steps = (ChainStep(CREATE, dict(arguments)),)
    return Payload(model, steps, abonent=abonent, key=key, wanted=wanted, was=dict(was), **more)


_GONE: Final = wording(
    "gone since the list was made: operation {id} is not there any more, is reversed, or is another one's by now"
)
_CHANGED: Final = wording("changed since the list was made: operation {id} has another sum or comment by now")


async def gone_since(gateway: Gateway, pairs: Sequence[tuple[Item, Payload]]) -> dict[int, str]:
    """By item_id, why an operation is not taken back that was there when the list was made. Raises `LookUpFailed`."""
    kind, reasons = CREATABLE_MODELS[OPERATIONS], dict[int, str]()
    asked = [(item, one, one.undone or {**one.was, **one.key}) for item, one in pairs if not item.state.in_effect]
    keys = [{kind.key: then[kind.key] or ""} for _, _, then in asked]
    found = await find(gateway, OPERATIONS, keys, kind.fields((kind.amount,))) if asked else ()
    for (item, one, then), things in zip(asked, found, strict=True):
        there = [thing for thing in things if kind.counts(thing)]
        if still_there(one, then, there):
            continue
        own, *marks = (find_mark(now.get(kind.comment) or "") for now in (then, *(thing.values for thing in there)))
        why, code = (_GONE, GONE) if all(mark not in {None, own} for mark in marks) else (_CHANGED, "")
        reasons[item.item_id] = reason(why, code, id=then[kind.key] or "")
    return reasons


def with_amount(payload: Payload, amount: Decimal, wanted: Mapping[str, str | None]) -> Payload:
    """The payload of an operation with another sum; `wanted` are its other wanted fields."""
    (step,) = payload.steps
    steps = (ChainStep(step.method, {**step.arguments, "op_summa": two_decimals(amount)}),)
    summed = {**wanted, "op_summa": plain_value("op_summa", wire(amount))}
    return replace(payload, steps=steps, wanted=summed)


def _overwrites(payload: Payload) -> bool:
    """Whether an entry sets a balance back instead of adding to it."""
    wanted = payload.wanted.get(BALANCE)
    return (
        wanted is not None and BALANCE in payload.was and Decimal(wanted) == Decimal(payload.wanted["op_summa"] or 0)
    )


def _names_created(result: object, payload: Payload, own: tuple[str, int]) -> bool | None:
    """Whether an answer of any shape names our row: by its mark, or without one by all fields sent.

    None for an answer about another object.
    """
    kind, fields = model_of(payload), dict[str, object]()
    match result:
        case [{"fields": dict() as found}] | {"fields": dict() as found}:
            fields = found
        case [dict() as found] | (dict() as found):
            fields = found
    if is_about_other_model(result, payload.model):
        return None
    if kind.comment:
        comment = fields.get(kind.comment)
        if not comment:
            return False
        return True if find_mark(str(comment)) == own else None
    # A key has "" for what is empty, as the folder around one at the top.
    sent = {name: value or None for name, value in {**payload.key, **payload.wanted}.items()}
    if any(not says(fields, name, value) for name, value in sent.items() if name in fields):
        return None
    return sent.keys() <= fields.keys()


def _sighting_of(payload: Payload, found: Sequence[BillingObject]) -> LookUpResult:
    if not found:
        return Absent()
    kind, differs = model_of(payload), difference(payload, found)
    if differs:
        seen = tuple(str(thing.values.get(kind.key)) for thing in found)
        return Different(differs, seen, marked=bool(kind.comment))
    return Found(found[0].values.get(kind.key), describe_change(payload), marked=bool(kind.comment))


def _has_another_balance(payload: Payload, now: Mapping[int, Decimal]) -> bool:
    wanted, balance = payload.wanted.get(BALANCE), now.get(payload.abonent)
    return wanted is not None and balance is not None and balance != Decimal(wanted)


# ---- deleted objects, created again with their kept fields and new ids --------------------------------------------

_OWN: Final = frozenset({"id", "deleted"})
"""Fields that the billing sets itself in a new object."""
_NUMBERS: Final = frozenset({"abonent_id", "usluga_id", "manager_id", "attribute_id", "enabled"})


async def renew(gateway: Gateway, model: str, taken: Sequence[ItemToUndo]) -> Prepared:
    """A new object for each deleted one, unless an equal one exists again. Raises `LookUpFailed`."""
    kind = CREATABLE_MODELS[model]
    same = [{name: one.payload.was.get(name) or "" for name in kind.same} for one in taken]
    alike = await find(gateway, model, same, kind.fields(kind.same))
    owners = await find(gateway, SUBSCRIBERS, [{"id": str(one.payload.abonent)} for one in taken], ("id", "deleted"))
    room = await room_for_text(gateway, model)
    longest = LONGEST_COMMENT - MARK_ROOM if room is None else room
    entries: list[NewItem | Refusal] = []
    for one, things, owner in zip(taken, alike, owners, strict=True):
        if there := [thing for thing in things if kind.counts(thing)]:
            found = tuple(kind.described(thing, kind.same) for thing in there)
            gone = reason("changed since: the run deleted it, and now there is {found}", AS_IT_WAS, found=found)
            entries.append(skip_changed(one, gone))
        elif len(owner) != 1 or owner[0].values.get("deleted") != "0":
            entries.append(
                one.refused(said("abonent {id} is deleted since: nothing can be given to it", id=one.payload.abonent))
            )
        else:
            was = one.payload.was
            kept = {name: value for name, value in was.items() if value is not None and name not in _OWN}
            arguments = {name: _argument(name, value) for name, value in kept.items()}
            if kind.comment and kind.comment in kept:
                # It is shortened to fit the new mark.
                text = without_marks(kept[kind.comment])
                arguments[kind.comment] = text if len(text) <= longest else text[: max(longest - 1, 0)].rstrip() + "…"
            deleted = str(was.get("id"))
            payload = payload_for(model, arguments, one.payload.abonent, renews=deleted)
            entries.append(one.item(lane_of(model, {"id": deleted}, owner[0]), payload))
    return Prepared.of(entries)


def _argument(name: str, value: str) -> object:
    if name in _NUMBERS and value.isascii() and value.isdigit() and len(value) <= LONGEST_ID:
        return int(value)
    return value + MIDNIGHT if name == "next_date" and len(value) == DAY else value
