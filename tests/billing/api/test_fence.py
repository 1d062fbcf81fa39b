"""The fence before the write: a call that may not leave is not sent, whatever was awaited before."""

from engine.evidence import Accepted, NotSent
from tests.billing.api.bare_server import WRITE, Peer, client_of, served

CLEAN = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 1}'


class Counting:
    """A server that counts the requests of which a byte has come."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, peer: Peer) -> None:
        while await peer.request():
            self.requests += 1
            peer.writer.write(CLEAN)


async def test_a_call_that_may_not_leave_is_not_sent_on_a_new_or_a_kept_connection() -> None:
    server = Counting()
    async with served(server) as address, client_of(address.url) as client:
        with client.fenced(lambda: False):
            assert isinstance(await client.send(WRITE, row=1), NotSent)
        assert await client.send(WRITE, row=1) == Accepted(result=1)
        with client.fenced(lambda: False):
            refused = await client.send(WRITE, row=2)
        assert isinstance(refused, NotSent)
        assert "this process may send nothing more" in refused.text
        assert await client.send(WRITE, row=2) == Accepted(result=1)
        assert server.requests == 2


async def test_the_fence_is_asked_when_the_connection_is_made_and_nothing_is_awaited_any_more() -> None:
    """What closes it while name, TCP and TLS are waited for still holds the call back."""
    server = Counting()
    async with served(server) as address, client_of(address.url) as client:
        with client.fenced(lambda: address.connections == 0):
            assert isinstance(await client.send(WRITE, row=1), NotSent)
        assert server.requests == 0
