"""Whose a new object is to be: the subscriber that its call names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from billing.directory.subscribers import Abonent
from billing.money import LARGEST, TOO_LARGE
from checkpoints.records import Refusal
from jobs.abonents import Abonents, Resolved, name_of, whole_id
from jobs.binding import ABONENT, Bound
from jobs.services import Services

Arguments = Mapping[str, object]

_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,10})?")


async def owned(
    services: Services, rows: Sequence[tuple[Bound, Arguments]]
) -> tuple[list[tuple[Bound, Arguments, Abonent]], list[Refusal]]:
    """The rows whose call names a usable subscriber, and the others, refused. Raises `LookUpFailed`.

    Mostly the binding has found it already. A chain that somebody has typed may name it outright, or by a column of
    another name than `abonent_id`.
    """
    named = [whole_id(str(arguments.get(ABONENT) or "")) for _, arguments in rows]
    found: dict[int | str, Resolved] = {one.abonent.id: one.abonent for one, _ in rows if one.abonent is not None}
    found |= await Abonents(services).by_ids([key for key in named if isinstance(key, int) and key not in found])
    known: list[tuple[Bound, Arguments, Abonent]] = []
    refused: list[Refusal] = []
    for (one, arguments), key in zip(rows, named, strict=True):
        abonent = found.get(key, str(key))
        if isinstance(abonent, str):
            refused.append(one.refused(abonent))
        else:
            known.append((replace(one, label=name_of(abonent), abonent=abonent), arguments, abonent))
    return known, refused


def amount_fault(name: str, arguments: Arguments) -> str | None:
    """Why an argument is no amount of money as the billing takes it, None where it is one, or where there is none."""
    text = str(arguments.get(name, "0"))
    if not _AMOUNT.fullmatch(text):
        return f"{text[:40]!r} is no amount: money is written as -1234.50 here"
    if abs(Decimal(text)) > LARGEST:
        return f"{text} is {TOO_LARGE}"
    return None
