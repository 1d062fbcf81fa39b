"""What aiohttp alone can do: a plain loop, tuned, that keeps nothing and looks at nothing but the JSON.

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

BODY: Final = (
    b"method1=objects.create&arg1=%7B%22abonent_id%22%3A1111%2C%22op_summa%22%3A%2250.50%22%2C%22op_type_id%22%3A8"
    b"%2C%22descr%22%3A%22%D0%9C%D0%B8%D0%B3%D1%80%D0%B0%D1%86%D0%B8%D1%8F%20%D0%B1%D0%B0%D0%BB%D0%B0%D0%BD%D1%81"
    b"%D0%BE%D0%B2%20%5Bcm%20k7m2q%2F1%5D%22%7D&fields=%5B%22op_id%22%5D"
)
"""One body for all: even making it would be work."""


async def bare(url: str, rows: int) -> float:
    """The seconds that so many calls take, 64 workers sharing one iterator."""
    address = URL(url + f"/rest_api/v2/{MODEL}/")
    numbers = iter(range(rows))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in numbers:
            async with session.post(address, data=BODY) as response:
                msgspec.json.decode(await response.read())

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        began = time.perf_counter()
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began


async def _main(rows: int, url: str) -> None:
    print(msgspec.json.encode({"sending": await bare(url, rows)}).decode())


if __name__ == "__main__":
    on_uvloop(_main, int(sys.argv[1]), sys.argv[2])
