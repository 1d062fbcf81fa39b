"""The catalogue of the billing's error texts, and what each of them means for a run.

From carbon-billing.md, section 2: texts of the product [V]. It is not certain that REST returns them verbatim [?], so
the stable part of each is matched, anywhere in the text and in any case.
"""

import html
import re
from enum import StrEnum
from typing import Final

from engine.evidence import LOOKED_AT


class ErrorKind(StrEnum):
    """The meaning of an error text."""

    BUSY = "busy"
    """Nothing was done; the same call may succeed later."""
    ROW = "row"
    """This row is refused for good; other rows are not concerned."""
    SYSTEM = "system"
    """No row can succeed until an administrator acts: the run stops."""
    UNRECOGNISED = "unrecognised"
    """Not in the catalogue: whether the call had its effect is looked up, and the row counts as gone wrong."""


LICENCE: Final = "Превышена лицензия"
"""The stem of the text with which a licence refuses every further subscriber."""

CATALOGUE: Final[tuple[tuple[str, ErrorKind], ...]] = (
    # The whole system. These come first: a text that matches two kinds stops the run rather than failing rows.
    ("Сохранение отключено", ErrorKind.SYSTEM),  # the server is in read-only mode
    ("regreadonly", ErrorKind.SYSTEM),  # the same, by the name of its flag
    (LICENCE, ErrorKind.SYSTEM),  # no further subscriber can be created
    ("Недостаточно прав", ErrorKind.SYSTEM),
    ("Доступ запрещен", ErrorKind.SYSTEM),
    ("Не найдена модель", ErrorKind.SYSTEM),  # the job's model is unknown to this version
    # Busy. The billing is working on the object or its account.
    ("абонент обрабатывается, попробуйте позже", ErrorKind.BUSY),
    ("необработанные данные в Account_Stack", ErrorKind.BUSY),
    ("с проводками в стеке", ErrorKind.BUSY),
    ("идёт другая обработка", ErrorKind.BUSY),
    ("Слишком частые запросы", ErrorKind.BUSY),
    # This row.
    ("Группе нельзя добавлять финансовую операцию", ErrorKind.ROW),  # the id is a folder's
    ("нет счета для проведения финансовой операции", ErrorKind.ROW),
    ("номер договора уже закреплен", ErrorKind.ROW),
    ("Операция уже сторнирована", ErrorKind.ROW),
    ("Перерасчет поддерживает не более 6 месяцев", ErrorKind.ROW),
    ("Объект уже удалён", ErrorKind.ROW),
    ("Обещанный платеж уже подключен", ErrorKind.ROW),
    ("Правильный формат: +79…", ErrorKind.ROW),  # a phone number
    ("На объект ссылаются", ErrorKind.ROW),  # a delete without clean_links
    ("Не найден атрибут", ErrorKind.ROW),
    ("Метод … нельзя вызвать", ErrorKind.ROW),
    # Django's errors for objects.get of none and of several: the API's objects are Django's [I, V].
    ("matching query does not exist", ErrorKind.ROW),
    ("get() returned more than one", ErrorKind.ROW),
)
"""Text stems and kinds; "…" stands for any text. The first match decides."""


def find_error(text: str) -> ErrorKind:
    """The kind of an error text, by its beginning; case, ё, typographic and double spaces do not matter."""
    plain = _plain(text[:LOOKED_AT])
    return next((kind for pattern, kind in _PATTERNS if pattern.search(plain)), ErrorKind.UNRECOGNISED)


def page_text(page: str) -> str:
    """The words of an HTML page, its title first; a text that is not HTML is returned unchanged."""
    page = page[:LOOKED_AT]
    if not _TAG.search(page):
        return page
    title = " ".join(match.group(1) for match in _TITLE.finditer(page))
    page = _TAG.sub(" ", _without_hidden(page))
    # A page often begins with the words of its title.
    words, heading = (" ".join(html.unescape(part).split()) for part in (page, title))
    return words if words.startswith(heading) else f"{heading}: {words}"


def _without_hidden(page: str) -> str:
    """A page without its comments, scripts, styles and head.

    What is opened and never closed is looked for once: an expression for all of it would go to the end of the page
    from each of its beginnings.
    """
    shown: list[str] = []
    place = 0
    unclosed: set[str] = set()
    for opening in _HIDDEN.finditer(page):
        name = (opening[1] or "").lower()
        if opening.start() < place or name in unclosed:
            continue
        closing = _CLOSING[name].search(page, opening.end())
        if closing is None:
            unclosed.add(name)
            continue
        shown.append(page[place : opening.start()])
        place = closing.end()
    return " ".join([*shown, page[place:]])


_HIDDEN: Final = re.compile(r"<!--|<(script|style|head)\b", re.IGNORECASE)
_CLOSING: Final = {
    "": re.compile(r"-->"),
    **{name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("script", "style", "head")},
}
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-zA-Z!][^<>]*>")


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("ё", "е").split())


_PATTERNS: Final = tuple(
    # The gap holds a method's name; its bound keeps the search of a whole page cheap.
    (re.compile(".{0,200}?".join(re.escape(_plain(part)) for part in stem.split(" … ")).replace("…", "")), kind)
    for stem, kind in CATALOGUE
)
