"""A page of text, a script: each one-liner on its own, each refusal with its line, and nothing cut in two."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.terminal.exits import CommandRefused
from cli.translate.translation import Translated, translate_all
from jobs.catalogue.catalogue import BUILT_IN
from tests.cli.conftest import Typed
from tests.cli.oneliners import PUBLISHED, post

SAVE = "'method1=objects.get&arg1={\"id\":%s}&method2=refresh&arg2={}'"


def curl(key: str) -> str:
    return post(SAVE % key)


def read(text: str) -> list[tuple[int, str]]:
    """The line of each one-liner, and the id that its call has, or the beginning of its refusal."""
    return [(one.place.line, told(one)) for one in translate_all(text, {}, BUILT_IN)]


def told(one: Translated) -> str:
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


def test_marks_may_stand_on_the_line_of_the_command() -> None:
    assert read(f"{{note}}Or: {{code:bash}}{curl('1')}{{code}}{{note}} and {{code}}method1=x{{code}}\n") == [
        (1, '{"id": 1}')
    ]
    assert read(f"text\n```sh\n$ {curl('1')}\n```\nmore text\n    {curl('2')}\n") == [
        (3, '{"id": 1}'),
        (6, '{"id": 2}'),
    ]


def test_a_place_is_that_of_the_page() -> None:
    (one,) = translate_all(
        f"text\n\n  $ {curl('1')}".replace("method2=refresh&arg2={}", "method2=refresh"), {}, BUILT_IN
    )
    assert one.translation
    (fault,) = one.translation.faults
    assert (fault.place.line, fault.place.column) == (3, 55)


def test_a_script_keeps_its_variables_and_comments_are_none() -> None:
    of_id = curl("'$id'")
    script = f"#!/bin/bash\nHOST=h:8082\n# {curl('9')}\nid=5\n{of_id.replace('h:8082', '$HOST')}\nid=6; {of_id}\n"
    assert read(script) == [(5, '{"id": 5}'), (6, '{"id": 6}')]
    assert read(f"{curl('1')}; {curl('2')}") == [(1, '{"id": 1}'), (1, '{"id": 2}')]


@pytest.mark.parametrize("value", ["5", '"5"', "'5'", "$'5'", "\"\"'5'", "5 # five", "5;", "$FIVE"])
def test_a_variable_is_read_however_it_is_written(value: str) -> None:
    each = curl("'$id'")
    assert read(f"FIVE=5\nid={value}\n{each}\n") == [(3, '{"id": 5}')]


def test_an_ifs_of_the_script_is_not_passed_over() -> None:
    each = curl("'$id'")
    ((line, said),) = read(f"text\nIFS=$'\\n'\nfor id in $(cat f); do {each}; done\n")
    assert (line, "IFS is set for more than the read of a loop" in said) == (3, True)


def test_what_is_refused_hinders_no_other() -> None:
    each = curl("'$x'")
    found = read(f"{curl('1')}\nfor x in *; do {each}; done\n{curl('2')}\nssh h {curl('3')}\n")
    assert [line for line, _ in found] == [1, 2, 3, 4]
    assert (found[0][1], found[2][1]) == ('{"id": 1}', '{"id": 2}')
    assert found[1][1].startswith("line 2, column 10: a pattern stands in the list")
    assert found[3][1].startswith("line 4, column 1: ssh cannot be translated")


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


def test_an_end_without_its_beginning_refuses_what_stands_before_it() -> None:
    found = read(f"что-то непонятное\n{curl('1')}\ndone\n{curl('2')}\n\n```\n{curl('3')}\n```\n")
    assert [said.partition(":")[0] for _, said in found[:2]] == ["line 3, column 1"] * 2
    assert found[2][1] == '{"id": 3}'


def test_a_quote_that_is_never_closed_takes_no_other_line_in() -> None:
    slip = curl("1").replace("' http", " http")
    found = read(f"{slip}\n{curl('2')}\n")
    assert found[0][1].startswith("line 1")
    assert found[1] == (2, '{"id": 2}')


def test_a_line_that_is_too_long_is_refused_before_it_is_read() -> None:
    slow = "''' " * 100_000 + "curl " * 20_000
    found = read(f"text\n{slow}\n{curl('1')}\n")
    assert found == [
        (2, "line 2, column 1: a command of more than 20000 characters; a one-liner is not"),
        (3, '{"id": 1}'),
    ]
    assert [told(one) for one in translate_all(slow, {}, BUILT_IN)] == [found[0][1].replace("line 2", "line 1")]


def test_a_text_without_any_is_said_to_be_so() -> None:
    for text in ("", "\n\n", "Здесь ничего нет.\nИ здесь.\n", "x=1\n"):
        with pytest.raises(CommandRefused, match=r"cannot be translated|there is no curl and no sqlexec"):
            translate_all(text, {}, BUILT_IN)


def test_a_given_value_has_to_be_used_by_one_of_them() -> None:
    each = curl("'$x'")
    text = f"{curl('1')}\n{each}\n"
    assert [told(one) for one in translate_all(text, {"x": "5"}, BUILT_IN)] == ['{"id": 1}', '{"id": 5}']
    with pytest.raises(CommandRefused, match="there is no \\$y in the line"):
        translate_all(text, {"x": "5", "y": "5"}, BUILT_IN)


def test_the_command_shows_each_with_its_line_and_ends_with_2_where_one_is_refused(
    typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "page.txt").write_text(f"text\n{curl('1')}\n\nssh {curl('2')}\n{curl('3')}\n")
    ended = typed("translate", "page.txt")
    assert ended.exit == 2
    assert [line for line in ended.out.splitlines() if line.startswith("# line")] == ["# line 2", "# line 5"]
    assert "✗ line 4, column 1: ssh cannot be translated" in ended.err
    assert "1 of 3 one-liners is not translated" in ended.err
    assert ended.err.count("nobody reads an error") == 1
    as_json = typed("translate", "--json", "page.txt")
    assert [line.partition(",")[0] for line in as_json.out.splitlines()] == ['{"line":2', '{"line":4', '{"line":5']
    assert as_json.exit == 2


PIECES = st.sampled_from(
    [
        *("do", "done", "if", "fi", "while read x", "for x in 1", ";", "|", "\\\n", "\n", "'", '"', "{code}", "```"),
        *("<<E", "E", "$(", ")", "`", "(", "{", "}", "text", " ", curl("1"), "xargs -I{}", "parallel", ":::"),
        "sqlexec 'select 1'",
    ]
)


@given(st.lists(PIECES, max_size=14))
def test_nothing_makes_it_stumble_and_no_call_leaves_a_loop(pieces: list[str]) -> None:
    text = " ".join(pieces)
    try:
        found = translate_all(text, {}, BUILT_IN)
    except CommandRefused:
        return
    for one in found:
        assert (one.translation is None) == bool(one.refusal)
        assert one.place.line <= text.count("\n") + 1
