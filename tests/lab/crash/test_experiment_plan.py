"""What an experiment does is drawn from its seed, and from nothing else."""

from dataclasses import replace

import pytest

from lab.crash.drawing import ALL, draw
from lab.crash.errors import UnknownJob
from lab.crash.experiment_plan import (
    ENDING,
    JOBS,
    MARKED_ONLY,
    MOST_IN_FLIGHT,
    PAYMENT,
    SETTLE,
    TIMEOUT,
    Act,
    ExperimentPlan,
)
from lab.crash.journals import Alias, Elsewhere, Machine
from lab.crash.proxy import ProxyFault
from lab.crash.stranger import Deed
from lab.crash.trials import MARKED_PAYMENT, TRIALS, By
from lab.mock.fault_plan import read_plan

SEEDS = range(200)


def test_the_same_seed_draws_the_same_plan_and_what_is_given_leaves_the_rest_as_it_was() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert plans == [draw(seed) for seed in SEEDS]
    assert len({plan.faults for plan in plans}) == len(SEEDS)
    for drawn in plans:
        given = draw(drawn.seed, job=drawn.job, faults="seed = 1\n")
        assert given == replace(drawn, faults="seed = 1\n", proxy=None, settle=given.settle)
    with pytest.raises(UnknownJob, match=r"the lab knows balances, payment, .*, all for one of them, and import"):
        draw(1, job="close")


def test_a_drawn_plan_is_one_that_the_billing_takes_and_the_look_up_can_outlive() -> None:
    for plan in map(draw, SEEDS):
        is_taken_and_outlived(plan)


def is_taken_and_outlived(plan: ExperimentPlan) -> None:
    faults = read_plan(plan.faults).faults
    assert any(fault.kind == "redirect-after-effect" for fault in faults)
    # What is lost must have had its effect before it is looked up.
    assert all(fault.seconds > TIMEOUT for fault in faults if fault.kind == "effect-then-silence")
    in_flight = plan.in_flight or MOST_IN_FLIGHT
    queued = [fault.seconds for fault in faults if fault.kind == "queued"]
    assert all(TIMEOUT <= seconds < plan.settle - SETTLE / 2 for seconds in queued)
    # A look-up that is refused as a row is would be no fault of a billing, but of nobody.
    assert all(fault.method for fault in faults if fault.text)
    held = 0.0 if plan.proxy is None else plan.proxy.delay
    assert plan.traits.latency_ms / 1000 * (1 + in_flight / plan.traits.slots) < SETTLE / 4
    assert held < SETTLE / 4
    acts = [one.act for one in plan.disturbances]
    assert acts.count(Act.KILL) >= 2
    assert [one.share for one in plan.disturbances] == sorted(one.share for one in plan.disturbances)


def test_between_them_the_seeds_have_everything() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert {one.act for plan in plans for one in plan.disturbances} == set(Act)
    assert any(one.early for plan in plans for one in plan.disturbances)
    assert len(plans) / 3 < sum(plan.in_flight is None for plan in plans) < len(plans) * 2 / 3
    assert all(len(one.words) == 2 for plan in plans for one in plan.disturbances if one.act is Act.SET)
    assert {Act.KILL, Act.FULL_DISK, Act.STOP, Act.PAUSE_AND_KILL} < ENDING
    kinds = {fault.kind.value for plan in plans for fault in read_plan(plan.faults).faults}
    assert len(kinds) >= 19
    assert {plan.job for plan in plans} == set(JOBS)
    proxies = [plan.proxy for plan in plans if plan.proxy is not None]
    assert len(plans) / 3 < len(proxies) < len(plans) * 3 / 4
    assert {kind for proxy in proxies for kind in proxy.shares} == set(ProxyFault)
    assert {word for plan in plans for one in plan.disturbances for word in one.words} >= {*Deed, *Machine}
    assert 0 < sum(plan.two_billings for plan in plans) < 20
    assert {plan.own == MARKED_PAYMENT for plan in plans if plan.job == PAYMENT} == {True, False}
    assert {proxy.model for proxy in proxies} >= {"", "FinanceOperations"}
    assert {words for plan in plans for one in plan.disturbances for words in one.words} > {*Alias, *Elsewhere}
    assert {plan.api_alone for plan in plans} == {True, False}
    assert 10 < sum("queued" in plan.faults for plan in plans) < 60
    quirks = {word for plan in plans for word in plan.quirks}
    assert quirks > {"list_errors=text", "value_types=numbers", "value_types=texts"}
    assert sum(plan.traits.stack_rate is not None for plan in plans) > len(plans) / 3


def test_a_full_disk_never_meets_the_database_of_the_billing() -> None:
    full = [plan for plan in map(draw, SEEDS) if Act.FULL_DISK in {one.act for one in plan.disturbances}]
    assert full
    assert all(plan.api_alone and plan.traits.stack_rate is None for plan in full)
    assert "warning-threshold" not in {plan.job for plan in full}


def test_what_no_mark_can_tell_is_not_done_to_jobs_without_one() -> None:
    drawn = [draw(seed, job=ALL) for seed in SEEDS]
    assert {plan.job for plan in drawn} == set(TRIALS)
    for plan in drawn:
        trial, acts = TRIALS[plan.job], {one.act for one in plan.disturbances}
        assert trial.by is By.MARK or not acts & MARKED_ONLY
        assert trial.job != "password-recovery" or Act.RESTORE not in acts
