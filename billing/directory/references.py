"""References: the tariffs, services, folders, operators and others that objects name by id.

Not all of their tables are documented. If a table is missing, the API is asked, provided the model is known. If
neither is known, an id that is already in use exists, and any other id remains unknown.
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
from texts.said import Said, said


@dataclass(frozen=True, slots=True)
class Reference:
    """A kind of reference, and how its ids are checked; `noun` is its name for people.

    `table` and `statement` find the ids themselves, `in_use` finds ids that objects refer to, `model` is that of the
    API; "" if unknown. `flags` are fields that must be set or not set in an object of the model.
    """

    noun: Said
    table: str = ""
    statement: str = ""
    in_use: str = ""
    model: str = ""
    flags: tuple[tuple[str, bool], ...] = ()


REFERENCES: Final[Mapping[str, Reference]] = MappingProxyType(
    {
        "Tarif": Reference(said("tariff"), "TARIF", "tariffs", model="Tarif"),
        "Usluga": Reference(said("service"), "USLUGA", "services", model="Usluga"),
        "Folder": Reference(
            said("folder"),
            "ABONENTS",
            "folders",
            model="Abonents",
            flags=(("is_folder", True), ("deleted", False)),
        ),
        "Operator": Reference(said("operator"), "OPERATORS", "operators", "operators_in_use"),
        "Manager": Reference(
            said("administrator"),
            "DJANGO_USERS_PROFILE",
            "administrators",
            "administrators_in_use",
            model="DjangoUsersProfile",
        ),
        "Attribute": Reference(said("attribute"), in_use="attributes_in_use"),
        "Pool": Reference(said("pool"), in_use="pools_in_use"),
        "SnatPool": Reference(said("SNAT pool"), in_use="snat_pools_in_use"),
    }
)
"""The references by the names that parameters use."""


def has_table(database: Database, reference: Reference) -> bool:
    """Whether this billing has the table of the reference."""
    return bool(reference.table) and database.schema.has(reference.table, "ID")


def there_of(database: Database, reference: Reference, ids: Collection[int]) -> set[int]:
    """The ids that exist or are in use. Raises what `Database.query` raises."""
    found: set[int] = set()
    if has_table(database, reference):
        found |= _found(database, reference.statement, ids)
    left = set(ids) - found
    if reference.in_use and left:
        try:
            found |= _found(database, reference.in_use, left)
        except ColumnsMissing:
            # Without these columns fewer ids are known.
            return found
    return found


def call_for(reference: Reference, key: int) -> Call:
    """The reading call that finds an id of a model."""
    return filter_(reference.model, {"id": key}, "id", *(name for name, _ in reference.flags))


def is_there(reference: Reference, answer: object) -> bool:
    """Whether the answer to that call contains the id. Raises `UnreadableAnswer`."""
    return any(
        all((str(one.get(name)).casefold() in _SET) == wanted for name, wanted in reference.flags)
        for one in objects(answer)
    )


_SET: Final = frozenset({"1", "true"})


def _found(database: Database, name: str, ids: Collection[int]) -> set[int]:
    wanted = sql_block("references", name, "billing.directory")
    return {key for chunk in chunks(sorted(ids)) for (key,) in database.query(wanted, {"keys": chunk})}
