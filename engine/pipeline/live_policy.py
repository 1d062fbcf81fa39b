"""The policy of a live run, which a person may change, and how a person pauses or ends the run."""

from collections.abc import Callable
from typing import Any

import structlog

from engine.pacing.holds import PAUSED, Stop, StopKind
from engine.pacing.policy import Policy, describe_policy
from engine.pipeline.progress import Progress, Status

log = structlog.get_logger(__name__)


class LivePolicy:
    """The one object through which a live run is steered. What is changed takes effect at once, and in this process.

    `policy` is what is in force now: all that works on the run reads it when it needs it.
    """

    def __init__(self, policy: Policy, progress: Progress, stopping: Stop) -> None:
        self.policy = policy
        self.progress = progress
        self.stopping = stopping
        self._listeners: list[Callable[[], None]] = []

    def take(self, policy: Policy) -> None:
        """Drive the run by this policy from now on. Whoever listens hears of it once, and not when it is the same."""
        before, self.policy = self.policy, policy
        if policy == before:
            return
        log.info("driven", how=describe_policy(policy))
        for heard in self._listeners:
            heard()

    def pause(self, who: str) -> None:
        """Begin no call until `unpause`; what is in flight is finished. Who paused first is told."""
        if PAUSED not in self.progress.holds:
            self.progress.holds.put(PAUSED, f"paused by {who}")

    def unpause(self) -> None:
        """End the pause."""
        self.progress.holds.lift(PAUSED)

    def stop(self, who: str) -> None:
        """Begin nothing new and end the run, resumable, once what is in flight is finished."""
        self.stopping.request(StopKind.INTERRUPTED, f"stopped by {who}")

    def look(self) -> Status:
        """Where the run stands."""
        return self.progress.status()

    def status(self) -> dict[str, Any]:
        """The same in plain values."""
        return self.look().as_dict()

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` whenever another policy was taken."""
        self._listeners.append(heard)
