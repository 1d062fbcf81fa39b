"""The reader of a run that publishes its metrics: every 15 seconds and at its end, and to whoever asks meanwhile.

All figures are those that the run has in memory; the journal is not asked.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

import anyio

from checkpoints.records import Totals
from cli.metrics.endpoint import serve_metrics
from cli.metrics.exposition import Measured, exposition, measured
from cli.metrics.text_file import MetricsFile
from cli.session.events import LiveRun, OpenReader, RunBegan, RunEnded, RunEvent, RunReader
from cli.settings.metrics import MetricsSettings

EVERY: Final = 15.0
"""Seconds between two writings of the file, as often as Prometheus usually asks."""

Publish: TypeAlias = Callable[[str], Awaitable[None]]
"""Takes the text of the metrics."""


def publish_metrics(settings: MetricsSettings) -> OpenReader:
    """Makes readers that publish metrics as the settings say."""

    def open_reader(live: LiveRun) -> RunReader | None:
        if live.ended:
            return None
        file = settings.file
        return MetricsReader(live, MetricsFile(file, live.run.name).write if file else None, settings.port)

    return open_reader


class MetricsReader(RunReader):
    """Measures one run, from the moment at which it begins to send."""

    def __init__(self, live: LiveRun, publish: Publish | None, port: int | None = None) -> None:
        self._live = live
        self._publish = publish
        self._port = port
        self._begun = anyio.Event()
        self._ended = anyio.Event()
        self._at_first = Totals()
        self._end: RunEnded | None = None

    def hear(self, event: RunEvent) -> None:
        """Note beginning and end, of which the status of the run says nothing."""
        match event:
            case RunBegan(totals=totals):
                self._at_first = totals
                self._begun.set()
            case RunEnded():
                self._end = event
                self._begun.set()
                self._ended.set()

    async def follow(self) -> None:
        """Publish until the run has ended, and then once more."""
        await self._begun.wait()
        async with anyio.create_task_group() as group:
            if self._port is not None and not self._ended.is_set():
                group.start_soon(serve_metrics, self._port, self.text)
            while not self._ended.is_set():
                await self._publish_now()
                with anyio.move_on_after(EVERY):
                    await self._ended.wait()
            await self._publish_now()
            group.cancel_scope.cancel()

    async def _publish_now(self) -> None:
        if self._publish is not None:
            await self._publish(self.text())

    def text(self) -> str:
        """The metrics of this moment."""
        return exposition(self._measure())

    def _measure(self) -> Measured:
        run, status = self._live.run, self._live.look()
        seen = measured(run.name, run.job, status, datetime.now(UTC))
        if self._end is not None:
            closing = self._end.closing
            ended = replace(seen, is_held=False, ended_at=self._end.at, exit=int(closing.exit))
            return _counted(ended, closing.totals)
        # Until the pipeline has read what the journal has of the run, its status knows of no row.
        return seen if seen.items else _counted(seen, self._at_first)


def _counted(seen: Measured, totals: Totals) -> Measured:
    """With the totals of the journal."""
    items = {str(state): number for state, number in totals.counts.items()}
    roubles = {str(state): amount for state, amount in totals.amounts.items()}
    return replace(seen, items=items, roubles=roubles, refused=totals.refused)
