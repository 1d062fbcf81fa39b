"""The metrics of a run, in the text format of Prometheus.

Labels are the run's name, its job, and a state or the cause of a hold, which are words of this program: so the series
of a run are few, and nothing of a subscriber is in them. Names and helps are the same in every language.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from checkpoints.states import State
from engine.pipeline.progress import Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
"""The type of the format, in an answer of HTTP; its charset is UTF-8."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its kind in the format, and its help."""

    kind: str
    help: str


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "carbon_migrate_items": Metric("gauge", "Items of the run by state."),
        "carbon_migrate_roubles": Metric("gauge", "Sum of the items of the run by state, in roubles."),
        "carbon_migrate_refused_rows": Metric("gauge", "Rows of the input that were refused and are no items."),
        "carbon_migrate_calls_total": Metric("counter", "Calls to the billing that have ended, of this process."),
        "carbon_migrate_calls_in_flight": Metric("gauge", "Calls to the billing that are under way."),
        "carbon_migrate_window_calls": Metric("gauge", "Calls that may be in flight at once."),
        "carbon_migrate_held": Metric("gauge", "1 while no call may leave, else 0."),
        "carbon_migrate_held_seconds_total": Metric("counter", "Seconds held by cause, of this process."),
        "carbon_migrate_working": Metric("gauge", "1 while a process works on the run, 0 once it has ended."),
        "carbon_migrate_updated_timestamp_seconds": Metric("gauge", "When these metrics were taken."),
        "carbon_migrate_last_end_timestamp_seconds": Metric("gauge", "When the process has ended its work."),
        "carbon_migrate_last_exit_code": Metric("gauge", "The exit code with which it has ended."),
    }
)
"""All metrics, in their order."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured of a run at the moment `at`. `ended_at` and `exit` are None while it is worked on."""

    run: str
    job: str
    at: datetime
    items: Mapping[str, int]
    roubles: Mapping[str, Decimal]
    refused: int = 0
    calls: int = 0
    in_flight: int = 0
    window: int = 0
    is_held: bool = False
    held_seconds: Mapping[str, float] = field(default_factory=dict)
    ended_at: datetime | None = None
    exit: int | None = None


def measured(run: str, job: str, status: Status, at: datetime) -> Measured:
    """What a run that is worked on says of itself."""
    return Measured(
        run,
        job,
        at,
        items=status.counts,
        roubles=status.amounts,
        refused=status.refused,
        calls=status.calls,
        in_flight=status.in_flight,
        window=status.window,
        is_held=status.held is not None,
        held_seconds=status.held_seconds,
    )


def exposition(seen: Measured) -> str:
    """The text of all metrics; a state without items is 0 and not absent."""
    parts = []
    for name, metric in METRICS.items():
        lines = [
            f"{name}{_labels(run=seen.run, job=seen.job, **labels)} {_number(value)}\n"
            for of, labels, value in _samples(seen)
            if of == name
        ]
        if lines:
            parts.append(f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n{''.join(lines)}")
    return "".join(parts)


def _samples(seen: Measured) -> Iterator[tuple[str, dict[str, str], float | Decimal]]:
    """Name, labels and value of each sample."""
    for state in State:
        yield "carbon_migrate_items", {"state": str(state)}, seen.items.get(str(state), 0)
        yield "carbon_migrate_roubles", {"state": str(state)}, seen.roubles.get(str(state), Decimal(0))
    for cause, seconds in seen.held_seconds.items():
        yield "carbon_migrate_held_seconds_total", {"cause": cause}, round(seconds, 3)
    yield "carbon_migrate_refused_rows", {}, seen.refused
    yield "carbon_migrate_calls_total", {}, seen.calls
    yield "carbon_migrate_calls_in_flight", {}, seen.in_flight
    yield "carbon_migrate_window_calls", {}, seen.window
    yield "carbon_migrate_held", {}, int(seen.is_held)
    yield "carbon_migrate_working", {}, int(seen.ended_at is None)
    yield "carbon_migrate_updated_timestamp_seconds", {}, round(seen.at.timestamp(), 3)
    if seen.ended_at is not None and seen.exit is not None:
        yield "carbon_migrate_last_end_timestamp_seconds", {}, round(seen.ended_at.timestamp(), 3)
        yield "carbon_migrate_last_exit_code", {}, seen.exit


def _number(value: float | Decimal) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    """The value of a label, in which the format escapes three characters."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
