"""The flags that pace a run: what they mean to the engine, and what they do to a real one."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from cli.settings.pacing_flags import Pacing
from lab.mock.worker import MockAnswer
from tests.cli.conftest import Ended, Place, Typed


def test_a_flag_says_what_it_was_given_also_where_that_is_the_default() -> None:
    assert Pacing().given == {}
    assert Pacing(max_in_flight="64", no_canary=False).given == {"max-in-flight": "64", "canary": "yes"}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("--rate 0", "--rate: '0' is not a valid rate"),
        ("--hours 1-6", "--hours: '1-6' is not a time range"),
        ("--max-latency nan", "--max-latency: 'nan'"),
        ("--limit-money 10,000", "--limit-money: '10,000' is not a limit"),
        ("--throttle-sql none --throttle-above 1", "--throttle-sql and --throttle-above belong together"),
        ("--throttle-sql x", "--throttle-sql and --throttle-above belong together"),
        ("--throttle-above 1", "--throttle-sql and --throttle-above belong together"),
        ("--throttle-sql x --throttle-above nan", "--throttle-above: 'nan'"),
    ],
)
def test_what_means_nothing_is_refused_with_its_flag_and_exit_code_2(flags: str, why: str, typed: Typed) -> None:
    ended = typed("resume", "k7m2q", *flags.split())
    assert (ended.exit, f"✗ {why}" in ended.words) == (2, True), ended.err


# ---- a real run --------------------------------------------------------------------------------------------------


async def test_a_new_error_in_the_first_rows_stops_a_run_with_3_and_says_how_to_go_on(place: Place) -> None:
    place.traffic.answer = lambda number: (
        web.json_response({"call": "FinanceOperations", "error": "Тариф 17 закрыт"}) if number == 4 else None
    )
    balances = place.balances(200)
    ended = await place.cli("run", "balances", balances.path, "--yes", "--json", may_end_with=(3,))
    assert place.traffic.arrived <= 11
    for words in ("Тариф 17 закрыт", "--no-canary", f"carbon-migrate resume {ended.closing['run']}"):
        assert words in ended.closing["stopped"]
    resumed = await place.cli("resume", "--settle", "0", "--json", may_end_with=(1,))
    assert resumed.closing["states"] == {"accepted": 199, "rejected": 1}


async def test_the_rate_holds_for_what_is_read_through_the_api_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    balances = place.balances(8)
    arrived: list[float] = []
    carry_out = place.billing._carry_out

    async def noted(model: str, form: Mapping[str, str]) -> MockAnswer:
        if model != "Version":
            arrived.append(anyio.current_time())
        return await carry_out(model, form)

    async def reading(*words: str | Path) -> Ended:
        arrived.clear()
        ended = await place.cli(*words, "--json", "--database", "")
        assert len(arrived) >= 8
        assert arrived[7] - arrived[0] >= 7 / 20 - 0.1
        return ended

    monkeypatch.setattr(place.billing, "_carry_out", noted)
    await reading("plan", "balances", balances.path, "--rate", "20")
    closing = (await reading("run", "balances", balances.path, "--yes", "--no-canary", "--rate", "20")).closing
    assert closing["states"] == {"accepted": 8}
    # The run keeps its rate, also for reading back.
    assert (await reading("verify", closing["run"])).closing["applied"] == 8
