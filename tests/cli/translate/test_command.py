"""The command `translate`: where the line comes from, what is printed where, and how it ends."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.commands.translate import LONGEST
from cli.main import app
from cli.terminal.exits import CommandRefused, Exit
from tests.cli.conftest import Typed
from tests.cli.oneliners import PUBLISHED, post

ONE = PUBLISHED["delete-services"]

Say = Callable[..., tuple[str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Types `translate …` with something on standard input; what came out on stdout and stderr."""

    def run(*arguments: str, stdin: bytes = b"") -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        app(["translate", *arguments], standalone_mode=False)
        said = capsys.readouterr()
        return said.out, said.err

    return run


def test_as_an_argument(say: Say) -> None:
    out, err = say(ONE.line)
    assert out.startswith("carbon-migrate run delete-services \\\n  --sql ")
    assert "\n# or the call as the line makes it:\n# carbon-migrate run call \\\n#   --model UsersUsluga \\\n" in out
    assert "✗ line 1, column 242: $uusligaid stands within single quotes" in err
    assert "today    the shell never puts a value there" in err
    assert "instead  the value is put there" in err


@pytest.mark.parametrize("before", [b"", "\ufeff".encode()])
def test_as_a_file_and_on_standard_input(say: Say, tmp_path: Path, before: bytes) -> None:
    file = tmp_path / "line.sh"
    file.write_bytes(before + ONE.line.replace("\n", "\r\n").encode())
    expected, _ = say(ONE.line)
    assert say("-f", str(file))[0] == expected
    assert say("--file", "-", stdin=file.read_bytes())[0] == expected
    assert say(str(file))[0] == expected
    assert say("-", stdin=file.read_bytes())[0] == expected
    assert say(stdin=file.read_bytes())[0] == expected


def test_as_json(say: Say) -> None:
    out, err = say("--json", ONE.line)
    (line,) = out.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert err == ""
    assert found.keys() == {"line", "command", "call", "stdin", "pipe", "faults", "notes"}
    assert (found["line"], found["command"], found["call"]) == (1, ONE.as_job, ONE.command)
    assert (found["stdin"], found["pipe"]) == (None, None)
    assert found["faults"][0] == {
        "fault": "never-expands",
        "line": 1,
        "column": 242,
        "what": "$uusligaid stands within single quotes",
        "today": "the shell never puts a value there: each call carries the letters $uusligaid",
        "instead": "the value is put there",
    }
    assert found["notes"][0].startswith("the address is that of the settings")


def test_a_refusal_as_json(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandRefused):
        say("--json", "ssh x")
    found = json.loads(capsys.readouterr().out)
    assert found["command"] is None
    assert found["error"].startswith("line 1, column 1: ssh cannot be translated")


def test_values_of_variables(say: Say) -> None:
    line = post("'method1=objects.get&arg1={\"id\":'$id'}'")
    out, _ = say("--set", "id=5", line)
    assert "'objects.get {\"id\": 5}'" in out
    assert say("--set", "$id=5", line)[0] == out


def test_words_of_the_line_are_no_markup(say: Say) -> None:
    _, err = say(post("'method1=save&arg1={}&[red]x=1'").replace("[red]x", "r"))
    assert "the field r is left out" in err
    _, err = say(post("'method1=objects.get&arg1={\"[red]\":1.5}'"))
    assert "the amount [red] is sent" in err


@pytest.mark.parametrize(
    ("arguments", "stdin", "match"),
    [
        (["nofile.sh"], b"", "there is no file nofile.sh here; to translate a one-liner, give it in a file"),
        (["-f", "nowhere.sh"], b"", "there is no file nowhere.sh here"),
        (["."], b"", r"\. cannot be read: Is a directory"),
        (["no\0file"], b"", "cannot be read: no file has such a name"),
        (["-f", "nowhere.sh", "curl"], b"", "the line is given twice"),
        (["--set", "x", "curl x"], b"", "--set x: write it as --set name=value"),
        (["--set", "x=\x1b", "curl x"], b"", "--set x: the value has a character that cannot be seen"),
        ([], b"\xff", "standard input is not UTF-8 text, at byte 1"),
        ([], b"x" * (LONGEST + 1), "standard input is longer than"),
        ([], b"", "there is no curl and no sqlexec here"),
    ],
)
def test_what_is_no_line(say: Say, arguments: Sequence[str], stdin: bytes, match: str) -> None:
    with pytest.raises(CommandRefused, match=match):
        say(*arguments, stdin=stdin)


def test_at_a_terminal_without_a_line(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "TextIOWrapper", lambda _: Terminal())
    with pytest.raises(CommandRefused, match="give it in a file"):
        say()


def test_the_faults_are_told_in_russian_and_the_commands_are_the_same(typed: Typed) -> None:
    english, russian = typed("translate", ONE.line), typed("translate", ONE.line, "--lang", "ru")
    assert russian.out == english.out
    assert "✗ строка 1, позиция 242: $uusligaid стоит в одинарных кавычках" in russian.words
    assert "сейчас оболочка не подставляет туда значение" in russian.words
    assert "вместо этого значение подставляется" in russian.words


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("curl http://h:8082/rest_api/v2/Users/", "строка 1, позиция 1: этот curl ничего не отправляет: нет -d"),
        ("echo 5", "здесь нет ни curl, ни sqlexec, переводить нечего; читается curl или rows | while read"),
        ("sqlexec 'update t set a = 1' | while read a; do curl -d x; done", "SQL: строка 1, позиция 1: с 'update'"),
    ],
)
def test_a_refusal_is_told_in_russian(typed: Typed, line: str, why: str) -> None:
    told = typed("translate", line, "--lang", "ru")
    assert (why in told.words, told.exit) == (True, Exit.REFUSED)
