"""A job in real processes, on a mock billing of its own: planned, killed in the middle, resumed, verified."""

import shutil
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tests.cli.conftest import Place, place_in


@dataclass(slots=True)
class Flow(Place):
    @property
    def folder(self) -> Path:
        return self.cli.folder

    def files_with(self, words: Sequence[str]) -> set[str]:
        """The files of the folder that hold one of these words, recordings unpacked."""

        def bytes_of(path: Path) -> bytes:
            data = path.read_bytes()
            # What can be unpacked of a recording, whose process may have been killed.
            return zlib.decompressobj(wbits=31).decompress(data) if path.suffix == ".gz" else data

        kept = {path.name: bytes_of(path) for path in self.folder.iterdir() if path.is_file()}
        return {name for name, data in kept.items() if any(word.encode() in data for word in words)}

    async def go(
        self,
        *arguments: str | Path,
        kill_at: int,
        killed: Callable[[], None] = lambda: None,
        run_only: Sequence[str] = (),
        may_end_with: Sequence[int] = (0,),
        verify_ends_with: int = 0,
    ) -> dict[str, Any]:
        """Plan, run, kill when so many calls have arrived, look, resume, verify; what the resuming closes with."""
        await self.cli("plan", *arguments)
        assert self.traffic.arrived == 0
        pacing = ("--yes", "--in-flight", "4", "--no-canary", "--record", "first.gz")
        await self.kill_at(kill_at, "run", *arguments, *run_only, *pacing)
        killed()
        resume = ("resume", "--json", "--yes", "--settle", "0.1", "--record", "second.gz")
        closing = (await self.cli(*resume, may_end_with=may_end_with)).closing
        assert closing["calls"] > 0
        await self.cli("verify", closing["run"], may_end_with=(verify_ends_with,))
        return closing


@asynccontextmanager
async def flow(
    template: Path, folder: Path, statements: Sequence[tuple[str, Sequence[object]]] = ()
) -> AsyncIterator[Flow]:
    """A flow in a folder that is made for it; the statements are done before its commands are typed."""
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    file = Path(await anyio.to_thread.run_sync(shutil.copy, template, folder / "billing.fdb"))
    async with place_in(folder / "work", file) as place:
        place.billing.latency, place.traffic.model = 0.03, ""
        for sql, values in statements:
            await place.execute(sql, *values)
        yield Flow(place.cli, place.billing, place.traffic, place.file)
