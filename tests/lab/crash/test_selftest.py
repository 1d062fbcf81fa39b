"""The crash lab on seeds that never change: green as the program is, red with each promise of it broken by hand.

`make test` has two short loads, one broken promise and one seam; `make prove` has the long loads and the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from lab.crash.experiment import Experiment, Lab
from lab.crash.plan import (
    BALANCES,
    IMPORT,
    JOBS,
    NEWER,
    OF_LOADS,
    REQUIRED,
    SUBSCRIBERS_OF_IMPORTS,
    Act,
    Alias,
    BillingTraits,
    Deed,
    Elsewhere,
    ExperimentPlan,
    Machine,
    What,
    draw,
)
from lab.crash.program import MODULE, ProgramUnderTest
from lab.crash.proxy import Interference
from lab.crash.trials import MARKED_PAYMENT
from lab.mock.faults import MISPLACED, WRONG, FaultKind
from tests.cli import saboteur
from tests.cli.conftest import clean_environment
from tests.lab.crash.conftest import PROGRAM

ROOT = Path(__file__).parents[3]

SEEDS = (10739, 12288, 15889, 17581)
"""Between them they have every act, every job, a stack and none, a window that follows and a fixed one, everything
that a proxy does, quirks, and columns that are not there."""

SHORT = (12288, 15889)
"""Those of them that `make test` has, with fewer rows and the program as forks."""
SHORT_ROWS = 24

ROWS = 100
AT_A_TIME = 2

BY_ITSELF = ("-P", "-m", MODULE)
"""The program as an administrator starts it, and no fork: `conftest.py` makes forks of others."""


@pytest.fixture
def environment() -> Mapping[str, str]:
    return clean_environment() | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A copy of a real job's settings: address, database and journal of it must not be used."""
    path = tmp_path / "carbon-migrate.toml"
    path.write_text(
        'journal = "/nowhere/real.journal"\n[api]\nurl = "http://billing.invalid:8082"\ntimeout = 30.0\n'
        '[api.form]\nhash_key = "secret"\n[database]\naddress = "billing.invalid:/db"\npassword = "masterkey"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def lab(tmp_path: Path, settings: Path, environment: Mapping[str, str]) -> Callable[..., Lab]:
    """Makes the lab of the program, or of one that is started otherwise, or has a promise broken."""

    def made(how: Callable[[], None] | None = None, by: Sequence[str] = PROGRAM) -> Lab:
        words = by if how is None else ("-m", saboteur.__name__, how.__name__)
        return Lab(tmp_path, ProgramUnderTest(environment, settings, words))

    return made


async def run_all(lab: Lab, plans: Sequence[ExperimentPlan]) -> list[Experiment]:
    experiments: list[Experiment] = []
    limiter = anyio.CapacityLimiter(AT_A_TIME)

    async def run(plan: ExperimentPlan) -> None:
        async with limiter:
            experiments.append(await lab.run(plan))

    async with anyio.create_task_group() as group:
        for plan in plans:
            group.start_soon(run, plan)
    return experiments


LONG = pytest.mark.prove


def test_the_fixed_seeds_have_every_act_and_every_job() -> None:
    plans = [draw(seed, rows=ROWS) for seed in SEEDS]
    # What is newer has experiments of its own below.
    assert {one.what for plan in plans for one in plan.acts} == set(OF_LOADS) - NEWER
    assert {plan.job for plan in plans} == set(JOBS)
    assert {kind for plan in plans if plan.proxy for kind in plan.proxy.shares} == set(MISPLACED)
    assert {bool(plan.quirks) for plan in plans} == {True, False}
    assert {bool(plan.lacking) for plan in plans} == {True, False}
    assert {plan.without_database for plan in plans} == {True, False}
    assert {plan.traits.stack_rate is None for plan in plans} == {True, False}
    assert {plan.in_flight is None for plan in plans} == {True, False}


@pytest.mark.loops(600)
@pytest.mark.parametrize(
    ("seeds", "rows", "by"),
    [
        pytest.param(SHORT, SHORT_ROWS, PROGRAM, id="short"),
        pytest.param(SEEDS, ROWS, BY_ITSELF, id="long", marks=LONG),
    ],
)
async def test_every_effect_lands_once_whatever_happens(
    seeds: Sequence[int], rows: int, by: Sequence[str], lab: Callable[..., Lab]
) -> None:
    experiments = await run_all(lab(by=by), [draw(seed, rows=rows) for seed in seeds])
    assert {one.plan.seed: one.problems for one in experiments} == {seed: [] for seed in seeds}
    assert all(one.holds and one.injected for one in experiments)
    assert sum(one.tally["unknown"] for one in experiments) > 0
    assert {event.act for one in experiments for event in one.events} > {What.KILL}


def small(
    seed: int,
    *acts: Act,
    job: str = BALANCES,
    rows: int = 60,
    faults: str = "",
    latency: float = 200.0,
    stack_rate: float | None = None,
    **traits: Any,
) -> ExperimentPlan:
    """A small experiment without chance, made for one broken promise.

    So slow a billing that the load is still under way when it is to be killed, also on a busy machine.
    """
    plan = replace(
        draw(seed, job=job, rows=rows, faults=faults),
        in_flight=8,
        traits=BillingTraits(latency_ms=latency, slots=16, stack_rate=stack_rate),
        acts=acts,
        proxy=None,
        without_database=False,
        lacking=(),
        quirks=(),
        own=None,
        two_billings=False,
        licence=None,
        undo_kills=(),
    )
    return replace(plan, **traits)


def act(what: What, share: float, *words: str, **more: float) -> Act:
    return Act(what, share, words=words, **more)  # type: ignore[arg-type]


def seam(*acts: Act, seed: int = 31, rows: int = 24, **traits: Any) -> ExperimentPlan:
    """A small experiment with acts in the middle of a load that is slow enough for them."""
    return small(seed, *acts, rows=rows, latency=100.0, in_flight=2, **traits)


KILLED = act(What.KILL, 0.3)
SILENT = '[[fault]]\nkind = "effect-then-silence"\nmethod = "objects.create"\nrequests = "8"\n'
IN_DOUBT: Mapping[str, Any] = {"rows": 9, "faults": SILENT, "timeout": 300.0}
"""A load that is killed once all rows but one are answered: that one has come to the billing, and is in doubt."""
REDIRECTED = '[[fault]]\nkind = "redirect-after-effect"\nrequests = "10-60"\nshare = 0.2\n'
MARKED: Mapping[str, Any] = {"own": MARKED_PAYMENT, "job": "payment"}
MISLED = Interference(7, dict.fromkeys(WRONG, 0.1), "Abonents")
LATE = Interference(7, {FaultKind.GATEWAY_THEN_ANSWER: 0.3}, "Abonents")
TWICE = "had its effect 2 times"
LOST = "had no effect"
FOREIGN = "is of no row of the frozen list"
OVER = "was sent over what somebody else has done since the list was made"
ALIASED = small(8, act(What.ALIAS, 0.1, Alias.SYMBOLIC_LINK), rows=30, latency=300.0, in_flight=4)
"""A first runner that is frozen with rows claimed and in flight, until a second has ended the run."""

SEAMS: Sequence[tuple[Callable[[], None], ExperimentPlan, str]] = [
    (saboteur.charges_what_was_paid, seam(**MARKED), " as type 1"),
    (
        saboteur.looks_for_its_own_mark_alone,
        seam(act(What.OVERLAP, 0.1, Machine.OTHER), **MARKED),
        "was entered by another journal as well, long before it was sent",
    ),
    (
        saboteur.looks_for_its_own_mark_alone,
        seam(act(What.STRANGER, 0.1, Deed.ENTERS), job="connect-service"),
        OVER,
    ),
    (
        saboteur.lets_two_journals_send,
        seam(act(What.OVERLAP, 0.1, Machine.THIS)),
        "another journal was not refused while the load sends",
    ),
    # Where the database shows what came, it is looked for before each call.
    (saboteur.believes_proxies, seam(job="payment", rows=40, proxy=MISLED, without_database=True), TWICE),
    (saboteur.believes_two_addresses, seam(two_billings=True), "the load had to be refused"),
    (saboteur.leaves_an_undone_run_open, seam(act(What.UNDO, 0.3)), "resumed after its undo"),
    # The rows of this seed name subscribers by their contract numbers.
    (saboteur.never_reads_numbers_again, seam(act(What.STRANGER, 0.1, Deed.RENAMES)), OVER),
    (saboteur.overwrites_what_has_come, seam(act(What.STRANGER, 0.1, Deed.PAYS)), OVER),
    (
        saboteur.takes_what_is_there_for_its_own,
        seam(act(What.STRANGER, 0.1, Deed.CREATES), seed=27, job=IMPORT, rows=12),
        "/subscriber/: is applied and had no effect",
    ),
]
"""Each mend at a seam, taken out, and what the lab then says."""

PROMISES: Sequence[tuple[Callable[[], None], ExperimentPlan, str]] = [
    (saboteur.sends_again_at_start, small(2, KILLED), TWICE),
    (saboteur.claims_after_the_call, small(1, KILLED), TWICE),
    (saboteur.claims_after_the_call, small(1, KILLED, job="connect-service"), TWICE),
    # So slow a stack that a look after the kill is early, however long the program takes to start.
    (saboteur.trusts_an_early_look, small(3, act(What.KILL, 8 / 9), stack_rate=0.3, **IN_DOUBT), TWICE),
    (saboteur.sends_without_looking, small(5, act(What.RESTORE, 0.2, more=0.3)), TWICE),
    (saboteur.follows_redirects, small(4, faults=REDIRECTED), TWICE),
    # The same input with another journal: at the end of the run, or after a kill in the middle with it lost.
    (
        saboteur.ignores_unknown_marks,
        small(6, act(What.SECOND_JOURNAL, 1.0, Elsewhere.OTHER_FOLDER), rows=30, in_flight=2),
        FOREIGN,
    ),
    (
        saboteur.ignores_unknown_marks,
        small(6, act(What.KILL_AND_SECOND_JOURNAL, 0.3, Elsewhere.LOST), rows=30, in_flight=2),
        FOREIGN,
    ),
    # The late answer of one payment is credited to the next, which never arrived.
    (
        saboteur.keeps_connections_after_a_504,
        small(7, job="payment", rows=40, proxy=LATE),
        "is accepted and had no effect",
    ),
    (
        saboteur.leaves_the_epoch_out,
        ALIASED,
        "a second runner (symbolic-link) was not refused, and the first goes on: resume ended with 0",
    ),
    # A recalculation that was claimed and never left is not done. Amid the calls, those behind them are claimed.
    (saboteur.takes_what_was_sent_for_done, small(1, act(What.KILL, 0.3, delay=0.1), job="recalculate"), LOST),
    # So slow a billing that the load is still under way when the pause has been typed.
    (
        saboteur.pauses_in_words_alone,
        small(1, act(What.PAUSE, 0.05, seconds=1.0), latency=400.0, in_flight=2),
        "while it was paused",
    ),
]
"""Each promise, broken, and what the lab then says."""

ALWAYS = {saboteur.sends_again_at_start, saboteur.lets_two_journals_send}
"""One of the promises and one of the seams is tried by `make test` too."""


def cases(broken: Sequence[tuple[Callable[[], None], ExperimentPlan, str]]) -> list[Any]:
    return [
        pytest.param(*one, id=f"{one[0].__name__}-{one[1].job}", marks=() if one[0] in ALWAYS else LONG)
        for one in broken
    ]


@pytest.mark.loops(300)
@pytest.mark.parametrize(("how", "plan", "said"), cases([*PROMISES, *SEAMS]))
async def test_the_lab_goes_red_when_a_promise_is_broken_or_a_mend_at_a_seam_is_taken_out(
    how: Callable[[], None], plan: ExperimentPlan, said: str, lab: Callable[..., Lab]
) -> None:
    red = await lab(how).run(plan)
    assert any(said in problem.text for problem in red.problems), red
    if (how, plan, said) in PROMISES:
        for effect, count in ((TWICE, "twice"), (FOREIGN, "foreign"), (LOST, "lost")):
            assert effect not in said or red.tally[count] > 0, red


@pytest.mark.loops(300)
@pytest.mark.parametrize(("how", "plan", "said"), cases(SEAMS))
async def test_the_same_experiments_hold_with_the_program_as_it_is(
    how: Callable[[], None], plan: ExperimentPlan, said: str, lab: Callable[..., Lab]
) -> None:
    held = await lab().run(plan)
    assert held.holds, (held.problems, how, said)
    acts = {event.act: event.followed for event in held.events}
    assert all(one.what in acts for one in plan.acts)
    assert not any(followed.endswith(" 0 rows") for followed in acts.values())


@pytest.mark.loops(300)
@LONG
async def test_the_epoch_keeps_a_second_runner_from_harm_that_the_lock_did_not_hold(lab: Callable[..., Lab]) -> None:
    fenced = await lab(saboteur.runs_without_the_lock).run(ALIASED)
    assert fenced.problems == []
    assert any(event.act is What.ALIAS and event.followed.endswith("ended with 0") for event in fenced.events)


@pytest.mark.loops(300)
@pytest.mark.parametrize("job", JOBS)
async def test_a_load_that_could_not_look_up_is_refused_before_anything_is_sent(
    job: str, lab: Callable[..., Lab]
) -> None:
    refused = await lab().run(small(9, job=job, rows=20, lacking=(REQUIRED[job],)))
    assert refused.holds, refused.problems
    assert [event.followed for event in refused.events] == ["run ended with 2"]


@pytest.mark.loops(300)
@LONG
async def test_what_was_deleted_after_the_copy_of_a_journal_is_not_deleted_again(lab: Callable[..., Lab]) -> None:
    # So few are claimed ahead that some of what is deleted after the copy was pending in it.
    plan = small(10, act(What.RESTORE, 0.2, more=0.3), job="delete-services", rows=20, in_flight=2)
    tried = lab()
    restored = await tried.run(plan)
    assert restored.problems == []
    # A deletion that is refused, for it was made before, would be a call whose fate nobody knows.
    resumed = (tried.folder_of(plan) / "02-resume.log").read_text(encoding="utf-8")
    assert "found without a mark when its outcome was looked up" in " ".join(resumed.split())
    assert "Объект уже удалён" not in resumed


@pytest.mark.loops(300)
@LONG
async def test_who_has_the_file_of_a_crashed_billing_open_goes_with_it(lab: Callable[..., Lab]) -> None:
    """Otherwise all of them hang, now and then, on what the billing has left locked in the embedded engine."""
    # So few calls at a time that the crash finds the load at work, also where the lab waits for the processor.
    plan = small(11, act(What.CRASH, 0.3), rows=40, in_flight=2)
    crashed = await lab().run(plan)
    assert crashed.problems == []
    assert [event.followed for event in crashed.events if event.act is What.CRASH] == ["with 1 keepers"]


ANSWERS_LOST = """
[[fault]]
kind = "reset-after-effect"
method = "objects.create"
share = 0.05

[[fault]]
kind = "500-after-effect"
method = "{method}"
share = 0.05
"""


@pytest.mark.loops(300)
@LONG
async def test_an_import_is_whole_through_a_kill_and_a_licence_that_ends_and_an_undo(
    lab: Callable[..., Lab],
) -> None:
    plan = small(
        12,
        KILLED,
        job=IMPORT,
        rows=6,
        faults=ANSWERS_LOST.format(method="save"),
        stack_rate=60.0,
        licence=SUBSCRIBERS_OF_IMPORTS + 4,
        undo_kills=(0.4,),
        undo_faults=ANSWERS_LOST.format(method="delete"),
    )
    whole = await lab().run(plan)
    assert whole.problems == []
    assert whole.tally["once"] == whole.rows > plan.rows
    assert {"the licence was extended", "of the undo"} <= {event.followed for event in whole.events}
