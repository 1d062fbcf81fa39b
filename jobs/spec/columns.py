"""Columns in the header of an input, found by their usual names in Russian and English.

Case, ё, spaces and punctuation do not matter, and № equals the word for it. Nothing is guessed: if two columns fit,
the operator must choose.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from engine.errors import InputRefused
from engine.job import Row
from texts.said import Said, said, setting

_PHONE: Final = (
    "phone", "mobile", "телефон", "тел", "номер телефона", "телефон абонента", "мобильный", "мобильный телефон",
    "смс", "номер смс", "sms номер", "телефон для смс", "телефон для sms",
)  # fmt: skip
_SUM: Final = ("sum", "summa", "сумма", "сумма операции", "op_summa", "amount")
_IN_ROUBLES: Final = ("", " руб", " рублей", " в рублях", " rub")

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "abonent_id": ("abonent", "id абонента", "абонент id", "ид абонента", "код абонента", "id"),
    "contract_number": (
        "contract", "contract no", "договор", "номер договора", "договор номер", "номер дог", "лицевой счёт",
        "номер лицевого счёта", "лицевой счёт номер", "лиц счёт", "л/с", "номер л/с", "л/с номер",
    ),
    "amount": _SUM,
    "op_summa": (
        *_SUM, "balance", "opening balance", "остаток", "баланс", "сальдо", "начальный остаток", "начальный баланс",
        "начальное сальдо", "входящий остаток", "входящее сальдо", "остаток на счёте", "сумма остатка",
    ),
    "limit_warning": ("порог", "порог предупреждения"),
    "limit": ("лимит", "порог отключения", "порог блокировки"),
    "user_id": ("user", "учётная запись", "id учётной записи", "код учётной записи", "учётка", "id учётки"),
    "login": ("логин", "username", "имя входа"),
    "ip": ("ip адрес", "адрес ip", "ip address", "айпи"),
    "sms": _PHONE,
    "phone": ("sms", *_PHONE),
    "date": ("дата",),
    "document": (
        "doc", "doc no", "document no", "document number", "payment no", "payment number", "payment id",
        "док", "номер док", "документ", "номер документа", "документ номер", "платёжный документ", "платёж номер",
        "номер платежа", "id платежа", "платёжка", "номер платёжки", "платёжное поручение",
        "номер платёжного поручения", "квитанция", "номер квитанции", "чек", "номер чека",
    ),
    "comment": ("комментарий", "примечание", "описание", "descr", "description"),
    "usluga_id": ("usluga", "услуга", "id услуги", "код услуги", "service", "service id"),
    "tarif_id": ("tarif", "тариф", "id тарифа", "код тарифа", "тарифный план", "tariff", "tariff id"),
    "operator_id": ("operator", "оператор", "id оператора", "код оператора", "оператор связи"),
}  # fmt: skip
"""Other names of the usual columns, by the name in the jobs."""

_FREE: Final = "comment"

_WRITTEN: Final = re.compile(r"[-+(]?[0-9][0-9 .,:/()-]*")
"""The text of a number, a date, an address or a phone."""

_WEAK: Final = "id"
"""A name that every table has; a more specific name takes precedence."""

_MONTHS: Final = "янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек"
_OF_A_DAY: Final = re.compile(
    rf"\b(?:по состоянию )?на (?:начало|конец|дату|\d{{1,2}}(?:[./-]\d| (?:{_MONTHS}))|\d{{4}}-).*|\bas (?:of|at) .*",
    re.IGNORECASE,
)
"""The end of the title of a sum as of a day, as in "Сальдо на 31.10"; a title without one takes precedence."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the input: its name in the file, and its place, counted from 0."""

    name: str
    place: int

    def of(self, row: Row) -> str:
        """The cell of a row in this column, without the white space around it."""
        return row.cells[self.place].strip()


@dataclass(frozen=True, slots=True)
class Assigned:
    """The columns of an input by the names of the job, in its order; `unused` are the names of the other columns."""

    taken: Mapping[str, Column]
    unused: tuple[str, ...]

    @classmethod
    def of(cls, header: Sequence[str], columns: Mapping[str, tuple[Column, ...]]) -> "Assigned":
        """Several columns of a name count as one."""
        taken = {
            name: Column(" + ".join(one.name for one in several), several[0].place)
            for name, several in columns.items()
            if several
        }
        places = {one.place for several in columns.values() for one in several}
        unused = tuple(title.strip() for place, title in enumerate(header) if place not in places)
        return cls(dict(sorted(taken.items(), key=lambda one: one[1].place)), unused)


def find(header: Sequence[str], name: str) -> Column | None:
    wanted = name.strip().casefold()
    for place, title in enumerate(header):
        if title.strip().casefold() == wanted:
            return Column(title.strip(), place)
    return None


def locate(
    source_name: str,
    header: Sequence[str],
    wanted: Mapping[str, tuple[str, ...]],
    mapping: Mapping[str, str],
    faults: list[Said] | None = None,
) -> dict[str, Column | None]:
    """The column of each name in `wanted`, None without one.

    A column is found by the name, by its further names in `wanted`, and by the names in `KNOWN` for any of these.
    `mapping` assigns columns by name; an assigned column is not a candidate for another name. Raises `InputRefused`
    if two columns fit a name, if one column fits two names, and for an unknown name or column in the mapping; with a
    list of `faults` the two former are added to it, and no column is taken.
    """

    def refuse(why: Said) -> None:
        if faults is None:
            raise InputRefused(why)
        faults.append(why)

    for name, title in mapping.items():
        if name not in wanted:
            raise InputRefused(
                "{setting}: the rows are not asked for {name}{nearest}; they are asked for: {names}",
                setting=_map(name, title),
                name=name,
                nearest=_nearest(name, wanted),
                names=tuple(wanted),
            )
    found: dict[str, Column | None] = {
        name: titled(source_name, header, title, _map(name, title)) for name, title in mapping.items()
    }
    taken = {column.place for column in found.values() if column is not None}
    plain = [normalise_header(title) for title in header]
    claims: dict[int, list[str]] = {}
    for name, further in wanted.items():
        if name in found:
            continue
        names, own = titles_of(name, further), normalise_header(name)
        places = [place for place, title in enumerate(plain) if place not in taken and title in names]
        if not places and _is_money(name, further):
            of_a_day = [normalise_header(_OF_A_DAY.sub("", title)) for title in header]
            places = [place for place, title in enumerate(of_a_day) if place not in taken and title in names]
        # One with the weak name only if there is no other.
        places = [place for place in places if plain[place] in {own, *(names - {_WEAK})}] or places
        if len(places) > 1:
            refuse(
                said(
                    "{source} has several columns that can be {name}: {titles}. Say which is meant with {setting}",
                    source=source_name,
                    name=name,
                    titles=_quoted(header[place] for place in places),
                    setting=_map(name, "COLUMN"),
                )
            )
        found[name] = None
        for place in places if len(places) == 1 else ():
            found[name] = Column(header[place].strip(), place)
            claims.setdefault(place, []).append(name)
    for place, names_of in claims.items():
        # Of several names that claim a column its own one wins, then a further name.
        own_ones = [name for name in names_of if normalise_header(name) == plain[place]]
        further_ones = [name for name in names_of if plain[place] in map(normalise_header, wanted[name])]
        first = own_ones or further_ones or names_of
        if len(first) > 1:
            refuse(
                said(
                    "{source}: the column {title!r} can be any of {names}. Say which is meant with {setting}",
                    source=source_name,
                    title=header[place].strip(),
                    names=tuple(first),
                    setting=_map(first[0], "COLUMN"),
                )
            )
        found |= {name: None for name in names_of if len(first) > 1 or name != first[0]}
    return {name: found[name] for name in wanted}


def titled(source_name: str, header: Sequence[str], title: str, where: str) -> Column:
    """The column of a title that was given at this place. Raises `InputRefused` where not exactly one has it."""
    wanted = normalise_header(title)
    exact = [place for place, one in enumerate(header) if one.strip() == title.strip()]
    places = exact or [place for place, one in enumerate(header) if normalise_header(one) == wanted != ""]
    if len(places) == 1:
        return Column(header[places[0]].strip(), places[0])
    if places:
        raise InputRefused(
            "{where}: {source} has {titles}; write the name exactly as it is there",
            where=where,
            source=source_name,
            titles=_quoted(header[place] for place in places),
        )
    raise InputRefused(
        "{where}: {source} has no column {title!r}{nearest}; it has: {titles}",
        where=where,
        source=source_name,
        title=title,
        nearest=_nearest(title, header),
        titles=", ".join(one.strip() for one in header),
    )


def usual_names(name: str, further: Sequence[str]) -> tuple[str, ...]:
    """The usual names, Russian and English, under which a column of these names is found as well."""
    own = (name, *further)
    return tuple(dict.fromkeys(alias for word in own for alias in KNOWN.get(word, ()) if alias not in own))


def _is_money(name: str, further: Sequence[str]) -> bool:
    return not {"amount", "op_summa"}.isdisjoint((name, *further))


def titles_of(name: str, further: Sequence[str]) -> set[str]:
    units = _IN_ROUBLES if _is_money(name, further) else ("",)
    return {normalise_header(word + unit) for word in (name, *further, *usual_names(name, further)) for unit in units}


def is_exact(name: str) -> bool:
    """Whether a name is one of the usual names of an id, a number, a sum, a date or the like."""
    return normalise_header(name) in _EXACT


def is_written_exactly(text: str) -> bool:
    """Whether a text is written like a number, a date or the like, so that white space around it does not matter."""
    return _WRITTEN.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def normalise_header(name: str) -> str:
    """A name normalised for comparison: without case, ё, spaces and punctuation, and with the word for №."""
    words = name.replace("№", " номер ")
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", words).casefold().replace("ё", "е"))


def _map(name: str, title: str) -> str:
    return setting("map", f"{name}={title}")


def _nearest(word: str, known: Iterable[str]) -> str:
    by_plain = {normalise_header(one): one.strip() for one in known}
    close = get_close_matches(normalise_header(word), by_plain, n=1)
    return said(" (did you mean {word!r}?)", word=by_plain[close[0]]) if close else ""


def _quoted(titles: Iterable[str]) -> str:
    return ", ".join(repr(title.strip()) for title in titles)


_EXACT: Final = frozenset().union(*(titles_of(name, ()) for name in KNOWN if name != _FREE))
"""The normalised names of the usual columns, except free text."""
