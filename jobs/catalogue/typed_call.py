"""`call`: any chain of the REST API as a job, with its rows in its placeholders.

What a chain does is told from its methods: `get → set → save` sets fields and is known by them, `get → delete` is
known by what is gone, `create` of a model that the catalogue knows is entered as its jobs do it, with a mark and a
sum; reading chains write down what they are answered. Of all others nothing is known but what the operator says.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from engine.errors import setting
from jobs.spec.chain import Template, parse, template_of
from jobs.spec.chain_kind import CREATE, ChainKind, describe_secret_arguments, kind_of, secret_placeholders
from jobs.spec.entries import CREATED, OPERATIONS, UNDO_OF_OPERATIONS
from jobs.spec.errors import ParameterRefused
from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter
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
            f"chain: {name} is a secret, and what stands in a chain is kept with the run, in journal and job files. ",
            f'Put a placeholder there, {{"{name}": "{{{name}}}"}}, and have it asked for with ',
            setting("ask", name),
            ", or said by a column of the rows; for passwords of accounts there is the job `password`",
        )
    return _kind(template)


def _kind(template: Template) -> JobSpec:
    does, secret = kind_of(template), secret_placeholders(template)
    creation = template.methods[0] == CREATE and template.model in CREATED
    own = {one.name for one in OWN}
    if taken := next((name for name in template.names if name in own), None):
        raise ParameterRefused(
            f"{{{taken}}}: {taken} is said of the call as a whole; give the placeholder another name, as ",
            f"{{my {taken}}}, and name its column with ",
            setting("map", f"'my {taken}={taken}'"),
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
        recipes=(),
        summary="make any call for each row, its values in the placeholders of a chain",
        model=template.model,
        chain=template.text,
        fields=template.fields,
        parameters=(*OWN, *holes, *others),
        example=EXAMPLE,
        undo="as far as its methods tell: fields are set back; operations, services and attributes that were "
        "created or deleted are taken back as by the jobs for them; all else is left to a person",
        undo_parameters=UNDO_OF_OPERATIONS if creation and template.model == OPERATIONS else (),
        # A new object is known by what it is, and not by how its call was written.
        identity=template.model if creation else f"{template.model}-{template.digest}",
    )


EXAMPLE: Final = (
    "carbon-migrate run call --model AdminAccounts --chain 'objects.get {\"account_id_abonents\": {id}}' --chain "
    "'set {\"limit_warning\": \"-12000\"}' --chain save --sql 'select id from abonents where parent_id = 1316'"
)
"""The vendor's own third recipe."""


TYPED_CALL: Final = _kind(
    parse("AdminAccounts", ('objects.get {"account_id_abonents": {id}}', 'set {"limit_warning": "…"}', "save"))
)
"""As the list of jobs shows it."""
