"""What each sort of call makes of each answer: accepted, with its id, refused, or lost, so that somebody looks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final
from unittest.mock import AsyncMock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.api.answers import read_answer
from billing.api.calls import describe
from billing.api.client import BillingClient
from checkpoints.records import NewItem
from engine.errors import LookUpFailed
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload
from jobs.catalogue.built_in import ATTRIBUTE, BALANCES, DELETE_SERVICES, PAYMENT, WARNING_THRESHOLD
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.any_call import AnyCallEffect, CallRules
from jobs.effects.create import payload_for
from jobs.effects.effect import CallEffect
from jobs.effects.reverse import StornoReversal
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

GOT: Final[tuple[str, dict[str, object]]] = ("objects.get", {"id": 5})
USER: Final = Payload("Users", (GOT,), abonent=5, key={"id": "5"})
ALL_CALLS: Final = {
    **CALLS,
    "password": (lambda to: effect_of(to, BUILT_IN.named("password"), dontshow="yes"), USER),
    "services-on-offer": (lambda to: effect_of(to, BUILT_IN.named("services-on-offer")), USER),
    "by-sms": (
        lambda to: effect_of(to, BUILT_IN.named("by-sms"), sms="+79990000001"),
        Payload("Users", (("objects.filter", {"id": 5}),), abonent=5),
    ),
    "call": (
        lambda to: AnyCallEffect(to, parse("Odd", ("objects.create {}",)), CallRules()),
        Payload("Odd", (("do", {}),), abonent=5),
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
