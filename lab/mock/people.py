"""Made-up subscribers that resemble those of a real billing; the same for the same seed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from random import Random
from typing import Final

from lab.mock.facts import ACT, RECEIPT, SCALE

Columns = tuple[str | int | datetime | None, ...]


@dataclass(slots=True)
class PopulationRows:
    """Rows to insert by table, in an order that satisfies foreign keys."""

    admin_accounts: list[Columns] = field(default_factory=list)
    abonents: list[Columns] = field(default_factory=list)
    users: list[Columns] = field(default_factory=list)
    users_usluga: list[Columns] = field(default_factory=list)
    finance_operations: list[Columns] = field(default_factory=list)
    abonents_block_history: list[Columns] = field(default_factory=list)
    attribute_values: list[Columns] = field(default_factory=list)


def password_of(random: Random) -> str:
    """A made-up password."""
    return f"{random.getrandbits(40):010x}"


def user_row(
    user: int, subscriber: int, address: int, pull: int | None, password: str, *, deleted: bool = False
) -> Columns:
    """An account; its login and MAC address are derived from its id."""
    mac = f"02:00:{user >> 24 & 255:02x}:{user >> 16 & 255:02x}:{user >> 8 & 255:02x}:{user & 255:02x}"
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (user, subscriber, f"user{user}", address, mac, pull, password, digest, int(not deleted), int(deleted))


_CREATED: Final = datetime(2018, 3, 1)  # noqa: DTZ001 - the billing's dates have no zone
_DUE: Final = datetime(2020, 8, 13)  # noqa: DTZ001 - the same
_BLOCKED: Final = datetime(2019, 5, 20)  # noqa: DTZ001 - the same
_UNBLOCKED: Final = datetime(2019, 6, 3)  # noqa: DTZ001 - the same


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a subscriber with the dependent rows.

    `balance` in whole roubles; `users` as wanted id and address or 0; `services` as service, manager, comment and
    next charge; `blocked` as wanted id, beginning and end; `attributes` as attribute and value.
    """

    subscriber: int
    folder: int
    number: str
    sms: str
    balance: int
    users: tuple[tuple[int, int], ...]
    services: tuple[tuple[int, int | None, str | None, datetime], ...] = ()
    blocked: tuple[tuple[int, datetime, datetime], ...] = ()
    attributes: tuple[tuple[int, str], ...] = ()
    created: datetime = _CREATED


SUBSCRIBERS: Final = (
    Example(
        subscriber=94,
        folder=89,
        number="Д94/2018",
        sms="+79000000094",
        balance=-12,
        users=((4084, int(IPv4Address("127.1.2.3"))),),
        # Connected by the billing: its next charge cannot be changed without `allow_set_none_manager`.
        services=((127, None, None, _DUE),),
        blocked=((118, _BLOCKED, _UNBLOCKED),),
    ),
    Example(
        subscriber=1111,
        folder=1316,
        number="test",
        # Not a number that `set` accepts today.
        sms="+71234567899",
        balance=0,
        users=((6242, 0),),
    ),
    Example(
        subscriber=1392,
        folder=1000,
        number="Д1392/2018",
        sms="+79000001392",
        balance=300,
        # Two accounts: the subscriber's id does not identify a session of the cabinet.
        users=((12345, 0), (12346, 0)),
        services=((240, 33, "Автоматический обещанный платёж по предоплате до 2017-12-31", _DUE),),
        attributes=((7, "пенсионер"),),
    ),
)
"""In the order of their wanted accounts, since ids ascend."""


# The folders of the vendor's recipes [S] keep their ids; 1400 lies within 1000.
FOLDERS: Final = {89: "Частный сектор", 1000: "Многоквартирные дома", 1316: "Перенесённые", 1400: "Новостройки"}
NESTED: Final = {1400: 1000}
FIRST_SUBSCRIBER: Final = 2_001
OPERATORS: Final = {3: "Старый оператор", 1444: "Новый оператор"}
TARIFFS: Final = {1: None, 2: -50, 3: -100, 4: -200, 5: 0, 6: 100}
"""Tariffs and their thresholds in roubles; the first has none."""
SERVICES: Final = {126: 250, 127: 450, 128: 700, 129: 99, 130: 1200, 240: 0}
"""Services in use, and their prices in roubles."""
OTHER_SERVICES: Final = {105: 300}
"""Services without subscribers; 105 is the vendor's example of one with another operator [S]."""
NAMED_SERVICES: Final = {301: ("Аренда роутера", 100), 302: ("Статический адрес", 150), 303: ("Цифровое ТВ", 350)}
"""More of them, by name and price in roubles."""
PROMISED: Final = 240
"""The service of the promised payment [S]."""
MANAGERS: Final = {1: ("admin", "Администратор"), 33: ("migration", "Миграция"), 34: ("support", "Поддержка")}
"""The administrators; 33 is the vendor's example of a `manager_id` [S]."""
FIRST_ADDRESS: Final = 10 << 24
"""The base of the network: account n has its address n."""


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A pool of addresses: its name, its first and its last address."""

    name: str
    first: IPv4Address
    last: IPv4Address


_HOME: Final = (IPv4Address(FIRST_ADDRESS), IPv4Address(FIRST_ADDRESS + (1 << 24) - 1))
POOLS: Final = {
    5: AddressPool("Домашняя сеть", *_HOME),
    6: AddressPool("Домашняя сеть, белые тарифы", *_HOME),
    1030: AddressPool("Домашняя сеть, NAT", *_HOME),
    1040: AddressPool("Перенесённые абоненты", IPv4Address("172.16.0.1"), IPv4Address("172.31.255.254")),
    1050: AddressPool("Внешние адреса", IPv4Address("198.51.100.1"), IPv4Address("198.51.100.254")),
    1060: AddressPool("Перенесённые абоненты, NAT", IPv4Address("100.64.0.1"), IPv4Address("100.127.255.254")),
}
EMPTY_POOLS: Final = (1040, 1060)
"""The large ones of those that no account of a new billing is in; its accounts are in 5, 6 and 1030."""
ATTRIBUTES: Final = {7: "Льгота", 99: "Примечание", 1012: "Мессенджер", 1013: "Номер паспорта", 1014: "Код домофона"}
"""The attributes that a subscriber can have, by their names."""
FEWEST: Final = 100
"""Smaller billings leave out the vendor's examples, which would be too large a share."""

_BEGINNING: Final = datetime(2016, 1, 1)  # noqa: DTZ001 - the billing's dates have no zone
SURNAMES: Final = [
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
NAMES: Final = ["Александр", "Дмитрий", "Сергей", "Андрей", "Алексей", "Илья", "Фёдор", "Пётр", "Юрий", "Эдуард"]
FATHERS: Final = [
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
_SHARE_BLOCKED: Final = 0.02
_ATTRIBUTE: Final = 0.05
# Share of the deleted ones.
_REUSED: Final = 0.1


class People:
    """Generates subscribers; `last` holds the last id of each table, `made` the number so far."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        # A separate stream, so that passwords do not affect the other values.
        self._passwords = Random(seed)
        self.last = dict.fromkeys(PopulationRows.__slots__, 0) | {"abonents": FIRST_SUBSCRIBER - 1}
        self.made = dict.fromkeys(PopulationRows.__slots__, 0)
        self._account = 0
        self._number: str | None = None

    def pages(self, alive: int, size: int = 5_000) -> Iterator[PopulationRows]:
        """Rows of `alive` subscribers that can receive a balance, and of deleted ones among them.

        The last few are the vendor's examples, unless there are fewer than `FEWEST`.
        """
        rows = PopulationRows()
        made = 0
        examples = SUBSCRIBERS if alive >= FEWEST else ()
        while made < alive - len(examples):
            deleted = self._random.random() < _DELETED
            made += not deleted
            self._subscriber(rows, deleted=deleted)
            if len(rows.abonents) >= size:
                yield rows
                rows = PopulationRows()
        for example in examples:
            self._example(rows, example)
        yield rows

    def _next(self, table: str, wanted: int = 0) -> int:
        """The next id of a table, or the wanted one where it is free."""
        self.made[table] += 1
        key = wanted if wanted > self.last[table] else self.last[table] + 1
        self.last[table] = key
        return key

    def _example(self, rows: PopulationRows, example: Example) -> None:
        self.made["abonents"] += 1
        account = self._next("admin_accounts")
        rows.admin_accounts.append((account, example.balance * SCALE, 0, 0, 0, -50 * SCALE))
        name = f"{SURNAMES[0]} {NAMES[0]} {FATHERS[0]}"
        rows.abonents.append((
            example.subscriber, example.folder, 0, name, example.number, account, 2, 3, example.sms,
            f"a{example.subscriber}@example.org", example.created, 0,
        ))  # fmt: skip
        for wanted, address in example.users:
            user = self._next("users", wanted)
            password = password_of(self._passwords)
            # An address of the subscriber's own is of no pool.
            pull = None if address else 6
            rows.users.append(user_row(user, example.subscriber, address or FIRST_ADDRESS + user, pull, password))
        for service, manager, comment, due in example.services:
            key = self._next("users_usluga")
            rows.users_usluga.append((key, example.subscriber, service, manager, comment, due, 0))
        for wanted, since, until in example.blocked:
            key = self._next("abonents_block_history", wanted)
            rows.abonents_block_history.append((key, example.subscriber, since, until))
        for attribute, value in example.attributes:
            key = self._next("attribute_values")
            rows.attribute_values.append((key, example.subscriber, attribute, value))

    def _subscriber(self, rows: PopulationRows, *, deleted: bool) -> None:
        random = self._random
        subscriber = self._next("abonents")
        tariff = random.choice(tuple(TARIFFS))
        receipt = random.randrange(100, 2_000_00) * SCALE // 100 if random.random() < _RECEIPT else 0
        act = random.randrange(100, 1_000_00) * SCALE // 100 if random.random() < _ACT else 0
        # Two subscribers may share an account; a balance entered for both would be entered twice.
        if not (self._account and not deleted and random.random() < _SHARED_ACCOUNT):
            self._account_row(rows, tariff, receipt, act)
        else:
            receipt = act = 0
        # One in ten deleted subscribers has a number that was reassigned.
        number = self._number if deleted and random.random() < _REUSED else self._contract(subscriber)
        if not deleted:
            self._number = number
        created = _BEGINNING + timedelta(minutes=random.randrange(4_000_000))
        name = f"{random.choice(SURNAMES)} {random.choice(NAMES)} {random.choice(FATHERS)}"
        sms = f"+79{random.randrange(10**9):09d}"
        rows.abonents.append((
            subscriber, random.choice(tuple(FOLDERS)), 0, name, number, self._account, tariff,
            random.choice(tuple(OPERATORS)), sms, f"a{subscriber}@example.org", created, int(deleted),
        ))  # fmt: skip
        self._belongings(rows, subscriber, created, deleted=deleted)
        for kind, summa, descr in ((RECEIPT, receipt, "Оплата наличными"), (ACT, act, "Абонентская плата")):
            if summa:
                paid = created + timedelta(days=random.randrange(1, 300))
                rows.finance_operations.append(
                    (self._next("finance_operations"), subscriber, kind, summa, paid, descr)
                )

    def _account_row(self, rows: PopulationRows, tariff: int, receipt: int, act: int) -> None:
        random = self._random
        threshold = TARIFFS[tariff]
        drawn = random.random()
        # Seven in ten have the tariff's threshold, two in ten another one, one in ten none.
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

    def _belongings(self, rows: PopulationRows, subscriber: int, created: datetime, *, deleted: bool) -> None:
        random = self._random
        for _ in range(1 + (random.random() < _SECOND_USER)):
            user = self._next("users")
            pull = random.choice((5, 6, 1030))
            password = password_of(self._passwords)
            rows.users.append(user_row(user, subscriber, FIRST_ADDRESS + user, pull, password, deleted=deleted))
        if random.random() < _SERVICE:
            service = random.choice(tuple(SERVICES))
            comment = "Автоматический обещанный платёж по предоплате до 2017-12-31" if service == PROMISED else None
            due = created + timedelta(days=30)
            rows.users_usluga.append(
                (self._next("users_usluga"), subscriber, service, 33, comment, due, int(deleted))
            )
        if random.random() < _SHARE_BLOCKED:
            since = created + timedelta(days=60)
            rows.abonents_block_history.append(
                (self._next("abonents_block_history"), subscriber, since, since + timedelta(days=3))
            )
        if random.random() < _ATTRIBUTE:
            rows.attribute_values.append((self._next("attribute_values"), subscriber, 7, "пенсионер"))

    def _contract(self, subscriber: int) -> str:
        # Unique: each contains the serial number, and the kinds differ in form.
        serial = subscriber - FIRST_SUBSCRIBER + 1
        kind = self._random.randrange(20)
        if kind < 3:  # noqa: PLR2004 - three in twenty
            return f"{serial}J{serial % 97}"
        if kind < 6:  # noqa: PLR2004 - three more in twenty
            return f"АБ-{serial:05d}"
        return f"{serial:05d}"
