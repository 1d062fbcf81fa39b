"""What published clients of real billings send and read, played against the mock, and through the product's reader.

`conversations/*.toml` has a file a client: the statements `before`, and its calls with the form that it sends. A call
`answers` with JSON whose texts name the types that the client reads: `int`, `str`, `float`, `null`, `str?` for a text
or none, `=TEXT` for that text. A list with one element stands for one or more like it, `...` for any other fields. Or
it is `refused` with a text, the last of a list where the answer would have been `listed`. It `pays` so many roubles.
"""

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from billing.api.answers import objects, read_answer
from billing.database.database import attach
from billing.database.dsn import Dsn
from engine.evidence import Accepted, RowRefused
from lab.mock.server import MockBilling, running

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
