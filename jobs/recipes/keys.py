"""The keys by which rows name what a job works on; each may be given for one row with `--set` as well."""

from typing import Final

from jobs.abonents import whole_id
from jobs.parameters import Parameter, a_name, an_id


def a_subscriber(text: str) -> str:
    """The id of a subscriber. A leading zero is refused: it speaks for a contract number in the wrong column."""
    found = whole_id(text.strip())
    if isinstance(found, str):
        raise ValueError(found)  # noqa: TRY004 - it is the reason, in words
    return str(found)


ABONENT: Final = Parameter(
    "abonent_id",
    "id of the subscriber; rows may have the contract_number instead",
    parse=a_subscriber,
    columns=("id",),
)
NUMBER: Final = Parameter(
    "contract_number",
    "contract number of the subscriber, in place of its id: 00123 is not 123",
    "",
    parse=a_name,
    columns=(),
)
SUBSCRIBER: Final = (ABONENT, NUMBER)
"""A subscriber, by whichever of the two people have."""

USER: Final = Parameter("user_id", "id of the account; rows may have the login instead", parse=an_id, columns=("id",))
LOGIN: Final = Parameter("login", "login of the account, in place of its id", "", parse=a_name, columns=())
ACCOUNT: Final = (USER, LOGIN)
"""An account of a subscriber, by whichever of the two people have."""

SERVICE: Final = Parameter("usluga_id", "id of the service", parse=an_id, columns=())
FOLDER: Final = Parameter(
    "folder", "id of the folder, without the folders in it", "", parse=an_id, refers_to="Folder"
)
