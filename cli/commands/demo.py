"""`demo`: shows the lab's demonstration step by step, and its proof as a table."""

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checkpoints.states import State
from cli.terminal.exits import Exit
from cli.terminal.layout import command, render, steps_list
from cli.terminal.options import as_command, option, switch
from cli.terminal.screen import Screen
from cli.terminal.signals import heeding, run_command
from cli.terminal.texts import count, duration, money, reader
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM, command_line
from texts.said import Quantity, Said, counted, said

if TYPE_CHECKING:
    from lab.demo import Proof

SUBSCRIBERS: Final = 10_000
QUICK: Final = 300


@as_command("demo")
def _demo(
    abonents: int = option("N", "Size of the billing.", default=SUBSCRIBERS, least=200, most=1_000_000),
    *,
    quick: bool = switch("A billing of 300 subscribers: it takes seconds."),
) -> None:
    """Load balances, kill the load, resume it, and prove the result.

    It makes a billing of its own for that, in a folder.
    """
    raise SystemExit(run_command(lambda: _interruptible(QUICK if quick else abonents, Screen())))


async def _interruptible(subscribers: int, screen: Screen) -> Exit:
    """Run the whole demonstration; 0 when the proof holds. Ctrl-C and SIGTERM end it and its processes."""
    with anyio.CancelScope() as whole:
        async with heeding(lambda _: whole.cancel()):
            return await _play(subscribers, screen.out)
    screen.out.print()
    screen.out.print(render(said("interrupted; the billing and the load are stopped as well"), "yellow"))
    return Exit.INTERRUPTED


async def _play(subscribers: int, out: Console) -> Exit:
    from lab.crash.program import JOURNAL
    from lab.demo import BALANCES, FOLDER, PACING, DemoStage, make_folder

    began, steps = anyio.current_time(), itertools.count(1)

    def heading(text: str) -> None:
        out.print(Text.assemble((f"{next(steps)}. ", "bold cyan"), render(text, "bold")))

    def typed(words: Sequence[str], program: str = f"{PROGRAM} ") -> None:
        out.print(f"   [dim]$[/] {program}{' '.join(words)}", soft_wrap=True)

    def doing(what: Said) -> AbstractContextManager[None]:
        return waiting(what, lambda: stage.progress)

    stage = DemoStage(await anyio.to_thread.run_sync(make_folder), typed, reader().name)
    question = said(
        "A billing with {subscribers} subscribers, and a load of their balances that is killed in the middle: is "
        "every rouble entered exactly once?",
        subscribers=Quantity(subscribers),
    )
    out.print(render(question))
    with doing(said("making the billing")):
        asked = await stage.make_billing(subscribers)
    heading(
        counted(
            "A billing, and {file}: {n} balance, {sum} in total",
            "A billing, and {file}: {n} balances, {sum} in total",
            asked.rows,
            file=BALANCES,
            sum=asked.sum,
        )
    )
    async with stage.serve_billing() as billing:
        heading(said("The load starts, and its process is killed in the middle"))
        with doing(said("loading")):
            killed = await stage.kill_load(billing, asked.rows)
        typed(("kill", "-9", str(killed.process)), program="")
        lost = said(
            "{accepted} of {rows} rows were accepted; the answers of {sending} are lost",
            accepted=Quantity(killed.totals.count(State.ACCEPTED)),
            rows=Quantity(asked.rows),
            sending=Quantity(killed.totals.count(State.SENDING)),
        )
        out.print(Text.assemble("   ", render(lost, "red")))
        heading(said("Resumed: what was in doubt is looked up, not sent on a guess"))
        with doing(said("resuming")):
            await stage.run(killed.run, State.ACCEPTED, "resume", killed.run, *PACING)
        heading(said("Verified: every row read back from the billing"))
        with doing(said("verifying")):
            # Where a row was rejected, the proof says so.
            await stage.run(killed.run, State.APPLIED, "verify", killed.run, may_end_with=(Exit.DONE, Exit.REJECTED))
            proof = await stage.prove(asked, killed.run)
    out.print(_table(proof))
    holds = (
        render(said("the proof holds"), "bold green") if proof.holds else render(said("the proof fails"), "bold red")
    )
    time = duration(anyio.current_time() - began)
    out.print(Text.assemble(holds, " ", render(said("after {time}", time=time), "dim")))
    # What the demonstration leaves, and what to type next.
    where = said("{folder}/ has the billing, the file and the journal, which these read:", folder=str(FOLDER))
    out.print(render(where, "dim"))
    for words in (("page",), ("report", killed.run)):
        out.print(command(command_line(*words, "--journal", str(FOLDER / JOURNAL))))
    make = command_line("mock", "init", "billing.fdb", "--abonents", "100")
    out.print(steps_list([(make, said("make a billing to practise on"))]))
    return Exit.DONE if proof.holds else Exit.REJECTED


def _table(proof: "Proof") -> Table:
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="right", style="dim")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("", render(said("asked"), "dim"), render(said("in the billing"), "dim"), "")
    rows, least, most = count(proof.asked.rows), count(proof.least), count(proof.most)
    for what, asked, found in (
        (said("rows, and operations"), rows, count(proof.operations)),
        (said("sum in roubles"), money(proof.asked.sum), money(proof.sum)),
        (said("operations of a subscriber"), "1", least if least == most else f"{least}–{most}"),
        (said("balances as in the file"), rows, count(proof.balances)),
        (said("rows verified"), rows, count(proof.totals.count(State.APPLIED))),
    ):
        sign = Text("✓", "green") if asked == found else Text("✗", "bold red")
        table.add_row(render(what), asked, found, sign)
    return table
