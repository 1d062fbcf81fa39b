"""The journal's SQL, a statement a file in `checkpoints/sql/`, read once."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files("checkpoints").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


@cache
def formats() -> tuple[str, ...]:
    """The scripts that bring a journal from one format to the next; the first makes format 1 of an empty file."""
    folder = files("checkpoints").joinpath("sql", "format")
    return tuple(
        entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    )
