"""The bonus of a month: each subscriber gets it once, however often the job is begun again."""

from collections.abc import Iterable

from billing.client import Client

TRIES = 3


def give(url: str, month: str, subscribers: Iterable[int], roubles: str = "50.00") -> None:
    """Give each subscriber the bonus of the month. Raises OSError where the billing does not answer."""
    client = Client(url)
    for subscriber in subscribers:
        for tries_left in reversed(range(TRIES)):
            try:
                client.receive(subscriber, roubles, f"Bonus {month}")
                break
            except OSError:
                if not tries_left:
                    raise
