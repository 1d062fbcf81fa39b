"""Calls share connections while the billing's answers name their rows, and have their own while they do not."""

from decimal import Decimal
from unittest.mock import AsyncMock

from billing.api.client import BillingClient
from checkpoints.records import NewItem
from engine.evidence import Accepted, Lost
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, chain_of, encode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.effects.create import payload_for
from jobs.spec.entries import with_mark
from tests.checkpoints.samples import sending_item
from tests.jobs.making import RUN, effect_of

MADE = {"abonent_id": 5, "op_summa": "50.50", "op_type_id": 8, "descr": "Миграция"}
CREATED = NewItem(
    "5/8", "5", "account:5", encode_payload(payload_for("FinanceOperations", MADE, 5)), Decimal("50.50")
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
