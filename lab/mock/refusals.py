"""Refusals of the billing, in the product's own words [V] or Django's; those with a rule of their own stand there."""


class MockRefusal(Exception):
    """Raised when a call is refused: nothing is kept, and its text is the answer's `error`."""


def unknown_model(name: str) -> MockRefusal:
    return MockRefusal(f"Не найдена модель {name}")


def unknown_attribute(name: object) -> MockRefusal:
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
    return MockRefusal("Объект уже удалён")


def required(name: str) -> MockRefusal:
    """A required attribute or argument is missing; the text is assumed [?]."""
    return MockRefusal(f"Поле {name} обязательно")
