"""The objects that the vendor's recipes name by their ids [S], so that these can be tried as they are written.

Subscribers of the page with ids above 2000 are ordinary ones here, where the billing is large enough to have them,
and so are accounts whose ids are taken already.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from typing import Final

_CREATED: Final = datetime(2018, 3, 1)  # noqa: DTZ001 - the billing's dates have no zone
_DUE: Final = datetime(2020, 8, 13)  # noqa: DTZ001 - the same
_BLOCKED: Final = datetime(2019, 5, 20)  # noqa: DTZ001 - the same
_UNBLOCKED: Final = datetime(2019, 6, 3)  # noqa: DTZ001 - the same


@dataclass(frozen=True, slots=True)
class Example:
    """A subscriber and what belongs to him.

    `balance` in whole roubles; `users` as wanted id and address or 0; `services` as service, manager, comment and
    next charge; `blocked` as wanted id, beginning and end; `attributes` as attribute and value.
    """

    abonent: int
    folder: int
    number: str
    sms: str
    balance: int
    users: tuple[tuple[int, int], ...]
    services: tuple[tuple[int, int | None, str | None, datetime], ...] = ()
    blocked: tuple[tuple[int, datetime, datetime], ...] = ()
    attributes: tuple[tuple[int, str], ...] = ()
    created: datetime = _CREATED


SUBSCRIBERS: Final = (
    Example(
        abonent=94,
        folder=89,
        number="Д94/2018",
        sms="+79000000094",
        balance=-12,
        users=((4084, int(IPv4Address("127.1.2.3"))),),
        # Connected by the billing itself: its next charge cannot be changed without `allow_set_none_manager`.
        services=((127, None, None, _DUE),),
        blocked=((118, _BLOCKED, _UNBLOCKED),),
    ),
    Example(
        abonent=1111,
        folder=1316,
        number="test",
        # No number that could be set today.
        sms="+71234567899",
        balance=0,
        users=((6242, 0),),
    ),
    Example(
        abonent=1392,
        folder=1000,
        number="Д1392/2018",
        sms="+79000001392",
        balance=300,
        # Two accounts: no session of the cabinet can be opened by the subscriber's id.
        users=((12345, 0), (12346, 0)),
        services=((240, 33, "Автоматический обещанный платёж по предоплате до 2017-12-31", _DUE),),
        attributes=((7, "пенсионер"),),
    ),
)
"""In the order of the accounts that they want, for ids are given in rising order."""
