"""What a billing takes when a subscriber is created: learned on one test subscriber, which is deleted again.

It is created in a folder of its own within a test folder, with an account, a service and an attribute like those of
the subscriber that the probe is made on. Folder, contract number and login have the name of the probe: by it all of
that is found after a kill.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from billing.api.answers import objects
from billing.api.calls import ChainStep, create, filter_, get
from billing.directory.models import as_bool
from billing.directory.subscribers import Abonent
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, RowRefused, SystemRefused
from jobs.access.gateway import Gateway, as_engine_errors
from jobs.access.objects import References
from jobs.access.vault import new_batch
from jobs.imports.fields import FieldKind, FieldTable, ModelField, usual_fields
from jobs.imports.subscriber import NUMBER, STEP_MODELS, Step
from jobs.probe.traces import IntendedObject, ProbeStopped, Traces, until, why_of
from texts.said import said

NUMBER_OF_PROBE: Final = "cm-probe-"
"""Begins the contract number and the login of a probe's own subscriber."""

NAME: Final = "Проба, будет удалена"
FOLDERS: Final = "Abonents"
"""The model of folders, which is that of subscribers."""

STEPS: Final = (Step.SUBSCRIBER, Step.ACCOUNT, Step.SERVICE, Step.ATTRIBUTE)
"""The steps of an import that create an object of a subscriber, in their order."""

_REFUSED: Final = re.compile(r"не найден атрибут\W*(\w+)", re.IGNORECASE)
"""How the billing names a field that its model lacks [V]."""

_HARMLESS: Final[Mapping[FieldKind, object]] = {
    FieldKind.TEXT: "1",
    FieldKind.EMAIL: "probe@example.org",
    # No message goes to an empty number, and no address is taken away from anybody.
    FieldKind.PHONE: "",
    FieldKind.ADDRESS: "",
    FieldKind.MAC: "",
    FieldKind.FLAG: 0,
}
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
        raise InputRefused("there is no folder {id}: name one in which a test subscriber may stand", id=folder)


@dataclass(slots=True, kw_only=True)
class ProbeObjects(Traces[IntendedObject, ProbeObject]):
    """Creates a subscriber with what belongs to it, learns which fields are taken, and deletes all of it.

    `taken` has by model each field that was tried, and whether the create took it; `untold` says of others why
    nothing is known.
    """

    folder: int = 0
    fields: FieldTable = field(default_factory=usual_fields)
    taken: dict[str, dict[str, bool]] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    delete_answer: Accepted | None = None

    async def learn(self, like: Abonent) -> None:
        """Create the objects, each with the ids of those that this subscriber has.

        Raises `ProbeStopped`, `LookUpFailed`, `IntentFailed`.
        """
        number = f"{NUMBER_OF_PROBE}{self.probe}"
        own = _folder(number)
        made = await self._create(FOLDERS, own, {**own, "parent_id": self.folder}, {})
        if isinstance(made, str):
            # Folders cannot be created: the subscriber goes into the test folder.
            self.taken[FOLDERS]["is_folder"] = False
            self.untold.append(made)
        folder, abonent = made if isinstance(made, int) else self.folder, 0
        for step in STEPS:
            model, fields = STEP_MODELS[step], self.fields.of_step(step)
            # The ids that the first object of the other subscriber has, by the fields of its model.
            names = [name for name, one in self.fields.models[model].fields.items() if one.kind is FieldKind.ID]
            first = await self._first(model, {"id" if step is Step.SUBSCRIBER else "abonent_id": like.id}, names)
            ids = {name: value for name, value in first.items() if name in names and value}
            if step is Step.SUBSCRIBER:
                found_by: dict[str, object] = {NUMBER: number}
                needed: dict[str, object] = {"parent_id": folder, **found_by, "name": NAME}
            elif step is Step.ACCOUNT:
                found_by = needed = {"abonent_id": abonent, "login": number}
            else:
                subject = next(name for name, one in fields.items() if one.kind is FieldKind.ID)
                if not ids.get(subject):
                    self.untold.append(
                        said("abonent {id} has none that {model} could be like", id=like.id, model=model)
                    )
                    continue
                found_by = needed = {"abonent_id": abonent, subject: ids[subject]}
            tried = {name: _tried(name, one, ids) for name, one in fields.items() if name not in needed}
            wanted = {name: value for name, value in tried.items() if value is not None}
            key = await self._create(model, found_by, needed, wanted)
            if isinstance(key, int):
                abonent = key if step is Step.SUBSCRIBER else abonent
            elif step is Step.SUBSCRIBER:
                raise ProbeStopped(key)
            else:
                self.untold.append(key)

    async def left(self) -> list[ProbeObject]:
        found: list[ProbeObject] = []
        own = [self.probe] if self.taken else []
        for probe in dict.fromkeys([*(one.probe for one in self.intents.earlier), *own]):
            name = f"{NUMBER_OF_PROBE}{probe}"
            for abonent in await self._live(FOLDERS, {NUMBER: name}):
                for step in reversed(STEPS[1:]):
                    keys = await self._live(STEP_MODELS[step], {"abonent_id": abonent})
                    found += [ProbeObject(STEP_MODELS[step], key, name) for key in keys]
                found.append(ProbeObject(FOLDERS, abonent, name))
            found += [ProbeObject(FOLDERS, key, name) for key in await self._live(FOLDERS, _folder(name))]
        return found

    async def take_back(self, one: ProbeObject) -> str | None:
        arguments = {"clean_links": True} if one.model == STEP_MODELS[Step.ACCOUNT] else {}
        evidence = await self.send(get(one.model, {"id": one.id}, ChainStep("delete", arguments)))

        async def gone() -> bool | None:
            return None if await self._live(one.model, {"id": one.id}) else True

        if await until(gone, self.patience.after(evidence)):
            self.delete_answer = evidence if isinstance(evidence, Accepted) else self.delete_answer
            return None
        return why_of(evidence) or said("it was answered without an error, and the object is there")

    async def _create(
        self, model: str, found_by: Mapping[str, object], needed: Mapping[str, object], tried: Mapping[str, object]
    ) -> int | str:
        """Create one object, without the fields that are refused; its id, or why there is none."""
        known, left = self.taken.setdefault(model, {}), dict(tried)

        async def there() -> int | None:
            return next(iter(await self._live(model, found_by)), None)

        while True:
            self.intents.keep(IntendedObject(self.probe, model, datetime.now(UTC)))
            evidence = await self.send(create(model, **needed, **left).asking("id"))
            key = await until(there, self.patience.after(evidence))
            if key is not None:
                known |= dict.fromkeys([*needed, *left], True)
                # A field that was sent with a text and is empty was not taken.
                kinds = self.fields.models[model].fields
                sent = [name for name, value in left.items() if value not in ("", 0)]
                names = [name for name in sent if kinds[name].kind is not FieldKind.SECRET]
                found = await self._first(model, {"id": key}, names) if names else {}
                known |= {name: False for name in names if found and found.get(name) in (None, "")}
                return key
            if isinstance(evidence, RowRefused) and left:
                # Without the field that is refused, or without all where the billing does not say which.
                refusal, refused = evidence.text, _REFUSED.search(evidence.text)
                if refused is not None and refused[1] in left:
                    known[refused[1]] = False
                    del left[refused[1]]
                    continue
                gone = [name for name in left if re.search(rf"\b{re.escape(name)}\b", refusal)] or list(left)
                for name in gone:
                    del left[name]
                untold = said("{model} with {fields}: {refusal}", model=model, fields=tuple(gone), refusal=refusal)
                self.untold.append(untold)
                continue
            why = why_of(evidence) or said("it was answered without an error, and it is not there")
            sentence = said("{model} was not created: {reason}", model=model, reason=why)
            if isinstance(evidence, RowRefused):
                return sentence
            raise ProbeStopped(sentence)

    async def _live(self, model: str, criteria: Mapping[str, object]) -> list[int]:
        """The ids of the objects that are not deleted. Raises `LookUpFailed`."""
        flag = () if model == STEP_MODELS[Step.ATTRIBUTE] else ("deleted",)
        evidence = await self.send(filter_(model, criteria, "id", *flag))
        if isinstance(evidence, RowRefused | SystemRefused):
            # This billing does not know the model: it has no objects of it.
            return []
        if not isinstance(evidence, Accepted):
            raise LookUpFailed("{model} cannot be read: {reason}", model=model, reason=evidence.text)
        with as_engine_errors():
            found = objects(evidence.result)
        return [int(str(one.get("id", one.get("pk")))) for one in found if not as_bool(one.get("deleted"))]

    async def _first(self, model: str, criteria: Mapping[str, object], names: list[str]) -> Mapping[str, object]:
        evidence = await self.send(filter_(model, criteria, *names))
        if not isinstance(evidence, Accepted):
            return {}
        with as_engine_errors():
            return next(iter(objects(evidence.result)), {})


def _folder(name: str) -> dict[str, object]:
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
