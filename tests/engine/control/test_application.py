"""Whatever a client does, the run goes on, and the others are answered."""

import asyncio
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from checkpoints.errors import JournalUnreadable
from checkpoints.journal import Journal, open_journal
from checkpoints.records import Run
from engine.control.address import WAITING, Peer, connect, listening, peer_of, sender, user_name
from engine.control.application import SECOND, WORK, ControlApplication
from engine.control.door import Check, Door, DoorLimits, NotLetIn
from engine.control.handler import ControlHandler
from engine.control.messages import (
    LONGEST_ANSWER,
    LONGEST_REQUEST,
    ControlAnswer,
    ControlRequest,
    errors_of,
    sentences_of,
    to_json,
)
from engine.pacing.policy import Policy, setting_text
from tests.checkpoints.samples import NEW_RUN
from tests.engine.control.steered import PATIENCE, RUN, Client, FakeRun, client_of, posted, request
from texts.said import Said, counted, said

SUM = Decimal("12.50")
QUICK = DoorLimits(clients=3, idle=0.2, unread=0.1)
STATUS = request("GET", f"/api/runs/{RUN}/status")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.socket"


class Echo(ControlHandler):
    """Says what it was told, and by whom."""

    async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
        return ControlAnswer(f"{request.typed} from {who}")


@asynccontextmanager
async def served(
    path: Path,
    handler: type[ControlHandler] = Echo,
    limits: DoorLimits | None = None,
    *,
    check: Check | None = None,
    work: float = WORK,
    every: float = SECOND,
) -> AsyncIterator[FakeRun]:
    """A run's socket at `path`; what its server raises, the test raises."""
    fake = FakeRun()
    async with open_journal(path.with_name("a.journal")) as journal:
        run = await journal.create_run(NEW_RUN)
        answers = ControlApplication(RUN, handler(run, journal, fake), work=work, every=every)
        async with listening(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(Door(listener, answers.application(), limits or DoorLimits(), check).serve)
            tasks.start_soon(answers.sample)
            yield fake
            tasks.cancel_scope.cancel()


async def is_well(path: Path) -> None:
    """Another client is answered."""
    async with client_of(path) as client:
        found = (await client.gets("status")).found
        assert (found["done"], found["total"]) == (3, 10)


# ---- what can be asked -------------------------------------------------------------------------------------------


async def test_one_client_may_ask_again_and_again_and_is_named_by_the_kernel(path: Path) -> None:
    ourselves = f"{user_name(os.geteuid())}@{socket.gethostname()}, process {os.getpid()}"
    async with served(path), client_of(path) as client:
        assert (await client.commands("pause")).said == f"pause from {ourselves}"
        assert (await client.commands("set", rate="20", hours="01:00-06:00")).said == (
            f"set rate=20 hours=01:00-06:00 from {ourselves}"
        )
        assert (await client.gets("settings")).found == setting_text(Policy())
        through = to_json({"command": "stop", "through": "page"})
        assert (await client.sends(posted(through))).answer.said == f"stop from page, {ourselves}"


async def test_a_sentence_comes_with_what_its_readers_language_makes_of_it(path: Path) -> None:
    sentence = counted("{n} call is in flight, {sum} are sent", "{n} calls are in flight, {sum} are sent", 5, sum=SUM)

    class Telling(ControlHandler):
        async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
            return ControlAnswer(sentence)

    async with served(path, Telling) as fake, client_of(path) as client:
        answer = await client.commands("pause")
        assert isinstance(answer.said, Said)
        assert (answer.said, answer.said.template, answer.said.values) == (
            sentence,
            sentence.template,
            sentence.values,
        )
        fake.standing = {
            "why": said("rate {rate}", rate=5),
            "held": None,
            "last_error": "a text of the billing's",
            "errors": {"a text of the billing's": 3, said("account {id} is locked", id=7): 1},
        }
        found = (await client.gets("status")).found
        assert found["errors"] == {"a text of the billing's": 3, "account 7 is locked": 1}
        (foreign, ours), numbers = errors_of(found), list(errors_of(found).values())
        assert (foreign, ours, numbers) == ("a text of the billing's", "account 7 is locked", [3, 1])
        assert isinstance(ours, Said)
        assert ours.template == "account {id} is locked"
        assert (found["why"], found["held"]) == ("rate 5", None)
        why = sentences_of(found)["why"]
        assert isinstance(why, Said)
        assert why.template == "rate {rate}"
        forged = found | {"sentences": {"why": {"is": "said", "template": "all is well", "values": {}}, "held": 7}}
        assert type(sentences_of(forged)["why"]) is str, "the English text counts"


def test_a_claim_stands_beside_what_the_kernel_says_and_never_instead() -> None:
    host = socket.gethostname()
    assert sender("root", 7) == sender("root", 7, f"root@{host}") == f"root@{host}, process 7"
    assert sender("root", 7, "olga@ops") == f"root@{host} (says it is olga@ops), process 7"
    assert len(sender("root", 7, "x" * 5000)) < 300
    assert user_name(4_000_000_000) == "user 4000000000"


# ---- what it looks like over time --------------------------------------------------------------------------------


async def test_who_comes_late_gets_what_was_before_and_then_each_moment(path: Path) -> None:
    async with served(path, every=0.01) as fake:
        async with client_of(path) as first:
            await first.stream.send(request("GET", f"/api/runs/{RUN}/events"))
            assert (await first.hears_head())[1]["content-type"] == "text/event-stream"
            while fake.samples < 5:
                await first.hears_event()
        async with client_of(path) as late:
            await late.stream.send(request("GET", f"/api/runs/{RUN}/events"))
            number, name, data = await late.hears_event()
            assert (name, [one["t"] for one in data["samples"]][:5]) == ("history", [1001, 1002, 1003, 1004, 1005])
            assert (await late.hears_event())[:2] == (number, "snapshot")
            assert (await late.hears_event())[0] > number
        async with client_of(path) as again:
            await again.stream.send(
                request("GET", f"/api/runs/{RUN}/events", headers={"Last-Event-ID": str(number - 1)})
            )
            _, name, data = await again.hears_event()
            assert (name, data["samples"][0]["t"]) == ("history", number)


@pytest.mark.parametrize("seen", ["-1", "x", "9" * 400, "999999999999999", "", "²"])
async def test_an_id_that_was_never_given_counts_as_none(seen: str, path: Path) -> None:
    async with served(path, every=0.01), client_of(path) as client:
        await client.stream.send(request("GET", f"/api/runs/{RUN}/events", headers={"Last-Event-ID": seen}))
        await client.hears_event()
        async with client_of(path) as other:
            found = (await other.gets("samples")).found["samples"]
        assert found[0]["t"] == 1001


async def test_streams_end_with_the_run(path: Path) -> None:
    async with AsyncExitStack() as clients:
        async with served(path):
            client = await clients.enter_async_context(client_of(path))
            await client.stream.send(request("GET", f"/api/runs/{RUN}/events"))
            await client.hears_event()
        await client.is_shown_out()


# ---- who means no good -------------------------------------------------------------------------------------------


async def test_somebody_else_is_refused(path: Path) -> None:
    def refuse(_: socket.socket) -> None:
        raise NotLetIn(HTTPStatus.FORBIDDEN, "this run is not yours to steer")

    async with served(path, check=refuse) as fake, client_of(path) as client:
        reply = await client.hears()
        assert (reply.status, reply.answer.said) == (403, "this run is not yours to steer")
        await client.is_shown_out()
        async with client_of(path) as hasty:
            assert (await hasty.commands("pause")).refused
    assert fake.told == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"[]",
        b"{}",
        b"\xff\xfe\x00",
        b'{"command": 7}',
        b'{"command": "set", "arguments": {"rate": 20}}',
        b'{"command": "set", "through": "elsewhere"}',
        b"[" * 10_000,
        b'{"x":' + b"[" * 10_000,
    ],
)
async def test_what_is_no_command_is_told_what_one_looks_like(garbage: bytes, path: Path) -> None:
    async with served(path), client_of(path) as client:
        reply = await client.sends(posted(garbage))
        assert (reply.status, reply.answer.refused) == (400, True)
        assert 'a command is a JSON object like {"command": "pause"}' in reply.answer.said
        # Mistyped once, asked again.
        assert not (await client.commands("pause")).refused


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET", "/"), 404),
        (request("GET", "/api/runs/other/status"), 404),
        (request("GET", f"/api/runs/{RUN}/commands"), 405),
        (request("PUT", f"/api/runs/{RUN}/status"), 405),
        (posted(b'{"command": "pause"}', "text/plain"), 415),
        (posted(b" " * (LONGEST_REQUEST + 1)), 413),
    ],
)
async def test_what_cannot_be_asked_is_answered_in_json_too(sent: bytes, status: int, path: Path) -> None:
    async with served(path), client_of(path) as client:
        reply = await client.sends(sent)
        assert (reply.status, reply.answer.refused) == (status, True)


@pytest.mark.parametrize("garbage", [b"\r\n" * 5000, b"\xff\x00\n" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01" * 99])
async def test_what_is_no_http_ends_the_conversation_and_nothing_else(garbage: bytes, path: Path) -> None:
    async with served(path, limits=QUICK), client_of(path) as client:
        with suppress(anyio.BrokenResourceError):
            await client.stream.send(garbage)
        await client.is_shown_out()
        await is_well(path)


@pytest.mark.parametrize("start", [b"", b"GET /", STATUS[:-2] + b"X: ", posted(b"x" * 2_000_000)[:300]])
async def test_a_megabyte_without_an_end_is_not_kept(start: bytes, path: Path) -> None:
    async with served(path), client_of(path) as client:
        with anyio.fail_after(PATIENCE):
            # It may be shown out in the middle of it.
            with suppress(anyio.BrokenResourceError):
                await client.stream.send(start + b"x" * 1_000_000)
        await client.is_shown_out()
        await is_well(path)


async def test_one_who_never_reads_is_dropped_and_delays_nobody(path: Path) -> None:
    async with served(path, limits=QUICK) as fake, client_of(path) as deaf:
        fake.standing = {"done": 3, "total": 10, "much": "x" * 100_000}
        with anyio.fail_after(PATIENCE):
            with suppress(anyio.BrokenResourceError):
                while True:
                    await deaf.stream.send(STATUS * 20)
                    async with client_of(path) as client:
                        await client.gets("settings")
        async with client_of(path) as client:
            await client.gets("settings")


@pytest.mark.parametrize("start", [STATUS[:10], STATUS[:-2], posted(b'{"command": "pause"}')[:-5]])
async def test_one_who_never_ends_its_request_is_shown_out(start: bytes, path: Path) -> None:
    async with served(path, limits=QUICK, work=0.2), client_of(path) as slow:
        await slow.stream.send(start)
        await slow.is_shown_out()
        await is_well(path)


async def test_one_too_many_is_told_to_come_again(path: Path) -> None:
    async with served(path, limits=DoorLimits(clients=3)), AsyncExitStack() as open_:
        inside = [await open_.enter_async_context(client_of(path)) for _ in range(3)]
        for client in inside:
            await client.gets("status")
        async with client_of(path) as one_more:
            reply = await one_more.hears()
            assert (reply.status, "3 others talk to this run" in reply.answer.said) == (503, True)
            await one_more.is_shown_out()
        await inside[0].stream.aclose()
        # There is room as soon as the other side has seen it go.
        with anyio.fail_after(PATIENCE):
            while True:
                async with client_of(path) as again:
                    if (await again.gets("status")).status == 200:
                        break


async def test_one_who_cannot_be_accepted_is_no_reason_to_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, left = asyncio.get_running_loop(), 1
    accept = loop.sock_accept

    async def without_files(listener: socket.socket) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise OSError(24, "Too many open files")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", without_files)
    monkeypatch.setattr("engine.control.door._BREATH", 0.01)
    async with served(path):
        await is_well(path)
    assert left == 0


class Faulty(ControlHandler):
    """Has a fault of ours."""

    async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
        raise RuntimeError("impossible")


async def test_a_fault_of_ours_is_answered_and_ends_nothing(path: Path) -> None:
    async with served(path, Faulty), client_of(path) as client:
        reply = await client.sends(posted(b'{"command": "pause"}'))
        assert (reply.status, "a fault of ours" in reply.answer.said) == (500, True)
        assert "impossible" not in reply.answer.said
        await is_well(path)


class Slow(ControlHandler):
    """Carries nothing out."""

    async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
        await anyio.sleep_forever()
        raise AssertionError


async def test_what_takes_too_long_is_answered_as_unknown(path: Path) -> None:
    async with served(path, Slow, work=0.1), client_of(path) as client:
        answer = await client.commands("pause")
        assert (answer.refused, "nothing is known" in answer.said) == (True, True)


async def test_when_the_run_ends_an_answer_is_still_given_to_its_end(path: Path) -> None:
    begun, may_end = anyio.Event(), anyio.Event()

    class Waiting(ControlHandler):
        async def obey(self, request: ControlRequest, who: str) -> ControlAnswer:
            begun.set()
            await may_end.wait()
            return ControlAnswer("it stops")

    heard: list[ControlAnswer] = []

    async def ask(client: Client) -> None:
        heard.append(await client.commands("stop"))
        await client.is_shown_out()

    async with AsyncExitStack() as clients, anyio.create_task_group() as asking, served(path, Waiting):
        asking.start_soon(ask, await clients.enter_async_context(client_of(path)))
        await begun.wait()
        # The run is being ended when this is called.
        asyncio.get_running_loop().call_soon(may_end.set)
    assert [answer.said for answer in heard] == ["it stops"]


async def test_an_answer_is_bounded_as_well(path: Path) -> None:
    async with served(path) as fake, client_of(path) as client:
        fake.standing = {"much": "x" * LONGEST_ANSWER}
        reply = await client.gets("status")
        assert (reply.status, reply.answer.said) == (500, "the answer is too long to be given")
        assert (await client.gets("settings")).status == 200


OLGA = "olga@ops, process 7"


@dataclass(frozen=True, slots=True)
class Steering:
    """A run under control."""

    control: ControlHandler
    run: Run
    journal: Journal
    fake: FakeRun

    async def obey(self, command: str, who: str = OLGA, **arguments: str) -> tuple[bool, str]:
        answer = await self.control.obey(ControlRequest(command, arguments), who)
        return answer.refused, answer.said

    async def noted(self) -> list[tuple[str, str, str]]:
        return [(one.who, one.command, one.answer) for one in await self.journal.history.commands(self.run)]

    async def now(self) -> Run:
        return await self.journal.run(self.run.name)


@pytest.fixture
async def steering(tmp_path: Path) -> AsyncIterator[Steering]:
    async with open_journal(tmp_path / "journal.db") as journal:
        run, fake = await journal.create_run(NEW_RUN), FakeRun()
        yield Steering(ControlHandler(run, journal, fake), run, journal, fake)


async def test_a_pause_is_in_the_run_and_in_the_journal_before_it_is_answered(steering: Steering) -> None:
    refused, said = await steering.obey("pause")
    assert (refused, said.startswith("paused")) == (False, True)
    assert steering.fake.told == [f"pause by {OLGA}"]
    assert (await steering.now()).paused_by == OLGA
    assert await steering.noted() == [(OLGA, "pause", said)]


async def test_continue_ends_the_pause_in_both(steering: Steering) -> None:
    await steering.obey("pause")
    assert await steering.obey("continue") == (False, "it goes on")
    assert steering.fake.told[-1] == "go on"
    assert (await steering.now()).paused_at is None
    assert await steering.obey("continue") == (False, "it was not paused")


async def test_what_the_journal_alone_was_told_meanwhile_is_heeded_with_the_next_word(steering: Steering) -> None:
    # A client that finds nobody writes the journal, and asks once more, lest a run has begun in between.
    await steering.journal.pause(steering.run, OLGA)
    await steering.obey("pause")
    assert steering.fake.told == [f"pause by {OLGA}"]
    await steering.journal.unpause(steering.run)
    await steering.obey("continue")
    assert steering.fake.told[-1] == "go on"


async def test_set_sets_all_that_it_names_at_once_and_the_journal_keeps_it(steering: Steering) -> None:
    assert await steering.obey("set", rate="20", **{"in-flight": "8"}) == (
        False,
        "rate: at most 20 calls a second; in-flight: parallel calls: 8",
    )
    assert steering.fake.policy == Policy(rate=20.0, in_flight=8)
    assert len(steering.fake.told) == 1
    assert (await steering.now()).policy == {"rate": "20", "in-flight": "8"}
    await steering.obey("set", rate="none")
    assert (await steering.now()).policy == {"in-flight": "8"}
    assert [command for _, command, _ in await steering.noted()] == ["set rate=20 in-flight=8", "set rate=none"]


@pytest.mark.parametrize("wrong", [{"rate": "abc"}, {"speed": "9"}])
async def test_where_one_is_wrong_nothing_is_set_for_no_moment_and_that_is_noted_too(
    wrong: dict[str, str], steering: Steering
) -> None:
    refused, said = await steering.obey("set", **{"in-flight": "1000"}, **wrong)
    assert refused
    assert said.endswith("; nothing was changed")
    assert (steering.fake.policy, steering.fake.told) == (Policy(), [])
    assert (await steering.now()).policy == {}
    assert [(who, answer) for who, _, answer in await steering.noted()] == [(OLGA, said)]


async def test_an_unknown_command_is_told_which_there_are(steering: Steering) -> None:
    refused, said = await steering.obey("x" * 5000)
    assert refused
    assert "set, pause, continue, stop" in said
    assert await steering.obey("set") == (True, "nothing is named that is to be set")
    assert len(said) < 200


async def test_what_is_noted_is_bounded(steering: Steering) -> None:
    await steering.obey("set", rate="9" * 10_000)
    ((_, command, answer),) = await steering.noted()
    assert max(len(command), len(answer)) == 500


@pytest.mark.parametrize("paused", [False, True])
async def test_a_run_is_taken_up_as_the_journal_left_it(steering: Steering, *, paused: bool) -> None:
    if paused:
        await steering.journal.pause(steering.run, OLGA)
    taken_up = await steering.control.take_up()
    assert (taken_up.paused_at is not None) == paused
    assert steering.fake.told == [f"pause by {OLGA}" if paused else "go on"]


async def test_a_pause_and_a_continue_at_one_time_leave_run_and_journal_of_one_mind(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, pausing, unpausing = anyio.Event(), steering.journal.pause, steering.journal.unpause

    async def pause(run: Run, who: str) -> None:
        await pausing(run, who)
        paused.set()

    async def unpause(run: Run) -> None:
        await unpausing(run)
        # Were the pause not to wait for its turn, it would come to its end in here.
        with anyio.move_on_after(0.3):
            await paused.wait()

    monkeypatch.setattr(steering.journal, "pause", pause)
    monkeypatch.setattr(steering.journal, "unpause", unpause)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steering.obey, "continue")
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(steering.obey, "pause")
    assert steering.fake.told == ["go on", f"pause by {OLGA}"]
    assert (await steering.now()).paused_at is not None


async def fails(*_: object) -> None:
    raise JournalUnreadable("the disk is full")


@pytest.mark.parametrize(("command", "writes"), [("pause", "pause"), ("continue", "unpause"), ("set", "keep_policy")])
async def test_what_the_journal_cannot_keep_is_refused_and_not_done(
    command: str, writes: str, steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "continue":
        await steering.obey("pause")
    before = list(steering.fake.told)
    monkeypatch.setattr(steering.journal, writes, fails)
    refused, said = await steering.obey(command, **({"rate": "5"} if command == "set" else {}))
    assert (refused, said) == (True, "the disk is full: it was not carried out, for the journal cannot keep it")
    # The calls wait while a pause is being written, and go on where it could not be.
    assert steering.fake.told == before + ([f"pause by {OLGA}", "go on"] if command == "pause" else [])
    assert steering.fake.policy == Policy()
    assert ((await steering.now()).paused_at is not None) == (command == "continue")


async def test_a_journal_that_fails_keeps_nobody_from_stopping(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering.journal.history, "note_command", fails)
    refused, said = await steering.obey("stop")
    assert refused
    assert "but the journal did not take it down: the disk is full" in said
    assert steering.fake.told == [f"stop by {OLGA}"]


async def test_more_calls_than_the_system_has_files_for_are_refused(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    refused, said = await steering.obey("set", **{"in-flight": "500"})
    assert (refused, "500 parallel calls need 1064 open files" in said) == (True, True)
    assert steering.fake.policy == Policy()


AT_ONCE = 1


def names(folder: Path) -> list[str]:
    return [found.name for found in folder.iterdir()]


def mode(path: Path) -> int:
    return path.stat().st_mode


@pytest.fixture
def careless() -> Iterator[None]:
    """A process that gives everything away, unless it is told otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
async def test_nobody_else_may_open_it_at_any_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[int] = []
    bind, listen, move = socket.socket.bind, socket.socket.listen, Path.replace

    def spied_bind(self: socket.socket, address: str) -> None:
        bind(self, address)
        (folder,) = path.parent.iterdir()
        folders.append(stat.S_IMODE(folder.stat().st_mode))

    def spied_listen(self: socket.socket, waiting: int) -> None:
        assert not path.exists()
        listen(self, waiting)

    def spied_move(self: Path, target: Path) -> Path:
        assert stat.S_IMODE(self.stat().st_mode) == 0o600
        return move(self, target)

    monkeypatch.setattr(socket.socket, "bind", spied_bind)
    monkeypatch.setattr(socket.socket, "listen", spied_listen)
    monkeypatch.setattr(Path, "replace", spied_move)
    async with listening(path):
        assert names(path.parent) == [path.name]
        assert mode(path) == stat.S_IFSOCK | 0o600
    assert folders == [0o700]


async def test_each_end_knows_the_other_by_the_kernels_word(path: Path) -> None:
    async with listening(path) as listener:
        with connect(path, AT_ONCE) as client:
            accepted, _ = listener.accept()
            with accepted:
                ourselves = Peer(os.getpid(), os.geteuid())
                assert (peer_of(accepted), peer_of(client)) == (ourselves, ourselves)


async def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    half_made = path.with_name(f"{path.name}.new")
    half_made.mkdir()
    (half_made / "socket").touch()
    with pytest.raises(ConnectionRefusedError):
        connect(path, AT_ONCE)
    async with listening(path) as listener:
        connect(path, AT_ONCE).close()
        listener.accept()[0].close()
        assert not half_made.exists()


async def test_a_path_may_be_longer_than_a_socket_may_be_called(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["подпапка" * 10] * 5)
    folder.mkdir(parents=True)
    path = folder / f"{'j' * 200}.journal-k7m2q.socket"
    assert len(os.fsencode(path)) > 900
    async with listening(path) as listener:
        connect(path, AT_ONCE).close()
        listener.accept()[0].close()
    assert names(folder) == []


async def test_where_too_many_wait_it_is_told(path: Path) -> None:
    async with listening(path):
        with ExitStack() as queue:
            # Linux lets in one more than it was told.
            for _ in range(WAITING + 1):
                queue.enter_context(connect(path, AT_ONCE))
            with pytest.raises(TimeoutError, match="others wait"):
                connect(path, AT_ONCE)


async def test_a_folder_that_cannot_hold_it_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "there is none" / "a.socket"
    with pytest.raises(FileNotFoundError):
        async with listening(path):
            pass
    # A folder of that name is in the way, and something is in it.
    path = tmp_path / "a.socket"
    (path / "x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        async with listening(path):
            pass
    assert names(tmp_path) == [path.name]
