"""Which billing a run belongs to: what it remembers of it, and whether the settings lead there.

Within a journal a billing is named by `Run.target`, the address at which it was first worked on. By another address
it is recognised by its identity, which its oldest rows make; an address that leads to another billing now gets a
name of its own.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Final

import structlog

from billing.database.dsn import Dsn
from billing.directory.identity import is_same
from checkpoints.address import JournalAddress
from checkpoints.earlier_runs import runs_of
from checkpoints.errors import JournalError
from checkpoints.records import Run
from cli.settings.places import OF_BILLING, credentials_in, journals_in, states_of_others
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import OF_SETTINGS
from cli.terminal.texts import printable
from texts.remedies import setting

_IDENTITY: Final = f"{OF_SETTINGS}oldest_rows"
_API: Final = f"{OF_SETTINGS}api"
_DATABASE: Final = f"{OF_SETTINGS}database"
_DIGITS: Final = 8

log = structlog.get_logger(__name__)


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
    known = {
        "api-url": run.parameters.get(_API) or run.target.partition("#")[0],
        "database": run.parameters.get(_DATABASE),
    }
    return {name: value for name, value in known.items() if value and value.isprintable()}


def identity_of_run(run: Run) -> str:
    """The identity of the run's billing, "" where nobody knew it."""
    return run.parameters.get(_IDENTITY, "")


def api_of(run: Run) -> str:
    return run.parameters.get(_API) or run.target.partition("#")[0]


def target_among(runs: Sequence[Run], address: str, identity: str) -> str:
    """How the billing at `address` is named in a journal that has these runs."""
    same = [run for run in runs if is_same(identity, identity_of_run(run))]
    # Two copies of one billing have one identity; each keeps its own name.
    if one := next((run for run in same if api_of(run) == address), next(iter(same), None)):
        return one.target
    if any(run.target == address and is_same(identity, identity_of_run(run)) is False for run in runs):
        return f"{address}#{identity[:_DIGITS]}"
    return address


def journal_place(settings: Settings, identity: str) -> JournalAddress:
    """The journal of the settings; where the billing has its own by another address, a link to that one. Blocks.

    Raises `CommandRefused` where another user of this machine has one: two journals do not know each other's runs.
    """
    where = settings.journal.value
    if settings.journal.origin != OF_BILLING or not identity or where.path.exists():
        return where
    for own in journals_in(where.path.parent):
        if _has_runs_of(identity, own):
            log.warning("the billing has its journal by another address", journal=str(own), link=str(where))
            with suppress(FileExistsError):
                where.path.symlink_to(own.name)
            return where
    for other in chain(*map(journals_in, states_of_others(os.environ))):
        if _has_runs_of(identity, other):
            raise CommandRefused(
                "another user of this machine has a journal of this billing, {other}: two journals know nothing "
                "of each other's runs, and would enter the same rows twice. Give {that} to use it, or {this} for "
                "one of your own",
                other=str(other),
                that=setting("journal", quote(str(other))),
                this=setting("journal", quote(str(where))),
            )
    return where


def _has_runs_of(identity: str, journal: Path) -> bool:
    try:
        return any(is_same(identity, identity_of_run(run)) for run in runs_of(journal))
    except (JournalError, OSError):
        return False


def check_target(run: Run, settings: Settings) -> None:
    """Raise `CommandRefused` for a run of another billing than that of the settings, as far as addresses tell.

    Another address may lead to the same billing: with a database that is seen once it is open.
    """
    database = run.parameters.get(_DATABASE, "")
    if database and not settings.database.value and settings.database.origin != "--database":
        raise CommandRefused(
            "run {run} was begun with the billing's database, and the settings name none: without it less is "
            "looked up before a call. Give {flag}; to go on through the API alone, type {none}",
            run=run.name,
            flag=setting("database", printable(database)),
            none=setting("database", "''"),
        )
    if not is_at(run, settings.target) and not (identity_of_run(run) and settings.database.value):
        raise of_another(run, settings)


def check_identity(run: Run, settings: Settings, identity: str) -> None:
    """Raise `CommandRefused` for a run of another billing than the one that was opened."""
    same = is_same(identity, identity_of_run(run))
    if same is False and is_at(run, settings.target):
        raise CommandRefused(
            "run {run} was begun on another billing: {address} led there then, and the billing that answers "
            "now ({database}) has other oldest subscribers. Nothing was sent. Give {api} and {flag} of the "
            "billing that the run was begun on",
            run=run.name,
            address=printable(settings.target),
            database=printable(database_address(settings)),
            api=setting("api-url", "URL"),
            flag=setting("database", "PATH"),
        )
    if not same and not is_at(run, settings.target):
        raise of_another(run, settings)


def is_at(run: Run, address: str) -> bool:
    """Whether the run was begun at this address of the API, or its billing has its name from there."""
    return address in {api_of(run), run.target.partition("#")[0]}


def of_another(run: Run, settings: Settings) -> CommandRefused:
    """The error for a run whose billing is not seen to be at the address of the settings."""
    address = api_of(run)
    other = settings.profile.profile_at(address) if settings.profile else ""
    return CommandRefused(
        "run {run} works on {target}, and the settings name {other} (from {origin}). Give {flag} to go on with it",
        run=run.name,
        target=printable(address),
        other=printable(settings.target),
        origin=settings.api_url.origin,
        flag=setting("profile", other) if other else setting("api-url", printable(address)),
    )
