"""Stored plans: `run --plan` sends exactly what a plan has planned.

The run reads its input and the billing again and saves its own list. Before the operator is asked, that list is
compared with the plan's, and it is sent as compared: nothing is read in between. A run keeps the name of its plan,
so a run that is resumed before its approval is compared as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from billing.directory.identity import is_same
from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal, open_journal
from checkpoints.list_differences import ListDifference, differences_from_plan, list_file
from checkpoints.own_files import check_beside
from checkpoints.records import Run
from cli.session.journal import identity_of_run, is_at
from cli.session.order import PLAN, Order
from cli.session.session import BillingConnection, how_often
from cli.settings.settings import Settings
from cli.show.preview import given_parameters, is_kept, same_input
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import LONGEST, printable
from jobs.access.vault import mask_secrets, new_batch
from jobs.rows.input import input_of_parameters, job_parameters
from jobs.spec.spec import parameters_of
from texts.remedies import command_line, setting
from texts.said import Quantity, Said, enumerated, in_lines, said

VERSION: Final = f"{PLAN}.version"
DATABASE: Final = f"{PLAN}.database"
STEP: Final = f"{PLAN}.step"
"""Parameters of a plan: the billing's version, its database, and its step of a job file."""

MAX_DIFFERENCES_SHOWN: Final = 20
"""Rows that are listed where a run differs from its plan; the rest is counted."""


def plans_beside(journal: Path) -> Path:
    """The path of the journal of plans, beside the real journal; its runs are never approved.

    Raises `JournalUnreadable` for one that somebody else has put there.
    """
    own = journal.resolve()
    check_beside(own)
    return own.with_name(f"{own.name}-plans")


def remembered_by_plan(billing: BillingConnection, step: str = "") -> dict[str, str]:
    database = billing.gateway.database
    known = {VERSION: billing.health.version, DATABASE: "" if database is None else str(database.dsn), STEP: step}
    return {name: value for name, value in known.items() if value}


async def planned_order(name: str, settings: Settings) -> Order:
    """The order of the plan of that name. Raises `CommandRefused` where it cannot be run."""
    path = plans_beside(settings.journal.value.path)
    if not path.exists():
        raise CommandRefused(
            "there is no plan {plan}: none was made beside {journal}",
            plan=printable(name),
            journal=printable(str(settings.journal.value)),
        )
    async with open_journal(path) as plans:
        plan = await kept_plan(name, plans)
    if not is_at(plan, settings.target) and not (identity_of_run(plan) and settings.database.value):
        raise CommandRefused(
            "plan {plan} is for {target}, and the settings name {other} (from {origin}): plan again for this "
            "billing, or give {flag}",
            plan=plan.name,
            target=printable(plan.target),
            other=printable(settings.target),
            origin=settings.api_url.origin,
            flag=setting("api-url", printable(plan.target)),
        )
    if step := plan.parameters.get(STEP):
        raise CommandRefused(
            "plan {plan} is of {step}, whose steps are run together and not by their plans: {command}",
            plan=plan.name,
            step=printable(step),
            command=command_line("run", "FILE.toml"),
        )
    wanted = settings.catalogue.of(plan)
    parameters = parameters_of(wanted, job_parameters(plan.parameters))
    secrets = [one.name for one in wanted.parameters if one.secret]
    if given := next((one for one in secrets if parameters.get(one)), None):
        raise CommandRefused(
            "plan {plan} was made with a {secret} for all rows, and a plan keeps no secret: type the run itself, "
            "with {flag}",
            plan=plan.name,
            secret=given,
            flag=setting("ask", given),
        )
    return Order(wanted, parameters, input_of_parameters(plan.parameters), how_often(plan), new_batch())


async def kept_plan(name: str, plans: Journal) -> Run:
    """The plan of that name, with its list. Raises `CommandRefused` for one that was deleted."""
    try:
        plan = await plans.run(name)
    except NoSuchRun as error:
        raise CommandRefused("there is no such plan: {error}", error=error) from error
    if plan.purged_at:
        raise CommandRefused(
            "the list of plan {plan} was purged on {date}: plan again", plan=plan.name, date=plan.purged_at
        )
    if is_kept(plan):
        return plan
    if later := [one for one in await plans.runs() if is_kept(one) and same_input(one, plan)]:
        raise CommandRefused(
            "plan {plan} was replaced by plan {later} of {date}: look at that one, and type {command}",
            plan=plan.name,
            later=later[-1].name,
            date=later[-1].created_at,
            command=command_line("run", "--plan", later[-1].name),
        )
    raise CommandRefused("plan {plan} was given up before it was complete: plan again", plan=plan.name)


async def departures(run: Run, journal: Journal, billing: BillingConnection) -> Said | None:
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
        left_out = [(await plans.totals(plan)).left_out, (await journal.totals(run)).left_out]
        async with list_file(journal.address, run) as file:
            found = await differences_from_plan(path, plan, file, run, size=MAX_DIFFERENCES_SHOWN, plain=mask_secrets)
    if left_out[0] != left_out[1]:
        then, now = (
            tuple(said("{n} by {flag}", n=Quantity(number), flag=flag) for flag, number in one.items())
            for one in left_out
        )
        none = said("none")
        facts.append(said("rows that are left out: {then} then, {now} now", then=then or none, now=now or none))
    if found.counts:
        facts.append(
            enumerated(
                said("{n} × {change}", n=Quantity(number), change=kind) for kind, number in found.counts.items()
            )
        )
        facts += map(_line, found.examples)
        if (left := sum(found.counts.values()) - len(found.examples)) > 0:
            facts.append(said("… and {n} more", n=Quantity(left)))
    if not facts:
        return None
    return said(
        "this is not what plan {plan} of {date} has planned:\n{differences}\n"
        "Plan again ({command} …), look at it, and run that plan",
        plan=plan.name,
        date=plan.created_at,
        differences=in_lines([said("  {one}", one=one) for one in facts]),
        command=command_line("plan"),
    )


def _facts(plan: Run, run: Run, now: Mapping[str, str]) -> list[Said]:
    facts: list[Said] = []

    def differs(what: str, before: str | None, after: str | None, missing: Said) -> None:
        then, now = (_shown(one) if one else missing for one in (before, after))
        facts.append(said("{what}: {then} then, {now} now", what=what, then=then, now=now))

    none, nothing = said("none"), said("nothing")
    if plan.source != run.source or plan.header != run.header:
        differs(said("other rows"), plan.source, run.source, none)
    if plan.source_digest != run.source_digest:
        facts.append(said("{file} has been changed since: its bytes are others", file=printable(run.source)))
    is_one = is_same(identity_of_run(plan), identity_of_run(run))
    if plan.target != run.target and not is_one:
        differs(said("another billing"), plan.target, run.target, none)
    for name, what in ((VERSION, said("another version of the billing")), (DATABASE, said("another database"))):
        before, after = plan.parameters.get(name), now.get(name)
        if before != after and not (is_one and name == DATABASE):
            differs(what, before, after, none)
    then, given = given_parameters(plan), given_parameters(run)
    for name in sorted(then.keys() | given.keys()):
        if then.get(name) != given.get(name):
            differs(name, then.get(name), given.get(name), nothing)
    return facts


def _line(one: ListDifference) -> Said:
    label = printable(one.label, 60)
    row = said("line {line} ({label})", line=one.line, label=label) if one.line else f"({label})"
    sides = [said("{value} then", value=_shown(one.then, 160))] if one.then else []
    sides += [said("{value} now", value=_shown(one.now, 160))] if one.now else []
    if not sides:
        return said("{row}: {change}", row=row, change=one.kind)
    return said("{row}: {change}: {sides}", row=row, change=one.kind, sides=tuple(sides))


def _shown(text: str, limit: int = LONGEST) -> str:
    return text if isinstance(text, Said) else printable(text, limit)
