"""The sums of a report: whatever becomes of the rows of a file, they add up to the file, in rows and in roubles.

Runs of every kind and chains of undos are written through the journal's own protocol; what a report, its JSON and the
report of a campaign say of them is held against what was drawn, never against another sum of the program.
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from billing.money import parse_amount
from checkpoints.journal import Journal
from checkpoints.records import Correction, Item, Merged, NewItem, NewRun, Page, Refusal, Run
from checkpoints.sentences import DIFFERENT
from checkpoints.states import State, states_where
from jobs.access.payload import Payload, encode_payload
from jobs.imports.subscriber import Step
from jobs.spec.parameters import row_key
from jobs.undo import HEADER
from tests.checkpoints.samples import all_items, come_to, keep, within
from tests.cli.commands.test_report import read, tables_of
from tests.cli.conftest import Place, Typed
from tests.cli.marked_language import unmarked
from tests.cli.test_import import subscriber
from tests.cli.test_import import table as as_table
from texts.said import said

TARGET: Final = "http://billing.example.org:8082"
UNREADABLE: Final = "1 000 or so"
SENT: Final = (
    State.ACCEPTED,
    State.APPLIED,
    State.REJECTED,
    State.UNKNOWN,
    State.MANUAL,
    State.SENDING,
    State.PENDING,
)
SKIPPED, REFUSED, LEFT_OUT = "skipped", "refused", "left out"
CORRECTED, MENDED, MERGED = "corrected", "mended", "merged"
UNKNOWN_AMOUNT: Final = "unreadable"
FATES: Final = (*SENT, SKIPPED, REFUSED, LEFT_OUT, CORRECTED, MENDED, MERGED, UNKNOWN_AMOUNT)
MORE: Final = Decimal("1.01")
"""What a corrected row asks for more than the row that it replaces."""
KINDS: Final = ("balances", "payment", "warning-threshold", "blocked", "password", "import", "import by a map")
Drawn: TypeAlias = Sequence[tuple[Decimal, str]]
"""The rows of a run: what each asks for, and what becomes of it."""
MONEY: Final = ("balances", "payment", "import", "import by a map")


@dataclass
class Books:
    """What the test has drawn of a run: rows and amounts by what became of them."""

    rows: Counter[str] = field(default_factory=Counter)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    unreadable: int = 0

    def add(self, fate: str, amount: Decimal | None, rows: int = 1) -> None:
        self.rows[fate] += rows
        self.amounts[fate] = self.amounts.get(fate, Decimal(0)) + (amount or 0)

    def sum(self, *fates: str) -> Decimal:
        return sum((self.amounts.get(fate, Decimal(0)) for fate in fates), Decimal(0))

    def number(self, *fates: str) -> int:
        return sum(self.rows[fate] for fate in fates)

    @property
    def whole(self) -> Decimal:
        return self.sum(*self.amounts)


@dataclass
class Made:
    """A run, its books, and the amount that each of its items has entered or takes back, by number."""

    run: Run
    books: Books
    amounts: dict[int, Decimal]
    kind: str
    has_money: bool = True


IN_EFFECT: Final = tuple(map(str, states_where(in_effect=True)))
kopecks = st.integers(-99_999, 99_999).map(lambda one: Decimal(one) / 100)
drawn_rows = st.lists(st.tuples(kopecks, st.sampled_from(FATES)), min_size=1, max_size=9)
UNDO_FATES: Final = (State.ACCEPTED, State.APPLIED, *SENT, SKIPPED, REFUSED)
EACH_FATE: Final = [(Decimal(100 * place + 1) / 100, fate) for place, fate in enumerate((*FATES, *SENT[:2] * 8))]
undo_fates = st.lists(st.tuples(st.sampled_from(UNDO_FATES), kopecks), min_size=3, max_size=9)
tables = st.tuples(st.sampled_from(KINDS), drawn_rows)


# ---- runs, as the pipeline writes them -----------------------------------------------------------------------------


async def sent(journal: Journal, run: Run, fates: Mapping[int, State]) -> None:
    """Send the items with these numbers, and let each of them come to its state."""
    await journal.end_intake(run)
    await journal.approve(run)
    await come_to(journal, run, fates)


async def table_run(journal: Journal, kind: str, rows: Drawn, at: int) -> Made:
    """A run of a job whose rows are drawn."""
    has_money, header = kind in MONEY, ("contract_number", "amount")
    run = await journal.create_run(NewRun(kind, {"n": str(at)}, TARGET, f"{at}.csv", "d1", header))
    books = Books()
    made = Made(run, books, {}, kind, has_money)
    fates = [_possible(fate, rows, place, has_money=has_money) for place, (_, fate) in enumerate(rows)]
    items: list[NewItem] = []
    refusals: list[Refusal] = []
    number_of: dict[int, int] = {}
    for place, ((amount, _), fate) in enumerate(zip(rows, fates, strict=True)):
        line, cells = place + 2, (str(place), format(amount, "f"))
        if fate in {REFUSED, MENDED}:
            refusals.append(Refusal(line, None, str(place), said("nobody"), cells))
        elif fate == UNKNOWN_AMOUNT:
            refusals.append(Refusal(line, "amount", str(place), said("no amount"), (str(place), UNREADABLE)))
        elif fate != LEFT_OUT:
            skip = said("a duplicate in the input: line 1") if fate == SKIPPED else None
            own = amount if has_money else None
            items.append(NewItem(f"{at}/{place}", str(place), f"a{place}", "{}", own, line, cells, skip_reason=skip))
            number_of[place] = len(items)
    await journal.freeze(run, Page(tuple(items), tuple(refusals), None, {"--limit": fates.count(LEFT_OUT)}), keep)
    sums = await _merge(journal, run, rows, fates, number_of)
    states = {number_of[place]: State(fate) for place, fate in enumerate(fates) if fate in SENT}
    states |= {number_of[place]: State.REJECTED for place, fate in enumerate(fates) if fate == CORRECTED}
    await sent(journal, run, states)
    await _correct(journal, made, rows, fates, number_of)
    for place, fate in enumerate(fates):
        own = sums.get(place, rows[place][0])
        if fate not in {CORRECTED, MENDED}:
            books.add(
                REFUSED if fate == UNKNOWN_AMOUNT else str(fate),
                None if fate in {MERGED, LEFT_OUT, UNKNOWN_AMOUNT} else own,
            )
        if place in number_of:
            made.amounts[number_of[place]] = sums[place]
    books.unreadable = fates.count(UNKNOWN_AMOUNT) * has_money
    return made


async def _merge(
    journal: Journal, run: Run, rows: Drawn, fates: Sequence[str], number_of: Mapping[int, int]
) -> dict[int, Decimal]:
    """Merge rows into the next one that is sent; what each row then carries."""
    ids = {item.number: item.item_id for item in await all_items(journal, run)}
    carried: dict[int, list[int]] = {}
    for place, fate in enumerate(fates):
        if fate == MERGED:
            carrier = next(at for at in range(place, len(fates)) if fates[at] in SENT)
            carried.setdefault(carrier, []).append(place)
    sums = {place: rows[place][0] + sum(rows[one][0] for one in carried.get(place, [])) for place in number_of}
    merged = [
        Merged(ids[number_of[to]], tuple(ids[number_of[one]] for one in ones), said("part of a sum"), "{}", sums[to])
        for to, ones in carried.items()
    ]
    await journal.merge(run, merged)
    return sums


def _possible(fate: str, rows: Drawn, place: int, *, has_money: bool) -> str:
    """A row can be merged only into a later one that is sent, and where there is money."""
    if fate != MERGED:
        return fate
    return fate if has_money and any(one in SENT for _, one in rows[place:]) else SKIPPED


async def _correct(
    journal: Journal, made: Made, rows: Drawn, fates: Sequence[str], number_of: Mapping[int, int]
) -> None:
    """Take corrected rows in, in place of rejected and of refused ones."""
    run = made.run
    refusal_ids = {refusal.line: refusal_id for refusal_id, refusal in await journal.refusals(run)}
    last = await journal.last_number(run)
    corrections: list[Correction] = []
    states: dict[int, State] = {}
    for place, fate in enumerate(fates):
        if fate not in {CORRECTED, MENDED}:
            continue
        amount = rows[place][0] + MORE
        item = NewItem(
            f"{run.name}/c{place}", str(place), f"c{place}", "{}", amount if made.has_money else None, None, ("", "")
        )
        if fate == CORRECTED:
            corrections.append(Correction(item, number=number_of[place]))
        else:
            corrections.append(Correction(item, refusal_id=refusal_ids[place + 2]))
        last += 1
        states[last] = State.ACCEPTED
        made.books.add("accepted", amount)
        made.amounts[last] = amount
    await journal.correct(run, corrections, keep)
    await come_to(journal, run, states)


async def import_run(journal: Journal, kind: str, rows: Drawn, at: int) -> Made:
    """An import: each row is a subscriber with an opening balance. A map file that is gone says where it stands."""
    header = ("Договор", "ФИО", "Баланс") if kind == "import" else ("Договор", "ФИО", "Колонка 7")
    parameters = {"n": str(at)} if kind == "import" else {"n": str(at), "map": "gone.toml"}
    run = await journal.create_run(NewRun("import", parameters, TARGET, f"{at}.csv", "d1", header))
    made = Made(run, Books(), {}, kind)
    items: list[NewItem] = []
    refusals: list[Refusal] = []
    states: dict[int, State] = {}
    left_out = 0
    known = {amount for amount, fate in rows if fate in SENT or fate in {SKIPPED, CORRECTED, MERGED}}
    for place, (amount, fate) in enumerate(rows):
        line, number = place + 2, f"Н-{at}-{place}"
        cells = (number, "Иванов", format(amount, "f"))
        match fate:
            case "refused" | "mended":
                refusals.append(Refusal(line, "Договор", number, said("taken"), cells))
                is_readable = kind == "import" or bool(known)
                made.books.add(REFUSED, amount if is_readable else None, int(amount != 0 or not is_readable))
                made.books.add("people refused", None)
                made.books.unreadable += not is_readable
            case "unreadable":
                refusals.append(Refusal(line, "Баланс", number, said("no amount"), (number, "Иванов", UNREADABLE)))
                made.books.add(REFUSED, None)
                made.books.add("people refused", None)
                made.books.unreadable += 1
            case "left out":
                left_out += 1
                made.books.add("people left out", None)
            case _:
                groups = {"folder": "1", "balance": format(amount, "f")}
                person = encode_payload(Payload("Abonents", (), step=Step.SUBSCRIBER, groups=groups))
                balance = encode_payload(Payload("FinanceOperations", (), step=Step.BALANCE))
                lane = f"contract:{number}"
                skip = None if fate in SENT else said("{kind}: the balance", kind=DIFFERENT)
                items += [
                    NewItem(row_key((number, Step.SUBSCRIBER, "")), number, lane, person, None, line, cells),
                    NewItem(
                        row_key((number, Step.BALANCE, "")), number, lane, balance, amount, line, skip_reason=skip
                    ),
                ]
                states[len(items) - 1] = State.ACCEPTED
                if fate in SENT:
                    states[len(items)] = State(fate)
                made.books.add(str(fate) if fate in SENT else SKIPPED, amount)
                made.books.add(_person(fate), None)
                made.amounts[len(items)] = amount
    await journal.freeze(run, Page(tuple(items), tuple(refusals), None, {"--limit": left_out}), keep)
    await sent(journal, run, states)
    return made


def _person(fate: str) -> str:
    """What became of the subscriber whose opening balance came to this."""
    if fate in IN_EFFECT:
        return "complete"
    if fate == State.REJECTED:
        return "with_rejected_steps"
    return "not_settled" if fate in SENT else "different"


async def undo_run(journal: Journal, taken: Made, drawn: Sequence[tuple[str, Decimal]], at: int) -> Made | None:
    """An undo of what still stands of a run; its calls carry any amounts. None where nothing stands."""
    standing = [item for item in await journal.in_effect(taken.run) if item.number in taken.amounts]
    if not standing:
        return None
    run = await journal.create_run(
        NewRun("undo", {"run": taken.run.name, "n": str(at)}, TARGET, f"run {taken.run.name}", "", HEADER)
    )
    made = Made(run, Books(), {}, "undo", taken.has_money)
    items: list[NewItem] = []
    refusals: list[Refusal] = []
    states: dict[int, State] = {}
    for place, item in enumerate(standing):
        fate, of_call = drawn[place % len(drawn)]
        amount = -taken.amounts[item.number]
        made.books.add(str(fate), amount)
        if fate == REFUSED:
            refusals.append(Refusal(None, None, item.label, said("by hand"), cells_of(taken, item)))
            continue
        skip = said("changed since: it is another one") if fate == SKIPPED else None
        own = of_call if taken.has_money and skip is None else None
        items.append(
            NewItem(f"{taken.run.name}/{item.number}", item.label, f"u{item.item_id}", "{}", own, None,
                    cells_of(taken, item), skip_reason=skip, undoes=item.item_id)
        )  # fmt: skip
        made.amounts[len(items)] = amount
        if fate in SENT:
            states[len(items)] = State(fate)
    await journal.freeze(run, Page(tuple(items), tuple(refusals), None), keep)
    await sent(journal, run, states)
    return made


def cells_of(taken: Made, item: Item) -> tuple[str, ...]:
    return (taken.run.name, str(item.number), item.key, item.label, "777.77", "1")


async def campaign(
    journal: Journal, drawn: Sequence[tuple[str, Drawn]], undos: Sequence[Sequence[tuple[str, Decimal]]]
) -> list[Made]:
    """Runs of several kinds; the last one that can be is undone, its undo too, and so on."""
    made: list[Made] = []
    for at, (kind, rows) in enumerate(drawn):
        run = import_run if kind.startswith("import") else table_run
        made.append(await run(journal, kind, rows, at))
    last = next((one for one in reversed(made) if one.kind in {"balances", "payment", "warning-threshold"}), None)
    for at, fates in enumerate(undos):
        last = last and await undo_run(journal, last, fates, at)
        made += [last] if last else []
    return made


# ---- what is said of them ------------------------------------------------------------------------------------------


def figure(cell: str) -> Decimal:
    """A number of a cell; a dash is nothing."""
    text = cell.replace(" ", "").replace(",", "").replace("−", "-")
    return Decimal(0) if text in {"–", ""} else Decimal(text)


def table(page: str, head: str) -> list[list[str]]:
    (found,) = [rows for rows in tables_of(page) if rows and rows[0] and rows[0][0] == head]
    return found[1:]


def check_json(made: Made, told: Mapping[str, Any]) -> None:
    """The equation of a run, as its JSON has it."""
    books = made.books
    file, refused = told["file"], told["refused"]
    amounts = {state: one["amount"] for state, one in told["states"].items()}
    if made.kind.startswith("import"):
        people = told["subscribers"]
        for name in ("complete", "with_rejected_steps", "not_settled", "different"):
            assert people[name] == books.rows[name], name
        assert (people["refused"], people["left_out"]) == (
            books.rows["people refused"],
            books.rows["people left out"],
        )
        assert file["rows"] == sum(people.values())
    else:
        rows = sum(one["rows"] for one in told["states"].values())
        assert file["rows"] == rows + refused["rows"] + told["merged"]["rows"] + told["left_out"]
        assert file["rows"] == books.number(*books.rows)
        assert {state: one["rows"] for state, one in told["states"].items()} == {
            fate: number for fate, number in books.rows.items() if fate not in {REFUSED, MERGED, LEFT_OUT} and number
        }
        assert (told["left_out"], told["merged"]["rows"]) == (books.rows[LEFT_OUT], books.rows[MERGED])
    assert refused["rows"] == books.rows[REFUSED]
    if not made.has_money:
        assert file["amount"] is refused["amount"] is None
        return
    assert {state: Decimal(amount or 0) for state, amount in amounts.items()} == {
        fate: books.sum(fate) for fate in amounts
    }
    assert Decimal(refused["amount"] or 0) == books.sum(REFUSED)
    assert Decimal(file["amount"] or 0) == books.whole
    assert file["amounts_unreadable"] == refused["amounts_unreadable"] == books.unreadable


def check_effect(chain: Sequence[Made], told: Mapping[str, Any]) -> None:
    """What a run has entered is not what it has taken back, and what is only read is neither."""
    made, words = chain[-1], ("enters", "takes_back", "restores", "takes_back")
    effect = "reads" if made.kind == "blocked" else words[len(chain) - 1]
    done = (rows_of(made, *IN_EFFECT), sum_in_effect(made) if made.has_money else Decimal(0))
    entered, taken_back = (
        (told[one]["rows"], Decimal(told[one]["amount"] or 0)) for one in ("entered", "taken_back")
    )
    assert told["effect"] == effect
    assert entered == (done if effect == "enters" else (0, 0))
    sign = -1 if effect == "restores" else 1
    assert taken_back == ((sign * done[0], -done[1]) if len(chain) > 1 else (0, 0))


def check_page(chain: Sequence[Made], page: str) -> None:
    """The tables of a report add up, and say what the books say of the run and of the undos that followed it."""
    made, books = chain[0], chain[0].books
    if made.kind.startswith("import"):
        subscribers = table(page, "Subscribers")
        *parts, (_, whole) = subscribers
        assert figure(whole) == sum(figure(cells[1]) for cells in parts)
        balances = {cells[0]: figure(cells[2]) for cells in table(page, "Opening balances")}
        assert balances["asked for by the file"] == books.whole
        assert balances["accepted by the billing"] == books.sum(*IN_EFFECT)
        assert balances["asked for, and not entered"] == books.whole - books.sum(*IN_EFFECT)
        parts_of_it = [amount for name, amount in balances.items() if name.startswith("of these: ")]
        assert not parts_of_it or sum(parts_of_it) == balances["asked for, and not entered"]
        return
    *lines, whole_line = table(page, "Outcome of the reading" if made.kind == "blocked" else "Outcome")
    assert figure(whole_line[1]) == sum(figure(cells[1]) for cells in lines) == books.number(*books.rows)
    if made.has_money and len(whole_line) > 2:
        assert figure(whole_line[2]) == sum(figure(cells[2]) for cells in lines) == books.whole
    verdict = re.search(r"(\d+) of (\d+) rows? (?:is|are|was|were) (?:in|read from) the billing", page)
    assert verdict is not None
    standing = sum(one.books.number(*IN_EFFECT) * (-1) ** at for at, one in enumerate(chain))
    assert (int(verdict[1]), int(verdict[2])) == (standing, books.number(*books.rows))


def check_undo(chain: Sequence[Made], whole: Sequence[Made], page: str) -> None:
    """The report of an undo: what it took back is one number all over the page; what stands is by the whole chain."""
    undo, books = chain[-1], chain[-1].books
    restores = len(chain) % 2 == 1
    words, sign = ("Outcome of the undo of an undo", 1) if restores else ("Outcome of the undo", -1)
    *lines, whole_line = [rows for rows in tables_of(page) if rows[0][0] == words][-1][1:]
    assert figure(whole_line[1]) == sum(figure(cells[1]) for cells in lines) == books.number(*books.rows)
    done, of_all = books.number(*IN_EFFECT), chain[-2].books.number(*IN_EFFECT)
    assert re.search(rf"{done} of the {of_all} rows ", page)
    standing = sum((sum_in_effect(one) for one in whole), Decimal(0))
    *_, (_, rows, *amount) = next(one for one in tables_of(page) if one[0][0] == "Sum")
    assert figure(rows) == sum(one.books.number(*IN_EFFECT) * (-1) ** at for at, one in enumerate(whole))
    if undo.has_money and len(whole_line) > 2:
        assert figure(whole_line[2]) == sum(figure(cells[2]) for cells in lines) == sign * books.whole
        head = "Sum of the undo of an undo" if restores else "Sum of the undo"
        sums = [rows for rows in tables_of(page) if rows[0][0] == head][-1][1:]
        assert [figure(cells[2]) for cells in sums[:2]] == [sign * books.whole, sign * sum_in_effect(undo)]
        assert figure(amount[0]) == standing


def chain_of(made: Sequence[Made], last: Made) -> list[Made]:
    """A run and the undos that lead to this one."""
    if last.kind != "undo":
        return [last]
    (before,) = [one for one in made if one.run.name == last.run.parameters["run"]]
    return [*chain_of(made, before), last]


def sum_in_effect(made: Made) -> Decimal:
    return made.books.sum(*IN_EFFECT)


def check_campaign(made: Sequence[Made], page: str) -> None:
    """What undos took back and what was read is added to nothing that was entered."""
    entering = [one for one in made if one.kind not in {"undo", "blocked"}]
    undos = [one for one in made if one.kind == "undo"]
    *_, every = table(page, "Billing")
    asked, entered = every[2:4], every[4:6]
    assert int(every[1]) == len(made)
    if not entering:
        assert {*asked, *entered} == {"–"}
        return
    assert figure(asked[0]) == sum(rows_of(one, *one.books.rows) for one in entering)
    assert figure(entered[0]) == sum(rows_of(one, *IN_EFFECT) for one in entering)
    assert figure(asked[1]) == sum(one.books.whole for one in entering if one.has_money)
    assert figure(entered[1]) == sum(sum_in_effect(one) for one in entering if one.has_money)
    assert len(every) == 6 + bool(undos)
    if undos:
        assert figure(every[6]) == -sum(sum_in_effect(one) for one in undos if one.has_money)


def rows_of(made: Made, *fates: str) -> int:
    """Rows of a run with these fates, of an import its subscribers."""
    if not made.kind.startswith("import"):
        return made.books.number(*fates)
    people = [name for name in made.books.rows if name.startswith("people") or name in PEOPLE]
    return made.books.number(*(["complete"] if fates == IN_EFFECT else people))


PEOPLE: Final = ("complete", "with_rejected_steps", "not_settled", "different")


@settings(
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(tables, min_size=1, max_size=3), st.lists(undo_fates, max_size=3))
@example([(kind, EACH_FATE) for kind in KINDS], [[(fate, Decimal("7.77")) for fate in UNDO_FATES]] * 3)
def test_all_that_becomes_of_a_file_adds_up_to_it_in_every_report(
    typed: Typed, tmp_path: Path, drawn: list[tuple[str, Drawn]], undos: list[list[tuple[str, Decimal]]]
) -> None:
    path = next(free for at in count() if not (free := tmp_path / f"{at}.journal").exists())
    made = within(path, lambda journal: campaign(journal, drawn, undos))
    report = ("--journal", str(path), "-o", "report.html", "--force", "--json", "--lang", "en")
    for one in made:
        told = typed("report", one.run.name, *report)
        assert told.exit == 0, told.err
        page = unmarked(Path("report.html").read_text(encoding="utf-8"))
        check_json(one, told.closing["sums"][one.run.name])
        if one.kind == "undo":
            chain = chain_of(made, one)
            check_undo(chain, [*chain, *made[made.index(one) + 1 :]], page)
        else:
            taking_back = [each for each in made if each.kind == "undo" and one in chain_of(made, each)]
            check_page([one, *taking_back], page)
    checked = typed("report", "check", "report.html", "--journal", str(path))
    assert checked.exit == 0, checked.out
    told = typed("report", "--all", *report)
    assert told.exit == 0, told.err
    for one in made:
        check_json(one, told.closing["sums"][one.run.name])
        check_effect(chain_of(made, one), told.closing["sums"][one.run.name])
    check_campaign(made, unmarked(Path("report.html").read_text(encoding="utf-8")))
    assert typed("report", "check", "report.html", "--journal", str(path)).exit == 0


# ---- What is signed: sums of reports as commands make them, with a billing and a file, to the kopeck


REPORT = ("-o", "report.html", "--force", "--lang", "en")


async def sums_of(place: Place, run: str) -> dict[str, Any]:
    """The sums that the report of a run has, run by run."""
    told: dict[str, Any] = (await place.cli.closing("report", run, *REPORT))["sums"]
    return told


def balances_of(path: Path) -> Decimal:
    """The sum of a file, read from the file itself."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum((parse_amount(row["Баланс"]) for row in csv.DictReader(file, delimiter=";")), Decimal(0))


async def test_an_import_is_signed_for_the_whole_file_with_its_refused_rows(place: Place) -> None:
    rows = [subscriber(number) for number in range(1, 21)]
    rows[3][3] = rows[4][3]  # One login twice: both rows are refused.
    rows[7][5] = "no phone"
    path = place.write(as_table(rows), "subs.csv")
    skipping = ("--yes", "--skip-bad", "--alike")
    ended = await place.cli.closing("import", "subs.csv", *skipping, ends=1)
    run = ended["run"]
    await place.cli("verify", run, may_end_with=(0, 1))
    told = (await sums_of(place, run))[run]
    assert Decimal(told["file"]["amount"]) == balances_of(path)
    assert (told["file"]["rows"], told["refused"]["rows"]) == (20, ended["refused"])
    sums = {cells[0]: [figure(cell) for cell in cells[1:]] for cells in table(read(place), "Opening balances")}
    refused = sums["of these: refused before sending"]
    assert refused[0] == ended["refused"] == 3
    # A subscriber is one row of the annex, with its balance.
    *_, entered = [rows[1:] for rows in tables_of(read(place)) if rows[0] == ["Line", "Contract", "Amount"]]
    assert (len(entered), len({line for line, *_ in entered})) == (17, 17)
    assert sum(figure(amount) for _, _, amount in entered) == sums["accepted by the billing"][1]
    # The tally beside it has the file without them, and says by how much.
    without = (await place.cli("verify", run, "--json", may_end_with=(0, 1))).closing["tally"]["groups"][0]["file"]
    assert Decimal(without["balance"]) + refused[1] == balances_of(path)
    assert f"were refused before sending, with {refused[1]:.2f}, and are in none" in read(place)
    undo = (await place.cli.closing("undo", run, "--yes"))["run"]
    both = await sums_of(place, undo)
    assert (both[undo]["taken_back"], both[run]["entered"]["rows"]) == (both[run]["entered"], 17)
    await sums_of(place, run)
    assert "17 subscribers were taken back since" in read(place)
    # A map file says the same of columns that nobody knows; the report needs it no more.
    place.write('format = 1\n[subscriber]\ndebt = "Колонка"\n', "map.toml")
    header = path.read_text(encoding="utf-8").splitlines()[0].replace("Баланс", "Колонка").split(";")
    others = [[f"К{row[0]}", *row[1:3], f"k{row[3]}", *row[4:]] for row in rows]
    place.write(as_table(others, header), "debts.csv")
    run = (await place.cli.closing("import", "debts.csv", "--map", "map.toml", *skipping, ends=1))["run"]
    (place.cli.folder / "map.toml").unlink()
    told = (await sums_of(place, run))[run]
    assert Decimal(told["file"]["amount"]) == -balances_of(path)
    assert told["refused"]["amounts_unreadable"] == 0
