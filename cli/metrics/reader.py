"""The reader of a run that publishes its metrics: every 15 seconds and at its end, and to whoever asks meanwhile.

All figures are those that the run has in memory; the journal is not asked.
"""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio
import anyio.to_thread
import structlog
from aiohttp import web

from checkpoints.records import Totals
from checkpoints.states import State
from cli.session.door import DoorLimits, serve_clients
from cli.session.events import LiveRun, OpenReader, RunBegan, RunEnded, RunEvent, RunReader
from cli.settings.tables import MetricsSettings
from cli.terminal.texts import printable, reason_of
from engine.pipeline.progress import Status
from jobs.access.durable import write_all

# ---- the text of the metrics --------------------------------------------------------------------------------------


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


def exposition(run: str, job: str, status: Status, at: datetime, ended: RunEnded | None = None) -> str:
    """The text of all metrics of a run, or how it has `ended`; a state without items is 0 and not absent."""
    samples: dict[str, list[str]] = {}

    def add(name: str, value: float | Decimal, **labels: str) -> None:
        given = {"run": run, "job": job, **labels}
        text = ",".join(f'{key}="{_escaped(word)}"' for key, word in given.items())
        number = format(value, "f") if isinstance(value, Decimal) else value
        samples.setdefault(f"carbon_migrate_{name}", []).append(f"carbon_migrate_{name}{{{text}}} {number}\n")

    for state in State:
        add("items", status.counts.get(str(state), 0), state=str(state))
        add("roubles", status.amounts.get(str(state), Decimal(0)), state=str(state))
    for cause, seconds in status.held_seconds.items():
        add("held_seconds_total", round(seconds, 3), cause=cause)
    add("refused_rows", status.refused)
    add("calls_total", status.calls)
    add("calls_in_flight", status.in_flight)
    add("window_calls", status.window)
    add("held", int(status.held is not None and ended is None))
    add("working", int(ended is None))
    add("updated_timestamp_seconds", round(at.timestamp(), 3))
    if ended is not None:
        add("last_end_timestamp_seconds", round(ended.at.timestamp(), 3))
        add("last_exit_code", int(ended.closing.exit))
    return "".join(
        f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n{''.join(samples[name])}"
        for name, metric in METRICS.items()
        if name in samples
    )


def _escaped(text: str) -> str:
    """The value of a label, in which the format escapes three characters."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ---- the metrics of a run at an address of this machine, for a scraper --------------------------------------------


LOOPBACK: Final = "127.0.0.1"
HOSTS: Final = frozenset({LOOPBACK, "localhost"})
PATH: Final = "/metrics"
LIMITS: Final = DoorLimits(clients=8)

log = structlog.get_logger(__name__)


async def serve_metrics(port: int, text: Callable[[], str]) -> None:
    """Serve the text of each moment until cancelled, on any free port for 0; a port that is taken is logged."""
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        log.warning(
            "the metrics cannot be served: the run goes on without it",
            address=f"http://{LOOPBACK}:{port}{PATH}",
            why=reason_of(error),
        )
        return
    listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
    log.info("metrics are served", address=f"http://{LOOPBACK}:{listening.getsockname()[1]}{PATH}")
    try:
        await serve_clients(listening, metrics_application(text), LIMITS)
    finally:
        listening.close()


def metrics_application(text: Callable[[], str]) -> web.Application:
    """The application that answers a scraper with the text of each moment."""

    async def answer(request: web.Request) -> web.Response:
        # A foreign name that leads here is an attack through DNS by a page in somebody's browser.
        if request.url.host not in HOSTS:
            raise web.HTTPForbidden
        return web.Response(body=text().encode(), headers={"Content-Type": f"{CONTENT_TYPE}; charset=utf-8"})

    made = web.Application(client_max_size=1)
    made.router.add_get(PATH, answer)
    return made


# ---- the text file of the metrics, as node_exporter's textfile collector reads it ---------------------------------


READABLE: Final = 0o644
"""The exporter is another user. Nothing in the file is secret or of a person."""

RUN_PLACE: Final = "{run}"
"""Stands in the name of the file for that of the run."""


class MetricsFile:
    """The file of one run. That it cannot be written is logged once, and again only after it could."""

    def __init__(self, named: Path, run: str) -> None:
        self.path = Path(str(named).replace(RUN_PLACE, run))
        self._beside = self.path.with_name(f".{self.path.name}.{run}.new")
        self._failed = False

    async def write(self, text: str) -> None:
        """Replace the file in a thread; no error gets out."""
        try:
            await anyio.to_thread.run_sync(self._replace, text.encode(), abandon_on_cancel=True)
        except OSError as error:
            if not self._failed:
                log.warning(
                    "the file of the metrics cannot be written: the run goes on without it",
                    file=printable(str(self.path)),
                    why=reason_of(error),
                )
            self._failed = True
        else:
            self._failed = False

    def _replace(self, content: bytes) -> None:
        """Write beside, and rename. Raises OSError."""
        # What a killed process has left is no longer written to. A link that somebody puts there is not followed.
        self._beside.unlink(missing_ok=True)
        descriptor = os.open(
            self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, READABLE
        )
        try:
            try:
                os.fchmod(descriptor, READABLE)
                write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                self._beside.unlink()
            raise


# ---- the reader of a run that publishes its metrics ---------------------------------------------------------------


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
        status = self._live.look()
        totals = self._end.closing.totals if self._end else self._at_first
        # Until the pipeline has read what the journal has of the run, its status knows of no row.
        if self._end or not status.counts:
            counts = {str(state): number for state, number in totals.counts.items()}
            amounts = {str(state): amount for state, amount in totals.amounts.items()}
            status = replace(status, counts=counts, amounts=amounts, refused=totals.refused)
        run = self._live.run
        return exposition(run.name, run.job, status, datetime.now(UTC), self._end)
