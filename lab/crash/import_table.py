"""The table of an import as the lab draws it: subscribers with all that belongs to them, and rows that are faulty.

Written as an old billing exports it: names in place of ids, which a checked dictionary translates. What is wanted of
each good row is drawn with it, so nothing of the program is asked what it would make of a cell.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address
from itertools import cycle
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

from billing.database.database import Database
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash.trials import sql
from lab.mock.people import ATTRIBUTES, FATHERS, NAMES, OPERATORS, POOLS, SURNAMES, TARIFFS

TABLE: Final = "subscribers.csv"
DICTIONARY: Final = "dictionary.csv"
HEADER: Final = (
    "Номер договора", "ФИО", "Группа", "Тариф", "Оператор", "Телефон", "E-mail", "Логин", "Пароль", "IP", "MAC",
    "Пул", "Услуга", "Менеджер", "Атрибут", "Значение атрибута", "Порог", "Лимит", "Баланс",
)  # fmt: skip
FAULTY: Final = 0.05
"""The share of faulty rows."""

POOL: Final = 1040
MANAGER: Final = 33
_FIRST: Final = int(POOLS[POOL].first) + 300_000
"""The addresses of the table lie behind those that the billing issues."""
_OLD: Final = "Старый "
"""Before the names of the old billing, which the dictionary translates."""

_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Посёлок": ("Частный сектор",),
        "Дома 1-9": ("Многоквартирные дома", "Новостройки"),
        "ул. Ленина": ("Перенесённые", "Ленина"),
        "ул. Гагарина": ("Перенесённые", "Гагарина"),
        "Север": ("Новый город", "Север"),
        "Юг": ("Новый город", "Юг"),
    }
)
"""The folders of the old billing, and the names of those that they become, from the top."""

_THERE: Final[Mapping[tuple[str, ...], int]] = MappingProxyType(
    {("Частный сектор",): 89, ("Многоквартирные дома", "Новостройки"): 1400, ("Перенесённые",): 1316}
)
"""The folders among them that a new billing has."""

_SERVICES: Final = (126, 127, 128, 129, 301, 302, 303)


@dataclass(frozen=True, slots=True)
class WantedSubscriber:
    """What a good row asks for; `things` has each value by the key of its step."""

    number: str
    folder: tuple[str, ...]
    tariff: int | None
    balance: Decimal
    things: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A row of the table, and what it asks for; None for a faulty one."""

    cells: Mapping[str, str]
    wanted: WantedSubscriber | None


@dataclass(frozen=True, slots=True)
class RequestedImport:
    """What an import is judged by: its good rows, the folders that it creates, and the number of its faulty rows.

    `last` is the last id of a subscriber or folder before it, and `content` a digest of each table. `refusals` are
    the texts with which the billing refuses some rows for good.
    """

    subscribers: tuple[WantedSubscriber, ...]
    folders: frozenset[str]
    faulty: int
    last: int
    content: Mapping[str, str]
    refusals: tuple[str, ...] = ()

    @property
    def wanted(self) -> dict[str, str]:
        """What is to be held, by the keys of all its steps; of a folder that it is there."""
        found = dict.fromkeys(self.folders, "")
        for one in self.subscribers:
            found |= one.things
        return found


def new_folders(subscribers: Iterable[WantedSubscriber]) -> frozenset[str]:
    """The folders of subscribers that a new billing does not have, by the keys of their steps."""
    levels = {one.folder[:depth] for one in subscribers for depth in range(1, len(one.folder) + 1)}
    return frozenset(folder_key(one) for one in levels if not any(there[: len(one)] == one for there in _THERE))


def step_key(number: str, step: str, detail: object = "") -> str:
    return row_key((number, step, str(detail)))


def folder_key(names: Sequence[str]) -> str:
    return row_key((Step.FOLDER, "/".join(names)))


def draw_rows(draw: Random, rows: int, faulty: float = FAULTY) -> Iterator[DrawnRow]:
    """As many rows, or one more, of which a share is faulty, in every way in turn; one at a time."""
    # Some faults are of two rows.
    chance = faulty * len(_FAULTS) / (len(_FAULTS) + len(_OF_TWO))
    faults, serial = cycle(draw.sample(_FAULTS, len(_FAULTS))), 0
    while serial < rows:
        bad = next(faults)(draw, serial) if draw.random() < chance else []
        for cells in bad:
            yield DrawnRow(cells, None)
        serial += max(len(bad), 1)
        if not bad:
            yield _good(draw, serial)


def write_table(folder: Path, rows: Iterator[DrawnRow]) -> Iterator[DrawnRow]:
    """Write the rows into the table of a folder, beside its dictionary, and give each of them on."""
    _write_dictionary(folder / DICTIONARY)
    with (folder / TABLE).open("w", encoding="utf-8-sig", newline="") as stream:
        sheet = csv.DictWriter(stream, HEADER, delimiter=";")
        sheet.writeheader()
        for row in rows:
            sheet.writerow(row.cells)
            yield row


def stored_subscriber(row: DrawnRow) -> dict[str, str | int | None]:
    """A good row's subscriber as an operator would create it, in a folder that is there."""
    cells = row.cells
    return {
        "number": cells["Номер договора"],
        "name": cells["ФИО"],
        "parent": _THERE.get(_FOLDERS[cells["Группа"]]),
        "operator": _id(OPERATORS, cells["Оператор"]),
        "sms": cells["Телефон"],
        "email": cells["E-mail"] or None,
        "login": cells["Логин"],
    }


_LIVE: Final = ("abonents", "users", "users_usluga", "attribute_values", "admin_accounts", "finance_operations")
"""The tables that an import changes; of each what is live is compared."""


def live_content(database: Database) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in _LIVE:
        digest = hashlib.sha256()
        for row in database.query(sql(f"live_{table}").text):
            digest.update(repr(row).encode())
        found[table] = digest.hexdigest()
    return found


# ---- good rows --------------------------------------------------------------------------------------------------


def _good(draw: Random, serial: int) -> DrawnRow:
    cells = _cells(draw, serial)
    number, balance = cells["Номер договора"], Decimal(cells["Баланс"].replace(",", ".") or 0)
    folder = _FOLDERS[cells["Группа"]]
    operator, tariff = _id(OPERATORS, cells["Оператор"]), _id(TARIFFS, cells["Тариф"])
    things = {step_key(number, Step.SUBSCRIBER): "; ".join((cells["ФИО"], "/".join(folder), str(operator)))}
    if login := cells["Логин"]:
        things[step_key(number, Step.ACCOUNT, login)] = cells["MAC"]
    if tariff is not None:
        things[step_key(number, Step.TARIFF)] = str(tariff)
    if service := cells["Услуга"]:
        key = int(service.rpartition(" ")[2])
        things[step_key(number, Step.SERVICE, key)] = str(key)
    if attribute := cells["Атрибут"]:
        key = next(key for key, name in ATTRIBUTES.items() if f"{_OLD}{name}" == attribute)
        things[step_key(number, Step.ATTRIBUTE, key)] = cells["Значение атрибута"]
    for column, step in (("Порог", Step.THRESHOLD), ("Лимит", Step.LIMIT)):
        if cells[column]:
            things[step_key(number, step)] = money_text(Decimal(cells[column]))
    if balance:
        things[step_key(number, Step.BALANCE)] = money_text(balance)
    return DrawnRow(cells, WantedSubscriber(number, folder, tariff, balance, things))


def _cells(draw: Random, serial: int) -> dict[str, str]:
    has_account, has_attribute, has_service = (draw.random() < share for share in (0.9, 0.3, 0.5))
    # None is 0, which needs no operation.
    amount = Decimal(draw.choice((-1, 1)) * draw.randrange(1, 3_000_00)) / 100
    attribute = draw.choice(tuple(ATTRIBUTES.values()))
    return {
        "Номер договора": f"М-{serial:06d}",
        "ФИО": f"{draw.choice(SURNAMES)} {draw.choice(NAMES)} {draw.choice(FATHERS)}",
        "Группа": draw.choice(tuple(_FOLDERS)),
        "Тариф": f"{_OLD}{draw.choice(tuple(TARIFFS))}",
        "Оператор": f"{_OLD}{draw.choice(tuple(OPERATORS))}",
        "Телефон": f"+79{draw.randrange(10**9):09d}",
        "E-mail": f"m{serial}@example.org" if draw.random() < _OFTEN else "",
        "Логин": f"m{serial}" if has_account else "",
        "Пароль": f"{draw.getrandbits(40):010x}" if has_account else "",
        "IP": str(IPv4Address(_FIRST + serial)) if has_account and draw.random() < _OFTEN else "",
        "MAC": _mac(serial) if has_account else "",
        "Пул": f"{_OLD}{POOL}" if has_account else "",
        "Услуга": f"{_OLD}{draw.choice(_SERVICES)}" if has_service else "",
        "Менеджер": f"{_OLD}{MANAGER}" if has_service else "",
        "Атрибут": f"{_OLD}{attribute}" if has_attribute else "",
        "Значение атрибута": f"значение {serial}" if has_attribute else "",
        "Порог": f"-{draw.randrange(1, 500)}" if draw.random() < _SELDOM else "",
        "Лимит": f"-{draw.randrange(1, 500)}.50" if draw.random() < _SELDOM else "",
        "Баланс": f"{amount:.2f}".replace(".", ",") if draw.random() < _OFTEN else "",
    }


_OFTEN: Final = 0.8
_SELDOM: Final = 0.3


def _id(names: Mapping[int, object], cell: str) -> int | None:
    """The id behind a name of the old billing, which is written with it."""
    key = int(cell.removeprefix(_OLD)) if cell else None
    return key if key in names else None


def _mac(serial: int) -> str:
    return f"02:10:{serial >> 24 & 255:02x}:{serial >> 16 & 255:02x}:{serial >> 8 & 255:02x}:{serial & 255:02x}"


def money_text(amount: Decimal) -> str:
    return f"{amount:.2f}"


# ---- faulty rows ------------------------------------------------------------------------------------------------

_Faulty = Callable[[Random, int], list[dict[str, str]]]


def _with(column: str, text: str) -> _Faulty:
    """A fault that one row has by itself: a cell that cannot be taken."""
    return lambda draw, serial: [_cells(draw, serial + 1) | _ACCOUNT(serial + 1) | {column: text}]


def _both(column: str, other: Callable[[str], str] = str) -> _Faulty:
    """A fault that two rows have with each other: a cell of one is that of the other, or looks like it."""

    def pair(draw: Random, serial: int) -> list[dict[str, str]]:
        first, second = (_cells(draw, one) | _ACCOUNT(one) for one in (serial + 1, serial + 2))
        return [first, second | {column: other(first[column])}]

    return pair


def _ACCOUNT(serial: int) -> dict[str, str]:  # noqa: N802 - the cells that a row with an account has
    return {
        "Логин": f"m{serial}",
        "IP": str(IPv4Address(_FIRST + serial)),
        "MAC": _mac(serial),
        "Пул": f"{_OLD}{POOL}",
        "Баланс": "1,00",
    }


_OF_TWO: Final[tuple[_Faulty, ...]] = (
    _both("Номер договора"),
    # The Latin letter in place of the Cyrillic one.
    _both("Номер договора", lambda number: number.replace("М", "M")),
    _both("Логин"),
    _both("IP"),
    _both("MAC"),
)
_FAULTS: Final[tuple[_Faulty, ...]] = (
    *_OF_TWO,
    _with("Номер договора", ""),
    _with("Номер договора", "7" * 65),
    _with("ФИО", ""),
    _with("ФИО", "Я" * 256),
    _with("Группа", "Неизвестная"),
    _with("Тариф", f"{_OLD}77"),
    _with("Тариф", "Снятый"),
    _with("Оператор", "Никто"),
    _with("Телефон", "12-34-56"),
    _with("E-mail", "нет"),
    _with("IP", "172.16.0"),
    _with("IP", "198.51.100.7"),
    _with("MAC", "02:10:zz:00:00:01"),
    _with("Пул", "Никакой"),
    _with("Порог", "минус сто"),
    _with("Лимит", "1,5E+03"),
    _with("Баланс", "сто рублей"),
)
"""Every kind of fault."""


# ---- the dictionary ---------------------------------------------------------------------------------------------


def _write_dictionary(path: Path) -> None:
    ids: dict[str, Iterable[int]] = {"tariff": TARIFFS, "operator": OPERATORS, "service": _SERVICES}
    ids |= {"pool": (POOL,), "administrator": (MANAGER,)}
    rows = [(kind, f"{_OLD}{key}", str(key), "", "yes") for kind, keys in ids.items() for key in keys]
    rows += [("attribute", f"{_OLD}{name}", str(key), "", "yes") for key, name in ATTRIBUTES.items()]
    for name, folder in _FOLDERS.items():
        there = _THERE.get(folder)
        rows.append(
            ("folder", name, "new" if there is None else str(there), "" if there else "/".join(folder), "yes")
        )
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(("kind", "name", "id", "name_here", "checked"))
        sheet.writerows(rows)
