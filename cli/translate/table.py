"""The rows of a run as the command says them: the select, the names of its columns, and where each variable is."""

from dataclasses import dataclass

from cli.translate import faults
from cli.translate.faults import Fault
from cli.translate.oneliner import Rows
from cli.translate.rows import Bound, bind, splits
from cli.translate.shell import Variable
from cli.translate.sql import Select, read_select, with_parameters
from cli.translate.variables import Scope, undefined


@dataclass(frozen=True, slots=True)
class Table:
    """A select with a name for each of its columns."""

    select: Select
    bound: Bound
    names: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """What the command says of it; `--columns` only where the select's own names do not serve."""
        named = () if self.names == self.select.columns else ("--columns", ",".join(self.names))
        return ("--sql", self.select.sql, *named)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What was found wrong with it."""
        return (*self.select.faults, *self.bound.faults)

    def name_of(self, variable: Variable) -> str:
        """The column that a variable of the loop has. Raises `CommandRefused` where it has no single one."""
        return self.names[self.bound.column(variable.name, variable.place)]

    def title_of(self, variable: Variable) -> str | None:
        """That column's name in the select itself."""
        return self.select.columns[self.bound.column(variable.name, variable.place)]


def table_of(rows: Rows, scope: Scope) -> Table:
    """The table that feeds a loop. Raises `CommandRefused` for what cannot be translated."""
    sql, bound_later = with_parameters(scope.resolve(rows.sql.text))
    for variable in sql.variables:
        raise undefined(variable)
    scope.faults += [faults.parameter(one.place, one.name) for one in bound_later]
    select = read_select(sql, rows.sql.place, apart=splits(rows))
    bound = bind(rows, select)
    return Table(select, bound, _names(select, bound))


def _names(select: Select, bound: Bound) -> tuple[str, ...]:
    """The select's own names; where one is missing or stands twice, those of the variables as far as they reach."""
    own = tuple(name for name in select.columns if name is not None)
    if len(set(own)) == len(select.columns):
        return own
    of_variables = {column: name for name, column in bound.columns.items()}
    taken = set(of_variables.values())
    names: list[str] = []
    for at, column in enumerate(select.columns):
        name = of_variables.get(at) or column or f"column_{at + 1}"
        while at not in of_variables and name in taken:
            name = f"{name}_{at + 1}"
        taken.add(name)
        names.append(name)
    return tuple(names)
