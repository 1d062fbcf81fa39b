"""Jobs that delete: connected services, and accounts."""

from collections.abc import Mapping
from typing import Final

from jobs.spec.parameters import ACCOUNT, FOLDER, Parameter, an_id
from jobs.spec.spec import JobSpec

DELETE_SERVICES: Final = JobSpec(
    name="delete-services",
    recipes=(11,),
    summary="delete connected services, found by their comment or named by their ids",
    select=lambda parameters: "services_by_comment" if parameters["comment"] else "",
    parameters=(
        Parameter(
            "comment",
            "comment of the services, % stands for anything: 'Автоматический%предоплате%2017-12-31%'",
            "",
        ),
        Parameter("id", "id of the connected service, users_usluga.id", parse=an_id, columns=("users_usluga_id",)),
    ),
    model="UsersUsluga",
    chain=('objects.get {"id": {id}}', "delete"),
    example="carbon-migrate run delete-services --set comment='Автоматический%предоплате%2017-12-31%'",
    undo="services like them are created with the kept fields, and with new ids",
)

_YES: Final = "yes"


def _delete_account(parameters: Mapping[str, str]) -> tuple[str, ...]:
    cleaned = parameters["clean_links"] == _YES
    return ('objects.get {"id": {user_id}}', 'delete {"clean_links": true}' if cleaned else "delete")


DELETE_ACCOUNT: Final = JobSpec(
    name="delete-account",
    recipes=(22,),
    summary="delete accounts; their subscribers stay",
    select="users_of_folder",
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
    model="Users",
    chain=_delete_account,
    example="carbon-migrate run delete-account accounts.csv",
    undo="none: what the accounts were is kept, and is in the column carbon_answer of an export",
)

DELETIONS: Final = (DELETE_SERVICES, DELETE_ACCOUNT)
