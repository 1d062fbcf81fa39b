"""`verify` from a page: one run at a time is read back, in the process of the page, and nothing is changed there."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import structlog
from anyio.abc import TaskGroup

from checkpoints.journal import Journal
from checkpoints.records import RowFigures, Run, Verification
from cli.session.journal import require_unlocked
from cli.terminal.exits import CommandRefused
from texts.said import Quantity, Said, SaidError, counted, said, text_of

VERIFY: Final = "verify"
"""The command of a page that reads a run back, and the purpose for which the run is taken up then."""

log = structlog.get_logger(__name__)

VerifyRun: TypeAlias = Callable[[Run, Journal, RowFigures], Awaitable[Sequence[str]]]
"""Reads a run back as `verify` does, and raises the same; counts up the figures, returns the first differences."""


@dataclass(frozen=True, slots=True)
class Verifying:
    """What a page knows of reading a run back: how many rows were `read` until now, None where it is not at that.

    Of the last time `error` is why it did not come to its end, and `differences` what it has found.
    """

    read: int | None = None
    error: str = ""
    differences: Sequence[str] = ()


NOTHING_YET: Final = Verifying()


@dataclass(slots=True)
class Verifier:
    """Reads runs back for a page. It keeps what it has found last; the journal has the figures."""

    group: TaskGroup
    verify: VerifyRun | None
    """None where the page has no billing at hand."""
    _name: str = ""
    _figures: RowFigures | None = None
    _last: Verifying = NOTHING_YET

    def of(self, name: str) -> Verifying:
        if name != self._name:
            return NOTHING_YET
        return Verifying(self._figures.read) if self._figures else self._last

    async def begin(self, run: Run, journal: Journal) -> None:
        """Begin to read a run back. Raises `CommandRefused`, and `JournalError`."""
        if self.verify is None:
            raise CommandRefused(said("This page has no way to the billing."))
        await require_unlocked(run, journal)
        if self._figures:
            raise CommandRefused("run {run} is being read back: wait for its end", run=self._name)
        self._name, self._figures, self._last = run.name, RowFigures(), NOTHING_YET
        self.group.start_soon(self._read_back, self.verify, run, journal, self._figures)

    async def _read_back(self, verify: VerifyRun, run: Run, journal: Journal, figures: RowFigures) -> None:
        try:
            self._last = Verifying(differences=await verify(run, journal, figures))
        except SaidError as error:
            self._last = Verifying(error=text_of(error))
        except Exception:  # a fault of ours is no reason to end the page
            log.exception("the page could not read a run back: a fault of ours, please report it", run=run.name)
            self._last = Verifying(error=said("A fault of this program, which its log describes."))
        finally:
            self._figures = None


# ---- what was read back of a run, as the journal has it -----------------------------------------------------------


def lines_of(read_back: Verification) -> Iterator[Said]:
    """What `verify` has said of it: rows, their sums, and where they were compared, accounts and groups."""
    rows, accounts = read_back.rows, read_back.accounts
    yield counted("{n} row[s] as sent", rows.as_wanted)
    if rows.different:
        yield said("{n} different", n=Quantity(rows.different))
    if rows.taken_back_elsewhere:
        yield said("{n} of them taken back from another journal", n=Quantity(rows.taken_back_elsewhere))
    if rows.unreadable:
        yield said("{n} that cannot be read back", n=Quantity(rows.unreadable))
    if rows.expected or rows.found:
        yield said(
            "sum expected {expected}, found {found}, difference {gap}",
            expected=rows.expected,
            found=rows.found,
            gap=rows.found - rows.expected,
        )
    if accounts.compared:
        yield counted(
            "balances of {n} account[s]: expected {expected}, found {found}, difference {gap}",
            accounts.compared,
            expected=accounts.expected,
            found=accounts.found,
            gap=accounts.found - accounts.expected,
        )
    if accounts.different:
        yield counted("{n} account[s] with another balance than was sent", accounts.different)
    if read_back.tally and (different := read_back.tally.different):
        yield counted(
            "{n} [folder, tariff or operator|folders, tariffs and operators] with other totals than the file",
            different,
        )
