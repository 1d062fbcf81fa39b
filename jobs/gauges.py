"""The gauges of a run against the billing: what is watched beside it, so that it does no harm."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement
from billing.directory.system import STACKS, count_waiting
from engine.errors import InputRefused, LookUpFailed, setting
from engine.pacing.gauges import disk_gauge, hours_gauge
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading
from jobs.access.gateway import Gateway, as_engine_errors

log = structlog.get_logger(__name__)

LOW: Final = 0.8
"""Of a threshold: what was held above it goes on at this share of it."""

MEASURED_EVERY: Final = 600.0
"""Seconds after which the billing's clock is asked for again: it may have been set, or have moved to summer time."""


async def gauges_of(gateway: Gateway, policy: Callable[[], Policy], journal: Path) -> Sequence[Gauge]:
    """All that a run is watched by. `policy` gives the thresholds in force, which may change; 0 or None is none.

    Raises `InputRefused` for a select that gives no number, and `LookUpFailed`.
    """
    gauges = [
        disk_gauge(journal, lambda: policy().min_disk),
        hours_gauge(lambda: policy().hours, BillingClock(gateway).now),
        *await _stack_gauges(gateway, lambda: policy().max_stack),
        _latency_gauge(gateway, lambda: policy().max_latency),
    ]
    if (select := policy().throttle_sql) is not None:
        gauges.append(await _select_gauge(gateway, select, lambda: policy().throttle_above))
    return gauges


class BillingClock:
    """The billing's wall clock, as its own answers tell it: ours, set right by what both said at one moment."""

    def __init__(self, gateway: Gateway, here: Callable[[], datetime] = datetime.now) -> None:
        self._gateway = gateway
        self._here = here
        self._offset: timedelta | None = None
        self._measured = 0.0

    async def now(self) -> datetime:
        """What time it is there. Raises `LookUpFailed` while nobody has been told yet."""
        if self._offset is None or time.monotonic() - self._measured > MEASURED_EVERY:
            await self._measure()
        return self._here() + (self._offset or timedelta())

    async def _measure(self) -> None:
        self._measured = time.monotonic()
        try:
            with as_engine_errors():
                health = await self._gateway.client.health()
        except LookUpFailed:
            # A billing that is away does not set its clock.
            if self._offset is None:
                raise
            return
        there = _moment(health.server_time)
        if there is None:
            log.warning("the billing tells no time: the hours are those of this machine", said=health.server_time)
            self._offset = timedelta()
            return
        # It was read about half of the way ago.
        self._offset = there - self._here() + timedelta(seconds=health.seconds / 2)


def _moment(text: str | None) -> datetime | None:
    """A time as the billing writes it, `2025-11-24 03:34:09` or with a `T` and a zone, always local there [V, ?]."""
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None)
    except ValueError:
        return None


async def _stack_gauges(gateway: Gateway, threshold: Callable[[], int]) -> list[Gauge]:
    """One for each stack that this billing has; none without its database, for nobody can see them then."""
    if gateway.database is None:
        return []
    schema = await gateway.read(lambda database: database.schema)
    return [_stack_gauge(gateway, name, threshold) for name in STACKS if schema.has(name)]


def _stack_gauge(gateway: Gateway, name: str, threshold: Callable[[], int]) -> Gauge:
    depth = count_waiting(name)

    async def measure() -> GaugeReading | None:
        most = threshold()
        if not most:
            return None
        return GaugeReading(await _number(gateway, depth), most, int(_low(most)), grows=True)

    return Gauge(name, measure)


def _latency_gauge(gateway: Gateway, threshold: Callable[[], float | None]) -> Gauge:
    """How long the smallest question takes: a canary for those who work on the billing meanwhile."""

    async def measure() -> GaugeReading | None:
        most = threshold()
        if most is None:
            return None
        with as_engine_errors():
            seconds = (await gateway.client.health()).seconds
        bound = f"{most:g} s are the most" if seconds > most else f"goes on at {_low(most):g} s"
        return GaugeReading(seconds, most, _low(most), text=f"latency: the billing takes {seconds:.2g} s, {bound}")

    return Gauge("latency", measure, every=5.0)


async def _select_gauge(gateway: Gateway, select: str, threshold: Callable[[], float]) -> Gauge:
    """A select of the operator's own; asked once at the beginning, so that a mistyped one is told before a call."""

    async def measure() -> GaugeReading:
        above = threshold()
        found = await _number(gateway, SqlStatement("of throttle-sql", select))
        bound = f"> {_written(above)}" if found > above else f"goes on at {_written(_low(above))}"
        return GaugeReading(found, above, _low(above), text=f"throttle-sql {_written(found)} {bound}")

    try:
        await measure()
    except LookUpFailed as error:
        raise InputRefused(setting("throttle-sql", repr(select)), ": ", *error.said) from error
    return Gauge("throttle-sql", measure, every=5.0)


def _low(high: float) -> float:
    """Where a run that was held above `high` goes on; of a threshold below zero, as far below it."""
    return high - (1 - LOW) * abs(high)


def _written(number: float) -> str:
    return f"{number:,.12g}"


async def _number(gateway: Gateway, query: SqlStatement) -> float:
    """The one number that a select gives. Raises `LookUpFailed`, also when it gives something else."""

    def read(database: Database) -> float:
        try:
            ((number,),) = islice(database.query(query), 2)
            return float(number)
        except (TypeError, ValueError, KeyError) as error:
            raise LookUpFailed("it does not give one row with one number") from error

    return await gateway.read(read)
