"""A recording comes from elsewhere: whatever is in it, reading it takes little memory and ends with a sentence."""

import json
import random
import time
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from typing import Any

import pytest

from lab.record import recording as format_of
from lab.record.diff import differences
from lab.record.matching import meets_veiled, request_of
from lab.record.recording import NotARecording, Recording, RecordingError
from lab.record.replay import Replay

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
    with little_memory(150 * MEBIBYTE), pytest.raises(NotARecording, match=r"unpack to more than|longer than"):
        for _ in Recording(path):
            pass


def test_a_line_has_a_longest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_of, "LONGEST_LINE", MEBIBYTE)
    noise = random.Random(1).randbytes(MEBIBYTE).hex()
    whole = packed(tmp_path / "whole.rec", [HEADER, exchange([], noise[: MEBIBYTE // 2])], 1)
    assert len(list(Recording(whole))) == 1
    longer = packed(tmp_path / "longer.rec", [HEADER, exchange([], noise)], 1)
    with little_memory(8 * MEBIBYTE), pytest.raises(NotARecording, match="a line of it is longer than 1 MiB"):
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
    with little_memory(64 * MEBIBYTE), pytest.raises(NotARecording, match=why):
        Replay(path, "at once")
    with pytest.raises(NotARecording):
        Recording(packed(tmp_path / "deep.rec", [b'{"recording": ' + b"[" * DEEP + b"]" * DEEP + b"}\n"]))


@pytest.mark.parametrize("depth", [500, 900, 5_000])
def test_a_request_that_is_nested_deeply_is_compared_as_a_text(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    assert request_of("/", [("arg1", deep)]).texts.keys() <= {"arg1", "arg1" + "/0" * (depth - 1)}
    assert request_of("/", [("arg1", deep)]) == request_of("/", [("arg1", deep)])


def test_a_field_that_comes_ten_thousand_times_takes_no_long_time() -> None:
    began = time.process_time()
    texts = request_of("/", [("arg1", str(number)) for number in range(10_000)]).texts
    assert len(texts) == 10_000
    assert sum(map(len, texts)) < MEBIBYTE
    assert time.process_time() - began < 5


def test_hidden_places_are_found_without_trying_all_ways() -> None:
    began = time.process_time()
    assert not meets_veiled("a" * 5_000 + "b", "•••a" * 200 + "c")
    assert meets_veiled("a" * 5_000 + "c", "•••a" * 200 + "•••c")
    assert [*differences({"x": "•••a" * 200 + "c"}, {"x": "a" * 5_000})]
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "recorded", "same"),
    [
        ("", "", True),
        ("secret", "•••", True),
        ("", "•••", True),
        ("a=1&psw=x", "a=1&psw=•••", True),
        ("a=1", "a=1•••1", False),
        ("abab", "•••ab•••ab", True),
        ("ab", "•••ab•••ab", False),
        ("xaybz", "x•••y•••z", True),
        ("xyaz", "x•••a•••y•••z", False),
    ],
)
def test_a_hidden_place_matches_anything(text: str, recorded: str, *, same: bool) -> None:
    assert meets_veiled(text, recorded) is same


def test_a_full_temporary_folder_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "large.rec", [HEADER, *[exchange([], "x" * 100_000)] * 100])
    before = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (MEBIBYTE, before[1]))
    try:
        with pytest.raises(RecordingError, match=r"cannot be unpacked into .*TMPDIR"):
            Replay(path, "at once")
    finally:
        setrlimit(RLIMIT_FSIZE, before)
