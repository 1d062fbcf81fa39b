"""The import: subscribers out of a table, with all that belongs to them.

It is the one job whose rows make several calls, its steps; the chain of its spec is the call that creates a
subscriber. So no call that somebody types is recognised as an import, and its rows are read by `jobs/import_job.py`.
"""

from typing import Final

from jobs.spec.entries import UNDO_OF_IMPORT
from jobs.spec.parameters import Parameter, a_whole_number, at_most
from jobs.spec.spec import JobSpec, Special
from jobs.spec.words import ALIKE, CHANGE, DICTIONARY, FOLDER, MAP, SAMPLE, TABLES, YES
from jobs.spec.words import IMPORT as NAME
from texts.said import said

NO: Final = "no"

_LONGEST_NAME: Final = 255

_TABLES: Final = {
    "accounts": said("a table of their accounts, with a row an account; joined by contract number"),
    "services": said("a table of their services, with a row a service; joined by contract number"),
    "attributes": said("a table of their attributes, with a row a value; joined by contract number"),
}

IMPORT: Final = JobSpec(
    name=NAME,
    recipes=(),
    summary=said(
        "create subscribers from a table, each with its folder, account, tariff, services, attributes, limits and "
        "opening balance; what is there already is left as it is"
    ),
    model="Abonents",
    chain=('objects.create {"contract_number": "{contract_number}", "name": "{name}"}',),
    special=Special.IMPORT,
    parameters=(
        Parameter(
            MAP,
            said(
                "a file that says which column holds which field; without it columns are found by their usual names"
            ),
            "",
            reads_file=True,
        ),
        Parameter(
            DICTIONARY,
            said("a checked dictionary: the names of tariffs, services and folders in the table, and their ids here"),
            "",
            reads_file=True,
        ),
        *(Parameter(name, _TABLES[name], "", reads_file=True) for name in TABLES),
        Parameter(
            FOLDER,
            said(
                "id or name of one folder for all subscribers, whatever the table says, as for a trial run; a name "
                "that is not there is created"
            ),
            "",
            parse=at_most(_LONGEST_NAME),
        ),
        Parameter(
            SAMPLE,
            said("import only so many subscribers, chosen to cover every tariff, folder and kind of row"),
            "",
            parse=a_whole_number,
        ),
        Parameter(
            CHANGE, said("whether what is there already and differs is changed to what the table has"), NO, (NO, YES)
        ),
        Parameter(ALIKE, said("whether contract numbers that only look alike are right as they are"), NO, (NO, YES)),
    ),
    undo_parameters=UNDO_OF_IMPORT,
    undo=said(
        "what the run has created is deleted by its ids, the last first; what others have changed since is left "
        "alone and named"
    ),
    example="carbon-migrate run import subscribers.csv",
)
