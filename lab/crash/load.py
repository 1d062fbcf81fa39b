"""What a load asks for: rows of a job, or the table of an import; and what a stranger does to them meanwhile.

What is wanted of each row is drawn with it, so nothing of the program is asked what it would make of a cell.

`python -m lab.crash.load BILLING STATEMENTS` is somebody else at work on a billing: a process of its own, as whoever
opens the billing's file can hang on what a killed process has left locked there. It changes the tables past the API,
so the ledger has the effects of the load alone.
"""

import csv
import hashlib
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import msgspec

from billing.database.database import Database
from billing.database.dsn import Dsn
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from lab.crash.plan import CREATING, IMPORT, PAYMENT, WARNING_THRESHOLD, Deed, ExperimentPlan
from lab.crash.trials import ATTRIBUTE, CALLED, OPERATIONS, SERVICE, TRIALS, By, Trial, Wanted, sql
from lab.mock.chain import Work
from lab.mock.connection import MockConnection, select
from lab.mock.facts import ACT, MODELS, OPENING_BALANCE, RECEIPT, Quirks
from lab.mock.population import ATTRIBUTES, FATHERS, FOLDERS, NAMES, OPERATORS, POOLS, SURNAMES, TARIFFS

INPUT: Final = "rows.csv"
FOLDER: Final = next(iter(FOLDERS))
"""The folder whose subscribers get another threshold."""

# ---- a stranger ----------------------------------------------------------------------------------------------------

NAME: Final = "Чужая рука"
"""The comment of what a stranger creates."""
MARK: Final = f"{NAME} [cm zzzzz/7]"
"""The same with the mark of a run that no journal here knows."""

SUBSCRIBERS: Final = "Abonents"
STANDING: Final = frozenset({OPERATIONS, "UsersUsluga", "stranger_creates_abonents", "stranger_creates_users"})
"""The statements that create what must stand in the end; nothing tells a stranger's attribute from others."""
_PAID: Final = Decimal(50)

Value: TypeAlias = str | int | None
Statement: TypeAlias = tuple[str, dict[str, Value]]
"""A block of queries.sql with its values, or the model of a new object with its fields."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A row in the hands of a stranger, who does not know of the row.

    `subscriber` is whose it is, None for nobody's; `other` is a subscriber of no row. `table` and `object` are what
    the row changes. `creates` is the model of what it creates, `kind` the type, service or attribute there, and
    `value` its amount or text. `cells` are those of a subscriber that an import creates.
    """

    key: str
    subscriber: int | None
    other: int
    table: str
    object: int
    creates: str = ""
    kind: int = 0
    value: Decimal | str = ""
    cells: Mapping[str, Value] = field(default_factory=dict, hash=False)


def statements_of(deed: Deed, victim: Victim) -> Iterator[Statement]:
    """The statements of a deed; none where it does not apply to the row."""
    if victim.creates == SUBSCRIBERS and deed is Deed.CREATES:
        yield "stranger_creates_abonents", dict(victim.cells)
        if victim.cells["login"]:
            yield "stranger_creates_users", dict(victim.cells)
    if (abonent := victim.subscriber) is None:
        return

    def by_hand(model: str, kind: int, value: Decimal | str) -> Statement:
        text = MARK if deed is Deed.ENTERS else NAME
        fields: Mapping[str, dict[str, Value]] = {
            OPERATIONS: {"op_type_id": kind, "op_summa": str(value), "descr": text},
            "UsersUsluga": {"usluga_id": kind, "manager_id": MANAGER, "comment": text},
            "AttributeValues": {"attribute_id": kind, "attribute_value": str(value)},
        }
        return model, {"abonent_id": abonent, **fields[model]}

    of_two: dict[str, Value] = {"abonent": abonent, "other": victim.other}
    match deed:
        case Deed.CREATES | Deed.ENTERS if victim.creates:
            yield by_hand(victim.creates, victim.kind, victim.value)
        case Deed.RENAMES:
            yield "stranger_takes_number", of_two
            yield "stranger_renumbers", {"abonent": abonent}
        case Deed.MERGES:
            yield "stranger_merges", of_two
        case Deed.PAYS:
            yield by_hand(OPERATIONS, RECEIPT, _PAID)
        case Deed.CHARGES:
            yield by_hand(OPERATIONS, ACT, victim.value if isinstance(victim.value, Decimal) else _PAID)
        case Deed.DELETES if victim.table:
            yield f"stranger_deletes_{victim.table}", {"object": victim.object}


def must_not_be_sent(deed: Deed, victim: Victim, *, by_number: bool) -> bool:
    """Whether a row must have no effect after a deed: the other hand's effect would be doubled or overwritten."""
    if deed in CREATING:
        return bool(victim.creates)
    if deed is Deed.RENAMES:
        return by_number
    sets = victim.creates == OPERATIONS and victim.kind == OPENING_BALANCE
    return sets and deed in {Deed.MERGES, Deed.PAYS, Deed.CHARGES}


def change(billing: str, statements: Iterable[Statement]) -> None:
    """Carry out statements on a billing's tables, in one transaction and past its ledger."""
    with closing(MockConnection(Dsn(billing))) as connection:
        work = Work(connection, Quirks())
        for name, given in statements:
            if name in MODELS:
                work.create(connection.models[name], given)
            else:
                connection.execute(*sql(name).bind(given))
        connection.commit()


# ---- what a load asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestedImport:
    """What an import is judged by besides what is wanted: the number of its faulty rows.

    `last` is the last id of a subscriber or folder before it, and `content` a digest of each table. `refusals` are
    the texts with which the billing refuses some rows for good.
    """

    faulty: int
    last: int
    content: Mapping[str, str]
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestedLoad:
    """The request of a load: the command with its arguments, and the wanted value of each key.

    `objects` has the ledger's key for each key, `last` is the last finance operation before the load. An import is
    judged by `imported`. `victims` are the rows that a stranger can get at, by their keys; `by_number` says that the
    rows name subscribers by their contract numbers.
    """

    arguments: tuple[str, ...]
    wanted: Mapping[str, Wanted]
    objects: Mapping[str, int]
    last: int = 0
    imported: RequestedImport | None = None
    victims: Mapping[str, Victim] = field(default_factory=dict)
    by_number: bool = False


def prepare_load(folder: Path, plan: ExperimentPlan, billing: Path) -> RequestedLoad:
    """The request of the load, by the plan's seed; its input file is written into `folder`."""
    draw = Random(f"{plan.seed}/input")
    if plan.job == IMPORT:
        return _import(folder, draw, plan, billing)
    trial = plan.own or TRIALS[plan.job]
    if trial.arranged:
        # A new billing has too few of these rows.
        change(str(billing), [(trial.arranged, {"rows": plan.rows})])
    with Database(Dsn(str(billing))) as database:
        ((last,),) = database.query(sql("last_operation"))
        if plan.job == WARNING_THRESHOLD:
            # The only job whose rows come from the database, by its own select.
            threshold = -Decimal(draw.randrange(300_00, 900_00)) / 100
            members = {str(key): of for key, of in database.query(sql("members"), {"folder": FOLDER})}
            arguments = ("run", "warning-threshold", "--set", f"folder={FOLDER}", "--set", f"amount={threshold:.2f}")
            requested = RequestedLoad(arguments, dict.fromkeys(members, threshold), members)
        else:
            requested = _rows(folder, draw, trial, database.query(sql(trial.rows), {"rows": plan.rows}))
        return replace(requested, last=last, victims=_victims(requested, trial, database))


def _victims(requested: RequestedLoad, trial: Trial, database: Database) -> dict[str, Victim]:
    """What a stranger has to know of the rows."""
    # What is created is told by its subscriber, what is changed by itself.
    by_subscriber = trial.by is By.MARK or trial.model in {"Abonents", "AttributeValues"} or trial.job == PAYMENT
    if by_subscriber:
        owners = {found: found for found in requested.objects.values()}
    else:
        owners = {key: of for model, key, of in database.query(sql("owners_of")) if model.strip() == trial.model}
    live = dict.fromkeys(key for (key,) in database.query(sql("live_owners")))
    owners = {found: owner for found, owner in owners.items() if owner in live}
    own = {owners.get(found) for found in requested.objects.values()}
    others = [key for key in live if key not in own]
    return {
        key: Victim(
            key=key,
            subscriber=owners.get(found),
            other=others[place % len(others)],
            table=_DELETED.get("Abonents" if by_subscriber else trial.model, ""),
            object=found,
            creates=trial.creates,
            kind=trial.kind or _KINDS.get(trial.model, 0),
            value=requested.wanted[key],
        )
        for place, (key, found) in enumerate(requested.objects.items())
    }


_DELETED: Final = {"Abonents": "abonents", "Users": "users", "UsersUsluga": "users_usluga"}
_KINDS: Final = {OPERATIONS: RECEIPT, "UsersUsluga": int(SERVICE), "AttributeValues": int(ATTRIBUTE)}


def _rows(folder: Path, draw: Random, trial: Trial, rows: Iterable[Sequence[object]]) -> RequestedLoad:
    wanted: dict[str, Wanted] = {}
    objects: dict[str, int] = {}
    by_number = trial.numbered and draw.random() >= 0.5  # noqa: PLR2004 - heads or tails
    header = ("contract_number", *trial.header[1:]) if by_number else trial.header
    lines: list[Sequence[str]] = [header]
    for own, of, *cells in rows:
        key = trial.key(own)
        first = cells[by_number:][:1] if trial.numbered else cells
        lines.append([*map(str, first), *(cell(draw) for cell in trial.drawn)])
        text = trial.wanted(lines[-1])
        wanted[key] = Decimal(text.replace(",", ".")) if trial.is_money else text
        objects[key] = int(str(of))
    # As a spreadsheet saves it, which people make of balances.
    write_sheet(folder / INPUT, lines, "utf-8-sig" if trial.numbered else "utf-8")
    called = CALLED if trial.job == "call" else ()
    given = (word for one in trial.given for word in ("--set", one))
    return RequestedLoad(("run", trial.job, INPUT, *called, *given), wanted, objects, by_number=by_number)


def write_sheet(path: Path, lines: Iterable[Sequence[object]], encoding: str = "utf-8-sig") -> None:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(lines)


def _import(folder: Path, draw: Random, plan: ExperimentPlan, billing: Path) -> RequestedLoad:
    rows = list(write_table(folder, draw_rows(draw, plan.rows)))
    with Database(Dsn(str(billing))) as database:
        ((last,),) = database.query(sql("last_abonent"))
    good = [row for row in rows if row.things is not None]
    wanted: dict[str, Wanted] = {}
    for row in good:
        names = _FOLDERS[row.cells["Группа"]]
        for depth in range(1, len(names) + 1):
            # Of a folder that a new billing does not have, that it is there.
            if not any(there[:depth] == names[:depth] for there in _THERE):
                wanted[folder_key(names[:depth])] = ""
        wanted |= row.things or {}
    faults = tomllib.loads(plan.faults).get("fault", ())
    imported = RequestedImport(
        faulty=len(rows) - len(good),
        last=last,
        content=live_content(billing),
        refusals=tuple(fault["text"] for fault in faults if "text" in fault),
    )
    victims = {
        key: Victim(key, None, 0, "", 0, creates=SUBSCRIBERS, cells=_stored(row.cells))
        for row in good
        for key in [step_key(row.cells["Номер договора"], Step.SUBSCRIBER)]
    }
    arguments = ("import", TABLE, "--dictionary", DICTIONARY)
    return RequestedLoad(arguments, wanted, {}, imported=imported, victims=victims)


def _stored(cells: Mapping[str, str]) -> dict[str, Value]:
    """A good row's subscriber as an operator would create it, in a folder that is there."""
    return {
        "number": cells["Номер договора"],
        "name": cells["ФИО"],
        "parent": _THERE.get(_FOLDERS[cells["Группа"]]),
        "operator": _id(OPERATORS, cells["Оператор"]),
        "sms": cells["Телефон"],
        "email": cells["E-mail"] or None,
        "login": cells["Логин"],
    }


def step_key(number: str, step: str, detail: object = "") -> str:
    return row_key((number, step, str(detail)))


def folder_key(names: Sequence[str]) -> str:
    return row_key((Step.FOLDER, "/".join(names)))


def money_text(amount: Decimal) -> str:
    return f"{amount:.2f}"


_LIVE: Final[Mapping[str, Mapping[str, int]]] = {
    **{name: {"deleted": 0} for name in ("Abonents", "Users", "UsersUsluga")},
    "AttributeValues": {},
    "AdminAccounts": {"account_id_abonents__deleted": 0},
    "FinanceOperations": {"abonent__deleted": 0},
}
"""The models that an import changes, and what is live of each: an import that is taken back leaves that as it was."""


def live_content(billing: Path) -> dict[str, str]:
    """A digest of what is live in each table; the billing is stopped."""
    found: dict[str, str] = {}
    with closing(MockConnection(Dsn(str(billing)))) as connection:
        for name, live in _LIVE.items():
            rows = sorted(connection.execute(*select(connection.models, connection.models[name], live)))
            found[connection.models[name].table] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


# ---- the table of an import: as an old billing exports it, names in place of ids, which a dictionary translates ---

TABLE: Final = "subscribers.csv"
DICTIONARY: Final = "dictionary.csv"
FAULTY: Final = 0.05

POOL: Final = 1040
MANAGER: Final = 33
_FIRST: Final = int(POOLS[POOL][1]) + 300_000
"""The addresses of the table lie behind those that the billing issues."""
_OLD: Final = "Старый "
"""Before the names of the old billing, which the dictionary translates."""

_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Посёлок": ("Частный сектор",),
    "Дома 1-9": ("Многоквартирные дома", "Новостройки"),
    "ул. Ленина": ("Перенесённые", "Ленина"),
    "ул. Гагарина": ("Перенесённые", "Гагарина"),
    "Север": ("Новый город", "Север"),
    "Юг": ("Новый город", "Юг"),
}
"""The folders of the old billing, and the names of those that they become, from the top."""

_THERE: Final[Mapping[tuple[str, ...], int]] = {
    ("Частный сектор",): 89,
    ("Многоквартирные дома", "Новостройки"): 1400,
    ("Перенесённые",): 1316,
}
"""The folders among them that a new billing has."""

_SERVICES: Final = (126, 127, 128, 129, 301, 302, 303)


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A row of the table, and what it asks for by the keys of its steps; None for a faulty one."""

    cells: Mapping[str, str]
    things: Mapping[str, str] | None


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
        sheet = csv.DictWriter(stream, [*_cells(Random(0), 0)], delimiter=";")
        sheet.writeheader()
        for row in rows:
            sheet.writerow(row.cells)
            yield row


def _good(draw: Random, serial: int) -> DrawnRow:
    cells = _cells(draw, serial)
    step = partial(step_key, cells["Номер договора"])
    operator, tariff = _id(OPERATORS, cells["Оператор"]), _id(TARIFFS, cells["Тариф"])
    folder = "/".join(_FOLDERS[cells["Группа"]])
    things = {step(Step.SUBSCRIBER): "; ".join((cells["ФИО"], folder, str(operator)))}
    if login := cells["Логин"]:
        things[step(Step.ACCOUNT, login)] = cells["MAC"]
    if tariff is not None:
        things[step(Step.TARIFF)] = str(tariff)
    if service := cells["Услуга"].rpartition(" ")[2]:
        things[step(Step.SERVICE, service)] = service
    if attribute := cells["Атрибут"]:
        key = next(key for key, name in ATTRIBUTES.items() if f"{_OLD}{name}" == attribute)
        things[step(Step.ATTRIBUTE, key)] = cells["Значение атрибута"]
    for column, one in (("Порог", Step.THRESHOLD), ("Лимит", Step.LIMIT), ("Баланс", Step.BALANCE)):
        if cells[column]:
            things[step(one)] = money_text(Decimal(cells[column].replace(",", ".")))
    return DrawnRow(cells, things)


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
    return f"02:10:{serial.to_bytes(4).hex(':')}"


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
    write_sheet(path, [("kind", "name", "id", "name_here", "checked"), *rows])


if __name__ == "__main__":
    change(sys.argv[1], msgspec.json.decode(sys.argv[2], type=list[Statement]))
