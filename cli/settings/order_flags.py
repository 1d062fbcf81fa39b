"""The table of options, second part, those of an order: the rows, the parameters of the job, the call of `call`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from cli.settings.flags import EARLIER
from cli.terminal.exits import CommandRefused
from cli.terminal.options import Option, Part, option, switch
from engine.sources.raw.charset import AUTO
from jobs.spec.chain import chain_text
from jobs.spec.entries import SharedAccountsRule
from texts.remedies import setting

ROWS: Final = "Input"
"""The panel of the options that choose rows."""
PANELS_OF_JOBS: Final = {"call": "The job `call`", "import": "The job `import`"}
"""The panel of a job with options of its own."""
_YES: Final = "yes"
"""What a switch of the command line is as a parameter of a job."""

_row: Final = partial(option, panel=ROWS)
_format: Final = partial(option, panel="File format")
_calling: Final = partial(option, panel=PANELS_OF_JOBS["call"])
_importing: Final = partial(option, panel=PANELS_OF_JOBS["import"])


@dataclass(frozen=True, slots=True)
class OrderFlags:
    """The parameters of a job, and how often its rows may be entered."""

    set_: list[str] | None = option("NAME=VALUE", "A parameter of the job; repeatable.", "--set")
    ask: list[str] | None = option("NAME", "Ask for a parameter at the terminal, unseen: for a password; repeatable.")
    again: bool = switch("Enter on top what an earlier run has entered already.")
    another_billing: bool = switch("What was entered at another address is in another billing.", panel=EARLIER)
    shared_accounts: SharedAccountsRule | None = option(
        None, "Several opening balances of one account: enter their sum, the last one, or refuse these rows."
    )


RepeatFlags = Annotated[OrderFlags, Part("again", "another_billing")]


@dataclass(frozen=True, slots=True)
class RowFlags:
    """The source of a job's rows, and how they are read."""

    sql: str | None = _row(
        "SELECT", "Rows from a select in the billing's database; :names are bound to --set NAME=VALUE."
    )
    columns: str | None = _format("A,B", "Names of the columns, in order, where the rows have none.")
    mapping: list[str] | None = _row("NAME=COLUMN", "Which column holds what; repeatable.", "--map")
    encoding: str = _format("NAME", "Of a text file: auto, or a name as cp1251.", default=AUTO)
    delimiter: str | None = _format(
        "CHARACTER", "Of a CSV file; found by itself else. A space, beside --columns, is any white space."
    )
    sheet: str | None = _format("NAME", "Of a workbook with several sheets.")
    limit: int | None = _row(
        "N", "Send the first N rows that are to be sent; rows that are skipped or refused do not count.", least=1
    )
    only: str | None = _row(
        "KEYS|FILE",
        "Only the rows of these contract numbers or ids: with commas, or a file, one a line or in a column.",
    )
    exclude: str | None = _row("KEYS|FILE", "Leave the rows of these out, as --only.")


MAP_WORDS: Final = Option(
    "FILE.toml|FIELD=COLUMN",
    "Which column holds which field: a map file, or one field; repeatable.",
    names=("--map",),
)
TableFlags = Annotated[
    RowFlags,
    Part("mapping", "columns", "encoding", "delimiter", "sheet", "limit", "only", "exclude", mapping=MAP_WORDS),
]
"""How the table of an import is read, and which of its rows."""


def map_file_of(words: Sequence[str] | None) -> str:
    """The map file among the words of --map, "" without one. Raises `CommandRefused` for a second one."""
    files = [word for word in words or () if _is_map_file(word)]
    if len(files) > 1:
        raise CommandRefused("{flag}: two map files are given: which is meant?", flag=setting("map"))
    return files[0] if files else ""


def map_pairs_of(words: Sequence[str] | None) -> list[str]:
    """The columns of single fields among them, each as it was typed."""
    return [word for word in words or () if not _is_map_file(word)]


def _is_map_file(word: str) -> bool:
    return "=" not in word or word.endswith(".toml")


@dataclass(frozen=True, slots=True)
class ImportFlags:
    """What an import is given besides its table and its map: parameters of the job `import`, by the same names."""

    dictionary: Path | None = _importing(
        "FILE", "The checked dictionary: names of tariffs, services and folders, and their ids in this billing."
    )
    accounts: Path | None = _importing("FILE", "A table of accounts, joined by contract number.")
    services: Path | None = _importing("FILE", "A table of services, joined by contract number.")
    attributes: Path | None = _importing("FILE", "A table of attributes, joined by contract number.")
    folder: str | None = _importing(
        "NAME|ID", "One folder for all, whatever the table says, as for a trial run; a new name is created."
    )
    sample: int | None = _importing(
        "N", "Import N subscribers only, chosen to cover every tariff, folder and kind of row.", least=1
    )
    change: bool = _importing(
        None, "Change what is there already and differs; else it is left as it is.", default=False
    )
    alike: bool = _importing(None, "Contract numbers that only look alike are right as they are.", default=False)

    @property
    def parameters(self) -> dict[str, str]:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: _YES if value is True else str(value) for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class CheckFlags:
    """Whether an import is only checked, and where the checked table goes."""

    check: bool = switch("Check all rows, and send nothing: faults by kind, with their lines.")
    output: Path | None = option(
        "FILE",
        "With --check, an .xlsx file: the table with the faulty cells marked, to be corrected and imported.",
        "-o",
        "--output",
    )


@dataclass(frozen=True, slots=True)
class CallFlags:
    """The call that the job `call` makes."""

    model: str | None = _calling("MODEL", "The model, as AdminAccounts.")
    chain: list[str] | None = _calling(
        "LINK", 'A method with its arguments, as \'set {"limit": "{sum}"}\'; once for each, in their order.'
    )
    fields: str | None = _calling("A,B", "The fields wanted in the answer.")
    repeatable: bool = _calling(None, "The call does no harm when made twice.", default=False)
    look_up: str | None = _calling(
        "SELECT", "Finds the effect of a row, by its :placeholders; a row found means that it is there."
    )

    @property
    def parameters(self) -> dict[str, str]:
        given = {
            "model": self.model,
            "chain": chain_text(self.chain) if self.chain else "",
            "fields": self.fields,
            "repeatable": _YES if self.repeatable else "",
            "look_up": self.look_up,
        }
        return {name: value for name, value in given.items() if value}
