"""Whatever a client does, the run goes on, and the others are answered."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from checkpoints.journal import open_journal
from engine.control.address import listening, sender, user_name
from engine.control.application import SECOND, WORK, ControlApplication
from engine.control.door import Check, Door, DoorLimits, NotLetIn
from engine.control.handler import ControlHandler
from engine.control.messages import (
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


async def test_a_stream_that_is_not_read_is_dropped(path: Path) -> None:
    async with served(path, limits=QUICK, every=0.001) as fake, client_of(path) as deaf:
        fake.standing = {"much": "x" * 10_000}
        await deaf.stream.send(request("GET", f"/api/runs/{RUN}/events"))
        with anyio.fail_after(PATIENCE):
            # It is dropped as soon as the kernel keeps no more of it; what was kept can be read, and then no more.
            while fake.samples < 2000:
                async with client_of(path) as client:
                    await client.gets("settings")
        await deaf.is_shown_out()


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
