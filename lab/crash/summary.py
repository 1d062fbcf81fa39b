"""The summary of a self-test: a table with one line for each experiment, and the whole result as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, TypeAlias

import msgspec

from lab.crash.experiment import Experiment
from lab.crash.experiment_plan import ENDING
from texts.said import Said, counted, said

Written: TypeAlias = Callable[[object], str]
"""Renders a sentence in the language of its reader."""


@dataclass(frozen=True, slots=True)
class SummaryColumn:
    """A column of the table: its name in a `Line`, its heading, and its least width in characters."""

    name: str
    heading: Said
    room: int


COLUMNS: Final = (
    SummaryColumn("seed", said("seed"), 10),
    SummaryColumn("job", said("job"), 18),
    SummaryColumn("rows", said("rows"), 5),
    SummaryColumn("faults", said("faults"), 7),
    SummaryColumn("kills", said("kills"), 6),
    SummaryColumn("other", said("other"), 6),
    SummaryColumn("attempts", said("attempts"), 9),
    SummaryColumn("unknown", said("unknown"), 8),
    SummaryColumn("found", said("found"), 6),
    SummaryColumn("rejected", said("rejected"), 9),
    SummaryColumn("once", said("once"), 6),
    SummaryColumn("twice", said("twice"), 6),
    SummaryColumn("lost", said("lost"), 5),
    SummaryColumn("asked", said("manual"), 7),
    SummaryColumn("seconds", said("seconds"), 8),
)
"""All but the first two are right-aligned.

`faults` counts those that the billing injected, `kills` the acts that ended a process of the load, `other` the rest;
`attempts` are intents to send, `unknown` counts rows that became unknown, `found` look-ups that found the effect.
"""

_LEFT = 2

_NARROW: Final = ("seed", "job", "rows", "kills", "unknown", "once", "twice", "lost", "seconds")
"""The columns of a terminal that is too narrow for all; the JSON has the rest."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, in the order of the columns."""

    seed: str
    job: str
    rows: int = 0
    faults: int = 0
    kills: int = 0
    other: int = 0
    attempts: int = 0
    unknown: int = 0
    found: int = 0
    rejected: int = 0
    once: int = 0
    twice: int = 0
    lost: int = 0
    asked: int = 0
    seconds: float = 0.0

    def text(self, width: int, written: Written = str) -> str:
        """The line as it is shown in so many columns; `written` renders its sentences."""
        values = {one.name: getattr(self, one.name) for one in COLUMNS}
        words = {name: f"{one:.1f}" if isinstance(one, float) else written(one) for name, one in values.items()}
        return _line(words, width, written)


def heading(width: int, written: Written = str) -> str:
    """The heading of the table in so many columns; `written` renders its sentences."""
    return _line({one.name: written(one.heading) for one in COLUMNS}, width, written)


def _line(words: Mapping[str, str], width: int, written: Written) -> str:
    rooms = {one.name: max(one.room, len(written(one.heading)) + 1) for one in COLUMNS}
    names = rooms if sum(rooms.values()) <= width else _NARROW
    return "".join(
        f"{words[name]:<{rooms[name]}}" if place < _LEFT else f"{words[name]:>{rooms[name]}}"
        for place, name in enumerate(names)
    ).rstrip()


def line_of(experiment: Experiment) -> Line:
    """The line of an experiment; without a verdict it has no counts."""
    verdict = experiment.verdict
    acts = [event.act for event in experiment.events if event.act is not None]
    ending = sum(act in ENDING for act in acts)
    line = Line(
        seed=str(experiment.plan.seed),
        job=experiment.plan.job,
        rows=experiment.rows,
        faults=experiment.injected.total(),
        kills=ending,
        other=len(acts) - ending,
        seconds=round(experiment.seconds, 1),
    )
    if verdict is None:
        return line
    return replace(
        line,
        attempts=verdict.attempts,
        unknown=verdict.unknown,
        found=verdict.found,
        rejected=verdict.rejected,
        once=verdict.once,
        twice=verdict.twice,
        lost=verdict.lost,
        asked=verdict.asked,
    )


def total(experiments: Sequence[Experiment]) -> Line:
    """The line under the table."""
    lines = [line_of(experiment) for experiment in experiments]
    numbers = {one.name: round(sum(getattr(line, one.name) for line in lines), 1) for one in COLUMNS[_LEFT:]}
    return Line(said("total"), counted("{n} round", "{n} rounds", len(experiments)), **numbers)


def as_json(seed: int, experiments: Sequence[Experiment], repeat: Callable[[int], str]) -> bytes:
    """The whole result as JSON; `repeat` gives the command that repeats the experiment of a seed."""
    whole = {
        "seed": seed,
        "holds": all(experiment.holds for experiment in experiments),
        "total": asdict(total(experiments)),
        "rounds": [_detailed(experiment, repeat) for experiment in experiments],
    }
    return msgspec.json.format(msgspec.json.encode(whole, enc_hook=str), indent=2) + b"\n"


def _detailed(experiment: Experiment, repeat: Callable[[int], str]) -> Mapping[str, object]:
    return {
        **asdict(line_of(experiment)),
        "holds": experiment.holds,
        "problems": [{"key": problem.key, "what": problem.what} for problem in experiment.problems],
        "repeat": repeat(experiment.plan.seed),
        "injected": dict(sorted(experiment.injected.items())),
        "happened": [asdict(event) for event in experiment.events],
        "processes": experiment.processes,
        "foreign": experiment.verdict.foreign if experiment.verdict else 0,
        "repeated": experiment.verdict.repeated if experiment.verdict else 0,
        "plan": _plan(asdict(replace(experiment.plan, own=None))),
    }


def _plan(plan: Mapping[str, object]) -> Mapping[str, object]:
    """A plan with the names that its parts have in the JSON."""
    return {_NAMES.get(name, name): value for name, value in plan.items() if name != "own"}


_NAMES: Final = {"disturbances": "mischief"}
