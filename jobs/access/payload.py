"""The payload of an item: its whole call, the values before it, and the subscriber."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Final

import msgspec

from billing.api.calls import Call, ChainStep
from billing.directory.models import plain_value
from checkpoints.records import Item

ACCOUNT: Final = "account:"
"""The prefix of the lane of an item that changes an account or something that belongs to it."""

FOLDER_LANE: Final = "folders"
"""The lane of all new folders: one may lie in the other."""


BALANCE: Final = "balance"
"""A wanted value of an operation that is not its own field: the account's balance after it."""

OP_TYPE: Final = "op_type_id"
"""The key of a payload that says which type of operation is entered."""


_method: Final = attrgetter("method")
_SETTING: Final = frozenset({"set", "set_password"})


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call, built at planning, so that a resumed run sends what the operator was shown.

    `key` finds the object again. `wanted` are the fields after the call and `was` the fields before it, in their
    plain spelling (`billing.directory.models.plain_value`). `planned` is `was` at planning, if it has changed since.
    `after` is the number of the row of this run that set the values in `was`, 0 if none did. `abonent` is the id of
    the subscriber, 0 if there is none. `named` is the contract number or the login by which the row has named its
    subscriber or account, with the id of whose it was: {"contract_number": "00123", "abonent_id": "9001"}. `newest`
    is the last operation on an account whose balance the call sets, at planning; None for any other call. `there` are
    the ids of entries of the same kind that the billing had when the list was made, or that a person was shown since;
    of a payment without a mark they are those that were reversed. `sharers` are the other subscribers of an account
    whose balance the call sets. `moved_to` is the account that the subscriber has by now, if the call would set
    fields of another one than that of the list; 0 otherwise.
    `undone` is the operation to which the call enters the opposite, as it was at planning, and `renews` the id of
    the deleted object in whose place the call creates one. `unanswered` is the call of an undo for an item of which
    nobody knows whether it had its effect.

    `document` and `day` tell an operation from others of the same subscriber and sum; they are not sent. `exact` is
    the kind of exact key that is sent beside the mark, "" for none.

    An import's items have more: their `step`; `needs`, the keys of the items that come before them; `fills`, the
    places of ids that are in the answers of items, by their keys; `groups`, by which a subscriber is counted.
    """

    model: str
    steps: tuple[ChainStep, ...]
    fields: tuple[str, ...] = ()
    abonent: int = 0
    key: dict[str, str] = {}
    wanted: dict[str, str | None] = {}
    was: dict[str, str | None] = {}
    planned: dict[str, str | None] = {}
    after: int = 0
    named: dict[str, str] = {}
    newest: int | None = None
    document: str = ""
    day: str = ""
    exact: str = ""
    there: tuple[str, ...] = ()
    sharers: tuple[int, ...] = ()
    moved_to: int = 0
    undone: dict[str, str | None] = {}
    renews: str = ""
    unanswered: bool = False
    step: str = ""
    needs: tuple[str, ...] = ()
    fills: dict[str, str] = {}
    groups: dict[str, str] = {}

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(map(_method, self.steps))

    @property
    def creates(self) -> bool:
        return self.steps[0].method == "objects.create"

    @property
    def creates_subscriber(self) -> bool:
        """Whether it creates a subscriber or a folder, whose id nobody knows before."""
        return self.model == "Abonents" and self.creates

    @property
    def sets(self) -> frozenset[str]:
        """The fields that the call sets, each with its object; the object of an account is its lane."""
        whose = "" if self.model == "AdminAccounts" else "/".join(self.key.values())
        names = [
            name for step in self.steps if step.method in _SETTING for name in step.arguments if name != "dontshow"
        ]
        return frozenset(f"{self.model} {whose}: {name}" for name in names)

    @property
    def told_by(self) -> str:
        """What tells an operation of money from others of the same subscriber and sum, "" where nothing does."""
        return self.document or self.day

    @property
    def is_whole(self) -> bool:
        if not self.fills:
            return True
        return all(step.arguments.get(place, "") is not None for place in self.fills for step in self.steps)

    @property
    def call(self) -> Call:
        return Call(self.model, self.steps, self.fields)


_encode: Final = msgspec.json.Encoder().encode

decode_payload: Final[Callable[[str], Payload]] = msgspec.json.Decoder(Payload).decode


def encode_payload(payload: Payload) -> str:
    return _encode(payload).decode()


def account_of(lane: str) -> int | None:
    """The account whose lane this is, None for the lane of something else."""
    return int(lane.removeprefix(ACCOUNT)) if lane.startswith(ACCOUNT) else None


def emptied(text: str) -> str:
    """An encoded payload without anything of its row: only the model and the type of an operation are left.

    They tell whether a row sets the balance of its account, and so replaces another one.
    """
    try:
        payload = decode_payload(text)
    except msgspec.MsgspecError:
        return encode_payload(Payload("", ()))
    kind = {OP_TYPE: payload.key[OP_TYPE]} if OP_TYPE in payload.key else {}
    return encode_payload(Payload(payload.model, (), key=kind))


def in_one_spelling(text: str) -> str:
    """An encoded payload with all values in their plain spelling, so that equal payloads are equal texts."""
    payload = decode_payload(text)

    def spelled(values: Mapping[str, object]) -> dict[str, object]:
        plain = dict(values)
        for name, value in values.items():
            # What has no plain spelling stays as it is.
            with suppress(ValueError):
                plain[name] = plain_value(name, value)
        return plain

    steps = tuple(ChainStep(step.method, spelled(step.arguments)) for step in payload.steps)
    values = {name: spelled(getattr(payload, name)) for name in ("wanted", "was", "planned")}
    return encode_payload(msgspec.structs.replace(payload, steps=steps, **values))


def payload_of(item: Item) -> Payload:
    return decode_payload(item.payload)
