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

from checkpoints.states import State
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import count, duration, money
from texts.remedies import PROGRAM

if TYPE_CHECKING:
    from lab.demo import Proof

SUBSCRIBERS: Final = 10_000

app: Final = typer.Typer(add_completion=False)


@app.command("demo")
def _demo(
    abonents: Annotated[
        int, typer.Option("--abonents", min=200, max=1_000_000, metavar="N", help="Size of the billing.")
    ] = SUBSCRIBERS,
) -> None:
    """Load balances, kill the load, resume it, and prove the result.

    It makes a billing of its own for that, in a folder.
    """
    raise typer.Exit(run_command(lambda: _interruptible(abonents, Screen())))


async def _interruptible(subscribers: int, screen: Screen) -> Exit:
    """Run the whole demonstration; 0 when the proof holds. Ctrl-C and SIGTERM end it and its processes."""
    from lab.crash.errors import LabError

    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            try:
                return await _play(subscribers, screen)
            except LabError as error:
                raise CommandRefused(str(error)) from error
    screen.out.print("\n[yellow]interrupted; the billing and the load are stopped as well[/]")
    return Exit.INTERRUPTED


async def _play(subscribers: int, screen: Screen) -> Exit:
    from lab.demo import BALANCES, FOLDER, LATENCY_MS, DemoStage, make_folder

    began = anyio.current_time()
    show = _Narration(screen)
    stage = DemoStage(await anyio.to_thread.run_sync(make_folder), show.command)
    show.opening(subscribers)
    show.heading("A billing to load into, and a file of balances")
    asked = await stage.make_billing(subscribers)
    show.line(f"{BALANCES}: {count(asked.rows)} balances by contract number, {money(asked.sum)} in total")
    async with stage.serve_billing() as url:
        show.line(f"the billing's REST API: {url}, each answer after {LATENCY_MS} ms")
        show.heading("The load starts, and its process is killed in the middle")
        with show.progress(asked.rows) as on_progress:
            killed = await stage.kill_load(asked.rows, on_progress)
        show.command(("kill", "-9", str(killed.process)), program="")
        accepted, sending = (count(killed.totals.count(state)) for state in (State.ACCEPTED, State.SENDING))
        show.line(
            f"[red]killed[/] with {accepted} of {count(asked.rows)} rows accepted and "
            f"[yellow]{sending} in flight[/]: their answers are lost"
        )
        show.heading("What the journal knows, though nobody had time to say goodbye")
        await stage.show_status(killed.run)
        show.heading("Taken up again: what was in doubt is looked up in the billing, not sent on a guess")
        await stage.resume(killed.run)
        show.heading("Verified: every row read back from the billing")
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
        self._out.print(
            Panel.fit(
                f"A billing with {count(subscribers)} subscribers, a file with their opening balances,\n"
                "a load that is killed with SIGKILL in the middle: is every rouble entered exactly once?",
                title=f"[bold]{PROGRAM} demo[/]",
                border_style="cyan",
            )
        )

    def heading(self, text: str) -> None:
        """Show the heading of the next part."""
        self._step += 1
        self._out.print(f"\n[bold cyan]{self._step}.[/] [bold]{text}[/]")

    def line(self, text: str) -> None:
        """Show a result, as markup."""
        self._out.print(f"  {text}")

    def command(self, arguments: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        """Show a command as it is typed."""
        self._out.print(f"  [dim]$[/] [bold]{program}{' '.join(arguments)}[/]", soft_wrap=True)

    @contextmanager
    def progress(self, rows: int) -> Iterator[Callable[[int], None]]:
        """A progress bar of accepted rows, drawn from the first number on; yields the function that updates it."""
        bar = Progress(
            TextColumn("  "),
            BarColumn(40, complete_style="green", finished_style="green"),
            TextColumn("{task.completed:.0f} of {task.total:.0f} rows accepted"),
            console=self._out,
            transient=True,
            disable=not self._out.is_terminal,
        )
        task = bar.add_task("", total=rows)

        def advance(accepted: int) -> None:
            bar.start()
            bar.update(task, completed=accepted)

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
        table.add_row("", "[dim]asked[/]", "[dim]in the billing[/]", "")
        for what, asked, found in _compared(proof):
            table.add_row(what, asked, found, "[green]✓[/]" if asked == found else "[bold red]✗[/]")
        holds = "[bold green]the proof holds[/]" if proof.holds else "[bold red]the proof fails[/]"
        self._out.print("")
        self._out.print(
            Panel.fit(
                table,
                title=f"{holds} [dim]after {duration(seconds)}[/]",
                border_style="green" if proof.holds else "red",
                padding=(1, 3),
            )
        )
        self._out.print(
            f"[dim]All of it is in {folder}/: the billing, the file, the journal and its log. "
            f"Next: {PROGRAM} doctor, and the README for the first real load.[/]"
        )


def _compared(proof: "Proof") -> Iterator[tuple[str, str, str]]:
    """The lines of the proof: name, requested value, found value."""
    yield "rows, and operations", count(proof.asked.rows), count(proof.operations)
    yield "sum in roubles", money(proof.asked.sum), money(proof.sum)
    yield "fewest operations of a subscriber", "1", str(proof.least)
    yield "most operations of a subscriber", "1", str(proof.most)
    yield "accounts with the balance of the file", count(proof.asked.rows), count(proof.balances)
    yield "verified", count(proof.asked.rows), count(proof.totals.count(State.APPLIED))
    yield "left unknown", "0", count(proof.totals.count(State.UNKNOWN, State.MANUAL))
