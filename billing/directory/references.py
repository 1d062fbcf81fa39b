"""What subscribers, accounts and services refer to by its id: tariffs, services, folders, operators, and the like.

Not all of their tables are documented. Where one is not there, the API is asked if its model is known; where that is
not known either, an id that something refers to already is there, and of any other nobody can tell.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from billing.api.answers import objects
from billing.api.calls import Call, filter_
from billing.database.database import Database, chunks
from billing.database.sql_blocks import sql_block
from billing.errors import ColumnsMissing

LARGEST_ID: Final = 2**31 - 1
"""The billing's keys are Firebird integers; a larger number would make the database refuse the whole statement."""


@dataclass(frozen=True, slots=True)
class Reference:
    """How the ids of something are known; `noun` is what people call one.

    `table` and `sql_block` are its own, `in_use` finds what refers to it, `model` is that of the API; "" for what is
    not known. `flags` are the fields that an object of the model must have set or not, to be one.
    """

    noun: str
    table: str = ""
    statement: str = ""
    in_use: str = ""
    model: str = ""
    flags: tuple[tuple[str, bool], ...] = ()


REFERENCES: Final[Mapping[str, Reference]] = MappingProxyType(
    {
        "Tarif": Reference("tariff", "TARIF", "tariffs", model="Tarif"),
        "Usluga": Reference("service", "USLUGA", "services", model="Usluga"),
        "Folder": Reference(
            "folder",
            "ABONENTS",
            "folders",
            model="Abonents",
            flags=(("is_folder", True), ("deleted", False)),
        ),
        "Operator": Reference("operator", "OPERATORS", "operators", "operators_in_use"),
        "Manager": Reference(
            "administrator",
            "DJANGO_USERS_PROFILE",
            "administrators",
            "administrators_in_use",
            model="DjangoUsersProfile",
        ),
        "Attribute": Reference("attribute", in_use="attributes_in_use"),
        "Pool": Reference("pool", in_use="pools_in_use"),
        "SnatPool": Reference("SNAT pool", in_use="snat_pools_in_use"),
    }
)
"""By the names that parameters refer by."""


def has_table(database: Database, reference: Reference) -> bool:
    """Whether this billing has the table of it."""
    return bool(reference.table) and database.schema.has(reference.table, "ID")


def there_of(database: Database, reference: Reference, ids: Collection[int]) -> set[int]:
    """Those of the ids that are there, or that something refers to. Raises what `Database.query` raises."""
    found: set[int] = set()
    if has_table(database, reference):
        found |= _found(database, reference.statement, ids)
    left = set(ids) - found
    if reference.in_use and left:
        try:
            found |= _found(database, reference.in_use, left)
        except ColumnsMissing:
            # It would only have shown a little more.
            return found
    return found


def call_for(reference: Reference, key: int) -> Call:
    """The reading call that finds an id of a model."""
    return filter_(reference.model, {"id": key}, "id", *(name for name, _ in reference.flags))


def is_there(reference: Reference, answer: object) -> bool:
    """Whether that call has found it. Raises `UnreadableAnswer`."""
    return any(
        all((str(one.get(name)).casefold() in _SET) == wanted for name, wanted in reference.flags)
        for one in objects(answer)
    )


_SET: Final = frozenset({"1", "true"})


def _found(database: Database, name: str, ids: Collection[int]) -> set[int]:
    wanted = sql_block("references", name, "billing.directory")
    return {key for chunk in chunks(sorted(ids)) for (key,) in database.query(wanted, {"keys": chunk})}
