"""What each sort of call makes of each answer: accepted, with its id, refused, or lost, so that somebody looks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from unittest.mock import AsyncMock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.api.answers import read_answer
from billing.api.calls import describe
from billing.api.client import BillingClient
from checkpoints.records import Item, NewItem, Run
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, chain_of, encode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.money import BALANCES, PAYMENT
from jobs.catalogue.services import ATTRIBUTE, DELETE_SERVICES
from jobs.catalogue.subscribers import WARNING_THRESHOLD
from jobs.effects.any_call import AnyCallEffect, CallRules
from jobs.effects.create import payload_for
from jobs.effects.effect import CallEffect
from jobs.effects.storno import StornoReversal
from jobs.spec.chain import parse
from jobs.spec.entries import with_mark
from tests.checkpoints.samples import sending_item
from tests.jobs.making import RUN, effect_of

OPERATION: Final = {"abonent_id": 9001, "op_summa": "50.50", "op_type_id": 8, "descr": "Миграция балансов"}
VALUE: Final = {"abonent_id": 94, "attribute_id": 7, "attribute_value": "0015"}
CALLS: Final[Mapping[str, tuple[Callable[[Gateway], CallEffect], Payload]]] = {
    "balances": (lambda to: effect_of(to, BALANCES), payload_for("FinanceOperations", OPERATION, 9001)),
    "attribute": (lambda to: effect_of(to, ATTRIBUTE), payload_for("AttributeValues", VALUE, 94)),
    "payment": (
        lambda to: effect_of(to, PAYMENT, way="add_payment"),
        Payload(
            "Abonents",
            (("objects.get", {"id": 94}), ("add_payment", {"SUM_IN": "5.00"})),
            abonent=94,
            key={"id": "94"},
            wanted={"SUM_IN": "5"},
            was={"op_id": "0"},
        ),
    ),
    "fields": (
        lambda to: effect_of(to, WARNING_THRESHOLD, amount="-120"),
        Payload(
            "AdminAccounts",
            (("objects.get", {"account_id_abonents": 94}), ("set", {"limit_warning": "-120"}), ("save", {})),
            abonent=94,
            key={"account_id_abonents": "94"},
            wanted={"limit_warning": "-120"},
            was={"limit_warning": None},
        ),
    ),
    "delete": (
        lambda to: effect_of(to, DELETE_SERVICES),
        Payload(
            "UsersUsluga",
            (("objects.get", {"id": 5}), ("delete", {})),
            key={"id": "5"},
            wanted={"deleted": "1"},
            was={"id": "5", "comment": None},
        ),
    ),
    "storno": (
        lambda to: StornoReversal(to, "storno"),
        Payload(
            "FinanceOperations",
            (("objects.get", {"op_id": 5}), ("storno", {})),
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


def refused(text: str) -> RowRefused:
    return RowRefused(text, recognised=True)


def perhaps(text: str) -> Lost:
    return Lost(f"refused, but perhaps only after it was entered: {text}")


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
        (refused("Не найден атрибут op_id"), perhaps("Не найден атрибут op_id")),
        # An operation has no attributes of its own that could be missing: it may have been entered all the same.
        (refused("Не найден атрибут sync1c"), perhaps("Не найден атрибут sync1c")),
    ],
    "attribute": [
        (thing(5, id=5, abonent_id=94, attribute_value="0015"), MADE),
        (thing(5), MADE),
        *(
            (other, odd(other))
            for other in (thing(5, id=5, abonent_id=95), thing(5, abonent_id=94, attribute_value=15))
        ),
        (refused("Не найден атрибут attribute_id"), perhaps("Не найден атрибут attribute_id")),
        # It may be the row's own attribute that is not there.
        (refused("Не найден атрибут 7"), RowRefused("Не найден атрибут 7")),
    ],
    "payment": [
        (None, Accepted()),
        (thing(94, "Abonents"), Accepted()),
        (thing(7, "FinanceOperations"), Accepted("7", created=True)),
        (thing(95, "Abonents"), Lost("an answer about Abonents 95, and it was asked for a payment of abonent 94")),
        *(
            (thing(key, "FinanceOperations"), Lost(f"an answer about an operation whose id is not a number: {key!r}"))
            for key in ("5\x1b[31m", 10**30)
        ),
        (refused("Объект уже удалён"), RowRefused("Объект уже удалён")),
    ],
    "fields": [
        *((same, Accepted()) for same in (thing(1, id=1), thing(1, id="1"), None, True, thing(1, "AdminAccounts"))),
        (thing(78, id=78), Lost("an answer about AdminAccounts 78, and 1 was asked for")),
        (thing(5), Lost("an answer about AdminAccounts 5, and 1 was asked for")),
        (thing(1, "Users", id=1), Lost("an answer about another model than AdminAccounts, which was asked for")),
    ],
    "delete": [
        (None, GONE),
        (thing(5, "UsersUsluga"), GONE),
        (thing(6, "UsersUsluga"), Lost("an answer about UsersUsluga 6, and UsersUsluga 5 was to go")),
        (thing(6), Lost("an answer about 6, and UsersUsluga 5 was to go")),
        (thing(5, "Users"), Lost("an answer about Users 5, and UsersUsluga 5 was to go")),
        (refused(MISSING), Lost(f"refused, and whether it is gone has to be looked up: {MISSING}")),
        (refused("На объект ссылаются: X"), RowRefused("На объект ссылаются: X")),
    ],
    "storno": [
        (thing(5, "FinanceOperations", op_id=5, storno=1), Accepted()),
        (None, Accepted()),
        (thing(5, "UsersUsluga", id=5), Lost("an answer about something else than operation 5")),
        ({"fields": {"op_id": 6, "storno": 1}}, Lost("an answer about operation 6, and 5 was asked for")),
        ({"fields": {"op_id": 5, "storno": 0}}, Lost("an answer without an error, and operation 5 is not reversed")),
        (
            refused("Не найден атрибут storno"),
            Lost("refused, and whether it is reversed has to be looked up: Не найден атрибут storno"),
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


MADE_ANSWER_OWNER = {"abonent_id": 5, "op_summa": "50.50", "op_type_id": 8, "descr": "Миграция"}
CREATED = NewItem(
    "5/8", "5", "account:5", encode_payload(payload_for("FinanceOperations", MADE_ANSWER_OWNER, 5)), Decimal("50.50")
)
ASSIGNED = Payload(
    "AdminAccounts",
    chain_of(("objects.get", {"account_id_abonents": 5}), ("set", {"limit_warning": "-120"}), ("save", {})),
    abonent=5,
    key={"account_id_abonents": "5"},
    wanted={"limit_warning": "-120"},
    was={"limit_warning": "0"},
)
SET = NewItem("5", "5", "account:17", encode_payload(ASSIGNED))


def operation(mark: tuple[str, int] | None) -> dict[str, object]:
    return {"pk": 9, "fields": {"op_id": 9} | ({"descr": with_mark("", *mark)} if mark else {})}


def account(key: int = 17, **fields: object) -> dict[str, object]:
    return {"pk": key, "model": "AdminAccounts", "fields": {"id": key, **fields}}


async def test_a_create_shares_connections_once_an_answer_bore_its_mark() -> None:
    client, item = AsyncMock(spec=BillingClient), sending_item(CREATED)
    effect = effect_of(Gateway(client), BUILT_IN.named("balances"))
    for answer, row, is_believed in (
        (operation(None), None, True),
        (operation(None), None, True),
        (operation((RUN.name, item.number)), None, True),
        (operation((RUN.name, item.number + 1)), item.item_id, False),
        (operation((RUN.name, item.number)), item.item_id, True),
        (operation(None), item.item_id, False),
        (operation(None), None, True),
    ):
        client.send.return_value = Accepted(result=answer)
        evidence = await effect.send(RUN, item)
        assert client.send.await_args.kwargs == {"row": row}
        assert isinstance(evidence, Accepted if is_believed else Lost), (answer, row)


async def test_fields_share_connections_once_an_answer_named_object_and_values() -> None:
    client, item = AsyncMock(spec=BillingClient), sending_item(SET)
    effect = effect_of(Gateway(client), BUILT_IN.named("warning-threshold"), amount="-120")
    for answer, row, is_believed in (
        (True, None, True),
        (account(), None, True),
        (account(limit_warning="-120.00"), None, True),
        (account(18, limit_warning="-120.00"), item.item_id, False),
        (account(limit_warning=-120), item.item_id, True),
        # Another row of the same account may have set that.
        (account(limit_warning=-50), item.item_id, False),
        (account(limit_warning=-50), None, True),
    ):
        client.send.return_value = Accepted(result=answer)
        evidence = await effect.send(RUN, item)
        assert client.send.await_args.kwargs == {"row": row}
        assert isinstance(evidence, Accepted if is_believed else Lost), (answer, row)


NOW: Final = datetime(2025, 11, 24, tzinfo=UTC)
RUN_ODD_ANSWERS: Final = Run(1, "k7m2q", "fake", {}, "http://b", "memory", "", (), None, NOW, NOW, NOW, None)
OPERATION_ODD_ANSWERS: Final[Mapping[str, object]] = {
    "abonent_id": 5,
    "op_summa": "50.50",
    "op_type_id": 8,
    "descr": "x",
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


def item(payload: Payload) -> Item:
    return Item(
        1,
        1,
        "5",
        "5",
        "account:17",
        encode_payload(payload),
        Decimal("50.50"),
        2,
        ("5",),
        State.SENDING,
        1,
        None,
        None,
        "",
    )


def chain(model: str, *steps: tuple[str, dict[str, object]], **more: object) -> Payload:
    return Payload(model, chain_of(*steps), abonent=5, **more)  # type: ignore[arg-type]


def effects(gateway: Gateway) -> dict[str, tuple[CallEffect, Payload]]:
    got: tuple[str, dict[str, object]] = ("objects.get", {"id": 5})
    user = chain("Users", got, key={"id": "5"})
    return {
        "balances": (
            effect_of(gateway, BUILT_IN.named("balances")),
            payload_for("FinanceOperations", OPERATION_ODD_ANSWERS, 5),
        ),
        "payment": (
            effect_of(gateway, BUILT_IN.named("payment"), way="add_payment"),
            chain("Abonents", got, key={"id": "5"}, wanted={"SUM_IN": "50.5"}, was={"op_id": "3"}),
        ),
        "warning-threshold": (
            effect_of(gateway, BUILT_IN.named("warning-threshold"), amount="-120"),
            chain(
                "AdminAccounts",
                ("objects.get", {"account_id_abonents": 5}),
                ("set", {"limit_warning": "-120"}),
                ("save", {}),
                key={"account_id_abonents": "5"},
                wanted={"limit_warning": "-120"},
                was={"limit_warning": None},
            ),
        ),
        "delete-account": (
            effect_of(gateway, BUILT_IN.named("delete-account")),
            chain("Users", got, ("delete", {}), key={"id": "5"}, wanted={"deleted": "1"}),
        ),
        "password": (effect_of(gateway, BUILT_IN.named("password"), dontshow="yes"), user),
        "services-on-offer": (effect_of(gateway, BUILT_IN.named("services-on-offer")), user),
        "by-sms": (
            effect_of(gateway, BUILT_IN.named("by-sms"), sms="+79990000001"),
            chain("Users", ("objects.filter", {"id": 5})),
        ),
        "call": (AnyCallEffect(gateway, parse("Odd", ("objects.create {}",)), CallRules()), chain("Odd", ("do", {}))),
    }


@pytest.mark.parametrize("name", list(effects(Gateway(AsyncMock(spec=BillingClient)))))
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
    effect, payload = effects(Gateway(client))[name]
    one = item(payload)
    await effect.send(RUN_ODD_ANSWERS, one)
    if not isinstance(seen, Accepted):
        return
    client.ask.return_value = seen.result
    with suppress(LookUpFailed):
        await effect.look_up(RUN_ODD_ANSWERS, [one])
        await effect.read_back(RUN_ODD_ANSWERS, [one])
        await effect.read_before_images([one])
