"""A server that answers as a test tells it, and breaks off as it is told."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(slots=True)
class Scripted:
    """`script` answers a request; `forms` are those that came, decoded."""

    script: Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse]]
    url: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        self.forms.append(form)
        return await self.script(request, form)


@asynccontextmanager
async def scripted(
    script: Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Scripted]:
    server = Scripted(script)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def answer(result: Any, status: int = 200, **headers: str) -> web.Response:
    text = json.dumps({"call": "x", "result": result}, ensure_ascii=False)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(text=text, status=status, content_type="application/json", headers=named)


def close(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def reset(request: web.Request) -> web.Response:
    assert request.transport is not None
    socket = request.transport.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"result": ["')
    await asyncio.sleep(0.05)
    await response.write(b"a")
    request.transport.close()
    return response
