"""Jobs for services, attributes and operations: connect, change and delete them."""

from typing import Final

from jobs.spec.entries import LONGEST_TEXT
from jobs.spec.parameters import FOLDER, SERVICE, SUBSCRIBER, Parameter, a_moment, a_text, an_id, at_most
from jobs.spec.spec import JobSpec
from texts.said import said

_LONGEST: Final = 255

ATTRIBUTE: Final = JobSpec(
    name="attribute",
    recipes=(29,),
    summary=said("give subscribers a custom attribute; a value that is there already is never changed"),
    model="AttributeValues",
    chain=('objects.create {"abonent_id": {abonent_id}, "attribute_id": {attribute}, "attribute_value": "{value}"}',),
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "attribute", said("id of the attribute"), parse=an_id, refers_to="Attribute", columns=("attribute_id",)
        ),
        Parameter("value", said("the value"), parse=a_text(_LONGEST), columns=("attribute_value",), verbatim=True),
    ),
    example="carbon-migrate run attribute attributes.csv --set attribute=7",
    undo=said("the values are deleted by their ids, where nobody has changed them since"),
)

ATTRIBUTES: Final = (ATTRIBUTE,)


_LONGEST_CODE: Final = 64

SERVICE_OPERATOR: Final = JobSpec(
    name="service-operator",
    recipes=(23,),
    summary=said("set the operator of services"),
    model="Usluga",
    chain=('objects.get {"id": {usluga_id}}', 'set {"operator_id": "{operator}"}', "save"),
    parameters=(
        Parameter("usluga_id", said("id of the service"), parse=an_id, columns=("id",)),
        Parameter(
            "operator", said("id of the operator"), parse=an_id, refers_to="Operator", columns=("operator_id",)
        ),
    ),
    example="carbon-migrate run service-operator --set usluga_id=105 --set operator=3",
)

NEXT_CHARGE: Final = JobSpec(
    name="next-charge",
    recipes=(24,),
    summary=said("set the date of the next charge of a connected service"),
    model="UsersUsluga",
    chain=(
        'objects.get {"abonent_id": {abonent_id}, "usluga_id": {usluga_id}}',
        'set {"next_date": "{next_date}"}',
        'save {"allow_set_none_manager": true}',
    ),
    parameters=(
        *SUBSCRIBER,
        SERVICE,
        Parameter("next_date", said("the date of the next charge"), parse=a_moment, columns=("date",)),
    ),
    example="carbon-migrate run next-charge --set abonent_id=94 --set usluga_id=127 --set next_date=2020-09-13",
)

PASSED_TO_1C: Final = JobSpec(
    name="passed-to-1c",
    recipes=(30,),
    summary=said("mark finance operations as passed to 1C, with their code there"),
    model="FinanceOperations",
    chain=('objects.get {"pk": {op_id}}', 'set {"sync1c": 1, "code1c": "{code1c}"}', "save"),
    parameters=(
        Parameter("op_id", said("id of the operation"), parse=an_id, columns=("pk", "id")),
        Parameter("code1c", said("its code in 1C"), parse=at_most(_LONGEST_CODE), columns=("code",)),
    ),
    example="carbon-migrate run passed-to-1c operations.csv",
)

OFFERS: Final = (SERVICE_OPERATOR, NEXT_CHARGE, PASSED_TO_1C)


CONNECT_SERVICE: Final = JobSpec(
    name="connect-service",
    recipes=(8,),
    summary=said("connect a service, as a promised payment, to subscribers"),
    model="UsersUsluga",
    chain=(
        (
            'objects.create {"abonent_id": {abonent_id}, "usluga_id": {usluga}, "manager_id": {manager}, '
            '"comment": "{comment}"}'
        ),
    ),
    comment="comment",
    select="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("usluga", said("id of the service"), parse=an_id, refers_to="Usluga", columns=("usluga_id",)),
        Parameter(
            "manager",
            said("id of the administrator in whose name it is done; the job `administrators` lists them"),
            parse=an_id,
            columns=("manager_id",),
            refers_to="Manager",
        ),
        Parameter(
            "comment",
            said("comment of the service, before its mark"),
            "",
            parse=a_text(LONGEST_TEXT),
            columns=(),
            verbatim=True,
        ),
    ),
    example="carbon-migrate run connect-service subscribers.csv --set usluga=240 --set manager=33",
    undo=said("the services are deleted by their ids, where nobody has changed them since"),
)

SERVICES: Final = (CONNECT_SERVICE,)

DELETE_SERVICES: Final = JobSpec(
    name="delete-services",
    recipes=(11,),
    summary=said("delete connected services, found by their comment or named by their ids"),
    model="UsersUsluga",
    chain=('objects.get {"id": {id}}', "delete"),
    select=lambda parameters: "services_by_comment" if parameters["comment"] else "",
    parameters=(
        Parameter(
            "comment",
            said("comment of the services, % stands for anything: 'Автоматический%предоплате%2017-12-31%'"),
            "",
        ),
        Parameter(
            "id", said("id of the connected service, users_usluga.id"), parse=an_id, columns=("users_usluga_id",)
        ),
    ),
    example="carbon-migrate run delete-services --set comment='Автоматический%предоплате%2017-12-31%'",
    undo=said("services like them are created with the kept fields, and with new ids"),
)
