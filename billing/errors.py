"""The errors of the billing; `AmountError` is one more of them, in `billing.money`.

A call that writes raises none of these: its outcome is a value, see `engine.evidence`.
"""

from texts.said import SaidError


class BillingError(SaidError):
    """Root of the errors of the billing; its text is a sentence for the operator, without secrets."""


class SettingsError(BillingError, ValueError):
    """Raised when the address, an extra header or an extra form field cannot be used as configured."""


class BillingAway(BillingError):
    """Raised when the billing does not answer: no connection, no answer in time, or a server that only crashes."""


class BillingBusy(BillingError):
    """Raised when the billing is still busy after all retries of a read."""


class NotTheBilling(BillingError):
    """Raised when the server at the address is not the billing's REST API."""


class UnreadableAnswer(BillingError):
    """Raised when the billing's answer has an unexpected shape."""


class BillingRefused(BillingError):
    """Raised when the billing refuses the request itself; a retry does not help."""


class SystemRefusal(BillingError):
    """Raised when the billing refuses everything: rights, licence, read-only, 401 or 403."""


class DatabaseError(BillingError):
    """Root of the errors of the billing's database; its text is a sentence for the operator, without a password."""


class RuntimeMissing(DatabaseError):
    """Raised when the Firebird library cannot be loaded; the text names the command to type."""


class DatabaseAway(DatabaseError):
    """Raised when the database cannot be reached, or the connection is lost."""


class NoDatabase(DatabaseError):
    """Raised when the database's file is not there, or is none of Firebird: before a run that is a wrong setting."""


class WrongPassword(DatabaseError):
    """Raised when the server refuses the user or the password."""


class StatementRefused(DatabaseError):
    """Raised when Firebird refuses a statement: syntax, unknown column, a value that does not fit."""


class NotASelect(StatementRefused):
    """Raised when a statement is not one select that changes nothing; the text names the place and the reason."""


class NamesNeeded(StatementRefused):
    """Raised when a select has unnamed columns or equal names; names for all its `columns` can be given."""

    def __init__(self, message: str, columns: int) -> None:
        super().__init__(message)
        self.columns = columns


class ColumnsMissing(StatementRefused):
    """Raised when the billing's database lacks tables or columns that a statement of ours needs.

    `missing` are their names: `FINANCE_OPERATIONS.DESCR`, or `ACCOUNT_STACK` for a table.
    """

    def __init__(self, message: str, missing: tuple[str, ...]) -> None:
        super().__init__(message)
        self.missing = missing


class RowsChanged(DatabaseError):
    """Raised when a select that is read again no longer begins with the rows already taken."""


class OtherScale(DatabaseError):
    """Raised when the billing's integers per rouble differ from `billing.money.SCALE`."""


class NoRoom(DatabaseError):
    """Raised when the temporary folder has no room for the rows of a select."""
