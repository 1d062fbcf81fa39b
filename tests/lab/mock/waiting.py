"""Waiting for what only another process, or the loop itself, brings about."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from lab.crash.loops import loops

PATIENCE = loops(30)


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.005)
