"""Fault plans as TOML files or flags.

    seed = 1

    [[fault]]
    kind = "reset-after-effect"
    model = "FinanceOperations"   # only these requests; also method = "objects.create"
    share = 0.05                  # of them, drawn from the seed and the request's number
    requests = "10-20"            # and only these numbers, from 1: "10-20", "5,7", "100-"
    from = 5.0                    # and only in this span, in seconds since the plan was set
    to = 10.0
    times = 3                     # at most so often

| key | for |
|---|---|
| `delay`, seconds | queued, slow, trickle, effect-then-silence; with a date also 503 and 429 |
| `retry_after`, seconds or "date" | 503, 429; without it there is no such header |
| `text` | busy, stop, cabinet-error; otherwise one of the catalogue |
| `tries` | busy: a row drawn gets the text so many times, then none |
| `from`, `to` only | refuse |

A plan is checked before it is used: entries that could never have an effect are refused as well.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeAlias

from billing.errors import SettingsError
from jobs.spec.toml_places import Toml
from lab.mock.facts import MODELS
from lab.mock.faults import CABINET, SAYING, Fault, FaultKind, FaultPlan, Span
from texts.remedies import setting
from texts.said import Given, SaidError, said

Read: TypeAlias = Callable[[object], object]


class PlanError(SettingsError):
    """Raised for an invalid fault plan; its text names the file, the line if it is known, and the reason."""


class _Wrong(SaidError, ValueError):
    """A reason, and the key that it concerns."""

    def __init__(self, reason: str, key: str = "", /, **values: Given) -> None:
        super().__init__(reason, **values)
        self.key = key


_TOP: Final = ("seed", "fault")
_ANY: Final = frozenset({"kind", "model", "method", "share", "requests", "from", "to", "times"})
_WAITS: Final = frozenset({FaultKind.UNAVAILABLE, FaultKind.TOO_MANY})
_TAKES: Final[dict[str, frozenset[FaultKind]]] = {
    "delay": frozenset({FaultKind.QUEUED, FaultKind.SLOW, FaultKind.TRICKLE, FaultKind.SILENCE}) | _WAITS,
    "retry_after": _WAITS,
    "text": SAYING,
    "tries": frozenset({FaultKind.BUSY}),
}
"""Keys that only some kinds accept."""

_SPAN: Final = re.compile(r"(\d+)(?:\s*(-)\s*(\d*))?")


def read_plan(text: str, name: str = "the plan") -> FaultPlan:
    """The plan of a TOML text; `name` is used in the messages. An empty text is a plan without faults.

    Raises `PlanError`.
    """
    try:
        toml = Toml(text)
    except ValueError as error:
        raise PlanError("{name}: this is not TOML: {error}", name=name, error=error) from error
    whole = toml.content

    def line(*way: str | int) -> str:
        return f":{toml.place(*way).line}"

    for key in whole:
        if key not in _TOP:
            raise PlanError(
                "{name}{place}: a plan has no {key}{hint}",
                name=name,
                place=line(key),
                key=repr(key),
                hint=nearest(key, _TOP),
            )
    seed = whole.get("seed", 1)
    if not isinstance(seed, int) or not _is_whole(seed):
        raise PlanError(
            "{name}{place}: seed: {seed} is not a whole number", name=name, place=line("seed"), seed=repr(seed)
        )
    entries = whole.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PlanError("{name}{place}: write each fault under a heading [[fault]]", name=name, place=line("fault"))
    faults: list[Fault] = []
    for index, entry in enumerate(entries):
        try:
            faults.append(_fault(entry))
        except _Wrong as error:
            raise PlanError(
                "{name}{place}: fault {index}: {error}",
                name=name,
                place=line("fault", index, error.key),
                index=index + 1,
                error=error,
            ) from error
    return FaultPlan(tuple(faults), seed)


def read_flag(text: str) -> Fault:
    """A fault from `KIND` or `KIND:SHARE`; raises `PlanError`."""
    kind, colon, share = text.partition(":")
    entry: dict[str, object] = {"kind": kind}
    try:
        if colon:
            entry["share"] = _parse_number(share)
        return _fault(entry)
    except _Wrong as error:
        raise PlanError("{option}: {error}", option=setting("fault", text), error=error) from error


PLAN_FILE: Final = ".toml"
"""The suffix by which `--fault` tells a plan's file from a kind."""


def plan_text(words: Sequence[str]) -> str:
    """The plan of all words of `--fault`, as TOML: kinds, or the file of a plan. Raises `PlanError`."""
    files = [Path(word) for word in words if word.endswith(PLAN_FILE)]
    if len(files) > 1:
        raise PlanError(
            "{option}: one plan is given already, {file}", option=setting("fault", str(files[1])), file=files[0]
        )
    text = "".join(_file_text(path) for path in files)
    for word in words:
        if not word.endswith(PLAN_FILE):
            fault = read_flag(word)
            text += f'\n[[fault]]\nkind = "{fault.kind.value}"\nshare = {fault.share}\n'
    return text


def _file_text(path: Path) -> str:
    """The text of a plan's file, once it is checked; raises `PlanError`, also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else said("it is not UTF-8")
        raise PlanError("the plan {path} cannot be read: {reason}", path=path, reason=reason) from error
    read_plan(text, str(path))
    return text


def plan_of_flags(words: Sequence[str], seed: int | None) -> FaultPlan:
    """The plan of all words of `--fault`, and another seed if one is given; raises `PlanError`."""
    plan = read_plan(plan_text(words), "--fault")
    return plan if seed is None else replace(plan, seed=seed)


def nearest(word: str, known: Collection[str]) -> str:
    """The nearest known word as the end of a sentence; all of them where none is near."""
    found = get_close_matches(word.casefold(), [each.casefold() for each in known], n=1, cutoff=0.4)
    by_case = {each.casefold(): each for each in known}
    if found:
        return said(" (did you mean {word!r}?)", word=by_case[found[0]])
    return said("; there are: {known}", known=tuple(known))


def _fault(entry: Mapping[str, object]) -> Fault:
    for key in entry:
        if key not in _READ:
            raise _Wrong("it has no {key}{hint}", key, key=repr(key), hint=nearest(key, _READ))
    if "kind" not in entry:
        raise _Wrong(said("it needs a kind"))
    kinds = [kind.value for kind in FaultKind]
    if entry["kind"] not in kinds:
        raise _Wrong(
            "there is no kind {kind}{hint}", "kind", kind=repr(entry["kind"]), hint=nearest(str(entry["kind"]), kinds)
        )
    kind = FaultKind(str(entry["kind"]))
    values: dict[str, Any] = {}  # each value has the type of its reader
    for key, value in entry.items():
        _check_taken(kind, key)
        try:
            values[_FIELDS.get(key, key)] = _READ[key](value)
        except ValueError as error:
            raise _Wrong("{key}: {error}", key, key=key, error=error) from error
    fault = Fault(**values)
    _check_whole(fault)
    return fault


def _check_taken(kind: FaultKind, key: str) -> None:
    if kind is FaultKind.REFUSE and key not in {"kind", "from", "to"}:
        raise _Wrong(
            "a port is refused to everybody: {kind} takes `from` and `to`, and no {key}",
            key,
            kind=kind,
            key=repr(key),
        )
    if key not in _ANY and kind not in _TAKES[key]:
        raise _Wrong(
            "{kind} takes no {key}; it is for {kinds}",
            key,
            kind=kind,
            key=repr(key),
            kinds=tuple(sorted(_TAKES[key])),
        )


def _check_whole(fault: Fault) -> None:
    if fault.until is not None and fault.until <= fault.since:
        raise _Wrong(said("to: it lies before from: the span is empty"), "to")
    if fault.kind is FaultKind.CABINET_ERROR and fault.method and not fault.method.startswith(CABINET):
        raise _Wrong(
            "method: only answers of {cabinet}* hold a JSON string, and {method} is none of these",
            "method",
            cabinet=CABINET,
            method=repr(fault.method),
        )
    if fault.kind in _WAITS and fault.delay is not None and fault.retry_after != "date":
        raise _Wrong('delay: {kind} takes it with retry_after = "date" only', "delay", kind=fault.kind)


def _kind(value: object) -> FaultKind:
    return FaultKind(str(value))


def _model(value: object) -> str:
    known = tuple({**MODELS, "Version": None})
    text = _text(value)
    if text not in known:
        raise _Wrong("there is no model {model}{hint}", model=repr(text), hint=nearest(text, known))
    return text


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("{value} is not a text", value=repr(value))
    return value


def _share(value: object) -> float:
    share = _parse_number(value)
    if not 0 < share <= 1:
        raise _Wrong("{value} is not a share: above 0, and at most 1", value=repr(value))
    return share


def _spans(value: object) -> tuple[Span, ...]:
    parts = [part.strip() for part in str(value).split(",")] if _is_whole(value) or isinstance(value, str) else []
    spans: list[Span] = []
    for part in parts or [""]:
        found = _SPAN.fullmatch(part)
        if found is None:
            raise ValueError(
                said('{value} are not numbers of requests, as "10-20", "5,7" or "100-"', value=repr(value))
            )
        first = int(found[1])
        last = first if found[2] is None else int(found[3]) if found[3] else None
        if first < 1 or (last is not None and last < first):
            raise _Wrong("{value}: numbers begin with 1 and go up", value=repr(value))
        spans.append((first, last))
    return tuple(spans)


def _moment(value: object) -> float:
    seconds = _parse_number(value)
    if seconds < 0:
        raise _Wrong("{value} lies before the beginning", value=repr(value))
    return seconds


def _seconds(value: object) -> float:
    seconds = _parse_number(value)
    if seconds <= 0:
        raise _Wrong("{value} is not a span of seconds above 0", value=repr(value))
    return seconds


def _parse_times(value: object) -> int:
    if not isinstance(value, int) or not _is_whole(value) or value < 1:
        raise _Wrong("{value} is not a whole number from 1", value=repr(value))
    return value


def _retry_after(value: object) -> str:
    text = str(value) if _is_whole(value) or isinstance(value, str) else ""
    if text != "date" and not (text.isascii() and text.isdigit()):
        raise _Wrong('{value} is neither whole seconds nor "date"', value=repr(value))
    return text


def _parse_number(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError  # noqa: TRY301 - the same sentence
        number = float(value)
        if not 0 <= abs(number) < float("inf"):
            raise TypeError  # noqa: TRY301 - the same sentence
    except (TypeError, ValueError):
        raise _Wrong("{value} is not a number", value=repr(value)) from None
    return number


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_READ: Final[dict[str, Read]] = {
    "kind": _kind,
    "model": _model,
    "method": _text,
    "share": _share,
    "requests": _spans,
    "from": _moment,
    "to": _seconds,
    "times": _parse_times,
    "delay": _seconds,
    "retry_after": _retry_after,
    "text": _text,
    "tries": _parse_times,
}
_FIELDS: Final = {"from": "since", "to": "until"}
