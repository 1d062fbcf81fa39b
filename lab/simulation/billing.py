"""A billing in memory with a ledger, which answers chain calls of the REST API v2: form bytes in, JSON bytes out.

It is written from the collected facts of Carbon Billing 5 alone (docs/provenance.md) and imports nothing of the
program or its mock, so that no error of theirs is repeated here. What is created gets its id at once, and its effect
when the worker of the stacks comes to it. The ledger keeps each effect, whoever has brought it about.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import Any, Final

import msgspec
from yarl import URL

Fields = dict[str, Any]

ACT: Final = 1
"""A charge: the balance falls."""
RECEIPT: Final = 2
"""Money paid in: the balance rises."""
SET_BALANCE: Final = 8
"""The balance becomes the sum."""

TYPES: Final = range(1, 13)
SCALE: Final = Decimal(10_000_000_000)
KEYS: Final = {"FinanceOperations": "op_id"}
"""The name of a model's key where it is not `id`."""

MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Abonents": {
        "parent_id": 1, "is_folder": 0, "name": "", "contract_number": "", "account_id": None, "tarif_id": 1,
        "tarif_next_id": None, "tarif_next_date": None, "operator_id": 1, "sms": "", "email": "", "deleted": 0,
        "create_date": "2020-01-01 00:00:00", "need_recalc": None, "own_disabled_start": None,
        "own_disabled_end": None,
    },
    "AdminAccounts": {
        "ostatok": "0", "debit": "0", "credit": "0", "limit": "0", "limit_warning": "0", "name": "", "deleted": 0,
    },
    "Users": {
        "abonent_id": None, "login": "", "ip": "", "mac": "", "pull": None, "snatip": "", "snat_pull": None,
        "enabled": 1, "deleted": 0,
    },
    "FinanceOperations": {
        "abonent_id": None, "op_type_id": None, "op_summa": "0", "op_date": None, "descr": "", "storno": 0,
        "number": "", "code1c": "", "sync1c": 0, "isbuhdoc": 0, "period_end_date": None, "system_date": None,
        "end_user": "", "operator_pay_id": None, "operator_pay_id_str": "", "operator_name": "", "op_card_id": None,
    },
    "UsersUsluga": {
        "abonent_id": None, "usluga_id": None, "manager_id": None, "comment": "", "next_date": None, "enabled": 1,
        "deleted": 0,
    },
    "AttributeValues": {"abonent_id": None, "attribute_id": None, "attribute_value": ""},
    "Usluga": {"name": "", "summa": "0", "operator_id": 1},
    "Tarif": {"name": "", "users_limit_warning": "0"},
    "DjangoUsersProfile": {"username": ""},
    "AbonentsBlockHistory": {"abonent_id": None, "time_changed": None, "time_del": None},
}  # fmt: skip
LINKS: Final[Mapping[str, str]] = {
    "abonent": "Abonents", "account": "AdminAccounts", "parent": "Abonents", "usluga": "Usluga", "tarif": "Tarif",
    "manager": "DjangoUsersProfile",
}  # fmt: skip
LENGTHS: Final = {"descr": 255, "number": 10}
_TESTS: Final = ("__range", "__in")


class Refused(Exception):
    """Raised for what the billing refuses, with its own words."""


@dataclass(frozen=True)
class Effect:
    """One change of the billing: who has made it, when, and what became what."""

    moment: float
    who: str
    what: str
    model: str
    pk: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    left: float = 0.0
    """When the call of it had left its caller."""
    lost: float = 0.0
    """When the billing was put back to before it."""
    maker: str = ""
    """Who has created what is deleted or reversed."""
    over: tuple[int, ...] = ()
    """The operations of its account, since its balance was set last, over which it sets the balance."""


@dataclass
class Billing:
    """The billing. `lag` gives the seconds that the worker of the stacks takes for an effect."""

    clock: Callable[[], float]
    lag: Callable[[], float] = lambda: 0.0
    began: datetime = datetime(2026, 11, 1, 9, 0, 0)  # noqa: DTZ001 - the billing knows its own time only
    tables: dict[str, dict[int, Fields]] = field(default_factory=lambda: {name: {} for name in MODELS})
    ledger: list[Effect] = field(default_factory=list)
    refuses: str = ""
    """The words with which it refuses to save anything, as read-only."""
    adds: bool = False
    """Whether an operation of type 8 adds to the balance."""
    lost: list[Effect] = field(default_factory=list)
    """What it has no more since it was put back from its backup."""
    put_back_at: float = 0.0
    _last: dict[str, int] = field(default_factory=dict)
    _stack: list[tuple[float, float, str, str, int, Fields]] = field(default_factory=list)
    _of_abonent: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _makers: dict[tuple[str, int], str] = field(default_factory=dict)
    _since: dict[int, list[int]] = field(default_factory=dict)
    """By subscriber, the operations since the balance of the account was set."""
    _left: float = 0.0

    # ---- what people and tests do ----

    def add(self, model: str, who: str = "before", /, **values: Any) -> int:  # noqa: ANN401
        pk = self._new_pk(model)
        self._create(who, model, pk, {**MODELS[model], **values})
        return pk

    def change(self, model: str, pk: int, who: str, /, **values: Any) -> None:  # noqa: ANN401
        self._save(who, model, pk, values)

    def remove(self, model: str, pk: int, who: str) -> None:
        before = self.tables[model].pop(pk)
        self._note(who, "deleted", model, pk, before, {}, maker=self._makers[model, pk])

    def put_back(self, anew: "Billing", moment: float) -> None:
        """Become what it was at a moment, from `anew`, which is as it was at first; what came since is lost.

        Ids are given again, stacks are empty, and what is under way arrives nowhere.
        """
        kept = [one for one in self.ledger if one.moment <= moment]
        waiting = [
            Effect(due, who, "created", model, pk, {}, values, left)
            for due, left, who, model, pk, values in self._stack
        ]
        self.lost += [replace(one, lost=self.clock()) for one in (*self.ledger[len(kept) :], *waiting)]
        self.tables, self._of_abonent, self._last, self._since = {name: {} for name in MODELS}, {}, {}, {}
        for model, table in anew.tables.items():
            for pk, values in table.items():
                self._create("before", model, pk, values)
        for one in kept:
            match one.what:
                case "created":
                    self._create(one.who, one.model, one.pk, dict(one.after))
                case "saved":
                    self._save(one.who, one.model, one.pk, dict(one.after))
                case "deleted":
                    self.remove(one.model, one.pk, one.who)
                case "reversed":
                    self._reverse(one.who, one.pk)
        self.ledger, self._stack, self.put_back_at = kept, [], self.clock()

    def balance(self, account: int) -> Decimal:
        found = self.tables["AdminAccounts"][account]
        return Decimal(found["ostatok"]) + Decimal(found["debit"]) - Decimal(found["credit"])

    def had(self, number: str, since: float, until: float) -> set[int]:
        """The subscribers who had a contract number, at first that of their id, within some time."""
        given = [(one.moment, one.pk) for one in self.ledger if one.after.get("contract_number") == number]
        spans = pairwise([(0.0, int(number)), *given, (inf, 0)])
        lost = (one for one in self.lost if one.after.get("contract_number") == number)
        return {pk for (at, pk), (end, _) in spans if at <= until and since <= end} | {
            one.pk for one in lost if one.moment <= until and since <= one.lost
        }

    # ---- what comes over the wire ----

    def answer(self, path: str, body: bytes, who: str, left: float = 0.0) -> bytes:
        """Carry out a request that has left at a moment; the JSON of its answer."""
        self.work_off()
        if left < self.put_back_at:
            return b""
        self._left = left
        model = path.rstrip("/").rpartition("/")[2]
        if model == "Version":
            return _json({"call": "get_version", "result": {"version": "5.20", "server_time": self._now()}})
        if model not in MODELS:
            return _json({"error": [f"Не найдена модель {model}"]})
        call, (chain, fields) = "", _parsed(body)
        try:
            found: Any = None
            for call, arguments in chain:
                found = self._method(model, found, call, msgspec.json.decode(arguments), who)
            return _json({"call": call, "result": self._shown(model, found, fields)})
        except Refused as error:
            said: Any = str(error) if call == "objects.get" else [str(error)]
            return _json({"call": call, "error": said})

    def work_off(self) -> None:
        """Let the worker of the stacks do what is due."""
        while self._stack and self._stack[0][0] <= self.clock():
            _, self._left, who, model, pk, values = self._stack.pop(0)
            self._create(who, model, pk, values)

    @property
    def depth(self) -> int:
        """How many effects wait in the stacks."""
        self.work_off()
        return len(self._stack)

    # ---- methods ----

    def _method(
        self,
        model: str,
        found: Any,  # noqa: ANN401
        call: str,
        arguments: Fields,
        who: str,
    ) -> Any:  # noqa: ANN401
        if call.startswith("objects."):
            match call.removeprefix("objects."):
                case "get":
                    several = list(self._filter(model, arguments))
                    if len(several) != 1:
                        raise Refused("matching query does not exist" if not several else "returned more than one")
                    return several[0]
                case "filter" | "all":
                    return list(self._filter(model, arguments))
                case "create":
                    return self._take(model, arguments, who)
        elif isinstance(found, tuple):
            pk, unsaved = found
            match call:
                case "set":
                    return pk, {**unsaved, **self._checked(model, arguments)}
                case "save":
                    self._may_write()
                    self._save(who, model, pk, unsaved)
                    return pk, {}
                case "delete":
                    self._may_write()
                    if pk not in self.tables[model]:
                        raise Refused("Объект уже удалён")
                    self.remove(model, pk, who)
                    return None
                case "storno" if model == "FinanceOperations":
                    self._may_write()
                    if self.tables[model][pk]["storno"]:
                        raise Refused("Операция уже сторнирована")
                    self._reverse(who, pk)
                    return found
                case "add_payment" if model == "Abonents":
                    paid = {"abonent_id": pk, "op_summa": arguments["SUM_IN"], "op_type_id": RECEIPT}
                    self._take("FinanceOperations", paid, who)
                    return found
                case "set_password" if model == "Users":
                    self._may_write()
                    self._save(who, model, pk, {})
                    return None
        raise Refused(f"Метод {call} нельзя вызвать")

    def _take(self, model: str, arguments: Fields, who: str) -> tuple[int, Fields]:
        """Reserve an id, and put the effect into the stack."""
        self._may_write()
        values = {**MODELS[model], **self._checked(model, arguments)}
        if model == "FinanceOperations":
            self._check_operation(values)
        elif model == "Abonents" and values["contract_number"]:
            self._check_free(model, "contract_number", values, "номер договора уже закреплен")
        elif model == "Users":
            self._check_free(model, "login", values, "логин уже занят")
        pk = self._new_pk(model)
        due = max([self.clock() + self.lag(), *(one[0] for one in self._stack[-1:])])
        self._stack.append((due, self._left, who, model, pk, values))
        self.work_off()
        return pk, {"_new": values}

    def _check_operation(self, values: Fields) -> None:
        abonent = self.tables["Abonents"].get(_number(values["abonent_id"]))
        if abonent is None or abonent["deleted"]:
            raise Refused("нет абонента для проведения финансовой операции")
        if abonent["is_folder"]:
            raise Refused("Группе нельзя добавлять финансовую операцию")
        if abonent["account_id"] is None:
            raise Refused("нет счета для проведения финансовой операции")
        if _number(values["op_type_id"]) not in TYPES:
            raise Refused("нет такого типа операции")
        values["abonent_id"], values["op_type_id"] = _number(values["abonent_id"]), _number(values["op_type_id"])
        values["op_date"] = values["op_date"] or self._now()
        values["system_date"] = self._now()

    def _check_free(self, model: str, name: str, values: Fields, words: str) -> None:
        waiting = (one for _, _, _, kind, _, one in self._stack if kind == model)
        for one in (*self.tables[model].values(), *waiting):
            if one[name] == values[name] and not one["deleted"]:
                raise Refused(words)

    def _may_write(self) -> None:
        if self.refuses:
            raise Refused(self.refuses)

    def _checked(self, model: str, arguments: Fields) -> Fields:
        checked: Fields = {}
        for name, value in arguments.items():
            if name not in MODELS[model]:
                raise Refused(f"Неизвестное поле {name}")
            if len(str(value)) > LENGTHS.get(name, 10_000):
                raise Refused(f"Слишком длинное значение {name}")
            checked[name] = value
        return checked

    # ---- effects ----

    def _create(self, who: str, model: str, pk: int, values: Fields) -> None:
        self.tables[model][pk] = values
        self._last[model] = max(self._last.get(model, 0), pk)
        if "abonent_id" in values:
            self._of_abonent.setdefault((model, str(values["abonent_id"])), []).append(pk)
        self._makers[model, pk], over = who, tuple[int, ...]()
        if model == "FinanceOperations":
            self._post(values)
            over = self._set_over(pk, values)
        self._note(who, "created", model, pk, {}, dict(values), over=over)

    def _save(self, who: str, model: str, pk: int, values: Fields) -> None:
        kept = self.tables[model][pk]
        before = {name: kept[name] for name in values}
        kept.update(values)
        self._note(who, "saved", model, pk, before, dict(values))

    def _reverse(self, who: str, pk: int) -> None:
        """The storno of an operation; one that has set a balance leaves it."""
        kept = self.tables["FinanceOperations"][pk]
        kept["storno"] = 1
        back = {**kept, "op_summa": str(-Decimal(str(kept["op_summa"])))}
        if kept["op_type_id"] != SET_BALANCE or self.adds:
            self._post(back)
        maker = self._makers["FinanceOperations", pk]
        self._note(who, "reversed", "FinanceOperations", pk, {}, back, maker=maker)

    def _note(self, who: str, what: str, model: str, pk: int, before: Fields, after: Fields, **more: Any) -> None:  # noqa: ANN401
        self.ledger.append(Effect(self.clock(), who, what, model, pk, before, after, self._left, **more))

    def _set_over(self, pk: int, operation: Fields) -> tuple[int, ...]:
        whose, abonents = operation["abonent_id"], self.tables["Abonents"]
        if operation["op_type_id"] != SET_BALANCE:
            self._since.setdefault(whose, []).append(pk)
            return ()
        account = abonents[whose]["account_id"]
        sharers = [one for one in self._since if abonents[one]["account_id"] == account]
        return tuple(each for one in sharers for each in self._since.pop(one))

    def _post(self, operation: Fields) -> None:
        abonent = self.tables["Abonents"][operation["abonent_id"]]
        account = self.tables["AdminAccounts"][abonent["account_id"]]
        summa = Decimal(str(operation["op_summa"]))
        match operation["op_type_id"]:
            case 1:
                account["credit"] = str(Decimal(account["credit"]) + summa)
            case 2:
                account["debit"] = str(Decimal(account["debit"]) + summa)
            case 8 if self.adds:
                account["ostatok"] = str(Decimal(account["ostatok"]) + summa)
            case 8:
                account["ostatok"] = str(summa - Decimal(account["debit"]) + Decimal(account["credit"]))

    # ---- filters and answers ----

    def _filter(self, model: str, criteria: Fields) -> Iterator[tuple[int, Fields]]:
        if model == "AdminAccounts" and (abonent := criteria.pop("account_id_abonents", None)) is not None:
            found = self.tables["Abonents"].get(_number(abonent))
            criteria["id"] = found["account_id"] if found else None
        tests = []
        for name, wanted in criteria.items():
            test = next((one for one in _TESTS if name.endswith(one)), "")
            tests.append((name.removesuffix(test).split("__"), _meets(wanted, test)))
        for pk in self._candidates(model, criteria):
            for way, meets in tests:
                if not meets(self._value(model, pk, way)):
                    break
            else:
                yield pk, {}

    def _candidates(self, model: str, criteria: Fields) -> list[int]:
        table = self.tables[model]
        for name, wanted in criteria.items():
            whose = wanted if isinstance(wanted, list) else [wanted]
            if name.removesuffix("__in") in {"pk", "id", KEYS.get(model)}:
                return sorted({pk for one in whose if (pk := _number(one)) in table})
            if name in {"abonent_id", "abonent", "abonent_id__in"}:
                return [pk for one in whose for pk in self._of_abonent.get((model, str(one)), ()) if pk in table]
        return sorted(table)

    def _value(self, model: str, pk: int | None, way: list[str]) -> Any:  # noqa: ANN401
        name, row = way[0], self.tables[model].get(pk or 0)
        if row is not None and name in row:
            return row[name]
        if name in {"pk", "id", KEYS.get(model)}:
            return pk
        if row is None:
            return None
        if f"{name}_id" not in row:
            raise Refused(f"Cannot resolve keyword '{name}' into field")
        linked = row[f"{name}_id"]
        return self._value(LINKS[name], linked, way[1:]) if way[1:] else linked

    def _shown(self, model: str, found: Any, fields: list[str]) -> Any:  # noqa: ANN401
        if isinstance(found, list):
            return [self._shown(model, one, fields) for one in found]
        if not isinstance(found, tuple):
            return found
        pk, unsaved = found
        row = {**unsaved.pop("_new", self.tables[model].get(pk, {})), **unsaved, KEYS.get(model, "id"): pk}
        shown: Fields = {}
        for name in fields or row:
            if name in row:
                shown[name] = row[name]
            elif "__" in name:
                first, *rest = name.split("__")
                inner = self._value(model, pk, [first])
                linked = {rest[0]: self._value(LINKS[first], inner, rest)}
                shown[first] = {"pk": inner, "model": LINKS[first], "fields": linked}
            elif f"{name}_id" in row:
                shown[name] = row[f"{name}_id"]
            elif name == "balance" and model == "AdminAccounts":
                shown[name] = str(self.balance(pk))
            else:
                raise Refused(f"Неизвестное поле {name}")
        return {"pk": pk, "model": model, "fields": shown}

    def _new_pk(self, model: str) -> int:
        pk = self._last[model] = self._last.get(model, 0) + 1
        return pk

    def _now(self) -> str:
        return f"{self.began + timedelta(seconds=int(self.clock())):%Y-%m-%d %H:%M:%S}"


@lru_cache(10_000)
def _parsed(body: bytes) -> tuple[list[tuple[str, str]], list[str]]:
    """The methods of a form, each with its arguments in JSON, and its fields. Most look-ups are asked again."""
    form = URL.build(query_string=body.decode(), encoded=True).query
    chain: list[tuple[str, str]] = []
    while call := form.get(f"method{len(chain) + 1}"):
        chain.append((call, form.get(f"arg{len(chain) + 1}") or "{}"))
    return chain, msgspec.json.decode(form.get("fields") or "[]")


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise Refused(f"«{value}» не число") from None


def _meets(wanted: Any, test: str) -> Callable[[object], bool]:  # noqa: ANN401
    """Whether a value passes the test."""
    if test == "__range":
        least, most = map(_comparable, wanted)
        return lambda value: least <= _comparable(value) <= most
    several = wanted if test == "__in" else [wanted]
    texts, others = {str(one) for one in several}, {_comparable(one) for one in several}
    return lambda value: str(value) in texts or _comparable(value) in others


@lru_cache(100_000, typed=True)
def _comparable(value: object) -> tuple[int, Any]:
    """Numbers are compared as numbers, however they are written, all else as text."""
    text = "" if value is None else str(value)
    try:
        return (0, Decimal(text))
    except InvalidOperation:
        return (1, text)


_json: Final = msgspec.json.Encoder().encode
