"""The calls of an import's steps, and the ordinary effect that each of them has.

A step creates an object, or sets fields of one: its payload shows which, and each is sent, looked up and read back by
the effect that a job with this one call would have.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Final

from billing.api.calls import is_secret
from billing.directory.models import OPENING_BALANCE
from checkpoints.records import Item
from jobs.access.gateway import Gateway
from jobs.access.objects import OF_ABONENT, key_of, spell_out
from jobs.access.operations import two_decimals
from jobs.access.payload import OP_TYPE, Payload, chain_of, payload_of
from jobs.effects.creatable_models import FOLDER_FLAG
from jobs.effects.create import Back, CreateEffect
from jobs.effects.effect import CallEffect
from jobs.effects.set_fields import SetFieldsEffect
from jobs.imports.fields import FieldKind, usual_fields
from jobs.imports.subscriber import STEP_MODELS, Part, Step
from jobs.spec.chain import parse
from jobs.spec.chain_kind import CREATE, GET, SAVE, SET

COMMENT: Final = "Миграция балансов"
"""The comment of opening balances that have none of their own, as that of the job `balances`."""

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


class StepEffects:
    """The effects of all steps. `back` makes what takes an import back, for the effects ask for it."""

    def __init__(self, gateway: Gateway, back: Back) -> None:
        self.created: Mapping[Step, CreateEffect] = {
            step: CreateEffect(gateway, parse(STEP_MODELS[step], (f"{CREATE} {arguments}",)), back)
            for step, arguments in _CREATED.items()
        }
        self.set: Mapping[Step, SetFieldsEffect] = {
            step: SetFieldsEffect(gateway, parse(STEP_MODELS[step], _setting(*names))) for step, names in _SET.items()
        }

    def of(self, payload: Payload) -> CallEffect:
        """The effect of a payload."""
        step = Step(payload.step)
        return self.created[step] if creates(payload) else self.set[step]

    def groups(self, items: Sequence[Item], *, whole: bool = False) -> Iterator[tuple[CallEffect, list[Item]]]:
        """The items of each effect; only those that are `whole`, if so."""
        groups: defaultdict[tuple[str, str], list[Item]] = defaultdict(list)
        for item in items:
            payload = payload_of(item)
            if not whole or is_whole(payload):
                groups[payload.step, payload.steps[0][0]].append(item)
        for group in groups.values():
            yield self.of(payload_of(group[0])), group

    def all(self) -> Iterable[CallEffect]:
        """Each effect once."""
        return (*self.created.values(), *self.set.values())


def creates(payload: Payload) -> bool:
    """Whether a payload creates its object."""
    return payload.steps[0][0] == CREATE


def is_whole(payload: Payload) -> bool:
    """Whether all ids of a payload are filled in."""
    return not payload.fills or all(
        arguments.get(place, "") is not None for place in payload.fills for _, arguments in payload.steps
    )


def _setting(key: str, name: str) -> tuple[str, str, str]:
    return (f'{GET} {{"{key}": {{{key}}}}}', f'{SET} {{"{name}": {{{name}}}}}', SAVE)


# ---- payloads ---------------------------------------------------------------------------------------------------


def arguments_of(part: Part) -> dict[str, object]:
    """The values of a part as arguments of a call: ids and flags as numbers, empty ones left out."""
    return {name: _argument(part.step, name, value.text) for name, value in part.values.items() if value.text}


def balance_arguments(part: Part, amount: Decimal) -> dict[str, object]:
    """The arguments of an opening balance; that of its subscriber comes first."""
    return {
        "abonent_id": None,
        "op_summa": two_decimals(amount),
        OP_TYPE: OPENING_BALANCE,
        "descr": part.text("descr") or COMMENT,
    }


def folder_arguments(name: str, parent: int | None) -> dict[str, object]:
    """The arguments of a new folder."""
    return {FOLDER_FLAG: 1, "name": name, "parent_id": parent}


def setting(
    step: Step, key: Mapping[str, object], assigned: Mapping[str, object], was: Mapping[str, str | None], abonent: int
) -> Payload:
    """The payload of a step that sets fields of the object with a key."""
    return Payload(
        model=STEP_MODELS[step],
        steps=chain_of((GET, key), (SET, assigned), (SAVE, {})),
        abonent=abonent,
        key=key_of(key),
        wanted=spell_out(assigned),
        was=dict(was),
        step=step,
    )


def comparable(arguments: Mapping[str, object]) -> dict[str, str | None]:
    """The arguments in their plain spelling, without secrets, which are never read."""
    return {name: value for name, value in spell_out(arguments).items() if not is_secret(name)}


@cache
def _is_number(step: Step, name: str) -> bool:
    """Whether a field is an id or a flag; one of a map file that nobody knows is one by its name."""
    known = usual_fields().by_value.get((step, name))
    return name.endswith("_id") if known is None else known.kind in {FieldKind.ID, FieldKind.FLAG}


def _argument(step: Step, name: str, text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and _is_number(step, name) else text
