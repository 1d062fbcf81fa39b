"""The words of an import that are asked where runs are only looked at."""

from typing import Final

IMPORT: Final = "import"
"""The job."""

MAP: Final = "map"
DICTIONARY: Final = "dictionary"
TABLES: Final = ("accounts", "services", "attributes")
"""The parameters that name a table beside the main one."""
FOLDER: Final = "folder"
SAMPLE: Final = "sample"
CHANGE: Final = "change"
ALIKE: Final = "alike"

VALUES: Final = (MAP, DICTIONARY, *TABLES, FOLDER)
SWITCHES: Final = (CHANGE, ALIKE)
"""The parameters that are typed again where another table is imported in the same way: with a value, or without."""
YES: Final = "yes"

COLUMN: Final = "input_map."
"""The beginning of the names under which a run keeps the columns that were given, by field."""
