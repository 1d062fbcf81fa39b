"""Plans of faults: how they are read, what they are refused for, and whom a fault meets."""

from pathlib import Path
from typing import cast

import pytest

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted, Busy, Lost
from lab.mock.faults import PLANNED, Fault, FaultKind, FaultPlan, PlanError, plan_of_flags, plan_text, read_plan
from lab.mock.server import running
from tests.billing.saving import get_set_save

MODEL = "FinanceOperations"


def _drawn(plan: FaultPlan, index: int = 0, count: int = 2_000) -> list[int]:
    return [number for number in range(1, count + 1) if plan.meets(index, number)]


def test_the_same_seed_draws_the_same_requests() -> None:
    faults = (Fault(FaultKind.SLOW, share=0.05), Fault(FaultKind.SLOW, share=0.05))
    first = FaultPlan(faults, seed=1)
    assert _drawn(first) == _drawn(FaultPlan(faults, seed=1))
    assert _drawn(first)[:5] == [1, 5, 7, 60, 132], "drawn otherwise, the seeds of old failures are worth nothing"
    assert _drawn(first) != _drawn(FaultPlan(faults, seed=2))
    assert _drawn(first, 0) != _drawn(first, 1), "faults of one plan are independent of each other"
    assert 60 < len(_drawn(first)) < 140
    numbered = FaultPlan((Fault(FaultKind.SLOW, requests=((10, 20), (30, 30), (1_999, None))),))
    assert _drawn(numbered) == [*range(10, 21), 30, 1_999, 2_000]
    assert set(_drawn(FaultPlan((Fault(FaultKind.SLOW, requests=((10, 20),), share=0.5),)))) < set(range(10, 21))


def test_a_whole_plan() -> None:
    plan = read_plan("""
        seed = 42
        [[fault]]
        kind = "429"
        model = "FinanceOperations"
        method = "objects.create"
        share = 0.05
        requests = "10-20, 30,40-"
        from = 5
        to = 10.5
        times = 3
        retry_after = "date"
        delay = 2
        [[fault]]
        kind = "busy"
        text = "абонент обрабатывается"
        tries = 2
        requests = 7
    """)
    first, second = plan.faults
    of_calls = {"model": MODEL, "method": "objects.create", "share": 0.05, "requests": "10-20,30,40-"}
    of_time = {"from": 5.0, "to": 10.5, "times": 3, "delay": 2.0, "retry_after": "date"}
    assert (plan.seed, first.described()) == (42, {"kind": "429", **of_calls, **of_time})
    assert (second.tries, second.requests) == (2, ((7, 7),))
    assert [kind for kind in PLANNED if read_plan(f'[[fault]]\nkind = "{kind}"').faults != (Fault(kind),)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 1 2", "plan.toml: this is not TOML: .* line 1"),
        ('seed = "x"', "plan.toml:1: seed: 'x' is not a whole number"),
        ('[[fault]]\nkind = "reset-befor-effect"', "plan.toml:2: .*did you mean 'reset-before-effect'"),
        ('[[fault]]\nkind = "slow"\n\n[[fault]]\nkind = "slow"\nshar = 1', "plan.toml:6: .* mean 'share'"),
        ('[[fault]]\nkind = "slow"\nmodel = "Abonent"', "plan.toml:3: .*did you mean 'Abonents'"),
        ('[[fault]]\nkind = "slow"\nshare = 0', "plan.toml:3: share: 0 is not a share"),
        ('[[fault]]\nkind = "slow"\nrequests = "20-10"', "plan.toml:3: requests: .* that go up"),
        ('[[fault]]\nkind = "slow"\nfrom = 5\nto = 5', "plan.toml:4: .* the span is empty"),
        ('[[fault]]\nkind = "busy"\ndelay = 1', "busy takes no delay; it takes kind, .* tries"),
        ('[[fault]]\nkind = "503"\ndelay = 1', "plan.toml:3: .* with retry_after"),
        ('[[fault]]\nkind = "cabinet-error"\nmethod = "set"', r"plan.toml:3: .* only answers of web_cabinet\."),
        ("\udcff", "it is not UTF-8"),
    ],
)
def test_what_a_plan_is_refused_for(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(PlanError, match=said):
        plan_text([str(tmp_path / "plan.toml")])


def test_flags(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('seed = 3\n[[fault]]\nkind = "slow"', encoding="utf-8")
    words = ["503:0.5", str(file)]
    plan = FaultPlan((Fault(FaultKind.SLOW), Fault(FaultKind.UNAVAILABLE, share=0.5)), seed=3)
    assert plan_of_flags(words, None) == read_plan(plan_text(words)) == plan
    assert (plan_of_flags(words, 9).seed, plan_of_flags([], None)) == (9, FaultPlan())
    for flag, said in (("slo:0.1", "mean 'slow'"), ("slow:x", "'x' is not a share"), ("a.toml", "cannot be read")):
        with pytest.raises(PlanError, match=said):
            plan_text([flag])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 3000, "is not TOML: it holds brackets in brackets"),
        ("seed = " + "9" * 5000, "is not TOML: a number has too many digits"),
        ('[[fault]]\nkind = "slow"\nrequests = "' + "9" * 5000 + '"', "is not a list of requests"),
    ],
)
def test_a_plan_that_attacks_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        read_plan(text)


async def test_the_first_fault_that_is_drawn_happens_so_many_times_and_no_more(billing_file: Path) -> None:
    plan = read_plan("""
        [[fault]]
        kind = "busy"
        requests = 2
        [[fault]]
        kind = "500-before-effect"
        model = "Users"
        [[fault]]
        kind = "429"
        times = 2
    """)
    write = create(MODEL, abonent_id=2001, op_summa="50.5", op_type_id=8)
    calls = (write, write, get_set_save("Users", {"id": 7}, {"pull": 5}), write, write)
    async with running(billing_file, faults=plan) as server, BillingClient(ClientSettings(server.url)) as client:
        assert [type(await client.send(call)) for call in calls] == [Busy, Busy, Lost, Busy, Accepted]
        assert server.faults.report()["injected"] == {"429": 2, "500-before-effect": 1, "busy": 1}
        faults = cast("list[object]", server.faults.report()["faults"])
        assert faults[2] == {"kind": "429", "times": 2, "matched": 5, "injected": 2}
