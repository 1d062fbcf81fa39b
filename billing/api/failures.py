"""What the client says of a call that failed: why no answer came, and the errors that it raises."""

import os

import aiohttp

from billing.api.aiohttp_parts import HttpProcessingError
from billing.api.wire import Limits, NoAnswer, StaleConnection, UnaskedAnswer
from billing.errors import BillingAway, BillingBusy, NotTheBilling, SystemRefusal
from billing.secret import Mask
from engine.evidence import Busy, Evidence, Lost, NotSent, readable
from texts.said import counted, said, text_of


def describe_fault(fault: Exception, limits: Limits, mask: Mask, *, left: bool) -> str:  # noqa: PLR0911 — a list of causes
    """Describe what happened to a request without an answer; the texts of others are masked."""
    match fault:
        case TimeoutError() if left:
            return said(
                "no answer in time ({silence} s of silence, {deadline} s in all)",
                silence=f"{limits.read:g}",
                deadline=f"{limits.deadline:g}",
            )
        case TimeoutError():
            return said(
                "no connection in time ({connect} s to connect, {deadline} s in all)",
                connect=f"{limits.connect:g}",
                deadline=f"{limits.deadline:g}",
            )
        case aiohttp.ClientConnectorDNSError():
            return said("the name {host} is not known", host=readable(fault.host, mask))
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            why = readable(str(fault.__cause__ or fault), mask)
            return said("no TLS with {server}: {why}", server=f"{fault.host}:{fault.port}", why=why)
        case aiohttp.ClientConnectorError():
            server, why = f"{fault.host}:{fault.port}", _why_not(fault.os_error, mask)
            return said("no connection to {server}: {why}", server=server, why=why)
        case aiohttp.ServerDisconnectedError():
            return said("the connection was closed before an answer came")
        case aiohttp.ClientPayloadError():
            return said("the answer broke off: {why}", why=readable(str(fault), mask))
        case HttpProcessingError():
            return said("what came back is not HTTP: {why}", why=readable(fault.message, mask))
        case StaleConnection() | UnaskedAnswer() | NoAnswer():
            return text_of(fault)
    return said("the connection broke: {why}", why=readable(str(fault) or type(fault).__name__, mask))


def _why_not(error: OSError, mask: Mask) -> str:
    """Why a connection was not made; asyncio's own texts repeat each address, in brackets and quotes."""
    if error.errno:
        return os.strerror(error.errno)
    text = str(error)
    return said("none of its addresses takes it") if "Connect call failed" in text else readable(text, mask)


def busy(address: str, answer: str, wait: float | None) -> BillingBusy:
    """The error of a billing that is busy, which asks for a `wait` in seconds."""
    return BillingBusy(
        said("The billing at {address} is busy: {answer}. Try again later.", address=address, answer=answer), wait
    )


def nobody_answers(address: str, why: str) -> BillingAway:
    """The error where no request left."""
    return BillingAway(
        "Nobody answers at {address}: {why}. Check host and port, and that the billing's REST API is up and open "
        "to this machine.",
        address=address,
        why=why,
    )


def no_use(address: str, why: str) -> BillingAway:
    """The error of a server that answers, and not with what can be read."""
    return BillingAway(
        "The server at {address} gives no answer of use: {why}. Look into the billing's own log, and try again "
        "once it answers.",
        address=address,
        why=why,
    )


def not_the_billing(address: str, why: str) -> NotTheBilling:
    """The error where another server answers."""
    return NotTheBilling(
        "What answers at {address} is not the billing's REST API: {why}. Check address and port (the REST "
        "API's is usually 8082, not that of the web pages).",
        address=address,
        why=why,
    )


def system_refusal(answer: str) -> SystemRefusal:
    """The error where the billing refuses every call."""
    return SystemRefusal(
        "The billing refuses everything: {answer}. Its administrator has to look into rights, licence and "
        "read-only mode, and into the key or password configured here.",
        answer=answer,
    )


def given_up(address: str, evidence: Evidence, attempts: int) -> BillingBusy | BillingAway:
    """The error of a read that was retried as often as it may be."""
    if isinstance(evidence, Busy):
        return BillingBusy(
            counted(
                "The billing at {address} is busy, asked once: {answer}. Try again later.",
                "The billing at {address} is busy, asked {n} times: {answer}. Try again later.",
                attempts,
                address=address,
                answer=evidence.text,
            ),
            evidence.retry_after,
        )
    return BillingAway(
        counted(
            "The billing at {address} gives no answer, asked once: {why}. Check that it is up and reachable.",
            "The billing at {address} gives no answer, asked {n} times: {why}. Check that it is up and reachable.",
            attempts,
            address=address,
            why=evidence.text if isinstance(evidence, NotSent | Lost) else "",
        )
    )
