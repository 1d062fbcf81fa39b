"""What can go wrong with the billing's database.

    BillingError
    └── DatabaseError
        ├── RuntimeMissing      the operator: a package of the machine is missing
        ├── DatabaseAway        the network, the server or the file: nothing answers there
        ├── WrongPassword       the operator: the server knows the user by another password
        ├── StatementRefused    whoever wrote the statement, or a value that does not fit
        │   ├── NotASelect      whoever typed it: it is no select, or more than one
        │   └── ColumnsMissing  the operator: this billing lacks what a statement of ours needs
        ├── RowsChanged         the operator: the rows are no longer those that a run began with
        ├── OtherScale          the operator: the billing writes its money in another way than is known here
        └── NoRoom              the operator: the disk of the temporary folder is full

A database that is not a billing's is `billing.errors.NotTheBilling`.
"""

from billing.errors import BillingError


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
