"""The lab's SQL, a statement a file in `lab/crash/sql/`, read once."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files("lab.crash").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
