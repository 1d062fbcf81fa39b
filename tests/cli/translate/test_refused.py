"""What cannot be translated is refused in one sentence that names the part; nothing makes the program stumble."""

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.terminal.exits import CommandRefused, Exit
from cli.translate.findings import Told
from cli.translate.shell import Text, lex
from cli.translate.translation import Translation, translate_all
from jobs.catalogue.catalogue import BUILT_IN
from jobs.spec.chain import parse
from tests.cli.oneliners import PUBLISHED, URL, chains, generic, get, loop, off, option, post, translated, values_of
from tests.cli.translate.test_translation import pasted

LIST = "set list on; select id from abonents"
AWK = "awk '{print $2}' | sed '/^$/d'"
GOOD = loop(LIST, get(), filters=AWK)
FINDS = "a command within a command is read where it finds"
PASSES = "a condition is read where it passes over a row"
ONE_CURL = "one curl, and this is something else"
IFS = "IFS is set for more than the read of a loop"
SAVE = "'method1=save&arg1={}'"


def refusal(text: str, match: str | None = None) -> str:
    with pytest.raises(CommandRefused, match=match) as error:
        translated(text)
    assert error.value.code is Exit.REFUSED
    assert "\n" not in str(error.value)
    return str(error.value)


ONE = post("'method1=objects.get&arg1={\"id\":'$a'}'")
IN_BRACES = post("'method1=objects.get&arg1={\"id\":{}}'")
OF_REVERSED = ONE.replace("$a", "$(echo $l | rev)")
OF_FOLDER = "'$n' and parent_id=5"
QUOTED = "'$n'"
SECOND = "a=$(sqlexec \"select id from abonents where contract_number='$a'\"); "
FOUND = 'id=$(sqlexec "select id from abonents where contract_number=%s"); '


def of(sql: str) -> str:
    """A loop over a select."""
    return loop(sql, get())


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("", "there is no curl and no sqlexec"),
        ("# curl", "there is no curl and no sqlexec"),
        ("echo hello", "there is no curl and no sqlexec"),
        (GOOD.replace("sed", "xargs -n1"), "column 69: xargs: what it does to the rows is not known"),
        (GOOD.replace("/^$/d", "s/a/b/"), "sed s/a/b/: what it does"),
        (GOOD.replace("{print $2}", "{s+=$2}END{print s}"), "awk .*: what it does"),
        (GOOD.replace("sqlexec", "mysql"), "column 1: mysql cannot be translated"),
        (f"cat f | mysql | while read x; do {post(SAVE)}; done", "column 9: mysql: what it does to the rows"),
        (f"cat f > g | while read x; do {post(SAVE)}; done", "a redirection of a filter is not translated"),
        (GOOD.replace("| while", "| tee x | while"), "tee: what it does"),
        (GOOD.replace("; done", f"; {post(SAVE)}; done"), "a second command in the loop"),
        (GOOD.replace("do curl", "do if true; then curl").replace("; done", "; fi; done"), PASSES),
        (
            GOOD.replace("do curl", "do while read x; do curl").replace("; done", "; done; done"),
            "a loop within a loop",
        ),
        (GOOD.replace("; done", "; x=1; done"), "a variable is set behind the call, for the next row"),
        (GOOD.replace("do curl", "do x=a$(date); curl"), "date cannot be translated"),
        (GOOD.replace("do curl", "do x=$(date +%F); curl"), "date cannot be translated"),
        (GOOD.replace("do curl", "do rm -rf; curl"), "a second command in the loop"),
        (GOOD.replace("do curl", "do ssh"), "ssh cannot be translated"),
        (GOOD.replace("do curl", "do wget"), "wget's -X is not translated"),
        (GOOD.replace("-D -", "-D - | jq ."), "jq works on what curl answers"),
        (GOOD.replace("; done", ""), "the loop of line 1, column 83 lacks its `done`"),
        (GOOD.replace("do curl", "curl"), "lacks its `do`"),
        (GOOD + " < file", "column 207: a second source of rows stands here"),
        (GOOD.replace("; done", " < file; done"), "`<` is not translated: the data of the call stands in the line"),
        (GOOD.replace("/dev/null", "x").replace("-D -", "<> x"), "`<>` is not translated"),
        (GOOD.replace("while read line", "while true"), "a loop is read as `while read NAME …`"),
        (
            GOOD.replace("while read line", "while IFS=';' read line"),
            "takes its lines apart at ;, and the select puts",
        ),
        (GOOD.replace("while read line", "while IFS=';,' read line"), "the IFS of a loop is read as one character"),
        (GOOD.replace("while read line", "while IFS=$x read line"), "the IFS of a loop is read as one character"),
        (GOOD.replace("while read line", "while IFS= read a b"), "nothing takes the line apart"),
        (GOOD.replace("while read line", "while read line || [ -n x ]"), "a loop is read as `while read NAME …`"),
        (GOOD.replace("read line", "read -d x"), "-d is not a name of a variable"),
        (GOOD.replace("while read line", "for line in 1 2"), "what is piped into a for is read by nothing"),
        (GOOD.replace("while read line", "until read line"), "`until` cannot be translated"),
        ("while read x; do " + post(SAVE) + "; done", "nothing is piped into this loop"),
        (f'sqlexec "{LIST}"', "the rows of this sqlexec go into no loop"),
        (f'sqlexec -x "{LIST}" | while read x; do {post(SAVE)}; done', "sqlexec is read with one text behind it"),
        (post(SAVE) + " && " + post(SAVE), "`&&` is not translated"),
        (post(SAVE) + " || rm x", r"`\|\|` is not translated"),
        (post(SAVE) + " || for x in 1; do echo; done", r"`\|\|` is not translated"),
        ("echo && " + post(SAVE), "`&&` is not translated"),
        ("x=1 && " + post(SAVE), "`&&` is not translated"),
        (GOOD.replace("do curl", "do cd x && curl"), "`&&` is not translated"),
        (GOOD.replace("; done", "; done && echo && rm x"), "`&&` is not translated"),
        (f"({post(SAVE)})", r"`\(` is not translated"),
        ("|" + post(SAVE), "a command is missing here"),
        (post(SAVE) + " >", "`>` names no file"),
        # a call that is none of the API
        (f"curl -d {SAVE}", "this curl has no address"),
        (f"curl {URL}/Users/", "this curl posts nothing"),
        (f"curl -d {SAVE} {URL}/Users/ {URL}/Users/", "a second address stands here"),
        (f"curl -d {SAVE} http://h/rest_api/v1/Users/", "is not an address of the REST API"),
        (f"curl -d {SAVE} {URL}/Users/?a=b", "is not an address of the REST API"),
        (f"curl -d {SAVE} $URL/Users/", "is not an address of the REST API"),
        (f"curl -X GET -d {SAVE} {URL}/Users/", "the request is a GET"),
        (f"curl -F a=b {URL}/Users/", "curl's -F is not translated"),
        (f"curl --json {SAVE} {URL}/Users/", "curl's --json is not translated"),
        (f"curl -d @file {URL}/Users/", "stands in a file"),
        (f"curl --data-urlencode method1 {URL}/Users/", "read as name=content"),
        (f"curl {URL}/Users/ -d", "curl's --data has no value"),
        (f"curl -H 'Content-Type: application/json' -d {SAVE} {URL}/Users/", "sent as application/json"),
        (post("'{\"id\":5}'"), "is not a field of a call"),
        (post("'arg1={}'"), "the data names no method1"),
        (post("'x=1'"), "the data names no method1"),
        (post("'method1=a&method1=b'"), "method1 stands in the data twice"),
        (post("'method1=a b&arg1={}'"), "method1 is a b, which is not a method"),
        (post("'method1='$m'&arg1={}'"), "which is not a method"),
        (post("'method1=a&arg1={}&arg2={\"x\":1}'"), "arg2 has no method2; whose arguments"),
        (post("'method1=a&arg1={\"id\":5'"), "arg1 is not JSON when the shell is done with it"),
        (post("'method1=a&arg1={\"id\":NaN}'"), "id is NaN, which is not a plain number"),
        (post(f"'method1=a&arg1={{\"id\":{'9' * 500}}}'"), "line 1, column 16: chain, link 1 .* has 500 digits"),
        (post(f"'method1=a&arg1={{\"id\":{'[' * 100}{']' * 100}}}'"), "line 1, column 16: chain, link 1 "),
        (post('\'method1=a&arg1={"id":1,"id":2}\''), "id stands twice in arg1"),
        (post("'method1=a&arg1=[5]'"), "arg1 is not an object in braces"),
        (post("'method1=a&arg1={\"{x}\":5}'"), "cannot be the name of an argument"),
        (post("'method1=a&arg1={'$x':5}'"), "cannot be the name of an argument"),
        (post("'method1=a&arg1={\"id\":1'$x'}'"), "id is put together of a variable and more"),
        (post("'method1=a&arg1={\"limit\":1e5}'"), "limit is 1e5, which is not a plain number"),
        (post('\'method1=a&arg1={"id":"\\u0000"}\''), "a character that cannot be seen"),
        (post('\'method1=a&arg1={"id":"%00"}\''), "a character that cannot be seen"),
        (post('\'method1=a&arg1={"id":"%FF"}\''), "not a character in UTF-8"),
        (post('\'method1=a&arg1={"id":' + "[" * 100_000 + "}'"), "a command of more than 20000 characters"),
        (post('\'method1=a&arg1={"id":' + "[" * 15_000 + "}'"), "nested too deep"),
        (post("'method1=a&arg1={}&fields={}'"), "fields is not a list of names"),
        (post("'method1=a&arg1={}&fields=[1]'"), "fields is not a list of names"),
        # SQL that no run takes
        (of(""), "there is no select"),
        (of("delete from t"), "does not begin a select"),
        (of("set list on; select id from t; select 1 from t"), "a second statement begins here"),
        (of("set term ^; select id from t"), "not a setting of isql"),
        (of("select 'x from t"), "never closed"),
        (of("select * from t"), r"select \* does not say which columns"),
        (of("select a.* from t a"), r"select \* does not say which columns"),
        (of("select id, from t"), "a column of the select is missing"),
        (of("with x as (select 1 from t)"), "a with, and no select behind it"),
        (of("set list on; select id, x from t"), "each of the 2 columns is a line of its own"),
        (of("select id from t where id in ($ids)"), r"\$ids is not defined in the line; say .* --set ids=VALUE"),
        (of("select id from $table"), "table is not defined"),
        (of("select id from t where name like '%$x%'"), "x is not defined"),
        (of("select id from t where x=$1"), "1 is not defined"),
        # a variable that gets no value of its own
        (off("select id from t", get("b"), variables="a b"), r"\$b gets nothing: .* 1 field"),
        (off("select id, x from t"), r"\$line gets 2 values at once"),
        (off("select id||' '||x+1 from t", get("b"), variables="a b"), r"\$b gets nothing: .* 1 field"),
        (off("select a||' '||b from t union select c from t", get("b"), variables="a b"), r"\$b gets"),
        (loop("set list on; select id from t", get("a"), variables="a b"), r"\$a is the name of the column"),
        (off("select id, x from t", filters="awk '{print $3}'"), r"awk picks \$3, .* 2 fields"),
        (off("select id from t", get("id")), r"\$id is not defined in the line"),
        # what is done to what isql prints
        (off("select id from t", filters="sed 1,2d"), "takes away rows too: .* are 1"),
        (loop("select id from t", get(), filters="sed '/^$/d' | tail -n +4"), "takes away rows too: .* are 2"),
        (off("select name from t", filters="grep '[0-9]'"), "grep .*: what it does"),
        (off("select name as id from t", filters="grep '[0-9]'"), "grep .*: what it does"),
        (loop("select id, x_id from t", get(), filters="grep -o '[0-9]*'"), "grep -o .*: what it does"),
        (loop("select id, name from t", get(), filters="grep -v ID"), "grep -v ID: what it does"),
        (loop("select id from t", get(), filters="grep -v 5"), "grep -v 5: what it does"),
        (loop("select id from t", get(), filters="grep -vE 'ID|5'"), "grep -vE .*: what it does"),
        (loop("set list on; select id from t", get(), filters="grep '^ *[0-9]'"), "grep .*: what it does"),
        (f"isql b.fdb < f.sql | while read a; do {ONE}; done", "isql is read with the SQL in the line"),
        (f"isql -i f.sql b.fdb | while read a; do {ONE}; done", "isql's -i is not translated"),
        (f"isql b.fdb <<< 'commit;' | while read a; do {ONE}; done", "does not begin a select"),
        # where the rows come from
        (f"while read a; do {ONE}; done < f < g", "column 120: a second source of rows stands here"),
        (f"while read a; do {ONE}; done < $F", r"\$F is not defined in the line"),
        (f"while read a; do {ONE}; done <<E\n$X\nE\n", r"\$X is not defined in the line"),
        (f"cat f | while read a; do {ONE}; done < <(cat g)", "a second source of rows"),
        (f"while read a; do {ONE}; done < <(cat f; cat g)", "one command, or one pipe"),
        (f"python x | while read a; do {ONE}; done", "column 1: python cannot be translated"),
        (f"cat f | sort > g | while read a; do {ONE}; done", "a redirection of a filter"),
        (f"printf '1\\n' | while read a; do {ONE}; done", "what this printf prints is not read"),
        (f"for a in $(cat f) 5; do {ONE}; done", "read as a list, or as the one"),
        (f'for a in "$(cat f)"; do {ONE}; done', "one word within double quotes"),
        (f"for a in *.txt; do {ONE}; done", "column 10: a pattern stands in the list"),
        (f"for a in {{1..99999}}; do {ONE}; done", "more than 10000 numbers"),
        (f"for a in '1 2'; do {ONE}; done", "a word of the list has a space in it"),
        (f'for a in "$@"; do {ONE}; done', r"\$@ is not defined"),
        (f"for a; do {ONE}; done", "a for is read as `for NAME in WORDS`"),
        (f"for ((a=1;a<5;a++)); do {ONE}; done", "a for is read as `for NAME in WORDS`"),
        (f"for a in 1 2; do {ONE}; done < f", "is read by nothing in a for"),
        (f"while read a; do {ONE}; done < f g", "g behind `done` is not understood"),
        # xargs and parallel
        (f"cat f | xargs {IN_BRACES}", "xargs is read with -I{}"),
        (f"cat f | xargs -n2 {IN_BRACES}", "several values go into one call"),
        (f"cat f | xargs -0 -I{{}} {IN_BRACES}", "xargs's -0 is not translated"),
        (f"cat f | xargs -d, -I{{}} {IN_BRACES}", "each line is one value"),
        (f"cat f | xargs -I% {IN_BRACES}", "nothing says where the value of a line stands"),
        ("cat f | xargs -I{} rm {}", "rm cannot be translated"),
        ("cat f | xargs -I{} sh x.sh {}", "sh is read as sh -c"),
        (f"cat f | xargs -I{{}} sh -c {shlex.quote(f'{IN_BRACES}; date')}", ONE_CURL),
        (f"cat f | xargs -I{{}} sh -c {shlex.quote(f'{IN_BRACES} || rm x')}", ONE_CURL),
        (f"parallel {shlex.quote(f'{IN_BRACES} && rm x')} ::: 1", ONE_CURL),
        (f"while read a; do {ONE}; done < <(cat f || cat g)", "one command, or one pipe"),
        (f"while read l; do a=$(echo $l | cut -d, -f1 || echo 5); {ONE}; done < f", "one command, or one pipe"),
        (f"cat f | xargs -a g -I{{}} {IN_BRACES}", "xargs reads its values elsewhere"),
        (f"parallel -q {IN_BRACES} ::: 1 ::: 2", "one list of values, or one file"),
        (f"parallel -q {IN_BRACES} :::: f g", "one list of values, or one file"),
        (f"parallel --dry-run -q {IN_BRACES} ::: 1", "parallel's --dry-run is not translated"),
        (f"parallel -q {IN_BRACES.replace('{}', '{#}')} ::: 1", r"parallel's \{#\} is not translated"),
        (f"parallel -q {IN_BRACES.replace('{}', '{2}')} ::: 1", "--colsep does not say what separates the values"),
        (f"parallel -C '[;,]' -q {IN_BRACES.replace('{}', '{1}')} :::: f", "--colsep is read as one character"),
        ("parallel ::: 1", "parallel calls nothing here"),
        # awk and a shell
        ("awk '{print \"rm \" $1}' f | sh", ONE_CURL),
        (f"awk '{{print \"curl {URL}/Users/ -d method1=save; date\"}}' f | sh", ONE_CURL),
        (f"awk '{{printf \"curl {URL}/Users/ -d method1=save%s\", $1}}' f | sh", "awk's printf is read with %s"),
        (f"awk '{{printf \"curl {URL}/Users/ -d method1=save%d\\n\", $1}}' f | sh", "awk's printf is read with %s"),
        (f"awk '{{print \"curl {URL}/Users/ -d method1=save\"}}' f | sh", "nothing says where the value"),
        (f"awk '{{print \"curl {URL}/Users/ -d method1=save\" $1}}' f", "awk is read here where it prints one curl"),
        (f"awk '{{print \"curl {URL}/Users/ -d method1=save\" $1 $0}}' f | sh", "awk is read here where"),
        (f"awk '{{print \"curl {URL}/Users/ -d method1=save\" toupper($1)}}' f | sh", "awk is read here where"),
        (f"awk '$2>5{{print \"curl {URL}/Users/ -d method1=save\" $1}}' f g | sh", "a second source of rows"),
        (
            f"sqlexec '{LIST}' | awk '$2>5{{system(\"curl {URL}/Users/ -d method1=save\" $2)}}'",
            "awk .*: what it does",
        ),
        (f"{post(SAVE)} | sh", "sh works on what curl answers"),
        ("cat f | sh", "sh cannot be translated"),
        # what the loop does
        (f"while read n; do {FOUND % '$n'}{post(SAVE)}; done < f", FINDS),
        (f"while read n; do {FOUND % '0'}{post(SAVE)}; done < f", FINDS),
        (f"while read n; do {FOUND.replace('id from', 'account_id from') % QUOTED}{post(SAVE)}; done < f", FINDS),
        (f"while read n; do {FOUND % OF_FOLDER}{post(SAVE)}; done < f", FINDS),
        (f"while read n a; do {FOUND % QUOTED}{SECOND}{ONE}; done < f", "a second one"),
        (f"while read n; do {FOUND % QUOTED}a=$n; {ONE}; done < f", "names the row, and is a value of the call too"),
        (f"while read l; do a=$(echo $l | cut -d';' -f1); b=$l; {ONE}; done < f", r"\$l is used as a whole"),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1-3); {ONE}; done < f",
            "column 32: cut is read where it takes one field of a line",
        ),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1 -d,); {ONE}; done < f",
            "cut is read where it takes one field",
        ),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1); b=$(echo $l | cut -c5-); {ONE}; done < f",
            "column 62: cut is read where it takes one field",
        ),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1); b=$(echo $l | cut -d';' -f2 | tr , .); {ONE}; done < f",
            "column 78: tr changes a value of the row",
        ),
        (f"while read a b; do c=$(echo -n $b | sed 's/,/./'); {ONE}; done < f", "column 37: sed changes a value"),
        (f"while read a b; do c=$(tr , . <<< $b); {ONE}; done < f", "column 24: tr changes a value"),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1); c=$(printf %s $a | tr -d -); {ONE}; done < f",
            "tr changes a value",
        ),
        (f"while read l; do a=$(echo $l | cut -d, -f1); {OF_REVERSED}; done < f", "rev changes a value"),
        (f"while read l m; do a=$(echo $l | cut -d';' -f1); {ONE}; done < f", "is not a whole line"),
        (
            f"while read l; do a=$(echo $l | cut -d';' -f1); b=$(echo $l | cut -d, -f1); {ONE}; done < f",
            "one character parts all of them",
        ),
        (f"IFS=';'; while read a b; do {ONE}; done < f", IFS),
        (f"export IFS=,\nfor a in $(cat f); do {ONE}; done", IFS),
        (f"while read a b; do IFS=,; {ONE}; done < f", IFS),
        (f"while read a; do [ -n x ] && {ONE}; done < f", PASSES),
        (f'while read a; do [ -z "$a" ] && {ONE}; done < f', PASSES),
        (f'while read a; do [ -z "$a" ] && break; {ONE}; done < f', PASSES),
        (f"while read a; do [ -z $a ] || continue; {ONE}; done < f", PASSES),
        (f"while read a; do if [ -n $a ]; then continue; fi; {ONE}; done < f", "a condition is read where"),
        (f"while read a; do if [ -z $a ]; then {ONE}; fi; done < f", PASSES),
        (f"while read a; do [ -z $a ] && {{ rm x; continue; }}; {ONE}; done < f", "a command for some rows alone"),
        (f"while read a; do {ONE}; [ -z $a ] && continue; done < f", "a condition behind the call"),
        (f"while IFS=, read a b; do [ -z $a ] && continue; {ONE}; done < f", r"\$a can be empty in a row"),
        (f"while read a b; do [ -z $b ] && continue; {ONE}; done < f", r"\$b can be empty in a row"),
        (f"while read a; do [ -z $X ] && continue; {ONE}; done < f", r"\$X can be empty in a row"),
        (f"while read l; do a=$(echo $l | cut -d, -f1); [ -z $a ] && continue; {ONE}; done < f", "can be empty"),
        (f"[ -z $a ] && continue; {ONE}", PASSES),
        (f"{FOUND.replace('id=', 'a=') % QUOTED.replace('n', 'a')}{ONE}", r"\$a is not defined"),
        # what is sent
        (f"wget --post-file=f {URL}/Users/", "wget's --post-file is not translated"),
        (f"wget {URL}/Users/", "this wget posts nothing: it has no --post-data"),
        (f"wget --method=PUT --body-data=x {URL}/Users/", "the request is a PUT"),
        (f"curl -d @- {URL}/Users/ < f", "the data of the call stands"),
        (f"curl --data=x {URL}/Users/", "curl's --data is not translated"),
        # what only a running shell could tell
        ("a $((1+1))", "line 1, column 3: arithmetic"),
        ("a $(b", "line 1, column 3: the command within a command that begins here is never closed"),
        ('"a `b"', "line 1, column 4: the command within a command that begins here is never closed"),
        ("a $(b $(c $(d $(e))))", "nested too deep"),
        ("curl <<E\nb\n", "line 1, column 6: the lines behind `<<` have no E at their end"),
        ("curl <<E\nb\\\nE\n", "line 2, column 1: a backslash stands here"),
        ('"${a:-b}"', "column 2: a variable is read here as"),
        ("$'\\x41'", "column 1: .* plain quotes"),
        ("a \x1b[2J", r"column 3: a character that cannot be seen \(U\+001B\)"),
        ("a\u202eb", r"U\+202E"),
        ("a\0b", r"U\+0000"),
        ("a\udcffb", r"U\+DCFF"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_part(line: str, match: str) -> None:
    assert refusal(line, match=match).startswith(("line ", "the SQL", "SQL: line", "there is no curl"))


def test_a_refusal_that_comes_of_an_open_quote_says_so() -> None:
    said = refusal(post(SAVE.removesuffix("'")))
    assert said.startswith("line 1, column 1: this curl has no address")
    assert said.endswith("this may come of another place, line 1, column 16: the ' that stands here is never closed")


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


def test_a_brace_in_the_name_of_an_argument_is_a_brace() -> None:
    found = translated(PUBLISHED["session"].line.replace('{"abonent_id"', '{"{abonent_id"'))
    (model,) = option(found, "--model")
    assert parse(model, chains(found)).links[0].arguments == {"{abonent_id": "12230"}


def test_a_password_with_a_slip_in_its_address_is_the_job_all_the_same() -> None:
    line = PUBLISHED["password"].line
    found = translated(line[:20] + '"' + line[20:])
    assert found.command[2] == "password"
    assert "1234" not in " ".join(found.command)


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
