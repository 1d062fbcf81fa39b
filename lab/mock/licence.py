"""The licence of a mock billing: how many subscribers it may have."""

from typing import Final

from billing.database.sql_blocks import sql_block
from lab.mock import refusals
from lab.mock.connection import MockConnection

_TAKEN: Final = sql_block("rules", "licensed", "lab.mock.sql")


class Licence:
    """At most `limit` subscribers, None for any number; the limit may be set from another thread.

    Subscribers that wait in a stack count: their calls were answered. They are counted anew only when the room that
    was found before is used up, for a billing of many subscribers is slow to count.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._counted_for: int | None = None
        self._room = 0

    def admit(self, connection: MockConnection) -> None:
        """Take a place for a new subscriber; raises `MockRefusal` where there is none."""
        limit = self.limit
        if limit is None:
            return
        if self._room <= 0 or limit != self._counted_for:
            ((taken,),) = connection.run(_TAKEN, {})
            self._counted_for, self._room = limit, limit - int(taken)
        if self._room <= 0:
            raise refusals.licence_exceeded()
        # Too few where the call is refused for another reason: then it is counted anew.
        self._room -= 1
