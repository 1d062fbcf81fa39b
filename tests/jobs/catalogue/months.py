"""Months around this one: the billing recalculates from some of them only."""

import datetime as dt


def first_of(months: int) -> str:
    """The first of the month that is so many after this one, as 2026-11-01."""
    today = dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local
    whole = today.year * 12 + today.month - 1 + months
    return f"{whole // 12:04}-{whole % 12 + 1:02}-01"
