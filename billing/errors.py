"""What this room raises, by who has to act.

    BillingError
    ├── SettingsError        the operator: an address, a header or a form field that cannot be used
    ├── AmountError          whoever wrote the file: an amount that cannot be read (in `billing.money`)
    ├── BillingAway          the network or the server: nobody answers
    ├── BillingBusy          nobody: wait and ask again
    ├── NotTheBilling        the operator: something else answers at this address
    ├── UnreadableAnswer     us: an answer of a shape that this program does not know
    ├── BillingRefused       whoever asked: the billing refuses this one question
    ├── SystemRefusal        the billing's administrator: rights, licence, read-only
    └── DatabaseError
        ├── RuntimeMissing       the operator: Firebird's library is not there
        ├── DatabaseAway         the network or the server: the database cannot be reached
        ├── WrongPassword        the operator: the server refuses user or password
        ├── StatementRefused     whoever wrote the statement
        │   ├── NotASelect           it changes something, or is none
        │   ├── NamesNeeded          it has columns that cannot be told by their names
        │   └── ColumnsMissing       nobody: this billing has not what a statement of ours needs
        ├── RowsChanged          the operator: what a select gives is no longer what was taken from it
        ├── OtherScale           the operator: this billing counts its money otherwise
        └── NoRoom               the operator: the temporary folder is full

A call that writes raises none of these: what became of it is a value, see `engine.evidence`.
"""


class BillingError(Exception):
    """Root of what the billing room raises; its text is a sentence for the operator, free of secrets."""


class SettingsError(BillingError, ValueError):
    """Raised when the address, an extra header or an extra form field cannot be used as configured."""


class BillingAway(BillingError):
    """Raised when nobody answers: no connection, no answer in time, or a server that only crashes."""


class BillingBusy(BillingError):
    """Raised when the billing is still busy after the patience of a read is used up.

    `retry_after` is the wait in seconds that the billing asked for, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotTheBilling(BillingError):
    """Raised when what answers at the address is not the billing's REST API."""


class UnreadableAnswer(BillingError):
    """Raised when the billing's answer has a shape that the question cannot have."""


class BillingRefused(BillingError):
    """Raised when the billing refuses the question itself; asking again will not help."""


class SystemRefusal(BillingError):
    """Raised when the billing refuses everything: rights, licence, read-only, 401 or 403."""


class DatabaseError(BillingError):
    """Root of what the billing's database raises; its text is a sentence for the operator, never with a password."""


class RuntimeMissing(DatabaseError):
    """Raised when the Firebird library cannot be loaded; the text names the command to type."""


class DatabaseAway(DatabaseError):
    """Raised when the database cannot be reached, or was lost on the way."""


class WrongPassword(DatabaseError):
    """Raised when the server refuses the user or the password."""


class StatementRefused(DatabaseError):
    """Raised when Firebird refuses a statement: syntax, unknown column, a value that does not fit."""


class NotASelect(StatementRefused):
    """Raised when what was typed is not one select that changes nothing; the text says where it is not, and why."""


class NamesNeeded(StatementRefused):
    """Raised when a select has columns without a name, or two of one name; all its `columns` can be named instead."""

    def __init__(self, message: str, columns: int) -> None:
        super().__init__(message)
        self.columns = columns


class ColumnsMissing(StatementRefused):
    """Raised when the billing's database lacks tables or columns that a statement of ours needs.

    `missing` are their names, as `FINANCE_OPERATIONS.DESCR`, a table alone as `ACCOUNT_STACK`.
    """

    def __init__(self, message: str, missing: tuple[str, ...]) -> None:
        super().__init__(message)
        self.missing = missing


class RowsChanged(DatabaseError):
    """Raised when a select, read anew to go on, no longer begins with the rows that were taken from it."""


class OtherScale(DatabaseError):
    """Raised when the billing says that its integers per rouble are others than `billing.money.SCALE`."""


class NoRoom(DatabaseError):
    """Raised when the rows of a select cannot be kept in the temporary folder while they are worked on."""
