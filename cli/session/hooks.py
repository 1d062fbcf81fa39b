"""Hooks: what happens of a run is told to commands and addresses, as the table [hooks] of the settings says.

a run's event ──▶ reader ──▶ message ──▶ a command's standard input, or an address

Each event is told once, beside the run, and noted in the run's history.
"""

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
import msgspec
import structlog
from anyio.abc import Process, TaskGroup

from checkpoints.errors import JournalError
from checkpoints.records import Run
from cli.session import events
from cli.session.journal import ourselves
from cli.session.run_view import mark_of
from cli.settings.places import credentials_in, passwords_in
from cli.settings.settings import APPRISE, IN_HOOK, PING, Hook, HookEvent, HookSettings
from cli.show.closing import closing_object, states_object
from cli.terminal import texts
from cli.terminal.exits import SettingsRefused
from cli.terminal.layout import badge_of
from cli.terminal.screen import OutputMask
from texts.said import DATABASE, PROGRAM, Language, Said, counted, reason_of, said

log = structlog.get_logger(__name__)

LIMIT: Final = 10.0
"""Seconds that a call may last; then a command is killed with all of its children, and an address is left."""
PING_EVERY: Final = 60.0
"""Seconds between two pings."""
RETURNS: Final = 10.0
"""Seconds after which a hold is over: a billing that is tried by one call and fails again holds on."""

_GRACE: Final = 1.0
"""Seconds to wait for what a command has still to say once it has ended, and for its end once it is killed."""
_KEPT: Final = 300
"""Bytes that are kept of what a command says on its standard error: the last ones."""
_PART: Final = 65_536
_ERRORS, _REDIRECTS = 400, 300
"""HTTP answers from here on are errors; those from 300 on are redirects, which are not followed."""
_TAKEN: Final = said("taken")
_AGAIN: Final = said("it is taken again")
_BY_APPRISE: Final = (sys.executable, "-P", str(Path(__file__).with_name("apprise_message.py")))
"""The command that sends by Apprise; nothing of the working folder is imported."""
_PASSWORDS: Final = frozenset({texts.DATABASE_PASSWORD, texts.VAULT_KEY, "PGPASSWORD"})
_ADDRESSES: Final = frozenset({texts.API_URL, DATABASE, texts.JOURNAL_FILE})

Message: TypeAlias = Mapping[str, object]


# ---- the call of a hook -------------------------------------------------------------------------------------------


async def tell(hook: Hook, message: bytes, hide: Callable[[str], str]) -> Said:
    """Give the message, which is JSON, to a hook; returns what became of it. `hide` takes secrets out of a text."""
    if hook.command:
        try:
            hook.check_program()
        except SettingsRefused as error:
            return said("it is not run: {why}", why=error)
        return await _run(hook.command, message, hide)
    if hook.name == APPRISE:
        told = msgspec.json.decode(message)
        body = "\n".join([told["text"], *told.get("commands", ())])
        url = hook.url.reveal().removeprefix(f"{APPRISE}://")
        whole = {"url": url, "title": f"{PROGRAM}: {told['event']}", "body": body}
        return await _run(_BY_APPRISE, msgspec.json.encode(whole), hide)
    return await _ask(hook, "POST", data=message, headers={"Content-Type": "application/json"})


async def ping(hook: Hook) -> Said | None:
    """Call an address without a message; None where it was taken, else why it was not."""
    answer = await _ask(hook, "GET")
    return None if answer == _TAKEN else answer


async def _ask(hook: Hook, method: str, **given: Any) -> Said:  # noqa: ANN401 - as the library takes it
    url = hook.url.reveal()
    parts = urlsplit(url)
    # aiohttp's `trust_env` does the same, and sends the password that ~/.netrc has for the host as well.
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    # Calls are a minute apart, and a connection that was kept might be dead by then.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), headers={"User-Agent": PROGRAM})
    # No text of the library is shown: it may name the whole address, and that may hold a token.
    try:
        with anyio.fail_after(LIMIT):
            # Nothing of the answer is read but its head, however long it is.
            async with session.request(method, url, allow_redirects=False, proxy=proxy, **given) as response:
                status = response.status
    except TimeoutError:
        return said("no answer within {seconds} seconds", seconds=LIMIT)
    except aiohttp.ClientConnectorError as error:
        return said("it cannot be reached: {reason}", reason=reason_of(error.os_error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return said("it cannot be reached: {reason}", reason=type(error).__name__)
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()
    if status >= _ERRORS:
        return said("it answered with the error {status}", status=status)
    if status >= _REDIRECTS:
        return said(
            "it answered with the redirect {status}, which is not followed: give the address itself", status=status
        )
    return _TAKEN


async def _run(words: Sequence[str], message: bytes, hide: Callable[[str], str]) -> Said:
    """Run a command to its end, or kill it; only the last of what it says on its standard error is kept."""
    # The pipe is ours, so that it can be closed though a child of the command holds its other end.
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    last, is_whole = b"", anyio.Event()
    # Ours, without the passwords that it may hold, also within an address.
    environment = {IN_HOOK: "1"} | {
        name: value
        for name, value in os.environ.items()
        if name not in _PASSWORDS and not (name in _ADDRESSES and (credentials_in(value) or passwords_in(value)))
    }

    async def read() -> None:
        nonlocal last
        part = b"."
        while part:
            await anyio.wait_readable(reading)
            with suppress(BlockingIOError):
                part = os.read(reading, _PART)
                last = (last + part)[-_KEPT:]
        is_whole.set()

    with os.fdopen(reading, "rb", 0):
        try:
            # Who is cancelled while it starts would leave its children behind.
            with os.fdopen(writing, "wb", 0) as given, anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    list(words),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=given,
                    env=environment,
                    # A process group of its own: it is killed as a whole, and Ctrl-C does not reach it.
                    start_new_session=True,
                )
        except OSError as error:
            return said("it cannot be started: {reason}", reason=reason_of(error))
        with anyio.move_on_after(LIMIT) as limit:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(_feed, process, message)
                    group.start_soon(read)
                    await process.wait()
                    with anyio.move_on_after(_GRACE):
                        await is_whole.wait()
                    group.cancel_scope.cancel()
            finally:
                await _end(process)
    if limit.cancelled_caught:
        return said("killed: it had not ended after {seconds} seconds", seconds=LIMIT)
    code, output = process.returncode or 0, hide(last.decode("utf-8", "replace").strip())
    if code == 0:
        return _TAKEN
    ended = said("it ended with exit code {code}", code=code)
    if -code in set(signal.Signals):
        ended = said("it was ended by {signal}", signal=signal.Signals(-code).name)
    return said("{ended}: {output}", ended=ended, output=texts.printable(output, _KEPT)) if output else ended


async def _feed(process: Process, message: bytes) -> None:
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await process.stdin.send(message)
            await process.stdin.aclose()


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # One that hangs in the kernel is not waited for.
        with anyio.move_on_after(_GRACE, shield=True):
            await process.wait()
    if process.stdin is not None:
        with anyio.CancelScope(shield=True), suppress(OSError):
            await process.stdin.aclose()


# ---- the message of an event --------------------------------------------------------------------------------------


def message_of(event: events.RunEvent, run: Run, journal: str, language: Language, seconds: float = 0.0) -> Message:
    """The message of an event; a hold has lasted for so many seconds. Only `text` is in the reader's language."""
    mark, facts, names = mark_of(run), dict[str, object](), {"run": run.name, "job": run.job}
    match event:
        case events.RunBegan():
            kind, left = HookEvent.START, event.totals.count_where(open=True)
            facts = {"taken_up": event.taken_up, **states_object(event.totals)}
            text = counted("run {run} ({job}) begins: {n} row[s] to send", left, **names)
            if event.taken_up:
                text = counted("run {run} ({job}) goes on: {n} row[s] to send", left, **names)
        case events.Held():
            kind, time = HookEvent.HOLD, texts.duration(seconds)
            text = said("run {run} ({job}) has been held for {time}: {why}", time=time, why=event.why, **names)
            facts = {"cause": event.who, "why": event.why, "since": _moment(event.at), "seconds": seconds}
        case events.NeedsPerson():
            kind, text = HookEvent.PERSON, said("run {run} ({job}) needs you: {why}", why=event.why, **names)
            facts = {"rows": event.rows, "why": event.why, "commands": list(event.commands)}
        case events.FileEnded():
            kind, facts = HookEvent.END, {**closing_object(event.closing), **names}
            text = said(
                "job file {file} has ended after step {number} of {steps}: {outcome}",
                file=texts.printable(mark.file if mark else run.source, texts.WHOLE),
                number=mark.number if mark else 1,
                steps=mark.steps if mark else 1,
                outcome=events.describe_exit(event.closing),
            )
        case events.RunEnded():
            # What `--json` says of it, too.
            kind, facts = HookEvent.END, dict(closing_object(event.closing))
            outcome = events.describe_outcome(event.closing)
            text = said("run {run} ({job}) has ended: {outcome}", outcome=outcome, **names)
        case _:
            raise TypeError(event)
    badge = badge_of(run.parameters)
    return {
        "event": str(kind),
        "text": language.render(text),
        "at": _moment(event.at),
        **names,
        "source": run.source,
        "billing": run.target,
        "profile": badge and badge.as_object(),
        "journal": journal,
        "host": socket.gethostname(),
        "job_file": mark and {"file": mark.file, "round": mark.round, "step": mark.number, "steps": mark.steps},
        **facts,
    }


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


# ---- the reader of a run that calls hooks -------------------------------------------------------------------------


def call_hooks(settings: HookSettings, language: Language, mask: OutputMask) -> events.RunReader:
    """Makes a reader that calls the hooks of the settings. What it tells goes through `mask`."""
    return lambda live, stream: HookCalls(live, settings, language, mask).read(stream)


@dataclass(slots=True)
class _Hold:
    """A hold that has `lasted` so long without its interruptions. At `due` it is told, or, if `over`, forgotten."""

    event: events.Held
    since: float = 0.0
    lasted: float = 0.0
    due: float = math.inf
    told: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class HookCalls:
    """Calls hooks for one run. A call is made beside all others, so one that hangs delays none."""

    live: events.LiveRun
    settings: HookSettings
    language: Language
    mask: OutputMask

    async def read(self, stream: events.Events) -> None:
        """Call the hooks as the events come, and ping; returns when the calls at the end of the run have ended."""
        holds, event = dict[str, _Hold](), cast("events.RunEvent | None", None)
        async with anyio.create_task_group() as group:
            pings = anyio.CancelScope()
            group.start_soon(self._ping_on, pings)
            while not isinstance(event, events.RunEnded):
                event = None
                with anyio.move_on_at(min((hold.due for hold in holds.values()), default=math.inf)):
                    event = await stream.receive()
                now = anyio.current_time()
                match event:
                    case events.Held(who=who):
                        hold = holds.setdefault(who, _Hold(event))
                        hold.since, hold.over = now, False
                        hold.due = math.inf if hold.told else now + self.settings.hold_seconds - hold.lasted
                    case events.HoldEnded(who=who):
                        hold = holds[who]
                        hold.lasted += now - hold.since
                        hold.over, hold.due = True, now + RETURNS
                    case None:
                        for who, hold in [one for one in holds.items() if one[1].due <= now]:
                            if hold.over:
                                del holds[who]
                            else:
                                hold.told, hold.due = True, math.inf
                                self._call(hold.event, group)
                    case _:
                        self._call(event, group)
            pings.cancel()
            if self.settings.ping is not None:
                group.start_soon(ping, self.settings.ping)

    def _call(self, event: events.RunEvent, group: TaskGroup) -> None:
        live, seconds = self.live, self.settings.hold_seconds
        message = message_of(event, live.run, live.journal.name, self.language, seconds)
        hook = self.settings.hooks.get(HookEvent(str(message["event"])))

        async def call(hook: Hook) -> None:
            answer = said("given up when the run was closed")
            try:
                whole = msgspec.json.encode(self.mask.value(dict(message))) + b"\n"
                answer = await tell(hook, whole, self.mask)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._note(f"{message['event']} {hook.name}", answer)

        if hook is not None:
            group.start_soon(call, hook)

    async def _note(self, called: str, answer: Said) -> None:
        if answer in {_TAKEN, _AGAIN}:
            log.info("hook called", hook=called, answer=answer)
        else:
            log.warning("hook called", hook=called, answer=answer)
        try:
            await self.live.journal.history.note_command(self.live.run, ourselves(), called, answer)
        except JournalError as error:
            log.warning("the call of a hook is not noted in the journal", hook=called, why=error)

    async def _ping_on(self, scope: anyio.CancelScope) -> None:
        """Ping every minute while the run is worked on. Noted is when that fails, and when it works again."""
        hook, failed = self.settings.ping, cast("Said | None", None)
        with scope:
            while hook is not None:
                answer = await ping(hook)
                if answer != failed:
                    await self._note(f"{PING} {hook.name}", answer or _AGAIN)
                failed = answer
                await anyio.sleep(PING_EVERY)
