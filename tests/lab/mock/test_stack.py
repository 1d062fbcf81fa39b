"""Accepted is not applied: the stacks, over real sockets."""

import asyncio
import re
from pathlib import Path
from typing import Any

from billing.api.answers import created_id
from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.directory.system import Stacks, depth, waiting_for
from engine.evidence import Busy, RowRefused
from lab.mock.server import MockBilling
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import NEVER, SOON, answered, deleting, entries, served, session_of, with_suid

MODEL = "FinanceOperations"


def _write(abonent: int, summa: str = "50.5") -> Call:
    return create(MODEL, abonent_id=abonent, op_summa=summa, op_type_id=8, descr=f"Миграция {abonent}")


async def _depth(server: MockBilling) -> Stacks:
    return await asyncio.to_thread(depth, server.database)


async def _apply(server: MockBilling) -> None:
    server.stack_rate = SOON
    await server.wait_for_stacks()
    assert await _depth(server) == Stacks(0, 0)


async def test_money_and_all_else_wait_in_stacks_of_their_own_and_come_as_they_were_answered(
    billing_file: Path,
) -> None:
    async with served(billing_file, stack_rate=NEVER) as (server, client):
        created = created_id(await answered(client, _write(2001)))
        look = filter_(MODEL, {"abonent_id": 2001, "op_type_id": 8}, "op_id", "descr")
        assert await answered(client, look) == []
        assert isinstance(await client.send(get(MODEL, {"pk": created})), RowRefused)
        query = "select first 3 abonent_id, min(id) from users where abonent_id > 2020 and deleted = 0 group by 1"
        users = {user: abonent for abonent, user in server.database.query(query)}
        issued = [get_set_save("Users", {"id": user}, {"ip": "", "pull": 5}).asking("ip", "pull") for user in users]
        told = [(await answered(client, call))["fields"]["ip"] for call in issued]
        await answered(
            client,
            get_set_save("AdminAccounts", {"account_id_abonents": 2004}, {"limit_warning": "-120"}),
            get("Abonents", {"id": 2005}, ChainStep("add_payment", {"SUM_IN": "10"})),
            get_set_save("Usluga", {"id": 126}, {"operator_id": 1444}),
        )
        assert await _depth(server) == Stacks(3, 4)
        ((account,),) = server.database.query("select account_id from abonents where id = 2001")
        assert waiting_for(server.database, accounts=[account], abonents=[]) == Stacks(1, 0)
        assert waiting_for(server.database, accounts=[], abonents=[*users.values()]) == Stacks(0, 3)
        assert server.ledger.totals() == []
        await _apply(server)
        (found,) = await answered(client, look)
        assert (str(found["pk"]), found["fields"]["descr"]) == (created, "Миграция 2001")
        ((request, key, _),) = entries(server, 2001)
        assert (request, key) == (1, int(created or 0)), "the request that asked, not one of its own"
        effects = {total.model: total.effects for total in server.ledger.totals()}
        assert effects == {"AdminAccounts": 1, MODEL: 2, "Users": 3, "Usluga": 1}
        looks: list[Any] = [get("Users", {"id": user}).asking("ip") for user in users]
        assert [(await answered(client, each))["fields"]["ip"] for each in looks] == told
        assert len(set(told)) == len(users)


async def test_a_write_is_busy_while_another_waits(billing_file: Path) -> None:
    async with served(billing_file, stack_rate=NEVER) as (server, client):
        await answered(client, _write(2001))
        account = get_set_save("AdminAccounts", {"account_id_abonents": 2001}, {"limit_warning": "1"})
        operator = get_set_save("Abonents", {"id": 2001}, {"operator_id": 1444})
        for call in (_write(2001), account, operator):
            assert isinstance(await client.send(call), Busy)
        await answered(client, _write(2003))
        await _apply(server)
        server.stack_rate = NEVER
        await answered(client, operator)
        assert isinstance(await client.send(_write(2001)), Busy)
        assert server.ledger.effects(MODEL) == {2001: 1, 2003: 1}


async def test_what_is_refused_or_a_session_waits_in_no_stack_and_what_has_become_impossible_has_no_effect(
    billing_file: Path,
) -> None:
    async with served(billing_file, stack_rate=NEVER) as (server, client):
        assert (await answered(client, session_of(7), with_suid("get_user_by_suid")))["pk"] == 7
        seen = await client.send(_write(89))
        assert seen == RowRefused("Группе нельзя добавлять финансовую операцию", recognised=True)
        assert await _depth(server) == Stacks(0, 0)
        await answered(
            client, *(get_set_save("Abonents", {"id": key}, {"contract_number": "Я-1"}) for key in (2001, 2003))
        )
        await answered(client, deleting("UsersUsluga", 1))
        await _apply(server)
        assert server.ledger.effects("Abonents") == {2001: 1}


async def test_entries_are_carried_out_in_their_order_so_many_a_second_and_the_rest_after_a_restart(
    billing_file: Path,
) -> None:
    async with served(billing_file, stack_rate=50.0, busy=False) as (server, client):
        began = asyncio.get_running_loop().time()
        await answered(client, *(_write(2001, str(summa)) for summa in range(25)))
        await server.wait_for_stacks()
        assert asyncio.get_running_loop().time() - began >= 25 / 50
        written = [re.findall(r'"op_summa":"([^"]+)"', what) for _, _, what in entries(server, 2001)]
        assert written == [[f"{summa}.00"] for summa in range(25)]
        server.stack_rate = NEVER
        await answered(client, _write(2003))
    async with served(billing_file) as (server, client):
        await server.wait_for_stacks()
        await answered(client, _write(2004))
        assert [request for key in (2003, 2004) for request, _, _ in entries(server, key)] == [26, 27]
