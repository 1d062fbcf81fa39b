"""The spec of a job, as data: its model and chain, its parameters, the select of its rows, and its undo.

The effect is made from the chain (`jobs/effects/factory.py`), the text of the call is the chain with its
placeholders, `translate` recognises a call by it, and the page of jobs and the crash lab read it.

With `jobs/spec/parameters.py` and `jobs/spec/entries.py` this is what a declaration, a file with jobs of one's own,
imports: their public names change only with a line in CHANGELOG.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from itertools import product
from typing import Final, TypeAlias

from billing.api.calls import under_secrets
from billing.database.schema import whole
from billing.database.sql_blocks import SqlStatement as Sql
from billing.database.sql_blocks import sql_block
from billing.selects.select import select_of
from jobs.spec.chain import Hole, Template, TemplateText, parse
from jobs.spec.entries import CREATED, MARK
from jobs.spec.parameters import Parameter, check_parameters, row_key
from texts.said import said

# ---- the kind of a chain, by its methods ---------------------------------------------------------------------------


GET: Final = "objects.get"
FILTER: Final = "objects.filter"
SET: Final = "set"
SAVE: Final = "save"
DELETE: Final = "delete"
CREATE: Final = "objects.create"
"""Creates the object without a `save` after it [S]."""

_READING: Final = frozenset({GET, FILTER, "get_user_by_suid"})
_OF_CABINET: Final = "web_cabinet.get_"


class ChainKind(Enum):
    """The effect of a chain."""

    READS = auto()
    SETS_FIELDS = auto()
    CREATES = auto()
    DELETES = auto()
    ANY = auto()
    """Any other chain; its effect is not known."""


def kind_of(template: Template) -> ChainKind:
    """The kind of a chain. An unknown method is never assumed to only read."""
    if all(method in _READING or method.startswith(_OF_CABINET) for method in template.methods):
        return ChainKind.READS
    if names_secret(template):
        # Other kinds read, keep and compare the fields, which must not happen to a secret.
        return ChainKind.ANY
    if sets_fields(template):
        return ChainKind.SETS_FIELDS
    if template.methods == (GET, DELETE) and template.links[0].arguments:
        return ChainKind.DELETES
    if template.methods[0] == CREATE and template.model in CREATED:
        return ChainKind.CREATES
    return ChainKind.ANY


def sets_fields(template: Template) -> bool:
    """Whether a chain only sets fields of one object and saves it; secrets are included."""
    return template.methods == (GET, SET, SAVE) and all(link.arguments for link in template.links[:2])


# ---- secret arguments -----------------------------------------------------------------------------------------


def secret_placeholders(template: Template) -> frozenset[str]:
    """The placeholders in secret arguments of a chain, such as `word` in `{"psw": "{word}"}`."""
    return frozenset(part.name for _, part in _secret_parts(template) if isinstance(part, Hole))


def describe_secret_arguments(template: Template) -> str:
    """The name of a secret argument with a literal value, which the run would keep; "" without one.

    An empty value, which clears the secret, does not count.
    """
    return next((name for name, part in _secret_parts(template) if isinstance(part, str | int) and part != ""), "")


def names_secret(template: Template) -> bool:
    """Whether a chain has any secret argument, whose present value must not be read or kept."""
    return any(True for _ in _secret_parts(template))


def _secret_parts(template: Template) -> Iterator[tuple[str, object]]:
    """The placeholders and values of secret arguments, at any depth, each with the argument's name."""
    for name, value in (found for link in template.links for found in under_secrets(link.arguments)):
        if isinstance(value, TemplateText):
            yield from ((name, part) for part in value.parts if part)
        elif not isinstance(value, bool):
            yield name, value


# ---- the spec of a job, as data -----------------------------------------------------------------------------------


Select: TypeAlias = str | Callable[[Mapping[str, str]], str]
"""The name of a block in `jobs/catalogue/selects.sql`, the text of a select, or a function of the parameters that
gives one of the two; "" if rows must be given."""

Chain: TypeAlias = tuple[str, ...] | Callable[[Mapping[str, str]], tuple[str, ...]]
"""The links of a call as typed, with `{name}` for each value, or a function of the parameters."""

DECLARATION: Final = "declaration"
DECLARATION_DIGEST: Final = "declaration_sha256"
"""The parameters of a run whose job is one's own: the path of the file that declares it, and SHA-256 of its bytes."""
INPUT: Final = "input_"
"""The prefix of the parameters of a run that say what its input is."""


class Special(Enum):
    """An effect that does not follow from the methods of a chain."""

    PAYMENT = auto()
    OFFERS = auto()
    GIVEN_PASSWORD = auto()
    GENERATED_PASSWORD = auto()
    RECOVERY_LETTER = auto()
    IMPORT = auto()


@dataclass(frozen=True, slots=True)
class SecondCall:
    """A second request for a row, on the same model, made after the answer to the first."""

    chain: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeclaredIn:
    """The file of one's own that declares a job: its path, and SHA-256 of its bytes."""

    file: str
    digest: str

    @property
    def parameters(self) -> dict[str, str]:
        return {DECLARATION: self.file, DECLARATION_DIGEST: self.digest}


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One kind of job.

    `example` is a command line, `recipes` are the numbers of a built-in job in its reference. `fields` are the fields
    wanted in the answer. `comment` is the parameter for the comment of created objects. `varying` is the argument
    with a value of its own in each row, if this distinguishes the job from another one. `special` names the effect if
    it does not follow from the chain. `undo` describes the undo, `undo_parameters` are its parameters. A job without
    `writes` only reads, and its answers become a file. `identity` begins the keys of the rows of a job that differs
    from run to run. `declared` is the file of a job of one's own, and is filled in by who reads that file. `model_of`
    gives the model of a call that the parameters choose, where it is another one.
    """

    name: str
    summary: str
    model: str
    chain: Chain = field(repr=False)
    example: str
    recipes: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    then: SecondCall | None = None
    parameters: tuple[Parameter, ...] = ()
    select: Select = ""
    comment: str = ""
    varying: str = ""
    special: Special | None = None
    writes: bool = True
    undo_parameters: tuple[Parameter, ...] = ()
    undo: str = said("the old values are set again, where nobody has changed them since")
    identity: str = ""
    declared: DeclaredIn | None = None
    model_of: Callable[[Mapping[str, str]], str] | None = field(default=None, repr=False)

    def template(self, parameters: Mapping[str, str] | None = None) -> Template:
        """The call with its placeholders, chosen by the parameters or by their defaults."""
        chosen = parameters or self._defaults
        chain = self.chain if isinstance(self.chain, tuple) else self.chain(chosen)
        return _parsed(self.model_of(chosen) if self.model_of else self.model, chain, self.fields)

    @property
    def choices(self) -> Iterator[dict[str, str]]:
        """The ways in which its parameters change its call."""
        chosen: dict[str, tuple[str, ...]] = {}
        for one in () if isinstance(self.chain, tuple) else self.parameters:
            calls = {self.template({**self._defaults, one.name: value}).described() for value in one.choices}
            if len(calls) > 1:
                chosen[one.name] = one.choices
        for values in product(*chosen.values()):
            yield dict(zip(chosen, values, strict=True))

    @property
    def _defaults(self) -> dict[str, str]:
        return {one.name: one.default or "" for one in self.parameters}

    @property
    def keeps_secrets(self) -> bool:
        """Whether its rows or parameters can have secrets; an import's can have passwords of accounts."""
        return self.special is Special.IMPORT or any(one.secret for one in self.parameters)

    @property
    def second_template(self) -> Template | None:
        return _parsed(self.model, self.then.chain, self.then.fields) if self.then else None

    @property
    def templates(self) -> tuple[Template, ...]:
        first = tuple(self.template({**self._defaults, **choice}) for choice in self.choices)
        return (*first, self.second_template) if self.second_template else first

    @property
    def call(self) -> str:
        """The text of the call; `{name}` stands for the parameter or column of that name."""
        template, second = self.template(), self.second_template
        first = template.described({CREATED.get(self.model, ""): MARK} if template.methods[0] == CREATE else {})
        return said("{first}; then {second}", first=first, second=second.described()) if second else first

    def key(self, own: str) -> str:
        """The business key of a row in the journal, from the key that the effect gives it."""
        return row_key((self.identity, own)) if self.identity else own


@cache
def _parsed(model: str, chain: tuple[str, ...], fields: tuple[str, ...]) -> Template:
    return parse(model, chain, fields)


def parameters_of(kind: JobSpec, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the job: the given ones checked, the others at their defaults.

    A parameter that a column may provide is "" if not given. Raises `ParameterRefused` with all faults: unknown
    names, missing and invalid values.
    """
    return check_parameters(kind.name, kind.parameters, given)


# ---- its own select ----------------------------------------------------------------------------------------------


def statement_of(wanted: Select, parameters: Mapping[str, str]) -> Sql | None:
    """A job's own select, not yet fitted to the billing; None if it has none."""
    text = wanted if isinstance(wanted, str) else wanted(parameters)
    if not text or text.isidentifier():
        return sql_block("selects", text, "jobs.catalogue") if text else None
    return Sql("own", text)


def own_select(kind: JobSpec) -> str:
    """The select of a job's rows if no others are given, "" without one."""
    # If the parameters choose the select, this is the one for all parameters given.
    found = statement_of(kind.select, {one.name: one.name for one in kind.parameters})
    return whole(found).text.strip() if found else ""


def asked_for(text: str) -> tuple[str, ...]:
    """The `:names` of a select; none for "". Raises `NotASelect`."""
    return select_of(text).parameters if text else ()


def without_own(kind: JobSpec, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters without the values for the job's own select, for a run with other rows."""
    own = asked_for(own_select(kind))
    return {name: "" if name in own else value for name, value in parameters.items()}
