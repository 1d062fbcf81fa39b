"""What a person sees of an import, as `tests/cli/test_screens.py` has other screens; its rows are steps."""

import shlex
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from rich.text import Text

from billing.api.error_catalogue import LICENCE
from billing.profile import Profile
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Change, NewItem, NewRun, Refusal, Run
from checkpoints.states import State
from checkpoints.tally import Count, ExtraSubscriber, ImportTally, TallyGroup, TallyKind
from cli.show.closing import Closing, first_refusals, show_closing
from cli.show.plan import plan_screen
from cli.show.plan_facts import Known, PlanFacts, ReadingPace
from cli.show.preview import PreviewFacts, Target, preview
from cli.show.steps import import_again, steps_of
from cli.show.tally import tally_screen
from cli.show.value_changes import ValueChanges
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, render
from cli.terminal.screen import Screen
from engine.pacing.policy import Policy
from jobs.access.payload import Payload, chain_of, encode_payload
from jobs.imports.subscriber import LANE, STEP_MODELS, Step
from jobs.spec.columns import Assigned, Column
from jobs.spec.parameters import row_key
from jobs.value_changes import row_changes
from tests.checkpoints.samples import frozen_run, keep, page
from tests.cli.test_screens import JOURNAL, NAME, TARGET, compare, known, of, utc
from texts.said import said

__all__ = ["utc"]

TABLE: Final = "/home/admin/migration/2026-03/subscribers-of-all-branches.csv"
SUBSCRIBERS: Final = 40
REFUSALS: Final = 22


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "journal") as opened:
        yield opened


def new_run() -> NewRun:
    dictionary = "/home/admin/migration/2026-03/dictionary.csv"
    own = {
        "dictionary": dictionary,
        "dictionary_sha256": "0123456789abcdef" * 4,
        "change": "no",
        "input_file": TABLE,
    }
    return NewRun("import", own, TARGET, TABLE, "d1", ("Договор", "ФИО"))


_FIELDS = {Step.ACCOUNT: "login", Step.TARIFF: "tarif_id", Step.SERVICE: "usluga_id", Step.BALANCE: "op_summa"}


def step(
    line: int, which: Step, *, amount: str | None = None, skipped: str | None = None, detail: str = ""
) -> NewItem:
    """A step of the subscriber in a line."""
    number = f"15J{line:05}"
    values: dict[str, str | None] = (
        {"name": "Иванов Иван"} if which is Step.SUBSCRIBER else {_FIELDS[which]: detail or "7"}
    )
    payload = Payload(STEP_MODELS[which], chain_of(("objects.create", dict(values))), wanted=values, step=which)
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
    payload = Payload(
        "Abonents", chain_of(("objects.create", {"name": name})), wanted={"name": name}, step=Step.FOLDER
    )
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
    """A run of an import whose list is complete."""
    items = [folder("Посёлок Северный"), *(one for line in range(2, SUBSCRIBERS + 2) for one in steps(line))]
    run = await frozen_run(journal, *items, new=new_run())
    refusals = [
        Refusal(50 + line, "Телефон", f"15J{50 + line:05}", said("{text!r} is not a phone", text=f"+7 912 {line}"))
        for line in range(REFUSALS)
    ]
    await journal.freeze(run, page(refusals=refusals), keep)
    await journal.end_intake(run)
    return await journal.run(run.name)


async def facts_of(run: Run, journal: Journal) -> PreviewFacts:
    skipped = await journal.reasons(run, State.SKIPPED)
    different = [
        item for item in await journal.items(run, {State.SKIPPED}) if (item.message or "").startswith("there already")
    ]
    return PreviewFacts(
        run=replace(known(run), approved_at=None),
        totals=await journal.totals(run),
        has_amounts=False,
        skipped=skipped,
        refusals=await first_refusals(run, journal),
        repeated=(),
        shared=await journal.shared_lanes(run),
        columns=Assigned({"contract_number": Column("Договор", 0), "name": Column("ФИО", 1)}, ("Комментарий",)),
        steps=await steps_of(run, journal),
        first_differences=different,
    )


async def test_the_preview_of_an_import(journal: Journal) -> None:
    plan = await facts_of(await import_run(journal), journal)

    async def shows(screen: Screen) -> None:
        screen.show(preview(plan, Target("5.24.06", None), str(JOURNAL), Policy()))
        screen.show(Hanging(Text(""), render(plan.question)))

    await compare("import-preview", shows)


async def test_the_plan_of_an_import(journal: Journal) -> None:
    run = await import_run(journal)
    values = ValueChanges()
    async for changes in row_changes(run, journal, Profile()):
        for change in changes:
            values.add(change)
    facts = PlanFacts(
        plan=await facts_of(run, journal),
        kinds=(),
        values=values,
        refused=Known(0, Decimal(0)),
        requests=['Abonents: objects.create(contract_number="15J00002", name="Иванов Иван")'],
        pace=ReadingPace(248.0, 4),
        before=None,
        refused_before=0,
        changes=None,
    )
    target = Target("5.24.06", "billing.example.org/3050:/app/asr_billing/var/db/billing.gdb")

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
        stopped=said("the billing refuses all work: {why}", why=LICENCE),
        imported=await steps_of(run, journal),
    )

    async def shows(screen: Screen) -> None:
        screen.show(await show_closing(closing, known(run), journal))

    await compare("import-closing", shows)


def count(subscribers: int, balance: str) -> Count:
    return Count(subscribers, Decimal(balance))


async def test_the_tally() -> None:
    lost, moved = count(3, "1204.50"), count(2, "250.00")
    north, all_of = count(1200, "345678.90"), count(41310, "1234567.80")
    groups = (
        TallyGroup(
            TallyKind.FOLDER,
            "1401",
            "Посёлок Северный/Новая улица",
            north,
            count(1197, "344724.40"),
            not_entered=lost,
            moved=moved,
            extra=Count(7),
        ),
        TallyGroup(TallyKind.FOLDER, "Проба", "", Count(1), Count()),
        *(TallyGroup(TallyKind.FOLDER, str(key), f"Улица {key}", north, north) for key in range(3)),
        TallyGroup(TallyKind.TARIFF, "5", "Безлимит 300", all_of, all_of),
        TallyGroup(TallyKind.OPERATOR, "3", "Старый оператор", all_of, count(41310, "1234567.79")),
        TallyGroup(TallyKind.OPERATOR, "", "", Count(2), Count(2)),
    )
    extra = ExtraSubscriber(2003, "Д94/2018", "Лебедева Ольга Петровна", 1401, Decimal("-12.50"))
    tally = ImportTally(groups, 3, 22, 7, (extra,) * 7)
    await compare("import-tally", of(lambda: tally_screen(NAME, tally)))


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

    async def shows(screen: Screen) -> None:
        screen.show(await show_closing(closing, replace(known(run), name="p2v9x"), journal))

    await compare("import-undo", shows)


async def test_the_command_that_imports_again_can_be_pasted(journal: Journal) -> None:
    given = {"dictionary": "/home/olga/my files/dictionary.csv", "change": "yes", "input_map.login": "Имя входа"}
    run = await journal.create_run(replace(new_run(), parameters=given))
    words = shlex.split(import_again(run, "rows.csv"))
    assert words[:3] == ["carbon-migrate", "import", "rows.csv"]
    assert words[3:] == ["--dictionary", given["dictionary"], "--change", "--map", "login=Имя входа"]


async def test_a_folder_that_two_pages_have_asked_for_is_no_duplicate_of_the_input(journal: Journal) -> None:
    asked = folder("Посёлок Северный")
    again = replace(
        asked,
        line=1502,
        skip_reason=said("a duplicate in the input: the same key and values as {where}", where="line 2"),
    )
    run = await frozen_run(journal, asked, *steps(2), again, *steps(4), new=new_run())
    await journal.end_intake(run)
    facts = await facts_of(await journal.run(run.name), journal)
    assert facts.duplicates == 0
    twice = replace(facts, steps=None)
    assert twice.duplicates == 1
