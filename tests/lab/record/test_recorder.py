"""Recording over real sockets: what is kept, what never is, and what is left of a killed recorder or of others."""

import asyncio
import gzip
import json
import os
import random
import re
import stat
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from typing import Any

import pytest
from aiohttp import web

from billing.api.calls import Call, ChainStep, create, filter_
from billing.api.client import BillingClient, ClientSettings
from engine.evidence import Accepted
from lab.crash.loops import loops
from lab.record import recording as format_of
from lab.record.recording import (
    FORMAT,
    Recorded,
    Recording,
    RecordingBroken,
    RecordingError,
    open_recorder,
)
from lab.record.replay import Replay, differences, meets_veiled
from tests.billing.api.scripted_server import answer, scripted

READ = filter_("Users", {"id": 1}, "login")


def settings_of(url: str, **more: Any) -> ClientSettings:
    return ClientSettings(url, **({"connect": 5.0, "read": 5.0, "deadline": 5.0} | more))


async def recorded(path: Path, settings: ClientSettings, calls: Sequence[Call]) -> list[Recorded]:
    async with open_recorder(path, settings) as recorder, BillingClient(settings, listener=recorder) as client:
        for call in calls:
            await client.send(call)
    return read(path)


def read(path: Path) -> list[Recorded]:
    with Recording(path) as recording:
        exchanges = list(recording)
    assert recording.whole
    assert [exchange.number for exchange in exchanges] == list(range(1, len(exchanges) + 1))
    return exchanges


async def test_an_exchange_as_it_was(tmp_path: Path) -> None:
    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        await asyncio.sleep(0.02)
        return answer("да", 503, Retry_After="7", Server="x", Set_Cookie="s=1")

    async with scripted(script) as server:
        settings = settings_of(f"{server.url}/prefix/")
        (exchange,) = await recorded(tmp_path / "r.gz", settings, [create("Users", login="a+b")])
    assert (exchange.path, exchange.outcome, exchange.instead) == ("/rest_api/v2/Users/", "busy", None)
    assert exchange.form == (("method1", "objects.create"), ("arg1", '{"login":"a+b"}'))
    assert 0.02 <= exchange.seconds < 5
    assert 0 <= exchange.at < 5
    assert exchange.answer is not None
    assert exchange.answer.status == 503
    assert exchange.answer.headers == {"Content-Type": "application/json; charset=utf-8", "Retry-After": "7"}
    assert exchange.answer.text == '{"call": "x", "result": "да"}'
    with Recording(tmp_path / "r.gz") as recording:
        assert (recording.header.recording, recording.header.base_path) == (FORMAT, "/prefix")
    assert b"127.0.0.1" not in gzip.decompress((tmp_path / "r.gz").read_bytes())
    assert stat.S_IMODE((tmp_path / "r.gz").stat().st_mode) == 0o600


async def _nothing(_: web.Request, __: dict[str, str]) -> web.Response:
    return answer(None)


async def test_a_cancelled_call_is_recorded(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def script(_: web.Request, __: dict[str, str]) -> web.Response:
        arrived.set()
        await asyncio.sleep(5)
        return answer(1)

    path = tmp_path / "r.gz"
    async with scripted(script) as server:
        settings = settings_of(server.url)
        async with open_recorder(path, settings) as recorder, BillingClient(settings, listener=recorder) as client:
            call = asyncio.ensure_future(client.send(READ))
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    (exchange,) = read(path)
    assert exchange.outcome == "cancelled"
    assert exchange.instead is not None
    assert (exchange.instead.what, exchange.instead.left) == ("cancelled", True)


async def test_secrets_that_the_billing_makes_never_reach_the_file(tmp_path: Path) -> None:
    """Those that it is given, in all spellings, are the matter of tests/cli/test_secret_canaries.py."""
    made, given = "made-by-the-billing", 'Пароль "7"\\/+&'

    async def script(_: web.Request, form: dict[str, str]) -> web.Response:
        if form["method1"] == "objects.filter":
            inner = json.dumps({"error": str(form), "suid": made, "again": made})
            return answer([inner, {"psw": made}])
        return answer(made)

    filters = ChainStep("objects.filter", {"suid": "5u1d", "descr": f"~{given}~"})
    password = ChainStep("set_password", {"psw": given})
    calls = [Call("Users", (filters, password)), Call("Users", (ChainStep("get_or_create_dynamic_session", {}),))]
    async with scripted(script) as server:
        exchanges = await recorded(tmp_path / "r.gz", settings_of(server.url), calls)
    assert exchanges[0].form[1][1] == '{"suid":"•••","descr":"~•••~"}'
    assert all("•••".encode() in one.answer.body for one in exchanges if one.answer)
    raw = gzip.decompress((tmp_path / "r.gz").read_bytes())
    once = json.dumps(given, ensure_ascii=False)[1:-1]
    spelled = (given, once, json.dumps(given)[1:-1], json.dumps(once)[1:-1], json.dumps(once, ensure_ascii=False))
    assert [one for one in (made, "5u1d", *spelled) if one.encode() in raw] == []
    assert given.replace("\\", "").encode() not in raw.replace(b"\\", b""), "however often it was quoted"


async def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path, settings = tmp_path / "r.gz", ClientSettings("http://127.0.0.1:9")
    path.write_text("mine")
    path.chmod(0o644)
    with pytest.raises(RecordingError, match="is there already"):
        async with open_recorder(path, settings):
            pass
    assert path.read_text() == "mine"
    # What goes wrong in the run is what is heard of.
    with pytest.raises(ZeroDivisionError):
        async with open_recorder(path, settings, force=True):
            raise ZeroDivisionError
    assert read(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(RecordingError, match="No such file"):
        async with open_recorder(tmp_path / "none" / "r.gz", settings):
            pass


async def test_a_full_disk_ends_the_recording_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, __: object) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "r.gz"
    async with scripted(_nothing) as server:
        settings = settings_of(server.url)

        async def run() -> None:
            async with (
                # Room for one exchange: each call waits until the one before is written, or cannot be.
                open_recorder(path, settings, room=1) as recorder,
                BillingClient(settings, listener=recorder) as client,
            ):
                assert await client.send(READ) == Accepted(result=None)
                monkeypatch.setattr(os, "write", full)
                for _ in range(100):
                    assert await client.send(READ) == Accepted(result=None)
                assert "No space left" in (recorder.failure or "")

        with pytest.raises(RecordingBroken, match="No space left"):
            await run()
    with Recording(path) as recording:
        assert len(list(recording)) <= 2
        assert not recording.whole
    with pytest.raises(RecordingError, match="No space left"):
        async with open_recorder(path, settings, force=True):
            pass


async def test_a_slow_disk_holds_calls_back_before_they_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = os.write

    def slow(descriptor: int, data: bytes) -> int:
        gate.wait(30)
        return real(descriptor, data)

    path = tmp_path / "r.gz"
    async with scripted(_nothing) as server:
        settings = settings_of(server.url)
        async with (
            open_recorder(path, settings, room=10_000) as recorder,
            BillingClient(settings, listener=recorder) as client,
        ):
            monkeypatch.setattr(os, "write", slow)
            calls = [asyncio.create_task(client.send(READ)) for _ in range(3)]
            for _ in range(40):
                calls.append(asyncio.create_task(client.send(READ)))
                await asyncio.sleep(0.005)
            done = len(server.forms)
            # Some nine fit; what was in flight by then is taken all the same.
            assert 8 <= done <= 15
            calls[-1].cancel()
            gate.set()
            seen = await asyncio.gather(*calls, return_exceptions=True)
            assert len(server.forms) == 42
    assert sum(isinstance(each, Accepted) for each in seen) == 42
    assert len(read(path)) == 42


async def test_a_recording_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    path, cut = tmp_path / "r.gz", tmp_path / "cut.gz"
    async with scripted(_nothing) as server:
        settings = settings_of(server.url)
        async with open_recorder(path, settings) as recorder, BillingClient(settings, listener=recorder) as client:
            for number in range(20):
                await client.send(filter_("Users", {"id": number}))
            # A killed recorder leaves what it has written: each exchange at once.
            async with asyncio.timeout(loops(30)):
                while True:
                    if len(list(Recording(path))) == 20:
                        break
                    await asyncio.sleep(0.005)
    whole = read(path)
    data = path.read_bytes()
    counts = []
    for length in range(0, len(data), 7):
        cut.write_bytes(data[:length])
        try:
            with Recording(cut) as recording:
                exchanges = list(recording)
            assert not recording.whole
            assert exchanges == whole[: len(exchanges)]
            counts.append(len(exchanges))
        except RecordingError:
            assert not counts
    assert counts == sorted(counts)
    assert set(counts) == set(range(21))
    cut.write_bytes(data[: len(data) // 2] + b"\0" * 4096)
    with Recording(cut) as recording:
        assert 1 < len(list(recording)) < 20
        assert not recording.whole


def test_what_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    header = {"recording": 2, "program": "9.0", "base_path": "", "started": ""}
    known = json.dumps(header | {"recording": 1})
    for content, said in (
        (b"", ""),
        (b"no gzip", ""),
        (gzip.compress(b""), ""),
        (gzip.compress(b"no json\n"), ""),
        (gzip.compress(b'{"recording": 1}\n'), ""),
        (gzip.compress(json.dumps(header).encode() + b"\n"), r"format 2, made by version 9\.0"),
        (gzip.compress(f"{known}\n{{}}\n".encode()), "not an exchange"),
    ):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=said or None), Recording(path) as recording:
            list(recording)
    with pytest.raises(RecordingError, match="No such file"):
        Recording(tmp_path / "none.gz")


# ---- a recording comes from elsewhere: whatever is in it, reading it takes little memory and ends with a sentence -

MEBIBYTE = 2**20
HEADER = json.dumps({"recording": 1, "program": "x", "base_path": "", "started": ""}).encode() + b"\n"
DEEP = 100_000


def packed(path: Path, parts: Iterable[bytes], level: int = 9) -> Path:
    pack = zlib.compressobj(level, wbits=31)
    path.write_bytes(b"".join([*(pack.compress(part) for part in parts), pack.flush()]))
    return path


def exchange(form: list[Any], text: str = "{}", **more: Any) -> bytes:
    frame = {"number": 1, "at": 0, "path": "/rest_api/v2/Users/", "seconds": 0, "outcome": "answered"}
    answer = {"status": 200, "headers": {}, "text": text}
    return json.dumps(frame | {"form": form, "answer": answer} | more).encode() + b"\n"


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize(
    "parts",
    [
        [HEADER, *[b" " * MEBIBYTE] * 100],
        [b"0" * MEBIBYTE] * 100,
        [HEADER, exchange([])[:-3], *[b"a" * MEBIBYTE] * 100],
    ],
    ids=["a line", "a header", "an answer"],
)
def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path, parts: list[bytes]) -> None:
    path = packed(tmp_path / "bomb.rec", parts)
    assert path.stat().st_size < MEBIBYTE
    with little_memory(150 * MEBIBYTE), pytest.raises(RecordingError, match=r"unpack to more than|longer than"):
        for _ in Recording(path):
            pass


def test_a_line_has_a_longest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_of, "LONGEST_LINE", MEBIBYTE)
    noise = random.Random(1).randbytes(MEBIBYTE).hex()
    whole = packed(tmp_path / "whole.rec", [HEADER, exchange([], noise[: MEBIBYTE // 2])], 1)
    assert len(list(Recording(whole))) == 1
    longer = packed(tmp_path / "longer.rec", [HEADER, exchange([], noise)], 1)
    with little_memory(8 * MEBIBYTE), pytest.raises(RecordingError, match="a line of it is longer than 1 MiB"):
        list(Recording(longer))


@pytest.mark.parametrize(
    "line",
    [
        b'{"number": 1, "more": ' + b"[" * DEEP + b"]" * DEEP + b"}\n",
        exchange([["arg1", "[" + "1," * MEBIBYTE + "1]"]]),
        exchange([["a", ""]] * 100_000),
        b'{"number": 1e999999999}\n',
        b"[]\n",
        b"".join(exchange([[f"name{number}", "•••"]]) for number in range(1_100)),
    ],
    ids=["deep", "a long argument", "many fields", "a huge number", "a list", "many hidden places"],
)
def test_what_is_no_exchange_is_refused(tmp_path: Path, line: bytes) -> None:
    path = packed(tmp_path / "odd.rec", [HEADER, line])
    why = "is not an exchange|more than 1000 different places"
    with little_memory(64 * MEBIBYTE), pytest.raises(RecordingError, match=why):
        Replay(path, "at once")
    with pytest.raises(RecordingError):
        Recording(packed(tmp_path / "deep.rec", [b'{"recording": ' + b"[" * DEEP + b"]" * DEEP + b"}\n"]))


def test_hidden_places_are_found_without_trying_all_ways() -> None:
    began = time.process_time()
    assert not meets_veiled("a" * 5_000 + "b", "•••a" * 200 + "c")
    assert meets_veiled("a" * 5_000 + "c", "•••a" * 200 + "•••c")
    assert [*differences({"x": "•••a" * 200 + "c"}, {"x": "a" * 5_000})]
    assert time.process_time() - began < 5


def test_a_hidden_place_matches_anything() -> None:
    words = ["".join(word) for length in range(5) for word in product("ab", repeat=length)]
    for parts in (one for number in range(1, 5) for one in product(words[:7], repeat=number)):
        wanted = re.compile(".*".join(parts))
        wrong = [one for one in words if meets_veiled(one, "•••".join(parts)) is not bool(wanted.fullmatch(one))]
        assert wrong == [], parts


def test_a_full_temporary_folder_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "large.rec", [HEADER, *[exchange([], "x" * 100_000)] * 100])
    before = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (MEBIBYTE, before[1]))
    try:
        with pytest.raises(RecordingError, match=r"cannot be unpacked into .*TMPDIR"):
            Replay(path, "at once")
    finally:
        setrlimit(RLIMIT_FSIZE, before)
