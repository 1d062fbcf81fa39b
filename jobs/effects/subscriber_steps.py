"""The effect of an import: subscribers of a table with all that belongs to them, a step a call.

Each step is planned here, and made by the ordinary effect that its call has (`import_calls.py`). A lost call is
looked up and never sent again on a guess: a subscriber is found by its contract number, an account by its login, a
folder by its name and the folder around it, services and the balance by their marks.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from billing.api.answers import created_id
from billing.directory.models import LARGEST_ID
from checkpoints.records import Item, NewItem, Refusal, Run
from checkpoints.states import State
from engine.errors import InputRefused
from engine.job import (
    Absent,
    AskMates,
    Different,
    Entries,
    Found,
    Look,
    LookedFor,
    Prepared,
)
from jobs.access.gateway import Gateway
from jobs.access.objects import FROM_NEW, NOBODY, OF_ABONENT, find, needed
from jobs.access.payload import FOLDER_LANE, Payload, chain_of, decode_payload, encode_payload, payload_of
from jobs.effects.creatable_models import entries_like, mark_fault, room_for_text
from jobs.effects.create import CreateEffect
from jobs.effects.effect import CallEffect, Irreversible
from jobs.effects.import_calls import FolderName, OfSteps, creates, folder_name, is_whole
from jobs.effects.set_fields import SetFieldsEffect
from jobs.effects.subscriber_plan import Folder, FolderTree, PlanContext, plan_row
from jobs.effects.subscriber_removal import SubscriberRemoval
from jobs.effects.subscribers_there import OF_MONEY, read_page
from jobs.imports.subscriber import FOLDER_ID, PATH, STEP_MODELS, Step, Subscriber
from jobs.spec.chain import parse
from jobs.spec.entries import OPERATIONS
from jobs.spec.spec import CREATE, GET, SAVE, SET

_WITH_COMMENTS: Final = (STEP_MODELS[Step.SERVICE], STEP_MODELS[Step.BALANCE])
_ONCE: Final = frozenset({Step.SERVICE, Step.BALANCE})
"""The steps that an earlier run of the journal keeps from being entered again; all others the billing shows."""

_REMEMBERED: Final = 10_000


_CREATED: Final[Mapping[Step, str]] = {
    Step.FOLDER: '{"is_folder": 1, "name": "{name}", "parent_id": {parent_id}}',
    Step.SUBSCRIBER: '{"contract_number": "{contract_number}", "name": "{name}", "parent_id": {parent_id}}',
    Step.ACCOUNT: '{"abonent_id": {abonent_id}, "login": "{login}"}',
    Step.SERVICE: '{"abonent_id": {abonent_id}, "usluga_id": {usluga_id}, "manager_id": {manager_id}}',
    Step.ATTRIBUTE: '{"abonent_id": {abonent_id}, "attribute_id": {attribute_id}, "attribute_value": "{value}"}',
    Step.BALANCE: '{"abonent_id": {abonent_id}, "op_summa": "{sum}", "op_type_id": 8, "descr": "{descr}"}',
}
"""What the calls of the steps create, by the fields that each has."""

_SET: Final[Mapping[Step, tuple[str, str]]] = {
    Step.SUBSCRIBER: ("id", "name"),
    Step.ACCOUNT: ("id", "login"),
    Step.TARIFF: ("id", "tarif_id"),
    Step.SERVICE: ("id", "manager_id"),
    Step.ATTRIBUTE: ("id", "attribute_value"),
    Step.THRESHOLD: (OF_ABONENT, "limit_warning"),
    Step.LIMIT: (OF_ABONENT, "limit"),
}
"""The key of the object whose fields a step sets, and one of these fields."""


class SubscriberSteps(OfSteps):
    """Creates subscribers, step by step. With `change`, what is there and differs is changed to what the table says.

    One object a job: it remembers folders that it has found, and which row has asked for a new one first.
    """

    def __init__(self, gateway: Gateway, *, change: bool = False) -> None:
        super().__init__(gateway)
        self._change = change
        self._created = {
            step: CreateEffect(gateway, parse(STEP_MODELS[step], (f"{CREATE} {arguments}",)), self.undo)
            for step, arguments in _CREATED.items()
        }
        self._set = {
            step: SetFieldsEffect(
                gateway,
                parse(STEP_MODELS[step], (f'{GET} {{"{key}": {{{key}}}}}', f'{SET} {{"{name}": {{{name}}}}}', SAVE)),
            )
            for step, (key, name) in _SET.items()
        }
        self._folders = FolderTree(gateway)
        self._asked_first: dict[str, int] = {}

    # ---- rows to items ----

    async def plan_subscribers(self, subscribers: Sequence[Subscriber]) -> Prepared:
        """Turn subscribers into the items of their steps, and refusals. Raises `LookUpFailed`, `InputRefused`."""
        if any(one.part(Step.BALANCE) for one in subscribers) and (fault := mark_fault(self._gateway, OPERATIONS)):
            raise InputRefused(fault)
        context = PlanContext(
            self._gateway,
            await read_page(self._gateway, subscribers),
            await self._folders_of(subscribers),
            self._change,
            {model: await room_for_text(self._gateway, model) for model in _WITH_COMMENTS},
        )
        planned = [(one, plan_row(one, context)) for one in subscribers]
        entries: list[NewItem | Refusal] = []
        for one, made in planned:
            entries += [made] if isinstance(made, Refusal) else self._once(one, made)
        return Prepared.of(entries)

    async def _folders_of(self, subscribers: Sequence[Subscriber]) -> dict[FolderName, Folder | str]:
        named = dict.fromkeys(folder_name(one) for one in subscribers)
        paths = await self._folders.find([text for how, text in named if how == PATH])
        by_ids = await self._folders.by_ids([text for how, text in named if how == FOLDER_ID])
        return {(how, text): (by_ids if how == FOLDER_ID else paths)[text] for how, text in named}

    def _once(self, subscriber: Subscriber, made: Sequence[NewItem]) -> list[NewItem]:
        """The items without folders that an earlier row has asked for.

        A page may be planned twice, and beside another one. What slips through is a duplicate for the journal.
        """
        line, kept = subscriber.row.line or 0, list[NewItem]()
        for item in made:
            if item.lane == FOLDER_LANE:
                if self._asked_first.get(item.key, line) < line:
                    continue
                if len(self._asked_first) >= _REMEMBERED:
                    self._asked_first.clear()
                self._asked_first[item.key] = line
            kept.append(item)
        return kept

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:
        """Operations and services like those of the steps, of subscribers that are there. Raises `LookUpFailed`."""
        payloads = {item.key: decode_payload(item.payload) for item in items}
        asked = [
            item
            for item in items
            if item.skip_reason is None
            and (payload := payloads[item.key]).abonent
            and Step(payload.step) in _ONCE
            and creates(payload)
        ]
        return await entries_like(self._gateway, asked)

    def may_repeat(self, payload: str) -> bool:
        """Whether only the billing decides if the step is needed, whatever an earlier run has done."""
        return Step(decode_payload(payload).step) not in _ONCE

    # ---- what a step needs ----

    def fill(self, item: Item, needed: Mapping[str, Item]) -> str:
        """The payload with the ids from the answers of the needed steps. Raises `InputRefused` for one without."""
        payload = payload_of(item)
        if not payload.fills:
            return item.payload
        for one in (needed[key] for key in payload.fills.values()):
            if one.state is State.SKIPPED and payload_of(one).step == Step.SUBSCRIBER:
                raise InputRefused(
                    "somebody else has made subscriber {number} since the list was made. Import the table once "
                    "more: what the row says is then compared with what is there",
                    number=one.label,
                )
        return encode_payload(_filled(payload, {place: _id_of(needed[key]) for place, key in payload.fills.items()}))

    async def visible(self, run: Run, items: Sequence[Item]) -> Collection[int]:
        """The items whose effect the billing shows. Raises `LookUpFailed`.

        What is found and differs is shown as well: somebody may have changed it since, or the billing spells it in
        its own way. Not so an object of another id than the answer, which a person may have given. A field that is
        not as wanted yet is waited for while its account has unfinished work.
        """
        shown: set[int] = set()
        answers = {item.item_id: item.answer for item in items if payload_of(item).creates_subscriber}
        for item_id, seen in (await self.look_up(run, items)).items():
            if isinstance(seen, Found | Different) and _is_own(seen, answers.get(item_id)):
                shown.add(item_id)
        waiting = [item for item in items if item.item_id not in shown and not creates(payload_of(item))]
        if self._gateway.database is not None:
            shown.update(item.item_id for item in await self._worked_off(waiting))
        return shown

    async def _worked_off(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those of the items without unfinished work, found by halves. Raises `LookUpFailed`."""
        if not items or await self.unfinished_work(items) is None:
            return items
        if len(items) == 1:
            return ()
        half = len(items) // 2
        return (*await self._worked_off(items[:half]), *await self._worked_off(items[half:]))

    def looks_for(self, item: Item) -> LookedFor:
        """Before each call that creates, where one query looks up many; else as the effect of the step says."""
        payload = payload_of(item)
        if not creates(payload):
            return LookedFor.NEVER
        return LookedFor.ALWAYS if self.looks_together else self._of(payload).looked_for

    # ---- a call ----

    def _of(self, payload: Payload) -> CallEffect:
        step = Step(payload.step)
        return self._created[step] if creates(payload) else self._set[step]

    async def look(self, run: Run, items: Sequence[Item], mates: AskMates) -> Mapping[int, Look]:
        """The effects of the steps, and entries like theirs that are new. Raises `LookUpFailed`."""
        looks = {one.item_id: Look(Absent()) for one in items}
        for effect, group in self._groups(items):
            looks |= await effect.look(run, group, mates)
        return looks

    async def outdated(self, run: Run, items: Sequence[Item]) -> Mapping[int, str]:
        """What has changed since the list was made so that a step must not be made. Raises `LookUpFailed`."""
        reasons: dict[int, str] = {}
        for effect, group in self._groups(items):
            reasons |= await effect.outdated(run, group)
        return reasons

    def describe(self, run_name: str, item: Item) -> str:
        """The call of the step; an id that is not known yet is that of another item, by its key."""
        payload = payload_of(item)
        if not is_whole(payload):
            keys = {place: f"<{key}>" for place, key in payload.fills.items()}
            item = msgspec.structs.replace(item, payload=encode_payload(_with_arguments(payload, keys)))
        return super().describe(run_name, item)

    def rests_on(self, payloads: Sequence[Payload]) -> Mapping[str, object]:
        """What the opening balances rest on."""
        return self._created[Step.BALANCE].rests_on([one for one in payloads if one.step == Step.BALANCE])

    async def try_out(self) -> None:
        """Try each look-up with ids that no object has. Raises `InputRefused`, `LookUpFailed`."""
        for effect in (*self._created.values(), *self._set.values()):
            await effect.try_out()
        with needed(FROM_NEW):
            await find(self._gateway, "AdminAccounts", [{OF_ABONENT: str(NOBODY)}], ("id", *OF_MONEY.values()))

    # ---- undo ----

    def undo(self, how: Mapping[str, str]) -> CallEffect | Irreversible:
        """What takes an import back: deletes what it has created, and sets back what it has set."""
        return SubscriberRemoval(self._gateway, self._set, how)


def _is_own(seen: Found | Different, answer: str | None) -> bool:
    """Whether what is found is what the answer names, where there is one."""
    ids = (seen.answer,) if isinstance(seen, Found) else seen.seen
    return answer is None or not any(ids) or answer in ids


def _id_of(needed: Item) -> int:
    """The id of the object that a needed step has created. Raises `InputRefused`."""
    answer = created_id(needed.answer) if needed.answer else None
    if answer is None or int(answer) > LARGEST_ID:
        raise InputRefused("the id of {what} is not known", what=needed.label)
    return int(answer)


def _filled(payload: Payload, ids: Mapping[str, int]) -> Payload:
    """The payload with ids at their places: in its arguments, and in the fields by which it is found and compared."""
    texts = {name: str(value) for name, value in ids.items()}
    key = {name: texts.get(name, value) for name, value in payload.key.items()}
    wanted = payload.wanted | {name: text for name, text in texts.items() if name not in key and name != OF_ABONENT}
    owners = [value for name, value in ids.items() if name in _OWNERS]
    return msgspec.structs.replace(
        _with_arguments(payload, ids), key=key, wanted=wanted, abonent=owners[0] if owners else payload.abonent
    )


def _with_arguments(payload: Payload, values: Mapping[str, object]) -> Payload:
    """The payload with values at their places in its call."""
    steps = [
        (method, {name: values.get(name, value) for name, value in arguments.items()})
        for method, arguments in payload.steps
    ]
    return msgspec.structs.replace(payload, steps=chain_of(*steps))


_OWNERS: Final = frozenset({"abonent_id", OF_ABONENT, "id"})
"""The places of the id of a subscriber."""
