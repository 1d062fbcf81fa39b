"""Prints a digest of each of a few schedules, for a test that starts it twice."""

import sys

from lab.simulation.campaign import drawn
from lab.simulation.judge import judge
from lab.simulation.story import play

SEEDS = (0, 1, 2, 3, 90, 122, 1_000_001, 1_000_005)
"""Some over the wire, some by contract numbers (texts: a set of them has another order each time), and fleets."""

if __name__ == "__main__":
    for seed in SEEDS:
        world, _ = play(drawn(seed), judge)
        sys.stdout.write(f"{seed} {world.loop.digest()} {len(world.loop.steps)}\n")
