"""The summary of a self-test: a table with one line for each experiment, and the whole result as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final, TypeAlias

import msgspec

from lab.crash.experiment import Experiment
from lab.crash.plan import ENDING
from texts.said import Said, counted, said

Written: TypeAlias = Callable[[object], str]
"""Renders a sentence in the language of its reader."""
Line: TypeAlias = Mapping[str, Said | str | int | float]
"""A line of the table, in the order of the columns; all but the first two are right-aligned."""

COLUMNS: Final[Mapping[str, tuple[Said, int]]] = {
    "seed": (said("seed"), 10),
    "job": (said("job"), 18),
    "rows": (said("rows"), 5),
    "faults": (said("faults"), 7),
    "kills": (said("kills"), 6),
    "other": (said("other"), 6),
    "attempts": (said("attempts"), 9),
    "unknown": (said("unknown"), 8),
    "found": (said("found"), 6),
    "rejected": (said("rejected"), 9),
    "once": (said("once"), 6),
    "twice": (said("twice"), 6),
    "lost": (said("lost"), 5),
    "asked": (said("manual"), 7),
    "seconds": (said("seconds"), 8),
}
"""Headings, and least widths in characters.

`faults` counts those that the billing injected, `kills` the acts that ended a process of the load, `other` the rest;
`attempts` are intents to send, `unknown` counts rows that became unknown, `found` look-ups that found the effect.
"""
_NARROW: Final = ("seed", "job", "rows", "kills", "unknown", "once", "twice", "lost", "seconds")
"""The columns of a terminal that is too narrow for all; the JSON has the rest."""
_COUNTS: Final = ("attempts", "unknown", "found", "rejected", "once", "twice", "lost", "asked")


def heading(width: int, written: Written = str) -> str:
    """The heading of the table in so many columns; `written` renders its sentences."""
    return text_of_line({name: title for name, (title, _) in COLUMNS.items()}, width, written)


def text_of_line(line: Line, width: int, written: Written = str) -> str:
    """A line as it is shown in so many columns; `written` renders its sentences."""
    rooms = {name: max(room, len(written(title)) + 1) for name, (title, room) in COLUMNS.items()}
    words = {name: f"{one:.1f}" if isinstance(one, float) else written(one) for name, one in line.items()}
    return "".join(
        f"{words[name]:<{rooms[name]}}" if name in {"seed", "job"} else f"{words[name]:>{rooms[name]}}"
        for name in (rooms if sum(rooms.values()) <= width else _NARROW)
    ).rstrip()


def line_of(experiment: Experiment) -> Line:
    """The line of an experiment; without a verdict it has no counts."""
    acts = [event.act for event in experiment.events if event.act is not None]
    ending = sum(act in ENDING for act in acts)
    return {
        "seed": str(experiment.plan.seed),
        "job": experiment.plan.job,
        "rows": experiment.rows,
        "faults": experiment.injected.total(),
        "kills": ending,
        "other": len(acts) - ending,
        **{name: getattr(experiment.verdict, name, 0) for name in _COUNTS},
        "seconds": round(experiment.seconds, 1),
    }


def total(experiments: Sequence[Experiment]) -> Line:
    lines = [line_of(experiment) for experiment in experiments]
    _, _, *numbers = COLUMNS
    sums = {name: round(sum(line[name] for line in lines), 1) for name in numbers}  # type: ignore[misc]  # numbers
    return {"seed": said("total"), "job": counted("{n} round", "{n} rounds", len(experiments)), **sums}


def as_json(seed: int, experiments: Sequence[Experiment], repeat: Callable[[int], str]) -> bytes:
    """The whole result as JSON; `repeat` gives the command that repeats the experiment of a seed."""
    rounds = []
    for one in experiments:
        plan = asdict(replace(one.plan, own=None))
        # In the order, and with the names, that the JSON has had.
        plan = {"mischief" if name == "disturbances" else name: it for name, it in plan.items() if name != "own"}
        rounds.append(
            {
                **line_of(one),
                "holds": one.holds,
                "problems": [{"key": problem.key, "what": problem.what} for problem in one.problems],
                "repeat": repeat(one.plan.seed),
                "injected": dict(sorted(one.injected.items())),
                "happened": [asdict(event) for event in one.events],
                "processes": one.processes,
                "foreign": one.verdict.foreign if one.verdict else 0,
                "repeated": one.verdict.repeated if one.verdict else 0,
                "plan": plan,
            }
        )
    holds = all(one.holds for one in experiments)
    whole = {"seed": seed, "holds": holds, "total": total(experiments), "rounds": rounds}
    return msgspec.json.format(msgspec.json.encode(whole, enc_hook=str), indent=2) + b"\n"
