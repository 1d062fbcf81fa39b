"""What must be on the disk before something else is done, on a disk that takes it in pieces."""

import os
from pathlib import Path

import pytest

from jobs.access.durable import append_durably, keep_name, write_all

WRITE = os.write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@pytest.mark.parametrize("work", [write_all, append_durably])
def test_what_is_taken_in_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch, work: object) -> None:
    assert callable(work)
    descriptor = opened(path)
    try:
        monkeypatch.setattr(os, "write", lambda descriptor, data: WRITE(descriptor, data[:3]))
        work(descriptor, b"one line\n")
        work(descriptor, b"another\n")
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"one line\nanother\n"


def test_a_line_that_is_not_durable_is_taken_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise OSError(5, "Input/output error")

    descriptor = opened(path)
    try:
        append_durably(descriptor, b"one line\n")
        monkeypatch.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match="Input/output error"):
            append_durably(descriptor, b"another\n")
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"one line\n"


def test_a_folder_that_keeps_no_names_is_no_fault_and_a_missing_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    keep_name(tmp_path)
    with pytest.raises(FileNotFoundError):
        keep_name(tmp_path / "none")
