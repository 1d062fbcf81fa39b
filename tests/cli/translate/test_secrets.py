"""Secrets that a line tells: none of them is printed, and what sets passwords becomes the job that does."""

from pathlib import Path

import pytest

from cli.terminal.exits import CommandRefused
from tests.cli.conftest import Typed
from tests.cli.oneliners import chains, loop, option, post, translated

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
        (post("'method1=x.y&arg1={\"psw\":4711}'"), 'x.y {"psw": "{psw}"}', ["psw"]),
        ("P=geheim; " + post("'method1=x.y&arg1={\"psw\":\"'$P'\"}'"), 'x.y {"psw": "{psw}"}', ["psw"]),
        # A secret that is cleared is none.
        (post('\'method1=set&arg1={"psw":"","dontshow":true}\''), 'set {"psw": "", "dontshow": true}', []),
    ],
)
def test_what_stands_under_the_name_of_a_secret_is_asked_for(line: str, chain: str, asked: list[str]) -> None:
    found = translated(line)
    assert (chains(found), option(found, "--ask")) == ([chain], asked)


def test_a_secret_that_a_variable_is_given_is_asked_for_as_well() -> None:
    assert chains(translated(post("'method1=x.y&arg1={\"psw\":\"'$P'\"}'"), P="geheim")) == ['x.y {"psw": "{psw}"}']


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
    ],
)
def test_no_secret_of_a_loop_is_told(line: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "line.sh").write_text(line)
    for flags in ((), ("--json",)):
        ended = typed("translate", *flags, "line.sh")
        assert ended.exit in (0, 2)
        assert HIDDEN not in ended.out + ended.err


def test_a_file_may_have_the_secrets(typed: Typed) -> None:
    ended = typed("translate", f"while IFS=';' read -r u p; do {post(SETS)}; done < passwords.csv")
    assert ended.out.startswith(
        "carbon-migrate run password passwords.csv \\\n  --set dontshow=no \\\n  --columns user_id,psw"
    )


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
