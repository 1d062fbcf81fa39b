"""From what was seen of a call to what the engine decides upon."""

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from billing import exchange as seen
from billing.directory.objects import plain_value, same_value
from billing.exchange import Exchange, readable
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused

Keep: TypeAlias = Callable[[object], str | None]
"""Takes a result and gives what is worth keeping of it, None when it has not the expected shape."""


def evidence_of(exchange: Exchange, keep: Keep | None = None) -> Evidence:  # noqa: PLR0911 - a table
    """The evidence of one exchange.

    Without `keep` any answer free of errors is taken. With it, an answer of another shape than expected is `Lost`: it
    says nothing of whether the call had its effect.
    """
    match exchange:
        case seen.Answered(result):
            if keep is None:
                return Accepted()
            answer = keep(result)
            if answer is None:
                return Lost(f"an answer of an unexpected shape: {readable(repr(result), limit=120)}")
            return Accepted(answer)
        case seen.Refused(text, recognised):
            return RowRefused(text, recognised)
        case seen.Busy(text, retry_after):
            return Busy(text, retry_after)
        case seen.SystemRefused(text):
            return SystemRefused(text)
        case seen.NotSent(text):
            return NotSent(text)
        case seen.Lost(text):
            return Lost(text)
        case _:
            assert_never(exchange)


def is_about_other_model(result: object, model: str) -> bool:
    """Whether an answer is about an object of another model, so that it can be no answer to a call of this one."""
    match result:
        case [{"model": str() as named}] | {"model": str() as named}:
            return named != model
    return False


def says(fields: Mapping[str, object], name: str, value: str | None) -> bool:
    """Whether a field of an answer has this value; one that cannot be read has another."""
    try:
        return same_value(name, plain_value(name, fields[name]), value)
    except ValueError:
        return False
