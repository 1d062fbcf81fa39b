"""How a run is to be driven: every number that an operator may set, with its default."""

from dataclasses import dataclass
from decimal import Decimal

from engine.budget import ErrorLimit
from engine.hours import Hours


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and patience of a run. Times are seconds."""

    in_flight: int | None = None
    """Calls at one time; None for a window that follows what the billing answers."""
    max_in_flight: int = 64
    """Calls at one time that such a window never passes."""
    rate: float | None = None
    """Calls a second at most; None for as fast as the window allows."""
    hours: Hours | None = None
    """Hours of the day, by the billing's clock, in which calls may leave; None for all."""
    max_stack: int = 1000
    """Entries in one of the billing's own queues above which the run is held; 0 for any number."""
    max_latency: float | None = None
    """Time that the billing may take for the smallest question before the run is held; None for any."""
    throttle_sql: str | None = None
    """A select of the operator's own whose one number holds the run above `throttle_above`."""
    throttle_above: float = 0.0
    min_disk: int = 200_000_000
    """Bytes that must be free where the journal is; 0 for any number."""
    canary: bool = True
    """Whether a run begins with a few rows."""
    stop_after_errors: ErrorLimit | None = 100
    """Rejected rows and rows out of tries after which the run stops; None for never."""
    limit_money: Decimal | None = None
    """What the absolute amounts of all rows that were sent may add up to; None for any sum."""
    tries: int = 10
    """Calls for one row before it is left for the next `resume`."""
    retry_share: float = 0.1
    """Retries of the whole run for each success."""
    retry_floor: float = 1.0
    """Retries a second of the whole run that are made whatever succeeds."""
    settle: float = 30.0
    """After a lost answer: how long until a look-up is trusted to see what the call did."""
    drain_patience: float = 1800.0
    """How long to wait for the billing's own queues to empty before a look-up."""
    away_after: int = 5
    """Failed calls in a row, with none answered between, after which the billing counts as away."""
    away_patience: float = 600.0
    """How long to wait for a billing that is away, or for a gauge that cannot be read, before the run stops."""
    page: int = 1000
    """Rows read, frozen and looked up at one time."""
