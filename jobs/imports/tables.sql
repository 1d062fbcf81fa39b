-- The statements of the joined tables, in SQLite: a temporary database that no name leads to.

-- name: as_files
pragma temp_store = file

-- name: attach
attach database '' as staged

-- name: create_rows
create table staged.joined_rows (
    number text not null,       -- the contract number
    step   text not null,
    line   integer not null,
    made   text not null,       -- what the row says, as JSON; secrets as tokens of the vault
    primary key (number, step, line)
) strict, without rowid

-- name: create_numbers
create table staged.numbers (number text primary key) strict, without rowid

-- name: stage
insert into staged.joined_rows (number, step, line, made) values (:number, :step, :line, :made)

-- name: know
insert or ignore into staged.numbers (number) values (:number)

-- name: known
select number from staged.numbers where number in (select value from json_each(:numbers))

-- name: of_numbers
-- The rows of contract numbers, at most :most of a table for each.
select number, step, made
from (
    select number, step, line, made, row_number() over (partition by number, step order by line) as place
    from staged.joined_rows
    where number in (select value from json_each(:numbers))
)
where place <= :most
order by number, line
