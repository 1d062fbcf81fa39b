"""Which billing a run belongs to: what it remembers of it, and whether the settings lead there.

Within a journal a billing is named by `Run.target`, the address at which it was first worked on. By another address
it is recognised by its identity, which its oldest rows make; an address that leads to another billing now gets a
name of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from billing.database.dsn import Dsn
from billing.directory.identity import is_same
from checkpoints.records import Run
from cli.session.step_mark import PLACE
from cli.settings.places import without_credentials
from cli.settings.settings import Settings
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import printable
from texts.remedies import setting
from texts.said import said

_IDENTITY: Final = f"{PLACE}oldest_rows"
_API: Final = f"{PLACE}api"
_DATABASE: Final = f"{PLACE}database"
_DIGITS: Final = 8


def remembered(settings: Settings, identity: str) -> dict[str, str]:
    """What a run remembers of its billing, as parameters: its identity and its addresses. None is a secret."""
    known = {_IDENTITY: identity, _API: settings.target, _DATABASE: database_address(settings)}
    return {name: value for name, value in known.items() if value}


def database_address(settings: Settings) -> str:
    """The address of the database as it can be typed in any folder, "" for none."""
    address = settings.database.value or ""
    if address and not Dsn(address).on_server and (file := Path.cwd() / address).exists():
        return str(file)
    return without_credentials(address)


def identity_of_run(run: Run) -> str:
    """The identity of the run's billing, "" where nobody knew it."""
    return run.parameters.get(_IDENTITY, "")


def billing_keys(run: Run, identity: str = "") -> tuple[str, ...]:
    """The names of the run's billing for locks of this machine: its address, and its identity where it has one.

    Two runs whose names have one in common are of one billing. `identity` is the one seen now, which an older run
    does not remember.
    """
    return tuple(dict.fromkeys(key for key in (run.target, identity_of_run(run) or identity) if key))


def target_among(runs: Sequence[Run], address: str, identity: str) -> str:
    """How the billing at `address` is named in a journal that has these runs."""
    known = {run.target: own for run in runs if (own := identity_of_run(run))}
    if same := next((target for target, other in known.items() if is_same(identity, other)), ""):
        return same
    if is_same(identity, known.get(address, "")) is False:
        return f"{address}#{identity[:_DIGITS]}"
    return address


# ---- a run that is resumed, undone, or looked at ------------------------------------------------------------------


def check_target(run: Run, settings: Settings) -> None:
    """Raise `CommandRefused` for a run of another billing than that of the settings, as far as addresses tell.

    Another address may lead to the same billing: with a database that is seen once it is open.
    """
    database = run.parameters.get(_DATABASE, "")
    if database and not settings.database.value and settings.database.origin != "--database":
        raise CommandRefused(
            said(
                "run {run} was begun with the billing's database, and the settings name none: without it less is "
                "looked up before a call. Give {flag}; to go on through the API alone, type {none}",
                run=run.name,
                flag=setting("database", printable(database)),
                none=setting("database", "''"),
            )
        )
    if not is_at(run, settings.target) and not (identity_of_run(run) and settings.database.value):
        raise of_another(run, settings)


def check_identity(run: Run, settings: Settings, identity: str) -> None:
    """Raise `CommandRefused` for a run of another billing than the one that was opened."""
    same = is_same(identity, identity_of_run(run))
    if same is False and is_at(run, settings.target):
        raise CommandRefused(
            said(
                "run {run} was begun on another billing: {address} led there then, and the billing that answers "
                "now ({database}) has other oldest subscribers. Nothing was sent. Give {api} and {flag} of the "
                "billing that the run was begun on",
                run=run.name,
                address=printable(settings.target),
                database=printable(database_address(settings)),
                api=setting("api-url", "URL"),
                flag=setting("database", "PATH"),
            )
        )
    if not same and not is_at(run, settings.target):
        raise of_another(run, settings)


def is_at(run: Run, address: str) -> bool:
    """Whether the run was begun at this address of the API, or its billing has its name from there."""
    return address in {run.parameters.get(_API), run.target.partition("#")[0]}


def of_another(run: Run, settings: Settings) -> CommandRefused:
    """The error for a run whose billing is not seen to be at the address of the settings."""
    address = run.parameters.get(_API) or run.target
    other = settings.profile.profile_at(address) if settings.profile else ""
    return CommandRefused(
        said(
            "run {run} works on {target}, and the settings name {other} (from {origin}). Give {flag} to go on with "
            "it",
            run=run.name,
            target=printable(address),
            other=printable(settings.target),
            origin=settings.api_url.origin,
            flag=setting("profile", other) if other else setting("api-url", printable(address)),
        )
    )
