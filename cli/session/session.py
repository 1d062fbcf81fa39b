"""A session: the journal and the billing of one command, and the common operations on their runs.

A command opens a session, locks its run (`cli/session/journal.py`) and works on it:

    async with open_existing(path) as journal:
        run = await journal.run(name)
        async with open_session(told, journal, of=run) as opened, locked(run, journal, "resume") as run:
            job = await opened.for_run(run).rebuild(run)
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
import structlog
import tomli_w

from billing.api.client import BillingClient, ClientSettings, Health, Patience
from billing.api.wire import CallObserver
from billing.database.file_database import open_file_database
from billing.directory.system import check_scale
from billing.money import SCALE
from billing.profile import UNKNOWN, Profile, describe_fact
from checkpoints.errors import RunPurged
from checkpoints.journal import Journal, earlier_runs
from checkpoints.journal_file import JournalAddress
from checkpoints.records import Item, Run
from checkpoints.states import states_where
from cli.session.events import RunReader
from cli.session.journal import (
    addresses_of,
    check_address,
    check_identity,
    check_target,
    is_at,
    journal_place,
    leading_to,
    of_another,
    open_noted,
    stored_policy,
    target_among,
)
from cli.session.order import vault_of
from cli.settings.flags import Consent, Pacing
from cli.settings.places import OF_BILLING, FoundFile, journals_in, name_of_billing, read_found, read_toml
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.show.files import OutputFile, replacing
from cli.show.preview import Target
from cli.terminal.exits import AWAY, CommandRefused, SettingsRefused, code_of
from cli.terminal.layout import labelled
from cli.terminal.screen import Screen
from cli.terminal.streams import waiting, waiting_line
from cli.terminal.texts import printable
from engine.errors import EngineError, LookUpDelayed, LookUpFailed
from engine.job import Effect, Job, shown
from engine.pacing.holds import POLL_SECONDS, Stop
from engine.pacing.policy import ALL, Policy, policy_with
from jobs.access.gateway import Gateway, OneBilling, compare_billing
from jobs.access.vault import Vault
from jobs.job import build
from jobs.rows.input import input_of_parameters, job_parameters
from jobs.runs import require_content
from jobs.spec.spec import parameters_of
from jobs.spec.toml_places import KeyRefused, as_kind
from jobs.spec.words import UNDO
from jobs.undo import build_undo, effect_of_run
from texts.said import PROGRAM, Given, Said, advise_runs, command_line, reason_of, said

log = structlog.get_logger(__name__)

UNDER_WAY: Final = states_where(open=True, counts_money=True)
"""States of rows whose calls may have arrived."""

_MOST_ASKED: Final = 100
"""Runs that are asked about until one has entered what can be seen."""

OpenRecorder: TypeAlias = Callable[[ClientSettings], AbstractAsyncContextManager[CallObserver]]
"""Opens a recorder of every exchange of the client with these settings, for the time of the context."""

HandIn: TypeAlias = Callable[[Run, Journal], Awaitable[Closing]]
"""Hands a run in that is approved and that nobody works on; returns the closing, which was shown."""

OpenPage: TypeAlias = Callable[[Run, Journal], AbstractAsyncContextManager[Callable[[], None]]]
"""Serves the page of a run for the time of the context, and gives what shows its address.

A fault of the page does not change the run.
"""


@dataclass(frozen=True, slots=True)
class BillingConnection:
    """A billing that has answered at its address: its gateway and its health report."""

    address: str
    gateway: Gateway
    health: Health
    one: OneBilling = field(default_factory=OneBilling)

    @property
    def target(self) -> Target:
        """The billing in the form that screens show."""
        database = self.gateway.database
        return Target(self.address, self.health.version, None if database is None else str(database.dsn))


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command that works on runs was told by its command line, `typed` by parameter, and by its settings."""

    settings: Settings
    screen: Screen
    typed: Mapping[str, str] = field(default_factory=dict)
    pacing: Pacing = field(default_factory=Pacing)
    consent: Consent = field(default_factory=Consent)
    record: OpenRecorder | None = None
    page: OpenPage | None = None
    readers: Sequence[RunReader] = ()
    hand_in: HandIn | None = None
    """Hands the run in for a worker to send, in place of sending it here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Invocation):
    """An invocation whose journal and billing are open.

    `stop` is the requested stop of the process that works on the run; a stop that comes when nothing is left to stop
    remains set after the run.
    """

    journal: Journal
    billing: BillingConnection
    stop: Stop = field(default_factory=Stop)

    @property
    def gateway(self) -> Gateway:
        return self.billing.gateway

    def with_vault(self, vault: Vault) -> "Session":
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
        return policy_with(stored_policy(run), self.pacing.given, ALL)

    async def target(self) -> str:
        """How the session's billing is named in its journal. Raises what `shows` raises."""
        return (await self.target_shown())[0]

    async def target_shown(self) -> tuple[str, bool | None]:
        """The same, and whether it shows what the journal has entered there last, as `shows` says it.

        By another address the billing has the name of before where it does; a copy does not.
        """
        runs, address = await self.journal.runs(), self.settings.target
        target = target_among(runs, address, self.billing.one.identity)
        own = [run for run in runs if run.target == target]
        shown = await self.shows(reversed(own))
        return target if shown or not own or any(is_at(run, address) for run in own) else address, shown

    async def shows(self, runs: Iterable[Run]) -> bool | None:
        """Whether the database has what the first of these runs has entered last; None where nothing is seen of any.

        The API is asked as well: raises `CommandRefused` where only one of the two shows it, and `LookUpFailed`.
        """
        if self.gateway.database is None:
            return None
        for run in islice(runs, _MOST_ASKED):
            if (shown := await self._shows(run)) is not None:
                return shown
        return None

    async def _shows(self, run: Run) -> bool | None:
        """The same of one run. What only one of the two shows is waited for as long as a lost answer would be.

        Of what was taken back the API still shows deleted objects.
        """
        if run.undone_by is not None:
            return None
        journal, catalogue = self.journal, self.settings.catalogue
        try:
            await require_content(run, journal)
            last = await journal.in_effect_last_first(run, size=1)
            # Without one, a row that may have arrived before a kill.
            if not (asked := last or await journal.items(run, UNDER_WAY, size=1)):
                return None
            policy = self.policy_of(run)
            gateway = self.with_vault(vault_of(run, journal, self.settings)).gateway
            stored = await effect_of_run(gateway, journal, run, catalogue)
            answered = await effect_of_run(replace(gateway, database=None), journal, run, catalogue)
        except (EngineError, CommandRefused, RunPurged):
            return None
        began = anyio.current_time()
        while True:
            waited = anyio.current_time() - began
            try:
                is_stored = await _is_shown(stored, run, asked[0])
                trusts = is_stored is None or self.consent.trust_journal
                if trusts or await _is_shown(answered, run, asked[0]) in {is_stored, None}:
                    # That a row is not there which was under way says nothing.
                    return is_stored if last else is_stored or None
                if waited >= policy.patience(await stored.unfinished_work(asked)):
                    row: dict[str, Given] = {"row": asked[0].number, "run": run.name, "label": asked[0].label}
                    differs = (
                        said("the database shows row {row} of run {run} ({label}), and the API does not", **row)
                        if is_stored
                        else said("the API shows row {row} of run {run} ({label}), and the database does not", **row)
                    )
                    raise two_billings(self.gateway, self.settings, differs)
            except LookUpDelayed:
                if waited >= policy.settle:
                    raise
            with waiting(lambda: said("comparing the API with the database")):
                await anyio.sleep(POLL_SECONDS)

    async def rebuild(self, run: Run) -> Job:
        own = job_parameters(run.parameters)
        if run.job == UNDO:
            return await build_undo(self.gateway, self.journal, own, self.settings.catalogue)
        spec = self.settings.catalogue.of(run)
        return build(spec, self.gateway, parameters_of(spec, own), input_of_parameters(run.parameters))


async def _is_shown(effect: Effect, run: Run, item: Item) -> bool | None:
    """Whether the billing shows an item; None where nothing can tell. Raises `LookUpDelayed`."""
    try:
        read = await shown(effect, run, item)
    except LookUpDelayed:
        raise
    except LookUpFailed:
        return None
    return None if read is None else read.difference is None


@asynccontextmanager
async def open_session(
    told: Invocation, journal: Journal | None = None, *, of: Run | None = None, reads: bool = False
) -> AsyncIterator[Session]:
    """A session with the billing of the settings and the given open `journal`.

    Without one, the journal of the settings is opened once the billing has answered, and created where there is none;
    by a command that only `reads` it, it is neither created nor changed.
    `of` is the run that is resumed, looked at or undone: raises `CommandRefused` where the settings lead to another
    billing than its own. Raises what `open_billing` and `open_noted` raise.
    """
    settings = told.settings
    if of is not None:
        check_target(of, settings)
    async with AsyncExitStack() as stack:
        try:
            billing = await stack.enter_async_context(open_billing(settings, told.record))
        except AWAY as error:
            if of is not None and not is_at(of, settings.target):
                raise of_another(of, settings) from error
            raise
        if of is not None:
            check_identity(of, settings, billing.one.identity)
        if journal is None:
            place = await anyio.to_thread.run_sync(
                journal_place,
                *(settings, billing.one.identity),
                lambda why: told.screen.say_always(labelled(said("caution:"), why, "yellow")),
            )
            journal = await stack.enter_async_context(earlier_runs(place) if reads else open_noted(place))
        given = {one.name: getattr(told, one.name) for one in fields(told)}
        session = Session(**given, journal=journal, billing=billing)
        # What was entered last tells an older copy from it, also where that has all of the run.
        runs = () if of is None else [run for run in reversed(await journal.runs()) if run.target == of.target]
        if await session.shows(runs) is False and of is not None and not is_at(of, settings.target):
            raise CommandRefused(
                "{settings} leads to a copy of the billing of run {run}: it has the same subscribers, and not "
                "what the run has entered. Give {flags} to reach its billing",
                settings=printable(settings.target),
                run=of.name,
                flags=leading_to(of, settings),
            )
        if of is not None:
            # What this command was given has led to the runs of this billing, whatever they were begun with.
            advise_runs({run.name: addresses_of(run) for run in await journal.runs() if run.target != of.target})
        yield session


async def own_journal(settings: Settings) -> JournalAddress:
    """The journal of the settings; of a billing that has its journal by another address, that one.

    Raises what `open_billing` and `journal_place` raise.
    """
    where = settings.journal.value.path

    def is_missed() -> bool:
        # It has none at its default place, and others are there.
        return settings.journal.origin == OF_BILLING and not where.exists() and bool(journals_in(where.parent))

    check_address(settings)
    if await anyio.to_thread.run_sync(is_missed):
        async with open_billing(settings) as billing:
            return await anyio.to_thread.run_sync(journal_place, settings, billing.one.identity, log.warning)
    return settings.journal.value


@asynccontextmanager
async def open_billing(settings: Settings, record: OpenRecorder | None = None) -> AsyncIterator[BillingConnection]:
    """The billing of the settings, once its API and, where one is set, its database have answered.

    Known facts come from its profile. Every exchange is recorded where a command gives a recorder. Raises
    `SettingsRefused`, what the recorder raises, `CommandRefused` where API and database are not seen to be of one
    billing, and what `BillingClient.health`, `Database.connect` and `check_scale` raise.
    """
    dsn, profile = settings.dsn, profile_of(settings)
    recorder = nullcontext() if record is None else record(settings.client)
    async with recorder as listener, BillingClient(settings.client, listener=listener) as client:
        with waiting(lambda: said("asking {address}", address=settings.target), most=settings.client.deadline):
            # One broken connection says nothing of the billing.
            health = await client.health(attempts=Patience().attempts)
        log.debug("the billing answers", version=health.version, seconds=round(health.seconds, 3))
        database = None if dsn is None else open_file_database(dsn)
        try:
            if database is not None:
                with waiting(lambda: said("connecting to {database}", database=str(dsn))):
                    await anyio.to_thread.run_sync(database.connect)
                    # Before any amount is read.
                    if not await anyio.to_thread.run_sync(check_scale, database):
                        log.warning("the database does not say how it scales its money: taken as usual", scale=SCALE)
            gateway = Gateway(client, database, profile=profile)
            with waiting(lambda: said("comparing the API with the database")):
                one = await one_billing(gateway, settings)
            if (line := waiting_line()) is not None:
                line.questions = gateway.questions.count
            yield BillingConnection(settings.target, gateway, health, one)
        finally:
            if database is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(database.close)


async def one_billing(gateway: Gateway, settings: Settings) -> OneBilling:
    """The billing of API and database. Raises `CommandRefused` where they are not seen to be one."""
    try:
        one = await compare_billing(gateway)
    except LookUpFailed as error:
        raise CommandRefused(
            "API and database could not be compared, and may be of two billings: {error}\n{leads}. Nothing was sent",
            code_of(error),
            error=error,
            leads=_leads(gateway, settings),
        ) from error
    if one.differs is not None:
        raise two_billings(gateway, settings, one.differs)
    return one


def two_billings(gateway: Gateway, settings: Settings, differs: Said) -> CommandRefused:
    return CommandRefused(
        "API and database are not of one billing: {differs}\n{leads}. Nothing was sent: correct the wrong setting",
        differs=differs,
        leads=_leads(gateway, settings),
    )


def _leads(gateway: Gateway, settings: Settings) -> Said:
    return said(
        "{api} (from {of_api}) leads to the one, {database} (from {of_database}) to the other",
        api=printable(settings.target),
        of_api=settings.api_url.origin,
        database=printable(gateway.database.dsn if gateway.database else ""),
        of_database=settings.database.origin,
    )


# ---- what is known of the billing: `HOST-PORT.profile.toml`, beside the settings file or in the state folder -------


ENDING: Final = ".profile.toml"
_HEAD: Final = f"""\
# What is known of this billing: written by `{PROGRAM} probe`, read by all jobs.
# Facts that are not here are documented or assumed; `{PROGRAM} doctor` lists all of them.
"""


def profile_path(settings: Settings) -> Path:
    """The path of the billing's profile, whether it exists or not. Raises `SettingsRefused`."""
    folder = settings.file.absolute().parent if settings.file else settings.state
    return folder / f"{name_of_billing(settings.target)}{ENDING}"


def profile_of(settings: Settings) -> Profile:
    """The known facts of the settings' billing; none where no probe has run.

    Raises `SettingsRefused`, naming file, line and column, for an invalid profile: a misread fact would move money
    the wrong way.
    """
    path = profile_path(settings)
    file = said("the billing's profile {file}", file=printable(path))
    # Whoever has made a settings file that was named is trusted with what lies beside it.
    trusted = {settings.file.stat().st_uid} if settings.file else ()
    toml = read_toml(lambda: read_found(FoundFile(path, said("the billing's profile")), trusted), file)
    if toml is None:
        return UNKNOWN
    try:
        profile = as_kind(toml.content, Profile)
    except KeyRefused as error:
        place, name = str(toml.place(*error.way)), ".".join(map(str, error.way))
        raise SettingsRefused(
            "{file}, {place}: {name}: {what}", file=file, place=place, name=printable(name), what=error
        ) from error
    if profile.billing != settings.target:
        raise SettingsRefused(
            "the billing's profile {file} is of the billing {billing}, and the settings name {target}: remove "
            "it, and probe this one ({command})",
            file=printable(path),
            billing=printable(profile.billing) or said("nobody knows which"),
            target=printable(settings.target),
            command=command_line("probe", "--abonent", "ID"),
        )
    return profile


def write_profile(settings: Settings, profile: Profile) -> Path:
    """Write the known facts atomically; returns the path. Raises `CommandRefused` where that fails."""
    path = profile_path(settings)
    parts = [_HEAD, tomli_w.dumps({"billing": profile.billing, "version": profile.version})]
    for name, fact in profile.facts():
        if fact.known:
            plain = msgspec.to_builtins(fact, builtin_types=(type(fact.learned),))
            parts.append(f"# {describe_fact(name, fact.value)}\n{tomli_w.dumps({name: plain})}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(OutputFile(path, force=True)) as made, made.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\n".join(parts))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsRefused(
            "the billing's profile {file} cannot be written: {reason}", file=printable(path), reason=reason_of(error)
        ) from error
    return path
