"""Rows of the billing's tables, as the population inserts them."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

Columns = tuple[str | int | datetime | None, ...]


@dataclass(slots=True)
class Rows:
    """Rows to insert, a list a table, in an order that foreign keys allow."""

    admin_accounts: list[Columns] = field(default_factory=list)
    abonents: list[Columns] = field(default_factory=list)
    users: list[Columns] = field(default_factory=list)
    users_usluga: list[Columns] = field(default_factory=list)
    finance_operations: list[Columns] = field(default_factory=list)
    abonents_block_history: list[Columns] = field(default_factory=list)
    attribute_values: list[Columns] = field(default_factory=list)


def password_of(random: Random) -> str:
    """A made-up password."""
    return f"{random.getrandbits(40):010x}"


def user_row(user: int, abonent: int, address: int, pull: int, password: str, *, deleted: bool = False) -> Columns:
    """An account: its login and MAC address follow from its id."""
    mac = f"02:00:{user >> 24 & 255:02x}:{user >> 16 & 255:02x}:{user >> 8 & 255:02x}:{user & 255:02x}"
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (user, abonent, f"user{user}", address, mac, pull, password, digest, int(not deleted), int(deleted))
