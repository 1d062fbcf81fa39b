"""The steps of a job file, one after the other, each a run of its own, with a barrier between them.

The same command again goes on: a step that is done is passed over, one that was stopped is taken up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog

from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run, Stage
from checkpoints.states import State
from cli.beginning import held, unfinished
from cli.commands import begun_run
from cli.errors import CommandRefused
from cli.exits import Exit, outcome_of
from cli.jobfile.reading import JobFile, Step
from cli.names import PROGRAM
from cli.options import Consent
from cli.report import Closing
from cli.running import Going, Means
from cli.screen import Screen
from cli.sessions import Billing, open_billing, rebuild, vault_of, with_vault
from cli.settings import Settings
from cli.texts import plain, rows, shown
from engine.job import Job
from engine.policy import Policy

log = structlog.get_logger(__name__)

GAP = 1.0
"""Seconds between two looks at the billing's stacks."""

STEP = "input_step"
"""What a run remembers of the step that it is: `file.toml#2`."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How all steps are worked on."""

    policy: Policy
    consent: Consent
    record: Path | None = None


async def run_file(file: JobFile, settings: Settings, manner: Manner, screen: Screen) -> Closing:
    """Take the steps in order; the closing is the last one's.

    A step that ends with anything but success ends the file there, unless its `go_on` lets rejected rows pass.
    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`.
    """
    closing = Closing(Exit.DONE)
    async with open_billing(settings, manner.record) as billing, open_journal(settings.journal.value) as journal:
        for step in file.steps:
            consent = replace(manner.consent, skip_bad=manner.consent.skip_bad or step.skip_bad)
            means = Means(billing, journal, manner.policy, consent, screen)
            screen.say(f"\n[bold]Step {step.number} of {len(file.steps)}:[/] {shown(step.order.kind.name)}")
            closing = await _worked(file, step, settings, means)
            if closing.exit is not Exit.DONE and not (step.go_on and closing.exit is Exit.REJECTED):
                _tell_the_end(file, step, closing, screen)
                return closing
            if step is not file.steps[-1] and closing.run is not None:
                run = await journal.run(closing.run)
                await _barrier(run, await _job(run, billing, journal), means)
    return closing


async def _worked(file: JobFile, step: Step, settings: Settings, means: Means) -> Closing:
    """Begin the step, take it up, or pass it over, as it stands in the journal."""
    journal = means.journal
    name = {STEP: f"{file.path.absolute()}#{step.number}"}
    before = await _earlier(step, name, settings.target, journal)
    if before is None:
        return await begun_run(step.order, settings, means, output=step.output, remembered=name)
    if not await unfinished(before, journal):
        totals = await journal.totals(before)
        means.screen.say(f"done before: run {before.name}, {rows(totals.frozen)}")
        return Closing(outcome_of(totals), before.name, before.job, totals)
    if holder := journal.holder(before):
        raise await held(before, journal, f"another process works on this run: {holder}")
    means.screen.say(f"taking up run {before.name}")
    billing = with_vault(means.billing, vault_of(before, journal))
    job = await rebuild(before, billing.services, journal)
    return await Going(before, job, replace(means, billing=billing), fresh=False).go()


async def _earlier(step: Step, name: Mapping[str, str], target: str, journal: Journal) -> Run | None:
    """The run that this step has begun before, None where it has not, or where the step has been edited since."""
    wanted = {**step.order.parameters, **step.order.rows.recorded, **name}
    secret = {parameter.name for parameter in step.order.kind.parameters if parameter.secret}
    for run in reversed(await journal.runs()):
        said = {key: value for key, value in run.parameters.items() if key in wanted}
        same = all(said.get(key) == value for key, value in wanted.items() if key not in secret)
        if run.job == step.order.kind.name and run.target == target and same and run.stage is not Stage.DISCARDED:
            return run
    return None


async def _job(run: Run, billing: Billing, journal: Journal) -> Job:
    return await rebuild(run, with_vault(billing, vault_of(run, journal)).services, journal)


async def _barrier(run: Run, job: Job, means: Means) -> None:
    """Wait until the billing has worked off what the step has sent: the next one may rest on it.

    Without a database nobody can see that; then the settle time has to do. Raises `CommandRefused` when the billing
    does not catch up, `LookUpFailed` when it cannot be asked.
    """
    if means.billing.services.database is None:
        means.screen.say(
            f"[dim]Without a database nobody can see what the billing still has to do: waiting "
            f"{means.policy.settle:.0f} s before the next step[/]"
        )
        await anyio.sleep(means.policy.settle)
        return
    deadline = anyio.current_time() + means.policy.drain_patience
    told = ""
    while (waiting := await _undrained(run, job, means.journal)) is not None:
        if anyio.current_time() > deadline:
            raise CommandRefused(
                f"after {means.policy.drain_patience:.0f} s this step is not worked off: {plain(waiting)}. "
                "The same command goes on when it has",
                Exit.STOPPED,
            )
        if waiting != told:
            means.screen.say(f"[dim]Waiting for the billing before the next step: {shown(waiting)}[/]")
            log.info("waiting at the barrier", why=waiting)
            told = waiting
        await anyio.sleep(GAP)


async def _undrained(run: Run, job: Job, journal: Journal) -> str | None:
    async for page in journal.each_page(run, {State.ACCEPTED, State.APPLIED}):
        if (reason := await job.undrained(page)) is not None:
            return reason
    return None


def _tell_the_end(file: JobFile, step: Step, closing: Closing, screen: Screen) -> None:
    left = len(file.steps) - step.number
    if left:
        again = f"{PROGRAM} run {plain(file.path)}"
        hint = " or give the step go_on = true" if closing.exit is Exit.REJECTED else ""
        screen.insist(
            f"[yellow]Step {step.number} ended with exit code {int(closing.exit)}: the {left} after it "
            f"{'was' if left == 1 else 'were'} not begun.[/] Put right what is wrong{hint}, then: {shown(again)}"
        )
