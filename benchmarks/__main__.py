"""`python -m benchmarks [--quick] [--write] [PART …]` prints the tables; --write makes a page of them, with plots.

`--quick` takes a few minutes instead of twenty, with fewer rounds and fewer rows: good enough to see what is what.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import disturbed, fleet, loads, starting, watching
from benchmarks.journals import journals
from benchmarks.lists import intake, listing
from benchmarks.page import Part, Plot, Size, machine
from benchmarks.rig import KINDS
from benchmarks.senders import quietly
from benchmarks.sending import growth, side_by_side, throughput
from lab.crash.import_table import FAULTY

PAGE: Final = Path("docs/benchmarks.md")
PLOTS: Final = Path("docs/benchmarks")
INTRODUCTION: Final = """\
# Benchmarks

Made by `{command}` on {date}; do it again on your own machine. {machine} {load}

Machines differ and so do their moods: read the ratios, which are of one run, not the absolute figures. Where three
figures stand, they are the median and, in brackets, the least and the greatest. Who is compared takes turns, and who
begins alternates. Sender and server share the cores of the machine, so a faster sender also has to make do with less.
"""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading, its text, and the function that makes its tables."""

    name: str
    title: str
    about: str
    measure: Callable[[Size], Part]


CHAPTERS: Final = (
    Chapter(
        "counted",
        "What a row costs",
        "Python calls in this program's own files, the statements that its journal and the billing's database get, "
        "and the round trips to PostgreSQL: what each further row adds, or a whole command. A count does not depend "
        "on the machine, and CI fails where one is exceeded. A further group is the claim and the outcome of rows "
        'that leave together, with a journal in PostgreSQL. "Before" is at 797dfb81, the last commit at which '
        "nobody counted.",
        starting.counted,
    ),
    Chapter(
        "side-by-side",
        "Side by side",
        "The same rows, the same form, one POST a row, no two alike but for the body of bare aiohttp, which is made "
        "once. `curl -Z`, bare aiohttp and the engine have 64 calls in flight. Only GNU parallel and the engine keep "
        "a record of what was done; only the engine's survives a power cut, for each row's intent and outcome are "
        "synced to the disk. "
        '"Sending" is from the first call to the last outcome on the disk, "with its start" the whole process; for '
        "those who have no list of their own these are the same. The processor's time counts all processes of the "
        "sender, not the server's.",
        side_by_side,
    ),
    Chapter(
        "throughput",
        "Beside bare aiohttp",
        "64 calls in flight, one process with uvloop each. Bare aiohttp is a plain `session.post` of one constant "
        "body with its Content-Type, its answer decoded by msgspec; it keeps nothing. The engine makes each row's "
        "form, judges the answer at both levels, and makes every claim and every outcome durable (SQLite, "
        "`synchronous=FULL`). It can come near to a loop that does nothing of this only because it goes about HTTP "
        "at less expense: `billing/api/wire.py` tells how. So this ratio does not show what durability and judgement "
        'cost; the other one does. "The same wire, no journal" is the bare loop once more, over '
        "`billing/api/wire.py` in place of a session.",
        throughput,
    ),
    Chapter(
        "growth",
        "Time and memory with the rows",
        "The whole process, answered at once, 64 calls in flight: every row frozen, sent, and its outcome recorded.",
        growth,
    ),
    Chapter(
        "capacity",
        "When the server's capacity halves",
        f"A mock billing with {disturbed.FEW_SLOTS} slots of {disturbed.SLOW_MS} ms, so {disturbed.NOMINAL:.0f} rows "
        "a second at most, and half of that from one moment on. Goodput is in rows a second, with its share of what "
        "the best of the fixed numbers reached in the same phase of this run: that is the capacity as measured, "
        "which a machine at work on other things brings below that of the slots. A server that nobody waits for "
        f'takes {disturbed.SLOW_MS} ms. "While" is the first {disturbed.PHASES[Size.FULL][2]:.0f} seconds after '
        "the change.",
        disturbed.capacity,
    ),
    Chapter(
        "faults",
        "When the billing fails",
        f"A mock billing with {disturbed.SLOTS} slots of {disturbed.LATENCY_MS} ms, {disturbed.SLOTS} calls in "
        f"flight. A share of the requests fails, in equal parts by {', '.join(KINDS)}. What is lost is looked up "
        f"through the API {disturbed.SETTLE:.0f} s after the last loss, which is in the time. How many rows are "
        "missing and how many were entered twice is what the billing's own ledger says.",
        disturbed.faults,
    ),
    Chapter(
        "looking",
        "Asking the billing before a row leaves",
        f"`run balances` against a mock billing with {loads.SLOTS} slots, as many calls in flight: each row is "
        "looked for in the billing before it is sent, or, with `--trust-journal`, is not. With a database one look "
        "shows a whole group of rows; through the API alone each row costs a call more.",
        loads.looking,
    ),
    Chapter(
        "importing",
        "An import",
        "Subscribers of one table, with account, tariff, service, attribute, limits and balance, some six calls. "
        f"The first table is a proof: {FAULTY:.0%} of the rows are faulty, in every way in turn, "
        f"{loads.FAULTS:.0%} of the requests fail, the import is killed again and again, and then taken back, "
        "which is killed twice. What is in effect, twice or lost is what the billing holds of each subscriber, "
        "account, service, attribute and balance. The second table has opening balances and an import on the same "
        f"mock billing, {loads.SLOTS} slots of {loads.LATENCY_MS:.0f} ms, in pairs, with the window that "
        "follows the billing. The third is of the whole process of an import that is answered at once.",
        loads.importing,
    ),
    Chapter(
        "intake",
        "Out of Firebird into the journal",
        "The embedded engine, a select as an operator types it, read along its key in pages of 1,000 rows, each row "
        "as the texts of its cells.",
        intake,
    ),
    Chapter(
        "journals",
        "The journal in SQLite, and in PostgreSQL",
        "Two tasks write at the same time, as the pipeline's do: one claims items group by group, the other records "
        "the outcomes of what was claimed. An item counts once both are durable: SQLite with `synchronous=FULL`, "
        "PostgreSQL with `synchronous_commit=on`, on this machine and the same disk. The processor's time of this "
        "process is the program's share, that of the server is PostgreSQL's.",
        journals,
    ),
    Chapter(
        "fleet",
        "A fleet over many billings",
        f"{fleet.BILLINGS[Size.FULL]} billings that answer a call after {fleet.LATENCY * 1000:.0f} ms, "
        f"{fleet.IN_FLIGHT} calls in flight at each; a worker takes {fleet.BILLINGS_A_WORKER} at a time. Each one "
        "has a run that was handed in with `run --detach`; the time is from the start of the workers until all rows "
        "are accepted, and has the start of each run's process in it. In the second table one worker of two is "
        "killed with all of its processes when a quarter of the rows is entered: its lease is "
        f"{fleet.LEASE:g} s, and a worker counts as dead after {fleet.STALLED_AFTER:g} s without a sign of life "
        "(15 s and 30 s where nothing else is said).",
        fleet.fleet,
    ),
    Chapter(
        "listing",
        "The list of a plan, a verification, and the list of an undo",
        "The same CSV file of opening balances each time, beside a billing's database, each in a process of its own. "
        "Reading and saving alone asks the billing nothing. A plan looks up each row's subscriber, its balance, "
        "those who share its account, and its operations; a verification reads back each operation, its subscriber "
        "and the balance of its account; an undo looks up each operation of a run, and the balance that it left. "
        "All three read the database in a further process, beside which they work on another page. The last column "
        "is the memory for a tenth of the rows.",
        listing,
    ),
    Chapter(
        "watching",
        "Being watched",
        f"One run against a mock billing with {loads.SLOTS} slots, and its page in a process of its own. In turn, "
        f"{watching.SPANS[Size.FULL]:.0f} seconds each, nobody looks at the page, and {watching.TABS} tabs and "
        f"{watching.DEAD} clients do that ask for its events and never read them. How many rows were entered, the "
        "billing's own ledger says; the processor's time is that of the run's process.",
        watching.watching,
    ),
    Chapter(
        "startup",
        "The first minute",
        "The whole process of a command, its bytecode is there, best of seven; `status` lists "
        f"{starting.RUNS} runs. A run of one row has a mock billing that answers at once, with its database. Then "
        "`make demo` after its set-up, in seconds and in loops: a loop is what 20 million `s += i * i` take in "
        "Python on the same machine, which says how fast it is at that moment.",
        starting.startup,
    ),
)


def main(arguments: list[str]) -> None:
    """Measure, print, and write the page when asked to."""
    names = [chapter.name for chapter in CHAPTERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of twenty")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}, and the plots beside it")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - {*names}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: {', '.join(names)}")
    wanted = [chapter for chapter in CHAPTERS if not asked.parts or chapter.name in asked.parts]
    if asked.write and len(wanted) < len(CHAPTERS):
        parser.error("--write is for the whole page: name no part")
    quietly()
    text, plots = written(wanted, Size.QUICK if asked.quick else Size.FULL)
    print(text)
    if asked.write:
        PLOTS.mkdir(exist_ok=True)
        for old in PLOTS.glob("*.svg"):
            old.unlink()
        for plot in plots:
            (PLOTS / plot.name).write_text(plot.svg, encoding="utf-8")
        PAGE.write_text(text, encoding="utf-8")


def written(chapters: list[Chapter], size: Size) -> tuple[str, list[Plot]]:
    """The page with these chapters, and the plots in it."""
    page = INTRODUCTION.format(
        command="make bench" if size is Size.FULL else "python -m benchmarks --quick",
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(),
        load=f"Before it began, {os.getloadavg()[0]:.1f} processes on average wanted a core.",
    )
    plots: list[Plot] = []
    for chapter in chapters:
        began = time.monotonic()
        part = chapter.measure(size)
        print(f"{chapter.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        plots += (one for one in part if isinstance(one, Plot))
        paragraphs = (f"![]({PLOTS.name}/{one.name})" if isinstance(one, Plot) else one for one in part)
        page += "\n\n".join((f"\n## {chapter.title}", chapter.about, *paragraphs)) + "\n"
    return page, plots


if __name__ == "__main__":
    main(sys.argv[1:])
