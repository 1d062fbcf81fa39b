"""What the billing does with a request: a chain of methods, `objects.get` → `set` → `save`, in one transaction.

Each method belongs to the model or to the object that the previous step gave; the last one's result is the answer's
[S, D]. What concerns one field is a trait of it in facts.toml; `_RULES` lists what else applies when an object of a
model is created or saved, in order. Refusals have the product's own words, or Django's where Django would raise them.
Which texts the real billing has for a value that is missing, taken or malformed is known of a few [V]; the others are
assumed [?].
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

from billing.database.reader import DatabaseRow
from lab.mock.connection import (
    DELETED,
    NONE_FOUND,
    REQUIRED,
    SEVERAL_FOUND,
    UNKNOWN,
    Answered,
    Columns,
    MockConnection,
    MockRefusal,
    Stored,
    columns_of,
    select,
    stored,
    value_text,
)
from lab.mock.facts import ACT, CUT_AT, FACTS, OPENING_BALANCE, RECEIPT, MockModel, Quirks, ValueType

Arguments: TypeAlias = Mapping[str, object]

VERSION: Final = "5.24.06"
_CREATE: Final = "objects.create"
_UNCALLABLE: Final = "Метод {} нельзя вызвать"
_ANSWERED_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"CabinetSessions": ("suid", "user_id", "created")}
"""The fields answered for an object whose secret is the purpose of the request."""
_HIDDEN: Final = "•••"


@dataclass(frozen=True, slots=True)
class Chain:
    """A request: the methods with their arguments, and the `fields` requested of the last object."""

    model: str
    steps: tuple[tuple[str, Arguments], ...]
    fields: tuple[str, ...] | None = None

    @property
    def writes(self) -> bool:
        return any(method not in FACTS.methods or not FACTS.methods[method].reads for method, _ in self.steps)

    @property
    def enrols(self) -> bool:
        """Whether it creates a subscriber, who counts for the licence."""
        return self.model == "Abonents" and any(
            method == _CREATE and not arguments.get("is_folder") for method, arguments in self.steps
        )

    @property
    def lists(self) -> bool:
        last = self.steps[-1][0] if self.steps else ""
        return last in FACTS.methods and FACTS.methods[last].lists

    @property
    def call(self) -> str:
        return ".".join([method for method, _ in self.steps])


def parse(model: str, form: Mapping[str, str]) -> Chain:
    """A request's form as a chain, as tolerant as the real one: a missing `argN` is `{}` [S].

    Raises `MockRefusal` for invalid JSON.
    """

    def decoded(name: str, text: str) -> object:
        try:
            return json.loads(text)
        except ValueError as error:
            raise MockRefusal("{}: {}", name, error) from error

    steps: list[tuple[str, Arguments]] = []
    if form.get("get_version"):
        steps.append(("get_version", {}))
    while method := form.get(f"method{len(steps) + 1}"):
        name = f"arg{len(steps) + 1}"
        arguments = decoded(name, form.get(name) or "{}")
        if not isinstance(arguments, dict):
            raise MockRefusal("{}: нужен объект JSON", name)
        steps.append((method, arguments))
    fields = form.get("fields") or form.get(f"fields{len(steps)}")
    wanted = decoded("fields", fields) if fields else None
    if wanted is not None and not isinstance(wanted, list):
        raise MockRefusal("fields: нужен список JSON")
    return Chain(model, tuple(steps), None if wanted is None else tuple(map(str, wanted)))


def carry_out(
    connection: MockConnection,
    chain: Chain,
    request: int,
    quirks: Quirks,
    *,
    admit: Callable[[], None] = lambda: None,
) -> object:
    """The answer's `result`; the caller commits, or rolls back after a refusal. Raises `MockRefusal`.

    `request` is the number for the ledger; `admit` takes a place of the licence for a new subscriber, unless the call
    was answered before.
    """
    if chain.model == "Version" and chain.call == "get_version":
        return {"version": VERSION, "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}  # noqa: DTZ005 - no zone there
    model = connection.models.get(chain.model)
    if chain.model == "Version" or (model is not None and model.methods and not chain.steps):
        raise MockRefusal(_UNCALLABLE, chain.call)
    if model is None or not model.methods:
        raise MockRefusal("Не найдена модель {}", chain.model)
    work = Work(connection, quirks, request, chain.call, admit)
    # Under a quirk the caller's name for the storno differs, or it has none.
    called = quirks.storno_call
    renamed = {} if called == "storno" else {called: "storno", "storno": ""}
    target: MockObject | None = None
    result: object = None
    for number, (name, arguments) in enumerate(chain.steps):
        method = renamed.get(name, name)
        fact = FACTS.methods[method] if method in model.methods else None
        if fact is None or fact.of_objects is (number == 0) or (number and target is None):
            raise MockRefusal(_UNCALLABLE, name)
        if target is not None and target.gone:
            raise MockRefusal(DELETED)
        if unknown := [one for one in arguments if fact.takes is not None and one not in fact.takes]:
            raise MockRefusal(UNKNOWN, unknown[0])
        if target is None:
            result = work.begin(model, method, arguments)
            target = result if isinstance(result, MockObject) else None
        else:
            result = work.go_on(target, method, arguments)
    answer = work.answer(chain.fields, target, result)
    if chain.steps[-1][0] != _CREATE or not isinstance(answer, dict):
        return answer
    fields = dict(answer["fields"])
    if not quirks.descr_returned:
        fields.pop("descr", None)
    shapes = {
        "object": {**answer, "fields": fields},
        "list": [{**answer, "fields": fields}],
        "fields": {model.key_name: answer["pk"], **fields},
        "id": answer["pk"],
    }
    return shapes[quirks.create_answers]


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
        return int(self.stored.get(self.model.key_name, 0))

    def value(self, name: str) -> Any:  # noqa: ANN401 - of the type of its column
        return self.written.get(name, self.stored.get(name))


@dataclass(slots=True)
class Work:
    """What one request does, in the transaction of a connection. All methods raise `MockRefusal`.

    `request` and `methods` are written to the ledger, unless the request is 0. `arguments` are those of the last
    save. `admit` takes a place of the licence for a new subscriber.
    """

    connection: MockConnection
    quirks: Quirks
    request: int = 0
    methods: str = ""
    admit: Callable[[], None] = lambda: None
    now: datetime = field(default_factory=datetime.now)
    arguments: Arguments = field(default_factory=dict)
    _seen: dict[tuple[str, Stored], MockObject | None] = field(default_factory=dict)

    @property
    def models(self) -> Mapping[str, MockModel]:
        return self.connection.models

    def begin(self, model: MockModel, method: str, arguments: Arguments) -> object:
        match method:
            case "objects.get":
                return self.get(model, arguments)
            case "objects.filter" | "objects.all":
                return self.find(model, arguments)
            case "objects.create":
                return self.create(model, arguments)
            case "get_user_by_suid":
                return _user_of(self, arguments)
        # `web_cabinet.*` answers a list whose first element is a JSON string, and puts its errors in there as well
        # [I]. The string's content is known from what integrators read of it [I], the rest is assumed [?].
        try:
            said = (_services if method == "web_cabinet.get_usluga_list" else _recover)(self, arguments)
        except MockRefusal as refusal:
            said = {"error": str(refusal)}
        return [msgspec.json.encode(said).decode()]

    def go_on(self, target: MockObject, method: str, arguments: Arguments) -> object:
        match method:
            case "set":
                # Only assigned: it is stored by `save` [S].
                target.written |= self._read(target.model, arguments, fixed=False)
            case "save":
                self.arguments = arguments
                self._apply_rules(target)
                self._write(target)
            case "delete":
                self._delete(target, clean_links=bool(arguments.get("clean_links")))
            case "add_payment":
                if arguments.get("SUM_IN") is None:
                    raise MockRefusal(REQUIRED, "SUM_IN")
                operation = {"abonent_id": target.key, "op_type_id": RECEIPT, "op_summa": arguments["SUM_IN"]}
                self.create(self.models["FinanceOperations"], operation)
            case "storno":
                self._reverse(target)
            case "get_details":
                details = self.models.get("FinanceOperationDetails")
                return [] if details is None else self.find(details, {"op_id": target.key})
            case "set_password":
                # At once, without `save`; `dontshow` hides it from administrators [S].
                # Values that were assigned and not saved stay assigned and unsaved.
                written = target.written
                target.written = _password_columns(arguments.get("psw"), hidden=bool(arguments.get("dontshow")))
                self._write(target)
                target.written = written
            case "get_or_create_dynamic_session":
                return _session(self, target)
        return None

    # ---- objects -----------------------------------------------------------------------------------------------

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
            raise MockRefusal(NONE_FOUND, model.name)
        if len(found) > 1:
            raise MockRefusal(SEVERAL_FOUND, model.name, len(found))
        return found[0]

    def seen(self, model: str, key: Stored) -> MockObject | None:
        """The object with a key, as it was when this request first looked at it or wrote anything."""
        if (model, key) not in self._seen:
            found = self.find(self.models[model], {"pk": key})
            self._seen[model, key] = found[0] if found else None
        return self._seen[model, key]

    def is_taken(self, target: MockObject, name: str, value: object, *, held: bool = False) -> bool:
        """Whether another object has a value; one that is deleted counts only where it is `held`."""
        wanted = {name: value}
        if target.model.marks_deleted and not held:
            wanted["deleted"] = 0
        return any(found.key != target.key for found in self.find(target.model, wanted))

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

    def _write(self, target: MockObject, **beside: object) -> None:
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

    def _delete(self, target: MockObject, *, clean_links: bool) -> None:
        """Delete an object, or mark it; `clean_links` first deletes the dependent rows that may be deleted [S, ?]."""
        model = target.model
        if target.stored.get("deleted"):
            raise MockRefusal(DELETED)
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
                    raise MockRefusal("На объект ссылаются: {}", other.name)
                self._delete(found, clean_links=True)
        action = f"update {model.table} set deleted = 1" if model.marks_deleted else f"delete from {model.table}"  # noqa: S608 - names of ours
        self.connection.execute(f"{action} where {model.key.column} = ?", (target.key,))
        target.gone = True
        self._seen.clear()
        self._enter(target, {"deleted": 1})

    def _reverse(self, operation: MockObject, **beside: object) -> None:
        """The storno of a finance operation: its sum is taken back, whatever its origin; type 8 as added [?]."""
        if "storno" not in operation.model.fields:
            raise MockRefusal(UNKNOWN, "storno")
        if operation.stored["storno"]:
            raise MockRefusal("Операция уже сторнирована")
        kind, account = operation.stored["op_type_id"], _account_of(self, operation.stored["abonent_id"])
        kept = kind == OPENING_BALANCE and self.quirks.storno_type_8 == "keeps"
        self.move(account, kind, 0 if kept else -operation.stored["op_summa"], "adds")
        operation.written = {"storno": 1}
        self._write(operation, **beside)

    def move(self, account: Stored, kind: int, summa: int, opening_balance: str) -> None:
        if account is None:
            raise MockRefusal("Нет счета для проведения финансовой операции")
        if (known := FACTS.operations.get(kind)) is None:
            raise MockRefusal(NONE_FOUND, "FinanceOpTypes")
        if does := opening_balance if known.does == "sets" else known.does:
            self.connection.run(f"balance_{does}", summa=summa, account=account)

    def _reopen_period(self, operation: MockObject) -> None:
        """Reverse the acts of a closed period that a new operation is dated into [V]; which ones exactly is [?]."""
        model, dated = operation.model, operation.stored["op_date"]
        if not {"storno", "period_end_date"} <= model.fields.keys():
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
                self._reverse(act, log=f"{log} {operation.stored['op_type_id']}")

    def _read(self, model: MockModel, arguments: Arguments, *, fixed: bool) -> Columns:
        """The arguments as column values; fields that `set` may not assign are refused unless `fixed` is true."""
        values: Columns = {}
        for name, value in arguments.items():
            attribute = model.fields.get(name)
            if attribute is None or name == model.key_name or (attribute.fixed and not fixed):
                raise MockRefusal(UNKNOWN, name)
            values[name] = stored(attribute.kind, value)
        return values

    def _apply_rules(self, target: MockObject) -> None:
        if target.stored.get("deleted"):
            raise MockRefusal(DELETED)
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
                if (other := self.seen(one.refers, value)) is None:
                    raise MockRefusal(*(UNKNOWN, value) if one.refers == "Attributes" else (NONE_FOUND, one.refers))
                if other.stored.get("deleted"):
                    raise MockRefusal(DELETED)
                if name == "abonent_id" and other.stored.get("is_folder"):
                    raise MockRefusal("Группе нельзя добавлять финансовую операцию")
        for rule in _RULES.get(model.name, ()):
            rule(self, target)

    def _enter(self, target: MockObject, written: Columns, **beside: object) -> None:
        if not self.request:
            return
        model = target.model
        what: dict[str, object] = {}
        for name, value in written.items():
            # `deleted` is no field where rows are not only marked; a cleared password is no secret.
            one = model.fields.get(name)
            hidden = one is not None and one.secret and value
            what[name] = _HIDDEN if hidden else value if one is None else value_text(one.kind, value)
        self.connection.run(
            "enter",
            request=self.request,
            happened=self.now,
            model=model.name,
            methods=self.methods[:120],
            changed_table=model.table,
            changed_key=target.key,
            subject=target.stored[model.subject],
            what=msgspec.json.encode(what | beside).decode()[:1000],
        )

    # ---- answers -------------------------------------------------------------------------------------------------

    def answer(self, fields: Iterable[str] | None, target: MockObject | None, result: object) -> object:
        """The objects of a result with the requested `fields`, or all but the secret ones."""
        # `fields` after a `save` asks for the object's new state [S, the recipe of pools].
        if result is None and target is not None and fields is not None and not target.gone:
            result = target
        if isinstance(result, MockObject):
            return self._shape(result, _ANSWERED_FIELDS.get(result.model.name) if fields is None else fields)
        if isinstance(result, list):
            return [self._shape(each, fields) if isinstance(each, MockObject) else each for each in result]
        return result

    def _shape(self, target: MockObject, fields: Iterable[str] | None) -> dict[str, object]:
        tree: dict[str, list[str]] = {}
        if fields is None:
            fields = [name for name, attribute in target.model.fields.items() if not attribute.secret]
        for path in fields:
            name, _, rest = path.partition("__")
            tree.setdefault(name, []).extend([rest] if rest else [])
        return {
            "pk": self._answered(ValueType.INTEGER, target.key),
            "model": target.model.name,
            "fields": {name: self._attribute(target, name, rest) for name, rest in tree.items()},
        }

    def _attribute(self, target: MockObject, name: str, rest: list[str]) -> object:
        model = target.model
        if name == "pk" and not rest:
            return self._answered(ValueType.INTEGER, target.key)
        if name in model.fields and not rest:
            return self._answered(model.fields[name].kind, target.value(name))
        relation, reverse = model.relation(name), model.reverse.get(name)
        if relation is not None and relation.refers in self.models:
            key = target.value(relation.name)
            found = self.seen(relation.refers, key) if key is not None else None
            return self._shape(found, rest or None) if found else None
        if reverse is not None and self.models[reverse.model].methods:
            linked = self.find(self.models[reverse.model], {reverse.by: target.key})
            return [self._shape(each, rest or None) for each in linked]
        raise MockRefusal(UNKNOWN, name)

    def _answered(self, kind: ValueType, value: Stored) -> Answered:
        text = value_text(kind, value)
        if self.quirks.value_types == "numbers" and kind is ValueType.MONEY and text is not None:
            return float(text)
        if self.quirks.value_types == "texts" and kind is ValueType.INTEGER and text is not None:
            return str(text)
        return text


def _object(model: MockModel, row: DatabaseRow) -> MockObject:
    values = [value.rstrip(" ") if isinstance(value, str) else value for value in row]
    return MockObject(model, dict(zip(model.fields, values, strict=True)))


# ---- rules: what concerns more than one field ---------------------------------------------------------------------


def _require(target: MockObject, name: str) -> None:
    if name in target.model.fields and (not target.stored or name in target.written):
        value = target.value(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise MockRefusal(REQUIRED, name)


def _account_of(work: Work, abonent: Stored) -> Stored:
    """The account of a subscriber who is not deleted."""
    found = work.seen("Abonents", abonent)
    if found is None or found.stored.get("deleted"):
        raise MockRefusal(DELETED)
    account: Stored = found.stored.get("account_id")
    return account


def _traits(work: Work, target: MockObject) -> None:
    """What the fields say of their values."""
    held = work.quirks.deleted_numbers == "held"
    for name, one in target.model.fields.items():
        value = target.written.get(name)
        if one.unique and value is not None and work.is_taken(target, name, value, held=held):
            raise MockRefusal(one.unique, value)
        shape, else_said = one.shape
        if shape and value and not re.fullmatch(shape, value):
            raise MockRefusal(else_said, value)
        if one.now and not target.stored:
            target.written.setdefault(name, work.now.replace(microsecond=0))


def _operation(work: Work, target: MockObject) -> None:
    """A comment is cut to the column's length, without an error; a new operation moves the balance."""
    written = target.written
    if work.quirks.descr_length and (text := written.get("descr")):
        written["descr"] = text[: work.quirks.descr_length]
    if not target.stored:
        account = _account_of(work, written["abonent_id"])
        work.move(account, written["op_type_id"], written["op_summa"], work.quirks.type_8)


def _kind_of_subscriber(_: Work, target: MockObject) -> None:
    """A subscriber has a contract number, and a folder has no contract."""
    if not target.value("is_folder"):
        _require(target, "contract_number")
    elif wrong := [name for name in ("contract_number", "account_id", "tarif_id") if target.written.get(name)]:
        raise MockRefusal("У группы не может быть поля {}", wrong[0])


def _parent(work: Work, target: MockObject) -> None:
    """What an object lies in is a folder, and not within the object itself."""
    parent = target.written.get("parent_id")
    if parent is None:
        return
    above = work.seen("Abonents", parent)
    if above is None or not above.stored.get("is_folder"):
        raise MockRefusal("Абонент {} не является группой", parent)
    while above is not None and target.stored:
        if above.key == target.key:
            raise MockRefusal("Группа не может быть вложена в саму себя")
        further = above.stored.get("parent_id")
        above = None if further is None else work.seen("Abonents", further)


def _recalculation(work: Work, target: MockObject) -> None:
    since: date | None = target.written.get("need_recalc")
    if since is None:
        return
    if since.day != 1:  # the rule is the vendor's [S]
        raise MockRefusal("Перерасчет возможен только с первого числа месяца")
    if (work.now.year - since.year) * 12 + work.now.month - since.month > FACTS.months_back.value:
        raise MockRefusal("Перерасчет поддерживает не более 6 месяцев")


def _new_subscriber(work: Work, target: MockObject) -> None:
    """A new subscriber counts for the licence and gets an account: integrators create it without one [I]."""
    written = target.written
    if target.stored or written.get("is_folder"):
        return
    work.admit()
    if written.get("account_id") is None:
        written["account_id"] = work.insert(work.models["AdminAccounts"], {}).key


_ALL_ADDRESSES: Final = (10 << 24, (11 << 24) - 1)
"""What a pool without addresses of its own issues from."""


def _address(work: Work, target: MockObject) -> None:
    """An address is of one account and lies in its pool; one that is emptied is issued from the pool [S]."""
    if "ip" not in target.written and target.stored:
        return
    number, address = target.value("pull"), target.written.get("ip")
    pool = work.seen("IpPulls", number) if number is not None and "IpPulls" in work.models else None
    first, last = (None, None) if pool is None else (pool.stored.get("first_ip"), pool.stored.get("last_ip"))
    known = None if first is None or last is None else (first, last)
    if address is not None:
        text = value_text(ValueType.ADDRESS, address)
        if work.is_taken(target, "ip", text):
            raise MockRefusal("IP-адрес уже занят: {}", text)
        if known is not None and not known[0] <= address <= known[1]:
            raise MockRefusal("IP-адрес {} не входит в пул {}", text, number)
    elif number:
        begin, end = known or _ALL_ADDRESSES
        size = end - begin + 1
        # By keys of a generator: a call out of a stack issues the address that it has answered.
        for _ in range(size):
            issued = begin + (work.connection.next_key("gen_users_ip") - begin) % size
            if not work.is_taken(target, "ip", value_text(ValueType.ADDRESS, issued)):
                target.written["ip"] = issued
                return
        raise MockRefusal("В пуле {} нет свободных адресов", number)


def _password(work: Work, target: MockObject) -> None:
    """Clearing a password and generating one need two saves, as the vendor's recipe has two requests [S]."""
    if "psw" in target.written:
        target.written |= _password_columns(target.written["psw"] or "")
    elif not target.value("psw_hash"):
        # Derived from a key, so that a trial run and the later one give the same password; it protects nothing here.
        number = work.connection.next_key("gen_users_password")
        target.written |= _password_columns(hashlib.sha256(f"password {number}".encode()).hexdigest()[:10])


def _password_columns(password: object, *, hidden: bool = False) -> Columns:
    """The columns of a password: in clear text too unless `hidden`; an empty one means none."""
    if not isinstance(password, str):
        raise MockRefusal(REQUIRED, "psw")
    if not password:
        return {"psw": None, "psw_hash": None}
    return {"psw": None if hidden else password, "psw_hash": hashlib.sha256(password.encode()).hexdigest()}


def _service(work: Work, target: MockObject) -> None:
    """A service without a manager is saved only where the call allows it [S]; a promised payment is one at a time."""
    if target.value("manager_id") is None and not work.arguments.get("allow_set_none_manager"):
        raise MockRefusal(REQUIRED, "manager_id")
    if {"usluga_id", "abonent_id", "enabled"} & target.written.keys():
        values = {"usluga": target.value("usluga_id"), "abonent": target.value("abonent_id"), "id": target.key}
        ((promises, connected),) = work.connection.run("promised_payments", **values)
        if promises and connected:
            raise MockRefusal("Обещанный платеж уже подключен")


_RULES: Final[Mapping[str, tuple[Callable[[Work, MockObject], None], ...]]] = {
    "Abonents": (_kind_of_subscriber, _traits, _parent, _recalculation, _new_subscriber),
    "FinanceOperations": (_operation, _traits),
    "Users": (_traits, _address, _password),
    "UsersUsluga": (_service,),
}

# ---- the subscriber's cabinet: sessions, services on offer, the recovery of a password ----------------------------


def _session(work: Work, user: MockObject) -> MockObject:
    """The session of an account, created if needed; its fields have `suid` [I]."""
    if user.stored.get("deleted"):
        raise MockRefusal(DELETED)
    model = work.models["CabinetSessions"]
    if found := work.find(model, {"user_id": user.key}, first=1):
        return found[0]
    least = 10 ** (FACTS.suid_digits.value - 1)
    suid = str(least + secrets.randbelow(9 * least))
    return work.create(model, {"suid": suid, "user_id": user.key, "created": f"{work.now:%Y-%m-%d %H:%M:%S}"})


def _user_of(work: Work, arguments: Arguments) -> MockObject:
    """The account of a session: `get_user_by_suid` [S]."""
    suid = arguments.get("suid")
    if not suid:
        raise MockRefusal(REQUIRED, "suid")
    found = work.find(work.models["CabinetSessions"], {"suid": suid}, first=1)
    if not found:
        raise MockRefusal("Сессия не найдена")  # the text is assumed [?]
    return work.get(work.models["Users"], {"id": found[0].stored["user_id"]})


def _services(work: Work, arguments: Arguments) -> object:
    """Two lists: the services of the tariff, and with `get_user_uslugas_all` the connected ones [S]."""
    abonent = work.get(work.models["Abonents"], {"id": _user_of(work, arguments).stored["abonent_id"]})

    def service(link: MockObject) -> tuple[MockObject, Answered, str]:
        found = work.get(work.models["Usluga"], {"id": link.stored["usluga_id"]})
        price = value_text(ValueType.MONEY, found.stored["summa"])
        return found, price, f"{found.stored['name']}: ({price} руб.)"

    links = work.find(work.models["TarifUsersUsluga"], {"tarif_id": abonent.stored["tarif_id"]})
    offered = [
        {"pk": one.key, "name": one.stored["name"], "summa": price, "__self": text}
        for one, price, text in sorted(map(service, links), key=lambda each: each[0].key)
    ]
    connected: list[object] = []
    if arguments.get("get_user_uslugas_all"):
        for link in work.find(work.models["UsersUsluga"], {"abonent_id": abonent.key, "deleted": 0, "enabled": 1}):
            one, _, text = service(link)
            due = value_text(ValueType.TIMESTAMP, link.stored["next_date"])
            connected.append({"pk": link.key, "usluga_id": one.key, "__usluga": text, "next_date": due})
    return [offered, connected]


def _recover(work: Work, arguments: Arguments) -> object:
    """Send the subscriber a link below `base_url`; the password stays until the link is followed [?]."""
    login, base_url = arguments.get("login"), arguments.get("base_url")
    if not isinstance(login, str) or not login:
        raise MockRefusal(REQUIRED, "login")
    if base_url is None:
        raise MockRefusal(REQUIRED, "base_url")
    users = work.models["Users"]
    # By login, or by the subscriber's e-mail address.
    found = {one.key for name in ("login", "abonent__email") for one in work.find(users, {name: login, "deleted": 0})}
    if not found:
        raise MockRefusal(NONE_FOUND, "Users")
    if len(found) > 1:
        raise MockRefusal(SEVERAL_FOUND, "Users", len(found))
    (user,) = found
    created = f"{work.now:%Y-%m-%d %H:%M:%S}"
    work.create(work.models["PasswordRecoveries"], {"user_id": user, "base_url": base_url, "created": created})
    return {"result": "ok", "uid": user}
