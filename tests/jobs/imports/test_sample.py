"""The sample of a trial run: which rows it has, and what it says of those that it has not."""

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from checkpoints.records import Refusal
from engine.rows import Row, RowPage, Source
from jobs.imports.fields import usual_fields
from jobs.imports.name_lookup import references_of
from jobs.imports.sample import RowSample, Sampled, SampleFacts, in_folder, traits_of
from jobs.imports.subscriber import Faulty, Part, Place, Step, Subscriber, Value, ValueFault

REFERENCES = references_of(usual_fields())


@dataclass(slots=True)
class Table(Source):
    """A table of subscribers, three rows a page; what its rows are was said before."""

    subscribers: Sequence[Subscriber | Faulty]
    unreadable: tuple[Refusal, ...] = ()
    readings: list[str | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "subscribers.csv"

    @property
    def header(self) -> tuple[str, ...]:
        return ("n",)

    def pages(self, after: str | None) -> Iterator[RowPage]:
        self.readings.append(after)
        rows = [one.row for one in self.subscribers]
        for at in range(int(after or 0), max(len(rows), 1), 3):
            yield RowPage(tuple(rows[at : at + 3]), () if at else self.unreadable, str(at + 3))


def row(line: int, *parts: tuple[Step, dict[str, str]]) -> Subscriber:
    made = (
        Part(step, {name: Value(text, Place(line, name)) for name, text in values.items()}) for step, values in parts
    )
    return Subscriber(Row(line, (str(line),)), f"N{line}", tuple(made))


def of_tariff(line: int, tariff: str) -> Subscriber:
    return row(line, (Step.SUBSCRIBER, {"name": "И"}), (Step.TARIFF, {"tarif_id": tariff}))


def chosen(size: int, table: Table) -> SampleFacts:
    sample = RowSample(size, usual_fields())
    by_line = {one.row.line: one for one in table.subscribers}

    def judge(rows: Sequence[Row]) -> list[Subscriber | Faulty]:
        judged = [by_line[one.line] for one in rows]
        for one in judged:
            if isinstance(one, Subscriber):
                sample(one)
        return judged

    return sample.choose(table, judge)


def told(facts: SampleFacts) -> list[str]:
    return [str(note) for note in facts.notes]


def test_every_tariff_service_and_kind_of_row_is_in_the_sample() -> None:
    table = Table(
        [
            of_tariff(2, "A"),
            of_tariff(3, "A"),
            of_tariff(4, "B"),
            row(5, (Step.SUBSCRIBER, {"name": "И"}), (Step.ACCOUNT, {"login": "x"}), (Step.ACCOUNT, {"login": "y"})),
            row(6, (Step.SUBSCRIBER, {"name": "И"}), (Step.BALANCE, {"op_summa": "-5"})),
            row(7, (Step.SUBSCRIBER, {"name": "И"}), (Step.BALANCE, {"op_summa": "5"})),
            row(8, (Step.SUBSCRIBER, {"name": "И"}), (Step.BALANCE, {"op_summa": "0.00"})),
            row(9, (Step.SUBSCRIBER, {"name": "И"}), (Step.BALANCE, {"op_summa": "7"})),
            row(10, (Step.SUBSCRIBER, {"name": "И"}), (Step.SERVICE, {"usluga_id": "TV", "manager_id": "М"})),
            row(11, (Step.FOLDER, {"path": "Дома"}), (Step.SUBSCRIBER, {"name": "И", "email": "a@example.org"})),
        ]
    )
    facts = chosen(8, table)
    assert facts.lines == {2, 4, 5, 6, 7, 8, 10, 11}
    assert facts.needed == 8
    (note,) = told(facts)
    assert note == (
        "a sample of 8 rows out of 10: kind of row: 19 of 19, tariff: 2 of 2, service: 1 of 1, "
        "administrator: 1 of 1, folder: 1 of 1"
    )


def test_what_a_sample_has_no_room_for_is_named_with_the_rows_that_would_be_needed() -> None:
    facts = chosen(2, Table([of_tariff(line, f"T{line % 9}") for line in range(2, 40)]))
    assert len(facts.lines) == 2
    assert facts.needed == 9
    assert told(facts)[1] == (
        "not in the sample: tariff 'T4', tariff 'T5', tariff 'T6', tariff 'T7', tariff 'T8' and more; "
        "--sample 9 has everything"
    )
    assert chosen(9, Table([of_tariff(line, f"T{line % 9}") for line in range(2, 40)])).missing == ()


def test_rows_with_faults_are_not_chosen_from() -> None:
    bad = Faulty(Row(3, ("3",)), "N3", (ValueFault(Place(3, "n"), "x", "bad"),))
    table = Table([of_tariff(2, "A"), bad, of_tariff(4, "B")], unreadable=(Refusal(9, None, "", "torn", ()),))
    facts = chosen(5, table)
    assert (sorted(facts.lines), facts.rows, facts.faulty) == ([2, 4], 4, 2)
    assert told(facts)[-1] == "2 rows have faults and are not chosen from"


def test_a_sample_that_has_everything_is_filled_with_other_mixtures() -> None:
    table = Table([of_tariff(2, "A"), of_tariff(3, "A"), of_tariff(4, "A"), row(5, (Step.TARIFF, {"tarif_id": "A"}))])
    assert chosen(2, table).lines == {2, 5}
    assert chosen(3, table).lines == {2, 3, 5}
    assert chosen(99, table).lines == {2, 3, 4, 5}


def test_the_rows_left_out_are_counted_also_after_a_kill() -> None:
    table = Table([of_tariff(line, "A") for line in range(2, 12)], unreadable=(Refusal(99, None, "", "torn", ()),))
    source = Sampled(table, lambda: chosen(2, table))
    pages = list(source.pages(None))
    assert [one.line for page in pages for one in page.rows] == [2, 3]
    assert sum(page.left_out["--sample"] for page in pages) == 9
    assert [page.refusals for page in pages] == [()] * 4
    again = list(Sampled(table, lambda: chosen(2, table)).pages("3"))
    assert [one.left_out["--sample"] for one in again] == [3, 3, 1]


def test_of_an_empty_table_nothing_is_chosen() -> None:
    assert told(chosen(5, Table([]))) == ["a sample of 0 rows out of 0: "]


ROWS = st.lists(
    st.tuples(st.sets(st.sampled_from("ABCDEFG"), max_size=3), st.sets(st.sampled_from("xyz"), max_size=2)),
    max_size=24,
)


@given(ROWS, st.integers(1, 8))
def test_a_choice_is_greedy_and_the_same_each_time(made: list[tuple[set[str], set[str]]], size: int) -> None:
    table = Table(
        [
            row(
                line,
                (Step.SUBSCRIBER, {"name": "И"}),
                *((Step.SERVICE, {"usluga_id": one}) for one in sorted(services)),
                *((Step.ATTRIBUTE, {"attribute_id": one}) for one in sorted(attributes)),
            )
            for line, (services, attributes) in enumerate(made, 2)
        ]
    )
    facts = chosen(size, table)
    subscribers = [one for one in table.subscribers if isinstance(one, Subscriber)]
    order = list(one_by_one(subscribers))
    assert facts.needed == len(order)
    assert set(order[:size]) <= facts.lines
    assert len(facts.lines) == min(size, len(made))
    assert facts == chosen(size, table)


def one_by_one(subscribers: Iterable[Subscriber]) -> Iterator[int]:
    """The lines of a greedy choice, as a book would write it."""
    left = {one.row.line or 0: set(traits_of(one, REFERENCES)) for one in subscribers}
    while left and (best := max(left, key=lambda line: len(left[line]))) and left[best]:
        yield best
        added = left.pop(best)
        left = {line: traits - added for line, traits in left.items()}


def test_memory_does_not_grow_with_the_rows() -> None:
    sample = RowSample(20, usual_fields())
    blocks: list[int] = []

    class Long(Table):
        def pages(self, after: str | None) -> Iterator[RowPage]:
            for at in range(0, 10_100, 100):
                if at in {2_000, 10_000}:
                    gc.collect()
                    blocks.append(sys.getallocatedblocks())
                yield RowPage(tuple(Row(line, ()) for line in range(at + 1, at + 101)), (), str(at))

    def judge(page: Sequence[Row]) -> list[Subscriber]:
        return [sample(of_tariff(one.line or 0, f"T{(one.line or 0) % 50}"))[0] for one in page]

    assert len(sample.choose(Long([]), judge).lines) == 20
    # Whatever is kept of a row is a block at least.
    assert blocks[1] - blocks[0] < 2_000


def test_a_trial_goes_into_one_folder_whatever_the_rows_say() -> None:
    one = row(2, (Step.FOLDER, {"path": "Дома/Мира 5"}), (Step.SUBSCRIBER, {"name": "И"}))
    for folder, is_id, name in (("Проба", False, "path"), ("89", True, "id")):
        put, faults = in_folder(folder, is_id=is_id)(one)
        assert [(part.step, part.text(name)) for part in put.parts] == [(Step.FOLDER, folder), (Step.SUBSCRIBER, "")]
        assert list(faults) == []
