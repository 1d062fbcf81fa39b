"""Whatever a terminal can show and whoever still reads: a command says its words, and ends with its own code."""

import fcntl
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from rich.console import Console

from checkpoints.journal import open_journal
from cli.main import COMMANDS
from cli.terminal import texts
from cli.terminal.screen import Screen
from cli.terminal.streams import held_by, json_line, lasting, outputs, plain
from tests.checkpoints.samples import frozen_run, new_item
from tests.cli.conftest import Place, Typed, clean_environment
from tests.cli.marked_language import unmarked
from tests.cli.oneliners import PUBLISHED
from texts.said import PROGRAM, Quantity, Said, command_line, counted, said

FAR = ("k7m2q", "--config", "/etc/carbon-migrate/of the north.toml", "--journal", "/srv/loads.journal")
ENCODINGS = ["utf-8", "koi8-r", "cp1251", "cp866", "ascii", "latin-1"]


@pytest.mark.parametrize(
    ("encoding", "text", "seen"),
    [
        ("koi8-r", "✓ Иванов … 12×3", "+ Иванов ... 12x3"),
        ("ascii", "✓ Щукин Ёж", "+ Shchukin Ezh"),
        ("cp1251", "■ №5 — «да» → 1", "# №5 — «да» -> 1"),
        ("latin-1", "née ✗", "née x"),
        ("ascii", "née ½ 中", "nee \\xbd \\u4e2d"),
        ("koi8-r", "№ 5: 12,50 ₽", "No. 5: 12,50 RUB"),
        ("utf-8", "中 ✓", "中 ✓"),
        ("utf-8", "\udcd0\udcb1 \udcff", "б \\xff"),
        (None, "✓", "✓"),
    ],
)
def test_what_an_encoding_lacks_is_replaced_by_what_reads_alike(encoding: str | None, text: str, seen: str) -> None:
    assert held_by(encoding, text) == seen


def test_each_sign_has_a_stand_in_that_every_encoding_holds() -> None:
    assert all(stand_in.isascii() and "?" not in stand_in for stand_in in texts.SIGNS.values())


def of(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(stream: io.TextIOWrapper, encoding: str) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("jobs", "balances"), 0),
        (("run", "--help"), 0),
        (("status",), 2),
        (("doctor",), 2),
        (("run", "balances", "нет такого…файла.csv", "--api-url", "http://127.0.0.1:9"), 3),
        (("run", "--нет такого флага ✓"), 2),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_each_command_can_be_read_in_each_encoding(
    encoding: str, arguments: tuple[str, ...], code: int, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = of(encoding), of(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert typed(*arguments).exit == code
    said = written(out, encoding) + written(err, encoding)
    assert said
    assert "fault of" not in said
    assert texts.JOINT not in said


@pytest.mark.parametrize(("encoding", "held"), [("koi8-r", True), ("ascii", False)])
def test_a_command_that_cannot_be_copied(
    encoding: str, held: bool, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = of(encoding), of(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    arguments = 'arg1={"id":5}&method2=set&arg2={"name":"Пётр"}&method3=save&arg3={}'
    line = f"curl http://b:8082/rest_api/v2/Users/ -d 'method1=objects.get&{arguments}'"
    assert typed("translate", line).exit in {0, 1}
    assert ("Пётр" if held else "Petr") in written(out, encoding)
    assert ("do not copy it" in written(err, encoding)) is not held


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_the_same_in_each_encoding(encoding: str) -> None:
    value = {"name": "Щукин ✓", "sum": f"1{texts.JOINT}234", "file": "\udcd0\udcb1\udcff"}
    line = json_line(value, encoding)
    assert line.isascii() is (encoding != "utf-8")
    assert json.loads(line) == {"name": "Щукин ✓", "sum": "1 234", "file": "б\\xff"}


def test_columns_hold_without_a_terminal_too(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {}
    for columns in ("60", "0", "many"):
        monkeypatch.setenv("COLUMNS", columns)
        lines[columns] = typed("jobs").out.splitlines()
    assert max(map(len, lines["60"])) <= 60
    # A width that is none is no width: lines stay whole, for grep.
    assert lines["0"] == lines["many"]
    assert max(map(len, lines["0"])) > 60


def test_a_command_at_the_end_of_a_complaint_stands_alone() -> None:
    err = io.StringIO()
    screen = Screen(err=Console(file=lasting(err), width=40))
    screen.complain("the billing is away; take the run up with `carbon-migrate resume k7m2q`\nNothing is lost")
    assert err.getvalue() == (
        "✗ the billing is away; take the run up with:\n  carbon-migrate resume k7m2q\n  Nothing is lost\n"
    )


@contextmanager
def lost(stdout: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output as it is when it was closed, or on a disk that is full, or with a reader that has gone."""
    if stdout == "closed":
        monkeypatch.setattr(sys, "stdout", None)
        yield
        return
    number, gone = os.pipe()
    os.close(number)
    if stdout == "full":
        os.close(gone)
        gone = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(gone, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield


@pytest.fixture
async def run(tmp_path: Path) -> str:
    """The name of a run in the journal of the folder that is typed in."""
    async with open_journal(tmp_path / "carbon-migrate.journal") as journal:
        return (await frozen_run(journal, new_item("1"), new_item("2"))).name


SAYING = f"""\
jobs
jobs balances --json
completion bash
completion bash --line "carbon-migrate pl"
translate {shlex.quote(PUBLISHED["session"].line.strip())}
--help
--version
status RUN
status --json
export RUN --state pending -o -
report RUN -o -
report prove RUN 1"""
"""Commands that say something on standard output."""


@pytest.mark.parametrize("stdout", ["closed", "full", "gone"])
def test_a_command_whose_output_is_lost_has_failed_but_for_a_reader_that_has_gone(
    stdout: str, run: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in SAYING.splitlines():
        with monkeypatch.context() as patched, lost(stdout, patched):
            ended = typed(*shlex.split(line.replace("RUN", run)))
        assert ended.exit == (0 if stdout == "gone" else 2), line
        told = re.search("standard output (could not|cannot) be written", ended.words)
        assert (told is None) is (stdout == "gone"), line
        assert stdout == "gone" or "written to stdout" not in ended.words, line


@pytest.mark.parametrize("stdout", ["closed", "full"])
def test_work_on_a_run_keeps_its_code_without_output(
    stdout: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lost(stdout, monkeypatch):
        ended = typed("resume")
    assert ended.exit == 0
    assert "standard output could not be written, and is not complete" in ended.words


@pytest.mark.parametrize(
    ("terminal", "encoding", "redraws"),
    [("xterm", "utf-8", True), ("dumb", "utf-8", False), ("xterm", "koi8-r", False)],
)
def test_a_bar_is_drawn_only_where_it_can_be(terminal: str, encoding: str, redraws: bool) -> None:
    console = Console(file=lasting(of(encoding)), force_terminal=True, _environ={"TERM": terminal})
    assert Screen(err=console).can_redraw is redraws


def test_what_a_full_disk_did_not_take_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(full, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with outputs() as out, suppress(OSError):
            out.buffer.write(b"a report")
    # Another file takes the number of the descriptor, and only then the streams of the command are given up.
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    assert other == full
    assert out.trouble is not None
    out.trouble = out.trouble.with_traceback(None)
    del out
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""


@pytest.fixture
async def long_run(tmp_path: Path) -> str:
    """The name of a run with many rows, in a journal with many runs."""
    async with open_journal(tmp_path / "carbon-migrate.journal") as journal:
        run = await frozen_run(journal, *(new_item(str(number)) for number in range(400)))
        for _ in range(200):
            await frozen_run(journal, new_item("1"))
        return run.name


@pytest.mark.parametrize("arguments", [("status",), ("export", "RUN", "--state", "pending", "-o", "-")], ids=" ".join)
def test_a_full_pipe_that_does_not_wait_gets_all_of_it(
    arguments: tuple[str, ...], long_run: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [long_run if word == "RUN" else word for word in arguments]
    whole = typed(*words)
    reader, writer = os.pipe()
    room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    got = bytearray()

    def read(*_: object) -> None:
        """Read what is there; somebody does so only when the program has nothing left to do but to wait."""
        with suppress(BlockingIOError):
            while part := os.read(reader, room):
                got.extend(part)

    monkeypatch.setattr("select.select", read)
    os.write(writer, b"x" * room)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        ended = typed(*words)
    read()
    os.close(reader)
    assert (ended.exit, ended.words) == (whole.exit, whole.words)
    assert unmarked(got.decode()).lstrip("x") == whole.out


def run_in(
    folder: Path, environment: Mapping[str, str], *arguments: str, redirected: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """The program itself, by a shell, for its outputs."""
    return subprocess.run(  # noqa: S603 - our own command
        ["/bin/bash", "-c", f'"$@" {redirected}', "-", sys.executable, "-m", "cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )


async def run_at(
    place: Place, *arguments: str, redirected: str = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """The same with a billing that is served meanwhile."""
    environment = place.cli.environment | env
    return await anyio.to_thread.run_sync(
        lambda: run_in(place.cli.folder, environment, *arguments, redirected=redirected)
    )


def test_a_standard_input_that_was_closed_is_no_keyboard(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with Screen(err=Console(file=io.StringIO(), force_terminal=True)).keyboard("x.csv") as keyboard:
        assert keyboard is None
    typed.refused("translate", "-", says="there is no standard input: ")
    assert "there is no line to translate" in typed("translate").words


ASCII_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


async def test_a_run_without_any_output_ends_with_its_own_code(place: Place) -> None:
    """Both descriptors are closed, so that the next file that is opened could take their numbers."""
    balances = place.balances(5)
    ended = await run_at(place, "run", "balances", str(balances.path), "--yes", redirected=">&- 2>&-")
    assert ended.returncode == 0
    assert (await place.found()).rows == 5
    (run,) = await place.runs()
    # All its rows are applied; but the object that says so is lost.
    verified = await run_at(place, "verify", run.name, "--json", redirected=">&-")
    assert verified.returncode == 2
    assert b"standard output could not be written" in verified.stderr


async def test_a_run_in_another_locale_takes_its_file_and_says_how_it_ended(place: Place) -> None:
    balances = place.balances(5, "балансы.csv")
    env = ASCII_LOCALE | {"PYTHONIOENCODING": "koi8-r"}
    ended = await run_at(place, "run", "balances", str(balances.path), "--set", "descr=Касса", "--yes", **env)
    assert ended.returncode == 0, ended.stderr.decode("koi8-r")
    said = (ended.stdout + ended.stderr).decode("koi8-r")
    assert "+ run" in said
    assert "балансы.csv" in said
    assert "Traceback" not in said
    (run,) = await place.runs()
    assert run.source == str(balances.path)
    assert "Касса" in str(run.parameters)
    assert (await place.found()).sum == balances.sum


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("jobs", "нет"), "x there is no job 'net'"),
        (("status", "АБ", "--journal", "АБ.journal"), "AB.journal"),
        (("translate", "curl Ы"), "x "),
        (("jobs", os.fsdecode("нет".encode("koi8-r"))), "x JOB is not UTF-8, the encoding of texts in the locale C:"),
    ],
)
def test_a_locale_without_cyrillic_shows_others(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ended = run_in(tmp_path, clean_environment() | {"HOME": str(tmp_path)} | ASCII_LOCALE, *arguments)
    shown = ended.stderr.decode("ascii")
    assert ended.returncode == 2, shown
    assert said in shown
    assert "cannot be seen" not in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("decide", "run", "1", "accepted", "--why", "{odd}"), "--why is not UTF-8"),
        (("report", "prove", "run", "{odd}"), " is not UTF-8"),
        (("purge", "{odd}", "--yes"), "RUN is not UTF-8"),
        (("run", "balances", "rows.csv", "--set", "descr=secret{odd}"), "--set descr is not UTF-8"),
        (("doctor", "--database-password", "secret{odd}"), "--database-password is not UTF-8"),
    ],
)
def test_a_text_that_is_none_is_refused_and_not_shown(arguments: tuple[str, ...], named: str, typed: Typed) -> None:
    odd = os.fsdecode("видела".encode("cp1251"))
    ended = typed.refused(*(argument.format(odd=odd) for argument in arguments), says=[named, "LC_ALL"])
    assert "secret" not in ended.err


async def test_a_file_whose_name_is_no_text_is_read_and_taken_up(place: Place) -> None:
    balances = place.balances(5)
    odd = place.cli.folder / os.fsdecode("балансы".encode("cp1251"))
    balances.path.rename(odd)
    closing = (await place.cli("run", "balances", str(odd), "--yes", "--json")).closing
    assert closing["states"] == {"accepted": 5}
    listed = await place.cli("status", closing["run"], "--json")
    assert "\\xe1\\xe0" in listed.closing["source"]
    again = await place.cli("run", "balances", str(odd), "--yes", "--json")
    assert again.closing["states"] == {"skipped": 5}
    await place.cli.refused("run", "balances", str(odd), "--save", "job.toml", says="rename that file")


def test_an_error_is_wrapped_on_a_terminal_but_no_command_and_nothing_in_a_file() -> None:
    export = f"carbon-migrate export k7m2q --state rejected -o {'long-' * 12}name.csv"
    error = f"{'there is no job of this name, ' * 5}there are others\n{export}"
    seen = []
    for is_terminal in (True, False):
        file = io.StringIO()
        Screen(err=Console(file=file, width=80, force_terminal=is_terminal, color_system=None)).complain(error)
        seen.append(file.getvalue().splitlines())
    wrapped, whole = seen
    *sentence, command = wrapped
    assert len(sentence) > 1
    assert max(map(len, sentence)) <= 80
    assert all(line.startswith(("✗ ", "  ")) for line in sentence)
    assert command.strip() == export
    assert [len(whole), whole[1].strip()] == [2, export]


# ---- What comes from outside is shown and does nothing; numbers read easily


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Иванов Пётр", "Иванов Пётр"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines\tand\xa0more", "two lines and more"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\x00", "\\x00"),
        # Names of files that are no text.
        (os.fsdecode("балансы.csv".encode()), "балансы.csv"),
        ("\udcd0\udcb1.csv", "б.csv"),
        ("\udcc2\udcc1\udccc.csv", "\\xc2\\xc1\\xcc.csv"),
        ("a\ud800b", "a\\ud800b"),
    ],
)
def test_foreign_text_cannot_steer_the_terminal(text: str, seen: str) -> None:
    assert texts.printable(text) == seen
    assert texts.printable("x" * 1000, 10) == "xxxxxxxxx…"


def test_numbers_for_people() -> None:
    assert plain(texts.count(1234567)) == "1 234 567"
    assert plain(texts.money(Decimal("-1234567.5"))) == "−1 234 567.50"
    assert texts.money(Decimal("0.125")) == "0.125"
    assert (texts.duration(7.4), texts.duration(750), texts.duration(11_100)) == ("0:07", "12:30", "3:05:00")
    # A number and its word stay on one line.
    file = StringIO()
    sentence = counted("there [is|are] {n} row[s]", 1234567)
    Console(file=lasting(file), width=20).print(texts.printable(sentence))
    assert file.getvalue().splitlines()[-1].strip() == "1 234 567 rows"


# ---- Russian and English: which one is taken, and how each writes numbers


@pytest.mark.parametrize(
    ("environment", "taken"),
    [
        ({}, texts.ENGLISH),
        ({"LANG": "ru_RU.UTF-8"}, texts.RUSSIAN),
        ({"LANG": "ru"}, texts.RUSSIAN),
        ({"LANG": "russian"}, texts.RUSSIAN),
        ({"LANG": "rusty"}, texts.ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, texts.ENGLISH),
        ({"LANG": "C", "LC_MESSAGES": "ru_RU.KOI8-R"}, texts.RUSSIAN),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "POSIX"}, texts.ENGLISH),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, texts.RUSSIAN),
        ({"LANG": "de_DE.UTF-8"}, texts.ENGLISH),
    ],
)
def test_the_first_locale_variable_that_is_set_decides(environment: dict[str, str], taken: str) -> None:
    assert texts.system_language(environment) == taken


def test_each_language_writes_numbers_and_moments_and_what_the_catalogue_lacks_is_english() -> None:
    english, russian, amount = texts.language(texts.ENGLISH), texts.language(texts.RUSSIAN), Decimal("-12542889.1")
    assert (english.write(amount), russian.write(amount)) == (
        "−12\u00a0542\u00a0889.10",
        "−12\u00a0542\u00a0889,10\u00a0₽",
    )
    assert (russian.write(Decimal(0)), english.write(Quantity(40203))) == ("0,00\u00a0₽", "40\u00a0203")
    assert english.write(8082) == "8082", "a port is a name"
    moment = datetime(2026, 11, 26, 3, 43, 37, tzinfo=UTC)
    local = moment.astimezone()
    assert russian.write(moment) == f"{local:%d.%m.%Y %H:%M:%S} (UTC{local.isoformat()[-6:]})"
    assert english.write(moment).startswith(f"{local:%Y-%m-%d %H:%M:%S}")
    assert russian.render(said("a sentence of {nobody}", nobody="x")) == "a sentence of x"


@pytest.mark.parametrize(
    ("line", "variable", "settings", "taken"),
    [
        ("run --lang en", "ru", "language = 'ru'", texts.ENGLISH),
        ("run --lang=en -y", "ru", "", texts.ENGLISH),
        ("run", "ru", "language = 'en'", texts.RUSSIAN),
        ("run", "", "language = 'en'", texts.ENGLISH),
        ("run", "", "", texts.RUSSIAN),
        ("", "", "", texts.RUSSIAN),
        ("run --lang", "", "", texts.RUSSIAN),
        ("run --lang xx", "yy", "language = 'zz'", texts.RUSSIAN),
        ("run", "", "language = [", texts.RUSSIAN),
        ("run", "", "language = 7", texts.RUSSIAN),
        ("run --config other.toml", "", "language = 'ru'", texts.ENGLISH),
        ("run --config nowhere.toml", "", "language = 'en'", texts.RUSSIAN),
        ("run --config .", "", "language = 'en'", texts.RUSSIAN),
    ],
)
def test_the_language_of_a_command_is_that_of_the_first_who_names_one(
    line: str, variable: str, settings: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carbon-migrate.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "other.toml").write_text("language = 'en'", encoding="utf-8")
    environment = {"CARBON_MIGRATE_LANG": variable, "LANG": "ru_RU.UTF-8"}
    assert texts.typed_language(line.split(), environment) == taken


def test_a_command_speaks_the_language_that_is_typed_and_forgets_it(typed: Typed) -> None:
    assert "неизвестный язык" in typed("--lang", "ru", "status", "--lang", "xx").words
    assert "is not a language" in typed("status", "--lang", "xx").words


# ---- Help and usage errors: those of click, in the language of the reader


HELP = Path(__file__).parent / "help"


@pytest.mark.parametrize(("screen", "command"), [("program", ""), ("run", "run"), ("run-balances", "run balances")])
def test_the_help_in_russian(screen: str, command: str, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SCREENS=write` writes the file anew, as for the other screens."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = "\n".join(line.rstrip() for line in typed(*command.split(), "--help", "--lang", "ru").out.splitlines())
    file = HELP / f"{screen}.txt"
    if os.environ.get("SCREENS") == "write":
        file.write_text(f"{shown}\n", encoding="utf-8")
    assert f"{shown}\n" == file.read_text(encoding="utf-8")


def test_a_paragraph_is_broken_by_the_terminal_alone(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (line,) = (line for line in typed("selftest", "--help").out.splitlines() if "Each round" in line)
    assert line.strip().endswith("of the settings are not used.")


def test_a_language_alone_shows_the_help(typed: Typed) -> None:
    alone, asked = typed("--lang", "ru"), typed("--lang", "ru", "--help")
    assert (alone.exit, alone.out.rstrip()) == (2, asked.out.rstrip())
    group = typed("mock", "--lang", "ru")
    assert (group.exit, group.out.rstrip()) == (2, typed("--lang", "ru", "mock", "--help").out.rstrip())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_no_command_has_a_word_of_english_prose(name: str, typed: Typed) -> None:
    words = typed(name, "--help", "--lang", "ru").out.split()
    assert [
        word for word in ("the", "The", "and", "with", "Arguments", "Options", "[default:") if word in words
    ] == []


@pytest.mark.parametrize("advised", [command_line("status", *FAR), f"`{command_line('status', *FAR)}`"])
@pytest.mark.parametrize("told", [Screen.say, Screen.say_always, Screen.result, Screen.complain])
def test_a_command_within_a_sentence_can_be_copied(advised: str, told: Callable[[Screen, Said], None]) -> None:
    file = io.StringIO()
    console = Console(file=lasting(file), width=60, force_terminal=True, color_system=None)
    nested = said("go on with {command}", command=advised)
    told(Screen(err=console, out=console), said("nothing was sent, and {why}; {way} shows", why=nested, way=advised))
    assert file.getvalue().count(advised) == 2
    assert all(len(line) < 60 or PROGRAM in line for line in file.getvalue().splitlines())
