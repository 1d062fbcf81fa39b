"""What the wire uses of aiohttp beyond its documentation, in one place.

Documented are the connector with its socket factory, `Connection.transport`, `closed`, `close` and `release`,
`StreamReader`, and the errors of the client. What is not, is here, each with a test of its own in
tests/billing/api/test_aiohttp_parts.py; `make next-aiohttp` runs the tests of the billing with the newest release.

| part | what it does here |
|---|---|
| what `connect` asks of a request | a `ServerTarget` has it, and no `ClientRequest` is made |
| `Connection.protocol` | the parser of answers |
| `set_response_params`, `start_timeout`, `read` | one answer is parsed, with a limit on silence |
| `RawResponseMessage` | the head of an answer |
| `should_close`, `is_connected` | whether the next answer could be told from what came before |
| `_buffer` | an answer that nobody has asked for |
| `abort` | the connection is given up, and nothing unsent leaves any more |
| `HttpProcessingError` | what came is not HTTP |
| yarl's `QUERY_PART_QUOTER` | one value of a form, as `URL.with_query` writes it, without the URL around it |
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL
from yarl._quoters import QUERY_PART_QUOTER

Ends: TypeAlias = tuple[ResponseHandler, asyncio.Transport]
"""The parser of a connection, and its transport."""

__all__ = [
    "Connection",
    "Ends",
    "HttpProcessingError",
    "RawResponseMessage",
    "ResponseHandler",
    "ServerTarget",
    "behind",
    "break_off",
    "connect",
    "ends",
    "is_gone",
    "prepare",
    "quoted",
]

quoted: Final[Callable[[str], str]] = QUERY_PART_QUOTER
"""One name or value of a form, as it is sent."""

_NO_TRACES: Final[list[Any]] = []


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """What a connector asks of the request that a connection is made for.

    It is also its own key in the connector's pool, by which the connector's errors name host and port.
    """

    url: URL
    ssl: bool = True
    proxy: None = None
    server_hostname: None = None

    @property
    def connection_key(self) -> "ServerTarget":
        return self

    @property
    def host(self) -> str | None:
        return self.url.raw_host

    @property
    def port(self) -> int | None:
        """The port, in error messages and until aiohttp 4 for the connection."""
        return self.url.port

    def is_ssl(self) -> bool:
        return self.url.scheme == "https"


async def connect(connector: aiohttp.BaseConnector, target: ServerTarget, limit: aiohttp.ClientTimeout) -> Connection:
    """A new connection to the target, made within the limit. Raises the errors of aiohttp's connector."""
    request: Any = target
    return await connector.connect(request, _NO_TRACES, limit)


def ends(connection: Connection) -> Ends:
    protocol, transport = connection.protocol, connection.transport
    assert protocol is not None and transport is not None  # noqa: S101, PT018 - of a connection that is in use
    return protocol, transport


def is_gone(connection: Connection) -> bool:
    return connection.protocol is None or not connection.protocol.is_connected()


def prepare(parser: ResponseHandler, silence: float) -> None:
    """Parse the bytes that come now as the answers to one request; a silence of `silence` seconds is an error."""
    parser.set_response_params(read_until_eof=True, read_timeout=silence)


def behind(parser: ResponseHandler) -> bool:
    """Whether another answer has come behind the one that was read."""
    return bool(parser._buffer)  # noqa: SLF001 - the only trace of it on a connection that has been closed


def break_off(connection: Connection) -> None:
    """Close the connection and drop unsent data, which `close` alone would send first."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()
