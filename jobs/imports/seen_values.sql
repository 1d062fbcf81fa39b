-- What the rows of an input have, and what of that the billing has, in a temporary SQLite database.

-- name: create_seen
create table seen (
    kind  text not null,      -- the kind of the value: number, login, ip, mac, phone
    core  text not null,      -- equal for values that only look different
    value text not null,
    line  integer,            -- where the value stands: null in a row without lines
    of    text not null       -- the joined table, '' for the main one
) strict

-- name: see
insert into seen (kind, core, value, line, of) values (:kind, :core, :value, :line, :of)

-- name: index_seen
create index by_value on seen (kind, core, value)

-- name: create_equal
-- The values that several rows have, with the number of these rows.
create table equal as
select kind, core, value, count(*) as rows from seen group by kind, core, value having count(*) > 1

-- name: index_equal
create unique index equal_by_value on equal (kind, core, value)

-- name: rows_of
select rows from equal where kind = :kind and core = :core and value = :value

-- name: first_equal
select value, line, of from seen
where kind = :kind and core = :core and value = :value
order by rowid
limit :most

-- name: first_alike
-- A row whose value only looks different: two seeks in the index, however many rows have the same value.
select value, line, of from (
    select value, line, of from seen where kind = :kind and core = :core and value < :value limit 1
)
union all
select value, line, of from (
    select value, line, of from seen where kind = :kind and core = :core and value > :value limit 1
)
limit 1

-- name: create_taken
-- What the billing has of these values, and what looks like one of them.
create table taken (
    kind    text not null,
    core    text not null,
    value   text not null,
    deleted integer not null,
    abonent text not null,    -- the id of its subscriber
    number  text not null,    -- the contract number of its subscriber
    login   text not null     -- the login of its account, '' for a contract number
) strict

-- name: index_taken
create index taken_by_core on taken (kind, core)

-- name: take
insert into taken (kind, core, value, deleted, abonent, number, login)
select :kind, :core, :value, :deleted, :abonent, :number, :login
where exists (select 1 from seen where kind = :kind and core = :core)

-- name: taken
-- What is live before what is deleted, the value itself before those that look like it.
select deleted, abonent, number, login from taken
where kind = :kind and core = :core
order by deleted, value <> :value, rowid
limit :most

-- name: zeros
-- How many contract numbers that begin with a zero, of digits alone, have which length.
select length(value), count(*)
from seen
where kind = 'number' and value glob '0*' and value not glob '*[^0-9]*'
group by 1
