"""A session: the journal and the billing of one command, and the common operations on their runs.

A command opens a session, locks its run (`cli/session/journal.py`), works on it, and finishes it:

    async with open_existing(path) as journal:
        run = await journal.run(name)
        check_target(run, settings)
        async with open_session(settings, screen, journal) as opened, locked(run, journal, "resume") as run:
            job = await opened.for_run(run).rebuild(run)
            …
            await finish_run(run, journal, settings.catalogue, anew=True)
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import structlog
from rich.console import RenderableType

from billing.api.client import BillingClient, ClientSettings, Health
from billing.api.wire import CallObserver
from billing.database.database import Database
from billing.database.file_database import open_file_database
from billing.directory.system import check_scale
from billing.money import SCALE
from checkpoints.journal import Journal
from checkpoints.records import Item, Run, Totals
from checkpoints.sentences import LEFT_OUT
from checkpoints.states import State, states_where
from cli.output.answer_files import ANSWER_FILE_PARAMETER, ANSWERS, first_rows, reads, write_answers
from cli.output.item_files import OutputFile
from cli.session.events import OpenReader
from cli.session.journal import open_noted, policy_of
from cli.session.vaults import vault_of, wipe_secrets
from cli.settings.flags import Consent
from cli.settings.profiles import profile_of
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.show.preview import LOOKED_AT, Target
from cli.terminal.exits import CommandRefused, Exit, outcome_of
from cli.terminal.layout import render
from cli.terminal.screen import Screen
from cli.terminal.texts import WHOLE, printable
from engine.errors import EngineError
from engine.job import Job
from engine.pacing.holds import Stop
from engine.pacing.policy import Policy
from engine.pipeline.intake import Repeat
from jobs.access.gateway import Gateway
from jobs.access.vault import Vault
from jobs.catalogue.catalogue import Catalogue
from jobs.effects.factory import Finish, finish_of
from jobs.job import build
from jobs.rows.input import REPEAT, SHARED_ACCOUNTS, input_of_parameters, job_parameters
from jobs.spec.entries import SharedAccountsRule
from jobs.spec.spec import parameters_of
from jobs.spec.undo_words import UNDO
from jobs.undo import build_undo
from texts.remedies import command_line, setting
from texts.said import counted, in_lines, said

_SENT: Final = frozenset({State.PENDING, *states_where(counts_money=True)})
"""States of rows that are to be sent, or were."""

log = structlog.get_logger(__name__)

OpenRecorder: TypeAlias = Callable[[ClientSettings], AbstractAsyncContextManager[CallObserver]]
"""Opens a recorder of every exchange of the client with these settings, for the time of the context."""

HandIn: TypeAlias = Callable[[Run, Journal], Awaitable[Closing]]
"""Hands a run in that is approved and that nobody works on; returns the closing, which was shown."""

OpenPage: TypeAlias = Callable[[Run, Journal], AbstractAsyncContextManager[None]]
"""Serves the page of a run for the time of the context; a fault of the page does not change the run."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BillingConnection:
    """A billing that has answered: its gateway and its health report."""

    gateway: Gateway
    health: Health

    @property
    def target(self) -> Target:
        """The billing in the form that screens show."""
        database = self.gateway.database
        return Target(self.health.version, None if database is None else str(database.dsn))


@dataclass(frozen=True, slots=True)
class Session:
    """An open journal and an open billing, with the options of the command line.

    `pacing` holds the given settings of the policy, by name. `stop` is the requested stop of the process that works
    on the run; a stop that comes when nothing is left to stop remains set after the run.
    """

    settings: Settings
    screen: Screen
    journal: Journal
    billing: BillingConnection
    pacing: Mapping[str, str] = field(default_factory=dict)
    consent: Consent = field(default_factory=Consent)
    stop: Stop = field(default_factory=Stop)
    page: OpenPage | None = None
    readers: Sequence[OpenReader] = ()
    hand_in: HandIn | None = None
    """Hands the run in for a worker to send, in place of sending it here."""
    ends_outside_hours: bool = False
    """Whether the run ends outside the hours of its policy, in place of waiting for them."""

    @property
    def gateway(self) -> Gateway:
        """The gateway to the billing."""
        return self.billing.gateway

    def with_vault(self, vault: Vault) -> "Session":
        """The same session with a vault, for a run that may have secrets."""
        gateway = replace(self.billing.gateway, vault=vault)
        return replace(self, billing=replace(self.billing, gateway=gateway))

    def for_run(self, run: Run) -> "Session":
        """The same session with the run's secrets; from now on the billing is read at the run's rate.

        Raises `CommandRefused` where the policy of the run cannot be read.
        """
        self.gateway.rate.per_second = self.policy_of(run).rate
        return self.with_vault(vault_of(run, self.journal, self.settings))

    def policy_of(self, run: Run) -> Policy:
        """The run's policy with the given settings. Raises `CommandRefused` where it cannot be read."""
        return policy_of(run, self.pacing)

    async def rebuild(self, run: Run) -> Job:
        """The job of a run, rebuilt from the journal. Raises what `build` and `build_undo` raise."""
        own = job_parameters(run.parameters)
        if run.job == UNDO:
            return await build_undo(self.gateway, self.journal, own, self.settings.catalogue)
        spec = self.settings.catalogue.of(run)
        return build(spec, self.gateway, parameters_of(spec, own), input_of_parameters(run.parameters))


# ---- opening ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_session(
    settings: Settings,
    screen: Screen,
    journal: Journal | None = None,
    *,
    pacing: Mapping[str, str] = _NOTHING,
    consent: Consent | None = None,
    record: OpenRecorder | None = None,
) -> AsyncIterator[Session]:
    """A session with the billing of the settings and the given open `journal`.

    Without one, the journal of the settings is opened once the billing has answered, and created where there is none.
    Raises what `open_billing` and `open_noted` raise.
    """
    async with AsyncExitStack() as stack:
        billing = await stack.enter_async_context(open_billing(settings, record))
        if journal is None:
            journal = await stack.enter_async_context(open_noted(settings.journal.value))
        yield Session(settings, screen, journal, billing, pacing, consent or Consent())


@asynccontextmanager
async def open_billing(settings: Settings, record: OpenRecorder | None = None) -> AsyncIterator[BillingConnection]:
    """The billing of the settings, once its API and, where one is set, its database have answered.

    Known facts come from its profile. Every exchange is recorded where a command gives a recorder. Raises
    `SettingsRefused`, what the recorder raises, and what `BillingClient.health`, `Database.connect` and `check_scale`
    raise.
    """
    dsn, profile = settings.dsn, profile_of(settings)
    recorder = nullcontext() if record is None else record(settings.client)
    async with recorder as listener, BillingClient(settings.client, listener=listener) as client:
        health = await client.health()
        log.debug("the billing answers", version=health.version, seconds=round(health.seconds, 3))
        database = None if dsn is None else open_file_database(dsn)
        try:
            if database is not None:
                await anyio.to_thread.run_sync(_connected, database)
            yield BillingConnection(Gateway(client, database, profile=profile), health)
        finally:
            if database is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(database.close)


def _connected(database: Database) -> None:
    """Connect, and check the scale of its money before any amount is read."""
    database.connect()
    if not check_scale(database):
        log.warning("the database does not say how it scales its money: taken as usual", scale=SCALE)


# ---- parameters of a run ----------------------------------------------------------------------------------------


def check_target(run: Run, settings: Settings) -> None:
    """Raise `CommandRefused` for a run of another billing than that of the settings."""
    if run.target != settings.target:
        other = settings.profile.profile_at(run.target) if settings.profile else ""
        raise CommandRefused(
            said(
                "run {run} works on {target}, and the settings name {other} (from {origin}). Give {flag} to go on "
                "with it",
                run=run.name,
                target=printable(run.target),
                other=printable(settings.target),
                origin=settings.api_url.origin,
                flag=setting("profile", other) if other else setting("api-url", printable(run.target)),
            )
        )


def how_often(run: Run) -> Repeat:
    """The repeat rule of the run: --again, --another-billing or neither, as it was begun."""
    return Repeat(run.parameters.get(REPEAT, Repeat.ONCE))


def shared_accounts_of(run: Run) -> SharedAccountsRule | None:
    """The run's rule for several rows that set the balance of one account; None where none was given."""
    rule = run.parameters.get(SHARED_ACCOUNTS)
    return None if rule is None else SharedAccountsRule(rule)


# ---- the end of a run -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending in this process."""

    calls: int = 0
    seconds: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The output of a finished run, what could not be done, and what of its output is missing."""

    shown: RenderableType | None = None
    trouble: str | None = None
    missing: str | None = None


async def finish_run(run: Run, journal: Journal, catalogue: Catalogue, *, anew: bool) -> FinishedRun:
    """Complete the files of a finished run, and wipe its secrets.

    Called when the run ends and again when it is resumed there, since a kill may have come in between.
    `anew` rewrites an existing file of answers. Raises `JournalError`.
    """
    spec = catalogue.known(run)
    finish = None if spec is None else finish_of(spec)
    if finish is not None:
        finished = await _hand_over(run, finish, journal)
    else:
        finished = await _write_answers(run, journal, anew=anew) if reads(spec) else FinishedRun()
    if not (await journal.totals(run)).count_where(settled=False):
        await wipe_secrets(run, journal)
    return finished


async def totals_at_end(run: Run, journal: Journal) -> Totals:
    """The totals of a run, with the rows whose money is left out, as an earlier run has entered it."""
    totals = await journal.totals(run)
    reasons = await journal.reasons(run, State.SKIPPED) if totals.count(State.SKIPPED) else []
    return replace(totals, entered_before=sum(one.items for one in reasons if one.kind == LEFT_OUT))


async def close_ended(run: Run, journal: Journal, catalogue: Catalogue) -> tuple[Closing, RenderableType | None]:
    """The closing of a run that has nothing left to send, and the output of its finishing. Raises `JournalError`."""
    # A kill may have come between the last answer and the finishing of the run.
    finished = await finish_run(run, journal, catalogue, anew=False)
    totals = await totals_at_end(run, journal)
    code = Exit.STOPPED if finished.trouble else outcome_of(totals)
    if finished.missing and code is Exit.DONE:
        code = Exit.REJECTED
    error = finished.trouble or finished.missing
    return Closing(code, run.name, run.job, totals, stopped=finished.trouble, error=error), finished.shown


async def lacking(run: Run, session: Session) -> str | None:
    """What is missing by now of what a run has written so far, before it goes on.

    Raises `CommandRefused` where it could not go on writing.
    """
    spec = session.settings.catalogue.known(run)
    if spec is None or (finish := finish_of(spec)) is None:
        return None
    found = await _hand_over(run, finish, session.journal)
    if found.trouble:
        raise CommandRefused(said("{why}\nNothing was sent. The run stays as it is", why=found.trouble))
    return found.missing


async def _hand_over(run: Run, finish: Finish, journal: Journal) -> FinishedRun:
    """Run the job's own finishing step."""

    def accepted() -> Iterator[Item]:
        after = 0
        while page := anyio.from_thread.run(partial(journal.items, run, states_where(in_effect=True), after=after)):
            yield from page
            after = page[-1].number

    try:
        text, missing = await anyio.to_thread.run_sync(lambda: finish(run, accepted()))
    except EngineError as error:
        trouble = said(
            "{error}. All rows are done; {command} completes the file",
            error=error,
            command=command_line("resume", run.name),
        )
        return FinishedRun(trouble=trouble)
    return FinishedRun(render(text) if text else None, missing=missing or None)


async def _write_answers(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    """Write the answers to the named file; without one, show the first of them."""
    named = run.parameters.get(ANSWER_FILE_PARAMETER)
    if named is None:
        return FinishedRun(await first_rows(run, journal))
    if not anew and await anyio.Path(named).exists():
        return FinishedRun(render(said("The answers are in {file}", file=printable(named, WHOLE))))
    try:
        # The file did not exist when the run began, so an existing one is the run's own.
        written = await write_answers(run, journal, OutputFile(Path(named), force=True))
    except CommandRefused as error:
        trouble = said(
            "{error}. The answers are in the journal: {command} writes them elsewhere",
            error=error,
            command=command_line("export", run.name, "--state", ANSWERS, "-o", "FILE"),
        )
        return FinishedRun(trouble=trouble)
    file = printable(named, WHOLE)
    return FinishedRun(
        render(counted("{n} row of answers: {file}", "{n} rows of answers: {file}", written, file=file))
    )


async def note_assumptions(run: Run, job: Job, journal: Journal) -> None:
    """Keep for the report what the sums of a run rest on and no probe has confirmed; the first note counts."""
    if items := await journal.items(run, _SENT, size=LOOKED_AT):
        await journal.history.note_assumptions(run, in_lines(job.assumptions(items)))
