"""A mock billing with a client of it, and how a test waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from typing import Any

from billing.api.client import BillingClient, ClientSettings
from lab.crash.loops import loops
from lab.mock.server import MockBilling, running

PATIENCE = loops(30)


@asynccontextmanager
async def served(
    file: Path, *, read: float = 30.0, **traits: Any
) -> AsyncIterator[tuple[MockBilling, BillingClient]]:
    """A mock billing with these traits, and a client of it."""
    async with (
        running(file, **traits) as server,
        BillingClient(ClientSettings(server.url, connect=30.0, read=read, deadline=30.0)) as client,
    ):
        yield server, client


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.005)
