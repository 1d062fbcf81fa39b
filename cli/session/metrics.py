"""The reader of a run that publishes its metrics: every 15 seconds and at its end, and to whoever asks meanwhile.

All figures are those that the run has in memory; the journal is not asked.
"""

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog
from aiohttp import web

from checkpoints.own_files import write_all
from checkpoints.records import Totals
from checkpoints.states import State
from cli.session.door import LOOPBACK, DoorLimits, serve_clients
from cli.session.events import Events, LiveRun, RunBegan, RunEnded, RunReader
from cli.settings.settings import MetricsSettings
from cli.terminal.texts import printable
from engine.pipeline.progress import Status
from texts.said import reason_of

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
"""The type of the format, in an answer of HTTP; its charset is UTF-8."""
METRICS: Final[Mapping[str, str]] = {
    "carbon_migrate_items": "Items of the run by state.",
    "carbon_migrate_roubles": "Sum of the items of the run by state, in roubles.",
    "carbon_migrate_refused_rows": "Rows of the input that were refused and are no items.",
    "carbon_migrate_calls_total": "Calls to the billing that have ended, of this process.",
    "carbon_migrate_calls_in_flight": "Calls to the billing that are under way.",
    "carbon_migrate_window_calls": "Calls that may be in flight at once.",
    "carbon_migrate_held": "1 while no call may leave, else 0.",
    "carbon_migrate_held_seconds_total": "Seconds held by cause, of this process.",
    "carbon_migrate_working": "1 while a process works on the run, 0 once it has ended.",
    "carbon_migrate_updated_timestamp_seconds": "When these metrics were taken.",
    "carbon_migrate_last_end_timestamp_seconds": "When the process has ended its work.",
    "carbon_migrate_last_exit_code": "The exit code with which it has ended.",
}
"""The help of all metrics, in their order."""
PATH: Final = "/metrics"
READABLE: Final = 0o644
"""The exporter is another user. Nothing in the file is secret or of a person."""
RUN_PLACE: Final = "{run}"
"""Stands in the name of the file for that of the run."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
EVERY: Final = 15.0
"""Seconds between two writings of the file, as often as Prometheus usually asks."""


def kind_of(metric: str) -> str:
    return "counter" if metric.endswith("_total") else "gauge"


def exposition(run: str, job: str, status: Status, at: datetime, ended: RunEnded | None = None) -> str:
    """The text of all metrics of a run, or how it has `ended`; a state without items is 0 and not absent."""
    samples: dict[str, list[str]] = {}

    def add(name: str, value: float | Decimal, **labels: str) -> None:
        given = {"run": run, "job": job, **labels}
        # The format escapes three characters in the value of a label.
        escaped = {key: word.translate(_ESCAPES) for key, word in given.items()}
        text = ",".join(f'{key}="{word}"' for key, word in escaped.items())
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
        f"# HELP {name} {told}\n# TYPE {name} {kind_of(name)}\n{''.join(samples[name])}"
        for name, told in METRICS.items()
        if name in samples
    )


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
    listening.settimeout(0)
    log.info("metrics are served", address=f"http://{LOOPBACK}:{listening.getsockname()[1]}{PATH}")
    await serve_clients(listening, metrics_application(text), DoorLimits(clients=8))


def metrics_application(text: Callable[[], str]) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        # A foreign name that leads here is an attack through DNS by a page in somebody's browser.
        if request.url.host not in {LOOPBACK, "localhost"}:
            raise web.HTTPForbidden
        return web.Response(body=text().encode(), headers={"Content-Type": f"{CONTENT_TYPE}; charset=utf-8"})

    made = web.Application(client_max_size=1)
    made.router.add_get(PATH, answer)
    return made


class MetricsFile:
    """The file of one run. That it cannot be written is logged once, and again only after it could."""

    def __init__(self, named: str | Path, run: str) -> None:
        self.path = Path(str(named).replace(RUN_PLACE, run))
        self._beside = self.path.with_name(f".{self.path.name}.{run}.new")
        self._failed = False

    async def write(self, text: str) -> None:
        """Replace the file in a thread, by a rename of one beside it; no error gets out."""

        def replace_file() -> None:
            # What a killed process has left is no longer written to. A link that somebody puts there is not followed.
            self._beside.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(self._beside, flags, READABLE), "wb", 0) as made:
                    os.fchmod(made.fileno(), READABLE)
                    write_all(made.fileno(), text.encode())
                    os.fsync(made.fileno())
                self._beside.replace(self.path)
            except OSError:
                with suppress(OSError):
                    self._beside.unlink()
                raise

        try:
            await anyio.to_thread.run_sync(replace_file, abandon_on_cancel=True)
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


def publish_metrics(settings: MetricsSettings) -> RunReader:
    async def read(live: LiveRun, events: Events) -> None:
        if live.ended:
            return
        file = MetricsFile(settings.file, live.run.name) if settings.file else None
        begun, ended, totals = anyio.Event(), anyio.Event(), Totals()
        end: RunEnded | None = None

        def text() -> str:
            status = live.look()
            # Until the pipeline has read what the journal has of the run, its status knows of no row.
            if end or not status.counts:
                counts = {str(state): number for state, number in totals.counts.items()}
                amounts = {str(state): amount for state, amount in totals.amounts.items()}
                status = replace(status, counts=counts, amounts=amounts, refused=totals.refused)
            return exposition(live.run.name, live.run.job, status, datetime.now(UTC), end)

        async def hear() -> None:
            nonlocal totals, end
            async for event in events:
                match event:
                    case RunBegan():
                        totals = event.totals
                    case RunEnded():
                        totals, end = event.closing.totals, event
                        ended.set()
                    case _:
                        continue
                begun.set()

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            await begun.wait()
            if settings.port is not None and not ended.is_set():
                group.start_soon(serve_metrics, settings.port, text)
            while file is not None and not ended.is_set():
                await file.write(text())
                with anyio.move_on_after(EVERY):
                    await ended.wait()
            await ended.wait()
            if file is not None:
                await file.write(text())
            group.cancel_scope.cancel()

    return read
