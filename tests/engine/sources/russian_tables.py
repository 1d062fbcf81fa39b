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
    for kind, (make, tells) in _KINDS.items():
        for _ in range(each):
            yield Table(kind, make(draw), tells)


def _whole(draw: random.Random) -> str:
    """A list of subscribers: number, name, address, tariff, sum, sometimes a comment."""
    names = draw.sample(HEADERS, 5)
    rows = [
        f"{_number(draw)};{_name(draw)};{_address(draw)};{draw.choice(TARIFFS)};{_sum(draw)}"
        for _ in range(draw.randrange(5, 120))
    ]
    return _lines(draw, ";".join(names), rows)


def _names(draw: random.Random) -> str:
    return _lines(draw, "id;name", [f"{n};{_name(draw)}" for n in range(draw.randrange(3, 30))])


def _upper(draw: random.Random) -> str:
    """The same in capital letters alone, as old programs print it."""
    return _whole(draw).upper()


def _upper_names(draw: random.Random) -> str:
    return _names(draw).upper()


def _comments(draw: random.Random) -> str:
    rows = [f"{draw.randrange(1, 9999)};{_sum(draw)};{draw.choice(COMMENTS)}" for _ in range(draw.randrange(3, 30))]
    return _lines(draw, "id;amount;comment", rows)


def _streets(draw: random.Random) -> str:
    rows = [f"{draw.randrange(1, 9999)};{_address(draw)}" for _ in range(draw.randrange(3, 30))]
    return _lines(draw, "id;address", rows)


def _header(draw: random.Random) -> str:
    """A header in Russian over numbers."""
    return _lines(draw, ";".join(draw.sample(HEADERS, draw.randrange(3, 7))), _digits(draw))


def _title_header(draw: random.Random) -> str:
    return _lines(draw, ";".join(map(str.capitalize, draw.sample(HEADERS, draw.randrange(3, 7)))), _digits(draw))


def _upper_header(draw: random.Random) -> str:
    return _header(draw).upper()


def _words(draw: random.Random) -> str:
    """One to three words among numbers."""
    header = ";".join(draw.sample(HEADERS, draw.randrange(1, 3)))
    return _lines(draw, draw.choice((header, header.capitalize(), header.upper())), _digits(draw))


def _one_name(draw: random.Random) -> str:
    return _lines(draw, "id;name", [f"1;{draw.choice((*SURNAMES, *FORENAMES, *TARIFFS))}", *_digits(draw)])


def _prefixes(draw: random.Random) -> str:
    """Contract numbers with a few letters before them, and no other letter of theirs."""
    prefix = "".join(draw.sample("АБВДИКЛМНОПРСТФЮЯ", draw.randrange(1, 4)))
    return _lines(draw, "contract;amount", [f"{prefix}-{n:05};{_sum(draw)}" for n in range(draw.randrange(1, 50))])


def _many_prefixes(draw: random.Random) -> str:
    """As before, with other letters in every row: such letters are those of no language."""
    rows = [f"{''.join(draw.sample('ФЮЛПОБЩЭЦИК', 2))}{n:05};{_sum(draw)}" for n in range(draw.randrange(5, 60))]
    return _lines(draw, "contract;amount", rows)


_KINDS: Final[dict[str, tuple[Callable[[random.Random], str], bool]]] = {
    "whole": (_whole, True),
    "names": (_names, True),
    "upper": (_upper, True),
    "upper names": (_upper_names, True),
    "comments": (_comments, True),
    "streets": (_streets, True),
    "header": (_header, True),
    "title header": (_title_header, True),
    "upper header": (_upper_header, True),
    "words": (_words, False),
    "one name": (_one_name, False),
    "prefixes": (_prefixes, False),
    "many prefixes": (_many_prefixes, False),
}


def _lines(draw: random.Random, header: str, rows: list[str]) -> str:
    end = draw.choice(("\n", "\r\n"))
    return end.join((header, *rows, ""))


def _digits(draw: random.Random) -> list[str]:
    return [f"{draw.randrange(1, 9999)};{_sum(draw)}" for _ in range(draw.randrange(1, 20))]


def _number(draw: random.Random) -> str:
    return draw.choice((f"{draw.randrange(99999):05}", f"АБ-{draw.randrange(99999):05}", f"{draw.randrange(99)}Ж"))


def _name(draw: random.Random) -> str:
    surname = draw.choice(SURNAMES)
    return draw.choice(
        (
            surname,
            f"{surname} {draw.choice(FORENAMES)} {draw.choice(PATRONYMICS)}",
            f"{surname} {draw.choice(FORENAMES)[0]}.{draw.choice(PATRONYMICS)[0]}.",
            f"ООО {draw.choice(('Ромашка', 'Вектор', 'Горводоканал', 'Техсервис', 'Эридан'))}",
        )
    )


def _address(draw: random.Random) -> str:
    return f"{draw.choice(STREETS)}, д. {draw.randrange(1, 200)}, кв. {draw.randrange(1, 300)}"


def _sum(draw: random.Random) -> str:
    return f"{draw.randrange(-99999, 99999) / 100:.2f}".replace(".", ",")
