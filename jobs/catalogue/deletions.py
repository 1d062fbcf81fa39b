"""Jobs that delete: connected services, and accounts."""

from collections.abc import Mapping
from typing import Final

from jobs.access.gateway import Gateway
from jobs.effects.effect import CallEffect
from jobs.effects.factory import deletions
from jobs.spec.parameters import ACCOUNT, FOLDER, Parameter, an_id
from jobs.spec.spec import JobSpec

DELETE_SERVICES: Final = JobSpec(
    name="delete-services",
    recipes=(11,),
    summary="delete connected services, found by their comment or named by their ids",
    statement=lambda parameters: "services_by_comment" if parameters["comment"] else "",
    parameters=(
        Parameter(
            "comment",
            "comment of the services, % stands for anything: 'Автоматический%предоплате%2017-12-31%'",
            "",
        ),
        Parameter("id", "id of the connected service, users_usluga.id", parse=an_id, columns=("users_usluga_id",)),
    ),
    effect=deletions("UsersUsluga", '{"id": {id}}'),
    call="UsersUsluga: objects.get(id=…) → delete()",
    example="carbon-migrate run delete-services --set comment='Автоматический%предоплате%2017-12-31%'",
    way_back="services like them are created with the kept fields, and with new ids",
)

_YES: Final = "yes"
_CLEANED: Final = deletions("Users", '{"id": {user_id}}', '{"clean_links": true}')
_AS_IT_IS: Final = deletions("Users", '{"id": {user_id}}')


def _accounts(services: Gateway, parameters: Mapping[str, str]) -> CallEffect:
    return (_CLEANED if parameters["clean_links"] == _YES else _AS_IT_IS)(services, parameters)


DELETE_ACCOUNT: Final = JobSpec(
    name="delete-account",
    recipes=(22,),
    summary="delete accounts; their subscribers stay",
    statement="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter(
            "clean_links",
            "yes deletes first what points to an account, as its sessions; no leaves an account that is pointed to",
            _YES,
            (_YES, "no"),
        ),
    ),
    effect=_accounts,
    call="Users: objects.get(id=…) → delete(clean_links=true)",
    example="carbon-migrate run delete-account accounts.csv",
    way_back="none: what the accounts were is kept, and is in the column carbon_answer of an export",
)

DELETIONS: Final = (DELETE_SERVICES, DELETE_ACCOUNT)
