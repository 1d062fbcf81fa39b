"""`demo`: shows the lab's demonstration step by step, and its proof as a table."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import anyio.to_thread
import typer
from rich.table import Table
from rich.text import Text

from checkpoints.states import State
from cli.settings.flags import flag
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.language import reader
from cli.terminal.layout import command, render, steps_list
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import count, duration, money
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM, command_line
from texts.said import Quantity, Said, counted, said, text_of

if TYPE_CHECKING:
    from lab.demo import Proof

SUBSCRIBERS: Final = 10_000
QUICK: Final = 300

app: Final = typer.Typer(add_completion=False)


@app.command("demo")
def _demo(
    abonents: Annotated[int, flag("--abonents", "N", "Size of the billing.", min=200, max=1_000_000)] = SUBSCRIBERS,
    *,
    quick: Annotated[bool, flag("--quick", None, "A billing of 300 subscribers: it takes seconds.")] = False,
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
    from lab.crash.program import JOURNAL
    from lab.demo import BALANCES, FOLDER, DemoStage, make_folder

    began = anyio.current_time()
    show = _Narration(screen)
    stage = DemoStage(await anyio.to_thread.run_sync(make_folder), show.command, reader().name)

    def doing(what: Said) -> AbstractContextManager[None]:
        return waiting(what, lambda: stage.progress)

    show.opening(subscribers)
    with doing(said("making the billing")):
        asked = await stage.make_billing(subscribers)
    show.heading(
        counted(
            "A billing, and {file}: {n} balance, {sum} in total",
            "A billing, and {file}: {n} balances, {sum} in total",
            asked.rows,
            file=BALANCES,
            sum=asked.sum,
        )
    )
    async with stage.serve_billing() as billing:
        show.heading(said("The load starts, and its process is killed in the middle"))
        with doing(said("loading")):
            killed = await stage.kill_load(billing, asked.rows)
        show.command(("kill", "-9", str(killed.process)), program="")
        accepted, sending = (Quantity(killed.totals.count(state)) for state in (State.ACCEPTED, State.SENDING))
        show.line(
            said(
                "{accepted} of {rows} rows were accepted; the answers of {sending} are lost",
                accepted=accepted,
                rows=Quantity(asked.rows),
                sending=sending,
            ),
            "red",
        )
        show.heading(said("Resumed: what was in doubt is looked up, not sent on a guess"))
        with doing(said("resuming")):
            await stage.resume(killed.run)
        show.heading(said("Verified: every row read back from the billing"))
        with doing(said("verifying")):
            await stage.verify(killed.run)
            proof = await stage.prove(asked, killed.run)
    show.proof(proof, anyio.current_time() - began)
    show.way_on(killed.run, FOLDER / JOURNAL)
    return Exit.DONE if proof.holds else Exit.REJECTED


class _Narration:
    """Shows the demonstration on one screen: headings, and each command as it is typed."""

    def __init__(self, screen: Screen) -> None:
        self._out = screen.out
        self._step = 0

    def opening(self, subscribers: int) -> None:
        """Show the introduction."""
        self._out.print(
            render(
                said(
                    "A billing with {subscribers} subscribers, and a load of their balances that is killed in the "
                    "middle: is every rouble entered exactly once?",
                    subscribers=Quantity(subscribers),
                )
            )
        )

    def heading(self, text: str) -> None:
        """Show the heading of the next part."""
        self._step += 1
        self._out.print(Text.assemble((f"{self._step}. ", "bold cyan"), render(text, "bold")))

    def line(self, text: str, style: str = "") -> None:
        """Show a result."""
        self._out.print(Text.assemble("   ", render(text, style)))

    def command(self, arguments: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        """Show a command as it is typed."""
        self._out.print(f"   [dim]$[/] {program}{' '.join(arguments)}", soft_wrap=True)

    def proof(self, proof: "Proof", seconds: float) -> None:
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
        self._out.print(table)
        holds = said("the proof holds") if proof.holds else said("the proof fails")
        title = render(holds, "bold green" if proof.holds else "bold red")
        self._out.print(Text.assemble(title, " ", render(said("after {time}", time=duration(seconds)), "dim")))

    def way_on(self, run: str, journal: Path) -> None:
        """Show what the demonstration leaves, and what to type next."""
        where = said(
            "{folder}/ has the billing, the file and the journal, which these read:", folder=str(journal.parent)
        )
        self._out.print(render(where, "dim"))
        for words in (("page",), ("report", run)):
            self._out.print(command(command_line(*words, "--journal", str(journal))))
        make = command_line("mock", "init", "billing.fdb", "--abonents", "100")
        self._out.print(steps_list([(make, said("make a billing to practise on"))]))


def _compared(proof: "Proof") -> Iterator[tuple[str, str, str]]:
    """The lines of the proof: name, requested value, found value."""
    yield said("rows, and operations"), count(proof.asked.rows), count(proof.operations)
    yield said("sum in roubles"), money(proof.asked.sum), money(proof.sum)
    least, most = count(proof.least), count(proof.most)
    yield said("operations of a subscriber"), "1", least if least == most else f"{least}–{most}"
    yield said("balances as in the file"), count(proof.asked.rows), count(proof.balances)
    yield said("rows verified"), count(proof.asked.rows), count(proof.totals.count(State.APPLIED))
