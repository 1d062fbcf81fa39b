"""What the billing answers when it does not do what it was asked, in the product's own words [V]."""


class Refusal(Exception):
    """Raised when a call is refused: nothing of it is kept, and its text is the answer's `error`."""


def unknown_model(name: str) -> Refusal:
    """There is no such model."""
    return Refusal(f"Не найдена модель {name}")


def unknown_attribute(name: str) -> Refusal:
    """The model has no such attribute, or it cannot be assigned."""
    return Refusal(f"Не найден атрибут {name}")


def unknown_method(name: str) -> Refusal:
    """Neither the model nor the object has such a method, or not at this place of the chain."""
    return Refusal(f"Метод {name} нельзя вызвать")


def none_found(model: str) -> Refusal:
    """`objects.get` found nothing: Django's text."""
    return Refusal(f"{model} matching query does not exist.")


def several_found(model: str, count: int) -> Refusal:
    """`objects.get` found more than one: Django's text."""
    return Refusal(f"get() returned more than one {model} -- it returned {count}!")


def already_deleted() -> Refusal:
    """The object, or the subscriber whom it is about, is deleted."""
    return Refusal("Объект уже удалён")


def folder() -> Refusal:
    """A finance operation on a folder."""
    return Refusal("Группе нельзя добавлять финансовую операцию")


def no_account() -> Refusal:
    """A finance operation on a subscriber without an account."""
    return Refusal("Нет счета для проведения финансовой операции")


def required(name: str) -> Refusal:
    """An attribute or an argument without which it cannot be done; the text is ours [?]."""
    return Refusal(f"Поле {name} обязательно")


def referred_to(model: str) -> Refusal:
    """An object that others point to, and that is to be deleted."""
    return Refusal(f"На объект ссылаются: {model}")


def already_reversed() -> Refusal:
    """A finance operation that has had its storno."""
    return Refusal("Операция уже сторнирована")


def promised_already() -> Refusal:
    """A promised payment on a subscriber who has one."""
    return Refusal("Обещанный платеж уже подключен")


def no_phone(text: str) -> Refusal:
    """A number that no message can be sent to."""
    return Refusal(f"Неверный номер телефона {text}. Правильный формат: +79XXXXXXXXX")


def recalculation_too_long() -> Refusal:
    """A recalculation that begins too long ago."""
    return Refusal("Перерасчет поддерживает не более 6 месяцев")


def recalculation_within_a_month() -> Refusal:
    """A recalculation that does not begin with a month: the rule is the vendor's [S], the text ours [?]."""
    return Refusal("Перерасчет возможен только с первого числа месяца")


def no_session() -> Refusal:
    """A session of the cabinet that is not there, or no longer; the text is ours [?]."""
    return Refusal("Сессия не найдена")


def number_taken(number: str) -> Refusal:
    """A contract number that another subscriber bears."""
    return Refusal(f"Номер договора уже закреплен: {number}")
