"""How a run begins: its identity, whether it was begun before, and what has to give way to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio.to_thread
import structlog

from billing.selects.select import select_of
from checkpoints.errors import RunHeld
from checkpoints.journal import Journal
from checkpoints.records import NewRun, Run, Stage
from checkpoints.states import State
from cli.output.answer_files import ANSWER_FILE_PARAMETER
from cli.session.cleanup import wipe_secrets
from cli.settings.flags import parse_pairs
from cli.settings.order_flags import CallFlags, OrderFlags, RowFlags
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen, asked_for
from cli.terminal.texts import PROGRAM, rows
from engine.job import Job
from engine.pacing.policy import ALL, Policy, policy_with, to_settings
from engine.pipeline.intake import Repeat
from jobs.access.vault import BATCH, mask_secrets, new_batch, seal_parameters
from jobs.catalogue.catalogue import kind
from jobs.catalogue.typed_call import YES
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS, STDIN, Input
from jobs.rows.key_lists import KeyList, key_list
from jobs.shared_accounts import SharedAccountsRule
from jobs.spec.chain import chain_text
from jobs.spec.spec import JobSpec, parameters_of

log = structlog.get_logger(__name__)

PLACE: Final = "input_place."
"""Begins the names under which a run remembers which step of which job file it is; no part of what it does."""


PLAN: Final = "input_plan"
"""The parameter by which a run remembers the plan that it is held against; no part of what it does either."""


@dataclass(frozen=True, slots=True)
class Order:
    """What `run` was told to do: a job, its checked parameters, and where its rows come from.

    The parameters have tokens in the place of `secrets`; `batch` is what the vault keeps the run's secrets under.
    """

    kind: JobSpec
    parameters: Mapping[str, str]
    rows: Input
    enter: Repeat = Repeat.ONCE
    batch: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    shared_accounts: SharedAccountsRule | None = None

    @property
    def recorded(self) -> dict[str, str]:
        """What the journal keeps, enough to build the job anew."""
        batch = {BATCH: self.batch} if any(parameter.secret for parameter in self.kind.parameters) else {}
        enter = {} if self.enter is Repeat.ONCE else {REPEAT: self.enter.value}
        shared = {} if self.shared_accounts is None else {SHARED_ACCOUNTS: self.shared_accounts.value}
        return {**self.parameters, **self.rows.recorded, **batch, **enter, **shared}


def parse_order(
    job: str,
    rows: Input,
    said: Mapping[str, str],
    enter: Repeat = Repeat.ONCE,
    shared_accounts: SharedAccountsRule | None = None,
) -> Order:
    """The order that a command line or a job file gives; nothing is read yet.

    What is `said` beside the job's own parameters is bound to the `:names` of a select. Raises `ParameterRefused` and
    `CommandRefused`.
    """
    if rows.file and rows.sql:
        raise CommandRefused("the rows come from a file or from --sql, not from both: leave one out")
    wanted = kind(job, said)
    bound = _bound(wanted, rows, said)
    parameters = parameters_of(wanted, {name: value for name, value in said.items() if name not in bound})
    batch = new_batch()
    values, secrets = seal_parameters(wanted.parameters, parameters, batch)
    return Order(wanted, values, replace(rows, values=bound), enter, batch, secrets, shared_accounts)


def _bound(wanted: JobSpec, rows: Input, said: Mapping[str, str]) -> dict[str, str]:
    """What is said for the `:names` of the select, and is no parameter of the job."""
    names = select_of(rows.sql).parameters if rows.sql else ()
    own = {parameter.name for parameter in wanted.parameters}
    return {name: said[name] for name in names if name in said and name not in own}


def parse_repeat(*, again: bool, another_billing: bool) -> Repeat:
    """What the switches of a command line or a job file mean; --again means more."""
    return Repeat.AGAIN if again else Repeat.PER_BILLING if another_billing else Repeat.ONCE


def given_values(settings: Sequence[str], calling: CallFlags) -> dict[str, str]:
    """All that a command line says to a job, `--set` and the flags of `call`. Raises `CommandRefused`."""
    said = parse_pairs(settings, "--set")
    flags = {
        "model": calling.model or "",
        "chain": chain_text(calling.chain) if calling.chain else "",
        "fields": calling.fields or "",
        "repeatable": YES if calling.repeatable else "",
        "look_up": calling.look_up or "",
    }
    return {**said, **{name: value for name, value in flags.items() if value}}


def parse_input(file: str | None, rows: RowFlags) -> Input:
    """The rows as a command line names them; a path is taken from the working folder."""
    columns = tuple(name.strip() for name in (rows.columns or "").split(",") if name.strip())
    return Input(
        file="" if file is None else STDIN if file == STDIN else str(Path.cwd() / file),
        sql=rows.sql or "",
        columns=columns,
        mapping=parse_pairs(rows.mapping or [], "--map"),
        encoding=rows.encoding,
        delimiter=rows.delimiter or "",
        sheet=rows.sheet or "",
        limit=rows.limit or 0,
        only=_keys(rows.only),
        exclude=_keys(rows.exclude),
    )


async def typed_order(
    job: str, file: str | None, told: OrderFlags, rows: RowFlags, calling: CallFlags, screen: Screen
) -> Order:
    """The order that a command line gives, once what is to be asked for was typed.

    Raises `ParameterRefused` and `CommandRefused`.
    """
    values = await asked_for(told.ask or [], given_values(told.set_ or [], calling), file, screen)
    repeat = parse_repeat(again=told.again, another_billing=told.another_billing)
    return parse_order(job, parse_input(file, rows), values, repeat, told.shared_accounts)


def _keys(typed: str | None) -> KeyList | None:
    return None if typed is None else key_list(typed, Path.cwd())


async def create_run(
    job: Job, recorded: Mapping[str, str], target: str, journal: Journal, said: Mapping[str, str]
) -> Run:
    """Enter a new run into the journal, unless it would be one that is already under way.

    `recorded` is what the journal keeps to build the job anew, `said` how it is driven. Raises
    `CommandRefused` when it is under way, `InputRefused` when the input cannot be read at all.
    """
    new = await anyio.to_thread.run_sync(lambda: _new_run(job, recorded, target, said))
    for run in await journal.runs():
        if run.job == new.job and run.target == new.target and run.source == new.source:
            await _give_way(run, new, journal)
    return await journal.create_run(new)


def _new_run(job: Job, recorded: Mapping[str, str], target: str, said: Mapping[str, str]) -> NewRun:
    source = job.source
    return NewRun(
        job=job.name,
        parameters=recorded,
        target=target,
        source=source.name,
        source_digest=source.digest,
        header=source.header,
        policy=to_settings(policy_with(Policy(), said, ALL)),
    )


async def _give_way(run: Run, new: NewRun, journal: Journal) -> None:
    """Refuse to begin beside the same run; give one up that never began and whose file has been mended since."""
    if not await unfinished(run, journal):
        return
    same = identity(run.parameters) == identity(new.parameters) and run.source_digest == new.source_digest
    begun = run.approved_at or await journal.holder(run) or (await journal.totals(run)).count_where(open=True)
    if same and begun:
        raise CommandRefused(await _under_way(run, journal))
    if run.approved_at is None and await journal.holder(run) is None:
        await give_up(run, journal)
        log.info("gave up an earlier run that had sent nothing", given_up=run.name)


def identity(parameters: Mapping[str, str]) -> dict[str, str]:
    """What makes two runs of a job the same, of what each remembers.

    A secret is no part of it: nobody can tell here whether two of them are equal. What is empty says nothing, as does
    a parameter that an earlier version did not have.
    """
    return {
        name: mask_secrets(value)
        for name, value in parameters.items()
        if value
        and name not in {REPEAT, SHARED_ACCOUNTS, BATCH, ANSWER_FILE_PARAMETER}
        and not name.startswith((PLACE, PLAN))
    }


async def _under_way(run: Run, journal: Journal) -> str:
    totals = await journal.totals(run)
    left = rows(totals.count_where(open=True))
    if holder := await journal.holder(run):
        return f"run {run.name} is doing just this at this moment ({holder}): {left} left"
    if run.approved_at is None:
        return (
            f"run {run.name} has read just this and was never approved: nothing of it was sent.\n"
            f"Go on with it: {PROGRAM} resume {run.name} (answer no there to give it up)"
        )
    return (
        f"run {run.name} has begun just this and is not at its end: {left} left.\n"
        f"Go on with it: {PROGRAM} resume {run.name}"
    )


async def unfinished(run: Run, journal: Journal) -> bool:
    """Whether `resume` has something to do for the run."""
    if run.stage is Stage.DISCARDED:
        return False
    return run.frozen_at is None or run.approved_at is None or (await journal.totals(run)).count_where(open=True) > 0


async def give_up(run: Run, journal: Journal) -> None:
    """Discard a run that has sent nothing; its refusals are kept. One that somebody holds is left alone."""
    try:
        async with journal.taken_up(run) as ours:
            await journal.discard(ours)
            await wipe_secrets(ours, journal)
    except RunHeld as error:
        log.info("left alone", left_alone=run.name, why=str(error))


async def run_is_busy(run: Run, journal: Journal, why: object) -> CommandRefused:
    """Why a second process may not work on a run: who does, and how much it has in flight."""
    in_flight = (await journal.totals(run)).count(State.SENDING)
    return CommandRefused(
        f"run {run.name}: {why}; {rows(in_flight)} in flight.\n"
        f"Wait for it, or stop it there; {PROGRAM} status {run.name} shows where it stands"
    )
