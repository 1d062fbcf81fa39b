"""Sentences, numbers, times and foreign texts as people read them, in the language of the reader."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Final

from rich.markup import escape

from cli.terminal.language import SPACE, CatalogueLanguage, reader
from texts.remedies import PROGRAM
from texts.said import Quantity, Said

JOURNAL: Final = "carbon-migrate.journal"
USER: Final = "sysdba"
CHARSET: Final = "UTF8"
TIMEOUT: Final = 60.0
"""Seconds."""

API_URL: Final = "CARBON_MIGRATE_API_URL"
DATABASE_USER: Final = "CARBON_MIGRATE_DATABASE_USER"
DATABASE_PASSWORD: Final = "CARBON_MIGRATE_DATABASE_PASSWORD"  # noqa: S105 - the name of the variable
DATABASE_CHARSET: Final = "CARBON_MIGRATE_DATABASE_CHARSET"
JOURNAL_FILE: Final = "CARBON_MIGRATE_JOURNAL"
VAULT_KEY: Final = "CARBON_MIGRATE_VAULT_KEY"


JOINT: Final = "\u2800"
"""Joins what belongs on one line: the thousands of a number, a number and its word.

It leaves the program as a plain space (`cli/terminal/streams.py`), since that is what a person types to find
`12 345`: grep finds no other space by it. rich breaks a line at any space, also at a no-break one. So inside the
program the joint is a blank that is no space.
"""

SIGNS: Final = {
    "✓": "+", "✗": "x", "■": "#", "•": "*", "…": "...", "→": "->", "←": "<-", "–": "-", "—": "-", "−": "-", "×": "x",
    "«": '"', "»": '"', "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=", "≈": "~", "№": "No.",
    "₽": "RUB",
    "─": "-", "━": "-", "╸": "-", "╺": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┏": "+",
}  # fmt: skip
"""Signs of the screens, as an encoding without them shows them."""

LONGEST, SENTENCE, WHOLE = 300, 2000, 10_000
"""Characters that are shown: of a foreign text; of a sentence of ours, with foreign texts and commands in it; and of
a text that a person copies, as a path, a select or a request."""
_COMMAND: Final = f"`{PROGRAM} "
_SLOW: Final = 10
_NUMBER_AND_WORD: Final = re.compile(r"(?<=\d) (?=[^\W\d])")


def printable(text: object, limit: int = LONGEST) -> str:
    """A sentence in the reader's language, or a foreign text, made safe for a terminal.

    It is one line, and invisible characters are escapes. It is cut at `limit`, but not within a command that it
    advises: half a command could be typed.
    """
    whole = rendered(text) if isinstance(text, Said) else str(text)
    looked_at = whole[: limit * 4]
    words = " ".join((looked_at if looked_at.isascii() else from_bytes(looked_at)).split())
    shown = words
    if not words.isprintable():
        shown = "".join(letter if letter.isprintable() else _spelled(letter) for letter in words)
    if len(shown) <= limit:
        return shown
    command = shown.replace(JOINT, " ").rfind(_COMMAND, 0, limit)
    end = shown.find("`", command + 1) + 1 if command >= 0 else 0
    kept = shown[: max(limit - 1, end)]
    return kept if kept == shown else f"{kept}…"


def rendered(text: str) -> str:
    """A sentence in the reader's language, with its lines; a text that is none is unchanged.

    A command that it advises stays whole where lines are broken, so that it can be copied.
    """
    if not isinstance(text, Said):
        return text
    whole = reader().render(text)
    for one in commands_in(text):
        whole = whole.replace(one, one.replace(" ", JOINT))
    return _joint(whole)


def commands_in(text: str) -> Iterator[str]:
    """The commands of this program that stand in a sentence, and in those that it is made with."""
    values = text.values.values() if isinstance(text, Said) else ()
    for one in chain.from_iterable(value if isinstance(value, tuple) else (value,) for value in values):
        if isinstance(one, Said):
            yield from commands_in(one)
        elif isinstance(one, str) and one.startswith((f"{PROGRAM} ", _COMMAND)):
            yield one


def from_bytes(text: str) -> str:
    """A text without the surrogates that stand for bytes of a file name: decoded where they are UTF-8, else escaped.

    Python makes them of names that are not in the encoding of the locale.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # Other surrogates stand for nothing; JSON can spell them.
        return "".join(_spelled(letter) if "\ud800" <= letter <= "\udfff" else letter for letter in text)


def reason_of(error: OSError) -> str:
    """Why the system refused: its own words, without the file's name."""
    return error.strerror or str(error)


def markup_safe(text: object, limit: int = LONGEST) -> str:
    """The same as rich markup, with the text's own brackets escaped."""
    return escape(printable(text, limit))


def _spelled(letter: str) -> str:
    # Foreign spaces become plain ones; other invisible characters become escapes.
    return " " if letter.isspace() else letter.encode("unicode_escape").decode("ascii")


def count(number: int) -> str:
    """An integer with separated thousands, as the reader's language writes it."""
    return _joint(reader().write(Quantity(number)))


def money(amount: Decimal) -> str:
    """An amount with separated thousands, all its decimals and at least two, as the reader's language writes it."""
    return _joint(reader().write(amount))


def _joint(text: str) -> str:
    return _NUMBER_AND_WORD.sub(JOINT, text.replace(SPACE, JOINT))


def rate(per_second: float, language: CatalogueLanguage | None = None) -> str:
    """A number a second, with a decimal where it is small; for the reader, or of that language."""
    return (language or reader()).decimal(per_second) if 0 < per_second < _SLOW else f"{per_second:.0f}"


def decimal(number: float) -> str:
    """A measured number with one decimal."""
    return reader().decimal(number)


def duration(seconds: float) -> str:
    """A time span as 0:07, 12:30 or 3:05:00."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def moment(when: datetime | None) -> str:
    """A time of the journal in local time, as the reader's language writes it."""
    return reader().moment(when) if when else "–"


def short_moment(when: datetime, now: datetime) -> str:
    """A time without seconds; of another day with its date."""
    day, _, time = moment(when).rpartition(" ")
    today, _, _ = moment(now).rpartition(" ")
    minutes = time[: len("00:00")]
    return minutes if day == today else f"{day} {minutes}"
