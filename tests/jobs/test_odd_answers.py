"""Whatever a billing answers, an effect makes evidence of it, and a look-up says what it saw or why it cannot."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from unittest.mock import AsyncMock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.api.answers import read_answer
from billing.api.client import BillingClient
from checkpoints.records import Item, Run
from checkpoints.states import State
from engine.errors import LookUpFailed
from engine.evidence import Accepted
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, chain_of, encode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.any_call import AnyCallEffect, CallRules
from jobs.effects.create import payload_for
from jobs.effects.effect import CallEffect
from jobs.spec.chain import parse
from tests.jobs.making import effect_of

NOW: Final = datetime(2025, 11, 24, tzinfo=UTC)
RUN: Final = Run(1, "k7m2q", "fake", {}, "http://b", "memory", "", (), None, NOW, NOW, NOW, None)
OPERATION: Final[Mapping[str, object]] = {"abonent_id": 5, "op_summa": "50.50", "op_type_id": 8, "descr": "x"}
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
        "balances": (effect_of(gateway, BUILT_IN.named("balances")), payload_for("FinanceOperations", OPERATION, 5)),
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
    await effect.send(RUN, one)
    if not isinstance(seen, Accepted):
        return
    client.ask.return_value = seen.result
    with suppress(LookUpFailed):
        await effect.look_up(RUN, [one])
        await effect.read_back(RUN, [one])
        await effect.read_before_images([one])
