"""One call of a hook: a command that gets the message on its standard input, or an address that it is posted to.

No call lasts longer than `LIMIT`, and none raises: what became of it is a sentence.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
import msgspec
from anyio.abc import Process

from cli.settings.hooks import APPRISE, IN_HOOK, Hook
from cli.settings.places import credentials_in, passwords_in
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import API_URL, DATABASE_PASSWORD, JOURNAL_FILE, VAULT_KEY, printable, reason_of
from texts.remedies import DATABASE, PROGRAM
from texts.said import Said, said

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
