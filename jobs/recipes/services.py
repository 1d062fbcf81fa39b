"""Jobs that connect services to subscribers."""

from typing import Final

from jobs.effects.ways_back import creations
from jobs.kinds import JobKind
from jobs.marks import LONGEST_TEXT
from jobs.parameters import Parameter, a_text, an_id
from jobs.recipes.keys import FOLDER, SUBSCRIBER

CONNECT_SERVICE: Final = JobKind(
    name="connect-service",
    recipes=(8,),
    summary="connect a service, as a promised payment, to subscribers",
    statement="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("usluga", "id of the service", parse=an_id, refers_to="Usluga", columns=("usluga_id",)),
        Parameter(
            "manager",
            "id of the administrator in whose name it is done; the job `administrators` lists them",
            parse=an_id,
            columns=("manager_id",),
            refers_to="Manager",
        ),
        Parameter(
            "comment",
            "comment of the service, before its mark",
            "",
            parse=a_text(LONGEST_TEXT),
            columns=(),
            verbatim=True,
        ),
    ),
    effect=creations(
        "UsersUsluga",
        '{"abonent_id": {abonent_id}, "usluga_id": {usluga}, "manager_id": {manager}, "comment": "{comment}"}',
        comment="comment",
    ),
    call='UsersUsluga: objects.create(abonent_id=…, usluga_id=240, manager_id=33, comment="… [cm run/number]")',
    example="carbon-migrate run connect-service subscribers.csv --set usluga=240 --set manager=33",
    way_back="the services are deleted by their ids, where nobody has changed them since",
)

SERVICES: Final = (CONNECT_SERVICE,)
