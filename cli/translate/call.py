"""The call as the command says it: model, chain and fields, and the job of the catalogue that does the same."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.curl import CurlRequest, Data, read_form
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.row_source import TEXTS, LoopTable
from cli.translate.script import Scope, undefined
from cli.translate.shell import Quote, Variable
from cli.translate.template import LineTemplate, fields_of, template

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class TranslatedCall:
    """A call in words of the command; `job` is the one of the catalogue that does the same, where there is one.

    `secrets` are placeholders for what the line tells and the command does not.
    """

    model: str
    chain: tuple[str, ...]
    fields: tuple[str, ...]
    job: str | None
    secrets: tuple[str, ...]
    varies: bool
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """What the command says of it."""
        links = (word for link in self.chain for word in ("--chain", link))
        return ("--model", self.model, *links, *(("--fields", ",".join(self.fields)) if self.fields else ()))


def calling(request: CurlRequest, table: LoopTable | None, scope: Scope) -> TranslatedCall:
    """The call as the shell makes it, or where that is none, as it reads with the quotes that the shell takes away.

    Raises `CommandRefused` for what cannot be translated.
    """
    names = _Names(table, scope)
    try:
        return _read(request.model, request.data, names)
    except CommandRefused:
        as_meant = _tried(request.model, request.data, names)
        if as_meant is None:
            raise
        return as_meant


def _tried(model: str, data: Sequence[Data], names: "_Names") -> TranslatedCall | None:
    """The call with the inner quotes of its data; None if it is none then either."""
    eaten = [one.place for one in data if one.kept is not None]
    if not eaten:
        return None
    try:
        found = _read(model, [replace(one, text=one.kept or one.text) for one in data], names)
    except CommandRefused:
        return None
    return replace(found, faults=(*found.faults, findings.QUOTES_EATEN.at(eaten[0])))


def _read(model: str, data: Sequence[Data], names: "_Names") -> TranslatedCall:
    form = read_form(data)
    templates = [template(step.method, step.key, step.arguments, step.place, names) for step in form.steps]
    methods = [step.method for step in form.steps]
    fields = fields_of(form.fields, data[0].place)
    variables = [one for step in form.steps for one in step.arguments.variables]
    of_values = [fault for one in templates for fault in one.faults]
    of_variables = [fault for one in variables for fault in names.faults_of(one, templates)]
    secrets = tuple(dict.fromkeys(name for one in templates for name in one.secrets))
    names.refuse_columns_called(secrets, data[0].place)
    return TranslatedCall(
        model,
        tuple(f"{method} {one.text}".rstrip() for method, one in zip(methods, templates, strict=True)),
        fields,
        job_for(model, methods, templates),
        secrets,
        any(one.varying for one in templates),
        (*form.faults, *of_values, *of_variables),
        form.notes,
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """The placeholders: a column for what a row has, the variable's own name for what nobody has yet."""

    table: LoopTable | None
    scope: Scope

    def name_of(self, variable: Variable) -> str:
        """Raises `CommandRefused` where a value has to be known."""
        table = self._table_of(variable)
        if table is not None:
            return table.name_of(variable)
        is_column = self.table is not None and variable.name in self.table.names
        if is_column or not _NAME.fullmatch(variable.name):
            raise undefined(variable)
        return variable.name

    def refuse_columns_called(self, secrets: Sequence[str], place: LinePlace) -> None:
        """Raises `CommandRefused` where a column would be taken for a secret that the line tells itself."""
        for name in secrets:
            if self.table is not None and name in self.table.names:
                raise refused(place, f"{name} is told in the data, and is a column of the select too: rename that")

    def is_text(self, variable: Variable) -> bool:
        """Whether its column is one of those that are known to hold texts."""
        table = self._table_of(variable)
        return table is not None and table.title_of(variable) in TEXTS

    def faults_of(self, variable: Variable, templates: Sequence[LineTemplate]) -> Iterator[Finding]:
        """What is wrong with one place of a variable: nobody defines it, or a text breaks there."""
        table = self._table_of(variable)
        if table is None:
            yield findings.NOT_DEFINED.at(variable.place, name=variable.name)
            return
        column = table.title_of(variable)
        if column is None or column not in TEXTS:
            return
        if any(variable in one.alone for one in templates):
            yield findings.TEXT_WITHOUT_QUOTES.at(variable.place, column=named(column))
        is_cut = any(fault == findings.SPACES.at(fault.place, column=named(column)) for fault in table.faults)
        if variable.quote is Quote.NONE and not is_cut:
            yield findings.SPACES.at(variable.place, column=named(column))

    def _table_of(self, variable: Variable) -> LoopTable | None:
        return self.table if variable.name in self.scope.of_row else None


_SET: Final = ("objects.get", "set", "save")
_CREATE: Final = ("objects.create",)
_FILTER: Final = ("objects.filter",)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe: `keys` are arguments that it has, `varying` the one that each row has a value of its own for."""

    job: str
    model: str
    methods: tuple[str, ...]
    keys: frozenset[str] = frozenset()
    varying: str = ""


def _recipe(job: str, model: str, methods: tuple[str, ...], *keys: str, varying: str = "") -> Recipe:
    return Recipe(job, model, methods, frozenset(keys), varying)


RECIPES: Final = (
    _recipe("balances", "FinanceOperations", _CREATE, "abonent_id", "op_summa"),
    _recipe("tariff-threshold", "AdminAccounts", _SET, "limit_warning", varying="limit_warning"),
    _recipe("warning-threshold", "AdminAccounts", _SET, "limit_warning"),
    _recipe("cutoff-limit", "AdminAccounts", _SET, "limit"),
    _recipe("snat-pool", "Users", _SET, "snat_pull"),
    _recipe("ip-pool", "Users", _SET, "ip", "pull"),
    _recipe("connect-service", "UsersUsluga", _CREATE, "abonent_id", "usluga_id"),
    _recipe("administrators", "DjangoUsersProfile", _FILTER),
    _recipe("services-on-offer", "Users", ("objects.get", "get_or_create_dynamic_session")),
    _recipe("services-on-offer", "Users", ("web_cabinet.get_usluga_list",)),
    _recipe("delete-services", "UsersUsluga", ("objects.get", "delete")),
    _recipe("password", "Users", ("objects.get", "set_password")),
    _recipe("random-password", "Users", ("objects.get", "save")),
    _recipe("password-recovery", "Users", ("web_cabinet.reset_password",)),
    _recipe("operator", "Abonents", _SET, "operator_id"),
    _recipe("session-account", "Users", ("get_user_by_suid",)),
    _recipe("at-ip", "Users", _FILTER, "ip"),
    _recipe("block-history", "AbonentsBlockHistory", _SET, "time_changed"),
    _recipe("recalculate", "Abonents", _SET, "need_recalc"),
    _recipe("by-sms", "Abonents", _FILTER, "sms"),
    _recipe("delete-account", "Users", ("objects.get", "delete")),
    _recipe("service-operator", "Usluga", _SET, "operator_id"),
    _recipe("next-charge", "UsersUsluga", _SET, "next_date"),
    _recipe("tariff-next", "Abonents", _SET, "tarif_next_id"),
    _recipe("tariff-now", "Abonents", _SET, "tarif_id"),
    _recipe("payment", "Abonents", ("objects.get", "add_payment")),
    _recipe("voluntary-block", "Abonents", _SET, "own_disabled_start"),
    _recipe("attribute", "AttributeValues", _CREATE, "attribute_id"),
    _recipe("passed-to-1c", "FinanceOperations", _SET, "sync1c"),
)


def job_for(model: str, methods: Sequence[str], templates: Sequence[LineTemplate]) -> str | None:
    """The job that does what a call does, None where no recipe is known."""
    found = (recipe for recipe in RECIPES if recipe.model == model and recipe.methods == tuple(methods))
    return next((recipe.job for recipe in found if _fits(recipe, templates)), None)


def _fits(recipe: Recipe, templates: Sequence[LineTemplate]) -> bool:
    # Behind objects.get its arguments are only the key that finds the object.
    own = templates[1:] if recipe.methods[0] == "objects.get" else templates
    keys = {key for one in own for key in one.keys}
    varying = {key for one in own for key in one.varying}
    return recipe.keys <= keys and (not recipe.varying or recipe.varying in varying)
