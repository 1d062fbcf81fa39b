"""The flags that pace a run: what they mean to the engine, and what they do to a real one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from cli.settings.pacing_flags import Pacing
from cli.terminal.exits import CommandRefused
from engine.pacing.gauges import hours_of
from engine.pacing.limits import Percent
from engine.pacing.policy import ALL, Policy, policy_with
from lab.mock.worker import MockAnswer
from tests.cli.conftest import Ended, Place

Typed = Callable[..., Ended]

AT_ONCE = 0.0
"""Entries of the billing's stacks that are worked off a second."""


def policy_of(pacing: Pacing) -> Policy:
    return policy_with(Policy(), pacing.given, ALL)


def test_without_flags_nothing_is_said() -> None:
    assert Pacing().given == {}


def test_a_flag_with_the_default_says_it_all_the_same() -> None:
    assert Pacing(max_in_flight="64", no_canary=False).given == {"max-in-flight": "64", "canary": "yes"}


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ({"in_flight": "8"}, {"in_flight": 8}),
        ({"in_flight": "auto"}, {}),
        ({"max_in_flight": "16"}, {"max_in_flight": 16}),
        ({"rate": "2.5"}, {"rate": 2.5}),
        ({"rate": "none"}, {}),
        ({"hours": "22:00-05:30"}, {"hours": hours_of("22:00-05:30")}),
        ({"hours": "always"}, {}),
        ({"max_stack": "0"}, {"max_stack": 0}),
        ({"max_latency": "1.5"}, {"max_latency": 1.5}),
        (
            {"throttle_sql": "select 1 from rdb$database", "throttle_above": "0.5"},
            {"throttle_sql": "select 1 from rdb$database", "throttle_above": 0.5},
        ),
        ({"throttle_sql": "none"}, {}),
        ({"min_disk": "50"}, {"min_disk": 50_000_000}),
        ({"stop_after_errors": "1%"}, {"stop_after_errors": Percent(Decimal(1))}),
        ({"stop_after_errors": "0"}, {"stop_after_errors": None}),
        ({"limit_money": "10 000,50"}, {"limit_money": Decimal("10000.50")}),
        ({"no_canary": True}, {"canary": False}),
        ({"settle": "0"}, {"settle": 0.0}),
    ],
)
def test_each_flag_means_one_thing(flags: dict[str, Any], policy: dict[str, Any]) -> None:
    assert policy_of(Pacing(**flags)) == replace(Policy(), **policy)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"rate": "0"}, "--rate: '0' is not a valid rate"),
        ({"in_flight": "many"}, "--in-flight: 'many' is not a whole number"),
        ({"rate": "nan"}, "--rate: 'nan'"),
        ({"settle": "inf"}, "--settle: 'inf'"),
        ({"hours": "night"}, "--hours: 'night' is not a time range"),
        ({"max_latency": "0"}, "--max-latency: '0' is not a valid latency"),
        ({"max_latency": "nan"}, "--max-latency: 'nan'"),
        ({"throttle_sql": "select 1 from rdb$database"}, "--throttle-sql and --throttle-above belong together"),
        ({"throttle_above": "1"}, "--throttle-sql and --throttle-above belong together"),
        ({"throttle_sql": "none", "throttle_above": "1"}, "--throttle-sql and --throttle-above belong together"),
        ({"throttle_sql": "x", "throttle_above": "nan"}, "--throttle-above: 'nan'"),
        ({"stop_after_errors": "some"}, "--stop-after-errors: 'some' is not a limit"),
        ({"limit_money": "10,000"}, "--limit-money: '10,000' is not a limit"),
    ],
)
def test_what_means_nothing_is_refused_with_its_flag(flags: dict[str, Any], why: str) -> None:
    with pytest.raises(CommandRefused) as refused:
        _ = Pacing(**flags).given
    assert str(refused.value).startswith(why)


def test_a_bad_flag_is_a_sentence_and_exit_code_2(typed: Typed) -> None:
    for flags in (("--hours", "1-6"), ("--limit-money", "10,000"), ("--stop-after-errors", "1.5")):
        ended = typed("resume", "k7m2q", *flags)
        assert ended.exit == 2
        assert f"✗ {flags[0]}: " in ended.err


# ---- a real run --------------------------------------------------------------------------------------------------


async def test_a_run_stops_before_it_passes_the_limit_of_money_and_goes_on_with_a_higher_one(place: Place) -> None:
    balances = place.balances(60)
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--json", "--limit-money", "40", may_end_with=(3,)
    )
    found = await place.found()
    assert found.rows == ended.closing["states"]["accepted"] > 10
    assert "--limit-money 40.00" in ended.closing["stopped"]
    name = ended.closing["run"]
    again = await place.cli("resume", "--settle", "0", name, "--json", "--limit-money", "40", may_end_with=(3,))
    assert again.closing["calls"] == 0
    higher = await place.cli("resume", "--settle", "0", name, "--json", "--limit-money", "none")
    assert higher.closing["states"] == {"accepted": 60}
    assert (await place.found()).most_for_one == 1


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


async def test_a_load_that_would_bury_the_stacks_is_held_and_the_closing_object_says_for_how_long(
    place: Place,
) -> None:
    place.works_off_the_first_alone()
    balances = place.balances(120)
    arguments = ("--yes", "--json", "--max-stack", "20", "--in-flight", "8", "--no-canary")
    async with place.cli.started("run", "balances", balances.path, *arguments) as run:
        await run.said("held by=ACCOUNT_STACK")
        assert place.traffic.arrived < 120
        place.billing.stack_rate = AT_ONCE
        ended = await run.ended()
    assert ended.closing["states"] == {"accepted": 120}
    assert 0 < ended.closing["held"]["ACCOUNT_STACK"] <= ended.closing["seconds"]


def busy(number: int) -> web.Response:
    """Busy in both its forms by turns."""
    if number % 2:
        return web.Response(status=429)
    return web.json_response({"call": "FinanceOperations", "error": "Слишком частые запросы"})


async def test_a_billing_that_is_busy_for_a_spell_is_not_flooded_and_is_loaded_fully_again(place: Place) -> None:
    place.billing.latency, place.billing.slots = 0.02, 4
    balances = place.balances(200)
    sick = False
    place.traffic.answer = lambda number: busy(number) if sick else None
    most = 2
    flags = ("--yes", "--no-canary", "--max-in-flight", str(most), "--settle", "0.2")
    async with place.cli.started("run", "balances", balances.path, *flags) as run:
        await place.traffic.reaches(50)
        sick = True
        await run.said("the billing is busy")
        began = anyio.current_time()
        # Those that were under way may still arrive. Behind them come trial calls and retries in hand, with gaps
        # between them; a flood would be there in a few milliseconds.
        await place.traffic.reaches(place.traffic.arrived + most + 2)
        assert anyio.current_time() - began >= 1.0
        sick = False
        # A call a second, and the rest would take minutes.
        assert (await run.ended()).exit == 0
    assert (await place.found()).rows == 200


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


async def test_outside_its_hours_a_run_waits_and_says_what_time_it_is_at_the_billing(place: Place) -> None:
    hours = await _hours_without_now(place)
    balances = place.balances(5)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--hours", hours) as run:
        heard = await run.said("at the billing")
        assert f"hours {hours}" in heard
        assert place.traffic.arrived == 0


async def _hours_without_now(place: Place) -> str:
    """An hour of the day that is half a day away from the billing's."""
    ((hour,),) = place.billing.database.query("select extract(hour from current_timestamp) from rdb$database")
    return f"{(hour + 11) % 24:02}:00-{(hour + 12) % 24:02}:00"


async def test_a_select_of_ones_own_that_is_none_sends_nothing(place: Place) -> None:
    balances = place.balances(5)
    arguments = ("--yes", "--json", "--throttle-sql", "select nothing", "--throttle-above", "5")
    ended = await place.cli("run", "balances", balances.path, *arguments, may_end_with=(2,))
    assert "--throttle-sql" in ended.closing["error"]
    assert place.traffic.arrived == 0
    assert (await place.cli("run", "balances", balances.path, "--yes", "--json")).closing["states"] == {"accepted": 5}
