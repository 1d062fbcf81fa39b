"""The mark by which a created object is found again: run and item in its comment, as `[cm k7m2q/1042]`.

It stands at the end of the comment, for people read the text first.
"""

import re
from typing import Final

LONGEST: Final = 255
"""Characters of a comment. The column of the real billing is not known [?]; this is Django's usual length."""

ROOM: Final = 32
"""Characters that are kept free for a mark and the space before it."""

LONGEST_TEXT: Final = 200
"""Characters of a text that a mark always fits behind, with some to spare."""

_MARK: Final = re.compile(r"\[cm ([a-z0-9]{1,16})/([1-9][0-9]{0,11})\]")


def mark(run_name: str, number: int) -> str:
    """The mark of an item, by the name of its run and its number within it."""
    return f"[cm {run_name}/{number}]"


def beginning(run_name: str) -> str:
    """How the marks of all items of a run begin."""
    return f"[cm {run_name}/"


def find(comment: str) -> tuple[str, int] | None:
    """Run and number of the last mark in a comment, None where there is none."""
    found = _MARK.findall(comment)
    if not found:
        return None
    run_name, number = found[-1]
    return run_name, int(number)


def with_mark(text: str, run_name: str, number: int, *, longest: int = LONGEST) -> str:
    """The text with its mark behind it, `longest` characters at most: the text gives way, never the mark."""
    tail = mark(run_name, number)
    if not text:
        return tail
    room = longest - len(tail) - 1
    if len(text) > room:
        text = text[: max(room - 1, 0)].rstrip() + "…"
    return f"{text} {tail}" if room > 0 else tail


def without_marks(comment: str) -> str:
    """The text of a comment as it was before it was marked."""
    return _MARK.sub("", comment).rstrip()
