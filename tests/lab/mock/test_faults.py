"""Which requests a fault meets, and what a plan is refused for: no sockets, no clock."""

from pathlib import Path

import pytest

from billing.api.error_catalogue import ErrorKind as Meaning
from billing.api.error_catalogue import find_error
from lab.mock.fault_plan import PlanError, plan_of_flags, plan_text, read_flag, read_plan
from lab.mock.faults import Fault, FaultKind, FaultPlan, RequestedFault, within, written

CREATE = RequestedFault("FinanceOperations", ("objects.create",))
READ = RequestedFault("FinanceOperations", ("objects.filter",), writes=False)
SAVE = RequestedFault("Users", ("objects.get", "set", "save"))
CABINET = RequestedFault("Users", ("web_cabinet.get_usluga_list",), writes=False)


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


def test_numbers_and_shares_hold_together() -> None:
    plan = FaultPlan((Fault(FaultKind.SLOW, requests=((10, 20), (30, 30), (1_999, None))),))
    assert _drawn(plan) == [*range(10, 21), 30, 1_999, 2_000]
    halved = FaultPlan((Fault(FaultKind.SLOW, requests=((10, 20),), share=0.5),))
    assert set(_drawn(halved)) < set(range(10, 21))
    assert not within(9, ((10, 20),))
    assert written(((10, 20), (30, 30), (40, None))) == "10-20,30,40-"


@pytest.mark.parametrize(
    ("fault", "matched"),
    [
        (Fault(FaultKind.SLOW), [CREATE, READ, SAVE, CABINET]),
        (Fault(FaultKind.SLOW, model="Users"), [SAVE, CABINET]),
        (Fault(FaultKind.SLOW, method="set"), [SAVE]),
        (Fault(FaultKind.SLOW, model="FinanceOperations", method="set"), []),
        (Fault(FaultKind.CABINET_ERROR), [CABINET]),
        (Fault(FaultKind.FOREIGN), [CREATE, SAVE]),
        (Fault(FaultKind.FOREIGN, method="objects.filter"), [READ]),
        (Fault(FaultKind.REFUSE), []),
    ],
)
def test_a_filter_lets_through(fault: Fault, matched: list[RequestedFault]) -> None:
    assert [asked for asked in (CREATE, READ, SAVE, CABINET) if fault.matches(asked)] == matched


def test_a_span_of_time() -> None:
    fault = Fault(FaultKind.SLOW, since=5.0, until=10.0)
    assert [moment for moment in (4.9, 5.0, 9.9, 10.0) if fault.open_at(moment)] == [5.0, 9.9]


def test_texts_are_the_catalogues() -> None:
    plan = FaultPlan(
        (
            Fault(FaultKind.BUSY),
            Fault(FaultKind.STOP),
            Fault(FaultKind.CABINET_ERROR),
            Fault(FaultKind.BUSY, text="занято"),
        )
    )
    for number in range(1, 50):
        assert find_error(plan.text(0, number)) is Meaning.BUSY
        assert find_error(plan.text(1, number)) is Meaning.SYSTEM
        assert find_error(plan.text(2, number)) is Meaning.ROW
    assert len({plan.text(0, number) for number in range(1, 50)}) > 3
    assert plan.text(3, 1) == "занято"


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
    assert plan.seed == 42
    first, second = plan.faults
    assert first.described() == {
        "kind": "429",
        "model": "FinanceOperations",
        "method": "objects.create",
        "share": 0.05,
        "requests": "10-20,30,40-",
        "from": 5.0,
        "to": 10.5,
        "times": 3,
        "delay": 2.0,
        "retry_after": "date",
    }
    assert (second.tries, second.requests) == (2, ((7, 7),))
    assert read_plan("") == FaultPlan()
    assert [kind for kind in FaultKind if read_plan(f'[[fault]]\nkind = "{kind}"').faults != (Fault(kind),)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 1 2", "plan.toml:1: this is not TOML"),
        ("sed = 1", r"plan.toml:1: a plan has no 'sed' \(did you mean 'seed'\?\)"),
        ('seed = "x"', "plan.toml:1: seed: 'x' is not a whole number"),
        ("fault = 3", r"plan.toml:1: write each fault under a heading \[\[fault\]\]"),
        ("[[fault]]\nshare = 0.5", "plan.toml:1: fault 1: it needs a kind"),
        ('[[fault]]\nkind = "reset-befor-effect"', "plan.toml:2: .*did you mean 'reset-before-effect'"),
        ('[[fault]]\nkind = "slow"\n\n[[fault]]\nkind = "slow"\nshar = 1', "plan.toml:6: fault 2: .* mean 'share'"),
        ('[[fault]]\nkind = "slow"\nmodel = "Abonent"', "plan.toml:3: .*did you mean 'Abonents'"),
        ('[[fault]]\nkind = "slow"\nshare = 0', "plan.toml:3: fault 1: share: 0 is not a share"),
        ('[[fault]]\nkind = "slow"\nshare = true', "share: True is not a number"),
        ('[[fault]]\nkind = "slow"\nrequests = "20-10"', "numbers begin with 1 and go up"),
        ('[[fault]]\nkind = "slow"\nrequests = "0-3"', "numbers begin with 1 and go up"),
        ('[[fault]]\nkind = "slow"\nrequests = "a"', "are not numbers of requests"),
        ('[[fault]]\nkind = "slow"\nfrom = 5\nto = 5', "plan.toml:4: .* the span is empty"),
        ('[[fault]]\nkind = "slow"\ntimes = 0', "times: 0 is not a whole number from 1"),
        ('[[fault]]\nkind = "slow"\ndelay = -1', "delay: -1 is not a span of seconds"),
        ('[[fault]]\nkind = "busy"\ndelay = 1', "busy takes no 'delay'; it is for 429, 503"),
        ('[[fault]]\nkind = "503"\nretry_after = "soon"', "neither whole seconds nor"),
        ('[[fault]]\nkind = "503"\ndelay = 1', "plan.toml:3: .* with retry_after"),
        ('[[fault]]\nkind = "slow"\ntext = "x"', "slow takes no 'text'"),
        ('[[fault]]\nkind = "stop"\ntries = 2', "stop takes no 'tries'; it is for busy"),
        ('[[fault]]\nkind = "refuse"\nmodel = "Users"', "refuse takes `from` and `to`, and no 'model'"),
        ('[[fault]]\nkind = "cabinet-error"\nmethod = "set"', r"plan.toml:3: .* only answers of web_cabinet\."),
    ],
)
def test_what_a_plan_is_refused_for(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(PlanError, match=said):
        plan_text([str(tmp_path / "plan.toml")])


@pytest.mark.parametrize("text", ["x = " + "[" * 3000, "seed = " + "9" * 5000])
def test_a_plan_that_attacks_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is not TOML: nested too deeply, or a number of too many digits"):
        read_plan(text)


def test_a_plan_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none.toml cannot be read: No such file"):
        plan_text([str(tmp_path / "none.toml")])
    (tmp_path / "plan.toml").write_bytes(b"\xff")
    with pytest.raises(PlanError, match="it is not UTF-8"):
        plan_text([str(tmp_path / "plan.toml")])


def test_flags(tmp_path: Path) -> None:
    assert read_flag("slow") == Fault(FaultKind.SLOW)
    assert read_flag("500-after-effect:0.25") == Fault(FaultKind.CRASH_AFTER, share=0.25)
    file = tmp_path / "plan.toml"
    file.write_text('seed = 3\n[[fault]]\nkind = "slow"', encoding="utf-8")
    words = ["503:0.5", str(file)]
    plan = FaultPlan((Fault(FaultKind.SLOW), Fault(FaultKind.UNAVAILABLE, share=0.5)), seed=3)
    assert plan_of_flags(words, None) == read_plan(plan_text(words)) == plan
    assert plan_of_flags(words, 9).seed == 9
    assert plan_of_flags([], None) == FaultPlan()
    with pytest.raises(PlanError, match=r"--fault b\.toml: one plan is given already, a\.toml"):
        plan_text(["a.toml", "b.toml"])
    for flag, said in (
        ("slo:0.1", "did you mean 'slow'"),
        ("slow:x", "'x' is not a number"),
        ("slow:2", "not a share"),
    ):
        with pytest.raises(PlanError, match=f"--fault {flag}: .*{said}"):
            read_flag(flag)
