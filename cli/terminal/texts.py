"""Formatting of numbers, times and foreign texts for people."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from rich.markup import escape

PROGRAM: Final = "carbon-migrate"
SETTINGS_FILE: Final = "carbon-migrate.toml"
JOURNAL: Final = "carbon-migrate.journal"
USER: Final = "sysdba"
CHARSET: Final = "UTF8"
TIMEOUT: Final = 60.0
"""Seconds."""

API_URL: Final = "CARBON_MIGRATE_API_URL"
DATABASE: Final = "CARBON_MIGRATE_DATABASE"
DATABASE_USER: Final = "CARBON_MIGRATE_DATABASE_USER"
DATABASE_PASSWORD: Final = "CARBON_MIGRATE_DATABASE_PASSWORD"  # noqa: S105 - the name of the variable
DATABASE_CHARSET: Final = "CARBON_MIGRATE_DATABASE_CHARSET"
JOURNAL_FILE: Final = "CARBON_MIGRATE_JOURNAL"
LANGUAGE: Final = "CARBON_MIGRATE_LANG"


THIN = "\u202f"
"""Between thousands: a narrow no-break space."""

LONGEST = 300
"""Characters of a foreign text that are shown."""


def printable(text: object, limit: int = LONGEST) -> str:
    """A foreign text made safe for a terminal: one line, invisible characters as escapes."""
    words = " ".join(str(text)[: limit * 4].split())
    shown = "".join(letter if letter.isprintable() else _spelled(letter) for letter in words)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def markup_safe(text: object, limit: int = LONGEST) -> str:
    """The same as rich markup, with the text's own brackets escaped."""
    return escape(printable(text, limit))


def _spelled(letter: str) -> str:
    # Foreign spaces become plain ones; other invisible characters become escapes.
    return " " if letter.isspace() else letter.encode("unicode_escape").decode("ascii")


def count(number: int) -> str:
    """An integer with separated thousands."""
    return f"{number:,}".replace(",", THIN)


def money(amount: Decimal) -> str:
    """An amount with separated thousands, all its decimals, and at least two."""
    whole, _, decimals = format(amount, "f").partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}".replace(",", THIN) + f".{decimals:0<2}"


def rows(number: int) -> str:
    """A number of rows, in words."""
    return f"{count(number)} {'row' if number == 1 else 'rows'}"


def duration(seconds: float) -> str:
    """A time span as 0:07, 12:30 or 3:05:00."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def moment(when: datetime | None) -> str:
    """A time of the journal in local time."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}" if when else "–"
