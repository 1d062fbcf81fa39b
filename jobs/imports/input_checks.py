"""All checks of an input before the first of its rows is kept: its values, what stands twice, and the billing.

all rows ──▶ SeenValues ◀── the billing          then page by page: values ──▶ duplicates ──▶ the billing ──▶ Judged
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
import anyio.to_thread

from engine.rows import Row, RowPage, Source
from jobs.access.gateway import Gateway
from jobs.imports.billing_checks import BillingChecks
from jobs.imports.duplicates import Duplicates
from jobs.imports.fields import FieldTable
from jobs.imports.seen_values import SeenValues
from jobs.imports.subscriber import Faulty, Subscriber, ValueFault
from jobs.imports.value_checks import ValueChecks, text_limits


class Read(Protocol):
    """Reads rows as subscribers of texts, each with the faults found in doing so; called in a worker thread.

    Those that are `only_seen` are read once more.
    """

    def __call__(
        self, rows: Sequence[Row], *, only_seen: bool = False
    ) -> Sequence[tuple[Subscriber, Sequence[ValueFault]]]:
        """The subscribers of rows. Raises `InputRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A subscriber with the values of its calls, all its faults, and what may be right and is to be looked at."""

    subscriber: Subscriber
    faults: tuple[ValueFault, ...]
    warnings: tuple[ValueFault, ...]

    @property
    def faulty(self) -> Faulty | None:
        """The row that is not imported, None if it is."""
        return Faulty(self.subscriber.row, self.subscriber.number, self.faults) if self.faults else None


class InputChecks:
    """The checks of one input. All of it is read once before the first page is judged; pages may be judged at once.

    With `alike` contract numbers that only look alike are no fault.
    """

    def __init__(
        self, gateway: Gateway, source: Source, read: Read, fields: FieldTable, *, alike: bool = False
    ) -> None:
        self._gateway = gateway
        self._source = source
        self._read = read
        self._fields = fields
        self._seen = SeenValues()
        self._duplicates = Duplicates(self._seen, alike=alike)
        self._billing = BillingChecks(gateway, fields, self._seen, alike=alike)
        self._values: ValueChecks | None = None
        self._one_at_a_time = anyio.Lock()
        self.rows_seen = 0
        """Rows that were read to see what they have in common."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be checked so far, a sentence each."""
        return self._billing.notes

    async def value_checks(self) -> ValueChecks:
        """The checks of single values, by what this billing can hold of texts. Raises `LookUpFailed`."""
        return ValueChecks(self._fields, await text_limits(self._gateway, self._fields))

    async def judge(self, rows: Sequence[Row]) -> list[Judged]:
        """The subscribers of a page of rows. Raises `InputRefused` and `LookUpFailed`."""
        async with self._one_at_a_time:
            values = self._values or await self._survey()
            made = await anyio.to_thread.run_sync(self._examined, rows, values)
        findings = await self._billing.judge([one.subscriber for one in made])
        judged = []
        for one, found in zip(made, findings, strict=True):
            faults = (*one.faults, *_sound(found.faults, one.faults))
            judged.append(Judged(one.subscriber, faults, _sound((*one.warnings, *found.warnings), faults)))
        return judged

    async def _survey(self) -> ValueChecks:
        """See all rows, and what the billing has of them."""
        values = await self.value_checks()
        pages = self._source.pages(None)
        while (page := await anyio.to_thread.run_sync(_next, pages)) is not None:
            await anyio.to_thread.run_sync(self._see, page, values)
            self.rows_seen += len(page.rows)
        await self._billing.survey()
        self._values = values
        return values

    def _see(self, page: RowPage, values: ValueChecks) -> None:
        self._seen.add(values(subscriber)[0] for subscriber, _ in self._read(page.rows, only_seen=True))

    def _examined(self, rows: Sequence[Row], values: ValueChecks) -> list[Judged]:
        judged = []
        for subscriber, faults in self._read(rows):
            checked, wrong = values(subscriber)
            _, shared = self._duplicates(checked)
            known = (*faults, *_sound(wrong, faults))
            judged.append(Judged(checked, (*known, *shared), tuple(self._duplicates.warnings(checked))))
        return judged


def _sound(found: Sequence[ValueFault], faults: Sequence[ValueFault]) -> tuple[ValueFault, ...]:
    """What was found of values that have no fault yet: a wrong value has to be corrected anyway."""
    wrong = {(fault.place, fault.cell) for fault in faults}
    return tuple(one for one in found if (one.place, one.cell) not in wrong)


def _next(pages: Iterator[RowPage]) -> RowPage | None:
    return next(pages, None)
