"""`call`: any chain of the REST API as a job, with its rows in its placeholders.

What a chain does is told from its methods: `get → set → save` sets fields and is known by them, `get → delete` is
known by what is gone, `create` of a model that the catalogue knows is entered as its jobs do it, with a mark and a
sum; reading chains write down what they are answered. Of all others nothing is known but what the operator says.
"""

from collections.abc import Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from billing.selects.select import select_of
from jobs.access.gateway import Gateway
from jobs.effects.any_call import AnyCallEffect, CallRules
from jobs.effects.creatable_models import CREATABLE_MODELS
from jobs.effects.create import CREATE, CreateEffect, is_creation
from jobs.effects.delete import DeleteEffect, is_deletion
from jobs.effects.effect import CallEffect
from jobs.effects.entered_operations import MODEL as OPERATIONS
from jobs.effects.factory import of_created, of_deleted
from jobs.effects.read import ReadEffect, is_reading
from jobs.effects.reverse import HOW
from jobs.effects.set_fields import SetFieldsEffect, is_fields
from jobs.spec.chain import Template, parse, template_of
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter
from jobs.spec.secret_arguments import describe_secret_arguments, names_secret, secret_placeholders
from jobs.spec.spec import JobSpec

CALL: Final = "call"
YES: Final = "yes"
LONGEST_VALUE: Final = 10_000
"""Characters of a value; a cell that has more came out of a file that was read wrongly."""

OWN: Final = (
    Parameter("model", "the model, as AdminAccounts; typed as --model"),
    Parameter("chain", "the methods with their arguments, a JSON list of texts; typed as --chain, once a method"),
    Parameter("fields", "the fields wanted of the last object, with commas; typed as --fields", ""),
    Parameter("repeatable", "whether the call does no harm twice; typed as --repeatable", "", (YES, "")),
    Parameter("look_up", "a select that finds the effect of a row, by its :placeholders; typed as --look-up", ""),
)


REFERS_TO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tarif_id": "Tarif",
        "tarif_next_id": "Tarif",
        "usluga_id": "Usluga",
        "operator_id": "Operator",
        "manager_id": "Manager",
        "attribute_id": "Attribute",
    }
)
"""What placeholders of these names refer to, which are those of the billing's own fields
(`billing.directory.references`).
"""


def a_value(text: str) -> str:
    """What a placeholder takes; no field of the billing is as long as the longest."""
    if len(text) > LONGEST_VALUE:
        raise ValueError(f"the text has {len(text):,} characters, at most {LONGEST_VALUE:,} are taken")
    return text


def call_kind(parameters: Mapping[str, str]) -> JobSpec:
    """The kind of job that a chain makes: its placeholders are parameters that rows or `--set` give a value.

    Raises `ParameterRefused` where there is no chain, or none that can be read.
    """
    template = template_of(parameters)
    if name := describe_secret_arguments(template):
        raise ParameterRefused(
            f"chain: {name} is a secret, and what stands in a chain is kept with the run, in journal and job files. "
            f'Put a placeholder there, {{"{name}": "{{{name}}}"}}, and have it asked for with --ask {name}, or said '
            "by a column of the rows; for passwords of accounts there is the job `password`"
        )
    return _kind(template)


def _kind(template: Template) -> JobSpec:
    creation, secret = is_creation(template), secret_placeholders(template)
    own = {one.name for one in OWN}
    if taken := next((name for name in template.names if name in own), None):
        raise ParameterRefused(
            f"{{{taken}}}: {taken} is said of the call as a whole; give the placeholder another name, as "
            f"{{my {taken}}}, and name its column with --map 'my {taken}={taken}'"
        )
    holes = tuple(
        Parameter(
            name,
            "a placeholder of the chain",
            parse=a_value,
            columns=(),
            secret=name in secret,
            may_be_empty=name in template.emptying,
            in_a_chain=True,
            refers_to="" if is_reading(template) else REFERS_TO.get(name, ""),
        )
        for name in template.names
    )
    # Rows and --set may name a subscriber by contract number, and an account by login.
    others = tuple(
        other
        for own, other in (SUBSCRIBER, ACCOUNT)
        if own.name in template.names and other.name not in template.names
    )
    return JobSpec(
        name=CALL,
        recipes=(),
        summary="make any call for each row, its values in the placeholders of a chain",
        parameters=(*OWN, *holes, *others),
        effect=_effect,
        call=str(template),
        example=EXAMPLE,
        undo_parameters=HOW if creation and template.model == OPERATIONS else (),
        way_back="as far as its methods tell: fields are set back; operations, services and attributes that were "
        "created or deleted are taken back as by the jobs for them; all else is left to a person",
        # A new object is known by what it is, and not by how its call was written.
        identity=template.model if creation else f"{template.model}-{template.digest}",
    )


EXAMPLE: Final = (
    "carbon-migrate run call --model AdminAccounts --chain 'objects.get {\"account_id_abonents\": {id}}' --chain "
    "'set {\"limit_warning\": \"-12000\"}' --chain save --sql 'select id from abonents where parent_id = 1316'"
)
"""The vendor's own third recipe."""


def _effect(services: Gateway, parameters: Mapping[str, str]) -> CallEffect:
    template = template_of(parameters)
    look_up = parameters.get("look_up", "")
    if look_up:
        _check_look_up(look_up, secret_placeholders(template))
    if names_secret(template) and not is_reading(template):
        # What there was under its name would be read and kept, and held against it.
        return AnyCallEffect(services, template, CallRules(_is_repeatable(template, parameters), look_up))
    if is_fields(template):
        return SetFieldsEffect(services, template)
    if is_deletion(template):
        return DeleteEffect(services, template, partial(of_deleted, services, template.model))
    if is_reading(template):
        return ReadEffect(services, template)
    if is_creation(template):
        return _creation(services, template, parameters)
    return AnyCallEffect(services, template, CallRules(_is_repeatable(template, parameters), look_up))


def _is_repeatable(template: Template, parameters: Mapping[str, str]) -> bool:
    return is_fields(template) or parameters.get("repeatable") == YES


def _check_look_up(look_up: str, secret: Collection[str]) -> None:
    """Raises `ParameterRefused` for a select that asks for a secret: it would get what stands in its place."""
    for name in select_of(look_up).parameters:
        if name in secret:
            raise ParameterRefused(f"look_up: :{name} is a secret, which no select is given: find the row by another")


def _creation(services: Gateway, template: Template, parameters: Mapping[str, str]) -> CallEffect:
    """What enters a new object as the catalogue does. Raises `ParameterRefused` where it could not be told again."""
    model, kind, given = template.model, CREATABLE_MODELS[template.model], template.links[0].arguments
    if len(template.links) > 1:
        raise ParameterRefused(
            f"{CREATE} enters its {kind.noun} by itself: leave out what stands behind it, "
            f"{' → '.join(template.text[1:])}"
        )
    if missing := [name for name in (*kind.same, kind.amount) if name and name not in given]:
        raise ParameterRefused(
            f"{CREATE} of {model} has to say {' and '.join(missing)}: by {', '.join(kind.same)} a {kind.noun} is "
            "told from others, so that none is entered twice"
        )
    if told := [name for name in ("look_up", "repeatable") if parameters.get(name)]:
        raise ParameterRefused(
            f"--{told[0].replace('_', '-')}: nothing would look at it, for a {kind.noun} is never entered twice, and "
            "is found again without it; leave it out"
        )
    return CreateEffect(services, template, partial(of_created, services, model))


TYPED_CALL: Final = _kind(
    parse("AdminAccounts", ('objects.get {"account_id_abonents": {id}}', 'set {"limit_warning": "…"}', "save"))
)
"""As the list of jobs shows it."""
