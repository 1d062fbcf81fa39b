"""The journal of a command: opening it, the billing and the lock of a run, and the pacing policy that the run keeps.

Nothing here asks the billing, so commands that only read the journal load neither HTTP nor a database.

Within a journal a billing is named by `Run.target`, the address at which it was first worked on. By another address
it is recognised by its identity, which its oldest rows make; an address that leads to another billing now gets a
name of its own.
"""

import getpass
import hashlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import structlog

from billing.database.dsn import Dsn
from billing.directory.identity import is_same
from checkpoints.errors import BillingHeld, JournalError, RunHeld
from checkpoints.journal import Journal, open_journal
from checkpoints.journal_file import JournalAddress
from checkpoints.records import NewRunner, Run, Stage, Totals
from checkpoints.states import State
from checkpoints.stores import is_there, runs_of
from cli.settings.places import OF_BILLING, credentials_in, journals_in, states_of_others, user_name
from cli.settings.settings import Settings
from cli.show.closing import describe_end, restoring_of, run_again
from cli.terminal.exits import CommandRefused, HeldElsewhere
from cli.terminal.layout import OF_SETTINGS
from cli.terminal.streams import waiting
from cli.terminal.texts import printable
from engine.pacing.policy import ALL, Policy, policy_with
from jobs.runs import require_content, unfinished
from jobs.spec.words import RUN, UNDO
from texts.said import PROGRAM, Said, advise_runs, advised, command_line, counted, in_lines, said, setting, text_of

log = structlog.get_logger(__name__)

# ---- the billing of a run -----------------------------------------------------------------------------------------


_IDENTITY: Final = f"{OF_SETTINGS}oldest_rows"
_API: Final = f"{OF_SETTINGS}api"
_DATABASE: Final = f"{OF_SETTINGS}database"
_DIGITS: Final = 8


def remembered(settings: Settings, identity: str) -> dict[str, str]:
    """What a run remembers of its billing, as parameters: its identity and its addresses. None is a secret."""
    known = {_IDENTITY: identity, _API: settings.target, _DATABASE: database_address(settings)}
    return {name: value for name, value in known.items() if value}


def database_address(settings: Settings) -> str:
    """The address of the database as it can be typed in any folder, "" for none, and for one with a password."""
    address = settings.database.value or ""
    if address and not Dsn(address).on_server and (file := Path.cwd() / address).exists():
        return os.path.normpath(file)
    return "" if credentials_in(address) else address


def addresses_of(run: Run) -> dict[str, str | None]:
    known = {"api-url": api_of(run), "database": run.parameters.get(_DATABASE)}
    return {name: value for name, value in known.items() if value and value.isprintable()}


def identity_of_run(run: Run) -> str:
    return run.parameters.get(_IDENTITY, "")


def api_of(run: Run) -> str:
    return run.parameters.get(_API) or run.target.partition("#")[0]


def target_among(runs: Sequence[Run], address: str, identity: str) -> str:
    same = [run for run in runs if is_same(identity, identity_of_run(run))]
    # Two copies of one billing have one identity; each keeps its own name.
    if one := next((run for run in same if api_of(run) == address), next(iter(same), None)):
        return one.target
    if any(run.target == address and is_same(identity, identity_of_run(run)) is False for run in runs):
        return f"{address}#{identity[:_DIGITS]}"
    return address


def journal_place(settings: Settings, identity: str, tell: Callable[[Said], None]) -> JournalAddress:
    """The journal of the settings; where the billing has its own by another address, a link to that one. Blocks.

    That is told when the link is made, for another billing may be taken for this one. Raises `CommandRefused` where
    another user of this machine has a journal: two journals do not know each other's runs.
    """
    where = settings.journal.value
    if settings.journal.origin != OF_BILLING or not identity or where.path.exists():
        return where

    def has_runs(journal: Path) -> bool:
        try:
            return any(is_same(identity, identity_of_run(run)) for run in runs_of(journal))
        except (JournalError, OSError):
            return False

    if own := next(filter(has_runs, journals_in(where.path.parent)), None):
        tell(
            said(
                "by its oldest rows this is the billing of {journal}, and that is its journal. If it is another "
                "one, as a practice billing that was made with the same --seed, give it a --journal FILE of its own",
                journal=str(own),
            )
        )
        with suppress(FileExistsError):
            where.path.symlink_to(own.name)
    elif other := next(filter(has_runs, chain(*map(journals_in, states_of_others(os.environ)))), None):
        raise CommandRefused(
            "another user of this machine has a journal of this billing, {other}: two journals know nothing "
            "of each other's runs, and would enter the same rows twice. Give {that} to use it, or {this} for "
            "one of your own",
            other=str(other),
            that=setting("journal", quote(str(other))),
            this=setting("journal", quote(str(where))),
        )
    return where


def check_target(run: Run, settings: Settings) -> None:
    """Raise `CommandRefused` for a run of another billing than that of the settings, as far as addresses tell.

    Another address may lead to the same billing: with a database that is seen once it is open.
    """
    database = run.parameters.get(_DATABASE, "")
    if database and not settings.database.value and settings.database.origin != "--database":
        address = setting("api-url", printable(run.parameters.get(_API) or run.target))
        there = () if is_at(run, settings.target) else (address,)
        raise CommandRefused(
            "run {run} was begun with the billing's database, and the settings name none: without it less is looked "
            "up before a call. Give {flag}; to go on through the API alone, type --database ''",
            run=run.name,
            flag=" ".join((*there, setting("database", printable(database)))),
        )
    if not is_at(run, settings.target) and not (identity_of_run(run) and settings.database.value):
        raise of_another(run, settings)


def check_identity(run: Run, settings: Settings, identity: str) -> None:
    same = is_same(identity, identity_of_run(run))
    if same is False and is_at(run, settings.target):
        raise CommandRefused(
            "run {run} was begun on another billing: {address} led there then, and the billing that answers now "
            "({database}) has other oldest subscribers. Nothing was sent. Give --api-url URL and --database PATH of "
            "the billing that the run was begun on",
            run=run.name,
            address=printable(settings.target),
            database=printable(database_address(settings)),
        )
    if not same and not is_at(run, settings.target):
        raise of_another(run, settings)


def is_at(run: Run, address: str) -> bool:
    """Whether the run was begun at this address of the API, or its billing has its name from there."""
    return address in {api_of(run), run.target.partition("#")[0]}


def of_another(run: Run, settings: Settings) -> CommandRefused:
    return CommandRefused(
        "run {run} works on {target}, and the settings name {other} (from {origin}). Give {flags} to reach its "
        "billing",
        run=run.name,
        target=printable(api_of(run)),
        other=printable(settings.target),
        origin=settings.api_url.origin,
        flags=leading_to(run, settings),
    )


def leading_to(run: Run, settings: Settings) -> str:
    """The flags that lead to the billing of a run: a profile of the settings, or its addresses."""
    if profile := settings.profile_at(api_of(run)):
        return setting("profile", profile)
    return " ".join(setting(name, str(address)) for name, address in addresses_of(run).items())


# ---- the lock of a billing on this machine ------------------------------------------------------------------------


_SENDS: Final = "carbon-migrate-sends-"
_ROOT: Final = 0
_FIREBIRD: Final = "3050"
_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""


@contextmanager
def only_journal(run: Run, names: Sequence[str], journal: JournalAddress) -> Iterator[None]:
    """Hold the billing of these `names` on this machine for one journal.

    Raises `BillingHeld` where another journal sends to it.
    """
    file = None if journal.is_shared else journal.path.stat()
    # Whatever name it is opened by; journals in PostgreSQL have leases among themselves.
    own = _digest("postgres" if file is None else f"{file.st_dev}:{file.st_ino}")
    with ExitStack() as held:
        for name in names:
            each = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            each.bind(f"\0{beginning_for(name)}{own}-{run.name}-{time.monotonic_ns()}")
            each.listen()
        # The own names are there before others are looked for: if two begin at once, at least one sees the other.
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
        for beginning in map(beginning_for, names):
            for name in (line.rpartition(" @")[2] for line in lines):
                theirs, _, other = name.removeprefix(beginning).rpartition("-")[0].partition("-")
                if name.startswith(beginning) and theirs != own:
                    raise BillingHeld(_why(run, other, f"\0{name}"), other)
        yield


def billing_names(run: Run) -> tuple[str, ...]:
    """What the run's billing is known by on this machine: where its API and its database are. Blocks.

    Two runs with a name in common are of one billing: `localhost` and `127.0.0.1` are one, and so are two ways to one
    database.
    """

    def resolved(host: str) -> str:
        try:
            return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
        except OSError:
            return host.lower()

    known = addresses_of(run)
    api, database = urlsplit(known["api-url"] or ""), Dsn(known.get("database") or "")
    names = [f"{resolved(api.hostname or '')}:{api.port}"]
    server, path = database.parts
    if server:
        host, _, port = server.partition("/")
        names.append(f"{resolved(host)}/{port or _FIREBIRD}:{path}")
    elif path:
        names.append(os.path.realpath(path))
    return tuple(names)


def beginning_for(name: str) -> str:
    return f"{_SENDS}{_digest(name)}-"


def _why(run: Run, other: str, name: str) -> str:
    """Who holds the name: a process of this user or of root is ours, any other may only know the name."""
    process, user = "?", str(_ROOT)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, suppress(OSError):
        asking.settimeout(1)
        asking.connect(name)
        # As the kernel reports it; process 0 belongs to another namespace.
        content = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = map(str, _CREDENTIALS.unpack(content))
    if user not in {str(os.geteuid()), str(_ROOT)}:
        # Refused as well: it may be this program, typed by another administrator.
        return said(
            "process {process} of {owner} sends run {run} to this billing with another journal, or says so. If it "
            "is carbon-migrate, wait for its end; if it is not, it keeps you from your run: end it",
            process=process,
            owner=user_name(int(user)),
            run=other,
        )
    what = said("another copy of this journal") if other == run.name else said("another journal")
    return said(
        "process {process} sends run {run} to this billing with {what}: the same rows would be entered twice",
        process=process,
        run=other,
        what=what,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


# ---- the journal of a command -------------------------------------------------------------------------------------


_LONGEST_CLAIM: Final = 100
"""Maximum length of the name that a sender claims, in characters."""


def own_name() -> str:
    """The name of the user as far as this process knows it, behind sudo the caller, and of the host."""
    name = user_name(os.geteuid())
    with suppress(OSError, KeyError):
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{name}@{socket.gethostname()}"


def ourselves(through: str = "") -> str:
    """The name of the user in the form that a run records, with the process, and the name that it claims if another.

    What came `through` the page says so first.
    """
    whole, claimed = f"{user_name(os.geteuid())}@{socket.gethostname()}", own_name()
    says = "" if claimed == whole else f" (says it is {claimed[:_LONGEST_CLAIM]})"
    return f"{through}{', ' if through else ''}{whole}{says}, process {os.getpid()}"


_MOST_RUNS: Final = 10
"""Runs that are named where it is not known which one is meant."""


@asynccontextmanager
async def open_noted(where: JournalAddress) -> AsyncIterator[Journal]:
    """Open a journal, and say where the copy of one is that had to be converted.

    Raises what `open_journal` raises.
    """
    async with AsyncExitStack() as stack:
        with waiting(lambda: said("opening the journal {journal}", journal=str(where))):
            journal = await stack.enter_async_context(open_journal(where))
        if journal.kept_copy:
            log.warning(
                "the journal was of an earlier format, and is converted; as it was it is kept, for going back to the "
                "program before",
                copy=str(journal.kept_copy),
            )
        # Where `status` knows a run's journal alone, what it advises leads to the run's billing all the same.
        with waiting(lambda: said("working with the journal {journal}", journal=str(where))):
            advise_runs({run.name: addresses_of(run) for run in await journal.runs()})
            yield journal


class BillingTaken(HeldElsewhere):
    """Raised when another machine or another journal works on the billing."""


class JournalAbsent(CommandRefused):
    """Raised when a command that needs runs finds no journal."""


def check_address(settings: Settings) -> None:
    """Raise `SettingsRefused` where no journal is there because the billing's address is none."""
    if settings.api_url.value and settings.journal.origin == OF_BILLING and not settings.journal.value.path.exists():
        _ = settings.target


@asynccontextmanager
async def open_existing(where: JournalAddress) -> AsyncIterator[Journal]:
    """Open a journal. Raises `JournalAbsent` where there is none, and what `open_journal` raises."""
    with waiting(lambda: said("looking for the journal {journal}", journal=str(where))):
        found = await anyio.to_thread.run_sync(is_there, where)
    if not found:
        absent = said(
            "there is no journal {path}: nothing was run with it so far. Another billing is named with --api-url, "
            "another journal with --journal",
            path=str(where),
        )
        others = tuple(str(one) for one in await anyio.to_thread.run_sync(journals_in, where.path.parent))
        raise JournalAbsent(
            said("{absent}; beside it there are: {others}", absent=absent, others=others) if others else absent
        )
    async with open_noted(where) as journal:
        yield journal


async def chosen_run(name: str | None, journal: Journal, command: str, *, is_open: bool = False) -> Run:
    """The run of that name; without one the only one of all that were approved, or of those not at their end.

    Of several that are not at their end it is the only one that somebody works on.

    Raises `NoSuchRun`, and `CommandRefused` where there is none, or more than one.
    """
    if name is not None:
        return await journal.run(name)
    runs = [run for run in await journal.runs() if (await unfinished(run, journal) if is_open else run.approved_at)]
    if not runs:
        none = said("no run is under way; {command} lists those at their end", command=advised("status"))
        raise CommandRefused(none if is_open else said("no run of this journal was sent yet"))
    worked_on = [run for run in runs if await journal.holder(run)] if is_open and len(runs) > 1 else []
    for only in (runs, worked_on):
        if len(only) == 1:
            return only[0]
    raise await which_of(runs, journal, command)


_NOTHING_FOR: Final = {
    "resume": said("begin a new one"),
    "verify": said("there is nothing to verify"),
    "reconcile": said("there is nothing to look up"),
    "undo": said("there is nothing to take back"),
    "validate": said("there is nothing to record"),
    "close": said("there is nothing to close"),
}
"""By command, what there is for it of a run that was given up."""


async def usable_run(name: str | None, journal: Journal, command: str) -> Run:
    """The same of a run whose rows are kept. Raises `RunPurged`, and `CommandRefused` for one that was given up."""
    run = await chosen_run(name, journal, command)
    await require_content(run, journal)
    if run.stage is Stage.DISCARDED:
        raise CommandRefused(
            "run {run} was given up before anything was sent: {then}", run=run.name, then=_NOTHING_FOR[command]
        )
    return run


async def which_of(runs: Sequence[Run], journal: Journal, command: str, *flags: str) -> CommandRefused:
    """The refusal of a command without a name where there are several runs: the last ones, each with its command."""
    lines = [
        counted(
            "{job}, {source}, begun {begun}, {n} row[s] left:\n  {command}",
            (await journal.totals(run)).count_where(open=True),
            command=command_line(command, run.name, *flags),
            job=run.job,
            source=printable(run.source, 60),
            begun=run.created_at,
        )
        for run in runs[-_MOST_RUNS:]
    ]
    return CommandRefused(in_lines([said("there are several runs; which?"), *lines]))


# ---- the end of a run for good ----------------------------------------------------------------------------------


def ended_for_good(run: Run, totals: Totals) -> Said | None:
    """How the run has ended for good, and the rows that it never sends; None where it has not."""
    if (end := describe_end(run)) is None:
        return None
    if not totals.unsent:
        return said("run {run} has ended: {end}", run=run.name, end=end)
    return counted(
        "run {run} has ended: {end}. {n} row[s] of it [was|were] not sent, and never [is|are]",
        totals.unsent,
        run=run.name,
        end=end,
    )


def refuse_ended(run: Run, totals: Totals) -> None:
    """Raise `CommandRefused` for a run that has ended for good: say what happened, and what can be done instead."""
    if (ended := ended_for_good(run, totals)) is None:
        return
    parts: list[str] = [ended]
    if again := run_again(run):
        what = said("To enter what is missing, run the corrected file, which leaves out what stands:")
        if run.job == UNDO:
            what = said("To take back what stands of run {run}:", run=run.parameters[RUN])
        parts += [what, again]
    if restoring := restoring_of(run, totals):
        parts += [said("To restore what was taken back, where that is possible:"), restoring]
    raise CommandRefused(in_lines(parts))


# ---- the lock ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def locked(
    run: Run, journal: Journal, purpose: str, *, billing: str = "", call_seconds: float = 0.0
) -> AsyncIterator[Run]:
    """Hold the run's lock for the context; yields the run.

    Raises `CommandRefused` when another process has it, as a `BillingTaken` when another machine or another journal
    has its billing. `purpose` is the command, `billing` the version that the billing reported, "" where it was not
    asked. A call of the command ends within `call_seconds`, 0 where it sends none that changes anything.
    """
    from importlib.metadata import version  # noqa: PLC0415 - `status` starts without it

    runner = NewRunner(purpose, own_name(), version(PROGRAM), billing, call_seconds)
    try:
        names = await anyio.to_thread.run_sync(billing_names, run) if call_seconds else ()
        # Before the run is taken up, so that a fresh one can still be given up by who has made it.
        with only_journal(run, names, journal.address) if call_seconds else nullcontext():
            async with AsyncExitStack() as stack:
                with waiting(lambda: said("locking run {run}", run=run.name)):
                    ours = await stack.enter_async_context(journal.taken_up(run, runner))
                yield ours
    except BillingHeld as error:
        why = said(
            "{why}.\nWait until that has ended, or stop it; then go on with one of the two journals alone",
            why=text_of(error),
        )
        if journal.address.is_shared:
            why = said(
                "{why}.\nWait until that has ended, or stop it there; {command} shows where it stands. With "
                "--detach a worker takes this in its turn",
                why=text_of(error),
                command=command_line("status", error.run),
            )
        raise BillingTaken(why) from error
    except RunHeld as error:
        raise await _busy(run, journal, text_of(error)) from error


async def require_unlocked(run: Run, journal: Journal) -> None:
    """Raise `CommandRefused` when another process works on the run, before any preparation."""
    if holder := await journal.holder(run):
        raise await _busy(run, journal, said("another process works on this run: {holder}", holder=holder.sentence))


async def _busy(run: Run, journal: Journal, why: str) -> HeldElsewhere:
    in_flight = (await journal.totals(run)).count(State.SENDING)
    return HeldElsewhere(
        counted(
            "run {run}: {why}; {n} row[s] in flight.\nWait for it, or stop it: {stop}\nWhere it stands: {status}",
            in_flight,
            run=run.name,
            why=why,
            stop=command_line("stop", run.name),
            status=command_line("status", run.name),
        )
    )


# ---- the policy -------------------------------------------------------------------------------------------------


def stored_policy(run: Run) -> Policy:
    """The policy that a run keeps. Raises `CommandRefused` where it cannot be read, since a limit could be lost."""
    try:
        return policy_with(Policy(), run.policy, ALL)
    except ValueError as error:
        raise CommandRefused(
            "run {run} keeps a setting that cannot be read: {error}", run=run.name, error=error
        ) from error
