"""Which billing a database belongs to, whatever its address, and subscribers of it drawn for a comparison."""

import hashlib
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from billing.database.sql_blocks import sql_block
from billing.errors import StatementRefused

if TYPE_CHECKING:
    from billing.database.database import Database

_sql: Final = partial(sql_block, "identity", folder="billing.directory")

_OLDEST: Final = 12
_FEWEST: Final = 4
"""Rows that tell one billing from another; with fewer, a billing is known by its address."""
_DIGITS: Final = 8
_NEWEST: Final = 2
_DRAWN: Final = 3
_LOOKED_BACK: Final = 1000
"""Ids below the largest among which the newest subscribers are: Firebird walks an index in one direction only."""


def identity_of(database: "Database") -> str:
    """The billing's identity: a digest of each of its oldest rows, "" where there are too few of them.

    It holds ids and days of creation alone, which neither a new subscriber changes, nor another name, number or
    folder, nor a deletion, which only marks a row. Raises what `Database.query` raises.
    """
    try:
        rows = list(database.query(_sql("oldest"), {"size": _OLDEST}))
    except StatementRefused:
        # This version has no day of creation.
        return ""
    if len(rows) < _FEWEST:
        return ""
    return " ".join(hashlib.sha256(f"{key} {day}".encode()).hexdigest()[:_DIGITS] for key, day in rows)


def is_same(one: str, other: str) -> bool | None:
    """Whether two identities are of one billing; None where one of them is not known.

    Most rows have to agree: a billing that was young has more of them now, and one may have been removed for good.
    """
    if not one or not other:
        return None
    ones, others = set(one.split()), set(other.split())
    return 2 * len(ones & others) > min(len(ones), len(others))


def drawn_subscribers(database: "Database", random: Random) -> list[int]:
    """The ids of a few subscribers: the newest, and some drawn at random. Raises what `Database.query` raises."""
    ((least, most),) = database.query(_sql("ends"))
    if most is None:
        return []
    newest = database.query(_sql("last_of"), {"least": most - _LOOKED_BACK, "size": _NEWEST})
    ids = [key for (key,) in newest]
    for _ in range(_DRAWN):
        values = {"least": random.randint(least, most), "size": 1}
        ids += [key for (key,) in database.query(_sql("first_from"), values)]
    return list(dict.fromkeys(ids))
