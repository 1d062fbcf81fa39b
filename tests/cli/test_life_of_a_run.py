"""The life of a run in real processes: job, store, the moments that end its processes, and its way back.

Orders of events are the simulation's; here is what it assumes: SIGKILL, SIGSTOP, signals, sockets, locks, PostgreSQL,
Firebird. Whatever ends a process, another goes on by the journal alone, and each row is in the billing once.
"""

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import anyio
import anyio.to_thread
import pytest

from billing.database.dsn import Dsn
from checkpoints.states import State
from cli.session import journal as session_journal
from jobs.catalogue.catalogue import JOBS
from lab.crash.judge import judge, read_books
from lab.crash.load import prepare_load
from lab.crash.loops import loops
from lab.crash.observer import Observer
from lab.crash.plan import BALANCES, IMPORT, WARNING_THRESHOLD, draw
from lab.crash.proxy import JournalWay
from lab.crash.trials import TRIALS, Trial
from lab.mock.population import create
from tests.cli.conftest import Cli, Place, Started, place_in
from tests.cli.settings.test_profiles import storno_restores
from tests.firebird_server import FirebirdServer
from tests.jobs.whole_database import changes
from tests.postgres_server import PostgresServer

ROWS: Final = 100
"""More than all processes of a life can send."""
PACING: Final = ("--in-flight", "8", "--settle", "0.1")
TIMEOUT: Final = ("--timeout", "2")
"""A call ends within twice that."""
SLOW: Final = ("--rate", "15", "--settle", "0.3", *TIMEOUT)
LEASE: Final = round(loops(4))
"""Seconds: a process that is only slow does not lose it."""
LEASED: Final = f"&lease={LEASE}"

Words: TypeAlias = tuple[str | Path, ...]
Moment: TypeAlias = Callable[[Place, Words], Awaitable[None]]
"""What begins a process with these words, and ends it before its work is done."""


# ---- moments -----------------------------------------------------------------------------------------------------


def killed(calls: int) -> Moment:
    """With -9, when so many calls have arrived."""

    async def moment(place: Place, words: Words) -> None:
        await place.kill_at(place.traffic.arrived + calls, *words)
        (left,) = (await place.cli.closing("status"))["runs"]
        assert left["states"]["sending"] > 0

    return moment


def interrupted(number: signal.Signals) -> Moment:
    """The first signal lets what is in flight finish."""

    async def moment(place: Place, words: Words) -> None:
        place.billing.latency, before = 0.1, place.traffic.arrived
        async with place.cli.started(*words, "--json") as run:
            await run.until(partial(place.traffic.reaches, before + 5))
            if number is signal.SIGTERM:
                await others_are_refused(place, run)
            run.signal(number)
            ended = await run.ended()
        assert (ended.exit, ended.closing["stopped"][:11]) == (130, "interrupted")
        assert "press again to stop at once" in ended.err
        assert ended.closing["states"].keys() == {"accepted", "pending"}
        assert (await place.found()).rows == ended.closing["states"]["accepted"] == place.traffic.arrived

    return moment


async def others_are_refused(place: Place, run: Started) -> None:
    """Whoever else would work on a run is told who does."""
    (name,) = [one.name for one in await place.runs()]
    who = f"process {run.process.pid} on "
    decide = ("decide", name, f"{name}/1", "accepted", "--why", "seen")
    async with place.holding():
        for words in (("resume", name), ("verify", name), ("reconcile", name), decide):
            await place.cli.refused(*words, says=[f"run {name}: ", who, "in flight"])
        await place.cli.refused("run", "balances", "balances.csv", "--yes", says=f"run {name} has begun just this")
        assert "running" in (await place.cli("status", name)).out


async def interrupted_twice(place: Place, words: Words) -> None:
    """The second signal stops at once; one that comes while rows in doubt are waited for leaves them so."""
    before = place.traffic.arrived
    async with place.holding(before + 1), place.cli.started(*words, "--json", "--no-canary") as run:
        await run.until(partial(place.traffic.reaches, before + 4))
        run.signal(signal.SIGINT)
        await run.said("press again to stop at once")
        run.signal(signal.SIGINT)
        ended = await run.ended()
    assert (ended.exit, ended.closing["states"]["sending"] >= 4) == (130, True)
    await place.billing.wait_for_requests()
    async with place.cli.started("resume", "--json", "--settle", "30") as run:
        await run.said("a call of an earlier process may still be under way: going on in ")
        run.signal(signal.SIGINT)
        ended = await run.ended()
    assert ended.exit == ended.closing["exit"] == 130
    assert "Ctrl-C: nothing is in flight, stopping" in ended.words
    assert (ended.closing["stopped"], ended.closing["calls"]) == ("interrupted (Ctrl-C)", 0)
    assert ended.closing["states"].keys() == {"accepted", "unknown", "pending"}


async def taken_over(place: Place, words: Words) -> None:
    """The lock is left out: whoever takes the run up here is a second runner that it has not kept away."""
    place.billing.latency, before = 0.2, place.traffic.arrived
    async with place.cli.started(*words, "--json", "--no-canary") as first:
        await first.until(partial(place.traffic.reaches, before + 6))
        async with place.journal() as journal:
            (run,) = await journal.runs()
            await journal.take_up(run)
            ended = await first.ended()
            assert ended.exit == ended.closing["exit"] == 3
            assert f"run {run.name} was taken over by process {os.getpid()} on " in ended.closing["stopped"]
            assert "what it had in flight is looked up there" in ended.words
            left = await journal.totals(run)
            assert left.count(State.SENDING)
            assert left.count(State.ACCEPTED) < place.traffic.arrived
    await place.billing.wait_for_requests()
    place.billing.latency = 0.0


async def lapsed(place: Place) -> None:
    with anyio.fail_after(loops(30)):
        while place.asked("select is_lapsed from last_runners") != [(True,)]:  # noqa: ASYNC110 - the server's clock
            await anyio.sleep(0.05)


async def frozen(place: Place, words: Words) -> None:
    """For longer than its lease: it stops by itself, and sends nothing more."""
    async with place.cli.started(*words) as load:
        await load.until(partial(place.traffic.reaches, place.traffic.arrived + 8))
        load.signal(signal.SIGSTOP)
        await lapsed(place)
        arrived = place.traffic.arrived
        load.signal(signal.SIGCONT)
        ended = await load.ended(None)
    assert (ended.exit, place.traffic.arrived) == (3, arrived), ended.err
    assert f"the lease of the billing ran out after {LEASE} s without a renewal" in ended.words
    assert "carbon-migrate resume" in ended.words


async def frozen_and_taken_over(place: Place, words: Words) -> None:
    """It wakes up when another machine has its run, which has waited for its lease; the other one is killed then."""
    # The other one looks what the billing shows before it waits.
    place.traffic.method = "objects.create"
    async with place.cli.started(*words) as load:
        await load.until(partial(place.traffic.reaches, place.traffic.arrived + 8))
        load.signal(signal.SIGSTOP)
        await lapsed(place)
        arrived, began = place.traffic.arrived, time.monotonic()
        async with place.cli.on_machine("other").started("resume", *SLOW) as resuming:
            await resuming.until(partial(place.traffic.reaches, arrived + 1))
            assert time.monotonic() - began > LEASE
            load.signal(signal.SIGCONT)
            ended = await load.ended(None)
            resuming.signal(signal.SIGINT)
            assert (await resuming.ended(None)).exit == 130
    assert ended.exit == 3, ended.err
    assert "was taken over by process" in ended.words or "the lease of the billing ran out" in ended.words
    assert "please report" not in ended.words


def cut_off(cuts: Callable[[JournalWay], None]) -> Moment:
    """From its journal: a lease later nothing leaves, whatever was claimed."""

    async def moment(place: Place, words: Words) -> None:
        journal = place.cli.environment["CARBON_MIGRATE_JOURNAL"]
        port = int(journal.split("127.0.0.1:")[1].partition("/")[0])
        way = JournalWay(port)
        async with way.serving():
            behind = place.cli.on_machine("behind", journal.replace(f":{port}/", f":{way.port}/"))
            async with behind.started(*words) as load:
                await load.until(partial(place.traffic.reaches, place.traffic.arrived + 8))
                cuts(way)
                await anyio.sleep(LEASE)
                arrived = place.traffic.arrived
                ended = await load.ended(None)
        assert (ended.exit, place.traffic.arrived) == (3, arrived), ended.err

    return moment


async def disconnected(place: Place, words: Words) -> None:
    """By the server of the journal, all connections at once."""
    async with place.cli.started(*words) as load:
        await load.until(partial(place.traffic.reaches, place.traffic.arrived + 8))
        place.asked(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'carbon-migrate'"
        )
        ended = await load.ended(None)
    assert ended.exit == 3, ended.err


# ---- lives -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Life:
    """What ends the processes of a run one after the other, how it is paced, where its data is, and its way back."""

    moments: tuple[Moment, ...]
    back: str = "storno"
    pacing: tuple[str, ...] = PACING
    journal: str | None = None
    """What is added to the address of a journal in PostgreSQL; None for a file."""
    on_firebird_server: bool = False
    goes_on: Callable[[Cli], Cli] = field(default=lambda cli: cli)
    """Who goes on in the end."""


LIVES: Final = {
    "killed again and again": Life(tuple(map(killed, (1, 7, 1, 18, 3, 12, 9))), back="opposite"),
    "signals": Life(
        (*map(interrupted, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)), interrupted_twice, taken_over)
    ),
    "on servers": Life(
        (killed(20),), journal="", on_firebird_server=True, goes_on=lambda cli: cli.on_machine("other")
    ),
    "frozen": Life((frozen, frozen_and_taken_over, disconnected), pacing=SLOW, journal=LEASED),
    "cut off": Life((cut_off(JournalWay.cut), cut_off(JournalWay.swallow)), pacing=SLOW, journal=LEASED),
}


@pytest.fixture(params=LIVES.values(), ids=[*LIVES])
async def lived(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Life, Place]]:
    life: Life = request.param
    data: Path | Dsn = request.getfixturevalue("billing_file")
    if life.on_firebird_server:
        firebird: FirebirdServer = request.getfixturevalue("firebird_server")
        data = firebird.populated(abonents=300, seed=3)
    async with place_in(tmp_path / "work", data) as place:
        if life.journal is not None:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            place.cli.environment["CARBON_MIGRATE_JOURNAL"] = postgres.new_journal() + life.journal
        yield life, place


@pytest.mark.loops(240)
async def test_whatever_ends_its_processes_each_row_is_entered_once(lived: tuple[Life, Place]) -> None:
    life, place = lived
    place.billing.latency = 0.01
    balances = place.balances(ROWS)
    words: Words = ("run", "balances", balances.path, "--yes", *life.pacing)
    for moment in life.moments:
        await moment(place, words)
        words = ("resume", *life.pacing)
    # The list is in the journal: the file is not needed any more.
    balances.path.unlink()
    place.billing.latency = 0.0
    ended = await life.goes_on(place.cli).closing("resume", *PACING, "--rate", "none")
    assert ended["states"] == {"accepted": ROWS}
    await place.each_landed_once(balances)
    verified = await place.cli.closing("verify", ended["run"])
    assert (verified["states"], verified["expected"]) == ({"applied": ROWS}, verified["found"])
    await place.cli("report", ended["run"], "-o", "report.html")
    storno_restores(place)
    undone = await place.cli.closing("undo", ended["run"], "--set", f"way={life.back}", "--yes")
    assert undone["states"] == {"accepted": ROWS}


# ---- jobs --------------------------------------------------------------------------------------------------------

FEW: Final = 8
KILLED_AT: Final = 3
OF_A_JOB: Final = ("--in-flight", "2", "--settle", "0.1")
NO_WAY_BACK: Final = {"recalculate", "delete-account", "password", "random-password", "password-recovery"}
LEFT_BEHIND: Final = {
    "balances": {"FINANCE_OPERATIONS"},
    "payment": {"FINANCE_OPERATIONS"},
    "connect-service": {"USERS_USLUGA"},
    "delete-services": {"USERS_USLUGA"},
}
"""The tables in which an undo leaves entries, its own or marked as deleted; all others are as they were before."""
HOW: Final = {"balances": ("--set", "way=opposite"), "payment": ("--set", "way=opposite")}
"""How entries of money are taken back here; left alone they become a list for the accountant."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A billing with a few subscribers; not to be opened, only copied."""
    path = tmp_path_factory.mktemp("few") / "billing.fdb"
    create(path, subscribers=5 * FEW, seed=1)
    return path


def trials() -> Iterator[object]:
    """Each job; of those that set fields two here, and the others with what proves for longer.

    Passwords that are given have a test of their own, and each job that sets fields is taken there and back, with
    lost answers, in its room.
    """
    fields = [name for name, trial in TRIALS.items() if trial.sets is not None]
    longer = {*fields[2:], "password"}
    for name, trial in TRIALS.items():
        yield pytest.param(trial, "", id=name, marks=[pytest.mark.prove] if name in longer else [])
    # By the vendor's call a payment whose answer is lost is left to a person; usually it has a mark.
    yield pytest.param(TRIALS["payment"], "way=add_payment", id="payment-marked")


def test_every_job_that_writes_is_tried() -> None:
    # An import is planned, killed and taken back by tests of its own, see proofs.py.
    assert {*TRIALS, IMPORT} == {name for name, kind in JOBS.items() if kind.writes}


@pytest.mark.loops(120)
@pytest.mark.parametrize(("trial", "without"), [*trials()])
async def test_planned_run_killed_resumed_verified_and_undone(
    trial: Trial, without: str, few: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copyfile(few, tmp_path / "billing.fdb"))
    plan = replace(draw(1, job=trial.job, rows=FEW, faults=""), own=trial)
    asked = await anyio.to_thread.run_sync(prepare_load, tmp_path, plan, file)
    words = [*asked.arguments]
    if without:
        at = words.index(without)
        del words[at - 1 : at + 1]
    async with place_in(tmp_path / "work", file) as place:
        cli = place.cli = Cli(tmp_path, place.cli.environment)
        place.traffic.model = f"/{trial.called if trial.called and not without else trial.model}/"
        before = place.tables
        planned = await cli.closing("plan", *words[1:])
        assert planned["states"] == {State.PENDING: len(asked.wanted)}
        assert (changes(before, place.tables), place.traffic.arrived) == ({}, 0)
        place.billing.latency = 0.1
        observer = Observer(cli.journal).prepare()
        await place.kill_at(KILLED_AT, *words, "--yes", *OF_A_JOB)
        assert observer.view().counts[State.SENDING] > 0
        place.billing.latency = 0.0
        ended = (await cli("resume", "--yes", "--json", *OF_A_JOB, may_end_with=(0, 4))).closing
        verified = await cli("verify", ended["run"], may_end_with=(0, 4))
        tally, problems = judge(await read_books(plan, asked, observer, file, ended["run"], verified.exit))
        assert problems == []
        assert tally["once"] + tally["asked"] == len(asked.wanted)
        assert (tally["twice"], tally["lost"], tally["foreign"]) == (0, 0, 0)
        assert (trial.may_ask and not without) or not tally["asked"]
        assert trial.job == WARNING_THRESHOLD or len(asked.wanted) == FEW
        undo = ("undo", ended["run"], *HOW.get(trial.job, ()), "--set", "unproven=take", "--yes", *OF_A_JOB)
        if trial.job in NO_WAY_BACK:
            await cli(*undo, may_end_with=(2,))
            return
        undone = await cli.closing(*undo)
        # Of two balances of one account the first was overwritten by the second: it is left alone.
        twice = planned["shared_accounts"] if trial.job == BALANCES else 0
        states = {State.ACCEPTED: len(asked.wanted) - tally["asked"] - twice, State.SKIPPED: twice}
        assert Counter(undone["states"]) == Counter(states)
        await cli("verify", undone["run"])
        left = changes(before, place.tables)
    # A payment that nobody has decided on may be there.
    undecided = {"ADMIN_ACCOUNTS"} if tally["asked"] else set()
    assert set(left) - undecided == LEFT_BEHIND.get(trial.job, set())


async def test_resume_says_when_there_is_nothing_to_do_and_asks_which_of_several(place: Place) -> None:
    assert "nothing to resume" in (await place.cli("resume")).out
    done = (await place.run("balances", place.balances(3).path))["run"]
    assert "nothing to resume" in (await place.cli("resume")).out
    assert (await place.cli.closing("resume", done))["states"] == {"accepted": 3}
    few, many = place.balances(20, "20.csv"), place.balances(40, "40.csv")
    left = [await place.stopped("balances", few.path, "--again")]
    left.append(await place.stopped("balances", many.path, "--exclude", ",".join(few.numbers)))
    await place.cli.refused("resume", says=[f"carbon-migrate resume {name}" for name in left])
    again = ("run", "balances", place.cli.folder / "20.csv", "--again", "--yes")
    await place.cli.refused(*again, says=f"carbon-migrate resume {left[0]}")
    place.file.rename(place.file.with_name("away.fdb"))
    assert "Name the file of the billing's database" in await place.cli.told("resume", left[0], ends=2)


async def test_a_run_is_never_inside_the_engine_of_the_billings_file(place: Place) -> None:
    # There a kill would leave the locks that it shares with the billing locked for ever. A keeper is in its place.
    balances = place.balances(20)
    place.cli.real_keepers = True
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "0.2") as run:
        await place.traffic.reaches(1)
        (keeper,) = children_of(run.process.pid)
        assert [maps_the_engine(one) for one in (run.process.pid, keeper)] == [False, True]
        gone = os.pidfd_open(keeper)
        run.signal(signal.SIGKILL)
        await run.ended()
    try:
        await anyio.wait_readable(gone)
    finally:
        os.close(gone)


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def maps_the_engine(pid: int) -> bool:
    return "libEngine" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


# ---- journals of one machine -------------------------------------------------------------------------------------

HOLDS: Final = """
import os, socket, sys
if os.getuid() == 0:
    os.setuid(4711)
with socket.socket(socket.AF_UNIX) as held:
    held.bind(sys.argv[1].replace("@", chr(0)))
    held.listen()
    print("holds", end="", flush=True)
    sys.stdin.read()
"""


async def test_of_two_copies_only_one_goes_on_and_no_row_is_entered_twice(place: Place, tmp_path: Path) -> None:
    place.billing.latency = 0.02
    balances = place.balances(60)
    await place.kill_at(20, "run", "balances", balances.path, "--yes", "--in-flight", "4")
    other = Cli(tmp_path / "copy", place.cli.environment)
    shutil.copytree(place.cli.folder, other.folder)
    place.billing.latency = 0.1
    resume = ("resume", "--yes", "--settle", "0.1")
    async with place.cli.started(*resume, "--in-flight", "2") as first:
        await place.traffic.reaches(place.traffic.arrived + 3)
        await other.refused(*resume, says="with another copy of this journal")
        place.billing.latency = 0
        assert (await first.ended(None)).exit == 0
    # What the copy does not know is found in the billing, once nobody works with the other one.
    assert (await other.closing(*resume))["states"] == {"accepted": 60}
    await place.each_landed_once(balances)


async def test_a_name_that_somebody_else_holds_is_not_told_to_be_a_copy_of_this_journal(place: Place) -> None:
    """Whoever knows the name of a run can bind it; that stops the run, and is told for what it is."""
    balances = place.balances(6)
    place.billing.latency = 0.1
    await place.kill_at(2, "run", "balances", balances.path, "--yes", "--in-flight", "1")
    (run,) = await place.runs()
    name = f"@{session_journal.beginning_for(session_journal.billing_names(run)[0])}another-{run.name}-1"
    async with await anyio.open_process([sys.executable, "-P", "-c", HOLDS, name]) as holder:
        assert holder.stdout is not None
        assert await holder.stdout.receive() == b"holds"
        before = place.traffic.arrived
        whose = "of user 4711 sends run" if os.getuid() == 0 else "works on run"
        await place.cli.refused("resume", "--yes", "--settle", "0.1", says=f"process {holder.pid} {whose}")
        assert place.traffic.arrived == before
        holder.kill()
    place.billing.latency = 0
    assert (await place.cli("resume", "--yes", "--settle", "0.1")).exit == 0


async def test_a_run_whose_journal_is_removed_stops_and_sends_nothing_more(place: Place) -> None:
    balances = place.balances(60)
    async with place.cli.started("run", "balances", balances.path, "--yes", "--rate", "15") as load:
        await place.traffic.reaches(3)
        for path in place.cli.folder.glob("carbon-migrate.journal*"):
            path.unlink()
        ended = await load.ended()
    assert ended.exit == 3, ended.err
    assert "was removed or replaced while it was worked on" in ended.words
    assert place.traffic.arrived < 60
    assert (await place.found()).most_for_one == 1


async def test_while_a_run_sends_another_journal_of_the_billing_is_refused(place: Place) -> None:
    place.billing.latency = 0.1
    balances, other = place.balances(40), place.balances(60, "other.csv")
    run = ("--yes", "--json", "--in-flight", "2", "--no-canary")
    elsewhere = ("run", "balances", other.path, *run, "--skip-bad", "--journal", "elsewhere.journal")
    async with place.cli.started("run", "balances", balances.path, *run) as first:
        await place.traffic.reaches(3)
        (sending,) = await place.runs()
        who = f"process {first.process.pid} sends run {sending.name} to this billing"
        await place.cli.refused(*elsewhere, says=[who, "with another journal"])
        # Runs of one journal send beside each other, as before.
        place.write("abonent_id;amount\n2003;5\n", "third.csv")
        beside = await place.cli("run", "balances", "third.csv", *run, "--set", "op_type=2")
        assert beside.closing["states"] == {"accepted": 1}
        place.billing.latency = 0
        assert (await first.ended(None)).exit == 0
    await place.cli(*elsewhere, may_end_with=(1,))
    found = await place.found()
    assert (found.rows, found.sum, found.most_for_one <= 2) == (61, other.sum, True)


# ---- machines of one journal -------------------------------------------------------------------------------------


@pytest.fixture
def leased(shared: Place, postgres_server: PostgresServer) -> Place:
    shared.billing.latency = 0.05
    return replace(shared, cli=shared.cli.on_machine("one", postgres_server.new_journal() + LEASED))


async def test_two_runs_of_one_billing_go_on_on_one_machine_and_not_on_two(leased: Place) -> None:
    balances = leased.balances(60)
    head, *lines = balances.path.read_text().splitlines()
    one, two, three = (
        leased.write("\n".join([head, *lines[place : place + 20]]) + "\n", f"{place}.csv") for place in (0, 20, 40)
    )
    alone = ("--yes", "--rate", "0.5", "--in-flight", "1", *TIMEOUT)
    async with leased.cli.started("run", "balances", one, *alone):
        await leased.traffic.reaches(1)
        ((name,),) = leased.asked("select name from runs")
        await leased.cli.on_machine("other").refused("resume", says="another process works on this run")
        assert (await leased.run("balances", two))["states"] == {"accepted": 20}
        # As another machine would have noted it.
        leased.asked("update runners set machine = 'another one', host = 'runner-7' where ended_at is null")
        journal = leased.cli.environment["CARBON_MIGRATE_JOURNAL"]
        says = [
            f"another machine works on this billing, with run {name}: process",
            "on runner-7, since",
            f"carbon-migrate status {name} --journal '{journal}' shows where it stands. With --detach a worker takes",
        ]
        await leased.cli.refused("run", "balances", three, "--yes", says=says)
        # Nobody wants that run: it is given up, with all that it has read, and nothing is to be gone on with.
        assert leased.asked("select count(*) from runs where discarded_at is null") == [(2,)]
        begun = leased.asked("select count(*) from items join runs using (run_id) where discarded_at is not null")
        assert begun == [(0,)]
    assert (await leased.found()).most_for_one == 1
