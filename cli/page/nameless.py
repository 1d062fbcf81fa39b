"""What a page tells whoever only watches: nothing of a row, of a person, or of what somebody has typed.

What is not named here is left out, so that what is added to the page later is as well. Sums are left out too: the
difference of two of them may be the amount of one row.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from texts.said import PROGRAM, Said, Value

_BLANK: Final = "…"
_ANY: Final = "*"
"""Stands for all keys of an object."""
_ROWS: Final = {"rows": None}
# fmt: off
SNAPSHOT: Final[Mapping[str, Any]] = {
    **dict.fromkeys((
        "sample", "state_texts", "has_steps", "refused", "why", "held", "knows_pace", "window", "in_flight", "eta",
        "silent_for", "stopped", "queued", "resume", "again", "errors", "ended",
    )),
    **dict.fromkeys(("asked", "done", "accepted", "standing", "in_doubt", "rejected"), _ROWS),
    "counts": {_ANY: _ROWS},
    "paused": {"since": None},
    "run": dict.fromkeys((
        "run", "job", "target", "version", "profile", "begun", "approved", "stage", "stage_text",
    )),
    "worked_by": dict.fromkeys(("host", "process", "since")),
}
"""The keys of a snapshot that are kept, each with those of its object, or None for all of it."""
LISTED: Final[Mapping[str, Any]] = dict.fromkeys((
    "run", "job", "target", "profile", "billing", "stage", "stage_text", "needs", "begun", "asked", "accepted",
    "is_held", "per_second", "seconds_left",
))
"""Those of a run in the list of all."""
# fmt: on
COMPARED: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("lines", "errors", "both")),
    "rows": {_ANY: _ROWS},
    "runs": dict.fromkeys(("run", "job", "begun")),
}
PAST: Final[Mapping[str, Any]] = {
    "points": dict.fromkeys(("t", "rate", "errors")),
    **dict.fromkeys(("marks", "average", "peak", "seconds", "worked", "held", "idle", "repeated")),
}


def bare_command(*words: str) -> str:
    """A command without what leads to its journal and billing, which may be the path of a person's file."""
    return " ".join((PROGRAM, *words))


def only(found: Mapping[str, Any], kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is kept of an object, and of the objects in it and in its lists."""

    def part(value: Any, of: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, list):
            return [part(one, of) for one in value]
        return value if value is None or of is None else only(value, of)

    if _ANY in kept:
        return {key: part(value, kept[_ANY]) for key, value in found.items()}
    return {key: part(found[key], of) for key, of in kept.items() if key in found}


def blanked(text: str, *, numbers: bool) -> str:
    """A sentence of ours without its values, or with its `numbers` alone; "" for a text of somebody else."""
    if not isinstance(text, Said):
        return ""

    def blank(value: Value) -> Value:
        match value:
            case Said():
                return blanked(value, numbers=numbers) or _BLANK
            case int() | datetime() if numbers:
                return value
            case _:
                return _BLANK

    values = {name: blank(one) for name, one in text.values.items()}
    made = Said(text.template, values, text.many, text.n, text.code)
    # A template may be nothing but its values.
    return made if any(map(str.isalpha, made)) else ""
