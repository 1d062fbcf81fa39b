"""Tables as Russian providers have them, drawn by a seed, for what tells an encoding by its letters."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

CHARSETS: Final = ("cp1251", "koi8-r", "cp866", "iso8859-5")

SURNAMES: Final = (
    "Иванов", "Смирнова", "Кузнецов", "Попова", "Васильев", "Петров", "Соколова", "Михайлов", "Новикова", "Фёдоров",
    "Морозов", "Волкова", "Алексеев", "Лебедев", "Семёнова", "Егоров", "Павлов", "Козлова", "Степанов", "Николаева",
    "Орлов", "Андреев", "Макарова", "Никитин", "Захаров", "Зайцева", "Соловьёв", "Борисов", "Яковлева", "Григорьев",
    "Романов", "Воробьёва", "Сергеев", "Кузьмин", "Фролов", "Александрова", "Дмитриев", "Королёва", "Гусев",
    "Ильин", "Максимова", "Поляков", "Сорокина", "Виноградов", "Ковалёв", "Белова", "Медведев", "Антонова", "Тарасов",
    "Жукова", "Баранов", "Филиппов", "Комарова", "Давыдов", "Беляева", "Герасимов", "Богданов", "Осипова", "Щербаков",
    "Хабибуллин", "Гайфутдинова", "Цой", "Юсупов", "Эргашев", "Шевчук", "Ткаченко", "Мкртчян", "Гогоберидзе", "Ян",
)  # fmt: skip
FORENAMES: Final = (
    "Александр", "Мария", "Сергей", "Елена", "Дмитрий", "Ольга", "Андрей", "Наталья", "Алексей", "Татьяна", "Пётр",
    "Юлия", "Иван", "Ирина", "Фёдор", "Екатерина", "Михаил", "Анна", "Николай", "Светлана", "Жанна", "Эдуард", "Яна",
)  # fmt: skip
PATRONYMICS: Final = (
    "Александрович", "Сергеевна", "Иванович", "Петровна", "Юрьевич", "Андреевна", "Олегович", "Ильинична", "Львович",
)  # fmt: skip
STREETS: Final = (
    "ул. Ленина", "пр-т Мира", "ул. Советская", "пер. Школьный", "ул. 8 Марта", "наб. реки Фонтанки", "б-р Победы",
    "ул. Юбилейная", "ш. Энтузиастов", "мкр. Южный", "ул. Чехова", "пл. Революции", "ул. Щорса", "ул. Объездная",
    "СНТ «Рябинка»", "проезд Цветочный", "ул. Жуковского", "тракт Сибирский", "д. Верхние Выселки", "пос. Лесной",
)  # fmt: skip
TARIFFS: Final = (
    "Безлимитный 50", "Домашний", "Ночной экспресс", "Оптика 100", "Юридические лица", "Социальный", "Игровой плюс",
    "Тариф «Старт»", "Всё включено", "Базовый", "Архивный", "Пенсионный", "Корпоративный", "Дачник", "Турбо",
)  # fmt: skip
HEADERS: Final = (
    "договор", "номер договора", "сумма", "фио", "адрес", "остаток", "тариф", "телефон", "лицевой счёт", "дата",
    "примечание", "баланс", "улица", "дом", "квартира", "группа", "услуга", "логин", "пароль", "комментарий",
    "абонент", "порог отключения", "сальдо", "номер", "платёж", "статус", "подключён", "город", "долг", "л/с",
)  # fmt: skip
COMMENTS: Final = (
    "должник", "звонить после шести вечера", "переезд", "оплатил за март", "заблокирован", "обещанный платёж",
    "миграция балансов", "не беспокоить", "подключение по акции", "возврат", "аренда роутера",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A text, its kind, and whether what it has to say is enough for its charset to be told."""

    kind: str
    text: str
    tells: bool


def tables(seed: int, each: int) -> Iterator[Table]:
    """So many tables of each kind."""
    draw = random.Random(seed)
    for kind, (header, row, fewest, most, tells) in _KINDS.items():
        for _ in range(each):
            end = draw.choice(("\n", "\r\n"))
            many = draw.randrange(fewest, most)
            # One prefix again and again says no more than once.
            rows = [row(draw)] * many if kind == "prefixes" else [row(draw) for _ in range(many)]
            text = end.join((header(draw) if callable(header) else header, *rows, ""))
            # In capital letters alone, as old programs print it.
            yield Table(kind, text.upper() if kind.startswith("upper") else text, tells)


def _subscriber(draw: random.Random) -> str:
    return ";".join((_number(draw), _name(draw), _address(draw), draw.choice(TARIFFS), _sum(draw)))


def _digits(draw: random.Random) -> str:
    return f"{draw.randrange(1, 9999)};{_sum(draw)}"


def _prefixed(letters: str, most: int) -> Callable[[random.Random], str]:
    """Contract numbers with a few letters before them, and no other letter of theirs."""
    return lambda draw: f"{''.join(draw.sample(letters, draw.randrange(1, most)))}-{_digits(draw)}"


def _headers(fewest: int, most: int, spelled: Callable[[str], str] = str) -> Callable[[random.Random], str]:
    return lambda draw: ";".join(map(spelled, draw.sample(HEADERS, draw.randrange(fewest, most))))


_KINDS: Final[
    dict[str, tuple[Callable[[random.Random], str] | str, Callable[[random.Random], str], int, int, bool]]
] = {
    "whole": (_headers(5, 6), _subscriber, 5, 120, True),
    "upper whole": (_headers(5, 6), _subscriber, 5, 120, True),
    "names": ("id;name", lambda draw: f"7;{_name(draw)}", 3, 30, True),
    "upper names": ("id;name", lambda draw: f"7;{_name(draw)}", 3, 30, True),
    "comments": ("id;amount;comment", lambda draw: f"{_digits(draw)};{draw.choice(COMMENTS)}", 3, 30, True),
    "streets": ("id;address", lambda draw: f"7;{_address(draw)}", 3, 30, True),
    "header": (_headers(3, 7), _digits, 1, 20, True),
    "title header": (_headers(3, 7, str.capitalize), _digits, 1, 20, True),
    "upper header": (_headers(3, 7), _digits, 1, 20, True),
    "words": (_headers(1, 3), _digits, 1, 20, False),
    "upper words": (_headers(1, 3, str.capitalize), _digits, 1, 20, False),
    "one name": ("id;name", lambda draw: f"1;{draw.choice((*SURNAMES, *FORENAMES, *TARIFFS))}", 1, 2, False),
    "prefixes": ("contract;amount", _prefixed("АБВДИКЛМНОПРСТФЮЯ", 4), 1, 50, False),
    "many prefixes": ("contract;amount", _prefixed("ФЮЛПОБЩЭЦИК", 4), 5, 60, False),
}
"""Of each kind its header, its row, from and below how many rows there are, and whether they tell enough."""


def _number(draw: random.Random) -> str:
    return draw.choice((f"{draw.randrange(99999):05}", f"АБ-{draw.randrange(99999):05}", f"{draw.randrange(99)}Ж"))


def _name(draw: random.Random) -> str:
    surname, forename, patronymic = draw.choice(SURNAMES), draw.choice(FORENAMES), draw.choice(PATRONYMICS)
    company = draw.choice(("Ромашка", "Вектор", "Горводоканал", "Техсервис", "Эридан"))
    return draw.choice(
        (surname, f"{surname} {forename} {patronymic}", f"{surname} {forename[0]}.{patronymic[0]}.", f"ООО {company}")
    )


def _address(draw: random.Random) -> str:
    return f"{draw.choice(STREETS)}, д. {draw.randrange(1, 200)}, кв. {draw.randrange(1, 300)}"


def _sum(draw: random.Random) -> str:
    return f"{draw.randrange(-99999, 99999) / 100:.2f}".replace(".", ",")
