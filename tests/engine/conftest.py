"""Which clock a test of the engine runs on: `pytestmark = pytest.mark.virtual_clock` asks for the jumping one.

On the real one `no_waiting` lets what failed go again at once.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import pytest

from tests.virtual_clock import VirtualClockLoop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_clock: time jumps to the next timer when nothing else is ready")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_clock"):
        return {"virtual": VirtualClockLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def one_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured by the monotonic clock jumps along, in tests on the virtual one."""
    if request.node.get_closest_marker("virtual_clock") is None:
        return
    real = time.monotonic

    def monotonic() -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return real()

    monkeypatch.setattr(time, "monotonic", monotonic)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may go again at once."""

    def at_once(_failures: int, _retry_after: float | None = None) -> float:
        return 0.0

    monkeypatch.setattr("engine.pipeline.pipeline.backoff", at_once)
    monkeypatch.setattr("engine.pacing.breaker.SHORTEST_GAP", 0.0)
