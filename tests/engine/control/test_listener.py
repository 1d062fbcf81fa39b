"""Whatever a client does, the run goes on, and the others are answered."""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from engine.control.address import connect, listening
from engine.control.listener import ControlListener, ListenerLimits, sender, user_name
from engine.control.messages import LONGEST_ANSWER, LONGEST_REQUEST, ControlAnswer, ControlRequest, line_of
from tests.engine.control.steered import PATIENCE, Client, client_of

US = frozenset({os.geteuid()})
QUICK = ListenerLimits(clients=3, idle=0.2, unread=0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.socket"


async def echo(request: ControlRequest, who: str) -> ControlAnswer:
    return ControlAnswer(f"{request.typed} from {who}")


@asynccontextmanager
async def served(
    path: Path,
    obey: Callable[[ControlRequest, str], Awaitable[ControlAnswer]] = echo,
    owners: frozenset[int] = US,
    limits: ListenerLimits | None = None,
) -> AsyncIterator[None]:
    """A listener at `path`; what it raises, the test raises."""
    async with listening(path) as door, anyio.create_task_group() as tasks:
        tasks.start_soon(ControlListener(door, obey, owners, limits or ListenerLimits()).serve)
        yield
        tasks.cancel_scope.cancel()


async def is_well(path: Path) -> None:
    """Another client is answered."""
    async with client_of(path) as client:
        assert (await client.asks("status")).said.startswith("status from ")


async def test_one_client_may_ask_again_and_again_and_is_named_by_the_kernel(path: Path) -> None:
    ourselves = f"{user_name(os.geteuid())}@{socket.gethostname()}, process {os.getpid()}"
    async with served(path), client_of(path) as client:
        assert (await client.asks("pause")).said == f"pause from {ourselves}"
        assert (await client.asks("set", rate="20", hours="01:00-06:00")).said == (
            f"set rate=20 hours=01:00-06:00 from {ourselves}"
        )


async def test_several_requests_in_one_piece_are_answered_in_order(path: Path) -> None:
    async with served(path), client_of(path) as client:
        first = await client.sends(line_of(ControlRequest("one")) + line_of(ControlRequest("two")))
        assert [first.said.split()[0], (await client.hears()).said.split()[0]] == ["one", "two"]


def test_a_claim_stands_beside_what_the_kernel_says_and_never_instead() -> None:
    host = socket.gethostname()
    assert sender("root", 7) == sender("root", 7, f"root@{host}") == f"root@{host}, process 7"
    assert sender("root", 7, "olga@ops") == f"root@{host} (says it is olga@ops), process 7"
    assert len(sender("root", 7, "x" * 5000)) < 300


def test_a_user_without_a_name_is_a_number() -> None:
    assert user_name(4_000_000_000) == "user 4000000000"


async def test_somebody_else_is_refused(path: Path) -> None:
    asked: list[str] = []

    async def obey(request: ControlRequest, who: str) -> ControlAnswer:
        asked.append(f"{request.typed} {who}")
        return ControlAnswer()

    async with served(path, obey, owners=frozenset({os.geteuid() + 1})), client_of(path) as client:
        answer = await client.hears()
        assert (answer.refused, answer.said) == (True, "this run is not yours to steer")
        await client.is_shown_out()
    assert asked == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"{}\n",
        b'{"command": 7}\n',
        b'{"command": "set", "arguments": {"rate": 20}}\n',
        b"[" * 10_000 + b"\n",
        b'{"x":' + b"[" * 10_000 + b"\n",
    ],
)
async def test_what_is_no_request_is_told_what_one_looks_like(garbage: bytes, path: Path) -> None:
    async with served(path), client_of(path) as client:
        answer = await client.sends(garbage)
        assert answer.refused
        assert 'a request is a line like {"command": "status"}' in answer.said
        # Mistyped once, asked again.
        assert not (await client.asks("status")).refused


async def test_a_megabyte_without_an_end_is_refused_and_not_kept(path: Path) -> None:
    async with served(path), client_of(path) as client:
        with anyio.fail_after(PATIENCE):
            # It may be shown out in the middle of it.
            with suppress(anyio.BrokenResourceError):
                await client.stream.send(b"x" * 1_000_000)
        assert f"at most {LONGEST_REQUEST:,} bytes" in (await client.hears()).said
        await client.is_shown_out()
        await is_well(path)


async def test_one_who_never_reads_is_dropped_and_delays_nobody(path: Path) -> None:
    async def obey(request: ControlRequest, who: str) -> ControlAnswer:
        return ControlAnswer(f"{request.typed} from {who}", settings={"much": "x" * 100_000})

    async with served(path, obey, limits=QUICK), client_of(path) as deaf:
        with anyio.fail_after(PATIENCE):
            with suppress(anyio.BrokenResourceError):
                while True:
                    await deaf.stream.send(line_of(ControlRequest("status")) * 20)
                    await is_well(path)
        await is_well(path)


async def test_an_answer_is_bounded_as_well(path: Path) -> None:
    async def obey(request: ControlRequest, who: str) -> ControlAnswer:
        return ControlAnswer("x" * LONGEST_ANSWER) if request.command == "all" else await echo(request, who)

    async with served(path, obey), client_of(path) as client:
        answer = await client.asks("all")
        assert (answer.refused, answer.said) == (True, "the answer is too long to be given")
        await is_well(path)


async def test_one_who_says_nothing_is_shown_out(path: Path) -> None:
    async with served(path, limits=QUICK), client_of(path) as silent:
        await silent.is_shown_out()
        await is_well(path)


async def test_one_too_many_is_told_to_come_again(path: Path) -> None:
    async with served(path, limits=ListenerLimits(clients=3)), AsyncExitStack() as open_:
        inside = [await open_.enter_async_context(client_of(path)) for _ in range(3)]
        for client in inside:
            await client.asks("status")
        async with client_of(path) as one_more:
            assert "3 others talk to this run" in (await one_more.hears()).said
            await one_more.is_shown_out()
        await inside[0].stream.aclose()
        # There is room as soon as the other side has seen it go.
        with anyio.fail_after(PATIENCE):
            while True:
                async with client_of(path) as again:
                    if not (await again.asks("status")).refused:
                        break


async def test_those_who_come_and_go_without_a_word_do_no_harm(path: Path) -> None:
    async with served(path):
        for _ in range(200):
            (await anyio.to_thread.run_sync(connect, path, PATIENCE)).close()
        async with client_of(path) as hasty:
            await hasty.stream.send(line_of(ControlRequest("status"))[:10])
        await is_well(path)


async def test_a_fault_of_ours_ends_the_conversation_and_nothing_else(path: Path) -> None:
    async def obey(request: ControlRequest, who: str) -> ControlAnswer:
        if request.command == "bad":
            raise RuntimeError("impossible")
        return await echo(request, who)

    async with served(path, obey), client_of(path) as client:
        await client.stream.send(line_of(ControlRequest("bad")))
        await client.is_shown_out()
        await is_well(path)


async def test_what_takes_too_long_is_answered_as_unknown(path: Path) -> None:
    async def obey(_request: ControlRequest, _who: str) -> ControlAnswer:
        await anyio.sleep_forever()
        raise AssertionError

    async with served(path, obey, limits=ListenerLimits(work=0.1)), client_of(path) as client:
        answer = await client.asks("pause")
        assert (answer.refused, "nothing is known" in answer.said) == (True, True)


async def test_when_the_run_ends_an_answer_is_still_given_to_its_end(path: Path) -> None:
    begun, may_end = anyio.Event(), anyio.Event()

    async def obey(_request: ControlRequest, _who: str) -> ControlAnswer:
        begun.set()
        await may_end.wait()
        return ControlAnswer("it stops")

    heard: list[ControlAnswer] = []

    async def ask(client: Client) -> None:
        heard.append(await client.asks("stop"))
        await client.is_shown_out()

    async with (
        AsyncExitStack() as clients,
        anyio.create_task_group() as asking,
        listening(path) as door,
        anyio.create_task_group() as run,
    ):
        run.start_soon(ControlListener(door, obey, US, ListenerLimits()).serve)
        asking.start_soon(ask, await clients.enter_async_context(client_of(path)))
        await begun.wait()
        run.cancel_scope.cancel()
        may_end.set()
    assert [answer.said for answer in heard] == ["it stops"]
