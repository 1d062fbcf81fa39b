"""The judge: what must hold of every schedule, from the billing's ledger, the wire and the journals' files alone."""

from lab.simulation.story import World


def judge(world: World) -> list[str]:
    """What is wrong, a sentence each."""
    return []
