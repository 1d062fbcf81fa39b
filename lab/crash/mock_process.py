"""The mock billing of an experiment: a process of its own, on ports that it keeps across restarts."""

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from random import Random
from signal import SIGTERM, Signals
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any, Final

import aiohttp
import anyio
import msgspec
from anyio.streams.text import TextReceiveStream

from lab.crash.errors import LabStopped
from lab.crash.loops import loops
from lab.crash.plan import ExperimentPlan
from lab.crash.program import Running, start
from lab.crash.proxy import Proxy
from lab.crash.stranger import Statement
from lab.mock.port import LOOPBACK
from texts.said import said

BILLING: Final = "billing.fdb"
OTHER_BILLING: Final = "other-billing.fdb"
PLAN: Final = "faults.toml"
_PORTS: Final = range(20_000, 32_000)
"""Below the ports of outgoing connections, which could take a port while the server is down."""


class MockProcess:
    """The server over the database in `folder`, with a proxy before it where the plan has one.

    `url` is the address for the load.
    """

    def __init__(self, folder: Path, plan: ExperimentPlan, environment: Mapping[str, str]) -> None:
        self.database = folder / BILLING
        self.licence = plan.licence
        self._injected: Counter[str] = Counter()
        self._folder = folder
        self._environment = environment
        self._running: Running | None = None
        self._counted: Counter[str] = Counter()
        port, control, before = free_ports(3)
        self._proxy = None if plan.proxy is None else Proxy(before, port, plan.proxy)
        self.url = f"http://{LOOPBACK}:{port if self._proxy is None else self._proxy.port}"
        self._control = f"http://{LOOPBACK}:{control}"
        traits = plan.traits
        self._arguments = ["mock", "serve", BILLING, "--port", str(port), "--control-port", str(control)]
        self._arguments += ["--latency-ms", str(traits.latency_ms), "--slots", str(traits.slots), "--fault", PLAN]
        if traits.stack_rate is not None:
            self._arguments += ["--stack-rate", str(traits.stack_rate)]
        for quirk in plan.quirks:
            self._arguments += ["--quirk", quirk]
        (folder / PLAN).write_text(plan.faults, encoding="utf-8")

    @property
    def injected(self) -> Counter[str]:
        """Counts of faults injected by all its processes and the proxy."""
        return self._injected if self._proxy is None else self._injected + self._proxy.done

    def serve_proxy(self) -> AbstractAsyncContextManager[None]:
        """Serve the proxy while the context lasts; the billing behind it may stop and start."""
        return nullcontext() if self._proxy is None else self._proxy.serving()

    async def start(self) -> None:
        """Start it and wait until it serves. Raises `LabStopped` when it does not."""
        self._counted.clear()
        licence = () if self.licence is None else ("--licence", str(self.licence))
        words, log = (*self._arguments, *licence), self._folder / "billing.log"
        self._running = running = await start(words, self._folder, self._environment, log, stdout=subprocess.PIPE)
        if running.process.stdout is None:
            raise RuntimeError("a process was started without its stdout")
        output = ""
        with anyio.move_on_after(loops(30.0)):
            async for part in TextReceiveStream(running.process.stdout):
                output += part
                if "control:" in output and output.endswith("\n"):
                    return
        await self.end(Signals.SIGKILL)
        why = running.said.strip() or output
        if not why:
            raise LabStopped(said("the mock billing did not start, and says nothing"))
        raise LabStopped("the mock billing did not start: {why}", why=why)

    async def end(self, number: Signals = SIGTERM) -> None:
        """End it by a signal, and count its injected faults."""
        if self._running is None:
            return
        try:
            await self._count()
        finally:
            await self._running.end(number)
            self._running = None

    async def clear_faults(self) -> None:
        """Remove all faults, also from the proxy."""
        if self._proxy is not None:
            self._proxy.is_calm = True
        await self.set_faults("")

    async def set_faults(self, plan: str) -> None:
        """Give it another fault plan; the proxy goes on as it is."""
        await self._count()
        await self._ask("PUT", "/faults", plan)
        self._counted.clear()

    async def extend_licence(self) -> None:
        """Let it have any number of subscribers, also after it is started again."""
        self.licence = None
        await self._ask("PUT", "/state", '{"licence": null}')

    async def let_in(self, statements: Sequence[Statement]) -> None:
        """Let a stranger carry out statements on its tables. Raises `LabStopped` where that fails."""
        words = (str(self.database), msgspec.json.encode(statements).decode())
        log, stranger = self._folder / "stranger.log", ("-m", "lab.crash.stranger")
        running = await start(words, self._folder, self._environment, log, program=stranger)
        if (await running.wait()).exit:
            raise LabStopped("a stranger has failed, see {file}", file=log.name)

    async def effects(self) -> int:
        return sum(total["effects"] for total in (await self._ask("GET", "/ledger?limit=1")).get("totals", ()))

    async def wait_for_stacks(self) -> None:
        """Wait until its stacks are empty. Raises `TimeoutError` when that takes too long."""
        with anyio.fail_after(loops(30.0)):
            while any(((await self._ask("GET", "/state")).get("stack") or {}).values()):  # noqa: ASYNC110 - it gives no event
                await anyio.sleep(0.1)

    async def _count(self) -> None:
        """Add the faults injected since the last count; those of a killed process are lost."""
        try:
            report = await self._ask("GET", "/faults")
        except (aiohttp.ClientError, TimeoutError):
            return
        # They count from its start, and may be given repeatedly.
        injected = Counter(report.get("injected", {}))
        self._injected += injected - self._counted
        self._counted = injected

    async def _ask(self, method: str, path: str, body: str = "") -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self._control + path, data=body.encode()) as response,
        ):
            found: dict[str, Any] = await response.json()
            return found


def free_ports(number: int) -> list[int]:
    """Ports that no process listens on, outside the range of outgoing connections."""
    draw = Random()
    found: list[int] = []
    while len(found) < number:
        port = draw.choice(_PORTS)
        with socket() as probe:
            probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
