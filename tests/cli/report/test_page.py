"""The page of a report is the same to the byte in each version: an earlier one would check no more."""

import hashlib
import html
import io
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from pypdf import PdfReader

from checkpoints.records import (
    AccountFigures,
    Command,
    Decision,
    LookUps,
    RowFigures,
    Run,
    RunHistory,
    Runner,
    Totals,
    Verification,
)
from checkpoints.rows import LaneCounts, StepCount
from checkpoints.sentences import AS_WANTED, DIFFERENT
from checkpoints.states import State
from checkpoints.tally import ExtraSubscriber, ImportTally, Subtotal, TallyGroup, TallyKind
from cli.report.document import FileBeside, page_of, pdf_of
from cli.report.facts import EnteredRow, Evidence, ExceptionRow, ReportedRun, ReportFacts, SubjectKind
from cli.session.run_view import StepMark
from cli.settings.settings import Letterhead
from cli.terminal.texts import RUSSIAN, language
from jobs.catalogue.catalogue import BUILT_IN
from jobs.imports.subscriber import Step
from jobs.sums import Effect, RunSums, Subscribers
from texts.said import said

AT = datetime(2026, 11, 26, 2, 14, 5, tzinfo=UTC)
TARGET = "http://billing.example.org:8082"
MAPPED = {"input_columns": "amount=Сумма"}
_NEW = ("balances", MAPPED, TARGET, "<b>.csv", "ab" * 32, ("contract",))
RUN = Run(*_NEW, run_id=1, name="k7m2q", created_at=AT, frozen_at=AT, approved_at=AT)
COUNTS = {state: number for number, state in enumerate(State, 3)}
STATES = {state: Subtotal(number, Decimal(number) * Decimal("1000.25")) for state, number in COUNTS.items()}
RUNNER = Runner("run", "root@vm, process 7", 7, "1.2", "5.24", AT, None, LookUps(2, 1, 3))
READ: dict[str, str | int] = {
    "as_wanted": 5,
    "different": 2,
    "unreadable": 1,
    "expected": "10.00",
    "found": "9.50",
    "accounts": 4,
    "accounts_expected": "7",
    "accounts_found": "8",
    "accounts_different": 1,
    "accounts_moved": 2,
    "accounts_untold": 3,
}
FIGURES = (msgspec.convert(READ, RowFigures), msgspec.convert(READ, AccountFigures))
DECIDED = Decision(5, "", State.ACCEPTED, "olga", "seen", AT.isoformat())
ENTERED = ReportedRun(
    run=RUN,
    totals=Totals(
        COUNTS, {state: one.amount for state, one in STATES.items()}, refused=2, left_out={"--limit": 1}, different=2
    ),
    sums=RunSums(
        Effect.ENTERS,
        True,
        STATES,
        Subtotal(2, Decimal(-3)),
        Subtotal(2, Decimal(5), 1),
        1,
        4,
        undone=Subtotal(3, Decimal("12.5")),
    ),
    history=RunHistory(AT, said("type 8 sets a balance")),
    runners=(RUNNER, replace(RUNNER, purpose="resume", ended_at=AT, look_ups=LookUps())),
    commands=(Command("olga@vm", "rate 5", "the rate is 5", AT),),
    verification=Verification(AT, "olga@vm", *FIGURES),
    exceptions=(
        ExceptionRow(4, 3, "00123", Decimal("1.5"), State.REJECTED, "no such <account>"),
        ExceptionRow(None, 5, "00124", None, State.ACCEPTED, "", DECIDED),
        ExceptionRow(9, 7, "00125", Decimal(-3), State.SKIPPED, "with line 8", merged_into=6),
        ExceptionRow(11, None, "", None, None, "not an amount"),
    ),
    exceptions_in_all=204,
    evidence=Evidence("cd" * 32, 12_345, b"digest"),
    undone_by={},
    spec=BUILT_IN.known(RUN),
)
LEFT = (Subtotal(1, Decimal(2)), Subtotal(1, Decimal(1)))
GROUPS = tuple(
    TallyGroup(kind, str(key), f"group {key}", Subtotal(key, Decimal(9)), Subtotal(2, Decimal(key)), *LEFT)
    for kind in TallyKind
    for key in (2, 5)
)
IMPORTED = replace(
    ENTERED,
    run=replace(RUN, name="p2v9x", job="import", paused_at=AT, paused_by="olga"),
    sums=replace(ENTERED.sums, subscribers=Subscribers(LaneCounts(20, 1, 2, 3, 18, 20), 2, 1)),
    verification=Verification(
        AT, "olga", *FIGURES, ImportTally(GROUPS, 2, 1, 1, (ExtraSubscriber(7, "", "Bond", 0, Decimal(-7)),))
    ),
    steps=tuple(
        StepCount(step, state, changes=False, kind=kind, items=number, amount=Decimal(1), taken_back=1)
        for number, (step, state, kind) in enumerate(
            (one, *other)
            for one in Step
            for other in (
                (State.ACCEPTED, ""),
                (State.SKIPPED, AS_WANTED),
                (State.SKIPPED, DIFFERENT),
                (State.UNKNOWN, ""),
            )
        )
    ),
)
UNDO = replace(
    ENTERED,
    run=replace(RUN, name="w3t8h", job="undo", parameters={"run": "k7m2q"}, source_digest=""),
    sums=replace(ENTERED.sums, effect=Effect.TAKES_BACK),
    spec=None,
)
DONE = Totals({State.APPLIED: 3}, {State.APPLIED: Decimal(3)})
MARK = StepMark("/etc/night.toml", 2, 1, 3, AT, "ef" * 32)
STEP = replace(
    ENTERED, run=replace(RUN, parameters=MARK.to_parameters()), totals=DONE, exceptions=(), exceptions_in_all=0
)
CASES = {
    "run": (SubjectKind.RUN, (ENTERED,)),
    "import": (SubjectKind.RUN, (IMPORTED,)),
    "undo": (SubjectKind.UNDO, (ENTERED, UNDO)),
    "file": (SubjectKind.FILE, (STEP, replace(IMPORTED, run=replace(IMPORTED.run, parameters=MARK.to_parameters())))),
    "campaign": (SubjectKind.CAMPAIGN, (ENTERED, IMPORTED, UNDO)),
    "signed": (SubjectKind.RUN, (replace(ENTERED, totals=DONE),)),
}
PAGES = {
    "run": ("59098072f931", "68a3bf1d8bbb"),
    "import": ("d0c2273700e0", "518685b2ed39"),
    "undo": ("f28cd65855bb", "af302090dd74"),
    "file": ("6ff78ee2dc66", "995c8d5118eb"),
    "campaign": ("74ee2d638713", "eea890bbf77b"),
    "signed": ("964ac6991021", "5870c02ff22a"),
}
"""The beginnings of the SHA-256 of each page, in English and in Russian. Another one checks no earlier report."""


def facts_of(kind: SubjectKind, runs: tuple[ReportedRun, ...]) -> ReportFacts:
    return ReportFacts(kind, runs, "12" * 32, None)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("what", CASES)
def test_these_facts_give_the_page_that_they_have_always_given(what: str) -> None:
    exceptions, extra = FileBeside("exceptions.csv", "34" * 32), FileBeside("extra.csv", "56" * 32)
    files = {("k7m2q", "exceptions"): exceptions, ("k7m2q", "not-in-file"): extra}
    names = Letterhead("ООО «Связь»", "Olga", "", "Ivan")
    pages = [page_of(facts_of(*CASES[what]), language(name), names, files) for name in ("en", "ru")]
    assert tuple(hashlib.sha256(page.encode()).hexdigest()[:12] for page in pages) == PAGES[what]


def test_it_begins_with_sums_and_ends_with_what_proves_it() -> None:
    """An accountant reads from the top to the signatures; rows, flags and hashes are the annex behind them."""
    _, (signed, *_) = CASES["signed"]
    run = replace(signed, annex=(EnteredRow("2", "00777", Decimal("1.5")),))
    page = page_of(facts_of(SubjectKind.RUN, (run,)), language("en"), Letterhead("", "", "", ""), {})
    order = [
        "Control sums",
        "Outcome",
        "Exceptions",
        '<table class="sign">',
        "Rows in the billing",
        "How it was done",
        "Root over all rows",
    ]
    places = [page.index(one, page.index("<body>")) for one in order]
    assert places == sorted(places)
    assert page.index("00777", places[4]) < places[5]
    assert all(one not in page[page.index("<body>") : places[3]] for one in ("ab" * 32, "cd" * 32))


# ---- The report as PDF: it has each letter that its fonts have, and spells those that PDF/A would refuse


def pages_of(section: str) -> Any:
    page = f"""<html><body>
<div class="watermark" aria-hidden="true">ПРЕДВАРИТЕЛЬНЫЙ</div>
<h1>Протокол</h1>
<p class="verdict preliminary">ПРЕДВАРИТЕЛЬНЫЙ. Внесено.</p>
{section}
</body></html>"""
    facts = cast("Any", SimpleNamespace(name="k7m2q", date=datetime(2026, 11, 26, tzinfo=UTC)))
    return PdfReader(io.BytesIO(pdf_of(page, facts, language(RUSSIAN)))).pages


def test_no_letter_of_a_file_keeps_a_report_from_being_made() -> None:
    letters = "".join(map(chr, range(0x20, 0x3000)))
    shown = html.escape("".join(letter for letter in letters if unicodedata.category(letter)[0] != "C"))
    section = f'<h2>Ё № ₽</h2><p class="before">{shown}</p><p class="note">Ёлка 😀 И\u0306 漢</p>'
    text = "".join(page.extract_text() for page in pages_of(section))
    assert "Ё № ₽" in text
    assert r"Ёлка \U0001f600 Й \u6f22" in text


def test_a_word_of_any_length_stays_in_its_column_and_a_row_on_its_page() -> None:
    columns = "".join(f'<col style="width:{width}%">' for width in (20, 50, 30))
    head = "<tr><th>Строка</th><th>Договор</th><th>Сумма</th></tr>"
    cells = f'<td>{"длинное_слово" * 12}</td><td class="number">1,00</td>'
    rows = "\n".join(f"<tr><td>{number}</td>{cells}</tr>" for number in range(60))
    table = f"<colgroup>{columns}</colgroup>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>"
    pages = pages_of(f"<h2>Исключения</h2>\n<table>\n{table}\n</table>")
    assert len(pages) > 1
    for page in pages:
        text = page.extract_text()
        assert "ПРЕДВАРИТЕЛЬНЫЙ" in text
        assert "Договор" in text
        # A row is whole: as many words as amounts.
        assert "".join(text.split()).count("длинное_слово") == 12 * text.count("1,00")
        # A word that ran out of its column would need one line.
        assert text.count("1,00") < 20
