"""Tables of subscribers as files, and what an import reads of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from checkpoints.records import Refusal
from engine.sources.detect import open_input
from engine.sources.raw.sample import Layout
from jobs.access.vault import Vault
from jobs.imports.column_map import ColumnMap
from jobs.imports.map_file import read_map
from jobs.imports.reader import SubscriberReader
from jobs.imports.subscriber import Faulty, Stage, Step, Subscriber


class Tables:
    """A folder of tables, and its map."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, *lines: str, encoding: str = "utf-8") -> Path:
        """Write a file of these lines."""
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return path

    def map(self, *lines: str) -> ColumnMap:
        """The map of these lines."""
        return read_map(self.write("map.toml", *lines))

    def reader(
        self,
        columns: ColumnMap | None = None,
        stages: Sequence[Stage] = (),
        vault: Vault | None = None,
        main: str = "subscribers.csv",
    ) -> SubscriberReader:
        """The reader of a main table."""
        return SubscriberReader(open_input(self.folder / main, Layout()), columns or ColumnMap(), stages, vault)


def judged(reader: SubscriberReader) -> list[Subscriber | Faulty]:
    """All rows of the main table."""
    return [one for page in reader.source.pages(None) for one in reader.judge(page.rows)]


def subscribers(reader: SubscriberReader) -> list[Subscriber]:
    """All rows of the main table, of which none is faulty."""
    found = judged(reader)
    assert [one for one in found if isinstance(one, Faulty)] == []
    return [one for one in found if isinstance(one, Subscriber)]


def refusals(reader: SubscriberReader) -> list[Refusal]:
    """The rows that cannot be read, and those of joined tables that belong to no subscriber."""
    return [one for page in reader.source.pages(None) for one in page.refusals]


def texts(subscriber: Subscriber) -> list[tuple[str, Mapping[str, str]]]:
    """The parts of a subscriber as texts."""
    return [(part.step.value, {name: one.text for name, one in part.values.items()}) for part in subscriber.parts]


def of(subscriber: Subscriber, step: Step) -> list[Mapping[str, str]]:
    """The texts of the parts of one step."""
    return [{name: one.text for name, one in part.values.items()} for part in subscriber.of(step)]
