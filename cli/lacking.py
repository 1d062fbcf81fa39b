"""What a billing's database lacks of what is documented, and which jobs that concerns."""

from collections import defaultdict
from collections.abc import Mapping

import anyio.to_thread

from billing.api.client import BillingClient
from billing.database.database import Database
from billing.database.schema import documented
from billing.errors import ColumnsMissing
from engine.errors import EngineError
from jobs.access.gateway import Services
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import CALL
from jobs.job import build
from jobs.rows.input import Input
from jobs.spec.spec import JobKind
from jobs.spec.statements import statement_of


async def missing_columns(database: Database) -> tuple[str, ...]:
    """The documented tables and columns that are not there, as `FINANCE_OPERATIONS.DESCR`. Raises `DatabaseError`."""
    schema = await anyio.to_thread.run_sync(lambda: database.schema)
    return tuple(map(str, schema.missing(documented())))


async def refused_jobs(client: BillingClient, database: Database) -> Mapping[str, list[str]]:
    """By the reason, the jobs that are refused before their first call, and those without their own select."""
    services = Services(client, database)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in JOBS.items():
        if name == CALL:
            continue
        parameters = {one.name: one.default or one.name for one in kind.parameters}
        try:
            await build(kind, services, parameters, Input()).try_out()
        except EngineError as error:
            found[str(error)].append(name)
        if reason := await anyio.to_thread.run_sync(_without_own_select, database, kind):
            found[reason].append(name)
    return found


def _without_own_select(database: Database, kind: JobKind) -> str:
    own = statement_of(kind.statement, {one.name: one.name for one in kind.parameters})
    try:
        if own is not None:
            database.fit(own)
    except ColumnsMissing as error:
        return f"{error}, which the job's own select needs: its rows have to come from a file or from --sql"  # noqa: S608 - a sentence
    return ""
