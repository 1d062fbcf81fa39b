"""How Firebird finds the rows of a look-up: each key by an index, in both versions that the tests have.

A look-up is made for each page of rows. If it reads a whole table, or walks along a whole index, then the time of a
plan grows with the square of its rows.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from billing.database.database import KEYS_A_STATEMENT, Database
from billing.database.sql_blocks import SqlStatement, Values, blocks
from billing.directory.models import MODELS

WITHOUT_AN_INDEX: Final[Mapping[str, str]] = {
    "Abonents, abonents_by_name": "only the few names of folders are looked up; no index on it is documented",
    "attributes_in_use": "each id is looked up once a run; no index on it is documented",
    "in_folders": "all subscribers are walked through once, a page a statement",
    "pools_in_use": "each id is looked up once a run; no index on it is documented",
    "snat_pools_in_use": "each id is looked up once a run; no index on it is documented",
    "waits_for_accounts": "a stack holds only what is not applied yet; no index on it is documented",
    "waits_for_abonents": "a stack holds only what is not applied yet; no index on it is documented",
}
"""The look-ups that read a whole table, each with the reason why it may."""

# A plan depends on the number of keys, not on the keys; each list of them has a name of its own.
_VALUES: Final[Values] = defaultdict(
    lambda: range(KEYS_A_STATEMENT), {"type": 8, "text": "[cm", "size": 1, "after": 0}
)


def _look_ups(database: Database) -> Iterator[tuple[str, SqlStatement]]:
    """Each statement with a list of keys, by a name."""
    for file in ("subscribers", "references", "system"):
        for block in blocks(file, "billing.directory").values():
            if " in (:" in block.text:
                yield block.name, block
    for name, model in MODELS.items():
        there = model.there(database.schema)
        for end in {*model.keys.values(), *filter(None, [model.commented])}:
            yield f"{name}, {end}", model.selecting(there, end)


def test_each_look_up_finds_its_keys_by_an_index(either_database: Database) -> None:
    plans = {name: either_database.describe(one, _VALUES).plan for name, one in _look_ups(either_database)}
    walking = {name: plan for name, plan in plans.items() if re.search(r"\b(NATURAL|ORDER)\b", plan)}
    assert {name: plan for name, plan in walking.items() if name not in WITHOUT_AN_INDEX} == {}
    assert walking.keys() == WITHOUT_AN_INDEX.keys()
