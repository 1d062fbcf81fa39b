"""Stored plans: `run --plan` sends exactly what a plan has planned.

The run reads its input and the billing again and saves its own list. Before the operator is asked, that list is
compared with the plan's, and it is sent as compared: nothing is read in between. A run keeps the name of its plan,
so a run that is resumed before its approval is compared as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal, open_journal
from checkpoints.list_differences import ListDifferences, differences_from_plan
from checkpoints.records import Run
from cli.session.order import PLAN, Order
from cli.session.session import BillingConnection, how_often
from cli.settings.settings import Settings
from cli.show.plan_facts import is_kept, same_input
from cli.show.preview import given_parameters
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import count, moment, printable
from jobs.access.vault import mask_secrets, new_batch
from jobs.catalogue.catalogue import job_of
from jobs.rows.input import input_of_parameters, job_parameters
from jobs.spec.spec import parameters_of
from texts.remedies import PROGRAM

VERSION: Final = f"{PLAN}.version"
DATABASE: Final = f"{PLAN}.database"
STEP: Final = f"{PLAN}.step"
"""Parameters of a plan: the billing's version, its database, and its step of a job file."""

MAX_DIFFERENCES_SHOWN: Final = 20
"""Rows that are listed where a run differs from its plan; the rest is counted."""


def plans_beside(journal: Path) -> Path:
    """The path of the journal of plans, beside the real journal; its runs are never approved."""
    own = journal.resolve()
    return own.with_name(f"{own.name}-plans")


def remembered_by_plan(billing: BillingConnection, step: str = "") -> dict[str, str]:
    """The parameters of a plan: the billing it was made with, and its `step` of a job file."""
    database = billing.gateway.database
    known = {VERSION: billing.health.version, DATABASE: "" if database is None else str(database.dsn), STEP: step}
    return {name: value for name, value in known.items() if value}


async def planned_order(name: str, settings: Settings) -> Order:
    """The order of the plan of that name. Raises `CommandRefused` where it cannot be run."""
    path = plans_beside(settings.journal.value)
    if not path.exists():
        raise CommandRefused(
            f"there is no plan {printable(name)}: none was made beside {printable(settings.journal.value)}"
        )
    async with open_journal(path) as plans:
        plan = await kept_plan(name, plans)
    if plan.target != settings.target:
        raise CommandRefused(
            f"plan {plan.name} is for {printable(plan.target)}, and the settings name {printable(settings.target)} "
            f"(from {settings.api_url.origin}): plan again for this billing, or give --api-url "
            f"{printable(plan.target)}"
        )
    if step := plan.parameters.get(STEP):
        raise CommandRefused(
            f"plan {plan.name} is of {printable(step)}, whose steps are run together and not by their plans: "
            f"{PROGRAM} run FILE.toml"
        )
    wanted = job_of(plan)
    parameters = parameters_of(wanted, job_parameters(plan.parameters))
    secrets = [one.name for one in wanted.parameters if one.secret]
    if given := next((one for one in secrets if parameters.get(one)), None):
        raise CommandRefused(
            f"plan {plan.name} was made with a {given} for all rows, and a plan keeps no secret: type the run "
            f"itself, with --ask {given}"
        )
    return Order(wanted, parameters, input_of_parameters(plan.parameters), how_often(plan), new_batch())


async def kept_plan(name: str, plans: Journal) -> Run:
    """The plan of that name, with its list. Raises `CommandRefused` for one that was deleted."""
    try:
        plan = await plans.run(name)
    except NoSuchRun as error:
        raise CommandRefused(f"there is no such plan: {error}") from error
    if plan.purged_at:
        raise CommandRefused(f"the list of plan {plan.name} was purged on {moment(plan.purged_at)}: plan again")
    if is_kept(plan):
        return plan
    if later := [one for one in await plans.runs() if is_kept(one) and same_input(one, plan)]:
        raise CommandRefused(
            f"plan {plan.name} was replaced by plan {later[-1].name} of {moment(later[-1].created_at)}: look at that "
            f"one, and type {PROGRAM} run --plan {later[-1].name}"
        )
    raise CommandRefused(f"plan {plan.name} was given up before it was complete: plan again")


async def departures(run: Run, journal: Journal, billing: BillingConnection) -> str | None:
    """How a run differs from its plan, in sentences; None without a difference or a plan.

    Raises `CommandRefused` where the plan was deleted.
    """
    name = run.parameters.get(PLAN)
    if name is None:
        return None
    path = plans_beside(journal.path)
    async with open_journal(path) as plans:
        plan = await kept_plan(name, plans)
        facts = _facts(plan, run, remembered_by_plan(billing))
        then, now = (await plans.totals(plan)).left_out, (await journal.totals(run)).left_out
        if then != now:
            facts.append(f"rows that are left out: {_counted(then)} then, {_counted(now)} now")
        found = await differences_from_plan(
            path, plan, journal.path, run, size=MAX_DIFFERENCES_SHOWN, plain=mask_secrets
        )
    if not facts and not found.counts:
        return None
    lines = [*facts, *_lines(found)]
    return (
        f"this is not what plan {plan.name} of {moment(plan.created_at)} has planned:\n"
        + "\n".join(f"  {line}" for line in lines)
        + f"\nPlan again ({PROGRAM} plan …), look at it, and run that plan"
    )


def _facts(plan: Run, run: Run, now: Mapping[str, str]) -> list[str]:
    """Differences of the run as a whole."""
    facts: list[str] = []
    if plan.source != run.source or plan.header != run.header:
        facts.append(f"other rows: {printable(plan.source)} then, {printable(run.source)} now")
    if plan.source_digest != run.source_digest:
        facts.append(f"{printable(run.source)} has been changed since: its bytes are others")
    if plan.target != run.target:
        facts.append(f"another billing: {printable(plan.target)} then, {printable(run.target)} now")
    for name, what in ((VERSION, "version of the billing"), (DATABASE, "database")):
        before, after = plan.parameters.get(name, "none"), now.get(name, "none")
        if before != after:
            facts.append(f"another {what}: {printable(before)} then, {printable(after)} now")
    then, given = given_parameters(plan), given_parameters(run)
    facts += [
        f"{name}: {printable(then.get(name, 'nothing'))} then, {printable(given.get(name, 'nothing'))} now"
        for name in sorted(then.keys() | given.keys())
        if then.get(name) != given.get(name)
    ]
    return facts


def _counted(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count(number)} by {flag}" for flag, number in left_out.items()) or "none"


def _lines(found: ListDifferences) -> list[str]:
    if not found.counts:
        return []
    lines = [", ".join(f"{count(number)} × {kind}" for kind, number in found.counts.items())]
    for one in found.examples:
        where = f"line {one.line} " if one.line else ""
        sides = [f"{printable(text, 160)} {when}" for text, when in ((one.then, "then"), (one.now, "now")) if text]
        lines.append(f"{where}({printable(one.label, 60)}): {one.kind}" + (f": {', '.join(sides)}" if sides else ""))
    if (left := sum(found.counts.values()) - len(found.examples)) > 0:
        lines.append(f"… and {count(left)} more")
    return lines
