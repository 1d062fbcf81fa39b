"""Loops that people have: what a translated command sends is what bash, xargs and parallel make of the line.

The line runs in a real bash, with xargs, parallel and awk as they are; curl, wget, sqlexec and isql are small scripts
that keep their arguments, or print what a database would. Nothing leaves the machine.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.api.client import BillingClient, ClientSettings, Patience
from billing.database.database import Database, attach
from billing.database.dsn import Dsn
from checkpoints.records import Run
from cli.main import load
from cli.session.order import parse_input, parse_order
from cli.settings.flags import CallFlags, RowFlags, parse_pairs
from cli.translate.translation import Translation
from jobs.access.gateway import Gateway
from jobs.catalogue.catalogue import BUILT_IN
from jobs.job import build
from jobs.spec.entries import without_marks
from lab.crash.loops import loops
from lab.mock.server import running
from tests.checkpoints.samples import sending_item
from tests.cli.conftest import Found, Place
from tests.cli.oneliners import PUBLISHED, generic, translated
from tests.firebird_server import PROGRAM, FirebirdServer
from tests.jobs.catalogue.months import first_of

Sent = list[str]
"""The calls, each as JSON with its numbers as texts, in order of their texts."""

KEEPS_ARGUMENTS = """\
#!/bin/sh
printf '%s\\0' {name} "$@" > "{calls}/$$"
case "$*" in *@-*) printf '%s\\0' "$(cat)" >> "{calls}/$$" ;; esac
"""

SQLEXEC = """\
#!/bin/sh
case $0 in
    *isql*) sql=$(cat) ;;
    *) sql=$1 ;;
esac
case $sql in
    *"set list"*) print='ID                              %s\\n\\n' ;;
    *"set heading off"*) print='\\n%20s     ' ;;
    *) print='%12s \\n'; printf '\\n          ID \\n============ \\n' ;;
esac
case $sql in
    *"="*)
        key=${{sql##*=}}; key=${{key#"${{key%%[! ]*}}"}}; key=${{key#\\'}}; key=${{key%%\\'*}}
        awk -F';' -v key="$key" '$2 == key {{print $1}}' '{rows}' ;;
    *) cut -d';' -f1 '{rows}' ;;
esac | while read -r id; do printf "$print" "$id"; done
echo
"""
"""Prints ids as isql does: all of them, or the one whose key the select asks for. isql reads what it is fed."""


# ---- the shell ---------------------------------------------------------------------------------------------------


def by_shell(line: str, folder: Path, rows: Mapping[str, str] | None = None, sqlexec: str = "") -> Sent:
    """Run a line in bash, in a folder with its files; what the billing would receive.

    `rows` are the ids of the database by their keys, unless a script of its own asks a database.
    """
    tools, calls = folder / "bin", folder / "calls"
    shutil.rmtree(calls, ignore_errors=True)
    for one in (tools, calls):
        one.mkdir(exist_ok=True)
    table = folder / "database"
    table.write_text("".join(f"{number};{key}\n" for key, number in (rows or {}).items()))
    for name in ("curl", "wget"):
        _script(tools / name, KEEPS_ARGUMENTS.format(name=name, calls=calls))
    for name in ("sqlexec", "isql", "isql-fb"):
        _script(tools / name, sqlexec or SQLEXEC.format(rows=table))
    subprocess.run(  # noqa: S603 - curl, wget and sqlexec are scripts of ours
        ["bash", "-c", line],  # noqa: S607 - whichever bash there is
        cwd=folder,
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=loops(60),
    )
    return sorted(_form(call.read_bytes().decode().split("\0")[:-1]) for call in calls.iterdir())


def _script(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text)
        path.chmod(0o700)


def _form(words: Sequence[str]) -> str:
    """What the billing would receive of a curl or wget."""
    fields: list[tuple[str, str]] = []
    for option, value in _data(words):
        if option == "--data-urlencode":
            name, _, content = value.partition("=")
            fields.append((name, content))
        else:
            fields += parse_qsl(value, keep_blank_values=True)
    (path,) = (found[1] for word in words if (found := re.search(r"/rest_api/v2/(\w+)/", word)))
    return plain(path, dict(fields))


def _data(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in pairwise([*words, ""]):
        if word in ("-d", "--data", "--data-raw", "--data-urlencode"):
            yield word, following if following != "@-" else words[-1].replace("\n", "")
        elif word.startswith(("--post-data=", "--body-data=")):
            yield "-d", word.partition("=")[2]
        elif word.startswith("-d"):
            yield "-d", word[2:]


# ---- the billing -------------------------------------------------------------------------------------------------


def plain(model: str, fields: Mapping[str, str]) -> str:
    """A call as it can be compared: numbers as texts, and without marks; which fields an answer has is no matter."""
    steps = []
    for number in range(1, 10):
        if (method := fields.get(f"method{number}")) is not None:
            arguments = json.loads(fields.get(f"arg{number}") or "{}", parse_float=Decimal, parse_int=Decimal)
            steps.append([method, _as_texts(arguments)])
    return json.dumps([model, steps], ensure_ascii=False, sort_keys=True)


def _as_texts(value: Any) -> Any:
    match value:
        case dict():
            return {name: _as_texts(one) for name, one in value.items()}
        case str():
            text = without_marks(value)
            return str(Decimal(text).normalize()) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) else text
        case Decimal():
            return str(value.normalize())
    return value


@dataclass(slots=True)
class Receiver:
    """A billing, and the calls that it has received."""

    gateway: Gateway
    received: list[str]

    async def by_us(self, command: Sequence[str], folder: Path, rows: Path | None = None) -> Sent:
        """Send what a translated command sends, in a folder with its files; `rows` is its standard input."""
        self.received.clear()
        program, run, *words = command
        assert (program, run) == ("carbon-migrate", "run")
        given = _RUN_COMMAND.make_context(run, words).params
        calling = CallFlags(
            given["model"], given["chain"] or None, given["fields"], given["repeatable"], given["look_up"]
        )
        typed = [*given["set_"], *(f"{name}={PASSWORD}" for name in given["ask"])]
        said = parse_pairs(typed, "--set") | calling.parameters
        source = RowFlags(given["sql"], given["columns"], given["mapping"], delimiter=given["delimiter"])
        file = given["file"]
        path = None if file is None else rows if file == "-" else folder / file
        order = parse_order(given["job"], parse_input(None if path is None else str(path), source), said, BUILT_IN)
        sending = build(order.kind, self.gateway, order.parameters, order.rows)
        number = 0
        for page in sending.source.pages(None):
            prepared = await sending.prepare(page.rows)
            for new in prepared.items:
                number += 1
                self.received.append("")
                await sending.effect.send(_RUN, sending_item(new, number))
        return sorted(self.received)


_RUN_COMMAND = load("run")
_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_RUN = Run("call", {}, "billing", "file", run_id=1, name="k7m2q", created_at=_NOW, frozen_at=_NOW, approved_at=_NOW)


@asynccontextmanager
async def receiver(billing: Dsn) -> AsyncIterator[Receiver]:
    """A billing over a database, which is read by whoever sends to it."""
    received: list[str] = []

    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        if received and received[-1] == "":
            fields = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
            received[-1] = plain(request.path.split("/")[-2], fields)
        return await handler(request)

    async with (
        running(billing, middlewares=[keep]) as server,
        BillingClient(ClientSettings(server.url), patience=Patience(attempts=1)) as client,
    ):
        with Database(billing) as database:
            yield Receiver(Gateway(client, database), received)


def standard_input(found: Translation, folder: Path) -> Path | None:
    """The file with what a translated command is given on standard input; None for nothing."""
    path = folder / "stdin"
    if found.pipe:
        done = subprocess.run(["bash", "-c", found.pipe], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607 - text tools alone
        path.write_bytes(done.stdout)
    elif found.text:
        path.write_text(found.text)
    return path if path.exists() else None


# ---- The loops


URL = "http://127.0.0.1:9/rest_api/v2"
PEOPLE = {"N-1": "9001", "N-2": "9002", "0003": "9003"}
"""Three subscribers in the billing, by their contract numbers."""


def create(who: str, amount: str) -> str:
    """A curl that enters a balance, its data in double quotes."""
    data = f'{{"abonent_id":{who},"op_summa":"{amount}","op_type_id":8,"descr":"Миграция балансов"}}'
    return f"curl -s -XPOST -d {doubly(f'method1=objects.create&arg1={data}')} {URL}/FinanceOperations/"


def move(who: str) -> str:
    """A curl that sets an operator, its data in single quotes."""
    data = f'method1=objects.get&arg1={{"id":{who}}}&method2=set&arg2={{"operator_id":"1444"}}&method3=save'
    return f"curl -X POST {URL}/Abonents/ -d '{data}' -D - -o /dev/null"


def refresh(who: str) -> str:
    """The data of a call that nobody knows."""
    return f'method1=objects.get&arg1={{"id":{who}}}&method2=refresh'


def doubly(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def in_awk(text: str) -> str:
    """A text within a string of an awk program that stands in single quotes."""
    return text.replace('"', '\\"').replace("'", "'\\''")


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a loop, with CURL for its call; its files, and how many calls it makes."""

    line: str
    curl: str
    files: Mapping[str, str] = field(default_factory=dict)
    calls: int = 3


IDS = {"ids.txt": "9001\n9002\n9003\n"}
SUMS = {"f.csv": "9001;50.5\n9002;-0.10\n9003;12000\n"}
MORE_CELLS = {"f.csv": "9001;5;x y\n9002;6\n9003;7;z;z\n"}
TABS = {"f.tsv": "9001\t5\n9002\t6\n9003\t7\n"}
BLANK = {"ids.txt": "9001\n\n9002\n"}
NUMBERS = {"f.csv": "N-1;50.5\nN-2;-0.10\n0003;12000\n"}
OF_ID = move("'$id'")
OF_VALUE = move("{}").replace("1444", "'$value'")
COMMENT = doubly(',"descr":"Миграция балансов"')[1:-1]
OF_SUMS = create("$a", "$b")
FIND = "sqlexec \"set heading off; select id from abonents where contract_number='%s'\" | sed '/^$/d' | tr -d ' '"
ARG1 = 'arg1={"id":$id}'
ARG2 = 'arg2={"sms":"+7 & %2B"}'
SELECT = "select id from abonents"

FORMS = {
    "while from a file": Form("while read -r id; do CURL; done < ids.txt", OF_ID, IDS),
    "while over cells with more": Form("while IFS=';' read -r a b rest; do CURL; done < f.csv", OF_SUMS, MORE_CELLS),
    "while over tabs": Form("while IFS=$'\\t' read -r a b; do CURL; done < f.tsv", OF_SUMS, TABS),
    "while with the last line": Form(
        'while IFS=, read -r a b || [ -n "$a" ]; do CURL; done < f.csv', OF_SUMS, {"f.csv": "9001,5\n9002,6\n9003,7"}
    ),
    "while over several lines": Form(
        '# the balances\nwhile read -r id   # each\ndo\n    echo "$id"\n    CURL\n    sleep 0\ndone < ids.txt',
        OF_ID,
        IDS,
    ),
    "cat and filters": Form(
        "cat ids.txt | tr -d '\\r' | grep -v '^$' | while read id; do CURL; done",
        OF_ID,
        {"ids.txt": "9001\r\n\r\n9002\r\n9003\r\n"},
    ),
    "text tools": Form(
        "tail -n +2 f.csv | grep -v x | cut -d';' -f1,3 | while IFS=';' read a b; do CURL; done",
        OF_SUMS,
        {"f.csv": "id;name;sum\n9001;a;5\n9007;x;5\n9002;b;6\n9003;c;7\n"},
    ),
    "awk": Form("awk -F';' '$2 > 0 {print $1, $2}' < f.csv | while read a b; do CURL; done", OF_SUMS, SUMS, calls=2),
    "for over a file in backticks": Form("for id in `cat ids.txt`\ndo\n  CURL\ndone", OF_ID, IDS),
    "for over a redirection": Form("for id in $(< ids.txt); do CURL; done", OF_ID, IDS),
    "for over a list": Form("for id in 9001 9002 '9003'; do CURL; done", OF_ID),
    "for over a range": Form("for id in {9001..9003}; do CURL; done", OF_ID),
    "for over a variable": Form('IDS="9001 9002  9003"\nfor id in $IDS; do CURL; done', OF_ID),
    "heredoc": Form("while read -r a b; do CURL; done <<END\n9001 50.5\n9002 6\n9003 7\nEND\n", OF_SUMS),
    "heredoc with a variable": Form(
        "X=9003\nwhile read a b; do CURL; done <<-END\n\t9001 5\n\t9002 6\n\t$X 7\n\tEND\n", OF_SUMS
    ),
    "a command as a file": Form("while IFS=';' read a b; do CURL; done < <(sort -r f.csv)", OF_SUMS, SUMS),
    "xargs of a file": Form("xargs -a ids.txt -I{} CURL", move("{}"), IDS),
    "xargs and a shell": Form(
        "cat ids.txt | xargs -n1 sh -c 'CURL'", f"curl -d {doubly(refresh('$0'))} {URL}/Users/", IDS
    ),
    "xargs and a shell with a name": Form(
        "xargs -n 1 bash -c 'CURL' _ < ids.txt", f"curl -d {doubly(refresh('$1'))} {URL}/Users/", IDS
    ),
    "parallel of a list": Form("parallel -j2 --quote CURL ::: 9001 9002 9003", move("{}")),
    "parallel of cells from a pipe": Form("cat f.csv | parallel -C';' -k -q CURL", create("{1}", "{2}"), SUMS),
    "parallel of a text": Form("parallel CURL ::: 9001 9002 9003", doubly(move("{}"))),
    "a variable in the loop": Form(
        f'for id in 9001 9002 9003; do\n  data={doubly(refresh("$id"))}\n  curl -d "$data" {URL}/Users/\ndone', ""
    ),
    "data that curl encodes": Form(
        "while read id; do CURL; done < ids.txt",
        f"curl {URL}/Abonents/ -G --data-urlencode method1=objects.get --data-urlencode {doubly(ARG1)} "
        f"--data-urlencode method2=set --data-urlencode {doubly(ARG2)} --data-urlencode method3=save",
        IDS,
    ),
    "wget": Form(
        "while read id; do CURL; done < ids.txt", f"wget -qO- --post-data={doubly(refresh('$id'))} {URL}/Users/", IDS
    ),
    "wget with a method": Form(
        "for id in $(cat ids.txt); do CURL; done",
        f"wget -q -O /dev/null --method POST --body-data={doubly(refresh('$id'))} {URL}/Users/",
        IDS,
    ),
    "for over a select": Form(f'for id in $(sqlexec "set heading off; {SELECT}"); do CURL; done', OF_ID),
    "xargs of a select": Form(
        f"sqlexec \"set list on; {SELECT}\" | awk '{{print $2}}' | sed '/^$/d' | xargs -I{{}} CURL", move("{}")
    ),
    "fields of a line by awk": Form(
        "cat f.txt | while read line; do b=$(awk '{print $2}' <<< \"$line\"); a=$(echo $line | awk '{ print $1; }'); "
        "CURL; done",
        OF_SUMS,
        {"f.txt": "9001  5 x\n9002 6\n9003 7\n"},
    ),
    "fields of a word and a look-up": Form(
        "for l in $(cat f.csv); do n=`echo $l | cut -d';' -f1`; b=$(cut -d';' -f2 <<< $l); "
        f"a=$({FIND % '$n'}); CURL; done",
        OF_SUMS,
        NUMBERS,
    ),
    "a heredoc as data": Form(
        'for id in 9001 9002 9003; do\ncurl -d @- CURL <<END\nmethod1=objects.get&arg1={"id":\n$id}\n'
        "&method2=refresh\nEND\ndone",
        f"{URL}/Users/",
    ),
    "a row that is not found": Form(
        f'while IFS=\';\' read -r n b; do\n a=$({FIND % "$n"})\n if [ -z "$a" ]; then\n  echo "no $n"\n  continue\n'
        " fi\n CURL\ndone < f.csv",
        OF_SUMS,
        {"f.csv": "N-1;50.5\nnobody;7\n0003;12000\n"},
        calls=2,
    ),
    "blank lines": Form('cat ids.txt | while read -r id; do [ -z "$id" ] && continue; CURL; done', OF_ID, BLANK, 2),
    "blank lines, the other way round": Form(
        "while read -r id; do [[ -n $id ]] || { echo; continue; }; CURL; done < ids.txt", OF_ID, BLANK, 2
    ),
    "cells without a value": Form(
        'grep -v x f.csv | while IFS=";" read -r a b; do [ -z "$a" ] && continue; CURL; done',
        OF_SUMS,
        {"f.csv": "9001;5\n;6\nx;y\n9002;7\n"},
        2,
    ),
    "words on how it ends": Form(
        'while read id; do CURL < /dev/null && echo "$id ok" || echo "$id failed" >> log; done < ids.txt && echo',
        OF_ID,
        IDS,
    ),
    "what was set before, within what the loop sets": Form(
        "OP=1444\nfor id in 9001 9002; do data='{\"id\":'$id'}'; set='{\"operator_id\":\"'$OP'\"}'; CURL; done",
        f'curl {URL}/Abonents/ -d "method1=objects.get&arg1=$data&method2=set&arg2=$set&method3=save"',
        calls=2,
    ),
    "a name that the line has used before": Form("id=7\nwhile read -r id; do CURL; done < ids.txt", OF_ID, IDS),
    "a name of a list that the loop takes over": Form('id="9001 9002 9003"; for id in $id; do CURL; done', OF_ID),
    "a variable that is called as what xargs puts in": Form("value=1444; xargs -I{} CURL < ids.txt", OF_VALUE, IDS),
    "a value that the loop changes": Form(
        "b=1; while IFS=';' read -r a b; do b=2$b; CURL; done < f.csv", OF_SUMS, {"f.csv": "9001;5\n9002;6\n"}, 2
    ),
    "a look-up in the loop": Form(
        f"while IFS=';' read -r n b; do\n a=$({FIND % '$n'})\n CURL\ndone < f.csv", OF_SUMS, NUMBERS
    ),
    "a look-up in the data": Form(
        "while IFS=';' read -r n b; do CURL; done < f.csv",
        "curl -d 'method1=objects.create&arg1={\"abonent_id\":'$("
        + FIND % "$n"
        + f')\',"op_summa":"\'$b\'","op_type_id":1,"descr":"x"}}\' {URL}/FinanceOperations/',
        NUMBERS,
    ),
    "isql, and the lines with a number": Form(
        f"echo '{SELECT};' | isql-fb -q -u sysdba -p x h:/b.fdb | grep '[0-9]' | while read id; do CURL; done", OF_ID
    ),
    "isql, and the numbers alone": Form(
        f"isql b.fdb <<< '{SELECT};' | grep -o '[0-9]*' | while read id; do CURL; done", OF_ID
    ),
    "isql, and all but headings and blank lines": Form(
        f"isql -q b.fdb <<< '{SELECT};' | grep -v '^$' | grep -vE 'ID|==' | while read id; do CURL; done", OF_ID
    ),
    "isql of a heredoc": Form(
        f"cat <<END | isql-fb -q b.fdb | sed '1,3d;/^$/d' | while read id; do CURL; done\n{SELECT};\nquit;\nEND\n",
        OF_ID,
    ),
    "awk that passes lines over": Form(
        "awk -F';' '$2' f.csv | while IFS=';' read a b; do CURL; done",
        OF_SUMS,
        {"f.csv": "9001;5\n9002;\n9003;0\n"},
        1,
    ),
    "awk that passes lines over for a shell": Form(
        "awk '$2{print \"CURL\"}' f.txt | sh",
        in_awk(move("VALUE")).replace("VALUE", '" $1 "'),
        {"f.txt": "9001 5\n9002\n9003 0\n"},
        1,
    ),
    "awk that prints for a shell": Form(
        "awk '{print \"CURL\"}' ids.txt | sh", in_awk(move('" $1 "')).replace('\\" $1 \\"', '" $1 "'), IDS
    ),
    "awk with printf": Form(
        "cat f.csv | awk -F';' 'NR>1{ printf(\"CURL\\n\", $1, $2); }' | bash -s",
        in_awk(create("%s", "%s")).replace('\\\\"', '\\\\\\"'),
        {"f.csv": "id;sum\n" + SUMS["f.csv"]},
    ),
    "awk with system": Form(
        f"sqlexec 'set list on; {SELECT}' | awk 'NF{{system(\"CURL\")}}'",
        in_awk(move("VALUE")).replace("VALUE", '" $2 "'),
    ),
    "awk that prints the whole line, and a quote by its code": Form(
        "awk '{print \"CURL\"}' ids.txt | sh",
        move("VALUE").replace('"', '\\"').replace("'", "\\047").replace("VALUE", '" $0 "'),
        IDS,
    ),
    "a look-up of one": Form(f"a=$({FIND % '0003'}); b=7\nCURL", OF_SUMS, calls=1),
}


@pytest.fixture
async def billing(billing_file: Path) -> AsyncIterator[Receiver]:
    """A billing in which the people are the only ones that a select finds."""
    connection = attach(Dsn(str(billing_file)))
    connection.cursor().execute("update abonents set deleted = 1, contract_number = null where is_folder = 0")
    for number, key in PEOPLE.items():
        connection.cursor().execute("insert into admin_accounts (id) values (?)", (int(key),))
        connection.cursor().execute(
            "insert into abonents (id, contract_number, account_id, is_folder, deleted) values (?, ?, ?, 0, 0)",
            (int(key), number, int(key)),
        )
    connection.commit()
    connection.close()
    async with receiver(Dsn(str(billing_file))) as found:
        yield found


async def test_the_same_calls_as_in_the_shell(billing: Receiver, tmp_path: Path) -> None:
    """Each form, by bash and by both commands that are printed for it."""
    for name, form in FORMS.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        for file, text in form.files.items():
            (folder / file).write_text(text)
        line = form.line.replace("CURL", form.curl)
        found = translated(line)
        there = await anyio.to_thread.run_sync(by_shell, line, folder, PEOPLE)
        assert len(there) == form.calls, name
        rows = standard_input(found, folder)
        assert await billing.by_us(generic(found), folder, rows) == there, name
        if found.call is not None:
            assert await billing.by_us(found.command, folder, rows) == there, name


async def test_an_empty_cell_is_no_default_of_the_job(billing: Receiver, tmp_path: Path) -> None:
    """The comment that a row leaves empty is empty; a type cannot be, and the job would take its own."""
    (tmp_path / "f.csv").write_text("9001;5;8;\n9002;6;8;a note\n")
    line = f"while IFS=';' read -r a b t d; do {OF_SUMS}; done < f.csv"
    line = line.replace("Миграция балансов", "$d")
    found = translated(line)
    there = await anyio.to_thread.run_sync(by_shell, line, tmp_path)
    assert found.command[2] == "balances"
    assert await billing.by_us(found.command, tmp_path) == there
    assert translated(line.replace(":8,", ":$t,")).command[2] == "call"


# ---- the lines of the vendor's page, letter by letter, with the real isql ------------------------------------------

PASSWORD = "1234"
"""What the vendor's line sets; `translate` has it asked for."""
DELETED = 2091
"""A subscriber in the folder 1316, with another threshold than that of his tariff."""
OF_ISQL = """\
#!/bin/sh
# As the billing's own: a wrapper over isql, with what it is given as its statements.
export FIREBIRD='{home}' ISC_USER='{user}' ISC_PASSWORD='{password}'
printf '%s;\\n' "$1" | '{isql}' -q -ch UTF8 '{database}'
"""


@pytest.fixture(scope="module")
def vendors(firebird_server: FirebirdServer) -> Dsn:
    """The smallest billing that has the vendor's examples in it; the selects leave one who is deleted in."""
    dsn = firebird_server.populated(abonents=100)
    with closing(attach(dsn)) as connection:
        connection.cursor().execute("update abonents set deleted = 1 where id = ?", [DELETED])
        connection.commit()
    return dsn


FITTED = {
    "connect-service": ("12420", "2050"),
    "ip-pool": ("u.id=324", "u.id=50"),
    # The vendor's month lies further back than the billing recalculates.
    "recalculate": ("2019-06-01", first_of(-1)),
}
"""What of the vendor's is fitted to the copy."""


SAME = ("administrators", "balances", "block-history", "by-sms", "connect-service", "ip-pool", "next-charge")
FAULTY = ("delete-account", "delete-services", "random-password", "service-operator")
SENT = {
    **dict.fromkeys((*SAME, "recalculate", "session"), (1, 0)),
    # The shell makes a call for one who is deleted; here that row is refused.
    "operator": (55, 1),
    "snat-pool": (22, 1),
    "tariff-threshold": (15, 1),
    "warning-threshold": (31, 1),
    # In the shell these do nothing, or nothing that was meant.
    "delete-account": (1, -1),
    "delete-services": (9, 0),
    "random-password": (1, -1),
    "service-operator": (1, 0),
}
"""The calls of the translated command, and how many more the shell makes.

What is sent of a secret is put in where a run sends it, and the select of `cutoff-limit` is refused: see its alias.
"""


async def test_the_lines_make_the_same_calls(vendors: Dsn, firebird_server: FirebirdServer, tmp_path: Path) -> None:
    script = OF_ISQL.format(
        home=firebird_server.folder / "home",
        user=vendors.user,
        password=vendors.password.reveal(),
        isql=PROGRAM.with_name("isql-fb"),
        database=vendors.database,
    )
    async with receiver(vendors) as billing:
        for name, (calls, more) in SENT.items():
            (tmp_path / name).mkdir()
            line = PUBLISHED[name].line.replace(*FITTED.get(name, ("", "")))
            there = await anyio.to_thread.run_sync(by_shell, line, tmp_path / name, None, script)
            here = await billing.by_us(translated(line).command, tmp_path / name)
            assert (len(here), len(there) - len(here)) == (calls, more), name
            # What is created has the mark of its run in a comment, which the shell leaves out.
            without_comment = {one.replace('"comment": "", ', "") for one in here}
            assert (without_comment <= set(there)) is (name not in FAULTY), name


# ---- any rows ----------------------------------------------------------------------------------------------------

LETTERS = st.sampled_from([*"abzАяЁ019.,:!?@#%+=~^_-/()[]{}<>|;'*&"])
KEY = st.integers(1, 2**31 - 1).map(str)
WORD = st.text(LETTERS, min_size=1, max_size=8)
PHRASE = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


@dataclass(frozen=True, slots=True)
class Written:
    """A loop over rows of two values, with the rows as they stand in its file."""

    line: str
    file: str


def noting(key: str, text: str) -> str:
    """A curl that sends two values of a row, each encoded by curl."""
    encoded = ["method1=objects.get", f'arg1={{"id":{key}}}', "method2=note"]
    encoded.append(f'arg2={{"text":"{text}","more":["{text}","{key}"]}}')
    return f"curl -s {URL}/Users/ {' '.join(f'--data-urlencode {doubly(one)}' for one in encoded)}"


def rows_with(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(KEY, texts), min_size=1, max_size=3, unique_by=lambda row: row[0])


def over_words(draw: st.DrawFn) -> Written:
    gap = st.text(" \t", min_size=1, max_size=3)
    rows = draw(rows_with(PHRASE))
    lines = [f"{draw(gap)}{key}{draw(gap)}{text}{draw(gap)}\n" for key, text in rows]
    loop = draw(
        st.sampled_from(["cat rows | while read -r a b; do %s; done", "while read -r a b; do %s; done < rows"])
    )
    return Written(loop % noting("$a", "$b"), "".join(lines))


def of_fields(draw: st.DrawFn) -> Written:
    """Some of the columns of a file, in any order, taken by name or by number."""
    mark, width = draw(st.sampled_from([";", ",", "|", ":"])), draw(st.integers(1, 4))
    key, text = draw(st.integers(1, width)), draw(st.integers(1, width))
    cells = PHRASE.filter(lambda cell: mark not in cell)
    row = st.lists(cells, min_size=width, max_size=width)
    keys = draw(st.lists(KEY, min_size=1, max_size=3, unique=True))
    rows = [[one if at == key else cell for at, cell in enumerate(draw(row), 1)] for one in keys]
    names = "\n".join(f'{name}=$(echo "$l" | cut -d"{mark}" -f{at})' for name, at in (("a", key), ("b", text)))
    last = max(key, text)
    variables = " ".join({key: "a", text: "b" if text != key else "a"}.get(at, f"x{at}") for at in range(1, last + 1))
    again = "$b" if text != key else "$a"
    line = draw(
        st.sampled_from(
            [
                f"while read -r l\ndo\n{names}\n{noting('$a', '$b')}\ndone < rows",
                f"parallel -j1 -q --colsep '{mark}' {noting(f'{{{key}}}', f'{{{text}}}')} :::: rows",
                f"while IFS='{mark}' read -r {variables} rest; do {noting('$a', again)}; done < rows",
                f"cut -d'{mark}' -f{key} rows | while read -r a; do {noting('$a', 'x')}; done",
            ]
        )
    )
    return Written(line, "".join(f"{mark.join(cells)}\n" for cells in rows))


def in_the_line(draw: st.DrawFn) -> Written:
    rows = draw(rows_with(PHRASE.filter(lambda text: text != "END")))
    lines = "".join(f"{key} {text}\n" for key, text in rows)
    return Written(f"while read -r a b; do {noting('$a', '$b')}; done <<'END'\n{lines}END\n", "")


WAYS = (over_words, of_fields, in_the_line)


async def test_any_rows_are_sent_as_the_shell_sends_them(billing: Receiver, tmp_path: Path) -> None:
    folder = tmp_path / "any"
    folder.mkdir()

    @settings(max_examples=60)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        written = data.draw(st.composite(data.draw(st.sampled_from(WAYS)))())
        (folder / "rows").write_text(written.file)
        found = translated(written.line)
        there = by_shell(written.line, folder)
        (folder / "stdin").unlink(missing_ok=True)
        here = anyio.from_thread.run(billing.by_us, found.command, folder, standard_input(found, folder))
        assert here == there != []

    await anyio.to_thread.run_sync(check)


# ---- as it is pasted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "comment"),
    [
        ("<<END\n%sEND\n", COMMENT),
        ("<<END\n%sEND\n", ""),
        ("< <(tail -n +2 with-header.csv)", COMMENT.replace("Миграция балансов", "")),
    ],
    ids=["heredoc", "no comment", "command, empty comment"],
)
async def test_what_is_printed_can_be_pasted_and_enters_the_same_sum(source: str, comment: str, place: Place) -> None:
    numbers = place.balances(2).numbers
    rows = f"{numbers[0]};50.5\n{numbers[1]};-0.10\n"
    place.write(f"number;sum\n{rows}", "with-header.csv")
    find = FIND % "$n"
    call = OF_SUMS.replace(COMMENT, comment)
    line = f"while IFS=';' read -r n b; do a=$({find}); {call}; done {source.replace('%s', rows)}"
    found = translated(line)
    assert found.command[2:4] == ("balances", "-")
    assert ("descr=" in found.command) == (comment != COMMENT)
    program = f'carbon-migrate() {{ {sys.executable} -m cli "$@" --yes; }}\n'
    done = await anyio.run_process(
        ["bash", "-c", program + found.pretty(found.command)],
        cwd=place.cli.folder,
        env=place.cli.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert await place.found() == Found(2, Decimal("50.4"), 1)
