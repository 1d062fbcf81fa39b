"""Words are what bash makes of them; nothing that is typed makes the lexer stumble."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.terminal.exits import CommandRefused
from cli.translate.findings import HOLE, Told
from cli.translate.words import Word, lex

ANYTHING = st.text(st.sampled_from(" \t\n'\"\\$`{}()|&;<>#ab1=%+я\xa0"), max_size=40)
READABLE = st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" \n\t'\"\\")
# Nothing in it can do anything in a shell.
QUOTING = st.text(st.sampled_from("ab'\"\\ \n"), max_size=14)


def words(line: str) -> list[str]:
    return [token.plain for token in lex(line, Told()) if isinstance(token, Word)]


IN_BASH = """eval "words=($1
)" || exit 1
for word in "${words[@]}"; do printf '%s\\0' "$word"; done
"""


def in_bash(line: str) -> list[str] | None:
    """The words as bash has them; None where it finds no end of a quote."""
    done = subprocess.run(["bash", "-c", IN_BASH, "bash", line], check=False, capture_output=True)  # noqa: S603, S607 - nothing but quotes and letters
    return None if done.returncode else done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a'b'\"c\"d", ["abcd"]),
        ("'a'$x'b'", [f"a{HOLE}b"]),
        ('"a${x}b$y"', [f"a{HOLE}b{HOLE}"]),
        ("'a$x'", ["a$x"]),
        ("\\$x \"\\$x\" '\\$x'", ["$x", "$x", "\\$x"]),
        ('"a\\"b\\\\c\\d"', ['a"b\\c\\d']),
        ("a\\ b", ["a b"]),
        ("a\\\nb", ["ab"]),
        ("a \\\n b", ["a", "b"]),
        ('"a\\\nb"', ["ab"]),
        ("'a\\\nb'", ["a\\\nb"]),
        ("a # b 'c\nd#e", ["a", "d#e"]),
        ("''", [""]),
        ("5$ $", ["5$", "$"]),
        ("'{\"sms\":\"'%2B'7\"}'", ['{"sms":"%2B7"}']),
        ("a\xa0b", ["a", "b"]),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


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


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("a $((1+1))", "line 1, column 3: arithmetic"),
        ("a $(b", "line 1, column 3: the command within a command that begins here is never closed"),
        ('"a `b"', "line 1, column 4: the command within a command that begins here is never closed"),
        ("a $(b $(c $(d $(e))))", "nested too deep"),
        ("a <<E\nb\n", "line 1, column 3: the lines behind `<<` have no E at their end"),
        ("a <<E\nb\\\nE\n", "line 2, column 1: a backslash stands here"),
        ('"${a:-b}"', "column 2: a variable is read here as"),
        ("$'\\x41'", "column 1: .* plain quotes"),
        ("a \x1b[2J", r"column 3: a character that cannot be seen \(U\+001B\)"),
        ("a\u202eb", r"U\+202E"),
        ("a\0b", r"U\+0000"),
        ("a\udcffb", r"U\+DCFF"),
    ],
)
def test_what_only_a_running_shell_could_tell_is_refused(line: str, match: str) -> None:
    with pytest.raises(CommandRefused, match=match):
        lex(line, Told())


@given(ANYTHING | st.text())
def test_nothing_makes_it_stumble(line: str) -> None:
    told = Told()
    try:
        tokens = lex(line, told)
    except CommandRefused:
        return
    lines = line.split("\n")
    for place in [*(token.place for token in tokens), *(fault.place for fault in told.faults)]:
        assert 1 <= place.line <= len(lines)
        assert 1 <= place.column <= len(lines[place.line - 1]) + 1


@given(st.lists(st.text(READABLE)))
def test_what_shlex_quotes_comes_back(texts: list[str]) -> None:
    told = Told()
    line = shlex.join(texts)
    lex(line, told)
    assert words(line) == texts
    assert told.faults == []


@given(QUOTING)
def test_words_are_those_of_bash(line: str) -> None:
    # A backslash at the very end would quote what comes after it here, and nothing does.
    line = line.rstrip("\\")
    expected = in_bash(line)
    told = Told()
    lex(line, told)
    assert (expected is None) == bool(told.faults)
    if expected is not None:
        assert words(line) == expected
