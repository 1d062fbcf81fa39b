"""What an experiment does is drawn from its seed, and from nothing else."""

from dataclasses import replace

import pytest

from lab.crash.errors import NoTrial
from lab.crash.observer import Alias, Elsewhere
from lab.crash.plan import (
    ALL,
    JOBS,
    MARKED_ONLY,
    SETTLE,
    TIMEOUT,
    Act,
    draw,
)
from lab.crash.proxy import MISPLACED, WRONG
from lab.crash.stranger import Deed
from lab.crash.trials import TRIALS, By
from lab.mock.fault_plan import read_plan

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


def test_between_them_the_seeds_have_everything_and_each_plan_is_one_that_the_billing_takes() -> None:
    plans = [draw(seed) for seed in SEEDS]
    assert {one.act for plan in plans for one in plan.disturbances} == set(Act)
    assert {plan.job for plan in plans} == set(JOBS)
    assert {kind for plan in plans if plan.proxy for kind in plan.proxy.shares} == {*MISPLACED, *WRONG}
    assert {words for plan in plans for one in plan.disturbances for words in one.words} > {*Alias, *Elsewhere, *Deed}
    for plan in plans:
        # What is lost must have had its effect before it is looked up, and what is queued within the settle delay.
        for fault in read_plan(plan.faults).faults:
            assert fault.kind != "effect-then-silence" or fault.seconds > TIMEOUT
            assert fault.kind != "queued" or TIMEOUT <= fault.seconds < plan.settle - SETTLE / 2
        # A full disk never meets the database of the billing, nor its stack.
        if Act.FULL_DISK in {one.act for one in plan.disturbances}:
            assert plan.api_alone
            assert plan.traits.stack_rate is None


def test_what_no_mark_can_tell_is_not_done_to_jobs_without_one() -> None:
    drawn = [draw(seed, job=ALL) for seed in SEEDS]
    assert {plan.job for plan in drawn} == set(TRIALS)
    for plan in drawn:
        trial, acts = TRIALS[plan.job], {one.act for one in plan.disturbances}
        assert trial.by is By.MARK or not acts & MARKED_ONLY
        assert trial.job != "password-recovery" or Act.RESTORE not in acts
