"""Finance operations that carry our mark: from the database in bulk, or through the API, a call a subscriber."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from billing.answers import objects
from billing.calls import filter_
from billing.errors import UnreadableAnswer
from billing.money import from_answer, wire
from billing.operations import Operation, of_abonents
from jobs import marks
from jobs.abonents import flag
from jobs.services import Services, told_to_engine

Marked: TypeAlias = Mapping[tuple[int, int], list[Operation]]
"""By subscriber and number of the item."""

_FIELDS: Final = ("op_id", "op_summa", "descr", "storno")


async def marked(services: Services, run_name: str, abonent_ids: Collection[int], op_type: int) -> Marked:
    """The operations of one type on these subscribers that carry the mark of one of the run's items, storno included.

    Raises `LookUpFailed`.
    """
    ids = list(dict.fromkeys(abonent_ids))
    if services.database is not None:
        found = await services.read(lambda database: list(_of_run(of_abonents(database, ids, op_type), run_name)))
    else:
        calls = [
            filter_("FinanceOperations", {"abonent_id": abonent_id, "op_type_id": op_type}, *_FIELDS)
            for abonent_id in ids
        ]
        answers = await services.ask(calls)
        with told_to_engine():
            found = [
                entry
                for abonent_id, answer in zip(ids, answers, strict=True)
                for entry in _of_run(
                    [_operation(fields, abonent_id, op_type) for fields in objects(answer)], run_name
                )
            ]
    by_item: defaultdict[tuple[int, int], list[Operation]] = defaultdict(list)
    for number, operation in found:
        by_item[operation.abonent_id, number].append(operation)
    return by_item


def difference(found: list[Operation], amount: Decimal) -> str | None:
    """How the operations of one mark differ from the one that was sent, both sides named; None when they do not."""
    there = ", ".join(
        f"operation {one.op_id} of {wire(one.op_summa)}{' (reversed by storno)' if one.storno else ''}"
        for one in found
    )
    if len(found) == 1 and found[0].op_summa == amount and not found[0].storno:
        return None
    return f"sent {wire(amount)}; the billing has {there or 'no operation with this mark'}"


def _of_run(operations: Iterable[Operation], run_name: str) -> Iterator[tuple[int, Operation]]:
    """Those with a mark of the run, each with the number of its item."""
    for operation in operations:
        found = marks.find(operation.descr)
        if found is not None and found[0] == run_name:
            yield found[1], operation


def _operation(fields: Mapping[str, object], abonent_id: int, op_type: int) -> Operation:
    """An operation from the fields of an answer. Raises `UnreadableAnswer`: what is missing may not be guessed."""
    key = fields.get("op_id", fields.get("pk"))
    summa, storno = fields.get("op_summa"), fields.get("storno")
    if not isinstance(key, int | str) or not isinstance(summa, int | str | Decimal) or "storno" not in fields:
        raise UnreadableAnswer(
            "The billing was asked for finance operations, and its answer has no op_id, op_summa or storno."
        )
    try:
        return Operation(
            op_id=int(key),
            abonent_id=abonent_id,
            op_type=op_type,
            op_summa=from_answer(summa),
            descr=str(fields.get("descr") or ""),
            storno=flag(storno),
        )
    except ValueError as error:
        raise UnreadableAnswer(f"A finance operation of the billing's answer cannot be read: {error}") from error
