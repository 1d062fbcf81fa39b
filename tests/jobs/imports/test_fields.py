"""The fields of an import, and the sample of its rows for a trial."""

import gc
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from billing.database.schema import DOCUMENTED, Schema
from billing.profile import Fact, Profile
from checkpoints.records import Refusal
from engine.rows import Row, RowPage, Source
from jobs.imports.fields import SEVERAL, FieldKind, FieldName, ModelField, untried_fields, usual_fields
from jobs.imports.sample import RowSample, Sampled, SampleFacts, in_folder, traits_of
from jobs.imports.subscriber import (
    STEP_MODELS,
    Faulty,
    Place,
    Step,
    Subscriber,
    ValueFault,
    folder_names,
    folder_path,
)
from jobs.spec.columns import usual_names
from tests.jobs.imports.conftest import Tables, made
from tools.house import ROOT

FIELDS = usual_fields()
ALL = [FieldName(STEP_MODELS[step], name) for step, name, _ in FIELDS.names()]
BEYOND_THE_DOCUMENTED = {"Abonents.a_home_number"}


def documented(without: str = "") -> Schema:
    """A billing with the documented columns, less one."""
    pairs = ((table, name) for table, names in DOCUMENTED.items() for name in names)
    return Schema.of(pair for pair in pairs if ".".join(pair) != without)


def test_every_field_is_a_documented_column_or_named_here() -> None:
    absent = FIELDS.absent(ALL, documented(), Profile())
    assert {str(field) for field, _ in absent} == BEYOND_THE_DOCUMENTED


def test_no_name_stands_for_two_fields_that_one_row_has_once() -> None:
    once = [name for step, name, field in FIELDS.names() if not (step in SEVERAL and field.own_table)]
    assert sorted(once) == sorted(set(once))


def test_a_field_that_a_probe_has_seen_refused_is_absent() -> None:
    told = Profile(create_fields=Fact({"Users": {"login": True, "mac": False}}, date(2026, 11, 1)))
    absent = FIELDS.absent([FieldName("Users", "login"), FieldName("Users", "mac")], documented(), told)
    assert [(field.name, str(why)) for field, why in absent] == [
        ("mac", "objects.create of Users does not take the field mac (the probe of 2026-11-01)")
    ]


def test_fields_that_no_probe_has_tried_are_told() -> None:
    created = {"Abonents": ["name", "sms", "name"], "Users": ["login"]}
    assert untried_fields(created, Profile()) == [
        "objects.create takes these fields: Abonents (name, sms), Users (login)"
    ]
    facts = {"Abonents": {"name": True, "sms": True}, "Users": {"login": False}}
    told = Profile(create_fields=Fact(facts, date(2026, 11, 1)))
    assert untried_fields(created, told) == ["objects.create takes these fields: Users (login)"]
    assert untried_fields({"Abonents": ["name"]}, told) == []


def test_a_field_is_added_without_code() -> None:
    table = FIELDS.with_fields("Abonents", {"passport": ModelField(FieldKind.TEXT, columns=("паспорт",))})
    assert table.of_step(Step.SUBSCRIBER)["passport"].columns == ("паспорт",)
    assert [str(one) for one, _ in table.absent([FieldName("Abonents", "passport")], documented(), Profile())] == [
        "Abonents.passport"
    ]
    assert "passport" not in FIELDS.of_step(Step.SUBSCRIBER)


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), max_size=4))
def test_the_names_of_folders_come_back_from_their_path(names: list[str]) -> None:
    assert folder_names(folder_path(names)) == tuple(names)


def test_a_path_as_people_write_it() -> None:
    assert folder_names("Город/ ул. Мира /") == ("Город", "ул. Мира")
    assert folder_path(["Город", "", "ул. Мира, 5/1"]) == "Город/ул. Мира, 5\\/1"


def test_the_page_has_every_field_with_its_usual_names() -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    for step, name, known in FIELDS.names():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {step} | `{name}` |")]
        names = () if known.only_named else (*usual_names(name, known.columns), *known.columns)
        own = "only in a table of its own: " if known.own_table else ""
        needed = "yes" if known.required else ""
        cells = [step, f"`{name}`", STEP_MODELS[step], known.kind, needed, own + ", ".join(names)]
        assert row == f"| {' | '.join(cells)} |"
    assert all(kind in page for kind in FieldKind)


def test_the_map_of_the_page_is_one(tables: Tables) -> None:
    page = (ROOT / "docs" / "reference" / "import.md").read_text(encoding="utf-8")
    text = next(one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[subscriber]" in one)
    columns = tables.map(*text.splitlines())
    assert len(columns.parts) == 4
    assert columns.once.keys() == {"contract_number", "name", "operator_id", "folder", "debt", "email"}
    assert columns.fields.of_step(Step.SUBSCRIBER)["inn"].longest == 12


REFERENCES = usual_fields().references


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
    return made(line, *parts, cells=(str(line),))


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


def test_the_rows_left_out_are_counted_also_after_a_kill() -> None:
    table = Table([of_tariff(line, "A") for line in range(2, 12)], unreadable=(Refusal(99, None, "", "torn", ()),))
    source = Sampled(table, lambda: chosen(2, table))
    pages = list(source.pages(None))
    assert [one.line for page in pages for one in page.rows] == [2, 3]
    assert sum(page.left_out["--sample"] for page in pages) == 9
    assert [page.refusals for page in pages] == [()] * 4
    again = list(Sampled(table, lambda: chosen(2, table)).pages("3"))
    assert [one.left_out["--sample"] for one in again] == [3, 3, 1]


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
