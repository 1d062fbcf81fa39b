"""What stands more than once in an input: numbers, logins, addresses, phones, and numbers that look alike."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from billing.contract_numbers import reason
from jobs.imports.seen_values import NUMBERS, WATCHED, SeenIn, SeenValues, Watched
from jobs.imports.subscriber import NUMBER, Step, Subscriber, Value, ValueFault
from jobs.imports.value_checks import values_of
from jobs.imports.written_values import mixed_scripts
from texts.remedies import setting
from texts.said import Quantity, Said, said

ALIKE: Final = "alike"
"""The parameter by which the operator says that contract numbers that look alike are right as they are."""

_NAMED: Final = 3
"""Other rows that a reason names; of more it says how many."""


class Duplicates:
    """A `Stage` of the second reading: of each subscriber it names the values that another row has as well.

    With `alike` contract numbers that only look the same are no fault.
    """

    def __init__(self, seen: SeenValues, *, alike: bool = False) -> None:
        self._seen = seen
        self._alike = alike

    def __call__(self, subscriber: Subscriber) -> tuple[Subscriber, Sequence[ValueFault]]:
        """The subscriber unchanged, and a fault for each value that another row has as well."""
        return subscriber, self._shared(subscriber, may_recur=False)

    def warnings(self, subscriber: Subscriber) -> list[ValueFault]:
        """What may be right, and is to be looked at: phones of several rows, numbers that may have lost a zero."""
        found = self._shared(subscriber, may_recur=True)
        for _, value in values_of(subscriber, [(Step.SUBSCRIBER, NUMBER)]):
            if fault := mixed_scripts(value.text):
                found.append(_fault(value, said("{fault}; is it so in the contract?", fault=fault)))
            elif fault := self._lost_zero(value.text):
                found.append(_fault(value, fault))
        return found

    def _shared(self, subscriber: Subscriber, *, may_recur: bool) -> list[ValueFault]:
        return [
            _fault(value, why)
            for name, value in values_of(subscriber, WATCHED)
            if WATCHED[name].may_recur == may_recur and (why := self._reason(WATCHED[name], value)) is not None
        ]

    def _reason(self, watched: Watched, value: Value) -> Said | None:
        """Why a value is none that only this row has; None if it is one."""
        others, first = self._seen.others(watched, value, _NAMED)
        if others:
            return _again(value.text, first, others)
        if (watched is NUMBERS and self._alike) or (mate := self._seen.lookalike(watched, value.text)) is None:
            return None
        return _like_number(value.text, mate) if watched is NUMBERS else _like(value.text, mate)

    @cached_property
    def _zeros(self) -> tuple[int, int] | None:
        return self._seen.zeros()

    def _lost_zero(self, number: str) -> Said | None:
        """What to say of a number that is shorter than all those that begin with a zero, which have one length."""
        if self._zeros is None:
            return None
        length, others = self._zeros
        if not (number.isascii() and number.isdigit()) or number.startswith("0") or len(number) >= length:
            return None
        return said(
            "{number!r} has {digits} digits, and {others} numbers that begin with a zero have {length}: a "
            "spreadsheet may have removed a zero before it",
            number=number,
            digits=len(number),
            others=Quantity(others),
            length=length,
        )


def _fault(value: Value, why: Said) -> ValueFault:
    return ValueFault(value.place, value.text, why)


def _where(mate: SeenIn) -> Said:
    if mate.table:
        return said("line {line} of {table}", line=mate.line or 0, table=mate.table)
    return said("line {line}", line=mate.line or 0)


def _again(text: str, first: Sequence[SeenIn], others: int) -> Said:
    """The sentence about the same value in `others` rows, of which the first are named."""
    places = tuple(map(_where, first))
    if others <= len(first):
        return said("{value!r} is also in {places}", value=text, places=places)
    more = Quantity(others - len(first))
    return said("{value!r} is also in {places} and {more} more", value=text, places=places, more=more)


def _like(text: str, mate: SeenIn) -> Said:
    return said(
        "{value!r} is also in {place}, in another letter case: {other!r}",
        value=text,
        place=_where(mate),
        other=mate.value,
    )


def _like_number(text: str, mate: SeenIn) -> Said:
    return said(
        "{value!r} looks like {other!r} in {place}, {reason}: correct one of them, or give {flag} if both are right",
        value=text,
        other=mate.value,
        place=_where(mate),
        reason=reason(text, mate.value),
        flag=setting(ALIKE),
    )
