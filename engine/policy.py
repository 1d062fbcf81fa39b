"""How a run is to be driven: every number that an operator may set, with its default."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and patience of a run. Times are seconds."""

    in_flight: int = 4
    """Calls at one time. A vendor's sample of the server runs 2 threads."""
    rate: float | None = None
    """Calls a second at most; None for as fast as `in_flight` allows."""
    tries: int = 10
    """Calls for one row before it is left for the next `resume`."""
    stop_after_errors: int | None = 100
    """Rejected rows and rows out of tries after which the run stops; None for never."""
    settle: float = 30.0
    """After a lost answer: how long until a look-up is trusted to see what the call did."""
    drain_patience: float = 1800.0
    """How long to wait for the billing's own queues to empty before a look-up."""
    away_after: int = 5
    """Failed calls in a row, with none answered between, after which the billing counts as away."""
    away_patience: float = 600.0
    """How long to wait for a billing that is away before the run stops."""
    page: int = 1000
    """Rows read, frozen and looked up at one time."""
