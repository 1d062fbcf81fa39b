"""The summary of a self-test: a table with one line for each experiment, and the whole result as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, TypeAlias

import msgspec

from lab.crash.experiment import Experiment
from lab.crash.plan import ENDING
from texts.said import Said, counted, said

Written: TypeAlias = Callable[[object], str]
"""Renders a sentence in the language of its reader."""


_NARROW: Final = ("seed", "job", "rows", "kills", "unknown", "once", "twice", "lost", "seconds")
"""The columns of a terminal that is too narrow for all; the JSON has the rest."""


def _column(heading: Said, room: int, default: object = 0) -> Any:  # noqa: ANN401 - as `field` has it
    """A column: its heading, and its least width in characters."""
    return field(default=default, metadata={"heading": heading, "room": room})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, in the order of the columns; all but the first two are right-aligned.

    `faults` counts those that the billing injected, `kills` the acts that ended a process of the load, `other` the
    rest; `attempts` are intents to send, `unknown` counts rows that became unknown, `found` look-ups that found the
    effect.
    """

    seed: str = _column(said("seed"), 10, "")
    job: str = _column(said("job"), 18, "")
    rows: int = _column(said("rows"), 5)
    faults: int = _column(said("faults"), 7)
    kills: int = _column(said("kills"), 6)
    other: int = _column(said("other"), 6)
    attempts: int = _column(said("attempts"), 9)
    unknown: int = _column(said("unknown"), 8)
    found: int = _column(said("found"), 6)
    rejected: int = _column(said("rejected"), 9)
    once: int = _column(said("once"), 6)
    twice: int = _column(said("twice"), 6)
    lost: int = _column(said("lost"), 5)
    asked: int = _column(said("manual"), 7)
    seconds: float = _column(said("seconds"), 8, 0.0)

    def text(self, width: int, written: Written = str) -> str:
        """The line as it is shown in so many columns; `written` renders its sentences."""
        values = {name: getattr(self, name) for name in HEADINGS}
        words = {name: f"{one:.1f}" if isinstance(one, float) else written(one) for name, one in values.items()}
        return _line(words, width, written)


HEADINGS: Final[Mapping[str, Said]] = {one.name: one.metadata["heading"] for one in fields(Line)}


def heading(width: int, written: Written = str) -> str:
    """The heading of the table in so many columns; `written` renders its sentences."""
    return _line({name: written(one) for name, one in HEADINGS.items()}, width, written)


def _line(words: Mapping[str, str], width: int, written: Written) -> str:
    rooms = {one.name: max(one.metadata["room"], len(written(HEADINGS[one.name])) + 1) for one in fields(Line)}
    names = rooms if sum(rooms.values()) <= width else _NARROW
    return "".join(
        f"{words[name]:<{rooms[name]}}" if name in {"seed", "job"} else f"{words[name]:>{rooms[name]}}"
        for name in names
    ).rstrip()


def line_of(experiment: Experiment) -> Line:
    """The line of an experiment; without a verdict it has no counts."""
    verdict = experiment.verdict
    acts = [event.act for event in experiment.events if event.act is not None]
    ending = sum(act in ENDING for act in acts)
    counts = ("attempts", "unknown", "found", "rejected", "once", "twice", "lost", "asked")
    return Line(
        seed=str(experiment.plan.seed),
        job=experiment.plan.job,
        rows=experiment.rows,
        faults=experiment.injected.total(),
        kills=ending,
        other=len(acts) - ending,
        seconds=round(experiment.seconds, 1),
        **{name: getattr(verdict, name) for name in counts if verdict is not None},
    )


def total(experiments: Sequence[Experiment]) -> Line:
    """The line under the table."""
    lines = [line_of(experiment) for experiment in experiments]
    _, _, *numbers = HEADINGS
    sums = {name: round(sum(getattr(line, name) for line in lines), 1) for name in numbers}
    return Line(said("total"), counted("{n} round", "{n} rounds", len(experiments)), **sums)


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
    plan = asdict(replace(experiment.plan, own=None))
    # In the order, and with the names, that the JSON has had.
    plan = {"mischief" if name == "disturbances" else name: one for name, one in plan.items() if name != "own"}
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
        "plan": plan,
    }
