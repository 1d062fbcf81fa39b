"""Doubts: answers that turn out later to be possibly another row's. Their items become unknown."""

from collections.abc import Collection, Sequence
from typing import Final

import structlog

from checkpoints.records import Item
from checkpoints.states import State
from engine.evidence import Lost
from engine.outcomes import Cause, Outcome, decide
from engine.pipeline.aftermath import CallResult
from engine.pipeline.backlog import Backlog
from engine.pipeline.progress import Progress
from engine.pipeline.reconciler import Reconciler
from texts.said import said

log = structlog.get_logger(__name__)

UNASKED: Final = said(
    "something came over the connection of its answer that nobody had asked for: the answer may be another row's"
)


class Doubts:
    """Items whose answers are in doubt, from the report of the doubt until it is in the journal.

    An outcome that is not recorded yet is replaced. An accepted item becomes unknown, and is looked up before the run
    ends.
    """

    def __init__(self, backlog: Backlog, reconciler: Reconciler, progress: Progress) -> None:
        self._backlog = backlog
        self._reconciler = reconciler
        self._progress = progress
        self._heard: set[int] = set()
        self._new: list[int] = []
        self._recorded = False

    @property
    def waiting(self) -> list[int]:
        """The items whose doubt is not in the journal yet; they may be recorded already, or under way."""
        return list(self._new)

    def add(self, item_id: int) -> None:
        """Add an item whose answer is in doubt; the settle delay restarts before the journal shows it as unknown."""
        self._reconciler.lost()
        self._heard.add(item_id)
        self._new.append(item_id)

    def judge(self, group: Sequence[CallResult], *, repeatable: bool) -> list[CallResult]:
        """Replace the doubtful outcomes in a group that is about to be recorded."""
        if not self._heard:
            return list(group)
        outcome = decide(Lost(UNASKED), repeatable=repeatable)
        return [self._judged(landed, outcome) for landed in group]

    def written(self, number: int) -> None:
        """Take note that the first `number` of the waiting doubts are in the journal.

        Only now: the run would otherwise end while they are being written, and leave their rows as they are.
        """
        del self._new[:number]

    def clear(self) -> None:
        """Forget the doubts once nothing is under way: the remaining items were not recorded as accepted."""
        self._heard.clear()

    def follow(self, doubted: Sequence[Item]) -> None:
        """Follow up accepted items that the journal has turned into unknown ones."""
        for item in doubted:
            self._heard.discard(item.item_id)
            self._recorded = True
            self._progress.moved(State.ACCEPTED, State.UNKNOWN, amount=item.amount)
            self._progress.met(item.label, item.message or "")
            self._backlog.shut_lane(item.lane)
            log.warning("accepted, and in doubt now", item=item.number, label=item.label, why=item.message)

    def settled(self) -> bool:
        """Whether no accepted item has come into doubt since the last call."""
        recorded, self._recorded = self._recorded, False
        return not recorded

    def _judged(self, landed: CallResult, outcome: Outcome) -> CallResult:
        if landed.item.item_id not in self._heard:
            return landed
        self._heard.discard(landed.item.item_id)
        return CallResult(landed.item, outcome) if landed.outcome.state is State.ACCEPTED else landed


def apart(group: Sequence[CallResult], doubted: Collection[Item]) -> tuple[list[CallResult], list[Item]]:
    """Split `doubted` items: returns the group with its own ones as unknown, and the items recorded earlier."""
    messages = {item.item_id: item.message for item in doubted}
    ours = {landed.item.item_id for landed in group}
    judged = [
        CallResult(landed.item, Outcome(State.UNKNOWN, Cause.NO_ANSWER, message=messages[landed.item.item_id]))
        if landed.item.item_id in messages
        else landed
        for landed in group
    ]
    return judged, [item for item in doubted if item.item_id not in ours]
