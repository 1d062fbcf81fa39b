"""Conversion between records and the rows of `queries.sql`, which are read by the names of their columns."""

import json
import secrets
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from checkpoints.queries import FoundRow, Value
from checkpoints.records import (
    Change,
    Command,
    Decision,
    EarlierEntry,
    Holder,
    Item,
    KnownMark,
    LookUps,
    NewItem,
    NewRun,
    Reason,
    Refusal,
    ReportRoot,
    RowAmount,
    Run,
    RunHistory,
    Runner,
    StandingItem,
    Totals,
    Verification,
)
from checkpoints.states import State
from checkpoints.tally import ImportTally
from texts.said import Said, kind_of, said
from texts.stored import from_builtins, from_json, to_json

# ---- digests in place of the keys and values of purged rows -------------------------------------------------------


_LENGTH: Final = 16
"""Bytes of a digest: two of a billion rows are alike with a chance of one to 10^20."""

PURGED_VALUE: Final = said("a value that is purged")
"""What a purged row asked for, for people."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a journal with this secret."""

    secret: str

    def of_key(self, job: str, key: str) -> str:
        """The digest of an item's business key."""
        return self._of("key", job, key)

    def of_values(self, amount: Decimal | str | None, wanted: str | None) -> str:
        """The digest of what a row asks for; equal amounts have equal digests, however they are written."""
        plain = None if amount is None else format((Decimal(amount) + 0).normalize(), "f")
        return self._of("values", plain, wanted)

    def _of(self, *parts: str | None) -> str:
        # A text for people is a string of its own kind, which is not encoded.
        text = msgspec.json.encode([None if part is None else str(part) for part in parts])
        return blake2b(text, key=bytes.fromhex(self.secret), digest_size=_LENGTH).hexdigest()


def new_secret() -> str:
    """A new secret."""
    return secrets.token_hex(_LENGTH)


def stored_keys(digests: Digests | None, job: str, keys: Collection[str]) -> list[tuple[str, str]]:
    """Each key with the forms in which an item of the job may have it."""
    pairs = [(key, key) for key in keys]
    return pairs if digests is None else [*pairs, *((key, digests.of_key(job, key)) for key in keys)]


# ---- records and rows ---------------------------------------------------------------------------------------------


_NO_REASON: Final = (None, None)
"""The columns of a row without a message, as nearly all are."""
_TALLY: Final = "tally"
"""The name of the tally of an import beside the figures of a verification."""


class _KeptTotals(msgspec.Struct, frozen=True):
    """The totals of a purged run: count and sum by state, the refused rows, and count and sum of the merged ones."""

    states: dict[State, tuple[int, Decimal]]
    refused: int
    merged: tuple[int, Decimal] = (0, Decimal(0))


def to_sentence(_: type, value: object) -> object:
    """The hook of the decoders for messages, which are sentences."""
    return from_builtins(value)


_encode = msgspec.json.Encoder(enc_hook=str).encode
_items = msgspec.json.Decoder(list[Item], dec_hook=to_sentence).decode
_cells = msgspec.json.Decoder(tuple[str, ...]).decode
_texts = msgspec.json.Decoder(dict[str, str]).decode
_counts = msgspec.json.Decoder(dict[str, int]).decode
_totals = msgspec.json.Decoder(_KeptTotals).decode


def of_new_run(new: NewRun) -> dict[str, Value]:
    """The parameters of `create_run` that define the run."""
    return {
        "job": new.job,
        "parameters": new.parameters,
        "target": new.target,
        "source": new.source,
        "source_digest": new.source_digest,
        "header": new.header,
        "policy": new.policy,
    }


def of_new_items(items: Sequence[NewItem], first_number: int) -> list[tuple[str | int | None, ...]]:
    """The rows of `freeze_items`, numbered from `first_number`."""
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
    """The rows of `freeze_refusals`."""
    return [
        (one.line, one.column, one.label, to_json(one.reason), _encode(one.row).decode(), one.conflict)
        for one in refusals
    ]


def of_changes(changes: Sequence[Change]) -> list[tuple[str | int | None, ...]]:
    """The rows of `record`."""
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
    """The parameters of a block that fills in a reason itself."""
    return {"template": reason.template, "kind": kind_of(reason)}


def of_reason(reason: str) -> tuple[str, str]:
    """The columns `message` and `kind` of a reason."""
    return to_json(reason), kind_of(reason)


def amount_text(amount: Decimal | None) -> str | None:
    """An amount as the journal keeps it: without an exponent."""
    return None if amount is None else format(amount, "f")


def to_counts(text: str) -> dict[str, int]:
    """The number of rows left out by flag, from the column of the run."""
    return _counts(text)


def to_run(row: FoundRow) -> Run:
    """A row of `runs`."""
    return Run(
        run_id=row["run_id"],
        name=row["name"],
        job=row["job"],
        parameters=_texts(row["parameters"]),
        target=row["target"],
        source=row["source"],
        source_digest=row["source_digest"],
        header=_cells(row["header"]),
        cursor=row["cursor"],
        created_at=datetime.fromisoformat(row["created_at"]),
        frozen_at=_moment(row["frozen_at"]),
        approved_at=_moment(row["approved_at"]),
        discarded_at=_moment(row["discarded_at"]),
        paused_at=_moment(row["paused_at"]),
        paused_by=row["paused_by"],
        policy=_texts(row["policy"]),
        epoch=row["epoch"],
        purged_at=_moment(row["purged_at"]),
        has_only_totals=row["purged_totals"] is not None,
        ended_at=_moment(row["ended_at"]),
        ended_by=row["ended_by"] or "",
        ended_why=row["ended_why"],
        undone_by=row["undone_by"],
    )


def to_holder(row: FoundRow | None) -> Holder:
    """A row of `holder`; without one, or if its process is gone, the present runner is not noted yet."""
    here = socket.gethostname()
    if row is None or (row["host"] == here and not Path(f"/proc/{row['process']}").exists()):
        return Holder(here, 0, said("just now"))
    since = datetime.fromisoformat(row["began_at"])
    return Holder(row["host"], row["process"], f"{since:%Y-%m-%d %H:%M:%S} UTC")


def to_command(row: FoundRow) -> Command:
    """A row of `commands`."""
    return Command(
        row["who"],
        row["command"],
        from_json(row["answer"]),
        datetime.fromisoformat(row["given_at"]),
    )


def to_decision(row: FoundRow) -> Decision:
    """A row of `decisions`."""
    return Decision(row["number"], row["label"], State(row["state"]), row["who"], row["why"], row["decided_at"])


def to_totals(states: Sequence[FoundRow], refused: int, left_out: Mapping[str, int]) -> Totals:
    """The rows of `totals_of_runs` of one run, with the rows that became no items."""
    of_calls = {State(row["state"]): Decimal(row["amount"]) for row in states}
    reversed_by = {State(row["state"]): Decimal(row["reversed"] or 0) for row in states if row["undoing"]}
    return Totals(
        {State(row["state"]): row["items"] for row in states},
        of_calls | reversed_by,
        refused,
        left_out,
        taken_back=sum(row["taken_back"] for row in states if State(row["state"]).in_effect),
        unanswered=sum(row["unproven"] for row in states if row["state"] in {State.PENDING, State.REJECTED}),
        has_ended=any(row["has_ended"] for row in states),
        merged=sum(row["merged"] for row in states),
        merged_amount=sum((Decimal(row["merged_amount"] or 0) for row in states), Decimal(0)),
        of_calls=of_calls if reversed_by else {},
    )


def to_row_amount(row: FoundRow) -> RowAmount:
    """A row of `amounts_of_rows`."""
    amount = None if row["amount"] is None else Decimal(row["amount"])
    return RowAmount(
        amount, amount if row["with_merged"] is None else Decimal(row["with_merged"]), row["merged_into"]
    )


def to_digests(row: FoundRow | None) -> Digests | None:
    """The row of `purging`; None if nothing of the journal was purged."""
    return None if row is None else Digests(row["secret"])


def of_totals(totals: Totals) -> str:
    """Totals as a purged run keeps them."""
    states = {str(state): (number, format(totals.amounts[state], "f")) for state, number in totals.counts.items()}
    merged = (totals.merged, format(totals.merged_amount, "f"))
    return _encode({"states": states, "refused": totals.refused, "merged": merged}).decode()


def to_purged_totals(text: str, left_out: Mapping[str, int]) -> Totals:
    """The totals that a purged run keeps."""
    kept = _totals(text)
    merged, merged_amount = kept.merged
    return Totals(
        {state: number for state, (number, _) in kept.states.items()},
        {state: amount for state, (_, amount) in kept.states.items()},
        kept.refused,
        left_out,
        merged=merged,
        merged_amount=merged_amount,
    )


def to_items(page: str) -> list[Item]:
    """The result of `Queries.items`."""
    return _items(page)


def to_twin(row: FoundRow) -> EarlierEntry:
    """A row of `earlier`."""
    return EarlierEntry(
        run=row["run"],
        key=row["key"],
        amount=_amount(row["amount"]),
        wanted=row["wanted"],
        state=State(row["state"]),
        line=row["line"],
        changed_at=row["changed_at"],
        target=row["target"],
        is_purged=bool(row["is_purged"]),
    )


def to_standing_item(row: FoundRow, key: str) -> StandingItem:
    """A row of `standing_in_lanes`, with its key."""
    return StandingItem(
        run=row["run"],
        lane=row["lane"],
        key=key,
        payload=row["payload"],
        label=row["label"],
        line=row["line"],
        number=row["number"],
        state=State(row["state"]),
        is_purged=bool(row["is_purged"]),
    )


def to_known_mark(row: FoundRow, lanes: Collection[str]) -> KnownMark:
    """A row of `known_marks`; `lanes` are the forms in which an item of its run may have the lane of the entry."""
    return KnownMark(
        run=row["run"],
        number=row["number"],
        lane=row["lane"],
        target=row["target"],
        state=State(row["state"]),
        has_ended=bool(row["has_ended"]),
        in_lane=row["item_lane"] in lanes,
        amount=_amount(row["amount"]),
        answer=row["answer"],
    )


def to_runner(row: FoundRow) -> Runner:
    """A row of `runners`."""
    return Runner(
        purpose=row["purpose"],
        who=row["who"],
        process=row["process"],
        version=row["version"],
        billing=row["billing"],
        began_at=datetime.fromisoformat(row["began_at"]),
        ended_at=_moment(row["ended_at"]),
        look_ups=LookUps(row["found"], row["absent"], row["left"]),
    )


def to_verification(row: FoundRow) -> Verification:
    """A row of `last_verification`."""
    result = json.loads(row["result"])
    tally = result.pop(_TALLY, None)
    moment = datetime.fromisoformat(row["verified_at"])
    return Verification(moment, row["who"], result, None if tally is None else msgspec.convert(tally, ImportTally))


def of_verification(result: Mapping[str, str | int], tally: ImportTally | None) -> str:
    """What `verifications` keeps of a result: one JSON object, a tally among its names."""
    return msgspec.json.encode(result if tally is None else {**result, _TALLY: tally}).decode()


def to_run_history(row: FoundRow) -> RunHistory:
    """The row of `run_history`."""
    moment = datetime.fromisoformat(row["changed_at"])
    text = row["assumptions"]
    assumptions = None if text is None else from_json(text)
    return RunHistory(moment, row["rows_taken_back"], Decimal(row["sum_taken_back"] or 0), assumptions)


def to_report_root(row: FoundRow) -> ReportRoot:
    """A row of `report_before`."""
    return ReportRoot(row["run"], datetime.fromisoformat(row["made_at"]), row["root"])


def to_refusal(row: FoundRow) -> Refusal:
    """A row of `refusals`."""
    return Refusal(row["line"], row["column_name"], row["label"], from_json(row["reason"]), _cells(row["row"]))


def to_reason(row: FoundRow) -> Reason:
    """A row of `reasons`."""
    amount = Decimal(row["amount"])
    example = from_json(row["example"] or '""')
    return Reason(row["kind"] or "", row["items"], amount, row["line"], row["label"], example)


def to_cells(text: str) -> tuple[str, ...]:
    """The cells of a row."""
    return _cells(text)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def now() -> str:
    """The present time as the journal keeps it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# ---- counts of the steps of an import -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepCount:
    """Items of one step in one state; `kind` is that of the reason of skipped ones.

    `changes` is whether their calls change what was there when the list was made. Of the items the effects of so many
    were `taken_back` and not restored since.
    """

    step: str
    state: State
    changes: bool
    kind: str
    items: int
    amount: Decimal
    taken_back: int = 0


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """Lanes of a run: all; those with an unsettled item; other ones with a rejected item; those not only skipped.

    `left_alone` are those of all others with an item that is skipped for a kind of reason.
    `lines` are those of the input, over the whole run, with an item that is not skipped.
    """

    all: int = 0
    open: int = 0
    rejected: int = 0
    left_alone: int = 0
    sent: int = 0
    lines: int = 0


def to_step_count(row: FoundRow) -> StepCount:
    """A row of `step_counts`."""
    state, amount = State(row["state"]), Decimal(row["amount"] or 0)
    return StepCount(row["step"], state, bool(row["changes"]), row["kind"], row["items"], amount, row["taken_back"])


def to_lane_counts(row: FoundRow) -> LaneCounts:
    """The row of `lane_counts`."""
    return LaneCounts(row["lanes"], row["open"], row["rejected"], row["left_alone"], row["sent"], row["lines"])
