"""The listener of a run's control socket: serves several clients at once, none of which can harm the run."""

import pwd
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
import structlog
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from engine.control.address import Peer, peer_of
from engine.control.messages import (
    LONGEST_ANSWER,
    LONGEST_REQUEST,
    ControlAnswer,
    ControlRequest,
    NotAMessage,
    line_of,
    to_request,
)

log = structlog.get_logger(__name__)

Obey = Callable[[ControlRequest, str], Awaitable[ControlAnswer]]
"""Carries out a request of a sender, who is named by the kernel and the user database."""

_GONE: Final = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""Errors that mean that a client has gone."""

_LONGEST_CLAIM: Final = 100
"""Maximum length of the name that a sender claims, in characters."""

_BREATH: Final = 1.0
"""Seconds to wait after a client could not be accepted: the machine has run out of a resource."""


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """Limits of the listener. Times are seconds."""

    clients: int = 32
    idle: float = 60.0
    """Maximum time between two requests."""
    work: float = 30.0
    """Maximum time to carry out a request."""
    unread: float = 2.0
    """Maximum time for a client to read an answer."""


class ControlListener:
    """Accepts clients of the users `owners`, and answers them line by line. Takes ownership of the socket."""

    def __init__(self, listening: socket.socket, obey: Obey, owners: frozenset[int], limits: ListenerLimits) -> None:
        self._socket = listening
        self._obey = obey
        self._owners = owners
        self._limits = limits
        self._clients = 0

    async def serve(self) -> None:
        """Serve until cancelled; an answer under way is sent to its end."""
        async with await SocketListener.from_socket(self._socket) as door, anyio.create_task_group() as clients:
            while True:
                try:
                    clients.start_soon(self._attend, await door.accept())
                except anyio.BrokenResourceError as error:
                    log.warning("a client could not be let in", why=str(error.__cause__ or error))
                    await anyio.sleep(_BREATH)

    async def _attend(self, client: SocketStream) -> None:
        self._clients += 1
        try:
            async with client:
                await self._converse(client)
        except _GONE:
            pass
        except Exception:  # a fault here is no reason to end a run
            log.exception("a client of the control socket was dropped: a fault of ours, please report it")
        finally:
            self._clients -= 1

    async def _converse(self, client: SocketStream) -> None:
        peer = peer_of(client.extra(SocketAttribute.raw_socket))  # noqa: S610 - anyio's, not Django's
        if peer.user not in self._owners:
            log.warning("somebody else tried to steer this run", user=peer.user, process=peer.process)
            await self._give(client, _refusal("this run is not yours to steer"))
            return
        if self._clients > self._limits.clients:
            await self._give(client, _refusal(f"{self._limits.clients} others talk to this run: try again later"))
            return
        name = await anyio.to_thread.run_sync(user_name, peer.user)
        lines = BufferedByteReceiveStream(client)
        while (line := await self._next_line(client, lines)) is not None:
            # The run may end meanwhile: the client that stopped it still gets its answer.
            with anyio.CancelScope(shield=True):
                taken = await self._give(client, await self._answer(line, name, peer))
            if not taken:
                return

    async def _next_line(self, client: SocketStream, lines: BufferedByteReceiveStream) -> bytes | None:
        """The next request line, None if there is none."""
        try:
            with anyio.move_on_after(self._limits.idle):
                return await lines.receive_until(b"\n", LONGEST_REQUEST)
        except anyio.DelimiterNotFound:
            await self._give(client, _refusal(f"a request is one line of at most {LONGEST_REQUEST:,} bytes"))
        return None

    async def _answer(self, line: bytes, name: str, peer: Peer) -> ControlAnswer:
        try:
            request = to_request(line)
        except NotAMessage as error:
            return _refusal(f'a request is a line like {{"command": "status"}}: {error}')
        with anyio.move_on_after(self._limits.work):
            return await self._obey(request, sender(name, peer.process, request.who))
        return _refusal("this takes too long; nothing is known of whether it was done")

    async def _give(self, client: SocketStream, answer: ControlAnswer) -> bool:
        """Send an answer; returns whether the client has read it."""
        line = line_of(answer)
        if len(line) > LONGEST_ANSWER:
            line = line_of(_refusal("the answer is too long to be given"))
        with anyio.move_on_after(self._limits.unread):
            await client.send(line)
            return True
        return False


def _refusal(why: str) -> ControlAnswer:
    return ControlAnswer(why, refused=True)


def sender(name: str, process: int, claim: str = "") -> str:
    """The sender of a command for the journal: user and host, the name that it claims if it differs, the process."""
    whole = f"{name}@{socket.gethostname()}"
    said = "" if claim in {"", whole} else f" (says it is {claim[:_LONGEST_CLAIM]})"
    return f"{whole}{said}, process {process}"


def user_name(user: int) -> str:
    """The name of a user id, or the id itself if it has none; may query a directory service."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
