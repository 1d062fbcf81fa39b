"""What the lab states of the program is what the command line has."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from anyio.streams.text import TextReceiveStream

from cli.terminal import language, texts
from cli.terminal.exits import Exit
from lab.crash import program
from lab.crash.program import send_signal, start
from texts import remedies


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert {code.name: code.value for code in program.ExitCode} == {code.name: code.value for code in Exit}


def test_the_names_are_those_of_the_command_line() -> None:
    assert program.JOURNAL == texts.JOURNAL
    names = (texts.API_URL, remedies.DATABASE, texts.JOURNAL_FILE, language.VARIABLE, language.ENGLISH)
    assert names == (program.API_URL, program.DATABASE, program.JOURNAL_FILE, program.LANGUAGE, program.ENGLISH)


def test_no_setting_of_the_command_line_gets_into_the_environment_of_a_load() -> None:
    settings = {
        value
        for value in (vars(texts) | vars(remedies)).values()
        if isinstance(value, str) and value.startswith("CARBON_")
    }
    assert len(settings) >= 6
    given = {**dict.fromkeys(settings, "x"), "PATH": "/bin"}
    assert program.without_settings(given) == {"PATH": "/bin", program.LANGUAGE: program.ENGLISH}


async def test_a_load_says_in_english_what_the_lab_looks_for(tmp_path: Path) -> None:
    environment = program.without_settings({**os.environ, "LC_ALL": "ru_RU.UTF-8", program.LANGUAGE: "ru"})
    async with await start(["status"], tmp_path, environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        told = "".join([part async for part in TextReceiveStream(process.stderr)])
    assert "there is no journal" in " ".join(told.split())


async def test_a_signal_does_not_ask_whether_the_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks takes the exit code of one that has just ended."""

    def asked(_: object) -> None:
        raise AssertionError("its exit code is taken away from asyncio")

    process = await start(["-c", "import time; time.sleep(600)"], tmp_path, {}, program=())
    monkeypatch.setattr(subprocess.Popen, "poll", asked)
    send_signal(process, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    send_signal(process, signal.SIGTERM)
    await process.aclose()
