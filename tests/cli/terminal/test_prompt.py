"""On a terminal: the preview, the question, and both answers."""

import json

import pytest

from checkpoints.journal import open_journal
from checkpoints.records import Stage
from checkpoints.states import State
from cli.session.plans import plans_beside
from tests.cli.conftest import Place
from tests.cli.terminal.terminals import at_a_terminal, killed_at


@pytest.mark.parametrize(
    ("language", "answer", "code"),
    [("en", "y\n", 0), ("en", "\n", 2), ("en", "nope\n", 2), ("ru", "да\n", 0)],
)
async def test_only_a_yes_sends_and_a_question_in_russian_is_answered_in_russian(
    language: str, answer: str, code: int, place: Place
) -> None:
    place.billing.latency = 0.02
    balances = place.balances(60)
    asks, question, done, bar = {
        "en": ("[y/N]", "Send these 60 rows", "is done", "rows/s"),
        "ru": ("[д/Н]", "Отправить 60 строк на сумму ", "завершена", "строк/с"),
    }[language]
    with at_a_terminal(place, "run", "balances", str(balances.path), "--lang", language) as terminal:
        await terminal.shows(asks)
        assert (await place.found()).rows == 0
        terminal.types(answer)
        assert await terminal.ends() == code
    assert question in " ".join(terminal.seen.split())
    assert (done in terminal.seen, bar in terminal.seen) == (code == 0, code == 0)
    assert (await place.found()).rows == (0 if code else 60)


CTRL_D = "\x04"


@pytest.mark.parametrize("ends_it", ["Ctrl-C", CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
async def test_a_question_that_is_not_answered_leaves_no_run_and_no_lock(ends_it: str, place: Place) -> None:
    balances = place.balances(5)
    with at_a_terminal(place, "run", "balances", str(balances.path)) as terminal:
        await terminal.shows("[y/N]")
        if ends_it == CTRL_D:
            terminal.types(CTRL_D)
        else:
            terminal.interrupt()
        assert await terminal.ends() == 130
    seen, mark, rest = " ".join(terminal.seen.split()).partition("nothing was sent, and the run is given up")
    assert (mark != "", "all" in rest) == (True, False), seen
    (run,) = await place.runs()
    assert run.stage is Stage.DISCARDED
    async with place.journal() as journal:
        assert await journal.holder(run) is None
    assert (await place.found()).rows == 0
    assert "nothing to resume" in (await place.cli("resume")).out


async def test_a_run_that_was_killed_at_its_question_outlives_ctrl_c_until_a_no(place: Place) -> None:
    file = place.write("Договор;Сумма\n00001;5\n")
    await killed_at("[y/N]", place, "run", "balances", file)
    file.unlink()
    asked = await place.cli("resume", may_end_with=(2,))
    assert "columns contract_number = Договор, amount = Сумма" in asked.words
    # Nobody could answer, and the question waits for somebody who can.
    assert "The run stays as it is" in asked.words
    for answer, stage in (("Ctrl-C", Stage.FROZEN), ("n\n", Stage.DISCARDED)):
        with at_a_terminal(place, "resume", "--settle", "0") as terminal:
            await terminal.shows("[y/N]")
            if answer == "Ctrl-C":
                terminal.interrupt()
            else:
                terminal.types(answer)
            assert await terminal.ends() == (130 if stage is Stage.FROZEN else 2)
        (run,) = await place.runs()
        assert run.stage is stage
    assert (await place.found()).rows == 0


async def test_corrections_and_a_probe_that_are_not_agreed_to_leave_nothing(place: Place) -> None:
    place.write("contract_number;amount\n00003;5\n00004;1O\n")
    arguments = ("--skip-bad", "--yes", "--json")
    closing = (await place.cli("run", "balances", "balances.csv", *arguments, may_end_with=(1,))).closing
    await place.cli("export", closing["run"], "--state", "refused", "-o", "bad.csv")
    mended = place.cli.folder / "bad.csv"
    mended.write_text(mended.read_text(encoding="utf-8-sig").replace("1O", "10"), encoding="utf-8")
    for command in (
        ("run", "balances", "bad.csv", "--continue", closing["run"]),
        ("probe", "--abonent", "2003"),
    ):
        with at_a_terminal(place, *command) as terminal:
            await terminal.shows("[y/N]")
            terminal.types(CTRL_D)
            assert await terminal.ends() == 130, terminal.seen
    async with place.journal() as journal, open_journal(plans_beside(journal.path)) as plans:
        (run,) = await journal.runs()
        assert (await journal.totals(run)).frozen == 1
        assert [plan.stage for plan in await plans.runs()] == [Stage.DISCARDED]
    assert list(place.cli.folder.rglob("*.probe")) == []
    assert (await place.found()).rows == 1


async def test_a_terminal_that_goes_ends_a_run_in_an_orderly_way(place: Place) -> None:
    balances = place.balances(200)
    with at_a_terminal(place, "run", "balances", str(balances.path), "--yes", "--rate", "20") as terminal:
        await terminal.shows(" entered")
        terminal.hangs_up()
        assert await terminal.ends() == 130
    log = (place.cli.folder / "carbon-migrate.journal.log").read_text(encoding="utf-8").splitlines()
    assert "Traceback" not in "".join(log)
    last = json.loads(log[-1])
    assert (last["event"], last["exit"]) == ("ended", 130)
    (run,) = await place.runs()
    async with place.journal() as journal:
        counts = (await journal.totals(run)).counts
    # What was in flight was finished: nothing is left in doubt.
    assert set(counts) == {State.PENDING, State.ACCEPTED}
    assert counts[State.ACCEPTED] == (await place.found()).rows
