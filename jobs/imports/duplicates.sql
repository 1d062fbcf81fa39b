-- What the rows of an input have in common, in a temporary SQLite database.

-- name: create
create table seen (
    kind  text not null,      -- the kind of the value: number, login, ip, mac, phone
    core  text not null,      -- equal for values that only look different
    value text not null,
    line  integer,            -- where the value stands: null in a row without lines
    of    text not null       -- the joined table, '' for the main one
) strict

-- name: add
insert into seen (kind, core, value, line, of) values (?, ?, ?, ?, ?)

-- name: index
create index by_value on seen (kind, core, value)

-- name: create_equal
-- The values that several rows have, with the number of these rows.
create table equal as
select kind, core, value, count(*) as rows from seen group by kind, core, value having count(*) > 1

-- name: index_equal
create unique index equal_by_value on equal (kind, core, value)

-- name: create_alike
-- The cores of several values.
create table alike as
select kind, core from seen group by kind, core having min(value) < max(value)

-- name: index_alike
create unique index alike_by_core on alike (kind, core)

-- name: rows_of
select rows from equal where kind = :kind and core = :core and value = :value

-- name: others_equal
-- The first rows with the very same value: one more than is named, for the row itself is among them.
select value, line, of from seen
where kind = :kind and core = :core and value = :value
order by rowid
limit :most

-- name: first_alike
-- A row whose value only looks different; two seeks in the index, however many rows have the same value.
select value, line, of from (
    select value, line, of from seen where kind = :kind and core = :core and value < :value limit 1
)
union all
select value, line, of from (
    select value, line, of from seen where kind = :kind and core = :core and value > :value limit 1
)
limit 1

-- name: is_alike
select 1 from alike where kind = :kind and core = :core

-- name: create_existing
-- The contract numbers of the billing that look like one of the input.
create table existing (core text not null, number text not null) strict

-- name: index_existing
create index existing_by_core on existing (core)

-- name: add_existing
insert into existing (core, number)
select :core, :number where exists (select 1 from seen where kind = 'number' and core = :core)

-- name: first_existing
-- The number itself before those that look like it.
select number from existing where core = :core order by number <> :value, number limit 1

-- name: lengths
-- How many contract numbers that begin with a zero, of digits alone, have which length.
select length(value), count(*)
from seen
where kind = 'number' and value glob '0*' and value not glob '*[^0-9]*'
group by 1
