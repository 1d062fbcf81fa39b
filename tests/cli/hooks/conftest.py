"""Addresses, without sockets and with them."""

import functools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


@pytest.fixture(autouse=True)
def _answers_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a response what aiohttp wants since 3.14, and aioresponses 0.7.9 does not know."""
    made = functools.partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(aioresponses.core, "ClientResponse", made)


@dataclass
class Address:
    """An address that is served: keeps what it is asked, and answers."""

    url: str = ""
    answer: bytes = b"ok"
    status: int = 200
    heard: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def attend(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.heard.append((request.method, request.headers, await request.read()))
        return web.Response(body=self.answer, status=self.status)


@pytest.fixture
async def served() -> AsyncIterator[Address]:
    address, application = Address(), web.Application()
    application.router.add_route("*", "/{rest:.*}", address.attend)
    async with TestServer(application) as server:
        address.url = str(server.make_url("/12345:token-of-the-bot/send"))
        yield address
