"""What a run needs of open files is there before it begins, or is told."""

import resource

import pytest

from engine.pacing.open_files import BASE, TooFewFiles, provide_files, widest
from engine.pacing.policy import Policy


class FilesOfASystem:
    """The limits of a process, soft and hard."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = soft, hard

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def put(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        assert limits[1] == self.limits[1]
        self.limits = limits


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> FilesOfASystem:
    system = FilesOfASystem(*request.param)
    monkeypatch.setattr(resource, "getrlimit", system.get)
    monkeypatch.setattr(resource, "setrlimit", system.put)
    return system


NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limited", "calls", "soft"),
    [
        ((1024, 4096), 64, 1024),
        ((64, 4096), 64, 192),
        ((1024, NO_LIMIT), 1000, BASE + 2000),
        ((NO_LIMIT, NO_LIMIT), 1000, NO_LIMIT),
        ((192, 192), 64, 192),
        ((16, 64), 0, 64),
    ],
    indirect=["limited"],
)
def test_the_limit_is_raised_as_far_as_is_needed(limited: FilesOfASystem, calls: int, soft: int) -> None:
    provide_files(calls)
    assert limited.limits[0] == soft


@pytest.mark.parametrize(
    ("limited", "calls", "told"),
    [
        ((64, 64), 64, r"64 parallel calls need 192 open files, and the system lets this process open 64\. Raise"),
        ((100, 191), 64, r"open 191; with it, 63 are possible\. Raise the limit: ulimit -n 4096"),
        ((16, 32), 0, "this command needs 64 open files"),
    ],
    indirect=["limited"],
)
def test_a_system_that_allows_too_few_is_told(limited: FilesOfASystem, calls: int, told: str) -> None:
    before = limited.limits
    with pytest.raises(TooFewFiles, match=told):
        provide_files(calls)
    assert limited.limits == before


@pytest.mark.parametrize(
    ("policy", "most"), [(Policy(), 64), (Policy(in_flight=3), 3), (Policy(in_flight=200, max_in_flight=10), 200)]
)
def test_the_widest_is_what_the_policy_allows(policy: Policy, most: int) -> None:
    assert widest(policy) == most
