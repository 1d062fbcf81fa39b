"""How the messages name what can be said of an input."""

from typing import Final

ENCODING: Final = "--encoding "
DELIMITER: Final = "--delimiter"
SHEET: Final = "--sheet"
COLUMNS: Final = "--columns"
