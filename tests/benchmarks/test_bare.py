"""The contender that everything is measured against does the whole of its work: no call less, no answer unread."""

import functools
from collections.abc import Iterator
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import msgspec
import pytest
from aioresponses import aioresponses as double_of_http
from yarl import URL

from benchmarks.bare import BODY, bare

BILLING = "http://billing.test:8082"
ADDRESS = f"{BILLING}/rest_api/v2/FinanceOperations/"


@pytest.fixture
def http_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[double_of_http]:
    """Answers without sockets.

    aioresponses 0.7.9 builds a ClientResponse without the `stream_writer` that aiohttp wants since 3.14.
    """
    monkeypatch.setattr(
        aioresponses.core,
        "ClientResponse",
        functools.partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0)),
    )
    with double_of_http() as double:
        yield double


@pytest.mark.parametrize("rows", [0, 1, 200])
async def test_each_row_is_one_call_with_the_whole_body(rows: int, http_double: double_of_http) -> None:
    http_double.post(ADDRESS, payload={"call": "create", "result": {"pk": 5}}, repeat=True)
    assert await bare(BILLING, rows) >= 0
    calls = http_double.requests.get(("POST", URL(ADDRESS)), [])
    assert len(calls) == rows
    assert all(call.kwargs["data"] == BODY for call in calls)


async def test_an_answer_that_is_no_json_ends_it(http_double: double_of_http) -> None:
    http_double.post(ADDRESS, body=b"<html>", repeat=True)
    with pytest.raises(msgspec.DecodeError):
        await bare(BILLING, 3)
