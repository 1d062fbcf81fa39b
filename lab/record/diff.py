"""Differences between a live billing's answers and a recording: a check after the billing's update.

Only known reads are sent; a request that could write is never sent. Each is sent once, however often it was recorded,
and compared with its first recorded answer, from before the run's own writes. Requests recorded with a secret cannot
be repeated.
"""

import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import anyio
import msgspec

from billing.api.answers import charset_of
from billing.api.calls import SECRET_ARGUMENTS, Call, ChainStep
from billing.api.client import BillingClient
from billing.api.secrets import json_text
from billing.api.wire import Reply
from billing.errors import BillingAway
from billing.secret import PLACEHOLDER
from engine.evidence import Lost, NotSent, readable
from lab.record.matching import meets_veiled, named, request_of
from lab.record.pseudonyms import PeopleRemover, Pseudonyms
from lab.record.recording import Recorded, Recording, RecordingError
from texts.said import Said, said

_VOLATILE: Final = ("Version:result.*time*", "Version:result.*date*")
"""Values that differ in every answer: the server's clock."""

_READS: Final = frozenset({"objects.get", "objects.filter", "get_user_by_suid", "web_cabinet.get_usluga_list"})
"""Methods known to change nothing [S]. The prefix `get` is not enough: `get_or_create_dynamic_session`."""
_PATH: Final = re.compile(r"/rest_api/v2/([A-Za-z_]\w*)/", re.ASCII)
_LONGEST: Final = 120
_DEEPEST: Final = 64
"""Levels of nested values that are compared one by one; an answer with more is compared as a text."""
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the live answer differs.

    `path` as `result[pk=5].fields.ip`, or `status`; a missing value on one side is `msgspec.UNSET`.
    """

    number: int
    request: str
    path: str
    recorded: object
    now: object

    @property
    def text(self) -> Said:
        return said(
            "{request}: {path} was {recorded}, now {now}",
            request=self.request,
            path=self.path,
            recorded=_shown(self.recorded),
            now=_shown(self.now),
        )


async def differing(
    path: Path | str, client: BillingClient, tally: Counter[str], pseudonyms: Pseudonyms | None = None
) -> AsyncIterator[Difference]:
    """The differences between the live billing of `client` and a recording.

    Of a recording with made-up people the live answers are compared by the same `pseudonyms`. `tally` counts the
    recorded exchanges: `asked` again, or why not: `writes` are all that are not known reads, `secret` those with a
    secret in the request, `repeated` those asked already, `unanswered` reads without a usable answer, `made_up` those
    that ask by a made-up name or number. Raises BillingAway when the billing does not answer, NotARecording and
    RecordingError.
    """
    asked: set[bytes] = set()
    with await anyio.to_thread.run_sync(Recording, path) as recording:
        made_up = pseudonyms if recording.header.made_up else None
        if recording.header.made_up and (made_up is None or made_up.key != recording.header.made_up):
            raise RecordingError(
                said(
                    "The people of this recording are made up with the key of another machine or user: compare "
                    "there, or record with real names."
                )
            )
        hidden, exchanges = recording.header.hidden_fields, iter(recording)
        while (recorded := await anyio.to_thread.run_sync(next, exchanges, None)) is not None:
            call, form = read_only(recorded, hidden), list(recorded.form)
            digest = request_of(recorded.path, form, hidden).digest()
            if call is None:
                tally["writes"] += 1
                continue
            if any(PLACEHOLDER in value for name, value in form if name not in hidden):
                fate = "secret"
            # For the value of a person the live billing would find nobody.
            elif made_up is not None and PeopleRemover(made_up, call.model).form(form) != form:
                fate = "made_up"
            elif recorded.outcome not in {"answered", "refused"}:
                fate = "unanswered"
            else:
                fate = "repeated" if digest in asked else "asked"
            tally[fate] += 1
            if fate != "asked":
                continue
            asked.add(digest)
            seen, _ = await client.observe(call)
            if isinstance(seen, NotSent):
                raise BillingAway("There is no billing to compare with: {why}.", why=seen.text)
            if made_up is not None and not isinstance(seen, Lost):
                status, headers, body = seen
                seen = status, headers, PeopleRemover(made_up, call.model).body(headers, body)
            for place, was, now in _compared(recorded, seen):
                where = f"{call.model}:{place}"
                if not any(fnmatchcase(where, pattern) for pattern in _VOLATILE):
                    yield Difference(recorded.number, named(recorded.path, recorded.form), place, was, now)


def read_only(recorded: Recorded, hidden_fields: Collection[str] = ()) -> Call | None:
    """The recorded request as a call, None unless every part of it is known to change nothing."""
    path = _PATH.fullmatch(recorded.path)
    form = [pair for pair in recorded.form if pair[0] not in hidden_fields and pair[0] not in SECRET_ARGUMENTS]
    given = dict(form)
    if path is None or len(given) != len(form):
        return None
    model = path[1]
    if model == "Version":
        return Call(model, (), form=(("get_version", "True"),)) if given == {"get_version": "True"} else None
    # A single method and nothing else: the effect of a second method on the first one's object is unknown.
    if not {"method1"} <= given.keys() <= {"method1", "arg1", "fields"} or given["method1"] not in _READS:
        return None
    try:
        arguments, fields = _decoded(given.get("arg1", "{}")), _decoded(given.get("fields", "[]"))
    except ValueError:
        return None
    if not isinstance(arguments, dict) or not isinstance(fields, list):
        return None
    return Call(model, (ChainStep(given["method1"], arguments),), tuple(map(str, fields)))


def differences(recorded: object, now: object, place: str = "") -> Iterator[tuple[str, object, object]]:
    """Differences of two JSON values: place, recorded, now.

    Objects in lists are paired by their `pk` where all have one. A `•••` in a recorded text matches anything.
    """
    if isinstance(recorded, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*recorded, *now)):
            inner = f"{place}.{name}" if place else str(name)
            yield from differences(recorded.get(name, msgspec.UNSET), now.get(name, msgspec.UNSET), inner)
    elif isinstance(recorded, list) and isinstance(now, list):
        ours, theirs = _by_key(recorded), _by_key(now)
        if ours is None or theirs is None:
            ours, theirs = ({str(number): item for number, item in enumerate(each)} for each in (recorded, now))
        for name in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(name, msgspec.UNSET), theirs.get(name, msgspec.UNSET), f"{place}[{name}]")
    elif not _equal(recorded, now):
        yield place, recorded, now


def _compared(recorded: Recorded, seen: Reply) -> Iterator[tuple[str, object, object]]:
    answer = recorded.answer
    if answer is None:
        return
    if isinstance(seen, Lost | NotSent):
        yield "answer", f"HTTP {answer.status}", seen.text
        return
    status, headers, body = seen
    if status != answer.status:
        yield "status", answer.status, status
    ours, theirs = _read(answer.body, answer.headers), _read(body, headers)
    yield from differences(ours, theirs, "" if isinstance(ours, dict) and isinstance(theirs, dict) else "body")


def _read(body: bytes, headers: Mapping[str, str]) -> object:
    try:
        text = body.decode(charset_of(headers))
    except (LookupError, UnicodeError):
        text = body.decode("utf-8", "replace")
    try:
        return _with_nested_json(_decoded(text.removeprefix("\ufeff")))
    except ValueError:
        return text


def _by_key(items: list[object]) -> dict[str, object] | None:
    """The objects of a list by their `pk`, None unless each has one of its own."""
    found: dict[str, object] = {f"pk={item['pk']}": item for item in items if isinstance(item, dict) and "pk" in item}
    return found if len(found) == len(items) else None


def _equal(recorded: object, now: object) -> bool:
    if isinstance(recorded, str) and isinstance(now, str) and PLACEHOLDER in recorded:
        return meets_veiled(now, recorded)
    if recorded == PLACEHOLDER:
        return now is not msgspec.UNSET
    # True differs from 1, and "50.5" from 50.5; but 50 equals 50.0.
    if isinstance(recorded, bool) or isinstance(now, bool):
        return recorded is now
    return recorded == now


def _decoded(text: str) -> object:
    """The JSON value of a text; raises ValueError."""
    try:
        return _JSON.decode(text)
    except (ArithmeticError, RecursionError) as fault:
        raise ValueError(str(fault)) from None


def _with_nested_json(value: object, room: int = _DEEPEST) -> object:
    if not room:
        raise ValueError("nested too deeply")
    match value:
        case dict():
            return {name: _with_nested_json(item, room - 1) for name, item in value.items()}
        case list():
            return [_with_nested_json(item, room - 1) for item in value]
        case str() if value.startswith(("{", "[")):
            with contextlib.suppress(ValueError):
                return _with_nested_json(_decoded(value), room - 1)
    return value


def _shown(value: object) -> str:
    if value is msgspec.UNSET:
        return said("not there")
    return readable(json_text(value), limit=_LONGEST)
