"""The loads: which job enters which rows, and how a change of the billing is known to be the effect of a row.

A row is recognised by its values alone, never by the program's mark: by the kopecks of a sum, or by a value that no
other row has.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from lab.simulation.billing import RECEIPT, SET_BALANCE, Billing, Effect

ON_TOP: Final = "balances that add up"
UNMARKED: Final = "payment without a mark"
"""The load whose entries nobody can tell from those of others."""
KOPECKS: Final = 100
FOLDERS: Final = 3
"""Folders of an import, in another one."""
STRANGE: Final = Decimal("0.99")
"""The kopecks of sums that are of no row."""


@dataclass(frozen=True, slots=True)
class Load:
    """Rows of one job. `model` is the one that they change, `row_of` the row that a change is the effect of."""

    job: str
    header: tuple[str, ...]
    cells: Callable[[int, int, random.Random], tuple[str, ...]]
    """The cells of a row, from its number and the id of what it is about: a subscriber, or a service to delete."""
    model: str
    row_of: Callable[[Effect], int | None]
    given: Mapping[str, str] = field(default_factory=dict)
    way_back: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False
    shares: bool = True
    """Whether several rows may be about one account."""
    op_type: int = 0
    """The type of operations that it enters, 0 where it enters no money."""
    is_marked: bool = True
    """Whether the program can tell its own entries from those of others."""
    name: str = ""
    adds: bool = False
    """Whether its operations of type 8 add to the balance, so that a later file can enter the differences."""
    has_steps: bool = False
    """Whether a row makes several objects, and some are made for several rows."""
    takes_away: bool = False
    """Whether its effect is that something is deleted, which was there before."""


def _by_kopecks(effect: Effect) -> int | None:
    summa = Decimal(str(effect.after.get("op_summa", "0"))) if effect.what == "created" else Decimal(0)
    row = int(abs(summa) * KOPECKS) % KOPECKS
    return row if 0 < row < KOPECKS - 1 else None


def _by_abonent(effect: Effect) -> int | None:
    return int(effect.after["abonent_id"]) if effect.what == "created" else None


def row_of_comment(values: Mapping[str, object], name: str = "comment") -> int | None:
    """The row that a value names."""
    _, _, row = str(values.get(name) or "").partition("row ")
    return int(row.split()[0]) if row else None


def _by_value(name: str) -> Callable[[Effect], int | None]:
    return lambda effect: row_of_comment(effect.after or effect.before, name)


def _by_limit(effect: Effect) -> int | None:
    found = Decimal(str(effect.after.get("limit_warning", "0")))
    return -int(found) - 1000 if found <= -1000 else None  # noqa: PLR2004


_PAYMENT: Final = Load(
    "payment",
    ("abonent_id", "amount", "document"),
    lambda row, abonent, draw: (str(abonent), f"{draw.randint(1, 900)}.{row:02}", f"D{row}"),
    "FinanceOperations",
    _by_kopecks,
    way_back={"way": "opposite"},
    op_type=RECEIPT,
)

_BALANCES: Final = Load(
    "balances",
    ("abonent_id", "amount"),
    lambda row, abonent, draw: (str(abonent), f"{draw.randint(1, 900)}.{row:02}"),
    "FinanceOperations",
    _by_abonent,
    way_back={"way": "opposite", "type_8": "sets"},
    op_type=SET_BALANCE,
    shares=False,
)

LOADS: Final[Mapping[str, Load]] = {
    load.name or load.job: load
    for load in (
        _PAYMENT,
        replace(
            _PAYMENT,
            header=("contract_number", "amount", "document"),
            cells=lambda row, abonent, draw: (f"{abonent:05}", f"{draw.randint(1, 900)}.{row:02}", f"D{row}"),
            name="payment by contract number",
        ),
        replace(_PAYMENT, given={"way": "add_payment"}, way_back={}, is_marked=False, name=UNMARKED),
        _BALANCES,
        replace(_BALANCES, way_back={"way": "opposite", "type_8": "adds"}, adds=True, name=ON_TOP),
        Load(
            "attribute",
            ("abonent_id", "value"),
            lambda row, abonent, _: (str(abonent), f"row {row}"),
            "AttributeValues",
            _by_value("attribute_value"),
            given={"attribute": "7"},
            shares=False,
            is_marked=False,
        ),
        Load(
            "connect-service",
            ("abonent_id", "comment"),
            lambda row, abonent, _: (str(abonent), f"row {row}"),
            "UsersUsluga",
            _by_value("comment"),
            given={"usluga": "1", "manager": "1"},
            shares=False,
        ),
        Load(
            "warning-threshold",
            ("abonent_id", "amount"),
            lambda row, abonent, _: (str(abonent), str(-1000 - row)),
            "AdminAccounts",
            _by_limit,
            is_repeatable=True,
            shares=False,
        ),
        Load(
            "delete-services",
            ("users_usluga_id",),
            lambda _, service, __: (str(service),),
            "UsersUsluga",
            _by_value("comment"),
            shares=False,
            is_marked=False,
            takes_away=True,
        ),
        Load(
            "import",
            ("contract_number", "name", "folder", "login"),
            lambda row, _, __: (f"N{row:04}", f"row {row}", f"Город/Улица {row % FOLDERS}", f"login{row}"),
            "Abonents",
            _by_value("name"),
            has_steps=True,
            shares=False,
            is_marked=False,
        ),
    )
}


def population(billing: Billing, subscribers: int, *, services: bool = False) -> None:
    """Subscribers with an account each, in a folder; if so, each with a service whose comment names its row."""
    billing.add("DjangoUsersProfile", username="root")
    billing.add("Usluga", name="Интернет")
    billing.add("Tarif", name="Базовый")
    for number in range(1, subscribers + 1):
        account = billing.add("AdminAccounts", ostatok="10.99")
        billing.add("Abonents", name=f"Абонент {number}", contract_number=f"{number:05}", account_id=account)
        if services:
            billing.add("UsersUsluga", abonent_id=number, usluga_id=1, manager_id=1, comment=f"row {number}")
    billing.ledger.clear()
