"""Which selects are read page by page along their key, which at once, and what a page costs."""

from itertools import islice, pairwise

import pytest

from billing.database.database import Database, attach
from billing.selects.select import select_of
from billing.selects.select_reader import reading
from tests.billing.selects.selecting import read

ROWS_READ = """
select r.mon$record_seq_reads + r.mon$record_idx_reads
from mon$record_stats r join mon$attachments a on a.mon$stat_id = r.mon$stat_id
where a.mon$attachment_id = current_connection
"""

WALKED = (
    "select id from abonents",
    "select * from abonents",
    "select a.* from abonents as a where a.parent_id = 1000 or a.parent_id = 1316",
    "select ID as x, 1 as one from ABONENTS order by id",
    "select a.id, a.name from abonents a where exists (select 1 from users u where u.pull = a.id) order by a.id asc",
    "select id, parent_id from abonents where parent_id is distinct from 1000 order by 1",
    "select op_id, op_summa / 10000000000 as summa from finance_operations where op_type = 8",
    "select u.id, a.name from users u left join abonents a on a.id = u.abonent_id where a.parent_id = 1000",
    """select a.id, t.name, aa.limit_warning from abonents a left outer join tarif t on a.tarif_id = t.id
    left join admin_accounts aa on 1 = 1 and aa.id = a.account_id
    where t.users_limit_warning <> aa.limit_warning""",
    "select abonents.id from abonents left join tarif on tarif.id = abonents.tarif_id",
    "select a.id from abonents a inner join admin_accounts aa on aa.id = a.account_id -- all\n where a.deleted = 0",
)
# Along their key as well, but Firebird would begin elsewhere and sort all rows for every page.
SORTED = (
    "select a.id from abonents a join tarif t on t.id = a.tarif_id and t.name <> 'x' where a.deleted = 0",
    "select id from abonents where id in (select distinct abonent_id from users)",
    "select a.id, (select max(u.id) from users u where u.abonent_id = a.id) as u from abonents a",
)
READ_AT_ONCE = (
    "select distinct id from abonents",
    "select first 10 id from abonents order by id",
    "select skip 10 id from abonents order by id",
    "select id from abonents rows 10",
    "select id from abonents where id > 0 rows 10",
    "select id from abonents where id > 0 fetch first 5 row only",
    "select id from abonents where id > 0 offset 5 row",
    "select id from abonents where id > 0 plan (abonents natural)",
    "select id from abonents where id > 0 for update",
    "select id from abonents where id > 0 group by id",
    "select id from abonents where id > 0 group by id having count(*) > 0",
    "select id from abonents where id > 0 union select id from tarif",
    "select all id from abonents",
    "select id, count(*) over () as n from abonents where id > 0",
    "with id as (select 1 as x from tarif) select distinct id from abonents",
    "select id from abonents order by name",
    "select id from abonents order by id desc",
    "select id from abonents order by id, name",
    "select id, deleted as id2 from abonents order by 2",
    "select name, id from abonents",
    "select id + 0 as id from abonents",
    "select parent_id from abonents",
    "select contract_number from abonents",
    "select max(id) as id from abonents",
    "select parent_id, count(*) as n from abonents group by parent_id",
    "select id from abonents union all select id from tarif",
    "with q as (select id from abonents) select id from q",
    "select id from (select id from abonents) q",
    "select a.id from abonents a, tarif t where t.id = a.tarif_id",
    "select t.id from abonents a left join tarif t on t.id = a.tarif_id",
    "select b.id from abonents a left join abonents b on b.id = a.parent_id",
    "select a.id, u.login from abonents a join users u on u.abonent_id = a.id",
    "select a.id from abonents a join tarif t on t.id > a.tarif_id",
    "select a.id from abonents a join tarif t on t.id = a.tarif_id or t.id = 1",
    "select a.id from abonents a join tarif t on t.id = t.id and a.deleted = 0",
    "select a.id from abonents a join tarif t on t.name = 'x' or t.name <> 'y' and t.id = a.tarif_id",
    "select a.id from abonents a join tarif t on case when t.id > 0 and t.id = a.id and 1 = 1 then 1 else 1 end = 1",
    "select a.id from abonents a join tarif t on not t.id = a.tarif_id",
    "select t.id from abonents a join tarif t on t.id = a.tarif_id",
    "select op_id from finance_operations right join abonents a on a.id = finance_operations.abonent_id",
    "select a.id from abonents a left join (select id from tarif) t on t.id = a.tarif_id",
    "select a.id from abonents a left join users u left join tarif t on t.id = u.pull on u.id = a.id",
    "select a.id from abonents a right join tarif t on t.id = a.tarif_id where a.id > 0",
    "select a.id from abonents a full join tarif t on t.id = a.tarif_id where a.id > 0",
    "select a.id from abonents a cross join tarif t",
    "select op_id from finance_operations cross join tarif where tarif.id = finance_operations.op_type",
    "select op_id from finance_operations natural join tarif where tarif.id = finance_operations.op_type",
    "select a.id from abonents a natural join vpn_const v",
    "select id from abonents a join abonents_block_history h using (id)",
    "select id from abonents for update",
    "select id from abonents where id > :page_after",
)


@pytest.mark.parametrize("text", WALKED)
def test_selects_that_are_read_along_their_key(either_database: Database, text: str) -> None:
    walked = read(either_database, text)
    assert not walked.at_once
    wanted = sorted(int(row[0]) for row in either_database.query(text))
    pages = list(walked.pages(size=100))
    assert [int(row.cells[0]) for page in pages for row in page.rows] == wanted
    assert {len(page.rows) for page in pages[:-1]} <= {100}
    assert [page.cursor for page in pages] == [page.rows[-1].cells[0] for page in pages]


@pytest.mark.parametrize("text", SORTED)
def test_a_plan_that_sorts_is_no_way_for_pages(either_database: Database, text: str) -> None:
    sorted_ = read(either_database, text)
    assert sorted_.at_once
    assert sorted_.walk is not None
    wanted = [str(row[0]) for row in either_database.query(text)]
    assert [row.cells[0] for page in sorted_.pages() for row in page.rows] == wanted
    # A run that began page by page, when the plan was another one, goes on page by page.
    rest = [row.cells[0] for page in sorted_.pages("2500", size=100) for row in page.rows]
    assert rest == sorted((key for key in wanted if int(key) > 2500), key=int)


@pytest.mark.parametrize("text", READ_AT_ONCE)
def test_selects_that_are_read_at_once(either_database: Database, text: str) -> None:
    values = {"page_after": 2500}
    at_once = read(either_database, text, values)
    assert at_once.at_once
    assert at_once.walk is None
    wanted = [str(row[0] or "") for row in either_database.query(text, values)]
    assert [row.cells[0] for page in at_once.pages(size=100) for row in page.rows] == wanted


def test_a_key_that_is_no_key_is_not_walked(database: Database) -> None:
    connection = attach(database.dsn)
    for sql in (
        """create table odd (
            id integer not null, other integer unique, text_key varchar(9) not null primary key,
            price numeric(9, 2) not null unique)""",
        "create view seen (id) as select id from abonents",
        "create table pairs (id integer not null, other integer not null, primary key (id, other))",
    ):
        connection.execute_immediate(sql)
        connection.commit()
    connection.close()
    for text in (
        "select id from odd",
        "select other from odd",
        "select price from odd",
        "select text_key from odd",
        "select id from seen",
        "select id from pairs",
        "select a.id from abonents a join odd o on o.text_key = a.id",
        "select a.id from abonents a join pairs p on p.id = a.id",
    ):
        assert reading(database, select_of(text), names=("a",)).walk is None, text
    assert not read(database, "select a.id from abonents a join odd o on o.other = a.id").at_once


def test_a_page_costs_its_own_rows_only(either_database: Database) -> None:
    def rows_read() -> int:
        return int(next(either_database.query(ROWS_READ))[0])

    text = "select a.id, t.name from abonents a left join tarif t on t.id = a.tarif_id where a.is_folder = 0"
    pages = read(either_database, text).pages(size=50)
    next(pages)
    marks = [rows_read() for _ in islice(pages, 6)]
    costs = [later - earlier for earlier, later in pairwise(marks)]
    # A row and its tariff; what asking for the count itself reads comes on top.
    assert max(costs) < 300, costs
