"""An input is read more than once, and all readings are of the same bytes."""

import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import InputRefused
from engine.rows import Row
from engine.sources.detect import open_input
from engine.sources.raw.original import FileOnDisk, StandardInput
from engine.sources.raw.sample import Layout
from tests.engine.sources.reading import rows_of

TEXT = "договор;сумма\n" + "".join(f"{number};5\n" for number in range(50_000))


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> threading.Thread:
    """Standard input becomes a pipe through which `data` comes, more of it than a pipe holds."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading, encoding="utf-8"))
    return writer


def test_standard_input_is_kept_and_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = piped(monkeypatch, TEXT.encode())
    source = open_input(None, Layout())
    assert source.name == "standard input"
    assert source.digest == hashlib.sha256(TEXT.encode()).hexdigest()
    assert source.header == ("договор", "сумма")
    assert source.is_read_whole
    rows = rows_of(source)
    assert (len(rows), rows[0], rows[-1]) == (50_000, Row(2, ("0", "5")), Row(50_001, ("49999", "5")))
    (*_, last, end) = source.pages(None)
    assert list(source.pages(last.cursor)) == [end]
    writer.join()
    sys.stdin.close()


def test_two_readings_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = piped(monkeypatch, TEXT.encode())
    source = open_input(None, Layout(), page_rows=7)
    one, other = source.pages(None), source.pages(None)
    for _ in range(3000):
        assert next(one) == next(other)
    writer.join()
    sys.stdin.close()


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputRefused, match="there is no standard input"):
        _ = open_input(None, Layout()).header


def test_the_keyboard_is_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, encoding="utf-8") as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        with pytest.raises(InputRefused, match="standard input is the keyboard: pipe the rows in"):
            _ = open_input(None, Layout()).header
    os.close(leader)


def test_nothing_came_in() -> None:
    with pytest.raises(InputRefused, match="standard input is empty"):
        StandardInput(io.BytesIO()).open()


def test_no_room_to_keep_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(InputRefused, match="cannot be kept in a temporary file: No space left on device"):
        StandardInput(io.BytesIO(b"id\n1\n")).open()


def test_the_digest_is_taken_before_the_first_reading(tmp_path: Path) -> None:
    path = tmp_path / "input.csv"
    path.write_text("id\n1\n")
    original = FileOnDisk(path)
    with original.open() as file:
        assert file.read() == b"id\n1\n"
    path.write_text("id\n2\n")
    assert original.digest == hashlib.sha256(b"id\n1\n").hexdigest()
    with pytest.raises(InputRefused, match="the file changed while it was read, so nothing of it was sent"):
        original.check_unchanged()
