"""The population of a new mock billing: its tables, filled with made-up subscribers.

They resemble those of a real billing, and are the same for the same seed.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from importlib.resources import files
from ipaddress import IPv4Address
from itertools import compress
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from billing.database.database import attach, write_unforced
from billing.database.database import create as create_database
from billing.database.dsn import Dsn
from billing.database.reader import Connection, Prepared
from billing.errors import SettingsError
from lab.mock.facts import ACT, MODELS, RECEIPT, SCALE, Field, MockModel

# ---- made-up subscribers ------------------------------------------------------------------------------------------


Columns: TypeAlias = tuple[str | int | datetime | None, ...]
_PopulationRows: TypeAlias = Mapping[str, list[Columns]]
"""Rows to insert by table; the key of a row stands first."""

# The folders of the vendor's recipes [S] keep their ids; 1400 lies within 1000.
FOLDERS: Final = {89: "Частный сектор", 1000: "Многоквартирные дома", 1316: "Перенесённые", 1400: "Новостройки"}
_NESTED: Final = {1400: 1000}
FIRST_SUBSCRIBER: Final = 2_001
OPERATORS: Final = {3: "Старый оператор", 1444: "Новый оператор"}
TARIFFS: Final = {1: None, 2: -50, 3: -100, 4: -200, 5: 0, 6: 100}
"""Tariffs and their thresholds in roubles; the first has none."""
_SERVICES: Final = {126: 250, 127: 450, 128: 700, 129: 99, 130: 1200, 240: 0}
"""Services in use, and their prices in roubles."""
_OTHER_SERVICES: Final = {105: 300}
"""Services without subscribers; 105 is the vendor's example of one with another operator [S]."""
_NAMED_SERVICES: Final = {301: ("Аренда роутера", 100), 302: ("Статический адрес", 150), 303: ("Цифровое ТВ", 350)}
"""More of them, by name and price in roubles."""
_PROMISED: Final = 240
"""The service of the promised payment [S]."""
_MANAGERS: Final = {1: ("admin", "Администратор"), 33: ("migration", "Миграция"), 34: ("support", "Поддержка")}
"""The administrators; 33 is the vendor's example of a `manager_id` [S]."""
_FIRST_ADDRESS: Final = 10 << 24
"""The base of the network: account n has its address n."""

_HOME: Final = (IPv4Address(_FIRST_ADDRESS), IPv4Address(_FIRST_ADDRESS + (1 << 24) - 1))
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

    def pages(self, alive: int, size: int = 5_000) -> Iterator[_PopulationRows]:
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
        shown = (f"user{user}", address or _FIRST_ADDRESS + user, mac, pull, password, digest)
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
        self._add("users_usluga", 1392, _PROMISED, 33, _COMMENT, _day(2020, 8, 13), 0)
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
            service = random.choice(tuple(_SERVICES))
            comment = _COMMENT if service == _PROMISED else None
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


# ---- the tables ---------------------------------------------------------------------------------------------------


_Gone: TypeAlias = frozenset[tuple[str, str]]
"""Tables, each with the column "", and columns that a billing lacks, as Firebird spells them."""


def _left_out(names: Iterable[str]) -> _Gone:
    """What these names leave out. Raises `SettingsError` for what does not exist, or is one of the mock's own."""
    known = {(model.table.upper(), one.stored_as) for model in MODELS.values() for one in _columns(model)}
    known |= {(table, "") for table, _ in known}
    found = set[tuple[str, str]]()
    for name in names:
        table, dot, column = name.strip().partition(".")
        table = table.upper()
        column = column if (table, column) in known else column.upper()
        if (table, column) not in known or (dot and not column):
            raise SettingsError(
                "{name}: the mock billing has no such table or column that it could do without; write a "
                "column as FINANCE_OPERATIONS.DESCR, and a table as ACCOUNT_STACK",
                name=repr(name),
            )
        found.add((table, column))
    return frozenset(found)


def _columns(model: MockModel, gone: _Gone = frozenset()) -> list[Field]:
    """The columns of a model's table that are there; none where the table is not."""
    table = model.table.upper()
    lacking = [column for of, column in gone if of == table]
    return [
        field
        for field in model.fields.values()
        if not {"", field.stored_as}.intersection(lacking)
        # What is computed goes with any column that it is computed from.
        and not any(re.search(rf"\b{one}\b", field.computed, re.IGNORECASE) for one in lacking)
    ]


# ---- a new billing ------------------------------------------------------------------------------------------------

_SQL: Final = "lab.mock.sql"
_A_PAGE: Final = 1_000
_PAGES_A_COMMIT: Final = 50
_INDEXING: Final = 5
"""All subscribers are made in this many times the time that their indexes take."""

_COLUMNS: Final = {
    "vpn_const": ("const_id", "const_value"),
    "operators": ("id", "name"),
    "tarif": ("id", "name", "users_limit_warning"),
    "usluga": ("id", "name", "summa", "operator_id", "promised"),
    "ip_pulls": ("id", "name", "first_ip", "last_ip"),
    "attributes": ("id", "name"),
    "django_users_profile": ("id", "username", "name", "email"),
    "tarif_users_usluga": ("id", "tarif_id", "usluga_id"),
    "admin_accounts": ("id", "ostatok", "debit", "credit", '"limit"', "limit_warning"),
    "abonents": (
        *("id", "parent_id", "is_folder", "name", "contract_number", "account_id", "tarif_id", "operator_id"),
        *("sms", "email", "create_date", "deleted"),
    ),
    "users": ("id", "abonent_id", "login", "ip", "mac", "pull", "psw", "psw_hash", "enabled", "deleted"),
    "users_usluga": ("id", "abonent_id", "usluga_id", "manager_id", "comment", "next_date", "deleted"),
    "finance_operations": ("op_id", "abonent_id", "op_type", "op_summa", "op_date", "descr"),
    "abonents_block_history": ("id", "abonent_id", "time_changed", "time_del"),
    "attribute_values": ("id", "abonent_id", "attribute_id", "attribute_value"),
}
"""The columns of the rows that a new billing has, by table, in an order that satisfies foreign keys."""


def create(
    place: Dsn | Path | str,
    *,
    subscribers: int,
    seed: int,
    without: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Create the database at `place` with this many `subscribers` that can receive a balance, and some deleted ones.

    Returns how many are deleted. The same seed gives the same rows. Additional rows: the folders 89, 1000, 1316 and
    1400 (which lies within 1000), 3 % deleted subscribers, 1 % who share an account with the previous one, contract
    numbers with letters, Cyrillic and leading zeros; from 100 subscribers on, some are the vendor's examples.
    `without` names tables and columns to leave out, as `ACCOUNT_STACK` and `FINANCE_OPERATIONS.DESCR`. `on_progress`
    gets how much is done, and how much there is to do. Raises `DatabaseAway` when there is a database already,
    `SettingsError` for an unknown name in `without`.
    """
    gone = _left_out(without)
    indexes = list(_indexes(gone))
    # Each index takes about as long as this many subscribers.
    for_an_index = subscribers // (_INDEXING * len(indexes))
    work = subscribers + for_an_index * len(indexes)
    dsn = place if isinstance(place, Dsn) else Dsn(str(place))
    people = People(seed)
    create_database(dsn).close()
    # Before the rows: each of their commits would wait for the disk.
    write_unforced(dsn)
    with closing(attach(dsn)) as connection:
        for statement in _definitions(gone):
            connection.execute_immediate(statement)
        connection.commit()
        _insert(connection, dsn.encoding, _fixed_rows(), gone)
        for number, rows in enumerate(people.pages(subscribers, _A_PAGE), 1):
            _insert(connection, dsn.encoding, rows, gone)
            on_progress(min(number * _A_PAGE, subscribers), work)
            if number % _PAGES_A_COMMIT == 0:
                connection.commit()
        connection.commit()
        for number, statement in enumerate(indexes, 1):
            # Firebird makes an index when it is committed.
            connection.execute_immediate(statement)
            connection.commit()
            on_progress(subscribers + for_an_index * number, work)
        last = people.last | {"tarif": max(TARIFFS), "usluga": max(_NAMED_SERVICES)}
        for table, key in last.items():
            connection.execute_immediate(f"set generator gen_{table}_id to {key}")
        address = _FIRST_ADDRESS + people.last["users"]
        connection.execute_immediate(f"set generator gen_users_ip to {address}")
        connection.commit()
    return people.deleted


def _definitions(gone: _Gone) -> Iterator[str]:
    for model in MODELS.values():
        if columns := _columns(model, gone):
            key = " not null primary key"
            texts = (one.definition + (key if one.name == model.key_name else "") for one in columns)
            yield f"create table {model.table} ({', '.join(texts)})"
        yield f"create generator gen_{model.table}_id"
    text = files(_SQL).joinpath("schema.sql").read_text(encoding="utf-8")
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    yield from (part for part in plain.split(";") if part.strip())


def _indexes(gone: _Gone) -> Iterator[str]:
    """The statements that make indexes and constraints besides the keys: after the rows, which is faster."""
    for model in MODELS.values():
        for field in _columns(model, gone):
            other = None if field.loose else MODELS.get(field.refers)
            if other is not None and other.key in _columns(other, gone):
                reference = f"references {other.table} ({other.key.column})"
                yield f"alter table {model.table} add foreign key ({field.column}) {reference}"
            if field.indexed:
                yield f"create index {model.table}_{field.column} on {model.table} ({field.column})"


def _fixed_rows() -> _PopulationRows:
    services = {key: (f"Услуга {key}", price) for key, price in sorted((_SERVICES | _OTHER_SERVICES).items())}
    pairs = [(tariff, service) for tariff in TARIFFS for service in tuple(_SERVICES)[: tariff % 3 + 1]]
    return {
        "vpn_const": [(1, str(SCALE))],
        "operators": list(OPERATORS.items()),
        "tarif": [(key, f"Тариф {key}", None if limit is None else limit * SCALE) for key, limit in TARIFFS.items()],
        "usluga": [
            (key, name, price * SCALE, 3, int(key == _PROMISED))
            for key, (name, price) in (services | _NAMED_SERVICES).items()
        ],
        "ip_pulls": [(key, name, int(first), int(last)) for key, (name, first, last) in POOLS.items()],
        "attributes": list(ATTRIBUTES.items()),
        "django_users_profile": [
            (key, username, name, f"{username}@example.org") for key, (username, name) in _MANAGERS.items()
        ],
        "tarif_users_usluga": [(number, *pair) for number, pair in enumerate(pairs, 1)],
        "abonents": [(key, _NESTED.get(key), 1, name, *[None] * 7, 0) for key, name in sorted(FOLDERS.items())],
    }


def insert_statement(table: str, columns: Iterable[str] = ()) -> str:
    names = [*columns] or _COLUMNS[table]
    return f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"  # noqa: S608 - ours


def _insert(connection: Connection, encoding: str, rows: _PopulationRows, gone: _Gone) -> None:
    tables = {model.table: {one.column for one in _columns(model, gone)} for model in MODELS.values()}
    for table in filter(rows.__contains__, _COLUMNS):
        kept = [name in tables[table] for name in _COLUMNS[table]]
        if not any(kept):
            continue
        with closing(connection.cursor()) as cursor:
            sql = insert_statement(table, compress(_COLUMNS[table], kept))
            insert = Prepared(connection.main_transaction, cursor, sql, encoding)
            for row in rows[table]:
                insert.run(tuple(compress(row, kept)))
