"""The handler of control commands: carries each out, and notes it in the journal."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import anyio
import structlog

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run
from engine.control.messages import ControlAnswer, ControlRequest
from engine.pacing.open_files import provide_files, widest
from engine.pacing.policy import Policy, describe_settings, policy_with, setting_text, to_settings
from engine.statistics import PaceSample
from texts.said import said, text_of

log = structlog.get_logger(__name__)

COMMANDS: Final = ("set", "pause", "continue", "stop")

_LONGEST_NOTE: Final = 500
"""Maximum length of a command, and of its answer, in the journal, in characters."""


class Controllable(Protocol):
    """A run under control; each method takes effect at once."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        ...

    def take(self, policy: Policy) -> None:
        """Put a policy in force."""
        ...

    def pause(self, who: str) -> None:
        """Begin no call until `unpause`; calls in flight finish."""
        ...

    def unpause(self) -> None:
        """End the pause."""
        ...

    def stop(self, who: str) -> None:
        """Stop the run once the calls in flight are finished; it can be resumed."""
        ...

    def status(self) -> Mapping[str, Any]:
        """The status of the run as plain values."""
        ...

    def sample(self) -> PaceSample:
        """The pace of the run since the last sample."""
        ...


class _Refused(Exception):
    """Raised when a command cannot be carried out; the text says why."""


class ControlHandler:
    """Carries out the commands for one run, one after the other, and notes each in the journal.

    A pause or a setting is in the journal before it is confirmed, so the next process to take the run up keeps it.
    """

    def __init__(self, run: Run, journal: Journal, steered: Controllable) -> None:
        self._run = run
        self._journal = journal
        self._steered = steered
        self._one_at_a_time = anyio.Lock()

    async def take_up(self) -> Run:
        """Pause or unpause the run as the journal says; returns the run as it is now."""
        async with self._one_at_a_time:
            run = await self._journal.run(self._run.name)
            if run.paused_at:
                self._steered.pause(run.paused_by or said("somebody"))
            else:
                self._steered.unpause()
            return run

    def status(self) -> Mapping[str, Any]:
        """The status of the run as plain values."""
        return self._steered.status()

    def sample(self) -> PaceSample:
        """The pace of the run since the last sample."""
        return self._steered.sample()

    def settings(self) -> Mapping[str, str]:
        """What can be set on the run, and what it is."""
        return setting_text(self._steered.policy)

    async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
        """Carry out a command of `who`, and note it."""
        if request.command not in COMMANDS:
            why = said("there is no command {name!r}: {known}", name=request.command[:40], known=COMMANDS)
            return ControlAnswer(why, refused=True)
        async with self._one_at_a_time:
            return await self._noted(request, who)

    async def _noted(self, request: ControlRequest, who: str) -> ControlAnswer:
        try:
            answer = ControlAnswer(await self._done(request, who))
        except _Refused as error:
            answer = ControlAnswer(text_of(error), refused=True)
        except JournalError as error:
            why = said("{error}: it was not carried out, for the journal cannot keep it", error=error)
            return ControlAnswer(why, refused=True)
        log.info("commanded", command=request.typed[:_LONGEST_NOTE], who=who, answer=answer.said)
        try:
            note = answer.said if len(answer.said) <= _LONGEST_NOTE else answer.said[:_LONGEST_NOTE]
            await self._journal.history.note_command(self._run, who, request.typed[:_LONGEST_NOTE], note)
        except JournalError as error:
            why = said("{answer}; but the journal did not take it down: {error}", answer=answer.said, error=error)
            return ControlAnswer(why, refused=True)
        return answer

    async def _done(self, request: ControlRequest, who: str) -> str:
        match request.command:
            case "set":
                return await self._set(request.arguments)
            case "pause":
                return await self._pause(who)
            case "continue":
                return await self._go_on()
            case _:
                self._steered.stop(who)
                return said("the run stops once what is in flight is finished")

    async def _set(self, changes: Mapping[str, str]) -> str:
        """Apply all changes or none, after the journal has them."""
        if not changes:
            raise _Refused(said("nothing is named that is to be set"))
        try:
            policy = policy_with(self._steered.policy, changes)
            provide_files(widest(policy))
        except ValueError as error:
            one = len(changes) == 1
            raise _Refused(text_of(error) if one else said("{error}; nothing was changed", error=error)) from error
        await self._journal.keep_policy(self._run, to_settings(policy))
        self._steered.take(policy)
        return describe_settings(policy, changes)

    async def _pause(self, who: str) -> str:
        """Pause at once, then write it to the journal; if that fails, the pause is undone."""
        run = await self._journal.run(self._run.name)
        self._steered.pause(run.paused_by or who)
        if run.paused_at:
            return said(
                "it was paused already, by {who}, since {since}", who=run.paused_by or "", since=run.paused_at
            )
        try:
            await self._journal.pause(self._run, who)
        except JournalError:
            self._steered.unpause()
            raise
        return said("paused; what is in flight is finished, and nothing new is sent")

    async def _go_on(self) -> str:
        run = await self._journal.run(self._run.name)
        await self._journal.unpause(self._run)
        self._steered.unpause()
        return said("it goes on") if run.paused_at else said("it was not paused")
