"""Dates as people write them, in the one spelling that the billing takes [S, D]: 2019-06-01, 2019-06-01 00:00:00."""

import datetime as dt
from collections.abc import Callable
from typing import Final

MONTHS_BACK: Final = 6
"""How long ago a recalculation may begin [V]."""

_SHOWN: Final = 40
_DAY: Final = ("%Y-%m-%d", "%d.%m.%Y")
_MOMENT: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")


def today() -> dt.date:
    """The day here, which is the billing's."""
    return dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local


def a_date(text: str) -> str:
    """A day: 2019-06-01 or 01.06.2019."""
    found = _read(text, _DAY)
    if found is None:
        raise ValueError(f"{text[:_SHOWN]!r} is no date: write it as 2019-06-01 or 01.06.2019")
    return found.date().isoformat()


def a_moment(text: str) -> str:
    """A day with a time; a day alone is its midnight."""
    found = _read(text, (*_MOMENT, *_DAY))
    if found is None:
        raise ValueError(
            f"{text[:_SHOWN]!r} is no moment: write it as 2019-06-01 00:00:00, or 01.06.2019 for its midnight"
        )
    return found.isoformat(" ", "seconds")


def first_of_a_month(today: Callable[[], dt.date]) -> Callable[[str], str]:
    """The first day of one of the last six months, which is all that the billing recalculates from [S, V]."""

    def parse(text: str) -> str:
        day = dt.date.fromisoformat(a_date(text))
        now = today()
        if day.day != 1:
            raise ValueError(
                f"{text!r} is not the first of a month: a recalculation begins with one, as {day:%Y-%m}-01"
            )
        back = (now.year - day.year) * 12 + now.month - day.month
        if back > MONTHS_BACK:
            raise ValueError(f"{text!r} is {back} months back: the billing recalculates {MONTHS_BACK} at most")
        if back < 0:
            raise ValueError(f"{text!r} is still to come")
        return f"{day:%Y-%m-%d}"

    return parse


def _read(text: str, forms: tuple[str, ...]) -> dt.datetime | None:
    if not text.strip().isascii():
        return None
    for form in forms:
        try:
            return dt.datetime.strptime(text.strip(), form)  # noqa: DTZ007 - the billing's dates have no zone
        except ValueError:
            continue
    return None
