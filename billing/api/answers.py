"""Answers of the REST API: from status, headers and body to the evidence.

Success is `{"call": …, "result": …}`; failure has a non-empty `error` in the same object, most likely
under HTTP 200 [D, ?]: a string, or where the result would be a list, a list of strings of which the last one is the
message [I]. `web_cabinet.*` answers a list whose first element is a JSON *string* that can
hold an `error` of its own [I]. Crashes are 5xx with an HTML page [?].
"""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import msgspec

from billing.api.error_catalogue import ErrorKind, find_error, page_text
from billing.errors import UnreadableAnswer
from billing.secret import Mask
from engine.evidence import LOOKED_AT, Accepted, Busy, Evidence, Lost, RowRefused, SystemRefused, readable
from texts.said import Said, said, text_of, wording

LONGEST_WAIT: Final = 3600.0
"""Seconds; a longer Retry-After is taken for a mistake and cut to this."""

UNDECODABLE: Final = (msgspec.DecodeError, ValueError, ArithmeticError, LookupError, RecursionError)
"""Errors of decoding: bad bytes, unknown charsets, absurd numbers and nesting."""

UNREADABLE: Final = wording("HTTP {status}, but not the billing's JSON ({fault}): {answer}")
"""Of an answer that quotes what came, which may hold a secret."""

_NO_SECRETS: Final = Mask()
_LONGEST_NUMBER: Final = 12
_SHORT: Final = 80
"""Characters of an error that are shown beside what the billing has answered."""
_TWICE: Final = 2
_BOM: Final = b"\xef\xbb\xbf"
_STATUSES_OF_ALL_ROWS: Final = frozenset({401, 403, 404, 405, 407})
"""Statuses that concern every row: missing rights, a wrong address or model, a proxy in between."""
_LONGEST_KEY: Final = 18
"""Digits of an id that always fit a 64-bit column of the database."""
_DEEPEST: Final = 64
"""Levels of nested objects and lists; no answer of the billing has as many."""
_LARGEST_POWER: Final = 40
"""The largest power of ten; a larger number is not money, and writing it out could take gigabytes."""
_LONGEST_FRACTION: Final = 60
"""Characters of a number with a point or an exponent."""
_KEYS: Final = ("id", "op_id")
"""Names of the key field: `op_id` is that of FinanceOperations [S]."""


class _Outer(msgspec.Struct):
    """The outer object; `call` and all other names in it are ignored."""

    result: object = msgspec.UNSET
    error: object = None


def _number(text: str) -> Decimal | str:
    """A number with a point or an exponent; an absurd one stays a text, which the readers of amounts refuse."""
    if len(text) > _LONGEST_FRACTION:
        return text
    number = Decimal(text)
    return number if abs(number.adjusted()) <= _LARGEST_POWER else text


_OUTER: Final[msgspec.json.Decoder[_Outer | list[object]]] = msgspec.json.Decoder(
    _Outer | list[object], float_hook=_number
)
_INNER: Final = msgspec.json.Decoder(float_hook=_number)


class _RepeatedName(ValueError):
    """Raised with the errors of an object with two `error` or two `result` names, of which none can be trusted."""


def read_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    cabinet: bool = False,
    mask: Mask = _NO_SECRETS,
    now: float | None = None,
) -> Evidence:
    """The evidence of one HTTP answer.

    `headers` are case-insensitive, or spelled as "Content-Type"; `cabinet` tells that the call was one of
    `web_cabinet.*`; the `mask` knows what must not be shown; `now` is the wall clock in seconds since the epoch,
    for a Retry-After that is a date.
    """
    if 200 <= status < 300:  # noqa: PLR2004 — the class of successes
        return _read_success(status, headers, body, cabinet=cabinet, mask=mask)
    error: str | None = None
    with suppress(*UNDECODABLE):
        outer = _decode(headers, body)
        error = _error_text(outer.error) if isinstance(outer, _Outer) and outer.error else None
    text = page_text(_text(headers, body) if error is None else error)
    shown = _with_status(status, headers, text, mask)
    kind = find_error(text)
    wait = headers.get("Retry-After")
    # Only the billing's own word proves that nothing was done: all else may be said by whatever stands before it.
    recognised = error is not None and kind is not ErrorKind.UNRECOGNISED
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE
        and (wait is not None or (error is not None and kind is ErrorKind.BUSY))
    ):
        return Busy(shown, retry_after(wait, now, headers.get("Date")), recognised=recognised)
    # 408 is the server's time-out for a request; the whole request may have arrived all the same.
    if not 400 <= status < 500 or status == HTTPStatus.REQUEST_TIMEOUT:  # noqa: PLR2004 — the client's errors
        return Lost(shown)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or kind is ErrorKind.SYSTEM:
        return SystemRefused(shown, recognised=recognised)
    if error is not None and kind is ErrorKind.BUSY:
        return Busy(shown, retry_after(wait, now, headers.get("Date")))
    stated = error is not None and kind is ErrorKind.ROW
    # A 404 that states one of the billing's own errors comes from the billing, so its address is right.
    if status in _STATUSES_OF_ALL_ROWS and not stated:
        return SystemRefused(shown, recognised=False)
    return RowRefused(shown, recognised=stated)


def judge(evidence: Evidence) -> Evidence:
    """The evidence for the engine: any answer without an error is accepted, and its result is dropped."""
    return Accepted() if isinstance(evidence, Accepted) else evidence


def unexpected(result: object) -> Lost:
    """The evidence of an answer with a result of another shape than that of its call."""
    return Lost(said("an answer of an unexpected shape: {answer}", answer=readable(repr(result), limit=120)))


def is_about_other_model(result: object, model: str) -> bool:
    """Whether an answer is about an object of another model, and so not the answer to a call of `model`."""
    match result:
        case [{"model": str() as named}] | {"model": str() as named}:
            return named != model
    return False


def created_id(result: object) -> str | None:
    """The key of a created object, from any shape of answer; None when there is none.

    Shapes: `{"pk": 5}`, `{"fields": {"id": 5}}`, `{"id": 5}`, 5, "5", and a list of one of these [S, D, ?].
    """
    match result:
        case [single]:
            return created_id(single) if not isinstance(single, list) else None
        case {"pk": key} if _is_key(key):
            return str(key)
        case {"fields": dict() as fields}:
            return _key_among(fields)
        case dict():
            return _key_among(result)
    return str(result) if _is_key(result) else None


def objects(result: object) -> list[dict[str, object]]:
    """The objects of a filter or a get: their fields, and their key as "pk" if the answer has it.

    From `{"pk", "model", "fields"}` or a list of it [D]. Raises UnreadableAnswer for any other shape.
    """
    found = result if isinstance(result, list) else [result]
    read: list[dict[str, object]] = []
    for each in found:
        match each:
            case {"fields": dict() as fields, "pk": key}:
                read.append({**fields, "pk": key})
            case {"fields": dict() as fields}:
                read.append(dict(fields))
            case dict():
                read.append(dict(each))
            case _:
                shown = readable(repr(each), limit=80)
                raise UnreadableAnswer("The billing was asked for objects and answered with {answer}.", answer=shown)
    return read


def retry_after(value: str | None, now: float | None = None, sent: str | None = None) -> float | None:
    """Seconds of a Retry-After header: a number, or an HTTP date; None when it is neither.

    A date is compared with `sent`, the Date header of the same answer, because the two clocks may differ by hours;
    without that header, with our clock. A past date is 0; the longest wait is LONGEST_WAIT.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        # A number of this length is not converted.
        return min(float(value), LONGEST_WAIT) if len(value) <= _LONGEST_NUMBER else LONGEST_WAIT
    moment = _moment(value)
    if moment is None:
        return None
    theirs = None if sent is None else _moment(sent)
    ours = time.time() if now is None else now
    return min(max(moment - (ours if theirs is None else theirs), 0.0), LONGEST_WAIT)


def _moment(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _read_success(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    cabinet: bool,
    mask: Mask,
) -> Evidence:
    try:
        outer = _decode(headers, body)
    except UNDECODABLE as fault:
        return _unreadable(status, headers, body, mask, fault)
    if isinstance(outer, _Outer):
        result, error = outer.result, outer.error
    else:
        # It is not known whether the cabinet's list stands alone or in a `result`: both are read [?].
        result, error = outer if cabinet else msgspec.UNSET, None
    if not error and isinstance(result, dict):
        error = result.get("error")
    if error:
        return _from_error(_error_text(error), headers, mask)
    if result is msgspec.UNSET:
        return Lost(said("HTTP {status} with JSON that has neither result nor error", status=status))
    return _read_cabinet(result, headers, mask) if cabinet else Accepted(result=result)


def _decode(headers: Mapping[str, str], body: bytes) -> _Outer | list[object]:
    charset = charset_of(headers)
    is_utf8 = charset in {"utf-8", "utf8"}
    text = body.removeprefix(_BOM) if is_utf8 else body.decode(charset).encode()
    outer = _OUTER.decode(text)
    _check_shape(text, outer.result if isinstance(outer, _Outer) else outer)
    return outer


def _check_shape(text: bytes, value: object) -> None:
    """Raise ValueError for an answer with this value that is nested too deeply, or has an error or a result twice.

    Nearly every answer has too few brackets and names for either, which is counted first.
    """
    if text.count(b"[") + text.count(b"{") > _DEEPEST:
        _check_depth(value)
    # A name may also be written with escapes.
    if text.count(b'"error"') >= _TWICE or text.count(b'"result"') >= _TWICE or b"\\u00" in text:
        _check_repeated(text)


def _check_depth(value: object) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        inside = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for each in inside for inner in each if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError(said("objects are nested too deeply"))


def _check_repeated(text: bytes) -> None:
    """Raise `_RepeatedName` if an object or its result has two errors, or the object two results.

    The fast decoder keeps the last of equal names. So an answer that may have two is read by the careful decoder as
    well; this is rare.
    """

    def named(pairs: Iterable[tuple[str, object]]) -> tuple[list[object], list[object]]:
        values: dict[str, list[object]] = {"error": [], "result": []}
        for name, value in pairs:
            values.get(name, []).append(value)
        return values["error"], values["result"]

    # An object becomes a pair of its errors and its results; JSON itself has no pairs.
    outer = json.loads(text, object_pairs_hook=named, parse_float=str, parse_int=str)
    if not isinstance(outer, tuple):
        return
    errors, results = outer
    for each in (errors, *(one[0] for one in results if isinstance(one, tuple))):
        if len(each) > 1 or (each is errors and len(results) > 1):
            raise _RepeatedName(*(_error_text(error) for error in each if error))


def charset_of(headers: Mapping[str, str]) -> str:
    _, found, rest = headers.get("Content-Type", "").lower().partition("charset=")
    return (rest.partition(";")[0].strip(" \"'") if found else "") or "utf-8"


def _read_cabinet(result: object, headers: Mapping[str, str], mask: Mask) -> Evidence:
    if not (isinstance(result, list) and result):
        return Lost(said("the cabinet's answer is not a list that starts with JSON"))
    inner = result[0]
    if isinstance(inner, str):
        try:
            decoded = _INNER.decode(inner)
            _check_shape(inner.encode(), decoded)
        except UNDECODABLE:
            if find_error(result[0]) is not ErrorKind.UNRECOGNISED:
                return _from_error(result[0], headers, mask)
            return Lost(said("the cabinet's answer does not start with JSON: {answer}", answer=readable(inner, mask)))
        inner = decoded
    if isinstance(inner, dict) and inner.get("error"):
        return _from_error(_error_text(inner["error"]), headers, mask)
    return Accepted(result=[inner, *result[1:]])


def _from_error(text: str, headers: Mapping[str, str], mask: Mask) -> Evidence:
    kind = find_error(text)
    shown = (text if isinstance(text, Said) else readable(page_text(text), mask)) or said("an error without a text")
    match kind:
        case ErrorKind.BUSY:
            return Busy(shown, retry_after(headers.get("Retry-After"), sent=headers.get("Date")))
        case ErrorKind.SYSTEM:
            return SystemRefused(shown)
    return RowRefused(shown, recognised=kind is ErrorKind.ROW)


def _error_text(error: object) -> str:
    """The text of an `error`: a string, the last string of a list [I], or an object by field [?]."""
    match error:
        case str():
            return error
        case [*others, str() as message] if message.strip() and all(isinstance(one, str) for one in others):
            return message
        case list() | dict():
            try:
                return msgspec.json.encode(error).decode()
            except UNDECODABLE:
                return said("an error that is not a text")
    return str(error)


def _unreadable(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    mask: Mask,
    fault: Exception,
) -> Evidence:
    if not body.strip():
        return Lost(said("HTTP {status} with an empty body", status=status))
    text = page_text(_text(headers, body))
    shown = readable(text, mask, limit=200)
    # An error text within broken JSON is not trusted: it may be part of a row's data.
    broken = body.lstrip().startswith((b"{", b"["))
    if not broken and find_error(text) is ErrorKind.SYSTEM:
        return SystemRefused(shown, recognised=False)
    return Lost(said(UNREADABLE, status=status, fault=_fault(fault, mask), answer=shown))


def _fault(fault: Exception, mask: Mask) -> str:
    if isinstance(fault, _RepeatedName):
        errors = readable(", ".join(fault.args), mask, limit=_SHORT)
        if errors:
            return said("its error or its result stands there twice: {errors}", errors=errors)
        return said("its error or its result stands there twice")
    text = text_of(fault)
    return text if isinstance(text, Said) else readable(text, mask, limit=_SHORT)


def _text(headers: Mapping[str, str], body: bytes) -> str:
    head = body[:LOOKED_AT]
    try:
        return head.decode(charset_of(headers), "replace")
    except (LookupError, UnicodeError):
        return head.decode("utf-8", "replace")


def _with_status(status: int, headers: Mapping[str, str], text: str, mask: Mask) -> str:
    try:
        named = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        named = str(status)
    if 300 <= status < 400:  # noqa: PLR2004 — redirects
        if "Location" not in headers:
            return said("HTTP {status}, a redirect to nowhere, not followed", status=named)
        target = readable(headers["Location"], mask, limit=120)
        return said("HTTP {status}, a redirect to {address}, not followed", status=named, address=target)
    shown = readable(text, mask, limit=200)
    return said("HTTP {status}: {answer}", status=named, answer=shown) if shown else f"HTTP {named}"


def _is_key(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and 0 < value < 10**_LONGEST_KEY
    text = value if isinstance(value, str) else ""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY and int(text) > 0


def _key_among(fields: Mapping[str, object]) -> str | None:
    return next((str(fields[name]) for name in _KEYS if _is_key(fields.get(name))), None)
