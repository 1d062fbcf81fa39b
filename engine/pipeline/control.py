"""The control of a working run: its mailbox is served, and each command is carried out and noted in the journal.

    carbon-migrate set k7m2q rate=20, the page ──▶ mailbox ──▶ `ControlHandler` ──▶ the run (`LivePolicy`)
    status, get, watch, the page ◀── the live row of the mailbox, a status a second ◀── ┘

Who gives a command is known by its own word alone: whoever may write into the journal may steer its runs. What is
read out of a mailbox is judged like input.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import anyio
import msgspec
import structlog

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.mailbox import TakenRequest
from checkpoints.records import Run
from checkpoints.states import State
from engine.errors import cause_of
from engine.pacing.holds import IN_DOUBT, PAUSED
from engine.pacing.policy import describe_settings, policy_with, provide_files, setting_text, to_settings, widest
from engine.pipeline.progress import LivePolicy, Status
from engine.statistics import PaceSample
from texts import said as sentences
from texts.said import Quantity, in_clauses, name_of_sender, said, text_of

log = structlog.get_logger(__name__)

COMMANDS: Final = ("set", "pause", "continue", "stop")

NOW: Final = "now"
"""The argument of a `continue` that ends the waits for a billing that is away or busy as well."""

LONGEST_REQUEST: Final = 16 * 1024
"""Maximum length of a request, in bytes."""

LONGEST_STATUS: Final = 256 * 1024
"""Maximum length of what a run says of itself, in characters."""

WORK: Final = 30.0
"""Maximum seconds to carry out a request."""

SECOND: Final = 1.0
"""Seconds between two statuses."""

LONG_WAIT: Final = 10.0
"""Seconds after which the journal keeps that the run is held."""

_LONGEST_NOTE: Final = 500
"""Maximum length of a command, and of its answer, in the journal, in characters."""

_LONGEST_SENDER: Final = 300
"""Maximum length of the name of a sender, in characters."""

_Text = TypeVar("_Text", str, bytes)
_Message = TypeVar("_Message")

# ---- what goes through the mailbox, in JSON -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A command to a run, with the settings of a `set`, or the `NOW` of a `continue`."""

    command: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def typed(self) -> str:
        return " ".join([self.command, *(f"{name}={value}" for name, value in self.arguments.items())])


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """The answer to a command: a sentence, `refused` if it was not carried out."""

    said: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """What a run says of itself at a moment: its figures, and its settings as text."""

    status: Status
    settings: Mapping[str, str]


class NotAMessage(ValueError):
    """Raised when a text is not a valid message; the error says why."""


class _Answer(msgspec.Struct, frozen=True):
    said: msgspec.Raw
    refused: bool = False


class _Live(msgspec.Struct, frozen=True):
    status: dict[str, Any]
    settings: dict[str, str]


_SENTENCES: Final = ("why", "held", "last_error")
"""What of a status people read, beside its errors."""

_encode: Final = msgspec.json.Encoder(enc_hook=lambda said: msgspec.Raw(sentences.to_json(said).encode())).encode
"""Sentences, which msgspec takes for no texts, keep their templates, of which a reader's language is made."""

_request: Final = msgspec.json.Decoder(ControlRequest).decode
_answer: Final = msgspec.json.Decoder(_Answer).decode
_live: Final = msgspec.json.Decoder(_Live).decode
_sample: Final = msgspec.json.Decoder(PaceSample).decode
_WRONG: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError)


def to_json(message: object) -> str:
    return _encode(message).decode()


def _decoded(decode: Callable[[_Text], _Message], text: _Text) -> _Message:
    try:
        return decode(text)
    except _WRONG as error:
        raise NotAMessage(str(error)) from error


def to_request(body: bytes) -> ControlRequest:
    """Decode a command. Raises `NotAMessage`."""
    if len(body) > LONGEST_REQUEST:
        raise NotAMessage(said("it has more than {most} bytes", most=Quantity(LONGEST_REQUEST)))
    return _decoded(_request, body)


def to_answer(text: str) -> ControlAnswer:
    """Decode the answer to a command. Raises `NotAMessage`."""
    sent = _decoded(_answer, text)
    return ControlAnswer(sentences.from_json(bytes(sent.said).decode()), sent.refused)


def live_to_json(status: Status, settings: Mapping[str, str]) -> str:
    told: dict[str, object] = {name: getattr(status, name) for name in Status.__slots__}
    told["errors"] = list(status.errors.items())
    return to_json({"status": told, "settings": settings})


def to_live(text: str) -> Live:
    """Decode what a run says of itself. Raises `NotAMessage` for that of another version of this program."""
    if len(text) > LONGEST_STATUS:
        raise NotAMessage(said("it has more than {most} characters", most=Quantity(LONGEST_STATUS)))
    try:
        sent = _live(text)
        told = sent.status
        why, held, last = (None if told[name] is None else sentences.from_builtins(told[name]) for name in _SENTENCES)
        errors: dict[str, int] = {sentences.from_builtins(text): int(number) for text, number in told["errors"]}
        # Sentences are set afterwards, for a conversion makes plain texts of them.
        plain: dict[str, Any] = {"why": "", "held": None, "last_error": None, "errors": {}}
        status = msgspec.convert({**told, **plain}, Status)
        for word in (*status.counts, *status.amounts):
            State(word)
        return Live(replace(status, why=why or "", held=held, last_error=last, errors=errors), sent.settings)
    except _WRONG as error:
        raise NotAMessage(str(error)) from error


def to_sample(text: str) -> PaceSample:
    """Decode a sample. Raises `NotAMessage`."""
    return _decoded(_sample, text)


# ---- the commands -------------------------------------------------------------------------------------------------


class ControlHandler:
    """Carries out the commands to one run, one after the other, and notes each in the journal.

    A pause or a setting is in the journal before it is confirmed, so the next process that works on the run keeps it.
    """

    def __init__(self, run: Run, journal: Journal, steered: LivePolicy) -> None:
        self._run = run
        self._journal = journal
        self._steered = steered
        self._one_at_a_time = anyio.Lock()
        self._waits: set[str] = set()
        """By what the run is held, of which the journal knows."""

    async def serve(self) -> None:
        await self._journal.mailbox.serve(self._run, self._carry_out)

    async def tell(self) -> None:
        """Tell the status, and heed a pause or its end that the journal alone was told. Raises `JournalError`."""
        async with self._one_at_a_time:
            live, sample = self._steered, self._steered.sample()
            # Once more where a pause has begun or ended meanwhile, which is to be read at once.
            for _ in range(2):
                status = live.look()
                told = live_to_json(status, setting_text(live.policy))
                paused_by = await self._journal.mailbox.tell(self._run, told, int(sample.t), to_json(sample))
                if paused_by is None:
                    live.unpause()
                else:
                    live.pause(paused_by or said("somebody"))
                if status.paused is (paused_by is not None):
                    return

    async def keep_telling(self) -> None:
        while True:
            await anyio.sleep(SECOND)
            # A journal that fails ends the run by its own ways, and is no fault of the control.
            with suppress(JournalError):
                await self.tell()
                await self._note_waits()

    async def _note_waits(self) -> None:
        """Note in the journal when a long wait has begun and ended. A pause is a command, and noted as such."""
        holds, history = self._steered.progress.holds, self._journal.history
        for holder, (why, seconds) in holds.lasting(LONG_WAIT).items():
            if holder not in {PAUSED, *self._waits}:
                await history.note_wait(self._run, holder, why, ago=seconds)
                self._waits.add(holder)
        for holder in sorted(self._waits - holds.present.keys()):
            await history.note_wait(self._run, holder)
            self._waits.remove(holder)

    async def _carry_out(self, request: TakenRequest) -> str:
        """The answer to a request; a fault here is no reason to end a run."""
        answer = ControlAnswer(said("this takes too long; nothing is known of whether it was done"), refused=True)
        try:
            with anyio.move_on_after(WORK):
                answer = await self._answer(request)
                # Who reads the run next sees what was done.
                with suppress(JournalError):
                    await self.tell()
        except Exception:  # as above
            log.exception("a request in the journal failed: a fault of ours, please report it")
            answer = ControlAnswer(said("a fault of ours, which the log describes"), refused=True)
        return to_json(answer)

    async def _answer(self, request: TakenRequest) -> ControlAnswer:
        if request.epoch != self._run.epoch:
            # Who gave it saw another process at work, perhaps with other settings.
            why = said(
                "it was meant for a process that does not work on the run any more, and was not carried out: see how "
                "the run stands, and give it again"
            )
            return ControlAnswer(why, refused=True)
        try:
            command = to_request(request.text.encode())
        except NotAMessage as error:
            why = said(
                "a command is a JSON object like {example}: {error}", example='{"command": "pause"}', error=error
            )
            return ControlAnswer(why, refused=True)
        return await self.obey(command, request.who[:_LONGEST_SENDER])

    async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
        if request.command not in COMMANDS:
            why = said("there is no command {name!r}: {known}", name=request.command[:40], known=COMMANDS)
            return ControlAnswer(why, refused=True)
        async with self._one_at_a_time:
            try:
                answer = await self._done(request, who)
            except JournalError as error:
                why = said("{error}: it was not carried out, for the journal cannot keep it", error=error)
                return ControlAnswer(why, refused=True)
            log.info("commanded", command=request.typed[:_LONGEST_NOTE], who=who, answer=answer.said)
            note = answer.said if len(answer.said) <= _LONGEST_NOTE else answer.said[:_LONGEST_NOTE]
            try:
                await self._journal.history.note_command(self._run, who, request.typed[:_LONGEST_NOTE], note)
            except JournalError as error:
                why = said("{answer}; but the journal did not take it down: {error}", answer=answer.said, error=error)
                return ControlAnswer(why, refused=True)
            return answer

    async def _done(self, request: ControlRequest, who: str) -> ControlAnswer:
        match request.command:
            case "set":
                return await self._set(request.arguments)
            case "pause":
                run = await self._journal.run(self._run.name)
                # At once, and in the journal before it is confirmed; if that fails, the pause is undone.
                self._steered.pause(run.paused_by or who)
                if run.paused_at:
                    by = name_of_sender(run.paused_by or "")
                    why = said("it was paused already, by {who}, since {since}", who=by, since=run.paused_at)
                    return ControlAnswer(why)
                try:
                    await self._journal.pause(self._run, who)
                except JournalError:
                    self._steered.unpause()
                    raise
                return ControlAnswer(said("paused; what is in flight is finished, and nothing new is sent"))
            case "continue":
                run = await self._journal.run(self._run.name)
                await self._journal.unpause(self._run)
                self._steered.unpause()
                done = [said("it goes on")] if run.paused_at else []
                if NOW not in request.arguments:
                    return ControlAnswer(in_clauses(done) if done else said("it was not paused"))
                return self._end_waits(done)
            case _:
                self._steered.stop(who)
                return ControlAnswer(said("the run stops once what is in flight is finished"))

    def _end_waits(self, done: Sequence[str]) -> ControlAnswer:
        """End the waits that are safe to end; any other is refused with its reason, where nothing else is done."""
        holds = self._steered.progress.holds
        if clauses := [*done, *self._steered.end_waits()]:
            return ControlAnswer(in_clauses(clauses))
        if IN_DOUBT in holds:
            why = said(
                "{held}. This wait is not ended early: a call that is still under way would not be seen, and its row "
                "would be sent a second time",
                held=holds.present[IN_DOUBT],
            )
            return ControlAnswer(why, refused=True)
        if holds.why:
            why = said("{held}. This wait is not the run's own, and is not ended early", held=holds.why)
            return ControlAnswer(why, refused=True)
        return ControlAnswer(said("it does not wait for the billing"))

    async def _set(self, changes: Mapping[str, str]) -> ControlAnswer:
        if not changes:
            return ControlAnswer(said("nothing is named that is to be set"), refused=True)
        try:
            policy = policy_with(self._steered.policy, changes)
            provide_files(widest(policy))
        except ValueError as error:
            why = text_of(error) if len(changes) == 1 else said("{error}; nothing was changed", error=error)
            return ControlAnswer(why, refused=True)
        await self._journal.keep_policy(self._run, to_settings(policy))
        self._steered.take(policy)
        return ControlAnswer(describe_settings(policy, changes))


@asynccontextmanager
async def under_control(run: Run, journal: Journal, steered: LivePolicy) -> AsyncIterator[Run]:
    """Serve the run's mailbox while the body runs; a pause in the journal holds before the body begins.

    Gives the run as the journal has it then. Raises `JournalError`.
    """
    handler = ControlHandler(run, journal, steered)
    # The pause is read once who pauses the run would find that it listens, so that none is missed.
    await handler.tell()
    try:
        async with anyio.create_task_group() as tasks:
            for one in (handler.serve, handler.keep_telling):
                tasks.start_soon(_logged, one)
            yield await journal.run(run.name)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = cause_of(group)
        raise error from error.__cause__
    finally:
        with anyio.CancelScope(shield=True), suppress(JournalError):
            await journal.mailbox.fall_silent(run)


async def _logged(work: Callable[[], Awaitable[None]]) -> None:
    """Work; an error ends the control of the run and is logged, and the run goes on."""
    try:
        await work()
    except Exception:  # no error here may end the run
        log.exception("this run cannot be steered any longer: a fault of ours, please report it")
