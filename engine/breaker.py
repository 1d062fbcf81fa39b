"""The breaker: when the billing is away, hold all calls and ask for it, instead of failing row after row."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from engine.errors import LookUpFailed
from engine.outcomes import Outcome
from engine.policy import Policy
from engine.progress import Progress
from engine.stop import Stop, StopKind

log = structlog.get_logger(__name__)

LONGEST_GAP = 30.0
"""Seconds between two probes at most."""


class Breaker:
    """Opens after `policy.away_after` failed calls in a row, closes when a probe is answered.

    It fails no rows: what was provably not sent is pending again, what may have been sent is looked up.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], policy: Policy, progress: Progress, stop: Stop) -> None:
        self._probe = probe
        self._policy = policy
        self._progress = progress
        self._stop = stop
        self._failures = 0
        self._closed = anyio.Event()
        self._closed.set()
        self._opened = anyio.Event()

    def seen(self, outcome: Outcome) -> None:
        """Count a call's outcome."""
        if not outcome.away:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._policy.away_after and self._closed.is_set():
            self._closed = anyio.Event()
            self._opened.set()
            log.warning("the billing is away: holding all calls", failures=self._failures, last=outcome.message)

    async def passable(self) -> None:
        """Wait while the billing is away; returns at once when a stop is asked for."""
        if not self._closed.is_set() and not self._stop.requested:
            await self._closed.wait()

    def release(self) -> None:
        """A stop is asked for: let nobody wait here any longer."""
        self._closed.set()

    async def keep(self) -> None:
        """Probe whenever the breaker has opened, until it can close; runs beside the workers."""
        while True:
            await self._opened.wait()
            await self._probe_until_well()
            self._failures = 0
            self._opened = anyio.Event()
            self._closed.set()

    async def _probe_until_well(self) -> None:
        since = anyio.current_time()
        gap = 1.0
        while not self._stop.requested:
            try:
                await self._probe()
            except LookUpFailed as error:
                away = anyio.current_time() - since
                if away > self._policy.away_patience:
                    self._stop.request(
                        StopKind.SYSTEM,
                        f"the billing has been away for {away:.0f} s: {error}. "
                        "Nothing is lost; when it is back, take the run up with `carbon-migrate resume`",
                    )
                    break
                self._progress.hold(f"the billing is away: asking again in {gap:.0f} s ({error})")
                await self._stop.sleep(gap)
                gap = min(LONGEST_GAP, gap * 2)
            else:
                log.info("the billing is back", away_seconds=round(anyio.current_time() - since, 1))
                break
        self._progress.hold(None)
