"""Made-up subscribers that resemble those of a real billing; the same for the same seed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from random import Random
from typing import Final, TypeAlias

from lab.mock.facts import ACT, RECEIPT, SCALE

Columns: TypeAlias = tuple[str | int | datetime | None, ...]
PopulationRows: TypeAlias = Mapping[str, list[Columns]]
"""Rows to insert by table; the key of a row stands first."""

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

_HOME: Final = (IPv4Address(FIRST_ADDRESS), IPv4Address(FIRST_ADDRESS + (1 << 24) - 1))
POOLS: Final = {
    5: ("Домашняя сеть", *_HOME),
    6: ("Домашняя сеть, белые тарифы", *_HOME),
    1030: ("Домашняя сеть, NAT", *_HOME),
    1040: ("Перенесённые абоненты", IPv4Address("172.16.0.1"), IPv4Address("172.31.255.254")),
    1050: ("Внешние адреса", IPv4Address("198.51.100.1"), IPv4Address("198.51.100.254")),
    1060: ("Перенесённые абоненты, NAT", IPv4Address("100.64.0.1"), IPv4Address("100.127.255.254")),
}
"""Pools of addresses: the name, the first and the last address."""
EMPTY_POOLS: Final = (1040, 1060)
"""The large ones of those that no account of a new billing is in; its accounts are in 5, 6 and 1030."""
ATTRIBUTES: Final = {7: "Льгота", 99: "Примечание", 1012: "Мессенджер", 1013: "Номер паспорта", 1014: "Код домофона"}
"""The attributes that a subscriber can have, by their names."""
FEWEST: Final = 100
"""Smaller billings leave out the vendor's examples, which would be too large a share."""
_EXAMPLES: Final = 3

SURNAMES: Final = (
    "Иванов", "Смирнов", "Кузнецов", "Попов", "Соколов", "Лебедев", "Козлов", "Новиков", "Морозов", "Волков",
    "Щербаков", "Ёлкин",
)  # fmt: skip
NAMES: Final = (
    "Александр", "Дмитрий", "Сергей", "Андрей", "Алексей", "Илья", "Фёдор", "Пётр", "Юрий", "Эдуард",
)  # fmt: skip
FATHERS: Final = (
    "Александрович", "Дмитриевич", "Сергеевич", "Андреевич", "Ильич", "Фёдорович", "Петрович", "Юрьевич",
)  # fmt: skip

# Shares of all subscribers.
_DELETED: Final = 0.03
_SHARED_ACCOUNT: Final = 0.01
_SECOND_USER: Final = 0.08
_SERVICE: Final = 0.5
_RECEIPT: Final = 0.3
_ACT: Final = 0.15
_BLOCKED: Final = 0.02
_ATTRIBUTE: Final = 0.05
_OTHER_THRESHOLD: Final = 0.2
_NO_THRESHOLD: Final = 0.1
# Share of the deleted ones.
_REUSED: Final = 0.1
# Of twenty contract numbers.
_WITH_LETTER: Final = 3
_CYRILLIC: Final = 3

_COMMENT: Final = "Автоматический обещанный платёж по предоплате до 2017-12-31"


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day)  # noqa: DTZ001 - the billing's dates have no zone


class People:
    """Generates subscribers; `last` holds the last id of each table, `deleted` counts those that are so far."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        # A separate stream, so that passwords do not affect the other values.
        self._passwords = Random(seed)
        self.last = Counter(abonents=FIRST_SUBSCRIBER - 1)
        self.deleted = 0
        self._rows: defaultdict[str, list[Columns]] = defaultdict(list)
        self._account = 0
        self._number: str | None = None

    def pages(self, alive: int, size: int = 5_000) -> Iterator[PopulationRows]:
        """Rows of `alive` subscribers that can receive a balance, and of deleted ones among them.

        The last few are the vendor's examples, unless there are fewer than `FEWEST`.
        """
        examples = _EXAMPLES if alive >= FEWEST else 0
        made = 0
        while made < alive - examples:
            deleted = self._random.random() < _DELETED
            made += not deleted
            self.deleted += deleted
            self._subscriber(deleted=deleted)
            if len(self._rows["abonents"]) >= size:
                yield self._rows
                self._rows = defaultdict(list)
        if examples:
            self._vendors()
        yield self._rows

    def _add(self, table: str, *values: str | int | datetime | None, wanted: int = 0) -> int:
        """Add a row with the next id of its table, or the wanted one where it is free; returns the id."""
        key = wanted if wanted > self.last[table] else self.last[table] + 1
        self.last[table] = key
        self._rows[table].append((key, *values))
        return key

    def _user(
        self, subscriber: int, pull: int | None, *, address: int = 0, wanted: int = 0, deleted: int = 0
    ) -> None:
        """An account; its login, its MAC address and, unless it has one, its address are derived from its id."""
        user = wanted if wanted > self.last["users"] else self.last["users"] + 1
        mac = f"02:00:{user.to_bytes(4).hex(':')}"
        password = f"{self._passwords.getrandbits(40):010x}"
        digest = hashlib.sha256(password.encode()).hexdigest()
        shown = (f"user{user}", address or FIRST_ADDRESS + user, mac, pull, password, digest)
        self._add("users", subscriber, *shown, int(not deleted), deleted, wanted=user)

    def _vendors(self) -> None:
        """The examples of the vendor's recipes [S], in the order of their accounts, since ids ascend."""
        # An address of the subscriber's own is of no pool.
        self._example(94, 89, "Д94/2018", "+79000000094", -12)
        self._user(94, None, address=int(IPv4Address("127.1.2.3")), wanted=4084)
        # Connected by the billing: its next charge cannot be changed without `allow_set_none_manager`.
        self._add("users_usluga", 94, 127, None, None, _day(2020, 8, 13), 0)
        self._add("abonents_block_history", 94, _day(2019, 5, 20), _day(2019, 6, 3), wanted=118)
        # Not a phone number that `set` accepts today.
        self._example(1111, 1316, "test", "+71234567899", 0)
        self._user(1111, 6, wanted=6242)
        # Two accounts: the subscriber's id does not identify a session of the cabinet.
        self._example(1392, 1000, "Д1392/2018", "+79000001392", 300)
        self._user(1392, 6, wanted=12345)
        self._user(1392, 6, wanted=12346)
        self._add("users_usluga", 1392, PROMISED, 33, _COMMENT, _day(2020, 8, 13), 0)
        self._add("attribute_values", 1392, 7, "пенсионер")

    def _example(self, subscriber: int, folder: int, number: str, sms: str, balance: int) -> None:
        account = self._add("admin_accounts", balance * SCALE, 0, 0, 0, -50 * SCALE)
        name = f"{SURNAMES[0]} {NAMES[0]} {FATHERS[0]}"
        self._rows["abonents"].append((
            subscriber, folder, 0, name, number, account, 2, 3, sms, f"a{subscriber}@example.org",
            _day(2018, 3, 1), 0,
        ))  # fmt: skip

    def _subscriber(self, *, deleted: bool) -> None:
        random, add = self._random, self._add
        subscriber = self.last["abonents"] + 1
        tariff = random.choice(tuple(TARIFFS))
        receipt = random.randrange(100, 2_000_00) * SCALE // 100 if random.random() < _RECEIPT else 0
        act = random.randrange(100, 1_000_00) * SCALE // 100 if random.random() < _ACT else 0
        # Two subscribers may share an account; a balance entered for both would be entered twice.
        if not (self._account and not deleted and random.random() < _SHARED_ACCOUNT):
            threshold = TARIFFS[tariff]
            drawn = random.random()
            if drawn < _OTHER_THRESHOLD:
                threshold = random.choice((-500, -300, 50))
            elif drawn < _OTHER_THRESHOLD + _NO_THRESHOLD:
                threshold = None
            ostatok = random.randrange(-500_00, 3_000_00) * SCALE // 100
            limit = random.choice((0, -100, -300)) * SCALE
            warning = None if threshold is None else threshold * SCALE
            self._account = add("admin_accounts", ostatok, receipt, act, limit, warning)
        else:
            receipt = act = 0
        # One in ten deleted subscribers has a number that was reassigned.
        number = self._number if deleted and random.random() < _REUSED else self._contract(subscriber)
        if not deleted:
            self._number = number
        created = _day(2016, 1, 1) + timedelta(minutes=random.randrange(4_000_000))
        name = f"{random.choice(SURNAMES)} {random.choice(NAMES)} {random.choice(FATHERS)}"
        sms = f"+79{random.randrange(10**9):09d}"
        add(
            "abonents", random.choice(tuple(FOLDERS)), 0, name, number, self._account, tariff,
            random.choice(tuple(OPERATORS)), sms, f"a{subscriber}@example.org", created, int(deleted),
        )  # fmt: skip
        for _ in range(1 + (random.random() < _SECOND_USER)):
            self._user(subscriber, random.choice((5, 6, 1030)), deleted=int(deleted))
        if random.random() < _SERVICE:
            service = random.choice(tuple(SERVICES))
            comment = _COMMENT if service == PROMISED else None
            add("users_usluga", subscriber, service, 33, comment, created + timedelta(days=30), int(deleted))
        if random.random() < _BLOCKED:
            since = created + timedelta(days=60)
            add("abonents_block_history", subscriber, since, since + timedelta(days=3))
        if random.random() < _ATTRIBUTE:
            add("attribute_values", subscriber, 7, "пенсионер")
        for kind, summa, descr in ((RECEIPT, receipt, "Оплата наличными"), (ACT, act, "Абонентская плата")):
            if summa:
                paid = created + timedelta(days=random.randrange(1, 300))
                add("finance_operations", subscriber, kind, summa, paid, descr)

    def _contract(self, subscriber: int) -> str:
        # Unique: each contains the serial number, and the kinds differ in form.
        serial = subscriber - FIRST_SUBSCRIBER + 1
        kind = self._random.randrange(20)
        if kind < _WITH_LETTER:
            return f"{serial}J{serial % 97}"
        if kind < _WITH_LETTER + _CYRILLIC:
            return f"АБ-{serial:05d}"
        return f"{serial:05d}"
