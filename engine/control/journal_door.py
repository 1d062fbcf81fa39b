"""The door of a run in its journal: requests from machines that its socket does not reach.

They are carried out by the same handler as those of the socket, with the same checks, notes and answers. Who gives
one is known by his own word alone: whoever may write into the journal may steer its runs.
"""

from typing import Final

import anyio
import structlog

from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.store import TakenRequest
from engine.control.application import WORK
from engine.control.handler import ControlHandler
from engine.control.messages import (
    GET,
    LONGEST_REQUEST,
    ControlAnswer,
    NotAMessage,
    settings_to_json,
    to_json,
    to_request,
)
from texts.said import Quantity, said

log = structlog.get_logger(__name__)

_LONGEST_SENDER: Final = 300
"""Maximum length of the name of a sender, in characters."""


class JournalDoor:
    """Serves the requests to a run that this process has taken up; each takes at most `work` seconds."""

    def __init__(self, run: Run, journal: Journal, handler: ControlHandler, *, work: float = WORK) -> None:
        self._run = run
        self._requests = journal.requests
        self._handler = handler
        self._work = work

    async def serve(self) -> None:
        """Serve until cancelled; returns at once for a journal that only this machine has."""
        await self._requests.serve(self._run, self._carry_out)

    async def _carry_out(self, request: TakenRequest) -> str:
        """The answer to a request; a fault here is no reason to end a run."""
        try:
            with anyio.move_on_after(self._work):
                return (await self._answer(request)).decode()
            answer = said("this takes too long; nothing is known of whether it was done")
        except Exception:  # as above
            log.exception("a request in the journal failed: a fault of ours, please report it")
            answer = said("a fault of ours, which the log describes")
        return to_json(ControlAnswer(answer, refused=True)).decode()

    async def _answer(self, request: TakenRequest) -> bytes:
        if request.epoch != self._run.epoch:
            # Who gave it saw another process at work, perhaps with other settings.
            why = said(
                "it was meant for a process that does not work on the run any more, and was not carried out: see how "
                "the run stands, and give it again"
            )
            return to_json(ControlAnswer(why, refused=True))
        body = request.text.encode()
        if len(body) > LONGEST_REQUEST:
            most = Quantity(LONGEST_REQUEST)
            return to_json(ControlAnswer(said("a request has at most {most} bytes", most=most), refused=True))
        try:
            command = to_request(body)
        except NotAMessage as error:
            why = said(
                "a command is a JSON object like {example}: {error}", example='{"command": "pause"}', error=error
            )
            return to_json(ControlAnswer(why, refused=True))
        if command.command == GET:
            return settings_to_json(self._handler.settings())
        return to_json(await self._handler.obey(command, request.who[:_LONGEST_SENDER]))
