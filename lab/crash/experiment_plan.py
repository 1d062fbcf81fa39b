"""What an experiment does: the load, the billing, its faults, and what disturbs the processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lab.crash.proxy import Interference

ROWS: Final = 240
SETTLE: Final = 0.8
"""Seconds. The mock has its effect at once when a slot is free; this leaves room for a busy machine."""
TIMEOUT: Final = 1.2
"""Seconds until the load gives an answer up; a silence of the plan lasts longer."""
MOST_IN_FLIGHT: Final = 16
"""Calls at one time, however well the billing takes them: in `SETTLE` all of them must have had their effect."""

BALANCES: Final = "balances"
WARNING_THRESHOLD: Final = "warning-threshold"
PAYMENT: Final = "payment"
JOBS: Final = (BALANCES, WARNING_THRESHOLD, PAYMENT)
"""Of these a job is drawn where none is named."""

REQUIRED: Final[Mapping[str, str]] = {
    BALANCES: "FINANCE_OPERATIONS.DESCR",
    WARNING_THRESHOLD: "ADMIN_ACCOUNTS.LIMIT_WARNING",
    PAYMENT: "FINANCE_OPERATIONS.STORNO",
}
"""By job of `JOBS`, a column without which its look-up cannot be made."""


class Act(StrEnum):
    """Something that is done to the load or to the billing."""

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
    """No file of the load may grow any more, the journal's first of all."""
    SECOND = "second-runner"
    """A second process is started on the same run: it must be refused."""
    CLOCK = "clock-back"
    """The load's wall clock is set back."""
    PAUSE = "pause"
    """`pause` from another terminal, and `continue` some time later: nothing may leave in between."""
    PAUSE_AND_KILL = "pause-and-kill"
    """The same with SIGKILL in between: what takes the run up must come up paused, and wait for `continue`."""
    SET = "set"
    """`set` from another terminal: another rate, another number in flight."""
    STOP = "stop"
    """`stop` from another terminal: it finishes what is in flight."""
    RESTORE = "restore"
    """The journal is copied, the load goes on and is killed, and the copy takes the journal's place."""
    ALIAS = "alias"
    """A second process is started on the same run, by another name of the journal or past its lock files."""
    SECOND_JOURNAL = "second-journal"
    """The same input is entered from another journal while the load goes on: it must be refused."""
    KILL_AND_SECOND_JOURNAL = "kill-and-second-journal"
    """The same after SIGKILL to the load, also where its journal is lost or empty."""


AT_REST: Final = frozenset({Act.SECOND_JOURNAL})
"""Acts that can be done when the run is at its end as well, where their moment has not come before."""

FROZEN: Final = "frozen"
"""Word of an alias: the first runner is stopped by SIGSTOP while the second tries, and so cannot end before it."""

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
    }
)
"""Acts after which the process of the load is gone."""

MARKED_ONLY: Final = frozenset({Act.SECOND_JOURNAL, Act.KILL_AND_SECOND_JOURNAL})
"""Acts that only marks in the billing can tell from what may be done."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One act, and when: once `share` of the rows are done, and `delay` seconds later.

    An `early` one comes as soon as a process has taken the run up, whatever it is doing then. `seconds` is how long a
    freeze or a pause lasts, or how far back the clock is set. `words` are what is set, or in which way it is done.
    `more` is the share of the rows that are done between a copy of the journal and the kill after it.
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
    """What the billing is like; `stack_rate` is entries a second, None for a billing without a stack."""

    latency_ms: float
    slots: int
    stack_rate: float | None


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment. `in_flight` None is a window that follows the billing; `faults` the mock's fault plan, TOML."""

    seed: int
    job: str
    rows: int
    in_flight: int | None
    traits: BillingTraits
    faults: str
    disturbances: tuple[Disturbance, ...]
    proxy: Interference | None = None
    """What stands between load and billing, if anything does."""
    without_database: bool = False
    """Whether the load works through the API alone."""
    lacking: tuple[str, ...] = ()
    """Columns that the billing does not have, as TABLE.COLUMN."""
    quirks: tuple[str, ...] = ()
    """How the billing behaves where nobody knows it of the real one, as `mock serve --quirk` takes it."""
    settle: float = SETTLE
    timeout: float = TIMEOUT

    @property
    def api_alone(self) -> bool:
        """Whether the load gets no database: a full disk would hit Firebird's own pages in its process as well."""
        return self.without_database or any(one.act is Act.FULL_DISK for one in self.disturbances)

    @property
    def other_balances(self) -> bool:
        """Whether opening balances come out otherwise than the load takes for granted, and the database tells."""
        return self.job == BALANCES and "type_8=adds" in self.quirks and not self.api_alone

    @property
    def refused_for(self) -> str | None:
        """The column for which the load must be refused before anything is sent, None where none is."""
        required = REQUIRED.get(self.job)
        return required if required in self.lacking and not self.api_alone else None

    @property
    def clock_back(self) -> float | None:
        """How far the clock of the load is set back, in seconds; None in an experiment that leaves it alone."""
        return next((one.seconds for one in self.disturbances if one.act is Act.CLOCK), None)
