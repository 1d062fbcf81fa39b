"""The commands on job files: `run FILE.toml`, `plan FILE.toml`, and `run … --save FILE.toml`."""

from pathlib import Path
from typing import Final

import anyio.to_thread

from cli import planning
from cli.beginning import Order
from cli.exits import Exit
from cli.jobfile.reading import JobFile, read
from cli.jobfile.steps import Manner, run_file
from cli.jobfile.writing import save
from cli.options import Consent, Pacing, with_file
from cli.report import Closing
from cli.screen import Screen
from cli.settings import Settings
from cli.texts import shown

TOML: Final = ".toml"
"""Ends the name of a job file, and no job's."""


async def run(
    name: str, settings: Settings, pacing: Pacing, consent: Consent, screen: Screen, *, record: Path | None
) -> Closing:
    """Take the steps of the job file in order. Raises `JobFileRefused`, and what `run_file` raises."""
    file = await _read(name)
    manner = Manner(with_file(pacing, file.pacing).policy, consent, record)
    return await run_file(file, settings, manner, screen)


async def plan(name: str, out: Path | None, settings: Settings, screen: Screen) -> Exit:
    """Say what each step would do; a later one is planned as if those before it had done nothing yet."""
    file = await _read(name)
    worst = Exit.DONE
    for step in file.steps:
        screen.result(f"\n[bold]Step {step.number} of {len(file.steps)}:[/] {shown(step.order.kind.name)}")
        folder = out / f"step-{step.number}" if out else None
        worst = max(worst, await planning.plan(step.order, folder, settings, screen))
    return worst


def saved(order: Order, path: Path, screen: Screen, *, force: bool) -> Closing:
    """Write the order as a job file. Raises `CommandRefused`."""
    save(order, path, force=force)
    screen.result(f"Saved as {shown(path)}; nothing was sent. Run it with: carbon-migrate run {shown(path)}")
    return Closing(Exit.DONE, job=order.kind.name)


async def _read(name: str) -> JobFile:
    return await anyio.to_thread.run_sync(read, Path.cwd() / name)
