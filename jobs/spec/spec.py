"""What a job is, as data: its model and chain, its parameters, the select of its rows, and how it is undone.

All else follows from these. The effect is made of the chain (`jobs/effects/factory.py`), the text of the call is the
chain with its placeholders, `translate` knows a call again by it, and the page of jobs and the crash lab read it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import TypeAlias

from billing.database.schema import whole
from billing.database.sql_blocks import SqlStatement as Sql
from billing.database.sql_blocks import sql_block
from billing.selects.select import select_of
from jobs.spec.chain import Template, parse
from jobs.spec.chain_kind import CREATE
from jobs.spec.entries import CREATED, MARK
from jobs.spec.parameters import Parameter, check_parameters, row_key

Select: TypeAlias = str | Callable[[Mapping[str, str]], str]
"""The name of a block of `jobs/catalogue/selects.sql`, or how parameters choose one; "" where rows must be given."""

Chain: TypeAlias = tuple[str, ...] | Callable[[Mapping[str, str]], tuple[str, ...]]
"""The links of a call as they are typed, `{name}` for each value, or how the parameters choose them."""


class Special(Enum):
    """An effect that the methods of a chain do not tell."""

    PAYMENT = auto()
    OFFERS = auto()
    GIVEN_PASSWORD = auto()
    GENERATED_PASSWORD = auto()
    RECOVERY_LETTER = auto()


@dataclass(frozen=True, slots=True)
class SecondCall:
    """A second request of a row, on the same model, made when the first is answered."""

    chain: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One kind of job, as the catalogue lists it.

    `recipes` are its numbers in `docs/jobs.md`; `example` is a command line. `fields` are those that the call is to
    be answered with. `comment` is the parameter that becomes the comment of what is created, `varying` the argument
    for which each row has a value of its own, where that tells the job from another one. `special` names the effect
    where the chain does not tell it. `undo` says how an undo takes it back, and `undo_parameters` what an undo may be
    told. A job without `writes` reads, and its answers become a file. `identity` is for a job that does something
    else in every run: what this one does begins the keys of its rows.
    """

    name: str
    recipes: tuple[int, ...]
    summary: str
    model: str
    chain: Chain = field(repr=False)
    example: str
    fields: tuple[str, ...] = ()
    then: SecondCall | None = None
    parameters: tuple[Parameter, ...] = ()
    select: Select = ""
    comment: str = ""
    varying: str = ""
    special: Special | None = None
    writes: bool = True
    undo_parameters: tuple[Parameter, ...] = ()
    undo: str = "the old values are set again, where nobody has changed them since"
    identity: str = ""

    def template(self, parameters: Mapping[str, str] | None = None) -> Template:
        """The call with its placeholders; where the parameters choose it and none are given, that of the defaults."""
        chain = self.chain
        if not isinstance(chain, tuple):
            chain = chain(parameters or {one.name: one.default or "" for one in self.parameters})
        return _parsed(self.model, chain, self.fields)

    @property
    def second_template(self) -> Template | None:
        """The second request with its placeholders, None where there is none."""
        return _parsed(self.model, self.then.chain, self.then.fields) if self.then else None

    @property
    def templates(self) -> tuple[Template, ...]:
        """All calls that it makes for a row."""
        second = self.second_template
        return (self.template(), second) if second else (self.template(),)

    @property
    def call(self) -> str:
        """What is sent, as text: a `{name}` is the parameter or column of that name."""
        template, second = self.template(), self.second_template
        first = template.described({CREATED[self.model]: MARK} if template.methods[0] == CREATE else {})
        return f"{first}; then {second.described()}" if second else first

    def key(self, own: str) -> str:
        """The business key of a row, which the whole journal knows, from the one that its effect gives it."""
        return row_key((self.identity, own)) if self.identity else own


@cache
def _parsed(model: str, chain: tuple[str, ...], fields: tuple[str, ...]) -> Template:
    return parse(model, chain, fields)


def parameters_of(kind: JobSpec, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the job, those of `given` checked and the others at their defaults.

    One that the rows may say instead is "" where nothing is given. Raises `ParameterRefused` with everything that is
    wrong: unknown names, missing and bad values.
    """
    return check_parameters(kind.name, kind.parameters, given)


# ---- its own select ----------------------------------------------------------------------------------------------


def statement_of(wanted: Select, parameters: Mapping[str, str]) -> Sql | None:
    """A job's own statement, to be fitted to the billing; None where its rows come from a file."""
    name = wanted if isinstance(wanted, str) else wanted(parameters)
    return sql_block("selects", name, "jobs.catalogue") if name else None


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
