"""What an experiment does is drawn from its seed and the jobs' declarations, and the lab says what it is."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cli.terminal import texts
from cli.terminal.exits import Exit
from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, an_id, roubles
from jobs.spec.spec import JobSpec
from lab.crash import program
from lab.crash.experiment import Event, Experiment, as_json
from lab.crash.judge import Problem
from lab.crash.load import change, prepare_load, statements_of
from lab.crash.plan import Deed, What, draw
from lab.crash.program import NoTrial
from lab.crash.trials import trial_of
from texts import said

SEEDS = range(200)


def test_the_same_seed_draws_the_same_plan_and_what_is_given_leaves_the_rest_as_it_was() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert plans == [draw(seed) for seed in SEEDS]
    assert len({plan.faults for plan in plans}) == len(SEEDS)
    for drawn in plans:
        given = draw(drawn.seed, job=drawn.job, faults="seed = 1\n")
        assert given == replace(drawn, faults="seed = 1\n", proxy=None, settle=given.settle)
    with pytest.raises(NoTrial, match=r"the lab knows balances, payment, .*, all for one of them, and import"):
        draw(1, job="close")


# ---- jobs of one's own ---------------------------------------------------------------------------------------------

FEE = Parameter("fee", "in roubles", parse=roubles, columns=())


def own(model: str, *chain: str, parameters: tuple[Parameter, ...] = SUBSCRIBER) -> JobSpec:
    return JobSpec("ours", "for the tests", model, chain, "", parameters=parameters)


def entering(kind: str, *more: Parameter) -> JobSpec:
    call = f'objects.create {{"abonent_id": {{abonent_id}}, "op_summa": "{{fee}}", "op_type_id": {kind}}}'
    return own("FinanceOperations", call, parameters=(*SUBSCRIBER, *(more or (FEE,))))


def never(text: str) -> str:
    raise ValueError(text)


GET = 'objects.get {"id": {abonent_id}}'


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (own("Users", 'objects.get {"id": {user_id}}', "reset", parameters=ACCOUNT), "not know what objects.get"),
        (own("Abonents", GET), "it reads"),
        (own("Abonents", GET, 'set {"nothing": 1}', "save"), "has no nothing in Abonents"),
        (
            entering("{type}", FEE, Parameter("type", "the type", parse=an_id, columns=())),
            "no one value for op_type_id",
        ),
        (
            own("FinanceOperations", 'objects.create {"abonent_id": {abonent_id}, "op_type_id": 2}'),
            "no placeholder for",
        ),
        (entering("2", Parameter("fee", "a code", parse=never, columns=())), "finds no values that fee takes"),
    ],
)
def test_what_cannot_be_tried_is_said(job: JobSpec, why: str) -> None:
    with pytest.raises(NoTrial, match=why):
        trial_of(job)


def test_a_stranger_does_nothing_to_whom_the_billing_would_refuse_it_for(tmp_path: Path, billing_file: Path) -> None:
    # Some of the oldest operations are of subscribers that are deleted.
    requested = prepare_load(tmp_path, draw(1, job="passed-to-1c", rows=100), billing_file)
    paid = [list(statements_of(Deed.PAYS, victim)) for victim in requested.victims.values()]
    change(str(billing_file), [statement for done in paid for statement in done])
    assert 0 < paid.count([]) < len(paid) == 100


# ---- what the lab says of the program, and of its rounds -----------------------------------------------------------


def test_what_the_lab_states_of_the_program_is_what_the_command_line_has() -> None:
    assert {code.name: code.value for code in program.ExitCode} == {code.name: code.value for code in Exit}
    assert program.JOURNAL == texts.JOURNAL
    names = (texts.API_URL, said.DATABASE, texts.JOURNAL_FILE, texts.VARIABLE, texts.ENGLISH)
    assert names == (program.API_URL, program.DATABASE, program.JOURNAL_FILE, program.LANGUAGE, program.ENGLISH)
    values = (vars(texts) | vars(said)).values()
    settings = {value for value in values if isinstance(value, str) and value.startswith("CARBON_")}
    assert len(settings) >= 6
    given = {**dict.fromkeys(settings, "x"), "PATH": "/bin"}
    assert program.without_settings(given) == {"PATH": "/bin", program.LANGUAGE: program.ENGLISH}


def test_the_json_has_all_of_it_and_the_command_that_repeats_an_experiment() -> None:
    tally = Counter(once=238, twice=1, lost=1, attempts=260, unknown=40, found=30, asked=2)
    events = [
        Event(1.0, What.KILL, 40, 8),
        Event(1.1, None, 40, 8, "run ended with -9"),
        Event(2.0, What.SECOND, 50, 8),
    ]
    good = Experiment(draw(6), 240, tally, Counter({"busy": 3, "slow": 4}), events, 4, 9.87)
    bad = replace(good, plan=draw(5), problems=[Problem("2005", "had its effect 2 times")])
    found = msgspec.json.decode(as_json(5, [bad, good], lambda seed: f"repeat {seed}"))
    first, second = found["rounds"]
    assert (found["seed"], found["holds"], first["holds"], second["holds"]) == (5, False, False, True)
    assert first["problems"] == [{"key": "2005", "what": "had its effect 2 times"}]
    assert (first["repeat"], first["injected"]) == ("repeat 5", {"busy": 3, "slow": 4})
    assert (first["happened"][2]["act"], found["total"]["once"]) == ("second-runner", 476)
    assert first["plan"]["mischief"]
