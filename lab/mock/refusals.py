"""What the billing answers when it does not do what it was asked, in the product's own words [V]."""


class MockRefusal(Exception):
    """Raised when a call is refused: nothing of it is kept, and its text is the answer's `error`."""


def unknown_model(name: str) -> MockRefusal:
    """There is no such model."""
    return MockRefusal(f"Не найдена модель {name}")


def unknown_attribute(name: str) -> MockRefusal:
    """The model has no such attribute, or it cannot be assigned."""
    return MockRefusal(f"Не найден атрибут {name}")


def unknown_method(name: str) -> MockRefusal:
    """Neither the model nor the object has such a method, or not at this place of the chain."""
    return MockRefusal(f"Метод {name} нельзя вызвать")


def none_found(model: str) -> MockRefusal:
    """`objects.get` found nothing: Django's text."""
    return MockRefusal(f"{model} matching query does not exist.")


def several_found(model: str, count: int) -> MockRefusal:
    """`objects.get` found more than one: Django's text."""
    return MockRefusal(f"get() returned more than one {model} -- it returned {count}!")


def already_deleted() -> MockRefusal:
    """The object, or the subscriber whom it is about, is deleted."""
    return MockRefusal("Объект уже удалён")


def folder() -> MockRefusal:
    """A finance operation on a folder."""
    return MockRefusal("Группе нельзя добавлять финансовую операцию")


def no_account() -> MockRefusal:
    """A finance operation on a subscriber without an account."""
    return MockRefusal("Нет счета для проведения финансовой операции")


def required(name: str) -> MockRefusal:
    """An attribute or an argument without which it cannot be done; the text is ours [?]."""
    return MockRefusal(f"Поле {name} обязательно")


def referred_to(model: str) -> MockRefusal:
    """An object that others point to, and that is to be deleted."""
    return MockRefusal(f"На объект ссылаются: {model}")


def already_reversed() -> MockRefusal:
    """A finance operation that has had its storno."""
    return MockRefusal("Операция уже сторнирована")


def promised_already() -> MockRefusal:
    """A promised payment on a subscriber who has one."""
    return MockRefusal("Обещанный платеж уже подключен")


def no_phone(text: str) -> MockRefusal:
    """A number that no message can be sent to."""
    return MockRefusal(f"Неверный номер телефона {text}. Правильный формат: +79XXXXXXXXX")


def recalculation_too_long() -> MockRefusal:
    """A recalculation that begins too long ago."""
    return MockRefusal("Перерасчет поддерживает не более 6 месяцев")


def recalculation_within_a_month() -> MockRefusal:
    """A recalculation that does not begin with a month: the rule is the vendor's [S], the text ours [?]."""
    return MockRefusal("Перерасчет возможен только с первого числа месяца")


def no_session() -> MockRefusal:
    """A session of the cabinet that is not there, or no longer; the text is ours [?]."""
    return MockRefusal("Сессия не найдена")


def number_taken(number: str) -> MockRefusal:
    """A contract number that another subscriber bears."""
    return MockRefusal(f"Номер договора уже закреплен: {number}")
