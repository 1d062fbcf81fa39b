"""What the tests of imports share: tables of subscribers as files, what an import reads of them, and subscribers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from checkpoints.records import Refusal
from engine.job import Row
from engine.sources.detect import open_input
from engine.sources.sample import Layout
from jobs.access.vault import Vault
from jobs.imports.column_map import ColumnMap, read_map
from jobs.imports.subscriber import NUMBER, Judged, Part, Place, Stage, Step, Subscriber, Value
from jobs.imports.tables import SubscriberReader


class Tables:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *lines: str, encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    def map(self, *lines: str) -> ColumnMap:
        return read_map(self.write("map.toml", *lines))

    def reader(
        self,
        columns: ColumnMap | None = None,
        stages: Sequence[Stage] = (),
        vault: Vault | None = None,
        main: str = "subscribers.csv",
    ) -> SubscriberReader:
        return SubscriberReader(open_input(self.folder / main, Layout()), columns or ColumnMap(), stages, vault)


def judged(reader: SubscriberReader) -> list[Judged]:
    return [one for page in reader.source.pages(None) for one in reader.examine(page.rows)]


def subscribers(reader: SubscriberReader) -> list[Subscriber]:
    """All rows of the main table, of which none is faulty."""
    found = judged(reader)
    assert [one.faults for one in found if one.faults] == []
    return [one.subscriber for one in found]


def refusals(reader: SubscriberReader) -> list[Refusal]:
    """The rows that cannot be read, and those of joined tables that belong to no subscriber."""
    return [one for page in reader.source.pages(None) for one in page.refusals]


def texts(subscriber: Subscriber) -> list[tuple[str, Mapping[str, str]]]:
    return [(part.step.value, {name: one.text for name, one in part.values.items()}) for part in subscriber.parts]


def of(subscriber: Subscriber, step: Step) -> list[Mapping[str, str]]:
    return [{name: one.text for name, one in part.values.items()} for part in subscriber.of(step)]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def made(line: int, *parts: tuple[Step, Mapping[str, str]], cells: tuple[str, ...] = ()) -> Subscriber:
    """A subscriber of a line; a value stands in the column of its name, one with a ! before it is given for all."""
    return Subscriber(
        Row(line, cells),
        f"N{line}",
        tuple(
            Part(
                step,
                {
                    name: Value(text.lstrip("!"), Place() if text.startswith("!") else Place(line, name))
                    for name, text in values.items()
                },
            )
            for step, values in parts
        ),
    )


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
