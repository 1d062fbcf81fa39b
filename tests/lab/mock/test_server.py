"""The mock billing over real sockets: its population, answers, and published clients."""

import json
import tomllib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from billing.api.answers import objects, read_answer
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from billing.directory.subscribers import since
from billing.errors import DatabaseError, SettingsError
from engine.evidence import Accepted, RowRefused
from lab.mock.population import _COLUMNS
from lab.mock.population import create as create_billing
from lab.mock.server import MockBilling, running

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
