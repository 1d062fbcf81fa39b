"""Jobs on the attributes that a billing's owner has added to subscribers."""

from typing import Final

from jobs.effects.ways_back import creations
from jobs.kinds import JobKind
from jobs.parameters import Parameter, a_text, an_id
from jobs.recipes.keys import SUBSCRIBER

_LONGEST: Final = 255

ATTRIBUTE: Final = JobKind(
    name="attribute",
    recipes=(29,),
    summary="give subscribers a custom attribute; a value that is there already is never changed",
    parameters=(
        *SUBSCRIBER,
        Parameter("attribute", "id of the attribute", parse=an_id, refers_to="Attribute", columns=("attribute_id",)),
        Parameter("value", "the value", parse=a_text(_LONGEST), columns=("attribute_value",), verbatim=True),
    ),
    effect=creations(
        "AttributeValues",
        '{"abonent_id": {abonent_id}, "attribute_id": {attribute}, "attribute_value": "{value}"}',
    ),
    call='AttributeValues: objects.create(abonent_id=…, attribute_id=7, attribute_value="…")',
    example="carbon-migrate run attribute attributes.csv --set attribute=7",
    way_back="the values are deleted by their ids, where nobody has changed them since",
)

ATTRIBUTES: Final = (ATTRIBUTE,)
