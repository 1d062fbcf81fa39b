"""What a person sees at 80, 100 and 160 columns, and in Russian at 80: `tests/cli/screens/NAME-WIDTH[-ru].txt`.

A change of a screen is a change of its files: `SCREENS=write pytest tests/cli/test_screens.py` writes them anew, and
the difference is read before it is committed.
"""

import os
import platform
import shlex
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from billing.api.calls import create
from billing.api.client import BillingClient, Health
from billing.api.error_catalogue import LICENCE
from billing.profile import Profile
from checkpoints.comparison import ListDifference, ListDifferences
from checkpoints.history import RunSummary
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, Command, Holder, Item, NewItem, NewRun, Reason, Refusal, Run, Shared, Totals
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from checkpoints.tally import ExtraSubscriber, ImportTally, Subtotal, TallyGroup, TallyKind
from cli.commands import doctor
from cli.commands.jobs import show
from cli.commands.plan import PlanFacts, ValueChanges, next_step, plan_screen
from cli.commands.status import RunsTable, detail
from cli.session.overview import view_of
from cli.session.run_view import QueuedRun, RunView
from cli.settings.flags import Flags
from cli.settings.settings import Settings
from cli.show.closing import Closing, run_again, show_closing, steps_of
from cli.show.preview import PreviewFacts, RowsFound, Target, facts_of, preview
from cli.show.progress import screen_of
from cli.terminal import layout as template
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Badge, Hanging, render
from cli.terminal.screen import Screen
from cli.terminal.streams import lasting
from cli.terminal.texts import ENGLISH, RUSSIAN, set_reader
from engine.pacing.holds import ASKING_AGAIN
from engine.pacing.policy import Policy
from engine.pipeline.progress import Status
from jobs.access.gateway import Gateway, OneBilling
from jobs.access.payload import Payload, encode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.imports.subscriber import LANE, STEP_MODELS, Step
from jobs.spec.columns import Assigned, Column
from jobs.spec.parameters import row_key
from jobs.value_changes import ChangeKind, FieldChange, RowChange, row_changes
from tests.checkpoints.samples import frozen_run, keep, new_item, page
from tests.cli.conftest import Place, clean_environment
from texts.said import reason, said

FOLDER: Final = Path(__file__).parent / "screens"
WIDTHS: Final = (80, 100, 160)
RUSSIAN_WIDTH: Final = 80
NAMES: Final = (
    "doctor preview profile-production profile-test plan load held closing status runs fleet import-preview "
    "import-plan import-closing import-undo import-tally job-balances job-tariff-threshold"
)
NAME: Final = "k7m2q"
JOURNAL: Final = Path("/var/lib/carbon-migrate/billing.example.org-8082.journal")
TARGET: Final = "http://billing.example.org:8082"
REFUSED: Final = said("no connection to {server}: {why}", server="billing.example.org:8082", why="Connection refused")
MORNING: Final = datetime(2026, 3, 1, 2, 14, 5, tzinfo=UTC)

Shows = Callable[[Screen], Awaitable[None]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are local; here it is Greenwich everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def file_of(name: str, width: int, language: str = ENGLISH) -> str:
    return f"{name}-{width}.txt" if language == ENGLISH else f"{name}-{width}-{language}.txt"


async def compare(name: str, shows: Shows) -> None:
    """Hold a screen against its files, and against what holds of all screens."""
    for width, language in (*((width, ENGLISH) for width in WIDTHS), (RUSSIAN_WIDTH, RUSSIAN)):
        file, path = StringIO(), FOLDER / file_of(name, width, language)
        console = Console(file=lasting(file), width=width, highlight=False, emoji=False, color_system=None)
        set_reader(language)
        try:
            await shows(Screen(err=console, out=console))
        finally:
            set_reader(ENGLISH)
        if os.environ.get("SCREENS") == "write":
            path.write_text(file.getvalue(), encoding="utf-8")
        assert file.getvalue() == path.read_text(encoding="utf-8"), f"{path.name} is not what is shown"
        for line in file.getvalue().splitlines():
            assert "…" not in line.replace("=…", "").replace("… and ", "").replace("… и ", ""), line
            # What is longer than a line is whole: a command, a request, a select, or a path with nothing beside it.
            is_one_word = len(line.rpartition("  ")[2].split()) == 1
            assert len(line) <= width or line.startswith("  ") or is_one_word, line
            # A question is broken by the terminal's width alone, for the answer is typed behind it.
            assert line == line.rstrip() or name.startswith("profile-"), "no line has spaces at its end"
            if "carbon-migrate " in line and not line.startswith(("✓", "✗", "!")):
                assert line.startswith("  carbon-migrate "), f"a command has a line of its own: {line}"


def of(*made: Callable[[], RenderableType | Awaitable[RenderableType]]) -> Shows:
    async def shows(screen: Screen) -> None:
        for make in made:
            one = make()
            screen.show(await one if isinstance(one, Awaitable) else one)

    return shows


# ---- the run that is shown ---------------------------------------------------------------------------------------


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "journal") as opened:
        yield opened


def new_run() -> NewRun:
    file = "/home/admin/migration/2026-03/opening-balances-of-all-branches.csv"
    own = {"op_type": "8", "descr": "Миграция балансов", "input_file": file}
    return NewRun("balances", own, TARGET, file, "d1", ("contract_number", "amount"), {"rate": "60"})


def exponent_in(cell: str) -> str:
    return said("{cell!r} (column {column}): {error}", cell=cell, column=2, error=said("an exponent is not allowed"))


def known(run: Run) -> Run:
    """The run as it would be with a name and times that are always the same."""
    return replace(run, name=NAME, created_at=MORNING, frozen_at=MORNING, approved_at=MORNING)


async def stopped_run(journal: Journal) -> Run:
    """A run of which some rows are in every state that a person has to look at."""
    amounts = [f"{1234 + 77 * number}.50" for number in range(12)]
    items = [new_item(f"{number:05}", amount, line=number + 2) for number, amount in enumerate(amounts)]
    run = await frozen_run(journal, *items, new=new_run())
    refusals = [Refusal(40 + line, "amount", f"{line:05}", exponent_in(f"1,{line}E+03")) for line in range(22)]
    await journal.freeze(run, page(refusals=refusals), keep)
    await journal.end_intake(run)
    await journal.approve(run)
    ids = [item.item_id for item in await journal.items(run, {State.PENDING}, size=100)]
    await journal.claim(run, ids[:9])
    none = "нет счета для проведения финансовой операции"
    lost = said("no answer in time ({silence} s of silence, {deadline} s in all)", silence="60", deadline="300")
    await journal.record(run, [Change(item, State.ACCEPTED, answer="9001") for item in ids[:4]])
    await journal.record(run, [Change(item, State.REJECTED, message=f"{none}: {item}") for item in ids[4:6]])
    await journal.record(run, [Change(item, State.UNKNOWN, message=lost) for item in ids[6:9]])
    await journal.record(run, [Change(ids[8], State.MANUAL, message="found with another sum: 12.50, not 1850.50")])
    return run


UNDER_WAY: Final = Status(
    counts={"pending": 86_420, "skipped": 10, "sending": 18, "accepted": 12_339, "rejected": 3},
    total=98_790,
    done=12_352,
    skipped=10,
    refused=0,
    intake_ended=True,
    calls=12_400,
    retries=42,
    seconds=150.0,
    rate=85.2,
    average=79.8,
    eta=1014.0,
    in_flight=12,
    window=16,
    p50=0.045,
    p95=1.25,
    why=reason("rate {rate}", "rate", rate="60"),
    held=None,
    held_seconds={},
    paused=False,
    errors={"нет счета для проведения финансовой операции: account 4711": 3},
    last_error="00123: нет счета для проведения финансовой операции: account 4711",
    entered=Decimal("15484392.35"),
)


async def test_doctor(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def healthy(_client: BillingClient) -> Health:
        # Without a time of its own: how far two clocks are apart is no fixed number.
        return Health("5.24.06", None, 0.012)

    async def compared(_gateway: Gateway, _settings: Settings) -> OneBilling:
        return OneBilling("0a1b2c3d 4e5f6071 8293a4b5 c6d7e8f9", compared=5)

    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    disk_usage = shutil.disk_usage
    (place.cli.folder / "billing.fdb").symlink_to(place.file)
    monkeypatch.chdir(place.cli.folder)
    monkeypatch.setenv("CARBON_MIGRATE_API_URL", TARGET)
    monkeypatch.setenv("CARBON_MIGRATE_DATABASE", "billing.fdb")
    monkeypatch.setenv("CARBON_MIGRATE_JOURNAL", "/there-is-no-such-folder/billing.example.org-8082.journal")
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(BillingClient, "health", healthy)
    monkeypatch.setattr(doctor, "one_billing", compared)
    # What leads here is the folder of this very test.
    monkeypatch.setattr("cli.commands.execution.advise_typed", lambda _flags, _settings: None)
    monkeypatch.setattr(doctor, "version", lambda _name: "1.2.3")
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.9")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk_usage(path)._replace(free=54_937 << 20))

    async def shows(screen: Screen) -> None:
        for verbose in (False, True):
            assert await doctor.examine(Flags(), screen, verbose=verbose) is Exit.DONE

    await compare("doctor", shows)


def changed_values(item: Item) -> ValueChanges:
    """Balances, as all rows of this job have them, and what rows of other jobs change."""
    operation, called = Payload("FinanceOperations", (), key={"op_type_id": "8"}), Payload("Users", ())
    values = ValueChanges()
    for number in range(1, 98_781):
        balance = FieldChange("balance", "-1204.55" if number % 2 else "0", f"{number}.5")
        one = msgspec.structs.replace(item, line=number + 1, label=f"{number:05}", payload=encode_payload(operation))
        values.add(RowChange(one, operation, "AdminAccounts", "", ChangeKind.CHANGED, (balance,)))
    plain = msgspec.structs.replace(item, payload=encode_payload(called))
    pool = (
        FieldChange("ip", "10.24.3.17", None, issued=True),
        FieldChange("pull", None, "Белый пул для физических лиц"),
    )
    values.add(RowChange(plain, called, "Users", "", ChangeKind.CHANGED, pool))
    comment = FieldChange("comment", None, "Обещанный платёж по заявлению абонента от 1 марта")
    service = FieldChange("usluga_id", None, "5"), FieldChange("manager_id", None, "12"), comment
    values.add(RowChange(plain, called, "UsersUsluga", "", ChangeKind.NEW, service))
    gone = tuple(FieldChange(one.name, one.new, None) for one in service)
    values.add(RowChange(plain, called, "UsersUsluga", "", ChangeKind.REMOVED, gone))
    return values


def planned() -> PlanFacts:
    new = new_run()
    run = Run(
        new.job, new.parameters, TARGET, new.source, "d1", run_id=1, name=NAME, created_at=MORNING, frozen_at=MORNING
    )
    refusals = [Refusal(17, "amount", "00012", exponent_in("1,5E+03"))]
    where = said("line {line}", line=6)
    same = said("a duplicate in the input: the same key and amount as {where}", where=where)
    item = Item(7, 6, "k", "00014", "account 14", "{}", Decimal(7), 7, (), State.SKIPPED, 0, None, same, "")
    entry = said("operation {id} of {amount}, {day}", id="3739", amount=Decimal("8.50"), day="2026-02-27")
    alike = said("looks as if entered already: {entry}", entry=entry)
    sums = {State.PENDING: Decimal("12406392.35"), State.SKIPPED: Decimal(70)}
    taken = {"contract_number": Column("Лицевой счёт", 0), "amount": Column("Сумма", 1)}
    plan = PreviewFacts(
        run=run,
        totals=Totals({State.PENDING: 98_780, State.SKIPPED: 10}, sums, refused=1),
        has_amounts=True,
        skipped=[Reason(DUPLICATE, 10, Decimal(70), 7, "00014", same)],
        refusals=refusals,
        repeated=RowsFound(10, Decimal(70), [item]),
        shared=Shared(3, 7, Decimal("100.00")),
        columns=Assigned(taken, ("Комментарий", "ФИО")),
        look_alikes=RowsFound(
            1, Decimal("8.50"), [msgspec.structs.replace(item, line=9, label="00016", message=alike)]
        ),
        assumptions=[
            said("an operation of type 8 sets the balance to its sum"),
            said("a comment is kept as it was sent"),
        ],
    )
    request = (
        'FinanceOperations: objects.create(abonent_id=2013, op_summa="12.50", op_type_id=8, '
        'descr="Миграция балансов [cm k7m2q/1]") | op_id, descr'
    )
    changed = ListDifference(said("another amount"), 3, "00001", amounts=(Decimal(1), Decimal(2)))
    return PlanFacts(
        plan=plan,
        kinds={said("new"): Subtotal(98_780, sums[State.PENDING])},
        values=changed_values(item),
        refused=Subtotal(1, Decimal(1500)),
        requests=[request],
        per_second=248.0,
        at_once=4,
        before=run,
        refused_before=1,
        changes=ListDifferences({said("another amount"): 2}, [changed]),
    )


async def test_plan_and_preview() -> None:
    facts = planned()
    target = Target(TARGET, "5.24.06", "billing.example.org/3050:/app/asr_billing/var/db/billing.gdb")

    async def shows(screen: Screen) -> None:
        screen.result(plan_screen(facts, target, str(JOURNAL), "carbon-migrate plan balances balances.csv -o DIR"))
        screen.result(next_step(facts.plan, bad=True))

    await compare("plan", shows)
    await compare("preview", of(lambda: preview(facts.plan, Target(TARGET, "5.24.06", None), str(JOURNAL), Policy())))


class Keyboard:
    """A keyboard at which these lines are typed, and are seen on the screen as at a terminal."""

    def __init__(self, *lines: str) -> None:
        reading, writing = os.pipe()
        with os.fdopen(writing, "w", encoding="utf-8") as typed:
            typed.writelines(f"{line}\n" for line in lines)
        self._file = os.fdopen(reading, encoding="utf-8")
        self.screen: Screen | None = None

    def fileno(self) -> int:
        return self._file.fileno()

    def readline(self) -> str:
        line = self._file.readline()
        if self.screen:
            self.screen.err.print(line, end="", markup=False)
        return line

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize(
    ("badge", "answers"),
    [(Badge("production", "ISP North", production=True), ("y", "isp north")), (Badge("test"), ("y",))],
    ids=["production", "test"],
)
async def test_the_badge_of_a_profile_and_its_question(
    badge: Badge, answers: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shows(screen: Screen) -> None:
        screen.badge = badge
        screen.say(badge.line)
        with closing(Keyboard(*answers)) as keyboard:
            keyboard.screen = screen
            monkeypatch.setattr(Screen, "keyboard", lambda *_: nullcontext(keyboard))
            asked = planned().plan.question(Target(TARGET, "", None))
            assert await screen.agrees(asked, CommandRefused(asked), to_send=True)

    await compare(f"profile-{badge.profile}", shows)


async def test_a_load_that_is_under_way_and_one_that_is_held() -> None:
    await compare("load", of(lambda: screen_of(UNDER_WAY, NAME)))
    away = reason(
        "asking again in {seconds} s: {why}",
        ASKING_AGAIN,
        seconds=16,
        why=said("the billing is away ({why})", why=REFUSED),
    )
    held = replace(UNDER_WAY, held=away, why=away, eta=None, rate=0.0, in_flight=0)
    await compare("held", of(lambda: screen_of(held, NAME)))


async def test_the_closing_of_a_load_and_the_status_of_it_and_of_all_runs(journal: Journal) -> None:
    run = await stopped_run(journal)
    why = said("the billing is away ({why})", why=REFUSED)
    totals = await journal.totals(run)
    closed = Closing(Exit.STOPPED, NAME, "balances", totals, 9, 312.0, {"billing": 301.0}, why, pace=0.82)
    await compare("closing", of(lambda: show_closing(closed, known(run), journal)))
    await compare("status", of(lambda: detail(RunView(known(run), totals), journal)))
    other = replace(known(run), name="p2v9x", job="warning-threshold", source="the job's own select")

    runs = [
        RunView(known(run), totals, Holder("billing-gw", 4711, "2026-03-01 02:14:05 UTC")),
        RunView(other, Totals({State.APPLIED: 98_780})),
        RunView(replace(other, name="w3t8h", discarded_at=MORNING), Totals({})),
    ]
    await compare("runs", of(lambda: RunsTable(runs)))


async def test_all_billings_on_one_screen(journal: Journal) -> None:
    begun = known(await journal.create_run(new_run()))
    now = MORNING + timedelta(hours=1)
    queued = QueuedRun("m3k8z", TARGET, given_out=False, priority=0, attempts=0, not_before=None, since=MORNING)
    at_five = replace(queued, not_before=now + timedelta(hours=2), attempts=1)
    left = Command("root@mover2", "worker", said("exit code 2: the key is not accepted"), now)
    mover = Holder("mover3", 4711, "2026-03-01 02:14:05 UTC")
    half = Totals({State.PENDING: 2_272, State.ACCEPTED: 3_700, State.REJECTED: 28})
    some = Totals({State.PENDING: 2_272, State.ACCEPTED: 3_700})
    whole = Totals({State.APPLIED: 98_780}, {State.APPLIED: Decimal("12406392.35")})
    undecided = Totals({State.ACCEPTED: 9_888, State.MANUAL: 3})

    def run(name: str, job: str = "balances", **changes: Any) -> Run:
        return replace(begun, name=name, job=job, **changes)

    def of_billing(name: str, seen: RunSummary, queued: QueuedRun | None = None) -> RunView:
        facts = {each.name: getattr(seen, each.name) for each in fields(seen)}
        return RunView(**facts, name=name, profile=name, journal="journal", is_shared=True, queued=queued, now=now)

    runs = [
        of_billing("north", RunSummary(run("k7m2q"), half, mover, MORNING, per_second=41.5)),
        of_billing("south", RunSummary(run("p2v9x"), undecided)),
        of_billing("west", RunSummary(run("w3t8h", "tariff-threshold"), half, note=left)),
        of_billing("east", RunSummary(run("m3k8z"), some), queued),
        of_billing("centre", RunSummary(run("d5r4n", policy={"hours": "05:00-07:00"}), some), at_five),
        of_billing("airport", RunSummary(run("h6j2k", frozen_at=None, approved_at=None), half)),
        of_billing("port", RunSummary(run("a8s3d"), Totals({State.PENDING: 900}), mover, MORNING, per_second=9.4)),
        *(of_billing("old", RunSummary(run(f"x{number:04}"), whole)) for number in range(12)),
    ]
    await compare("fleet", of(lambda: view_of(runs)))


@pytest.mark.parametrize("job", ["balances", "tariff-threshold"])
async def test_a_job(job: str) -> None:
    async def shows(screen: Screen) -> None:
        show(job, BUILT_IN, screen)

    await compare(f"job-{job}", shows)


def test_there_is_no_file_of_a_screen_that_is_no_more() -> None:
    english = {file_of(name, width) for name in NAMES.split() for width in WIDTHS}
    russian = {file_of(name, RUSSIAN_WIDTH, RUSSIAN) for name in NAMES.split()}
    # The help has its own test.
    there = {path.name for path in FOLDER.iterdir() if not path.name.startswith("help")}
    assert there == english | russian


# ---- an import, whose rows are steps -------------------------------------------------------------------------------

TABLE: Final = "/home/admin/migration/2026-03/subscribers-of-all-branches.csv"
SUBSCRIBERS: Final = 40
REFUSALS: Final = 22


def new_import() -> NewRun:
    dictionary = "/home/admin/migration/2026-03/dictionary.csv"
    own = {"dictionary": dictionary, "dictionary_sha256": "0123456789abcdef" * 4, "change": "no", "input_file": TABLE}
    return NewRun("import", own, TARGET, TABLE, "d1", ("Договор", "ФИО"))


_FIELDS = {Step.ACCOUNT: "login", Step.TARIFF: "tarif_id", Step.SERVICE: "usluga_id", Step.BALANCE: "op_summa"}


def step(
    line: int, which: Step, *, amount: str | None = None, skipped: str | None = None, detail: str = ""
) -> NewItem:
    number = f"15J{line:05}"
    values: dict[str, str | None] = (
        {"name": "Иванов Иван"} if which is Step.SUBSCRIBER else {_FIELDS[which]: detail or "7"}
    )
    payload = Payload(STEP_MODELS[which], create(STEP_MODELS[which], **values).steps, wanted=values, step=which)
    return NewItem(
        key=row_key((number, which, detail)),
        label=number,
        lane=f"{LANE}{number}",
        payload=encode_payload(payload),
        amount=None if amount is None else Decimal(amount),
        line=line,
        row=(number, "Иванов Иван") if which is Step.SUBSCRIBER else (),
        skip_reason=skipped,
    )


def folder(name: str) -> NewItem:
    payload = Payload("Abonents", create("Abonents", name=name).steps, wanted={"name": name}, step=Step.FOLDER)
    return NewItem(row_key(("folder", name)), name, "folders", encode_payload(payload), line=2)


def steps(line: int) -> list[NewItem]:
    """The steps of a subscriber: each third one is there already, each ninth with another name."""
    there = said("already as wanted: {fields}", fields="name Иванов Иван")
    other = said(
        "there already, and different: {changes}; {flag} changes it",
        changes="name: Иванова Анна → Иванов Иван",
        flag="--change",
    )
    reason = None if line % 3 else there if line % 9 else other
    return [
        step(line, Step.SUBSCRIBER, skipped=reason),
        step(line, Step.ACCOUNT, skipped=None if reason is None else there, detail=f"user{line}"),
        step(line, Step.TARIFF),
        step(line, Step.SERVICE, detail="103"),
        step(line, Step.BALANCE, amount=f"{line * 17}.50"),
    ]


async def import_run(journal: Journal) -> Run:
    items = [folder("Посёлок Северный"), *(one for line in range(2, SUBSCRIBERS + 2) for one in steps(line))]
    run = await frozen_run(journal, *items, new=new_import())
    refusals = [
        Refusal(50 + line, "Телефон", f"15J{50 + line:05}", said("{text!r} is not a phone", text=f"+7 912 {line}"))
        for line in range(REFUSALS)
    ]
    await journal.freeze(run, page(refusals=refusals), keep)
    await journal.end_intake(run)
    return await journal.run(run.name)


async def import_facts(run: Run, journal: Journal) -> PreviewFacts:
    columns = Assigned({"contract_number": Column("Договор", 0), "name": Column("ФИО", 1)}, ("Комментарий",))
    return replace(await facts_of(run, journal), run=replace(known(run), approved_at=None), columns=columns)


async def test_the_preview_of_an_import(journal: Journal) -> None:
    plan = await import_facts(await import_run(journal), journal)
    shown = (
        lambda: preview(plan, Target(TARGET, "5.24.06", None), str(JOURNAL), Policy()),
        lambda: Hanging(Text(""), render(plan.question(Target(TARGET, "", None)))),
    )
    await compare("import-preview", of(*shown))


async def test_the_plan_of_an_import(journal: Journal) -> None:
    run = await import_run(journal)
    values = ValueChanges()
    async for changes in row_changes(run, journal, Profile()):
        for change in changes:
            values.add(change)
    facts = PlanFacts(
        plan=await import_facts(run, journal),
        kinds={},
        values=values,
        refused=Subtotal(),
        requests=['Abonents: objects.create(contract_number="15J00002", name="Иванов Иван")'],
        per_second=248.0,
        at_once=4,
        before=None,
        refused_before=0,
        changes=None,
    )
    target = Target(TARGET, "5.24.06", "billing.example.org/3050:/app/asr_billing/var/db/billing.gdb")

    async def shows(screen: Screen) -> None:
        screen.result(plan_screen(facts, target, str(JOURNAL), "carbon-migrate plan import table.csv -o DIR"))

    await compare("import-plan", shows)


async def test_the_closing_of_an_import_whose_licence_ran_out(journal: Journal) -> None:
    run = await import_run(journal)
    await journal.approve(run)
    items = await journal.items(run, {State.PENDING})
    done, refused, unsent = items[:70], items[70:71], items[71:73]
    await journal.claim(run, [one.item_id for one in (*done, *refused, *unsent)])
    no_tariff = "Не найден тариф"
    await journal.record(run, [Change(one.item_id, State.ACCEPTED, answer="9001") for one in done])
    await journal.record(run, [Change(one.item_id, State.REJECTED, message=no_tariff) for one in refused])
    await journal.record(run, [Change(one.item_id, State.PENDING) for one in unsent])
    closing = Closing(
        Exit.STOPPED,
        NAME,
        "import",
        await journal.totals(run),
        73,
        312.0,
        pace=1.3,
        stopped=said("the billing rejects all work: {why}", why=LICENCE),
        imported=await steps_of(run, journal),
    )
    await compare("import-closing", of(lambda: show_closing(closing, known(run), journal)))


def count(subscribers: int, balance: str) -> Subtotal:
    return Subtotal(subscribers, Decimal(balance))


async def test_the_tally() -> None:
    lost, moved = count(3, "1204.50"), count(2, "250.00")
    north, all_of = count(1200, "345678.90"), count(41310, "1234567.80")
    kind, name, said = TallyKind.FOLDER, "Посёлок Северный/Новая улица", count(1197, "344724.40")
    groups = (
        TallyGroup(kind, "1401", name, north, said, not_entered=lost, moved=moved, extra=Subtotal(7)),
        TallyGroup(TallyKind.FOLDER, "Проба", "", Subtotal(1), Subtotal()),
        *(TallyGroup(TallyKind.FOLDER, str(key), f"Улица {key}", north, north) for key in range(3)),
        TallyGroup(TallyKind.TARIFF, "5", "Безлимит 300", all_of, all_of),
        TallyGroup(TallyKind.OPERATOR, "3", "Старый оператор", all_of, count(41310, "1234567.79")),
        TallyGroup(TallyKind.OPERATOR, "", "", Subtotal(2), Subtotal(2)),
    )
    extra = ExtraSubscriber(2003, "Д94/2018", "Лебедева Ольга Петровна", 1401, Decimal("-12.50"))
    tally = ImportTally(groups, 3, 22, 7, (extra,) * 7)
    await compare("import-tally", of(lambda: template.drawn("tally.j2", run={"name": NAME}, tally=tally, most=20)))


async def test_the_closing_of_an_undo_of_an_import(journal: Journal) -> None:
    alone = said("goes with its subscriber, which the run has created")
    changed = said("changed since: {what}", what="name: Иванов Иван → Иванова Анна")
    items = [
        step(line, which, skipped=alone if which is Step.TARIFF else changed if line == 2 else None)
        for line in range(9, 1, -1)
        for which in (Step.TARIFF, Step.ACCOUNT, Step.SUBSCRIBER)
    ]
    new = NewRun("undo", {"run": NAME, "way": "auto"}, TARGET, "run", "", ("run", "row"))
    run = await frozen_run(journal, *items, folder("Посёлок Северный"), new=new)
    await journal.end_intake(run)
    await journal.approve(run)
    pending = await journal.items(run, {State.PENDING})
    await journal.claim(run, [one.item_id for one in pending])
    await journal.record(run, [Change(one.item_id, State.ACCEPTED) for one in pending])
    closing = Closing(
        Exit.DONE, "p2v9x", "undo", await journal.totals(run), 15, 12.0, imported=await steps_of(run, journal)
    )
    await compare("import-undo", of(lambda: show_closing(closing, replace(known(run), name="p2v9x"), journal)))


async def test_the_command_that_imports_again_can_be_pasted(journal: Journal) -> None:
    given = {"dictionary": "/home/olga/my files/dictionary.csv", "change": "yes", "input_map.login": "Имя входа"}
    run = await journal.create_run(replace(new_import(), parameters=given))
    words = shlex.split(run_again(run, "rows.csv"))
    assert words[:3] == ["carbon-migrate", "import", "rows.csv"]
    assert words[3:] == ["--dictionary", given["dictionary"], "--change", "--map", "login=Имя входа"]


async def test_a_folder_that_two_pages_have_asked_for_is_no_duplicate_of_the_input(journal: Journal) -> None:
    asked = folder("Посёлок Северный")
    again = msgspec.structs.replace(
        asked,
        line=1502,
        skip_reason=said("a duplicate in the input: the same key and values as {where}", where="line 2"),
    )
    run = await frozen_run(journal, asked, *steps(2), again, *steps(4), new=new_import())
    await journal.end_intake(run)
    facts = await import_facts(await journal.run(run.name), journal)
    assert (facts.repeated.rows, facts.totals.count(State.SKIPPED)) == (0, 1)
