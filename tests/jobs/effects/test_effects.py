"""What effects make of their calls, and of each answer: accepted, with its id, refused, or lost, to be looked up."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import AsyncMock

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.api.answers import read_answer
from billing.api.calls import ChainStep, describe
from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database
from billing.database.dsn import Dsn
from billing.profile import Fact, Profile, StornoEffect, TypeEight
from checkpoints.records import Item, NewItem
from checkpoints.states import State
from engine.errors import InputRefused, LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from engine.job import Absent, CannotLook, Different, Job, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import SubscriberFinder
from jobs.access.payload import BALANCE, Payload, encode_payload, payload_of
from jobs.access.vault import Vault
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.typed_call import call_kind
from jobs.effects.any_call import AnyCallEffect
from jobs.effects.create import payload_for
from jobs.effects.delete import DeleteEffect
from jobs.effects.effect import CallEffect
from jobs.effects.factory import effect_of as effect_made
from jobs.effects.reverse import StornoReversal
from jobs.effects.subscriber_steps import SubscriberSteps
from jobs.imports.subscriber import Step
from jobs.rows.input import Input
from jobs.spec.chain import chain_text, parse
from jobs.spec.entries import UNDO_OF_OPERATIONS, with_mark
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import check_parameters
from jobs.spec.spec import parameters_of
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.importing import planned as plan_steps
from tests.jobs.importing import subscriber
from tests.jobs.making import (
    RUN,
    UNDO_RUN,
    Undo,
    effect_of,
    job_of,
    planned,
    prepared,
    readings,
    refused,
    rows_of,
    sent,
    sightings,
    undone,
)
from tests.jobs.whole_database import changes, whole


def test_a_chain_says_whether_it_is_a_folder_and_what_tells_it_from_others(client: BillingClient) -> None:
    numbered = "has to say contract_number: by contract_number a subscriber is told"
    for chain, why in (
        ('objects.create {"is_folder": {what}, "name": "{name}"}', "write is_folder as 1 or 0"),
        ('objects.create {"name": "{name}"}', numbered),
        ('objects.create {"login": "x"}', numbered),
    ):
        told = {"model": "Abonents", "chain": chain_text([chain])}
        kind = call_kind(told)
        with pytest.raises(ParameterRefused, match=why):
            effect_made(Gateway(client), kind, parameters_of(kind, told))


async def test_a_new_password_is_in_the_vault_alone(gateway: Gateway, tmp_path: Path, database: Database) -> None:
    vault = Vault(tmp_path / "vault")
    steps = SubscriberSteps(replace(gateway, vault=vault))
    (token,) = vault.seal(["geheim77"])
    part = (Step.ACCOUNT, {"login": "novikov", "psw": token})
    (_, item) = await plan_steps(steps, [subscriber("00123", 1, part)])
    assert "geheim77" not in item.payload + steps.describe(RUN.name, item) + (item.message or "")
    assert isinstance(await steps.send(RUN, item), Accepted)
    assert list(database.query("select psw from users where login = 'novikov'")) == [("geheim77",)]
    assert await readings(steps, [item]) == [ReadBack(None)]


async def test_what_an_account_was_is_kept_for_a_person(gateway: Gateway, execute: Execute) -> None:
    execute.put("users", id=90001, abonent_id=9001, login="ivanov", ip=167772170, pull=6, enabled=1)
    job = effect_of(gateway, "delete-account")
    items = await planned(job_of(gateway, "delete-account", rows_of("login\nivanov\n")))
    assert [(one.key, one.lane) for one in items] == [("90001", "account:9001")]
    assert job.describe(RUN.name, items[0]) == "Users: objects.get(id=90001) → delete(clean_links=true)"
    (done,) = await sent(job, items)
    # What it was is kept, for a person; passwords were never read.
    kept = json.loads(done.answer or "")
    assert (kept["login"], kept["ip"], kept["pull"]) == ("ivanov", "10.0.0.10", "6")
    assert not [name for name in payload_of(items[0]).was if "psw" in name]
    way = job.undo({})
    assert isinstance(way, str)
    assert "carbon_answer" in way


async def test_what_cannot_be_told() -> None:
    client = AsyncMock(spec=BillingClient)
    client.ask.return_value = [{"pk": 5, "fields": {"id": 5}}, {"pk": 6, "fields": {"id": 5}}]
    payload = Payload("Tarif", (ChainStep("objects.get", {"id": 5}), ChainStep("delete")), key={"id": "5"})
    item = sending_item(NewItem("5", "5", "Tarif:5", encode_payload(payload)))
    effect = DeleteEffect(Gateway(client), parse("Tarif", ('objects.get {"id": {id}}', "delete")))
    assert await sightings(effect, [item]) == [CannotLook("the billing has 2 of Tarif 5")]
    assert await effect.take_back([]) == Prepared((), ())


async def test_what_one_payment_has_entered_is_not_the_others_of_the_same_sum(gateway: Gateway) -> None:
    text = "abonent_id;amount;document\n9001;5;17\n9001;5;18\n9001;6;17/a\n9002;7;\n"
    job = job_of(gateway, "payment", rows_of(text), way="add_payment")
    items = [msgspec.structs.replace(one, state=State.PENDING) for one in await planned(job)]
    await sent(job, items[:1])
    one, other, *rest = await sightings(job, items)
    assert isinstance(one, CannotLook)
    assert isinstance(other, CannotLook)
    assert rest == [Absent(), Absent()]
    first, second, *_ = await readings(job, items)
    assert (first.difference, second.difference) != (None, None), "of two payments one is there"
    await sent(job, items[1:])
    assert await readings(job, items) == [ReadBack(Decimal(amount)) for amount in (5, 5, 6, 7)]
    unnamed = job_of(gateway, "payment", rows_of("abonent_id;amount;№ документа\n9001;5;17\n"), way="add_payment")
    assert any("map document=COLUMN" in caution for caution in unnamed.cautions)


THREE = "abonent_id;amount\n9001;50,50\n9002;-7\n9003;0\n"


async def entered(gateway: Gateway, *, text: str = THREE, **given: str) -> list[Item]:
    job = job_of(gateway, "balances", rows_of(text), **given)
    return await sent(job, await planned(job))


async def taking_back(gateway: Gateway, items: list[Item], **how: str) -> Undo:
    return await undone(effect_of(gateway, "balances"), items, **how)


async def test_a_storno_rests_on_its_name_and_never_on_what_it_does_to_a_balance(both: Gateway) -> None:
    undo = await taking_back(both, await entered(both, op_type="1"), way="storno")
    backs = [payload_of(item) for item in undo.items]
    assert undo.effect.rests_on(backs) == {"storno_call": "storno", "storno_works": True}


@pytest.mark.parametrize("type_8", TypeEight)
@pytest.mark.parametrize("before", ["7.00", "0.00", "57.50", None])
@pytest.mark.parametrize("effect", [None, *StornoEffect])
async def test_an_operation_of_type_8_is_reversed_only_where_its_storno_is_known_to_bring_the_balance_back(
    both: Gateway, type_8: TypeEight, before: str | None, effect: StornoEffect | None
) -> None:
    """Held against what each kind of billing would have done, in plain words."""
    (item,) = await entered(both, text="abonent_id;amount\n9002;57,50\n")
    was: dict[str, str | None] = {} if before is None else {BALANCE: before}
    item = msgspec.structs.replace(item, payload=encode_payload(msgspec.structs.replace(payload_of(item), was=was)))
    known = replace(both, profile=Profile() if effect is None else Profile(storno_type_8=Fact(effect)))
    undo = await undone(effect_of(known, "balances"), [item], way="storno", type_8=type_8)
    stands = effect is not None
    for possible in [before] if before is not None else ["0.00", "-3.00"]:
        there = Decimal(possible)
        then = Decimal("57.50") if type_8 is TypeEight.SETS else there + Decimal("57.50")
        left = {"restores": there, "subtracts": then - Decimal("57.50"), "keeps": then, None: None}[effect]
        stands = stands and left == there
    assert (len(undo.done.items), len(undo.done.refusals)) == ((1, 0) if stands else (0, 1))


async def test_type_8_needs_to_know_what_the_balance_was(client: BillingClient, both: Gateway) -> None:
    items = await entered(Gateway(client), text="abonent_id;amount\n9002;50\n")
    (reason,) = (await taking_back(both, items, way="opposite")).refused
    assert "is of type 8, and what the balance was before it is not known" in reason


async def test_opposite_entries_of_one_run_are_told_from_those_of_another(gateway: Gateway) -> None:
    items = await entered(gateway, text="abonent_id;amount\n9002;50\n", op_type="1")
    undo = await taking_back(gateway, items, way="opposite")
    backs = undo.items
    await sent(undo.effect, backs, UNDO_RUN)
    assert await sightings(undo.effect, backs, replace(UNDO_RUN, name="other")) == [Absent()]
    await sent(undo.effect, backs, UNDO_RUN)
    (twice,) = await sightings(undo.effect, backs, UNDO_RUN)
    assert isinstance(twice, Different)


async def test_without_a_word_nothing_is_sent(gateway: Gateway, database: Database) -> None:
    items = await entered(gateway, op_type="1")
    before = whole(database)
    undo = await taking_back(gateway, items)
    for item, one, reason in zip(items, undo.done.items, undo.left_alone, strict=True):
        assert reason is not None
        assert reason.startswith(f"for the accountant: reverse operation {item.answer} of {item.amount} of 20")
        assert f" on {item.label}; nothing was sent" in reason
        assert (one.amount, one.undoes, one.row) == (-(item.amount or 0), item.item_id, _cells(item))
    backs = [sending_item(new, number) for number, new in enumerate(undo.done.items, 1)]
    assert await undo.effect.send(UNDO_RUN, backs[0]) == RowRefused(
        "this undo is a list for the accountant: nothing is sent"
    )
    assert [type(one) for one in await sightings(undo.effect, backs, UNDO_RUN)] == [CannotLook] * 3
    assert isinstance(undo.effect.undo({}), str)
    assert changes(before, whole(database)) == {}


def _cells(item: Item) -> tuple[str, ...]:
    return ("k7m2q", str(item.number), item.key, item.label, str(item.amount or ""), item.answer or "")


def test_the_parameters_of_an_undo() -> None:
    assert check_parameters("undo", UNDO_OF_OPERATIONS, {}) == {
        "way": "list",
        "storno_call": "storno",
        "type_8": "sets",
        "descr": "Отмена операции",
    }
    for wrong in ({"way": "strono"}, {"storno_call": "a b"}, {"type_8": "8"}):
        with pytest.raises(ParameterRefused):
            check_parameters("undo", UNDO_OF_OPERATIONS, wrong)


async def test_what_chooses_the_rows_is_said_once(both: Gateway, client: BillingClient) -> None:
    rows, elsewhere = rows_of("abonent_id\n9002\n"), Input(sql="select id as abonent_id from abonents")
    folder, operator = {"folder": "89"}, {"from": "3", "operator": "3"}
    chooses = r"^--set from=… chooses rows for the job's own select"
    for name, given_rows, parameters, why in (
        ("warning-threshold", Input(), {"amount": "1"}, "there is nothing to read rows from: give --set folder=…"),
        ("warning-threshold", rows, folder, r"at it\. Leave out --set folder=…, or the other rows"),
        ("warning-threshold", Input(), {**folder, "amount": "1", "abonent_id": "9002"}, r"^--set folder=…"),
        ("warning-threshold", Input(), folder, "has no column amount"),
        ("operator", Input(), {"operator": "3"}, "give --set from=… for the job's own select, or name a file"),
        *(("operator", one, operator, chooses) for one in (rows, elsewhere)),
    ):
        with pytest.raises(InputRefused, match=why):
            _ = job_of(both, name, given_rows, **parameters).source
    with pytest.raises(InputRefused, match="no database is set"):
        _ = job_of(Gateway(client), "warning-threshold", Input(), amount="1", **folder).source
    # A select that asks for it makes it count.
    asking = Input(sql="select id as abonent_id from abonents where operator_id = :from and id < 2010")
    assert job_of(both, "operator", asking, **operator).source.header == ("abonent_id",)


def balances_of(gateway: Gateway, text: str, *, mapping: dict[str, str] | None = None, **given: str) -> Job:
    return job_of(gateway, "balances", rows_of(text, **(mapping or {})), **given)


OPERATION: Final = {"abonent_id": 9001, "op_summa": "50.50", "op_type_id": 8, "descr": "Миграция балансов"}


def an_item() -> Item:
    payload = payload_for("FinanceOperations", OPERATION, 9001)
    return sending_item(NewItem("9001/8", "00123", "account:9001", encode_payload(payload)))


async def test_an_unknown_number_comes_with_the_nearest(both: Gateway) -> None:
    text = f"contract_number;amount\nА15;1\n000123;1\n{'9' * 60};1\n"
    reasons = await refused(balances_of(both, text))
    assert "there is no contract number 'А15'; there is 'A15' (the same in Latin letters)" in reasons[0]
    assert "'00123' (the same" in reasons[1]
    assert reasons[2].endswith("', nor one like it")
    (reason, *_) = await refused(balances_of(replace(both, database=None), text))
    assert reason.endswith("there is no contract number 'А15' (similar ones are searched for in the database only)")
    finder = SubscriberFinder(both, suggested_for=2)
    first = await finder.by_contract_numbers(["А15"])
    second = await finder.by_contract_numbers(["0000123", "B15"])
    assert "'A15'" in str(first["А15"])
    assert "'00123'" in str(second["0000123"])
    assert "no longer searched for" in str(second["B15"])


async def test_missing_rows_or_columns_refuse_the_file(gateway: Gateway, tmp_path: Path) -> None:
    for rows, reason in [
        (rows_of("фамилия;amount\n1;2\n"), "has no column abonent_id or contract_number; it has: фамилия, amount"),
        (rows_of("abonent_id;итого\n1;2\n"), "has no column amount; it has: abonent_id, итого"),
        (rows_of("abonent_id;amount;op_summa\n1;2;3\n"), "several columns that can be amount: 'amount', 'op_summa'"),
        (Input(), "nothing to read rows from"),
        (Input(file=str(tmp_path / "none.csv"), encoding="cp1251"), "there is no file"),
    ]:
        with pytest.raises(InputRefused, match=reason):
            _ = job_of(gateway, "balances", rows).source


FILE = "abonent_id;amount\n9001;50,50\n"


async def test_a_billing_or_a_database_that_is_away(client: BillingClient, tmp_path: Path) -> None:
    item = an_item()
    async with BillingClient(ClientSettings("http://127.0.0.1:9"), patience=Patience(attempts=1)) as nobody:
        job = balances_of(Gateway(nobody), FILE)
        assert isinstance(await job.effect.send(RUN, item), NotSent)
        asked = job.effect.probe(), prepared(job), sightings(job, [item]), readings(job, [item])
        for asking in asked:
            with pytest.raises(LookUpFailed, match=r"127\.0\.0\.1:9"):
                await asking
    job = balances_of(Gateway(client, Database(Dsn(str(tmp_path / "none.fdb")))), FILE)
    for looking in (job.effect.unfinished_work([item]), prepared(job), sightings(job, [item])):
        with pytest.raises(LookUpFailed, match=r"none\.fdb"):
            await looking


async def test_a_comment_without_room(both: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real column's width is not known: here it is made narrow.
    monkeypatch.setattr(database, "longest", lambda *_: 40)
    with pytest.raises(InputRefused, match="shorten this one to 8 characters"):
        await prepared(balances_of(both, FILE, descr="x" * 20))
    text = "abonent_id;amount;descr\n9001;1;короткий\n9002;2;слишком длинный\n"
    done = await prepared(balances_of(both, text, descr="x"))
    assert [one.key for one in done.items] == ["9001/8"]
    (refusal,) = done.refusals
    assert (refusal.line, refusal.column) == (3, "descr")
    assert "shorten this one to 8 characters" in refusal.reason


VALUE: Final = {"abonent_id": 94, "attribute_id": 7, "attribute_value": "0015"}
CALLS: Final[Mapping[str, tuple[Callable[[Gateway], CallEffect], Payload]]] = {
    "balances": (lambda to: effect_of(to, "balances"), payload_for("FinanceOperations", OPERATION, 9001)),
    "attribute": (lambda to: effect_of(to, "attribute"), payload_for("AttributeValues", VALUE, 94)),
    "payment": (
        lambda to: effect_of(to, "payment", way="add_payment"),
        Payload(
            "Abonents",
            (ChainStep("objects.get", {"id": 94}), ChainStep("add_payment", {"SUM_IN": "5.00"})),
            abonent=94,
            key={"id": "94"},
            wanted={"SUM_IN": "5"},
            was={"op_id": "0"},
        ),
    ),
    "fields": (
        lambda to: effect_of(to, "warning-threshold", amount="-120"),
        Payload(
            "AdminAccounts",
            (
                ChainStep("objects.get", {"account_id_abonents": 94}),
                ChainStep("set", {"limit_warning": "-120"}),
                ChainStep("save"),
            ),
            abonent=94,
            key={"account_id_abonents": "94"},
            wanted={"limit_warning": "-120"},
            was={"limit_warning": None},
        ),
    ),
    "delete": (
        lambda to: effect_of(to, "delete-services"),
        Payload(
            "UsersUsluga",
            (ChainStep("objects.get", {"id": 5}), ChainStep("delete")),
            key={"id": "5"},
            wanted={"deleted": "1"},
            was={"id": "5", "comment": None},
        ),
    ),
    "storno": (
        lambda to: StornoReversal(to, "storno"),
        Payload(
            "FinanceOperations",
            (ChainStep("objects.get", {"op_id": 5}), ChainStep("storno")),
            ("op_id", "storno"),
            9001,
            {"op_id": "5"},
            {"storno": "1"},
        ),
    ),
}

MINE, OTHERS = "… [cm k7m2q/1]", "… [cm k7m2q/2]"
MADE: Final = Accepted("5", created=True)
GONE: Final = Accepted('{"id":"5"}')
MISSING = "UsersUsluga matching query does not exist."


def thing(key: object, model: str | None = None, **fields: object) -> dict[str, Any]:
    return {"pk": key} | ({"model": model} if model else {}) | ({"fields": fields} if fields else {})


def odd(result: object) -> Lost:
    return Lost(f"an answer of an unexpected shape: {result!r}")


def row_refused(text: str) -> RowRefused:
    return RowRefused(text, recognised=True)


def perhaps(text: str) -> Lost:
    return Lost(f"rejected, but perhaps only after it was entered: {text}")


ANSWERS: Final[Mapping[str, list[tuple[object, Evidence]]]] = {
    "balances": [
        (thing(5, "FinanceOperations", op_id=5), MADE),
        (thing(5, op_id=5, descr=MINE), MADE),
        ([{"op_id": 5, "descr": MINE}], MADE),
        (thing(5, op_id=5, descr=""), MADE),
        *((other, odd(other)) for other in (thing(5, op_id=5, descr=OTHERS), [{"op_id": 5, "descr": "… [cm x/1]"}])),
        ({"op_id": 5, "descr": "by hand"}, odd({"op_id": 5, "descr": "by hand"})),
        ([thing(5)], MADE),
        (7, Accepted("7", created=True)),
        (None, odd(None)),
        ([], odd([])),
        (row_refused("Не найден атрибут op_id"), perhaps("Не найден атрибут op_id")),
        # An operation has no attributes of its own that could be missing: it may have been entered all the same.
        (row_refused("Не найден атрибут sync1c"), perhaps("Не найден атрибут sync1c")),
    ],
    "attribute": [
        (thing(5, id=5, abonent_id=94, attribute_value="0015"), MADE),
        (thing(5), MADE),
        *(
            (other, odd(other))
            for other in (thing(5, id=5, abonent_id=95), thing(5, abonent_id=94, attribute_value=15))
        ),
        (row_refused("Не найден атрибут attribute_id"), perhaps("Не найден атрибут attribute_id")),
        # It may be the row's own attribute that is not there.
        (row_refused("Не найден атрибут 7"), RowRefused("Не найден атрибут 7")),
    ],
    "payment": [
        (None, Accepted()),
        (thing(94, "Abonents"), Accepted()),
        (thing(7, "FinanceOperations"), Accepted("7", created=True)),
        (thing(95, "Abonents"), Lost("an answer about Abonents 95, and Abonents 94 was asked for")),
        *(
            (thing(key, "FinanceOperations"), Lost(f"an answer about an operation whose id is not a number: {key!r}"))
            for key in ("5\x1b[31m", 10**30)
        ),
        (row_refused("Объект уже удалён"), RowRefused("Объект уже удалён")),
    ],
    "fields": [
        *((same, Accepted()) for same in (thing(1, id=1), thing(1, id="1"), None, True, thing(1, "AdminAccounts"))),
        (thing(78, id=78), Lost("an answer about AdminAccounts 78, and AdminAccounts 1 was asked for")),
        (thing(5), Lost("an answer about AdminAccounts 5, and AdminAccounts 1 was asked for")),
        (thing(1, "Users", id=1), Lost("an answer about another model, and AdminAccounts was asked for")),
    ],
    "delete": [
        (None, GONE),
        (thing(5, "UsersUsluga"), GONE),
        (thing(6, "UsersUsluga"), Lost("an answer about UsersUsluga 6, and UsersUsluga 5 was asked for")),
        (thing(6), Lost("an answer about 6, and UsersUsluga 5 was asked for")),
        (thing(5, "Users"), Lost("an answer about Users 5, and UsersUsluga 5 was asked for")),
        (row_refused(MISSING), Lost(f"rejected, and whether it is gone has to be looked up: {MISSING}")),
        (row_refused("На объект ссылаются: X"), RowRefused("На объект ссылаются: X")),
    ],
    "storno": [
        (thing(5, "FinanceOperations", op_id=5, storno=1), Accepted()),
        (None, Accepted()),
        (thing(5, "UsersUsluga", id=5), Lost("an answer about another model, and FinanceOperations 5 was asked for")),
        (
            {"fields": {"op_id": 6, "storno": 1}},
            Lost("an answer about FinanceOperations 6, and FinanceOperations 5 was asked for"),
        ),
        ({"fields": {"op_id": 5, "storno": 0}}, Lost("an answer without an error, and operation 5 is not reversed")),
        (
            row_refused("Не найден атрибут storno"),
            Lost("rejected, and whether it is reversed has to be looked up: Не найден атрибут storno"),
        ),
    ],
}
OF_ALL: Final = (
    Busy("later", 3.0),
    SystemRefused("read-only"),
    NotSent("refused"),
    Lost("reset"),
    RowRefused("нет прав", recognised=False),
)
"""What is handed on as it is."""


def answers() -> Iterator[tuple[str, Evidence, Evidence]]:
    for name, seen in ANSWERS.items():
        for answer, evidence in seen:
            yield name, answer if isinstance(answer, RowRefused) else Accepted(result=answer), evidence
        for same in OF_ALL:
            yield name, same, same


@pytest.mark.parametrize(("name", "seen", "evidence"), list(answers()))
async def test_evidence(name: str, seen: Evidence, evidence: Evidence) -> None:
    client = AsyncMock(spec=BillingClient)
    client.send.return_value = seen
    made, payload = CALLS[name]
    effect, item = made(Gateway(client)), sending_item(NewItem("1", "1", "account:1", encode_payload(payload)))
    assert await effect.send(RUN, item) == evidence
    client.send.assert_awaited_once()
    # What is shown of a call is what is sent; what it is to be answered with besides is the effect's own.
    sent = describe(client.send.await_args.args[0])
    assert effect.describe(RUN.name, item).partition(" | ")[0] == sent.partition(" | ")[0]


# ---- whose answer it is: calls share connections while the billing's answers name their rows ----------------------


def operation(mark: tuple[str, int] | None) -> dict[str, object]:
    return thing(9, op_id=9, **({"descr": with_mark("", *mark)} if mark else {}))


def account(key: int = 1, **fields: object) -> dict[str, object]:
    return thing(key, "AdminAccounts", id=key, **fields)


SHARED: Final[Mapping[str, Sequence[tuple[object, bool, bool]]]] = {
    # What is answered, whether the call shares a connection by then, and whether the answer is believed.
    "balances": [
        (operation(None), False, True),
        (operation(None), False, True),
        (operation((RUN.name, 1)), False, True),
        (operation((RUN.name, 2)), True, False),
        (operation((RUN.name, 1)), True, True),
        (operation(None), True, False),
        (operation(None), False, True),
    ],
    "fields": [
        (True, False, True),
        (account(), False, True),
        (account(limit_warning="-120.00"), False, True),
        (account(18, limit_warning="-120.00"), True, False),
        (account(limit_warning=-120), True, True),
        # Another row of the same account may have set that.
        (account(limit_warning=-50), True, False),
        (account(limit_warning=-50), False, True),
    ],
}


@pytest.mark.parametrize("name", SHARED)
async def test_calls_share_connections_once_an_answer_bore_their_mark_or_values(name: str) -> None:
    client = AsyncMock(spec=BillingClient)
    made, payload = CALLS[name]
    effect, item = made(Gateway(client)), sending_item(NewItem("1", "1", "account:1", encode_payload(payload)))
    for answer, shares, is_believed in SHARED[name]:
        client.send.return_value = Accepted(result=answer)
        evidence = await effect.send(RUN, item)
        assert client.send.await_args.kwargs == {"row": item.item_id if shares else None}
        assert isinstance(evidence, Accepted if is_believed else Lost), (answer, shares)


# ---- anything at all: an effect makes evidence of it, and a look-up says what it saw or why it cannot -------------

GOT: Final = ChainStep("objects.get", {"id": 5})
USER: Final = Payload("Users", (GOT,), abonent=5, key={"id": "5"})
ALL_CALLS: Final = {
    **CALLS,
    "password": (lambda to: effect_of(to, BUILT_IN.named("password"), dontshow="yes"), USER),
    "services-on-offer": (lambda to: effect_of(to, BUILT_IN.named("services-on-offer")), USER),
    "by-sms": (
        lambda to: effect_of(to, BUILT_IN.named("by-sms"), sms="+79990000001"),
        Payload("Users", (ChainStep("objects.filter", {"id": 5}),), abonent=5),
    ),
    "call": (
        lambda to: AnyCallEffect(to, parse("Odd", ("objects.create {}",))),
        Payload("Odd", (ChainStep("do"),), abonent=5),
    ),
}
NAMES = st.sampled_from(
    ("pk", "model", "fields", "id", "op_id", "op_summa", "op_type_id", "abonent_id", "descr", "storno", "deleted",
     "limit_warning", "login", "psw", "op_date", "is_folder", "account_id", "list")
)  # fmt: skip
NUMBERS = st.sampled_from(("1e300000000", "-1e-300000000", "5", "50.50", "9" * 4000, "12345678901234567890123", "-1"))
VALUES = st.recursive(
    st.sampled_from(("null", "true", '"n/a"', '"5"', '""', '"Users"', '"FinanceOperations"', '"1e300000000"'))
    | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.dictionaries(NAMES, inner, max_size=5).map(
            lambda named: "{" + ", ".join(f'"{name}": {one}' for name, one in named.items()) + "}"
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("name", ALL_CALLS)
def test_no_answer_is_more_than_an_effect_can_take(name: str) -> None:
    @settings(deadline=5000, max_examples=60)
    @given(VALUES)
    @example(
        '[{"pk": 5, "fields": {"op_id": 5, "op_type_id": 8, "op_summa": "n/a", "storno": 0, '
        '"descr": "[cm k7m2q/1]"}}]'
    )
    @example('{"pk": 1e300000000, "fields": {"id": 5, "limit_warning": 1e300000000}}')
    @example("[" * 60 + "]" * 60)
    def works(body: str) -> None:
        asyncio.run(meets(name, body))

    works()


async def meets(name: str, body: str) -> None:
    client = AsyncMock(spec=BillingClient)
    seen = read_answer(200, {}, f'{{"result": {body}}}'.encode())
    client.send.return_value = seen
    made, payload = ALL_CALLS[name]
    effect = made(Gateway(client))
    one = sending_item(NewItem("5", "5", "account:17", encode_payload(payload), Decimal("50.50")))
    await effect.send(RUN, one)
    if not isinstance(seen, Accepted):
        return
    client.ask.return_value = seen.result
    with suppress(LookUpFailed):
        await effect.look_up(RUN, [one])
        await effect.read_back(RUN, [one])
        await effect.read_before_images([one])
