"""The reader of a run that calls hooks: each event once, beside the run, noted in the run's history."""

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
import msgspec
import structlog
from anyio.abc import Process, TaskGroup

from checkpoints.errors import JournalError
from checkpoints.records import Run
from cli.session.events import (
    FileEnded,
    Held,
    HoldEnded,
    LiveRun,
    NeedsPerson,
    OpenReader,
    RunBegan,
    RunEnded,
    RunEvent,
    RunReader,
    describe_exit,
    describe_outcome,
)
from cli.session.journal import ourselves
from cli.session.stages import mark_of
from cli.settings.places import credentials_in, passwords_in
from cli.settings.tables import APPRISE, IN_HOOK, PING, Hook, HookEvent, HookSettings
from cli.show.closing import closing_object, states_object
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import badge_of
from cli.terminal.screen import OutputMask
from cli.terminal.texts import (
    API_URL,
    DATABASE_PASSWORD,
    JOURNAL_FILE,
    VAULT_KEY,
    WHOLE,
    duration,
    printable,
    reason_of,
)
from texts.remedies import DATABASE, PROGRAM
from texts.said import Language, Said, counted, said

# ---- calls of hooks -----------------------------------------------------------------------------------------------


LIMIT: Final = 10.0
"""Seconds that a call may last; then a command is killed with all of its children, and an address is left."""

_GRACE: Final = 1.0
"""Seconds to wait for what a command has still to say once it has ended, and for its end once it is killed."""
_KEPT: Final = 300
"""Bytes that are kept of what a command says on its standard error: the last ones."""
_PART: Final = 65_536
_ERRORS: Final = 400
"""HTTP answers from here on are errors; those from 300 on are redirects, which are not followed."""
_REDIRECTS: Final = 300


class HookCalls:
    """Calls hooks, over one HTTP session that the first address opens. `hide` takes secrets out of a text."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Close the session at the end of the context."""
        try:
            yield
        finally:
            if self._session is not None:
                with anyio.CancelScope(shield=True):
                    await self._session.close()

    async def tell(self, hook: Hook, message: bytes) -> Said:
        """Give the message, which is JSON, to a hook; returns what became of it."""
        if hook.command:
            try:
                hook.check_program()
            except SettingsRefused as error:
                return said("it is not run: {why}", why=error)
            return await _run(hook.command, message, self._hide)
        if hook.name == APPRISE:
            return await _run(_BY_APPRISE, _for_apprise(hook, message), self._hide)
        headers = {"Content-Type": "application/json"}
        url = hook.url.reveal()
        return await self._ask(
            lambda session: session.post(
                url, data=message, headers=headers, allow_redirects=False, proxy=_proxy_of(url)
            )
        )

    async def ping(self, hook: Hook) -> Said | None:
        """Call an address without a message; None where it was taken, else why it was not."""
        url = hook.url.reveal()
        answer = await self._ask(lambda session: session.get(url, allow_redirects=False, proxy=_proxy_of(url)))
        return None if answer == _TAKEN else answer

    async def _ask(
        self, call: Callable[[aiohttp.ClientSession], AbstractAsyncContextManager[aiohttp.ClientResponse]]
    ) -> Said:
        # No text of the library is shown: it may name the whole address, and that may hold a token.
        try:
            with anyio.fail_after(LIMIT):
                if self._session is None:
                    # Calls are a minute apart, and a connection that was kept might be dead by then.
                    self._session = aiohttp.ClientSession(
                        connector=aiohttp.TCPConnector(force_close=True),
                        headers={"User-Agent": PROGRAM},
                    )
                # Nothing of the answer is read but its head, however long it is.
                async with call(self._session) as response:
                    return _judge(response.status)
        except TimeoutError:
            return said("no answer within {seconds} seconds", seconds=f"{LIMIT:g}")
        except aiohttp.ClientConnectorError as error:
            return said("it cannot be reached: {reason}", reason=reason_of(error.os_error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return said("it cannot be reached: {reason}", reason=type(error).__name__)


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address.

    aiohttp's `trust_env` does the same, and sends the password that ~/.netrc has for the host as well.
    """
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


_TAKEN: Final = said("taken")


def _judge(status: int) -> Said:
    if status >= _ERRORS:
        return said("it answered with the error {status}", status=status)
    if status >= _REDIRECTS:
        return said(
            "it answered with the redirect {status}, which is not followed: give the address itself", status=status
        )
    return _TAKEN


# ---- commands ---------------------------------------------------------------------------------------------------


async def _run(words: Sequence[str], message: bytes, hide: Callable[[str], str]) -> Said:
    """Run a command to its end, or kill it."""
    with _Output() as output:
        try:
            process = await anyio.open_process(
                list(words),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output.writing,
                env=_environment(),
                # A process group of its own: it is killed as a whole, and Ctrl-C on the terminal does not reach it.
                start_new_session=True,
            )
        except OSError as error:
            return said("it cannot be started: {reason}", reason=reason_of(error))
        output.is_given()
        with anyio.move_on_after(LIMIT) as limit:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(_feed, process, message)
                    group.start_soon(output.read)
                    await process.wait()
                    with anyio.move_on_after(_GRACE):
                        await output.ended.wait()
                    group.cancel_scope.cancel()
            finally:
                await _end(process)
    if limit.cancelled_caught:
        return said("killed: it had not ended after {seconds} seconds", seconds=f"{LIMIT:g}")
    return _outcome(process.returncode or 0, hide(output.text))


_BY_APPRISE: Final = (sys.executable, "-P", str(Path(__file__).with_name("apprise_message.py")))
"""The command that sends by Apprise; nothing of the working folder is imported."""


def _for_apprise(hook: Hook, message: bytes) -> bytes:
    """What that command is told: the address behind `apprise://`, and the message as people read it."""
    told = msgspec.json.decode(message)
    body = "\n".join([told["text"], *told.get("commands", ())])
    url = hook.url.reveal().removeprefix(f"{APPRISE}://")
    return msgspec.json.encode({"url": url, "title": f"{PROGRAM}: {told['event']}", "body": body})


_PASSWORDS: Final = frozenset({DATABASE_PASSWORD, VAULT_KEY, "PGPASSWORD"})
_ADDRESSES: Final = frozenset({API_URL, DATABASE, JOURNAL_FILE})


def _environment() -> dict[str, str]:
    """The environment of a hook: ours, without the passwords that it may hold, also within an address."""
    return {IN_HOOK: "1"} | {
        name: value
        for name, value in os.environ.items()
        if name not in _PASSWORDS and not (name in _ADDRESSES and (credentials_in(value) or passwords_in(value)))
    }


def _outcome(code: int, output: str) -> Said:
    if code == 0:
        return _TAKEN
    ended = (
        said("it was ended by {signal}", signal=signal.Signals(-code).name)
        if -code in set(signal.Signals)
        else said("it ended with exit code {code}", code=code)
    )
    return said("{ended}: {output}", ended=ended, output=printable(output, _KEPT)) if output else ended


async def _feed(process: Process, message: bytes) -> None:
    """Give a command its message; one that does not read it is no matter."""
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await process.stdin.send(message)
            await process.stdin.aclose()


class _Output:
    """What a command says on its standard error: read to its end, and only the last of it kept.

    The pipe is ours, so that it can be closed though a child of the command holds its other end.
    """

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.writing: int | None
        self._reading, self.writing = os.pipe()
        self._last = b""

    def __enter__(self) -> Self:
        os.set_blocking(self._reading, False)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        self.is_given()

    @property
    def text(self) -> str:
        return self._last.decode("utf-8", "replace").strip()

    def is_given(self) -> None:
        """Close our copy of the end to which the command writes."""
        if self.writing is not None:
            os.close(self.writing)
            self.writing = None

    async def read(self) -> None:
        part = b"."
        while part:
            await anyio.wait_readable(self._reading)
            with suppress(BlockingIOError):
                part = os.read(self._reading, _PART)
                self._last = (self._last + part)[-_KEPT:]
        self.ended.set()


async def _end(process: Process) -> None:
    """Kill a command that has not ended, with its children."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # One that hangs in the kernel is not waited for.
        with anyio.move_on_after(_GRACE, shield=True):
            await process.wait()
    if process.stdin is not None:
        with anyio.CancelScope(shield=True), suppress(OSError):
            await process.stdin.aclose()


# ---- the messages of hooks ----------------------------------------------------------------------------------------


Message: TypeAlias = Mapping[str, object]


class HookMessages:
    """Makes the messages of one run; `text` is in the language of whoever reads it, all else is the same in each."""

    def __init__(self, run: Run, journal: str, language: Language) -> None:
        self._run = run
        self._journal = journal
        self._language = language

    def of(self, event: RunEvent, seconds: float = 0.0) -> Message:
        """The message of an event; a hold has lasted for so many seconds."""
        run, mark, facts = self._run, mark_of(self._run), dict[str, object]()
        names = {"run": run.name, "job": run.job}
        match event:
            case RunBegan():
                kind, left = HookEvent.START, event.totals.count_where(open=True)
                text = counted(
                    "run {run} ({job}) begins: {n} row to send",
                    "run {run} ({job}) begins: {n} rows to send",
                    left,
                    **names,
                )
                if event.taken_up:
                    text = counted(
                        "run {run} ({job}) goes on: {n} row to send",
                        "run {run} ({job}) goes on: {n} rows to send",
                        left,
                        **names,
                    )
                facts = {"taken_up": event.taken_up, **states_object(event.totals)}
            case Held():
                kind, time = HookEvent.HOLD, duration(seconds)
                text = said("run {run} ({job}) has been held for {time}: {why}", time=time, why=event.why, **names)
                facts = {"cause": event.who, "why": event.why, "since": _moment(event.at), "seconds": seconds}
            case NeedsPerson():
                kind = HookEvent.PERSON
                text = said("run {run} ({job}) needs you: {why}", why=event.why, **names)
                facts = {"rows": event.rows, "why": event.why, "commands": list(event.commands)}
            case RunEnded():
                # What `--json` says of it, too.
                kind, facts = HookEvent.END, dict(closing_object(event.closing))
                text = said(
                    "run {run} ({job}) has ended: {outcome}", outcome=describe_outcome(event.closing), **names
                )
            case FileEnded():
                kind, facts = HookEvent.END, {**closing_object(event.closing), **names}
                text = said(
                    "job file {file} has ended after step {number} of {steps}: {outcome}",
                    file=printable(mark.file if mark else run.source, WHOLE),
                    number=mark.number if mark else 1,
                    steps=mark.steps if mark else 1,
                    outcome=describe_exit(event.closing),
                )
            case _:
                raise TypeError(event)
        badge = badge_of(run.parameters)
        return {
            "event": str(kind),
            "text": self._language.render(text),
            "at": _moment(event.at),
            "run": run.name,
            "job": run.job,
            "source": run.source,
            "billing": run.target,
            "profile": badge and badge.as_object(),
            "journal": self._journal,
            "host": socket.gethostname(),
            "job_file": mark and {"file": mark.file, "round": mark.round, "step": mark.number, "steps": mark.steps},
            **facts,
        }


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


# ---- the reader of a run that calls hooks -------------------------------------------------------------------------


PING_EVERY: Final = 60.0
"""Seconds between two pings."""

RETURNS: Final = 10.0
"""Seconds after which a hold is over: a billing that is tried by one call and fails again holds on."""

log = structlog.get_logger(__name__)


def call_hooks(settings: HookSettings, language: Language, mask: OutputMask) -> OpenReader:
    """Makes readers that call the hooks of the settings. What they tell goes through `mask`."""
    return lambda live: HookReader(live, settings, language, mask)


class HookReader(RunReader):
    """Calls hooks for one run. A call is made beside all others, so one that hangs delays none."""

    def __init__(self, live: LiveRun, settings: HookSettings, language: Language, mask: OutputMask) -> None:
        self._live = live
        self._settings = settings
        self._mask = mask
        self._messages = HookMessages(live.run, live.journal.name, language)
        self._calls = HookCalls(mask)
        self._holds: dict[str, _Hold] = {}
        self._heard, self._events = anyio.create_memory_object_stream[RunEvent](math.inf)

    def hear(self, event: RunEvent) -> None:
        """Keep the event for `follow`."""
        self._heard.send_nowait(event)

    async def follow(self) -> None:
        """Call the hooks as the events come, and ping; returns when the calls at the end of the run have ended."""
        with self._heard, self._events:
            async with self._calls.open(), anyio.create_task_group() as group:
                pings = anyio.CancelScope()
                group.start_soon(self._ping_on, pings)
                async for event in self._events:
                    self._answer(event, group)
                    if isinstance(event, RunEnded | FileEnded):
                        break
                pings.cancel()
                for hold in self._holds.values():
                    hold.scope.cancel()
                group.start_soon(self._ping)

    def _answer(self, event: RunEvent, group: TaskGroup) -> None:
        """Begin what is to be done for an event."""
        match event:
            case Held(who=who):
                hold = self._holds.setdefault(who, _Hold(event))
                scope = hold.begin()
                if not hold.told:
                    group.start_soon(self._call_after, hold, scope, group)
            case HoldEnded(who=who):
                group.start_soon(self._forget, who, self._holds[who].end())
            case _:
                self._call(self._messages.of(event), group)

    async def _call_after(self, hold: "_Hold", scope: anyio.CancelScope, group: TaskGroup) -> None:
        """Tell of a hold once it has lasted so long."""
        seconds = self._settings.hold_seconds
        with scope:
            await anyio.sleep(max(0.0, seconds - hold.lasted))
            hold.told = True
            self._call(self._messages.of(hold.event, seconds), group)

    async def _forget(self, who: str, scope: anyio.CancelScope) -> None:
        """Forget a hold that does not come again."""
        with scope:
            await anyio.sleep(RETURNS)
            del self._holds[who]

    def _call(self, message: Message, group: TaskGroup) -> None:
        if hook := self._settings.hooks.get(HookEvent(str(message["event"]))):
            group.start_soon(self._call_now, hook, message)

    async def _call_now(self, hook: Hook, message: Message) -> None:
        answer = said("given up when the run was closed")
        try:
            answer = await self._calls.tell(hook, msgspec.json.encode(self._mask.value(dict(message))) + b"\n")
        finally:
            with anyio.CancelScope(shield=True):
                await self._note(f"{message['event']} {hook.name}", answer)

    async def _note(self, called: str, answer: Said) -> None:
        """Note in the run's history what was called, and what became of it."""
        log.info("hook called", hook=called, answer=answer)
        try:
            await self._live.journal.history.note_command(self._live.run, ourselves(), called, answer)
        except JournalError as error:
            log.warning("the call of a hook is not noted in the journal", hook=called, why=str(error))

    # ---- the ping ----

    async def _ping_on(self, scope: anyio.CancelScope) -> None:
        """Ping every minute while the run is worked on. Noted is when that fails, and when it works again."""
        failed: Said | None = None
        with scope:
            while True:
                answer = await self._ping()
                if answer != failed and self._settings.ping:
                    await self._note(f"{PING} {self._settings.ping.name}", answer or said("it is taken again"))
                failed = answer
                await anyio.sleep(PING_EVERY)

    async def _ping(self) -> Said | None:
        return None if self._settings.ping is None else await self._calls.ping(self._settings.ping)


class _Hold:
    """A hold with its short interruptions: how long it has lasted without them, and whether it was told."""

    def __init__(self, event: Held) -> None:
        self.event = event
        self.told = False
        self.lasted = 0.0
        self.scope = anyio.CancelScope()
        """Of what waits now: for the time to tell of it, or for its return."""
        self._since = 0.0

    def begin(self) -> anyio.CancelScope:
        """It holds, also again."""
        self._since = anyio.current_time()
        return self._next_scope()

    def end(self) -> anyio.CancelScope:
        """It holds no more, for now."""
        self.lasted += anyio.current_time() - self._since
        return self._next_scope()

    def _next_scope(self) -> anyio.CancelScope:
        self.scope.cancel()
        self.scope = anyio.CancelScope()
        return self.scope
