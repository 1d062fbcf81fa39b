"""Names of tariffs, services, folders and the other references of a billing, each with its id.

They are read whole, from the database or through the API: a billing has hundreds of them, and some thousand folders.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.database.database import Database
from billing.database.sql_blocks import sql_block
from billing.directory.models import as_bool
from billing.directory.objects import REFERENCES, can_be
from billing.errors import ColumnsMissing

MOST: Final = 100_000
"""Names of one kind that are read; all of them are in memory."""

_LONGEST: Final = 255
_sql: Final = partial(sql_block, "names", folder="billing.directory")


@dataclass(frozen=True, slots=True)
class NamedObject:
    """What has a name: its id and its names, the first of which is shown; an administrator's are name and login.

    `above` has the names of the folders that a folder lies in, from the top; `parent` is the id of the last of them.
    """

    id: int
    names: tuple[str, ...]
    deleted: bool = False
    above: tuple[str, ...] = ()
    parent: int | None = None


_FURTHER: Final[Mapping[str, str]] = {"Folder": "parent_id", "Manager": "username"}
"""The fields of the API's models that tell more of a name."""


def in_database(database: Database, kind: str) -> list[NamedObject] | None:
    """The named objects of a kind, deleted ones too; None where this billing has no such table or column.

    Raises what `Database.query` raises.
    """
    try:
        rows = list(islice(database.query(_sql(REFERENCES[kind].statement)), MOST))
    except ColumnsMissing:
        return None
    return _objects(rows)


def calls_for(kind: str) -> Sequence[Call]:
    """The reading calls for the objects of a kind: the next one is made where the billing refuses one of its fields.

    There are none where the model is not known.
    """
    model = REFERENCES[kind].model
    if not model:
        return ()
    criteria = {"is_folder": 1} if kind == "Folder" else {}
    wanted = ("id", "name", *([_FURTHER[kind]] if kind in _FURTHER else []))
    return filter_(model, criteria, *wanted, "deleted"), filter_(model, criteria, *wanted)


def of_answer(kind: str, answer: object) -> list[NamedObject]:
    """The named objects of an answer to one of these calls. Raises `UnreadableAnswer`."""
    rows: list[Sequence[object]] = []
    for found in islice(objects(answer), MOST):
        username = found.get("username") if kind == "Manager" else None
        name, parent = found.get("name") or username, found.get("parent_id")
        rows.append((found.get("id", found.get("pk")), name, username, found.get("deleted"), parent))
    return _objects(rows)


def _objects(rows: Iterable[Sequence[object]]) -> list[NamedObject]:
    read: dict[int, tuple[tuple[str, ...], bool, int | None]] = {}
    for found_id, name, another, deleted, parent in rows:
        key, names = _whole(found_id), tuple(dict.fromkeys(filter(None, map(_text, (name, another)))))
        if key is not None and names:
            read[key] = (names, as_bool(deleted), _whole(parent))
    named: list[NamedObject] = []
    for key, (names, deleted, parent) in read.items():
        at = parent
        # Of folders that lie in each other in a ring, each once.
        above: dict[int, str] = {}
        while at is not None and at in read and at not in above and at != key:
            above[at] = read[at][0][0]
            at = read[at][2]
        named.append(NamedObject(key, names, deleted, tuple(reversed(above.values())), parent))
    return named


def _text(value: object) -> str:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if can_be("id", text) else None
