"""An order: the job, its rows and its options, from a command line, a step of a job file or a stored plan.

`run --plan` sends exactly what a plan has planned. The run reads its input and the billing again and saves its own
list. Before the operator is asked, that list is compared with the plan's, and it is sent as compared: nothing is read
in between. A run keeps the name of its plan, so a run that is resumed before its approval is compared as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import structlog

from billing.directory.identity import is_same
from billing.secret import Secret
from billing.selects.select import select_of
from checkpoints.comparison import ListDifference, Rows, Side, differences_from_plan, list_file, rows_gone
from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal, open_journal
from checkpoints.own_files import check_beside
from checkpoints.records import Run, Stage
from cli.session.journal import identity_of_run, is_at
from cli.settings.flags import CallFlags, ImportFlags, OrderFlags, RowFlags, parse_pairs, split_map
from cli.settings.places import in_full
from cli.settings.settings import Settings
from cli.show.preview import given_parameters, is_kept, same_input
from cli.terminal.exits import CommandRefused, NothingSent, SettingsRefused
from cli.terminal.screen import asked_for
from cli.terminal.texts import LONGEST, printable
from engine.errors import EngineError, InputRefused, LookUpRefused
from engine.job import STDIN
from engine.pipeline.intake import Repeat
from engine.sources.sample import FileOnDisk
from jobs.access.vault import (
    BATCH,
    NoVaultKey,
    SecretTable,
    Vault,
    VaultKeys,
    mask_secrets,
    new_batch,
    seal_parameters,
    vault_path,
)
from jobs.catalogue.catalogue import Catalogue
from jobs.import_job import with_files_of_map
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS, Input, how_often, input_of_parameters, job_parameters, key_list
from jobs.runs import followers, is_taken_back, nothing_of, require_complete
from jobs.spec.errors import ParameterRefused, VaultFailed, VaultLocked
from jobs.spec.spec import DECLARATION, DECLARATION_DIGEST, JobSpec, Special, parameters_of
from jobs.spec.words import ANSWER_FILE_PARAMETER, IMPORT, MAP, PLACE, SINCE, SharedAccountsRule
from texts.said import VAULT_KEY, Quantity, Said, command_line, enumerated, in_lines, said, setting, text_of

if TYPE_CHECKING:
    from cli.session.session import BillingConnection, Invocation, Session


PLAN: Final = "input_plan"
"""The parameter that holds the run's plan; it does not affect what the run does."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order to `run`: a job, its checked parameters, and the source of its rows.

    `since` is the run of a delta, to whose rows it enters the differences, "" for any other order.
    In the parameters, tokens replace the `secrets`; `batch` is the vault's key for the run's secrets.
    """

    kind: JobSpec
    parameters: Mapping[str, str]
    rows: Input
    enter: Repeat = Repeat.ONCE
    batch: str = ""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    shared_accounts: SharedAccountsRule | None = None
    since: str = ""

    def to_parameters(self) -> dict[str, str]:
        """The parameters that the journal keeps, enough to rebuild the job."""
        batch = {BATCH: self.batch} if self.kind.keeps_secrets else {}
        enter = {} if self.enter is Repeat.ONCE else {REPEAT: self.enter.value}
        shared = {} if self.shared_accounts is None else {SHARED_ACCOUNTS: self.shared_accounts.value}
        since = {SINCE: self.since} if self.since else {}
        declared = {} if self.kind.declared is None else self.kind.declared.parameters
        return {**self.parameters, **self.rows.to_parameters(), **batch, **enter, **shared, **since, **declared}


def parse_order(
    job: str,
    rows: Input,
    given: Mapping[str, str],
    catalogue: Catalogue,
    enter: Repeat = Repeat.ONCE,
    shared_accounts: SharedAccountsRule | None = None,
) -> Order:
    """The order of a command line or a job file; nothing is read yet.

    Values in `given` that are not parameters of the job are bound to the `:names` of a select. Raises
    `CommandRefused`; `ParameterRefused`, also for a file of the job that cannot be read or has another digest than
    the given one; and `InputRefused` for a map that cannot be used.
    """
    if rows.file and rows.sql:
        raise CommandRefused(said("the rows come from a file or from --sql, not from both: leave one out"))
    wanted = catalogue.kind(job, given)
    names, declared = select_of(rows.sql).parameters if rows.sql else (), {one.name for one in wanted.parameters}
    bound = {name: given[name] for name in names if name in given and name not in declared}
    own = {name: value for name, value in given.items() if name not in bound}
    parameters, faults = dict(parameters_of(wanted, own)), list[str]()
    # Whole paths of the files that the job reads, and their digests.
    read = [one for one in wanted.parameters if one.reads_file]
    for one in read:
        if path := parameters.get(one.name):
            parameters[one.name] = str(Path.cwd() / in_full(path))
    if wanted.special is Special.IMPORT:
        parameters = with_files_of_map(parameters)
    for one in read:
        if not (path := parameters.get(one.name)):
            continue
        try:
            digest = FileOnDisk(Path(path)).digest
        except InputRefused as error:
            faults.append(said("{name}: {error}", name=one.name, error=error))
            continue
        if parameters.setdefault(one.digest_name, digest) != digest:
            faults.append(
                said("{name}: {file} has another SHA-256 than this", name=one.digest_name, file=printable(path))
            )
    if faults:
        raise ParameterRefused(in_lines(faults))
    batch = new_batch()
    values, secrets = seal_parameters(wanted.parameters, parameters, batch)
    return Order(wanted, values, replace(rows, values=bound), enter, batch, secrets, shared_accounts)


def parse_repeat(*, again: bool, another_billing: bool) -> Repeat:
    return Repeat.AGAIN if again else Repeat.PER_BILLING if another_billing else Repeat.ONCE


def parse_input(
    file: str | None,
    rows: RowFlags,
    folder: Path | None = None,
    columns: Sequence[str] | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Input:
    """The input that a command line or a step of a job file names; a path is relative to the `folder`.

    A job file has `columns` and `mapping` as they are, in place of words that have to be taken apart.
    """
    folder = folder or Path.cwd()
    if columns is None:
        columns = [name.strip() for name in (rows.columns or "").split(",") if name.strip()]
    return Input(
        file=file or "" if file in {"", None, STDIN} else str(folder / str(file)),
        sql=rows.sql or "",
        columns=tuple(columns),
        mapping=parse_pairs(rows.mapping or [], "--map") if mapping is None else mapping,
        encoding=rows.encoding,
        delimiter=rows.delimiter or "",
        sheet=rows.sheet or "",
        limit=rows.limit or 0,
        only=None if rows.only is None else key_list(rows.only, folder),
        exclude=None if rows.exclude is None else key_list(rows.exclude, folder),
    )


async def typed_order(
    job: str,
    file: str | None,
    order_flags: OrderFlags,
    rows: RowFlags,
    calling: CallFlags,
    importing: ImportFlags,
    told: "Invocation",
) -> Order:
    """The order of a command line, once all prompts were answered.

    Raises `ParameterRefused` and `CommandRefused`.
    """
    catalogue = told.settings.catalogue
    given = {**parse_pairs(order_flags.set_ or [], "--set"), **calling.parameters, **importing.parameters}
    if job == IMPORT:
        # A map has two forms: a file, and columns of single fields.
        file_of_map, pairs = split_map(rows.mapping)
        given |= {MAP: file_of_map} if file_of_map else {}
        rows = replace(rows, mapping=pairs)
    # As in a chain; an empty one is none.
    if name := next(
        (one.name for one in catalogue.kind(job, given).parameters if one.secret and given.get(one.name)), ""
    ):
        raise CommandRefused(
            "{flag}: {name} is a secret, and everybody on this machine can see a command line, and the shell "
            "keeps it. {ask} asks for it at the terminal; or let a column of the rows say it",
            flag=setting("set", name),
            name=name,
            ask=setting("ask", name),
        )
    values = await asked_for(order_flags.ask or [], given, file, told.screen)
    repeat = parse_repeat(again=order_flags.again, another_billing=order_flags.another_billing)
    order = parse_order(job, parse_input(file, rows), values, catalogue, repeat, order_flags.shared_accounts)
    return replace(order, since=order_flags.since or "")


def identity(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that make two runs of a job the same.

    Secrets are left out, since they cannot be compared here. An empty parameter counts as absent, like one that an
    earlier version did not have.
    """
    return {
        name: mask_secrets(value)
        for name, value in parameters.items()
        if value
        and name not in {REPEAT, SHARED_ACCOUNTS, BATCH, ANSWER_FILE_PARAMETER, DECLARATION, DECLARATION_DIGEST}
        and not name.startswith((PLACE, PLAN))
    }


def why_unreadable(error: EngineError, run: Run) -> Said:
    """Why rows cannot be read; where the billing refuses what a declared job asks, with the file that declares it."""
    why = said("the rows could not be read to their end: {error}", error=error)
    if not isinstance(error, LookUpRefused) or DECLARATION not in run.parameters:
        return why
    file = run.parameters[DECLARATION]
    return said(
        "{error}\nThis is asked for the job {job}: mend its chain in {file}", error=why, job=run.job, file=file
    )


def shared_accounts_of(run: Run) -> SharedAccountsRule | None:
    """The run's rule for several rows that set the balance of one account; None where none was given."""
    rule = run.parameters.get(SHARED_ACCOUNTS)
    return None if rule is None else SharedAccountsRule(rule)


# ---- deltas -------------------------------------------------------------------------------------------------------
# `run … --since RUN` enters of the rows of a new export only what has changed since the file of RUN. It is an
# ordinary run: from each row the intake subtracts what is entered already, by RUN, by deltas since, and by the runs
# whose rows RUN has skipped (`engine/pipeline/intake.py`). So a second delta continues where the first has ended, and
# the same one twice finds nothing to send. Rows that the new file lacks are named, and nothing is sent for them.


_TYPE: Final = "op_type"
"""The parameter that is part of a row's key."""


async def in_billing(order: Order, session: "Session") -> tuple[Order, str]:
    """The order as it counts in the session's billing, and how the journal calls that.

    What runs have entered in other billings does not count for this one: they have another identity, or an address of
    another profile of settings. Where the journal has runs of the job of which neither is known, nothing is changed:
    a row that was entered there is refused with a question. Raises `CommandRefused` and `RunRefused` where a delta
    and its run do not go together, or that may still change.
    """
    journal, settings, identity = session.journal, session.settings, session.billing.one.identity
    target, runs = await session.target(), await journal.runs()
    others = [run for run in runs if run.job == order.kind.name and run.target != target]
    known = (is_same(identity, identity_of_run(run)) is False or settings.profile_at(run.target) for run in others)
    if others and order.enter is Repeat.ONCE and all(known):
        order = replace(order, enter=Repeat.PER_BILLING)
    if order.since:
        await require_complete(_run_of_delta(order, target, runs, journal.name), journal)
    return order, target


def _run_of_delta(order: Order, target: str, runs: Sequence[Run], journal: str) -> Run:
    run = next((one for one in runs if one.name == order.since), None)
    if run is None:
        raise NoSuchRun(journal, order.since, [one.name for one in runs])
    flag = setting("since", run.name)
    if order.enter is Repeat.AGAIN:
        raise CommandRefused(
            "{flag} enters differences, and --again whole rows: leave --again out. Rows that are to be entered on "
            "top go into a file of their own",
            flag=flag,
        )
    if run.job != order.kind.name:
        raise CommandRefused(
            "run {run} is one of {job}, not of {other}",
            run=run.name,
            job=run.job,
            other=order.kind.name,
        )
    if run.target != target:
        raise CommandRefused(
            "run {run} is for {target}, and not for this billing: give --since of a run for it",
            run=run.name,
            target=run.target,
        )
    if run.stage is not Stage.APPROVED:
        raise nothing_of(run)
    refuse_last(order.shared_accounts)
    before, now = (one.parameters.get(_TYPE, "") for one in (run, order))
    if before != now:
        raise CommandRefused(
            "run {run} has entered operations of type {before}, and this would be type {now}: give {flag}",
            run=run.name,
            before=before,
            now=now,
            flag=setting("set", f"{_TYPE}={before}"),
        )
    return run


def refuse_last(meant: str | None) -> None:
    """Raise `NothingSent` for a delta in which the last row of an account is to count alone."""
    if meant == SharedAccountsRule.LAST:
        raise NothingSent(
            "of several rows of an account a delta enters the sum of their differences: give {sum}",
            sum=setting("shared-accounts", SharedAccountsRule.SUM),
        )


async def gone_since(
    run: Run, journal: Journal, entered: Journal
) -> tuple[tuple[str, ...], Rows | None, tuple[str, ...]]:
    """The runs behind which a delta comes, the rows of them that its file lacks, and the runs that have these.

    `entered` is the journal of these runs, and `journal` that of the delta, or of its plan. No rows where it is not
    known what the file lacks: rows are left out or refused, or purged.
    """
    base, totals, runs = run.parameters[SINCE], await journal.totals(run), await entered.runs()
    # Of the deltas since, those before this one that were sent and stand.
    sent = (one for one in followers(base, runs) if one.approved_at and one.created_at < run.created_at)
    before = [*(one for one in runs if one.name == base), *(one for one in sent if not is_taken_back(one, runs))]
    names = tuple(one.name for one in before)
    if totals.left_out or totals.refused or any(one.purged_at for one in (run, *before)):
        return names, None, names
    gone, having = await rows_gone(before, entered, Side(run, journal))
    return names, gone, tuple(one.name for one in having)


# ---- stored plans -------------------------------------------------------------------------------------------------


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


def remembered_by_plan(billing: "BillingConnection", step: str = "") -> dict[str, str]:
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
    rows, since = input_of_parameters(plan.parameters), plan.parameters.get(SINCE, "")
    return Order(wanted, parameters, rows, how_often(plan), new_batch(), since=since)


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


async def departures(run: Run, journal: Journal, billing: "BillingConnection") -> Said | None:
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
        "Type the command of that plan again, look at what it says now, and run the new plan",
        plan=plan.name,
        date=plan.created_at,
        differences=in_lines([said("  {one}", one=one) for one in facts]),
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


# ---- the vault of a run -------------------------------------------------------------------------------------------
# Beside a journal that is a file, or in one in PostgreSQL, with the keys of the settings.


log = structlog.get_logger(__name__)


def vault_of(run: Run, journal: Journal, settings: Settings | None = None) -> Vault:
    return vault_in(journal, run.parameters.get(BATCH, ""), settings)


def vault_in(journal: Journal, batch: str, settings: Settings | None = None) -> Vault:
    if not journal.address.is_shared:
        return Vault(vault_path(journal.path), batch)
    keys: VaultKeys | None = None
    why: str | None = None
    if settings is not None:
        try:
            keys = keys_of(settings)
        except SettingsRefused as error:
            why = text_of(error)
    return SecretTable(journal.kept_secrets, journal.name, keys, why, batch)


def keys_of(settings: Settings) -> VaultKeys | None:
    """The keys of the vault, None where none is set. Raises `SettingsRefused` for what is no key."""
    settings.hidden.require(VAULT_KEY)
    given = settings.vault_key
    try:
        return VaultKeys.parse(given.value.reveal()) if given.value else None
    except NoVaultKey as error:
        raise SettingsRefused("{place}: vault_key cannot be used: {why}", place=given.origin, why=error) from error


async def require_opened(run: Run, vault: Vault | None) -> None:
    """Refuse a run, resumable as it is, whose secrets could not all be opened. Raises `CommandRefused`."""
    if vault is None or BATCH not in run.parameters:
        return
    try:
        await anyio.to_thread.run_sync(vault.require_opened)
    except VaultLocked as error:
        raise CommandRefused(
            "run {run}: {error}\nNothing was sent, and the run stays as it is. With the key:\n{command}",
            run=run.name,
            error=error,
            command=command_line("resume", run.name),
        ) from error


async def wipe_secrets(run: Run, journal: Journal) -> None:
    """Wipe the secrets of a run that sends nothing more; a failure is logged."""
    if BATCH not in run.parameters:
        return
    needed = [
        other.parameters[BATCH]
        for other in await journal.runs()
        if BATCH in other.parameters and other.run_id != run.run_id and not other.discarded_at
        # Another run of the batch that has not begun, or may still send secrets.
        if other.frozen_at is None
        or other.approved_at is None
        or (await journal.totals(other)).count_where(settled=False)
    ]
    try:
        await anyio.to_thread.run_sync(vault_of(run, journal).forget, needed)
    except VaultFailed as error:
        log.error("the secrets of the run are not wiped", why=error)  # noqa: TRY400 - the sentence is complete
