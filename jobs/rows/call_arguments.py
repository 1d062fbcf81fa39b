"""What the arguments of a call say of its row: the subscriber that it is for, and the amount that it enters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, TypeAlias

from billing.directory.subscribers import Abonent
from billing.money import LARGEST, too_large
from checkpoints.records import Refusal
from jobs.access.gateway import Gateway
from jobs.access.subscribers import Resolved, SubscriberFinder, name_of
from jobs.rows.binding import ABONENT, Bound
from jobs.spec.entries import DATE, DOCUMENT
from jobs.spec.parameters import a_day, whole_id
from texts.said import said

Arguments: TypeAlias = Mapping[str, object]

_SHOWN: Final = 40
"""Characters of a text that a sentence shows."""

_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,10})?")


async def owner_of_row(
    gateway: Gateway, rows: Sequence[tuple[Bound, Arguments]]
) -> tuple[list[tuple[Bound, Arguments, Abonent]], list[Refusal]]:
    """The rows whose call names a usable subscriber, and the refusals of the others. Raises `LookUpFailed`.

    Usually the binding has found the subscriber. A typed chain may name it literally, or by a column with another
    name than `abonent_id`.
    """
    named = [
        one.abonent.id
        if one.abonent is not None and arguments.get(ABONENT) == one.abonent.id
        else whole_id(str(arguments.get(ABONENT) or ""))
        for one, arguments in rows
    ]
    found: dict[int | str, Resolved] = {one.abonent.id: one.abonent for one, _ in rows if one.abonent is not None}
    found |= await SubscriberFinder(gateway).by_ids(
        [key for key in named if isinstance(key, int) and key not in found]
    )
    known: list[tuple[Bound, Arguments, Abonent]] = []
    refused: list[Refusal] = []
    for (one, arguments), key in zip(rows, named, strict=True):
        abonent = found.get(key, str(key))
        if isinstance(abonent, str):
            refused.append(one.refused(abonent))
        else:
            if one.abonent is not abonent:
                one = replace(one, label=name_of(abonent), abonent=abonent)  # noqa: PLW2901 - the row of that subscriber
            known.append((one, arguments, abonent))
    return known, refused


def telling_of(one: Bound) -> tuple[str, str]:
    """The document and the day that tell the operation of a row from further ones, "" where it has none.

    Raises ValueError for a date that is none.
    """
    day = one.values.get(DATE.name, "")
    return one.values.get(DOCUMENT.name, ""), a_day(day) if day else ""


def amount_fault(name: str, arguments: Arguments) -> str | None:
    """Why an argument is not an amount that the billing accepts, None if it is one or is missing."""
    text = str(arguments.get(name, "0"))
    if not _AMOUNT.fullmatch(text):
        return said("{text!r} is not an amount: money is written as -1234.50 here", text=text[:_SHOWN])
    if abs(Decimal(text)) > LARGEST:
        return too_large(text)
    return None
