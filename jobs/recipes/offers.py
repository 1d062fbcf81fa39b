"""Jobs on services and operations that are there: a service's operator, the next charge, the mark of 1C."""

from typing import Final

from jobs.dates import a_moment
from jobs.effects.fields import fields
from jobs.kinds import JobKind
from jobs.parameters import Parameter, an_id, at_most
from jobs.recipes.keys import SERVICE, SUBSCRIBER

_LONGEST_CODE: Final = 64

SERVICE_OPERATOR: Final = JobKind(
    name="service-operator",
    recipes=(23,),
    summary="set the operator of services",
    parameters=(
        Parameter("usluga_id", "id of the service", parse=an_id, columns=("id",)),
        Parameter("operator", "id of the operator", parse=an_id, refers_to="Operator", columns=("operator_id",)),
    ),
    effect=fields("Usluga", '{"id": {usluga_id}}', '{"operator_id": "{operator}"}'),
    call='Usluga: objects.get(id=…) → set(operator_id="3") → save()',
    example="carbon-migrate run service-operator --set usluga_id=105 --set operator=3",
)

NEXT_CHARGE: Final = JobKind(
    name="next-charge",
    recipes=(24,),
    summary="set the date of the next charge of a connected service",
    parameters=(
        *SUBSCRIBER,
        SERVICE,
        Parameter("next_date", "the date of the next charge", parse=a_moment, columns=("date",)),
    ),
    effect=fields(
        "UsersUsluga",
        '{"abonent_id": {abonent_id}, "usluga_id": {usluga_id}}',
        '{"next_date": "{next_date}"}',
        'save {"allow_set_none_manager": true}',
    ),
    call="UsersUsluga: objects.get(abonent_id=…, usluga_id=…) → set(next_date=…) → save(allow_set_none_manager=true)",
    example="carbon-migrate run next-charge --set abonent_id=94 --set usluga_id=127 --set next_date=2020-09-13",
)

PASSED_TO_1C: Final = JobKind(
    name="passed-to-1c",
    recipes=(30,),
    summary="mark finance operations as passed to 1C, with their code there",
    parameters=(
        Parameter("op_id", "id of the operation", parse=an_id, columns=("pk", "id")),
        Parameter("code1c", "its code in 1C", parse=at_most(_LONGEST_CODE), columns=("code",)),
    ),
    effect=fields("FinanceOperations", '{"pk": {op_id}}', '{"sync1c": 1, "code1c": "{code1c}"}'),
    call="FinanceOperations: objects.get(pk=…) → set(sync1c=1, code1c=…) → save()",
    example="carbon-migrate run passed-to-1c operations.csv",
)

OFFERS: Final = (SERVICE_OPERATOR, NEXT_CHARGE, PASSED_TO_1C)
