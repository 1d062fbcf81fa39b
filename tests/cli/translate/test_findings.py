"""Each kind of fault, in a line made to measure: it is named with its place, and the translation does better."""

import json

import pytest

from cli.translate.findings import FindingKind
from cli.translate.text_table import LAST_LINE
from cli.translate.translation import Translation
from tests.cli.oneliners import URL, chains, get, kinds, loop, option, post, translated

SELECT = "set list on; select id from abonents"
AWK = "awk '{print $2}' | sed '/^$/d'"


def arguments(found: Translation, link: int) -> object:
    """The arguments of one link, which has no placeholders that stand alone."""
    return json.loads(chains(found)[link].partition(" ")[2])


def test_every_kind_of_fault_has_a_line_here() -> None:
    lines = [
        f"curl {URL}/Users/ -d 'method1=save&arg1={{}}",
        post("'method1=save&arg1={}'").replace(" -D", "\xa0-D"),
        loop(SELECT, "'method1=save&arg1={\"id\":$line}'", filters=AWK),
        post("'method1=save&arg1={\"id\":'$x'}'"),
        loop("select id from rdb$database", get()),
        post("'method1=save&arg1{}'"),
        post("'method1=save&arg2={}'"),
        post("'method1=save'"),
        post('\'method1=save&arg1={"a":"1+1"}\''),
        post('\'method1=save&arg1={"a":"%2B"}\''),
        post('"method1=save&arg1={"a":1}"'),
        post("'method1=set&arg1={\"limit\":5}'"),
        loop("select id from abonents", get()),
        loop("set heading off; select id from abonents", get(), filters=""),
        loop("set heading off; select name from abonents", get(), filters="awk 'NF{print $1}'"),
        loop("set heading off; select a.id from abonents", get()),
        f"curl -G -d 'method1=save&arg1={{}}' {URL}/Users/",
        f"xargs -I{{}} -a f curl -d 'method1=objects.get&arg1={{\"id\":{{}}}}&method2=save&arg2={{}}' {URL}/Users/",
        f"parallel curl -d {get()} {URL}/Users/ :::: f".replace("'$line'", "{}"),
        "while read n; do id=$(sqlexec \"select id from users where login='$n'\"); CURL; done < f".replace(
            "CURL", post(get("id"))
        ),
    ]
    found = {kind for line in lines for kind in kinds(translated(line))}
    assert found == {kind.value for kind in FindingKind}


def test_every_fault_says_what_it_does_and_what_is_done_instead() -> None:
    found = translated(loop(SELECT, "'method1=objects.get&arg1={\"id\":$line}'", filters=AWK))
    (fault,) = found.faults
    assert fault.what == "$line stands within single quotes"
    assert fault.today == "the shell never puts a value there: each call carries the letters $line"
    assert fault.instead == "the value is put there"
    assert chains(found) == ['objects.get {"id": {id}}']


# ---- quotes and variables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["$line", "${line}"])
def test_a_variable_within_single_quotes(written: str) -> None:
    found = translated(loop(SELECT, f'\'method1=objects.get&arg1={{"id":"{written}"}}\'', filters=AWK))
    assert kinds(found) == ["never-expands"]
    assert chains(found) == ['objects.get {"id": "{id}"}']


def test_a_dollar_within_single_quotes_that_is_no_variable_is_left() -> None:
    found = translated(post('\'method1=set&arg1={"descr_no":"pa$word"}\''))
    assert found.faults == ()
    assert chains(found) == ['set {"descr_no": "pa$word"}']
    (note,) = [note for note in found.notes if "single quotes" in note]
    assert note.startswith("line 1, column 49")
    assert "pa$word" not in note


def test_an_undefined_variable_becomes_a_placeholder_that_the_run_asks_for() -> None:
    found = translated(post("'method1=objects.create&arg1={\"manager_id\":'$manager'}'"))
    (fault,) = found.faults
    assert (fault.kind, fault.place.column) == (FindingKind.NOT_DEFINED, 60)
    assert "--set manager=VALUE" in fault.instead
    assert chains(found) == ['objects.create {"manager_id": {manager}}']


def test_an_undefined_variable_whose_value_is_given() -> None:
    line = post("'method1=objects.create&arg1={\"manager_id\":'$manager',\"sms\":\"'$sms'\"}'")
    found = translated(line, manager="33", sms="+7&%2B")
    assert kinds(found) == ["not-defined", "not-defined"]
    assert chains(found) == ['objects.create {"manager_id": 33, "sms": "+7&%2B"}']
    assert all("33" not in fault.instead for fault in found.faults)


def test_variables_that_the_line_sets_itself_are_filled_in() -> None:
    of_folder = loop("set list on; select id from abonents where parent_id=$folder", get(), filters=AWK)
    found = translated(f"one=1316\nurl={URL}; folder=$one; {of_folder.replace(URL, '$url')}")
    assert found.faults == ()
    assert option(found, "--sql") == ["select id from abonents where parent_id=1316"]
    assert "--api-url http://h:8082, or" in " ".join(found.notes)


def test_an_undefined_variable_that_a_column_is_compared_with_becomes_a_parameter() -> None:
    sql = "set list on; select id from abonents where parent_id = $folder and name='$who' and id>${low}"
    found = translated(loop(sql, get(), filters=AWK))
    assert kinds(found) == ["not-defined"] * 3
    assert "add --set folder=VALUE" in found.faults[0].instead
    assert option(found, "--sql") == ["select id from abonents where parent_id = :folder and name=:who and id>:low"]


def test_the_host_may_be_a_variable() -> None:
    found = translated(post("'method1=save&arg1={}'").replace("//h:", "//$HOST:"))
    assert found.faults == ()
    assert not any("--api-url" in note for note in found.notes)


def test_quotes_of_the_json_that_the_shell_takes_away() -> None:
    found = translated(loop(SELECT, '"method1=objects.get&arg1={"id":"$line"}"', filters=AWK))
    assert kinds(found) == ["no-json"]
    assert chains(found) == ['objects.get {"id": "{id}"}']


def test_single_quotes_around_json_in_single_quotes() -> None:
    found = translated(post("'method1=objects.get&arg1={'id':5}'"))
    assert kinds(found) == ["no-json"]
    assert chains(found) == ['objects.get {"id": 5}']


def test_escaped_quotes_are_no_fault() -> None:
    found = translated(loop(SELECT, '"method1=objects.get&arg1={\\"id\\":$line}"', filters=AWK))
    assert found.faults == ()
    assert chains(found) == ['objects.get {"id": {id}}']


# ---- the form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected", "links"),
    [
        ("method1=save&arg1{}", ["missing-equals"], ["save"]),
        ("method1=objects.get&arg1={}&method2save&arg2={}", ["missing-equals"], ["objects.get", "save"]),
        ("method1=a&arg1={}&method3=b&arg3={}", ["numbers"], ["a", "b"]),
        ("method2=b&arg2={}", ["numbers"], ["b"]),
        ('method1=a&arg1={}&method3=b&arg2={"x":1}', ["numbers"], ["a", 'b {"x": 1}']),
        ("method1=a&arg1={}&arg2={}", ["numbers"], ["a"]),
        ('method2=b&arg2={"y":2}&method1=a&arg1={"x":1}', [], ['a {"x": 1}', 'b {"y": 2}']),
        ("method1=a&arg1=", ["no-arguments"], ["a"]),
        ("method1=a", ["no-arguments"], ["a"]),
    ],
)
def test_numbers_and_equals(data: str, expected: list[str], links: list[str]) -> None:
    found = translated(post(f"'{data}'"))
    assert kinds(found) == expected
    assert chains(found) == links


@pytest.mark.parametrize(
    ("value", "expected", "meant"),
    [
        ("+7123", ["not-encoded"], "+7123"),
        ("a & b", ["not-encoded"], "a & b"),
        ("a&b&c=d", ["not-encoded"], "a&b&c=d"),
        ("50% off", ["not-encoded"], "50% off"),
        ("50%", ["not-encoded"], "50%"),
        ("1+1+1", ["not-encoded"], "1+1+1"),
        ("%2B7123", ["encoded-by-hand"], "+7123"),
        ("%D1%8F", ["encoded-by-hand"], "я"),
        ("+%2B", ["not-encoded", "encoded-by-hand"], "++"),
        ("a{b}c", [], "a{{b}}c"),
        ("\\u0044", [], "D"),
    ],
)
def test_what_is_not_encoded_is_sent_as_it_is_meant(value: str, expected: list[str], meant: str) -> None:
    found = translated(post(f'\'method1=objects.filter&arg1={{"sms":"{value}"}}\''))
    assert sorted(kinds(found)) == sorted(expected)
    assert arguments(found, 0) == {"sms": meant}


def test_data_that_is_encoded_already_is_no_fault() -> None:
    by_curl = "curl --data-urlencode 'method1=objects.filter' --data-urlencode 'arg1={\"sms\":\"+7 & %2B\"}'"
    found = translated(f"{by_curl} {URL}/Abonents/")
    assert found.faults == ()
    assert arguments(found, 0) == {"sms": "+7 & %2B"}
    assert not any("encodes nothing" in note for note in found.notes)
    by_hand = translated(post("'method1=objects.filter&arg1=%7B%22sms%22:%22%2B7+1%22%7D'"))
    assert by_hand.faults == ()
    assert arguments(by_hand, 0) == {"sms": "+7 1"}


def test_several_data_are_one() -> None:
    found = translated(
        f"curl -d method1=objects.get -d 'arg1={{\"id\":5}}' --data-raw 'method2=save&arg2={{}}' {URL}/Users/"
    )
    assert chains(found) == ['objects.get {"id": 5}', "save"]


def test_other_fields_belong_into_the_settings_and_are_not_shown() -> None:
    found = translated(post("'method1=objects.get&arg1={\"id\":5}&hash_key=s3cret&psw=s3cret'"))
    notes = " ".join(found.notes)
    assert "the field hash_key is left out" in notes
    assert "the field psw is left out" in notes
    assert "s3cret" not in notes + " ".join(found.command)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('"limit":-100', {"limit": "-100"}),
        ('"SUM_IN":50.10', {"SUM_IN": "50.10"}),
        ('"rate":0.5', {"rate": "0.5"}),
    ],
)
def test_an_amount_is_sent_as_a_text(written: str, sent: object) -> None:
    found = translated(post(f"'method1=objects.get&arg1={{\"id\":1}}&method2=set&arg2={{{written}}}'"))
    assert kinds(found) == ["bare-number"]
    assert arguments(found, 1) == sent


def test_an_amount_of_a_row_is_sent_as_a_text_with_its_sign() -> None:
    data = "'method1=objects.get&arg1={\"id\":'$a'}&method2=set&arg2={\"limit\":-'$b'}'"
    found = translated(loop("set heading off; select id, summa from abonents", data, variables="a b"))
    assert kinds(found) == ["bare-number"]
    assert chains(found) == ['objects.get {"id": {id}}', 'set {"limit": "-{summa}"}']


def test_a_criterion_is_no_amount() -> None:
    assert translated(post("'method1=objects.filter&arg1={\"limit\":5}'")).faults == ()


# ---- the rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "filters", "expected"),
    [
        ("set list on; select id from t", "awk '$2{print $2}'", []),
        ("set list; select id from t", "awk 'NF {print $2;}'", []),
        ("SET LIST ON; select id from t;", "grep -v '^$' | awk '{ print $2 }'", []),
        ("set list off; set heading off; select id from t", "sed '/^$/d'", []),
        ("set heading; select id from t", "sed -e '/^ *$/d;s/ *//g' | tr -s ' '", []),
        ("set heading off; select id from t", "sed '/^$/d' | sed 's/ *//g' | tr -d ' '", []),
        ("set list on; select id from t", "sed '/^$/d'", ["output-form"]),
        ("set list on; select id from t", "awk 'NF{print $1}'", ["output-form"]),
        ("set heading off; select id from t", "awk 'NF{print $2}'", ["output-form"]),
        ("select id from t", "sed '/^$/d'", ["output-form"]),
        ("set list on; select id from t", "awk '{print $2}'", ["blank-lines"]),
        ("set heading off; select name from t", "awk 'NF{print $1}'", ["spaces"]),
        ("set heading off; select name from t", "sed '/^$/d;s/ *//g'", ["spaces"]),
        ("set heading off; select name from t", "sed '/^$/d'", ["spaces"]),
    ],
)
def test_how_a_value_comes_out_of_what_isql_prints(sql: str, filters: str, expected: list[str]) -> None:
    data = "'method1=objects.get&arg1={\"key\":\"'$line'\"}'"
    found = translated(loop(sql, data, filters=filters))
    assert kinds(found) == expected
    column = "name" if "name" in sql else "id"
    assert chains(found) == [f'objects.get {{"key": "{{{column}}}"}}']
    assert option(found, "--columns") == []


def test_a_text_that_is_quoted_for_the_shell_and_in_the_json_is_no_fault() -> None:
    data = '\'method1=objects.get&arg1={"name":"\'"$line"\'"}\''
    assert translated(loop("set heading off; select name from t", data)).faults == ()


def test_a_contract_number_is_never_sent_as_a_number() -> None:
    data = "'method1=objects.get&arg1={\"contract_number\":'\"$line\"'}'"
    found = translated(loop("set heading off; select contract_number from abonents", data))
    assert kinds(found) == ["no-json"]
    assert chains(found) == ['objects.get {"contract_number": "{contract_number}"}']


@pytest.mark.parametrize(
    ("select", "variables", "columns", "sql"),
    [
        ("select id, summa from t", "a b", [], None),
        ("select a.id AS one, a.Id two from t a", "a b", [], None),
        ("select id, summa*2 from t", "a b", ["a,b"], None),
        ("select a.id, u.id from a, u", "a b", ["a,b"], None),
        ("select first 5 skip (2) distinct id, case when 1=1 then 2 end from t", "a b", ["a,b"], None),
        ("select id||' '||summa from t", "a b", [], "select id, summa from t"),
        (
            "select distinct id ||'  '|| (summa+1) ||' '|| x from t",
            "a b c",
            ["a,b,c"],
            "select distinct id, (summa+1), x from t",
        ),
        ("select id, 'a', summa from t", "a _ b", ["a,_,b"], None),
        ("with q as (select id, x from t) select q.id, q.x from q", "a b", [], None),
    ],
)
def test_the_columns_of_the_select(select: str, variables: str, columns: list[str], sql: str | None) -> None:
    *_, last = variables.split()
    data = f"'method1=objects.get&arg1={{\"id\":'$a'}}&method2=set&arg2={{\"x\":'${last}'}}'"
    found = translated(loop(f"set heading off; {select}", data, variables=f"-r {variables}"))
    assert found.faults == ()
    assert option(found, "--sql") == [sql or select]
    assert option(found, "--columns") == columns


def test_columns_glued_with_anything_else_are_one_text() -> None:
    found = translated(loop("set heading off; select id||';'||summa from t", get()))
    assert option(found, "--sql") == ["select id||';'||summa from t"]
    assert option(found, "--columns") == ["line"]
    assert chains(found) == ['objects.get {"id": {line}}']


@pytest.mark.parametrize("awk", ["awk", "gawk", "mawk"])
def test_an_awk_takes_glued_columns_apart_whatever_it_is_called(awk: str) -> None:
    filters = f"{awk} 'NF{{print $1}}'"
    found = translated(loop("set heading off; select id||' '||summa from t", get(), filters=filters))
    assert option(found, "--sql") == ["select id, summa from t"]
    assert chains(found) == ['objects.get {"id": {id}}']


def test_only_one_of_several_columns_is_picked() -> None:
    found = translated(loop("set heading off; select id, x+1, summa from t", get(), filters="awk 'NF{print $3}'"))
    assert option(found, "--columns") == ["id,column_2,line"]
    assert chains(found) == ['objects.get {"id": {line}}']


@pytest.mark.parametrize("fields", ["$1, $3", '$1" "$3', "$1,$3"])
def test_several_columns_are_picked(fields: str) -> None:
    data = "'method1=objects.get&arg1={\"id\":'$a',\"x\":'$b'}'"
    filters = f"awk 'NF{{print {fields}}}'"
    found = translated(loop("set heading off; select a, b, c from t", data, variables="a b", filters=filters))
    assert chains(found) == ['objects.get {"id": {a}, "x": {c}}']


def test_columns_that_run_together_are_kept_apart() -> None:
    data = "'method1=objects.get&arg1={\"id\":'$a'}'"
    found = translated(
        loop("set heading off; select id, summa from t", data, variables="a b", filters="sed '/^$/d' | sed 's/ *//g'")
    )
    assert kinds(found) == ["output-form"]


@pytest.mark.parametrize(
    ("sql", "aliases"),
    [
        ("select a.id from abonents a join users u on u.abonent_id=a.id", None),
        ("select abonents.id from abonents", None),
        ("select x.id from (select id from t) x, proc(1, 2) p where p.a=x.id", None),
        ('select "A b".id from t as "A b"', None),
        ("select A.id from abonents a where exists (select 1 from users U where u.id=a.id)", None),
        ("select a.id from abonents b", "A"),
        ("select t.id, b.x, q.y, T.z from abonents b", "T, Q"),
    ],
)
def test_names_of_tables_that_the_select_does_not_have(sql: str, aliases: str | None) -> None:
    line = loop("X", get(), filters=AWK).replace(
        '"X"', f"'set list on; {sql}'" if '"' in sql else f'"set list on; {sql}"'
    )
    if "," in sql.partition(" from ")[0]:
        line = line.replace("list on", "heading off").replace("$2", "$1")
    found = [fault for fault in translated(line).faults if fault.kind is FindingKind.NO_SUCH_ALIAS]
    assert [fault.what.partition(" is ")[0].partition(" are ")[0].upper() for fault in found] == (
        [aliases] if aliases else []
    )


# ---- the catalogue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "data", "job"),
    [
        (
            "Abonents",
            'method1=objects.get&arg1={"id":1}&method2=set&arg2={"tarif_id":2}&method3=save&arg3={}',
            "tariff-now",
        ),
        ("Abonents", 'method1=objects.get&arg1={"id":1}&method2=add_payment&arg2={"SUM_IN":"1"}', "payment"),
        (
            "AttributeValues",
            'method1=objects.create&arg1={"abonent_id":1,"attribute_id":2,"attribute_value":"x"}',
            "attribute",
        ),
        (
            "Abonents",
            'method1=objects.get&arg1={"operator_id":1}&method2=set&arg2={"name":"x"}&method3=save&arg3={}',
            None,
        ),
        ("Users", 'method1=objects.get&arg1={"id":1}&method2=set&arg2={"operator_id":1}&method3=save&arg3={}', None),
        ("Abonents", 'method1=objects.get&arg1={"id":1}&method2=set&arg2={"operator_id":1}', None),
    ],
)
def test_the_job_of_the_catalogue_that_does_the_same(model: str, data: str, job: str | None) -> None:
    found = translated(post(f"'{data}'", model))
    assert found.command[2] == (job or "call")
    assert (found.call is None) == (job is None)


def test_a_job_that_gives_less_is_named_in_a_note() -> None:
    data = '\'method1=objects.get&arg1={"id":1}&method2=set&arg2={"tarif_id":2}&method3=save&arg3={}&fields=["id"]\''
    found = translated(post(data, "Abonents"))
    assert found.command[2] == "call"
    assert "the catalogue has a job for this: carbon-migrate run tariff-now" in found.notes[0]


def test_an_amount_that_each_row_has_for_itself_is_the_tariffs() -> None:
    data = "'method1=objects.get&arg1={\"id\":'$a'}&method2=set&arg2={\"limit_warning\":%s}&method3=save&arg3={}'"
    for value, job in (('"5"', "run warning-threshold;"), ("\"'$b'\"", "run tariff-threshold;")):
        line = loop("set heading off; select id, x from t", data % value, variables="a b", model="AdminAccounts")
        assert job in " ".join(translated(line).notes)


# ---- what is left out --------------------------------------------------------------------------------------------


def test_what_stands_beside_the_call_is_left_out_and_said() -> None:
    line = loop(SELECT, get(), filters=AWK)
    line = line.replace("do curl", 'do echo "$line"; sleep 1; curl -sS -m 30 -k -H "X-Key: s3cret"').replace(
        "; done", " >> log 2>&1 & done; wait"
    )
    notes = " ".join(translated(line).notes)
    for word in ("echo", "sleep", "wait", "--max-time", "--insecure", "the header X-Key", "output", "the &"):
        assert f"{word} " in notes
        assert "is left out" in notes
    assert "s3cret" not in notes


def test_a_loop_that_makes_the_same_call_for_all_rows() -> None:
    found = translated(loop(SELECT, "'method1=save&arg1={}'", filters=AWK))
    assert "the same call is made for each row" in " ".join(found.notes)


def test_over_several_lines_with_comments() -> None:
    lines = [
        'sqlexec "set list on;\n select id\n from abonents" |',
        "awk '{print $2}' | sed '/^$/d' |",
        "while IFS= read -r line # each",
        f"do\n  curl \\\n  -d {get()} \\\n  {URL}/Users/",
        "done",
    ]
    found = translated("\n".join(lines))
    assert found.faults == ()
    assert option(found, "--sql") == ["select id\n from abonents"]


@pytest.mark.parametrize(
    ("line", "is_lost"),
    [
        ("while read -r a; do CURL; done < f", True),
        ("while read -r value; do a=$value; CURL; done < f", True),
        ("while read -r l; do a=$(echo $l | cut -d, -f1); CURL; done < f", True),
        ('while read -r a || [ -n "$a" ]; do CURL; done < f', False),
        ("for a in $(cat f); do CURL; done", False),
        ("xargs -I% CURL < f", False),
        ("parallel -q -C, CURL :::: f", False),
    ],
)
def test_a_last_line_without_a_line_end_is_told_of_where_the_loop_loses_it(line: str, *, is_lost: bool) -> None:
    mark = {"xargs": "%", "parallel": "{1}"}.get(line.partition(" ")[0], "'$a'")
    data = f'\'method1=objects.get&arg1={{"id":{mark}}}&method2=refresh&arg2={{"x":"{mark.replace("1", "2")}"}}\''
    found = translated(line.replace("CURL", post(data)))
    assert (LAST_LINE in found.notes) == is_lost
