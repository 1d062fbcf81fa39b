"""What a live billing answers differently from a recording: a check before a migration, after a billing's update.

Only reads are asked, and only those that the list here knows as reads: whatever could write is never sent. Each is
asked once, however often it was recorded, and compared with its first recorded answer, that from before the run's own
writes. What was recorded with a secret in it cannot be asked again.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import anyio
import msgspec

from billing.api.calls import SECRET_ARGUMENTS, Call, ChainStep
from billing.api.client import BillingClient
from billing.api.secrets import PLACEHOLDER, charset_of
from billing.api.wire import Reply
from billing.errors import BillingAway
from engine.evidence import Lost, NotSent, readable
from lab.record.matching import named, request_of
from lab.record.recording import Recorded, Recording

VOLATILE: Final = ("Version:result.*time*", "Version:result.*date*")
"""What differs at every look: the server's own clock."""

_READS: Final = frozenset({"objects.get", "objects.filter", "get_user_by_suid", "web_cabinet.get_usluga_list"})
"""Methods known to change nothing [S]. A name that begins with `get` is no proof: `get_or_create_dynamic_session`."""
_PATH: Final = re.compile(r"/rest_api/v2/([A-Za-z_]\w*)/", re.ASCII)
_LONGEST: Final = 120
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the live answer is another.

    `path` as `result[pk=5].fields.ip`, or `status`; what is not there on one side is `msgspec.UNSET`.
    """

    number: int
    request: str
    path: str
    recorded: object
    now: object

    def __str__(self) -> str:
        return f"{self.request}: {self.path} was {_shown(self.recorded)}, now {_shown(self.now)}"


@dataclass(slots=True)
class Tally:
    """What became of the recorded exchanges: `asked` again, or passed over because of something.

    `writes` are all that is not known to be a read, `secret` those with a secret in the question, `repeated` those
    asked already, `unanswered` reads that had got no answer of use.
    """

    asked: int = 0
    writes: int = 0
    secret: int = 0
    repeated: int = 0
    unanswered: int = 0


class Differ:
    """The differences, by iterating over it once; `tally` is complete when they are."""

    def __init__(self, path: Path | str, client: BillingClient, volatile: Collection[str] = VOLATILE) -> None:
        self.tally = Tally()
        self._path = path
        self._client = client
        self._volatile = tuple(volatile)

    async def __aiter__(self) -> AsyncIterator[Difference]:
        asked: set[int] = set()
        recording = await anyio.to_thread.run_sync(Recording, self._path)
        with recording:
            exchanges = iter(recording)
            while (recorded := await anyio.to_thread.run_sync(next, exchanges, None)) is not None:
                call = self._question(recorded, recording.header.hidden_fields, asked)
                if call is None:
                    continue
                self.tally.asked += 1
                seen, _ = await self._client.observe(call)
                if isinstance(seen, NotSent):
                    raise BillingAway(f"There is no billing to compare with: {seen.text}.")
                for place, was, now in _compared(recorded, seen):
                    where = f"{call.model}:{place}"
                    if not any(fnmatchcase(where, pattern) for pattern in self._volatile):
                        yield Difference(recorded.number, named(recorded.path, recorded.form), place, was, now)

    def _question(self, recorded: Recorded, hidden_fields: Collection[str], asked: set[int]) -> Call | None:
        """The call to ask again, None where there is none; counts why not."""
        call = read_only(recorded, hidden_fields)
        if call is None:
            self.tally.writes += 1
            return None
        if any(PLACEHOLDER in value for name, value in recorded.form if name not in hidden_fields):
            self.tally.secret += 1
            return None
        if recorded.outcome not in {"answered", "refused"}:
            self.tally.unanswered += 1
            return None
        digest = request_of(recorded.path, recorded.form, hidden_fields).digest()
        if digest in asked:
            self.tally.repeated += 1
            return None
        asked.add(digest)
        return call


def diff(path: Path | str, client: BillingClient, *, volatile: Collection[str] = VOLATILE) -> Differ:
    """What the live billing of `client` answers differently from the recording, to be iterated over.

    `volatile` are patterns of what is not compared, as `Users:result*.fields.last_seen`. Iterating raises
    BillingAway when nobody is there, NotARecording and RecordingError.
    """
    return Differ(path, client, volatile)


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
    # One method, for what a second would do to the object of the first is nobody's to guess; and nothing beside it.
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
    """Where two JSON values differ: place, recorded, now.

    Objects in lists are paired by their `pk` where all have one. A `•••` in a recorded text stands for anything.
    """
    if isinstance(recorded, dict) and isinstance(now, dict):
        for name in dict.fromkeys((*recorded, *now)):
            inner = f"{place}.{name}" if place else str(name)
            yield from differences(recorded.get(name, msgspec.UNSET), now.get(name, msgspec.UNSET), inner)
    elif isinstance(recorded, list) and isinstance(now, list):
        ours, theirs = _by_key(recorded, now)
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
        return _unfolded(_decoded(text.removeprefix("\ufeff")))
    except ValueError:
        return text


def _by_key(recorded: list[object], now: list[object]) -> tuple[dict[str, object], dict[str, object]]:
    keyed: list[dict[str, object]] = []
    for each in (recorded, now):
        found: dict[str, object] = {
            f"pk={item['pk']}": item for item in each if isinstance(item, dict) and "pk" in item
        }
        if len(found) != len(each):
            return (
                {str(number): item for number, item in enumerate(recorded)},
                {str(number): item for number, item in enumerate(now)},
            )
        keyed.append(found)
    return keyed[0], keyed[1]


def _equal(recorded: object, now: object) -> bool:
    if isinstance(recorded, str) and isinstance(now, str) and PLACEHOLDER in recorded:
        return re.fullmatch(".*".join(map(re.escape, recorded.split(PLACEHOLDER))), now, re.DOTALL) is not None
    if recorded == PLACEHOLDER:
        return now is not msgspec.UNSET
    # True is no 1, and "50.5" is no 50.5; but 50 is 50.0.
    if isinstance(recorded, bool) or isinstance(now, bool):
        return recorded is now
    return recorded == now


def _decoded(text: str) -> object:
    """The JSON value of a text; raises ValueError."""
    try:
        return _JSON.decode(text)
    except (ArithmeticError, RecursionError) as fault:
        raise ValueError(str(fault)) from None


def _unfolded(value: object) -> object:
    """The value with the JSON within its strings read too, as the cabinet writes it."""
    match value:
        case dict():
            return {name: _unfolded(item) for name, item in value.items()}
        case list():
            return [_unfolded(item) for item in value]
        case str() if value.startswith(("{", "[")):
            with contextlib.suppress(ValueError):
                return _unfolded(_decoded(value))
    return value


def _shown(value: object) -> str:
    if value is msgspec.UNSET:
        return "not there"
    return readable(_ENCODER.encode(value).decode(), limit=_LONGEST)
