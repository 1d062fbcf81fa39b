"""`call`: any chain of the REST API as a job, with the rows' values in its placeholders.

The methods of a chain show its effect. `get → set → save` sets fields and is recognised by them; `get → delete` is
recognised by the absence of the object; `create` of a model in the catalogue works as in its jobs, with a mark and a
sum; the answers of reading chains are saved. For any other chain only the operator's rules are known.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from billing.errors import NotASelect
from billing.selects.select import select_of
from jobs.spec.chain import Template, parse
from jobs.spec.entries import CREATED, OPERATIONS, UNDO_OF_OPERATIONS
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, no_longer
from jobs.spec.spec import CREATE, ChainKind, JobSpec, describe_secret_arguments, kind_of, secret_placeholders
from jobs.spec.words import YES
from texts.said import reason, said, setting, text_of

CALL: Final = "call"
LONGEST_VALUE: Final = 10_000
"""Characters of a value, more than any field has; a longer cell comes from a file that was read wrongly."""


def a_select(text: str) -> str:
    """A select that changes nothing, unchanged."""
    try:
        select_of(text)
    except NotASelect as error:
        raise ValueError(text_of(error)) from error
    return text


OWN: Final = (
    Parameter("model", said("the model, as AdminAccounts; typed as --model")),
    Parameter(
        "chain", said("the methods with their arguments, a JSON list of texts; typed as --chain, once a method")
    ),
    Parameter("fields", said("the fields wanted of the last object, with commas; typed as --fields"), ""),
    Parameter("repeatable", said("whether the call does no harm twice; typed as --repeatable"), "", (YES, "")),
    Parameter(
        "look_up",
        said("a select that finds the effect of a row, by its :placeholders; typed as --look-up"),
        "",
        parse=a_select,
    ),
)


REFERS_TO: Final[Mapping[str, str]] = {
    "tarif_id": "Tarif",
    "tarif_next_id": "Tarif",
    "usluga_id": "Usluga",
    "operator_id": "Operator",
    "manager_id": "Manager",
    "attribute_id": "Attribute",
}
"""The references (`billing.directory.objects`) of placeholders with the names of the billing's own fields."""


def call_kind(parameters: Mapping[str, str]) -> JobSpec:
    """The kind of job of a chain: its placeholders are parameters, with values from rows or `--set`.

    Raises `ParameterRefused` if the chain is missing or not valid.
    """
    try:
        links = msgspec.json.decode(parameters.get("chain") or "[]", type=list[str])
    except msgspec.MsgspecError as error:
        why = reason("chain: this is not a JSON list of texts: {error}", "chain", error=error)
        raise ParameterRefused(why) from error
    fields = [name.strip() for name in parameters.get("fields", "").split(",") if name.strip()]
    template = parse(parameters.get("model", ""), links, fields)
    if name := describe_secret_arguments(template):
        raise ParameterRefused(
            reason(
                "chain: {name} is a secret, and what stands in a chain is kept with the run, in journal and job "
                "files. Put a placeholder there, {placeholder}, and have it asked for with {ask}, or said by a "
                "column of the rows; for passwords of accounts there is the job `password`",
                "chain",
                name=name,
                placeholder=f'{{"{name}": "{{{name}}}"}}',
                ask=setting("ask", name),
            )
        )
    return _kind(template)


def _kind(template: Template) -> JobSpec:
    does, secret = kind_of(template), secret_placeholders(template)
    creation = template.methods[0] == CREATE and template.model in CREATED
    own = {one.name for one in OWN}
    if taken := next((name for name in template.names if name in own), None):
        raise ParameterRefused(
            "{{{name}}}: {name} is said of the call as a whole; give the placeholder another name, as {{my "
            "{name}}}, and name its column with {setting}",
            name=taken,
            setting=setting("map", f"'my {taken}={taken}'"),
        )
    holes = tuple(
        Parameter(
            name,
            said("a placeholder of the chain"),
            parse=no_longer(LONGEST_VALUE),
            columns=(),
            secret=name in secret,
            may_be_empty=name in template.emptying,
            in_a_chain=True,
            refers_to="" if does is ChainKind.READS else REFERS_TO.get(name, ""),
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
        summary=said("make any call for each row, its values in the placeholders of a chain"),
        model=template.model,
        chain=template.text,
        fields=template.fields,
        parameters=(*OWN, *holes, *others),
        example=EXAMPLE,
        undo=said(
            "as far as its methods tell: fields are set back; operations, services and attributes that were "
            "created or deleted are taken back as by the jobs for them; all else is left to a person"
        ),
        undo_parameters=UNDO_OF_OPERATIONS if creation and template.model == OPERATIONS else (),
        # A new object is identified by its model, whatever its call looks like.
        identity=template.model if creation else f"{template.model}-{template.digest}",
    )


EXAMPLE: Final = (
    "carbon-migrate run call --model AdminAccounts --chain 'objects.get {\"account_id_abonents\": {id}}' --chain "
    "'set {\"limit_warning\": \"-12000\"}' --chain save --sql 'select id from abonents where parent_id = 1316'"
)
"""The vendor's third recipe."""


TYPED_CALL: Final = _kind(
    parse("AdminAccounts", ('objects.get {"account_id_abonents": {id}}', 'set {"limit_warning": "…"}', "save"))
)
