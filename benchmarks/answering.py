"""A server that gives every POST the same answer after a fixed latency, to measure clients.

`python -m benchmarks.answering LATENCY_MS` prints its port and serves until it is killed.
"""

import asyncio
import sys
from typing import cast

import uvloop

BODY = b'{"call": "objects.create", "result": {"pk": 1, "model": "FinanceOperations", "fields": {"id": 1}}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class Answering(asyncio.Protocol):
    """One connection; requests are split by their Content-Length."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        # uvloop's transports are not registered as asyncio's, so isinstance would be False.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._buffer += data
        while (end := self._buffer.find(END_OF_HEAD)) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(LENGTH) + len(LENGTH)
            whole = end + len(END_OF_HEAD) + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


async def serve(latency: float) -> None:
    """Serve on a free port until cancelled."""
    server = await asyncio.get_running_loop().create_server(lambda: Answering(latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1]) / 1000))
