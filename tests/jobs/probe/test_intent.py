"""The intent file of a probe: a call leaves only after its line is whole and on the disk."""

import os
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from jobs.probe.intent import Intended, IntentFailed, open_intents

WRITE, FSYNC = os.write, os.fsync


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "probe.jsonl"


def intended(number: int) -> Intended:
    return Intended("7q2k", number, 5, 6, 8, Decimal("1.23"), datetime(2026, 11, 1, tzinfo=UTC))


def test_a_short_write_goes_on_until_the_line_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_intents(path, Intended) as intents:
        monkeypatch.setattr(os, "write", lambda descriptor, data: WRITE(descriptor, data[:7]))
        intents.keep(intended(1))
        intents.keep(intended(2))
    with open_intents(path, Intended) as intents:
        assert intents.earlier == (intended(1), intended(2))


def test_a_probe_that_is_interrupted_before_its_first_call_leaves_no_file(path: Path) -> None:
    def interrupted() -> None:
        with open_intents(path, Intended):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not path.exists()


def test_a_disk_that_fills_within_a_line_stops_the_probe_and_leaves_no_half_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [7]

    def filling(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return WRITE(descriptor, data[: room.pop()])

    with open_intents(path, Intended) as intents:
        intents.keep(intended(1))
        with monkeypatch.context() as full:
            full.setattr(os, "write", filling)
            with pytest.raises(IntentFailed, match="cannot be written: No space left on device"):
                intents.keep(intended(2))
        intents.keep(intended(3))
    with open_intents(path, Intended) as intents:
        assert intents.earlier == (intended(1), intended(3))


def test_the_name_of_the_new_file_is_on_the_disk_before_the_first_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[bool] = []

    def fsync(descriptor: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        FSYNC(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with open_intents(path, Intended) as intents:
        assert kinds == [True]
        intents.keep(intended(1))
    assert kinds == [True, False]
