"""How jobs of procrastinate end: given out again, or gone; and those of workers that nobody hears of any more.

A worker that was frozen wakes up with jobs that others have by now. So a job is finished or given out again only by
who has it, and nothing is done about one that somebody else has taken meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import structlog
from procrastinate import exceptions
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from cli.fleet.queue import TASK
from texts.said import Said, said

_TRIES: Final = 3
_AGAIN: Final = 1.0
"""Tries to write what becomes of a job, and seconds between two of them."""

AFTER_FAULT: Final = 60.0
"""Seconds until a run is given out again whose job has failed in the worker itself."""

_STILL: Final = (
    "select 1 as yes from procrastinate_jobs "
    "where id = %(job)s and status = 'doing' and worker_id is not distinct from %(worker)s"
)

log = structlog.get_logger(__name__)


class AgainLater(Exception):
    """Raised by a job that is to be given out again after `seconds`."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class GivenOutAgain(BaseRetryStrategy):
    """Every job that does not end is given out again: no run is lost from the queue by an error."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """When the job is given out again."""
        match exception:
            case AgainLater(seconds=seconds):
                return RetryDecision(retry_in={"seconds": round(seconds)})
            case asyncio.CancelledError():
                # The queue was away: what works on the run goes on, and is found again.
                return RetryDecision()
        log.error("a job has failed in the worker", run=job.task_kwargs.get("run"), why=repr(exception))
        return RetryDecision(retry_in={"seconds": round(AFTER_FAULT)})


class JobKeeper(JobManager):
    """The jobs of an open queue. `say` tells what is taken from another worker."""

    def __init__(self, connector: BaseConnector, say: Callable[[Said], None]) -> None:
        super().__init__(connector)
        self._say = say
        self.give_up: Callable[[], None] = lambda: None
        """Called where jobs cannot be written: the worker has to begin anew."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - as procrastinate
        """End a job, where it is still given out as this one."""

        async def finish() -> None:
            if await self._is_still(job):
                await super(JobKeeper, self).finish_job(job, status, delete_job)

        await self._write(finish)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Give a job out again, where it is still given out as this one."""

        async def retry() -> None:
            if await self._is_still(job):
                await super(JobKeeper, self).retry_job(job, retry_at, priority, queue, lock)

        await self._write(retry)

    async def give_out_stalled(self, after: float, every: float) -> None:
        """Give out again, without end, the jobs whose worker was not heard of for `after` seconds."""
        while True:
            try:
                stalled = await self.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=after)
                for job in stalled:
                    log.debug("nothing was heard of a worker: its run is given out again", **_run_of(job))
                    self._say(
                        said(
                            "{run}: its worker was not heard of for {seconds} s; another goes on with it",
                            run=str(job.task_kwargs.get("run")),
                            seconds=round(after),
                        )
                    )
                    await self.retry_job(job)
            except exceptions.ConnectorException as error:
                # The worker notices it too, and opens the queue anew.
                log.debug("stalled runs cannot be looked for", why=str(error))
            await asyncio.sleep(every)

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write what becomes of a job. Where that fails again and again, this worker gives up all that it has.

        It begins anew then, and the job is found as that of a worker that is gone.
        """
        for _ in range(_TRIES):
            try:
                return await write()
            except exceptions.ConnectorException as error:
                log.debug("what becomes of a run could not be written", why=str(error))
                await asyncio.sleep(_AGAIN)
        self.give_up()
        return None

    async def _is_still(self, job: Job) -> bool:
        found = await self.connector.execute_query_all_async(_STILL, job=job.id, worker=job.worker_id)
        if not found:
            self._say(said("{run}: another worker has it by now", run=str(job.task_kwargs.get("run"))))
        return bool(found)


def _run_of(job: Job) -> dict[str, Any]:
    return {"run": job.task_kwargs.get("run"), "worker": job.worker_id}
