"""`verify` from a page: one run at a time is read back, in the process of the page, and nothing is changed there."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

import structlog
from anyio.abc import TaskGroup

from checkpoints.journal import Journal
from checkpoints.records import Run, Verification
from cli.session.journal import require_unlocked
from cli.terminal.exits import CommandRefused
from engine.pipeline.verifier import ReadBackSummary
from texts.said import Quantity, Said, SaidError, counted, said, text_of

VERIFY: Final = "verify"
"""The command of a page that reads a run back, and the purpose for which the run is taken up then."""

log = structlog.get_logger(__name__)

VerifyRun: TypeAlias = Callable[[Run, Journal, ReadBackSummary], Awaitable[Sequence[str]]]
"""Reads a run back as `verify` does, and raises the same; counts up the summary, returns the first differences."""


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
    _summary: ReadBackSummary | None = None
    _last: Verifying = NOTHING_YET

    def of(self, name: str) -> Verifying:
        if name != self._name:
            return NOTHING_YET
        return Verifying(self._summary.read) if self._summary else self._last

    async def begin(self, run: Run, journal: Journal) -> None:
        """Begin to read a run back. Raises `CommandRefused`, and `JournalError`."""
        if self.verify is None:
            raise CommandRefused(said("This page has no way to the billing."))
        await require_unlocked(run, journal)
        if self._summary:
            raise CommandRefused("run {run} is being read back: wait for its end", run=self._name)
        self._name, self._summary, self._last = run.name, ReadBackSummary(), NOTHING_YET
        self.group.start_soon(self._read_back, self.verify, run, journal, self._summary)

    async def _read_back(self, verify: VerifyRun, run: Run, journal: Journal, summary: ReadBackSummary) -> None:
        try:
            self._last = Verifying(differences=await verify(run, journal, summary))
        except SaidError as error:
            self._last = Verifying(error=text_of(error))
        except Exception:  # a fault of ours is no reason to end the page
            log.exception("the page could not read a run back: a fault of ours, please report it", run=run.name)
            self._last = Verifying(error=said("A fault of this program, which its log describes."))
        finally:
            self._summary = None


# ---- what was read back of a run, as the journal has it -----------------------------------------------------------


def is_as_sent(read_back: Verification) -> bool:
    tally = read_back.tally
    return not (
        any(int(read_back.result.get(name, 0)) for name in ("different", "unreadable", "accounts_different"))
        or (tally and tally.different)
    )


def lines_of(read_back: Verification) -> Iterator[Said]:
    """What `verify` has said of it: rows, their sums, and where they were compared, accounts and groups."""

    def rows(name: str) -> int:
        return int(read_back.result.get(name, 0))

    def amount(name: str) -> Decimal:
        return Decimal(read_back.result.get(name, 0))

    yield counted("{n} row[s] as sent", rows("as_wanted"))
    if different := rows("different"):
        yield said("{n} different", n=Quantity(different))
    if elsewhere := rows("elsewhere"):
        yield said("{n} of them taken back from another journal", n=Quantity(elsewhere))
    if unreadable := rows("unreadable"):
        yield said("{n} that cannot be read back", n=Quantity(unreadable))
    expected, found = amount("expected"), amount("found")
    if expected or found:
        gap = found - expected
        yield said(
            "sum expected {expected}, found {found}, difference {gap}", expected=expected, found=found, gap=gap
        )
    if accounts := rows("accounts"):
        expected, found = amount("accounts_expected"), amount("accounts_found")
        yield counted(
            "balances of {n} account[s]: expected {expected}, found {found}, difference {gap}",
            accounts,
            expected=expected,
            found=found,
            gap=found - expected,
        )
    if different := rows("accounts_different"):
        yield counted("{n} account[s] with another balance than was sent", different)
    if read_back.tally and (different := read_back.tally.different):
        yield counted(
            "{n} [folder, tariff or operator|folders, tariffs and operators] with other totals than the file",
            different,
        )
