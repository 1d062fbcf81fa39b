"""A probe asks a billing that nobody knows, and writes down what it is about to do before it does it."""

import os
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from billing.api.client import BillingClient
from billing.directory.subscribers import Abonent
from engine.errors import LookUpFailed
from engine.evidence import Accepted
from jobs.access.durable import append_durably, keep_name
from jobs.access.gateway import Gateway
from jobs.probe.entries import ProbeEntries
from jobs.probe.intent import Intended, IntentFailed, Intents, open_intents
from jobs.probe.readings import threshold_of

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


def entries(answered: Any) -> ProbeEntries:
    client = AsyncMock(spec=BillingClient)
    client.send.return_value = Accepted(result=answered)
    abonent = Abonent(5, "00005", "x", 1, is_folder=False, deleted=False, account_id=6)
    return ProbeEntries(Gateway(client), AsyncMock(spec=Intents), "7q2k", abonent=abonent)


@pytest.mark.parametrize("op_id", ["abc", "", None, 1.5, "5\x1b[31m", "9" * 5000, -1])
async def test_an_operation_whose_id_is_no_number_is_a_sentence(op_id: object) -> None:
    with pytest.raises(LookUpFailed, match="op_id"):
        await entries([{"pk": op_id, "fields": {"op_id": op_id, "storno": 0}}]).filtered({"descr": "x"})


@pytest.mark.parametrize(
    ("answered", "balance"),
    [
        ([{"pk": 6, "fields": {"balance": "50.5"}}], Decimal("50.5")),
        ([{"pk": 6, "fields": {"balance": "n/a"}}], None),
        ([{"pk": 6, "fields": {"balance": "1e999999999"}}], None),
        ([{"pk": 6, "fields": {"balance": [1]}}], None),
        ([{"pk": 6, "fields": {}}], None),
        ([], None),
    ],
)
async def test_a_balance_that_is_no_amount_is_not_known(answered: Any, balance: Decimal | None) -> None:
    assert await entries(answered).balance() == balance


@pytest.mark.parametrize("value", ["n/a", "1e999999999", "1" * 5000])
def test_a_threshold_that_is_no_amount_is_none(value: str) -> None:
    assert threshold_of({"fields": {"limit_warning": value}}) is None


WRITE_ALL = os.write


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def opened(lines_file: Path) -> int:
    return os.open(lines_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def test_a_line_that_is_not_durable_is_taken_out(lines_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise OSError(5, "Input/output error")

    descriptor = opened(lines_file)
    try:
        append_durably(descriptor, b"one line\n")
        monkeypatch.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match="Input/output error"):
            append_durably(descriptor, b"another\n")
    finally:
        os.close(descriptor)
    assert lines_file.read_bytes() == b"one line\n"


def test_a_folder_that_keeps_no_names_is_no_fault_and_a_missing_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    keep_name(tmp_path)
    with pytest.raises(FileNotFoundError):
        keep_name(tmp_path / "none")
