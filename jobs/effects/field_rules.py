"""Rules for some fields of the billing, in every job that sets them.

An emptied address is issued anew, a recalculation begins on the first of a month, a block ends after it begins.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.directory.values import Values
from jobs.spec.parameters import first_of_a_month, today
from texts.said import said

Check: TypeAlias = Callable[[Values], str | None]
"""The vendor's precondition on the wanted fields: why a row is refused, None if it is not."""


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules for some fields.

    `renewed` fields are issued anew by the billing when they are emptied, such as an address from a pool: any value
    other than the old one is as wanted. `cleared` fields may be emptied by the billing after it has acted. `checks`
    are preconditions. `no_way_back` says why the effect cannot be taken back, "" if it can.
    """

    renewed: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    checks: tuple[Check, ...] = ()
    no_way_back: str = ""

    def emptied(self, wanted: Values) -> frozenset[str]:
        """The wanted fields that the billing issues anew."""
        return frozenset(name for name in self.renewed if name in wanted and wanted[name] is None)

    def fault(self, wanted: Values) -> str | None:
        """Why these values are refused, None if they are not."""
        return next((fault for check in self.checks if (fault := check(wanted))), None)


def rules_of(model: str, fields: Collection[str]) -> FieldRules:
    """The combined rules for these fields of a model."""
    known = [rules for name, rules in _KNOWN.get(model, {}).items() if name in fields]
    return FieldRules(
        renewed=frozenset().union(*(one.renewed for one in known)),
        cleared=frozenset().union(*(one.cleared for one in known)),
        checks=tuple(check for one in known for check in one.checks),
        no_way_back=next((one.no_way_back for one in known if one.no_way_back), ""),
    )


def in_order(first: str, last: str) -> Check:
    """The check that refuses a row whose `last` day or moment is before its `first`."""

    def check(wanted: Values) -> str | None:
        begins, ends = wanted.get(first), wanted.get(last)
        if begins is None or ends is None:
            return None
        try:
            wrong = dt.datetime.fromisoformat(ends) < dt.datetime.fromisoformat(begins)
        except (ValueError, TypeError):
            return said(
                "{first} {begins!r}, {last} {ends!r}: dates are written as 2019-06-01 or 2019-06-01 00:00:00 here",
                first=first,
                begins=begins,
                last=last,
                ends=ends,
            )
        if not wrong:
            return None
        return said("it would end at {ends}, before it begins at {begins}", ends=ends, begins=begins)

    return check


def _recalculable(wanted: Values) -> str | None:
    text = wanted.get("need_recalc")
    if text is None:
        return None
    try:
        day = first_of_a_month(today)(text)
    except ValueError as error:
        return said("{name}: {error}", name="need_recalc", error=error)
    return None if day == text else said("need_recalc {text!r}: the billing takes it as {day}", text=text, day=day)


_KNOWN: Final[Mapping[str, Mapping[str, FieldRules]]] = MappingProxyType(
    {
        "Users": {name: FieldRules(renewed=frozenset({name})) for name in ("ip", "snatip")},
        "Abonents": {
            "need_recalc": FieldRules(
                cleared=frozenset({"need_recalc"}),
                checks=(_recalculable,),
                no_way_back=said(
                    "a recalculation cannot be taken back: recalculate from the same month once what was wrong is "
                    "put right"
                ),
            ),
            "own_disabled_end": FieldRules(checks=(in_order("own_disabled_start", "own_disabled_end"),)),
        },
        "AbonentsBlockHistory": {"time_del": FieldRules(checks=(in_order("time_changed", "time_del"),))},
    }
)
"""The rules by model and field [S, V]."""
