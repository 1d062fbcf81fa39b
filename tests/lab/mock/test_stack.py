"""Accepted is not applied: the stacks, over real sockets."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from billing.api.answers import created_id
from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.api.client import BillingClient, ClientSettings
from billing.directory.system import Stacks, depth, waiting_for
from engine.evidence import Accepted, Busy, Evidence, RowRefused
from lab.mock.server import MockBilling, running
from tests.billing.saving import get_set_save

MODEL = "FinanceOperations"
NEVER = 0.0001
"""Entries a second: within a test, none."""
SOON = 1_000.0


@asynccontextmanager
async def _stacked(
    file: Path, rate: float = NEVER, **traits: Any
) -> AsyncIterator[tuple[MockBilling, BillingClient]]:
    async with (
        running(file, stack_rate=rate, **traits) as server,
        BillingClient(ClientSettings(server.url)) as client,
    ):
        yield server, client


def _write(abonent: int, summa: str = "50.5") -> Call:
    return create(MODEL, abonent_id=abonent, op_summa=summa, op_type_id=8, descr=f"Миграция {abonent}")


def _result(seen: Evidence) -> Any:
    assert isinstance(seen, Accepted), seen
    return seen.result


async def _depth(server: MockBilling) -> Stacks:
    return await asyncio.to_thread(depth, server.database)


async def test_a_look_up_finds_nothing_and_then_finds_it(billing_file: Path) -> None:
    async with _stacked(billing_file) as (server, client):
        created = created_id(_result(await client.send(_write(2001))))
        look = filter_(MODEL, {"abonent_id": 2001, "op_type_id": 8}, "op_id", "descr")
        assert _result(await client.send(look)) == []
        assert isinstance(await client.send(get(MODEL, {"pk": created})), RowRefused)
        assert await _depth(server) == Stacks(1, 0)
        assert server.ledger.totals() == []
        server.stack_rate = SOON
        await server.wait_for_stacks()
        (found,) = _result(await client.send(look))
        assert (str(found["pk"]), found["fields"]["descr"]) == (created, "Миграция 2001")
        assert await _depth(server) == Stacks(0, 0)
        (entry,) = server.ledger.entries(MODEL, 2001)
        assert (entry.request, entry.key) == (1, int(created or 0)), "the request that asked, not one of its own"


async def test_money_and_all_else_wait_in_stacks_of_their_own(billing_file: Path) -> None:
    async with _stacked(billing_file) as (server, client):
        user = _result(await client.send(filter_("Users", {"abonent_id": 2003}, "id")))[0]["pk"]
        calls = [
            _write(2001),
            get_set_save("Users", {"id": user}, {"pull": 5}),
            get_set_save("AdminAccounts", {"account_id_abonents": 2004}, {"limit_warning": "-120"}),
            get("Abonents", {"id": 2005}, ChainStep("add_payment", {"SUM_IN": "10"})),
            get_set_save("Usluga", {"id": 126}, {"operator_id": 1444}),
        ]
        for call in calls:
            _result(await client.send(call))
        assert await _depth(server) == Stacks(3, 2)
        ((account,),) = server.database.query("select account_id from abonents where id = 2001")
        assert waiting_for(server.database, accounts=[account], abonents=[]) == Stacks(1, 0)
        assert waiting_for(server.database, accounts=[], abonents=[2003]) == Stacks(0, 1)
        assert server.ledger.totals() == []
        server.stack_rate = SOON
        await server.wait_for_stacks()
        assert {total.model: total.effects for total in server.ledger.totals()} == {
            "AdminAccounts": 1,
            MODEL: 2,
            "Users": 1,
            "Usluga": 1,
        }


async def test_a_write_is_busy_while_another_waits(billing_file: Path) -> None:
    async with _stacked(billing_file) as (server, client):
        _result(await client.send(_write(2001)))
        account = get_set_save("AdminAccounts", {"account_id_abonents": 2001}, {"limit_warning": "1"})
        operator = get_set_save("Abonents", {"id": 2001}, {"operator_id": 1444})
        for call in (_write(2001), account, operator):
            assert isinstance(await client.send(call), Busy)
        _result(await client.send(_write(2003)))
        server.stack_rate = SOON
        await server.wait_for_stacks()
        server.stack_rate = NEVER
        _result(await client.send(operator))
        assert isinstance(await client.send(_write(2001)), Busy)
        assert server.ledger.effects(MODEL) == {2001: 1, 2003: 1}


async def test_what_is_refused_or_a_session_waits_in_no_stack_and_what_has_become_impossible_has_no_effect(
    billing_file: Path,
) -> None:
    async with _stacked(billing_file) as (server, client):
        opened = get("Users", {"id": 7}, ChainStep("get_or_create_dynamic_session", {})).asking("suid")
        suid = _result(await client.send(opened))["fields"]["suid"]
        found = _result(await client.send(Call("Users", (ChainStep("get_user_by_suid", {"suid": suid}),), ("id",))))
        assert found["pk"] == 7
        seen = await client.send(_write(89))
        assert seen == RowRefused("Группе нельзя добавлять финансовую операцию", recognised=True)
        assert await _depth(server) == Stacks(0, 0)
        for abonent in (2001, 2003):
            _result(await client.send(get_set_save("Abonents", {"id": abonent}, {"contract_number": "Я-1"})))
        server.stack_rate = SOON
        await server.wait_for_stacks()
        assert server.ledger.effects("Abonents") == {2001: 1}
        assert await _depth(server) == Stacks(0, 0)


async def test_entries_are_carried_out_in_their_order_so_many_a_second(billing_file: Path) -> None:
    async with _stacked(billing_file, rate=50.0, busy=False) as (server, client):
        began = asyncio.get_running_loop().time()
        for summa in range(25):
            _result(await client.send(_write(2001, str(summa))))
        await server.wait_for_stacks()
        assert asyncio.get_running_loop().time() - began >= 25 / 50
        written = [re.findall(r'"op_summa":"([^"]+)"', entry.what) for entry in server.ledger.entries(MODEL, 2001)]
        assert written == [[f"{summa}.00"] for summa in range(25)]


async def test_new_addresses_are_those_that_were_answered(billing_file: Path) -> None:
    async with _stacked(billing_file) as (server, client):
        told = {}
        for (user,) in list(server.database.query("select first 5 id from users where deleted = 0 order by id")):
            call = get_set_save("Users", {"id": user}, {"ip": "", "pull": 5}).asking("ip", "pull")
            told[user] = _result(await client.send(call))["fields"]["ip"]
        server.stack_rate = SOON
        await server.wait_for_stacks()
        for user, address in told.items():
            assert _result(await client.send(get("Users", {"id": user}).asking("ip")))["fields"]["ip"] == address
        assert len(set(told.values())) == 5


async def test_without_a_rate_what_is_left_is_carried_out_at_once(billing_file: Path) -> None:
    async with _stacked(billing_file) as (_, client):
        _result(await client.send(_write(2001)))
    async with running(billing_file) as server, BillingClient(ClientSettings(server.url)) as client:
        await server.wait_for_stacks()
        _result(await client.send(_write(2003)))
        assert server.ledger.effects(MODEL) == {2001: 1, 2003: 1}
        assert {entry.request for key in (2001, 2003) for entry in server.ledger.entries(MODEL, key)} == {1, 2}
