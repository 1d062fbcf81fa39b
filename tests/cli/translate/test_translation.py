"""Every one-liner that the vendor has published becomes one command, and each of its faults is named."""

import io
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.commands.translate import LONGEST
from cli.main import app
from cli.terminal.exits import CommandRefused
from cli.translate.translation import Translated, quoted, translate_all
from jobs.catalogue.catalogue import BUILT_IN
from tests.cli.conftest import Typed
from tests.cli.oneliners import PUBLISHED, Published, chains, generic, loop, option, post, translated

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


# ---- Secrets that a line tells: none of them is printed, and what sets passwords becomes the job that does


SELECT = "set heading off; select id, login from users"
PSW = "set heading off; select id, psw from users"


def password(user: str, psw: str, more: str = ',"dontshow":true') -> str:
    """The data of a call that sets a password, with its quotes."""
    return f"""'method1=objects.get&arg1={{"id":{user}}}&method2=set_password&arg2={{"psw":{psw}{more}}}'"""


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (
            post(password("4084", '"geheim"')),
            ["password", "--set", "user_id=4084", "--set", "dontshow=yes", "--ask", "psw"],
        ),
        (
            loop(SELECT, password("'$a'", '"geheim"'), variables="a b", model="Users"),
            ["password", "--set", "dontshow=yes", "--sql", "select id, login from users", "--columns"],
        ),
        (
            loop(SELECT, password("'$a'", "\"'$b'\""), variables="a b", model="Users"),
            [
                *("password", "--set", "dontshow=yes", "--sql", "select id, login from users"),
                *("--map", "user_id=id", "--map", "psw=login"),
            ],
        ),
        # What the job would do otherwise stays a call.
        (post(password("4084", '"geheim"', "")), ["call", "--model", "Users"]),
        (post(password("4084", '""')), ["call", "--model", "Users"]),
        (post(password("'$user'", '"geheim"')), ["call", "--model", "Users"]),
        (post(password("4084", '"geheim"', ',"dontshow":"yes"')), ["call", "--model", "Users"]),
    ],
)
def test_a_call_that_sets_a_password(line: str, command: list[str]) -> None:
    found = translated(line)
    assert "geheim" not in " ".join(found.command)
    assert list(found.command[2 : 2 + len(command)]) == command


NAMES = ("psw", "password", "suid", "hash_key", "PSW")


@pytest.mark.parametrize(
    ("line", "chain", "asked"),
    [
        *((post(f'\'method1=x&arg1={{"{one}":"geheim"}}\''), f'x {{"{one}": "{{{one}}}"}}', [one]) for one in NAMES),
        (post("'method1=x.y&arg1={\"psw\":\"'$GIVEN'\"}'"), 'x.y {"psw": "{psw}"}', ["psw"]),
        (post("'method1=x.y&arg1={\"psw\":4711}'"), 'x.y {"psw": "{psw}"}', ["psw"]),
        ("P=geheim; " + post("'method1=x.y&arg1={\"psw\":\"'$P'\"}'"), 'x.y {"psw": "{psw}"}', ["psw"]),
        # A secret that is cleared is none.
        (post('\'method1=set&arg1={"psw":"","dontshow":true}\''), 'set {"psw": "", "dontshow": true}', []),
    ],
)
def test_what_stands_under_the_name_of_a_secret_is_asked_for(line: str, chain: str, asked: list[str]) -> None:
    found = translated(line, **({"GIVEN": "geheim"} if "$GIVEN" in line else {}))
    assert (chains(found), option(found, "--ask")) == ([chain], asked)


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


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (loop(SELECT, password("'$a'", f"\"{HIDDEN}'$b'\""), variables="a b"), "psw is put together of a secret and"),
        (loop(PSW, password("'$a'", f'"{HIDDEN}"'), variables="a b"), "psw is told in the data, and is a column of"),
    ],
)
def test_what_would_take_another_word_for_the_secret_is_refused(line: str, match: str) -> None:
    with pytest.raises(CommandRefused, match=match) as refused:
        translated(line)
    assert HIDDEN not in str(refused.value)


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


EACH, ONE_ID, TWO_ID = curl("'$id'"), '{"id": 1}', '{"id": 2}'
VALUES = ("5", '"5"', "'5'", "$'5'", "\"\"'5'", "5 # five", "5;", "$FIVE")
PAGES = {
    "marks on the line": (
        f"{{note}}Or: {{code:bash}}{curl('1')}{{code}}{{note}} and {{code}}method1=x{{code}}\n",
        [(1, ONE_ID)],
    ),
    "a fence": (f"text\n```sh\n$ {curl('1')}\n```\nmore text\n    {curl('2')}\n", [(3, ONE_ID), (6, TWO_ID)]),
    # A script keeps its variables, and comments are none.
    "a script": (
        f"#!/bin/bash\nH=h:8082\n# {curl('9')}\nid=1\n{EACH.replace('h:8082', '$H')}\nid=2; {EACH}\n",
        [(5, ONE_ID), (6, TWO_ID)],
    ),
    "two on a line": (f"{curl('1')}; {curl('2')}", [(1, ONE_ID), (1, TWO_ID)]),
    **{f"a value {one}": (f"FIVE=5\nid={one}\n{EACH}\n", [(3, '{"id": 5}')]) for one in VALUES},
    "an IFS of the script": (
        f"text\nIFS=$'\\n'\nfor id in $(cat f); do {EACH}; done\n",
        [(3, "line 3, column 1: IFS is set for more than the read of a loop")],
    ),
    # What is refused hinders no other.
    "two of four": (
        f"{curl('1')}\nfor id in *; do {EACH}; done\n{curl('2')}\nssh h {curl('3')}\n",
        [
            (1, ONE_ID),
            (2, "line 2, column 11: a pattern stands in the list"),
            (3, TWO_ID),
            (4, "line 4, column 1: ssh cannot be translated"),
        ],
    ),
    "an end without its beginning": (
        f"что-то непонятное\n{curl('1')}\ndone\n{curl('2')}\n\n```\n{curl('3')}\n```\n",
        [(2, "line 3, column 1:"), (4, "line 3, column 1:"), (7, '{"id": 3}')],
    ),
    "an open quote": (curl("1").replace("' http", " http") + f"\n{curl('2')}\n", [(1, "line 1"), (2, TWO_ID)]),
}


@pytest.mark.parametrize(("text", "expected"), PAGES.values(), ids=PAGES)
def test_what_is_read_of_a_page(text: str, expected: list[tuple[int, str]]) -> None:
    found = read(text)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, said), (_, beginning) in zip(found, expected, strict=True):
        assert said.startswith(beginning), said


def test_a_place_is_that_of_the_page() -> None:
    (one,) = translate_all(
        f"text\n\n  $ {curl('1')}".replace("method2=refresh&arg2={}", "method2=refresh"), {}, BUILT_IN
    )
    assert one.translation
    (fault,) = one.translation.faults
    assert (fault.place.line, fault.place.column) == (3, 55)


@pytest.mark.parametrize(
    "before",
    [
        "if [ -f x ]; then",
        "if test -f x\nthen",
        "until [ -f x ]; do",
        "pay() {",
        "function pay {",
        "{",
        "(",
        "case $x in\n1)",
        "while true; do",
        "mysql db | while read x; do",
        "mysql db |\nwhile read x\ndo",
        "strange | grep x \\\n| while read x; do",
        "while read x; do\n  while read y; do",
    ],
)
def test_no_call_is_taken_out_of_what_it_stands_in(before: str) -> None:
    """Alone it would be another call: one that is always made, or made once."""
    ends = {"if": "fi", "un": "done", "wh": "done", "my": "done", "st": "done", "ca": ";; esac", "(": ")"}
    end = ends.get(before[:2], "}")
    if before.count("while") > 1:
        end = "done; done"
    text = f"text\n{before}\n  {curl('1')}\n{end}\n{curl('2')}\n"
    found = read(text)
    assert ["id" in said and "line" not in said for _, said in found] == [False, True], found
    assert found[1][1] == '{"id": 2}'


def test_a_line_that_is_too_long_is_refused_before_it_is_read() -> None:
    slow = "''' " * 100_000 + "curl " * 20_000
    found = read(f"text\n{slow}\n{curl('1')}\n")
    assert found == [
        (2, "line 2, column 1: a command of more than 20000 characters; a one-liner is not"),
        (3, '{"id": 1}'),
    ]
    assert [links_of(one) for one in translate_all(slow, {}, BUILT_IN)] == [found[0][1].replace("line 2", "line 1")]


def test_a_text_without_any_is_said_to_be_so() -> None:
    for text in ("", "\n\n", "Здесь ничего нет.\nИ здесь.\n", "x=1\n"):
        with pytest.raises(CommandRefused, match=r"cannot be translated|there is no curl and no sqlexec"):
            translate_all(text, {}, BUILT_IN)


def test_a_given_value_has_to_be_used_by_one_of_them() -> None:
    each = curl("'$x'")
    text = f"{curl('1')}\n{each}\n"
    assert [links_of(one) for one in translate_all(text, {"x": "5"}, BUILT_IN)] == ['{"id": 1}', '{"id": 5}']
    # Neither is a variable that the line sets itself.
    for unused, values in ((text, {"x": "5", "y": "5"}), (f"while read y; do {each}; done < f", {"y": "5"})):
        with pytest.raises(CommandRefused, match="there is no \\$y in the line"):
            translate_all(unused, values, BUILT_IN)


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
