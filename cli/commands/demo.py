"""`demo`: shows the lab's demonstration step by step, and its proof as a table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import anyio.to_thread
import typer
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from checkpoints.states import State
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import reader
from cli.terminal.layout import render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import count, duration, money, printable
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM, command_line
from texts.said import Quantity, counted, said, text_of

if TYPE_CHECKING:
    from lab.demo import Proof

SUBSCRIBERS: Final = 10_000
QUICK: Final = 300

app: Final = typer.Typer(add_completion=False)


@app.command("demo")
def _demo(
    abonents: Annotated[
        int, typer.Option("--abonents", min=200, max=1_000_000, metavar="N", help="Size of the billing.")
    ] = SUBSCRIBERS,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A billing of 300 subscribers: it takes seconds.")] = False,
) -> None:
    """Load balances, kill the load, resume it, and prove the result.

    It makes a billing of its own for that, in a folder.
    """
    raise typer.Exit(run_command(lambda: _interruptible(QUICK if quick else abonents, Screen())))


async def _interruptible(subscribers: int, screen: Screen) -> Exit:
    """Run the whole demonstration; 0 when the proof holds. Ctrl-C and SIGTERM end it and its processes."""
    from lab.crash.errors import LabError

    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                return await _play(subscribers, screen)
            except LabError as error:
                raise CommandRefused(text_of(error)) from error
    screen.out.print()
    screen.out.print(render(said("interrupted; the billing and the load are stopped as well"), "yellow"))
    return Exit.INTERRUPTED


async def _play(subscribers: int, screen: Screen) -> Exit:
    from lab.demo import BALANCES, FOLDER, LATENCY_MS, DemoStage, make_folder

    began = anyio.current_time()
    show = _Narration(screen)
    stage = DemoStage(await anyio.to_thread.run_sync(make_folder), show.command, reader().name)
    show.opening(subscribers)
    show.heading(said("A billing to load into, and a file of balances"))
    with waiting(None):
        asked = await stage.make_billing(subscribers)
    show.line(
        counted(
            "{file}: {n} balance by contract number, {sum} in total",
            "{file}: {n} balances by contract number, {sum} in total",
            asked.rows,
            file=BALANCES,
            sum=asked.sum,
        )
    )
    async with stage.serve_billing() as url:
        show.line(said("the billing's REST API: {url}, each answer after {delay} ms", url=url, delay=LATENCY_MS))
        show.heading(said("The load starts, and its process is killed in the middle"))
        with show.progress(asked.rows) as on_progress:
            killed = await stage.kill_load(asked.rows, on_progress)
        show.command(("kill", "-9", str(killed.process)), program="")
        accepted, sending = (Quantity(killed.totals.count(state)) for state in (State.ACCEPTED, State.SENDING))
        show.line(
            said(
                "killed: {accepted} of {rows} rows are accepted, {sending} are in flight, and their answers are lost",
                accepted=accepted,
                rows=Quantity(asked.rows),
                sending=sending,
            ),
            "red",
        )
        show.heading(said("What the journal knows of the killed load"))
        with waiting(None):
            await stage.show_status(killed.run)
        show.heading(said("Resumed: what was in doubt is looked up in the billing, not sent on a guess"))
        with waiting(None):
            await stage.resume(killed.run)
        show.heading(said("Verified: every row read back from the billing"))
        with waiting(None):
            await stage.verify(killed.run)
        proof = await stage.prove(asked, killed.run)
    show.proof(proof, anyio.current_time() - began, str(FOLDER))
    return Exit.DONE if proof.holds else Exit.REJECTED


class _Narration:
    """Shows the demonstration on the screen: headings, and each command as it is typed."""

    def __init__(self, screen: Screen) -> None:
        self._out = screen.out
        self._step = 0

    def opening(self, subscribers: int) -> None:
        """Show the introduction."""
        lines = (
            said(
                "A billing with {subscribers} subscribers, a file with their opening balances,",
                subscribers=Quantity(subscribers),
            ),
            said("a load that is killed with SIGKILL in the middle: is every rouble entered exactly once?"),
        )
        self._out.print(
            Panel.fit(Text("\n").join(map(render, lines)), title=f"[bold]{PROGRAM} demo[/]", border_style="cyan")
        )

    def heading(self, text: str) -> None:
        """Show the heading of the next part."""
        self._step += 1
        self._out.print(Text.assemble((f"\n{self._step}. ", "bold cyan"), render(text, "bold")))

    def line(self, text: str, style: str = "") -> None:
        """Show a result."""
        self._out.print(Text.assemble("  ", render(text, style)))

    def command(self, arguments: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        """Show a command as it is typed."""
        self._out.print(f"  [dim]$[/] [bold]{program}{' '.join(arguments)}[/]", soft_wrap=True)

    @contextmanager
    def progress(self, rows: int) -> Iterator[Callable[[int], None]]:
        """A progress bar of accepted rows, drawn from the first number on; yields the function that updates it."""
        bar = Progress(
            TextColumn("  "),
            BarColumn(40, complete_style="green", finished_style="green"),
            TextColumn("{task.description}"),
            console=self._out,
            transient=True,
            disable=not self._out.is_terminal,
        )
        task = bar.add_task("", total=rows)

        def advance(accepted: int) -> None:
            bar.start()
            done = said("{accepted} of {rows} rows accepted", accepted=Quantity(accepted), rows=Quantity(rows))
            bar.update(task, completed=accepted, description=printable(done))

        try:
            yield advance
        finally:
            bar.stop()

    def proof(self, proof: "Proof", seconds: float, folder: str) -> None:
        """Show what was requested beside what the billing has, and whether they agree."""
        table = Table.grid(padding=(0, 3))
        table.add_column(justify="right", style="dim")
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column()
        head = (said("asked"), said("in the billing"))
        table.add_row("", *(render(one, "dim") for one in head), "")
        for what, asked, found in _compared(proof):
            sign = Text("✓", "green") if asked == found else Text("✗", "bold red")
            table.add_row(render(what), asked, found, sign)
        holds = said("the proof holds") if proof.holds else said("the proof fails")
        title = render(holds, "bold green" if proof.holds else "bold red")
        after = render(said("after {time}", time=duration(seconds)), "dim")
        self._out.print("")
        self._out.print(
            Panel.fit(
                table,
                title=Text.assemble(title, " ", after),
                border_style="green" if proof.holds else "red",
                padding=(1, 3),
            )
        )
        where = said("All of it is in {folder}/: the billing, the file, the journal and its log.", folder=folder)
        self._out.print(render(where, "dim"))
        make = command_line("mock", "init", "billing.fdb", "--abonents", "100")
        self._out.print(steps_list([(make, said("make a billing to practise on"))]))


def _compared(proof: "Proof") -> Iterator[tuple[str, str, str]]:
    """The lines of the proof: name, requested value, found value."""
    yield said("rows, and operations"), count(proof.asked.rows), count(proof.operations)
    yield said("sum in roubles"), money(proof.asked.sum), money(proof.sum)
    yield said("fewest operations of a subscriber"), "1", str(proof.least)
    yield said("most operations of a subscriber"), "1", str(proof.most)
    yield said("accounts with the balance of the file"), count(proof.asked.rows), count(proof.balances)
    yield said("verified"), count(proof.asked.rows), count(proof.totals.count(State.APPLIED))
    yield said("left unknown"), "0", count(proof.totals.count(State.UNKNOWN, State.MANUAL))
