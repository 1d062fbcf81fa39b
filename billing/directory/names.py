"""Names of tariffs, services, folders and the other references of a billing, each with its id.

They are read whole, from the database or through the API: a billing has hundreds of them, and some thousand folders.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.database.database import Database
from billing.database.sql_blocks import sql_block
from billing.directory.models import LARGEST_ID
from billing.directory.objects import REFERENCES
from billing.errors import ColumnsMissing

MOST: Final = 100_000
"""Names of one kind that are read; all of them are in memory."""

_LONGEST: Final = 255
_sql: Final = partial(sql_block, "names", folder="billing.directory")


@dataclass(frozen=True, slots=True)
class NamedObject:
    """What has a name: its id and its names, the first of which is shown; an administrator's are name and login.

    `above` has the names of the folders that a folder lies in, from the top.
    """

    id: int
    names: tuple[str, ...]
    deleted: bool = False
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Named:
    """How names of a kind are read: the statement, and the fields of the API's model that hold further names."""

    statement: str
    further: tuple[str, ...] = ()


_NAMED: Final[Mapping[str, _Named]] = MappingProxyType(
    {
        "Tarif": _Named("tariffs"),
        "Usluga": _Named("services"),
        "Folder": _Named("folders", ("parent_id",)),
        "Operator": _Named("operators"),
        "Manager": _Named("administrators", ("username",)),
        "Attribute": _Named("attributes"),
        "Pool": _Named("pools"),
        "SnatPool": _Named("pools"),
    }
)
"""By the names of `REFERENCES`."""


def in_database(database: Database, kind: str) -> list[NamedObject] | None:
    """The named objects of a kind, deleted ones too; None where this billing has no such table or column.

    Raises what `Database.query` raises.
    """
    try:
        rows = list(islice(database.query(_sql(_NAMED[kind].statement)), MOST))
    except ColumnsMissing:
        return None
    return _objects(rows)


def calls_for(kind: str) -> Sequence[Call]:
    """The reading calls for the objects of a kind: the next one is made where the billing refuses one of its fields.

    There are none where the model is not known.
    """
    reference, further = REFERENCES[kind], _NAMED[kind].further
    if not reference.model:
        return ()
    criteria = {"is_folder": 1} if kind == "Folder" else {}
    wanted = ("id", "name", *further)
    return filter_(reference.model, criteria, *wanted, "deleted"), filter_(reference.model, criteria, *wanted)


def of_answer(kind: str, answer: object) -> list[NamedObject]:
    """The named objects of an answer to one of these calls. Raises `UnreadableAnswer`."""
    return _objects(islice((_row(kind, one) for one in objects(answer)), MOST))


def _row(kind: str, found: Mapping[str, object]) -> Sequence[object]:
    username = found.get("username") if kind == "Manager" else None
    name = found.get("name") or username
    return found.get("id", found.get("pk")), name, username, found.get("deleted"), found.get("parent_id")


def _objects(rows: Iterable[Sequence[object]]) -> list[NamedObject]:
    """The objects of rows of id, name, another name, deleted, parent; those without id or name are left out."""
    read: dict[int, tuple[tuple[str, ...], bool, int | None]] = {}
    for found_id, name, another, deleted, parent in rows:
        key, names = _whole(found_id), tuple(dict.fromkeys(filter(None, map(_text, (name, another)))))
        if key is not None and names:
            read[key] = (names, str(deleted).casefold() in {"1", "true"}, _whole(parent))
    own = {key: names[0] for key, (names, _, _) in read.items()}
    parents = {key: parent for key, (_, _, parent) in read.items()}
    return [NamedObject(key, names, deleted, _above(key, own, parents)) for key, (names, deleted, _) in read.items()]


def _above(key: int, own: Mapping[int, str], parents: Mapping[int, int | None]) -> tuple[str, ...]:
    """The names of the folders above one; of folders that lie in each other in a ring, each once."""
    above: dict[int, str] = {}
    at = parents[key]
    while at is not None and at in own and at not in above and at != key:
        above[at] = own[at]
        at = parents[at]
    return tuple(reversed(above.values()))


def _text(value: object) -> str:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))):
        return None
    return int(text) if int(text) <= LARGEST_ID else None
