"""Workers: what is handed in is sent, taken over when a worker dies, and left to a person where it has to be."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest
from aiohttp import web

from checkpoints.journal_file import journal_in_postgres
from checkpoints.postgres_store import connect
from cli.session.queue import NOTE, facts_of_queue
from lab.crash.loops import loops
from lab.crash.proxy import JournalWay
from tests.cli.conftest import PATIENCE, Cli, Place, Started, place_in
from tests.cli.page.test_following import page_of
from tests.cli.service.conftest import Listener, listener
from tests.cli.session.test_run_file import BALANCES
from tests.postgres_server import PostgresServer

__all__ = ["listener"]

ROWS = 60
WORKER = ("worker", "--stalled-after", f"{loops(1.7):.1f}")


@pytest.fixture
def shared(place: Place, postgres_server: PostgresServer) -> Place:
    """A billing whose journal is in PostgreSQL, with a short lease."""
    place.billing.latency = 0.02
    return replace(place, cli=place.cli.on_machine("one", f"{postgres_server.new_journal()}&lease={loops(2.5):.1f}"))


async def hand_in(place: Place, rows: int, *words: str) -> str:
    """The name of a run that is handed in."""
    balances = place.balances(rows)
    ended = await place.cli(
        "run", "balances", balances.path, "--yes", "--detach", "--settle", "0.3", "--json", *words
    )
    assert "is handed in, with 60 rows to send" in ended.words
    return str(ended.closing["run"])


@asynccontextmanager
async def working(cli: Cli) -> AsyncIterator[Started]:
    """A worker, that ends in order when the context does."""
    async with cli.started(*WORKER) as worker:
        yield worker
        worker.signal(signal.SIGTERM)
        assert (await worker.ended()).exit == 0


def of_another_machine(place: Place) -> None:
    """Whoever has worked until now has done so elsewhere, for all that the next one knows."""
    place.asked("update runners set machine = 'another one'")


GIVEN_BACK = "select attempts >= 2 from procrastinate_jobs"
"""Whether the one run in the queue was given out twice, and given back."""


async def comes_to(place: Place, sql: str) -> None:
    """Wait until the journal answers with yes."""
    with anyio.fail_after(PATIENCE):
        while place.asked(sql) != [(True,)]:  # noqa: ASYNC110 - the server's tables
            await anyio.sleep(0.1)


async def accepted(place: Place) -> int:
    """How many rows the journal has as accepted."""
    ((rows,),) = place.asked("select count(*) from items where state = 'accepted'")
    assert isinstance(rows, int)
    return rows


async def test_a_run_is_done_when_the_journal_says_so_whatever_its_process_ends_with(shared: Place) -> None:
    """The interpreter's own start-up file ends the process of the run with 0 before anything is sent."""
    run = await hand_in(shared, ROWS)
    starts = shared.cli.folder / "starts"
    starts.mkdir()
    (starts / "sitecustomize.py").write_text("import os\nos._exit(0)\n")
    shared.cli.environment["PYTHONPATH"] = str(starts)
    async with shared.cli.started(*WORKER) as worker:
        heard = await worker.said(f"{run}: waits for a person, ")
        worker.signal(signal.SIGTERM)
        heard += (await worker.ended()).err
    assert "exit code 0, and rows of the run are still open" in " ".join(heard.split())
    assert f"{run}: done" not in heard
    assert await accepted(shared) == 0
    assert NOTE in (await shared.cli("status", run)).out


async def test_after_a_machine_is_gone_rows_that_were_never_in_doubt_wait_for_its_lease_alone(shared: Place) -> None:
    """Not until its worker counts as silent, nor for its calls under way, nor for the settle delay."""
    journal = shared.cli.environment["CARBON_MIGRATE_JOURNAL"].partition("&")[0]
    shared.cli.environment["CARBON_MIGRATE_JOURNAL"] = f"{journal}&lease={loops(8):.1f}"
    run = await hand_in(shared, ROWS, "--settle", "600", "--timeout", "600", "--in-flight", "8", "--no-canary")
    async with shared.cli.started("worker", "--stalled-after", "600") as worker:
        await shared.traffic.reaches(10)
        shared.billing.latency = 5.0
        await shared.traffic.reaches(shared.traffic.arrived + 2)
        async with shared.cli.on_machine("other").started("worker", "--stalled-after", "600") as other:
            await other.said("Takes runs of 1 billing")
            worker.signal(signal.SIGSTOP)
            ((sends,),) = shared.asked("select process from runners order by epoch desc limit 1")
            os.kill(int(sends), signal.SIGKILL)
            worker.signal(signal.SIGKILL)
            of_another_machine(shared)
            arrived, shared.billing.latency = shared.traffic.arrived, 0.02
            await other.said(f"{run}: its worker is gone; another goes on with it")
            await comes_to(
                shared, "select strpos(status, 'may still send') > 0 from live join runs using (run_id, epoch)"
            )
            # Whoever looks, from any machine, is told what it waits for.
            for words in ([run], ["--all"]):
                assert "was not ended in order and may still send: going on in" in await shared.cli.told(
                    "status", *words
                )
            assert shared.traffic.arrived == arrived
            await shared.traffic.reaches(arrived + 10)
            ((doubts,),) = shared.asked("select count(*) from items where state = 'unknown'")
            other.signal(signal.SIGINT)
            assert (await other.ended()).exit == 0
    assert doubts > 0
    assert shared.asked("select count(*) from items where state = 'unknown'") == [(doubts,)]
    assert (await shared.found()).most_for_one == 1


async def test_a_run_is_sent_by_its_own_of_two_profiles_of_one_billing_and_equal_rows_to_each_billing(
    shared: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("south")
    shutil.copy(shared.file, folder / "south.fdb")
    async with place_in(folder / "place", folder / "south.fdb") as south:
        journal = shared.cli.environment.pop("CARBON_MIGRATE_JOURNAL")
        for name in ("API_URL", "DATABASE"):
            shared.cli.environment.pop(f"CARBON_MIGRATE_{name}", None)
        settings = f"""\
journal = "{journal}"
[profile.north]
api = {{ url = "{shared.billing.url}" }}
[profile.twin]
api = {{ url = "{shared.billing.url}" }}
[profile.south]
api = {{ url = "{south.billing.url}" }}
[profile.west]
api = {{ url = "http://127.0.0.1:9", form = {{ key = {{ credential = "west" }} }} }}
"""
        shared.write(settings, "carbon-migrate.toml").chmod(0o600)
        shared.cli.environment["CARBON_MIGRATE_JOURNAL"] = journal
        runs = {await hand_in(shared, ROWS, "--profile", name): name for name in ("twin", "south")}
        async with shared.cli.started(*WORKER) as worker:
            heard = await worker.said("Takes runs of 2 billings")
            assert "no run of west is sent here" in heard
            while heard.count(": done") < 2:
                heard += await worker.said(": done")
        assert [run for run, name in runs.items() if f"{run}: sending to {name}" not in heard] == []
        seen = (await shared.cli.closing("status", "--all"))["runs"]
        assert {one["run"]: one["profile"] for one in seen} == runs
        for place in (shared, south):
            await place.landed_once(ROWS)


async def test_what_cannot_be_handed_in_is_refused_before_anything_is_begun(shared: Place, place: Place) -> None:
    file = shared.balances(ROWS).path
    hand_in, steps = ("run", "balances", file, "--yes", "--detach"), shared.write(BALANCES, "steps.toml")
    says = "--page: a run that is handed in with --detach is sent by another process"
    await shared.cli.refused(*hand_in, "--page", says=says)
    there = f"journal copy {place.cli.journal} postgresql://HOST/DATABASE takes this one there"
    await place.cli.refused(*hand_in, says=["is a file of this machine, and workers share one in PostgreSQL", there])
    says = "--detach: the steps of a job file wait for each other"
    await shared.cli.refused("run", steps, "--yes", "--detach", says=says)
    assert shared.asked("select count(*) from runs") == [(0,)]


async def test_a_run_that_needs_a_person_is_left_with_a_note(shared: Place) -> None:
    shared.traffic.answer = lambda _: web.json_response({"call": "FinanceOperations", "error": "Объект уже удалён"})
    run = await hand_in(shared, ROWS, "--stop-after-errors", "5")
    async with working(shared.cli) as worker:
        await worker.said(f"{run}: waits for a person, exit code 3: ")
    status = await shared.cli("status", run)
    assert "worker" in status.out
    assert shared.asked("select count(*) from procrastinate_jobs") == [(0,)]


async def test_a_run_waits_while_another_machine_sends_to_its_billing(shared: Place) -> None:
    mine = shared.balances(2, "mine.csv")
    async with shared.cli.started("run", "balances", mine.path, "--yes", "--rate", "0.02") as load:
        await shared.traffic.reaches(1)
        # As another machine would have noted it.
        shared.asked("update runners set machine = 'another one', host = 'runner-7' where ended_at is null")
        rest = shared.balances(ROWS)
        others = ("--exclude", ",".join(mine.numbers))
        skipped = await shared.run("balances", rest.path, "--detach", *others)
        async with working(shared.cli) as worker:
            heard = await worker.said(f"{skipped['run']}: waits, process {load.process.pid} on runner-7")
            await comes_to(shared, GIVEN_BACK)
            assert "waits for a person" not in heard
            # Nobody begins a process for it, and what it waits for is said once.
            assert shared.asked("select count(*) from runners group by run_id order by run_id") == [(1,), (1,)]
        load.signal(signal.SIGKILL)
        await load.ended()
    assert shared.asked("select status::text, attempts > 0 from procrastinate_jobs") == [("todo", True)]


async def test_a_run_that_a_person_resumes_is_left_to_him(shared: Place) -> None:
    run = await hand_in(shared, ROWS, "--rate", "1")
    async with shared.cli.started("resume", run) as resuming:
        await shared.traffic.reaches(1)
        async with working(shared.cli.on_machine("other")) as worker:
            heard = await worker.said(f"{run}: waits, process {resuming.process.pid} on ")
            await comes_to(shared, GIVEN_BACK)
            assert "sending to" not in heard
        assert shared.asked("select purpose from runners order by epoch") == [("run",), ("resume",)]
        resuming.signal(signal.SIGINT)
        assert (await resuming.ended()).exit == 130


async def test_a_run_that_is_ready_is_sent_at_once_as_it_was_handed_in_and_by_our_program(shared: Place) -> None:
    """Who has sent nothing has nothing under way; `--timeout` holds for whoever sends; another `cli` is not run."""
    package = shared.cli.folder / "cli"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "child.py").write_text("from pathlib import Path\n\nPath('was-run').touch()\n")
    run = await hand_in(shared, ROWS, "--settle", "600", "--timeout", "3", "--no-canary")
    assert shared.traffic.arrived == 0
    assert (await shared.cli.closing("status", run))["queue"]["served"] is False
    told = (await shared.cli("status", run)).out
    assert "queued since" in told
    assert "no worker with a profile of its billing is running" in " ".join(told.split())
    async with working(shared.cli) as worker:
        await worker.said(f"{run}: done")
        assert await accepted(shared) == ROWS
        await shared.cli("resume", run, "--json")
    assert not (shared.cli.folder / "was-run").exists()
    assert shared.asked("select call_ms from runners where purpose = 'resume' limit 1") == [(6000,)]
    assert shared.asked("select count(*) from procrastinate_jobs") == [(0,)]
    await shared.landed_once(ROWS)


async def test_a_run_in_the_queue_says_so_wherever_it_is_shown_and_stop_takes_it_out(shared: Place) -> None:
    run = await hand_in(shared, ROWS)
    assert "queued since" in (await shared.cli("status")).out
    async with page_of(shared, run) as browser, browser.stream(run) as stream:
        seen = (await stream.until(lambda _: True)).data
        listed = (await browser.get("/api/runs")).found["runs"]
    assert seen["run"]["stage_text"] == listed[0]["stage_text"]
    assert "queued since" in seen["queued"]
    assert "start one with `carbon-migrate worker`" in seen["queued"]
    assert "a worker sends it in its turn" in (await shared.cli("continue", run)).out
    stopped = " ".join((await shared.cli("stop", run)).out.split())
    assert f"no worker sends it until it is handed in again, carbon-migrate resume {run}" in stopped
    assert shared.asked("select count(*) from procrastinate_jobs") == [(0,)]
    assert "stopped" in (await shared.cli("status")).out
    # Handed in again, and once more while it is given out, it goes on once.
    await shared.cli("resume", run, "--detach")
    shared.asked("update procrastinate_jobs set status = 'doing'")
    await shared.cli("resume", run, "--detach")
    assert shared.asked("select count(*) from procrastinate_jobs") == [(2,)]
    async with working(shared.cli) as worker:
        await worker.said(f"{run}: done")
        await comes_to(shared, "select count(*) = 0 from procrastinate_jobs")
    await shared.landed_once(ROWS)


async def test_a_worker_says_in_its_own_language_why_a_run_waits(shared: Place) -> None:
    run = await hand_in(shared, ROWS, "--limit-money", "10", "--no-canary")
    async with shared.cli.started("--lang", "ru", *WORKER) as worker:
        heard = await worker.said(f"{run}: ждёт человека")
        worker.signal(signal.SIGTERM)
        heard += (await worker.ended()).err
    assert "был бы превышен" in " ".join(heard.split())
    assert "has been sent" in (await shared.cli("status", run, "--json")).out


async def test_stop_takes_a_run_out_of_the_queue_whose_worker_is_frozen_and_goes_on_with_it_no_more(
    shared: Place,
) -> None:
    run = await hand_in(shared, ROWS, "--in-flight", "1", "--no-canary")
    async with shared.cli.started("worker", "--stalled-after", "600") as worker:
        await shared.traffic.reaches(5)
        shared.billing.latency = 5.0
        await shared.traffic.reaches(shared.traffic.arrived + 2)
        worker.signal(signal.SIGSTOP)
        ((sends,),) = shared.asked("select process from runners order by epoch desc limit 1")
        os.kill(int(sends), signal.SIGKILL)
        await comes_to(
            shared, "select not exists (select 1 from pg_locks where locktype = 'advisory' and objsubid = 2)"
        )
        stopped = " ".join((await shared.cli("stop", run)).out.split())
        assert f"no worker sends it until it is handed in again, carbon-migrate resume {run}" in stopped
        assert shared.asked("select count(*) from procrastinate_jobs") == [(0,)]
        arrived = shared.traffic.arrived
        worker.signal(signal.SIGCONT)
        await worker.said(f"{run}: not in the hands of this worker any more")
        assert shared.traffic.arrived == arrived
    assert "in doubt" in (await shared.cli("resume", run, "--detach")).out


async def test_a_run_that_waits_for_its_hours_or_is_paused_lets_others_of_its_billing_go_before_it(
    shared: Place,
) -> None:
    begin = datetime.now() + timedelta(hours=5)  # noqa: DTZ005 - the clock of the mock, which is this machine's
    head, *rows = shared.balances(30).path.read_text().splitlines()
    runs = []
    for name, words in (("early", ("--hours", f"{begin:%H:00}-{begin:%H:30}")), ("held", ()), ("free", ())):
        lines, rows = rows[:10], rows[10:]
        path = shared.write("\n".join([head, *lines]) + "\n", f"{name}.csv")
        closing = await shared.cli.closing("run", "balances", path, "--yes", "--detach", "--settle", "0.3", *words)
        runs.append(str(closing["run"]))
    early, held, free = runs
    await shared.cli("pause", held)
    async with working(shared.cli) as worker:
        heard = await worker.said(f"{early}: goes on in ")
        if f"{free}: done" not in heard:
            await worker.said(f"{free}: done")
        assert shared.traffic.arrived == 10
        await shared.cli("continue", held)
        await worker.said(f"{held}: done")
    assert shared.traffic.arrived == 20
    ((run, status, wait),) = shared.asked(
        "select args->>'run', status::text, extract(epoch from scheduled_at - now())::int from procrastinate_jobs"
    )
    assert (run, status) == (early, "todo")
    assert isinstance(wait, int)
    assert 3.9 * 3600 < wait < 5.1 * 3600
    # Who hands it in again means now.
    assert "was handed in before" in (await shared.cli("resume", early, "--detach", "--hours", "always")).out
    async with working(shared.cli) as worker:
        await worker.said(f"{early}: done")


async def test_a_worker_is_a_service_that_says_what_it_does(shared: Place, listener: Listener) -> None:
    await hand_in(shared, ROWS, "--rate", "15")
    shared.cli.environment |= {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "200000"}
    async with shared.cli.started(*WORKER) as worker:
        await listener.hears("READY")
        await listener.hears("STATUS", "1 of 20 runs are sent; ")
        await listener.hears("WATCHDOG", times=3)
        await shared.traffic.reaches(10)
        worker.signal(signal.SIGTERM)
        await listener.hears("STOPPING")
        ended = await listener.hears_out(worker)
    assert ended.exit == 0
    # The processes of its runs say nothing there.
    assert listener.names("READY", "STOPPING") == ["READY", "STOPPING"]
    assert "handed back" in listener.status


async def test_a_worker_waits_for_a_postgresql_that_is_away_at_its_start_and_later(
    shared: Place, postgres_server: PostgresServer
) -> None:
    way = JournalWay(postgres_server.port)
    async with way.serving():
        journal = postgres_server.new_journal().replace(f":{postgres_server.port}/", f":{way.port}/")
        way.cut()
        async with shared.cli.on_machine("cut", journal).started(*WORKER) as worker:
            heard = await worker.said("PostgreSQL is away; nothing new is sent")
            assert "Takes runs of 1 billing" in heard
            way.mend()
            await worker.said("PostgreSQL answers again")
            way.cut()
            heard = await worker.said("PostgreSQL is away; nothing new is sent")
            way.mend()
            heard += await worker.said("PostgreSQL answers again")
            worker.signal(signal.SIGTERM)
            assert (await worker.ended()).exit == 0
    assert heard.count("PostgreSQL is away") == 1


async def test_a_worker_that_is_told_to_end_waits_for_no_postgresql_that_never_answers(
    shared: Place, postgres_server: PostgresServer
) -> None:
    """It takes what it is sent, as one does whose disk hangs."""
    way = JournalWay(postgres_server.port)
    async with way.serving():
        journal = shared.cli.environment["CARBON_MIGRATE_JOURNAL"].replace(
            f":{postgres_server.port}/", f":{way.port}/"
        )
        run = await hand_in(shared, ROWS, "--rate", "5")
        async with shared.cli.on_machine("cut", journal).started(*WORKER) as worker:
            await shared.traffic.reaches(3)
            way.swallow()
            worker.signal(signal.SIGTERM)
            ended = await worker.ended()
            assert ended.exit == 0
            assert "what this worker had is left to others as it is" in " ".join(ended.err.split())
        way.mend()
        async with working(shared.cli) as other:
            await other.said(f"{run}: its worker is gone; another goes on with it")
            await shared.traffic.reaches(6)


async def test_doctor_says_whether_somebody_sends_what_waits(shared: Place, postgres_server: PostgresServer) -> None:
    async def queue() -> str:
        """The lines of `doctor` on the queue and the connections, as one."""
        return (
            " ".join((await shared.cli("doctor", "-v")).out.split()).partition("queue ")[2].partition("vault key")[0]
        )

    assert (await queue()).startswith("no run was handed in yet, and no worker was started")
    await hand_in(shared, ROWS, "--rate", "5")
    left = await queue()
    assert left.startswith("1 run waits, and no worker was heard of for 60 s: start one carbon-migrate worker")
    assert "connections" not in left
    async with working(shared.cli):
        await shared.traffic.reaches(3)
        assert (await queue()).startswith("1 worker; runs: 1 worked on, 0 waiting")
    address = journal_in_postgres(postgres_server.url, shared.cli.folder).postgres
    assert address is not None
    limit = facts_of_queue(address).most_connections
    with ExitStack() as others:
        for _ in range(limit * 4 // 5):
            others.enter_context(closing(connect(address)))
        assert f"of {limit} are in use: each run that is sent takes 4" in await queue()
