"""`python -m benchmarks [--quick] [--write] [NAME …]` prints the tables; --write puts them into the page, with plots.

`--quick` takes a few minutes instead of twenty, with fewer rounds and fewer rows: good enough to see what is what.
What is compared, and how a figure is read, says the page: people write it but for the blocks with the tables.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.disturbed import capacity, faults
from benchmarks.fleet import fleet, journals
from benchmarks.lists import intake, listing
from benchmarks.loads import importing, looking, watching
from benchmarks.page import Part, Plot, Size, machine
from benchmarks.senders import growth, quietly, side_by_side, throughput
from benchmarks.starting import counted, startup
from tools.markdown import with_block

PAGE: Final = Path("docs/benchmarks.md")
PLOTS: Final = Path("docs/benchmarks")
MACHINE: Final = "machine"
"""The block of the page that names the machine."""

MEASUREMENTS: Final[Mapping[str, Callable[[Size], Part]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        *(counted, side_by_side, throughput, growth, capacity, faults, looking),
        *(importing, intake, journals, fleet, listing, watching, startup),
    )
}
"""By the name of their block, in the order of the page."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of twenty")
    parser.add_argument("--write", action="store_true", help=f"write into {PAGE}, and the plots beside it")
    asked = parser.parse_args(arguments)
    if unknown := ", ".join(sorted({*asked.names} - {*MEASUREMENTS})):
        parser.error(f"there is no measurement {unknown}: {', '.join(MEASUREMENTS)}")
    quietly()
    size = Size.QUICK if asked.quick else Size.FULL
    command = "make bench" if not asked.quick and not asked.names else f"python -m benchmarks {' '.join(arguments)}"
    load = f"Before it began, {os.getloadavg()[0]:.1f} processes on average wanted a core."
    made = f"by `{command}` on {datetime.now(UTC).date().isoformat()}"
    about = f"Made {made}; do it again on your own machine. {machine()} {load}"
    print(about)
    page = PAGE.read_text(encoding="utf-8")
    if not asked.names:
        page = with_block(page, MACHINE, about)
    for name in asked.names or MEASUREMENTS:
        began = time.monotonic()
        part = MEASUREMENTS[name](size)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        text = "\n\n".join(f"![]({PLOTS.name}/{one.name})" if isinstance(one, Plot) else one for one in part)
        print(f"\n## {name}\n\n{text}", flush=True)
        apart = f"\n(Measured {made}. {load})\n" if asked.names else ""
        page = with_block(page, name, f"{apart}\n{text}\n")
        if asked.write:
            # What is measured is kept, though a later measurement fails.
            PAGE.write_text(page, encoding="utf-8")
            for plot in part:
                if isinstance(plot, Plot):
                    (PLOTS / plot.name).write_text(plot.svg, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
