"""Subscribers by id or contract number, in bulk: from the database, or from the API if there is none."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from billing.contract_numbers import Suggestion
from billing.directory import subscribers as abonents
from billing.directory.models import LARGEST_ID
from billing.directory.subscribers import Abonent
from billing.errors import UnreadableAnswer
from jobs.access.gateway import Gateway
from jobs.spec.parameters import LONGEST_ID
from texts.said import said

Resolved: TypeAlias = Abonent | str
"""The subscriber, live and with an account; or the reason why there is none, for a sentence about the row."""

SUGGESTED_FOR: Final = 200
"""Unknown contract numbers of one run for which similar numbers are searched."""

_FIELDS: Final = ("id", "contract_number", "name", "parent_id", "is_folder", "deleted", "account_id")


class SubscriberFinder:
    """Resolves ids and contract numbers to subscribers. One object a run: it limits the suggestions of a run.

    Contract numbers are texts and compared exactly: 00123 is not 123, and a Cyrillic А is not a Latin A.
    """

    def __init__(self, gateway: Gateway, *, suggested_for: int = SUGGESTED_FOR) -> None:
        self._gateway = gateway
        self._suggestions_left = suggested_for

    async def by_ids(self, ids: Collection[int]) -> Mapping[int | str, Resolved]:
        possible = [key for key in dict.fromkeys(ids) if 0 < key <= LARGEST_ID]
        rows = await self._gateway.look_for(
            lambda database: abonents.by_ids(database, possible),
            "Abonents",
            possible,
            lambda key: {"id": key},
            _FIELDS,
            lambda _, fields: _abonent(fields),
        )
        found = {row.id: row for row in rows}
        return {key: _usable(found[key]) if key in found else said("there is no abonent {id}", id=key) for key in ids}

    async def by_contract_numbers(self, numbers: Collection[str]) -> Mapping[int | str, Resolved]:
        """A subscriber or a reason for each number; the reason for an unknown number names similar ones.

        Raises `LookUpFailed`.
        """
        wanted = dict.fromkeys(numbers)
        rows = await self._gateway.look_for(
            lambda database: abonents.by_contract_numbers(database, wanted),
            "Abonents",
            wanted,
            lambda number: {"contract_number": number},
            _FIELDS,
            lambda _, fields: _abonent(fields),
        )
        found: defaultdict[str, list[Abonent]] = defaultdict(list)
        for row in rows:
            # The database may ignore case, depending on its collation.
            if row.contract_number is not None and row.contract_number in wanted:
                found[row.contract_number].append(row)
        resolved: dict[int | str, Resolved] = {}
        for number, bearers in found.items():
            # A deleted subscriber's number may have been given to another.
            live = [one for one in bearers if not one.deleted and not one.is_folder]
            if len(live) <= 1:
                resolved[number] = _usable(live[0] if live else bearers[0])
                continue
            resolved[number] = said(
                "several subscribers have the contract number {number!r}: {subscribers}; tell them apart by "
                "abonent_id",
                number=number,
                subscribers=tuple(
                    said("abonent {id} ({name})", id=one.id, name=one.name or said("no name")) for one in live
                ),
            )
        unknown = [number for number in wanted if number not in found]
        searched = unknown[: self._suggestions_left]
        self._suggestions_left -= len(searched)
        near: dict[str, list[Suggestion]] = {}
        if searched and self._gateway.database is not None:
            near = await self._gateway.read(lambda database: abonents.suggestions(database, searched))
        for number in unknown:
            if similar := near.get(number):
                there = tuple(
                    said("{number!r} ({reason})", number=one.contract_number, reason=one.reason) for one in similar
                )
                why = said("there is no contract number {number!r}; there is {similar}", number=number, similar=there)
            elif number in near:
                why = said("there is no contract number {number!r}, nor one like it", number=number)
            elif self._gateway.database is None:
                why = said(
                    "there is no contract number {number!r} (similar ones are searched for in the database only)",
                    number=number,
                )
            else:
                why = said(
                    "there is no contract number {number!r} (similar ones are no longer searched for: too many "
                    "numbers are unknown)",
                    number=number,
                )
            resolved[number] = why
        return resolved


def name_of(abonent: Abonent) -> str:
    return abonent.contract_number or said("abonent {id}", id=abonent.id)


def _usable(abonent: Abonent) -> Resolved:
    if abonent.is_folder:
        return said("abonent {id} is a folder ({name}), no subscriber", id=abonent.id, name=abonent.name or "")
    if abonent.deleted:
        return said("abonent {id} is deleted", id=abonent.id)
    if abonent.account_id is None:
        return said("abonent {id} has no account", id=abonent.id)
    return abonent


def _abonent(fields: dict[str, object]) -> Abonent:
    """A subscriber from the fields of an answer. Raises `UnreadableAnswer` if a needed field is missing."""
    missing = [name for name in ("is_folder", "deleted", "account_id") if name not in fields]
    key = _number(fields.get("id", fields.get("pk")))
    if key is None or missing:
        raise UnreadableAnswer(
            "The billing was asked for a subscriber, and its answer has no {fields}.",
            fields=", ".join(missing) or "id",
        )
    number, name = fields.get("contract_number"), fields.get("name")
    return Abonent(
        id=key,
        contract_number=None if number is None else str(number),
        name=None if name is None else str(name),
        parent_id=_number(fields.get("parent_id")),
        is_folder=as_bool(fields["is_folder"]),
        deleted=as_bool(fields["deleted"]),
        account_id=_number(fields["account_id"]),
    )


def _number(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID else None


def as_bool(value: object) -> bool:
    """A flag of an answer, in any of the spellings that the billing may use [?]."""
    return str(value).casefold() not in {"", "0", "false", "none"}
