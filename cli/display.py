"""What is seen while a run works: a bar on a terminal, a line every few seconds elsewhere."""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from checkpoints.states import State
from cli.screen import Screen
from cli.signals import beside
from cli.texts import count, duration, plain, shown
from engine.progress import Progress

LINE_EVERY: Final = 5.0
"""Seconds between two lines where there is no terminal."""

DRAWN_EVERY: Final = 0.2
"""Seconds between two drawings of the bar."""

WINDOW: Final = 5.0
"""Seconds that the present rate is measured over."""

STYLES: Final = {
    State.PENDING: "dim",
    State.SKIPPED: "dim",
    State.SENDING: "cyan",
    State.ACCEPTED: "green",
    State.REJECTED: "red",
    State.UNKNOWN: "yellow",
    State.MANUAL: "bold yellow",
    State.APPLIED: "bold green",
}


class Speed:
    """Rows a second over the last few seconds; a pure function of what it is told."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def now(self, moment: float, done: int) -> float:
        """Tell that `done` rows are done at `moment` (seconds); returns the rate, 0 at the beginning."""
        self._seen.append((moment, done))
        # The oldest kept is just outside the window, so that a full window is measured.
        while len(self._seen) > 2 and self._seen[1][0] <= moment - self._window:  # noqa: PLR2004 - first and last
            self._seen.popleft()
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end > begin else 0.0


@asynccontextmanager
async def intake_shown(progress: Progress, screen: Screen, source: str) -> AsyncIterator[None]:
    """A counter while rows are read and frozen; on a terminal only."""
    if screen.voice.quiet or not screen.err.is_terminal:
        yield
        return
    with screen.err.status("") as status:

        async def tick() -> None:
            while True:
                refused = f", [red]{count(progress.refused)} refused[/]" if progress.refused else ""
                status.update(f"reading {shown(source)}: {count(progress.total)} rows{refused}")
                await anyio.sleep(0.2)

        async with beside(tick):
            yield


@asynccontextmanager
async def sending_shown(progress: Progress, screen: Screen) -> AsyncIterator[None]:
    """The bar, or the lines, while a run sends; nothing with `--quiet`."""
    if screen.voice.quiet:
        yield
    elif screen.err.is_terminal:
        speed = Speed()
        live = Live(
            console=screen.err,
            transient=True,
            # Drawn from the event loop: a thread of its own would read counts that are being changed.
            auto_refresh=False,
            # What is printed meanwhile goes above the bar by the console itself; stdout is for results.
            redirect_stdout=False,
            redirect_stderr=False,
        )

        async def draw() -> None:
            while True:
                live.update(_bar(progress, _rate(speed, progress)), refresh=True)
                await anyio.sleep(DRAWN_EVERY)

        with live:
            async with beside(draw):
                yield
    else:
        async with beside(lambda: _lines(progress, screen)):
            yield


async def _lines(progress: Progress, screen: Screen) -> None:
    speed = Speed()
    while True:
        _rate(speed, progress)
        await anyio.sleep(LINE_EVERY)
        screen.err.print(line(progress, _rate(speed, progress)), soft_wrap=True)


def _rate(speed: Speed, progress: Progress) -> float:
    # Until the journal's counts are taken up there is nothing to measure: what was done before is not our pace.
    return speed.now(time.monotonic(), _sent(progress)) if progress.total else 0.0


def line(progress: Progress, rate: float) -> Text:
    """Where the run stands, in one line."""
    return Text(", ".join([_place(progress), _pace(progress, rate), *_states(progress), *_troubles(progress)]))


def _sent(progress: Progress) -> int:
    return progress.done - progress.counts[State.SKIPPED]


def _to_send(progress: Progress) -> int:
    return progress.total - progress.counts[State.SKIPPED]


def _place(progress: Progress) -> str:
    sent, total = _sent(progress), _to_send(progress)
    if not progress.intake_ended:
        return f"{count(sent)} of {count(total)} rows so far"
    return f"{count(sent)} of {count(total)} rows ({100 * sent // total if total else 100} %)"


def _pace(progress: Progress, rate: float) -> str:
    left = _to_send(progress) - _sent(progress)
    eta = f", {duration(left / rate)} left" if rate > 0 and progress.intake_ended else ""
    return f"{rate:.0f} rows/s{eta}"


def _states(progress: Progress) -> list[str]:
    return [f"{count(number)} {state}" for state in State if (number := progress.counts[state])]


def _troubles(progress: Progress) -> list[str]:
    held = [f"waiting: {plain(progress.held)}"] if progress.held else []
    return held + ([f"last error: {plain(progress.last_error, 160)}"] if progress.last_error else [])


def _bar(progress: Progress, rate: float) -> Group:
    head = Table.grid(padding=(0, 2))
    total = _to_send(progress) if progress.intake_ended else None
    bar = ProgressBar(total=total or None, completed=_sent(progress), width=36, pulse=total is None)
    head.add_row(bar, Text(_place(progress), "bold"), Text(_pace(progress, rate)))
    states = Text()
    for state in State:
        if number := progress.counts[state]:
            states.append(f"{state} ", "dim").append(f"{count(number)}   ", STYLES[state])
    if progress.retries:
        states.append("sent again ", "dim").append(count(progress.retries))
    parts: list[Table | Text] = [head, states]
    if progress.last_error:
        parts.append(Text("last error ", "dim", no_wrap=True, overflow="ellipsis").append(plain(progress.last_error)))
    if progress.held:
        parts.append(Text("waiting ", "yellow").append(plain(progress.held)))
    return Group(*parts)
