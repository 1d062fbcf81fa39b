"""Flags of an order: the source of the rows, the parameters of the job, and the call of `call`."""

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from engine.sources.raw.charset import AUTO
from jobs.spec.entries import SharedAccountsRule

_ROWS: Final = "Input"
_CALLING: Final = "The job `call`"


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
    again: Annotated[bool, typer.Option("--again", help="Enter on top what an earlier run has entered already.")] = (
        False
    )
    another_billing: Annotated[
        bool,
        typer.Option("--another-billing", help="What was entered at another address is in another billing."),
    ] = False
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
            rich_help_panel=_ROWS,
            help="Rows from a select in the billing's database; :names are bound to --set NAME=VALUE.",
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="A,B",
            rich_help_panel=_ROWS,
            help="Names of the columns, in order, where the rows have none.",
        ),
    ] = None
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NAME=COLUMN", rich_help_panel=_ROWS, help="Which column holds what; repeatable."
        ),
    ] = None
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding", metavar="NAME", rich_help_panel=_ROWS, help="Of a text file: auto, or a name as cp1251."
        ),
    ] = AUTO
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHARACTER",
            rich_help_panel=_ROWS,
            help="Of a CSV file; found by itself else. A space, beside --columns, is any white space.",
        ),
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option("--sheet", metavar="NAME", rich_help_panel=_ROWS, help="Of a workbook with several sheets."),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            rich_help_panel=_ROWS,
            help="Send the first N rows that are to be sent; rows that are skipped or refused do not count.",
        ),
    ] = None
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="KEYS|FILE",
            rich_help_panel=_ROWS,
            help="Only the rows of these contract numbers or ids: with commas, or a file, one a line or in a column.",
        ),
    ] = None
    exclude: Annotated[
        str | None,
        typer.Option(
            "--exclude", metavar="KEYS|FILE", rich_help_panel=_ROWS, help="Leave the rows of these out, as --only."
        ),
    ] = None


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
