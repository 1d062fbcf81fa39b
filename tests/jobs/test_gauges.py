"""The gauges against a mock billing with stacks: what they read. What they hold stands in tests/engine/pacing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import gettempdir

import pytest

from billing.api.client import BillingClient, ClientSettings, Health
from billing.directory.system import STACKS
from billing.errors import BillingAway
from engine.errors import InputRefused, LookUpFailed
from engine.pacing.gauges import hours_of
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge, GaugeReading
from jobs.access.gateway import Gateway
from jobs.gauges import MEASURED_EVERY, BillingClock, gauges_of
from lab.mock.server import MockBilling
from tests.jobs.conftest import Execute

JOURNAL = Path(gettempdir())


async def gauge_of(gateway: Gateway, name: str, policies: Sequence[Policy]) -> Gauge:
    """The gauge of a name; the last of the policies is in force."""
    gauges = await gauges_of(gateway, lambda: policies[-1], JOURNAL)
    (found,) = [gauge for gauge in gauges if gauge.name == name]
    return found


async def measured(gateway: Gateway, name: str, policy: Policy) -> GaugeReading:
    measure = await (await gauge_of(gateway, name, [policy])).measure()
    assert measure is not None
    return measure


# ---- the stacks --------------------------------------------------------------------------------------------------


async def test_there_is_a_gauge_for_each_stack_that_the_billing_has(both: Gateway, execute: Execute) -> None:
    # The mock has no third stack; a billing that has it gets a gauge of its own.
    assert [one.name for one in await gauges_of(both, Policy, JOURNAL)] == ["disk", "hours", *STACKS[:2], "latency"]
    without = await gauges_of(replace(both, database=None), Policy, JOURNAL)
    assert [one.name for one in without] == ["disk", "hours", "latency"]
    execute("create table events_stack (id integer not null primary key)")
    execute.put("events_stack", id=1)
    # What a billing has is asked for once a connection.
    assert both.database
    both.database.close()
    assert await measured(both, "EVENTS_STACK", Policy(max_stack=1000)) == GaugeReading(1, 1000, 800, grows=True)


async def test_the_threshold_is_that_in_force_and_0_is_none(both: Gateway) -> None:
    policies = [Policy(max_stack=50)]
    stack = await gauge_of(both, "ACCOUNT_STACK", policies)
    assert await stack.measure() == GaugeReading(0, 50, 40, grows=True)
    policies.append(Policy(max_stack=7))
    assert await stack.measure() == GaugeReading(0, 7, 5, grows=True)
    policies.append(Policy(max_stack=0))
    assert await stack.measure() is None


# ---- the billing's clock, and its hours --------------------------------------------------------------------------

HERE = datetime(2025, 11, 24, 12, 0)  # noqa: DTZ001 - a billing's time has no zone


class Told(BillingClient):
    """A client of a billing that tells another time than ours, or none, or is away."""

    def __init__(self, server_time: str | None) -> None:
        super().__init__(ClientSettings("http://localhost:1"))
        self.server_time = server_time
        self.away = False
        self.asked = 0

    async def health(self) -> Health:
        self.asked += 1
        if self.away:
            raise BillingAway("nobody answers")
        return Health("5.24", self.server_time, 2.0)


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("2025-11-24 17:00:00", HERE + timedelta(hours=5, seconds=1)),
        ("2025-11-24T17:00:00.500+05:00", HERE + timedelta(hours=5, seconds=1.5)),
        ("2025-11-23 23:00:00", HERE - timedelta(hours=13, seconds=-1)),
        ("half past five", HERE),
        (None, HERE),
    ],
)
async def test_the_time_is_the_billings_and_ours_where_it_tells_none(said: str | None, there: datetime) -> None:
    assert await BillingClock(Gateway(Told(said)), lambda: HERE).now() == there


async def test_the_clock_is_asked_at_times_and_goes_on_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Told("2025-11-24 17:00:00")
    clock = BillingClock(Gateway(client), lambda: HERE)
    client.away = True
    with pytest.raises(LookUpFailed, match="nobody answers"):
        await clock.now()
    client.away = False
    there = await clock.now()
    for _ in range(9):
        there = await clock.now()
    assert client.asked == 2
    client.away = True
    monkeypatch.setattr("jobs.gauges.MEASURED_EVERY", -1.0)
    assert await clock.now() == there
    client.away, client.server_time = False, "2025-11-24 18:00:00"
    assert await clock.now() == there + timedelta(hours=1)
    assert MEASURED_EVERY >= 60


async def test_the_hours_are_those_of_the_billing() -> None:
    gateway = Gateway(Told(f"{datetime.now() + timedelta(hours=12):%Y-%m-%d %H:%M:%S}"))  # noqa: DTZ005
    hour = datetime.now().hour  # noqa: DTZ005
    there = f"{(hour + 11) % 24:02}:00-{(hour + 14) % 24:02}:00"
    here = f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"
    inside = await measured(gateway, "hours", Policy(hours=hours_of(there)))
    outside = await measured(gateway, "hours", Policy(hours=hours_of(here)))
    assert inside.value <= inside.low
    assert outside.value > outside.high


# ---- latency, disk, a select of one's own ------------------------------------------------------------------------


async def test_the_smallest_question_tells_how_long_it_takes(both: Gateway, mock_billing: MockBilling) -> None:
    mock_billing.latency = 0.2
    measure = await measured(both, "latency", Policy(max_latency=0.1))
    assert measure.value > measure.high == 0.1
    assert "0.1 s are the most" in measure.text
    mock_billing.latency = 0.0
    measure = await measured(both, "latency", Policy(max_latency=5.0))
    assert measure.value < measure.low
    # The disk is the journal's.
    measure = await measured(both, "disk", Policy(min_disk=1))
    assert measure.value < measure.low


async def test_without_a_threshold_nobody_asks_for_the_latency_and_one_that_comes_later_is_heeded() -> None:
    client, policies = Told(None), [Policy()]
    gauge = await gauge_of(Gateway(client), "latency", policies)
    assert (await gauge.measure(), client.asked) == (None, 0)
    policies.append(Policy(max_latency=1.5))
    assert await gauge.measure() == GaugeReading(
        2.0, 1.5, 1.2000000000000002, text="latency: the billing takes 2 s, 1.5 s are the most"
    )
    policies.append(Policy(max_latency=2.2))
    measure = await gauge.measure()
    assert measure is not None
    assert measure.text == "latency: the billing takes 2 s, goes on at 1.76 s"


def own(select: str, above: float) -> Policy:
    return Policy(throttle_sql=select, throttle_above=above)


async def test_a_select_of_ones_own_goes_on_at_less_than_it_holds_at(both: Gateway) -> None:
    for number, above, low, text in [
        (5_120_000, 1000.0, 800.0, "5,120,000 > 1,000"),
        (900, 1000.0, 800.0, "900 goes on at 800"),
        (1, 0.0, 0.0, "1 > 0"),
        (-9, -10.0, -12.0, "-9 > -10"),
    ]:
        policies = [own(f"select {number} from rdb$database", 4.0)]  # noqa: S608 - a number
        gauge = await gauge_of(both, "throttle-sql", policies)
        # Another number counts at once.
        policies.append(replace(policies[0], throttle_above=above))
        measure = await gauge.measure()
        assert measure is not None
        assert (measure.value, measure.high, measure.low, measure.grows) == (number, above, low, False)
        assert measure.text == f"throttle-sql {text}"


async def test_a_select_that_gives_no_number_is_refused_before_anything_is_sent(both: Gateway) -> None:
    for select, why in [
        ("select count(*) from no_such_table", "NO_SUCH_TABLE"),
        ("select id, id from abonents", "one row with one number"),
        ("select id from abonents", "one row with one number"),
        ("select name from abonents where id = (select min(id) from abonents)", "one row with one number"),
        ("select id from abonents where 1 = 0", "one row with one number"),
        ("select null from rdb$database", "one row with one number"),
        ("delete from abonents", ""),
    ]:
        with pytest.raises(InputRefused, match=r"^--throttle-sql ") as refused:
            await gauge_of(both, "throttle-sql", [own(select, 3.0)])
        assert why in str(refused.value)
    assert both.database
    assert list(both.database.query("select count(*) from abonents")) != [(0,)]
    with pytest.raises(InputRefused, match="needs the billing's database"):
        await gauge_of(replace(both, database=None), "throttle-sql", [own("select 1 from rdb$database", 3.0)])
