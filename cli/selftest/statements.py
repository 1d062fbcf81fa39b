"""The lab's SQL, a statement a file in `cli/selftest/sql/`, read once."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files("cli.selftest").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
