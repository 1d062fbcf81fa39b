"""Refusals of the billing, in the product's own words [V]."""

from typing import Final

REOPENED: Final = "Сторнирование акта №{0} для открытия периода из-за проводки с типом {1}"
"""What the billing logs when an operation reverses an act [V]: the act and the operation's type."""


class MockRefusal(Exception):
    """Raised when a call is refused: nothing is kept, and its text is the answer's `error`."""


def unknown_model(name: str) -> MockRefusal:
    """The model is unknown."""
    return MockRefusal(f"Не найдена модель {name}")


def unknown_attribute(name: str) -> MockRefusal:
    """The attribute is unknown, or cannot be assigned."""
    return MockRefusal(f"Не найден атрибут {name}")


def unknown_method(name: str) -> MockRefusal:
    """The method is unknown, or not allowed at this place of the chain."""
    return MockRefusal(f"Метод {name} нельзя вызвать")


def none_found(model: str) -> MockRefusal:
    """`objects.get` found nothing; Django's text."""
    return MockRefusal(f"{model} matching query does not exist.")


def several_found(model: str, count: int) -> MockRefusal:
    """`objects.get` found more than one object; Django's text."""
    return MockRefusal(f"get() returned more than one {model} -- it returned {count}!")


def already_deleted() -> MockRefusal:
    """The object, or its subscriber, is deleted."""
    return MockRefusal("Объект уже удалён")


def folder() -> MockRefusal:
    """The finance operation is on a folder."""
    return MockRefusal("Группе нельзя добавлять финансовую операцию")


def no_account() -> MockRefusal:
    """The subscriber of the finance operation has no account."""
    return MockRefusal("Нет счета для проведения финансовой операции")


def required(name: str) -> MockRefusal:
    """A required attribute or argument is missing; the text is assumed [?]."""
    return MockRefusal(f"Поле {name} обязательно")


def referred_to(model: str) -> MockRefusal:
    """Other objects have links to the object to be deleted."""
    return MockRefusal(f"На объект ссылаются: {model}")


def already_reversed() -> MockRefusal:
    """The finance operation has been reversed already."""
    return MockRefusal("Операция уже сторнирована")


def promised_already() -> MockRefusal:
    """The subscriber has a promised payment already."""
    return MockRefusal("Обещанный платеж уже подключен")


def no_phone(text: str) -> MockRefusal:
    """The number cannot receive messages."""
    return MockRefusal(f"Неверный номер телефона {text}. Правильный формат: +79XXXXXXXXX")


def recalculation_too_long() -> MockRefusal:
    """The recalculation starts too long ago."""
    return MockRefusal("Перерасчет поддерживает не более 6 месяцев")


def recalculation_within_a_month() -> MockRefusal:
    """The recalculation does not start with a month: the rule is the vendor's [S], the text assumed [?]."""
    return MockRefusal("Перерасчет возможен только с первого числа месяца")


def no_session() -> MockRefusal:
    """The session of the cabinet does not exist or has ended; the text is assumed [?]."""
    return MockRefusal("Сессия не найдена")


def number_taken(number: str) -> MockRefusal:
    """The contract number belongs to another subscriber."""
    return MockRefusal(f"Номер договора уже закреплен: {number}")


def login_taken(login: str) -> MockRefusal:
    """The login belongs to another account; the text is assumed [?]."""
    return MockRefusal(f"Логин уже занят: {login}")


def address_taken(address: str) -> MockRefusal:
    """The address belongs to another account; the text is assumed [?]."""
    return MockRefusal(f"IP-адрес уже занят: {address}")


def out_of_pool(address: str, pool: object) -> MockRefusal:
    """The address is not one of the account's pool; the text is assumed [?]."""
    return MockRefusal(f"IP-адрес {address} не входит в пул {pool}")


def pool_empty(pool: object) -> MockRefusal:
    """The pool has no free address; the text is assumed [?]."""
    return MockRefusal(f"В пуле {pool} нет свободных адресов")


def no_mac(text: str) -> MockRefusal:
    """The text is no MAC address; the text is assumed [?]."""
    return MockRefusal(f"Неверный MAC-адрес {text}")


def no_attribute(key: object) -> MockRefusal:
    """There is no such attribute of subscribers."""
    return MockRefusal(f"Не найден атрибут {key}")


def too_long(longest: int, length: int) -> MockRefusal:
    """The text is longer than its column; Firebird's text."""
    return MockRefusal(
        "arithmetic exception, numeric overflow, or string truncation -string right truncation "
        f"-expected length {longest}, actual {length}"
    )


def no_folder(key: object) -> MockRefusal:
    """What the object would lie in is a subscriber; the text is assumed [?]."""
    return MockRefusal(f"Абонент {key} не является группой")


def within_itself() -> MockRefusal:
    """The folder would lie in itself; the text is assumed [?]."""
    return MockRefusal("Группа не может быть вложена в саму себя")


def not_of_folders(name: str) -> MockRefusal:
    """A folder has no contract, account or tariff; the text is assumed [?]."""
    return MockRefusal(f"У группы не может быть поля {name}")


def licence_exceeded() -> MockRefusal:
    """The licence has no room for another subscriber."""
    return MockRefusal("Превышена лицензия: достигнуто максимальное число абонентов")
