"""The job of the catalogue that makes a call, and the values that make it the same call, argument by argument."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cli.translate.call import TranslatedCall
from jobs.spec.chain import Hole, Link, Template, TemplateText, Tree
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec

_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class JobForm:
    """A job with values for all rows, and the columns of the others, each by the name of its parameter."""

    name: str
    values: Mapping[str, str]
    columns: Mapping[str, str]


def job_form(call: TranslatedCall) -> JobForm | None:
    """The job that makes the same call with the same values; None where it does something else, or gives less."""
    spec = call.job
    if spec is None or spec.then is not None or call.template.fields != spec.fields:
        return None
    for choice in spec.choices:
        found = _matched(spec, spec.template({**_defaults(spec), **choice}), call.template)
        if found is not None:
            return JobForm(spec.name, {**found.values, **_said(spec, choice)}, found.columns)
    return None


def _defaults(spec: JobSpec) -> dict[str, str]:
    return {one.name: one.default or "" for one in spec.parameters}


def _said(spec: JobSpec, choice: Mapping[str, str]) -> dict[str, str]:
    """A choice as it is typed: also where it is the default, since the call says it."""
    return {one.name: choice[one.name] for one in spec.parameters if one.name in choice}


@dataclass(slots=True)
class _Match:
    """The values of a job's placeholders, as a call has them."""

    parameters: Mapping[str, Parameter]
    values: dict[str, str]
    columns: dict[str, str]

    def link(self, mine: Link, theirs: Link, comment: str) -> bool:
        """Whether two steps can be the same; a comment that is not there is an empty one."""
        missing = mine.arguments.keys() - theirs.arguments.keys()
        if mine.method != theirs.method or theirs.arguments.keys() - mine.arguments.keys():
            return False
        for field in missing:
            if _placeholder(mine.arguments[field]) != comment or not comment:
                return False
            self.values[comment] = ""
        return all(self.argument(mine.arguments[field], tree) for field, tree in theirs.arguments.items())

    def argument(self, mine: Tree, theirs: Tree) -> bool:
        name, column = _placeholder(mine), _placeholder(theirs)
        if not name:
            return not column and str(mine) == str(theirs) and isinstance(mine, bool) == isinstance(theirs, bool)
        if column:
            return self.parameters[name].columns is not None and self.columns.setdefault(name, column) == column
        if not isinstance(theirs, str | int) or isinstance(theirs, bool):
            return False
        return self.value(name, str(theirs))

    def value(self, name: str, text: str) -> bool:
        """Whether the job sends a text as it stands in the call."""
        parameter = self.parameters[name]
        if parameter.secret or not (text or parameter.has_default):
            return False
        if parameter.choices and text not in parameter.choices:
            return False
        try:
            read = parameter.parse(text)
        except ValueError:
            return False
        return _same(read, text) and self.values.setdefault(name, text) == text


def _matched(spec: JobSpec, template: Template, call: Template) -> _Match | None:
    parameters = {one.name: one for one in spec.parameters}
    found = _Match(parameters, {}, {})
    if len(template.links) != len(call.links):
        return None
    if not all(
        found.link(mine, theirs, spec.comment) for mine, theirs in zip(template.links, call.links, strict=True)
    ):
        return None
    if found.values.keys() & found.columns.keys():
        return None
    # What is the default need not be said.
    found.values = {name: text for name, text in found.values.items() if text != parameters[name].default}
    needed = (one.name for one in spec.parameters if one.default is None)
    return found if all(name in found.values or name in found.columns for name in needed) else None


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value consists of, "" for any other value."""
    match value:
        case Hole(name) | TemplateText(("", Hole(name), "")):
            return name
    return ""


def _same(one: str, other: str) -> bool:
    """Whether two texts say the same to the billing: as texts, or as amounts."""
    numbers = _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)
    return one == other or bool(numbers and Decimal(one) == Decimal(other))
