"""What the tests of the billing room share."""

import functools
from collections.abc import Iterator
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aioresponses import aioresponses as double_of_http


@pytest.fixture
def http_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[double_of_http]:
    """Answers without sockets, for tests of calls and answers.

    aioresponses 0.7.9 builds a ClientResponse without the `stream_writer` that aiohttp wants since 3.14.
    """
    monkeypatch.setattr(
        aioresponses.core,
        "ClientResponse",
        functools.partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0)),
    )
    with double_of_http() as double:
        yield double
