import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkpoints.errors import JournalUnreadable, RunHeld
from checkpoints.journal import open_journal
from checkpoints.lock import RunLock, read_holder
from tests.checkpoints.processes import PATIENCE, hear, hold, process, race, take_and_let_go
from tests.checkpoints.samples import NEW_RUN


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "journal.db-abcde.lock"
    assert list(tmp_path.iterdir()) == []  # nothing is left lying about


def test_nobody_holds_what_nobody_took(place: Path) -> None:
    assert read_holder(place) is None
    assert not place.exists()


def test_the_holder_is_named_by_host_process_and_time(place: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with RunLock(place):
        holder = read_holder(place)
        assert holder is not None
        assert (holder.host, holder.process) == (socket.gethostname(), os.getpid())
        since = datetime.strptime(holder.since, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert before <= since <= datetime.now(UTC)
        assert str(holder) == f"process {os.getpid()} on {socket.gethostname()}, since {holder.since}"
    assert read_holder(place) is None


def test_a_second_in_the_same_process_is_refused_too(place: Path) -> None:
    with RunLock(place):
        with pytest.raises(RunHeld, match=f"another process works on this run: process {os.getpid()} on "):
            RunLock(place).__enter__()
        assert read_holder(place) is not None
    with RunLock(place):
        pass


def test_a_second_process_is_refused_with_the_name_of_the_first(place: Path) -> None:
    with process(hold, place) as (child, pipe):
        assert hear(pipe) == "held"
        with pytest.raises(RunHeld, match=f"process {child.pid} on {socket.gethostname()}, since "):
            RunLock(place).__enter__()
        holder = read_holder(place)
        assert holder is not None
        assert holder.process == child.pid
        pipe.send("enough")
        assert hear(pipe) == "let go"
        with RunLock(place):
            pass


def test_the_lock_of_a_killed_process_is_free(place: Path) -> None:
    with process(hold, place) as (child, pipe):
        assert hear(pipe) == "held"
        child.kill()
        child.join(PATIENCE)
        assert child.exitcode == -signal.SIGKILL
        assert place.exists()
        assert read_holder(place) is None
        with RunLock(place):
            holder = read_holder(place)
            assert holder is not None
            assert holder.process == os.getpid()


def test_an_error_inside_lets_go_all_the_same(place: Path) -> None:
    with pytest.raises(LookupError), RunLock(place):
        raise LookupError
    with RunLock(place):
        pass


def test_asking_who_holds_it_hinders_neither_the_holder_nor_the_next(place: Path) -> None:
    with process(take_and_let_go, place) as (_, pipe):
        assert hear(pipe) == "ready"
        pipe.send("go")
        asked = 0
        while not pipe.poll():
            read_holder(place)
            asked += 1
        assert pipe.recv() == 0  # it was alone but for us, who only asked
        assert asked > 0


def test_of_many_that_race_exactly_one_wins_and_is_named_by_the_others(place: Path) -> None:
    with ExitStack() as stack:
        racers = [stack.enter_context(process(race, place)) for _ in range(6)]
        for _, pipe in racers:
            assert hear(pipe) == "ready"
        for _, pipe in racers:
            pipe.send("go")
        answers = {child.pid: hear(pipe) for child, pipe in racers}
        (winner,) = [pid for pid, answer in answers.items() if answer == "won"]
        for pid, answer in answers.items():
            if pid != winner:
                assert f"process {winner} on" in str(answer) or "just now" in str(answer)
        for child, pipe in racers:
            if child.pid == winner:
                pipe.send("enough")
            child.join(PATIENCE)


def test_two_that_take_it_in_turns_are_never_both_inside(place: Path) -> None:
    with process(take_and_let_go, place) as (_, one), process(take_and_let_go, place) as (_, two):
        assert [hear(one), hear(two)] == ["ready", "ready"]
        one.send("go")
        two.send("go")
        assert [type(hear(one)), type(hear(two))] == [int, int]  # neither found the other's mark


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalUnreadable, match=r"cannot lock .*: "):
        RunLock(tmp_path / "nowhere" / "x.lock").__enter__()


async def test_each_run_has_a_lock_of_its_own_and_the_journal_tells_its_holder(path: Path) -> None:
    async with open_journal(path) as journal:
        one, two = await journal.create_run(NEW_RUN), await journal.create_run(NEW_RUN)
        with journal.lock(one):
            holder = journal.holder(one)
            assert holder is not None
            assert holder.process == os.getpid()
            assert journal.holder(two) is None
            with journal.lock(two):
                pass
            with pytest.raises(RunHeld):
                journal.lock(one).__enter__()
        assert journal.holder(one) is None
