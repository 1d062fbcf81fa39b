"""The table and the JSON of a self-test."""

from collections import Counter

import msgspec

from lab.crash.experiment import Event, Experiment
from lab.crash.judge import Problem, Verdict
from lab.crash.plan import Act, draw
from lab.crash.summary import as_json

COUNTS = {"once": 238, "twice": 1, "lost": 1, "foreign": 0, "repeated": 0, "rejected": 0}
VERDICT = Verdict(**COUNTS, attempts=260, unknown=40, found=30, asked=2, problems=())
EVENTS = (
    Event(1.0, Act.KILL, 40, 8),
    Event(1.1, None, 40, 8, "run ended with -9"),
    Event(2.0, Act.SECOND, 50, 8, "ended with 2"),
)


def one(seed: int, *problems: Problem, verdict: Verdict | None = VERDICT) -> Experiment:
    plan = draw(seed, job="balances")
    return Experiment(plan, plan.rows, verdict, Counter({"busy": 3, "slow": 4}), EVENTS, 4, 9.87, problems)


def test_the_json_has_all_of_it_and_the_command_that_repeats_an_experiment() -> None:
    bad = one(5, Problem("2005", "had its effect 2 times"))
    found = msgspec.json.decode(as_json(5, [bad, one(6)], lambda seed: f"repeat {seed}"))
    first, second = found["rounds"]
    assert (found["seed"], found["holds"], first["holds"], second["holds"]) == (5, False, False, True)
    assert first["problems"] == [{"key": "2005", "what": "had its effect 2 times"}]
    assert (first["repeat"], first["injected"]) == ("repeat 5", {"busy": 3, "slow": 4})
    assert (first["happened"][2]["act"], found["total"]["once"]) == ("second-runner", 476)
    assert first["plan"]["mischief"]
