"""The summary of a self-test: a table with one line for each experiment, and the whole result as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import msgspec

from lab.crash.experiment import Experiment
from lab.crash.experiment_plan import ENDING

COLUMNS = (
    ("seed", 10),
    ("job", 18),
    ("rows", 5),
    ("faults", 7),
    ("kills", 6),
    ("other", 6),
    ("attempts", 9),
    ("unknown", 8),
    ("found", 6),
    ("rejected", 9),
    ("once", 6),
    ("twice", 6),
    ("lost", 5),
    ("asked", 6),
    ("seconds", 8),
)
"""Heading and width; all but the first two are right-aligned.

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

    def text(self, width: int) -> str:
        """The line as it is shown in so many columns."""
        values = {name: getattr(self, name) for name, _ in COLUMNS}
        words = {name: f"{one:.1f}" if isinstance(one, float) else str(one) for name, one in values.items()}
        return _line(words, width)


def heading(width: int) -> str:
    """The heading of the table in so many columns."""
    return _line({name: name for name, _ in COLUMNS}, width)


def _line(words: Mapping[str, str], width: int) -> str:
    fits = sum(room for _, room in COLUMNS) <= width
    cells = [(words[name], room) for name, room in COLUMNS if fits or name in _NARROW]
    return "".join(
        f"{word:<{room}}" if place < _LEFT else f"{word:>{room}}" for place, (word, room) in enumerate(cells)
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
    numbers = {name: round(sum(getattr(line, name) for line in lines), 1) for name, _ in COLUMNS[_LEFT:]}
    return Line("total", f"{len(experiments)} rounds", **numbers)


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
        "plan": _plan(asdict(experiment.plan)),
    }


def _plan(plan: Mapping[str, object]) -> Mapping[str, object]:
    """A plan with the names that its parts have in the JSON."""
    return {_NAMES.get(name, name): value for name, value in plan.items()}


_NAMES: Final = {"disturbances": "mischief"}
