"""The scale of money, as the billing itself says it: whoever reckons with another one reads every sum wrong."""

from decimal import Decimal, InvalidOperation

from billing.database import Database
from billing.database_errors import OtherScale, StatementRefused
from billing.money import SCALE
from billing.statements import statement


def check_scale(database: Database) -> bool:
    """Whether the billing says that its scale is ours; False where it says nothing, for want of the row or its table.

    Raises `OtherScale` where it says something else, and what `Database.query` raises when it cannot be asked.
    """
    try:
        row = next(database.query(statement("billing", "scale")), None)
    except StatementRefused:
        return False
    if row is None or row[0] is None:
        return False
    said = str(row[0]).strip()
    try:
        same = Decimal(said) == SCALE
    except InvalidOperation:
        same = False
    if not same:
        raise OtherScale(
            f"{database.dsn}: by row 1 of its VPN_CONST a rouble is {said[:40]!r} in this billing's database, and "
            f"this program reckons with {SCALE}: every sum of it would be read wrong. Look at the row; if it is "
            "right, this program must not be used here"
        )
    return True
