"""`selftest --simulate`: the program in virtual time, in which a seed chooses what happens and in which order."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from rich.text import Text

from cli.terminal.exits import Exit
from cli.terminal.layout import command, render
from cli.terminal.screen import Screen
from cli.terminal.texts import LONGEST, printable
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM
from texts.said import Quantity, Said, counted, said

if TYPE_CHECKING:
    from lab.simulation.campaign import Campaign, Violation

_SHOWN: Final = 3
"""Violations that are shown; the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A campaign: the seed of its first schedule, how many there are, and the minutes after which it ends."""

    seed: int
    schedules: int
    minutes: float = math.inf


def simulate(wanted: Simulation, screen: Screen) -> Exit:
    """Play the schedules, and show what they come to."""
    from lab.simulation.campaign import ENOUGH, Campaign, run

    campaign, seconds = Campaign(), wanted.minutes * 60
    with waiting(lambda: _line(campaign), lambda: (campaign.schedules, wanted.schedules)):
        run(campaign, range(wanted.seed, wanted.seed + wanted.schedules), seconds)
    if screen.voice.as_json:
        screen.out.file.write(msgspec.json.encode(campaign.as_object()).decode() + "\n")
    for violation in campaign.violations[:_SHOWN]:
        _show(violation, screen)
    say = screen.say if campaign.is_proof else screen.say_always
    say(render(_line(campaign), "bold red" if campaign.violations else "bold green"))
    if campaign.schedules < ENOUGH and campaign.not_reached:
        screen.say(render(_not_yet(len(campaign.not_reached), ENOUGH), "dim"))
    elif campaign.not_reached:
        say(render(said("not reached: {situations}", situations=tuple(campaign.not_reached)), "yellow"))
    return Exit.DONE if campaign.is_proof else Exit.REJECTED


def _line(campaign: "Campaign") -> Said:
    return counted(
        "{n} schedule, {rate} a minute of the processor: {wrong} wrong",
        "{n} schedules, {rate} a minute of the processor: {wrong} wrong",
        campaign.schedules,
        rate=Quantity(round(campaign.per_minute)),
        wrong=Quantity(len(campaign.violations)),
    )


def _not_yet(situations: int, enough: int) -> Said:
    return counted(
        "{n} situation is not among them (--json names it); {enough} schedules have to reach all",
        "{n} situations are not among them (--json names them); {enough} schedules have to reach all",
        situations,
        enough=Quantity(enough),
    )


def _show(violation: "Violation", screen: Screen) -> None:
    """The problems of a schedule, its story, and the command that repeats it."""
    for problem in violation.problems:
        screen.say_always(Text.assemble(("  ✗ ", "red"), render(problem, limit=LONGEST)))
    for moment, process, event in violation.story:
        screen.say_always(Text(f"    {moment:10.3f}  {process:8}  {printable(event)}"))
    screen.say_always(Text.assemble("    ", render(said("the same once more:"), "dim")))
    screen.say_always(command(f"{PROGRAM} selftest --simulate 1 --seed {violation.seed}"))
