"""Plain loops without durability that parse only the JSON: aiohttp's own session, and the engine's wire.

`python -m benchmarks.bare ROWS URL` is one measured process.
"""

import asyncio
import sys
import time
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from benchmarks.entering import IN_FLIGHT, MODEL, on_uvloop
from billing.api.client import ClientSettings
from billing.api.wire import Flight, Limits, Wire

BODY: Final = (
    b"method1=objects.create&arg1=%7B%22abonent_id%22%3A1111%2C%22op_summa%22%3A%2250.50%22%2C%22op_type_id%22%3A8"
    b"%2C%22descr%22%3A%22%D0%9C%D0%B8%D0%B3%D1%80%D0%B0%D1%86%D0%B8%D1%8F%20%D0%B1%D0%B0%D0%BB%D0%B0%D0%BD%D1%81"
    b"%D0%BE%D0%B2%20%5Bcm%20k7m2q%2F1%5D%22%7D&fields=%5B%22op_id%22%5D"
)
"""One body for all requests, so that creating it costs nothing."""
PATH: Final = f"/rest_api/v2/{MODEL}/"
HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}


async def bare(url: str, rows: int) -> float:
    """Seconds for this many calls, with 64 workers that share one iterator."""
    address = URL(url + PATH)
    numbers = iter(range(rows))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in numbers:
            async with session.post(address, data=BODY) as response:
                msgspec.json.decode(await response.read())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=HEADERS) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began


async def wired(url: str, rows: int) -> float:
    """The same over `billing.api.wire`, the engine's wire; the difference to the engine is its work for each row."""
    told = ClientSettings(url)
    wire = Wire(url, HEADERS, Limits(told.connect, told.read, told.deadline, told.answer_limit))
    numbers = iter(range(rows))

    async def work() -> None:
        for number in numbers:
            flight = Flight(BODY, number)
            msgspec.json.decode(await wire.post(PATH, flight) or b"")
            wire.finish(flight, clean=True)

    try:
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began
    finally:
        await wire.close()


async def _main(rows: int, url: str) -> None:
    print(msgspec.json.encode({"sending": await bare(url, rows)}).decode())


if __name__ == "__main__":
    on_uvloop(_main, int(sys.argv[1]), sys.argv[2])
