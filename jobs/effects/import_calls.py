"""The steps of an import: the effect of items that are steps, their keys, and the payloads of their calls.

A step creates an object, or sets fields of one: its payload shows which, and each is sent, looked up and read back by
the effect that a job with this one call would have. Keys are those by which steps need each other:

folder/Дома/Новые     00777/subscriber/     00777/account/ivanov     00777/service/126     00777/balance/
"""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias, TypeVar

from billing.api.calls import is_secret
from checkpoints.records import Item, Run
from engine.evidence import Seen
from engine.job import Absent, BeforeImageMode, CannotLook, LookedFor, LookUpResult, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import key_of, spell_out
from jobs.access.payload import Payload, chain_of, payload_of
from jobs.effects.creatable_models import BALANCE
from jobs.effects.effect import CallEffect
from jobs.imports.fields import FieldKind, usual_fields
from jobs.imports.subscriber import FOLDER_ID, PATH, STEP_MODELS, STEP_NAMES, Part, Step, Subscriber
from jobs.spec.parameters import row_key
from jobs.spec.spec import CREATE, GET, SAVE, SET
from texts.said import said

ABONENT: Final = "abonent_id"
PARENT: Final = "parent_id"
OBJECT: Final = "id"
"""The places of ids that are filled in."""

LOGIN: Final = "login"
SUM: Final = "op_summa"
_TARIFF: Final = "tarif_id"
OF_MONEY: Final[Mapping[Step, str]] = {
    Step.THRESHOLD: "limit_warning",
    Step.LIMIT: "limit",
    Step.BALANCE: BALANCE,
}
"""The field of a money account that a step sets."""

DETAILS: Final[Mapping[Step, str]] = {
    Step.ACCOUNT: LOGIN,
    Step.SERVICE: "usluga_id",
    Step.ATTRIBUTE: "attribute_id",
}
"""The value that tells parts of one step apart."""

_T = TypeVar("_T")
FolderName: TypeAlias = tuple[str, str]
"""How a row names its folder: by `FOLDER_ID` or by `PATH`, and that text, "" for the top."""


class OfSteps(CallEffect):
    """The effect of items that are steps: each has the ordinary effect that a job with its one call would have."""

    has_steps = True
    looked_for = LookedFor.ALWAYS

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.keeps = BeforeImageMode.TOGETHER if gateway.database is not None else BeforeImageMode.ONE_BY_ONE

    @abstractmethod
    def _of(self, payload: Payload) -> CallEffect:
        """The effect of a step: which it is, its call shows."""

    def _groups(self, items: Sequence[Item], *, whole: bool = True) -> Iterator[tuple[CallEffect, list[Item]]]:
        """The items of each effect; only those with all their ids, if they are to be `whole`."""
        groups: defaultdict[CallEffect, list[Item]] = defaultdict(list)
        for item in items:
            if not whole or is_whole(payload_of(item)):
                groups[self._of(payload_of(item))].append(item)
        yield from groups.items()

    async def _of_each(
        self,
        ask: Callable[[CallEffect, list[Item]], Awaitable[Mapping[int, _T]]],
        items: Sequence[Item],
        *,
        whole: bool = True,
    ) -> dict[int, _T]:
        """What the effects answer of their items."""
        return {
            key: one
            for effect, group in self._groups(items, whole=whole)
            for key, one in (await ask(effect, group)).items()
        }

    def needs(self, item: Item) -> Sequence[str]:
        """The keys of the steps that are done before it."""
        return payload_of(item).needs

    def name_of(self, item: Item) -> str:
        """The step and whose it is."""
        return said("{step} of {whose}", step=STEP_NAMES[Step(payload_of(item).step)], whose=item.label)

    def describe(self, run_name: str, item: Item) -> str:
        """The call of the step."""
        return self._of(payload_of(item)).describe(run_name, item)

    async def send(self, run: Run, item: Item) -> Seen:
        """Make the call of the step."""
        return await self._of(payload_of(item)).send(run, item)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        """Whether the steps have their effect. Raises `LookUpFailed`.

        A step without the id of its subscriber was never sent.
        """
        found = await self._of_each(lambda effect, group: effect.look_up(run, group), items)
        return {one.item_id: Absent() for one in items if not is_whole(payload_of(one))} | found

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        """What the billing has of the steps now. Raises `LookUpFailed`."""
        return await self._of_each(lambda effect, group: effect.read_back(run, group), items, whole=False)

    async def read_before_images(self, items: Sequence[Item]) -> Mapping[int, Payload]:
        """The payloads with the present values, where they have changed. Raises `LookUpFailed`."""
        return await self._of_each(lambda effect, group: effect.read_before_images(group), items)


# ---- keys --------------------------------------------------------------------------------------------------------


def folder_key(path: str) -> str:
    """The key of the item that creates a folder."""
    return row_key((Step.FOLDER, path))


def step_key(number: str, step: Step, detail: str = "") -> str:
    """The key of the item of a subscriber's step."""
    return row_key((number, step, detail))


def folder_name(subscriber: Subscriber) -> FolderName:
    """How the row names its folder."""
    part = subscriber.part(Step.FOLDER)
    if part is None:
        return PATH, ""
    return (FOLDER_ID, part.text(FOLDER_ID)) if part.text(FOLDER_ID) else (PATH, part.text(PATH))


def detail_of(part: Part) -> str:
    """The value that tells a part from others of its step, "" where there is one part alone."""
    return part.text(DETAILS[part.step]) if part.step in DETAILS else ""


def groups_of(subscriber: Subscriber) -> dict[str, str]:
    """What the subscriber is counted by in the reconciliation of a report."""
    person, tariff, balance = (subscriber.part(step) for step in (Step.SUBSCRIBER, Step.TARIFF, Step.BALANCE))
    named = {
        "folder": folder_name(subscriber)[1],
        "tariff": "" if tariff is None else tariff.text(_TARIFF),
        "operator": "" if person is None else person.text("operator_id"),
        "balance": "" if balance is None else balance.text(SUM),
    }
    return {name: text for name, text in named.items() if text}


def creates(payload: Payload) -> bool:
    """Whether a payload creates its object."""
    return payload.steps[0][0] == CREATE


def is_whole(payload: Payload) -> bool:
    """Whether all ids of a payload are filled in."""
    return not payload.fills or all(
        arguments.get(place, "") is not None for place in payload.fills for _, arguments in payload.steps
    )


# ---- payloads ---------------------------------------------------------------------------------------------------


def arguments_of(part: Part) -> dict[str, object]:
    """The values of a part as arguments of a call: ids and flags as numbers, empty ones left out."""
    return {name: _argument(part.step, name, value.text) for name, value in part.values.items() if value.text}


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
