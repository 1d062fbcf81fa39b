"""The objects of one request: found, created, saved and deleted under the billing's rules, each effect in the ledger.

`_RULES` lists the rules that apply when an object of a model is created or saved, in order. Which texts the real
billing has for a value that is missing, taken or malformed is known of a few [V]; the others are assumed [?].
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, TypeAlias

import msgspec

from billing.database.reader import DatabaseRow
from lab.mock.connection import MockConnection
from lab.mock.facts import ACT, FACTS, OPENING_BALANCE, OPERATION_TYPES, MockModel, ValueType
from lab.mock.lookups import columns_of, select
from lab.mock.quirks import CUT_AT, Quirks
from lab.mock.values import (
    Answered,
    Columns,
    MockRefusal,
    Stored,
    already_deleted,
    none_found,
    required,
    several_found,
    stored,
    unknown_attribute,
    value_text,
)

Arguments: TypeAlias = Mapping[str, object]

_HIDDEN: Final = "•••"


@dataclass(slots=True)
class MockObject:
    """An object in a chain: its `stored` values, none where it is new, and the `written` ones, not saved yet."""

    model: MockModel
    stored: Columns
    written: Columns = field(default_factory=dict)
    gone: bool = False

    @property
    def key(self) -> int:
        """The value of its key; 0 where it is new."""
        return _whole(self.stored.get(self.model.key_name, 0))

    def value(self, name: str) -> Stored:
        return self.written.get(name, self.stored.get(name))


class Work:
    """What one request does, in the transaction of a connection.

    `request` and `methods` are written to the ledger; `late` tells that the call was answered before, and has its
    effect now, out of a stack. `admit` takes a place of the licence for a new subscriber. All methods raise
    `MockRefusal`.
    """

    def __init__(
        self,
        connection: MockConnection,
        request: int,
        methods: str,
        quirks: Quirks,
        *,
        admit: Callable[[], None] | None = None,
        late: bool = False,
    ) -> None:
        self.connection = connection
        self.models = connection.models
        self.quirks = quirks
        self.admit = admit
        self.late = late
        self.now = datetime.now()  # noqa: DTZ005 - the billing's dates have no zone
        self.arguments: Arguments = {}  # of the save
        self._request = request
        self._methods = methods
        self._seen: dict[tuple[str, Stored], MockObject | None] = {}

    def answered(self, kind: ValueType, value: Stored) -> Answered:
        text = value_text(kind, value)
        if self.quirks.value_types == "numbers" and kind is ValueType.MONEY and text is not None:
            return float(text)
        if self.quirks.value_types == "texts" and kind is ValueType.INTEGER and text is not None:
            return str(text)
        return text

    def find(self, model: MockModel, arguments: Arguments, first: int | None = None) -> list[MockObject]:
        """All objects that match the criteria, in the order of their keys, or any `first` of them."""
        by_many = self.quirks.in_filters
        sql, values = select(
            self.models, model, arguments, first, self.quirks.descr_filters, by_many=by_many != "none"
        )
        found = [_object(model, row) for row in self.connection.execute(sql, values)]
        is_cut = by_many == "cut" and any(name.endswith("__in") for name in arguments)
        return sorted(found, key=lambda one: one.key)[: CUT_AT if is_cut else None]

    def get(self, model: MockModel, arguments: Arguments) -> MockObject:
        found = self.find(model, arguments)
        if not found:
            raise none_found(model.name)
        if len(found) > 1:
            raise several_found(model.name, len(found))
        return found[0]

    def seen(self, model: str, key: Stored) -> MockObject | None:
        """The object with a key, as it was when this request first looked at it or wrote anything."""
        if (model, key) not in self._seen:
            found = self.find(self.models[model], {"pk": key})
            self._seen[model, key] = found[0] if found else None
        return self._seen[model, key]

    def create(self, model: MockModel, arguments: Arguments) -> MockObject:
        """Create an object; it needs no `save` [S]."""
        new = MockObject(model, {}, self._read(model, arguments, fixed=True))
        self.arguments = {}
        self._apply_rules(new)
        # Rules may set fields that have no column in this billing.
        values = {name: value for name, value in new.written.items() if name in model.fields}
        target = self.insert(model, values)
        if "op_date" in arguments and self.quirks.closed_period == "reverses":
            self._reopen_period(target)
        self._enter(target, values)
        return target

    def insert(self, model: MockModel, values: Columns) -> MockObject:
        """A new row, with the next key, outside of the ledger."""
        values = values | {model.key_name: self.connection.next_key(f"gen_{model.table}_id")}
        columns = ", ".join([model.fields[name].column for name in values])
        # Columns have defaults.
        (row,) = self.connection.execute(
            f"insert into {model.table} ({columns}) values ({', '.join('?' * len(values))})"  # noqa: S608 - ours
            f" returning {columns_of(model)}",
            tuple(values.values()),
        )
        self._seen.clear()
        return _object(model, row)

    def assign(self, target: MockObject, arguments: Arguments) -> None:
        """Assign values, which are stored only by `save` [S]."""
        target.written |= self._read(target.model, arguments, fixed=False)

    def save(self, target: MockObject, arguments: Arguments) -> None:
        self.arguments = arguments
        self._apply_rules(target)
        self.write(target)

    def write(self, target: MockObject, **beside: object) -> None:
        """Store the assigned values without rules; the ledger gets what is said `beside` them."""
        model = target.model
        written = {name: value for name, value in target.written.items() if name in model.fields}
        if written:
            columns = ", ".join([f"{model.fields[name].column} = ?" for name in written])
            self.connection.execute(
                f"update {model.table} set {columns} where {model.key.column} = ?",  # noqa: S608 - names of ours
                (*written.values(), target.key),
            )
        target.stored |= written
        target.written = {}
        self._seen.clear()
        self._enter(target, written, **beside)

    def delete(self, target: MockObject, *, clean_links: bool) -> None:
        """Delete an object, or mark it; `clean_links` first deletes the dependent rows that may be deleted [S, ?]."""
        model = target.model
        if target.stored.get("deleted"):
            raise already_deleted()
        for reverse in model.reverse.values():
            other = self.models[reverse.model]
            tie = other.fields[reverse.by].tie
            if tie == "stays":
                continue
            criteria: dict[str, object] = {reverse.by: target.key}
            # A row that is only marked may keep links from rows that are marked as well.
            if model.marks_deleted and other.marks_deleted:
                criteria["deleted"] = 0
            cleaned = clean_links and tie == "goes"
            for found in self.find(other, criteria, None if cleaned else 1):
                if not cleaned:
                    raise MockRefusal(f"На объект ссылаются: {other.name}")
                self.delete(found, clean_links=True)
        action = f"update {model.table} set deleted = 1" if model.marks_deleted else f"delete from {model.table}"  # noqa: S608 - names of ours
        self.connection.execute(f"{action} where {model.key.column} = ?", (target.key,))
        target.gone = True
        self._seen.clear()
        self._enter(target, {"deleted": 1})

    def reverse(self, operation: MockObject, **beside: object) -> None:
        """The storno of a finance operation: its sum is taken back, whatever its origin; type 8 as added [?]."""
        if "storno" not in operation.model.fields:
            raise unknown_attribute("storno")
        if operation.stored["storno"]:
            raise MockRefusal("Операция уже сторнирована")
        kind, account = operation.stored["op_type_id"], _account_of(self, operation.stored["abonent_id"])
        kept = kind == OPENING_BALANCE and self.quirks.storno_type_8 == "keeps"
        self.move(account, kind, 0 if kept else -_whole(operation.stored["op_summa"]), "adds")
        operation.written = {"storno": 1}
        self.write(operation, **beside)

    def move(self, account: Stored, kind: Stored, summa: Stored, opening_balance: str) -> None:
        if account is None:
            raise MockRefusal("Нет счета для проведения финансовой операции")
        known = OPERATION_TYPES.get(kind) if isinstance(kind, int) else None
        if known is None:
            raise none_found("FinanceOpTypes")
        if does := opening_balance if known.does == "sets" else known.does:
            self.connection.run("rules", f"balance_{does}", summa=summa, account=account)

    def _reopen_period(self, operation: MockObject) -> None:
        """Reverse the acts of a closed period that a new operation is dated into [V]; which ones exactly is [?]."""
        model, dated = operation.model, operation.stored["op_date"]
        if not isinstance(dated, date) or not {"storno", "period_end_date"} <= model.fields.keys():
            return
        acts = {
            "abonent_id": operation.stored["abonent_id"],
            "op_type_id": ACT,
            "storno": 0,
            "period_end_date__range": [f"{dated:%Y-%m-%d}", f"{self.now - timedelta(days=1):%Y-%m-%d}"],
        }
        for act in self.find(model, acts):
            if act.key != operation.key:
                # What the billing logs, of the act and the operation's type [V].
                log = f"Сторнирование акта №{act.key} для открытия периода из-за проводки с типом"
                self.reverse(act, log=f"{log} {operation.stored['op_type_id']}")

    def _read(self, model: MockModel, arguments: Arguments, *, fixed: bool) -> Columns:
        """The arguments as column values; fields that `set` may not assign are refused unless `fixed` is true."""
        values: Columns = {}
        for name, value in arguments.items():
            attribute = model.fields.get(name)
            if attribute is None or name == model.key_name or (attribute.fixed and not fixed):
                raise unknown_attribute(name)
            values[name] = stored(attribute.kind, value)
        return values

    def _apply_rules(self, target: MockObject) -> None:
        if target.stored.get("deleted"):
            raise already_deleted()
        model, written = target.model, target.written
        for name, one in model.fields.items():
            if one.required:
                _require(target, name)
        for name, value in written.items():
            one = model.fields[name]
            if isinstance(value, str) and one.longest is not None and len(value) > one.longest:
                # The database refuses what is longer than its column, or cuts it off under a quirk [?].
                if self.quirks.too_long == "refused":
                    # Firebird's text.
                    raise MockRefusal(
                        "arithmetic exception, numeric overflow, or string truncation -string right truncation "
                        f"-expected length {one.longest}, actual {len(value)}"
                    )
                written[name] = value[: one.longest]
            if one.refers in self.models and value is not None:
                other = self.seen(one.refers, value)
                if other is None:
                    raise unknown_attribute(value) if one.refers == "Attributes" else none_found(one.refers)
                if other.stored.get("deleted"):
                    raise already_deleted()
        for rule in _RULES.get(model.name, ()):
            rule(self, target)

    def _enter(self, target: MockObject, written: Columns, **beside: object) -> None:
        model = target.model
        what: dict[str, object] = {}
        for name, value in written.items():
            # `deleted` is no field where rows are not only marked; a cleared password is no secret.
            one = model.fields.get(name)
            hidden = one is not None and one.secret and value
            what[name] = _HIDDEN if hidden else value if one is None else value_text(one.kind, value)
        entry: dict[str, Stored] = {
            "request": self._request,
            "happened": self.now,
            "model": model.name,
            "methods": self._methods[:120],
            "changed_table": model.table,
            "changed_key": target.key,
            "subject": _whole(target.stored[model.subject]),
            "what": msgspec.json.encode(what | beside).decode()[:1000],
        }
        self.connection.run("ledger", "enter", **entry)


def password_columns(password: object, *, hidden: bool = False) -> Columns:
    """The columns of a password: in clear text too unless `hidden`; an empty one means none."""
    if not isinstance(password, str):
        raise required("psw")
    if not password:
        return {"psw": None, "psw_hash": None}
    return {"psw": None if hidden else password, "psw_hash": hashlib.sha256(password.encode()).hexdigest()}


def _object(model: MockModel, row: DatabaseRow) -> MockObject:
    values = [value.rstrip(" ") if isinstance(value, str) else value for value in row]
    return MockObject(model, dict(zip(model.fields, values, strict=True)))


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


# ---- rules of more than one model ---------------------------------------------------------------------------------


def _require(target: MockObject, name: str) -> None:
    if name in target.model.fields and (not target.stored or name in target.written):
        value = target.value(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise required(name)


def _is_taken(work: Work, target: MockObject, name: str, value: object, *, held: bool = False) -> bool:
    """Whether another object has a value; one that is deleted counts only where it is `held`."""
    wanted = {name: value}
    if target.model.marks_deleted and not held:
        wanted["deleted"] = 0
    return any(found.key != target.key for found in work.find(target.model, wanted))


def _account_of(work: Work, abonent: Stored) -> Stored:
    """The account of a subscriber who can have finance operations."""
    found = work.seen("Abonents", abonent)
    if found is None:
        raise none_found("Abonents")
    if found.stored.get("is_folder"):
        raise MockRefusal("Группе нельзя добавлять финансовую операцию")
    if found.stored.get("deleted"):
        raise already_deleted()
    return found.stored.get("account_id")


def _of_subscriber(work: Work, target: MockObject) -> None:
    if not target.stored or "abonent_id" in target.written:
        _account_of(work, target.value("abonent_id"))


# ---- money --------------------------------------------------------------------------------------------------------


def _operation(work: Work, target: MockObject) -> None:
    """A comment is cut to the column's length, without an error; a new operation moves the balance."""
    written = target.written
    if work.quirks.descr_length and isinstance(text := written.get("descr"), str):
        written["descr"] = text[: work.quirks.descr_length]
    if not target.stored:
        account = _account_of(work, written["abonent_id"])
        work.move(account, written["op_type_id"], written["op_summa"], work.quirks.type_8)
        written.setdefault("op_date", work.now.replace(microsecond=0))


# ---- subscribers and folders --------------------------------------------------------------------------------------

_NOT_OF_FOLDERS: Final = ("contract_number", "account_id", "tarif_id")
_PHONE: Final = re.compile(r"\+79[0-9]{9}")


def _subscriber(work: Work, target: MockObject) -> None:
    """A subscriber has a contract number of its own and a phone that takes messages; a folder has no contract."""
    written = target.written
    if target.value("is_folder"):
        for name in _NOT_OF_FOLDERS:
            if written.get(name):
                raise MockRefusal(f"У группы не может быть поля {name}")
    else:
        _require(target, "contract_number")
    number, sms = written.get("contract_number"), written.get("sms")
    held = work.quirks.deleted_numbers == "held"
    if number is not None and _is_taken(work, target, "contract_number", number, held=held):
        raise MockRefusal(f"Номер договора уже закреплен: {number}")
    if sms and not _PHONE.fullmatch(str(sms)):
        raise MockRefusal(f"Неверный номер телефона {sms}. Правильный формат: +79XXXXXXXXX")


def _parent(work: Work, target: MockObject) -> None:
    """What an object lies in is a folder, and not within the object itself."""
    parent = target.written.get("parent_id")
    if parent is None:
        return
    above = work.seen("Abonents", parent)
    if above is None or not above.stored.get("is_folder"):
        raise MockRefusal(f"Абонент {parent} не является группой")
    while above is not None and target.stored:
        if above.key == target.key:
            raise MockRefusal("Группа не может быть вложена в саму себя")
        further = above.stored.get("parent_id")
        above = None if further is None else work.seen("Abonents", further)


def _recalculation(work: Work, target: MockObject) -> None:
    since = target.written.get("need_recalc")
    if not isinstance(since, date):
        return
    if since.day != 1:  # the rule is the vendor's [S]
        raise MockRefusal("Перерасчет возможен только с первого числа месяца")
    if (work.now.year - since.year) * 12 + work.now.month - since.month > FACTS.months_back.value:
        raise MockRefusal("Перерасчет поддерживает не более 6 месяцев")


def _new_subscriber(work: Work, target: MockObject) -> None:
    """A new subscriber counts for the licence and gets an account: integrators create it without one [I]."""
    written = target.written
    if target.stored:
        return
    is_folder = written.get("is_folder")
    if work.admit is not None and not work.late and not is_folder:
        work.admit()
    written.setdefault("create_date", work.now.replace(microsecond=0))
    if written.get("account_id") is None and not is_folder:
        written["account_id"] = work.insert(work.models["AdminAccounts"], {}).key


# ---- accounts -----------------------------------------------------------------------------------------------------

_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_ALL_ADDRESSES: Final = (10 << 24, (11 << 24) - 1)
"""What a pool without addresses of its own issues from."""
_PASSWORD_LENGTH: Final = 10


def _account(work: Work, target: MockObject) -> None:
    """An account has a login of its own, and a MAC address that is one."""
    login, mac = target.written.get("login"), target.written.get("mac")
    held = work.quirks.deleted_numbers == "held"
    if login is not None and _is_taken(work, target, "login", login, held=held):
        raise MockRefusal(f"Логин уже занят: {login}")
    if mac and not _MAC.fullmatch(str(mac)):
        raise MockRefusal(f"Неверный MAC-адрес {mac}")


def _address(work: Work, target: MockObject) -> None:
    """An address is of one account and lies in its pool; one that is emptied is issued from the pool [S]."""
    if "ip" not in target.written and target.stored:
        return
    number, address = target.value("pull"), target.written.get("ip")
    pool = work.seen("IpPulls", number) if number is not None and "IpPulls" in work.models else None
    first, last = (None, None) if pool is None else (pool.stored.get("first_ip"), pool.stored.get("last_ip"))
    known = (first, last) if isinstance(first, int) and isinstance(last, int) else None
    if isinstance(address, int):
        text = value_text(ValueType.ADDRESS, address)
        if _is_taken(work, target, "ip", text):
            raise MockRefusal(f"IP-адрес уже занят: {text}")
        if known is not None and not known[0] <= address <= known[1]:
            raise MockRefusal(f"IP-адрес {text} не входит в пул {number}")
    elif number:
        begin, end = known or _ALL_ADDRESSES
        size = end - begin + 1
        # By keys of a generator: a call out of a stack issues the address that it has answered.
        for _ in range(size):
            issued = begin + (work.connection.next_key("gen_users_ip") - begin) % size
            if not _is_taken(work, target, "ip", value_text(ValueType.ADDRESS, issued)):
                target.written["ip"] = issued
                return
        raise MockRefusal(f"В пуле {number} нет свободных адресов")


def _password(work: Work, target: MockObject) -> None:
    """Clearing a password and generating one need two saves, as the vendor's recipe has two requests [S]."""
    if "psw" in target.written:
        target.written |= password_columns(str(target.written["psw"] or ""))
    elif not target.value("psw_hash"):
        # Derived from a key, so that a trial run and the later one give the same password; it protects nothing here.
        number = work.connection.next_key("gen_users_password")
        made = hashlib.sha256(f"password {number}".encode()).hexdigest()[:_PASSWORD_LENGTH]
        target.written |= password_columns(made)


# ---- services -----------------------------------------------------------------------------------------------------


def _service(work: Work, target: MockObject) -> None:
    """A service without a manager is saved only where the call allows it [S]; a promised payment is one at a time."""
    if target.value("manager_id") is None and not work.arguments.get("allow_set_none_manager"):
        raise required("manager_id")
    if {"usluga_id", "abonent_id", "enabled"} & target.written.keys():
        values = {"usluga": target.value("usluga_id"), "abonent": target.value("abonent_id"), "id": target.key}
        ((promises, connected),) = work.connection.run("rules", "promised_payments", **values)
        if promises and connected:
            raise MockRefusal("Обещанный платеж уже подключен")


_RULES: Final[Mapping[str, tuple[Callable[[Work, MockObject], None], ...]]] = {
    "Abonents": (_subscriber, _parent, _recalculation, _new_subscriber),
    "FinanceOperations": (_operation,),
    "Users": (_of_subscriber, _account, _address, _password),
    "UsersUsluga": (_of_subscriber, _service),
    "AbonentsBlockHistory": (_of_subscriber,),
    "AttributeValues": (_of_subscriber,),
}
