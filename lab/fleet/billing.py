"""A mock billing in memory, with its ledger: the part of the REST API that a load of opening balances needs.

The mock of `lab.mock` is a whole billing over a real Firebird, one a process. A fleet needs a dozen at once that cost
next to nothing, so this one knows subscribers and finance operations alone, and is asked through the API only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from lab.mock.chain import VERSION, Chain, parse
from lab.mock.facts import OPENING_BALANCE
from lab.mock.refusals import MockRefusal, none_found, unknown_attribute, unknown_method, unknown_model

Record: TypeAlias = Mapping[str, object]


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d %H:%M:%S}"  # noqa: DTZ005 - no zone there


FIRST: Final = 1000
"""The id of the first subscriber; that of the account is the same."""


@dataclass(frozen=True, slots=True)
class EnteredSum:
    """An entry of the ledger: whose sum was entered, under which comment, in which request, and when."""

    subscriber: int
    amount: Decimal
    comment: str
    request: int
    date: str = field(default_factory=_now)


class LedgerBilling:
    """A billing of `subscribers`, and the ledger of what was entered there; nothing is ever taken out of it."""

    def __init__(self, subscribers: int) -> None:
        self.subscribers = range(FIRST, FIRST + subscribers)
        self.ledger: list[EnteredSum] = []
        self._entered: dict[int, list[int]] = {}
        self._requests = 0

    def answer(self, model: str, form: bytes) -> bytes:
        """Carry out a request and return its answer; the effect is there before this returns."""
        self._requests += 1
        call = ""
        try:
            chain = parse(model, dict(parse_qsl(form.decode(), keep_blank_values=True)))
            call = chain.call
            return msgspec.json.encode({"call": call, "result": self._result(chain)})
        except MockRefusal as refusal:
            return msgspec.json.encode({"call": call, "error": str(refusal)})

    def _result(self, chain: Chain) -> object:
        if chain.model == "Version":
            return {"version": VERSION, "time": _now()}
        if len(chain.steps) != 1:
            raise unknown_method(chain.call)
        method, arguments = chain.steps[0]
        if (chain.model, method) == (OPERATIONS, "objects.create"):
            return self._shape(OPERATIONS, self._operation(self._enter(arguments)), chain.fields)
        if chain.model not in _KEYS:
            raise unknown_model(chain.model)
        found = [self._shape(chain.model, record, chain.fields) for record in self._find(chain.model, arguments)]
        match method:
            case "objects.filter":
                return found
            case "objects.get" if found:
                return found[0]
            case "objects.get":
                raise none_found(chain.model)
        raise unknown_method(method)

    def _enter(self, arguments: Record) -> int:
        """Enter an operation in the ledger; returns its number."""
        try:
            subscriber = int(str(arguments["abonent_id"]))
            amount = Decimal(str(arguments["op_summa"]))
        except (KeyError, ValueError, InvalidOperation) as error:
            raise MockRefusal(f"Неверное значение {error}") from error
        if subscriber not in self.subscribers:
            raise none_found("Abonents")
        self.ledger.append(EnteredSum(subscriber, amount, str(arguments.get("descr", "")), self._requests))
        self._entered.setdefault(subscriber, []).append(len(self.ledger))
        return len(self.ledger)

    def _find(self, model: str, arguments: Record) -> Iterator[Record]:
        wanted = {_KEYS[model] if name == "pk" else name: str(value) for name, value in arguments.items()}
        for record in self._candidates(model, wanted):
            if unknown := wanted.keys() - record.keys():
                raise unknown_attribute(min(unknown))
            if all(str(record[name]) == value for name, value in wanted.items()):
                yield record

    def _candidates(self, model: str, wanted: Mapping[str, str]) -> Iterator[Record]:
        """The objects among which a filter is to look, by the one key that each of its requests names."""
        if model == "Abonents":
            subscriber = wanted.get("id", "")
            if subscriber.isdigit() and int(subscriber) in self.subscribers:
                yield _subscriber(int(subscriber))
        elif (subscriber := wanted.get("abonent_id", "")).isdigit():
            yield from map(self._operation, self._entered.get(int(subscriber), ()))
        elif (number := wanted.get("op_id", "")).isdigit() and 1 <= int(number) <= len(self.ledger):
            yield self._operation(int(number))

    def _operation(self, number: int) -> Record:
        entry = self.ledger[number - 1]
        return {
            "op_id": number,
            "abonent_id": entry.subscriber,
            "op_type_id": OPENING_BALANCE,
            "op_summa": f"{entry.amount:.2f}",
            "op_date": entry.date,
            "descr": entry.comment,
            "storno": 0,
        }

    def _shape(self, model: str, record: Record, fields: tuple[str, ...] | None) -> object:
        """An object with the fields that were asked for; `abonent__account_id` is one of another object."""
        shaped: dict[str, object] = {}
        for path in record if fields is None else fields:
            name, _, rest = path.partition("__")
            if rest and f"{name}_id" in record:
                other = _subscriber(int(str(record[f"{name}_id"])))
                shaped[name] = self._shape("Abonents", other, (rest,))
            elif name in record:
                shaped[name] = record[name]
            else:
                raise unknown_attribute(path)
        return {"pk": record[_KEYS[model]], "model": model, "fields": shaped}


def _subscriber(number: int) -> Record:
    return {
        "id": number,
        "account_id": number,
        "contract_number": f"Д-{number}",
        "name": f"Абонент {number}",
        "parent_id": None,
        "is_folder": 0,
        "deleted": 0,
    }


OPERATIONS: Final = "FinanceOperations"
_KEYS: Final[Mapping[str, str]] = {"Abonents": "id", OPERATIONS: "op_id"}
