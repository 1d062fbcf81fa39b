"""Plans of experiments: the load, the billing, its faults, and the disturbances of the processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lab.crash.loops import loops
from lab.crash.proxy import Interference
from lab.crash.trials import Trial
from lab.mock.facts import OPENING_BALANCE

ROWS: Final = 240
SETTLE: Final = 0.8
"""Seconds. The mock has its effect at once when a slot is free; the rest is a margin for a busy machine."""
TIMEOUT: Final = 1.2
"""Seconds until the load gives up on an answer; a silence in the plan lasts longer."""
MOST_IN_FLIGHT: Final = 16
"""Parallel calls at most: all of them must have had their effect within `SETTLE`."""

LONGEST: Final = 240.0
"""Loops of an experiment at most."""
LONGEST_SUBSCRIBER: Final = 1.0
"""Loops more for each subscriber of an import: its steps come one after the other, and are all taken back."""

BALANCES: Final = "balances"
WARNING_THRESHOLD: Final = "warning-threshold"
PAYMENT: Final = "payment"
IMPORT: Final = "import"
"""The job whose rows are subscribers with all that belongs to them. It is undone as well, and has to be named."""
JOBS: Final = (BALANCES, WARNING_THRESHOLD, PAYMENT)
"""A job is drawn from these where none is named."""

REQUIRED: Final[Mapping[str, str]] = {
    BALANCES: "FINANCE_OPERATIONS.DESCR",
    WARNING_THRESHOLD: "ADMIN_ACCOUNTS.LIMIT_WARNING",
    PAYMENT: "FINANCE_OPERATIONS.STORNO",
}
"""By job of `JOBS`, a column that its look-up needs."""

TWO_BILLINGS: Final = "not of one billing"
"""The program's words for an API and a database of two billings."""


SUBSCRIBERS_A_ROW: Final = 5
"""Subscribers of the billing: folders and deleted ones share them, so that one folder has about a load's rows."""
SUBSCRIBERS_OF_IMPORTS: Final = 200
"""Subscribers of the billing before an import, which brings its own."""


class Act(StrEnum):
    """An action on the load or on the billing."""

    KILL = "kill"
    """SIGKILL to the load."""
    FREEZE = "freeze"
    """SIGSTOP, and SIGCONT some time later."""
    TERMINATE = "terminate"
    """SIGTERM to the load: it finishes what is in flight."""
    INTERRUPT = "interrupt"
    """SIGINT twice: it stops at once."""
    RESTART = "restart"
    """SIGTERM to the billing, and started again."""
    CRASH = "crash"
    """SIGKILL to the billing, and started again."""
    FULL_DISK = "full-disk"
    """No file of the load may grow any more, including the journal."""
    SECOND = "second-runner"
    """A second process is started on the same run: it must be refused."""
    CLOCK = "clock-back"
    """The load's wall clock is set back."""
    PAUSE = "pause"
    """`pause` from another terminal, and `continue` some time later: nothing may be sent in between."""
    PAUSE_AND_KILL = "pause-and-kill"
    """The same with SIGKILL in between: the process that resumes must start paused, and wait for `continue`."""
    SET = "set"
    """`set` from another terminal: another rate, another number in flight."""
    STOP = "stop"
    """`stop` from another terminal: it finishes what is in flight."""
    RESTORE = "restore"
    """The journal is copied, the load goes on and is killed, and the copy takes the journal's place."""
    ALIAS = "alias"
    """A second process is started on the same run, by another name of the journal or without its lock files."""
    SECOND_JOURNAL = "second-journal"
    """The same input is entered from another journal while the load goes on: it must be refused."""
    KILL_AND_SECOND_JOURNAL = "kill-and-second-journal"
    """The same after SIGKILL to the load, also where its journal is lost or empty."""
    OVERLAP = "overlap"
    """The same input is sent from another journal while the load sends, on this machine or on another one."""
    STRANGER = "stranger"
    """Somebody else changes what rows concern that have not been sent."""
    UNDO = "undo-of-a-stopped-run"
    """The load is stopped and taken back, and then resumed: that must be refused."""


NEWER: Final = frozenset({Act.OVERLAP, Act.STRANGER, Act.UNDO})
"""Acts with random streams of their own: a seed draws the other ones as it did before."""


AT_REST: Final = frozenset({Act.SECOND_JOURNAL})
"""Acts that are also carried out when the run has ended before their moment."""

FROZEN: Final = "frozen"
"""The word of an alias act that freezes the first process by SIGSTOP while the second one tries."""

ENDING: Final = frozenset(
    {
        Act.KILL,
        Act.TERMINATE,
        Act.INTERRUPT,
        Act.FULL_DISK,
        Act.PAUSE_AND_KILL,
        Act.STOP,
        Act.RESTORE,
        Act.KILL_AND_SECOND_JOURNAL,
        Act.UNDO,
    }
)
"""Acts that end the process of the load."""

MARKED_ONLY: Final = frozenset({Act.SECOND_JOURNAL, Act.KILL_AND_SECOND_JOURNAL, Act.OVERLAP})
"""Acts that can be judged only if effects carry marks."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One act and its moment: once `share` of the rows are done, and `delay` seconds later.

    An `early` one is due as soon as a process has resumed the run. `seconds` is the length of a freeze or a pause, or
    how far the clock is set back. `words` are the settings of a `set`, or the variant of the act. `more` is the share
    of the rows that are done between a copy of the journal and the kill after it.
    """

    act: Act
    share: float
    delay: float = 0.0
    early: bool = False
    seconds: float = 0.0
    words: tuple[str, ...] = ()
    more: float = 0.0


@dataclass(frozen=True, slots=True)
class BillingTraits:
    """The traits of the billing; `stack_rate` is entries a second, None for a billing without a stack."""

    latency_ms: float
    slots: int
    stack_rate: float | None


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment. `in_flight` None is an adaptive window; `faults` is the mock's fault plan, TOML."""

    seed: int
    job: str
    rows: int
    in_flight: int | None
    traits: BillingTraits
    faults: str
    disturbances: tuple[Disturbance, ...]
    proxy: Interference | None = None
    """The proxy between load and billing, if there is one."""
    without_database: bool = False
    """Whether the load works through the API alone."""
    lacking: tuple[str, ...] = ()
    """Columns that the billing lacks, as TABLE.COLUMN."""
    quirks: tuple[str, ...] = ()
    """Quirks: undocumented behaviour of the real billing, as `mock serve --quirk` takes them."""
    licence: int | None = None
    """The number of subscribers that the billing may have, until the load has come to it; None for any number."""
    undo_kills: tuple[float, ...] = ()
    """The shares of an import's undo at which it is killed."""
    undo_faults: str = ""
    """The mock's fault plan for the undo of an import."""
    own: Trial | None = None
    """The trial of a job of one's own, or of a built-in one in another way; None for the usual trial."""
    two_billings: bool = False
    """Whether the database is that of another billing than the API, for which the load must be refused."""
    settle: float = SETTLE
    timeout: float = TIMEOUT

    @property
    def subscribers(self) -> int:
        """The subscribers that the billing has before the load."""
        return SUBSCRIBERS_OF_IMPORTS if self.job == IMPORT else SUBSCRIBERS_A_ROW * self.rows

    @property
    def longest(self) -> float:
        """Seconds after which an unfinished experiment has failed."""
        return loops(LONGEST + (LONGEST_SUBSCRIBER * self.rows if self.job == IMPORT else 0.0))

    @property
    def api_alone(self) -> bool:
        """Whether the load has no database: a full disk would also affect Firebird's own files in its process."""
        return self.without_database or any(one.act is Act.FULL_DISK for one in self.disturbances)

    @property
    def other_balances(self) -> bool:
        """Whether opening balances behave differently from the load's assumption, and the database shows it."""
        sets = self.job == BALANCES or (self.own is not None and self.own.key_end == str(OPENING_BALANCE))
        return sets and "type_8=adds" in self.quirks and not self.api_alone

    @property
    def refused_for(self) -> str | None:
        """The column, or `TWO_BILLINGS`, for which the load must be refused at once; None for none."""
        if self.api_alone:
            return None
        required = REQUIRED.get(self.job)
        return TWO_BILLINGS if self.two_billings else required if required in self.lacking else None

    @property
    def clock_back(self) -> float | None:
        """How far the load's clock is set back, in seconds; None for not at all."""
        return next((one.seconds for one in self.disturbances if one.act is Act.CLOCK), None)
