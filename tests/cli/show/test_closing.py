"""The last sentence of a command: what became of the run, with the number of what is missing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from queue import Queue
from typing import Any

import pytest
from rich.console import Console, RenderableType

from checkpoints.records import Holder, Refusal, Totals
from checkpoints.states import State
from cli.session.input_check import SHOWN_GROUPS, CheckResult, check_object
from cli.show.closing import Closing, StepOutcome, refused_rows, steps_of_file
from cli.show.preview import columns_line
from cli.show.progress import line, screen_of, show_intake
from cli.terminal import streams
from cli.terminal.exits import Exit
from cli.terminal.layout import drawn as drawn_by
from cli.terminal.names import name_of_command, name_of_holder
from cli.terminal.streams import WaitingLine, lasting, plain
from cli.terminal.texts import ENGLISH, JOINT, RUSSIAN, printable, set_reader
from engine.pipeline.progress import Progress, Status
from jobs.imports import subscriber
from jobs.imports.subscriber import ValueFault
from jobs.spec.columns import Assigned, Column
from tests.cli.conftest import Place
from tests.cli.test_screens import UNDER_WAY as LOAD
from texts.said import name_of_sender, reason, said, wording


def headline(closing: Closing) -> RenderableType:
    return drawn_by("headline.j2", closing=closing, taken="")


@pytest.fixture
def in_russian() -> Iterator[None]:
    set_reader(RUSSIAN)
    yield
    set_reader(ENGLISH)


@pytest.mark.usefixtures("in_russian")
@pytest.mark.parametrize(
    ("language", "rejected", "refused", "says"),
    [
        (ENGLISH, 0, 0, "✓ run k7m2q is done"),
        (ENGLISH, 19, 1, "! run k7m2q is done; 20 rows were not entered"),
        (ENGLISH, 1, 0, "! run k7m2q is done; 1 row was not entered"),
        (ENGLISH, 0, 1, "! run k7m2q is done; 1 row was not entered"),
        (RUSSIAN, 1, 0, "! загрузка k7m2q завершена; не внесена 1 строка"),
        (RUSSIAN, 3, 0, "! загрузка k7m2q завершена; не внесены 3 строки"),
        (RUSSIAN, 11, 0, "! загрузка k7m2q завершена; не внесено 11 строк"),
        (RUSSIAN, 21, 0, "! загрузка k7m2q завершена; не внесена 21 строка"),
        (RUSSIAN, 12_345, 0, "! загрузка k7m2q завершена; не внесено 12 345 строк"),
    ],
)
def test_rows_that_were_not_entered_are_in_the_headline(
    language: str, rejected: int, refused: int, says: str
) -> None:
    set_reader(language)
    totals = Totals({State.ACCEPTED: 5, State.REJECTED: rejected}, refused=refused)
    code = Exit.REJECTED if rejected or refused else Exit.DONE
    file = StringIO()
    Console(file=lasting(file), width=160).print(headline(Closing(code, "k7m2q", totals=totals)))
    assert plain(file.getvalue()).strip() == says


@pytest.mark.parametrize("why", ["[red]$ a[/] \\", "¦a", "=1|2", "»x\\[b]", "$ rm", "{{ x }} {% if %}"])
def test_what_a_value_says_is_no_markup_and_no_sign_of_a_template(why: str) -> None:
    file = StringIO()
    told = [headline(Closing(Exit.FAULT, "k7m2q", error=why)), refused_rows([Refusal(7, None, why, why)], 1, "")]
    Console(file=lasting(file), width=160).print(*told)
    head, _, row = file.getvalue().splitlines()
    assert head.strip() == f"✗ run k7m2q: {why}"
    assert plain(row).strip() == f"✗ line 7 ({why}): {why}"


@pytest.mark.usefixtures("in_russian")
def test_the_steps_of_a_job_file_in_russian() -> None:
    done = Closing(Exit.REJECTED, "k7m2q", "balances", Totals({State.ACCEPTED: 12_339, State.REJECTED: 3}))
    stopped = said("no connection to {server}: {why}", server="example.org", why="refused")
    steps = (
        StepOutcome(1, "warning-threshold", replace(done, exit=Exit.DONE), done_before=True),
        StepOutcome(2, "balances", done),
        StepOutcome(3, "tariff-threshold", replace(done, exit=Exit.STOPPED, stopped=stopped), "answers.csv"),
        StepOutcome(4, "passwords"),
    )
    file = StringIO()
    Console(file=lasting(file), width=160).print(steps_of_file(steps))
    assert [" ".join(line.split()) for line in file.getvalue().splitlines()] == [
        "шаг задание загрузка строки итог",
        "1 warning-threshold k7m2q 12 342 выполнена ранее",
        "2 balances k7m2q 12 342 завершена; не внесены 3 строки",
        "3 tariff-threshold k7m2q 12 342 остановлена: не завершена; answers.csv",
        "4 passwords – – не начата",
    ]


@pytest.mark.usefixtures("in_russian")
def test_what_the_journal_notes_in_english_words_is_told_in_russian() -> None:
    told = [
        name_of_holder("hours"),
        name_of_sender("root@vm, process 12427"),
        name_of_command("taken up with --rate 20"),
    ]
    assert [printable(one) for one in told] == ["окно времени", "root@vm, процесс 12427", "продолжена с --rate 20"]
    given = [printable(name_of_command(one)) for one in ("pause", "continue", "continue now=yes", "set rate=5")]
    assert given == ["пауза", "продолжить", "продолжить сразу", "set rate=5"]
    assert name_of_sender("root@vm") == "root@vm"
    assert ".11.2026 " in printable(Holder("vm", 7, "2026-11-26 14:32:57 UTC").sentence), "as all other moments"
    assert "since just now" in str(Holder("vm", 7, "just now"))


# ---- What a check has found is grouped by kind, and a screen stays readable however much it is


def fault(line: int, kind: int, column: str = "телефон") -> ValueFault:
    return ValueFault(
        subscriber.Place(line, column), "12", said(wording(f"fault of kind {kind}: {{cell}}"), cell=str(line))
    )


def shown(result: CheckResult) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(drawn_by("check.j2", result=result, most=SHOWN_GROUPS))
    return [line.strip() for line in capture.get().replace(JOINT, " ").splitlines() if line.strip()]


def test_faults_of_one_kind_and_column_are_one_line_with_the_first_lines() -> None:
    result = CheckResult("a.csv")
    for number in range(2, 30):
        result.add(number, [fault(number, 1)], [])
    result.add(30, [fault(30, 1, "логин"), fault(30, 2)], [])
    result.add(31, [ValueFault(subscriber.Place(7, "ip", "accounts.csv"), "x", said("no address"))], [])
    result.add(32, [], [fault(32, 3)])
    assert shown(result)[:7] == [
        "✗ 30 subscribers of a.csv cannot be imported, of 31 in all",
        "✗ телефон, 28 subscribers, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more: fault of kind 1: 2",
        "✗ логин, line 30: fault of kind 1: 30",
        "✗ телефон, line 30: fault of kind 2: 30",
        "✗ ip, accounts.csv, line 7: no address",
        "To be looked at:",
        "? телефон, line 32: fault of kind 3: 32",
    ]
    assert (result.rows, result.faulty, result.doubtful) == (31, 30, 1)


def test_a_clean_table_says_so_and_a_row_of_a_joined_table_that_is_nobodys_is_no_row_of_it() -> None:
    result = CheckResult("-", unchecked=("addresses were not compared",))
    result.add(2, [], [])
    assert shown(result) == [
        "✓ 1 row of stdin, and nothing in it is wrong",
        "caution: addresses were not compared",
        "Nothing was sent.",
    ]
    stranger = ValueFault(subscriber.Place(), "", "accounts.csv, line 3: nobody has it")
    result.strangers = result.faults.add_beside([stranger])
    assert shown(result)[:2] == [
        "✗ 1 row of the tables joined to stdin cannot be imported",
        "✗ accounts.csv, line 3: nobody has it",
    ]
    assert (result.rows, result.faulty, result.is_good) == (1, 0, False)


def test_more_kinds_than_a_screen_holds_are_counted_and_memory_is_bounded() -> None:
    result = CheckResult("a.csv")
    for number in range(2, 1002):
        result.add(number, [fault(number, number)], [])
    lines = shown(result)
    told = [line for line in lines if line.startswith("✗ телефон")]
    assert len(told) == 25
    assert "… and 975 more of other kinds" in lines
    listed = check_object(result)["faults"]
    assert isinstance(listed, list)
    assert (len(listed), result.faults.total, result.faults.beyond) == (200, 1000, 800)


# ---- Which column is taken for what is shown, by `run` and by `plan`, before anything is sent


@pytest.mark.parametrize(
    ("taken", "unused", "line"),
    [
        ({}, (), ""),
        ({"id": "id"}, (), "id"),
        ({"amount": "[red]Сумма\x1b[2J"}, ("carbon_row", "ФИО"), r"amount = [red]Сумма\x1b[2J; not used: ФИО"),
        ({}, ("ФИО",), "not used: ФИО"),
        ({"amount": "С" * 99}, (), f"amount = {'С' * 39}…"),
        ({}, tuple(f"c{number}" for number in range(1_000)), None),
    ],
)
def test_columns_in_one_line(taken: dict[str, str], unused: tuple[str, ...], line: str | None) -> None:
    columns = {name: Column(title, place) for place, (name, title) in enumerate(taken.items())}
    found = plain(columns_line(Assigned(columns, unused)).plain)
    if line is None:
        assert found.endswith("c10, c11 and 988 more")
    else:
        assert found == line


async def test_a_run_shows_which_column_it_takes_for_what(place: Place) -> None:
    header = "Лицевой счёт;Комментарий;К зачислению;id;code"
    place.write(f"{header}\n00001;x;5;2001;y\n", encoding="cp1251")
    mapping = ("--map", "amount=К зачислению")
    taken = "contract_number = Лицевой счёт, amount = К зачислению, abonent_id = id"
    line = f"columns {taken}; not used: Комментарий, code"
    await place.cli.refused("run", "balances", "balances.csv", *mapping, says=line)
    says = [line, "note: read as CP1251, for its bytes are not UTF-8"]
    planning = (await place.cli("plan", "balances", "balances.csv", *mapping, "--json")).saying(says)
    plan = planning.closing
    assert plan["columns"] == {"contract_number": "Лицевой счёт", "amount": "К зачислению", "abonent_id": "id"}
    assert plan["columns_not_used"] == ["Комментарий", "code"]
    sql = "select id as abonent_id, name from abonents where id = 2001"
    of_select = await place.cli("plan", "operator", "--sql", sql, "--set", "operator=1444")
    assert "columns abonent_id; not used: name" in " ".join(of_select.out.split())


# ---- The lines and the screen of a run that is under way: what they say, and that they fit


COUNTS: Mapping[str, int] = {"pending": 86_420, "skipped": 10, "sending": 12, "accepted": 12_345, "rejected": 3}

UNDER_WAY = replace(
    LOAD,
    counts=COUNTS,
    done=12_358,
    refused=2,
    why="window 16 (the server's limit)",
    errors={"no account": 3},
    last_error="00123: \x1b[31mbad\nnews",
    entered=Decimal("1234567.5"),
)
HELD: Mapping[str, Any] = {
    "held": "EVENTS_STACK 5,120 > 1,000",
    "why": "EVENTS_STACK 5,120 > 1,000",
    "eta": None,
    "rate": 0.0,
}


def drawn(status: Status, width: int, name: str = "") -> list[str]:
    file = StringIO()
    Console(file=lasting(file), width=width, force_terminal=False, highlight=False).print(screen_of(status, name))
    return [text.rstrip() for text in file.getvalue().splitlines()]


def line_of(status: Status, name: str = "") -> str:
    return plain(line(status, name).plain)


WHOLE = (
    "12 348 of 98 780 rows (12 %), 85 rows/s, 16:54 left, 12/16 in flight, "
    "window 16 (the server's limit), 1 234 567.50 entered, 80/s with waits, "
    "answers: half in 45 ms, 95 % in 1.2 s, "
    "3 rejected, 42 sent again, errors: 3 × no account"
)
BARE: Mapping[str, Any] = {
    "retries": 0,
    "average": 0.0,
    "p50": None,
    "p95": None,
    "why": "",
    "errors": {},
    "entered": Decimal(0),
}
EMPTY = {"total": 0, "done": 0, "skipped": 0, "counts": {}, "in_flight": 0, "window": 0, "errors": {}}
KINDS = {"no account": 3, "locked": 2, "fault": 1, "fourth": 1}
MANY = {f"no account {letter * 90}": 1_234 for letter in "abcdefgh"}
IN_STATES = {"pending": 1, "sending": 4, "accepted": 7, "rejected": 12_345, "unknown": 12, "manual": 3}


@pytest.mark.parametrize(
    ("change", "says", "never"),
    [
        ({}, f"^{WHOLE}$", ""),
        ({**BARE, "counts": {"pending": 5}}, "16:54 left, 12/16 in flight$", ""),
        ({"entered": Decimal(0), "retries": 0, "errors": MANY}, ", errors: 1 234 × no a.*…$", ""),
        ({"entered": Decimal(0), "why": reason("rate {rate}", "rate", rate="20")}, ", limited by you: 20/s, ", ""),
        ({**BARE, "errors": KINDS}, ", errors: 3 × no account, 2 × locked, 1 × fault$", ""),
        ({"counts": IN_STATES}, ", 12 345 rejected, 12 unknown, 3 manual, ", ""),
        (HELD, "held: EVENTS_STACK 5,120 > 1,000", "left|EVENTS_STACK.*EVENTS_STACK"),
        ({"intake_ended": False, "eta": None}, "^12 348 of 98 780 rows so far, 85 rows/s, 12/16 in flight", ""),
        ({"rate": 0.4}, ", 0.4 rows/s, ", ""),
        ({"rate": 0.0}, ", 0 rows/s, ", ""),
        ({"done": 98_790, "eta": 0.0}, "(100 %)", "left"),
        ({**EMPTY, "last_error": None}, "^0 of 0 rows (100 %)", ""),
        ({"in_flight": 43, "window": 10}, ", 43 in flight, 10 from now on, ", ""),
    ],
)
def test_the_line_says_where_it_stands_and_how_fast_it_goes(change: Mapping[str, Any], says: str, never: str) -> None:
    text = line_of(replace(UNDER_WAY, **change))
    assert re.search(re.sub(r"[()]", r"\\\g<0>", says), text), text
    assert not never or not re.search(never, text), text
    assert not text.endswith("…") or len(text) <= 200


def test_the_name_of_the_run_stands_first_and_what_matters_most_in_80_columns() -> None:
    assert line_of(UNDER_WAY, "k7m2q").startswith("k7m2q: 12 348 of 98 780 rows (12 %)")
    assert drawn(UNDER_WAY, 80, "k7m2q")[0].startswith("run k7m2q")
    assert line_of(UNDER_WAY)[:80].endswith("16:54 left, 12/16 in flight, window 16 ")
    assert "held: EVENTS_STACK 5,120 > 1,000" in line_of(replace(UNDER_WAY, **HELD))[:100]


CLAIMED = {
    **HELD,
    "counts": {"pending": 86_000, "sending": 16, "accepted": 7},
    "in_flight": 0,
    "held": "paused by root",
}
AWAY = {**HELD, "held": f"EVENTS_STACK cannot be read: {'the database is away ' * 3}"}


@pytest.mark.parametrize(
    ("change", "width", "says", "never"),
    [
        # On a narrow terminal it wraps, and loses nothing.
        (AWAY, 40, "held EVENTS_STACK cannot be read: the database is away the database is away", "x"),
        (AWAY, 40, "12/16 in flight", "x"),
        (AWAY, 40, "accepted 12 345", "x"),
        # What is claimed is not said to be sent.
        (
            CLAIMED | {"counts": {"pending": 86_000, "sending": 16}},
            80,
            "pending 86 016",
            "sending|in flight",
        ),
        # Only the commonest kinds of error are shown while it goes.
        ({"errors": {f"kind {one}": 9 for one in "abcdefgh"}}, 80, "error 9 × kind b error 9 × kind c", "kind d"),
    ],
)
def test_the_screen_says_it_in_its_width(change: Mapping[str, Any], width: int, says: str, never: str) -> None:
    shown = drawn(replace(UNDER_WAY, **change), width)
    assert max(map(len, shown)) <= width
    words = " ".join(" ".join(shown).split())
    assert says in words
    assert not re.search(rf"\b({never})\b", words), words


@pytest.mark.parametrize("change", [{}, {"intake_ended": False}, {"done": 98_790}])
def test_no_bar_is_red_while_all_is_well(change: dict[str, Any]) -> None:
    file = StringIO()
    console = Console(file=lasting(file), width=80, force_terminal=True, color_system="truecolor", highlight=False)
    well = replace(UNDER_WAY, counts={"pending": 4, "accepted": 5}, errors={}, last_error=None)
    console.print(screen_of(replace(well, **change)))
    colours = re.findall(r"\x1b\[([0-9;]*)m", file.getvalue())
    # rich's own bar is pink.
    assert [codes for codes in colours if re.search(r"\b(31|91|249;38;114)\b", codes)] == []


async def test_the_money_so_far_is_that_of_rows_in_the_billing() -> None:
    progress = Progress()
    totals = Totals(
        {State.ACCEPTED: 1, State.PENDING: 2}, {State.ACCEPTED: Decimal("10.5"), State.PENDING: Decimal(7)}
    )
    progress.take_up(totals, intake_ended=True)
    progress.moved(State.SENDING, State.ACCEPTED, amount=Decimal("2.25"))
    progress.moved(State.SENDING, State.REJECTED, amount=Decimal(100))
    progress.moved(State.ACCEPTED, State.UNKNOWN, amount=Decimal("0.25"))
    progress.moved(State.ACCEPTED, State.APPLIED, amount=Decimal(1))
    assert progress.status().entered == Decimal("12.50")


async def test_a_corrected_row_is_counted_once() -> None:
    progress = Progress()
    progress.take_up(Totals({State.ACCEPTED: 8, State.REPLACED: 2, State.SKIPPED: 1}), intake_ended=True)
    assert line(progress.status()).plain.replace(JOINT, " ").startswith("8 of 8 rows (100 %)")


async def test_rows_that_are_only_seen_are_counted_before_the_first_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SILENCE", "EVERY"):
        monkeypatch.setattr(streams, name, 0.01)
    progress = Progress()
    texts: Queue[str] = Queue()
    seen = 0

    def until(text: str) -> None:
        while text not in plain(texts.get(timeout=60)):
            pass

    with WaitingLine().shown_by(texts.put, lambda: 200), show_intake(progress, "subscribers.csv", lambda: seen):
        until("reading subscribers.csv: 0 rows, 0:00")
        seen = 41_310
        until("reading subscribers.csv for what stands twice: 41 310 rows, 0:00")
        progress.frozen([], 2)
        progress.counts[State.PENDING] = 1
        until("reading subscribers.csv: 1 row, 2 refused, 0:00")
