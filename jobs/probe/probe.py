"""The steps of a probe: read, enter, create, look, take back, and compare the balance with that at the beginning.

A test subscriber is created in a folder of its own within a test folder, with an account, a service and an attribute
like those of the subscriber that the probe is made on, and is deleted again. Folder, contract number and login have
the name of the probe: by it all of that is found after a kill.
"""

import re
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import anyio
import anyio.to_thread
import msgspec

from billing.api.answers import objects
from billing.api.calls import ChainStep, create, filter_, get, version
from billing.database.database import Database
from billing.directory import system
from billing.directory.models import ACT, OPENING_BALANCE, RECEIPT, as_bool, plain_value
from billing.directory.subscribers import Abonent
from billing.money import SCALE
from billing.profile import UNKNOWN, Fact, Profile, Shape, StornoEffect, TypeEight
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, RowRefused, SystemRefused
from jobs.access.gateway import MANY, Gateway, as_engine_errors
from jobs.access.objects import References, SubscriberFinder
from jobs.access.vault import new_batch
from jobs.imports.fields import FieldKind, FieldTable, ModelField, usual_fields
from jobs.imports.subscriber import NUMBER, STEP_MODELS, Step
from jobs.probe.entries import (
    Entered,
    IntendedObject,
    ProbeEntries,
    ProbeMark,
    ProbeStopped,
    Say,
    Traces,
    until,
    why_of,
)
from jobs.spec.entries import EXACT, exact_key
from texts.said import Said, in_clauses, said, setting, text_of

# ---- what a billing takes when a subscriber is created ------------------------------------------------------------


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


# ---- what a probe finds -------------------------------------------------------------------------------------------


_TYPES: Final = {RECEIPT: "receipt_type", ACT: "act_type"}
"""The facts of types, as the vendor's programs number them [V]."""
KOPECK: Final = Decimal("0.01")
LENGTHS: Final = (300, 255, 128, 64)
"""Characters of the comments that find the longest one, tried in this order until one is accepted."""
TEXT: Final = "Проба «ёЁ№»"
"""Letters that a wrong charset garbles."""

One = TypeVar("One", Entered, ProbeObject)


@dataclass(slots=True)
class Findings:
    """The findings of a probe: facts learned, reasons for missing facts, and what is left with the reason.

    `before` and `after` are the balance in roubles at the beginning and at the end, None if unknown.
    """

    learned: dict[str, object] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    left: dict[Entered | ProbeObject, str] = field(default_factory=dict)
    before: Decimal | None = None
    after: Decimal | None = None
    stopped: str | None = None

    def of(self, kind: type[One]) -> dict[One, str]:
        return {one: why for one, why in self.left.items() if isinstance(one, kind)}

    def profile(self, earlier: Profile, billing: str, version: str, today: date) -> Profile:
        """The profile with the facts learned; earlier facts of another version are dropped."""
        kept = earlier if earlier.version == version else UNKNOWN
        facts = {name: Fact(value, today) for name, value in self.learned.items()}
        return msgspec.structs.replace(kept, billing=billing, version=version, **facts)


async def test_subscriber(gateway: Gateway, abonent_id: int) -> Abonent:
    """The subscriber to probe. Raises `InputRefused` if it does not exist or shares its account."""
    found = (await SubscriberFinder(gateway).by_ids([abonent_id]))[abonent_id]
    if isinstance(found, str):
        raise InputRefused("{reason}: a probe needs a live test subscriber with an account of its own", reason=found)
    (answer,) = await gateway.ask([filter_("Abonents", {"account_id": found.account_id}, "id", "deleted")])
    with as_engine_errors():
        others = [str(one.get("id", one.get("pk"))) for one in objects(answer) if not as_bool(one.get("deleted"))]
    others = [one for one in others if one != str(abonent_id)]
    if others:
        raise InputRefused(
            "abonent {id} shares its account with abonent {others}: a probe would move their balance as well. "
            "Name a test subscriber with an account of its own",
            id=abonent_id,
            others=tuple(others[:5]),
        )
    return found


# ---- what is learned by reading: errors, models, latencies, columns, shapes of answers ----


MODELS: Final = (
    "Abonents",
    "AbonentsBlock",
    "AbonentsBlockHistory",
    "AdminAccounts",
    "ArchAccountStack",
    "AttributeValues",
    "Counters",
    "DjangoUsersProfile",
    "FinanceOperations",
    "Tarif",
    "Users",
    "UsersCache",
    "UsersUsluga",
    "Usluga",
)
"""Models that the recipes and integrators name [S, I]."""
AT_ONCE: Final = (1, 2, 4, 8)
READS: Final = 8
"""Reading calls for each number at once."""
FEW: Final = 20
"""Subscribers for whose objects one filter is compared with one each."""
_TELLING: Final = 2


async def error_status(gateway: Gateway) -> int | None:
    """The HTTP status of one of the billing's own errors, None without one."""
    seen, _ = await gateway.client.observe(get("FinanceOperations", {"op_id": 0}).asking("op_id"))
    if isinstance(seen, tuple):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            outer = msgspec.json.decode(seen[2])
            if isinstance(outer, dict) and outer.get("error"):
                return seen[0]
    return None


async def answering_models(gateway: Gateway) -> tuple[str, ...]:
    asked = {model: await gateway.client.send(filter_(model, {"pk": 0}, "pk")) for model in MODELS}
    return tuple(model for model, evidence in asked.items() if isinstance(evidence, Accepted))


async def read_latencies(gateway: Gateway) -> Mapping[str, float]:
    """The median time of a reading call in milliseconds, by the calls in flight. Raises `LookUpFailed`."""
    found: dict[str, float] = {}
    for at_once in AT_ONCE:
        times: list[float] = []

        async def one(times: list[float]) -> None:
            begun = time.perf_counter()
            with as_engine_errors():
                await gateway.client.ask(version())
            times.append(time.perf_counter() - begun)

        for _ in range(READS // at_once):
            async with anyio.create_task_group() as group:
                for _ in range(at_once):
                    group.start_soon(one, times)
        found[str(at_once)] = round(1000 * statistics.median(times), 1)
    return found


def columns_of(database: Database) -> Mapping[str, tuple[str, ...]]:
    """The documented columns that exist, by table, in small letters."""
    by_table: dict[str, list[str]] = {}
    for one in sorted(database.schema.there):
        names = by_table.setdefault(one.table.lower(), [])
        names += [one.name.lower()] if one.name else []
    return {table: tuple(names) for table, names in by_table.items()}


def shape_of(result: object) -> Shape:
    match result:
        case None | "" | True:
            return Shape.NOTHING
        case [dict()]:
            return Shape.LIST
        case {"pk": _, "fields": dict()}:
            return Shape.OBJECT
        case dict() if result:
            return Shape.FIELDS
        case int() | str() if str(result).isdecimal():
            return Shape.ID
    return Shape.OTHER


def threshold_of(result: object) -> str | None:
    """The warning threshold in an account's answer, None if none is set, or none that is an amount."""
    match result:
        case {"fields": {"limit_warning": int() | str() as value}} if value != "":
            with suppress(ValueError):
                return plain_value("limit_warning", value)
    return None


# ---- the steps ----


class ProbeStep(NamedTuple):
    """A step, as it is announced, and what carries it out; None where that is a part of another one."""

    sentence: Said
    carry_out: Callable[[], Awaitable[None]] | None = None


class Probe:
    """One probe of one subscriber; `say` receives its progress, a line at a time."""

    def __init__(
        self, entries: ProbeEntries, storno_call: str | None, say: Say, objects: ProbeObjects | None = None
    ) -> None:
        self._entries = entries
        self._objects = objects
        self._gateway = entries.gateway
        self._storno_call = storno_call
        self._say = say
        self._findings = Findings()
        self._learned, self._missing = self._findings.learned, self._findings.missing
        self._first: Entered | None = None
        """The first receipt, which storno is tried on."""

    def steps(self, balance: Decimal | None) -> Iterator[ProbeStep]:
        """The steps in their order, with all sums, where the balance is this."""
        storno, objects_ = self._storno_call, self._objects
        reading = said(
            "{reads} reading calls, 1 to 8 at once; one read of {models} models each; one call that fails",
            reads=READS * len(AT_ONCE),
            models=len(MODELS),
        )
        yield ProbeStep(reading, self._read)
        receipt = said(
            "enter a receipt of {amount} with a short comment, read it back, filter by its comment", amount=KOPECK
        )
        yield ProbeStep(receipt, self._comments)
        many = said(
            "ask for {n} subscribers by one filter, and for each alone that its answer leaves out; and for what "
            "{few} of them have, by one filter and for each alone",
            n=MANY,
            few=FEW,
        )
        yield ProbeStep(many, self._by_many)
        if storno:
            reverse = said("reverse it by objects.get → {method}, and read it back", method=storno)
            yield ProbeStep(reverse, partial(self._try_storno, storno))
        long = said(
            "enter a receipt of {amount} with a comment of {length} characters (shorter where that is rejected)",
            amount=KOPECK,
            length=LENGTHS[0],
        )
        yield ProbeStep(long, self._length)
        if balance is None:
            opening = said("nothing of type 8: without a database this billing does not tell the balance")
        else:
            opening = said(
                "enter an operation of type 8 of about {amount}, one kopeck above the balance: it is that then where "
                "type 8 sets, and {added} where it adds",
                amount=balance + KOPECK,
                added=2 * balance + KOPECK,
            )
        yield ProbeStep(opening, self._opening_balance)
        if storno and balance is not None:
            yield ProbeStep(said("reverse that by {method}, and look at the balance", method=storno))
        yield ProbeStep(said("enter an act of {amount}, and look at the balance", amount=KOPECK), self._act)
        keys = said(
            "enter two receipts of {amount}, with {fields}, and filter by them",
            amount=KOPECK,
            fields=tuple(EXACT.values()),
        )
        yield ProbeStep(keys, self._keys)
        yield ProbeStep(said("set the account's warning threshold to what it is, and save"), self._save)
        if objects_ is not None:
            folder = said("create a folder in the folder {folder}, and a subscriber in it", folder=objects_.folder)
            yield ProbeStep(folder, partial(self._create, objects_))
            yield ProbeStep(said("create an account, a service and an attribute of this subscriber"))
            yield ProbeStep(
                said("leave out one field after the other that is rejected, and read back what was taken")
            )
            yield ProbeStep(said("delete all of it in reverse order; the subscriber's empty money account stays"))
        yield ProbeStep(
            said("take all of it back by opposite sums, and hold the balance against that at the beginning")
        )

    async def run(self) -> Findings:
        """Run all steps and take back; the reason of a stop is in the findings. Raises `IntentFailed`."""
        findings = self._findings
        self._missing["delete_answers"] = said("an operation is reversed, never deleted: a probe deletes nothing")
        if self._storno_call is None:
            self._missing["storno_call"] = said("it is tried only where the parameter storno_call names it")
        if self._objects is None:
            flag = setting("create-in", "FOLDER")
            self._missing["create_fields"] = said("it is tried only where {flag} names a test folder", flag=flag)
        try:
            findings.before = await self._entries.balance()
            for step in self.steps(findings.before):
                if step.carry_out is not None:
                    self._say(step.sentence)
                    await step.carry_out()
        except (LookUpFailed, ProbeStopped) as error:
            findings.stopped = text_of(error)
        self._say(said("taking back what was entered"))
        for kind, traces in ((ProbeObject, self._objects), (Entered, self._entries)):
            try:
                if traces is not None:
                    await self._take_back(kind, traces)
            except (LookUpFailed, ProbeStopped) as error:
                findings.stopped = findings.stopped or text_of(error)
        return findings

    def _learn(self, name: str, value: object | None, why_not: str = "") -> None:
        if value is None:
            self._missing[name] = why_not
        else:
            self._learned[name] = value

    async def _read(self) -> None:
        gateway = self._gateway
        self._learn("error_status", await error_status(gateway), said("no call failed as expected"))
        self._learn("models", await answering_models(gateway))
        self._learn("read_latency", await read_latencies(gateway))
        database = gateway.database
        if database is None:
            none = said("only the database tells it, and none is set")
            self._missing.update(dict.fromkeys(("columns", "charset", "money_scale"), none))
            return
        untold = said("the database does not say")
        with as_engine_errors():
            self._learn("columns", await anyio.to_thread.run_sync(columns_of, database))
            charset = await anyio.to_thread.run_sync(system.charset, database)
            is_usual = await anyio.to_thread.run_sync(system.check_scale, database)
        self._learn("charset", charset, untold)
        self._learn("money_scale", SCALE if is_usual else None, untold)

    async def _by_many(self) -> None:
        """Learn by which fields one filter finds objects of many values, each compared with what one each finds.

        An answer that was cut, or a filter that was not heeded, must not be believed: money would be entered twice.
        """
        gateway, own = self._gateway, self._entries.abonent.id
        ids = range(max(own - MANY // 2, 0) + 1, max(own - MANY // 2, 0) + 1 + MANY)
        found = await self._found("Abonents", {"id__in": [*ids]}, ("id", "contract_number", "account_id"))
        there = {str(one.get("id")): one for one in found or ()}
        absent = [one for one in ids if str(one) not in there]
        alone = await gateway.ask([filter_("Abonents", {"id": one}, "id") for one in absent]) if found else []
        with as_engine_errors():
            if len(there) < _TELLING or there.keys() - set(map(str, ids)) or any(map(objects, alone)):
                refused = said("a filter by many values is rejected, or its answer is not whole")
                self._missing["in_filters"] = refused
                return
        learned = {"Abonents.id": len(there)}
        near = sorted(there.values(), key=lambda one: abs(int(str(one["id"])) - own))
        few = [one for one in near if one.get("contract_number") and one.get("account_id")][:FEW]
        logins = await self._found("Users", {"abonent_id__in": [one["id"] for one in few]}, ("login",))
        for model, key, name, given, ones in (
            ("Abonents", "id", "contract_number", "contract_number", few),
            ("Abonents", "id", "account_id", "account_id", few),
            ("AdminAccounts", "id", "id", "account_id", few),
            ("Users", "id", "login", "login", (logins or ())[:FEW]),
            ("FinanceOperations", "op_id", "abonent_id", "id", few),
            ("UsersUsluga", "id", "abonent_id", "id", few),
            ("AttributeValues", "id", "abonent_id", "id", await self._with_attributes(near)),
        ):
            values = list(dict.fromkeys(one[given] for one in ones if one.get(given)))
            together = await self._found(model, {f"{name}__in": values}, (key,))
            each = await gateway.ask([filter_(model, {name: value}, key) for value in values]) if together else []
            with as_engine_errors():
                apart = [objects(answer) for answer in each]
            keys = [
                sorted(str(one.get(key)) for one in some) for some in (together or (), chain.from_iterable(apart))
            ]
            # Of one value alone it would not be seen whether only the first or the last of them counts.
            if keys[0] == keys[1] and sum(map(bool, apart)) >= _TELLING:
                learned[f"{model}.{name}"] = len(keys[0])
        self._learned["in_filters"] = learned

    async def _with_attributes(self, near: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
        """A few of these subscribers, first those that have an attribute: few have one."""
        found = await self._found("AttributeValues", {"abonent_id__in": [one["id"] for one in near]}, ("abonent_id",))
        having = {str(one.get("abonent_id")) for one in found or ()}
        return sorted(near, key=lambda one: str(one["id"]) not in having)[:FEW]

    async def _found(
        self, model: str, criteria: Mapping[str, object], fields: Sequence[str]
    ) -> list[dict[str, object]] | None:
        """The objects of a filter, None where it is refused."""
        evidence = await self._gateway.client.send(filter_(model, criteria, *fields))
        if not isinstance(evidence, Accepted):
            return None
        with as_engine_errors():
            return objects(evidence.result)

    # ---- comments, shapes, storno ----

    async def _comments(self) -> None:
        first = await self._entries.enter(RECEIPT, KOPECK, TEXT)
        if isinstance(first, str):
            raise ProbeStopped("a receipt of {amount} is rejected: {reason}", amount=KOPECK, reason=first)
        kept = first.operation.descr
        self._learn_type(first)
        self._learn("stack_seconds", max(first.seconds, 0.1))
        self._learn("descr_kept", kept == first.sent)
        if first.result is not None:
            self._learn("create_answers", shape_of(first.result))
            answered = first.result[0] if isinstance(first.result, list) and first.result else first.result
            fields = answered.get("fields", answered) if isinstance(answered, dict) else {}
            self._learn("descr_returned", isinstance(fields, dict) and fields.get("descr") == kept)
        if kept != first.sent:
            if first.sent.startswith(kept) and kept:
                self._learn("descr_length", len(kept))
            raise ProbeStopped(
                "the comment was sent as {sent!r} and is kept as {kept!r}: an operation could not be found again "
                "by its mark, so nothing more is entered",
                sent=first.sent,
                kept=kept,
            )
        mark = str(first.mark)
        looks = {
            "exact": ("descr", first.sent),
            "contains": ("descr__contains", mark),
            "icontains": ("descr__icontains", mark),
            "startswith": ("descr__startswith", first.sent),
        }
        works = {name: await self._is_found(first, {by: wanted}, by) for name, (by, wanted) in looks.items()}
        self._learn("descr_filters", tuple(name for name, found in works.items() if found))
        self._first = first

    async def _is_found(self, entered: Entered, key: Mapping[str, str], by: str) -> bool:
        """Whether a filter finds this operation alone; one whose field the billing ignores finds everything."""
        found = await self._entries.filtered(dict(key))
        other = await self._entries.filtered({by: f"{key[by]} nothing has this"})
        return found == [entered.operation.op_id] and other == []

    async def _try_storno(self, method: str) -> None:
        entered = self._first
        assert entered is not None  # noqa: S101 - the step before has entered it, or stopped
        before = await self._entries.balance()
        refused = await self._entries.storno(entered.operation, method)
        after = await self._entries.balance()
        if refused is not None:
            why = said("{method} does not reverse an operation: {reason}", method=method, reason=refused)
            self._missing["storno_call"] = why
            return
        works = before is None or after == before - KOPECK
        self._learned |= {"storno_call": method, "storno_works": works}
        if works:
            self._entries.storno_call = method
        else:
            self._findings.left[entered] = said("its storno has not moved the balance")

    async def _length(self) -> None:
        entries = self._entries
        for length in LENGTHS:
            room = length - len(str(ProbeMark(entries.probe, entries.numbers + 1))) - 1
            entered = await entries.enter(RECEIPT, KOPECK, ("абвгд" * room)[: max(room, 0)])
            if isinstance(entered, str):
                continue
            kept = entered.operation.descr
            if entered.sent == kept and self._gateway.database is not None:
                column = await self._gateway.read(lambda database: database.longest("FINANCE_OPERATIONS", "DESCR"))
                self._learn("descr_length", max(len(kept), column))
            elif entered.sent.startswith(kept):
                self._learn("descr_length", len(kept))
            else:
                self._missing["descr_length"] = said(
                    "a comment of {length} characters is kept as {kept!r}", length=length, kept=kept
                )
            return
        self._missing["descr_length"] = said("a comment of {length} characters is rejected", length=LENGTHS[-1])

    # ---- types, and exact keys ----

    def _learn_type(self, entered: Entered) -> None:
        op_type, moved = entered.operation.op_type, entered.moved
        if moved is None:
            self._missing[_TYPES[op_type]] = said("the balance cannot be read: set the database")
        elif (name := {KOPECK: "receipt_type", -KOPECK: "act_type"}.get(moved)) is None:
            self._missing[_TYPES[op_type]] = said(
                "an operation of {amount} and type {type} has moved the balance by {moved}",
                amount=KOPECK,
                type=str(op_type),
                moved=moved,
            )
        else:
            self._learned[name] = op_type
            self._missing.pop(name, None)
            if name == "receipt_type":
                self._entries.receipt_type = op_type

    async def _act(self) -> None:
        entered = await self._entries.enter(ACT, KOPECK, "Проба")
        if isinstance(entered, Entered):
            self._learn_type(entered)
        else:
            self._missing["act_type"] = said("it is rejected: {reason}", reason=entered)

    async def _keys(self) -> None:
        entries = self._entries
        for kind, named in EXACT.items():
            key = exact_key(kind, f"probe-{entries.probe}", entries.numbers + 1)
            entered = await entries.enter(entries.receipt_type, KOPECK, "Проба", fields=key)
            taken = isinstance(entered, Entered) and await self._is_found(entered, key, named)
            self._learn(f"{kind}_key", taken)

    # ---- type 8 ----

    async def _opening_balance(self) -> None:
        if (expected := self._findings.before) is None:
            self._missing["type_8"] = said("the balance cannot be read: set the database")
            return
        is_second = False
        while True:
            before = await self._entries.balance()
            before = expected if before is None else before
            entered = await self._entries.enter(
                OPENING_BALANCE, before.quantize(KOPECK) + KOPECK, "Проба", before=before
            )
            if isinstance(entered, str):
                self._missing["type_8"] = said("it is rejected: {reason}", reason=entered)
                return
            after = await self._entries.balance()
            if after is None:
                raise LookUpFailed(said("the balance cannot be read any more"))
            if before or is_second:
                break
            # From a balance of zero, setting and adding give the same result, so a second entry is needed.
            is_second, expected = True, after
        amount = entered.operation.op_summa
        by_entry = {amount: TypeEight.SETS, before + amount: TypeEight.ADDS}
        if after not in by_entry:
            self._missing["type_8"] = said(
                "the balance was {before} before an operation of {amount}, and {after} after it: somebody else has "
                "moved it",
                before=before,
                amount=amount,
                after=after,
            )
            return
        self._learned["type_8"] = by_entry[after]
        if (method := self._entries.storno_call) is None:
            return
        refused = await self._entries.storno(entered.operation, method)
        now = await self._entries.balance()
        effects = {
            after: StornoEffect.KEEPS,
            after - amount: StornoEffect.SUBTRACTS,
            before: StornoEffect.RESTORES,
        }
        if refused is None and now in effects:
            self._learned["storno_type_8"] = effects[now]
        else:
            self._missing["storno_type_8"] = refused or said(
                "the balance is {balance} after it", balance=said("not known") if now is None else now
            )

    # ---- save, and a subscriber of its own ----

    async def _save(self) -> None:
        client, abonent = self._gateway.client, self._entries.abonent.id
        key = {"account_id_abonents": abonent}
        evidence = await client.send(get("AdminAccounts", key).asking("limit_warning"))
        threshold = threshold_of(evidence.result) if isinstance(evidence, Accepted) else None
        if threshold is None:
            self._missing["save_answers"] = said("the account has no warning threshold to save again")
            return
        change = ChainStep("set", {"limit_warning": threshold})
        saved = await client.send(get("AdminAccounts", key, change, ChainStep("save")))
        if isinstance(saved, Accepted):
            self._learned["save_answers"] = shape_of(saved.result)
        else:
            self._missing["save_answers"] = saved.text

    async def _create(self, objects_: ProbeObjects) -> None:
        try:
            await objects_.learn(self._entries.abonent)
        finally:
            if objects_.taken:
                self._learned["create_fields"] = objects_.taken
            if objects_.untold:
                self._missing["create_fields"] = in_clauses(objects_.untold)

    async def _take_back(self, kind: type[Entered | ProbeObject], traces: ProbeEntries | ProbeObjects) -> None:
        async for one, why in traces.take_all_back():
            if why is not None:
                self._findings.left[one] = why
        if isinstance(traces, ProbeEntries):
            self._findings.after = await traces.balance()
        elif traces.delete_answer is not None:
            self._learned["delete_answers"] = shape_of(traces.delete_answer.result)
            del self._missing["delete_answers"]
        if not any(isinstance(one, kind) for one in self._findings.left):
            traces.intents.forget()
