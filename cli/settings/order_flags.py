"""Flags of an order: the source of the rows, the parameters of the job, and the call of `call`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.settings.flags import EARLIER
from cli.terminal.exits import CommandRefused
from engine.sources.raw.charset import AUTO
from jobs.spec.entries import SharedAccountsRule
from texts.remedies import setting
from texts.said import said

ROWS: Final = "Input"
"""The panel of the options that choose rows."""
_FILE: Final = said("File format")
_CALLING: Final = "The job `call`"
_IMPORTING: Final = "The job `import`"
PANELS_OF_JOBS: Final = {"call": _CALLING, "import": _IMPORTING}
"""The panel of a job with options of its own."""
_YES: Final = "yes"
"""What a switch of the command line is as a parameter of a job."""

Again = Annotated[bool, typer.Option("--again", help="Enter on top what an earlier run has entered already.")]
AnotherBilling = Annotated[
    bool,
    typer.Option(
        "--another-billing",
        rich_help_panel=EARLIER,
        help="What was entered at another address is in another billing.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B",
        rich_help_panel=_FILE,
        help="Names of the columns, in order, where the rows have none.",
    ),
]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding", metavar="NAME", rich_help_panel=_FILE, help="Of a text file: auto, or a name as cp1251."
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHARACTER",
        rich_help_panel=_FILE,
        help="Of a CSV file; found by itself else. A space, beside --columns, is any white space.",
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", rich_help_panel=_FILE, help="Of a workbook with several sheets."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        rich_help_panel=ROWS,
        help="Send the first N rows that are to be sent; rows that are skipped or refused do not count.",
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="KEYS|FILE",
        rich_help_panel=ROWS,
        help="Only the rows of these contract numbers or ids: with commas, or a file, one a line or in a column.",
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude", metavar="KEYS|FILE", rich_help_panel=ROWS, help="Leave the rows of these out, as --only."
    ),
]
MapWords = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FILE.toml|FIELD=COLUMN",
        help="Which column holds which field: a map file, or one field; repeatable.",
    ),
]
Accounts = Annotated[
    Path | None,
    typer.Option(
        "--accounts",
        metavar="FILE",
        rich_help_panel=_IMPORTING,
        help="A table of accounts, joined by contract number.",
    ),
]
Services = Annotated[
    Path | None,
    typer.Option(
        "--services",
        metavar="FILE",
        rich_help_panel=_IMPORTING,
        help="A table of services, joined by contract number.",
    ),
]
Attributes = Annotated[
    Path | None,
    typer.Option(
        "--attributes",
        metavar="FILE",
        rich_help_panel=_IMPORTING,
        help="A table of attributes, joined by contract number.",
    ),
]


def map_file_of(words: Sequence[str] | None) -> str:
    """The map file among the words of --map, "" without one. Raises `CommandRefused` for a second one."""
    files = [word for word in words or () if _is_map_file(word)]
    if len(files) > 1:
        raise CommandRefused(said("{flag}: two map files are given: which is meant?", flag=setting("map")))
    return files[0] if files else ""


def map_pairs_of(words: Sequence[str] | None) -> list[str]:
    """The columns of single fields among them, each as it was typed."""
    return [word for word in words or () if not _is_map_file(word)]


def _is_map_file(word: str) -> bool:
    return "=" not in word or word.endswith(".toml")


@dataclass(frozen=True, slots=True)
class OrderFlags:
    """The parameters of a job, and how often its rows may be entered."""

    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the job; repeatable.")
    ] = None
    ask: Annotated[
        list[str] | None,
        typer.Option(
            "--ask", metavar="NAME", help="Ask for a parameter at the terminal, unseen: for a password; repeatable."
        ),
    ] = None
    again: Again = False
    another_billing: AnotherBilling = False
    shared_accounts: Annotated[
        SharedAccountsRule | None,
        typer.Option(
            "--shared-accounts",
            help="Several opening balances of one account: enter their sum, the last one, or refuse these rows.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RowFlags:
    """The source of a job's rows, and how they are read."""

    sql: Annotated[
        str | None,
        typer.Option(
            "--sql",
            metavar="SELECT",
            rich_help_panel=ROWS,
            help="Rows from a select in the billing's database; :names are bound to --set NAME=VALUE.",
        ),
    ] = None
    columns: Columns = None
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", rich_help_panel=ROWS, help="Which column holds what; repeatable."
        ),
    ] = None
    encoding: Encoding = AUTO
    delimiter: Delimiter = None
    sheet: Sheet = None
    limit: Limit = None
    only: Only = None
    exclude: Exclude = None


@dataclass(frozen=True, slots=True)
class ImportFlags:
    """What an import is given besides its table and its map: parameters of the job `import`, by the same names."""

    dictionary: Annotated[
        Path | None,
        typer.Option(
            "--dictionary",
            metavar="FILE",
            rich_help_panel=_IMPORTING,
            help="The checked dictionary: names of tariffs, services and folders, and their ids in this billing.",
        ),
    ] = None
    accounts: Accounts = None
    services: Services = None
    attributes: Attributes = None
    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            metavar="NAME|ID",
            rich_help_panel=_IMPORTING,
            help="One folder for all, whatever the table says, as for a trial run; a new name is created.",
        ),
    ] = None
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            metavar="N",
            rich_help_panel=_IMPORTING,
            help="Import N subscribers only, chosen to cover every tariff, folder and kind of row.",
        ),
    ] = None
    change: Annotated[
        bool,
        typer.Option(
            "--change",
            rich_help_panel=_IMPORTING,
            help="Change what is there already and differs; else it is left as it is.",
        ),
    ] = False
    alike: Annotated[
        bool,
        typer.Option(
            "--alike",
            rich_help_panel=_IMPORTING,
            help="Contract numbers that only look alike are right as they are.",
        ),
    ] = False

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the job that are given."""
        given = {
            "dictionary": _text(self.dictionary),
            "accounts": _text(self.accounts),
            "services": _text(self.services),
            "attributes": _text(self.attributes),
            "folder": self.folder or "",
            "sample": _text(self.sample),
            "change": _YES if self.change else "",
            "alike": _YES if self.alike else "",
        }
        return {name: value for name, value in given.items() if value}


def _text(value: object) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class CheckFlags:
    """Whether an import is only checked, and where the checked table goes."""

    check: Annotated[
        bool, typer.Option("--check", help="Check all rows, and send nothing: faults by kind, with their lines.")
    ] = False
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="With --check, an .xlsx file: the table with the faulty cells marked, to be corrected and imported.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class TableFlags:
    """How the table of an import is read, and which of its rows."""

    mapping: MapWords = None
    columns: Columns = None
    encoding: Encoding = AUTO
    delimiter: Delimiter = None
    sheet: Sheet = None
    limit: Limit = None
    only: Only = None
    exclude: Exclude = None

    @property
    def rows(self) -> RowFlags:
        """The same flags as those of any job's rows."""
        return RowFlags(**{one.name: getattr(self, one.name) for one in fields(self)})


@dataclass(frozen=True, slots=True)
class CallFlags:
    """The call that the job `call` makes."""

    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", rich_help_panel=_CALLING, help="The model, as AdminAccounts."),
    ] = None
    chain: Annotated[
        list[str] | None,
        typer.Option(
            "--chain",
            metavar="LINK",
            rich_help_panel=_CALLING,
            help='A method with its arguments, as \'set {"limit": "{sum}"}\'; once for each, in their order.',
        ),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option("--fields", metavar="A,B", rich_help_panel=_CALLING, help="The fields wanted in the answer."),
    ] = None
    repeatable: Annotated[
        bool, typer.Option("--repeatable", rich_help_panel=_CALLING, help="The call does no harm when made twice.")
    ] = False
    look_up: Annotated[
        str | None,
        typer.Option(
            "--look-up",
            metavar="SELECT",
            rich_help_panel=_CALLING,
            help="Finds the effect of a row, by its :placeholders; a row found means that it is there.",
        ),
    ] = None
