"""What an item keeps of its call: the whole of it, what was there before, and whose it is."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from billing.api.calls import Call, ChainStep
from billing.directory.values import plain_value
from checkpoints.records import Item
from jobs.access.gateway import Gateway

ACCOUNT: Final = "account:"
"""Begins the lane of an item that changes what belongs to somebody's account."""


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call, made when the row was frozen, so that a resumed run sends what was shown.

    `key` finds the object again, `wanted` are the fields as they shall be and `was` as they were before, each in its
    one plain spelling (`billing.directory.objects.plain_value`). `planned` is what `was` said when the row was
    frozen, if it has changed between then and the call. `after` is the number of the row of the same run that has
    set what `was` says, 0 where none has. `abonent` is the subscriber, 0 where there is none.
    """

    model: str
    steps: tuple[tuple[str, dict[str, object]], ...]
    fields: tuple[str, ...] = ()
    abonent: int = 0
    key: dict[str, str] = {}
    wanted: dict[str, str | None] = {}
    was: dict[str, str | None] = {}
    planned: dict[str, str | None] = {}
    after: int = 0

    @property
    def call(self) -> Call:
        """The call as it is sent."""
        return Call(self.model, tuple(ChainStep(method, arguments) for method, arguments in self.steps), self.fields)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Payload).decode


def encode_payload(payload: Payload) -> str:
    """A payload as the journal keeps it."""
    return _encode(payload).decode()


def decode_payload(text: str) -> Payload:
    """A payload from what the journal keeps."""
    return _decode(text)


def in_one_spelling(text: str) -> str:
    """A packed payload whose values are all spelled in one way, so that equal ones are equal texts."""
    payload = decode_payload(text)
    return encode_payload(
        msgspec.structs.replace(
            payload,
            steps=tuple(
                (method, {name: _spelled(name, value) for name, value in arguments.items()})
                for method, arguments in payload.steps
            ),
            **{
                name: {field: _spelled(field, value) for field, value in getattr(payload, name).items()}
                for name in ("wanted", "was", "planned")
            },
        )
    )


def _spelled(name: str, value: object) -> object:
    try:
        return plain_value(name, value)
    except ValueError:
        return value


def payload_of(item: Item) -> Payload:
    """The payload of an item."""
    return _decode(item.payload)


def chain_of(*steps: tuple[str, Mapping[str, object]]) -> tuple[tuple[str, dict[str, object]], ...]:
    """Steps as a payload keeps them."""
    return tuple((method, dict(arguments)) for method, arguments in steps)


async def unfinished_work(gateway: Gateway, items: Sequence[Item]) -> str | None:
    """What of the billing's stacks is not worked off and concerns these items. Raises `LookUpFailed`."""
    accounts = [int(item.lane.removeprefix(ACCOUNT)) for item in items if item.lane.startswith(ACCOUNT)]
    abonents = [payload.abonent for item in items if (payload := payload_of(item)).abonent]
    return await gateway.unfinished_work(accounts, abonents) if accounts or abonents else None
