"""The statements of the catalogue's jobs, by their names: `jobs/sql/recipes.sql`."""

from collections.abc import Mapping

from billing.database.schema import whole
from billing.database.sql_blocks import SqlStatement as Sql
from billing.database.sql_blocks import sql_block
from billing.selects.select import select_of
from jobs.spec.spec import JobSpec, Select


def statement_of(wanted: Select, parameters: Mapping[str, str]) -> Sql | None:
    """A job's own statement, to be fitted to the billing; None where its rows come from a file."""
    name = wanted if isinstance(wanted, str) else wanted(parameters)
    return sql_block("recipes", name, "jobs.sql") if name else None


def own_select(kind: JobSpec) -> str:
    """The select that a job's rows come from where no others are given, "" where there is none."""
    # A statement that the parameters choose is the one that is chosen where all of them are given.
    found = statement_of(kind.select, {one.name: one.name for one in kind.parameters})
    return whole(found).text.strip() if found else ""


def asked_for(text: str) -> tuple[str, ...]:
    """The `:names` of a select, "" having none. Raises `NotASelect`."""
    return select_of(text).parameters if text else ()


def without_own(kind: JobSpec, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters, those emptied that only the job's own select asks for: its rows come from elsewhere."""
    own = asked_for(own_select(kind))
    return {name: "" if name in own else value for name, value in parameters.items()}
