"""Every one-liner that the vendor has published becomes one command, and each of its faults is named."""

import io
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.commands.translate import LONGEST
from cli.main import app
from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Told
from cli.translate.shell import Text, lex
from cli.translate.translation import Translated, Translation, quoted, translate_all
from jobs.catalogue.catalogue import BUILT_IN
from jobs.spec.chain import parse
from tests.cli.conftest import Typed
from tests.cli.oneliners import PUBLISHED, Published, chains, generic, option, post, translated, values_of
from tests.cli.test_transcripts import FOLDER as TRANSCRIPTS

ALL = pytest.mark.parametrize("one", PUBLISHED.values(), ids=PUBLISHED)
# Prints each argument with a NUL behind it, in the place of the program.
FAKE = "carbon-migrate() { printf '%s\\0' carbon-migrate \"$@\"; }\n"


def pasted(text: str) -> list[str]:
    """The arguments that a program gets when a text is pasted into bash."""
    done = subprocess.run(["bash", "-c", FAKE + text], check=True, capture_output=True)  # noqa: S603, S607 - a function alone is called
    return done.stdout.decode().split("\0")[:-1]


@ALL
def test_its_command_can_be_pasted_and_its_faults_and_its_job_are_named_once(one: Published) -> None:
    found = translated(one.line)
    assert list(found.command) == pasted(found.pretty(found.command)) == one.first
    assert list(generic(found)) == one.command
    assert (found.call is None) == (one.as_job == [])
    assert [f"{fault.kind} at {fault.place.text}" for fault in found.faults] == one.faults
    assert len(set(found.notes)) == len(found.notes)
    assert any("--api-url http://169.254.80.82:8082" in note for note in found.notes)
    of_catalogue = [note for note in found.notes if "catalogue" in note]
    if one.as_job:
        assert (one.as_job[2], of_catalogue) == (one.job, [])
    else:
        (note,) = of_catalogue
        assert note.endswith(f"carbon-migrate run {one.job}; carbon-migrate jobs {one.job} says how")
    shown = found.pretty(one.command)
    assert pasted(shown) == one.command
    first, *options = shown.split("\n")
    assert first == " ".join([*one.command[:3], "\\"])
    assert all(re.match(r"  --[a-z]+ ", line) for line in options)


def test_single_quotes_stay_readable() -> None:
    assert quoted("comment like 'x%'") == "\"comment like 'x%'\""


def test_two_lines_of_the_page_pasted_together() -> None:
    # They stand so on the page: the quote too many of the first would take in the start of the second.
    lines = [PUBLISHED["delete-account"], PUBLISHED["service-operator"]]
    found = translate_all("".join(one.line for one in lines), {}, BUILT_IN)
    assert [one.place.line for one in found] == [1, 2]
    assert [list(one.translation.command) for one in found if one.translation] == [one.as_job for one in lines]


def test_every_fault_of_the_table_is_told_in_a_transcript() -> None:
    told = "".join(one.read_text(encoding="utf-8") for one in TRANSCRIPTS.glob("translate*.txt"))
    of_table = [one for one in vars(findings).values() if isinstance(one, findings.Fault)]
    wordings = [text for fault in of_table for template in fault[1:] for text, *_ in Formatter().parse(template)]
    assert [text for text in wordings if text not in told] == []


# ---- The command `translate`: where the line comes from; `transcripts/translate.txt` has what is printed where


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


@pytest.mark.parametrize(
    ("arguments", "stdin", "match"),
    [
        (["no\0file"], b"", "cannot be read: no file has such a name"),
        (["--set", "x=\x1b", "curl x"], b"", "--set x: the value has a character that cannot be seen"),
        ([], b"\xff", "standard input is not UTF-8 text, at byte 1"),
        ([], b"x" * (LONGEST + 1), "standard input is longer than"),
        ([], b"", "no line of a shell calls curl, wget or sqlexec"),
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


# ---- Secrets that a line tells: none of them is printed, and what sets passwords becomes the job that does


SELECT = "set heading off; select id, login from users"
HIDDEN = "geheim"
SETS = '\'method1=objects.get&arg1={"id":\'$u\'}&method2=set_password&arg2={"psw":"\'$p\'","dontshow":false}\''


@pytest.mark.parametrize(
    "line",
    [
        f"curl -u me:{HIDDEN} -b k={HIDDEN} -d 'method1=save&psw={HIDDEN}' http://me:{HIDDEN}@h/rest_api/v2/Users/",
        f"wget --user me --password={HIDDEN} --post-data='method1=save&hash_key={HIDDEN}' http://h/rest_api/v2/Users/",
        f"curl -G --data-urlencode method1=x --data-urlencode hash_key={HIDDEN} http://h/rest_api/v2/Users/",
        f"while read u; do P={HIDDEN}; {post(SETS)}; done < f".replace("'$p'", "'$P'"),
        f"xargs -I{{}} {post(SETS)} < f".replace("'$u'", "{}").replace("'$p'", HIDDEN),
        f"curl -d 'method1=save' 'http://h/rest_api/v2/Users/?psw={HIDDEN}'",
        f"PSW={HIDDEN} curl -d 'method1=save' http://h/rest_api/v2/Users/",
        f"PSW=/x/{HIDDEN} curl -d 'method1=save' http://h/rest_api/v2/Users/",
        f"mysql -p{HIDDEN} | while read u p; do {post(SETS)}; done",
        f"cat f | mysql -p{HIDDEN} | while read u p; do {post(SETS)}; done",
        f"echo '{SELECT};' | isql -u me -p {HIDDEN} b.fdb | while read u; do {post(SETS)}; done",
        f'awk \'{{print "curl -u me:{HIDDEN} -d method1=save&psw=" $1 " http://h/rest_api/v2/Users/"}}\' f | sh',
        f"sqlexec '{SELECT}' | mysql -p{HIDDEN} | while read u; do {post(SETS)}; done",
        f"while read u p; do {post(SETS)}; done <<E\n1 {HIDDEN}\nE\n",
        f"while read u p; do {post(SETS)}; done <<< '1 {HIDDEN}'",
        f"for p in {HIDDEN}; do {post(SETS)}; done".replace("'$u'", "5"),
        f"parallel -q {post(SETS)} ::: {HIDDEN}".replace("'$u'", "5").replace("'$p'", "{}"),
        f"curl --key={HIDDEN} -d 'method1=save' http://h/rest_api/v2/Users/",
        post(f'\'method1=set_password&arg1={{"psw":"{HIDDEN}"\''),
        f"curl -d 'method1=save&arg1={{}}' http://me:{HIDDEN}@h/{'x' * 60}",
    ],
)
def test_no_secret_of_a_loop_is_told(line: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "line.sh").write_text(line)
    for flags in ((), ("--json",)):
        ended = typed("translate", *flags, "line.sh")
        assert ended.exit in (0, 2)
        assert HIDDEN not in ended.out + ended.err


# ---- What cannot be read is refused, or read as it was meant: nothing makes the program stumble


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (post(f"'method1=a&arg1={{\"id\":{'9' * 500}}}'"), "line 1, column 16: chain, link 1 .* has 500 digits"),
        (post(f"'method1=a&arg1={{\"id\":{'[' * 100}{']' * 100}}}'"), "line 1, column 16: chain, link 1 "),
        (post('\'method1=a&arg1={"id":' + "[" * 100_000 + "}'"), "a command of more than 20000 characters"),
        (post('\'method1=a&arg1={"id":' + "[" * 15_000 + "}'"), "nested too deep"),
        ("a \x1b[2J", r"column 3: a character that cannot be seen \(U\+001B\)"),
        ("a\u202eb", r"U\+202E"),
        ("a\0b", r"U\+0000"),
        ("a\udcffb", r"U\+DCFF"),
    ],
)
def test_what_no_page_shows_is_refused_with_its_part(line: str, match: str) -> None:
    """All other refusals stand in `transcripts/translate-refused.txt`."""
    with pytest.raises(CommandRefused, match=match) as error:
        translated(line)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("line ")


# ---- anything ----------------------------------------------------------------------------------------------------

SNIPPETS = st.sampled_from(
    ["", "\n", " ", "||' '||", "set list on;", *"'\"$\\`|;&{}[=%+(,", "$line", "arg2", "select", "-d", "done"]
)


@settings(max_examples=400)
@given(st.data())
def test_a_line_with_a_slip_is_translated_into_a_good_command_or_refused(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from([one.line for one in PUBLISHED.values()]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(line)))
        end = min(len(line), start + data.draw(st.integers(0, 6)))
        line = line[:start] + data.draw(SNIPPETS) + line[end:]
    try:
        read = translate_all(line, {}, BUILT_IN)
    except CommandRefused:
        return
    for one in read:
        assert one.refusal or one.translation
        if one.translation is not None:
            is_good(one.translation)


def is_good(found: Translation) -> None:
    """A command that can be typed, and tells no secret."""
    assert found.command[:2] == ("carbon-migrate", "run")
    # A password is not printed: it is asked for, or said by a column.
    assert not [said for said in values_of(found.command, "--set") if said.startswith("psw=")]
    (model,) = option(found, "--model")
    assert parse(model, chains(found)).methods
    assert generic(found)[2] == "call"


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters='"\\'), max_size=20))
def test_any_value_reaches_the_call_as_it_is(value: str) -> None:
    found = translated(post("'method1=objects.filter&arg1={\"name\":\"'$x'\"}'"), x=value)
    (model,) = option(found, "--model")
    assert pasted(found.pretty(found.command)) == list(found.command)
    (step,) = parse(model, chains(found)).fill({})
    assert step.arguments == {"name": value}


# ---- Words are what bash makes of them; nothing that is typed makes the lexer stumble


# Nothing in it can do anything in a shell.
QUOTING = st.text(st.sampled_from("ab'\"\\ \n"), max_size=14)


def words(line: str) -> list[str]:
    return [token.plain for token in lex(line, Told()) if isinstance(token, Text)]


@pytest.mark.parametrize(
    ("line", "expected", "column"),
    [
        ("a 'b c", ["a", "b c"], 3),
        ("a 'b c \n", ["a", "b c"], 3),
        ('a "b \\" c', ["a", 'b " c'], 3),
        ("a 'b'' c -D -", ["a", "b", "c", "-D", "-"], 6),
        ("a 'b'' 'c' d", ["a", "b", "c", "d"], 6),
        ("a 'b'';", ["a", "b"], 6),
        ("a 'b''", ["a", "b"], 6),
        ('a "b"" c', ["a", "b", "c"], 6),
    ],
)
def test_a_quote_without_its_other_half_is_read_as_it_was_meant(line: str, expected: list[str], column: int) -> None:
    told = Told()
    lex(line, told)
    assert words(line) == expected
    assert [(fault.kind, fault.place.column) for fault in told.faults] == [("unbalanced-quote", column)]


@given(QUOTING)
def test_words_are_those_of_bash(line: str) -> None:
    # A backslash at the very end would quote what comes after it here, and nothing does.
    line = line.rstrip("\\")
    told = Told()
    lex(line, told)
    try:
        _, *expected = pasted(f'words=({line}\n) || exit 1\ncarbon-migrate "${{words[@]}}"')
    except subprocess.CalledProcessError:
        # It finds no end of a quote.
        assert told.faults
    else:
        assert (told.faults, words(line)) == ([], expected)


# ---- A page of text, a script: each one-liner on its own, each refusal with its line, and nothing cut in two


REFRESH = "'method1=objects.get&arg1={\"id\":%s}&method2=refresh&arg2={}'"


def curl(key: str) -> str:
    return post(REFRESH % key)


def read(text: str) -> list[tuple[int, str]]:
    """The line of each one-liner, and the id that its call has, or the beginning of its refusal."""
    return [(one.place.line, links_of(one)) for one in translate_all(text, {}, BUILT_IN)]


def links_of(one: Translated) -> str:
    if one.translation is None:
        return one.refusal
    command = one.translation.command
    return command[command.index("--chain") + 1].removeprefix("objects.get ")


def test_the_vendors_page() -> None:
    """With its headings, its marks and its prose, as it is copied."""
    parts = [f"# h5. Пример {number}\n{{code}}{one.line}{{code}}\n" for number, one in enumerate(PUBLISHED.values())]
    page = "h2. Примеры\nНекоторые примеры с curl и sqlexec вы можете посмотреть здесь.\n" + "\n".join(parts)
    found = translate_all(page, {}, BUILT_IN)
    assert [list(one.translation.command) for one in found if one.translation] == [
        one.first for one in PUBLISHED.values()
    ]
    lines = page.split("\n")
    assert all(lines[one.place.line - 1].startswith("{code}") for one in found)


def test_a_line_that_is_too_long_is_refused_before_it_is_read() -> None:
    slow = "''' " * 100_000 + "curl " * 20_000
    found = read(f"text\n{slow}\n{curl('1')}\n")
    assert found == [
        (2, "line 2, column 1: a command of more than 20000 characters; a one-liner is not"),
        (3, '{"id": 1}'),
    ]
    assert [links_of(one) for one in translate_all(slow, {}, BUILT_IN)] == [found[0][1].replace("line 2", "line 1")]


PIECES = st.sampled_from(
    [
        *("do", "done", "if", "fi", "while read x", "for x in 1", ";", "|", "\\\n", "\n", "'", '"', "{code}", "```"),
        *("<<E", "E", "$(", ")", "`", "(", "{", "}", "text", " ", curl("1"), "xargs -I{}", "parallel", ":::"),
        "sqlexec 'select 1'",
    ]
)


ANYTHING = st.text(st.sampled_from(" \t\n'\"\\$`{}()|&;<>#ab1=%+я\xa0"), max_size=40) | st.text()


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=14).map(" ".join) | ANYTHING | ANYTHING.map(f"{curl('1')} ".__add__))
def test_nothing_makes_it_stumble_and_no_call_leaves_a_loop(text: str) -> None:
    try:
        found = translate_all(text, {}, BUILT_IN)
    except CommandRefused:
        return
    lines = text.split("\n")
    for one in found:
        assert (one.translation is None) == bool(one.refusal)
        for place in [one.place, *(fault.place for fault in (one.translation.faults if one.translation else ()))]:
            assert 1 <= place.line <= len(lines)
            assert 1 <= place.column <= len(lines[place.line - 1]) + 1
