"""`run` and `resume`: from a command line to a run that goes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import anyio.to_thread
import structlog

from checkpoints.journal import Journal, open_journal
from cli.output.answer_files import checked
from cli.session.order import PLAN, Order, create_run
from cli.session.run_session import RunSession, SessionMeans
from cli.session.session import (
    BillingConnection,
    OpenRecorder,
    open_billing,
    with_vault,
)
from cli.settings.flags import Consent
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused
from cli.terminal.screen import Screen
from engine.job import Job
from jobs.access.vault import Vault, vault_path
from jobs.job import build

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that could begin: its job, and what it is worked on with; `files` is what it remembers of its answers."""

    order: Order
    job: Job
    billing: BillingConnection
    vault: Vault
    files: Mapping[str, str]


async def run(  # noqa: PLR0913 - what the command line says, a thing each
    order: Order,
    settings: Settings,
    said: Mapping[str, str],
    consent: Consent,
    screen: Screen,
    *,
    record: OpenRecorder | None = None,
    output: Path | None = None,
    plan: str | None = None,
) -> Closing:
    """Begin a run and take it as far as it goes; `output` is the file for the answers of a job that reads.

    With a `plan` it sends what that one has planned, or nothing.

    `said` is what the command line says of the pace, here and below.

    Raises `CommandRefused`, `InputRefused`, `BillingError` and `JournalError`; nothing was sent then.
    """
    _check_files(order, output)
    async with open_billing(settings, record) as opened, open_journal(settings.journal.value) as journal:
        log.debug("the billing answers", version=opened.health.version, seconds=round(opened.health.seconds, 3))
        means = SessionMeans(opened, journal, said, consent, screen)
        remembered = {} if plan is None else {PLAN: plan}
        return await start_run(ready(order, opened, journal, output), settings, means, remembered=remembered)


def ready(order: Order, billing: BillingConnection, journal: Journal, output: Path | None) -> Ready:
    """The run of this order, as far as that can be had without reading its rows.

    Raises `CommandRefused` for files that cannot be made, `ParameterRefused` for a job that cannot be set up.
    """
    files = _check_files(order, output)
    vault = Vault(vault_path(journal.path), order.batch)
    billing = with_vault(billing, vault)
    job = build(order.kind, billing.services, order.parameters, order.rows)
    return Ready(order, job, billing, vault, files)


async def start_run(
    ready: Ready, settings: Settings, means: SessionMeans, *, remembered: Mapping[str, str] = MappingProxyType({})
) -> Closing:
    """Begin a run and take it as far as it goes; `remembered` is what the run keeps besides.

    Raises what `run` raises.
    """
    recorded = {**ready.order.recorded, **ready.files, **remembered}
    await ready.job.check()
    begun = await create_run(ready.job, recorded, settings.target, means.journal, means.said)
    # Once the run remembers what they are kept under, they are wiped in any case.
    await anyio.to_thread.run_sync(ready.vault.keep, ready.order.secrets)
    return await RunSession(begun, ready.job, replace(means, billing=ready.billing), fresh=True).go()


def _check_files(order: Order, output: Path | None) -> dict[str, str]:
    """What the run remembers of the file for its answers. Raises `CommandRefused` for files that cannot be made.

    A file that is there already is refused: nobody may lose one.
    """
    file = checked(order.kind.name, order.parameters, output) if output else {}
    for parameter in order.kind.parameters:
        if not parameter.makes_file:
            continue
        path = Path(order.parameters[parameter.name])
        if path.exists():
            raise CommandRefused(
                f"--set {parameter.name}={path}: this file is there already; name another one, or take it away"
            )
        if not path.parent.is_dir():
            raise CommandRefused(f"--set {parameter.name}={path}: there is no folder {path.parent}")
    return file
