"""The job of the catalogue that makes a call, and the values that make it the same call, argument by argument."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cli.translate.call import TranslatedCall
from jobs.spec.chain import Hole, Link, Template, TemplateText, Tree
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
    defaults = {one.name: one.default or "" for one in spec.parameters}
    for choice in spec.choices:
        match = _Match(spec)
        if match.matches(spec.template({**defaults, **choice}), call.template):
            # What is the default need not be said, but for a choice, since the call says it.
            values = {name: text for name, text in match.values.items() if text != match.parameters[name].default}
            values |= {one.name: choice[one.name] for one in spec.parameters if one.name in choice}
            return JobForm(spec.name, values, match.columns)
    return None


class _Match:
    def __init__(self, spec: JobSpec) -> None:
        self.comment = spec.comment
        self.parameters = {one.name: one for one in spec.parameters}
        self.values: dict[str, str] = {}
        self.columns: dict[str, str] = {}

    def matches(self, mine: Template, theirs: Template) -> bool:
        if len(mine.links) != len(theirs.links) or not all(map(self._link, mine.links, theirs.links)):
            return False
        needed = {name for name, one in self.parameters.items() if one.default is None}
        return not self.values.keys() & self.columns.keys() and needed <= self.values.keys() | self.columns.keys()

    def _link(self, mine: Link, theirs: Link) -> bool:
        """Whether two steps can be the same; a comment that is not there is an empty one."""
        missing = mine.arguments.keys() - theirs.arguments.keys()
        if mine.method != theirs.method or theirs.arguments.keys() - mine.arguments.keys():
            return False
        for field in missing:
            if _placeholder(mine.arguments[field]) != self.comment or not self.comment:
                return False
            self.values[self.comment] = ""
        return all(self._argument(mine.arguments[field], tree) for field, tree in theirs.arguments.items())

    def _argument(self, mine: Tree, theirs: Tree) -> bool:
        name, column = _placeholder(mine), _placeholder(theirs)
        if not name:
            return not column and str(mine) == str(theirs) and isinstance(mine, bool) == isinstance(theirs, bool)
        if column:
            return self.parameters[name].columns is not None and self.columns.setdefault(name, column) == column
        is_value = isinstance(theirs, str | int) and not isinstance(theirs, bool)
        return is_value and self._value(name, str(theirs))

    def _value(self, name: str, text: str) -> bool:
        """Whether the job sends a text as it stands in the call: as the same text, or the same amount."""
        parameter = self.parameters[name]
        if parameter.secret or not (text or parameter.has_default):
            return False
        if parameter.choices and text not in parameter.choices:
            return False
        try:
            read = parameter.parse(text)
        except ValueError:
            return False
        numbers = _NUMBER.fullmatch(read) and _NUMBER.fullmatch(text)
        is_same = read == text or (numbers and Decimal(read) == Decimal(text))
        return bool(is_same) and self.values.setdefault(name, text) == text


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value consists of, "" for any other value."""
    match value:
        case Hole(name) | TemplateText(("", Hole(name), "")):
            return name
    return ""
