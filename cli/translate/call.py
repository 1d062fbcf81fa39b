"""The call in the command's form: model, chain and fields, and the job of the catalogue that makes the same call."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, refused
from cli.translate.form import read_form
from cli.translate.request import CallRequest, Data
from cli.translate.tables import Placeholders
from cli.translate.template import LineTemplate, fields_of, template
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.chain import Template, parse
from jobs.spec.chain_kind import GET
from jobs.spec.errors import ParameterRefused
from jobs.spec.spec import JobSpec
from texts.said import text_of


@dataclass(frozen=True, slots=True)
class TranslatedCall:
    """A call in the command's form; `job` is the catalogue's job that makes the same call, where there is one.

    `secrets` are the placeholders of secret values in the line, which the command leaves out; `untyped` are those
    that stand without quotes, and get their type from their value.
    """

    template: Template
    job: JobSpec | None
    secrets: tuple[str, ...]
    untyped: tuple[str, ...]
    varies: bool
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command."""
        links = (word for link in self.template.text for word in ("--chain", link))
        fields = ("--fields", ",".join(self.template.fields)) if self.template.fields else ()
        return ("--model", self.template.model, *links, *fields)


def calling(request: CallRequest, names: Placeholders, catalogue: Catalogue) -> TranslatedCall:
    """The call as the shell makes it, or, where that is invalid, as it reads with the inner quotes kept.

    Raises `CommandRefused` for a call that cannot be translated.
    """
    try:
        return _read(request.model, request.data, names, catalogue)
    except CommandRefused:
        as_meant = _tried(request.model, request.data, names, catalogue)
        if as_meant is None:
            raise
        return as_meant


def _tried(model: str, data: Sequence[Data], names: Placeholders, catalogue: Catalogue) -> TranslatedCall | None:
    """The call with the inner quotes of its data; None if that is invalid too."""
    eaten = [one.place for one in data if one.kept is not None]
    if not eaten:
        return None
    try:
        found = _read(model, [replace(one, text=one.kept or one.text) for one in data], names, catalogue)
    except CommandRefused:
        return None
    return replace(found, faults=(*found.faults, findings.QUOTES_EATEN.at(eaten[0])))


def _read(model: str, data: Sequence[Data], names: Placeholders, catalogue: Catalogue) -> TranslatedCall:
    form = read_form(data)
    templates = [template(step.method, step.key, step.arguments, step.place, names) for step in form.steps]
    fields = fields_of(form.fields, data[0].place)
    variables = [one for step in form.steps for one in step.arguments.variables]
    alone = {one for each in templates for one in each.alone}
    of_values = [fault for one in templates for fault in one.faults]
    of_variables = [fault for one in variables for fault in names.faults_of(one, alone)]
    secrets = tuple(dict.fromkeys(name for one in templates for name in one.secrets))
    names.refuse_columns_called(secrets, data[0].place)
    chain = [f"{step.method} {one.text}".rstrip() for step, one in zip(form.steps, templates, strict=True)]
    try:
        whole = parse(model, chain, fields)
    except ParameterRefused as error:
        raise refused(data[0].place, text_of(error)) from error
    return TranslatedCall(
        whole,
        _job_for(whole, templates, catalogue),
        secrets,
        tuple(dict.fromkeys(name for one in templates for name in one.untyped)),
        any(one.varying for one in templates),
        (*form.faults, *of_values, *of_variables),
        form.notes,
    )


def _job_for(call: Template, templates: Sequence[LineTemplate], catalogue: Catalogue) -> JobSpec | None:
    """The catalogue's job that makes this call, None where there is none."""
    # The arguments of objects.get are only the key of the object.
    own = templates[1:] if call.methods[0] == GET else templates
    return catalogue.like(call, {name for one in own for name in one.varying})
