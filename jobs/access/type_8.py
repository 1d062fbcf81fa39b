"""Operations of type 8, the entry of an initial balance [S]: whether one sets the balance or adds to it [?]."""

from billing.directory.models import OPENING_BALANCE
from billing.profile import Profile, TypeEight
from jobs.access.payload import Payload


def enters_balance(payload: Payload) -> bool:
    """Whether a call enters an initial balance."""
    return payload.model == "FinanceOperations" and payload.key.get("op_type_id") == str(OPENING_BALANCE)


def replaces(payload: Payload, profile: Profile) -> bool:
    """Whether a call sets a balance, in place of what is there."""
    return enters_balance(payload) and profile.type_8.value is TypeEight.SETS
