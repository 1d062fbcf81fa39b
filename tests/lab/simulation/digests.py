"""Prints a digest of each of a few schedules, for a test that starts it twice."""

import sys

from lab.simulation.campaign import drawn
from lab.simulation.judge import judge
from lab.simulation.story import play

SEEDS = (0, 1, 2, 3, 90, 122)
"""Some over the wire, and some by contract numbers, which are texts: a set of texts has another order each time."""

if __name__ == "__main__":
    for seed in SEEDS:
        world, _ = play(drawn(seed), judge)
        sys.stdout.write(f"{seed} {world.loop.digest()} {len(world.loop.steps)}\n")
