"""The table of a self-test, a line a round as it goes, and all of it as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from shlex import quote

import msgspec

from cli.terminal.texts import PROGRAM
from lab.crash.experiment import Round
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
"""Heading and width; all but the first two stand at the right.

`faults` are those that the billing injected, `kills` the acts that ended a process of the load, `other` the rest;
`attempts` are intents to send, `unknown` how often a row was in doubt, `found` how often a look-up found it there.
"""

_LEFT = 2


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

    def text(self) -> str:
        """The line as it is shown."""
        values = [getattr(self, name) for name, _ in COLUMNS]
        return _line([f"{value:.1f}" if isinstance(value, float) else str(value) for value in values])


def heading() -> str:
    """The line above the table."""
    return _line([name for name, _ in COLUMNS])


def _line(words: Sequence[str]) -> str:
    cells = zip(words, COLUMNS, range(len(COLUMNS)), strict=True)
    return "".join(
        f"{word:<{width}}" if place < _LEFT else f"{word:>{width}}" for word, (_, width), place in cells
    ).rstrip()


def line_of(played: Round) -> Line:
    """The line of a round; what has no verdict has no counts."""
    verdict = played.verdict
    acts = [done.act for done in played.happened if done.act is not None]
    ending = sum(act in ENDING for act in acts)
    line = Line(
        seed=str(played.plan.seed),
        job=played.plan.job,
        rows=played.rows,
        faults=played.injected.total(),
        kills=ending,
        other=len(acts) - ending,
        seconds=round(played.seconds, 1),
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


def total(rounds: Sequence[Round]) -> Line:
    """The line under the table."""
    lines = [line_of(played) for played in rounds]
    numbers = {name: round(sum(getattr(line, name) for line in lines), 1) for name, _ in COLUMNS[_LEFT:]}
    return Line("total", f"{len(rounds)} rounds", **numbers)


@dataclass(frozen=True, slots=True)
class Repeat:
    """What makes a round again, besides its seed: the options that were given."""

    options: tuple[str, ...] = field(default=())

    def command(self, seed: int) -> str:
        """The command to type."""
        return " ".join([PROGRAM, "selftest", "--seed", str(seed), "--rounds", "1", *map(quote, self.options)])


def as_json(seed: int, rounds: Sequence[Round], repeat: Repeat) -> bytes:
    """All that is known, for a machine."""
    whole = {
        "seed": seed,
        "holds": all(played.holds for played in rounds),
        "total": asdict(total(rounds)),
        "rounds": [_round(played, repeat) for played in rounds],
    }
    return msgspec.json.format(msgspec.json.encode(whole, enc_hook=str), indent=2) + b"\n"


def _round(played: Round, repeat: Repeat) -> Mapping[str, object]:
    return {
        **asdict(line_of(played)),
        "holds": played.holds,
        "problems": [{"key": problem.key, "what": problem.what} for problem in played.problems],
        "repeat": repeat.command(played.plan.seed),
        "injected": dict(sorted(played.injected.items())),
        "happened": [asdict(done) for done in played.happened],
        "processes": played.processes,
        "foreign": played.verdict.foreign if played.verdict else 0,
        "repeated": played.verdict.repeated if played.verdict else 0,
        "plan": asdict(played.plan),
    }
