"""Subscribers as an input gives them, made for tests."""

from collections.abc import Mapping

from engine.rows import Row
from jobs.imports.subscriber import NUMBER, Part, Place, Step, Subscriber, Value


def subscriber(line: int, number: str, parts: Mapping[Step, Mapping[str, str]] | None = None) -> Subscriber:
    """A subscriber of a line; a value stands in the column of its name."""
    given = dict(parts or {})
    given[Step.SUBSCRIBER] = {NUMBER: number, **given.get(Step.SUBSCRIBER, {})}
    made = tuple(
        Part(step, {name: Value(text, Place(line, name)) for name, text in given[step].items()})
        for step in Step
        if step in given
    )
    return Subscriber(Row(line, (number,)), number, made)


def account(line: int, number: str, table: str = "", **values: str) -> Subscriber:
    """A subscriber with an account, whose values stand in a joined table."""
    made = subscriber(line, number)
    part = Part(Step.ACCOUNT, {name: Value(text, Place(line, name, table)) for name, text in values.items()})
    return Subscriber(made.row, number, (*made.parts, part))
