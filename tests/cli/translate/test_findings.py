"""Each kind of fault, in a line made to measure: it is named with its place, and the translation does better."""

import pytest

from cli.translate import findings
from cli.translate.tables import LAST_LINE
from tests.cli.oneliners import URL, chains, get, kinds, loop, off, option, post, translated

SELECT = "set list on; select id from abonents"
AWK = "awk '{print $2}' | sed '/^$/d'"


def rows(data: str) -> str:
    """A loop over the ids of a select."""
    return loop(SELECT, data, filters=AWK)


def sms(value: str) -> str:
    return post(f'\'method1=objects.filter&arg1={{"sms":"{value}"}}\'')


def setting(value: str, key: str = "1") -> str:
    """Data of a call that sets a value."""
    return f"'method1=objects.get&arg1={{\"id\":{key}}}&method2=set&arg2={{{value}}}'"


BY_CURL = "curl --data-urlencode 'method1=objects.filter' --data-urlencode 'arg1={\"sms\":\"+7 & %2B\"}'"
TWICE = "curl -d method1=objects.get -d 'arg1={\"id\":5}' --data-raw 'method2=save&arg2={}'"
A_AND_B = "'method1=objects.get&arg1={\"id\":'$a',\"x\":'$b'}'"
OF_A = "'method1=objects.get&arg1={\"id\":'$a'}'"
OVER_LINES = loop("set list on;\n select id\n from abonents", get(), filters=AWK)
OVER_LINES = (
    OVER_LINES.replace("| ", "|\n").replace("; do curl ", " # each\ndo\n curl \\\n").replace("; done", "\ndone")
)
COMPUTED = "select id, x+1, summa from t"
SEVERAL = "select a, b, c from t"
GLUED = "select id||' '||summa from t"
ID = 'objects.get {"id": {id}}'
LINE = 'objects.get {"id": {line}}'


LINES = [
    # quotes and variables
    (f"curl {URL}/Users/ -d 'method1=save&arg1={{}}", "unbalanced-quote", "save"),
    (post("'method1=save&arg1={}'").replace(" -D", "\xa0-D"), "foreign-space", "save"),
    (post("'method1=save&arg1={\"id\":'$x'}'"), "not-defined", 'save {"id": {x}}'),
    (loop("select id from rdb$database", get()), "dollar-eaten output-form", ID),
    # calls in other forms
    (f"curl -G -d 'method1=save&arg1={{}}' {URL}/Users/", "sent-as-get", "save"),
    (
        f"xargs -I{{}} -a f curl -d 'method1=objects.get&arg1={{\"id\":{{}}}}&method2=save&arg2={{}}' {URL}/Users/",
        "braces-replaced",
        'objects.get {"id": {value}} | save',
    ),
    (
        f"parallel curl -d {get()} {URL}/Users/ :::: f".replace("'$line'", "{}"),
        "read-by-two-shells",
        'objects.get {"id": {value}}',
    ),
    (
        "while read n; do id=$(sqlexec \"select id from users where login='$n'\"); CURL; done < f".replace(
            "CURL", post(get("id"))
        ),
        "looked-up",
        'objects.get {"id": {user_id}}',
    ),
    (off("select id from abonents", filters=""), "blank-lines", ID),
    (
        off("select name from abonents", filters="awk 'NF{print $1}'"),
        "no-json spaces",
        'objects.get {"id": "{name}"}',
    ),
    (off("select a.id from abonents"), "no-such-alias", ID),
    (rows('\'method1=objects.get&arg1={"id":"$line"}\''), "never-expands", 'objects.get {"id": "{id}"}'),
    (rows('\'method1=objects.get&arg1={"id":"${line}"}\''), "never-expands", 'objects.get {"id": "{id}"}'),
    (rows('"method1=objects.get&arg1={"id":"$line"}"'), "no-json", 'objects.get {"id": "{id}"}'),
    (rows('"method1=objects.get&arg1={\\"id\\":$line}"'), "", ID),
    (post("'method1=objects.get&arg1={'id':5}'"), "no-json", 'objects.get {"id": 5}'),
    (post('\'method1=set&arg1={"descr_no":"pa$word"}\''), "", 'set {"descr_no": "pa$word"}'),
    # numbers and equals
    (post("'method1=save&arg1{}'"), "missing-equals", "save"),
    (post("'method1=objects.get&arg1={}&method2save&arg2={}'"), "missing-equals", "objects.get | save"),
    (post("'method1=a&arg1={}&method3=b&arg3={}'"), "numbers", "a | b"),
    (post("'method2=b&arg2={}'"), "numbers", "b"),
    (post("'method1=a&arg1={}&method3=b&arg2={\"x\":1}'"), "numbers", 'a | b {"x": 1}'),
    (post("'method1=a&arg1={}&arg2={}'"), "numbers", "a"),
    (post('\'method2=b&arg2={"y":2}&method1=a&arg1={"x":1}\''), "", 'a {"x": 1} | b {"y": 2}'),
    (post("'method1=a&arg1='"), "no-arguments", "a"),
    (post("'method1=a'"), "no-arguments", "a"),
    (f"{TWICE} {URL}/Users/", "", 'objects.get {"id": 5} | save'),
    # what is not encoded, and what is
    (sms("+7123"), "not-encoded", 'objects.filter {"sms": "+7123"}'),
    (sms("a & b"), "not-encoded", 'objects.filter {"sms": "a & b"}'),
    (sms("a&b&c=d"), "not-encoded", 'objects.filter {"sms": "a&b&c=d"}'),
    (sms("50% off"), "not-encoded", 'objects.filter {"sms": "50% off"}'),
    (sms("50%"), "not-encoded", 'objects.filter {"sms": "50%"}'),
    (sms("1+1+1"), "not-encoded", 'objects.filter {"sms": "1+1+1"}'),
    (sms("%2B7123"), "encoded-by-hand", 'objects.filter {"sms": "+7123"}'),
    (sms("%D1%8F"), "encoded-by-hand", 'objects.filter {"sms": "я"}'),
    (sms("+%2B"), "encoded-by-hand not-encoded", 'objects.filter {"sms": "++"}'),
    (sms("a{b}c"), "", 'objects.filter {"sms": "a{{b}}c"}'),
    (sms("\\u0044"), "", 'objects.filter {"sms": "D"}'),
    (f"{BY_CURL} {URL}/Abonents/", "", 'objects.filter {"sms": "+7 & %2B"}'),
    (post("'method1=objects.filter&arg1=%7B%22sms%22:%22%2B7+1%22%7D'"), "", 'objects.filter {"sms": "+7 1"}'),
    # amounts
    (post(setting('"limit":-100')), "bare-number", 'objects.get {"id": 1} | set {"limit": "-100"}'),
    (post(setting('"SUM_IN":50.10')), "bare-number", 'objects.get {"id": 1} | set {"SUM_IN": "50.10"}'),
    (post(setting('"rate":0.5')), "bare-number", 'objects.get {"id": 1} | set {"rate": "0.5"}'),
    (
        off("select id, summa from t", setting("\"limit\":-'$b'", "'$a'"), variables="a b"),
        "bare-number",
        f'{ID} | set {{"limit": "-{{summa}}"}}',
    ),
    (post("'method1=objects.filter&arg1={\"limit\":5}'"), "", 'objects.filter {"limit": 5}'),
    # texts and columns of rows
    (
        off("select name from abonents", '\'method1=objects.get&arg1={"name":"\'"$line"\'"}\''),
        "",
        'objects.get {"name": "{name}"}',
    ),
    (
        off("select contract_number from abonents", "'method1=x&arg1={\"contract_number\":'\"$line\"'}'"),
        "no-json",
        'x {"contract_number": "{contract_number}"}',
    ),
    (off("select id||';'||summa from t"), "", LINE),
    (off(GLUED, filters="awk 'NF{print $1}'"), "", ID),
    (off(GLUED, filters="gawk 'NF{print $1}'"), "", ID),
    (off(GLUED, filters="mawk 'NF{print $1}'"), "", ID),
    (off(COMPUTED, filters="awk 'NF{print $3}'"), "", LINE),
    *(
        (
            off(SEVERAL, A_AND_B, variables="a b", filters=f"awk 'NF{{print {fields}}}'"),
            "",
            'objects.get {"id": {a}, "x": {c}}',
        )
        for fields in ("$1, $3", '$1" "$3', "$1,$3")
    ),
    (
        off("select id, summa from t", OF_A, variables="a b", filters="sed '/^$/d' | sed 's/ *//g'"),
        "output-form",
        ID,
    ),
    (OVER_LINES, "", ID),
    (post("'method1=save&arg1={}'").replace("//h:", "//$HOST:"), "", "save"),
]


def test_every_kind_of_fault_has_a_line_here() -> None:
    of_table = {one.kind for one in vars(findings).values() if isinstance(one, findings.Fault)}
    assert {kind for _, faults, _ in LINES for kind in faults.split()} == of_table


@pytest.mark.parametrize(("line", "faults", "links"), LINES)
def test_a_fault_is_named_and_the_translation_does_better(line: str, faults: str, links: str) -> None:
    found = translated(line)
    assert " ".join(sorted(kinds(found))) == faults
    assert " | ".join(chains(found)) == links
    assert any("encodes nothing" in note for note in found.notes) is ("--data-urlencode" not in line)
    assert any("--api-url" in note for note in found.notes) is ("$HOST" not in line)
    # A dollar that is no variable is told without the word around it.
    notes = " ".join(found.notes)
    assert ("within single quotes" in notes, "pa$word" in notes) == ("pa$word" in line, False)


# ---- variables


def test_an_undefined_variable_becomes_a_placeholder_that_the_run_asks_for() -> None:
    line = post("'method1=objects.create&arg1={\"manager_id\":'$manager'}'")
    given = translated(line, manager="33")
    assert (kinds(given), chains(given)) == (["not-defined"], ['objects.create {"manager_id": 33}'])
    assert "33" not in given.faults[0].instead
    found = translated(line)
    (fault,) = found.faults
    assert (fault.kind, fault.place.column) == ("not-defined", 60)
    assert "--set manager=VALUE" in fault.instead
    assert chains(found) == ['objects.create {"manager_id": {manager}}']


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
        ("select id from t", "sed '1,2d;/^ *$/d'", ["output-form"]),
        ("select id from t", "tail -n +4 | grep .", ["output-form"]),
        ("select id from t", "grep -v ID | grep .", ["output-form"]),
        ("select id from t", "grep -v '^$\\|ID\\|='", []),
        ("select id from t", "grep -E '^ *[0-9]+'", []),
        ("select id from t", "awk '/[0-9]/{print $1}'", []),
        ("set list on; select id from t", "grep '[[:digit:]]' | awk '{print $2}'", []),
        ("set list on; select id from t", "grep -oE '[0-9]+'", []),
        ("set heading off; select id from t", "sed 1d | awk 'NF'", []),
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
    again = [one for one in found.faults if one.what.startswith("only the first headings")]
    assert bool(again) == ("tail" in filters)
    column = "name" if "name" in sql else "id"
    assert chains(found) == [f'objects.get {{"key": "{{{column}}}"}}']
    assert option(found, "--columns") == []


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
        ("select id||';'||summa from t", "a", ["a"], None),
    ],
)
def test_the_columns_of_the_select(select: str, variables: str, columns: list[str], sql: str | None) -> None:
    *_, last = variables.split()
    data = f"'method1=objects.get&arg1={{\"id\":'$a'}}&method2=set&arg2={{\"x\":'${last}'}}'"
    found = translated(loop(f"set heading off; {select}", data, variables=f"-r {variables}"))
    assert found.faults == ()
    assert option(found, "--sql") == [sql or select]
    assert option(found, "--columns") == columns


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
    found = [fault for fault in translated(line).faults if fault.kind == "no-such-alias"]
    told = [fault.what.removeprefix("the select uses ").partition(", and has")[0].upper() for fault in found]
    assert told == ([aliases] if aliases else [])


# ---- the catalogue -----------------------------------------------------------------------------------------------


FIRST, SAVED = 'method1=objects.get&arg1={"id":1}', "&method3=save&arg3={}"
ATTRIBUTE = 'method1=objects.create&arg1={"abonent_id":1,"attribute_id":2,"attribute_value":"x"}'


@pytest.mark.parametrize(
    ("model", "data", "job"),
    [
        ("Abonents", f'{FIRST}&method2=set&arg2={{"tarif_id":2}}{SAVED}', "tariff-now"),
        ("Abonents", f'{FIRST}&method2=add_payment&arg2={{"SUM_IN":"1"}}', "payment"),
        ("AttributeValues", ATTRIBUTE, "attribute"),
        ("Abonents", f'{FIRST.replace("id", "operator_id")}&method2=set&arg2={{"name":"x"}}{SAVED}', None),
        ("Users", f'{FIRST}&method2=set&arg2={{"operator_id":1}}{SAVED}', None),
        ("Abonents", f'{FIRST}&method2=set&arg2={{"operator_id":1}}', None),
    ],
)
def test_the_job_of_the_catalogue_that_does_the_same(model: str, data: str, job: str | None) -> None:
    found = translated(post(f"'{data}'", model))
    assert found.command[2] == (job or "call")
    assert (found.call is None) == (job is None)


# ---- what is left out --------------------------------------------------------------------------------------------


SECRETS = "'method1=objects.get&arg1={\"id\":5}&hash_key=s3cret&psw=s3cret'"
LESS = '\'method1=objects.get&arg1={"id":1}&method2=set&arg2={"tarif_id":2}&method3=save&arg3={}&fields=["id"]\''
WARNS = "'method1=objects.get&arg1={\"id\":'$a'}&method2=set&arg2={\"limit_warning\":%s}&method3=save&arg3={}'"
BESIDE = (
    loop(SELECT, get(), filters=AWK)
    .replace("do curl", 'do echo "$line"; sleep 1; curl -sS -m 30 -k -H "X-Key: s3cret"')
    .replace("; done", " >> log 2>&1 & done; wait")
)
LEFT_OUT = ("echo", "sleep", "wait", "--max-time", "--insecure", "the header X-Key", "output", "the &")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (BESIDE, ["is left out", *(f"{one} " for one in LEFT_OUT)]),
        # Other fields belong into the settings.
        (post(SECRETS), ["the field hash_key is left out", "the field psw is left out"]),
        (post(LESS, "Abonents"), ["the catalogue has a job for this: carbon-migrate run tariff-now"]),
        # An amount that each row has for itself is the tariff's.
        *(
            (off("select id, x from t", WARNS % value, variables="a b", model="AdminAccounts"), [f"run {job};"])
            for value, job in (('"5"', "warning-threshold"), ("\"'$b'\"", "tariff-threshold"))
        ),
        (loop(SELECT, "'method1=save&arg1={}'", filters=AWK), ["the same call is made for each row"]),
    ],
)
def test_what_is_left_out_or_can_be_done_better_is_noted(line: str, says: list[str]) -> None:
    found = translated(line)
    notes = " ".join(found.notes)
    assert [words for words in says if words not in notes] == []
    assert found.command[2] == "call"
    assert "s3cret" not in notes + " ".join(found.command)


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
