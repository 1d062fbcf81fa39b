"""Sentences, numbers, times and foreign texts as people read them, in the language of the reader: Russian or English.

The language of whoever reads a screen is kept in the context of the task: a command sets it once, and it need not be
handed through all functions that write a line. A page and a report have readers of their own, also several in one
process, and are given the language of each.
"""

import gettext
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from rich.markup import escape

from texts.said import PROGRAM, SETTINGS_FILE, SETTINGS_PROFILE, Language, Quantity, Said, plain, two_decimals

ENGLISH: Final = "en"
RUSSIAN: Final = "ru"
LANGUAGES: Final = (ENGLISH, RUSSIAN)
VARIABLE: Final = "CARBON_MIGRATE_LANG"
OPTION: Final = "--lang"

_DOMAIN: Final = "carbon-migrate"
_CATALOGUES: Final = Path(__file__).parents[1] / "locale"
_SYSTEM: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
_LETTERS: Final = re.compile("[a-z]*")
SPACE: Final = "\u00a0"
"""Between thousands, and before the sign of the rouble: a line is not broken there."""


class CatalogueLanguage(Language):
    """A language by its catalogue, and how it writes the mark before kopecks, the currency and a day."""

    def __init__(
        self, name: str, catalogue: gettext.NullTranslations, decimal_mark: str, currency: str, day: str
    ) -> None:
        self.name = name
        self._catalogue = catalogue
        self.decimal_mark, self._currency, self._day = decimal_mark, currency, day

    def translate(self, template: str) -> str:
        return self._catalogue.gettext(template)

    def translate_counted(self, one: str, many: str, n: int) -> str:
        return self._catalogue.ngettext(one, many, n)

    def write(self, value: float | Decimal | date) -> str:
        """A number, an amount in roubles, a day, or a moment in local time."""
        match value:
            case Decimal():
                digits, _, decimals = two_decimals(value).partition(".")
                sign = "−" if digits.startswith("-") else ""
                return f"{sign}{_grouped(int(digits.lstrip('-')))}{self.decimal_mark}{decimals}{self._currency}"
            case datetime():
                zone = value.astimezone().isoformat(timespec="minutes")[-6:]
                return f"{self.moment(value)} (UTC{zone})"
            case date():
                return value.strftime(self._day)
            case Quantity():
                return _grouped(value)
            case _:
                return plain(value).replace(".", self.decimal_mark)

    def moment(self, when: datetime) -> str:
        """A moment in local time, without its zone."""
        return f"{when.astimezone():{self._day} %H:%M:%S}"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", SPACE).replace("-", "−")


@cache
def language(name: str) -> CatalogueLanguage:
    """The language of that name. Raises `KeyError` for another one."""
    if name == ENGLISH:
        return CatalogueLanguage(name, gettext.NullTranslations(), ".", "", "%Y-%m-%d")
    if name != RUSSIAN:
        raise KeyError(name)
    return CatalogueLanguage(name, gettext.translation(_DOMAIN, _CATALOGUES, [name]), ",", f"{SPACE}₽", "%d.%m.%Y")


_reader: Final[ContextVar[CatalogueLanguage]] = ContextVar("reader")


def reader() -> CatalogueLanguage:
    """The language of whoever reads what is made now; English until one is set."""
    return _reader.get(language(ENGLISH))


def set_reader(name: str) -> None:
    """Write for a reader of this language from now on. Raises `KeyError` for a language that there is not."""
    _reader.set(language(name))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Write for a reader of this language in the body, as for one who asks a page. Raises `KeyError`."""
    before = _reader.set(language(name))
    try:
        yield
    finally:
        _reader.reset(before)


def system_language(environment: Mapping[str, str]) -> str:
    """The language of the system: Russian where its first locale variable is Russian, otherwise English."""
    named = next((environment[name] for name in _SYSTEM if environment.get(name)), "")
    word = _LETTERS.match(named.casefold())
    return RUSSIAN if word and word[0] in {RUSSIAN, "russian"} else ENGLISH


def typed_language(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """The language of a command by what was typed of it: `--lang`, the variable, the settings file, the system.

    It is chosen before the command is parsed, since help and usage errors are in it too. So what is wrong with an
    option or a file is said where it is read, and counts here as not given.
    """
    for named in (_given(OPTION, words), environment.get(VARIABLE, "")):
        if named in LANGUAGES:
            return named
    profile, named = _given("--profile", words) or environment.get(SETTINGS_PROFILE, ""), ""
    path = Path(_given("--config", words) or SETTINGS_FILE)
    with suppress(OSError, ValueError, RecursionError, AttributeError, TypeError):
        if path.is_file():
            import tomllib  # noqa: PLC0415 - most often there is no file here

            content = tomllib.loads(path.read_text(encoding="utf-8"))
            of_profile = content.get("profile", {}).get(profile or content.get("default_profile"), {})
            named = of_profile.get("language") or content.get("language", "")
    return named if named in LANGUAGES else system_language(environment)


def _given(option: str, words: Sequence[str]) -> str:
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return ""


# ---- sentences, numbers and foreign texts on a screen -------------------------------------------------------------


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
    """A number a second, of two digits where it is small; for the reader, or of that language."""
    return (language or reader()).write(float(f"{per_second:.2g}") if per_second < _SLOW else round(per_second))


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
