"""Slots, their queue, and a capacity that changes."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from billing.api.calls import create
from billing.api.client import BillingClient, ClientSettings
from billing.errors import SettingsError
from engine.evidence import Accepted, Lost
from lab.mock.capacity import QueueFull, Schedule, Slots, read_schedule
from lab.mock.server import running
from tests.lab.mock.waiting import until


async def test_slots_and_a_queue_that_is_bounded() -> None:
    slots = Slots(2, queue=1)
    begun: list[int] = []
    for number in range(3):
        slots.enter(partial(begun.append, number))
    assert begun == [0, 1]
    assert (slots.taken, slots.waiting, slots.full) == (2, 1, True)
    with pytest.raises(QueueFull):
        slots.enter(partial(begun.append, 3))
    slots.total = 3
    assert (begun, slots.taken, slots.waiting) == ([0, 1, 2], 3, 0)
    slots.total = 1
    assert slots.taken == 3, "who is at work is not disturbed"
    slots.enter(partial(begun.append, 4))
    for _ in range(3):
        assert 4 not in begun
        slots.leave()
    assert (begun, slots.taken) == ([0, 1, 2, 4], 1)
    idle = asyncio.create_task(slots.wait_until_idle())
    await asyncio.sleep(0)
    assert not idle.done()
    slots.leave()
    await idle


async def test_no_queue_at_all() -> None:
    slots = Slots(1, queue=0)
    slots.enter(lambda: None)
    with pytest.raises(QueueFull):
        slots.enter(lambda: None)


def test_a_schedule() -> None:
    assert read_schedule("0:8, 30:4,60.5:16") == Schedule(((0.0, 8), (30.0, 4), (60.5, 16)))
    for text in ("", "8", "a:8", "0:b", "0:0", "-1:5", "30:4,20:8", "nan:4"):
        with pytest.raises(SettingsError):
            read_schedule(text)


async def test_a_schedule_is_followed() -> None:
    slots = Slots(64)
    await Schedule(((0.0, 8), (0.01, 4), (0.02, 2))).follow(slots)
    assert slots.total == 2


async def test_who_finds_no_room_is_turned_away_without_an_effect(billing_file: Path) -> None:
    async with (
        running(billing_file, slots=1, queue=1, latency=0.2) as server,
        BillingClient(ClientSettings(server.url)) as client,
    ):
        calls = [
            create("FinanceOperations", abonent_id=abonent, op_summa="1", op_type_id=8)
            for abonent in range(2001, 2009)
        ]
        seen = await asyncio.gather(*map(client.send, calls))
        answered = [each for each in seen if isinstance(each, Accepted)]
        assert len(answered) == sum(server.ledger.effects("FinanceOperations").values()) == 2
        # 503 without Retry-After promises nothing: it is for the client to find out.
        assert [type(each) for each in seen].count(Lost) == server.state()["turned_away"] == 6


async def test_a_server_whose_capacity_changes(billing_file: Path) -> None:
    async with running(billing_file, slots=64, capacity=read_schedule("0:5,0.05:3")) as server:
        await until(lambda: server.slots == 3)
