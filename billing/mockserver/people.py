"""Made-up subscribers, as a real billing has them; the same ones for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final

from billing.money import SCALE

Columns = tuple[str | int | datetime | None, ...]

# The folders of the vendor's recipes [S] keep their ids; 1400 lies within 1000.
FOLDERS: Final = {89: "Частный сектор", 1000: "Многоквартирные дома", 1316: "Перенесённые", 1400: "Новостройки"}
NESTED: Final = {1400: 1000}
FIRST_ABONENT: Final = 2_001
OPERATORS: Final = {3: "Старый оператор", 1444: "Новый оператор"}
TARIFFS: Final = {1: None, 2: -50, 3: -100, 4: -200, 5: 0, 6: 100}
"""Tariffs and their thresholds in roubles; the first has none."""
SERVICES: Final = {126: 250, 127: 450, 128: 700, 129: 99, 130: 1200, 240: 0}
"""Services and their prices in roubles; 240 is the promised payment."""

_BEGINNING: Final = datetime(2016, 1, 1)  # noqa: DTZ001 - the billing's dates have no zone
_SURNAMES: Final = [
    "Иванов",
    "Смирнов",
    "Кузнецов",
    "Попов",
    "Соколов",
    "Лебедев",
    "Козлов",
    "Новиков",
    "Морозов",
    "Волков",
    "Щербаков",
    "Ёлкин",
]
_NAMES: Final = ["Александр", "Дмитрий", "Сергей", "Андрей", "Алексей", "Илья", "Фёдор", "Пётр", "Юрий", "Эдуард"]
_FATHERS: Final = [
    "Александрович",
    "Дмитриевич",
    "Сергеевич",
    "Андреевич",
    "Ильич",
    "Фёдорович",
    "Петрович",
    "Юрьевич",
]

# Shares of all subscribers.
_DELETED: Final = 0.03
_SHARED_ACCOUNT: Final = 0.01
_SECOND_USER: Final = 0.08
_SERVICE: Final = 0.5
_RECEIPT: Final = 0.3
_ACT: Final = 0.15
_BLOCKED: Final = 0.02
_ATTRIBUTE: Final = 0.05
# Of the deleted ones.
_REUSED: Final = 0.1


@dataclass(slots=True)
class Rows:
    """Rows to insert, a list a table, in an order that foreign keys allow."""

    admin_accounts: list[Columns] = field(default_factory=list)
    abonents: list[Columns] = field(default_factory=list)
    users: list[Columns] = field(default_factory=list)
    users_usluga: list[Columns] = field(default_factory=list)
    finance_operations: list[Columns] = field(default_factory=list)
    abonents_block_history: list[Columns] = field(default_factory=list)
    attribute_values: list[Columns] = field(default_factory=list)


class People:
    """Makes subscribers one after the other; `last` holds the last id of each table."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.last = dict.fromkeys(Rows.__slots__, 0) | {"abonents": FIRST_ABONENT - 1}
        self._account = 0
        self._number: str | None = None

    def pages(self, alive: int, size: int = 5_000) -> Iterator[Rows]:
        """Rows of `alive` subscribers that can receive a balance, and of the deleted ones among them."""
        rows = Rows()
        made = 0
        while made < alive:
            deleted = self._random.random() < _DELETED
            made += not deleted
            self._abonent(rows, deleted=deleted)
            if len(rows.abonents) >= size:
                yield rows
                rows = Rows()
        yield rows

    def _next(self, table: str) -> int:
        self.last[table] += 1
        return self.last[table]

    def _abonent(self, rows: Rows, *, deleted: bool) -> None:
        random = self._random
        abonent = self._next("abonents")
        tariff = random.choice(tuple(TARIFFS))
        receipt = random.randrange(100, 2_000_00) * SCALE // 100 if random.random() < _RECEIPT else 0
        act = random.randrange(100, 1_000_00) * SCALE // 100 if random.random() < _ACT else 0
        # Two subscribers on one account: nothing forbids it, and a balance entered for both would be entered twice.
        if not (self._account and not deleted and random.random() < _SHARED_ACCOUNT):
            self._account_row(rows, tariff, receipt, act)
        else:
            receipt = act = 0
        # One deleted subscriber in ten bears a number that was given to somebody else.
        number = self._number if deleted and random.random() < _REUSED else self._contract(abonent)
        if not deleted:
            self._number = number
        created = _BEGINNING + timedelta(minutes=random.randrange(4_000_000))
        name = f"{random.choice(_SURNAMES)} {random.choice(_NAMES)} {random.choice(_FATHERS)}"
        sms = f"+79{random.randrange(10**9):09d}"
        rows.abonents.append((
            abonent, random.choice(tuple(FOLDERS)), 0, name, number, self._account, tariff,
            random.choice(tuple(OPERATORS)), sms, f"a{abonent}@example.org", created, int(deleted),
        ))  # fmt: skip
        self._belongings(rows, abonent, created, deleted=deleted)
        for kind, summa, descr in ((1, receipt, "Оплата наличными"), (2, act, "Абонентская плата")):
            if summa:
                paid = created + timedelta(days=random.randrange(1, 300))
                rows.finance_operations.append((self._next("finance_operations"), abonent, kind, summa, paid, descr))

    def _account_row(self, rows: Rows, tariff: int, receipt: int, act: int) -> None:
        random = self._random
        threshold = TARIFFS[tariff]
        drawn = random.random()
        # Seven in ten as in the tariff, two in ten otherwise, one in ten not set.
        if drawn < 0.2:  # noqa: PLR2004 - told in the line above
            threshold = random.choice((-500, -300, 50))
        elif drawn < 0.3:  # noqa: PLR2004 - the same
            threshold = None
        self._account = self._next("admin_accounts")
        ostatok = random.randrange(-500_00, 3_000_00) * SCALE // 100
        rows.admin_accounts.append((
            self._account, ostatok, receipt, act, random.choice((0, -100, -300)) * SCALE,
            None if threshold is None else threshold * SCALE,
        ))  # fmt: skip

    def _belongings(self, rows: Rows, abonent: int, created: datetime, *, deleted: bool) -> None:
        random = self._random
        for _ in range(1 + (random.random() < _SECOND_USER)):
            user = self._next("users")
            address = (10 << 24) + user
            mac = f"02:00:{user >> 24 & 255:02x}:{user >> 16 & 255:02x}:{user >> 8 & 255:02x}:{user & 255:02x}"
            pull = random.choice((5, 6, 1030))
            rows.users.append((user, abonent, f"user{user}", address, mac, pull, int(not deleted), int(deleted)))
        if random.random() < _SERVICE:
            service = random.choice(tuple(SERVICES))
            comment = "Автоматический обещанный платёж по предоплате до 2017-12-31" if service == 240 else None  # noqa: PLR2004 - see SERVICES
            due = created + timedelta(days=30)
            rows.users_usluga.append((self._next("users_usluga"), abonent, service, 33, comment, due, int(deleted)))
        if random.random() < _BLOCKED:
            since = created + timedelta(days=60)
            rows.abonents_block_history.append(
                (self._next("abonents_block_history"), abonent, since, since + timedelta(days=3))
            )
        if random.random() < _ATTRIBUTE:
            rows.attribute_values.append((self._next("attribute_values"), abonent, 7, "пенсионер"))

    def _contract(self, abonent: int) -> str:
        # Unique: the serial number stands in each, and no two kinds look alike.
        serial = abonent - FIRST_ABONENT + 1
        kind = self._random.randrange(20)
        if kind < 3:  # noqa: PLR2004 - three in twenty
            return f"{serial}J{serial % 97}"
        if kind < 6:  # noqa: PLR2004 - three more in twenty
            return f"АБ-{serial:05d}"
        return f"{serial:05d}"
