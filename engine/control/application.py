"""The application of a run's control socket: what can be asked of the run, and the commands that it takes.

GET  /api/runs/k7m2q/status     the status of this moment
GET  /api/runs/k7m2q/settings   what can be set, and what it is
GET  /api/runs/k7m2q/samples    one a second, of the last fifteen minutes; ?after=ID leaves out what was seen
GET  /api/runs/k7m2q/events     the same as server-sent events, with a status a second
POST /api/runs/k7m2q/commands   a command, see `messages.py`

    curl --unix-socket carbon-migrate.journal-k7m2q.socket http://run/api/runs/k7m2q/status
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from engine.control.address import peer_of, sender, user_name
from engine.control.events import Timeline, stream, to_id
from engine.control.handler import ControlHandler
from engine.control.messages import (
    JSON,
    LONGEST_ANSWER,
    LONGEST_REQUEST,
    ControlAnswer,
    NotAMessage,
    commands_path,
    facts_path,
    to_json,
    to_request,
    with_sentences,
)
from engine.statistics import PaceSample
from texts.said import Quantity, said

log = structlog.get_logger(__name__)

WORK: Final = 30.0
"""Maximum seconds to carry out a request."""

SECOND: Final = 1.0
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """A run at one moment."""

    sample: PaceSample
    status: Mapping[str, Any]

    def rendered(self) -> bytes:
        """The moment in JSON, for a client; most of the time there is none."""
        return to_json({"sample": self.sample, "status": with_sentences(self.status)})


class ControlApplication:
    """Answers the requests to one run; a command takes at most `work` seconds, and samples come `every` so many."""

    def __init__(self, run: str, handler: ControlHandler, *, work: float = WORK, every: float = SECOND) -> None:
        self._run = run
        self._handler = handler
        self._work = work
        self._every = every
        self._timeline: Timeline[_Moment] = Timeline()

    def application(self) -> web.Application:
        """The aiohttp application."""
        made = web.Application(middlewares=[answer_errors], client_max_size=LONGEST_REQUEST)
        made.router.add_get(facts_path(self._run, "status"), self._status)
        made.router.add_get(facts_path(self._run, "settings"), self._settings)
        made.router.add_get(facts_path(self._run, "samples"), self._samples)
        made.router.add_get(facts_path(self._run, "events"), self._events)
        made.router.add_post(commands_path(self._run), self._command)
        made.on_shutdown.append(self._end_streams)
        return made

    async def sample(self) -> None:
        """Take samples of the run, until cancelled."""
        while True:
            moment = _Moment(self._handler.sample(), self._handler.status())
            self._timeline.add([moment.sample], moment)
            await anyio.sleep(self._every)

    async def _status(self, _: web.Request) -> web.StreamResponse:
        return answer(with_sentences(self._handler.status()))

    async def _settings(self, _: web.Request) -> web.StreamResponse:
        return answer(self._handler.settings())

    async def _samples(self, request: web.Request) -> web.StreamResponse:
        after = to_id(request.query.get("after", ""))
        return answer({"samples": self._timeline.after(after), "last": self._timeline.last})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await stream(request, self._timeline, _Moment.rendered)

    async def _end_streams(self, _: web.Application) -> None:
        self._timeline.close()

    async def _command(self, request: web.Request) -> web.StreamResponse:
        with anyio.move_on_after(self._work):
            return await self._obey(request)
        return refusal(
            web.HTTPGatewayTimeout.status_code, said("this takes too long; nothing is known of whether it was done")
        )

    async def _obey(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != JSON:
            return refusal(
                web.HTTPUnsupportedMediaType.status_code,
                said("a command is {wanted}, not {given}", wanted=JSON, given=request.content_type),
            )
        try:
            command = to_request(await request.read())
        except NotAMessage as error:
            return refusal(
                web.HTTPBadRequest.status_code,
                said(
                    "a command is a JSON object like {example}: {error}",
                    example='{"command": "pause"}',
                    error=error,
                ),
            )
        who = await _sender(request, command.who, command.through)
        answered = await self._handler.obey(command, who)
        return answer(answered, web.HTTPConflict.status_code if answered.refused else web.HTTPOk.status_code)


async def _sender(request: web.Request, claim: str, through: str) -> str:
    """The sender of a request, by kernel and user database. Raises `ConnectionResetError` if it has gone."""
    if request.transport is None:
        raise ConnectionResetError
    peer = peer_of(request.transport.get_extra_info("socket"))
    name = await anyio.to_thread.run_sync(user_name, peer.user)
    return sender(name, peer.process, claim, through)


def answer(message: object, status: int = web.HTTPOk.status_code) -> web.Response:
    """An answer in JSON, of bounded length."""
    body = to_json(message)
    if len(body) > LONGEST_ANSWER:
        return refusal(web.HTTPInternalServerError.status_code, said("the answer is too long to be given"))
    return web.Response(body=body, content_type=JSON, status=status)


def refusal(status: int, why: str) -> web.Response:
    """The answer to a request that is not carried out."""
    return answer(ControlAnswer(why, refused=True), status)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors in JSON too; a fault here is no reason to end a run."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge as error:
        return refusal(error.status, said("a request has at most {most} bytes", most=Quantity(LONGEST_REQUEST)))
    except web.HTTPException as error:
        why = said(
            "{method} {path} is nothing that can be asked of this run", method=request.method, path=request.path[:100]
        )
        return refusal(error.status, why)
    except ConnectionError:
        raise
    except Exception:  # a fault here is no reason to end a run
        log.exception("a request to the control socket failed: a fault of ours, please report it")
        return refusal(web.HTTPInternalServerError.status_code, said("a fault of ours, which the log describes"))
