"""The mock billing over real sockets: its population, answers, slots, control endpoint, and its stacks."""

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from billing.api.answers import created_id, objects, read_answer
from billing.api.calls import Call, ChainStep, create, filter_, get
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.directory.subscribers import since
from billing.directory.system import Stacks, depth, waiting_for
from billing.errors import DatabaseError, SettingsError
from engine.evidence import Accepted, RowRefused
from lab.mock.population import _COLUMNS
from lab.mock.population import create as create_billing
from lab.mock.server import Ledger, MockBilling, read_schedule, running
from tests.billing.saving import get_set_save
from tests.lab.mock.calling import NEVER, SOON, answered, entries, served, until

MODEL = "FinanceOperations"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def _enter(http: aiohttp.ClientSession, url: str, abonent: int) -> Any:
    values = {"abonent_id": abonent, "op_summa": "50.5", "op_type_id": 8, "descr": "Миграция балансов"}
    form = {"method1": "objects.create", "arg1": json.dumps(values, ensure_ascii=False), "fields": '["op_id"]'}
    return await _post(http, url, form)


async def _post(http: aiohttp.ClientSession, url: str, body: dict[str, str] | bytes) -> Any:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(f"{url}/rest_api/v2/{MODEL}/", data=body, headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def _live(server: MockBilling) -> list[int]:
    live = "select id from abonents where is_folder = 0 and deleted = 0 order by id"
    return [key for (key,) in await asyncio.to_thread(lambda: list(server.database.query(live)))]


# ---- answers -------------------------------------------------------------------------------------------------------


async def test_what_is_answered_is_as_documented(mock_billing: MockBilling, http: aiohttp.ClientSession) -> None:
    answer = await _enter(http, mock_billing.url, 2001)
    key = answer["result"]["pk"]
    assert answer == {"call": "objects.create", "result": {"pk": key, "model": MODEL, "fields": {"op_id": key}}}
    assert await _enter(http, mock_billing.url, 89) == {
        "call": "objects.create",
        "error": "Группе нельзя добавлять финансовую операцию",
    }
    assert "error" in await _post(http, mock_billing.url, b"method1=objects.get&arg1={")
    # The vendor's own line is not encoded.
    line = 'arg1={"abonent_id": 2003, "op_summa": "50.5", "op_type_id": 8, "descr": "Миграция балансов"}'
    await _post(http, mock_billing.url, f"method1=objects.create&{line}".encode())
    await _enter(http, mock_billing.url, 2003)
    found = since(mock_billing.database, [2001, 2003], 0)
    operations = [one for _, one in found if one.op_type == 8]
    assert {(str(each.op_summa), each.descr) for each in operations} == {("50.50", "Миграция балансов")}
    async with http.get(f"{mock_billing.url}/mock/ledger") as response:
        assert await response.json() == [{"model": MODEL, "effects": 3, "subjects": 2, "repeated": {"2003": 2}}]


# ---- slots, and clients that go ------------------------------------------------------------------------------------


async def test_the_effect_happens_once_when_the_client_has_gone_and_when_the_server_ends(
    billing_file: Path, http: aiohttp.ClientSession
) -> None:
    async with running(billing_file, latency=0.2, slots=1) as server:
        abonents = (await _live(server))[:3]
        for number, abonent in enumerate(abonents, 1):  # the second and third wait for the slot
            call = asyncio.create_task(_enter(http, server.url, abonent))
            await until(lambda number=number: server.state()["requests"] == number)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await server.wait_for_requests()
        assert server.ledger.effects(MODEL) == dict.fromkeys(abonents, 1)
        last = asyncio.create_task(_enter(http, server.url, 2001))
        await until(lambda: server.state()["in_flight"] == 1)
    await asyncio.gather(last, return_exceptions=True)
    with Database(Dsn(str(billing_file))) as database:
        assert Ledger(database).effects(MODEL) == dict.fromkeys({*abonents}, 1) | {2001: 1 + (2001 in abonents)}


async def test_who_finds_no_room_is_turned_away_without_an_effect(
    billing_file: Path, http: aiohttp.ClientSession
) -> None:
    async with running(billing_file, slots=9, queue=1, latency=0.2, capacity=read_schedule("0:1")) as server:
        await until(lambda: server.slots == 1)
        sent = [_enter(http, server.url, abonent) for abonent in range(2001, 2009)]
        seen = await asyncio.gather(*sent, return_exceptions=True)
        assert [isinstance(each, AssertionError) and "503" in str(each) for each in seen].count(True) == 6
        assert (sum(server.ledger.effects(MODEL).values()), server.state()["turned_away"]) == (2, 6)


# ---- accepted is not applied: the stacks --------------------------------------------------------------------------


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
        effects = {total["model"]: total["effects"] for total in server.ledger.totals()}
        assert effects == {"AdminAccounts": 1, MODEL: 2, "Users": 3, "Usluga": 1}
        looks: list[Any] = [get("Users", {"id": user}).asking("ip") for user in users]
        assert [(await answered(client, each))["fields"]["ip"] for each in looks] == told
        assert len(set(told)) == len(users)


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


# ---- the made-up billing is always the same one, and lacks what versions of the real one do -----------------------


def _all(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with Database(Dsn(str(path))) as database:
        return {table: list(database.query(f"select * from {table} order by 1")) for table in _COLUMNS}  # noqa: S608


def test_the_same_seed_gives_the_same_rows_and_it_tells_what_it_made(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.fdb" for number in range(3)]
    made = [create_billing(path, subscribers=200, seed=seed) for path, seed in zip(paths, (1, 1, 2), strict=True)]
    first, second, other = map(_all, paths)
    assert first == second
    assert first["abonents"] != other["abonents"]
    with Database(Dsn(str(paths[0]))) as database:
        ((deleted, forced),) = database.query(
            "select (select count(*) from abonents where deleted = 1), mon$forced_writes from mon$database"
        )
    assert (made[0], forced) == (deleted, 0)
    with pytest.raises(DatabaseError):
        create_billing(paths[0], subscribers=1, seed=1)
    assert _all(paths[0]) == first, "what is there is left alone"


@pytest.mark.parametrize("name", ["FINANCE_OPERATIONS.NOTHING", "NOTHING", "MOCK_LEDGER", "ABONENTS.", ""])
def test_what_it_does_not_have_cannot_be_left_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="no such table or column"):
        create_billing(tmp_path / "b.fdb", subscribers=5, seed=1, without=(name,))


# ---- published clients of real billings, played against the mock ---------------------------------------------------

FOLDER = Path(__file__).parent / "conversations"
TYPES = {"int": int, "str": str, "float": float, "null": type(None)}
BALANCE = """
    select cast(aa.ostatok + aa.debit - aa.credit as bigint) from abonents a
    join admin_accounts aa on aa.id = a.account_id where a.id = 2001"""


class PublishedCall(msgspec.Struct, forbid_unknown_fields=True):
    what: str
    model: str
    form: dict[str, str]
    answers: str = ""
    refused: str = ""
    listed: bool = False
    pays: Decimal = Decimal(0)


class Conversation(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    before: list[str]
    call: list[PublishedCall]


def conversation(file: Path) -> Conversation:
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Conversation)


def mismatches(shape: Any, value: Any, path: str = "") -> list[str]:
    """Where a value is not of a shape."""
    match shape:
        case dict():
            if not isinstance(value, dict):
                return [f"{path}: {value!r} is no object"]
            unexpected = value.keys() ^ (shape.keys() - {"..."})
            if "..." in shape:
                unexpected -= value.keys()
            found = [f"{path}.{name}: only on one side" for name in sorted(unexpected)]
            common = shape.keys() & value.keys()
            return found + [
                line for name in common for line in mismatches(shape[name], value[name], f"{path}.{name}")
            ]
        case []:
            return [] if value == [] else [f"{path}: {value!r} is not empty"]
        case [each]:
            if not isinstance(value, list) or not value:
                return [f"{path}: {value!r} is no list with an element"]
            return [line for place, one in enumerate(value) for line in mismatches(each, one, f"{path}[{place}]")]
        case str() if shape.startswith("="):
            right = value == shape[1:]
        case "str?":
            right = value is None or isinstance(value, str)
        case str() if shape in TYPES:
            right = type(value) is TYPES[shape]
        case _:
            right = type(value) is type(shape) and value == shape
    return [] if right else [f"{path}: {value!r} is not {shape!r}"]


def balance(server: MockBilling) -> Decimal:
    ((scaled,),) = server.database.query(BALANCE)
    return Decimal(scaled) / 10**10


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
async def test_a_published_client_is_answered_as_it_reads(billing_file: Path, file: Path) -> None:
    told = conversation(file)
    assert told.source
    connection = attach(Dsn(str(billing_file)))
    for statement in told.before:
        connection.cursor().execute(statement)
    connection.commit()
    connection.close()
    async with running(billing_file) as server, aiohttp.ClientSession() as http:
        for call in told.call:
            before = balance(server)
            async with http.post(f"{server.url}/rest_api/v2/{call.model}/", data=call.form) as answer:
                body = await answer.read()
                seen = read_answer(answer.status, answer.headers, body)
            said = json.loads(body)
            if call.refused:
                error = said["error"]
                assert isinstance(error, list) is call.listed, call.what
                assert (error[-1] if call.listed else error) == call.refused, call.what
                assert isinstance(seen, RowRefused), call.what
                assert seen.text == call.refused, call.what
                continue
            assert mismatches(json.loads(call.answers), said["result"]) == [], call.what
            assert isinstance(seen, Accepted), call.what
            pks = said["result"] if isinstance(said["result"], list) else [said["result"]]
            assert [each["pk"] for each in objects(seen.result)] == [each["pk"] for each in pks], call.what
            assert balance(server) == before + call.pays, call.what
