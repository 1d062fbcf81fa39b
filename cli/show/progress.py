"""The progress of a run: a bar on a terminal, otherwise a line every few seconds; and how far its rows are read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from checkpoints.records import Totals
from checkpoints.states import State
from checkpoints.tally import Subtotal
from cli.terminal.layout import Hanging, labelled, render
from cli.terminal.names import Outcome, outcomes_of
from cli.terminal.screen import Screen
from cli.terminal.signals import run_alongside
from cli.terminal.streams import bytes_read, waiting
from cli.terminal.texts import JOINT, LONGEST, WHOLE, count, duration, printable, rate
from engine.job import Source
from engine.pacing.holds import ASKING_AGAIN
from engine.pipeline.progress import Progress, Status
from texts.said import Quantity, Said, counted, kind_of, said

LINE_EVERY, DRAWN_EVERY, LOOK_EVERY = 5.0, 0.2, 1.0
"""Seconds between two lines where there is no terminal, two redraws of the bar, and two looks at watched runs."""
PAUSE: Final = 4
"""The pause after a look is at least this many times its duration."""
KINDS: Final = 3
"""Kinds of error that are shown during a run."""
LINE, SHORT = 200, 25
"""The length of a line in columns, and the least of them for errors."""

Seen = TypeVar("Seen")


def show_intake(progress: Progress, source: str, seen: Callable[[], int]) -> AbstractContextManager[None]:
    """A counter while rows are read and saved; `seen` rows were read before the first is saved."""
    name = printable(source, WHOLE)

    def read() -> Said:
        if why := progress.held:
            return said("held: {why}", why=why)
        if not progress.total and seen():
            return seen_rows(seen(), name)
        number = counted("reading {source}: {n} row[s]", progress.total, source=name)
        if progress.has_steps:
            number = counted("reading {source}: {n} step[s]", progress.total, source=name)
        refused = said("{n} refused", n=Quantity(progress.refused))
        return said("{rows}, {refused}", rows=number, refused=refused) if progress.refused else number

    return waiting(read, lambda: bytes_read(source))


async def tell_notes(source: Source, screen: Screen) -> None:
    """Show notes on how the rows are read, where the flags leave it open. Raises `InputRefused`."""
    for note in await anyio.to_thread.run_sync(lambda: source.notes):
        screen.say(labelled(said("note:"), note))


def seen_rows(number: int, source: str) -> Said:
    return counted("reading {source} for what stands twice: {n} row[s]", number, source=source)


@asynccontextmanager
async def show_sending(progress: Progress, screen: Screen, name: str) -> AsyncIterator[None]:
    """The bar or the lines while the run of that name sends; nothing with `--quiet`."""
    if screen.voice.quiet:
        yield
    elif screen.can_redraw:
        # Drawn from the event loop: a thread of its own would read counts while they change. The console prints above
        # the bar itself; stdout is for results.
        live = Live(
            console=screen.err, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

        async def draw() -> None:
            while True:
                live.update(screen_of(progress.status(), name), refresh=True)
                await anyio.sleep(DRAWN_EVERY)

        with live:
            async with run_alongside(draw):
                yield
    else:

        async def tell() -> None:
            while True:
                await anyio.sleep(LINE_EVERY)
                screen.err.print(line(progress.status(), name), soft_wrap=True)

        with waiting(said("sending run {run}", run=name), lambda: (progress.done, progress.total)):
            async with run_alongside(tell):
                yield


async def looks(look: Callable[[], Awaitable[Seen]], is_busy: Callable[[Seen], bool]) -> AsyncIterator[Seen]:
    """One look a second, until one that is not busy: the last one shows what is at rest."""
    while True:
        began = anyio.current_time()
        seen = await look()
        yield seen
        if not is_busy(seen):
            return
        # Counting in a journal can be slow, and the work of the runs has priority.
        took = anyio.current_time() - began
        await anyio.sleep(max(LOOK_EVERY - took, PAUSE * took))


async def show_looks(views: AsyncIterator[RenderableType], screen: Screen) -> None:
    """Draw each view in place of the one before; of one that no other follows for long, how old it is."""
    shown: RenderableType = Text()
    looked = anyio.current_time()
    with Live(console=screen.out, auto_refresh=False, transient=True, redirect_stdout=False) as live:

        async def tell_age() -> None:
            while True:
                await anyio.sleep(LOOK_EVERY)
                if (age := anyio.current_time() - looked) > LOOK_EVERY:
                    seen = render(said("seen {time} ago", time=duration(age)), "dim")
                    live.update(Group(shown, seen), refresh=True)

        async with run_alongside(tell_age):
            async for shown in views:
                looked = anyio.current_time()
                live.update(shown, refresh=True)


def line(status: Status, name: str = "") -> Text:
    """The state of a run in one line: the most important facts in the first 80 columns, then errors."""
    limit = limit_of(status.why) or status.why
    why = [said("held: {why}", why=status.held)] if status.held else [limit] if limit else []
    facts = [_place(status), *_pace(status), *why, *_so_far(status), *_latency(status)]
    facts += [
        said("{n} {state}", n=Quantity(found.rows), state=name)
        for name, found in _outcomes(status).items()
        if found.state.trouble
    ]
    facts += [said("{n} sent again", n=Quantity(status.retries))] if status.retries else []
    facts += _asks_at_once(status)
    text = Text(f"{name}: " if name else "").append(", ".join(map(printable, facts)))
    if not status.errors:
        return text
    width = max(LINE, text.cell_len + SHORT)
    text.append(", ").append_text(render(said("errors: {kinds}", kinds=tuple(_kinds(status)))))
    text.truncate(width, overflow="ellipsis")
    return text


def screen_of(status: Status, name: str = "", *, counts_rows: bool = True) -> Group:
    """The state of a run in a few lines of 80 columns; longer ones wrap. A table beside it may count the rows."""
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
    run = [render(said("run {run}", run=name), "bold")] if name else []
    head.add_row(*run, bar, render(_place(status), "bold"))
    # None of the facts is broken at the end of a line.
    pace = ", ".join(printable(fact).replace(" ", JOINT) for fact in (*_pace(status), *_so_far(status)))
    counts = [(word, number, state.style) for word, (state, number, _) in _outcomes(status).items() if counts_rows]
    counts.append((said("sent again"), status.retries, ""))
    states = [
        Text(f"{printable(word)} ".replace(" ", JOINT), "dim").append(count(number), style)
        for word, number, style in counts
        if number
    ]
    parts: list[RenderableType] = [head, Hanging(Text(""), Text(pace)), *map(render, _latency(status))]
    parts.append(Hanging(Text(""), Text("   ").join(states)))
    if status.held:
        parts.append(Hanging(_label(said("held"), "yellow"), render(status.held, limit=LONGEST)))
        parts += map(render, _asks_at_once(status))
    elif status.why:
        chosen = limit_of(status.why)
        label = Text("") if chosen else _label(said("limited by"))
        parts.append(Hanging(label, render(chosen or status.why, limit=LONGEST)))
    parts += [Hanging(_label(said("error")), Text(kind)) for kind in _kinds(status)]
    if status.last_error:
        last = Text(no_wrap=True, overflow="ellipsis").append_text(_label(said("last error")))
        parts.append(last.append(printable(status.last_error)))
    return Group(*parts)


def _outcomes(status: Status) -> Mapping[Said, Outcome]:
    counts = {State(word): number for word, number in status.under_way.items()}
    return outcomes_of(Totals(counts, held_back=Subtotal(status.held_back)))


def _label(word: Said, style: str = "dim") -> Text:
    return render(word, style).append(" ")


def _place(status: Status) -> Said:
    """How many rows are sent of those that are to be; of an import its steps."""
    total = status.to_send
    values = {"sent": Quantity(status.sent), "percent": 100 * status.sent // total if total else 100}
    if status.intake_ended:
        if status.has_steps:
            return counted("{sent} of {n} step[s] ({percent} %)", total, **values)
        return counted("{sent} of {n} row[s] ({percent} %)", total, **values)
    if status.has_steps:
        return counted("{sent} of {n} step[s] so far", total, sent=values["sent"])
    if not total:
        return said("no row to send so far")
    return counted("{sent} of {n} row[s] so far", total, sent=values["sent"])


def _pace(status: Status) -> list[Said]:
    """The rate, the time left, and the calls in flight; none of these where none is, and none may leave."""
    speed = rate(status.rate)
    pace = [said("{rate} steps/s", rate=speed) if status.has_steps else said("{rate} rows/s", rate=speed)]
    if status.eta is not None and status.sent != status.to_send:
        pace.append(said("{time} left", time=duration(status.eta)))
    calls, window = status.in_flight, status.window
    if window and calls > window:
        # A window that has shrunk: these are finished, and fewer follow.
        pace.append(said("{calls} in flight, {window} from now on", calls=calls, window=window))
    elif window and (calls or not status.held):
        pace.append(said("{calls}/{window} in flight", calls=calls, window=window))
    return pace


def _asks_at_once(status: Status) -> list[Said]:
    """What ends the wait for a billing that may be back before it is asked again; nothing for another hold."""
    is_asked_later = kind_of(status.held or "") == ASKING_AGAIN
    return [said("{command} asks the billing at once", command="`continue --now`")] if is_asked_later else []


def limit_of(why: str) -> str:
    """The limit on the run's speed that a person has set, said as such; "" for another."""
    values = why.values if isinstance(why, Said) else {}
    match kind_of(why):
        case "rate":
            return said("limited by you: {rate}/s", rate=values["rate"])
        case "in-flight":
            return said("limited by you: {calls} at a time", calls=values["calls"])
        case _:
            return ""


def _so_far(status: Status) -> list[Said]:
    speed, facts = rate(status.average), [said("{sum} entered", sum=status.entered)] if status.entered else []
    steps, rows = said("{rate} steps/s with waits", rate=speed), said("{rate}/s with waits", rate=speed)
    return facts + ([steps if status.has_steps else rows] if status.average else [])


def _latency(status: Status) -> list[Said]:
    if status.p50 is None or status.p95 is None:
        return []
    p50, p95 = (
        said("{seconds} s", seconds=round(seconds, 1))
        if seconds >= 1
        else said("{milliseconds} ms", milliseconds=round(1000 * seconds))
        for seconds in (status.p50, status.p95)
    )
    return [said("answers: half in {half}, 95 % in {most}", half=p50, most=p95)]


def _kinds(status: Status) -> list[str]:
    """The most frequent kinds of error, each with its count."""
    return [f"{count(number)} × {printable(kind, 160)}" for kind, number in list(status.errors.items())[:KINDS]]
