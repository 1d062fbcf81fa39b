"""The live policy: lets a person change the policy of a run while it works, pause the run, or stop it."""

from collections.abc import Callable

import structlog

from engine.pacing.holds import PAUSED, Stop, StopKind
from engine.pacing.policy import Policy, describe_policy
from engine.pipeline.progress import Progress, Status
from engine.statistics import PaceSample
from texts.said import said

log = structlog.get_logger(__name__)


class LivePolicy:
    """The control of a live run. Changes take effect at once, in this process only.

    `policy` is the policy in force; all tasks of the run read it when they need it.
    """

    def __init__(self, policy: Policy, progress: Progress, stopping: Stop) -> None:
        self.policy = policy
        self.progress = progress
        self.stopping = stopping
        self._listeners: list[Callable[[], None]] = []

    def take(self, policy: Policy) -> None:
        before, self.policy = self.policy, policy
        if policy == before:
            return
        log.info("driven", how=describe_policy(policy))
        for heard in self._listeners:
            heard()

    def pause(self, who: str) -> None:
        """Begin no call until `unpause`; calls in flight finish. The first person to pause is shown."""
        if PAUSED not in self.progress.holds:
            self.progress.holds.put(PAUSED, said("paused by {who}", who=who))

    def unpause(self) -> None:
        self.progress.holds.lift(PAUSED)

    def stop(self, who: str) -> None:
        """Begin nothing new and stop the run once the calls in flight are finished; it can be resumed."""
        self.stopping.request(StopKind.INTERRUPTED, said("stopped by {who}", who=who))

    def look(self) -> Status:
        return self.progress.status()

    def sample(self) -> PaceSample:
        return self.progress.sample()

    def listen(self, heard: Callable[[], None]) -> None:
        self._listeners.append(heard)
