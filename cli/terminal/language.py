"""The language of screens, pages and reports: Russian or English, and how each writes numbers, money and moments.

The language of whoever reads a screen is kept in the context of the task: a command sets it once, and it need not be
handed through all functions that write a line. A page and a report have readers of their own, also several in one
process, and are given the language of each.
"""

import gettext
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

from texts.remedies import SETTINGS_FILE, SETTINGS_PROFILE
from texts.said import Language, Quantity, two_decimals

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
        self._decimal_mark, self._currency, self._day = decimal_mark, currency, day

    def translate(self, template: str) -> str:
        return self._catalogue.gettext(template)

    def translate_counted(self, one: str, many: str, n: int) -> str:
        return self._catalogue.ngettext(one, many, n)

    def write(self, value: int | Decimal | datetime) -> str:
        """A number, an amount in roubles or a moment in local time."""
        match value:
            case Decimal():
                digits, _, decimals = two_decimals(value).partition(".")
                sign = "−" if digits.startswith("-") else ""
                return f"{sign}{_grouped(int(digits.lstrip('-')))}{self._decimal_mark}{decimals}{self._currency}"
            case datetime():
                zone = value.astimezone().isoformat(timespec="minutes")[-6:]
                return f"{self.moment(value)} (UTC{zone})"
            case Quantity():
                return _grouped(value)
            case _:
                return str(value)

    def moment(self, when: datetime) -> str:
        """A moment in local time, without its zone."""
        return f"{when.astimezone():{self._day} %H:%M:%S}"

    def decimal(self, number: float) -> str:
        return f"{number:.1f}".replace(".", self._decimal_mark)


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
