"""Conversion between records and the rows of `queries.sql`.

A row becomes a record by the names of its columns (`record`); what a record has as a mapping, a tuple or a sentence
is JSON in the journal.
"""

import socket
from collections import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from checkpoints.queries import FoundRow, Value
from checkpoints.records import Change, Holder, Item, NewItem, Refusal, Run, Sentence, Totals
from checkpoints.states import State
from checkpoints.tally import NOTHING, Subtotal
from texts.said import Said, from_builtins, from_json, kind_of, said, to_json

Record = TypeVar("Record")

# ---- digests in place of the keys and values of purged rows -------------------------------------------------------


SECRET_BYTES: Final = 16
"""Bytes of a secret and of a digest: two of a billion rows are alike with a chance of one to 10^20."""

PURGED_VALUE: Final = said("a value that is purged")
"""What a purged row asked for, for people."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a journal with this secret."""

    secret: str

    def of_key(self, job: str, key: str) -> str:
        return self._of("key", job, key)

    def of_values(self, amount: Decimal | str | None, wanted: str | None) -> str:
        """The digest of what a row asks for; equal amounts have equal digests, however they are written."""
        plain = None if amount is None else format((Decimal(amount) + 0).normalize(), "f")
        return self._of("values", plain, wanted)

    def _of(self, *parts: str | None) -> str:
        # A text for people is a string of its own kind, which is not encoded.
        text = msgspec.json.encode([None if part is None else str(part) for part in parts])
        return blake2b(text, key=bytes.fromhex(self.secret), digest_size=SECRET_BYTES).hexdigest()


def stored_keys(digests: Digests | None, job: str, keys: Collection[str]) -> list[tuple[str, str]]:
    """Each key with the forms in which an item of the job may have it."""
    pairs = [(key, key) for key in keys]
    return pairs if digests is None else [*pairs, *((key, digests.of_key(job, key)) for key in keys)]


# ---- records and rows ---------------------------------------------------------------------------------------------


_NO_REASON: Final = (None, None)
"""The columns of a row without a message, as nearly all are."""


class _KeptTotals(msgspec.Struct, frozen=True):
    """The totals of a purged run: count and sum by state, of merged and held back rows; the refused rows."""

    states: dict[State, tuple[int, Decimal]]
    refused: int
    merged: tuple[int, Decimal] = (0, Decimal(0))
    held_back: tuple[int, Decimal] = (0, Decimal(0))


def to_sentence(_: type, value: object) -> object:
    """The hook of the decoders for messages, which are sentences."""
    return from_builtins(value)


_encode = msgspec.json.Encoder(enc_hook=str).encode
to_items = msgspec.json.Decoder(list[Item], dec_hook=to_sentence).decode
"""The items of `as_items`."""
to_cells = msgspec.json.Decoder(tuple[str, ...]).decode
to_counts = msgspec.json.Decoder(dict[str, int]).decode
_totals = msgspec.json.Decoder(_KeptTotals).decode


def of_new_items(items: Sequence[NewItem], first_number: int) -> list[tuple[str | int | None, ...]]:
    return [
        (
            number,
            item.key,
            item.label,
            item.lane,
            item.payload,
            None if item.amount is None else format(item.amount, "f"),
            item.line,
            _encode(item.row).decode(),
            State.PENDING if item.skip_reason is None else State.SKIPPED,
            *(_NO_REASON if (why := item.skip_reason or item.note) is None else of_reason(why)),
            item.undoes,
            item.wanted,
        )
        for number, item in enumerate(items, first_number)
    ]


def of_refusals(refusals: Sequence[Refusal]) -> list[tuple[str | int | None, ...]]:
    return [
        (one.line, one.column, one.label, to_json(one.reason), _encode(one.row).decode(), one.conflict)
        for one in refusals
    ]


def of_changes(changes: Sequence[Change]) -> list[tuple[str | int | None, ...]]:
    return [
        (
            one.item_id,
            one.state,
            one.answer,
            *(_NO_REASON if one.message is None else of_reason(one.message)),
            int(one.unproven),
        )
        for one in changes
    ]


def of_template(reason: Said) -> dict[str, Value]:
    return {"template": reason.template, "kind": kind_of(reason)}


def of_reason(reason: str) -> tuple[str, str]:
    """The columns `message` and `kind` of a reason."""
    return to_json(reason), kind_of(reason)


def record(kind: type[Record], row: FoundRow, **more: object) -> Record:
    """A record of this kind from the columns of its names, and from `more` values."""
    values: dict[str, Any] = {**dict(row), **more}
    for name, decode in _in_json(cast("Any", kind)).items():
        if name not in more and values[name] is not None:
            values[name] = decode(values[name])
    return msgspec.convert(values, kind, strict=False, dec_hook=lambda _, value: value)


@cache
def _in_json(kind: Any) -> Mapping[str, Callable[[str], object]]:  # noqa: ANN401 - any record
    """The fields of a record whose columns are JSON, and how each is decoded."""
    found: dict[str, Callable[[str], object]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if Sentence in {hint, *get_args(hint)}:
            found[name] = from_json
        elif get_origin(hint) in {tuple, abc.Mapping}:
            found[name] = msgspec.json.decode
    return found


def to_run(row: FoundRow) -> Run:
    return record(Run, row, has_only_totals=row["purged_totals"] is not None, ended_by=row["ended_by"] or "")


def to_holder(row: FoundRow | None) -> Holder:
    """A row of `holder`; without one, or if its process is gone, the present runner is not noted yet."""
    here = socket.gethostname()
    if row is None or (row["host"] == here and not Path(f"/proc/{row['process']}").exists()):
        return Holder(here, 0, said("just now"))
    since = datetime.fromisoformat(row["began_at"])
    return Holder(row["host"], row["process"], f"{since:%Y-%m-%d %H:%M:%S} UTC")


_SUMMED: Final = ("gone_along", "entered_before", "left_alone", "merged")


def to_totals(found: Sequence[FoundRow]) -> Totals:
    """The rows of `totals_of_runs` of one run: one for each state, or one without any."""
    refused, left_out, kept = found[0]["refused"], to_counts(found[0]["left_out"]), found[0]["purged_totals"]
    if kept:
        totals = _totals(kept)
        counts = {state: number for state, (number, _) in totals.states.items()}
        amounts = {state: amount for state, (_, amount) in totals.states.items()}
        (merged, merged_amount), held_back = totals.merged, Subtotal(*totals.held_back)
        return Totals(
            *(counts, amounts, totals.refused, left_out),
            merged=merged,
            merged_amount=merged_amount,
            held_back=held_back,
        )
    states = {State(row["state"]): row for row in found if row["state"]}
    rejected = states.get(State.REJECTED)
    accepted = states.get(State.ACCEPTED)
    are_all = accepted is not None and accepted["items"] == found[0]["different"]
    gap = Decimal(found[0]["found"] or 0) - Decimal(found[0]["expected"] or 0)
    return Totals(
        {state: row["items"] for state, row in states.items()},
        {state: Decimal(row["reversed" if row["undoing"] else "amount"]) for state, row in states.items()},
        refused,
        left_out,
        taken_back=sum(row["taken_back"] for state, row in states.items() if state.in_effect),
        sum_taken_back=sum(
            (Decimal(row["sum_taken_back"]) for state, row in states.items() if state.in_effect), Decimal(0)
        ),
        read_back=None if found[0]["verified_at"] is None else datetime.fromisoformat(found[0]["verified_at"]),
        different=int(found[0]["different"] or 0),
        twice=int(found[0]["twice"] or 0),
        taken_back_elsewhere=int(found[0]["elsewhere"] or 0),
        gap=gap,
        # Earlier versions have not kept it: as a rule nothing else is accepted once a run was read back.
        not_as_sent=Decimal(found[0]["different_sum"] or (accepted["amount"] if are_all and accepted else -gap)),
        restorable_by=max(row["restorable_by"] or "" for row in found),
        **{name: sum(map(itemgetter(name), found)) for name in _SUMMED},
        unanswered=sum(row["unproven"] for state, row in states.items() if state in {State.PENDING, State.REJECTED}),
        has_ended=bool(found[0]["has_ended"]),
        merged_amount=sum((Decimal(row["merged_amount"]) for row in found), Decimal(0)),
        held_back=Subtotal(rejected["held_back"], Decimal(rejected["sum_held_back"])) if rejected else NOTHING,
    )


def of_totals(totals: Totals) -> str:
    states = {str(state): (number, format(totals.amounts[state], "f")) for state, number in totals.counts.items()}
    merged = (totals.merged, format(totals.merged_amount, "f"))
    held_back = (totals.held_back.rows, format(totals.held_back.amount, "f"))
    return _encode({"states": states, "refused": totals.refused, "merged": merged, "held_back": held_back}).decode()


def now() -> str:
    """The present time as the journal keeps it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# ---- counts of the steps of an import -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepCount:
    """Items of one step in one state; `kind` is that of the reason of skipped ones.

    `changes` is whether their calls change what was there when the list was made. Of the items the effects of so many
    were `taken_back` and not restored since, of `sum_taken_back`.
    """

    step: str
    state: State
    changes: bool
    kind: str
    items: int
    amount: Decimal
    taken_back: int = 0
    sum_taken_back: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """Lanes of a run: all; those with an unsettled item; other ones with a rejected item; those not only skipped.

    `left_alone` are those of all others with an item that is skipped for a kind of reason; of the rest were not taken
    back and not read back as sent those that are `unread`.
    `lines` are those of the input, over the whole run, with an item that is not skipped.
    """

    all: int = 0
    open: int = 0
    rejected: int = 0
    left_alone: int = 0
    sent: int = 0
    lines: int = 0
    unread: int = 0
