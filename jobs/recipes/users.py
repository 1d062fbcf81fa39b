"""Jobs on accounts: the pools that they get their addresses from."""

from typing import Final

from jobs.effects.fields import fields
from jobs.kinds import JobKind
from jobs.parameters import Parameter, an_id
from jobs.recipes.keys import ACCOUNT, FOLDER

SNAT_POOL: Final = JobKind(
    name="snat-pool",
    recipes=(6,),
    summary="move the accounts of a folder's subscribers to a pool of SNAT addresses",
    statement="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter("pool", "id of the pool", parse=an_id, columns=("snat_pull",), refers_to="SnatPool"),
    ),
    effect=fields(
        "Users",
        '{"id": {user_id}}',
        '{"snatip": "", "snat_pull": "{pool}"}',
    ),
    call='Users: objects.get(id=…) → set(snatip="", snat_pull="1030") → save()',
    example="carbon-migrate run snat-pool --set folder=1000 --set pool=1030",
)

IP_POOL: Final = JobKind(
    name="ip-pool",
    recipes=(7,),
    summary="move accounts to a pool of addresses, and let the billing issue a new one to each",
    statement="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter("pool", "id of the pool", parse=an_id, columns=("pull",), refers_to="Pool"),
    ),
    effect=fields("Users", '{"id": {user_id}}', '{"ip": "", "pull": "{pool}"}'),
    call='Users: objects.get(id=…) → set(ip="", pull="6") → save() | ip, pull',
    example="carbon-migrate run ip-pool --set user_id=324 --set pool=6",
)

USERS: Final = (SNAT_POOL, IP_POOL)
