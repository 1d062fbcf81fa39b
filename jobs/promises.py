"""What a job cannot promise, as its effect says: for whoever declares a job of one's own.

A lack is a fact of the call and no fault of the file; most of them mean that a person is asked in the end. None is
stated a second time here: the effect that the factory makes of the chain is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobs.access.gateway import Gateway
from jobs.effects.factory import effect_of
from jobs.spec.entries import OPERATIONS
from jobs.spec.spec import JobSpec, own_select
from jobs.spec.words import WAY
from texts.said import said


class LackKind(StrEnum):
    """What a job can lack."""

    LOOK_UP = "look-up"
    REPEATABLE = "repeatable"
    READ_BACK = "read-back"
    UNDO = "undo"
    SELECT = "select"


NEEDS_A_PERSON: Final = frozenset({LackKind.LOOK_UP, LackKind.READ_BACK, LackKind.UNDO})
"""The lacks for which a person has to look into the billing, sooner or later."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a job cannot promise, and what that means for who runs it."""

    kind: LackKind
    text: str


def lacks_of(spec: JobSpec, gateway: Gateway) -> Iterator[Lack]:
    """What a job cannot promise; nothing is asked of the billing. Raises `ParameterRefused`."""
    effect = effect_of(
        gateway, spec, {one.name: one.name if one.default is None else one.default for one in spec.parameters}
    )
    back = effect.undo({one.name: one.default or "" for one in spec.undo_parameters})
    only_listed = spec.model == OPERATIONS and all(one.name != WAY for one in spec.undo_parameters)
    if spec.writes and not (effect.recognises or effect.repeatable):
        yield Lack(
            LackKind.LOOK_UP,
            said(
                "no look-up: where an answer is lost, nobody can find out whether the call had its effect. The "
                "row is left to a person, who looks into the billing. A parameter `look_up` with a select as its "
                "default helps, or `repeatable` with yes where a second call does no harm"
            ),
        )
    if spec.writes and not effect.repeatable:
        waits = said("not repeatable: a row whose answer is lost waits until it is looked up, never sent blindly")
        yield Lack(LackKind.REPEATABLE, waits)
    if spec.writes and not effect.recognises:
        unread = said("no read-back: `verify` cannot show that the billing has what was sent")
        yield Lack(LackKind.READ_BACK, unread)
    if spec.writes and isinstance(back, str):
        yield Lack(LackKind.UNDO, said("no undo: {reason}. Try it on a few rows first", reason=back))
    elif spec.writes and only_listed:
        yield Lack(
            LackKind.UNDO,
            said(
                "no undo that sends: operations are only listed for the accountant. UNDO_OF_OPERATIONS as "
                "undo_parameters gives the ways that send"
            ),
        )
    if not own_select(spec):
        none = said("no select of its own: its rows come from a file, or from a select that is typed")
        yield Lack(LackKind.SELECT, none)
