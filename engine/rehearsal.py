"""A run that is only rehearsed: its rows are prepared and judged as those of a real one, and none is ever sent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from checkpoints.earlier_runs import Earlier
from checkpoints.records import NewItem, Twin
from engine.foreign_entries import ForeignEntries
from engine.intake import Enter, against_earlier
from engine.job import Entries, Job, Prepared, Row, Source


class Rehearsal:
    """Supplies an intake with a job's rows, held against what the journal of the real runs has of them.

    `enter` says what of it counts as new all the same, as it does for a run.
    """

    def __init__(self, job: Job, target: str, earlier: Earlier, *, enter: Enter = Enter.ONCE) -> None:
        self._job = job
        self._target = target
        self._earlier = earlier
        self._enter = Enter.AGAIN if job.repeatable else enter
        self.repeatable = job.repeatable
        self._foreign = ForeignEntries(job, earlier.known_marks, target, again=self._enter is Enter.AGAIN)

    @property
    def source(self) -> Source:
        """The rows of the job. Raises `InputRefused`."""
        return self._job.source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """What a real run would make of them. Raises `LookUpFailed`."""
        prepared = await self._job.prepare(rows)
        known = Prepared.of(await self._foreign.judge(prepared.items))
        refused = (*prepared.refusals, *known.refusals)
        if self._enter is Enter.AGAIN:
            return Prepared(known.items, refused)
        twins: defaultdict[str, list[Twin]] = defaultdict(list)
        for twin in await self._earlier.twins(self._job.name, {item.key for item in known.items}):
            twins[twin.key].append(twin)
        judged = [against_earlier(item, twins[item.key], self._target, self._enter) for item in known.items]
        new = Prepared.of(judged)
        return Prepared(new.items, (*refused, *new.refusals))

    async def find_entries(self, items: Sequence[NewItem]) -> Mapping[str, Entries]:  # noqa: ARG002 - judged before
        """Nothing: what the billing has was judged by what the real journal knows."""
        return {}
