"""What a billing takes when a subscriber is created: learned on one test subscriber, which is deleted again.

It is created in a folder of its own within a test folder, with an account, a service and an attribute like those of
the subscriber that the probe is made on. Folder, contract number and login have the name of the probe: by it all of
that is found after a kill.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.directory.subscribers import Abonent
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Evidence, Lost, RowRefused, SystemRefused
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.references import References
from jobs.access.subscribers import as_bool
from jobs.access.vault import new_batch
from jobs.imports.fields import FieldKind, FieldTable, ModelField, usual_fields
from jobs.imports.subscriber import NUMBER, STEP_MODELS, Step
from jobs.probe.entries import ProbePatience, ProbeStopped, is_refused, send_until_taken, until
from jobs.probe.intent import IntendedObject, Intents
from texts.said import said

NUMBER_OF_PROBE: Final = "cm-probe-"
"""Begins the contract number and the login of a probe's own subscriber."""

NAME: Final = "Проба, будет удалена"

STEPS: Final = (Step.SUBSCRIBER, Step.ACCOUNT, Step.SERVICE, Step.ATTRIBUTE)
"""The steps of an import that create an object of a subscriber, in their order."""

_REFUSED: Final = re.compile(r"не найден атрибут\W*(\w+)", re.IGNORECASE)
"""How the billing names a field that its model lacks [V]."""

_HARMLESS: Final[Mapping[FieldKind, object]] = MappingProxyType(
    {
        FieldKind.TEXT: "1",
        FieldKind.EMAIL: "probe@example.org",
        # No message goes to an empty number, and no address is taken away from anybody.
        FieldKind.PHONE: "",
        FieldKind.ADDRESS: "",
        FieldKind.MAC: "",
        FieldKind.FLAG: 0,
    }
)
"""Values that are tried, by the kind of a field; ids are those of the subscriber that the probe is made on."""


@dataclass(frozen=True, slots=True)
class ProbeObject:
    """An object that a probe has created; `name` is the contract number of its subscriber."""

    model: str
    id: int
    name: str

    def __str__(self) -> str:
        return said("{model} {id} ({name})", model=self.model, id=self.id, name=self.name)


async def check_folder(gateway: Gateway, folder: int) -> None:
    """Raise `InputRefused` if the test folder does not exist, `LookUpFailed` if that cannot be told."""
    if await References(gateway).missing("Folder", {str(folder)}):
        raise InputRefused(said("there is no folder {id}: name one in which a test subscriber may stand", id=folder))


@dataclass(slots=True)
class ProbeObjects:
    """Creates a subscriber with what belongs to it, learns which fields are taken, and deletes all of it.

    `taken` has by model each field that was tried, and whether the create took it; `untold` says of others why
    nothing is known.
    """

    gateway: Gateway
    intents: Intents[IntendedObject]
    probe: str
    folder: int = 0
    patience: ProbePatience = field(default_factory=ProbePatience)
    fields: FieldTable = field(default_factory=usual_fields)
    taken: dict[str, dict[str, bool]] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    delete_answer: Accepted | None = None

    async def learn(self, like: Abonent) -> None:
        """Create the objects, each with the ids of those that this subscriber has.

        Raises `ProbeStopped`, `LookUpFailed`, `IntentFailed`.
        """
        number = f"{NUMBER_OF_PROBE}{self.probe}"
        found_by: dict[str, object] = {NUMBER: number}
        needed: dict[str, object] = {"parent_id": await self._own_folder(number), **found_by, "name": NAME}
        abonent = 0
        for step in STEPS:
            model = STEP_MODELS[step]
            ids = await self._ids_of(model, "id" if step is Step.SUBSCRIBER else "abonent_id", like.id)
            if step is Step.ACCOUNT:
                found_by = needed = {"abonent_id": abonent, "login": number}
            elif step is not Step.SUBSCRIBER:
                subject = next(name for name, one in self.fields.of_step(step).items() if one.kind is FieldKind.ID)
                if not ids.get(subject):
                    self.untold.append(
                        said("abonent {id} has none that {model} could be like", id=like.id, model=model)
                    )
                    continue
                found_by = needed = {"abonent_id": abonent, subject: ids[subject]}
            tried = {
                name: value
                for name, one in self.fields.of_step(step).items()
                if name not in needed and (value := _tried(name, one, ids)) is not None
            }
            key = await self._create(model, found_by, needed, tried)
            if isinstance(key, int):
                abonent = key if step is Step.SUBSCRIBER else abonent
            elif step is Step.SUBSCRIBER:
                raise ProbeStopped(key)
            else:
                self.untold.append(key)

    async def left(self) -> list[ProbeObject]:
        """The objects of this and earlier probes, in the order of their deletion. Raises `LookUpFailed`."""
        found: list[ProbeObject] = []
        for probe in dict.fromkeys([*(one.probe for one in self.intents.earlier), self.probe]):
            name = f"{NUMBER_OF_PROBE}{probe}"
            for abonent in await self._live("Abonents", {NUMBER: name}):
                for step in reversed(STEPS[1:]):
                    model = STEP_MODELS[step]
                    found += [
                        ProbeObject(model, key, name) for key in await self._live(model, {"abonent_id": abonent})
                    ]
                found.append(ProbeObject("Abonents", abonent, name))
            found += [ProbeObject("Abonents", key, name) for key in await self._live("Abonents", _folder(name))]
        return found

    async def delete_all(self) -> dict[ProbeObject, str]:
        """Delete what is left; what remains, each with the reason. Raises `ProbeStopped` and `LookUpFailed`."""
        kept: dict[ProbeObject, str] = {}
        for one in await self.left():
            if (why := await self._delete(one)) is not None:
                kept[one] = why
        return kept

    # ---- one object ----

    async def _own_folder(self, name: str) -> int:
        """A folder of its own in the test folder, or that one where folders cannot be created."""
        made = await self._create("Abonents", _folder(name), {**_folder(name), "parent_id": self.folder}, {})
        if isinstance(made, int):
            return made
        self.taken["Abonents"]["is_folder"] = False
        self.untold.append(made)
        return self.folder

    async def _create(
        self, model: str, found_by: Mapping[str, object], needed: Mapping[str, object], tried: Mapping[str, object]
    ) -> int | str:
        """Create one object, without the fields that are refused; its id, or why there is none."""
        known = self.taken.setdefault(model, {})
        left = dict(tried)

        async def there() -> int | None:
            return next(iter(await self._live(model, found_by)), None)

        while True:
            self.intents.keep(IntendedObject(self.probe, model, datetime.now(UTC)))
            evidence = await self._send(create(model, **needed, **left).asking("id"))
            waits = {Accepted: self.patience.effect, Lost: self.patience.settle}
            # It is not documented whether the billing refuses before or after it creates [?].
            key = await until(there, waits.get(type(evidence), 0.0))
            if key is not None:
                known |= dict.fromkeys([*needed, *left], True)
                await self._look_at(model, key, left)
                return key
            if isinstance(evidence, RowRefused) and left:
                self._without(model, left, evidence.text)
                continue
            reason = getattr(evidence, "text", "") or said("it was answered without an error, and it is not there")
            sentence = said("{model} was not created: {reason}", model=model, reason=reason)
            if isinstance(evidence, RowRefused):
                return sentence
            raise ProbeStopped(sentence)

    def _without(self, model: str, left: dict[str, object], refusal: str) -> None:
        """Take out of the tried fields the one that is refused, or all where the billing does not say which."""
        named = _REFUSED.search(refusal)
        if named is not None and named[1] in left:
            self.taken[model][named[1]] = False
            del left[named[1]]
            return
        names = [name for name in left if re.search(rf"\b{re.escape(name)}\b", refusal)] or list(left)
        for name in names:
            del left[name]
        self.untold.append(
            said("{model} with {fields}: {refusal}", model=model, fields=tuple(names), refusal=refusal)
        )

    async def _look_at(self, model: str, key: int, sent: Mapping[str, object]) -> None:
        """Read the object back: a field that was sent with a text and is empty was not taken."""
        secret = {
            name for step in STEPS for name, one in self.fields.of_step(step).items() if one.kind is FieldKind.SECRET
        }
        names = [name for name, value in sent.items() if value not in ("", 0) and name not in secret]
        if not names:
            return
        evidence = await self._send(filter_(model, {"id": key}, *names))
        if not isinstance(evidence, Accepted):
            return
        with as_engine_errors():
            found = objects(evidence.result)
        for name in names:
            if found and found[0].get(name) in (None, ""):
                self.taken[model][name] = False

    async def _delete(self, one: ProbeObject) -> str | None:
        arguments = {"clean_links": True} if one.model == STEP_MODELS[Step.ACCOUNT] else {}
        evidence = await self._send(get(one.model, {"id": one.id}, ChainStep("delete", arguments)))

        async def gone() -> bool | None:
            return None if await self._live(one.model, {"id": one.id}) else True

        wait = self.patience.effect if isinstance(evidence, Accepted) else self.patience.settle
        if await until(gone, 0.0 if is_refused(evidence) else wait):
            self.delete_answer = evidence if isinstance(evidence, Accepted) else self.delete_answer
            return None
        return getattr(evidence, "text", "") or said("it was answered without an error, and the object is there")

    # ---- reading ----

    async def _live(self, model: str, criteria: Mapping[str, object]) -> list[int]:
        """The ids of the objects that are not deleted. Raises `LookUpFailed`."""
        flag = () if model == STEP_MODELS[Step.ATTRIBUTE] else ("deleted",)
        evidence = await self._send(filter_(model, criteria, "id", *flag))
        if isinstance(evidence, RowRefused | SystemRefused):
            # This billing does not know the model: it has no objects of it.
            return []
        if not isinstance(evidence, Accepted):
            raise LookUpFailed(said("{model} cannot be read: {reason}", model=model, reason=evidence.text))
        with as_engine_errors():
            found = objects(evidence.result)
        return [int(str(one.get("id", one.get("pk")))) for one in found if not as_bool(one.get("deleted"))]

    async def _ids_of(self, model: str, by: str, abonent: int) -> dict[str, object]:
        """The ids that the first object of a subscriber has, by the fields of its model."""
        names = [name for name, one in self.fields.models[model].fields.items() if one.kind is FieldKind.ID]
        evidence = await self._send(filter_(model, {by: abonent}, *names))
        if not isinstance(evidence, Accepted):
            return {}
        with as_engine_errors():
            found = objects(evidence.result)
        return {name: value for name, value in (found[0] if found else {}).items() if name in names and value}

    async def _send(self, call: Call) -> Evidence:
        return await send_until_taken(lambda: self.gateway.client.send(call), self.patience.effect)


def _folder(name: str) -> dict[str, object]:
    """By what a folder is found."""
    return {"name": name, "is_folder": 1}


def _tried(name: str, one: ModelField, ids: Mapping[str, object]) -> object | None:
    """The value with which a field is tried, None where there is no harmless one."""
    match one.kind:
        case FieldKind.ID:
            return ids.get(name)
        case FieldKind.SECRET:
            return new_batch()
        case FieldKind.MOMENT | FieldKind.DATE:
            # Far enough off that nothing is charged.
            return f"{datetime.now(UTC).date() + timedelta(days=90)} 00:00:00"
    return _HARMLESS.get(one.kind)


def created_steps(folder: int) -> list[str]:
    """The steps of the creation, a sentence each."""
    return [
        said("create a folder in the folder {folder}, and a subscriber in it", folder=folder),
        said("create an account, a service and an attribute of this subscriber"),
        said("leave out one field after the other that is refused, and read back what was taken"),
        said("delete all of it in reverse order; the subscriber's empty money account stays"),
    ]
