"""The client of the REST API: one POST a call, also for reads, and the evidence of its outcome.

A request arrives once or not at all, never twice: see `billing.api.wire`.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

import aiohttp
import structlog
from yarl import URL

from billing.api.aiohttp_parts import HttpProcessingError
from billing.api.answers import read_answer
from billing.api.calls import Call, describe, encode, secrets_of, version
from billing.api.wire import (
    CallObserver,
    Flight,
    Limits,
    NoAnswer,
    Reply,
    StaleConnection,
    UnaskedAnswer,
    Wire,
    ending_of,
)
from billing.errors import (
    BillingAway,
    BillingBusy,
    BillingRefused,
    NotTheBilling,
    SettingsError,
    SystemRefusal,
)
from billing.secret import Mask, Secret, credentials
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused, readable
from texts.said import counted, reason_of, said, text_of

# ---- what the client says of a call that failed -------------------------------------------------------------------
# Why no answer came, and the errors that it raises.


def describe_fault(fault: Exception, limits: Limits, mask: Mask, *, left: bool) -> str:  # noqa: PLR0911 — a list of causes
    shown = partial(readable, mask=mask)
    match fault:
        case TimeoutError() if left:
            return said(
                "no answer in time ({silence} s of silence, {deadline} s in all)",
                silence=limits.read,
                deadline=limits.deadline,
            )
        case TimeoutError():
            return said(
                "no connection in time ({connect} s to connect, {deadline} s in all)",
                connect=limits.connect,
                deadline=limits.deadline,
            )
        case aiohttp.ClientConnectorDNSError():
            return said("the name {host} is not known", host=shown(fault.host))
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            server, why = f"{fault.host}:{fault.port}", shown(str(fault.__cause__ or fault))
            return said("no TLS with {server}: {why}", server=server, why=why)
        case aiohttp.ClientConnectorError(os_error=error):
            # asyncio's own texts repeat each address, in brackets and quotes.
            none = (
                said("none of its addresses takes it") if "Connect call failed" in str(error) else shown(str(error))
            )
            why = reason_of(error.errno) if error.errno else none
            return said("no connection to {server}: {why}", server=f"{fault.host}:{fault.port}", why=why)
        case aiohttp.ServerDisconnectedError():
            return said("the connection was closed before an answer came")
        case aiohttp.ClientPayloadError():
            return said("the answer broke off: {why}", why=shown(str(fault)))
        case HttpProcessingError():
            return said("what came back is not HTTP: {why}", why=shown(fault.message))
        case StaleConnection() | UnaskedAnswer() | NoAnswer():
            return text_of(fault)
        case OSError(errno=int(number)):
            return said("the connection broke: {why}", why=reason_of(number))
    return said("the connection broke: {why}", why=shown(str(fault) or type(fault).__name__))


def not_the_billing(address: str, why: str) -> NotTheBilling:
    return NotTheBilling(
        "What answers at {address} is not the billing's REST API: {why}. Check address and port (the REST "
        "API's is usually 8082, not that of the web pages).",
        address=address,
        why=why,
    )


def system_refusal(answer: str) -> SystemRefusal:
    return SystemRefusal(
        "The billing rejects everything: {answer}. Its administrator has to look into rights, licence and "
        "read-only mode, and into the key or password configured here.",
        answer=answer,
    )


# ---- the client of the REST API -----------------------------------------------------------------------------------


log = structlog.get_logger(__name__)

_OWN_FIELD: Final = re.compile(r"(method|arg)\d+|fields")
_OWN_HEADERS: Final = frozenset({"content-type", "content-length", "transfer-encoding", "host", "connection"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""Characters not allowed in a header: they would end it, or cannot be encoded."""
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
"""Surrogates, which stand for undecodable bytes of a command line: a form would silently lose them."""
_SERVER_ERROR: Final = 500
_BEGINNING: Final = 80
"""Bytes of an unasked answer that the log shows."""


@dataclass(frozen=True, slots=True)
class ClientSettings(Limits):
    """The settings of the connection to the billing.

    `base_url` is like http://HOST:8082; a path prefix is kept. `extra` are form fields sent with each call
    (`hash_key`, `psw` on older installations), `headers` likewise. `others` are secrets that are not sent, and that
    the billing may show all the same, as the password of its database on a crash page. Raises SettingsError for a
    value that cannot be used.
    """

    base_url: str
    extra: Mapping[str, Secret] = field(default_factory=dict)
    headers: Mapping[str, Secret] = field(default_factory=dict)
    others: Collection[Secret] = ()

    @property
    def mask(self) -> Mask:
        of_headers = (secret for value in self.headers.values() for secret in credentials(value.reveal()))
        values = (*self.extra.values(), *self.others)
        return Mask([*(value.reveal() for value in values), *of_headers])

    def __post_init__(self) -> None:
        try:
            url = URL(self.base_url)
            url.port  # noqa: B018 — reading it checks it
        except ValueError:
            raise SettingsError(
                said("The billing's address cannot be read; it looks like http://HOST:8082.")
            ) from None
        if url.user is not None or url.password is not None or "@" in self.base_url:
            raise SettingsError(
                said(
                    "The billing's address must not hold a user or password: logs and the process list would show "
                    "it. Configure an Authorization header instead."
                )
            )
        # Shown only now that it has no password.
        if url.scheme not in {"http", "https"} or not url.host:
            raise SettingsError(
                "{address} is not an address of a billing; it looks like http://HOST:8082.",
                address=repr(readable(self.base_url)),
            )
        # The text is searched, because yarl drops an empty query or fragment.
        if "?" in self.base_url or "#" in self.base_url:
            plain = readable(str(url.with_query(None).with_fragment(None)))
            raise SettingsError("The billing's address takes neither ? nor #: write {address}", address=plain)
        for name, value in self.extra.items():
            if not name or _OWN_FIELD.fullmatch(name):
                raise SettingsError(
                    "{name} cannot be an extra form field: calls use that name themselves.", name=repr(name)
                )
            if _SURROGATE.search(name) or _SURROGATE.search(value.reveal()):
                raise SettingsError(
                    "The extra form field {name} is not UTF-8: type it anew.", name=repr(readable(name))
                )
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OWN_HEADERS:
                raise SettingsError("{name} cannot be an extra header.", name=repr(readable(name)))
            if _FORBIDDEN.search(value.reveal()):
                raise SettingsError(
                    "The value of the extra header {name} holds a line break or another control.", name=name
                )
        if min(self.connect, self.read, self.deadline, self.answer_limit) <= 0:
            raise SettingsError(said("Time-outs and the limit of an answer must be above zero."))


@dataclass(frozen=True, slots=True)
class Patience:
    """The retries of a read: the number of attempts, and the waits between them in seconds.

    Waits have full jitter: from 0 to `base`, doubled each time up to `longest`, and at least as long as the billing
    asks for. If that is more than `limit`, the read gives up.
    """

    attempts: int = 4
    base: float = 0.5
    longest: float = 8.0
    limit: float = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of a healthy billing: its version, its clock as it writes it, and the seconds of the call."""

    version: str
    server_time: str | None
    seconds: float


class BillingClient:
    """The REST API of one billing; an async context manager.

    The caller limits the calls in flight. `listener` receives every call, with its secrets. `sleep` and `chance` (a
    number from 0 to 1) serve the waits of `ask`; tests replace them.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        patience: Patience | None = None,
        listener: CallObserver | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._patience = patience or Patience()
        self._listener = listener
        self._sleep = sleep
        self._chance = chance
        self._base = settings.base_url.rstrip("/")
        self._extra = {name: value.reveal() for name, value in settings.extra.items()}
        self._mask = settings.mask
        self._wire: Wire | None = None
        self._report: Callable[[int], None] = lambda _: None

    def __repr__(self) -> str:
        return f"<BillingClient {self._base}>"

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._wire = Wire(
            self._base,
            {
                "Accept": "application/json",
                # A packed answer is unpacked piece by piece, up to the same limit.
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": "carbon-migrate",
                **{name: value.reveal() for name, value in settings.headers.items()},
                "Content-Type": "application/x-www-form-urlencoded",
            },
            settings,
            self._unasked,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._wire is not None:
            await self._wire.close()

    @contextmanager
    def doubts(self, report: Callable[[int], None]) -> Iterator[None]:
        """Report the rows whose answers are in doubt from now on; `report` is called in the event loop.

        An answer is in doubt if unasked bytes follow it on the connection of a call that named a row.
        """
        before, self._report = self._report, report
        try:
            yield
        finally:
            self._report = before

    @contextmanager
    def fenced(self, may_leave: Callable[[], bool]) -> Iterator[None]:
        """Ask `may_leave` in the line before each write; a call that may not leave is `NotSent`."""
        wire = self._open_wire
        before, wire.may_leave = wire.may_leave, may_leave
        try:
            yield
        finally:
            wire.may_leave = before

    async def send(self, call: Call, *, row: int | None = None) -> Evidence:
        """Send a call once; the evidence of its outcome. Network trouble is a value, never raised.

        The call has a connection of its own, unless it names a `row` by which its answer can be recognised: then it
        may share a connection with other rows, and the caller checks that the answer belongs to the row.
        """
        return (await self.observe(call, row=row))[1]

    async def observe(self, call: Call, *, row: int | None = None) -> tuple[Reply, Evidence]:
        """Send a call once, like `send`; the answer as it came, and its evidence."""
        flight = Flight(encode(call, self._extra), row)
        listener = self._listener
        if listener is None:
            seen = await self._post(call, flight)
            return seen, self._judge(call, flight, seen)
        await listener.ready()
        started = time.perf_counter()
        try:
            seen = await self._post(call, flight)
        except asyncio.CancelledError:
            listener.heard(flight.heard(call, time.perf_counter() - started))
            raise
        seconds = time.perf_counter() - started
        evidence = self._judge(call, flight, seen)
        listener.heard(flight.heard(call, seconds, seen, evidence))
        return seen, evidence

    async def ask(self, call: Call) -> object:
        """The result of a call that only reads; it is retried when it is lost or the billing is busy.

        Raises BillingRefused, SystemRefusal, BillingBusy or BillingAway.
        """
        patience = self._patience
        attempt = 0
        while True:
            evidence = await self.send(call)
            asked: float | None = None
            match evidence:
                case Accepted(result=result):
                    return result
                case RowRefused(text):
                    raise BillingRefused("The billing rejects {call}: {answer}", call=describe(call), answer=text)
                case SystemRefused(text):
                    raise system_refusal(text)
                case Busy(_, asked):
                    pass
            longest = min(patience.longest, patience.base * 2.0**attempt)
            wait = max(self._chance() * longest, asked or 0.0)
            attempt += 1
            if attempt < patience.attempts and wait <= patience.limit:
                await self._sleep(wait)
                continue
            if isinstance(evidence, Busy):
                is_busy = counted(
                    "The billing at {address} is busy, asked [once|{n} times]: {answer}. Try again later.",
                    attempt,
                    address=self._base,
                    answer=evidence.text,
                )
                raise BillingBusy(is_busy)
            raise BillingAway(
                counted(
                    "The billing at {address} gives no answer, asked [once|{n} times]: {why}. Check that it is up "
                    "and reachable.",
                    attempt,
                    address=self._base,
                    why=evidence.text,
                )
            )

    async def health(self, *, attempts: int = 1) -> Health:
        """Ask the billing for its version and time; where the answer is lost or broken again, up to `attempts` times.

        Raises NotTheBilling when another server answers, BillingAway when none does, BillingBusy and SystemRefusal
        by the billing's answer; each message says what to do next.
        """
        base, patience = self._base, self._patience
        while True:
            started, attempts = time.perf_counter(), attempts - 1
            seen, evidence = await self.observe(version())
            seconds = time.perf_counter() - started
            if not isinstance(evidence, Lost) or attempts < 1:
                break
            await self._sleep(self._chance() * patience.base)
        match evidence:
            case Accepted(result=found):
                result = found[0] if isinstance(found, list) and len(found) == 1 else found
                # It holds version and time; their names are not known [V, ?].
                number, clock = result, None
                if isinstance(result, dict):
                    named = {str(name).casefold(): value for name, value in result.items()}
                    number = next((value for name, value in named.items() if "version" in name), None)
                    clock = next((value for name, value in named.items() if "time" in name or "date" in name), None)
                if not isinstance(number, str | int) or isinstance(number, bool) or number == "":
                    shown = readable(str(result), self._mask, 80)
                    raise not_the_billing(base, said("its answer names no version: {answer}", answer=shown))
                told = None if clock is None else readable(str(clock), limit=80)
                return Health(readable(str(number), limit=80), told, seconds)
            case Busy(text):
                raise BillingBusy(
                    "The billing at {address} is busy: {answer}. Try again later.", address=base, answer=text
                )
            case RowRefused(text):
                raise not_the_billing(base, text)
            case SystemRefused(text):
                if isinstance(seen, tuple) and seen[0] not in {401, 403}:
                    raise not_the_billing(base, text)
                raise system_refusal(text)
            case NotSent(text):
                raise BillingAway(
                    "Nobody answers at {address}: {why}. Check host and port, and that the billing's REST API is up "
                    "and open to this machine.",
                    address=base,
                    why=text,
                )
            case Lost(text):
                if isinstance(seen, tuple) and seen[0] < _SERVER_ERROR:
                    raise not_the_billing(base, text)
                raise BillingAway(
                    "The server at {address} gives no answer of use: {why}. Look into the billing's own log, and try "
                    "again once it answers.",
                    address=base,
                    why=text,
                )

    async def _post(self, call: Call, flight: Flight) -> Reply:
        """Make exactly one POST; the answer as it came, or why there is none."""
        try:
            answer = await self._open_wire.post(call.path, flight)
        except (aiohttp.ClientError, HttpProcessingError, OSError) as fault:
            flight.ending = ending_of(fault)
            text = describe_fault(fault, self._settings, self._mask.knowing(secrets_of(call)), left=flight.left)
            return Lost(text) if flight.left else NotSent(text)
        status = flight.status or 0
        if answer is None:
            limit = self._settings.answer_limit // 1024
            return Lost(
                said(
                    "HTTP {status} with an answer of more than {limit} KiB, not read to its end",
                    status=status,
                    limit=limit,
                )
            )
        return status, flight.headers, answer

    @property
    def _open_wire(self) -> Wire:
        wire = self._wire
        if wire is None or wire.closed:
            state = "not open yet" if wire is None else "closed"
            raise RuntimeError(f"this BillingClient is {state}: use it within its `async with`")
        return wire

    def _judge(self, call: Call, flight: Flight, seen: Reply) -> Evidence:
        """The evidence of an answer; its connection is used again only after a documented answer without an error."""
        clean = False
        try:
            if isinstance(seen, NotSent | Lost):
                return seen
            secrets = secrets_of(call)
            mask = self._mask.knowing(secrets) if secrets else self._mask
            evidence = read_answer(*seen, cabinet=call.of_cabinet, mask=mask)
            clean = isinstance(evidence, Accepted)
        finally:
            if self._wire is not None:
                self._wire.finish(flight, clean=clean)
        return evidence

    def _unasked(self, row: int, data: bytes) -> None:
        beginning = data[:_BEGINNING].decode("ascii", "replace").partition("\r\n")[0]
        log.warning(
            "something came over a connection that nobody has asked for: the answer before it is in doubt",
            row=row,
            size=len(data),
            beginning=readable(beginning, self._mask),
        )
        self._report(row)
