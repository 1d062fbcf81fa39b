"""Between records and the rows of the journal's tables. Groups travel as one JSON parameter a statement."""

import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from checkpoints.records import (
    Change,
    Command,
    EarlierEntry,
    Holder,
    Item,
    KnownMark,
    NewItem,
    NewRun,
    Reason,
    Refusal,
    Run,
    Shift,
)
from checkpoints.states import State

_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[Item]).decode
_cells = msgspec.json.Decoder(tuple[str, ...]).decode
_texts = msgspec.json.Decoder(dict[str, str]).decode
_counts = msgspec.json.Decoder(dict[str, int]).decode


def of_new_run(new: NewRun, name: str, now: str) -> dict[str, str]:
    """The parameters of `create_run.sql`."""
    return {
        "name": name,
        "job": new.job,
        "parameters": _encode(dict(new.parameters)).decode(),
        "target": new.target,
        "source": new.source,
        "source_digest": new.source_digest,
        "header": _encode(new.header).decode(),
        "policy": of_policy(new.policy),
        "now": now,
    }


def of_policy(policy: Mapping[str, str]) -> str:
    """What a run is driven by, as its column has it."""
    return _encode(dict(policy)).decode()


def of_counts(counts: Mapping[str, int]) -> str:
    """How many rows are left out by which flag, as its column has it."""
    return _encode(dict(counts)).decode()


def to_counts(text: str) -> dict[str, int]:
    """The same, from its column."""
    return _counts(text)


def of_new_items(items: Sequence[NewItem], first_number: int) -> str:
    """The rows of `freeze_items.sql`, numbered from `first_number`."""
    return _encode(
        [
            (
                number,
                item.key,
                item.label,
                item.lane,
                item.payload,
                _amount_text(item.amount),
                item.line,
                _encode(item.row).decode(),
                State.PENDING if item.skip_reason is None else State.SKIPPED,
                item.skip_reason or item.note,
                item.undoes,
                item.wanted,
            )
            for number, item in enumerate(items, first_number)
        ]
    ).decode()


def of_refusals(refusals: Sequence[Refusal]) -> str:
    """The rows of `freeze_refusals.sql`."""
    return _encode(
        [(one.line, one.column, one.label, one.reason, _encode(one.row).decode(), one.conflict) for one in refusals]
    ).decode()


def of_changes(changes: Sequence[Change]) -> str:
    """The rows of `record.sql`."""
    return _encode([(one.item_id, one.state, one.answer, one.message) for one in changes]).decode()


def to_run(row: Sequence[Any]) -> Run:
    """A row of `runs.sql`."""
    created, frozen, approved, discarded, paused = (
        datetime.fromisoformat(text) if text else None for text in row[9:14]
    )
    if created is None:
        raise ValueError(f"run {row[1]} has no time of creation")
    return Run(
        run_id=row[0],
        name=row[1],
        job=row[2],
        parameters=_texts(row[3]),
        target=row[4],
        source=row[5],
        source_digest=row[6],
        header=_cells(row[7]),
        cursor=row[8],
        created_at=created,
        frozen_at=frozen,
        approved_at=approved,
        discarded_at=discarded,
        paused_at=paused,
        paused_by=row[14],
        format=row[15],
        policy=_texts(row[16]),
        epoch=row[17],
    )


def to_holder(row: Sequence[Any]) -> Holder:
    """A row of `holder.sql`; one whose process is no more is of an earlier runner, and the new one nameless yet."""
    host, process, since = row
    here = socket.gethostname()
    if host is None or (host == here and not Path(f"/proc/{process}").exists()):
        return Holder(here, 0, "just now")
    return Holder(host, process, since)


def to_command(row: Sequence[Any]) -> Command:
    """A row of `commands.sql`."""
    who, command, answer, given_at = row
    return Command(who, command, answer, datetime.fromisoformat(given_at))


def to_items(page: str) -> list[Item]:
    """What `as_items.sql` gives."""
    return _items(page)


def to_twin(row: Sequence[Any]) -> EarlierEntry:
    """A row of `twins.sql`."""
    run, key, amount, wanted, state, line, changed_at, target = row
    return EarlierEntry(run, key, _amount(amount), wanted, State(state), line, changed_at, target)


def to_known_mark(row: Sequence[Any]) -> KnownMark:
    """A row of `known_marks.sql`."""
    run, number, target, state = row
    return KnownMark(run, number, target, State(state))


def to_refusal(row: Sequence[Any]) -> Refusal:
    """A row of `refusals.sql` behind its id."""
    line, column, label, reason, cells = row
    return Refusal(line, column, label, reason, _cells(cells))


def to_reason(row: Sequence[Any]) -> Reason:
    """A row of `reasons.sql`."""
    kind, count, amount, line, label, example = row
    return Reason(kind or "", count, Decimal(amount), line, label, example or "")


def to_shift(row: Sequence[Any]) -> Shift:
    """A row of `plan_changes.sql`."""
    kind, key, label, before, now = row
    return Shift(kind, key, label, _amount(before), _amount(now))


def _amount_text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
