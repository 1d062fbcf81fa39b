"""The progress of a run: a bar on a terminal, otherwise a line every few seconds."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from checkpoints.states import State, states_where
from cli.terminal.layout import Hanging
from cli.terminal.screen import Screen
from cli.terminal.signals import run_alongside
from cli.terminal.texts import JOINT, WHOLE, count, duration, markup_safe, money, printable, rate, rows
from engine.pacing.policy import ALL as SETTINGS
from engine.pipeline.progress import Progress, Status

LINE_EVERY: Final = 5.0
"""Seconds between two lines where there is no terminal."""

DRAWN_EVERY: Final = 0.2
"""Seconds between two redraws of the bar."""

KINDS: Final = 3
"""Kinds of error that are shown during a run."""

LINE: Final = 200
"""The length of a line in columns."""

SHORT: Final = 25
"""The least number of columns for errors."""


@asynccontextmanager
async def show_intake(progress: Progress, screen: Screen, source: str) -> AsyncIterator[None]:
    """A counter while rows are read and saved; only on a terminal."""
    if screen.voice.quiet or not screen.can_redraw:
        yield
        return
    with screen.err.status("") as status:

        async def tick() -> None:
            while True:
                refused = f", [red]{count(progress.refused)} refused[/]" if progress.refused else ""
                status.update(f"reading {markup_safe(source, WHOLE)}: {rows(progress.total)}{refused}")
                await anyio.sleep(0.2)

        async with run_alongside(tick):
            yield


@asynccontextmanager
async def show_sending(progress: Progress, screen: Screen, name: str) -> AsyncIterator[None]:
    """The bar or the lines while the run of that name sends; nothing with `--quiet`."""
    if screen.voice.quiet:
        yield
    elif screen.can_redraw:
        live = Live(
            console=screen.err,
            transient=True,
            # Drawn from the event loop: a thread of its own would read counts while they change.
            auto_refresh=False,
            # The console prints above the bar itself; stdout is for results.
            redirect_stdout=False,
            redirect_stderr=False,
        )

        async def draw() -> None:
            while True:
                live.update(screen_of(progress.status(), name), refresh=True)
                await anyio.sleep(DRAWN_EVERY)

        with live:
            async with run_alongside(draw):
                yield
    else:
        async with run_alongside(lambda: _lines(progress, screen, name)):
            yield


async def _lines(progress: Progress, screen: Screen, name: str) -> None:
    while True:
        await anyio.sleep(LINE_EVERY)
        screen.err.print(line(progress.status(), name), soft_wrap=True)


def line(status: Status, name: str = "") -> Text:
    """The state of a run in one line: the most important facts in the first 80 columns, then errors."""
    facts = [_place(status), *_pace(status), *_why(status), *_money(status), *_average(status), *_latency(status)]
    said = Text(f"{name}: " if name else "").append(", ".join([*facts, *_troubles(status)]))
    if not status.errors:
        return said
    width = max(LINE, said.cell_len + SHORT)
    said.append(f", errors: {', '.join(_kinds(status))}")
    said.truncate(width, overflow="ellipsis")
    return said


def screen_of(status: Status, name: str = "") -> Group:
    """The state of a run in a few lines of 80 columns; longer ones wrap."""
    head = Table.grid(padding=(0, 2))
    total = status.to_send if status.intake_ended else None
    bar = ProgressBar(
        total=total or None,
        completed=status.sent,
        width=30,
        pulse=total is None,
        complete_style="yellow" if status.held else "green",
        finished_style="green",
        pulse_style="cyan",
    )
    head.add_row(*([Text(f"run {name}", "bold")] if name else []), bar, Text(_place(status), "bold"))
    parts: list[RenderableType] = [head, _wrapped([*_pace(status), *_money(status), *_average(status)], ", ")]
    parts += [Text(text) for text in _latency(status)]
    states = [_labelled(word, number, style) for word, number, style in _counts(status) if number]
    parts.append(Hanging(Text(""), Text("   ").join(states)))
    if status.held:
        parts.append(Hanging(Text("held ", "yellow"), Text(printable(status.held))))
    elif status.why:
        parts.append(Hanging(Text("limited by ", "dim"), Text(_limit(status.why))))
    parts += [Hanging(Text("error ", "dim"), Text(kind)) for kind in _kinds(status)]
    if status.last_error:
        parts.append(
            Text("last error ", "dim", no_wrap=True, overflow="ellipsis").append(printable(status.last_error))
        )
    return Group(*parts)


def _wrapped(facts: Sequence[str], between: str) -> Hanging:
    """Facts one after the other, none of which is broken."""
    return Hanging(Text(""), Text(between.join(fact.replace(" ", JOINT) for fact in facts)))


def _labelled(word: str, number: int, style: str) -> Text:
    return Text().append(f"{word} ".replace(" ", JOINT), "dim").append(count(number), style)


def _counts(status: Status) -> Iterator[tuple[str, int, str]]:
    """The counts by state, each with its style. What is claimed has not left yet, and waits for its turn."""
    for state in State:
        number = status.counts.get(state, 0)
        if state is State.SENDING:
            waiting = max(number - status.in_flight, 0)
            yield "claimed", waiting, State.PENDING.style
            number -= waiting
        yield state, number, state.style
    yield "sent again", status.retries, ""


def _place(status: Status) -> str:
    sent, total = status.sent, status.to_send
    if not status.intake_ended:
        return f"{count(sent)} of {rows(total)} so far" if total else "no row to send so far"
    return f"{count(sent)} of {rows(total)} ({100 * sent // total if total else 100} %)"


def _money(status: Status) -> list[str]:
    return [f"{money(status.entered)} entered"] if status.entered else []


def _pace(status: Status) -> list[str]:
    left = [] if status.eta is None or status.sent == status.to_send else [f"{duration(status.eta)} left"]
    return [f"{rate(status.rate)} rows/s", *left, *_in_flight(status)]


def _in_flight(status: Status) -> list[str]:
    """Calls in flight, and how many may be; nothing where none is, and none may leave."""
    if not status.window or (status.held and not status.in_flight):
        return []
    if status.in_flight > status.window:
        # The window has shrunk: these are finished, and fewer follow.
        return [f"{status.in_flight} in flight, {status.window} from now on"]
    return [f"{status.in_flight}/{status.window} in flight"]


def _why(status: Status) -> list[str]:
    if status.held:
        return [f"held: {printable(status.held)}"]
    return [_limit(status.why)] if status.why else []


def _limit(why: str) -> str:
    """The limit on the run's speed; a setting is shown as it is typed."""
    return f"--{why}" if why.partition(" ")[0] in SETTINGS else printable(why)


def _average(status: Status) -> list[str]:
    return [f"{rate(status.average)}/s on average"] if status.average else []


def _latency(status: Status) -> list[str]:
    if status.p50 is None or status.p95 is None:
        return []
    return [f"latency p50 {_seconds(status.p50)}, p95 {_seconds(status.p95)}"]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _troubles(status: Status) -> list[str]:
    """Problems: rows that were not entered or are in doubt, and repeated calls."""
    states = [
        f"{count(number)} {state}" for state in states_where(trouble=True) if (number := status.counts.get(state))
    ]
    again = [f"{count(status.retries)} sent again"] if status.retries else []
    return states + again


def _kinds(status: Status) -> list[str]:
    """The most frequent kinds of error, each with its count."""
    return [f"{count(number)} × {printable(kind, 160)}" for kind, number in list(status.errors.items())[:KINDS]]
