"""The gauges of a run: measurements of the billing and this machine that hold the run when they are too high."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from billing.api.client import Health
from billing.database.database import Database
from billing.database.sql_blocks import SqlStatement
from billing.directory.system import STACKS, count_waiting
from billing.errors import NotASelect
from billing.selects.select import prepared, select_of
from engine.errors import InputRefused, LookUpFailed
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading, disk_gauge, hours_gauge
from jobs.access.gateway import Gateway, as_engine_errors
from texts.said import said, setting

log = structlog.get_logger(__name__)

LOW: Final = 0.8
"""The share of a threshold at which a held run continues."""

MEASURED_EVERY: Final = 600.0
"""Seconds after which the billing's clock is read again: it may have been set, or have changed to summer time."""


async def gauges_of(
    gateway: Gateway, policy: Callable[[], Policy], journal: Path, *, ends_outside_hours: bool = False
) -> Sequence[Gauge]:
    """All gauges of a run. `policy` returns the present thresholds, which may change; 0 or None means no threshold.

    Outside its hours the run is held, or ends.

    Raises `InputRefused` for a select that does not return a number, and `LookUpFailed`.
    """
    gauges = [
        disk_gauge(journal, lambda: policy().min_disk),
        hours_gauge(lambda: policy().hours, BillingClock(gateway).now, ends=ends_outside_hours),
    ]
    # Without its database the billing's stacks cannot be read.
    if gateway.database is not None:

        async def measure(depth: SqlStatement) -> GaugeReading | None:
            most = policy().max_stack
            return GaugeReading(await _number(gateway, depth), most, int(_low(most)), grows=True) if most else None

        schema = await gateway.read(lambda database: database.schema)
        gauges += [Gauge(name, partial(measure, count_waiting(name))) for name in STACKS if schema.has(name)]
    gauges.append(_latency_gauge(gateway, lambda: policy().max_latency))
    if (select := policy().throttle_sql) is not None:
        gauges.append(await _select_gauge(gateway, select, lambda: policy().throttle_above))
    return gauges


class BillingClock:
    """The billing's wall clock: our clock, corrected by the difference to the time in the billing's answer."""

    def __init__(self, gateway: Gateway, here: Callable[[], datetime] = datetime.now) -> None:
        self._gateway = gateway
        self._here = here
        self._offset: timedelta | None = None
        self._measured = 0.0

    async def now(self) -> datetime:
        """The billing's local time. Raises `LookUpFailed` until the billing has answered once."""
        if self._offset is None or time.monotonic() - self._measured > MEASURED_EVERY:
            self._measured = time.monotonic()
            try:
                with as_engine_errors():
                    self._offset = self._difference(await self._gateway.client.health())
            except LookUpFailed:
                # The known difference is kept while the billing is away.
                if self._offset is None:
                    raise
        return self._here() + (self._offset or timedelta())

    def _difference(self, health: Health) -> timedelta:
        try:
            # `2025-11-24 03:34:09` or with a `T` and a zone, always its local time [V, ?].
            there = datetime.fromisoformat(health.server_time or "").replace(tzinfo=None)
        except ValueError:
            log.warning("the billing tells no time: the hours are those of this machine", said=health.server_time)
            return timedelta()
        # The billing read its clock about halfway through the call.
        return there - self._here() + timedelta(seconds=health.seconds / 2)


def _latency_gauge(gateway: Gateway, threshold: Callable[[], float | None]) -> Gauge:
    """The gauge of the time of a health check, which shows how slow the billing is for its other users."""

    async def measure() -> GaugeReading | None:
        most = threshold()
        if most is None:
            return None
        with as_engine_errors():
            seconds = (await gateway.client.health()).seconds
        taken = float(f"{seconds:.2g}")
        if seconds > most:
            text = said("latency: the billing takes {taken} s, {most} s are the most", taken=taken, most=most)
        else:
            text = said("latency: the billing takes {taken} s, goes on at {low} s", taken=taken, low=_low(most))
        return GaugeReading(seconds, most, _low(most), text=text)

    return Gauge("latency", measure, every=5.0)


async def _select_gauge(gateway: Gateway, select: str, threshold: Callable[[], float]) -> Gauge:
    """The gauge of the operator's select, which is checked and measured once before any call.

    It is judged as every select of the operator is. Raises `InputRefused`.
    """
    flag = setting("throttle-sql", repr(select))
    try:
        checked = select_of(select)
    except NotASelect as error:
        raise InputRefused("{flag}: {error}", flag=flag, error=error) from error
    if checked.parameters:
        raise InputRefused(
            "{flag}: nothing is bound to :{name}: write its value there", flag=flag, name=checked.parameters[0]
        )

    async def measure() -> GaugeReading:
        above = threshold()
        found = await _number(gateway, checked.statement)
        if found > above:
            text = said("throttle-sql {found} > {above}", found=_written(found), above=_written(above))
        else:
            low = _written(_low(above))
            text = said("throttle-sql {found} goes on at {low}", found=_written(found), low=low)
        return GaugeReading(found, above, _low(above), text=text)

    try:
        await gateway.read(lambda database: prepared(database, checked))
        await measure()
    except LookUpFailed as error:
        raise InputRefused("{flag}: {error}", flag=flag, error=error) from error
    return Gauge("throttle-sql", measure, every=5.0)


def _low(high: float) -> float:
    """The value at which a run held above `high` continues; also for thresholds below zero."""
    return high - (1 - LOW) * abs(high)


def _written(number: float) -> str:
    return f"{number:,.12g}"


async def _number(gateway: Gateway, query: SqlStatement) -> float:
    """The one number that a select returns. Raises `LookUpFailed`, also for any other result."""

    def read(database: Database) -> float:
        try:
            ((number,),) = islice(database.query(query), 2)
            return float(number)
        except (TypeError, ValueError, KeyError) as error:
            raise LookUpFailed(said("it does not give one row with one number")) from error

    return await gateway.read(read)
